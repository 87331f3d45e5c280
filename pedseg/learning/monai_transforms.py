"""GIN as a MONAI dictionary transform, for pipelines built of them; MONAI has none. The function is `gin.gin`."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform

from pedseg.learning.gin import gin


class RandGINd(RandomizableTransform, MapTransform):
    """Random convolutions change the gray values of normalized scans, (channels, x, y, z), with a probability.

    All `keys` of one item get the same random layers. `body_key` names a mask of the body, (1, x, y, z), in the item;
    without it GIN is as published, and air dominates its norm.
    """

    def __init__(
        self,
        keys: KeysCollection,
        prob: float = 1.0,
        body_key: Hashable | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob)
        self.body_key, self.seed = body_key, 0

    def randomize(self, data: Any = None) -> None:
        """Draw whether this item is changed, and how."""
        super().randomize(None)
        self.seed = int(self.R.randint(2**31 - 1))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        self.randomize()
        if not self._do_transform:
            return item
        inside = None if self.body_key is None else np.asarray(item[self.body_key])[0][None] > 0
        for key in self.key_iterator(item):
            scan = item[key]
            voxels = gin(np.asarray(scan, dtype=np.float32)[None], seed=self.seed, inside=inside)[0]
            item[key] = torch.as_tensor(voxels).type_as(scan) if torch.is_tensor(scan) else voxels
        return item
