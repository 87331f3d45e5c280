"""Twenty-six ways in which a scan can be wrong: refused with one code, file and remedy, or handled as is written here.

The rows are numbered; every one is made of real bytes and goes through `import_scans`, as a user's would.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from archive import body, roi_rings, save, write_series, write_structures
from pydicom.uid import generate_uid

from pedseg.datasets.reading import check_dataset
from pedseg.datasets.writing import written_cases
from pedseg.dicom.ct_series import LPS_TO_RAS, read_ct
from pedseg.dicom.rtstruct_writing import write_rtstruct
from pedseg.errors import PedsegInputError
from pedseg.importing.import_scans import ImportResult, import_scans
from pedseg.importing.scan_sources import ImportOptions
from pedseg.organs import organ

SHAPE = (40, 36, 20)
AFFINE = np.diag([6.0, 6.0, 8.0, 1.0])
LABELS = {"0": "background", "1": "liver", "2": "spleen", "4": "left kidney", "5": "right kidney"}
PLACES = {1: (28, 18), 2: (8, 18), 4: (10, 8), 5: (26, 8)}  # by label: corner of its block


def child() -> tuple[np.ndarray, np.ndarray]:
    """HU and label numbers of one child on a RAS grid; the liver lies on its right, where x is large."""
    hu = body(SHAPE)[:, ::-1].copy()
    labels = np.zeros(SHAPE, np.uint8)
    for number, (x, y) in PLACES.items():
        labels[x : x + 4, y : y + 4, 6:12] = number
    return hu, labels


def nifti(voxels: np.ndarray, affine: np.ndarray | None = AFFINE) -> nibabel.Nifti1Image:
    image = nibabel.Nifti1Image(voxels, affine, dtype=voxels.dtype)
    image.header.set_xyzt_units("mm")
    return image


def listed(folder: Path, image: bytes | nibabel.Nifti1Image | None = None, label=None) -> Path:
    """A folder as the decathlon keeps it, one case in it; image and label map may be replaced."""
    hu, labels = child()
    for name, given, sound in (("img.nii.gz", image, hu), ("lab.nii.gz", label, labels)):
        content = given if isinstance(given, bytes) else gzip.compress((given or nifti(sound)).to_bytes())
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    entry = {"image": "img.nii.gz", "label": "lab.nii.gz"}
    (folder / "dataset.json").write_text(json.dumps({"labels": LABELS, "training": [entry]}))
    return folder


def packed() -> bytes:
    return gzip.compress(nifti(child()[0]).to_bytes())


def image_bytes(change: Callable[[bytes], bytes]) -> Callable[[Path], Path]:
    return lambda folder: listed(folder, image=change(packed()))


def raw_bytes(change: Callable[[bytes], bytes]) -> Callable[[Path], Path]:
    return lambda folder: listed(folder, image=gzip.compress(change(gzip.decompress(packed()))))


def hu(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], Path]:
    return lambda folder: listed(folder, image=nifti(change(child()[0])))


def drawn(change: Callable[[np.ndarray], np.ndarray], affine=AFFINE) -> Callable[[Path], Path]:
    return lambda folder: listed(folder, label=nifti(change(child()[1]), affine))


def header(change: Callable[[nibabel.Nifti1Header], object]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        image = nifti(child()[0])
        image.header["vox_offset"] = 352
        change(image.header)
        raw = image.header.binaryblock + bytes(4) + image.dataobj.tobytes(order="F")
        return listed(folder, image=gzip.compress(raw))

    return make


def both(change: Callable[[np.ndarray], np.ndarray], affine: np.ndarray) -> Callable[[Path], Path]:
    """Image and label map alike on another grid."""
    return lambda folder: listed(folder, *(nifti(np.ascontiguousarray(change(v)), affine) for v in child()))


def flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 4]) + data[middle + 1 :]


def sheared(h) -> None:
    affine = AFFINE.copy()
    affine[1, 2] = 4
    h.set_sform(affine, code=1)
    h["qform_code"] = 0


def conflict(h) -> None:
    moved = AFFINE.copy()
    moved[0, 3] = 12
    h.set_qform(moved, code=1)
    h.set_sform(AFFINE, code=1)


def no_forms(h) -> None:
    h["qform_code"] = h["sform_code"] = 0


def pixdim(h) -> None:
    h["pixdim"][2] = 0
    h["qform_code"] = 0


def series(**options) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        write_series(folder, body(SHAPE), **({"spacing_mm": (6, 6, 8)} | options))
        return folder

    return make


def slice_five(change: Callable[[Path], object]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        change(write_series(folder, body(SHAPE), spacing_mm=(6, 6, 8))[5])
        return folder

    return make


def other_matrix(file: Path) -> None:
    save(file, pydicom.dcmread(file), np.zeros((18, 20), np.uint16))


def packed_as(syntax: str) -> Callable[[Path], None]:
    """A slice whose voxels are packed by a syntax, or say so: what is inside is no picture."""

    def change(file: Path) -> None:
        dataset = pydicom.dcmread(file)
        dataset.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8\xff\xc1" + bytes(200)])
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.save_as(file, implicit_vr=False, little_endian=True)

    return change


def no_meta(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[content.index(b"\x08\x00\x08\x00CS") :])


def structures(
    rois: dict[str, tuple[int, ...]] | None = None, change: Callable[[pydicom.Dataset], object] = lambda file: None
) -> Callable[[Path], Path]:
    """A CT with an RTSTRUCT; ROI name -> numbers of the child's labels that it encloses."""

    def make(folder: Path) -> Path:
        files = write_series(folder / "ct", body(SHAPE), spacing_mm=(6, 6, 8))
        affine = LPS_TO_RAS @ read_ct(folder).scan.affine
        labels = child()[1][::-1]  # columns run to the patient's left
        named = rois or {"liver": (1,), "spleen": (2,), "kidney left": (4,), "kidney right": (5,)}
        rings = {name: roi_rings(np.isin(labels, numbers), affine) for name, numbers in named.items()}
        file = write_structures(folder / "rs.dcm", rings, files[0])
        dataset = pydicom.dcmread(file)
        change(dataset)
        dataset.save_as(file)
        return folder

    return make


