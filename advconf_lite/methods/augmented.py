"""Stronger augmentation of intensities by MONAI: what a careful practitioner would try before anything adversarial."""

from __future__ import annotations

import torch
from monai.transforms import Compose, RandAdjustContrast, RandBiasField, RandGaussianNoise, RandGibbsNoise
from torch import Tensor

from advconf_lite.head_training import HeadMethod, Learner, Row, Turn
from advconf_lite.methods.controls import Control
from advconf_lite.methods.registry import register
from advconf_lite.support.randomness import derived_seed


def strongly_augmented(x: Tensor, seed: int, probability: float = 0.5) -> Tensor:
    """Bias field, Gibbs ringing, Gaussian noise and gamma, each with `probability` per image, in this order.

    Ranges are the library's defaults (MONAI 1.6: bias coefficients 0-0.1 of degree 3, Gibbs alpha 0-1, noise 0-0.1,
    gamma 0.5-4.5); its default probability of 0.1 would leave two images of three as they are. Masks stay right, because
    nothing moves.

    Args:
        x: (B, 1, H, W), z-scored.
        seed: the only source of randomness.

    Returns:
        x' of the same shape, type and device.
    """
    transform = Compose(
        [
            RandBiasField(prob=probability),
            RandGibbsNoise(prob=probability),
            RandGaussianNoise(prob=probability),
            RandAdjustContrast(prob=probability),
        ]
    )
    transform.set_random_state(seed % 2**32)
    # Bias field, Gibbs ringing and gamma act on magnitudes, which are not negative.
    changed = torch.stack([transform(image).as_tensor() for image in (x - lowest(x)).cpu()])
    return like_before(changed.to(x), x)


def lowest(x: Tensor) -> Tensor:
    """The smallest value of each image of (B, 1, H, W), as (B, 1, 1, 1): air, in a magnitude image."""
    return x.amin((1, 2, 3), keepdim=True)


def like_before(changed: Tensor, x: Tensor) -> Tensor:
    """`changed` with the mean and standard deviation of each image of `x`, both (B, 1, H, W).

    Images of a new scanner are normalised like all others, so a change of scale must not give them away. An image that
    has become flat, or not finite, is left as it was.
    """
    axes = (1, 2, 3)
    spread = changed.std(axes, keepdim=True)
    same = (changed - changed.mean(axes, keepdim=True)) / spread * x.std(axes, keepdim=True) + x.mean(axes, keepdim=True)
    usable = spread > 1e-3 * x.std(axes, keepdim=True)  # also False for NaN
    return torch.where(usable, same, x)


@register("strong-augmentation")
class StrongAugmentation(Control):
    """Bias field, Gibbs ringing, noise and gamma by MONAI at the library's default ranges. Not in the paper; nothing of the
    simulated scanners enters, so a gain is not knowledge of the test."""

    def images(self, turn: Turn, learner: Learner) -> Tensor:
        return strong(turn, learner)


@register("adversarial+strong")
class AdversarialStrong(HeadMethod):
    """Algorithm 1 on strongly augmented images: the clean half, which the head sees too, is that of `strong-augmentation`.
    Not in the paper."""

    needs_gradient = False  # of the shared pass: its own images have a pass of their own

    def step(self, turn: Turn, learner: Learner) -> Row:
        gradient = turn.number >= learner.settings.warmup_batches

        def make() -> Turn:
            pair = strong(turn, learner), turn.y  # drawn here: a turn that held the one that holds it would stay in memory
            return Turn(turn.segmenter, lambda word: pair, turn.number, turn.seed, gradient)

        share = learner.settings.strong_probability, gradient
        return super().step(turn.once(f"strong turn, {share}", make), learner)


def strong(turn: Turn, learner: Learner) -> Tensor:
    """The clean batch, strongly augmented; the same for all heads with one probability."""
    probability, seed = learner.settings.strong_probability, derived_seed("strong augmentation", turn.seed, turn.number)
    return turn.once(f"strong images, {probability}", lambda: strongly_augmented(turn.x, seed, probability))
