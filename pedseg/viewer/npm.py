"""JavaScript packages from npm with known checksums: fetched once when something is built, never by a page."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
from pathlib import Path

from pedseg.errors import input_error


def fetch(package: str, sha256: str, folder: Path) -> Path:
    """Fetch one npm package (name@version), verify its checksum, and unpack it; gives its folder inside `folder`.

    Raises `PedsegInputError` where npm is missing, cannot fetch the package, or brings another one than was tested.
    """
    program, target = shutil.which("npm"), folder / package.rpartition("@")[0]
    if program is None:
        raise input_error("E-NPM", "npm", "it is not on the path.", "Install Node.js (Debian: apt install npm).")
    target.mkdir(parents=True)
    command = [program, "pack", "--loglevel=error", package]
    result = subprocess.run(command, cwd=target, capture_output=True, text=True, check=False)
    archive = next(target.glob("*.tgz"), None)
    if result.returncode or archive is None:
        why = (result.stderr.strip().splitlines() or ["npm gave no reason"])[0]
        remedy = "Connect to the internet once, for this step."
        raise input_error("E-NPM", package, f"npm cannot fetch it ({why}).", remedy)
    if hashlib.sha256(archive.read_bytes()).hexdigest() != sha256:
        raise input_error("E-CHECKSUM", package, "it is not the package that was tested.", "Do not use it; ask why.")
    with tarfile.open(archive) as tar:
        tar.extractall(target, filter="data")
    return target / "package"
