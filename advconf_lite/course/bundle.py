"""The command `bundle`: a folder, as on a USB stick, from which the course is installed with the network off.

wheels/         for every machine that was asked for, files that several need once; the course's own has what ships trained
notebooks/      lessons with solutions, student/ with stubs, TEACHING.md; docs/: the pages that they link to
course/         the rendered course
INSTALL.html    how to install; check.py with SHA256SUMS: whether all was copied whole
bundle.json     what was asked for, the commit, each machine's wheels, and what lacks
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from advconf_lite import __version__
from advconf_lite.course.bundling import sums
from advconf_lite.course.bundling.page import install_page
from advconf_lite.course.bundling.resolving import Lacking, Wheel, resolve
from advconf_lite.course.bundling.storing import PART, enough_space, lacking_here, store
from advconf_lite.course.bundling.targets import PLATFORMS, PYTHONS, USUAL, Target
from advconf_lite.course.commit import commit
from advconf_lite.course.notebooks import CLONE, is_clone
from advconf_lite.support.alone import alone_in
from advconf_lite.support.command_line import PACKAGE
from advconf_lite.support.errors import BadInput, cannot_write
from advconf_lite.support.files import write_atomically, write_text

EXTRAS = "data,lab"
RECORD = "bundle.json"
FORMAT = 1
CONTENT = ("wheels", "notebooks", "docs", "course", "INSTALL.html", "check.py", RECORD)
SOURCES = ("advconf_lite", "data_download", "notebooks", "artefacts", "pyproject.toml", "README.md", "LICENSE")


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="new, empty, or a bundle to go on with")
    parser.add_argument("--platform", nargs="+", choices=PLATFORMS, default=USUAL, metavar="NAME", help=", ".join(PLATFORMS))
    parser.add_argument("--python", nargs="+", choices=PYTHONS, default=PYTHONS, metavar="3.N", help=", ".join(PYTHONS))
    parser.add_argument(
        "--torch-index",
        default="cpu",
        metavar="INDEX",
        help="PyTorch for Linux: cpu (default), default (pip's own index, with CUDA: gigabytes), or an address",
    )
    parser.add_argument("--check", action="store_true", help="make nothing; say which files are not as they were written")


def run(chosen: argparse.Namespace) -> int:
    if chosen.check:
        if not (chosen.out / RECORD).is_file():
            raise BadInput(f"{chosen.out} is no bundle: it has no {RECORD}; name the folder that has it", argument="folder")
        found = sums.problems(chosen.out)
        print("\n".join(found) or f"{chosen.out}: all files are as they were written")
        return 1 if found else 0
    targets = [Target(platform, python) for platform in dict.fromkeys(chosen.platform)
               for python in dict.fromkeys(chosen.python)]  # fmt: skip
    lacks = make_bundle(chosen.out, targets, chosen.torch_index)
    return 1 if lacks else 0


def make_bundle(out: Path, targets: list[Target], torch_index: str = "cpu", clone: Path = CLONE) -> dict[Target, str]:
    """Write or complete a bundle; it is finished when SHA256SUMS is there, which is written last.

    Returns:
        What of the targets lacks, and why; the others are in the bundle.

    Raises:
        BadInput: no clone to make it from, a folder with something else in it, no index, a full disk.
    """
    if not is_clone(clone):
        raise BadInput(
            "a bundle is made in a clone of the repository, which this installation is not; clone it, install it there with "
            f"pip install -e '.[{EXTRAS},book]', and run the command from it"
        )
    if find_spec("sphinx") is None:
        raise ModuleNotFoundError("the rendered course", name="sphinx")
    _refuse_foreign(out)
    with alone_in(out), tempfile.TemporaryDirectory() as temporary:
        try:
            return _make(out, targets, torch_index, clone, Path(temporary))
        except OSError as error:
            raise cannot_write(Path(error.filename or out), error) from error


def _refuse_foreign(out: Path) -> None:
    """BadInput unless the folder is new, empty, or a bundle; what is hidden, as sticks have it, does not count."""
    if out.exists() and not out.is_dir():
        raise BadInput(f"{out} is a file; name a folder for the bundle", argument="folder")
    inside = [path.name for path in out.iterdir() if not path.name.startswith(".")] if out.exists() else []
    if RECORD not in inside and (foreign := [name for name in inside if name != "System Volume Information"]):
        raise BadInput(
            f"{out} holds {sorted(foreign)[0]} and is no bundle; name a new folder, which a stick has room for, too",
            argument="folder",
        )


def _make(out: Path, targets: list[Target], torch_index: str, clone: Path, temporary: Path) -> dict[Target, str]:
    record = {"format": FORMAT, "version": __version__, "commit": _commit(clone, out), "torch_index": torch_index}
    if not (out / RECORD).exists():  # from here on the folder is ours
        write_text(out / RECORD, json.dumps(record, indent=1) + "\n")
    own = own_wheel(clone, temporary)
    needed, lacks = {}, {}
    for target in targets:
        try:
            needed[target] = resolve(target, own, EXTRAS, clone / "constraints.txt", torch_index)
            print(f"{target}: {len(needed[target])} wheels, {_megabytes(needed[target])}", flush=True)
        except Lacking as reason:
            lacks[target] = str(reason)
            print(f"{target}: lacks {reason}", flush=True)
    if not needed:
        raise BadInput(f"no machine that was asked for can have a bundle: {targets[0]} lacks {lacks[targets[0]]}")
    wheels = out / "wheels"
    wheels.mkdir(exist_ok=True)
    everything = {each.file: each for found in needed.values() for each in found}
    missing = lacking_here(wheels, everything.values())
    print(f"to download: {len(missing)} of {len(everything)} wheels, {_megabytes(missing)}", flush=True)
    enough_space(out, missing)
    (out / sums.SUMS).unlink(missing_ok=True)  # until all is there: what was finished stays so, if nothing could be had
    store(wheels, needed, missing)
    write_atomically(wheels / own.name, lambda temporary: shutil.copyfile(own, temporary))
    for path in wheels.iterdir():  # of another edition, or of machines that are not asked for any more
        if path.name not in {own.name, *everything}:
            path.unlink()
    _pages(out, clone, rendered(clone, temporary))
    sizes = {target: sum((wheels / each.file).stat().st_size for each in found) / 1e6 for target, found in needed.items()}
    write_text(out / "INSTALL.html", install_page(__version__, record["commit"], EXTRAS, sizes, lacks))
    record["machines"] = {str(target): [each.file for each in found] for target, found in needed.items()}
    record["lacks"] = {str(target): why for target, why in lacks.items()}
    write_text(out / RECORD, json.dumps(record, indent=1) + "\n")
    lines = sums.lines(out, CONTENT)
    write_text(out / sums.SUMS, "\n".join(lines) + "\n")
    total = sum((out / line.partition("  ")[2]).stat().st_size for line in lines)
    print(f"{out}: {len(lines)} files, {total / 1e6:.0f} MB, for {', '.join(map(str, needed))}; open INSTALL.html")
    if lacks:
        print(f"not in it: {', '.join(map(str, lacks))}; the reasons are above, and in INSTALL.html")
    return lacks


def own_wheel(clone: Path, temporary: Path) -> Path:
    """The course as a wheel, built from a copy: setuptools leaves its work beside what it builds, and takes it up again."""
    tree = temporary / "tree"
    for name in SOURCES:
        if (clone / name).is_dir():
            leave_out = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints", "runs")
            shutil.copytree(clone / name, tree / name, ignore=leave_out)
        elif (clone / name).exists():
            shutil.copy(clone / name, tree)
    words = ["wheel", "--quiet", "--no-input", "--no-deps", "--wheel-dir", str(temporary / "own"), str(tree)]
    done = subprocess.run([sys.executable, "-m", "pip", *words], capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip() or "no reason given").splitlines()[-1]
        raise BadInput(f"pip could not build the wheel of {PACKAGE} ({last}); a newer pip may help")
    (made,) = (temporary / "own").glob("*.whl")
    return made


def rendered(clone: Path, temporary: Path) -> Path:
    """The folder of the course's pages, as `make book` makes them."""
    book = temporary / "book"
    command = [sys.executable, "-m", "sphinx", "-q", "-b", "html", "-c", "docs/book", "-d", temporary / "trees", ".", book]
    done = subprocess.run(command, cwd=clone, capture_output=True, text=True)
    if done.returncode:
        raise BadInput(f"the course could not be rendered ({done.stderr.strip()[-200:]}); make book says more")
    return book


