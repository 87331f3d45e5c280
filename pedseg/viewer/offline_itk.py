"""itkwidgets without the internet: a copy of its JupyterLab extension, built from npm packages with known checksums.

itkwidgets 1.0 fetches its viewer from public servers when a page opens; their addresses are fixed in its code. The copy
of its extension (imjoy-jupyterlab-extension) takes everything from its own folder, which Jupyter serves anyway.
JUPYTER_PATH names the copy, so that nothing that is installed is changed.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from pedseg.errors import input_error
from pedseg.viewer import npm

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
VIEWER = "itk-vtk-viewer"  # copied as a whole, but for its readers of files: 70 MB that a notebook does not need
LEFT_OUT = shutil.ignore_patterns("image-io", "mesh-io", "*.map")
FILES = {  # in the copy's folder: file in the packages
    "imjoy-core.min.js": "imjoy-core/package/dist/imjoy-core.min.js",
    "imjoy-loader.min.js": "imjoy-core/package/dist/imjoy-loader.min.js",
    "imjoy-rpc.min.js": "imjoy-rpc/package/dist/imjoy-rpc.min.js",
    "vue.min.js": "vue/package/dist/vue.min.js",
    "vue-js-modal.js": "vue-js-modal/package/dist/index.js",
    "vue-js-modal.css": "vue-js-modal/package/dist/styles.css",
    "bootstrapUIMachineOptions.js.es.js": "itk-viewer-bootstrap-ui/package/dist/bootstrapUIMachineOptions.js.es.js",
}
ADDRESSES = {  # that the extension asks for, and the file that takes their place
    "https://cdn.jsdelivr.net/npm/vue@2.6.10/dist/vue.min.js": "vue.min.js",
    "https://imjoy-team.github.io/vue-js-modal/index.js": "vue-js-modal.js",
    "https://imjoy-team.github.io/vue-js-modal/styles.css": "vue-js-modal.css",
    "https://cdn.jsdelivr.net/npm/@oeway/vue-window@2.4.1-a/lib/index.js": "vue-window.js",
}
TEMPLATE = re.compile(r"`https://cdn\.jsdelivr\.net/npm/imjoy-(?:core|rpc)@[^`]*`")
LOGO = "https://imjoy.io/static/img/imjoy-logo-black.svg"
OPENED = "async createWindow(_plugin, w, extra_config) {"
REDIRECT = f"""
const local = (x) => typeof x === "string"
    ? x.includes(".ipfs.dweb.link") ? {BASE} + "viewer/index.html"
        : x.includes("itk-viewer-bootstrap-ui") ? {BASE} + "bootstrapUIMachineOptions.js.es.js" : x
    : Array.isArray(x) ? x.map(local)
    : x && Object.getPrototypeOf(x) === Object.prototype && !x._rtype
        ? Object.fromEntries(Object.entries(x).map(([k, v]) => [k, k === "data" ? v : local(v)])) : x;
Object.assign(w, local(w));
"""
LOADER = '<script type="text/javascript" src="https://lib.imjoy.io/imjoy-loader.js"></script>'


def build(out: Path) -> Path:
    """Make the copy in `out` unless it is there; gives the folder for JUPYTER_PATH.

    Raises `PedsegInputError` where the extension or npm is missing, where npm cannot fetch a package, where a package
    is not the one whose checksum is known, or where the extension looks different inside.
    """
    share, fingerprint = out / "share", hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    if (share / "fingerprint").is_file() and (share / "fingerprint").read_text() == fingerprint:
        return share
    installed = Path(sys.prefix) / "share" / "jupyter" / "labextensions" / EXTENSION
    if not installed.is_dir():
        raise input_error("E-ITK", EXTENSION, "it is not installed.", "Install the extra `viewer3d`.")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out) as work:
        packages, made = Path(work) / "packages", Path(work) / "share"
        for package in PACKAGES:
            npm.fetch(package, PACKAGES[package], packages)
        shutil.copytree(installed, made / "labextensions" / EXTENSION)
        static = made / "labextensions" / EXTENSION / "static"
        _add_packages(packages, static / "offline")
        _patch_extension(static)
        (made / "fingerprint").write_text(fingerprint)
        shutil.rmtree(share, ignore_errors=True)
        os.replace(made, share)
    return share


def _add_packages(packages: Path, offline: Path) -> None:
    """Copy the files of the packages to where the extension will look for them."""
    shutil.copytree(packages / VIEWER / "package" / "dist", offline / "viewer", ignore=LEFT_OUT)
    for name, file in FILES.items():
        shutil.copyfile(packages / file, offline / name)
    (offline / "vue-window.js").write_text("window.VueWindow = { install() {} };\n")  # not on npm, and not needed
    core, loader, page = (offline / name for name in ("imjoy-core.min.js", "imjoy-loader.min.js", "viewer/index.html"))
    for script in (core, loader):
        _edit(script, use_local_files)
    _edit(core, lambda text: text.replace('"startup":true', '"startup":false'))
    here = f"<script>{BASE} = new URL('../', document.baseURI).href</script>"
    _edit(page, lambda text: text.replace(LOADER, f'{here}<script src="../imjoy-loader.min.js"></script>'))


def _patch_extension(static: Path) -> None:
    """Let the extension's own scripts load everything from the copy's folder."""
    start = f"{BASE} = new URL('offline/', document.currentScript.src).href;\n"
    for script in static.glob("*.js"):
        text = script.read_text("utf-8")
        if script.name.startswith("remoteEntry"):
            script.write_text(start + text, "utf-8")
        elif OPENED in text:
            _edit(script, lambda text: text.replace(OPENED, OPENED + REDIRECT).replace(LOGO, "data:,"))
        elif "imjoy-core@" in text:
            _edit(script, use_local_files)


def use_local_files(text: str) -> str:
    """A script that loads the files beside it instead of those on public servers."""
    for address, file in ADDRESSES.items():
        text = re.sub(rf'(\\*"){re.escape(address)}\1', rf"({BASE}+\g<1>{file}\g<1>)", text)
    return TEMPLATE.sub(BASE, text)


def _edit(file: Path, change: Callable[[str], str]) -> None:
    """Change a text; one in which nothing changes is another version than the one that was tested."""
    before = file.read_text("utf-8")
    after = change(before)
    if after == before:
        problem = "it is structured differently from the one that was tested."
        raise input_error("E-ITK", file.name, problem, "Use `lab --itk`.")
    file.write_text(after, "utf-8")
