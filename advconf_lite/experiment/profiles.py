"""Profiles: how large a run is, and what a run of minutes does differently."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field, replace
from typing import Any

from advconf_lite.settings import Schedule, Settings
from advconf_lite.support.errors import BadInput

BASES = {"paper": Settings.paper, "published-code": Settings.published_code}


def as_written(value: Any) -> str:
    """A setting as a reader would write it."""
    if isinstance(value, dict):
        return "; ".join(f"{name} {as_written(item)}" for name, item in value.items())
    if isinstance(value, tuple | list):
        return ", ".join(map(as_written, value))
    return {True: "yes", False: "no", None: "none"}[value] if isinstance(value, bool) or value is None else str(value)


@dataclass(frozen=True, kw_only=True)
class Profile(Schedule):
    """How large a run is. Nothing else in the code asks which profile it is."""

    name: str
    max_size: int | None = None  # pixels a side, at most; a larger grid is made coarser over the same field of view
    channels: tuple[int, ...] = (32, 64, 128, 256)  # of the U-Net's levels
    num_res_units: int = 4  # per level
    phantom_subjects: str = "many"  # how many virtual patients: few, some or many, of each organ as `phantom.organs` has it
    base: str = "paper"  # the settings that the profile's own changes stand on, one of BASES
    method_settings: dict[str, dict[str, Any]] = field(default_factory=dict)  # of single methods, from `tune`
    trials: int = 0  # that each of those methods had

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as config.json stores them."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    def on(self, base: str) -> Profile:
        """This profile's own changes on top of what the paper states, or of what the published code does.

        Raises:
            BadInput: `base` is not one of BASES.
        """
        if base not in BASES:
            raise BadInput(f"settings {base!r} are unknown; choose from {', '.join(BASES)}", argument="settings")
        usual = Settings()
        names = [f.name for f in dataclasses.fields(Settings)]
        own = {name: getattr(self.settings, name) for name in names if getattr(self.settings, name) != getattr(usual, name)}
        return replace(self, base=base, settings=replace(BASES[base](), **own))


def profile_from_config(values: dict[str, Any]) -> Profile:
    """The Profile that `as_dict` has stored.

    Raises:
        BadInput: it was stored by a version with other fields.
    """
    try:
        settings = Settings(**values["settings"] | {"augmentations": tuple(values["settings"]["augmentations"])})
        return Profile(**values | {"channels": tuple(values["channels"]), "settings": settings})
    except (TypeError, KeyError) as error:
        raise BadInput(f"config.json was written by another version ({error}); delete the folder and run again") from None


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

# What the loop needs to align. Quick begins with perturbations so small that they harm nothing: its head learns to ignore
# those, alpha has to climb at eta a step, and the head is steeper by then. The paper's own start, 0.8 of the summed scores,
# begins where images are truly harmed, and stays there (docs/results/alignment.md). Steps take it down for one class.
MEDIUM = replace(QUICK, objective="sum", alpha=0.8, warmup_batches=100, head_lr=1e-3)


PROFILES = {
    "smoke": Profile(  # seconds: for tests
        name="smoke",
        max_size=48,
        channels=(4, 8, 8, 8),
        num_res_units=1,
        phantom_subjects="few",
        steps_per_epoch=4,
        segmenter_steps=12,
        segmenter_batch=8,
        head_steps=16,
        checkpoint_steps=4,
        settings=replace(QUICK, batch_size=4, warmup_batches=4),
    ),
    "quick": Profile(  # minutes on two CPU cores
        name="quick",
        max_size=96,
        channels=(8, 16, 32, 64),
        phantom_subjects="some",
        steps_per_epoch=50,
        segmenter_steps=1000,
        segmenter_batch=8,
        head_steps=500,
        checkpoint_steps=50,
        settings=QUICK,
    ),
    "medium": Profile(  # 40 minutes of one core for a segmenter and six heads
        name="medium",
        max_size=96,
        channels=(16, 32, 64, 128),
        phantom_subjects="some",
        steps_per_epoch=100,
        segmenter_steps=2000,
        segmenter_batch=8,
        head_steps=1500,
        checkpoint_steps=100,
        settings=MEDIUM,
    ),
    "full": Profile(name="full", segmenter_steps=20_000),  # one GPU, phantom at the paper's size
    "paper": Profile(name="paper"),  # one GPU, real data
}


def find_profile(name: str) -> Profile:
    """The profile of a name; BadInput if there is none."""
    if name not in PROFILES:
        raise BadInput(f"profile {name!r} is unknown; choose from {', '.join(PROFILES)}", argument="profile")
    return PROFILES[name]