def _pages(out: Path, clone: Path, book: Path) -> None:
    """Notebooks, the pages that they link to, and the rendered course; each folder is replaced as a whole."""
    _replace(out / "notebooks", clone / "notebooks", shutil.ignore_patterns("runs", ".*", "__pycache__", "*.py"))
    _replace(out / "docs", clone / "docs", shutil.ignore_patterns("*.py", "book", "__pycache__", ".*"))
    _replace(out / "course", book, shutil.ignore_patterns(".*"))
    shutil.copyfile(sums.__file__, out / "check.py")


def _replace(folder: Path, source: Path, leave_out) -> None:
    part = folder.parent / PART
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(source, part, ignore=leave_out, copy_function=shutil.copyfile)
    for runs in ("runs", "student/runs"):  # of somebody who took the stick to a lesson
        if (folder / runs).is_dir():
            os.replace(folder / runs, part / runs)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(part, folder)


def _commit(clone: Path, out: Path) -> str:
    """The commit of the clone, with "-dirty" where files differ from it; "unknown" without git."""
    try:
        return commit(True, out, clone=clone)
    except BadInput:
        return "unknown"


def _megabytes(wheels: list[Wheel]) -> str:
    known = sum(each.size for each in wheels if each.size) / 1e6
    unknown = sum(each.size is None for each in wheels)
    return f"{known:.0f} MB" + (f" and {unknown} files of unknown size" if unknown else "")
