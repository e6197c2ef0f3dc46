"""The command `check`: is this machine ready for the course? For the evening before a workshop."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.version import Version

from advconf_lite.support.command_line import PACKAGE

DISK_GIB = 1.0  # free space for the quick profile's run and data, with room to spare
SECONDS_TO_START = 120  # of a kernel
EXTRAS = ("data", "lab")  # what the course needs beside the core
REINSTALL = "run `make tutorial`, or `pip install -e '.[data,lab]'` in the repository's folder"


class Check(NamedTuple):
    """One requirement: is it met, what was found, what to do if it is not, and what the line "ready" says of it."""

    ok: bool
    name: str
    detail: str
    what_to_do: str
    short: str = ""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folder", type=Path, default=Path("."), help="where runs will be written")
    parser.add_argument("--verbose", action="store_true", help="also those requirements that are met")


def run(chosen: argparse.Namespace) -> int:
    return print_report(run_checks(chosen.folder), chosen.verbose)


def run_checks(folder: str | Path = ".", extras: tuple[str, ...] = EXTRAS) -> list[Check]:
    """Check Python, dependencies, the device, disk space and write access in `folder`, and the Jupyter kernel.

    Requirements are read from the installed package, so there is no second list of them: the core's, and those of the
    `extras`. A missing GPU is no failure. Without the extra "lab" no kernel is looked for: a lesson on Colab has another.
    """
    checks = [
        check_python(sys.version_info[:3], _classifiers()),
        *check_dependencies(_requirements(), extras),
        check_device(),
    ]
    checks += [check_disk(Path(folder)), check_write_access(Path(folder))]
    return [*checks, check_kernel()] if "lab" in extras else checks


def print_report(checks: list[Check], verbose: bool = False) -> int:
    """Print one line when all is well, else what is not met and what to do; returns the exit code, 1 in that case.

    `verbose`: a line for each requirement, met or not.
    """
    failed = [check for check in checks if not check.ok]
    shown = checks if verbose else failed
    width = max((len(check.name) for check in shown), default=0)
    for check, following in zip(shown, [*shown[1:], None]):
        print(f"{'[OK]  ' if check.ok else '[FAIL]'} {check.name:{width}}  {check.detail}")
        if not check.ok and (following is None or following.what_to_do != check.what_to_do):  # one advice for several
            print(f"{'':7}{'':{width}}  -> {check.what_to_do}")
    if failed:
        print(f"{len(failed)} of {len(checks)} requirements not met")
    else:
        print("ready: " + ", ".join(check.short for check in checks if check.short))
    return 1 if failed else 0


def check_python(version: tuple[int, int, int], classifiers: list[str]) -> Check:
    """The Python version against those that the package's classifiers name as tested."""
    tested = [match[1] for line in classifiers if (match := re.fullmatch(r".*:: Python :: (3\.\d+)", line))]
    tested.sort(key=Version)
    found = ".".join(map(str, version))
    wanted = f"{tested[0]} to {tested[-1]}" if tested else f"unknown, for {PACKAGE} is not installed"
    what_to_do = f"install Python {tested[-1]} and make a new environment with it" if tested else REINSTALL
    ok = f"{version[0]}.{version[1]}" in tested
    return Check(ok, "Python", f"{found} (tested: {wanted})", what_to_do, f"Python {found}")


def check_dependencies(requirements: list[str], extras: tuple[str, ...] = EXTRAS) -> list[Check]:
    """One check per requirement such as 'torch>=2.8', of this platform and Python, and of `extras` or none."""
    checks = []
    for requirement in map(Requirement, requirements):
        marker = requirement.marker
        extra = next((name for name in ("", *extras) if marker is None or marker.evaluate({"extra": name})), None)
        if extra is None:
            continue
        name, needed = requirement.name, f"needed: {requirement.specifier or 'any version'}"
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            install = f"pip install '{PACKAGE}[{extra}]', or in a clone: {REINSTALL}" if extra else REINSTALL
            checks.append(Check(False, name, f"not installed ({needed})", install))
            continue
        ok = requirement.specifier.contains(version, prereleases=True)
        upgrade = f"pip install --upgrade '{name}{requirement.specifier}'"
        checks.append(Check(ok, name, f"{version} ({needed})", upgrade))
    return checks or [Check(False, PACKAGE, "not installed, so its requirements are unknown", REINSTALL)]


