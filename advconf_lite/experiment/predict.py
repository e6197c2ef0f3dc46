"""Predicted scores for images that nobody has segmented by hand: what a clinic would use.

Beside the slices' table lies volumes.csv, a row per volume. A calibration adds decisions, and why they were taken.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from advconf_lite.data.slices import read_slice_set
from advconf_lite.evaluation.predictions import SLICE, named_slices
from advconf_lite.evaluation.volumes import volume_table
from advconf_lite.experiment.decision import ACCEPT, REVIEW, Calibration
from advconf_lite.experiment.heads import finished_head
from advconf_lite.experiment.labelled import fitting
from advconf_lite.experiment.run import Run, open_run
from advconf_lite.head import head_scores
from advconf_lite.methods.passes import pass_scores
from advconf_lite.methods.registry import find_method, head_methods, pass_methods, sampled_methods, seeds_needed
from advconf_lite.methods.sampled import sampled_scores
from advconf_lite.quality import aggregate
from advconf_lite.segmenter import decided, label_map
from advconf_lite.support.command_line import line_width
from advconf_lite.support.errors import BadInput
from advconf_lite.support.files import write_atomically
from advconf_lite.support.randomness import derived_seed

VOLUMES = "volumes.csv"
DECIDED = ["predicted_score", "calibrated_score", "lower_bound", "decision", "reason"]


def predict(
    run_folder: str | Path,
    data: str | Path,
    out: str | Path,
    method: str = "adversarial",
    segmenter_seed: int = 0,
    head_seed: int = 0,
    progress: bool = True,
    calibration: str | Path | None = None,
) -> pd.DataFrame:
    """Score every slice of a slice set with a finished run; masks, if there are any, are not looked at.

    Args:
        method: one of the run's heads, or a method of it that scores from samples or from plain passes.
        calibration: by `calibrate`, whose method and seeds are then taken.

    Returns:
        One row per slice, worst first by the run's first quality: dataset, domain, subject, phase, slice, then
        predicted_<quality> and predicted_<quality>_<class>, and pixels_<class>, how much is outlined (on the run's grid);
        with a calibration also predicted_score, calibrated_score, lower_bound, decision and reason. It is also written to
        `out` as CSV, and by volume to volumes.csv in the same folder (`evaluation.volumes`). A slice on which the networks
        give NaN or infinity has NaN there and comes before all others: nothing is known of it, so a human must look.

    Raises:
        BadInput: no such run or data, the run has no such method, nothing was trained yet, or a calibration that was made
            with other weights.
    """
    if Path(out).name == VOLUMES:
        raise BadInput(f"{out} is the name of the table by volume, which is written beside; choose another", argument="out")
    run = open_run(run_folder, progress)
    made = None if calibration is None else Calibration(calibration)
    if made is not None:
        made.check(run)
        method, (segmenter_seed, head_seed) = made.method, made.seeds
    trained = head_methods(run.methods)
    ways = {
        **dict.fromkeys(trained, _by_heads),
        **{each.name: _by_passes for each in pass_methods(run.methods)},
        **{each.name: _by_samples for each in sampled_methods(run.methods)},
    }
    if method not in ways:
        raise BadInput(f"{run_folder} has no head {method!r}; it has {', '.join(ways) or 'none'}", argument="method")
    heads = [run.head_path(method, quality, segmenter_seed, head_seed) for quality in run.qualities if method in trained]
    for path in (*map(run.segmenter_path, seeds_needed(segmenter_seed, [method])), *heads):
        if not path.exists():
            raise BadInput(f"{path} does not exist; finish the run first with the same command that began it")
    slices = fitting(run, read_slice_set(data), data)
    classes = run.experiment.class_names
    table = slices.table[["dataset", "domain", "subject", "phase", "slice"]].copy()
    images, _ = slices.tensors(run.experiment.size, run.experiment.spacing_mm, run.settings.normalise)
    found = ways[method](run, method, images, segmenter_seed, head_seed)
    foreground = slice(1, None) if run.settings.predict_background else slice(None)
    for quality, scores in found.items():
        scores = scores.where(scores.isfinite(), torch.nan)[:, foreground].cpu()
        table[f"predicted_{quality}"] = aggregate(scores).numpy()
        for column, name in enumerate(classes):
            table[f"predicted_{quality}_{name}"] = scores[:, column].numpy()
    masks = run.segmenter(segmenter_seed).masks(images.to(run.device))
    for label, name in enumerate(classes, start=1):
        table[f"pixels_{name}"] = (masks == label).flatten(1).sum(1).cpu().numpy()
    first = f"predicted_{next(iter(found))}"
    table = table.sort_values(first, kind="stable", na_position="first").reset_index(drop=True)
    table = table if made is None else made.decided(table)
    write_atomically(out, lambda temporary: table.to_csv(temporary, index=False))
    volumes = volume_table(table, classes, made.quality if made is not None else next(iter(found)))
    write_atomically(Path(out).parent / VOLUMES, lambda temporary: volumes.to_csv(temporary, index=False))
    return table


def _by_heads(run: Run, method: str, images: Tensor, s: int, h: int) -> dict[str, Tensor]:
    """Quality -> predicted scores (N, classes), NaN for an image that the segmenter has no answer for."""
    segmenter, x, scores = run.segmenter(s), images.to(run.device), {}
    with torch.inference_mode():
        passes = [(decided(logits), label_map(logits), z) for logits, z in map(segmenter, x.split(64))]
        good, y_hat, z = (torch.cat(parts) for parts in zip(*passes))
        for quality in run.qualities:
            head = finished_head(run, segmenter, (method, quality), s, h)
            predicted = head_scores(head, find_method(method).features(head, x, z, y_hat))
            scores[quality] = predicted.masked_fill(~good[:, None], torch.nan)
    return scores


def _by_samples(run: Run, method: str, images: Tensor, s: int, h: int) -> dict[str, Tensor]:
    segmenter, qualities = run.segmenter(s), [run.quality(name) for name in run.qualities]
    seed = derived_seed("agreement", s, h, "predict")
    found = sampled_scores(segmenter, images, [find_method(method)], qualities, seed, run.settings.agreement_empty)
    return {quality: scores for (_, quality), scores in found.items()}


def _by_passes(run: Run, method: str, images: Tensor, s: int, h: int) -> dict[str, Tensor]:
    qualities = [run.quality(name) for name in run.qualities]
    found = pass_scores(run.lent(s, [method]), images, [find_method(method)], qualities, run.settings.agreement_empty)
    return {quality: scores for (_, quality), scores in found.items()}


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run", dest="run_folder", required=True, type=Path, metavar="runs/NAME", help="a finished run")
    parser.add_argument("--data", required=True, type=Path, metavar="FOLDER", help="a slice set; masks may be missing")
    parser.add_argument("--out", required=True, type=Path, metavar="scores.csv")
    parser.add_argument("--method", default="adversarial", help="of the run: a trained head, agreement-N, soft-dice, ...")
    parser.add_argument("--segmenter-seed", type=int, default=0, metavar="N")
    parser.add_argument("--head-seed", type=int, default=0, metavar="N")
    parser.add_argument("--calibration", type=Path, metavar="FILE", help="by calibrate; its method and seeds are taken")


def run(chosen: argparse.Namespace) -> int:
    """The command `predict`, but for its contact sheet."""
    told(chosen)
    return 0


def told(chosen: argparse.Namespace) -> pd.DataFrame:
    """What the options ask for, with the first rows and what became of all printed."""
    table = predict(chosen.run_folder, chosen.data, chosen.out, chosen.method, chosen.segmenter_seed, chosen.head_seed,
                    calibration=chosen.calibration)  # fmt: skip
    shown = table if chosen.calibration is None else table[[*SLICE[1:], *DECIDED]]
    print(shown.head(10).to_string(index=False, float_format="{:.3f}".format, line_width=line_width()))
    lost = table.filter(regex="^predicted_").isna().any(axis=1)
    if lost.any():
        which = named_slices(table[lost])
        print(f"no finite prediction for {lost.sum()} of {len(table)} slices, which a human must look at: {which}")
    if chosen.calibration is not None:
        counts = table["decision"].value_counts()
        print(f"{counts.get(ACCEPT, 0)} accepted, {counts.get(REVIEW, 0)} for a human to review")
    print(f"{len(table)} slices, worst first: {chosen.out}; by volume: {chosen.out.parent / VOLUMES}")
    return table
