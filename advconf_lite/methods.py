"""Every method by its name in `--methods`: a trained head, or a score from Monte Carlo samples without training.

A method is one class here, registered under the name that users type. To add one, add a class.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

import torch
from torch import Tensor, nn

from advconf_lite.adversarial import Half, adversarial_step, plain_step, segment
from advconf_lite.agreement import Samples, agreement, certainty
from advconf_lite.controls import random_delta, random_phase_delta, segmenter_direction, with_norms
from advconf_lite.finetuning import FinetunedHead, read_by
from advconf_lite.head_training import HeadRun, Turn
from advconf_lite.quality import Quality
from advconf_lite.segmenter import Segmenter
from advconf_lite.settings import Profile, Settings
from advconf_lite.support.errors import BadInput
from advconf_lite.support.randomness import derived_seed

DEFAULT_METHODS = ("plain", "adversarial", "agreement-2", "agreement-15")
_REGISTRY: dict[
    str, tuple[re.Pattern, type[HeadMethod | SampledMethod]]
] = {}  # what users read -> (what they may type, class)


def register(shown: str, pattern: str | None = None) -> Callable[[type], type]:
    """Enter a class under a name.

    Args:
        shown: the name as error messages and help list it, such as "agreement-N (N >= 2)".
        pattern: regular expression of the whole name; its groups go to the class. Default: `shown` itself.
    """

    def enter(cls: type) -> type:
        _REGISTRY[shown] = re.compile(pattern or re.escape(shown)), cls
        return cls

    return enter


@cache
def find_method(name: str) -> HeadMethod | SampledMethod:
    """The method of a name.

    Raises:
        BadInput: there is no such method.
    """
    for pattern, cls in _REGISTRY.values():
        if match := pattern.fullmatch(name):
            return cls(name, *match.groups())
    raise BadInput(f"--methods {name} is unknown; choose from {', '.join(_REGISTRY)}")


def parse_methods(names: Sequence[str]) -> list[str]:
    """Method names without repetitions, each one checked."""
    return [find_method(name).name for name in dict.fromkeys(names)]


def head_methods(names: Sequence[str]) -> list[str]:
    """Those of `names` that train a head."""
    return [name for name in names if isinstance(find_method(name), HeadMethod)]


def known_names() -> list[str]:
    """Names as error messages and help list them, in the order of this file."""
    return list(_REGISTRY)


# -- trained heads ------------------------------------------------------------------------------------------------


class HeadMethod:
    """A confidence head and how it is trained: what it sees in one turn of `head_training.train_heads`."""

    pair: str | None = None  # the method whose perturbations this one replays; its head is trained beside it
    starts_from: str | None = None  # the method whose finished head this one goes on from
    needs_gradient = False  # of the predicted score with respect to the shared clean batch

    def __init__(self, name: str, *numbers: str) -> None:
        self.name = name

    def adjust(self, profile: Profile) -> Profile:
        """The profile with this method's own settings and length."""
        return profile

    def build(self, head: nn.Module, segmenter: Segmenter) -> nn.Module:
        """What is trained and stored, from a new head."""
        return head

    def features(self, head: nn.Module, x: Tensor, z: Tensor, batch: int = 64) -> Tensor:
        """What the head reads of images x (N, 1, H, W), of which the segmenter's own features are z: (N, C, h, w)."""
        return z

    def step(self, turn: Turn, run: HeadRun) -> dict[str, Tensor | float]:
        """One optimiser step of `run`; returns its row of the history."""
        raise NotImplementedError


@register("plain")
class Plain(HeadMethod):
    """The head without Algorithm 1: B clean images a step (paper, section 3.1; the baseline of Figure 3, as published)."""

    def step(self, turn: Turn, run: HeadRun) -> dict[str, Tensor | float]:
        return plain_step(run.head, run.optimizer, turn.clean, run.g, run.settings)


@register("plain-2b")
class Plain2B(HeadMethod):
    """`plain` on 2B fresh images a step, as many as Algorithm 1 sees: the baseline that the published script computes a
    batch size for and then does not pass on. The first B are the clean batch that all heads share."""

    def step(self, turn: Turn, run: HeadRun) -> dict[str, Tensor | float]:
        return plain_step(run.head, run.optimizer, joined(turn.clean, turn.second()), run.g, run.settings)


