"""Own data from its files to scores, and the lines of lesson 01 that write a researcher's own slice set."""

from types import SimpleNamespace

import jupytext
import nibabel
import numpy as np
import pandas as pd
import pytest

from advconf_lite.__main__ import main as advconf_lite
from advconf_lite.course.notebooks import lessons_folder
from advconf_lite.data.slices import read_slice_set, write_slice_set
from data_download.__main__ import main


def cells():
    """Code cells of the lesson's last section, in order."""
    notebook = jupytext.read(lessons_folder() / "01_data_preparation.py")
    first = next(i for i, cell in enumerate(notebook.cells) if "A slice set of your own\n" in cell.source)
    return [cell.source for cell in notebook.cells[first:] if cell.cell_type == "code"]


@pytest.fixture
def written(tmp_path, capsys):
    names = {"run": SimpleNamespace(folder=tmp_path), "np": np, "pd": pd}  # np and pd are imported earlier in the lesson
    for source in cells()[:3]:  # data, the set, verify; what follows makes a mistake on purpose
        exec(compile(source, "lesson 01", "exec"), names)
    return names["own"], capsys.readouterr().out


def test_the_lessons_lines_write_a_set_and_verify_finds_it_good(written, capsys):
    own, printed = written
    again = read_slice_set(own.folder)
    assert (len(again), again.class_names, again.domains) == (12, ["lesion"], ["our scanner"])
    assert set(again.table["split"]) == {"train", "val", "test"}
    assert "own data or a phantom: there are no published counts" in printed and "DIFFERS" not in printed
    assert main(["verify", str(own.folder)]) == 0
    assert printed.strip() in capsys.readouterr().out.replace("\n\n", "\n")


def test_it_takes_at_most_ten_lines_after_the_data():
    lines = [line for line in cells()[1].splitlines() if line.strip()]
    assert len(lines) <= 10 and any("write_slice_set(" in line for line in lines)


def test_the_answer_to_the_lessons_question(written, capsys):
    own, _ = written
    images, table = own.images[:].copy(), own.table.copy()
    images[10:] = images[:2]  # P5 is P0 under another name
    write_slice_set(own.folder, images, own.masks[:].copy(), table, own.info)
    assert main(["verify", str(own.folder)]) == 1
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if line.endswith("DIFFERS")]
    assert line.startswith("slices that another subject has too  our scanner") and line.split()[-2] == "4"
    assert any(line.startswith("subjects in several splits") and line.endswith("ok") for line in lines)


def test_a_subject_is_left_out_whole_and_rows_keep_their_order_where_another_lies_between_its_scans(tmp_path, capsys):
    (tmp_path / "own").mkdir()
    names = ("A_ED", "A_EDx", "A_sa_ES", "B_ED", "B_ES", "C", "D")  # A_EDx is a subject of its own
    for name in names:
        image = np.random.default_rng(len(name)).integers(0, 99, (12, 10, 3)).astype(np.int16)
        for end in ("", "_gt"):
            file = nibabel.Nifti1Image(image // 50 if end else image, np.eye(4))
            nibabel.save(file, tmp_path / "own" / f"{name}{end}.nii.gz")
    words = ["prepare", "nifti", "--source", str(tmp_path / "own"), "--classes", "x", "--size", "12", "--skip-bad", "--out"]
    order = {}
    for workers in ("1", "2"):
        assert main([*words, str(tmp_path / workers), "--workers", workers]) == 0
        table = read_slice_set(tmp_path / workers).table
        order[workers] = list(dict.fromkeys(zip(table["subject"], table["phase"])))
    assert order["1"] == order["2"]
    assert order["1"][:3] == [("A", "ED"), ("A_EDx", ""), ("A", "ES")]
    bad = tmp_path / "own" / "A_sa_ES.nii.gz"  # the last of A's, after one of another subject
    bad.write_bytes(bad.read_bytes()[:-20])
    assert main([*words, str(tmp_path / "1"), "--workers", "1"]) == 0
    data = read_slice_set(tmp_path / "1")
    assert list(dict.fromkeys(data.table["subject"])) == ["A_EDx", "B", "C", "D"] and len(data.info["left_out"]) == 1


@pytest.mark.slow
def test_a_new_users_files_become_scores(tmp_path, capsys):
    """BIDS, two sites and a patient with two sessions: prepare, verify, run, predict, by nothing but the usual commands."""
    yy, xx = np.mgrid[:48, :48]

    def save(number, image, mask=None):
        rng = np.random.default_rng(number)
        disc = np.stack([np.hypot(yy - rng.normal(24, 2), xx - rng.normal(24, 2)) < 10 for _ in range(3)], -1)
        for path, array in ((image, rng.normal(200, 25, disc.shape) + 150 * disc), (mask, disc)):
            if path:
                (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
                file = nibabel.Nifti1Image(array.astype(np.int16), np.diag([1.5, 1.5, 8, 1]))
                nibabel.save(file, tmp_path / path)

    people = [("Oslo", f"sub-{n}", "") for n in range(1, 8)] + [("Rome", "sub-1", ""), ("Rome", "sub-2", "")]
    people += [("Oslo", "sub-8", "_ses-1"), ("Oslo", "sub-8", "_ses-2")]
    for number, (site, name, session) in enumerate(people):
        inside = "/".join([name, *([session[1:]] if session else []), "anat", f"{name}{session}_T2w"])
        save(number, f"bids/{site}/{inside}.nii.gz", f"bids/{site}/derivatives/hand/{inside}_dseg.nii.gz")
    save(20, "new/someone.nii.gz")
    prepare = ["prepare", "nifti", "--source", str(tmp_path / "bids"), "--domains-from", "folder", "--classes", "gland"]
    assert main([*prepare, "--dry-run"]) == 0 and "Oslo is the source" in capsys.readouterr().out
    assert main([*prepare, "--out", str(tmp_path / "set")]) == 0 and main(["verify", str(tmp_path / "set")]) == 0
    assert main(["prepare", "nifti", "--source", str(tmp_path / "new"), "--out", str(tmp_path / "fresh")]) == 0
    assert read_slice_set(tmp_path / "set").table.query("subject == 'sub-8'")["split"].nunique() == 1
    run = ["run", "--data", str(tmp_path / "set"), "--profile", "smoke", "--out", str(tmp_path / "run")]
    assert advconf_lite(run) == 0
    scores = tmp_path / "scores.csv"
    assert advconf_lite(["predict", "--run", run[-1], "--data", str(tmp_path / "fresh"), "--out", str(scores)]) == 0
    assert len(scores.read_text().splitlines()) == 1 + 3
