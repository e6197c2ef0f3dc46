"""Where a command must not write: on what it reads, and on files that a run or a slice set consists of."""

from __future__ import annotations

from pathlib import Path

from advconf_lite.data.slice_checks import FILES
from advconf_lite.support.errors import BadInput

OF_A_RUN = ("config.json", "history.csv", "predictions.csv", "metrics.csv", "validation.csv", "rules.csv", "index.html")


def refuse_to_replace(out: str | Path | None, *read: str | Path | None, argument: str = "out") -> None:
    """BadInput if `out` is one of the files that are `read`, a file of a run, or one of a slice set."""
    if out is None or not Path(out).exists():
        return
    out = Path(out)
    name, beside = out.name.lower(), {path.name.lower() for path in out.resolve().parent.iterdir()}
    if any(each is not None and Path(each).exists() and out.samefile(each) for each in read):
        what = "what is read here"
    elif "config.json" in beside and (name in OF_A_RUN or name.endswith((".safetensors", ".npz"))):
        what = "part of the run in its folder"
    elif {"dataset.json", "slices.csv"} <= beside and name in FILES:
        what = "part of the slice set in its folder"
    else:
        return
    raise BadInput(f"{out} is {what}, and would be lost; choose another file", argument=argument)
