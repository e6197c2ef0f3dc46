"""What lesson 08 shows: how long each profile would take on this machine, and in what it differs."""

from __future__ import annotations

import dataclasses
import re
import tempfile
from collections.abc import Sequence

import pandas as pd

from advconf_lite.course.first_screen import first_screen, seconds_per_step, training_seconds, what_data
from advconf_lite.course.parameters import refuse_wrong_parameters
from advconf_lite.experiment.parts import first_look
from advconf_lite.experiment.profiles import PROFILES, Profile, as_written, find_profile
from advconf_lite.experiment.run import Run
from advconf_lite.settings import Settings


def screen(data: str, profile: str, methods: str | Sequence[str], quality: Sequence[str] = ("dice",)) -> str:
    """The first lines that `run` would print, for a run from nothing; it leaves no folder behind, and trains nothing."""
    with tempfile.TemporaryDirectory() as folder:
        run = Run(folder, data, profile, quality, _names(methods), progress=False)
        lines = first_screen(run, [0], [0]).split("\n")
    return "\n".join(line for line in lines if not line.startswith("results"))


def plan_table(
    data: str, profiles: Sequence[str], methods: str | Sequence[str], quality: Sequence[str] = ("dice",)
) -> pd.DataFrame:
    """A row per profile: pixels, steps, seconds of a step of the U-Net as measured now, and hours of training from these.

    The hours are those of one U-Net and of all heads of one pair of seeds, if no training stops early. `methods` are names,
    or text with spaces between them, as a lesson's parameter.
    """
    refuse_wrong_parameters()
    rows, measured = [], {}
    for name in profiles:
        with tempfile.TemporaryDirectory() as folder:
            run = Run(folder, data, name, quality, _names(methods), progress=False)
            grid, _ = first_look(run.data, run.profile)
            work = grid.rows, grid.columns, run.profile.channels, run.profile.num_res_units, run.profile.segmenter_batch
            if work not in measured:
                measured[work] = seconds_per_step(run, grid, what_data(run)[1])
            segmenter, heads = training_seconds(run, measured[work])
        p = run.profile
        rows.append({
            "profile": name, "pixels": f"{grid.rows} x {grid.columns}",
            "U-Net": f"{p.segmenter_steps:,} x {p.segmenter_batch}", "heads": f"{p.head_steps:,} x {p.settings.batch_size}",
            "seconds a step": measured[work], "U-Net, h": segmenter / 3600, "heads, h": heads / 3600,
        })  # fmt: skip
    return pd.DataFrame(rows).set_index("profile")


def _names(methods: str | Sequence[str]) -> Sequence[str]:
    return methods.split() if isinstance(methods, str) else methods


def unlike_the_paper(profile: str) -> pd.DataFrame:
    """In what a profile differs from the profile `paper`, which takes what the paper says, and where it says nothing the
    published code's value or ours: a row per value."""
    paper, other = _values(PROFILES["paper"]), _values(find_profile(profile))
    rows = {name: (paper[name], other[name]) for name in paper if paper[name] != other[name]}
    return pd.DataFrame(rows.values(), rows.keys(), ["profile paper", f"profile {profile}"])


def unlike_the_published_code() -> pd.DataFrame:
    """Each setting in which the published code is not what we take for the paper: where the paper says it, code, ours."""
    ours, code = Settings(), Settings.published_code()
    rows = {
        f.name: (_place(f.metadata["paper"]), as_written(getattr(code, f.name)), as_written(getattr(ours, f.name)))
        for f in dataclasses.fields(Settings)
        if getattr(code, f.name) != getattr(ours, f.name) and f.name != "augmentations"
    }
    return pd.DataFrame(rows.values(), rows.keys(), ["in the paper", "published code", "ours"])


def _place(text: str) -> str:
    """Where the paper says a thing; a number that begins it is a section's, and must not be read as a value."""
    return re.sub(r"^(?=\d)", "section ", text) or "not said"


def _values(profile: Profile) -> dict[str, str]:
    own = {name: getattr(profile, name) for name in ("max_size", "channels", "num_res_units", "phantom_subjects")}
    own |= {name: getattr(profile, name) for name in ("segmenter_steps", "segmenter_batch", "head_steps", "steps_per_epoch")}
    own |= {f.name: getattr(profile.settings, f.name) for f in dataclasses.fields(Settings)}
    return {name: as_written(value) for name, value in own.items()}