def shifted(mm: tuple[float, float, float]) -> Callable[[pydicom.Dataset], None]:
    def change(file: pydicom.Dataset) -> None:
        for item in file.ROIContourSequence[0].ContourSequence:
            item.ContourData = [f"{v:.2f}" for v in (np.array(item.ContourData, float).reshape(-1, 3) + mm).ravel()]

    return change


def other_frame(file: pydicom.Dataset) -> None:
    file.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = "1.2.3"


def odd_items(file: pydicom.Dataset) -> None:
    items = file.ROIContourSequence[0].ContourSequence
    items[0].ContourGeometricType = "POINT"
    items[1].ContourData = items[1].ContourData[:6]
    file.ROIContourSequence[1].ContourSequence = []


def same_name(file: pydicom.Dataset) -> None:
    file.StructureSetROISequence[1].ROIName = "liver"


def other_slices(file: pydicom.Dataset) -> None:
    image = pydicom.Dataset()
    image.ReferencedSOPInstanceUID = "1.2.3"
    file.ROIContourSequence[0].ContourSequence[0].ContourImageSequence = [image]


def two_series(folder: Path) -> Path:
    for name in "ab":
        write_series(folder / name, body(SHAPE), spacing_mm=(6, 6, 8))
    return folder


def magnetic(folder: Path) -> Path:
    write_series(folder, body(SHAPE), Modality="MR", SOPClassUID="1.2.840.10008.5.1.4.1.1.4")
    return folder


def with_scout(folder: Path) -> Path:
    write_series(folder, body(SHAPE), spacing_mm=(6, 6, 8))
    scout = pydicom.dcmread(next(folder.iterdir()))
    scout.ImageType, scout.SOPInstanceUID = ["ORIGINAL", "PRIMARY", "LOCALIZER"], generate_uid()
    scout.save_as(folder / "scout.dcm")
    return folder


