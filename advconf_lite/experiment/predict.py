"""Predicted scores for images that nobody has segmented by hand: what a clinic would use.

Beside the slices' table lies one with a row per volume. A calibration adds decisions, and why they were taken. Slices are
scored in pieces (`pieces`), so that a hundred thousand take the memory of a few hundred, and a killed command goes on.
"""

from __future__ import annotations

import argparse
import random
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from advconf_lite import __version__
from advconf_lite.data.slice_checks import FILES, load
from advconf_lite.data.slices import SliceSet, read_slice_set
from advconf_lite.evaluation.predictions import SLICE, named_slices
from advconf_lite.evaluation.volumes import volume_table
from advconf_lite.experiment.decision import ACCEPT, REVIEW, Calibration, weights_of
from advconf_lite.experiment.heads import finished_head
from advconf_lite.experiment.labelled import cropped, fitting
from advconf_lite.experiment.outputs import refuse_to_replace
from advconf_lite.experiment.pieces import Columns, Pieces
from advconf_lite.experiment.run import open_run
from advconf_lite.head import head_scores
from advconf_lite.head_training import HeadMethod
from advconf_lite.methods.passes import PassMethod, pass_scores
from advconf_lite.methods.registry import find_method, head_methods, pass_methods, sampled_methods
from advconf_lite.methods.sampled import sampled_scores
from advconf_lite.quality import aggregate
from advconf_lite.segmenter import decided, label_map
from advconf_lite.support.command_line import line_width
from advconf_lite.support.errors import BadInput
from advconf_lite.support.files import write_atomically
from advconf_lite.support.numbers import whole
from advconf_lite.support.processes import in_processes
from advconf_lite.support.progress import bar
from advconf_lite.support.randomness import derived_seed

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
    processes: int = 1,
) -> pd.DataFrame:
    """Score every slice of a slice set with a finished run; masks, if there are any, are not looked at.

    Args:
        method: one of the run's heads, or a method of it that scores from samples or from plain passes.
        calibration: by `calibrate`, whose method and seeds are then taken.
        processes: that share the work, each with one thread; so do other calls with the same arguments, also on other
            machines, if they have `out`'s folder in common.

    Returns:
        One row per slice, worst first by the run's first quality: dataset, domain, subject, phase, slice, then
        predicted_<quality> and predicted_<quality>_<class>, and pixels_<class>, how much is outlined (on the run's grid);
        with a calibration also predicted_score, calibrated_score, lower_bound, decision and reason. It is also written to
        `out` as CSV, and by volume to `volumes_beside(out)` (`evaluation.volumes`). A slice on which the networks give NaN
        or infinity has NaN there and comes before all others: nothing is known of it, so a human must look.

    Raises:
        BadInput: no such run or data, the run has no such method, nothing was trained yet, a calibration that was made
            with other weights, or an `out` that would replace one of these.
    """
    for path in (out, volumes_beside(out)):
        refuse_to_replace(path, calibration)
    whole(processes, "processes", 1)
    run = open_run(run_folder, progress)
    made = None if calibration is None else Calibration(calibration)
    if made is not None:
        made.check(run)
        method, (segmenter_seed, head_seed) = made.method, made.seeds
    ways = [*head_methods(run.methods), *(m.name for m in (*pass_methods(run.methods), *sampled_methods(run.methods)))]
    if method not in ways:
        raise BadInput(f"{run_folder} has no head {method!r}; it has {', '.join(ways) or 'none'}", argument="method")
    seeds = segmenter_seed, head_seed
    weights = [weights_of(run, method, quality, *seeds) for quality in run.qualities]
    slices = fitting(run, read_slice_set(data), data)  # all of it is checked before anything is computed
    if sentence := cropped(run, slices):
        print(sentence, flush=True)
    files = {path.name: path.stat() for path in (Path(data) / name for name in FILES) if path.is_file()}
    about = {
        "version": __version__, "method": method, "seeds": seeds, "weights": weights, "profile": run.profile.as_dict(),
        "files": {name: [stat.st_size, stat.st_mtime_ns] for name, stat in files.items()},
    }  # fmt: skip
    asked = str(run_folder), str(data), method, *seeds, progress, str(about)
    scorer = _scorer(*asked)
    table = scorer.slices.table[["dataset", "domain", "subject", "phase", "slice"]].copy()
    pieces = Pieces(Path(out), len(table), about)
    if len(pieces.starts) == 1:
        found = scorer(range(len(table)))
    else:
        with pieces.used():
            found = _all_pieces(pieces, asked, processes, progress)
    table = table.assign(**found)
    classes, first = scorer.run.experiment.class_names, f"predicted_{scorer.qualities[0]}"
    table = table.sort_values(first, kind="stable", na_position="first").reset_index(drop=True)
    table = table if made is None else made.decided(table)
    write_atomically(out, lambda temporary: table.to_csv(temporary, index=False))
    volumes = volume_table(table, classes, made.quality if made is not None else scorer.qualities[0])
    write_atomically(volumes_beside(out), lambda temporary: volumes.to_csv(temporary, index=False))
    return table


