"""Voxels stay where they are in the patient: read, write, turn and resample, compared with SimpleITK."""

from __future__ import annotations

import gzip
import itertools
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from pedseg import scan
from pedseg.scan import Scan

SHAPE = (7, 6, 5)
ORIENTATIONS = ["".join(axes) for p in itertools.permutations(("RL", "AP", "SI")) for axes in itertools.product(*p)]


def rotated_affine() -> np.ndarray:
    """Spacing 1.5, 2 and 3 mm, turned by 20 and 10 degrees, with a far origin."""
    a, b = np.radians(20), np.radians(10)
    turn_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    turn_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = turn_z @ turn_x @ np.diag([1.5, 2, 3])
    affine[:3, 3] = (-120.5, 80.25, -300.0)
    return affine


def numbered(affine: np.ndarray, dtype=np.int16) -> Scan:
    return Scan(np.arange(np.prod(SHAPE)).reshape(SHAPE).astype(dtype) - 100 * (dtype == np.int16), affine)


def place_of(volume: Scan, value: float) -> np.ndarray:
    """Where a voxel value lies, in mm."""
    (index,) = np.argwhere(volume.voxels == value)
    return (volume.affine @ [*index, 1])[:3]


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float32, np.int32])
def test_write_then_read_gives_the_same_voxels_and_place(tmp_path, dtype):
    volume = numbered(rotated_affine(), dtype)
    scan.write_nifti(tmp_path / "new" / "ct.nii.gz", volume)
    back = scan.read_nifti(tmp_path / "new" / "ct.nii.gz")
    assert back.voxels.dtype == dtype
    np.testing.assert_array_equal(back.voxels, volume.voxels)
    np.testing.assert_allclose(back.affine, volume.affine, atol=1e-4)


