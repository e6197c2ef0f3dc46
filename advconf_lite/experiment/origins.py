"""What a run's folder was made from, so that a change of it is noticed: results of two kinds of data are never mixed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from advconf_lite.data.slice_checks import FILES
from advconf_lite.support.errors import BadInput
from advconf_lite.support.files import sha256

Files = dict[str, dict[str, Any]]  # name -> its digest, and size and time of change, by which reading it again is saved


def files_of(data: str, known: Files | None = None) -> Files:
    """Digests of a slice set's files; of a phantom, which its name and the version make, none.

    Args:
        known: what was found before; a file whose size and time are the same is not read again.
    """
    found: Files = {}
    if data.startswith("phantom:"):
        return found
    for path in (Path(data) / name for name in FILES):
        if path.is_file():
            stat, before = path.stat(), (known or {}).get(path.name, {})
            same = (before.get("bytes"), before.get("changed")) == (stat.st_size, stat.st_mtime_ns)
            digest = before["sha256"] if same else sha256(path)
            found[path.name] = {"sha256": digest, "bytes": stat.st_size, "changed": stat.st_mtime_ns}
    return found


def changed(old: Files, new: Files) -> list[str]:
    """Names of the files that are not what they were."""
    digests = [{name: file["sha256"] for name, file in files.items()} for files in (old, new)]
    return [name for name in FILES if digests[0].get(name) != digests[1].get(name)]


def refuse_missing_data(folder: Path, data: str) -> None:
    """BadInput if the data of a finished run, which are not what was asked for now, are not where they were."""
    if not data.startswith("phantom:") and not Path(data).is_dir():
        raise BadInput(
            f"{folder} was made with {data}, which is not there; put it back, or, if it was moved, run it once more with "
            "the new place and all else as it was",
            argument="run_folder",
        )


# What a run makes from its data; a folder without any of it may go on with data that were mended.
MADE = ("*.safetensors", "*.csv", "checkpoints/*", "data/*")


def refuse_changed_data(folder: Path, config: dict[str, Any]) -> None:
    """BadInput if the data of a run are no longer those that something in its folder was made with.

    Runs of before this was kept are believed.
    """
    old, made = config.get("files"), any(True for pattern in MADE for _ in folder.glob(pattern))
    if old and made and (names := changed(old, files_of(config["data"], old))):
        raise BadInput(
            f"{' and '.join(names)} in {config['data']} changed after {folder} was made with it; choose another folder for "
            "the new data, or delete this one, or put the old data back",
            argument="folder",
        )