def check_device() -> Check:
    """What training would run on."""
    try:
        import torch
    except Exception as error:  # a broken installation raises OSError, ImportError, AttributeError ...
        return Check(
            False,
            "device",
            f"torch cannot be imported ({error})",
            "install torch again: pip install --force-reinstall torch",
        )
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        found = f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"
        return Check(True, "device", found, "", f"torch {Version(torch.__version__).public} ({found})")
    found = f"CPU with {os.cpu_count()} cores (enough for the profiles smoke, quick and, in an hour or two, medium)"
    return Check(True, "device", found, "", f"torch {Version(torch.__version__).public} (CPU, {os.cpu_count()} cores)")


def check_disk(folder: Path) -> Check:
    """Free space where results will be written."""
    free = shutil.disk_usage(_existing(folder)).free / 2**30
    detail = f"{free:.1f} GiB free in {folder} (needed: {DISK_GIB:.1f})"
    what_to_do = "free some space, or write to another disk with --out"
    return Check(free >= DISK_GIB, "disk", detail, what_to_do, f"{free:.0f} GiB free")


def check_write_access(folder: Path) -> Check:
    """Whether results can be written."""
    try:
        with tempfile.NamedTemporaryFile(dir=_existing(folder)) as file:
            file.write(b"0")
    except OSError as error:
        return Check(False, "write access", f"{folder}: {error.strerror}", "choose another folder with --out")
    return Check(True, "write access", str(folder), "")


def check_kernel(timeout: float = SECONDS_TO_START) -> Check:
    """Whether notebooks would run in this environment: they ask for the kernel named python3, which is started once."""
    install = f"{sys.executable} -m pip install ipykernel"
    name = "Jupyter kernel"
    try:
        from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
    except ImportError:
        return Check(False, name, "jupyter_client is not installed", REINSTALL)
    try:
        spec = KernelSpecManager().get_kernel_spec("python3")
    except NoSuchKernel:
        return Check(False, name, "there is no kernel named python3", install)
    except Exception as error:  # a kernel.json that is not what it should be
        return Check(
            False, name, f"python3 cannot be read ({error})", "jupyter kernelspec list shows where it is; delete it"
        )
    command = spec.argv[0] if spec.argv else "nothing"
    place = f"delete {spec.resource_dir}" if spec.resource_dir else "jupyter kernelspec remove python3"
    remove = f"{place}, which leaves the environment's own kernel in its place"
    # Jupyter itself puts the running interpreter in place of a bare "python".
    if os.sep in command and Path(command).parent != Path(sys.executable).parent:
        return Check(False, name, f"python3 starts {command}, not this environment", remove)
    if failure := _failure_to_start(timeout):
        return Check(False, name, f"python3 does not start ({failure})", f"{install}; if that does not help, {remove}")
    return Check(True, name, "python3", "", "kernel python3")


def _failure_to_start(timeout: float) -> str:
    """Why the kernel python3 does not come up; nothing if it does."""
    from jupyter_client import KernelManager

    manager = KernelManager(kernel_name="python3")
    with tempfile.TemporaryFile() as log:
        try:
            manager.start_kernel(stdout=log, stderr=log)
            client = manager.blocking_client()
            client.start_channels()
            client.wait_for_ready(timeout=timeout)
            client.stop_channels()
        except Exception as error:  # each way to fail has its own
            log.seek(0)
            lines = log.read().decode("utf-8", "replace").strip().splitlines()
            return " ".join(str(error).split())[:150] + (f": {lines[-1][:200]}" if lines else "")
        finally:
            if manager.has_kernel:
                manager.shutdown_kernel(now=True)
    return ""


def _requirements() -> list[str]:
    try:
        return metadata.requires(PACKAGE) or []
    except metadata.PackageNotFoundError:
        return []


def _classifiers() -> list[str]:
    try:
        return metadata.metadata(PACKAGE).get_all("Classifier") or []
    except metadata.PackageNotFoundError:
        return []


def _existing(folder: Path) -> Path:
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if path.is_dir())
