"""A 3-D scan: voxels, affine and spacing in millimeters; NIfTI files, RAS orientation, resampling and HU windows.

Arrays are indexed (x, y, z) and, after `to_ras`, run to the patient's Right, Anterior and
Superior side as their index grows. The 4×4 affine maps a voxel index to millimeters (RAS+,
the NIfTI convention). Values of a CT are Hounsfield units (HU), air -1000, water 0.
"""

from __future__ import annotations

import gzip
import io
import math
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pedseg.errors import PedsegInputError, input_error
from pedseg.files import write_atomically

GZIP = b"\x1f\x8b"  # how compressed files begin
NIFTI_ENDING = re.compile(r"\.nii(\.gz)?$", re.IGNORECASE)
HEADER_BYTES = 540  # of NIfTI-2; those of NIfTI-1 are fewer
MOST_SHRUNK = 1100  # gzip makes nothing smaller by more
VOXEL_MM = 0.1, 50.0
LARGEST_FIELD_MM, LARGEST_FIELD_ML = 3000.0, 1.5e6  # of a whole body, and 1.5 cubic meters
MOST_VOXELS = 2**30
CONVERT_AGAIN = "Convert the source again with dcm2niix."
COPY_AGAIN = "Copy the file again from its source."
TO_NIFTI = "Convert the source to .nii.gz, for example with dcm2niix."

DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile)
FAILURES: tuple[tuple[Any, str, str, str], ...] = (
    (FileNotFoundError, "E-FILE-MISSING", "there is no such file.", "Check the name and the folder."),
    (DAMAGED, "E-NIFTI-DAMAGED", "the compressed data is cut off or damaged ({}).", COPY_AGAIN),
    (OSError, "E-FILE", "it cannot be read ({}).", "Check that it is a file that you may read."),
    (MemoryError, "E-SCAN-SIZE", "it asks for more memory than there is.", "Free memory, or give a smaller scan."),
    (Exception, "E-NOT-NIFTI", "the header cannot be read ({}).", TO_NIFTI),
)

Spacing = tuple[float, float, float]

# Window centers and widths in HU, as a radiologist sets them.
WINDOWS = {"soft tissue": (40.0, 400.0), "lung": (-600.0, 1500.0), "bone": (400.0, 1800.0)}


