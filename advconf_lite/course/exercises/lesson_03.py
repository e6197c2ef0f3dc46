"""A head that gives grades, and Algorithm 1: one training step, lines 20 and 21, and what the settings do."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from advconf_lite.adversarial import Algorithm1, relative_norm, score_loss
from advconf_lite.course.comparing import Band, plain
from advconf_lite.course.exercise import Choice, Exercise, Mistake, Option
from advconf_lite.course.saying import unanswered
from advconf_lite.metrics import mae


class _Network(nn.Module):
    """Logits and features, as a `Segmenter` gives them; its weights are left trainable, so that a leak is seen."""

    def __init__(self) -> None:
        super().__init__()
        self.features, self.classes = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 2, 1)

    def forward(self, x):
        z = self.features(x)
        return self.classes(z), z


def _bench() -> dict[str, tuple]:
    """A segmenter, a head with a gradient left from an earlier step, its optimiser, and a batch: fixed numbers."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        segmenter, head = _Network(), nn.Sequential(nn.Flatten(), nn.Linear(3 * 36, 2))
        x, s = torch.randn(4, 1, 6, 6), torch.rand(4, 2)
    for weight in head.parameters():
        weight.grad = torch.ones_like(weight)
    return {"a batch of four": (segmenter, head, torch.optim.SGD(head.parameters(), lr=0.01), x, s)}


def _one_step(function, segmenter, head, optimizer, x, s):
    loss = function(segmenter, head, optimizer, x, s)
    if unanswered(loss):
        return None
    return {
        "the loss": float(plain(loss)),
        "the head's weights afterwards": torch.cat([weight.detach().flatten() for weight in head.parameters()]),
        "the segmenter's gradients": sum(weight.grad is not None for weight in segmenter.parameters()),
    }


def _plain_step(segmenter, head, optimizer, x, s, detach=True, zero=True, step=True):
    z = segmenter(x)[1]
    loss = score_loss(head(z.detach() if detach else z), s)
    if zero:
        optimizer.zero_grad()
    loss.backward()
    if step:
        optimizer.step()
    return loss.item()


def _line_21(gradient, alpha, eps):
    loop = Algorithm1(None, None, None, alpha=alpha, eps=eps)
    loop.next_images(torch.zeros_like(gradient), gradient)
    return loop.delta


def _gradients() -> dict[str, tuple]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        steep = torch.randn(3, 1, 5, 5) * torch.tensor([0.1, 1.0, 4.0])[:, None, None, None]
    return {"three images": (steep, 0.1, 1e-8), "no gradient at all": (torch.zeros(1, 1, 4, 4), 0.1, 1e-8)}


def _scores() -> dict[str, tuple]:
    before, now = torch.tensor([0.9, 0.8]), torch.tensor([0.95, 0.93])
    return {
        "a drop that is too small": (0.8, 0.01, 0.1, before, torch.tensor([0.88, 0.79]), now),
        "a drop that is too large": (0.8, 0.01, 0.1, before, torch.tensor([0.5, 0.4]), now),
        "the drop that was asked for": (0.2, 0.5, 0.1, before, before - 0.1, now),
    }


def _line_20(alpha, eta, delta_s, before, after, now):
    return alpha - eta * ((before - after).mean().item() - delta_s)


def _constant_mae(val_scores, target_scores, constant=None):
    constant = np.mean(val_scores) if constant is None else constant
    return mae(np.full(len(target_scores), constant, dtype=float), np.asarray(target_scores, float))


