"""Run the lessons: papermill with the checks that it lacks, and `python -m advconf_lite.course.notebooks` to re-execute all.

    python -m advconf_lite.course.notebooks [--data SPEC] [--profile quick] [--segmenter-seed 0 1 2] [--head-seed 0 1 2]

executes all lessons and writes the executed ipynb back into notebooks/, for readers on the repository's web page.
"""

from __future__ import annotations

import argparse
import ast
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import nbformat
import papermill
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.utils import run_sync
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from advconf_lite.course.parameters import refuse_other_kind, refuse_unknown
from advconf_lite.support.command_line import PACKAGE, SIGNALS, ignored, well_behaved, words
from advconf_lite.support.errors import BadInput
from advconf_lite.support.files import write_atomically
from advconf_lite.support.progress import VARIABLE, kind

SECONDS_TO_START = 300  # of a kernel, on a machine that is busy with something else
CLONE = Path(__file__).resolve().parents[2]


def is_clone(folder: Path) -> bool:
    """Whether the package lies in a clone of the repository, and not in site-packages."""
    return (folder / "pyproject.toml").exists() and (folder / "notebooks").is_dir()


def lessons_folder() -> Path:
    """Where the lessons are: in the clone; else where the wheel has put them, share/advconf-lite/notebooks.

    Raises:
        BadInput: neither has them.
    """
    if is_clone(CLONE):
        return CLONE / "notebooks"
    try:
        files = metadata.files(PACKAGE) or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.match("notebooks/00_*.ipynb"):
            return Path(file.locate()).resolve().parent
    raise BadInput(
        f"this installation has no lessons; install {PACKAGE} again with pip, or run from a clone of the repository"
    )


def lesson(name: str) -> Path:
    """Path of a lesson's ipynb."""
    return lessons_folder() / f"{name}.ipynb"


def lessons(tag: str | None = None) -> list[str]:
    """Names of the lessons in order; with `tag`, of those whose parameters' cell has it too.

    "pipeline" marks what the command `run` executes, "dropout" what needs a segmenter with dropout, "one-head-seed" what
    trains so many heads that it is published with one head seed, "own-profile" what only plans one, and no smaller
    one, "beside" what may be executed while an earlier lesson is.
    """
    names = sorted(path.stem for path in lessons_folder().glob("[0-9][0-9]_*.ipynb"))
    return [name for name in names if tag is None or tag in _parameter_tags(name)]


def numbered(numbers: Sequence[str]) -> list[str]:
    """Names of the lessons with these numbers, such as "03", each once; without numbers all of them.

    Raises:
        BadInput: no lesson has a number.
    """
    known = {name[:2]: name for name in lessons()}
    if unknown := sorted(set(numbers) - known.keys()):
        raise BadInput(f"there is no lesson {unknown[0]}; give numbers of {', '.join(known)}", argument="lessons")
    return [known[number] for number in dict.fromkeys(numbers or known)]


def _parameter_tags(name: str) -> list[str]:
    tags = (cell.metadata.get("tags", []) for cell in nbformat.read(lesson(name), as_version=4).cells)
    return next((each for each in tags if "parameters" in each), [])


