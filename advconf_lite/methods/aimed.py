"""Algorithm 1 with another line 21: another aim, another space of perturbations, more steps, an own drop for each image.

What is perturbed is p, one row of numbers per image, and a space makes x' of it. With p = delta, one step and the same drop
for all it is Algorithm 1, bit for bit.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from advconf_lite.adversarial import Algorithm1, Half, segment
from advconf_lite.head_training import HeadMethod, Learner, Row, Turn
from advconf_lite.settings import Schedule
from advconf_lite.support.randomness import derived_seed


class Pixels:
    """The space of Algorithm 1: x' = x + p.

    Args:
        x: (B, channels, H, W).
        seed: of what is drawn once for these images; here nothing is.
    """

    def __init__(self, x: Tensor, seed: int) -> None:
        self.x, self.start = x, torch.zeros_like(x)

    def __call__(self, p: Tensor) -> Tensor:
        """x' (B, channels, H, W) of p, which has four axes in every space; at `start` it is x."""
        return self.x + p

    def within(self, p: Tensor) -> Tensor:
        """p, not longer than the image itself: where the gradient vanishes, line 21 would ask for any length."""
        return no_longer(p, self.x.flatten(1).norm(dim=1))


def no_longer(p: Tensor, most: Tensor | float) -> Tensor:
    """p (B, ...), each image's shortened to the norm `most`, (B,) or one number, where it is longer."""
    norm = p.flatten(1).norm(dim=1)
    return torch.where((norm > most)[:, None, None, None], p * (most / norm.clamp_min(1e-12))[:, None, None, None], p)


class Aimed(Algorithm1):
    """Algorithm 1 whose perturbation lowers `aim`, by `drops` of each image, in `settings.severity_steps` or one step.

    Attributes:
        turn, settings: set by `AimedMethod` before each step.
        made, p: the space of the latest images, and their perturbation in it.
        asked: (B,), the drops that were asked of the images in the buffer.
    """

    space: type = Pixels
    p = asked = None

    def step(self, segmenter: nn.Module, clean: Half) -> Row:
        self.segmenter, self.clean = segmenter, clean
        if self.asked is not None:
            self.delta_s = self.asked.mean().item()  # what line 20 compares with
        row = super().step(segmenter, clean)
        return row | ({"asked_drop": self.delta_s} if "predicted_drop" in row else {})

    def second_half(self, segmenter: nn.Module, x_adv: Tensor, y_adv: Tensor) -> Half:
        self.adversarial = super().second_half(segmenter, x_adv, y_adv)
        return self.adversarial

    def aim(self, s_hat: Tensor, half: Half) -> Tensor:
        """What is to fall, (B, classes), of images with predicted scores s_hat (B, classes)."""
        return s_hat

    def drops(self, s_hat: Tensor) -> Tensor:
        """The drop that is asked of each image, (B,)."""
        return torch.full_like(s_hat[:, 0], self.settings.delta_s)

    def steps(self) -> int:
        return 1

    def look(self, x: Tensor) -> Half:
        """A pass with what `aim` needs a gradient of."""
        return segment(self.segmenter, x, self.clean.y, gradient=True)

    def input_gradient(self, s_hat: Tensor, x: Tensor) -> Tensor:
        return super().input_gradient(self.aim(s_hat, self.clean), x)

    def next_images(self, x: Tensor, gradient: Tensor) -> Tensor:
        """Line 21, per image and in several steps. Each asks for an equal share of what the ones before it have left: the
        image's drop is asked for, and not only its slope at x. alpha goes on as what is asked where delta_s is wanted."""
        self.made = space = self.space(x, derived_seed("space", self.turn.seed, self.turn.number))
        s_hat = self.predicted(self.clean.z.detach())
        before, self.asked = self.aimed_at(s_hat, self.clean), self.drops(s_hat)
        wanted = self.alpha * self.asked / (self.settings.delta_s or 1.0)
        left, self.p, n = wanted, space.start, self.steps()
        for k in range(n):
            if k:
                half = self.look(space(self.p))
                s_hat = self.predicted(half.z)
                gradient = super().input_gradient(self.aim(s_hat, half), half.x)
                left = wanted - (before - self.aimed_at(s_hat, half))
            slope = self.in_space(gradient)
            length = left / (n - k) / (slope.flatten(1).square().sum(1) + self.eps)
            self.p = space.within(self.p - length[:, None, None, None] * slope)
        with torch.no_grad():
            x_adv = space(self.p)
        self.delta = x_adv - x
        return x_adv

    def in_space(self, gradient: Tensor) -> Tensor:
        """A gradient with respect to x' as one with respect to p; 0 of an image that has none, as a constant one."""
        with torch.enable_grad():
            p = self.p.detach().requires_grad_()
            return torch.autograd.grad(self.made(p), p, gradient)[0].nan_to_num(0.0, 0.0, 0.0)

    def predicted(self, z: Tensor) -> Tensor:
        """Predicted scores (B, classes) of z beside this turn's adversarial half, by the head as it is in training. Its
        running statistics stay as they are: images that are only passed through have no part in them."""
        buffers = {name: buffer.clone() for name, buffer in self.head.named_buffers()}
        s_hat = torch.func.functional_call(self.head, buffers, (torch.cat([z, self.adversarial.z]),))
        return s_hat[: len(z)].to(self.clean.x.dtype)  # of mixed precision, too

    @torch.no_grad()
    def aimed_at(self, s_hat: Tensor, half: Half) -> Tensor:
        """`aim` on the scale that alpha has, (B,)."""
        aim = self.aim(s_hat, half)
        return aim.sum(1) if self.objective == "sum" else aim.mean(1)


class AimedMethod(HeadMethod):
    """Algorithm 1 aimed otherwise. It takes as many segmenter passes as `adversarial`, so where a step needs more of them
    there are fewer steps; batches, images per step, warm-up and choice of weights are the same."""

    algorithm: type[Aimed] = Aimed
    keeps = ("asked",)

    def adjust(self, schedule: Schedule) -> Schedule:
        warm = min(schedule.settings.warmup_batches, schedule.head_steps)
        share = HeadMethod.passes(self, schedule.settings) / self.passes(schedule.settings)
        return replace(schedule, head_steps=warm + round((schedule.head_steps - warm) * share))

    def loop_step(self, turn: Turn, learner: Learner) -> Row:
        loop = learner.algorithm
        loop.turn, loop.settings = turn, learner.settings
        return loop.step(turn.segmenter, self.clean(turn))

    def clean(self, turn: Turn) -> Half:
        return turn.clean