EXERCISES = (
    Exercise(
        "plain_step",
        "Write plain_step(segmenter, head, optimizer, x, s): one training step of the head by the mean squared error. No "
        "gradient may reach the segmenter. Return the loss.",
        right=_plain_step,
        cases=_bench,
        observe=_one_step,
        tolerance=1e-5,
        mistakes=(
            Mistake(
                lambda *a: _plain_step(*a, detach=False),
                "the segmenter has got gradients: cut the graph at z, by z.detach() or torch.no_grad().",
            ),
            Mistake(
                lambda *a: _plain_step(*a, zero=False),
                "the gradients of the step before are still in it: call optimizer.zero_grad() before backward().",
            ),
            Mistake(
                lambda *a: _plain_step(*a, step=False), "the head's weights have not moved: optimizer.step() is missing."
            ),
            Mistake(
                lambda *a: _plain_step(*a, detach=False, zero=False),
                "two things: cut the graph at z, by z.detach() or torch.no_grad(), for the segmenter has got gradients; and "
                "call optimizer.zero_grad() before backward().",
            ),
        ),
        praise="only the head has learned; the network that is judged stays as it is.",
        hint="The order is: z without a graph, the loss, zero_grad, backward, step.",
    ),
    Exercise(
        "constant_mae",
        "Predict the mean score of source validation for every target slice: what is the MAE?",
        right=_constant_mae,
        tolerance=1e-3,
        mistakes=(
            Mistake(
                lambda val_scores, target_scores: _constant_mae(val_scores, target_scores, np.mean(target_scores)),
                "you used the target's own mean, which nobody knows who has no truth there.",
            ),
            Mistake(
                lambda val_scores, target_scores: float(np.mean((np.mean(val_scores) - np.asarray(target_scores)) ** 2)),
                "that is the squared error; the absolute one was asked for.",
            ),
            Mistake(
                lambda val_scores, target_scores: abs(float(np.mean(val_scores) - np.mean(target_scores))),
                "take the error of each slice first, and their mean afterwards: errors of both signs do not cancel.",
            ),
        ),
        praise="a head whose MAE is not below this gives numbers that are, as they stand, no better than a constant.",
    ),
    Exercise(
        "line_21",
        "Write line_21(gradient, alpha, eps): the perturbation delta of line 21, for gradients (B, 1, H, W).",
        right=_line_21,
        cases=_gradients,
        mistakes=(
            Mistake(
                lambda gradient, alpha, eps: -alpha * gradient / (gradient.square().sum() + eps),
                "the norm is taken over the whole batch: each image has its own, or one steep image takes all.",
            ),
            Mistake(
                lambda gradient, alpha, eps: (
                    -alpha * gradient / (gradient.flatten(1).norm(dim=1) + eps)[:, None, None, None]
                ),
                "the norm is not squared: a linear head's score would then fall by alpha times the norm.",
            ),
            Mistake(
                lambda gradient, alpha, eps: -alpha * gradient / (gradient.norm() + eps),
                "two things: the norm is that of the whole batch, and each image has its own; and it is to be squared.",
            ),
            Mistake(
                lambda gradient, alpha, eps: -_line_21(gradient, alpha, eps),
                "the sign is that of an image which the head likes *better*.",
            ),
        ),
        praise="if the head were linear, its score would fall by exactly alpha.",
        hint="Minus alpha, times the gradient, by the *squared* norm of each image plus epsilon; that norm has the shape "
        "(B,), and norm[:, None, None, None] fits it to (B, 1, H, W).",
    ),
    Exercise(
        "line_20",
        "Write line_20(alpha, eta, delta_s, before, after, now): the new alpha. `before` is C(z) of the images that x' was "
        "made from, at the time; `after` is C(z'); `now` is C(z) of this step's clean images.",
        right=_line_20,
        cases=_scores,
        mistakes=(
            Mistake(
                lambda alpha, eta, delta_s, before, after, now: alpha + eta * ((before - after).mean().item() - delta_s),
                "the sign: when the drop is larger than delta_s, alpha must become smaller.",
            ),
            Mistake(
                lambda alpha, eta, delta_s, before, after, now: _line_20(alpha, eta, delta_s, now, after, now),
                "`now` belongs to other images than `after`: compare C(z) and C(z') of the same ones.",
            ),
            Mistake(
                lambda alpha, eta, delta_s, before, after, now: alpha - eta * (before - after).mean().item(),
                "delta_s is missing: alpha would rest only where there is no drop at all.",
            ),
        ),
        praise="a controller of one number: it keeps the *predicted* drop near delta_s, and knows nothing of the true one.",
    ),
    Exercise(
        "relative_size",
        "Write relative_size(delta, x): ||delta|| / ||x|| of each image, (B,).",
        right=relative_norm,
        cases=lambda: {
            "two images of different brightness": (
                torch.ones(2, 1, 4, 4) * torch.tensor([0.1, 0.3])[:, None, None, None],
                torch.ones(2, 1, 4, 4) * torch.tensor([1.0, 9.0])[:, None, None, None],
            ),
        },
        mistakes=(
            Mistake(
                lambda delta, x: (delta.norm() / x.norm()).expand(len(x)),
                "the norms are those of the whole batch; flatten all but the first axis.",
            ),
            Mistake(lambda delta, x: relative_norm(delta, x).square(), "the norms are squared: take the root of each."),
            Mistake(lambda delta, x: delta.flatten(1).norm(dim=1), "divide by the norm of the image."),
        ),
        praise="a few per cent, and hardly to be seen.",
    ),
    Exercise(
        "replay_settings",
        "With which alpha and eta is Algorithm 1 the control `replay`: every image twice, none of them changed? Give "
        '{"alpha": ..., "eta": ...}.',
        right=lambda: {"alpha": 0.0, "eta": 0.0},
        tolerance=1e-9,
        mistakes=(
            Mistake(
                lambda: {"alpha": 0.0, "eta": 0.01},
                "alpha begins at 0, but line 20 moves it as soon as a drop is not delta_s.",
            ),
            Mistake(lambda: {"alpha": 0.8, "eta": 0.0}, "eta = 0 keeps alpha where it begins; that is not 0 here."),
            Mistake(lambda: {"alpha": 0.8, "eta": 0.01}, "these are the paper's values; with them images do change."),
        ),
        praise="what `replay` gains over the plain head is the gain of seeing every image twice, and of nothing else.",
        hint="delta is alpha times something; and who changes alpha?",
    ),
)

