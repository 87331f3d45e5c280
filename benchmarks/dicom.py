"""How fast are contours written and read beside rt-utils and plastimatch, on the same scan, in one run?

19 organs of a virtual child on 192 x 192 x 128 voxels, one thread, CPU seconds of each process, medians of
`REPEATS`. Each program does what its user would call: ours writes, reads the file back and compares it; plastimatch
(a compiled program) is given label maps as files, and a CT folder, and reads and writes these, too; rt-utils 1.2.7
runs in an environment of its own (`benchmarks/.venv-rt-utils`, made at the first run), holds the scan already, and
its calls alone are timed.
"""

from __future__ import annotations

import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SHAPE, SPACING_MM = (192, 192, 128), (1.5, 1.5, 2.0)
REPEATS = 3
PEER = Path(__file__).with_name(".venv-rt-utils")
RT_UTILS = """
import json, sys, time, numpy as np
from rt_utils import RTStructBuilder
folder, ct, names = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
masks = np.load(folder + "/masks.npy", mmap_mode="r")
new = RTStructBuilder.create_new(dicom_series_path=ct)
began = time.process_time()
for name, mask in zip(names, masks):
    new.add_roi(mask=np.ascontiguousarray(mask), name=name)
new.save(folder + "/theirs.dcm")
wrote = time.process_time() - began
old = RTStructBuilder.create_from(dicom_series_path=ct, rt_struct_path=folder + "/theirs.dcm")
began = time.process_time()
back = [old.get_roi_mask_by_name(name) for name in names]
read = time.process_time() - began
print(json.dumps([wrote, read]))
"""


def measure() -> list[dict[str, Any]]:
    """One row a way: `name`, `ours` and `peer` in CPU seconds, their `ratio`."""
    from pedseg.dicom.ct_series import read_ct
    from pedseg.dicom.rtstruct import read_rtstruct
    from pedseg.dicom.rtstruct_writing import write_rtstruct

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        masks = prepare(folder)
        ct = read_ct(folder / "ct")
        times: dict[str, list[float]] = {}
        for _ in range(REPEATS):
            _timed(times, "write", lambda: write_rtstruct(folder / "ours.dcm", masks, ct))
            back = _timed(times, "read", lambda: dict(read_rtstruct(folder / "ours.dcm", ct).masks))
            _plastimatch(times, folder)
            _rt_utils(times, folder, list(masks))
        assert all(np.array_equal(back[name], mask) for name, mask in masks.items())
    middle = {name: statistics.median(values) for name, values in times.items()}
    rows = []
    for peer in (name for name in ("rt-utils", "plastimatch") if f"{name} read" in middle):
        for way in ("write", "read"):
            ours, theirs = middle[way], middle[f"{peer} {way}"]
            rows.append({
                "name": f"RTSTRUCT {way}, {len(masks)} organs, {'x'.join(map(str, SHAPE))} (peer: {peer})",
                "ours": ours, "peer": theirs, "ratio": theirs / ours, "unit": "CPU s",
            })  # fmt: skip
    return rows


def prepare(folder: Path) -> dict[str, np.ndarray]:
    """A virtual child as a CT series, and its organs as masks (column, row, slice), also on disk for the peers."""
    import SimpleITK

    from pedseg.dicom.example_patient import write_ct
    from pedseg.organs import ORGANS
    from pedseg.phantoms.child import Child
    from pedseg.phantoms.phantom import make_phantom
    from pedseg.scan import Scan

    phantom = make_phantom(Child(6.0, seed=3), SPACING_MM)
    voxels = np.zeros(SHAPE, np.uint8)
    size = np.minimum(SHAPE, phantom.labels.shape)
    there, here = (tuple(slice((n - s) // 2, (n - s) // 2 + s) for n, s in zip(shape, size, strict=True))
                   for shape in (phantom.labels.shape, SHAPE))  # fmt: skip
    voxels[here] = phantom.labels[there]
    hu = np.where(voxels > 0, 40, -80) + np.random.default_rng(0).normal(0, 12, SHAPE)
    hu[:8] = -1000
    write_ct(folder / "ct", Scan(np.round(hu).astype(np.int16), np.diag([*SPACING_MM, 1.0])))
    masks = {organ.name: voxels[::-1, ::-1] == organ.id for organ in ORGANS}
    np.save(folder / "masks.npy", np.stack([mask.transpose(1, 0, 2) for mask in masks.values()]))
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(voxels[::-1, ::-1].transpose(2, 1, 0)))
    grid = SimpleITK.ReadImage(SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder / "ct")))
    image.CopyInformation(grid)
    for organ in ORGANS:
        (folder / "labels").mkdir(exist_ok=True)
        SimpleITK.WriteImage(image == organ.id, str(folder / "labels" / f"{organ.name}.nrrd"))
    return masks


def _plastimatch(times: dict[str, list[float]], folder: Path) -> None:
    """Label maps to RTSTRUCT and back, as two calls of the program."""
    program = Path(sys.executable).with_name("plastimatch")
    if not program.exists():
        return  # there is none for this system: this peer is left out
    written = folder / "plastimatch"
    shutil.rmtree(written, ignore_errors=True)
    write = ["--input-prefix", folder / "labels", "--referenced-ct", folder / "ct", "--output-dicom", written]
    _run(times, "plastimatch write", [program, "convert", *write])
    (file,) = written.glob("rtss*")
    read = ["--input", file, "--referenced-ct", folder / "ct", "--output-prefix", written / "masks"]
    _run(times, "plastimatch read", [program, "convert", *read, "--prefix-format", "nrrd"])


def _run(times: dict[str, list[float]], name: str, command: list) -> None:
    began = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([str(word) for word in command], check=True, capture_output=True)
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    times.setdefault(name, []).append(ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime)


def _rt_utils(times: dict[str, list[float]], folder: Path, names: list[str]) -> None:
    """rt-utils in its own environment, which is made at the first run."""
    python = PEER / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", PEER], check=True)
        packages = ["rt-utils==1.2.7", "opencv-python-headless"]
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=False)
    if subprocess.run([python, "-c", "import rt_utils"], check=False, capture_output=True).returncode:
        return  # it could not be fetched: this peer is left out
    (folder / "theirs.dcm").unlink(missing_ok=True)
    command = [str(python), "-c", RT_UTILS, str(folder), str(folder / "ct"), json.dumps(names)]
    output = subprocess.run(command, check=True, capture_output=True, text=True)
    for way, seconds in zip(("write", "read"), json.loads(output.stdout.splitlines()[-1]), strict=True):
        times.setdefault(f"rt-utils {way}", []).append(seconds)


def _timed(times: dict[str, list[float]], name: str, call: Callable[[], Any]) -> Any:
    began = time.process_time()
    result = call()
    times.setdefault(name, []).append(time.process_time() - began)
    return result