class Loop(HeadMethod):
    """Algorithm 1's loop, after a warm-up of plain steps (paper, section 3.2)."""

    def step(self, turn: Turn, run: HeadRun) -> dict[str, Tensor | float]:
        if turn.number < run.settings.warmup_batches:
            return plain_step(run.head, run.optimizer, turn.clean, run.g, run.settings)
        return self.loop_step(turn, run)

    def loop_step(self, turn: Turn, run: HeadRun) -> dict[str, Tensor | float]:
        """One turn of the loop, which `adversarial_step` makes."""
        raise NotImplementedError


@register("adversarial")
class Adversarial(Loop):
    """Algorithm 1 of the paper, delta_s as the settings have it (0.1)."""

    needs_gradient = True

    def loop_step(self, turn: Turn, run: HeadRun) -> dict[str, Tensor | float]:
        return adversarial_step(turn.segmenter, run.head, run.optimizer, turn.clean, run.state, run.g, run.settings)


@register("adversarial-X (X: delta_s)", r"adversarial-(0?\.\d*[1-9]\d*|1)")
class AdversarialWith(Adversarial):
    """Algorithm 1 with another delta_s: 0.05 and 0.2 are those of the paper's Table 3.

    Where the profile has alpha begin at delta_s, it begins at this one.
    """

    def __init__(self, name: str, delta_s: str) -> None:
        super().__init__(name)
        self.delta_s = float(delta_s)

    def adjust(self, profile: Profile) -> Profile:
        s = profile.settings
        alpha = self.delta_s if s.alpha == s.delta_s else s.alpha
        return replace(profile, settings=replace(s, delta_s=self.delta_s, alpha=alpha))


@register("finetuned")
class Finetuned(HeadMethod):
    """A copy of the segmenter trained along with the head; the original still gives the masks (paper, sections 3.1, 4.3).

    As published: it goes on from the finished adversarial head, without warm-up, for a quarter as many steps at a tenth
    of the learning rate. Its batches are fresh ones, so it has seen more images than the head it started from.
    """

    starts_from = "adversarial"

    def adjust(self, profile: Profile) -> Profile:
        s = profile.settings
        alpha = s.alpha if s.finetune_alpha is None else s.finetune_alpha
        settings = replace(s, head_lr=s.head_lr * s.finetune_lr, alpha=alpha, warmup_batches=0)
        return replace(profile, head_steps=max(1, round(profile.head_steps * s.finetune_steps)), settings=settings)

    def build(self, head: nn.Module, segmenter: Segmenter) -> nn.Module:
        return FinetunedHead(head, segmenter)

    def features(self, head: nn.Module, x: Tensor, z: Tensor, batch: int = 64) -> Tensor:
        return head.features(x, batch)

    def step(self, turn: Turn, run: HeadRun) -> dict[str, Tensor | float]:
        twin = read_by(run.head, turn.segmenter)
        clean = segment(twin, turn.x, turn.y, gradient=True)
        return adversarial_step(twin, run.head, run.optimizer, clean, run.state, run.g, run.settings)


class Control(Loop):
    """Algorithm 1 with other images in the place of the adversarial ones: the same clean batches, as many images and
    steps, the same warm-up and buffer. What differs from `adversarial` is `images` alone."""

    def loop_step(self, turn: Turn, run: HeadRun) -> dict[str, Tensor | float]:
        return adversarial_step(turn.segmenter, run.head, run.optimizer, turn.clean, run.state, run.g, run.settings,
                                control=lambda: self.images(turn, run), passed=turn.passed)  # fmt: skip

    def images(self, turn: Turn, run: HeadRun) -> Tensor:
        """x' (B, 1, H, W), to be seen in the next turn with the masks of the clean batch."""
        raise NotImplementedError


@register("replay")
class Replay(Control):
    """Algorithm 1 with delta = 0: every image twice, and nothing else. Not in the paper (a control of this project)."""

    def images(self, turn: Turn, run: HeadRun) -> Tensor:
        return turn.x


class PairedControl(Control):
    """A control with the norms of the adversarial run's perturbations: of the same images, in the same turn."""

    pair = "adversarial"

    def images(self, turn: Turn, run: HeadRun) -> Tensor:
        return turn.x + self.delta(turn, run.pair.state.delta, run.settings)

    def delta(self, turn: Turn, adversarial: Tensor, settings: Settings) -> Tensor:
        """A perturbation (B, 1, H, W) in place of the adversarial one."""
        raise NotImplementedError