def test_the_same_scan_gives_the_same_bytes(tmp_path):
    for name in ("a.nii.gz", "b.nii.gz"):
        scan.write_nifti(tmp_path / name, numbered(rotated_affine()))
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_simpleitk_sees_the_same_geometry(tmp_path):
    """Twin: SimpleITK reads our file; its axes are LPS, ours RAS."""
    volume = numbered(rotated_affine())
    scan.write_nifti(tmp_path / "ct.nii.gz", volume)
    twin = sitk.ReadImage(str(tmp_path / "ct.nii.gz"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(twin).transpose(2, 1, 0), volume.voxels)
    np.testing.assert_allclose(twin.GetSpacing(), volume.spacing_mm, rtol=1e-5)
    for index in ((0, 0, 0), (6, 0, 2), (3, 5, 4)):
        ours = (volume.affine @ [*index, 1])[:3]
        np.testing.assert_allclose(twin.TransformIndexToPhysicalPoint(index), ours * (-1, -1, 1), atol=1e-3)


def test_a_file_of_simpleitk_is_read_at_the_same_place(tmp_path):
    """Twin: SimpleITK writes with a mirrored direction; we read it and turn it to RAS."""
    image = sitk.GetImageFromArray(np.arange(5 * 6 * 7, dtype=np.int16).reshape(5, 6, 7))
    image.SetSpacing((0.7, 0.8, 2.5))
    image.SetOrigin((-100.0, -90.0, 40.0))
    image.SetDirection((-1, 0, 0, 0, 1, 0, 0, 0, -1))
    sitk.WriteImage(image, str(tmp_path / "itk.nii.gz"))
    ours = scan.to_ras(scan.read_nifti(tmp_path / "itk.nii.gz"))
    assert ours.orientation == "RAS"
    for index in ((0, 0, 0), (6, 5, 4), (2, 3, 1)):
        there = np.array(image.TransformIndexToPhysicalPoint(index)) * (-1, -1, 1)
        np.testing.assert_allclose(place_of(ours, image.GetPixel(index)), there, atol=1e-3)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_to_ras_is_exact_for_all_48_orientations_and_like_undoes_it(orientation):
    there = nibabel.orientations.axcodes2ornt(orientation)
    ras = numbered(np.diag([1.5, 2.0, 3.0, 1.0]))
    shuffle = nibabel.orientations.ornt_transform(nibabel.orientations.axcodes2ornt("RAS"), there)
    voxels = nibabel.orientations.apply_orientation(ras.voxels, shuffle)
    turned = Scan(voxels, ras.affine @ nibabel.orientations.inv_ornt_aff(shuffle, ras.shape))
    assert turned.orientation == orientation
    back = scan.to_ras(turned)
    np.testing.assert_array_equal(back.voxels, ras.voxels)
    np.testing.assert_allclose(back.affine, ras.affine)
    again = scan.restore_axes(back.voxels, turned)
    np.testing.assert_array_equal(again.voxels, turned.voxels)
    np.testing.assert_array_equal(again.affine, turned.affine)


def test_spacing_volume_and_orientation_of_a_known_affine():
    volume = numbered(np.array([[0, -2.0, 0, 0], [-1.5, 0, 0, 0], [0, 0, 4.0, 0], [0, 0, 0, 1]]))
    assert volume.spacing_mm == (1.5, 2.0, 4.0)
    assert volume.orientation == "PLS"
    assert volume.voxel_ml == pytest.approx(0.012)


def test_a_compressed_file_with_an_axis_of_length_one_is_a_volume(tmp_path):
    image = nibabel.Nifti1Image(np.ones((3, 4, 1, 1), np.int16), np.eye(4))
    nibabel.save(image, tmp_path / "one.nii.gz")
    assert scan.read_nifti(tmp_path / "one.nii.gz").shape == (3, 4, 1)


def test_slope_and_intercept_are_applied(tmp_path):
    image = nibabel.Nifti1Image(np.full((2, 2, 2), 1064, np.uint16), np.eye(4))
    image.header.set_slope_inter(1, -1024)
    nibabel.save(image, tmp_path / "stored.nii.gz")
    assert np.all(scan.read_nifti(tmp_path / "stored.nii.gz").voxels == 40)


def test_a_qform_alone_without_qfac_is_read_as_the_standard_says(tmp_path):
    image = nibabel.Nifti1Image(numbered(np.eye(4)).voxels, rotated_affine())
    image.set_qform(rotated_affine(), code=1)
    image.set_sform(None, code=0)
    content = bytearray(image.to_bytes())
    content[76:80] = bytes(4)  # pixdim[0]
    (tmp_path / "q.nii").write_bytes(content)
    np.testing.assert_allclose(scan.read_nifti(tmp_path / "q.nii").affine, rotated_affine(), atol=1e-4)


def test_a_big_endian_file_is_read(tmp_path):
    volume = numbered(rotated_affine())
    header = nibabel.Nifti1Header(endianness=">")
    nibabel.save(nibabel.Nifti1Image(volume.voxels, volume.affine, header), tmp_path / "big.nii.gz")
    back = scan.read_nifti(tmp_path / "big.nii.gz")
    np.testing.assert_array_equal(back.voxels, volume.voxels)
    assert back.voxels.dtype.isnative


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_nifti_1_and_2_compressed_or_not(tmp_path, kind):
    for name in ("a.nii", "a.nii.gz"):
        nibabel.save(kind(numbered(np.eye(4)).voxels, np.eye(4)), tmp_path / name)
        np.testing.assert_array_equal(scan.read_nifti(tmp_path / name).voxels, numbered(np.eye(4)).voxels)


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    file = tmp_path / "ct.nii.gz"
    scan.write_nifti(file, numbered(np.eye(4)))
    before = file.read_bytes()

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space") as caught:
        scan.write_nifti(file, numbered(rotated_affine()))
    assert caught.value.filename == str(file)  # the system says only that the disk is full
    assert [path.name for path in tmp_path.iterdir()] == ["ct.nii.gz"]
    assert file.read_bytes() == before


# --- resampling -------------------------------------------------------------------------------------


def ramp(affine: np.ndarray, shape=(20, 16, 12)) -> Scan:
    """Every voxel holds x + 2 y - 3 z of its own place in mm."""
    index = np.stack([*np.indices(shape), np.ones(shape)], axis=-1)
    return Scan((index @ affine.T)[..., :3] @ (1.0, 2.0, -3.0), affine)


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (2.0, 2.5, 4.0), (1.7, 2.1, 2.9)])
def test_a_ramp_in_mm_stays_where_it_is(spacing_mm):
    """Linear interpolation must keep a linear image exactly; a shifted grid would show as an offset."""
    volume = ramp(rotated_affine())
    out = scan.resample(volume, spacing_mm)
    np.testing.assert_allclose(out.spacing_mm, spacing_mm)
    inner = (slice(3, -3),) * 2 + (slice(2, -2),)
    np.testing.assert_allclose(out.voxels[inner], ramp(out.affine, out.shape).voxels[inner], atol=2e-4)


