"""Which axis of a volume its slices are counted along.

Most files have it last, but sagittal and coronal stacks may have it anywhere, and nnU-Net stores 2-D images as (1, H, W).
What tells is the spacing: slices lie farther apart than the pixels within them. An axis of one voxel is that of a single
slice. Where neither tells, as in a volume of cubes, it is the last axis, and a note says so.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

CLEARLY = 1.25  # times the second largest spacing


def slice_axis(shape: Sequence[int], sizes: np.ndarray) -> tuple[int, str]:
    """The axis, and a remark if it is not simply the last.

    Args:
        shape: (X, Y, Z) of the array.
        sizes: (3,) mm of a voxel.
    """
    single = [axis for axis in range(3) if shape[axis] == 1]
    if len(single) == 1:
        axis, why = single[0], "is one voxel long"
    else:
        *_, second, axis = map(int, np.argsort(sizes, kind="stable"))
        if sizes[axis] < CLEARLY * sizes[second]:
            return 2, "no axis has clearly the largest spacing: slices were taken along the last one (another: --slice-axis)"
        why = "has the largest spacing"
    return axis, "" if axis == 2 else f"slices were taken along axis {axis}, which {why} (another: --slice-axis)"