@register("random-direction")
class RandomDirection(PairedControl):
    """Gaussian directions with the adversarial norms. Not in the paper; the usual control of an adversarial one."""

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
    """Directions in which the segmenter's own loss against the ground truth rises, with the adversarial norms. Not in the
    paper; perturbing the segmenter rather than the predictor follows ObsNet (Besnier et al. 2021)."""

    def delta(self, turn: Turn, adversarial: Tensor, settings: Settings) -> Tensor:
        def direction() -> Tensor:
            return segmenter_direction(turn.segmenter.net, turn.x, turn.y, settings.dice_background)

        return with_norms(turn.once("segmenter direction", direction), adversarial)


@register("strong-augmentation")
class StrongAugmentation(Control):
    """Bias field, Gibbs ringing, noise and gamma by MONAI at the library's default ranges. Not in the paper; nothing of the
    simulated scanners enters, so a gain is not knowledge of the test."""

    def images(self, turn: Turn, run: HeadRun) -> Tensor:
        from advconf_lite.strong_augmentation import strongly_augmented

        def make() -> Tensor:
            seed = derived_seed("strong augmentation", turn.seed, turn.number)
            return strongly_augmented(turn.x, seed, run.settings.strong_probability)

        return turn.once(self.name, make)


@register("oracle-augmentation")
class OracleAugmentation(Control):
    """Random virtual scanners, as an upper bound: the family of shifts that is tested, though none of its constants. Not
    in the paper, and no method: who knows the shifts need not be robust to them."""

    def images(self, turn: Turn, run: HeadRun) -> Tensor:
        from advconf_lite.oracle import rescanned

        seed = derived_seed("virtual scanners", turn.seed, turn.number)
        return turn.once(self.name, lambda: rescanned(turn.x, run.organ, run.spacing_mm, seed))


def joined(one: Half, two: Half) -> Half:
    """Two halves as one, without a graph."""
    return Half(*(torch.cat([a.detach(), b.detach()]) for a, b in zip(vars(one).values(), vars(two).values())))


# -- scores from samples, nothing trained ---------------------------------------------------------------------------------


class SampledMethod:
    """A score from Monte Carlo dropout samples of the segmenter: it ranks images, but does not estimate the quality.

    Attributes:
        samples: how many; methods of a run share them, those that need fewer take the first ones.
        needs_mean: whether `score` reads the mean softmax.
    """

    samples: int
    needs_mean = False

    def __init__(self, name: str, *numbers: str) -> None:
        self.name = name

    def score(self, samples: Samples, g: Quality, empty: str) -> Tensor:
        """(B, classes), high for images that are likely to be segmented well; `empty` as in `agreement.agreement`."""
        raise NotImplementedError


def sampled_methods(names: Sequence[str]) -> list[SampledMethod]:
    """Those of `names` that are scores from samples; other words, such as "constant", may be among them."""
    patterns = [pattern for pattern, cls in _REGISTRY.values() if issubclass(cls, SampledMethod)]
    return [find_method(name) for name in names if any(pattern.fullmatch(name) for pattern in patterns)]


@register("agreement-N, agreement-N-one, agreement-N-zero (N >= 2)", r"agreement-([2-9]|[1-9]\d+)(?:-(one|zero))?")
class Agreement(SampledMethod):
    """Mean quality over all pairs of N samples (Roy et al. 2018; paper, section 4.3).

    A pair that lacks a class in both samples counts as the settings say (`agreement_empty`), or as the name does.
    """

    def __init__(self, name: str, n: str, empty: str | None) -> None:
        super().__init__(name)
        self.samples, self.empty = int(n), empty

    def score(self, samples: Samples, g: Quality, empty: str) -> Tensor:
        masks, rule = samples.masks[: self.samples], self.empty or empty
        return agreement(masks, g.name, g.num_classes, g.tolerance, g.spacing, g.include_background, rule)


@register("entropy-N, entropy-N-foreground (N >= 1)", r"entropy-([1-9]\d*)(-foreground)?")
class Entropy(SampledMethod):
    """Predictive entropy of the mean softmax of N samples, averaged over the whole image (paper, section 4.3: r below
    0.3) or weighted with the foreground probability. One number per image, which stands for every class and quality."""

    needs_mean = True

    def __init__(self, name: str, n: str, foreground: str | None) -> None:
        super().__init__(name)
        self.samples, self.foreground = int(n), foreground is not None

    def score(self, samples: Samples, g: Quality, empty: str) -> Tensor:
        classes = g.num_classes - (0 if g.include_background else 1)
        return certainty(samples.probabilities[self.samples], self.foreground)[:, None].expand(-1, classes)
