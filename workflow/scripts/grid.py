"""The grid of runs: what its YAML asks for, refused in one sentence before anything starts.

python workflow/scripts/grid.py < config.json    prints what would be done; exit code 2 for what no run could be

The shape of the YAML is looked at here, without PyTorch, for every job of a cluster reads it. What its words mean (data,
profile, methods, network) is asked of the package once, at the start, by `run --only plan` for each data set.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from advconf_lite.support.errors import BadInput

Config = dict[str, Any]


@dataclass(frozen=True)
class Grid:
    """The keys of workflow/grid.yaml, which says what they are."""

    out: str
    data: list[str]
    profile: str
    settings: str
    qualities: list[str]
    methods: list[str]
    segmenter_seeds: list[int]
    head_seeds: list[int]
    network: str
    weights: str
    layer: str
    tuned: str
    threads: int
    gpu: bool

    @property
    def runs(self) -> dict[str, str]:
        """Name of a run's folder in `out` -> its data."""
        return {_name(spec): spec for spec in self.data}

    def options(self, name: str) -> list[str]:
        """Of `run`, for one data set: all but which part, and of which seeds."""
        given = ["--data", self.runs[name], "--out", f"{self.out}/{name}", "--profile", self.profile]
        given += ["--settings", self.settings, "--quality", *self.qualities, "--methods", *self.methods]
        for key in ("network", "weights", "layer", "tuned"):
            if value := getattr(self, key):
                given += [f"--{key}", value]
        return given

    def all_seeds(self) -> list[str]:
        return ["--segmenter-seed", *map(str, self.segmenter_seeds), "--head-seed", *map(str, self.head_seeds)]


def read_grid(config: Config) -> Grid:
    """The grid of a YAML, as Snakemake has read it.

    Raises:
        BadInput: a key is missing or unknown, or its value is of another kind, empty, or there twice.
    """
    kinds = {field.name: field.type for field in fields(Grid)}
    if unknown := sorted(set(config) - set(kinds)):
        raise BadInput(f"the grid has no key {unknown[0]}; its keys are {', '.join(kinds)}")
    if missing := [name for name in kinds if name not in config]:
        raise BadInput(f"the grid lacks the key {missing[0]}; workflow/grid.yaml shows every one")
    values = {name: READ.get(kind, lambda value: value)(config[name]) for name, kind in kinds.items()}
    for name, kind in kinds.items():
        _refuse_other_kind(name, values[name], kind)
    grid = Grid(**values)
    if len(grid.runs) < len(grid.data):
        names = [_name(spec) for spec in grid.data]
        twice = next(name for name in names if names.count(name) > 1)
        raise BadInput(f"two data sets would share the folder {grid.out}/{twice}; rename the folder of one of them")
    if grid.threads < 1:
        raise BadInput(f"threads is {grid.threads} in the grid; give 1 or more")
    return grid


def _name(spec: str) -> str:
    return Path(spec.removeprefix("phantom:").rstrip("/")).name


def _as_numbers(value: Any) -> Any:
    """Snakemake's --config reads the list [0, 1] as texts."""
    return [int(each) if str(each).isdecimal() else each for each in value] if isinstance(value, list) else value


def _as_text(value: Any) -> Any:
    """YAML reads the layer 1 of an nn.Sequential as a number."""
    return str(value) if type(value) is int else value


READ = {"list[int]": _as_numbers, "str": _as_text}


def _refuse_other_kind(name: str, value: Any, kind: str) -> None:
    words = {"str": "text", "int": "a whole number", "bool": "true or false"}
    of_list = kind.removeprefix("list[").removesuffix("]")
    if kind == of_list:
        if type(value).__name__ != kind:
            raise BadInput(f"{name} is {value!r} in the grid; give {words[kind]}")
        if name in ("out", "profile", "settings") and not value.strip():
            raise BadInput(f"{name} is empty in the grid; workflow/grid.yaml shows what it may be")
        return
    several = {"str": "names", "int": "whole numbers from 0"}[of_list]
    right = isinstance(value, list) and all(type(each).__name__ == of_list for each in value)
    if not right or not value or (of_list == "int" and min(value) < 0):
        raise BadInput(
            f"{name} is {value!r} in the grid; give a list of {several}, as [{'0, 1' if of_list == 'int' else 'a, b'}]"
        )
    if twice := [each for each in value if value.count(each) > 1]:
        raise BadInput(f"{name} names {twice[0]} twice in the grid; leave one out")


def check(grid: Grid) -> int:
    """Ask the package what each run would be: its own refusals, and the exit code of the first; 0 if there is none.

    A folder gets its config.json now, so that one that was made otherwise is refused before a job starts.

    Raises:
        BadInput: an ensemble needs a segmenter that the grid does not train.
    """
    from advconf_lite.__main__ import main
    from advconf_lite.methods.registry import parse_methods, seeds_needed

    needed = {seed for s in grid.segmenter_seeds for seed in seeds_needed(s, parse_methods(grid.methods))}
    if lacking := sorted(needed - set(grid.segmenter_seeds)):
        raise BadInput(f"the methods need a segmenter of seed {lacking[0]}, too; add it to segmenter_seeds")
    for name in grid.runs:
        print(f"--- {name}", flush=True)
        if code := main(["run", "--only", "plan", *grid.options(name), *grid.all_seeds()]):
            return code
    return 0


def refuse(config: Config) -> None:
    """BadInput unless every run of the grid can be made; asks in a process of its own, so that this one stays small."""
    read_grid(config)
    asked = subprocess.run(
        [sys.executable, __file__], input=json.dumps(config), stdout=sys.stderr, stderr=subprocess.PIPE, text=True
    )
    if asked.returncode:
        said = [line for line in asked.stderr.strip().splitlines() if line] or [f"exit code {asked.returncode}"]
        raise BadInput(said[-1].removeprefix("error: "))


def main(arguments: Sequence[str] = ()) -> int:
    from advconf_lite.support.command_line import well_behaved

    return well_behaved(lambda: check(read_grid(json.load(sys.stdin))))


if __name__ == "__main__":
    sys.exit(main())