def named_path(folder: Path) -> Path:
    write_series(folder / "Mueller_Anna", body(SHAPE), spacing_mm=(6, 6, 8), PatientComments="ruft an")
    return folder


@dataclass
class After:
    """What an import left, for rows that are handled and not refused."""

    became: list[ImportResult]
    row: dict[str, str]
    folder: Path
    source: Path

    @property
    def messages(self) -> str:
        return " ".join(self.became[0].messages)


def export_refused(after: After) -> bool:
    ct = read_ct(after.source)
    with pytest.raises(PedsegInputError, match="E-NO-REFERENCE"):
        write_rtstruct(after.folder / "rs.dcm", {"Liver": ct.scan.voxels > 0}, ct)
    return "contours cannot be exported" in after.row["notes"]


def same_voxels(after: After) -> bool:
    """Whatever the axes were, the label map in the data set has the liver where it was, in millimeters."""
    labels = nibabel.nifti1.load(next((after.folder / "labelsTr").iterdir()))
    center = labels.affine @ [*np.argwhere(np.asarray(labels.dataobj) == organ("Liver").id).mean(axis=0), 1]
    return bool(np.allclose(center[:3], [29.5 * 6, 19.5 * 6, 8.5 * 8]))


def nameless(after: After) -> bool:
    files = [file for file in after.folder.rglob("*") if file.is_file()]
    return all(b"Mueller" not in file.read_bytes() and "Mueller" not in str(file) for file in files)


