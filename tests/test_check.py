"""`python -m advconf_lite check`: one line per requirement, and what to do."""

import json
import re
import sys
from collections import namedtuple
from importlib import metadata

import pytest
from packaging.requirements import Requirement

from advconf_lite.course import check
from advconf_lite.course.check import Check, check_dependencies, check_python, print_report, run_checks

CLASSIFIERS = [
    "Topic :: Education",
    *(f"Programming Language :: Python :: 3.{minor}" for minor in (13, 10, 11, 12)),
]


@pytest.mark.parametrize(
    ("version", "ok"), [((3, 9, 18), False), ((3, 10, 0), True), ((3, 13, 9), True), ((3, 14, 0), False)]
)
def test_python_is_compared_with_the_tested_versions(version, ok):
    result = check_python(version, CLASSIFIERS)
    assert result.ok is ok
    assert "3.10 to 3.13" in result.detail and "install Python 3.13" in result.what_to_do


def test_dependencies_against_lower_bounds(monkeypatch):
    installed = {"torch": "2.13.0+cpu", "monai": "1.5.2", "numpy": "1.26", "scipy": "1.9.3", "tqdm": "5.0rc1"}

    def version(name):
        if name not in installed:
            raise metadata.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(check.metadata, "version", version)
    results = check_dependencies(
        [
            "torch>=2.8",
            "monai>=1.6",
            "numpy>=1.26.0",
            "scipy>=1.11",
            "tqdm>=4.66",
            "pandas>=2.1",
            'nbval>=1; extra == "test"',
        ]
    )
    assert [(result.name, result.ok) for result in results] == [
        ("torch", True),  # 2.13 is newer than 2.8, though not as text
        ("monai", False),
        ("numpy", True),
        ("scipy", False),  # 1.9 is older than 1.11, though not as text
        ("tqdm", True),
        ("pandas", False),
    ]
    assert results[1].detail == "1.5.2 (needed: >=1.6)"
    assert results[1].what_to_do == "pip install --upgrade 'monai>=1.6'"
    assert "not installed" in results[5].detail and results[5].what_to_do


