"""The contour pictures of a study: one test patient a center, truth beside what each model drew.

A study keeps, for one test case a center, `predictions/CENTER/CASE/` with `image.nii.gz`,
`truth.nii.gz` and one label map a model (`local_CENTER`, `federated`, `centralized`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pedseg.files import write_atomically
from pedseg.organs import EVALUATED
from pedseg.scan import Scan, read_nifti
from pedseg.workbook.figures import fullest, png, present, slices_figure

KEPT = ("image.nii.gz", "truth.nii.gz")


def draw_pictures(study_folder: Path) -> Iterator[tuple[Path, str]]:
    """Draw `pictures/contours_CENTER.png` for every center that kept a case; yields (file, alt text)."""
    for center in sorted(Path(study_folder).glob("predictions/*")):
        cases = [case for case in sorted(center.iterdir()) if all((case / name).is_file() for name in KEPT)]
        if cases:
            file = Path(study_folder) / "pictures" / f"contours_{center.name}.png"
            figure, alt = _figure(cases[0], center.name)
            write_atomically(file, figure)
            yield file, alt


def _figure(case: Path, center: str) -> tuple[bytes, str]:
    """One axial slice through most evaluated organs, a panel a model."""
    image, truth = (read_nifti(case / name) for name in KEPT)
    organs = [name for name in EVALUATED if name in present(truth.voxels)]
    panels: dict[str, tuple[Scan, dict]] = {}
    for name in (f"local_{center}", *_others(case, center), "federated"):
        file = case / f"{name}.nii.gz"
        if file.is_file():
            options = {"truth": truth.voxels, "prediction": read_nifti(file).voxels, "organs": organs}
            panels[name.replace("_", ", ")] = (image, options)
    figure = slices_figure(panels, "axial", fullest(truth.voxels, "axial", organs))
    models = "; ".join(panels)
    alt = (
        f"One axial CT slice of test patient {case.name} of {center}, once for each model ({models}): "
        f"true outlines solid, the model's outlines dashed."
    )
    return png(figure), alt


def _others(case: Path, center: str) -> list[str]:
    names = [file.name.removesuffix(".nii.gz") for file in sorted(case.glob("local_*.nii.gz"))]
    return [name for name in names if name != f"local_{center}"]
