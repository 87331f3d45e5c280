"""Inference with a trained network: class probabilities, label maps on the scan's own grid, and their mean Dice.

As the plan says, a patient on the side is rotated to supine first (`orientation`), and connected components that are
too small for their organ are removed afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn

from pedseg.datasets.loading import count_labels
from pedseg.learning.compact_unet import depth_to_space
from pedseg.learning.devices import device_of, flushed_denormals, has_bfloat16, use_threads
from pedseg.learning.plans import Plan
from pedseg.learning.preprocessing import Prepared, prepare, restore
from pedseg.organs import organ
from pedseg.scan import Scan


@torch.inference_mode()
@flushed_denormals()
def probabilities(network: nn.Module, image: NDArray[np.float32], plan: Plan) -> NDArray[np.float32]:
    """Class probabilities (class, x, y, z) of a preprocessed image.

    The lesson's network sees a whole body at once, because it must know where in the body a voxel lies, even if it is
    larger than the patch; the clinic's, and a scan far larger, go through a sliding window.
    """
    use_threads(plan.recipe.threads)
    network.eval()
    device = device_of(network)
    volume = torch.from_numpy(image)[None, None].to(device)

    def window(part: Tensor) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=has_bfloat16(device)):
            logits = network(part)
        logits = (depth_to_space(logits) if logits.ndim == 6 else logits).float()
        return torch.softmax(logits, dim=1, out=logits)  # in place: with twenty classes it is the largest array

    if plan.uses_whole_volume(image.shape):
        return window(volume)[0].cpu().numpy()
    from monai.inferers import sliding_window_inference

    out = sliding_window_inference(
        volume, plan.patch, 1, window, overlap=0.5, mode="gaussian", padding_mode="replicate"
    )
    assert isinstance(out, Tensor)
    return out[0].cpu().numpy()


@flushed_denormals()
def predict(network: nn.Module, scan: Scan, plan: Plan) -> NDArray[np.uint8]:
    """The label map (organ ids) of a scan in RAS, on the scan's own grid."""
    prepared = prepare(scan, plan)
    label_map = restore(probabilities(network, prepared.image, plan), prepared, scan, plan)
    return remove_small_components(label_map, plan, scan.voxel_ml)


def mean_dice(network: nn.Module, prepared: Sequence[Prepared], plan: Plan) -> float:
    """Mean DSC over cases and their organs, on the network's own grid; for choosing, not for reporting."""
    values, classes = [], len(plan.organs) + 1
    for case in prepared:
        assert case.labels is not None
        predicted = probabilities(network, case.image, plan).argmax(axis=0)
        confusion = np.bincount((case.labels * np.intp(classes) + predicted).ravel(), minlength=classes**2)
        confusion = confusion.reshape(classes, classes)  # voxels by truth and prediction
        in_truth, in_prediction = confusion.sum(axis=1), confusion.sum(axis=0)
        dice = 2 * confusion.diagonal() / np.maximum(1, in_truth + in_prediction)
        values += list(dice[1:][in_truth[1:] > 0])
    return float(np.mean(values)) if values else math.nan


def remove_small_components(label_map: NDArray[np.uint8], plan: Plan, voxel_ml: float) -> NDArray[np.uint8]:
    """A predicted label map (organ ids) without connected components smaller than `Plan.min_component_ml`.

    Components that reach the first or last slice stay: the scan may have cut an organ there. nnU-Net
    keeps the largest component where that helps on its training cases; a volume does as well where an organ was
    removed, and keeps organs in two pieces. Voxels touch by their faces.
    """
    boxes = ndimage.find_objects(label_map)
    cleaned = label_map.copy()
    for name in plan.organs:
        number = organ(name).id
        box = boxes[number - 1] if number <= len(boxes) else None
        if box is None or not plan.min_component_ml.get(name):
            continue
        components, _ = ndimage.label(label_map[box] == number)
        volumes_ml = count_labels(components) * voxel_ml
        too_small = volumes_ml < plan.min_component_ml[name]
        if box[2].start == 0:
            too_small[np.unique(components[:, :, 0])] = False
        if box[2].stop == label_map.shape[2]:
            too_small[np.unique(components[:, :, -1])] = False
        too_small[0] = False
        cleaned[box][too_small[components]] = 0
    return cleaned
