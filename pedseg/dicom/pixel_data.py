"""Pixel data of CT slices to Hounsfield units: decompression, rescale slope and intercept, pixel padding."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pedseg.datasets.loading import PADDING_HU
from pedseg.dicom.dicom_files import EXPORT_AGAIN, dicom_errors
from pedseg.dicom.slice_geometry import CtSlice
from pedseg.errors import input_error

LUNG_HU, MOST_HU = -900, 32767  # what lies between may be in a body
LARGEST_SLICE = 4096 * 4096  # pixels; more is no CT, and decoding it would take the memory of the machine


def read_hu(slices: Sequence[CtSlice]) -> NDArray[np.int16]:
    """The voxels (column, row, slice) in HU; padding reads as -1024, fractions of an HU are rounded."""
    rows, columns = slices[0].size
    voxels = np.empty((columns, rows, len(slices)), dtype=np.int16, order="F")  # a slice is one piece of memory
    path: Path | None = None  # an enhanced CT is decoded once for all its frames
    for place, ct_slice in enumerate(slices):
        if path != ct_slice.file.path:
            path = ct_slice.file.path
            stored = _read_stored(path)
        frame = ct_slice.frame or 0
        if ct_slice.frame is None and len(stored) > 1:
            problem = f"it holds {len(stored)} pictures and says of one where it lies."
            raise input_error("E-SLICE-SIZE", path, problem, EXPORT_AGAIN)
        if stored.shape[1:] != (rows, columns) or frame >= len(stored):
            problem = f"it holds {stored.shape[2]} x {stored.shape[1]} pixels, {columns} x {rows} are promised."
            raise input_error("E-SLICE-SIZE", path, problem, EXPORT_AGAIN)
        voxels[:, :, place] = _to_hu(stored[frame], ct_slice).T
    return voxels


def _to_hu(stored: NDArray, ct_slice: CtSlice) -> NDArray[np.int16]:
    """Stored values to HU, by the slope and intercept of this slice."""
    assert ct_slice.rescale is not None
    slope, intercept = ct_slice.rescale
    values = stored * slope + intercept
    if ct_slice.padding is not None:
        padded = (stored >= ct_slice.padding[0]) & (stored <= ct_slice.padding[1])
        tissue = padded & (values > LUNG_HU) & (values <= MOST_HU)
        values[padded & ~tissue] = PADDING_HU
        if tissue[[0, 0, -1, -1], [0, -1, 0, -1]].any():  # it is in use beside the body, too
            problem = f"it is padded with {values[tissue].max():g} HU, which tissue has too."
            raise input_error("E-NOT-HU", ct_slice.file.path, problem, "Export it with a padding below -1000 HU.")
    if not np.isfinite(values).all() or values.max() > MOST_HU:
        problem = f"its values run up to {values.max():g} HU."
        raise input_error("E-NOT-HU", ct_slice.file.path, problem, EXPORT_AGAIN)
    return np.round(np.maximum(values, PADDING_HU)).astype(np.int16)


def _read_stored(path: Path) -> NDArray:
    """The stored values of one file, decoded: (frame, row, column)."""
    import pydicom

    with dicom_errors(path):
        dataset = pydicom.dcmread(path)
        _check_pixels(path, dataset)
        pixels = dataset.pixel_array
        return pixels.reshape(-1, *pixels.shape[-2:])


def _check_pixels(path: Path, dataset: Any) -> None:
    """Refuse pictures, colors and absurd sizes before a byte is decoded."""
    if "PixelData" not in dataset:
        raise input_error("E-SLICE-TRUNCATED", path, "it holds no voxels.", EXPORT_AGAIN)
    rows, columns = int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0)
    frames = int(dataset.get("NumberOfFrames") or 1)
    if not 0 < rows * columns <= LARGEST_SLICE or not 0 < frames <= 4096:
        problem = f"it promises {frames} slices of {columns} x {rows} pixels."
        raise input_error("E-SLICE-SIZE", path, problem, EXPORT_AGAIN)
    if int(dataset.get("SamplesPerPixel") or 1) != 1 or dataset.get("PhotometricInterpretation") != "MONOCHROME2":
        problem = f"it is stored as {dataset.get('PhotometricInterpretation')}, not as gray values."
        raise input_error("E-NOT-GRAY", path, problem, "Give the CT slices, not pictures of them.")
    syntax = dataset.file_meta.TransferSyntaxUID
    if not _has_decoder(syntax):
        problem = f"its voxels are packed as {syntax.name}, which cannot be unpacked here."
        remedy = "Install the codecs (`pip install pedseg[dicom]`), or export it uncompressed."
        raise input_error("E-NO-DECODER", path, problem, remedy)
    if syntax.is_compressed:
        return
    promised = rows * columns * frames * int(dataset.get("BitsAllocated") or 16) // 8
    if len(dataset.PixelData) < promised:
        problem = f"{promised} bytes of voxels are promised, the file holds {len(dataset.PixelData)}."
        raise input_error("E-SLICE-TRUNCATED", path, problem, "Copy the file again from the archive.")


def _has_decoder(syntax: Any) -> bool:
    """Whether this machine has a codec for a transfer syntax; pydicom does not know private ones and films."""
    from pydicom.pixels import get_decoder

    try:
        return get_decoder(syntax).is_available
    except NotImplementedError:
        return False