STAYS = Band(-1.0, 0.02)  # what a hand at a slider may call "stays"
# An untrained head's grade falls so far on every slice that was tried, a plain head's on one in four; the Dice on all.
FALLS = {"grade": Band(0.1, 9.0), "dice": Band(0.1, 1.0)}
SMALL = {name: Band(-1.0, band.low - 1e-9) for name, band in FALLS.items()}

EXERCISES += (
    Exercise(
        "fool_the_head",
        "Make the grade of a trained head fall by 0.1 while the Dice stays (within 0.02). "
        'Give {"grade": ..., "dice": ...}: the two falls.',
        right=lambda: {"grade": FALLS["grade"], "dice": STAYS},
        mistakes=(
            Mistake(
                lambda: {"grade": FALLS["grade"], "dice": Band(STAYS.high, 1.0)},
                "the segmentation was harmed, so the grade fell rightly; try a smaller size, another slice or another head.",
            ),
            Mistake(
                lambda: {"grade": SMALL["grade"], "dice": Band(-1.0, 1.0)},
                "the grade has not fallen by 0.1 yet: a larger size, or the head's own gradient as the direction.",
            ),
        ),
        praise="the head fears something that does no harm: that is what Algorithm 1 is to teach it.",
    ),
    Exercise(
        "fool_the_segmenter",
        'Make the Dice fall by 0.1 while the grade stays (within 0.02). Give {"grade": ..., "dice": ...}: the two falls.',
        right=lambda: {"grade": STAYS, "dice": FALLS["dice"]},
        mistakes=(
            Mistake(
                lambda: {"grade": Band(STAYS.high, 9.0), "dice": FALLS["dice"]},
                "the head has noticed; which direction harms the network without asking the head?",
            ),
            Mistake(
                lambda: {"grade": Band(-1.0, 9.0), "dice": SMALL["dice"]},
                "the Dice has not fallen by 0.1 yet: a larger size, or the segmenter's own loss as the direction.",
            ),
        ),
        praise="a failure without a sign, made by hand: this direction is not the one that the head was trained on.",
    ),
)

CHOICES = (
    Choice(
        "grade_above_one",
        "A head predicts a Dice of 1.04. What is that?",
        {
            "a": Option("A bug.", "no line is wrong: the last layer of the paper's head has no bound."),
            "b": Option(
                "A choice: the output is not bounded.",
                "the head ends in a linear layer; a sigmoid would bound it, and flatten its gradient.",
                True,
            ),
            "c": Option("A very good segmentation.", "no Dice is above 1; the excess is the head's error."),
            "d": Option("A domain shift.", "it happens on the source, too, where most true scores are near 1."),
        },
    ),
    Choice(
        "low_loss",
        "The adversarial head's training loss has become low. Has the loop aligned?",
        {
            "a": Option(
                "Yes: it predicts the scores of its own perturbed images.",
                "that is easy as long as they do not harm: then it predicts what it did before.",
            ),
            "b": Option(
                "Yes, if alpha has become constant.",
                "alpha rests when the *predicted* drop is delta_s; the true one may still be 0.",
            ),
            "c": Option(
                "That is to be read from the true drop.",
                "aligned means: what the head fears does harm. Only the true drop shows harm.",
                True,
            ),
            "d": Option(
                "No, a low loss means that the perturbations are too small.",
                "it may; or the head has learned their effect. The loss does not tell which.",
            ),
        },
    ),
)
