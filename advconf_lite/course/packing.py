"""From a finished run to the files that ship: which weights, which rows, which subjects. `course/shipped.py` reads them."""

from __future__ import annotations

import json
import lzma
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from advconf_lite.course.edition import FORMAT, MANIFEST, PAIR, write_array
from advconf_lite.data.slices import SliceSet, read_slice_set
from advconf_lite.evaluation.predictions import ABSENT, PREDICTION_COLUMNS
from advconf_lite.evaluation.rules import metrics_by_rule
from advconf_lite.experiment.compact import packed, pixels, read_weights, write_weights
from advconf_lite.experiment.folder import read_config
from advconf_lite.experiment.run import Run
from advconf_lite.methods.registry import head_methods
from advconf_lite.support.errors import BadInput
from advconf_lite.support.files import sha256, write_atomically, write_text

Patient = dict[str, tuple[np.ndarray, np.ndarray]]  # scanner -> image, mask (H, W)

LIMIT = 12_000_000  # bytes of all that ships
SHIPPED_HEADS = ("plain", "adversarial")
TEST_SUBJECTS = 12
VALIDATION_SLICES = 24  # on which a lesson finds its alpha
DECIMALS = 4  # of predictions
LICENCE = "Apache-2.0; simulated images, of nobody"


def stage_steps(run: Run) -> dict[str, int]:
    """Stage -> step of its weights, but for the end: the warm-up's last step, and a quarter of the way from there."""
    start = run.settings.warmup_batches
    return {"early": start, "middle": start + (run.profile.head_steps - start) // 4}


def pack(run: Run, organ: str, pairs: list[tuple[int, int]], patient: Patient, folder: Path) -> dict[str, Any]:
    """Write the files of one organ; returns its entry of the manifest. `patient`: one who lay in every scanner."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_weights(packed(read_weights(run.segmenter_path(PAIR[0]))), folder / run.segmenter_path(PAIR[0]).name)
    stages = _pack_heads(run, folder)
    _pack_tables(run, folder)
    subjects = _pack_slices(run, read_slice_set(run.folder / "data" / f"phantom-{organ}"), folder)
    drawn, masks = (np.stack(of) for of in zip(*patient.values()))
    write_atomically(folder / "one.npz", lambda path: np.savez_compressed(path, images=pixels(drawn), masks=masks))
    return {
        "data": run.data,
        "profile": run.profile.as_dict(),
        "qualities": run.qualities,
        "methods": run.methods,
        "pairs": [list(pair) for pair in pairs],
        "stages": stages,
        "subjects": subjects,
        "threads": read_config(run.folder)["threads"],
    }


def _pack_heads(run: Run, folder: Path) -> list[dict[str, Any]]:
    """Weights of each stage and what the heads saw. The early one is one file: it comes before Algorithm 1."""
    history, stages = run.history(), []
    for method in [name for name in head_methods(run.methods) if name in SHIPPED_HEADS]:
        for quality in run.qualities:
            key = (method, quality, *PAIR)
            rows = history[(history["method"] == method) & (history["quality"] == quality)]
            rows = rows[(rows["segmenter_seed"] == PAIR[0]) & (rows["head_seed"] == PAIR[1])].set_index("step")
            scored = rows.loc[rows.index > run.settings.warmup_batches, "val_loss"].dropna()
            for stage, step in {**stage_steps(run), "end": int(scored.idxmin())}.items():
                path = run.head_path(*key) if stage == "end" else run.stage_path(*key, step)
                name = path.name if stage != "early" else f"head-early-{quality}-s{PAIR[0]}-h{PAIR[1]}.safetensors"
                write_weights(packed(read_weights(path)), folder / name)
                alpha = rows["alpha"].get(step)
                if alpha is None or np.isnan(alpha):
                    alpha = None if method == "plain" else run.settings.alpha
                alpha = None if alpha is None else round(float(alpha), 6)
                stages.append(
                    {"method": method, "quality": quality, "name": stage, "step": step, "alpha": alpha, "file": name}
                )
            with np.load(run.seen_path(*key)) as seen:
                halves = {half: seen[half].astype(np.float16) for half in seen.files}
            path = folder / run.seen_path(*key).name
            write_atomically(path, lambda temporary, halves=halves: np.savez_compressed(temporary, **halves))
    return stages


def _pack_tables(run: Run, folder: Path) -> None:
    history = run.history()
    of_heads = history["method"].isin(SHIPPED_HEADS) & (history["head_seed"] == PAIR[1])
    kept = history[(history["segmenter_seed"] == PAIR[0]) & ((history["stage"] == "segmenter") | of_heads)]
    _write_table(kept, folder / "history.csv.xz", "%.6g")
    table = run.predictions()
    classes = [column for column in table if column not in [*PREDICTION_COLUMNS, ABSENT]]
    others = (table["segmenter_seed"] != PAIR[0]) | ~table["head_seed"].isin([PAIR[1]])
    table.loc[others, classes] = np.nan  # the score of an image is kept of all pairs, those of its classes of one
    scores = ["true_score", "predicted_score", *classes]
    table[scores] = table[scores].round(DECIMALS)
    _write_table(table, folder / "predictions.csv.xz", None)
    metrics = metrics_by_rule(table)  # of the numbers that ship
    write_atomically(folder / "metrics.csv", lambda path: metrics.to_csv(path, index=False, float_format="%.6g"))


def _write_table(table: pd.DataFrame, path: Path, numbers: str | None) -> None:
    text = table.to_csv(index=False, float_format=numbers, lineterminator="\n").encode()
    write_atomically(path, lambda temporary: temporary.write_bytes(lzma.compress(text, preset=9)))


def _pack_slices(run: Run, slices: SliceSet, folder: Path) -> dict[str, list[str]]:
    """A dozen test subjects, in turn from the source and each target, and as many of its training and validation as lessons
    need; returns split -> subjects. Always the first ones: nobody has chosen."""
    chosen = {
        "train": _enough(run, slices, "train", 2 * run.settings.batch_size),
        "val": _enough(run, slices, "val", VALIDATION_SLICES),
        "test": _in_turn(slices),
    }
    table = slices.table
    rows = [n for n, row in enumerate(table.itertuples()) if (row.domain, row.subject) in chosen[row.split]]
    kept = slices.take(rows)
    write_array(pixels(np.asarray(kept.images)), folder / "images.npy.xz")
    write_array(np.asarray(kept.masks), folder / "masks.npy.xz")
    write_text(folder / "slices.csv", kept.table.to_csv(index=False, lineterminator="\n"))
    info = {key: value for key, value in slices.info.items() if key not in ("sha256", "validation_domains")}
    info["how_made"] = {**info["how_made"], "kept": f"{len(rows)} of {len(slices)} slices", "bits": 8}
    write_text(folder / "dataset.json", json.dumps(info, indent=1) + "\n")
    return {split: sorted(subject for _, subject in of) for split, of in chosen.items()}


def _subjects(table: pd.DataFrame) -> list[tuple[str, str]]:
    return list(table[["domain", "subject"]].drop_duplicates().itertuples(index=False, name=None))


def _enough(run: Run, slices: SliceSet, split: str, count: int) -> list[tuple[str, str]]:
    """The first source subjects of a split that have so many slices together, and every class."""
    part, kept = slices.select(slices.source_domain, split), []
    for subject in _subjects(part.table):
        kept.append(subject)
        rows = np.flatnonzero(part.table["subject"].isin([name for _, name in kept]))
        if len(rows) >= count and set(np.unique(part.masks[rows])) >= set(range(slices.num_classes)):
            break
    return kept


def _in_turn(slices: SliceSet) -> list[tuple[str, str]]:
    domains = [slices.source_domain, *slices.target_domains]
    of = [_subjects(slices.select(domain, "test").table) for domain in domains]
    turns = [subjects[n] for n in range(max(map(len, of))) for subjects in of if n < len(subjects)]
    return turns[: max(TEST_SUBJECTS, len(of))]


def write_manifest(out: Path, organs: dict[str, Any], made_by: dict[str, Any]) -> int:
    """manifest.json, with the sum of every file that lies in `out`; returns the bytes of them all.

    Raises:
        BadInput: they are more than may ship.
    """
    files = sorted(path for organ in organs for path in (out / organ).iterdir())
    sums = {path.relative_to(out).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256(path)} for path in files}
    size = sum(each["bytes"] for each in sums.values())
    if size > LIMIT:
        raise BadInput(f"{out} has {size / 1e6:.1f} MB, and {LIMIT / 1e6:.0f} MB may ship; leave out some methods")
    manifest = {"format": FORMAT, "licence": LICENCE, **made_by, "organs": organs, "files": sums}
    write_text(out / MANIFEST, json.dumps(manifest, indent=1) + "\n")
    return size
