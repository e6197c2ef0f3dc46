"""Where people want their files and how they call them: folders that cannot be written, ~, names and terminals that are not
UTF-8. One sentence with what helps, nothing hidden left behind, and names that can be read again."""

import errno
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest

from advconf_lite.__main__ import main as advconf
from advconf_lite.data.slices import read_slice_set
from advconf_lite.support.command_line import well_behaved, words
from advconf_lite.support.errors import PERMISSION, SPACE, readable, remedy
from data_download.__main__ import main
from data_download.fetching.unpacked import unpacked

ROOT = Path(__file__).resolve().parent.parent
OPTIONS = ("--classes", "gland", "--size", "16")


def own(folder, names=("A", "B", "C")):
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        image = np.random.default_rng(number).integers(0, 99, (10, 8, 2)).astype(np.int16)
        affine = np.diag([-1.0, -1.0, 5.0, 1])
        nibabel.save(nibabel.Nifti1Image(image, affine), folder / f"{name}.nii.gz")
        nibabel.save(nibabel.Nifti1Image((image > 50).astype(np.uint8), affine), folder / f"{name}_seg.nii.gz")
    return folder


def prepare(source, out, *more):
    return main(["prepare", "nifti", "--source", str(source), "--out", str(out), *OPTIONS, *map(str, more)])


def sentence(capsys):
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith(("data_download: ", "error: ")))
    assert "Traceback" not in line
    return line


def hidden(folder):
    return [str(path) for path in folder.rglob(".*")]


# ---- folders that cannot be written


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("afile/out", "Not a directory; a file stands where a folder is needed"),
        ("afile", "is a file; choose another folder"),
        ("afile/deeper/out", "Not a directory"),
        ("x" * 300, "File name too long; choose a shorter"),
        ("x" * 250, "File name too long; choose a shorter"),  # its hidden neighbour is longer
        ("data", "holds something other than a slice set"),
    ],
)
def test_out_that_cannot_be(tmp_path, capsys, where, said):
    own(tmp_path / "data")
    (tmp_path / "afile").write_text("mine")
    assert prepare(tmp_path / "data", tmp_path / where) == 2
    line = sentence(capsys)
    assert said in line and "(--out)" in line and "download" not in line.removeprefix("data_download: ")
    assert not hidden(tmp_path) and (tmp_path / "afile").read_text() == "mine"


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOSPC, errno.EIO, errno.ENOTDIR])
def test_every_cause_has_its_own_remedy(tmp_path, capsys, monkeypatch, number):
    own(tmp_path / "data")

    def mkdir(path, *arguments, original=Path.mkdir, **how):
        if "ut-preparing" in path.name:
            raise OSError(number, os.strerror(number), str(path))
        return original(path, *arguments, **how)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    assert prepare(tmp_path / "data", tmp_path / "out") == 2
    line = sentence(capsys)
    assert f"cannot write {tmp_path / 'out'}: {os.strerror(number)}; " in line and "(--out)" in line
    assert ("free some space" in line) == (number in SPACE) and ("permission or" in line) == (number in PERMISSION)
    assert not hidden(tmp_path)


def test_remedies_differ_by_cause():
    numbers = (errno.ENOSPC, errno.EACCES, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ENOENT, errno.EIO)
    assert len({remedy(OSError(number, "x")) for number in numbers}) == len(numbers)


@pytest.mark.parametrize("montage", ["afile/pictures", "x" * 300])
def test_a_montage_that_cannot_be_written_leaves_the_set_whole(tmp_path, capsys, montage):
    own(tmp_path / "data")
    (tmp_path / "afile").write_text("mine")
    assert prepare(tmp_path / "data", tmp_path / "out", "--montage", tmp_path / montage) == 2
    assert f"(the slice set in {tmp_path / 'out'} is whole)" in sentence(capsys)
    assert len(read_slice_set(tmp_path / "out")) and not hidden(tmp_path)


@pytest.mark.parametrize(
    ("more", "said"), [(("--classes", "a", "a"), "names a class twice"), (("--size", "1"), "--size 16 holds all of them")]
)
def test_what_needs_another_command_leaves_nothing_hidden(tmp_path, capsys, more, said):
    own(tmp_path / "data")
    assert prepare(tmp_path / "data", tmp_path / "out", *more) == 2
    assert said in sentence(capsys) and not hidden(tmp_path) and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "command",
    [["fetch", "pmri", "--accept-terms", "--out", "afile"], ["fetch", "acdc", "--accept-terms", "--out", "afile/x"],
     ["fetch", "mnms2", "--out", "L/x"], ["list", "--out", "L"], ["verify", "L"], ["verify", "afile/x"]],
)  # fmt: skip
def test_the_other_commands_name_the_folder(tmp_path, capsys, command):
    (tmp_path / "afile").write_text("mine")
    places = ("afile", "afile/x", "L", "L/x")
    code = main([str(tmp_path / word.replace("L", "l" * 300)) if word in places else word for word in command])
    assert code == 2 or command[0] == "list"
    assert "Traceback" not in capsys.readouterr().err and not hidden(tmp_path)


