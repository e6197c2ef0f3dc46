"""Run the lessons: papermill with the checks that it lacks, and `python -m advconf_lite.course.notebooks` to re-execute all.

    python -m advconf_lite.course.notebooks [--data SPEC] [--profile quick] [--head-seed 0 1 2]

executes lessons 00-06 and writes the executed ipynb back into notebooks/, for readers on the repository's web page.
Lesson 06 trains many heads, so it runs with the first head seed alone.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import nbformat
import papermill
from papermill.exceptions import PapermillExecutionError

from advconf_lite.support.errors import BadInput
from advconf_lite.support.files import write_atomically

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
PIPELINE = (
    "01_data_preparation",
    "02_pretraining",
    "03_adversarial_training",
    "04_evaluation_across_scanners",
    "05_score_agreement",
)
CONTROLS = "06_ablations_and_controls"
LESSONS = ("00_start_here", *PIPELINE, CONTROLS)


def lesson(name: str) -> Path:
    """Path of a lesson's ipynb."""
    path = FOLDER / f"{name}.ipynb"
    if not path.exists():
        raise BadInput(f"{path} does not exist; run from a clone of the repository, installed with pip install -e .")
    return path


def execute(path: str | Path, out_path: str | Path, parameters: dict[str, Any], progress: bool = False) -> None:
    """Execute a notebook with papermill; the executed copy appears at `out_path` also when a cell fails.

    Raises:
        BadInput: a parameter that the notebook does not have (papermill itself only warns), or the kernel said in
            one sentence what was wrong with the input.
        PapermillExecutionError: any other failing cell.
    """
    known = papermill.inspect_notebook(str(path))
    unknown = sorted(set(parameters) - set(known))
    if unknown:
        raise BadInput(f"{Path(path).name} has no parameter {', '.join(unknown)}; it has {', '.join(known)}")
    out_path = Path(out_path)
    out_path.parent.mkdir(parents=True, exist_ok=True)
    # MPLBACKEND=Agg, which people set for scripts, would remove every figure from the executed notebook.
    backend = os.environ.pop("MPLBACKEND", None)
    try:
        papermill.execute_notebook(
            str(path),
            str(out_path),
            parameters,
            kernel_name="python3",
            progress_bar=progress,
            log_output=False,
            cwd=str(Path.cwd()),
            extra_arguments=["--log-level=40"],
        )  # no advice on transport encryption
    except PapermillExecutionError as error:
        if error.ename == "BadInput":
            raise BadInput(error.evalue) from None
        raise
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend


def publish(executed: Path, path: Path) -> None:
    """Take an executed copy's outputs into the committed notebook, without papermill's and widgets' metadata."""
    done, kept = nbformat.read(executed, as_version=4), nbformat.read(path, as_version=4)
    outputs = [cell for cell in done.cells if "injected-parameters" not in cell.metadata.get("tags", [])]
    for cell, run in zip(kept.cells, outputs, strict=True):
        if cell.cell_type == "code":
            # stderr holds progress bars and warnings of this machine, nothing that a reader needs
            cell.outputs = [o for o in run.outputs if o.get("name") != "stderr"]
            cell.execution_count = run.execution_count
            for output in cell.outputs:
                if "data" in output:
                    output["data"].pop("application/vnd.jupyter.widget-view+json", None)
    kept.metadata.pop("widgets", None)
    kept.metadata.pop("papermill", None)
    write_atomically(path, lambda temporary: nbformat.write(kept, temporary))


def of_lesson(name: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """The parameters with which a lesson is published: all of them, but one head seed where many heads are trained."""
    return parameters | ({"head_seeds": parameters["head_seeds"][:1]} if name == CONTROLS else {})


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m advconf_lite.course.notebooks", description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="phantom:cardiac")
    parser.add_argument("--profile", default="quick")
    parser.add_argument("--out", default="runs/lessons", help="the run's folder; executed copies lie in it")
    parser.add_argument("--head-seed", type=int, nargs="+", default=[0, 1, 2])
    chosen = parser.parse_args(arguments)
    parameters = {"data": chosen.data, "profile": chosen.profile, "out": chosen.out, "head_seeds": chosen.head_seed}
    for name in LESSONS:
        print(f"executing {name}", flush=True)
        executed = Path(chosen.out) / "notebooks" / f"{name}.ipynb"
        known = papermill.inspect_notebook(str(lesson(name)))
        execute(lesson(name), executed, {k: v for k, v in of_lesson(name, parameters).items() if k in known})
        publish(executed, lesson(name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
