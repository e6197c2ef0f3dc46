"""Why does Algorithm 1's loop align on some images and not on others? Heads that differ in one thing each.

    python benchmarks/alignment_trials.py train runs/A --trials base lr-4 no-lag --steps 1000 --out trials.csv
    python benchmarks/alignment_trials.py log trials.csv --out results/medium-trials.csv

`train` reads a finished run's segmenter and trains heads of its settings, each with the changes that its trial names, side
by side: they see the same batches. One row per trial and 100 steps: medians of the predicted and the true drop in the loop,
of ||delta|| / ||x||, and alpha. Every 500 steps also, with the head as it is then and for fresh perturbations of source
validation images: both drops, what the segmenter's own gradient does at the same sizes, image by image, and the head's mean
squared error on the clean ones. Adds to the csv. `log` writes one row per trial.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from advconf_lite.adversarial import Algorithm1, Half, relative_norm, segment
from advconf_lite.course.probing import apply_delta, head_delta
from advconf_lite.experiment.networks import new_head
from advconf_lite.experiment.parts import to_device
from advconf_lite.experiment.run import Run, open_run
from advconf_lite.head_training import HeadMethod, Learner, train_heads
from advconf_lite.methods.controls import segmenter_direction, with_norms
from advconf_lite.segmenter import Segmenter
from advconf_lite.settings import Settings


class NoLag(Algorithm1):
    """x' is made by the head that is then scored on it, and not by that of the turn before: one more pass a step."""

    def step(self, segmenter: nn.Module, clean: Half) -> dict[str, Any]:
        if self.x_adv is not None:
            before = segment(segmenter, self.x_before, self.y_adv, gradient=True)
            s_hat = self.head(before.z)
            self.x_adv = self.next_images(self.x_before, self.input_gradient(s_hat, before.x))
            self.s_hat_before = s_hat.detach()
            self.norm_before = relative_norm(self.delta, self.x_before)
        self.x_before = clean.x.detach()
        return super().step(segmenter, clean)


class PresentOnly(Algorithm1):
    """Classes that are absent in truth are left out of loss and drops, whether they are drawn or not."""

    def true_scores(self, half: Half) -> Tensor:
        s = super().true_scores(half)
        there = torch.stack([(half.y == label).flatten(1).any(1) for label in range(1, s.shape[1] + 1)], 1)
        return s.where(there, torch.nan)


class OneSize(Algorithm1):
    """The direction of line 21, and one ||delta|| / ||x|| for all images, alpha: a flat gradient moves none farther."""

    def next_images(self, x: Tensor, gradient: Tensor) -> Tensor:
        self.delta = -self.alpha * with_norms(gradient, x)
        return x + self.delta


class Taught(Algorithm1):
    """The segmenter's own gradient at one size, alpha, in place of the head's: can a head see in z what harms?"""

    def step(self, segmenter: nn.Module, clean: Half) -> dict[str, Any]:
        self.harm = segmenter_direction(segmenter.logits, clean.x, clean.y)
        return super().step(segmenter, clean)

    def next_images(self, x: Tensor, gradient: Tensor) -> Tensor:
        self.delta = self.alpha * with_norms(self.harm, x)
        return x + self.delta


@dataclass(frozen=True)
class Trial:
    """What differs from the run's own settings, in words and as values; `lr` times its learning rate.

    `shared` settings belong to the batches, so that trials with different ones are trained apart.
    """

    what: str
    settings: dict[str, Any] = field(default_factory=dict)
    lr: float = 1.0
    kind: type[Algorithm1] = Algorithm1
    shared: dict[str, Any] = field(default_factory=dict)


START = {"objective": "sum", "alpha": 0.8}  # the paper's
PROBED = 64  # source validation slices, at even distances
PROBES = ("fresh_predicted", "fresh_true", "fresh_size", "gradient_predicted", "gradient_true", "squared_error")

