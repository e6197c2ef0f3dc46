"""Is this machine ready for the course? One line per requirement, for the evening before a workshop."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

PACKAGE = "advconf-lite"
DISK_GIB = 1.0  # free space for the quick profile's run and data, with room to spare
REINSTALL = "run `make tutorial`, or `pip install -e .` in the repository's folder"


class Check(NamedTuple):
    """One requirement: is it met, what was found, and what to do if it is not."""

    ok: bool
    name: str
    detail: str
    what_to_do: str


def run_checks(folder: str | Path = ".") -> list[Check]:
    """Check Python, dependencies, the device, disk space and write access in `folder`, and the Jupyter kernel.

    Requirements are read from the installed package, so there is no second list of them. A missing GPU is no
    failure.
    """
    checks = [
        check_python(sys.version_info[:3], _classifiers()),
        *check_dependencies(_requirements()),
        check_device(),
    ]
    return [*checks, check_disk(Path(folder)), check_write_access(Path(folder)), check_kernel()]


def print_report(checks: list[Check]) -> int:
    """Print `[OK]` or `[FAIL]` per requirement; returns the exit code, 1 when something failed."""
    width = max(len(check.name) for check in checks)
    for check in checks:
        print(f"{'[OK]  ' if check.ok else '[FAIL]'} {check.name:{width}}  {check.detail}")
        if not check.ok:
            print(f"{'':7}{'':{width}}  -> {check.what_to_do}")
    failed = sum(not check.ok for check in checks)
    print(f"{failed} of {len(checks)} requirements not met" if failed else "ready")
    return 1 if failed else 0


def check_python(version: tuple[int, int, int], classifiers: list[str]) -> Check:
    """The Python version against those that the package's classifiers name as tested."""
    tested = [match[1] for line in classifiers if (match := re.fullmatch(r".*:: Python :: (3\.\d+)", line))]
    tested.sort(key=_numbers)
    found = ".".join(map(str, version))
    wanted = f"{tested[0]} to {tested[-1]}" if tested else f"unknown, for {PACKAGE} is not installed"
    what_to_do = f"install Python {tested[-1]} and make a new environment with it" if tested else REINSTALL
    return Check(f"{version[0]}.{version[1]}" in tested, "Python", f"{found} (tested: {wanted})", what_to_do)


def check_dependencies(requirements: list[str]) -> list[Check]:
    """One check per requirement such as 'torch>=2.8'; those of optional extras are left out."""
    checks = []
    for text in requirements:
        if "extra ==" in text:
            continue
        match = re.match(r"([A-Za-z0-9._-]+)\s*(?:>=\s*([\d.]+))?", text)
        name, lowest = match[1], match[2] or "0"
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            checks.append(Check(False, name, f"not installed (needed: {lowest} or newer)", REINSTALL))
            continue
        ok = _numbers(version) >= _numbers(lowest)
        checks.append(Check(ok, name, f"{version} (needed: {lowest} or newer)", f"pip install --upgrade '{text}'"))
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
        return Check(True, "device", f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB", "")
    return Check(True, "device", f"CPU with {os.cpu_count()} cores (enough for the smoke and quick profiles)", "")


def check_disk(folder: Path) -> Check:
    """Free space where results will be written."""
    free = shutil.disk_usage(_existing(folder)).free / 2**30
    detail = f"{free:.1f} GiB free in {folder} (needed: {DISK_GIB:.1f})"
    return Check(free >= DISK_GIB, "disk", detail, "free some space, or write to another disk with --out")


def check_write_access(folder: Path) -> Check:
    """Whether results can be written."""
    try:
        with tempfile.NamedTemporaryFile(dir=_existing(folder)) as file:
            file.write(b"0")
    except OSError as error:
        return Check(False, "write access", f"{folder}: {error.strerror}", "choose another folder with --out")
    return Check(True, "write access", str(folder), "")


def check_kernel() -> Check:
    """Whether notebooks would run in this environment: they ask for the kernel named python3."""
    install = f"{sys.executable} -m pip install ipykernel"
    try:
        from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
    except ImportError:
        return Check(False, "Jupyter kernel", "jupyter_client is not installed", REINSTALL)
    try:
        command = KernelSpecManager().get_kernel_spec("python3").argv[0]
    except NoSuchKernel:
        return Check(False, "Jupyter kernel", "there is no kernel named python3", install)
    # Jupyter itself puts the running interpreter in place of a bare "python".
    here = os.sep not in command or Path(command).parent == Path(sys.executable).parent
    remove = "jupyter kernelspec remove python3, which leaves the environment's own kernel in its place"
    return Check(
        here,
        "Jupyter kernel",
        "python3" if here else f"python3 starts {command}, not this environment",
        remove,
    )


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


def _numbers(version: str) -> tuple[int, ...]:
    """(2, 13, 0) of '2.13.0+cpu'; a pre-release counts as its release."""
    numbers = tuple(int(part) for part in re.match(r"\d+(?:\.\d+)*", version)[0].split("."))
    return numbers + (0,) * (4 - len(numbers))


def _existing(folder: Path) -> Path:
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if path.is_dir())
