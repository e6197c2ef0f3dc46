"""What could replace the adversarial direction: controls that the paper lacks (random, phases, the segmenter's own loss).

Each gives perturbations with the norms of those that it is compared with, image by image, so that only the direction
differs.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from monai.losses import DiceCELoss
from torch import Tensor, nn

from advconf_lite.adversarial import Algorithm1, Half, segment
from advconf_lite.head_training import HeadMethod, Learner, Row, Turn
from advconf_lite.methods.registry import register
from advconf_lite.settings import Settings
from advconf_lite.support.randomness import derived_seed


class OtherImages(Algorithm1):
    """Algorithm 1's loop with other images in the place of x + delta; no gradient is taken, and alpha means nothing.

    Attributes:
        turn, make: set by `Control` before each step: the turn, and what gives x' (B, channels, H, W).
        key: heads of one key see the same x', and share its pass.
    """

    def second_half(self, segmenter: nn.Module, x_adv: Tensor, y_adv: Tensor) -> Half:
        return self.turn.once(f"{self.key}, passed", lambda: segment(segmenter, x_adv, y_adv))

    def input_gradient(self, s_hat: Tensor, x: Tensor) -> None:
        return None

    def next_images(self, x: Tensor, gradient: None) -> Tensor:
        x_adv = self.make()
        self.delta = x_adv - x
        return x_adv


class Control(HeadMethod):
    """Algorithm 1 with other images in the place of the adversarial ones: the same clean batches, as many images and
    steps, the same warm-up and buffer. What differs from `adversarial` is `images` alone."""

    algorithm = OtherImages
    needs_gradient = False

    def passes(self, settings: Settings) -> int:
        return 2

    def loop_step(self, turn: Turn, learner: Learner) -> Row:
        loop = learner.algorithm
        loop.turn, loop.make = turn, lambda: self.images(turn, learner)
        loop.key = learner.key if self.pair else self.name
        row = loop.step(turn.segmenter, turn.clean)
        del row["alpha"]
        return row

    def images(self, turn: Turn, learner: Learner) -> Tensor:
        """x' (B, channels, H, W), to be seen in the next turn with the masks of the clean batch; the same for every
        quality, but for a control with a `pair`."""
        raise NotImplementedError


@register("replay")
class Replay(Control):
    """Algorithm 1 with delta = 0: every image twice, and nothing else. Not in the paper (a control of this project)."""

    def images(self, turn: Turn, learner: Learner) -> Tensor:
        return turn.x


class PairedControl(Control):
    """A control with the norms of the adversarial run's perturbations: of the same images, in the same turn."""

    pair = "adversarial"

    def images(self, turn: Turn, learner: Learner) -> Tensor:
        return turn.x + self.delta(turn, learner.pair.algorithm.delta, learner.settings)

    def delta(self, turn: Turn, adversarial: Tensor, settings: Settings) -> Tensor:
        """A perturbation (B, channels, H, W) in place of the adversarial one."""
        raise NotImplementedError


@register("random-direction")
class RandomDirection(PairedControl):
    """Each image changed by noise, in place of the adversarial change and with the same norms. Not in the paper; the usual
    control of an adversarial direction."""

    def delta(self, turn: Turn, adversarial: Tensor, settings: Settings) -> Tensor:
        return random_delta(adversarial, derived_seed("random direction", turn.seed, turn.number))


@register("random-phase")
class RandomPhase(PairedControl):
    """The adversarial perturbation with its Fourier phases shuffled: its frequencies without its places. Not in the paper;
    surrogate data by phase randomisation (Theiler et al. 1992)."""

    def delta(self, turn: Turn, adversarial: Tensor, settings: Settings) -> Tensor:
        return random_phase_delta(adversarial, derived_seed("random phase", turn.seed, turn.number))


@register("segmenter-attack")
class SegmenterAttack(PairedControl):
    """Each image changed, with the adversarial norms, where the segmenter's own loss against the truth rises fastest: harm
    without asking the head. Not in the paper; perturbing the segmenter rather than the predictor follows ObsNet (Besnier et
    al. 2021)."""

    def passes(self, settings: Settings) -> int:
        return 4  # one there and one back more, for the direction

    def delta(self, turn: Turn, adversarial: Tensor, settings: Settings) -> Tensor:
        def direction() -> Tensor:
            return segmenter_direction(turn.segmenter.logits, turn.x, turn.y, settings.dice_background)

        return with_norms(turn.once("segmenter direction", direction), adversarial)


def with_norms(direction: Tensor, delta: Tensor) -> Tensor:
    """`direction` (B, channels, H, W), scaled per image to the norm of `delta`; an image without a direction stays 0."""
    norm = delta.flatten(1).norm(dim=1) / direction.flatten(1).norm(dim=1).clamp_min(1e-12)
    return direction * norm[:, None, None, None]


def random_delta(delta: Tensor, seed: int = 0) -> Tensor:
    """Gaussian directions with the norms of `delta` (B, channels, H, W)."""
    return with_norms(_noise(delta, seed), delta)


def random_phase_delta(delta: Tensor, seed: int = 0) -> Tensor:
    """`delta` (B, channels, H, W) with random Fourier phases: its amplitude spectrum and its norm, but not where things are.

    The phases are those of real Gaussian noise, so that the result is real. Surrogate data by phase randomisation:
    Theiler et al., Physica D 58, 1992.
    """
    phases = torch.fft.rfft2(_noise(delta, seed)).angle()
    shuffled = torch.polar(torch.fft.rfft2(delta).abs(), phases)
    return torch.fft.irfft2(shuffled, s=delta.shape[-2:])


def segmenter_direction(logits: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, include_background: bool = True) -> Tensor:
    """The direction (B, channels, H, W) in which the segmenter's own training loss (Dice + cross-entropy) rises fastest.

    It uses the ground truth y (B, H, W), which training has. The usual attack on a network; here it needs no head.
    """
    loss = DiceCELoss(to_onehot_y=True, softmax=True, include_background=include_background)
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        return torch.autograd.grad(loss(logits(x), y[:, None]), x)[0]


def _noise(like: Tensor, seed: int) -> Tensor:
    # drawn on the CPU, so that a GPU run sees the same directions
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(seed)).to(like)