def test_resampling_keeps_the_field_of_view_and_its_center():
    volume = ramp(rotated_affine())
    out = scan.resample(volume, (3.0, 3.0, 2.0))
    assert out.shape == (10, 11, 18)
    centers = [s.affine @ [*(np.asarray(s.shape) - 1) / 2, 1] for s in (volume, out)]
    np.testing.assert_allclose(*centers)


def test_linear_resampling_equals_simpleitk():
    """Twin: the same grid in SimpleITK."""
    voxels = np.random.default_rng(3).normal(0, 100, (12, 11, 10)).astype(np.float32)
    volume = Scan(voxels, np.diag([2.0, 2.0, 3.0, 1.0]))
    out = scan.resample(volume, (1.5, 2.5, 2.0))
    image = sitk.GetImageFromArray(voxels.transpose(2, 1, 0).copy())
    image.SetSpacing((2.0, 2.0, 3.0))
    origin = [float(v) for v in out.affine[:3, 3]]
    size = [int(n) for n in out.shape]
    direction = np.eye(3).ravel().tolist()
    twin = sitk.Resample(image, size, sitk.Transform(), sitk.sitkLinear, origin, (1.5, 2.5, 2.0), direction, np.nan)
    twin_voxels = sitk.GetArrayFromImage(twin).transpose(2, 1, 0)
    inside = np.isfinite(twin_voxels)
    inside &= np.indices(out.shape).min(axis=0) > 1  # SimpleITK treats the outer half voxel otherwise
    inside[-2:], inside[:, -2:], inside[:, :, -2:] = False, False, False
    assert inside.sum() > 500
    np.testing.assert_allclose(out.voxels[inside], twin_voxels[inside], atol=1e-3)


def test_labels_stay_whole_and_an_equal_spacing_changes_nothing():
    labels = Scan(np.random.default_rng(0).choice(np.array([0, 3, 7], np.uint8), (9, 8, 7)), np.diag([2.0, 2, 2, 1]))
    out = scan.resample(labels, (1.3, 3.1, 2.0), order=0)
    assert out.voxels.dtype == np.uint8
    assert set(np.unique(out.voxels)) <= {0, 3, 7}
    assert scan.resample(labels, (2.0, 2.0, 2.0), order=0) is labels


def test_halving_a_label_and_doubling_it_again_gives_it_back():
    labels = Scan(np.zeros((4, 4, 4), np.uint8), np.eye(4))
    labels.voxels[1, 2, 3] = 5
    fine = scan.resample(labels, (0.5, 0.5, 0.5), order=0)
    assert (fine.voxels == 5).sum() == 8
    np.testing.assert_array_equal(scan.resample(fine, (1.0, 1.0, 1.0), order=0).voxels, labels.voxels)


def test_coarse_voxels_average_what_lies_in_them():
    """Thick slices mix tissues; picking every third slice of alternating ones would not."""
    stripes = Scan(np.where(np.indices((4, 4, 60))[2] % 2, 100.0, -100.0), np.eye(4))
    assert np.abs(scan.resample(stripes, (1.0, 1.0, 3.0)).voxels[:, :, 2:-2]).max() < 30


def test_the_soft_tissue_window_runs_from_minus_160_to_240():
    gray = scan.window(np.array([-1000, -160, 40, 240, 3000], np.int16))
    np.testing.assert_allclose(gray, [0, 0, 0.5, 1, 1])
    assert gray.dtype == np.float32


def test_a_file_of_several_gzip_members_is_whole(tmp_path):
    """Some writers compress in blocks; all of them count."""
    content = nibabel.Nifti1Image(numbered(np.eye(4)).voxels, np.eye(4)).to_bytes()
    (tmp_path / "blocks.nii.gz").write_bytes(gzip.compress(content[:400]) + gzip.compress(content[400:]))
    np.testing.assert_array_equal(scan.read_nifti(tmp_path / "blocks.nii.gz").voxels, numbered(np.eye(4)).voxels)


@pytest.mark.parametrize("name", ["amos_0507.nii.gz", "amos_0507.NII.GZ", "amos_0507.nii", "amos_0507.Nii"])
def test_the_ending_of_a_scan_is_no_part_of_its_name(name):
    assert scan.is_nifti_name(Path("a") / name)
    assert scan.nifti_stem(Path("a") / name) == "amos_0507"


@pytest.mark.parametrize("name", ["amos_0507.gz", "nii", "amos.nii.gz.part", "amos_0507.nii.dcm"])
def test_what_only_looks_like_a_scan_is_none(name):
    assert not scan.is_nifti_name(Path(name))
