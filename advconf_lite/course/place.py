"""Where a lesson works: in the repository's folder, also when Jupyter was started in notebooks/ or notebooks/student/."""

from __future__ import annotations

import os
from pathlib import Path

FOLDERS = (("notebooks",), ("notebooks", "student"))  # below the repository, where lessons are opened


def home() -> Path:
    """The folder that relative paths of a lesson count from: the repository, or the working folder outside of one."""
    here = Path.cwd()
    for folder in FOLDERS:
        root = here.parents[len(folder) - 1] if len(here.parents) >= len(folder) else here
        if here.parts[-len(folder) :] == folder and (root / "pyproject.toml").exists():
            return root
    return here


def go_home() -> None:
    """Make it the working folder: one lesson must find what another has made."""
    os.chdir(home())
