"""The figure of a protocol: what is filled, what is bold, and that a stored one is of its table."""

import shutil
import sys

from made_protocols import BETTER, NOTHING, OPEN, WORSE, protocol
from matplotlib.colors import to_hex
from pages import ROOT

from advconf_lite.evaluation.answer import RIVALS
from advconf_lite.evaluation.labels_worth import as_table
from advconf_lite.figures.style import method_cue

sys.path.insert(0, str(ROOT / "docs"))
import draw_evidence  # noqa: E402

METHODS = {"bad": (WORSE, OPEN), "good": (BETTER, BETTER), "ranks": (OPEN, NOTHING)}  # eAURC, MAE


def test_rows_marks_and_letters():
    fig = draw_evidence.against_rivals(protocol("made", METHODS))
    eaurc, mae = fig.axes
    assert [label.get_text() for label in eaurc.get_yticklabels()] == ["good", "ranks", "bad"]  # best eAURC first
    assert [label.get_fontweight() for label in eaurc.get_yticklabels()] == ["bold", "normal", "normal"]
    for ax, filled in ((eaurc, [True, False, True]), (mae, [True, False])):
        marks = [line for line in ax.lines if line.get_marker() not in ("None", None)]
        assert [to_hex(line.get_mfc()) != "#ffffff" for line in marks] == [each for each in filled for _ in RIVALS]
        assert {to_hex(line.get_mec()) for line in marks} == {to_hex(method_cue(rival).colour) for rival in RIVALS}
    assert [tuple(segment[:, 0]) for line in eaurc.collections for segment in line.get_segments()][:2] == [BETTER[1:]] * 2
    assert "(left of 0 is better)" in mae.get_xlabel() and "95 % interval" in fig.get_supxlabel()


def test_labels_are_drawn_for_a_few_methods_with_intervals():
    numbers = {"mae": "0.2", "mae_low": "0.1", "mae_high": "0.3", "used": "0.5", "coverage": "", "gain": ""}
    rows = [
        {"fold": "", "quality": "dice", "method": method, "domain": domain, "k": k, **numbers}
        for method in ("severity", "adversarial", "constant") for domain in "ab" for k in "05"
    ]  # fmt: skip
    fig = draw_evidence.worth_of_labels(as_table(rows))
    assert [ax.get_title() for ax in fig.axes] == ["a", "b"]
    assert [text.get_text() for text in fig.legends[0].get_texts()] == ["adversarial", "constant"]
    (segment, *_), *_ = [lines.get_segments() for lines in fig.axes[0].collections]
    assert segment[:, 1].tolist() == [0.1, 0.3]


def test_a_panel_of_bins_for_each_method():
    rows = [
        {"quality": quality, "method": method, "group": group, "bin": str(n), "n_slices": "9", "predicted": f"0.{n}",
         "true": "0.5", "true_low": "0.4" if n else "", "true_high": "0.6" if n else ""}
        for quality in ("dice", "surface_dice") for method in ("severity", "soft-dice", "adversarial")
        for group in ("source", "targets") for n in range(2)
    ]  # fmt: skip
    fig = draw_evidence.picture_of({"evidence-made-bins.csv": rows}, "evidence-made", "bins")
    assert [ax.get_title() for ax in fig.axes] == ["adversarial", "soft-dice"]
    assert [line.get_xydata().tolist() for line in fig.axes[0].lines[1:]] == [[[0.0, 0.5], [0.1, 0.5]]] * 2
    assert fig.get_supxlabel() == "mean predicted Dice of a bin"


def test_stored_figures_are_of_their_tables():
    assert draw_evidence.not_of_their_tables(ROOT) == []


def test_a_changed_table_is_noticed_and_drawn_once(tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "docs" / "results").mkdir(parents=True)
    stem = "evidence-sealed-prostate-quick"
    ends = draw_evidence.KINDS
    for end in ("", "-history", *(f"-{kind}" for kind in ends)):
        shutil.copy(ROOT / "results" / f"{stem}{end}.csv", tmp_path / "results")
    pictures = {kind: tmp_path / "docs" / "results" / f"{stem}{end}.png" for kind, end in ends.items()}
    for picture in pictures.values():
        shutil.copy(ROOT / "docs" / "results" / picture.name, picture)
    assert draw_evidence.not_of_their_tables(tmp_path) == []
    for kind, picture in pictures.items():
        path = tmp_path / "results" / f"{stem}-{kind}.csv"
        path.write_text(path.read_text(encoding="utf-8").replace("0.1", "0.2", 1), encoding="utf-8")
        assert draw_evidence.not_of_their_tables(tmp_path) == [(kind, path, picture)]
        assert draw_evidence.draw(tmp_path) == [picture] and draw_evidence.draw(tmp_path) == []
