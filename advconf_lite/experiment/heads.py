"""The stage that trains heads: which of them the folder lacks, what those depend on, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import nn

from advconf_lite.experiment.folder import load_weights, merge_history, save_weights
from advconf_lite.experiment.parts import to_device
from advconf_lite.experiment.profiles import Profile
from advconf_lite.experiment.reacquired import organ_of
from advconf_lite.head_training import HeadRun, train_heads
from advconf_lite.methods.registry import find_method
from advconf_lite.segmenter import Segmenter
from advconf_lite.support.files import write_atomically
from advconf_lite.training import load_checkpoint

if TYPE_CHECKING:
    from advconf_lite.experiment.run import Run

Key = tuple[str, str]  # (method, quality)


def train_missing(run: Run, segmenter: Segmenter, wanted: Sequence[Key], s: int, h: int) -> None:
    """Train those of `wanted` whose weights the folder lacks, on segmenter seed `s` with head seed `h`.

    A head that goes on from another one is trained after it, and one that replays another's perturbations beside it.
    """
    missing = [key for key in wanted if not run.head_path(*key, s, h).exists()]
    later = [key for key in missing if find_method(key[0]).starts_from]
    bases = [(find_method(name).starts_from, quality) for name, quality in later]
    first = [key for key in missing if key not in later]
    first += [key for key in bases if key not in first and not run.head_path(*key, s, h).exists()]
    for stage, keys in (("heads", first), ("finetuning", later)):
        checkpoint = run.folder / "checkpoints" / f"{stage}-s{s}-h{h}.pt"
        begun = (load_checkpoint(checkpoint, "cpu") or {"runs": {}})["runs"] if keys else {}
        # Heads that a killed run had begun go on from its checkpoint; the others start afresh after them.
        for group in ([k for k in keys if "/".join(k) in begun], [k for k in keys if "/".join(k) not in begun]):
            if group:
                _train(run, segmenter, group, s, h, checkpoint)


def finished_head(run: Run, segmenter: Segmenter, key: Key, s: int, h: int) -> nn.Module:
    """A trained head from its file, in evaluation mode."""
    head = find_method(key[0]).build(run.new_head(segmenter, key[1], h), segmenter)
    load_weights(head, run.head_path(*key, s, h))
    return head.eval()


def own_profile(name: str, profile: Profile) -> Profile:
    """The profile as one method trains with it: the settings that `tune` chose for it, and what its name says."""
    settings = replace(profile.settings, **profile.method_settings.get(name, {}))
    return find_method(name).adjust(replace(profile, settings=settings))


def _train(run: Run, segmenter: Segmenter, group: list[Key], s: int, h: int, checkpoint: Path) -> None:
    pairs = {(name, quality): (find_method(name).pair, quality) for name, quality in group if find_method(name).pair}
    beside = [key for key in dict.fromkeys(pairs.values()) if key not in group]
    named = ", ".join(f"{name} ({quality})" for name, quality in group)
    print(f"training confidence heads on segmenter {s}, head seed {h}: {named}", flush=True)
    if beside:
        named = ", ".join(f"{name} ({quality})" for name, quality in beside)
        print(f"beside them {named}, whose perturbations some of them replay", flush=True)
    runs = {key: _new_run(run, segmenter, key, s, h) for key in [*beside, *group]}
    for key, pair in pairs.items():
        runs[key].pair = runs[pair]
    parts = (to_device(part, run.device) for part in (run.experiment.train, run.experiment.val))
    profile = replace(run.profile, head_steps=own_profile(group[0][0], run.profile).head_steps)
    train_heads(segmenter, list(runs.values()), *parts, profile, h, checkpoint, run.progress)
    for (name, quality), trained in runs.items():
        if run.head_path(name, quality, s, h).exists():  # a pair that was there, and has come out the same
            continue
        merge_history(run.folder, trained.history, stage="head", quality=quality, method=name, segmenter_seed=s, head_seed=h)
        seen = {half: np.asarray(scores, np.float32) for half, scores in trained.seen.items()}
        write_atomically(run.seen_path(name, quality, s, h), lambda path, seen=seen: np.savez_compressed(path, **seen))
        save_weights(trained.head, run.head_path(name, quality, s, h))
    checkpoint.unlink(missing_ok=True)


def _new_run(run: Run, segmenter: Segmenter, key: Key, s: int, h: int) -> HeadRun:
    name, quality = key
    head = run.new_head(segmenter, quality, h)
    if start := find_method(name).starts_from:
        load_weights(head, run.head_path(start, quality, s, h))
    return HeadRun(
        find_method(name),
        quality,
        find_method(name).build(head, segmenter),
        run.quality(quality),
        own_profile(name, run.profile).settings,
        organ_of(run.experiment.slices),
        run.experiment.spacing_mm,
    )