@pytest.mark.parametrize(
    "command",
    [["run", "--data", "phantom:cardiac", "--profile", "smoke", "--out", "afile/x"],
     ["run", "--data", "phantom:cardiac", "--profile", "smoke", "--out", "L"],
     ["predict", "--run", "afile/x", "--data", "data", "--out", "s.csv"],
     ["predict", "--run", "L", "--data", "data", "--out", "s.csv"],
     ["tune", "--data", "L", "--profile", "smoke", "--out", "x"]],
)  # fmt: skip
def test_the_cores_commands_name_the_folder(tmp_path, capsys, command):
    (tmp_path / "afile").write_text("mine")
    places = ("afile/x", "L", "data", "s.csv", "x")
    code = advconf([str(tmp_path / word.replace("L", "l" * 300)) if word in places else word for word in command])
    assert code == 2 and sentence(capsys).count(str(tmp_path)) >= 1 and not hidden(tmp_path)


@pytest.mark.parametrize(("where", "function"), [(np, "load"), (pd, "read_csv"), (Path, "read_text")])
def test_a_file_that_may_not_be_read_needs_the_permission_and_not_to_be_written_again(
    slice_set, capsys, monkeypatch, where, function
):
    def denied(*arguments, **how):
        raise PermissionError(13, "Permission denied", "x")

    monkeypatch.setattr(where, function, denied)
    assert main(["verify", str(slice_set)]) == 2
    line = sentence(capsys)
    assert str(slice_set) in line and line.endswith("; give yourself the permission to read it")


# ---- archives


def zipped(folder, archive):
    with zipfile.ZipFile(archive, "w") as packed:
        for path in sorted(folder.rglob("*")):
            packed.write(path, path.relative_to(folder.parent))
    return archive


@pytest.mark.parametrize("fault", ["empty", "mask", "damaged"])
def test_a_refusal_names_what_is_in_an_archive_as_it_is_there(tmp_path, capsys, fault):
    folder = own(tmp_path / "src" / "mine")
    bad = folder / "B.nii.gz"
    if fault == "empty":
        for path in folder.iterdir():
            path.rename(path.with_suffix(".txt"))
    elif fault == "mask":
        (folder / "A_seg.nii.gz").unlink()
    else:
        bad.write_bytes(bad.read_bytes()[:-9])
    archive = zipped(folder, tmp_path / "src.zip")
    (tmp_path / "work").mkdir()
    assert main(["prepare", "pmri", "--source", str(archive), "--out", str(tmp_path / "work" / "out")]) == 2
    assert "unpacked-" not in sentence(capsys) and not hidden(tmp_path)
    with pytest.raises(ValueError) as caught, unpacked(archive, tmp_path / "work" / "out") as inside:
        raise_as_found(inside / "mine" / "B.nii.gz")
    assert f"{archive}: mine{os.sep}B.nii.gz is bad" in str(caught.value) and "unpack it by hand" in str(caught.value)
    assert not hidden(tmp_path)


def raise_as_found(path):
    from advconf_lite.support.errors import BadInput

    raise BadInput(f"{path} is bad; mend it")


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_what_was_unpacked_stays_for_the_same_command_after_an_interrupt(tmp_path, stop):
    archive = zipped(own(tmp_path / "src"), tmp_path / "src.zip")
    with pytest.raises(stop), unpacked(archive, tmp_path / "out"):
        raise stop
    (kept,) = tmp_path.glob(".out-unpacked-*")
    with unpacked(archive, tmp_path / "out") as folder:
        assert folder == kept
    assert not hidden(tmp_path)


def test_beside_scans_that_are_kept_the_archive_stays_unpacked_for_the_run_that_goes_on(tmp_path, capsys):
    folder = own(tmp_path / "src" / "RUNMC", ("Case00", "Case01", "Case02", "Case03"))
    bad = folder / "Case03.nii.gz"
    bad.write_bytes(bad.read_bytes()[:-9])
    archive = zipped(folder, tmp_path / "SAML.zip")
    command = ["prepare", "pmri", "--source", str(archive), "--out", str(tmp_path / "out"), "--size", "32"]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert "the 3 scans that are done are kept" in said and f"{archive}: RUNMC{os.sep}Case03.nii.gz" in said
    assert sorted(path.name.split("-")[1] for path in tmp_path.glob(".out-*")) == ["preparing", "unpacked"]
    assert main([*command, "--skip-bad"]) == 0
    said = capsys.readouterr().err
    assert "unpack SAML.zip" not in said and "unpacked-" not in said and not hidden(tmp_path)
    (left,) = json.loads((tmp_path / "out" / "dataset.json").read_text(encoding="utf-8"))["left_out"]
    assert f"{archive}: RUNMC{os.sep}Case03.nii.gz" in left


# ---- ~


