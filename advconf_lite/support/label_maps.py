"""Label maps and pixel sizes in whatever people keep them, as tensors and numbers."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor

from advconf_lite.support.errors import BadInput
from advconf_lite.support.numbers import real, whole

MAX_CLASSES = 256  # label maps are stored as uint8
LABEL_TYPES = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
WIDE_TYPES = (torch.uint16, torch.uint32, torch.uint64)  # torch stores them and computes little with them


def as_spacing(spacing: Any) -> tuple[float, float]:
    """(row distance, column distance) of a pixel size: one number, or two, of whatever library; BadInput otherwise."""
    several = hasattr(spacing, "__len__") and not isinstance(spacing, str | bytes) and getattr(spacing, "ndim", 1)
    pair = tuple(real(s) for s in (spacing if several else (spacing, spacing)))
    if len(pair) != 2 or not all(s is not None and math.isfinite(s) and s > 0 for s in pair):
        raise BadInput(f"spacing is {spacing!r}; give one positive number, or two (rows, columns)")
    return pair


def as_labels(labels: Any, num_classes: int, name: str) -> Tensor:
    """`labels`, a tensor, an array or nested lists, as a tensor of maps (..., H, W) of integers 0 ... num_classes - 1.

    Raises:
        BadInput: it is none of these, or holds another label.
    """
    whole(num_classes, "num_classes", 2, MAX_CLASSES, ", the background included")
    if not isinstance(labels, Tensor):
        labels = _tensor(labels, name)
    if labels.dtype in WIDE_TYPES and not labels.is_meta:
        labels = labels.to(torch.int64)
    if labels.dtype not in LABEL_TYPES:
        raise BadInput(f"{name} has dtype {labels.dtype}; give integer labels, for example logits.argmax(1)")
    if labels.layout != torch.strided or labels.is_meta:
        kind = "is on the meta device" if labels.is_meta else f"is stored as {labels.layout}"
        raise BadInput(f"{name} {kind}; give an ordinary tensor, with a value for each pixel")
    if labels.ndim < 3 or labels.numel() == 0:
        raise BadInput(f"{name} has shape {tuple(labels.shape)}; give at least one label map, as (B, H, W)")
    low, high = (int(v) for v in labels.aminmax())
    if low < 0 or high >= num_classes:
        wrong = low if low < 0 else high
        allowed = f"with num_classes={num_classes} give 0 to {num_classes - 1}"
        raise BadInput(f"{name} holds the label {wrong}; {allowed}")
    return labels


def _tensor(values: Any, name: str) -> Tensor:
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:  # lists of other lengths, tensors on other devices
        raise BadInput(f"{name} is no array of numbers ({str(error).splitlines()[0]}); give maps of one size") from error
    if array.dtype.kind not in "biu":
        raise BadInput(f"{name} has dtype {array.dtype}; give integer labels, for example logits.argmax(1)")
    if array.dtype.kind == "u" and array.dtype.itemsize > 1:
        array = array.astype(np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of read-only arrays: nothing here writes into labels
        return torch.from_numpy(np.ascontiguousarray(array, array.dtype.newbyteorder("=")))


def label_pair(pred: Any, target: Any, num_classes: int) -> tuple[Tensor, Tensor]:
    """Both as label maps of one shape (B, H, W) on one device, or BadInput."""
    pred, target = as_labels(pred, num_classes, "pred"), as_labels(target, num_classes, "target")
    if pred.ndim != 3 or pred.shape != target.shape:
        shapes = f"pred has shape {tuple(pred.shape)} and target {tuple(target.shape)}"
        raise BadInput(f"{shapes}; give two label maps of one shape (B, H, W)")
    if pred.device != target.device:
        raise BadInput(f"pred is on {pred.device} and target on {target.device}; move both to one device")
    return pred, target
