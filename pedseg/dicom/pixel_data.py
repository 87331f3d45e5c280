"""The gray values of CT slices in Hounsfield units, whatever way the archive has packed them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pedseg.dicom.ct_slices import Slice
from pedseg.dicom.dicom_files import AGAIN, reading
from pedseg.errors import input_error

PADDING_HU = -1024  # what scanners mean by a value outside their field of view
LARGEST_SLICE = 4096 * 4096  # pixels; more is no CT, and decoding it would take the memory of the machine


def read_hu(ordered: Sequence[Slice]) -> NDArray[np.int16]:
    """The voxels (column, row, slice) in HU; padding reads as -1024, fractions of an HU are rounded."""
    rows, columns = ordered[0].size
    voxels = np.empty((columns, rows, len(ordered)), dtype=np.int16)
    opened: tuple[Path | None, NDArray] = (None, np.empty(0))
    for place, one in enumerate(ordered):
        if opened[0] != one.file.path:
            opened = (one.file.path, _stored(one))
        stored = opened[1]
        if stored.shape[1:] != (rows, columns) or (one.frame or 0) >= len(stored):
            problem = f"it holds {stored.shape[2]} x {stored.shape[1]} pixels, {columns} x {rows} are promised."
            raise input_error("E-SLICE-SIZE", one.file.path, problem, AGAIN)
        voxels[:, :, place] = _to_hu(stored[one.frame or 0], one).T
    return voxels


def _to_hu(stored: NDArray, one: Slice) -> NDArray[np.int16]:
    """Stored numbers to HU, by the slope and intercept of this slice."""
    assert one.rescale is not None
    slope, intercept = one.rescale
    values = stored * slope + intercept
    if one.padding is not None:
        values[stored == one.padding] = PADDING_HU
    if not np.isfinite(values).all() or values.max() > 32767:
        raise input_error("E-NOT-HU", one.file.path, f"its values run up to {values.max():g} HU.", AGAIN)
    return np.round(np.maximum(values, PADDING_HU)).astype(np.int16)


def _stored(one: Slice) -> NDArray:
    """The numbers of one file, decoded: (frame, row, column)."""
    import pydicom

    path = one.file.path
    with reading(path):
        dataset = pydicom.dcmread(path)
        _check_pixels(path, dataset)
        pixels = dataset.pixel_array
        return pixels.reshape(-1, *pixels.shape[-2:])


def _check_pixels(path: Path, dataset: Any) -> None:
    """Refuse pictures, colors and absurd sizes before a byte is decoded."""
    if "PixelData" not in dataset:
        raise input_error("E-SLICE-TRUNCATED", path, "it holds no voxels.", AGAIN)
    rows, columns = int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0)
    frames = int(dataset.get("NumberOfFrames") or 1)
    if not 0 < rows * columns <= LARGEST_SLICE or not 0 < frames <= 4096:
        raise input_error("E-SLICE-SIZE", path, f"it promises {frames} slices of {columns} x {rows} pixels.", AGAIN)
    if int(dataset.get("SamplesPerPixel") or 1) != 1 or dataset.get("PhotometricInterpretation") != "MONOCHROME2":
        problem = f"it is stored as {dataset.get('PhotometricInterpretation')}, not as gray values."
        raise input_error("E-NOT-GRAY", path, problem, "Give the CT slices, not pictures of them.")
    syntax = dataset.file_meta.TransferSyntaxUID
    if not _can_unpack(syntax):
        problem = f"its voxels are packed as {syntax.name}, which cannot be unpacked here."
        remedy = "Install the codecs (`pip install pedseg[dicom]`), or export it uncompressed."
        raise input_error("E-NO-DECODER", path, problem, remedy)
    if syntax.is_compressed:
        return
    promised = rows * columns * frames * int(dataset.get("BitsAllocated") or 16) // 8
    if len(dataset.PixelData) < promised:
        problem = f"{promised} bytes of voxels are promised, the file holds {len(dataset.PixelData)}."
        raise input_error("E-SLICE-TRUNCATED", path, problem, "Copy the file again from the archive.")


def _can_unpack(syntax: Any) -> bool:
    """Whether this machine has a codec for a transfer syntax; pydicom does not know private ones and films."""
    from pydicom.pixels import get_decoder

    try:
        return get_decoder(syntax).is_available
    except NotImplementedError:
        return False
