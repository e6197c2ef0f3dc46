"""Scores from plain passes over an image, nothing trained for them and nothing drawn: what a method gets to see, and the
loop over images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from advconf_lite.quality import Quality
from advconf_lite.segmenter import Segmenter, decided, label_map
from advconf_lite.support.layers import device_of


class Lent:
    """What a method may use beside the image, the same for all images.

    Attributes:
        segmenter: the one whose masks are judged, frozen.
        others: trained as it was, with other seeds; as many as one of the methods needs.
        train: () -> the source's training images (N, channels, H, W), on any device.
    """

    def __init__(self, segmenter: Segmenter, others: Sequence[Segmenter], train: Callable[[], Tensor]) -> None:
        self.segmenter, self.others, self.train = segmenter, others, train
        self._made: dict[str, Any] = {}

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """`make()`, or what it gave the first who asked for this name."""
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]


class Passed:
    """A batch of images after the pass of the segmenter whose masks are judged.

    Attributes:
        x: (B, channels, H, W).
        logits, z: (B, K, H, W) and (B, C, h, w).
        y_hat: (B, H, W), the masks.
        lent: what is the same for all batches.
    """

    def __init__(self, lent: Lent, x: Tensor) -> None:
        self.lent, self.x = lent, x
        self.logits, self.z = lent.segmenter(x)
        self.y_hat = label_map(self.logits)
        self._made: dict[str, Any] = {}

    once = Lent.once


class PassMethod:
    """A score from passes of segmenters over the image: no head is trained for it, and nothing is drawn.

    Attributes:
        estimates: whether it is the quality itself, or only an order of the images.
        only: the one quality that it can score; None for all.
        segmenters: how many it needs, that of the judged masks included.
    """

    estimates = False
    only: str | None = None
    segmenters = 1

    def __init__(self, name: str, *numbers: str) -> None:
        self.name = name

    def score(self, passed: Passed, g: Quality, empty: str) -> Tensor:
        """(B, classes), high for images that are likely to be segmented well; `empty` as in `score_agreement`."""
        raise NotImplementedError


@torch.no_grad()
def pass_scores(
    lent: Lent,
    images: Tensor,
    methods: Sequence[PassMethod],
    qualities: Sequence[Quality],
    empty: str = "one",
    batch: int = 64,
) -> dict[tuple[str, str], Tensor]:
    """Scores of several methods; they share the passes.

    Args:
        images: (N, channels, H, W), on any device; they are moved to the segmenter's.
        empty: as in `score_agreement`.

    Returns:
        (method, quality) -> (N, classes), of those that a method can score; NaN for an image that the segmenter has no
        finite logits for.
    """
    device = device_of(lent.segmenter)
    wanted = [(method, g) for method in methods for g in qualities if method.only in (None, g.name)]
    scores: dict[tuple[str, str], list[Tensor]] = {(method.name, g.name): [] for method, g in wanted}
    for some in images.split(batch):
        passed = Passed(lent, some.to(device))
        unknown = ~decided(passed.logits)[:, None]
        for method, g in wanted:
            scores[method.name, g.name].append(method.score(passed, g, empty).float().masked_fill(unknown, torch.nan))
    return {key: torch.cat(parts) for key, parts in scores.items()}
