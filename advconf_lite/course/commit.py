"""The commit that artefacts are made from: one, and with nothing changed beside it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from advconf_lite.support.errors import BadInput
from advconf_lite.support.files import write_text

CLONE = Path(__file__).resolve().parents[2]


def commit(dirty: bool, *own: Path, clone: Path = CLONE) -> str:
    """The commit of the clone, with "-dirty" if files differ from it, beside those in the folders `own`.

    Raises:
        BadInput: there is no clone or no git; or files differ, and `dirty` does not allow it.
    """

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=clone, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != clone:
            raise FileNotFoundError
        head = git("rev-parse", "HEAD")
        inside = [path.resolve().relative_to(clone) for path in own if path.resolve().is_relative_to(clone)]
        changed = git("status", "--porcelain", "--", ".", *(f":(exclude){path}" for path in inside)).splitlines()
    except (OSError, subprocess.CalledProcessError):
        raise BadInput(
            f"artefacts name the commit that made them, and {clone} is no clone that has one; clone the repository"
        ) from None
    if changed and not dirty:
        first = changed[0].split(maxsplit=1)[-1]
        what = f"{len(changed)} files differ" if len(changed) > 1 else "1 file differs"
        raise BadInput(
            f"{what} from the commit that the artefacts are to name, such as {first}; commit them, or allow it for a trial",
            argument="dirty",
        )
    return head + ("-dirty" if changed else "")


def of_one_commit(work: Path, name: str) -> None:
    """BadInput if what lies in `work` was begun from another commit."""
    path = work / "commit.txt"
    begun = path.read_text(encoding="utf-8").strip() if path.exists() else name
    if begun != name:
        raise BadInput(f"{work} was begun from commit {begun}, and this is {name}; delete it, or check that commit out")
    write_text(path, name + "\n")