def execute(path: str | Path, out_path: str | Path, parameters: dict[str, Any], progress: bool = False) -> None:
    """Execute a notebook with papermill; the executed copy appears at `out_path` also when a cell fails.

    However this ends, no kernel is left. What the kernel's cells write to stderr, progress bars above all, appears on
    stderr. What the kernel process itself says there goes to a log beside `out_path`, which stays when the kernel dies:
    a kernel that is shut down in the instant after its last cell says that it was interrupted, and means nothing by it.

    Raises:
        BadInput: a parameter that the notebook does not have (papermill itself only warns), the kernel said in one sentence
            what was wrong with the input, or its process did not start or died.
        PapermillExecutionError: any other failing cell.
    """
    known = papermill.inspect_notebook(str(path))
    refuse_unknown(Path(path).name, list(parameters), list(known))
    for name, value in parameters.items():
        refuse_other_kind(name, value, ast.literal_eval(known[name]["default"]))
    out_path = Path(out_path)
    out_path.parent.mkdir(parents=True, exist_ok=True)
    log = out_path.with_suffix(".log")
    with _environment(), open(log, "wb") as stderr:
        kernels: list[AsyncKernelManager] = []

        class Kernel(AsyncKernelManager):
            # This Python, whatever the kernel that is installed under the notebook's name may be.
            kernel_spec = KernelSpec(argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"])

            async def start_kernel(self, **options: Any) -> None:
                kernels.append(self)
                await super().start_kernel(stderr=stderr, **options)

        try:
            papermill.execute_notebook(
                str(path),
                str(out_path),
                parameters,
                kernel_name="python3",
                kernel_manager_class=Kernel,
                progress_bar=progress,
                stderr_file=sys.stderr,
                coalesce_streams=True,  # of a bar that is redrawn, its last state
                cwd=str(Path.cwd()),
                start_timeout=SECONDS_TO_START,
                extra_arguments=["--log-level=40"],  # no advice on transport encryption
            )
        except PapermillExecutionError as error:
            log.unlink()
            if error.ename == "BadInput":
                raise BadInput(error.evalue) from None
            raise
        except KeyboardInterrupt:
            log.unlink()
            raise
        except RuntimeError as error:  # of the kernel's process: it has ended, or does not answer
            raise BadInput(_ended(Path(path).stem, error, log)) from error
        finally:
            with ignored(*SIGNALS):  # papermill has done it, but for an interrupt at the start, or a second one
                for kernel in kernels:
                    if kernel.has_kernel:
                        run_sync(kernel.shutdown_kernel)(now=True)
    log.unlink()


def _ended(lesson: str, error: RuntimeError, log: Path) -> str:
    """In one sentence: a kernel that did not start, or that died at work."""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    words = f"{' '.join(str(error).split())[:150]}" + (f"; its last words: {lines[-1][:200]}" if lines else "")
    if isinstance(error, DeadKernelError):
        return (
            f"the process that executes lesson {lesson} has ended by itself ({words}), most often because memory ran out; "
            "free some, or choose a smaller profile, then run the same command again"
        )
    return (
        f"the process that is to execute lesson {lesson} did not start ({words}); python -m advconf_lite check says what "
        "this Python lacks"
    )


@contextmanager
def _environment() -> Iterator[None]:
    """What a kernel is to know, and not to know, of the runner."""
    # MPLBACKEND=Agg, which people set for scripts, would remove every figure from the executed notebook.
    before = {name: os.environ.pop(name, None) for name in ("MPLBACKEND", VARIABLE)}
    os.environ[VARIABLE] = kind(sys.stderr)
    try:
        yield
    finally:
        del os.environ[VARIABLE]
        os.environ.update({name: value for name, value in before.items() if value is not None})


def without_stderr(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Drop what holds progress bars and warnings of this machine, nothing that a reader needs."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    return notebook


def publish(executed: Path, path: Path) -> None:
    """Take an executed copy's outputs into the committed notebook, without papermill's and widgets' metadata."""
    done, kept = without_stderr(nbformat.read(executed, as_version=4)), nbformat.read(path, as_version=4)
    outputs = [cell for cell in done.cells if "injected-parameters" not in cell.metadata.get("tags", [])]
    for cell, run in zip(kept.cells, outputs, strict=True):
        if cell.cell_type == "code":
            cell.outputs = run.outputs
            cell.execution_count = run.execution_count
            for output in cell.outputs:
                if "data" in output:
                    output["data"].pop("application/vnd.jupyter.widget-view+json", None)
    kept.metadata.pop("widgets", None)
    kept.metadata.pop("papermill", None)
    write_atomically(path, lambda temporary: nbformat.write(kept, temporary))


def of_lesson(name: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """The parameters with which a lesson is published: all of them, but one head seed where many heads are trained, and no
    profile where the lesson plans one of its own."""
    if name in lessons("one-head-seed"):
        parameters = parameters | {"head_seeds": parameters["head_seeds"][:1]}
    return {key: value for key, value in parameters.items() if key != "profile" or name not in lessons("own-profile")}


def main(arguments: list[str] | None = None) -> int:
    """Execute and publish all lessons; returns the exit code (see `well_behaved`)."""
    given = words(arguments)
    return well_behaved(lambda: _execute_all(given), options={"folder": "--out"})


def _execute_all(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m advconf_lite.course.notebooks", description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="phantom:prostate")
    parser.add_argument("--profile", default="quick")
    parser.add_argument("--out", default="runs/lessons", help="the run's folder; executed copies lie in it")
    parser.add_argument("--segmenter-seed", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--head-seed", type=int, nargs="+", default=[0, 1, 2])
    chosen = parser.parse_args(arguments)
    if not is_clone(CLONE):
        raise BadInput("lessons are published into a clone of the repository; install it there with pip install -e .")
    parameters = {"data": chosen.data, "profile": chosen.profile, "out": chosen.out}
    parameters |= {"segmenter_seeds": chosen.segmenter_seed, "head_seeds": chosen.head_seed}
    for name in lessons():
        print(f"executing {name}", flush=True)
        executed = Path(chosen.out) / "notebooks" / f"{name}.ipynb"
        known = papermill.inspect_notebook(str(lesson(name)))
        execute(lesson(name), executed, {k: v for k, v in of_lesson(name, parameters).items() if k in known})
        publish(executed, lesson(name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