@pytest.mark.parametrize(
    ("word", "expected"),
    [("~/x", "HOME/x"), ("--out=~/x", "HOME/x"), ("~", "HOME"), ("--data=~", "HOME"), ("--source=~/a b", "HOME/a b"),
     ("a~/x", "a~/x"), ("--note=about ~5 mm", "about ~5 mm"), ("~nobody-of-that-name/x", "~nobody-of-that-name/x"),
     ("--out=x=~/y", "x=~/y")],
)  # fmt: skip
def test_the_home_folder_is_found_wherever_the_shell_leaves_a_tilde(monkeypatch, tmp_path, word, expected):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert words([word])[0].split("=", 1)[-1 if word.startswith("--") else 0] == expected.replace("HOME", str(tmp_path))


def test_every_command_expands_it(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    own(tmp_path / "data")
    assert main(["prepare", "nifti", "--source=~/data", "--out=~/set", *OPTIONS, "--montage=~/pictures"]) == 0
    assert (tmp_path / "pictures").is_dir() and main(["verify", "~/set"]) in (0, 1)
    assert main(["fetch", "mnms2", "--out=~/loads"]) == 2 and main(["list", "--out=~/loads"]) == 0
    assert str(tmp_path / "loads" / "MnM2.zip") in capsys.readouterr().err
    assert advconf(["predict", "--run=~/r", "--data=~/set", "--out=~/s.csv"]) == 2
    assert str(tmp_path / "r") in sentence(capsys)
    assert advconf(["check", "--folder=~/set"]) in (0, 1, 2)
    assert not (tmp_path / "~").exists()


# ---- names that are not UTF-8


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
@pytest.mark.parametrize("raw", [b"M\xfcller", b"\xd0\xc4\xd4\xe0", b"caf\xe9 \x80"])
def test_names_in_another_encoding(tmp_path, capsys, raw):
    folder = own(tmp_path / "data")
    for end in (b".nii.gz", b"_seg.nii.gz"):
        os.rename(os.fsencode(folder) + b"/C" + end, os.fsencode(folder) + b"/" + raw + end)
    assert prepare(folder, tmp_path / "out", "--montage", tmp_path / "pictures") == 0
    text = readable(os.fsdecode(raw))
    assert text.isprintable() and "\\x" in text
    assert set(read_slice_set(tmp_path / "out").table["subject"]) == {"A", "B", text}
    table = pd.read_csv(tmp_path / "out" / "slices.csv", dtype=str)
    assert text in set(table["subject"])
    assert main(["verify", str(tmp_path / "out")]) in (0, 1) and not hidden(tmp_path)
    path = Path(os.fsdecode(os.fsencode(folder) + b"/" + raw + b".nii.gz"))
    path.write_bytes(b"x")
    assert prepare(folder, tmp_path / "out2", "--skip-bad") == 0
    info = json.loads((tmp_path / "out2" / "dataset.json").read_text(encoding="utf-8"))
    assert len(info["left_out"]) == 1 and text in info["left_out"][0]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
@pytest.mark.parametrize("option", ["--domain", "--note", "--classes"])
def test_words_in_another_encoding(tmp_path, option):
    word = os.fsdecode(b"Universit\xe4t")
    assert prepare(own(tmp_path / "data"), tmp_path / "out", option, word) == 0
    assert "Universit\\\\xe4t" in (tmp_path / "out" / "dataset.json").read_text(encoding="utf-8")
    assert main(["verify", str(tmp_path / "out")]) in (0, 1)


def test_archives_and_folders_with_such_names(tmp_path):
    name = os.fsdecode(b"M\xfcnchen") if sys.platform == "linux" else "München"
    archive = zipped(own(tmp_path / "src"), tmp_path / "src.zip").rename(tmp_path / f"{name}.zip")
    with unpacked(archive, tmp_path / name) as folder:
        assert folder.is_dir()
    assert prepare(tmp_path / "src", tmp_path / name / "out") == 0 and not hidden(tmp_path)


# ---- terminals that are not UTF-8


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "cp932"])
def test_every_output_takes_every_name(tmp_path, encoding):
    own(tmp_path / "data", ("病人1", "Müller–α", "σ±3"))
    archive = zipped(tmp_path / "data", tmp_path / "档案.zip")
    how = {"capture_output": True, "cwd": tmp_path}
    env = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    body = (
        "import sys; from data_download.__main__ import main\n"
        "code = main(['prepare', 'nifti', '--source', 'data', '--out', 'sät', '--domain', '医院', '--size', '16'])\n"
        "main(['verify', 'sät']); main(['prepare', 'nifti', '--source', '档案.zip', '--out', 'out', '--size', '16'])\n"
        "main(['verify', '沒有']); main(['list', '--out', '下载']); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-X", "utf8=0", "-c", body], env={**env, "LC_ALL": "C.UTF-8"}, **how)
    assert done.returncode == 0 and b"Traceback" not in done.stderr, done.stderr
    done.stdout.decode(encoding), done.stderr.decode(encoding)
    assert archive.is_file() and (tmp_path / "sät" / "slices.csv").is_file()


def test_a_sentence_is_one_line_whatever_is_in_a_name(capsys):
    def command():
        raise OSError(errno.EACCES, "Permission denied", "a\nb\x1b[31m\udcfc")

    assert well_behaved(command) == 2
    assert capsys.readouterr().err.startswith(
        "error: a\\nb\\x1b[31m\\xfc cannot be read or written: Permission denied; give"
    )
