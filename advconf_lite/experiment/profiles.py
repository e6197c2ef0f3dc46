"""Profiles: how large a run is, and what a run of minutes does differently."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field, replace
from typing import Any

from advconf_lite.settings import Settings


@dataclass(frozen=True)
class Profile:
    """How large a run is. Nothing else in the code asks which profile it is."""

    name: str
    size: dict[str, int]  # pixels a side, per organ
    spacing_mm: dict[str, float]  # in-plane, per organ
    channels: tuple[int, ...]  # of the U-Net's levels
    num_res_units: int  # per level
    phantom_subjects: dict[str, dict[str, int]]  # per organ: source; per validation scanner; per target scanner
    steps_per_epoch: int  # batches between two validations
    segmenter_steps: int
    segmenter_batch: int
    head_steps: int  # warm-up included
    checkpoint_steps: int  # batches between two checkpoints
    settings: Settings = field(default_factory=Settings)
    method_settings: dict[str, dict[str, Any]] = field(default_factory=dict)  # of single methods, from `tune`
    trials: int = 0  # that each of those methods had

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as config.json stores them."""
        return json.loads(json.dumps(dataclasses.asdict(self)))


# What a run of minutes does differently: fewer, larger optimiser steps. alpha starts at delta_s and is counted per mean
# of the class scores, so that for one class and for three it asks for a drop of delta_s from the first perturbation:
# the paper's 0.8 takes some hundreds of steps (1 / eta each time it falls by a factor e) to come down.
QUICK = Settings(
    segmenter_lr=3e-3,
    segmenter_schedule="cosine",
    segmenter_patience=1000,
    head_lr=5e-4,
    batch_size=16,
    warmup_batches=20,
    objective="mean",
    alpha=0.1,
)


def _subjects(source: int, validation: int, target: int) -> dict[str, dict[str, int]]:
    one = {"source": source, "validation": validation, "target": target}
    return {"cardiac": one, "prostate": one}


PROFILES = {
    "smoke": Profile(  # seconds: for tests
        "smoke",
        {"cardiac": 48, "prostate": 48},
        {"cardiac": 4.0, "prostate": 4.0},
        (4, 8, 8, 8),
        1,
        _subjects(5, 1, 1),
        4,
        12,
        8,
        16,
        4,
        replace(QUICK, batch_size=4, warmup_batches=4),
    ),
    "quick": Profile(  # minutes on two CPU cores; 18 hearts to train on, as many as the real ones it is set beside (ACDC)
        "quick",
        {"cardiac": 96, "prostate": 96},
        {"cardiac": 2.0, "prostate": 2.0},
        (8, 16, 32, 64),
        4,
        {
            "cardiac": {"source": 30, "validation": 6, "target": 12},
            "prostate": {"source": 40, "validation": 6, "target": 12},
        },
        50,
        1000,
        8,
        500,
        50,
        QUICK,
    ),
    "full": Profile(  # one GPU, phantom at the paper's size
        "full",
        {"cardiac": 256, "prostate": 384},
        {"cardiac": 1.0, "prostate": 0.5},
        (32, 64, 128, 256),
        4,
        _subjects(170, 20, 40),
        100,
        20000,
        32,
        10000,
        500,
        Settings(),
    ),
    "paper": Profile(  # one GPU, real data
        "paper",
        {"cardiac": 256, "prostate": 384},
        {"cardiac": 1.0, "prostate": 0.5},
        (32, 64, 128, 256),
        4,
        _subjects(170, 20, 40),
        100,
        100000,
        32,
        10000,
        500,
        Settings(),
    ),
}
