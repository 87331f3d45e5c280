"""How fast are our contour measures beside MONAI's, on the same contours, in one run?

Run `python benchmarks/metrics.py`. Both work on one thread; CPU seconds of the process, medians of
several repeats. MONAI gets its one-hot tensors ready made and computes HD95 and the average surface
distance; ours starts from the label maps and computes DSC, NSD and the volumes as well. The contours
are as far apart as those of a usable model (DSC about 0.9); the ratio shrinks with their distance,
to about 8 on the large grid where every contour is shifted by four voxels along two axes.
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import ndimage

from pedseg import organs
from pedseg.metrics import score_case

CASES = {"96x80x64": ((96, 80, 64), (3.0, 3.0, 4.0)), "192x160x128": ((192, 160, 128), (1.5, 1.5, 2.0))}
REPEATS = 7


def measure() -> list[dict[str, Any]]:
    """One row a grid: `name`, `ours` and `peer` in CPU milliseconds, their `ratio`, `unit`, `difference_mm`."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [_compare(name, *case) for name, case in CASES.items()]
    finally:
        torch.set_num_threads(threads)


def _compare(name: str, shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> dict[str, Any]:
    """Both on one pair of label maps, in turns, so that a busy machine slows both."""
    import torch

    truth, prediction = contours(shape, seed=0)
    ids = [organ.id for organ in organs.ORGANS]
    one_hot = [torch.from_numpy(np.stack([labels == i for i in ids])[None]).float() for labels in (prediction, truth)]
    times: dict[str, list[float]] = {"ours": [], "peer": []}
    for _ in range(REPEATS):
        scores = _timed(times["ours"], lambda: score_case(truth, prediction, spacing_mm, organs.NAMES))
        theirs = _timed(times["peer"], lambda: monai_distances(one_hot[0], one_hot[1], spacing_mm))
    difference_mm = np.abs(theirs - np.array([(s.hd95_mm, s.msd_mm) for s in scores]).T).max()
    ours, peer = (1000 * statistics.median(times[who]) for who in ("ours", "peer"))
    return {
        "name": f"HD95 + mean surface distance, {len(ids)} organs, {name} (peer: MONAI)",
        "ours": ours,
        "peer": peer,
        "ratio": peer / ours,
        "unit": "CPU ms",
        "difference_mm": float(difference_mm),
    }


def _timed(times: list[float], job: Callable[[], Any]) -> Any:
    start = time.process_time()
    result = job()
    times.append(time.process_time() - start)
    return result


def monai_distances(prediction: Any, truth: Any, spacing_mm: tuple[float, float, float]) -> np.ndarray:
    """HD95 and average symmetric surface distance by MONAI, mm (2, organs); one-hot tensors (1, organs, x, y, z)."""
    from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hd95 = compute_hausdorff_distance(prediction, truth, include_background=True, percentile=95, spacing=spacing_mm)
        mean = compute_average_surface_distance(
            prediction, truth, include_background=True, symmetric=True, spacing=spacing_mm
        )
    return np.stack([hd95[0].numpy(), mean[0].numpy()])


def contours(shape: tuple[int, int, int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two label maps of 19 wavy ellipsoids, large and small, the second drawn a little differently (DSC about 0.9)."""
    rng = np.random.default_rng(seed)
    centers, radii = rng.uniform(0.15, 0.85, (19, 3)), rng.uniform(0.04, 0.2, (19, 3))
    place = np.stack(np.meshgrid(*[np.linspace(0, 1, n) for n in shape], indexing="ij"))  # (3, x, y, z)
    maps = []
    for version in (1, 2):
        noise = np.random.default_rng((seed, version)).normal(scale=0.01, size=(3, 6, 6, 6))
        wavy = place + np.stack([ndimage.zoom(n, np.divide(shape, 6), order=1) for n in noise])
        labels = np.zeros(shape, dtype=np.uint8)
        for i, (center, radius) in enumerate(zip(centers, radii, strict=True), start=1):
            labels[(((wavy.T - center) / radius) ** 2).sum(axis=-1).T < 1] = i
        maps.append(labels)
    return maps[0], maps[1]


def main() -> None:
    for row in measure():
        print(
            f"{row['name']}: ours {row['ours']:.1f} {row['unit']}, peer {row['peer']:.1f} {row['unit']}, "
            f"ratio {row['ratio']:.1f}, largest difference {row['difference_mm']:.1e} mm"
        )


if __name__ == "__main__":
    main()
