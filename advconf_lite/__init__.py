"""Confidence prediction for medical image segmentation, trained with its own adversarial images.

from advconf_lite import ConfidenceHead, Quality, Segmenter, predict_scores, train_head

segmenter = Segmenter(my_net, layer="decoder.2").freeze()  # any torch network; z is read by a hook
head = ConfidenceHead(segmenter.feature_shape(256), num_scores=3)
train_head(segmenter, head, Quality("dice", num_classes=4), (x, y), (x_val, y_val))  # Algorithm 1
scores = predict_scores(segmenter, head, new_images)  # (N, 3), without masks
"""

import importlib
import os
import sys

__version__ = "0.1.0"

# Threads of PyTorch that wait must not hold a core that others need: beside one other process per core, a training step
# took 4.2 s on two threads, and 0.76 s with this; results are the same. OpenMP reads it once, when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# MONAI imports jsonschema, and that, where Jupyter has brought it along, a grammar of internationalised addresses: a third
# of the time in which a process starts. Without it, jsonschema takes any text for such an address.
sys.modules.setdefault("rfc3987_syntax", None)

# Public name -> the module that has it. Loaded when used: who wants a metric need not wait for torch.
_PUBLIC = {
    "Segmenter": "segmenter", "build_unet": "segmenter", "layer_shapes": "support.layers",
    "ConfidenceHead": "head", "predict_scores": "head",
    "Quality": "quality", "dice": "quality", "surface_dice": "quality",
    "Algorithm1": "adversarial", "train_head": "head_training", "train_segmenter": "training",
    "Settings": "settings", "Schedule": "settings",
    "score_agreement": "agreement", "pearson": "metrics", "eaurc": "metrics", "mae": "metrics",
    "read_slice_set": "data.slices", "write_slice_set": "data.slices",
    "Run": "experiment.run", "BadInput": "support.errors",
}  # fmt: skip
__all__ = sorted(_PUBLIC)  # noqa: PLE0605


def __getattr__(name: str) -> object:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(f"{__name__}.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