def test_markers_decide_what_is_needed_here_and_extras_what_to_install(monkeypatch):
    def version(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(check.metadata, "version", version)
    requirements = [
        'tomli>=2; python_version < "3.0"',
        'numpy>=1; python_version >= "3.0"',
        'papermill>=2.6; extra == "lab"',
        'nibabel>=5; extra == "data"',
        'old>=1; extra == "lab" and python_version < "3.0"',
        'pytest>=8; extra == "test"',
    ]
    results = check_dependencies(requirements)
    assert [result.name for result in results] == ["numpy", "papermill", "nibabel"]
    assert [f"advconf-lite[{extra}]" in result.what_to_do for extra, result in zip(("", "lab", "data"), results)] == [
        False,
        True,
        True,
    ]
    assert [result.name for result in check_dependencies(requirements, extras=())] == ["numpy"]


def test_an_upper_bound_and_an_exclusion_are_respected(monkeypatch):
    monkeypatch.setattr(check.metadata, "version", lambda name: "2.0")
    assert [result.ok for result in check_dependencies(["a>=1,<2", "b>=1,!=2.0", "c<3"])] == [False, False, True]


def test_a_package_that_is_not_installed_is_one_failure():
    (result,) = check_dependencies([])
    assert not result.ok and "pip install -e '.[data,lab]'" in result.what_to_do


def test_every_requirement_of_the_installed_package_is_checked(tmp_path):
    others = ('extra == "test"', 'extra == "book"', 'extra == "workflow"')  # of who changes the course, not of who takes it
    requirements = [text for text in metadata.requires("advconf-lite") if not text.endswith(others)]
    results = run_checks(tmp_path)
    names = [result.name for result in results]
    assert len(requirements) > 10
    for text in requirements:
        assert Requirement(text).name in names
    assert names[0] == "Python" and names[-4:] == ["device", "disk", "write access", "Jupyter kernel"]
    assert [result for result in results if not result.ok] == []  # this environment runs the tests, so it is ready


def test_a_full_disk_fails_and_says_what_is_needed(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(check.shutil, "disk_usage", lambda _: usage(10**12, 10**12, 2**28))
    result = check.check_disk(tmp_path)
    assert not result.ok and "0.2 GiB free" in result.detail and f"needed: {check.DISK_GIB:.1f}" in result.detail


def test_a_folder_that_does_not_exist_yet_is_judged_by_its_parent_and_not_made(tmp_path):
    folder = tmp_path / "runs" / "new"
    assert check.check_disk(folder).ok and check.check_write_access(folder).ok
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(check.tempfile, "NamedTemporaryFile", refuse)
    result = check.check_write_access(tmp_path)
    assert not result.ok and "Permission denied" in result.detail and "--out" in result.what_to_do


def kernelspec(folder, text):
    """A kernel named python3 that shadows the environment's own."""
    (folder / "kernels" / "python3").mkdir(parents=True)
    (folder / "kernels" / "python3" / "kernel.json").write_text(text)


def of_argv(*argv):
    return json.dumps({"argv": [*argv, "-f", "{connection_file}"], "display_name": "Python 3", "language": "python"})


# name -> kernel.json, what is said of it
KERNELS = {
    "another Python": (
        of_argv("/elsewhere/bin/python", "-m", "ipykernel_launcher"),
        "/elsewhere/bin/python, not this",
    ),
    "a shell": (of_argv("/bin/sh", "-c", "exit 1"), "starts /bin/sh, not this environment"),
    "dies at once": (of_argv(sys.executable, "-c", "raise SystemExit('no licence')"), "does not start (Kernel died before"),
    "a module that is not there": (of_argv(sys.executable, "-m", "no_such_kernel"), "No module named no_such_kernel"),
    "hangs": (of_argv(sys.executable, "-c", "import time; time.sleep(60)"), "does not start (Kernel didn't respond in"),
    "a command that is not there": (of_argv("no-such-python"), "does not start ("),
    "no JSON": ('{"argv": [', "python3 cannot be read"),
    "the bare python": (of_argv("python", "-m", "ipykernel_launcher"), ""),
}


@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_that_would_not_run_the_lessons_is_found_out(name, tmp_path, monkeypatch):
    text, said = KERNELS[name]
    kernelspec(tmp_path, text)
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    result = check.check_kernel(timeout=3 if name == "hangs" else 120)
    assert result.ok is (said == "") and said in result.detail
    if said and "read" not in said:
        assert f"delete {tmp_path / 'kernels' / 'python3'}" in result.what_to_do
    assert "\n" not in result.detail + result.what_to_do


def test_a_kernel_that_is_gone_is_found_out(monkeypatch):
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    def none(*_):
        raise NoSuchKernel("python3")

    monkeypatch.setattr(KernelSpecManager, "get_kernel_spec", none)
    result = check.check_kernel()
    assert not result.ok and result.what_to_do.endswith("-m pip install ipykernel")


def test_report_and_exit_code(capsys):
    good = Check(True, "Python", "3.12.1 (tested: 3.10 to 3.13)", "", "Python 3.12.1")
    mute, bad = Check(True, "torch", "2.13", ""), Check(False, "disk", "0.1 GiB", "free some space", "0 GiB free")
    assert print_report([good, mute]) == 0
    assert capsys.readouterr().out == "ready: Python 3.12.1\n"
    assert print_report([good, bad]) == 1
    assert capsys.readouterr().out == "[FAIL] disk  0.1 GiB\n             -> free some space\n1 of 2 requirements not met\n"
    again = bad._replace(name="write access")
    assert print_report([bad, again]) == 1  # one advice for both
    assert capsys.readouterr().out.count("->") == 1
    assert print_report([good, mute], verbose=True) == 0
    assert capsys.readouterr().out == (
        "[OK]   Python  3.12.1 (tested: 3.10 to 3.13)\n[OK]   torch   2.13\nready: Python 3.12.1\n"
    )


def test_the_line_of_a_ready_machine_names_what_a_teacher_looks_for(tmp_path, capsys):
    assert print_report(run_checks(tmp_path)) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"ready: Python 3\.\d+\.\d+, torch 2\.[\d.]+ \(.+\), \d+ GiB free, kernel python3", line)
