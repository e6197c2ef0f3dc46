"""Predicted scores for images that nobody has segmented by hand: what a clinic would use."""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from advconf_lite.data.slices import read_slice_set
from advconf_lite.evaluation.predictions import named_slices
from advconf_lite.experiment.heads import finished_head
from advconf_lite.experiment.run import Run, open_run, seeds_needed
from advconf_lite.head import head_scores
from advconf_lite.methods.passes import pass_scores
from advconf_lite.methods.registry import find_method, head_methods, pass_methods
from advconf_lite.quality import aggregate
from advconf_lite.segmenter import decided, label_map
from advconf_lite.support.command_line import line_width
from advconf_lite.support.errors import BadInput
from advconf_lite.support.files import write_atomically


def predict(
    run_folder: str | Path,
    data: str | Path,
    out: str | Path,
    method: str = "adversarial",
    segmenter_seed: int = 0,
    head_seed: int = 0,
    progress: bool = True,
) -> pd.DataFrame:
    """Score every slice of a slice set with a finished run's heads, or by a method of it that scores from plain passes.

    Masks, if there are any, are not looked at.

    Returns:
        One row per slice, worst first by the run's first quality: dataset, domain, subject, phase, slice, then
        predicted_<quality> and predicted_<quality>_<class>; also written to `out` as CSV. A slice on which the networks
        give NaN or infinity has NaN there and comes before all others: nothing is known of it, so a human must look.

    Raises:
        BadInput: no such run or data, the run has no such head or method, or what it needs was not trained yet.
    """
    run = open_run(run_folder, progress)
    trained = head_methods(run.methods)
    wanted = [*trained, *(each.name for each in pass_methods(run.methods))]
    if method not in wanted:
        raise BadInput(f"{run_folder} has no head {method!r}; it has {', '.join(wanted) or 'none'}", argument="method")
    heads = [run.head_path(method, quality, segmenter_seed, head_seed) for quality in run.qualities if method in trained]
    for path in (*map(run.segmenter_path, seeds_needed(segmenter_seed, [method])), *heads):
        if not path.exists():
            raise BadInput(f"{path} does not exist; finish the run first with the same command that began it")
    slices = read_slice_set(data)
    classes = run.experiment.class_names
    if slices.masks is not None and slices.class_names != classes:
        raise BadInput(
            f"{data} has the classes {', '.join(slices.class_names)} but the run was trained on "
            f"{', '.join(classes)}; give images of the same anatomy"
        )
    table = slices.table[["dataset", "domain", "subject", "phase", "slice"]].copy()
    images, _ = slices.tensors(run.experiment.size, run.experiment.spacing_mm, run.settings.normalise)
    found = (_by_heads if method in trained else _by_passes)(run, method, images, segmenter_seed, head_seed)
    foreground = slice(1, None) if run.settings.predict_background else slice(None)
    for quality, scores in found.items():
        scores = scores.where(scores.isfinite(), torch.nan)[:, foreground].cpu()
        table[f"predicted_{quality}"] = aggregate(scores).numpy()
        for column, name in enumerate(classes):
            table[f"predicted_{quality}_{name}"] = scores[:, column].numpy()
    first = f"predicted_{next(iter(found))}"
    table = table.sort_values(first, kind="stable", na_position="first").reset_index(drop=True)
    write_atomically(out, lambda temporary: table.to_csv(temporary, index=False))
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


def _by_passes(run: Run, method: str, images: Tensor, s: int, h: int) -> dict[str, Tensor]:
    qualities = [run.quality(name) for name in run.qualities]
    found = pass_scores(run.lent(s, [method]), images, [find_method(method)], qualities, run.settings.agreement_empty)
    return {quality: scores for (_, quality), scores in found.items()}


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run", dest="run_folder", required=True, type=Path, metavar="runs/NAME", help="a finished run")
    parser.add_argument("--data", required=True, type=Path, metavar="FOLDER", help="a slice set; masks may be missing")
    parser.add_argument("--out", required=True, type=Path, metavar="scores.csv")
    parser.add_argument("--method", default="adversarial", help="a head of the run, or soft-dice and its like")
    parser.add_argument("--segmenter-seed", type=int, default=0, metavar="N")
    parser.add_argument("--head-seed", type=int, default=0, metavar="N")


def run(chosen: argparse.Namespace) -> int:
    """The command `predict`."""
    table = predict(chosen.run_folder, chosen.data, chosen.out, chosen.method, chosen.segmenter_seed, chosen.head_seed)
    print(table.head(10).to_string(index=False, float_format="{:.3f}".format, line_width=line_width()))
    lost = table.filter(regex="^predicted_").isna().any(axis=1)
    if lost.any():
        which = named_slices(table[lost])
        print(f"no finite prediction for {lost.sum()} of {len(table)} slices, which a human must look at: {which}")
    print(f"{len(table)} slices, worst first: {chosen.out}")
    return 0