def volumes_beside(out: str | Path) -> Path:
    """Where the table by volume goes: two tables of slices in one folder have one each."""
    return Path(out).with_name(f"{Path(out).stem}-volumes.csv")


class _Scorer:
    """Scores of slices by one method of a finished run, some at a time."""

    def __init__(self, run_folder: str, data: str, method: str, s: int, h: int, progress: bool) -> None:
        self.run = open_run(run_folder, progress)
        self.run.share = 0  # of the run's own images only those are read that are needed
        self.slices = fitting(self.run, SliceSet(Path(data), *load(Path(data))), data)
        self.method, self.h, self.s = find_method(method), h, s
        known = getattr(self.method, "only", None)
        self.qualities = [name for name in self.run.qualities if known in (None, name)]
        self.segmenter = self.run.segmenter(s)
        if isinstance(self.method, HeadMethod):
            self.heads = {q: finished_head(self.run, self.segmenter, (method, q), s, h) for q in self.qualities}
        if isinstance(self.method, PassMethod):
            self.lent = self.run.lent(s, [method])

    def __call__(self, rows: range) -> Columns:
        """predicted_<quality>, predicted_<quality>_<class> and pixels_<class> of slices, the first a multiple of 64."""
        run, columns = self.run, {}
        images, _ = self.slices.take(rows).tensors(run.experiment.size, run.experiment.spacing_mm, run.settings.normalise)
        scores, y_hat = self.scores(images, rows.start)
        foreground = slice(1, None) if run.settings.predict_background else slice(None)
        for quality, each in scores.items():
            each = each.where(each.isfinite(), torch.nan)[:, foreground].cpu()
            columns[f"predicted_{quality}"] = aggregate(each).numpy()
            for column, name in enumerate(run.experiment.class_names):
                columns[f"predicted_{quality}_{name}"] = each[:, column].numpy()
        for label, name in enumerate(run.experiment.class_names, start=1):
            columns[f"pixels_{name}"] = (y_hat == label).flatten(1).sum(1).cpu().numpy()
        return columns

    def scores(self, images: Tensor, start: int) -> tuple[dict[str, Tensor], Tensor]:
        """Quality -> predicted scores (n, classes), NaN for an image that the segmenter has no answer for; and its masks."""
        run, x = self.run, images.to(self.run.device)
        empty, qualities = run.settings.agreement_empty, [run.quality(name) for name in run.qualities]
        with torch.inference_mode():
            passes = [(decided(logits), label_map(logits), z) for logits, z in map(self.segmenter, x.split(64))]
            good, y_hat, z = (torch.cat(parts) for parts in zip(*passes))
            if isinstance(self.method, HeadMethod):
                read = {quality: self.method.features(head, x, z, y_hat) for quality, head in self.heads.items()}
                scores = {quality: head_scores(head, read[quality]) for quality, head in self.heads.items()}
                return {name: each.masked_fill(~good[:, None], torch.nan) for name, each in scores.items()}, y_hat
        if isinstance(self.method, PassMethod):
            found = pass_scores(self.lent, images, [self.method], qualities, empty)
        else:
            seed = derived_seed("agreement", self.s, self.h, "predict") + start // 64
            found = sampled_scores(self.segmenter, images, [self.method], qualities, seed, empty)
        return {quality: each for (_, quality), each in found.items()}, y_hat