MIRRORED = AFFINE @ np.diag([-1.0, -1.0, 1.0, 1.0])
MIRRORED[:2, 3] = [39 * 6, 35 * 6]
TURN = np.array([[np.cos(0.3), -np.sin(0.3), 0, 0], [np.sin(0.3), np.cos(0.3), 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
AIR = (slice(0, 3), slice(0, 2), slice(0, 2))

# row of the table -> name -> (how the source is made, code or check of what came of it, options of the import)
Row = dict[str, tuple]
ROWS: dict[int, Row] = {
    1: {
        "packed and cut off": (image_bytes(lambda d: d[: len(d) // 2]), "E-NIFTI-DAMAGED"),
        "voxels missing": (raw_bytes(lambda d: d[:-500]), "E-NIFTI-TRUNCATED"),
        "header only": (raw_bytes(lambda d: d[:352]), "E-NIFTI-TRUNCATED"),
    },
    2: {"bit flipped": (image_bytes(flip), "E-NIFTI-DAMAGED")},
    3: {
        "not packed": (image_bytes(gzip.decompress), "E-NOT-NIFTI"),
        "empty": (image_bytes(lambda d: b""), "E-NOT-NIFTI"),
        "web page": (image_bytes(lambda d: b"<!DOCTYPE html><p>Sign in"), "E-NOT-NIFTI"),
        "pointer": (image_bytes(lambda d: b"version https://git-lfs.github.com/spec/v1\noid x\n"), "E-NOT-NIFTI"),
    },
    4: {"voxels in the header": (header(lambda h: h.__setitem__("vox_offset", 0)), "E-NOT-NIFTI")},
    5: {
        "NaN in the air": (
            hu(lambda v: np.where(in_air(v), np.nan, v).astype(np.float32)),
            (lambda after: "12 NaN voxels in the air" in after.row["repairs"]),
        ),
        "NaN in the body": (hu(lambda v: np.where(v > 400, np.nan, v).astype(np.float32)), "E-NOT-FINITE"),
    },
    6: {
        "1024 added": (hu(lambda v: (v + 1024).astype(np.uint16)), "E-NOT-HU"),
        "8 bit": (hu(lambda v: np.clip((v + 160) / 400 * 255, 0, 255).astype(np.uint8)), "E-NOT-HU"),
        "0 to 1": (hu(lambda v: ((v + 1024) / 4000).astype(np.float32)), "E-NOT-HU"),
        "constant": (hu(lambda v: v * 0), "E-NOT-HU"),
        "clipped at 0": (hu(lambda v: np.maximum(v, 0)), "E-NOT-HU"),
    },
    7: {
        "padded": (
            hu(lambda v: np.where(np.indices(v.shape)[0] < 3, -3024, v).astype(np.int16)),
            (lambda after: "padding below -1024" in after.row["notes"]),
        ),
    },
    8: {
        "2-D": (lambda f: listed(f, image=nifti(child()[0][:, :, 5])), "E-NOT-3D"),
        "4-D": (lambda f: listed(f, image=nifti(np.stack([child()[0]] * 2, -1))), "E-NOT-3D"),
        "complex": (lambda f: listed(f, image=nifti(np.ones(SHAPE, np.complex64))), "E-NOT-GRAY"),
        "colors": (lambda f: listed(f, image=nifti(np.zeros(SHAPE, [(c, "u1") for c in "RGB"]))), "E-NOT-GRAY"),
        "4-D of one": (lambda f: listed(f, image=nifti(child()[0][..., None])), same_voxels),
    },
    9: {
        "LPS": (both(lambda v: v[::-1, ::-1], MIRRORED), same_voxels),
        "oblique": (both(lambda v: v, TURN @ AFFINE), (lambda after: "oblique by 17" in after.row["notes"])),
    },
    10: {"sheared": (header(sheared), "E-AFFINE-SHEAR")},
    11: {
        "no affine": (header(no_forms), "E-NO-AFFINE"),
        "zero spacing": (header(pixdim), "E-SPACING"),
        "meters": (header(lambda h: h.set_xyzt_units("meter")), "E-UNITS"),
        "two affines": (header(conflict), "E-AFFINE-CONFLICT"),
    },
    12: {
        "another shape": (drawn(lambda v: v[:-1]), "E-GEOMETRY"),
        "another place": (drawn(lambda v: v, AFFINE + np.eye(4, k=3)), "E-GEOMETRY"),
    },
    13: {
        "interpolated": (drawn(lambda v: v * np.float32(0.7)), "E-LABEL-VALUES"),
        "unknown number": (drawn(lambda v: np.where(v == 1, 77, v).astype(np.uint8)), "E-LABEL-VALUES"),
    },
    14: {
        "nothing drawn": (drawn(lambda v: v * 0), "E-LABEL-EMPTY"),
        "one organ absent": (
            drawn(lambda v: np.where(v == 4, 0, v).astype(np.uint8)),
            (lambda after: after.row["absent"] == "Kidney_L"),
        ),
    },
    15: {
        "much shared": (structures({"liver": (1,), "spleen": (1, 2)}), "E-OVERLAP"),
        "much shared, as asked": (
            structures({"liver": (1,), "spleen": (1, 2)}),
            (lambda after: "Liver and Spleen share 27.65 mL: given to Spleen" in after.row["notes"]),
            {"options": ImportOptions(repairs=("overlaps",))},
        ),
    },
    16: {
        "mirrored": (drawn(lambda v: v[::-1].copy()), "E-LEFT-RIGHT"),
        "truly mirrored": (
            drawn(lambda v: v[::-1].copy()),
            (lambda after: {f.code for f in check_dataset(after.folder)} == {"E-TOO-FEW"}),
            {"situs_inversus": True},
        ),
    },
    17: {
        "slice missing": (series(change=lambda k, h: k != 7), "E-SERIES-GAP"),
        "slice missing, as asked": (
            series(change=lambda k, h: k != 7),
            (lambda after: after.row["repairs"] == "1 slices interpolated"),
            {"options": ImportOptions(repairs=("gaps",))},
        ),
        "uneven": (series(change=lambda k, h: move(h, 2, 1.5) if k == 9 else None), "E-SERIES-UNEVEN"),
        "twice": (series(change=lambda k, h: move(h, 2, -8) if k == 9 else None), "E-SERIES-DOUBLES"),
        "tilted": (series(change=lambda k, h: move(h, 1, 2 * k)), "E-TILT"),
    },
    18: {
        "two series": (two_series, "E-SERIES-CHOICE"),
        "two series, as chosen": (
            two_series,
            (lambda after: after.row["split"] == "unlabeled"),
            {"options": ImportOptions(series="2")},
        ),
        "MR": (magnetic, "E-MODALITY"),
        "a scout beside it": (with_scout, (lambda after: after.row["shape"] == "40;36;20")),
    },
    19: {
        "slice cut off": (slice_five(lambda f: f.write_bytes(f.read_bytes()[:-900])), "E-SLICE-TRUNCATED"),
        "another matrix": (slice_five(other_matrix), "E-SLICE-SIZE"),
        "unknown packing": (slice_five(packed_as("1.2.840.10008.1.2.4.100")), "E-NO-DECODER"),
        "a maker's own packing": (slice_five(packed_as("1.2.840.113619.5.999")), "E-NO-DECODER"),
        "known packing, damaged": (slice_five(packed_as("1.2.840.10008.1.2.4.51")), "E-DICOM-DAMAGED"),
        "no meta header": (slice_five(no_meta), "E-DICOM-NO-META"),
    },
    20: {
        "no intercept": (series(RescaleIntercept=None), "E-RESCALE"),
        "two of them": (series(change=lambda k, h: setattr(h, "RescaleSlope", 1 + k // 10)), "E-RESCALE"),
    },
    21: {
        "one identifier for all": (series(change=lambda k, h: setattr(h, "SOPInstanceUID", "1.2")), export_refused),
        "no series": (series(change=lambda k, h: setattr(h, "SeriesInstanceUID", "")), export_refused),
    },
    22: {
        "another frame": (structures(change=other_frame), "E-FRAME"),
        "another frame, as asked": (
            structures(change=other_frame),
            (lambda after: after.row["manual"].startswith("Liver")),
            {"options": ImportOptions(ignore_frame_of_reference=True)},
        ),
        "half a slice beside": (structures(change=shifted((0, 0, 4))), "E-CONTOUR-OFF-PLANE"),
        "above the scan": (structures(change=shifted((0, 0, 800))), "E-CONTOUR-OUTSIDE"),
        "slices unknown": (structures(change=other_slices), (lambda after: "1 slices are named" in after.messages)),
        "beyond the border": (structures(change=shifted((-60, 0, 0))), (lambda after: "is cut off" in after.messages)),
    },
    23: {
        "points, short, empty": (
            structures(change=odd_items),
            (lambda a: "1 x POINT, 1 x less than 3 points" in a.messages and "not annotated: spleen" in a.messages),
        ),
        "one name twice": (structures(change=same_name), "E-ROI-TWICE"),
        "odd names": (
            structures({"Leber/li. Lappen: *neu*": (1,), "spleen": (2,)}),
            (lambda after: "not imported: Leber/li. Lappen: *neu*" in after.messages),
        ),
    },
    24: {
        "unknown name": (
            structures({"Kidny_L": (4,), "liver": (1,)}),
            (lambda a: "Kidny_L (did you mean Kidney_L?" in a.messages and a.row["manual"] == "Liver"),
        ),
        "unknown name, as mapped": (
            structures({"Kidny_L": (4,), "liver": (1,)}),
            (lambda after: after.row["manual"] == "Liver;Kidney_L"),
            {"options": ImportOptions(names={"Kidny_L": "Kidney_L"})},
        ),
    },
    25: {
        "painted in": (series(BurnedInAnnotation="YES"), "E-PHI"),
        "said by the user": (series(PatientName="Muster^Erika"), "E-PHI", {"origin": "scan of erika"}),
        "in the path": (named_path, nameless),
    },
    26: {
        "thick slices": (series(), (lambda after: "thick slices (8 mm)" in after.row["notes"])),
        "small field": (series(spacing_mm=(1, 1, 2)), (lambda after: "small field of view" in after.row["notes"])),
        "an adult": (
            series(PatientBirthDate="19700101", PatientAge=""), (lambda after: "not a pediatric" in after.row["notes"]),
        ),
        "two ages": (
            series(PatientBirthDate="19700101", PatientAge="004Y"),
            (lambda after: not after.row["age_months"] and "no age is kept" in after.row["notes"]),
        ),
        "a date of birth that stands for none": (
            series(PatientBirthDate="19000101", PatientAge="004Y"), (lambda after: after.row["age_months"] == "48"),
        ),
        "an age that stands for none": (
            series(PatientBirthDate="", PatientAge="999Y"), (lambda after: after.row["age_months"] == ""),
        ),
        "metal": (
            lambda f: write_series(f, metal(), spacing_mm=(6, 6, 8))[0].parent,
            (lambda after: "metal" in after.row["notes"]),
        ),
    },
}  # fmt: skip


def in_air(v: np.ndarray) -> np.ndarray:
    mask = np.zeros(v.shape, bool)
    mask[AIR] = True
    return mask


def move(h: pydicom.Dataset, axis: int, mm: float) -> None:
    position = [float(part) for part in h.ImagePositionPatient]
    position[axis] += mm
    h.ImagePositionPatient = position


def metal() -> np.ndarray:
    voxels = body(SHAPE)
    voxels[20, 18, :] = 12000
    return voxels


CASES = [pytest.param(case, id=f"{number} {name}") for number, row in ROWS.items() for name, case in row.items()]


@pytest.mark.parametrize("case", CASES)
def test_a_bad_scan_is_refused_or_handled_as_written(case, tmp_path):
    make, expected, *options = case
    source = make(tmp_path / "source")
    key = tmp_path / "key"
    arguments = {"center": "Here", "key": key, **(options[0] if options else {})}
    if callable(expected):
        became = [
            result for result in import_scans(source, tmp_path / "ds", **arguments) if isinstance(result, ImportResult)
        ]
        (row,) = written_cases(tmp_path / "ds").values()
        assert expected(After(became, row, tmp_path / "ds", source)), (row, became)
        return
    with pytest.raises(PedsegInputError) as caught:
        list(import_scans(source, tmp_path / "ds", **arguments))
    codes = {problem.code for problem in caught.value.problems}
    assert codes == {expected}, caught.value
    for problem in caught.value.problems:
        assert Path(problem.file).exists(), problem
        assert problem.problem[-1] in ".)" or "\n" in problem.problem
        assert problem.remedy[-1] in ".?)", problem
    assert not (tmp_path / "ds").exists()


def test_a_mirrored_child_stays_one_when_its_import_is_interrupted(tmp_path):
    source = drawn(lambda v: v[::-1].copy())(tmp_path / "source")
    arguments = {"center": "Here", "key": tmp_path / "key", "situs_inversus": True}
    became = import_scans(source, tmp_path / "ds", **arguments)
    next(became)
    became.close()  # the case is written, and the table does not list it yet
    (again,) = import_scans(source, tmp_path / "ds", **arguments)
    assert again.already_imported
    assert {f.code for f in check_dataset(tmp_path / "ds")} == {"E-TOO-FEW"}


def test_all_twenty_six_rows_are_here():
    assert [*ROWS] == [*range(1, 27)]


def test_every_code_of_these_rooms_is_provoked_by_a_test(root):
    """A finding that nothing here brings about might never be right."""
    rooms = ("dicom", "importing")
    readers = [file for room in rooms for file in (root / "pedseg" / room).glob("*.py")]
    tests = [file for room in rooms for file in (root / "tests" / room).glob("test_*.py")]
    codes = {code for file in readers for code in re.findall(r'"(E-[A-Z0-9-]+)"', file.read_text())}
    provoked = {code for file in tests for code in re.findall(r"E-[A-Z0-9-]+", file.read_text())}
    assert codes - provoked == set()
