"""itkwidgets' front end without the internet: built from npm packages whose checksums are known.

itkwidgets 1.0 fetches its viewer from public servers when a page opens; their addresses are fixed in its code. Here a
copy of its JupyterLab extension (imjoy-jupyterlab-extension) is made that takes everything from its own folder, which
Jupyter serves anyway. JUPYTER_PATH names the copy, so that nothing that is installed is changed.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from pedseg.errors import input_error

EXTENSION = "imjoy-jupyterlab-extension"
BASE = "globalThis.pedsegOffline"
PACKAGES = {  # name@version: sha256 of what `npm pack` brings
    "itk-vtk-viewer@14.51.0": "5d5d6994418fdd9b203f11b9f82154b1579d3ace7bc2f77b62288108af3c549e",
    "itk-viewer-bootstrap-ui@0.30.0": "0bbba53843e05f9d2b2f85d2adacda79786ab6269793c843234031b9f167a583",
    "imjoy-core@0.14.5": "8f72a85c30e6454b2cef3e9101fca5b12676063b366427c1df47c53a0b850526",
    "imjoy-rpc@0.5.9": "97c022a7904cdfdbe073fd7aae91281269bbea73359f5c2f24be885b6b708ec1",
    "vue@2.6.10": "bfca906b64416178c061dc8f59850ff6b2a45359c8ddd7d5f924cc611128c2d4",
    "vue-js-modal@1.3.35": "b639552f8026bfee1eafab6b03ad3131860d43a9b674edee3cbd29e9da96fd28",
}
FILES = {  # in the copy's folder: package and file
    "imjoy-core.min.js": ("imjoy-core", "dist/imjoy-core.min.js"),
    "imjoy-loader.min.js": ("imjoy-core", "dist/imjoy-loader.min.js"),
    "imjoy-rpc.min.js": ("imjoy-rpc", "dist/imjoy-rpc.min.js"),
    "vue.min.js": ("vue", "dist/vue.min.js"),
    "vue-js-modal.js": ("vue-js-modal", "dist/index.js"),
    "vue-js-modal.css": ("vue-js-modal", "dist/styles.css"),
    "bootstrapUIMachineOptions.js.es.js": ("itk-viewer-bootstrap-ui", "dist/bootstrapUIMachineOptions.js.es.js"),
}
FAR = {  # what the extension asks for, and the file that takes its place
    r"https://cdn\.jsdelivr\.net/npm/vue@2\.6\.10/dist/vue\.min\.js": "vue.min.js",
    r"https://imjoy-team\.github\.io/vue-js-modal/index\.js": "vue-js-modal.js",
    r"https://imjoy-team\.github\.io/vue-js-modal/styles\.css": "vue-js-modal.css",
    r"https://cdn\.jsdelivr\.net/npm/@oeway/vue-window@2\.4\.1-a/lib/index\.js": "vue-window.js",
}
TEMPLATE = re.compile(r"`https://cdn\.jsdelivr\.net/npm/imjoy-(?:core|rpc)@[^`]*`")
LOGO = "https://imjoy.io/static/img/imjoy-logo-black.svg"
OPENED = "async createWindow(_plugin, w, extra_config) {"
REDIRECT = f"""
const near = (x) => typeof x === "string"
    ? x.includes(".ipfs.dweb.link") ? {BASE} + "viewer/index.html"
        : x.includes("itk-viewer-bootstrap-ui") ? {BASE} + "bootstrapUIMachineOptions.js.es.js" : x
    : Array.isArray(x) ? x.map(near)
    : x && Object.getPrototypeOf(x) === Object.prototype && !x._rtype
        ? Object.fromEntries(Object.entries(x).map(([k, v]) => [k, k === "data" ? v : use_local_files(v)])) : x;