TRIALS = {
    "base": Trial("nothing, the profile's own settings"),
    "lr-0.2": Trial("a fifth of the learning rate", lr=0.2),
    "lr-4": Trial("4 times the learning rate", lr=4.0),
    "lr-10": Trial("10 times the learning rate", lr=10.0),
    "no-lag": Trial("x' made by the head that is scored on it", kind=NoLag),
    "group-norm": Trial("group norm in the head", {"head_norm": "group"}),
    "group-lr-4": Trial("group norm, 4 times the learning rate", {"head_norm": "group"}, lr=4.0),
    "present-only": Trial("absent classes left out", kind=PresentOnly),
    "present-only-lr-4": Trial("absent classes left out, 4 times the learning rate", lr=4.0, kind=PresentOnly),
    "one-size": Trial("one size for all images", {"alpha": 0.02}, kind=OneSize),
    "one-size-lr-4": Trial("one size for all images, 4 times the learning rate", {"alpha": 0.02}, 4.0, OneSize),
    "wide-lr-4": Trial("32 channels in the head, 4 times the learning rate", {"head_channels": 32}, lr=4.0),
    "delta-0.2-lr-4": Trial("delta_s and start at 0.2, 4 times the learning rate", {"delta_s": 0.2, "alpha": 0.2}, lr=4.0),
    "sum-0.8": Trial("the paper's start", START),
    "sum-0.8-lr-2": Trial("the paper's start, 2 times the learning rate", START, lr=2.0),
    "sum-0.8-lr-4": Trial("the paper's start, 4 times the learning rate", START, lr=4.0),
    "sum-0.8-lr-10": Trial("the paper's start, 10 times the learning rate", START, lr=10.0),
    "taught": Trial("the segmenter's own gradient, size 0.02", {"alpha": 0.02, "eta": 0.0}, kind=Taught),
    "batch-32": Trial("32 images a step", shared={"batch_size": 32}),
    "no-augmentation": Trial("no augmentation", shared={"augmentations": ()}),
}


def settings_of(run: Run, trial: Trial) -> Settings:
    s = run.settings
    return replace(s, head_lr=s.head_lr * trial.lr, **{**trial.shared, **trial.settings})


def new_learner(run: Run, segmenter: Segmenter, name: str, seed: int) -> Learner:
    trial = TRIALS[name]
    settings, method = settings_of(run, trial), HeadMethod(name)
    method.algorithm = trial.kind
    head = new_head(segmenter, run.experiment, settings, "dice", seed).to(run.device)
    return Learner(method, head, run.quality("dice"), settings)


def in_the_loop(learner: Learner, last: int) -> dict[str, float]:
    """Medians over the last steps, as Figure 1 would show them."""
    rows = pd.DataFrame([row for row in learner.history[-last:] if "true_drop" in row])
    if rows.empty:  # all of them warm-up
        return dict.fromkeys(("predicted_drop", "true_drop", "size", "alpha"))
    names = {"predicted_drop": "predicted_drop", "true_drop": "true_drop", "delta_norm": "size"}
    return {new: rows[old].median() for old, new in names.items()} | {"alpha": rows["alpha"].iloc[-1]}


def fresh(run: Run, segmenter: Segmenter, learner: Learner) -> dict[str, float]:
    """Source validation images, perturbed by the head as it is now, with its alpha; and by the segmenter's own gradient."""
    x, y = run.experiment.val.pair()
    take = torch.linspace(0, len(x) - 1, min(PROBED, len(x))).long()
    x, y = x[take].to(run.device), y[take].to(run.device)
    parts, g, s = [], learner.g, learner.settings
    for images, masks in zip(x.split(64), y.split(64)):
        delta = head_delta(segmenter, learner.head, images, learner.algorithm.alpha, s)
        if issubclass(learner.method.algorithm, OneSize | Taught):
            delta = learner.algorithm.alpha * with_norms(delta, images)
        attack = with_norms(segmenter_direction(segmenter.logits, images, masks, s.dice_background), delta)
        own, harm = (apply_delta(segmenter, learner.head, images, masks, d, g) for d in (delta, attack))
        parts.append((*own.predicted, *own.true, *harm.predicted, *harm.true, relative_norm(delta, images)))
    p0, p1, s0, s1, q0, q1, _, t1, size = (torch.cat(values).cpu() for values in zip(*parts))
    return {
        "fresh_predicted": (p0 - p1).mean().item(),
        "fresh_true": (s0 - s1).mean().item(),
        "fresh_size": size.median().item(),
        "gradient_predicted": (q0 - q1).mean().item(),
        "gradient_true": (s0 - t1).mean().item(),
        "squared_error": (p0 - s0).square().mean().item(),
    }


