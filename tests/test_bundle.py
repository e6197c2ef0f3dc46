"""The command `bundle` at the smallest size: a local index of tiny wheels, no network, and pip as it is."""

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from advconf_lite.course import bundle
from advconf_lite.course.bundling import storing, sums
from advconf_lite.course.bundling.resolving import Wheel, lacking, unmet
from advconf_lite.course.bundling.targets import PLATFORMS, PYTHONS, Target
from advconf_lite.support.command_line import well_behaved
from advconf_lite.support.errors import BadInput

HERE = f"{sys.version_info[0]}.{sys.version_info[1]}"
CP = [f"cp{python.replace('.', '')}" for python in PYTHONS]


def a_wheel(folder, name, version="1.0", requires=(), tag="py3-none-any", python=""):
    """A wheel without content beside its metadata and one module."""
    info = f"{name}-{version}.dist-info"
    lines = [
        "Metadata-Version: 2.1",
        f"Name: {name}",
        f"Version: {version}",
        *(["Requires-Python: " + python] if python else []),
    ]
    extras = sorted(set(re.findall(r'extra == "(\w+)"', " ".join(requires))))
    lines += [f"Provides-Extra: {extra}" for extra in extras] + [f"Requires-Dist: {each}" for each in requires]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}.py", f"version = {version!r}\n")
        wheel.writestr(f"{info}/METADATA", "\n".join(lines) + "\n")
        wheel.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n")
        wheel.writestr(f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return path


def index(folder):
    """Files of a folder as an index: a page for each package, with sums."""
    pages = {}
    for path in sorted(folder.glob("*.*")):
        name = re.sub(r"[-_.]+", "-", path.name.split("-")[0]).lower()
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        pages.setdefault(name, []).append(f'<a href="{path.as_uri()}#sha256={digest}">{path.name}</a>')
    for name, lines in pages.items():
        page = folder / "simple" / name / "index.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text("\n".join(lines))
    return (folder / "simple").as_uri()


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Two indexes, with and without CUDA, and a clone whose wheel asks for what the markers of real packages ask for."""
    root = tmp_path_factory.mktemp("shop")
    usual, cpu = root / "usual", root / "cpu"
    for cp in CP:
        a_wheel(usual, "torch", tag=f"{cp}-{cp}-manylinux_2_28_x86_64", requires=["nvidia_x; platform_system == 'Linux'"])
        a_wheel(usual, "torch", tag=f"{cp}-{cp}-win_amd64")
        if cp != "cp313":  # macOS has none for 3.13 in this shop
            a_wheel(usual, "torch", tag=f"{cp}-{cp}-macosx_11_0_arm64")
        a_wheel(cpu, "torch", "1.0+cpu", tag=f"{cp}-{cp}-manylinux_2_28_x86_64")
    a_wheel(usual, "nvidia_x", tag="py3-none-manylinux_2_17_x86_64")
    for name in ("winonly", "oldonly", "dataone"):
        a_wheel(usual, name)
    a_wheel(usual, "both", "1.0")
    a_wheel(usual, "both", "2.0", python=">=3.11")
    (usual / "sources-1.0.tar.gz").write_bytes(b"no wheel of it")
    clone = root / "clone"
    (clone / "notebooks" / "student").mkdir(parents=True)
    (clone / "docs").mkdir()
    (clone / "docs" / "page.md").write_text("# A page\n")
    for path in ("notebooks/00_a.ipynb", "notebooks/student/00_a.ipynb", "notebooks/TEACHING.md", "notebooks/00_a.py"):
        (clone / path).write_text("{}\n")
    (clone / "pyproject.toml").write_text("")
    (clone / "constraints.txt").write_text('torch==1.0\nboth==2.0; python_version >= "3.11"\n')
    return SimpleNamespace(root=root, usual=index(usual), cpu=index(cpu), files=usual, clone=clone)


OWN = ["torch", "both", 'winonly; sys_platform == "win32"', 'oldonly; python_version < "3.11"', 'dataone; extra == "data"']


@pytest.fixture
def make(shop, monkeypatch, tmp_path):
    """The command, with its own wheel and its rendered course made in no time."""
    for name, value in {"INDEX_URL": shop.usual, "CONFIG_FILE": os.devnull, "NO_CACHE_DIR": "1"}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    for name in ("FIND_LINKS", "EXTRA_INDEX_URL", "NO_INDEX", "CONSTRAINT"):
        monkeypatch.delenv(f"PIP_{name}", raising=False)

    def rendered(clone, temporary):
        (temporary / "book").mkdir()
        (temporary / "book" / "index.html").write_text("<p>The course")
        return temporary / "book"

    requires = list(OWN)
    monkeypatch.setattr(bundle, "own_wheel", lambda clone, temporary: a_wheel(temporary, "advconf_lite", "0.1.0", requires))
    monkeypatch.setattr(bundle, "rendered", rendered)

    def command(*words, out=tmp_path / "usb", torch=shop.cpu):
        import argparse

        parser = argparse.ArgumentParser()
        bundle.add_options(parser)
        chosen = parser.parse_args(["--out", str(out), *words, *(["--torch-index", torch] if torch else [])])
        real = bundle.make_bundle
        monkeypatch.setattr(bundle, "make_bundle", lambda *given: real(*given, clone=shop.clone))
        try:
            return well_behaved(lambda: bundle.run(chosen), options={"folder": "--out"})
        finally:
            monkeypatch.setattr(bundle, "make_bundle", real)

    command.requires, command.out = requires, tmp_path / "usb"
    return command


def machines(out):
    return {name: {file.split("-")[0] + "-" + file.split("-")[1] for file in files}
            for name, files in json.loads((out / "bundle.json").read_text())["machines"].items()}  # fmt: skip


class TestMachines:
    def test_each_gets_what_its_markers_ask_for_and_what_lacks_is_said(self, make, capsys):
        """Also from the bundle alone, by the line of its page: the network off, and what was asked for arrives."""
        code = make("--platform", "linux", "windows", "macos", "--python", "3.10", "3.13")
        said = capsys.readouterr().out
        assert code == 1 and "macos 3.13: lacks torch==1.0: no wheel of it is for this machine" in " ".join(said.split())
        common = {"dataone-1.0"}
        assert machines(make.out) == {
            "linux 3.10": common | {"torch-1.0+cpu", "both-1.0", "oldonly-1.0"},
            "linux 3.13": common | {"torch-1.0+cpu", "both-2.0"},
            "windows 3.10": common | {"torch-1.0", "both-1.0", "oldonly-1.0", "winonly-1.0"},
            "windows 3.13": common | {"torch-1.0", "both-2.0", "winonly-1.0"},
            "macos 3.10": common | {"torch-1.0", "both-1.0", "oldonly-1.0"},
        }
        files = [path.name for path in (make.out / "wheels").iterdir()]
        assert (
            len([name for name in files if name.startswith("dataone")]) == 1
            and "advconf_lite-0.1.0-py3-none-any.whl" in files
        )
        page = (make.out / "INSTALL.html").read_text()
        assert (
            "macos 3.13: torch==1.0: no wheel" in page
            and "<td>lacks</td>" in page
            and not re.search(r"(src|href)=.https?:", page)
        )
        for path in ("notebooks/student/00_a.ipynb", "notebooks/TEACHING.md", "docs/page.md", "course/index.html"):
            assert (make.out / path).is_file()
        assert not (make.out / "notebooks/00_a.py").exists()
        assert not [path for path in make.out.iterdir() if path.name.startswith(".")]

    def test_a_wheel_with_cuda_is_not_taken_unasked(self, make, shop, capsys, monkeypatch):
        monkeypatch.setattr("advconf_lite.course.bundling.resolving.CPU", shop.usual)
        assert make("--platform", "linux", "--python", "3.12", torch=None) == 2
        assert "torch: no wheel without CUDA is at hand; with --torch-index default" in capsys.readouterr().err
        assert make("--platform", "linux", "--python", "3.12", torch="default") == 0
        assert machines(make.out)["linux 3.12"] >= {"torch-1.0", "nvidia_x-1.0"}

    def test_sources_are_no_wheel_and_the_package_is_named(self, make, capsys):
        make.requires.append('sources; sys_platform == "darwin"')
        assert make("--platform", "windows", "macos", "--python", "3.12") == 1
        assert "macos 3.12: lacks sources: no wheel of it" in capsys.readouterr().out
        assert list(machines(make.out)) == ["windows 3.12"]

    def test_an_index_that_is_not_there_is_one_sentence(self, make, capsys, monkeypatch, tmp_path):
        monkeypatch.setenv("PIP_INDEX_URL", (tmp_path / "nowhere").as_uri())
        assert make("--platform", "windows", "--python", "3.12") == 2
        error = capsys.readouterr().err.strip().splitlines()
        assert len(error) == 1 and "no machine that was asked for can have a bundle: windows 3.12 lacks torch" in error[0]
        assert not (make.out / "SHA256SUMS").exists()


class TestFolder:
    def test_interrupted_it_goes_on_and_what_was_there_is_not_fetched_again(self, make, shop, capsys, monkeypatch):
        monkeypatch.setattr(storing, "AT_ONCE", 1)
        real = storing.pip

        def cut_off(target, words, sizes):
            if words[-1].startswith("winonly"):
                (sizes.parent / "winonly-1.0-py3-none-any.whl").write_bytes(b"half")
                return subprocess.CompletedProcess([], 1, "", "ERROR: connection lost")
            return real(target, words, sizes)

        monkeypatch.setattr(storing, "pip", cut_off)
        assert make("--platform", "windows", "--python", "3.12") == 2
        assert "winonly" in (said := capsys.readouterr().err) and "run the same command again" in said
        wheels = {path.name: path.stat().st_mtime_ns for path in (make.out / "wheels").iterdir()}
        assert {"both-2.0-py3-none-any.whl", "dataone-1.0-py3-none-any.whl"} <= set(wheels) and not any(
            "winonly" in n for n in wheels
        )
        assert not (make.out / "SHA256SUMS").exists() and not (make.out / ".part").exists()
        assert "not finished" in sums.problems(make.out)[0]
        monkeypatch.setattr(storing, "pip", real)
        (make.out / "notebooks" / "student" / "runs").mkdir(parents=True)  # somebody has taken it to a lesson
        (make.out / "notebooks" / "student" / "runs" / "mine.csv").write_text("1")
        (make.out / ".part").mkdir()  # of a process that was killed
        (make.out / "wheels" / "dataone-1.0-py3-none-any.whl").write_bytes(b"half")
        assert make("--platform", "windows", "--python", "3.12") == 0
        assert "to download: 2 of 4 wheels" in capsys.readouterr().out
        again = {path.name: path.stat().st_mtime_ns for path in (make.out / "wheels").iterdir()}
        assert again["both-2.0-py3-none-any.whl"] == wheels["both-2.0-py3-none-any.whl"]
        assert sums.problems(make.out) == [] and not (make.out / ".part").exists()
        assert (make.out / "notebooks" / "student" / "runs" / "mine.csv").read_text() == "1"
        assert "runs" not in (make.out / "SHA256SUMS").read_text()

    def test_the_page_installs_it_without_an_index_and_the_sums_see_every_change(self, make, tmp_path, capsys, monkeypatch):
        assert make("--platform", "linux", "windows", "--python", HERE) == 0
        page = (make.out / "INSTALL.html").read_text().replace("&quot;", '"')
        (line,) = re.findall(r"^~/advconf/bin/python (-m pip install .*)$", page, flags=re.M)
        monkeypatch.setenv("PIP_INDEX_URL", "file:///nowhere")
        pip = [sys.executable, *shlex.split(line), "--target", tmp_path / "there", "--quiet"]
        if sys.platform == "linux":
            done = subprocess.run(pip, cwd=make.out, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            installed = {path.stem for path in (tmp_path / "there").glob("*.py")}
            assert installed >= {"advconf_lite", "torch", "both", "dataone"} and "winonly" not in installed
        check = [sys.executable, make.out / "check.py"]
        assert subprocess.run(check, capture_output=True, text=True).stdout == "all files are as they were written\n"
        assert make("--check") == 0
        with monkeypatch.context() as away:
            away.setenv("PIP_INDEX_URL", "file:///nowhere")
            away.setattr("advconf_lite.course.bundling.resolving.CPU", "file:///nowhere")
            assert make("--platform", "windows", "--python", HERE) == 2  # and what is finished stays so
        assert make("--check") == 0
        for name, spoil in {
            "wheels/winonly-1.0-py3-none-any.whl": lambda path: path.write_bytes(b"x"),
            "INSTALL.html": lambda path: path.write_text(path.read_text() + " "),
            "course/index.html": Path.unlink,
        }.items():
            shutil.copytree(make.out, tmp_path / "copy")
            spoil(tmp_path / "copy" / name)
            done = subprocess.run([sys.executable, tmp_path / "copy" / "check.py"], capture_output=True, text=True)
            assert done.returncode == 1 and done.stdout.startswith(name), name
            assert make("--check", out=tmp_path / "copy") == 1
            shutil.rmtree(tmp_path / "copy")

    def test_a_folder_with_something_else_is_refused(self, make, tmp_path, capsys):
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "thesis.tex").write_text("x")
        assert make(out=tmp_path / "mine") == 2
        assert "holds thesis.tex and is no bundle" in capsys.readouterr().err
        assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]
        assert make(out=tmp_path / "mine" / "thesis.tex") == 2 and "is a file" in capsys.readouterr().err
        assert make("--check", out=tmp_path / "mine") == 2 and "is no bundle" in capsys.readouterr().err

    def test_an_installed_package_says_where_a_bundle_is_made(self, tmp_path):
        with pytest.raises(BadInput, match="made in a clone of the repository"):
            bundle.make_bundle(tmp_path / "usb", [Target("linux", "3.12")], clone=tmp_path)
        assert not (tmp_path / "usb").exists()


# ---- without pip


def wheels(*names, size=None):
    return [Wheel(name, "1", f"file:///x/{name}-1-py3-none-any.whl", None, size) for name in names]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "is full"),
        (
            "WARNING: slow\nERROR: HTTP error 503 while getting x\n",
            "b-1-py3-none-any.whl could not be downloaded (ERROR: HTTP",
        ),
        ("", "no reason given"),
    ],
)
def test_a_download_that_fails_is_one_sentence_and_keeps_the_rest(said, words, tmp_path, monkeypatch):
    def pip(target, arguments, sizes):
        name = arguments[-1].split(" @ ")[0]
        if name == "b":
            (sizes.parent / "b-1-py3-none-any.whl.half").write_text("half")
            return subprocess.CompletedProcess([], 1, "", said)
        (sizes.parent / f"{name}-1-py3-none-any.whl").write_text(name)
        return subprocess.CompletedProcess([], 0, "", "")

    (tmp_path / "wheels").mkdir()
    monkeypatch.setattr(storing, "pip", pip)
    monkeypatch.setattr(storing, "AT_ONCE", 1)
    with pytest.raises(BadInput) as error:
        storing.store(tmp_path / "wheels", {Target("linux", "3.12"): wheels("a", "b", "c")})
    assert words in str(error.value) and "run the same command again" in str(error.value) and "\n" not in str(error.value)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["a-1-py3-none-any.whl"]


def test_ctrl_c_leaves_nothing_half_written(tmp_path, monkeypatch):
    def pip(target, arguments, sizes):
        (sizes.parent / "a-1-py3-none-any.whl").write_text("half")
        raise KeyboardInterrupt

    (tmp_path / "wheels").mkdir()
    monkeypatch.setattr(storing, "pip", pip)
    with pytest.raises(KeyboardInterrupt):
        storing.store(tmp_path / "wheels", {Target("linux", "3.12"): wheels("a")})
    assert [path.name for path in tmp_path.rglob("*")] == ["wheels"]


def test_what_does_not_fit_on_the_disk_is_refused_before_it_begins(tmp_path):
    storing.enough_space(tmp_path, wheels("a", size=1000))
    with pytest.raises(BadInput, match="MB are to be downloaded and .* has room for"):
        storing.enough_space(tmp_path, wheels("a", "b", size=10**17))


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("ERROR: No matching distribution found for a>=2", "a>=2: no wheel of it is for this machine"),
        (
            "WARNING: Retrying NewConnectionError\nERROR: No matching distribution found for a",
            "a: its index cannot be reached",
        ),
        (
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM.\n    a from https://b:\n Expected",
            "a: its file in the index is",
        ),
        ("ERROR: Something else", "Something else"),
        ("OSError: [Errno 28] No space left on device", "the disk of temporary files is full"),
        ("no such option: --report", "this pip cannot choose wheels for others"),
        ("", "pip ended without a word"),
    ],
)
def test_pips_last_words_are_one_sentence(said, words):
    assert words in str(lacking(said)) and "\n" not in str(lacking(said))


def report(name, version="1.0", requires=(), python="", extras=()):
    data = {"name": name, "version": version, "requires_dist": list(requires), "requires_python": python}
    return {"metadata": data, "requested_extras": list(extras), "download_info": {}}


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ([report("a", requires=["b"]), report("b")], None),
        ([report("a", requires=["b"])], "a wants b, and gets none"),
        ([report("a", requires=["B_x>=2"]), report("b-x")], "a wants B_x>=2, and gets 1.0"),
        ([report("a", requires=["b; sys_platform == 'win32'"])], None),
        ([report("a", requires=["b; sys_platform == 'linux'"])], "a wants b"),
        ([report("a", requires=["b; python_version < '3.11'"])], None),
        ([report("a", requires=["b; extra == 'lab'"])], None),
        ([report("a", requires=["b; extra == 'lab'"], extras=["lab"])], "a wants b"),
        ([report("a", python=">=3.13")], "a 1.0 wants Python >=3.13"),
    ],
)
def test_pips_answer_is_looked_at_once_more(items, words):
    wrong = unmet(Target("linux", "3.12"), items)
    assert (wrong == []) if words is None else (len(wrong) == 1 and words in wrong[0])


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_machine_has_a_value_for_every_marker(platform):
    from packaging.markers import Marker, default_environment

    target = Target(platform, "3.12")
    assert target.environment().keys() == dict(default_environment()).keys()
    assert Marker("python_full_version >= '3.12.0' and implementation_name == 'cpython'").evaluate(target.environment())
    assert target.kind.is_linux == platform.startswith("linux") and target.options().count("--platform") == len(
        target.kind.tags
    )
