"""Which wheels a machine needs: pip's own answer, for a machine that is not this one, and checked.

`pip download --platform` chooses files for another machine, but reads the markers of requirements, such as
`sys_platform == "win32"`, for this one: on Linux it forgets what Windows needs beside, and asks for CUDA in its name. So
pip runs here with the markers' values of that machine; since this reaches into pip, `unmet` looks at the answer once more.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from advconf_lite.course.bundling.targets import Target
from advconf_lite.support.errors import BadInput
from advconf_lite.support.files import sha256

CPU = "https://download.pytorch.org/whl/cpu"
# Who cannot be had, in pip's words: where there is a constraint it is that one that nothing fulfils.
NAMED = r"requested \(constraint\) (\S+)", r"No matching distribution found for (\S+)", r"Cannot install (\S+)"
CUDA = re.compile(r"nvidia|cuda|triton")

# Its arguments: the markers' values as JSON, a file for the sizes that the index gives, and the words for pip.
PIP = """
import json, sys
values, sizes, *words = sys.argv[1:]
values, known = json.loads(values), {}
from pip._vendor.packaging import markers
markers.default_environment = lambda: dict(values)
from pip._internal.resolution.resolvelib.candidates import RequiresPythonCandidate as Python
from pip._internal.models.link import Link
begin, read = Python.__init__, Link.from_json.__func__
version = tuple(map(int, values["python_full_version"].split(".")))
Python.__init__ = lambda self, info: begin(self, version)
def from_json(cls, data, page):
    known[data.get("filename")] = data.get("size")
    return read(cls, data, page)
Link.from_json = classmethod(from_json)
from pip._internal.cli.main import main
code = main(words)
with open(sizes, "w", encoding="utf-8") as file:
    json.dump(known, file)
