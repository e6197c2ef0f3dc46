"""The second half of a lesson's first code cell: what the package needs and this Python lacks is installed, and no more.

Colab and Kaggle come with hundreds of packages, some of which the kernel has loaded already: another version of torch, numpy
or ipywidgets on the disk would break it until it is started again. So pip is asked only for what is missing, and is held to
the versions of everything that is there (a constraints file); where that cannot be done it refuses, and nothing is changed.

Only Python's own modules are imported here: what is missing may be any other.
"""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
import tempfile
from importlib import metadata

PACKAGE = "advconf-lite"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
VERSION = re.compile(r"(\d+!)?\d+(\.\d+)*((a|b|rc)\d+)?(\.post\d+)?(\.dev\d+)?(\+[a-z0-9.]+)?")  # pip refuses others


def install_missing(package: str = PACKAGE) -> None:
    """Install the requirements of a package that this Python does not have; one line says which, none if there are none.

    Raises:
        ImportError: pip could not, with its last words.
    """
    wanted = requirements(package)
    lacking = missing(wanted)
    if lacking:
        install(lacking)
        names = [NAME.match(each)[0] for each in lacking]
        print("installed: " + ", ".join(f"{name} {metadata.version(name)}" for name in names))
    for sentence in older(wanted):
        print(sentence)


def requirements(package: str) -> list[str]:
    """What a package asks for without any extra, such as "torch>=2.8"."""
    return [each for each in metadata.requires(package) or [] if "extra ==" not in each]


def missing(wanted: list[str]) -> list[str]:
    """Those that are not installed in any version."""
    return [each for each in wanted if _installed(NAME.match(each)[0]) is None]


def older(wanted: list[str]) -> list[str]:
    """A sentence for each that is there in a version that was not asked for; it is left alone."""
    from packaging.requirements import Requirement  # one of the requirements

    found = []
    for requirement in map(Requirement, wanted):
        version = _installed(requirement.name)
        if version and not requirement.specifier.contains(version, prereleases=True):
            found.append(
                f"{requirement.name} {version} is here, and {requirement.specifier} was tested; it is left as it is. "
                "If a cell fails, this may be why."
            )
    return found


def here() -> dict[str, str]:
    """Every installed package and its version, as far as pip takes it for one."""
    found = {each.metadata["Name"]: each.version for each in metadata.distributions()}
    return {name: version for name, version in found.items() if name and version and VERSION.fullmatch(version)}


def install(lacking: list[str]) -> None:
    """Let pip install these, and leave every other package at its version.

    Raises:
        ImportError: it could not, with its last words.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "here.txt")
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(f"{name}=={version}\n" for name, version in here().items())
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--constraint", path, *lacking]
        done = subprocess.run(pip, capture_output=True, text=True)
    importlib.invalidate_caches()
    if done.returncode:
        raise ImportError(
            f"{', '.join(lacking)} could not be installed beside what is here, and nothing was changed: "
            f"{done.stderr.strip()[-300:]}"
        )


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
