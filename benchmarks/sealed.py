"""Scanners that nobody has chosen: drawn from the phantom's ranges by a generator seeded with the commit of the freeze."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from advconf_lite.data.slices import SliceSet, read_slice_set
from advconf_lite.experiment.profiles import Profile
from advconf_lite.phantom.organs import find_organ
from advconf_lite.phantom.phantom import make_phantom
from advconf_lite.phantom.scanner import Scanner
from advconf_lite.phantom.scanner_tables import draw_scanner
from advconf_lite.support.errors import BadInput
from advconf_lite.support.files import write_text
from advconf_lite.support.randomness import derived_seed

CLONE = Path(__file__).resolve().parent.parent
NUMBER = 6  # scanners of each organ
# What must not have changed since the freeze, or the scanners are no longer unseen by whoever changed it.
# Without (glob) git lets a star stand for folders, too, and a change of evaluation/ would count.
FROZEN = (":(glob)advconf_lite/*.py", "advconf_lite/methods", "advconf_lite/phantom", "advconf_lite/experiment/profiles.py")


def frozen_commit(given: str | None, file: Path) -> str:
    """The commit that the settings were frozen in: `given`, or the first word of a file.

    Raises:
        BadInput: neither names a commit by its 40 digits, or this clone has no such commit.
    """
    if given is None and not file.is_file():
        raise BadInput(f"{file} is not there; write the commit of the freeze into it, or name the commit", argument="freeze")
    commit = (file.read_text(encoding="utf-8").split() or [""])[0] if given is None else given
    if not re.fullmatch(r"[0-9a-f]{40}", commit):
        raise BadInput(f"{commit!r} is no commit; give its 40 digits, as git rev-parse HEAD has them", argument="freeze")
    if _git("rev-parse", "--git-dir") and not _git("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}"):
        raise BadInput(f"this clone has no commit {commit}", argument="freeze")
    return commit


def changed_since(commit: str) -> list[str]:
    """Files of methods, settings and phantom that are not as the freeze left them; of a clone without git none are known."""
    return (_git("diff", "--name-only", commit, "--", *FROZEN) or "").splitlines()


def _git(*words: str) -> str | None:
    try:
        return subprocess.run(["git", *words], cwd=CLONE, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def drawn(organ: str, commit: str, number: int = NUMBER) -> list[Scanner]:
    """The scanners of a freeze."""
    rng = np.random.default_rng(derived_seed("sealed", organ, commit))
    return [draw_scanner(organ, rng, f"sealed-{place}") for place in range(1, number + 1)]


def constants(scanners: list[Scanner]) -> pd.DataFrame:
    """A row per scanner; what is the same of all of them, and of no use to their sequence, is left out."""
    table = pd.DataFrame(map(asdict, scanners))
    return table[[column for column in table if column == "name" or table[column].nunique() > 1]].round(3)


def sealed_set(folder: Path, organ: str, commit: str, profile: Profile, progress: bool = True) -> SliceSet:
    """Patients of their own in the drawn scanners, made once.

    Raises:
        BadInput: the folder has those of another freeze.
    """
    note, made = folder / "freeze.json", folder / "data"
    if note.exists():
        before = json.loads(note.read_text(encoding="utf-8"))["commit"]
        if before != commit:
            raise BadInput(
                f"{folder} has the scanners of freeze {before}, and sealed scanners are run once; this freeze is {commit}",
                argument="freeze",
            )
    write_text(note, json.dumps({"commit": commit}) + "\n")
    if made.exists():
        return read_slice_set(made)
    size, spacing_mm = find_organ(organ).grid(profile.max_size)
    # A source as small as can be, for a slice set has one; nothing of it is used.
    subjects = {"source": 3, "validation": 0, "target": find_organ(organ).subjects[profile.phantom_subjects]["target"]}
    return make_phantom(organ, made, size, spacing_mm, subjects, 0, progress, targets=drawn(organ, commit))
