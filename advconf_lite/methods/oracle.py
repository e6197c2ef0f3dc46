"""The oracle's augmentation: training images re-acquired by random virtual scanners, the family of shifts that is tested."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from advconf_lite.head_training import Learner, Turn
from advconf_lite.methods.augmented import like_before, lowest
from advconf_lite.methods.controls import Control
from advconf_lite.methods.registry import register
from advconf_lite.phantom.offered import draw_offered
from advconf_lite.phantom.reacquire import reacquire
from advconf_lite.support.randomness import derived_seed


def rescanned(x: Tensor, organ: str | None, spacing_mm: float, seed: int) -> Tensor:
    """Each image of `x` as a random scanner would have shown it.

    Scanners are drawn from the physical ranges of the organ's scanners (`scanner_tables.RANGES`), or of those for any
    image (`any_image.RANGES`), uniformly and independently of the test scanners, which lie within them; no constant of a
    test scanner is used. `reacquire` works on the image alone. On real images, whose targets are made by it too, this is
    the very family of shifts that is tested. The phantom's targets are simulated from tissues: there it has the shifts in
    coil, k-space and noise, but only the monotone part of those in contrast, so a head that knew all could be better
    still.

    Args:
        x: (B, 1, H, W), z-scored.
        organ: of the images, or None.
        spacing_mm: of the images.
        seed: the only source of randomness.

    Returns:
        x' of the same shape, type and device, with each image's mean and standard deviation.
    """
    images = []
    for number, image in enumerate((x - lowest(x))[:, 0].cpu().numpy()):
        rng = np.random.default_rng([seed, number])
        images.append(reacquire(image, draw_offered(organ, spacing_mm, rng), spacing_mm, rng))
    return like_before(torch.from_numpy(np.stack(images))[:, None].to(x), x)


@register("oracle-augmentation")
class OracleAugmentation(Control):
    """Random virtual scanners, as an upper bound: the family of shifts that is tested, though none of its constants. Not
    in the paper, and no method: who knows the shifts need not be robust to them."""

    def images(self, turn: Turn, learner: Learner) -> Tensor:
        seed = derived_seed("virtual scanners", turn.seed, turn.number)
        return turn.once(self.name, lambda: rescanned(turn.x, learner.organ, learner.spacing_mm, seed))