Object.assign(w, use_local_files(w));
"""
LOADER = '<script type="text/javascript" src="https://lib.imjoy.io/imjoy-loader.js"></script>'
LEFT_OUT = ("itk/image-io", "itk/mesh-io")  # readers of files: 70 MB that a notebook does not need


def build(out: Path) -> Path:
    """Make the copy in `out` unless it is there; gives the folder for JUPYTER_PATH.

    Raises `PedsegInputError` where the extension or npm is missing, where npm cannot fetch a package, where a package
    is not the one whose checksum is known, or where the extension looks different inside.
    """
    share, stamp = out / "share", _fingerprint()
    if (share / "stamp").is_file() and (share / "stamp").read_text() == stamp:
        return share
    installed = Path(sys.prefix) / "share" / "jupyter" / "labextensions" / EXTENSION
    if not installed.is_dir():
        raise input_error("E-ITK", EXTENSION, "it is not installed.", "Install the extra `viewer3d`.")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out) as work:
        packages = {name.rpartition("@")[0]: _fetch(name, Path(work)) for name in PACKAGES}
        made = Path(work) / "share"
        shutil.copytree(installed, made / "labextensions" / EXTENSION)
        static = made / "labextensions" / EXTENSION / "static"
        _lay_in(packages, static / "offline")
        _turn_inward(static)
        (made / "stamp").write_text(stamp)
        shutil.rmtree(share, ignore_errors=True)
        os.replace(made, share)
    return share


def _fingerprint() -> str:
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


def _fetch(package: str, work: Path) -> Path:
    """Fetch one npm package, compare its checksum, unpack it."""
    npm = shutil.which("npm")
    if npm is None:
        raise input_error(
            "E-NPM", "npm", "it is not on the path.", "Install Node.js, or use `lab --itk` with a network."
        )
    folder = work / package.replace("@", "-")
    folder.mkdir()
    words = [npm, "pack", "--loglevel=error", package]
    told = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    found = list(folder.glob("*.tgz"))
    if told.returncode or not found:
        why = (told.stderr.strip().splitlines() or ["no word from npm"])[0]
        raise input_error(
            "E-NPM", package, f"npm cannot fetch it ({why}).", "Connect to the internet once, for this step."
        )
    if hashlib.sha256(found[0].read_bytes()).hexdigest() != PACKAGES[package]:
        raise input_error("E-CHECKSUM", package, "its bytes are not those that were tried.", "Do not use it; ask why.")
    with tarfile.open(found[0]) as archive:
        archive.extractall(folder, filter="data")
    return folder / "package"


def _lay_in(packages: dict[str, Path], offline: Path) -> None:
    """Put the files of the packages where the copy will look for them."""
    ignored = shutil.ignore_patterns(*(name.rpartition("/")[2] for name in LEFT_OUT), "*.map")
    shutil.copytree(packages["itk-vtk-viewer"] / "dist", offline / "viewer", ignore=ignored)
    for name, (package, file) in FILES.items():
        shutil.copyfile(packages[package] / file, offline / name)
    (offline / "vue-window.js").write_text("window.VueWindow = { install() {} };\n")  # not on npm, and not needed
    for name in ("imjoy-core.min.js", "imjoy-loader.min.js"):
        _edit(offline / name, use_local_files)
    _edit(offline / "imjoy-core.min.js", lambda text: text.replace('"startup":true', '"startup":false'))
    here = f"<script>{BASE} = new URL('../', document.baseURI).href</script>"
    page = offline / "viewer" / "index.html"
    _edit(page, lambda text: text.replace(LOADER, f'{here}<script src="../imjoy-loader.min.js"></script>'))


def _turn_inward(static: Path) -> None:
    """Let the extension's own scripts take everything from beside them."""
    for script in static.glob("*.js"):
        if script.name.startswith("remoteEntry"):
            start = f"{BASE} = new URL('offline/', document.currentScript.src).href;\n"
            script.write_text(start + script.read_text("utf-8"), "utf-8")
        elif OPENED in script.read_text("utf-8"):
            _edit(script, lambda text: text.replace(OPENED, OPENED + REDIRECT).replace(LOGO, "data:,"))
        elif "imjoy-core@" in script.read_text("utf-8"):
            _edit(script, use_local_files)


def use_local_files(text: str) -> str:
    """A script that asks for the files beside it instead of those far away."""
    for far, file in FAR.items():
        text = re.sub(rf'(\\*"){far}\1', rf"({BASE}+\g<1>{file}\g<1>)", text)
    return TEMPLATE.sub(BASE, text)


def _edit(file: Path, change) -> None:
    """Change a text; a text in which there is nothing to change is another one than that which was tried."""
    before = file.read_text("utf-8")
    after = change(before)
    if after == before:
        raise input_error(
            "E-ITK", file.name, "it looks different inside from the one that was tried.", "Use `lab --itk`."
        )
    file.write_text(after, "utf-8")