def run_trials(run: Run, chosen: argparse.Namespace) -> None:
    groups: dict[str, list[str]] = {}
    for name in chosen.trials:
        groups.setdefault(str(TRIALS[name].shared), []).append(name)
    for group in groups.values():
        shared = TRIALS[group[0]].shared
        segmenter = run.segmenter(0)
        learners = [new_learner(run, segmenter, name, chosen.seed) for name in group]
        settings = replace(run.settings, head_patience=None, **shared)
        schedule = replace(run.profile, head_steps=chosen.steps, settings=settings)
        pairs = (to_device(part, run.device) for part in (run.experiment.train, run.experiment.val))

        def look(step: int, segmenter: Segmenter = segmenter, learners: list[Learner] = learners) -> None:
            if (step + 1) % chosen.every:
                return
            rows = []
            for learner in learners:
                row = {"run": run.folder.name, "trial": learner.method.name, "seed": chosen.seed, "step": step + 1}
                row |= in_the_loop(learner, chosen.every)
                row |= fresh(run, segmenter, learner) if (step + 1) % chosen.probe == 0 else dict.fromkeys(PROBES)
                rows.append(row)
            table = pd.DataFrame(rows).round(5)
            print(table.to_string(index=False), flush=True)
            table.to_csv(chosen.out, mode="a", header=not chosen.out.exists(), index=False)

        train_heads(segmenter, learners, *pairs, schedule, chosen.seed, progress=False, on_step=look)


def log(raw: pd.DataFrame) -> pd.DataFrame:
    """One row per run and trial: the true drop as it went, and all else as it was in the end."""
    keys = ["run", "trial"]
    went = raw.pivot_table(index=keys, columns="step", values="true_drop")
    went.columns = [f"after_{step}" for step in went.columns]
    last = raw.sort_values("step").groupby(keys).last()  # of each column the last value that there is
    last = last[["step", "predicted_drop", "true_drop", "size", "alpha", *PROBES]].rename(columns={"step": "steps"})
    table = last.join(went).reset_index()
    order = [list(TRIALS).index(name) for name in table["trial"]]
    table.insert(2, "what_differs", [TRIALS[name].what for name in table["trial"]])
    return table.iloc[np.lexsort((order, table["run"] != raw["run"].iloc[0]))].dropna(axis=1, how="all")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    train, table = verbs.add_parser("train"), verbs.add_parser("log")
    train.add_argument("run")
    train.add_argument("--trials", nargs="+", default=list(TRIALS), choices=list(TRIALS))
    train.add_argument("--steps", type=int, default=1000)
    train.add_argument("--every", type=int, default=100)
    train.add_argument("--probe", type=int, default=500)
    train.add_argument("--seed", type=int, default=0)
    table.add_argument("raw", type=Path)
    for each in (train, table):
        each.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    if chosen.verb == "log":
        log(pd.read_csv(chosen.raw)).to_csv(chosen.out, index=False, float_format="%.3f")
        return
    pd.set_option("display.width", 250, "display.max_columns", 50)
    run_trials(open_run(chosen.run, progress=False), chosen)


if __name__ == "__main__":
    main()