sys.exit(code)
"""


class Lacking(Exception):
    """What keeps a machine from being in the bundle, in words."""


@dataclass(frozen=True)
class Wheel:
    """A file that a machine needs; `size` in bytes, and `sum` (SHA-256), are None where the index does not say."""

    name: str
    version: str
    url: str
    sum: str | None
    size: int | None

    @property
    def file(self) -> str:
        return unquote(urlsplit(self.url).path.rsplit("/", 1)[-1])


def resolve(target: Target, own: Path, extras: str, constraints: Path, torch_index: str) -> list[Wheel]:
    """The wheels that `own`, with its extras, needs on a machine.

    Args:
        constraints: a file of versions, as pip reads them.
        torch_index: where Linux gets PyTorch from: "cpu", "default" (pip's own index, with CUDA), or an address.

    Raises:
        Lacking: the index has no set of wheels for it.
        BadInput: pip is too old for this, or not there.
    """
    own_requirement = f"{canonicalize_name(own.name.split('-')[0])}[{extras}] @ {own.resolve().as_uri()}"
    more: list[str] = []
    if target.kind.is_linux and torch_index != "default":
        # Alone, and before all others: with two indexes pip would ask both of them for each package.
        torch = _torch(target, constraints, CPU if torch_index == "cpu" else torch_index)
        if torch_index == "cpu" and any(CUDA.match(each) for each in torch["metadata"].get("requires_dist", [])):
            raise Lacking("torch: no wheel without CUDA is at hand; with --torch-index default comes the one with CUDA")
        more = [f"torch @ {torch['download_info']['url']}"]
    items, sizes = _ask(target, [own_requirement, *more], constraints, [])
    if wrong := unmet(target, items):
        raise Lacking(f"{wrong[0]}, and this pip did not see it; python -m pip install --upgrade pip may help")
    found = [_wheel(item, sizes) for item in items]
    return sorted((each for each in found if each.file != own.name), key=lambda each: each.file)


def _torch(target: Target, constraints: Path, index: str) -> dict:
    try:
        return _ask(target, ["torch"], constraints, ["--no-deps", "--index-url", index])[0][0]
    except Lacking as error:
        raise Lacking(f"{error} ({index}); with --torch-index default comes the one with CUDA") from None


def _ask(target: Target, wanted: list[str], constraints: Path, options: list[str]) -> tuple[list[dict], dict[str, int]]:
    """pip's report on what it would install, and the sizes of files that it has read about."""
    with tempfile.TemporaryDirectory() as folder:
        report, sizes = Path(folder, "report.json"), Path(folder, "sizes.json")
        # `--target` is what pip asks for with another platform; nothing is written there.
        words = ["install", "--dry-run", "--ignore-installed", "--no-input", "--retries", "2"]
        words += ["--report", str(report), "--target", str(Path(folder, "none")), "--constraint", str(constraints)]
        done = pip(target, [*words, *options, *target.options(), *wanted], sizes)
        if done.returncode:
            raise lacking(done.stdout + done.stderr)
        items = json.loads(report.read_text(encoding="utf-8"))["install"]
        return items, json.loads(sizes.read_text(encoding="utf-8"))


def pip(target: Target, words: list[str], sizes: Path) -> subprocess.CompletedProcess:
    """pip as if on that machine; its output is captured."""
    command = [sys.executable, "-c", PIP, json.dumps(target.environment()), str(sizes), *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=sizes.parent)


def lacking(said: str) -> Exception:
    """pip's last words, as what lacks; or BadInput where pip itself is the matter."""
    if "no such option" in said or "No module named pip" in said or "ImportError" in said or "AttributeError" in said:
        last = said.strip().splitlines()[-1]
        return BadInput(f"this pip cannot choose wheels for others ({last}); python -m pip install --upgrade pip helps")
    if "No space left" in said:
        return BadInput("the disk of temporary files is full; free some space, or set TMPDIR to another folder")
    unreachable = re.search(r"NewConnectionError|Max retries|timed out|ConnectTimeout|ProxyError|SSLError", said)
    name = next((match[1].rstrip(",;") for pattern in NAMED if (match := re.search(pattern, said))), None)
    if "DO NOT MATCH THE HASHES" in said:
        damaged = re.search(r"^ +(\S+) from ", said, flags=re.M)
        return Lacking(f"{damaged[1] if damaged else 'a wheel'}: its file in the index is damaged")
    if name and unreachable:
        return Lacking(f"{name}: its index cannot be reached")
    if name:
        return Lacking(f"{name}: no wheel of it is for this machine")
    errors = [line.removeprefix("ERROR: ") for line in said.splitlines() if line.startswith("ERROR")]
    return Lacking(errors[-1][:200] if errors else said.strip()[-200:] or "pip ended without a word")


def unmet(target: Target, items: list[dict]) -> list[str]:
    """What of a pip report's items is missing or does not fit, read from their metadata alone; one sentence each."""
    there = {canonicalize_name(item["metadata"]["name"]): item["metadata"]["version"] for item in items}
    environment, wrong = target.environment(), []
    for item in items:
        data = item["metadata"]
        name = data["name"]
        if not SpecifierSet(data.get("requires_python") or "").contains(environment["python_full_version"]):
            wrong.append(f"{name} {data['version']} wants Python {data['requires_python']}")
        asked = ["", *item.get("requested_extras", [])]
        for requirement in map(Requirement, data.get("requires_dist") or []):
            marker = requirement.marker
            if marker and not any(marker.evaluate(environment | {"extra": extra}) for extra in asked):
                continue
            version = there.get(canonicalize_name(requirement.name))
            if version is None or not requirement.specifier.contains(version, prereleases=True):
                wrong.append(f"{name} wants {requirement.name}{requirement.specifier}, and gets {version or 'none'}")
    return wrong


def _wheel(item: dict, sizes: dict[str, int]) -> Wheel:
    said, data = item["download_info"], item["metadata"]
    url, archive = said["url"], said.get("archive_info", {})
    digest = archive.get("hashes", {}).get("sha256") or archive.get("hash", "").removeprefix("sha256=") or None
    made = Wheel(data["name"], data["version"], url, digest, None)
    if url.startswith("file:"):
        path = Path(url2pathname(urlsplit(url).path))
        return Wheel(made.name, made.version, url, digest or sha256(path), path.stat().st_size)
    return Wheel(made.name, made.version, url, digest, sizes.get(made.file))