@dataclass(frozen=True)
class Scan:
    """Voxels and the affine that places them: `voxels` (x, y, z), `affine` 4×4 in mm, RAS+."""

    voxels: NDArray
    affine: NDArray[np.float64]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels along x, y and z."""
        return self.voxels.shape  # type: ignore[return-value]

    @property
    def spacing_mm(self) -> Spacing:
        """Distance between neighboring voxel centers along each axis, in mm."""
        return tuple(float(s) for s in np.linalg.norm(self.affine[:3, :3], axis=0))  # type: ignore[return-value]

    @property
    def orientation(self) -> str:
        """Where the three axes point, for example `RAS` or `LPS`."""
        import nibabel

        return "".join(nibabel.orientations.aff2axcodes(self.affine))

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in milliliters."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000.0


def is_nifti_name(file: Path) -> bool:
    """Whether a file is called .nii or .nii.gz, in capitals or not."""
    return bool(NIFTI_ENDING.search(file.name))


def nifti_stem(file: Path) -> str:
    """The name of a NIfTI file without its ending."""
    return NIFTI_ENDING.sub("", file.name)


def check_extent(file: Path | str, spacing_mm: ArrayLike, shape: Sequence[int]) -> None:
    """Refuse voxels, fields of view and sizes that no scan of a body has, before memory is asked for."""
    spacing, voxels = np.asarray(spacing_mm, dtype=float), math.prod(shape)
    field = spacing * shape
    if not np.all((spacing >= VOXEL_MM[0]) & (spacing <= VOXEL_MM[1])):
        code, size = "E-SPACING", f"voxels of {' x '.join(f'{mm:g}' for mm in spacing)} mm"
    elif field.max() > LARGEST_FIELD_MM or math.prod(field) > LARGEST_FIELD_ML * 1000:
        code, size = "E-FIELD", f"a field of view of {' x '.join(f'{mm:.0f}' for mm in field)} mm"
    elif voxels > MOST_VOXELS:
        code, size = "E-SCAN-SIZE", f"{voxels} voxels"
    else:
        return
    remedy = "Check whether lengths are in millimeters, and convert the source again."
    raise input_error(code, file, f"it has {size}, as no scan of a body has.", remedy)


def read_nifti(file: Path) -> Scan:
    """Read a NIfTI file as it lies on disk; every byte is read, and every doubt is an error.

    Raises `PedsegInputError` for files that are no NIfTI, are cut off or damaged, hold more
    or fewer than three dimensions, or do not say where their voxels lie in millimeters.
    """
    import nibabel

    file = Path(file)
    with _nifti_errors(file):
        header, content = _read_bytes(file)
        if header["pixdim"][0] == 0:
            header["pixdim"][0] = 1  # what the NIfTI standard says of a missing qfac
        _check_affine(file, header, header.get_data_shape()[:3])
        voxels = np.asanyarray(nibabel.arrayproxy.ArrayProxy(io.BytesIO(content), header))
        affine = np.asarray(header.get_best_affine(), dtype=np.float64)
    native = voxels.astype(voxels.dtype.newbyteorder("="), copy=False)
    return Scan(native.reshape(voxels.shape[:3]), affine)


@contextmanager
def _nifti_errors(file: Path) -> Iterator[None]:
    """Whatever goes wrong inside becomes one problem of this file."""
    try:
        yield
    except PedsegInputError:
        raise
    except Exception as error:
        code, problem, remedy = next(rest for kind, *rest in FAILURES if isinstance(error, kind))
        raise input_error(code, file, problem.format(error), remedy) from error


def _read_bytes(file: Path) -> tuple[Any, bytes]:
    """Header and all bytes of a NIfTI file, decompressed, with the gzip checksum compared."""
    with file.open("rb") as stored:
        packed, named = stored.read(2) == GZIP, file.name.lower().endswith(".gz")
        stored.seek(0)
        stream: Any = gzip.open(stored) if packed and named else stored
        opening = stream.read(HEADER_BYTES)
        if packed != named or not (opening[344:348] == b"n+1\0" or opening[4:8] == b"n+2\0"):
            problem = f"this is not a single-file NIfTI{_resemblance(opening)}."
            raise input_error("E-NOT-NIFTI", file, problem, TO_NIFTI)
        header, expected = _read_header(file, opening)
        held = file.stat().st_size * (MOST_SHRUNK if packed else 1)
        stream.seek(0)
        content = stream.read(expected) if expected <= held else b""
        if len(content) < expected:
            problem = f"the header promises {expected} bytes, the file holds {len(content) or f'at most {held}'}."
            raise input_error("E-NIFTI-TRUNCATED", file, problem, COPY_AGAIN)
        while stream.read(2**20):  # the checksum comes last
            pass
        return header, content


def _resemblance(content: bytes) -> str:
    """What bytes that are no NIfTI look like, for an error message."""
    kinds = (
        (not content, "it is empty"),
        (content.startswith(b"version https://git-lfs"), "it is a Git LFS pointer: run `git lfs pull`"),
        (content.lstrip()[:1] == b"<", "it looks like a web page"),
        (content[128:132] == b"DICM", "it is DICOM"),
        (content[344:347] == b"ni1", "it is half of a pair of .hdr and .img files"),
        (content.startswith(GZIP), "it is compressed, but its name does not end in .gz"),
        (content[344:348] == b"n+1\0", "it is not compressed, but its name ends in .gz"),
    )
    return next((f" ({kind})" for matches, kind in kinds if matches), "")


def _read_header(file: Path, opening: bytes) -> tuple[Any, int]:
    """The header of one gray-value volume as written, nothing repaired in silence, and how many bytes belong to it."""
    import nibabel

    kind = nibabel.Nifti2Header if opening[4:8] == b"n+2\0" else nibabel.Nifti1Header
    header = kind.from_fileobj(io.BytesIO(opening), check=False)
    shape = tuple(int(n) for n in header.get_data_shape())
    if len(shape) < 3 or min(shape) < 1 or any(n != 1 for n in shape[3:]):
        raise input_error("E-NOT-3D", file, f"the image has the shape {shape}.", "Give one three-dimensional volume.")
    dtype = header.get_data_dtype()
    if dtype.fields or dtype.kind not in "iuf":
        problem = "the voxels are colors or complex numbers."
        raise input_error("E-NOT-GRAY", file, problem, "Export the gray values (HU).")
    offset = int(header["vox_offset"])
    if offset < header.single_vox_offset:
        problem = f"the voxels are said to begin at byte {offset}, inside the header."
        raise input_error("E-NOT-NIFTI", file, problem, CONVERT_AGAIN)
    if header.get_xyzt_units()[0] not in ("mm", "unknown"):
        raise input_error("E-UNITS", file, f"lengths are given in {header.get_xyzt_units()[0]}.", "Store millimeters.")
    check_extent(file, header["pixdim"][1:4], shape[:3])
    return header, offset + math.prod(shape) * dtype.itemsize


def _check_affine(file: Path, header: Any, shape: tuple[int, ...]) -> None:
    """Refuse doubts about where the voxels lie, which readers elsewhere settle in silence."""
    spacing = np.asarray(header["pixdim"][1:4], dtype=float)
    has_s, has_q = int(header["sform_code"]) > 0, int(header["qform_code"]) > 0
    if not has_s and not has_q:
        raise input_error("E-NO-AFFINE", file, "neither sform nor qform say where the voxels lie.", CONVERT_AGAIN)
    affine = header.get_best_affine()
    if not np.all(np.isfinite(affine)) or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise input_error("E-AFFINE", file, "the affine is not invertible.", CONVERT_AGAIN)
    tolerance_mm = min(1.0, float(spacing.min()) / 2)
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    axes = affine[:3, :3] / lengths
    lean = np.max(np.abs(axes.T @ axes - np.eye(3)))
    if lean > 1e-3 or lean * np.max(lengths * shape) > tolerance_mm:
        remedy = "Undo the gantry tilt first (dcm2niix writes a _Tilt file)."
        raise input_error("E-AFFINE-SHEAR", file, "the axes are not at right angles.", remedy)
    drift_mm = {"sform and pixdim": float(np.max(np.abs(lengths - spacing) * shape))}
    if has_s and has_q:
        corners = np.array([(*corner, 1) for corner in np.ndindex(2, 2, 2)]) * [*(np.array(shape) - 1), 1]
        drift_mm["sform and qform"] = float(np.abs(corners @ (header.get_sform() - header.get_qform()).T).max())
    for forms, drift in drift_mm.items():
        if drift > tolerance_mm:
            remedy = "Decide which of the two is right, and store it as both."
            raise input_error("E-AFFINE-CONFLICT", file, f"{forms} differ by {drift:.1f} mm.", remedy)


def write_nifti(file: Path, scan: Scan, *, note: str = "") -> None:
    """Write a compressed NIfTI file, atomically, with sform and qform; the same scan gives the same bytes.

    The header has room for 79 characters of a `note` (`descrip`).
    """
    import nibabel

    image = nibabel.nifti1.Nifti1Image(scan.voxels, scan.affine, dtype=scan.voxels.dtype)
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = note.encode("ascii", "replace")[:79]
    image.set_sform(scan.affine, code=1)
    image.set_qform(scan.affine, code=1)
    write_atomically(Path(file), gzip.compress(image.to_bytes(), compresslevel=5, mtime=0))


def to_ras(scan: Scan) -> Scan:
    """The same scan with its axes flipped and swapped to run Right, Anterior, Superior; exact."""
    view = ras_view(scan)
    return Scan(np.ascontiguousarray(view.voxels), view.affine)


def ras_view(scan: Scan) -> Scan:
    """The same as `to_ras`, of the same memory: a large scan is not copied."""
    import nibabel

    axes = nibabel.orientations.io_orientation(scan.affine)
    voxels = nibabel.orientations.apply_orientation(scan.voxels, axes)
    return Scan(voxels, scan.affine @ nibabel.orientations.inv_ornt_aff(axes, scan.shape))


def restore_axes(voxels: NDArray, original: Scan) -> Scan:
    """Bring voxels on the grid of `to_ras(original)` back to the axes of `original`; exact."""
    import nibabel

    target = nibabel.orientations.io_orientation(original.affine)
    from_ras = nibabel.orientations.ornt_transform(nibabel.orientations.axcodes2ornt("RAS"), target)
    return Scan(np.ascontiguousarray(nibabel.orientations.apply_orientation(voxels, from_ras)), original.affine)


def resample(scan: Scan, spacing_mm: Spacing, *, order: int = 1) -> Scan:
    """The scan on a grid of another spacing over the same field of view.

    The grid is centered on the old one. `order` 1 is linear (images), 0 nearest (labels).
    Coarsening by more than half a voxel averages first, as partial volume does.
    """
    from scipy import ndimage

    old = np.asarray(scan.spacing_mm)
    new = np.asarray(spacing_mm, dtype=float)
    shape = np.maximum(1, np.round(np.asarray(scan.shape) * old / new)).astype(int)
    ratio = new / old
    offset = (np.asarray(scan.shape) - 1) / 2 - ratio * (shape - 1) / 2  # index of the new first voxel on the old grid
    affine = scan.affine.copy()
    affine[:3, :3] = scan.affine[:3, :3] * ratio
    affine[:3, 3] = scan.affine[:3, :3] @ offset + scan.affine[:3, 3]
    if np.allclose(ratio, 1.0) and tuple(shape) == scan.shape:
        return scan
    voxels = scan.voxels
    if order > 0:
        voxels = voxels.astype(np.float32)
        sigma = np.where(ratio > 1.5, 0.3 * ratio, 0.0)
        if sigma.any():
            ndimage.gaussian_filter(voxels, sigma, mode="nearest", output=voxels)  # a copy of our own
    out = ndimage.affine_transform(voxels, ratio, offset, output_shape=tuple(shape), order=order, mode="nearest")
    return Scan(out, affine)


def window(voxels: NDArray, name: str = "soft tissue") -> NDArray[np.float32]:
    """Gray values between 0 and 1 through one of the `WINDOWS`."""
    center, width = WINDOWS[name]
    return np.clip((voxels.astype(np.float32) - center) / width + 0.5, 0.0, 1.0)
