"""The lines of lesson 01 that write a researcher's own slice set: they work, and what they wrote can be used."""

from types import SimpleNamespace

import jupytext
import nibabel
import numpy as np
import pytest

from advconf_lite.course.notebooks import lessons_folder
from advconf_lite.data.slices import read_slice_set, write_slice_set
from data_download.__main__ import main


def cells():
    """Code cells of the lesson's last section, in order."""
    notebook = jupytext.read(lessons_folder() / "01_data_preparation.py")
    first = next(i for i, cell in enumerate(notebook.cells) if cell.source.startswith("## A slice set of your own"))
    return [cell.source for cell in notebook.cells[first:] if cell.cell_type == "code"]


@pytest.fixture
def written(tmp_path, capsys):
    names = {"run": SimpleNamespace(folder=tmp_path)}
    for source in cells():
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
