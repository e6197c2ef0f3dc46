"""The stage that trains heads: which of them the folder lacks, what those depend on, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import nn

from advconf_lite.experiment.folder import Key, RunFolder
from advconf_lite.experiment.networks import new_head, seeded
from advconf_lite.experiment.parts import to_device
from advconf_lite.experiment.profiles import Profile
from advconf_lite.experiment.weights import load_weights, save_weights
from advconf_lite.head_training import Learner, train_heads
from advconf_lite.methods.registry import find_method
from advconf_lite.segmenter import Segmenter
from advconf_lite.support.checkpoints import load_checkpoint
from advconf_lite.support.files import write_atomically


def train_missing(run: RunFolder, segmenter: Segmenter, wanted: Sequence[Key], s: int, h: int) -> None:
    """Train those of `wanted` whose weights the folder lacks, on segmenter seed `s` with head seed `h`.

    A head that goes on from another one is trained after it, and one that replays another's perturbations beside it.
    """
    missing = [key for key in wanted if not run.has_head(*key, s, h)]
    later = [key for key in missing if find_method(key[0]).starts_from]
    bases = [(find_method(name).starts_from, quality) for name, quality in later]
    first = [key for key in missing if key not in later]
    first += [key for key in bases if key not in first and not run.has_head(*key, s, h)]
    for stage, keys in (("heads", first), ("finetuning", later)):
        checkpoint = run.checkpoint_path(f"{stage}-s{s}-h{h}")
        begun = (load_checkpoint(checkpoint, "cpu") or {"learners": {}})["learners"] if keys else {}
        # Heads that a killed run had begun go on from its checkpoint; the others start afresh after them.
        for group in ([k for k in keys if "/".join(k) in begun], [k for k in keys if "/".join(k) not in begun]):
            if group:
                _train(run, segmenter, group, s, h, checkpoint)


def finished_head(run: RunFolder, segmenter: Segmenter, key: Key, s: int, h: int) -> nn.Module:
    """A trained head from its file, in evaluation mode."""
    head = built(run, segmenter, key, h, untrained_head(run, segmenter, key[1], h))
    load_weights(head, run.head_path(*key, s, h))
    return head.eval()


def built(run: RunFolder, segmenter: Segmenter, key: Key, h: int, head: nn.Module) -> nn.Module:
    """What a method trains, from a head or in its place; new weights in it are those of the seed `h`."""
    with seeded("built by a method", h, *key):
        return find_method(key[0]).build(head, segmenter, run.quality(key[1])).to(run.device)


def own_profile(name: str, profile: Profile) -> Profile:
    """The profile as one method trains with it: the settings that `tune` chose for it, and what its name says."""
    settings = replace(profile.settings, **profile.method_settings.get(name, {}))
    return find_method(name).adjust(replace(profile, settings=settings))


def _train(run: RunFolder, segmenter: Segmenter, group: list[Key], s: int, h: int, checkpoint: Path) -> None:
    pairs = {(name, quality): (find_method(name).pair, quality) for name, quality in group if find_method(name).pair}
    beside = [key for key in dict.fromkeys(pairs.values()) if key not in group]
    print(f"training confidence heads on segmenter {s}, head seed {h}: {_named(group)}", flush=True)
    if beside:
        print(f"beside them {_named(beside)}, whose perturbations some of them replay", flush=True)
    learners = {key: _new_learner(run, segmenter, key, s, h) for key in [*beside, *group]}
    for key, pair in pairs.items():
        learners[key].pair = learners[pair]
    parts = (to_device(part, run.device) for part in (run.experiment.train, run.experiment.val))
    schedule = replace(run.profile, head_steps=max(learner.steps for learner in learners.values()))

    def keep(step: int) -> None:
        if step + 1 in run.stages:
            for key, learner in learners.items():
                save_weights(learner.head, run.stage_path(*key, s, h, step + 1))

    train_heads(segmenter, list(learners.values()), *parts, schedule, h, checkpoint, run.progress, on_step=keep)
    for (name, quality), trained in learners.items():
        if run.has_head(name, quality, s, h):  # a pair that was there, and has come out the same
            continue
        run.merge_history(trained.history, stage="head", quality=quality, method=name, segmenter_seed=s, head_seed=h)
        seen = {half: np.asarray(scores, np.float32) for half, scores in trained.seen.items()}
        write_atomically(run.seen_path(name, quality, s, h), lambda path, seen=seen: np.savez_compressed(path, **seen))
        save_weights(trained.head, run.head_path(name, quality, s, h))
    checkpoint.unlink(missing_ok=True)


def _named(keys: Sequence[Key]) -> str:
    return ", ".join(f"{name} ({quality})" for name, quality in keys)


def untrained_head(run: RunFolder, segmenter: Segmenter, quality: str, seed: int) -> nn.Module:
    """A head of the run's shape, with the seed's weights."""
    return new_head(segmenter, run.experiment, run.settings, quality, seed).to(run.device)


def _new_learner(run: RunFolder, segmenter: Segmenter, key: Key, s: int, h: int) -> Learner:
    name, quality = key
    method, head = find_method(name), untrained_head(run, segmenter, quality, h)
    if method.starts_from:
        load_weights(head, run.head_path(method.starts_from, quality, s, h))
    own, experiment = own_profile(name, run.profile), run.experiment
    head, organ = built(run, segmenter, key, h, head), experiment.slices.organ
    return Learner(method, head, run.quality(quality), own.settings, organ, experiment.spacing_mm, steps=own.head_steps)