@lru_cache(maxsize=1)
def _scorer(*asked: Any) -> _Scorer:
    return _Scorer(*asked[:-1])  # the last one says what is in the files


def _all_pieces(pieces: Pieces, asked: tuple[Any, ...], processes: int, progress: bool) -> Columns:
    """The columns of all slices, those of the missing pieces made now, in several processes."""
    missing, threads = pieces.missing(), torch.get_num_threads()
    if len(missing) < len(pieces.starts):
        print(f"{len(pieces.starts) - len(missing)} of {len(pieces.starts)} pieces are there already", flush=True)
    first = random.randrange(len(missing) or 1)  # calls on several machines seldom want the same one
    missing = missing[first:] + missing[:first]
    try:
        torch.set_num_threads(1 if processes > 1 else threads)
        done = in_processes(_make, [(pieces, start, asked) for start in missing], processes, helping=True)
        for _ in bar(done, total=len(missing), desc=f"slices, {pieces.size} at a time", disable=not progress):
            pass
        for start in pieces.missing():  # what another call has begun
            _make(pieces, start, asked, wait=True)
    finally:
        torch.set_num_threads(threads)
    return pieces.joined()


def _make(pieces: Pieces, start: int, asked: tuple[Any, ...], wait: bool = False) -> None:
    pieces.make(start, lambda rows: _scorer(*asked)(rows), wait)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run", dest="run_folder", required=True, type=Path, metavar="runs/NAME", help="a finished run")
    parser.add_argument("--data", required=True, type=Path, metavar="FOLDER", help="a slice set; masks may be missing")
    parser.add_argument("--out", required=True, type=Path, metavar="scores.csv")
    parser.add_argument("--method", default="adversarial", help="of the run: a trained head, agreement-N, soft-dice, ...")
    parser.add_argument("--segmenter-seed", type=int, default=0, metavar="N")
    parser.add_argument("--head-seed", type=int, default=0, metavar="N")
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="that share the work; one per core is best")
    parser.add_argument("--calibration", type=Path, metavar="FILE", help="by calibrate; its method and seeds are taken")


def run(chosen: argparse.Namespace) -> int:
    """The command `predict`, but for its contact sheet."""
    told(chosen)
    return 0


def told(chosen: argparse.Namespace) -> pd.DataFrame:
    """What the options ask for, with the first rows and what became of all printed."""
    table = predict(chosen.run_folder, chosen.data, chosen.out, chosen.method, chosen.segmenter_seed, chosen.head_seed,
                    calibration=chosen.calibration, processes=chosen.processes)  # fmt: skip
    shown = table if chosen.calibration is None else table[[*SLICE[1:], *DECIDED]]
    print(shown.head(10).to_string(index=False, float_format="{:.3f}".format, line_width=line_width()))
    lost = table.filter(regex="^predicted_").isna().any(axis=1)
    if lost.any():
        which = named_slices(table[lost])
        print(f"no finite prediction for {lost.sum()} of {len(table)} slices, which a human must look at: {which}")
    if chosen.calibration is not None:
        counts = table["decision"].value_counts()
        print(f"{counts.get(ACCEPT, 0)} accepted, {counts.get(REVIEW, 0)} for a human to review")
        if sentence := Calibration(chosen.calibration).elsewhere(table):
            print(sentence)
    print(f"{len(table)} slices, worst first: {chosen.out}; by volume: {volumes_beside(chosen.out)}")
    return table
