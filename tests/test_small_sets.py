"""From one training slice on: every method, every stage and every lesson works."""

from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest

from advconf_lite.course.lessons import one_per_domain, pick_slice, seen_scores
from advconf_lite.course.notebooks import execute, lesson, lessons
from advconf_lite.course.probing import effects, fresh_drops
from advconf_lite.course.tables import alignment_table, perturbation_table, quality_table, split_counts, table3
from advconf_lite.data.slices import write_slice_set
from advconf_lite.evaluation.paired import compare
from advconf_lite.evaluation.text import comparison, mae_floor, summary_table
from advconf_lite.experiment.run import Run
from advconf_lite.figures.controls import forest
from advconf_lite.figures.images import figure4, samples
from advconf_lite.figures.scores import figure2, figure3, scatter
from advconf_lite.figures.training import figure1, learning_curves, training_scores

METHODS = ["plain", "plain-2b", "replay", "adversarial", "adversarial-0.05", "finetuned", "random-direction", "random-phase",
           "segmenter-attack", "strong-augmentation", "oracle-augmentation", "agreement-2", "entropy-2"]  # fmt: skip


def small_set(folder: Path, train: int, val: int, test: int, targets: tuple[str, ...] = (), classes: int = 1) -> Path:
    """One subject in each split, with so many slices; target domains of one slice."""
    rows = [
        ("here", split, n) for split, numbers in (("train", train), ("val", val), ("test", test)) for n in range(numbers)
    ]
    rows += [(name, "test", 0) for name in targets]
    yy, xx = np.mgrid[:48, :48]
    masks = np.zeros((len(rows), 48, 48), np.uint8)
    for label in range(1, classes + 1):
        for number in range(len(rows)):
            masks[number][(yy - 12 * label) ** 2 + (xx - 20 - number) ** 2 < 30] = label
    images = (masks + np.random.default_rng(0).normal(size=masks.shape)).astype(np.float32)
    table = pd.DataFrame(rows, columns=["domain", "split", "slice"])
    table = table.assign(dataset="mine", subject=table["domain"] + table["split"], phase="", spacing_mm=3.0)
    info = {"name": "mine", "class_names": ["a", "b"][:classes], "source_domain": "here", "size": 48, "tolerance_mm": 3.0}
    write_slice_set(folder, images, masks, table, info)
    return folder


# train, val, test slices; target domains; classes
SETS = {
    "one of each": (1, 1, 1, ("there",), 1),
    "one domain": (2, 1, 1, (), 2),
    "three slices": (3, 2, 1, ("there", "elsewhere"), 1),
    "fewer than a batch": (5, 1, 2, ("there",), 2),
}


@pytest.mark.parametrize("name", [next(iter(SETS)), *(pytest.param(name, marks=pytest.mark.slow) for name in [*SETS][1:])])
def test_every_method_and_figure_works_on_a_small_set(name, tmp_path):
    train, val, test, targets, classes = SETS[name]
    data = small_set(tmp_path / "data", train, val, test, targets, classes)
    run = Run(tmp_path / "r", str(data), "smoke", "dice", METHODS, progress=False)
    segmenter, heads = run.segmenter(0), run.heads(0, 0)
    predictions = pd.concat([run.predict_heads(0, 0), run.predict_agreement(0, 0)], ignore_index=True)
    assert np.isfinite(predictions["predicted_score"]).all() and set(predictions["method"]) == set(METHODS)
    for head in heads.values():
        assert all(weight.isfinite().all() for weight in head.state_dict().values())
    source, metrics, history = run.experiment.slices.source_domain, run.metrics(), run.history()
    row = pick_slice(run, segmenter)
    found = effects(run, segmenter, heads, "dice", row)
    first = found["plain"][0]
    differences = compare(predictions, "adversarial", [name for name in METHODS if name != "adversarial"], source)
    names = run.experiment.class_names
    for figure in (
        learning_curves(history),
        figure1(history, 0.1),
        figure2(quality_table(run, {0: segmenter}), source),
        figure3(metrics, source),
        scatter(predictions, "dice", ["plain", "adversarial"], source),
        training_scores(seen_scores(run, "adversarial", "dice", [(0, 0)]), "dice"),
        samples(*one_per_domain(run), names, 3.0),
        figure4(first.x[0][0], first.y_hat[0][0], {k: case for k, (_, case) in found.items()}, names, 3.0),
        forest(differences),
    ):
        figure.canvas.draw()
    assert len(fresh_drops(run, segmenter, heads)) == len(heads)
    for table in (alignment_table(history, 0.1), perturbation_table(history), table3(metrics, source), split_counts(run),
                  mae_floor(metrics, source)):  # fmt: skip
        assert len(table)
    assert "plain" in summary_table(metrics, source) + comparison(predictions, source)


@pytest.mark.slow
@pytest.mark.parametrize("train", [1, 2, 3])
def test_the_unrolled_step_and_the_controls_work_on_a_small_set(train, tmp_path):
    data = small_set(tmp_path / "data", train, 1, 1, ("there",))
    chosen = [name for name in lessons() if name[:2] in (("03", "06") if train == 1 else ("03",))]
    for name in chosen:
        parameters = {"data": str(data), "profile": "smoke", "out": str(tmp_path / "r"), "quality": "dice"}
        execute(lesson(name), tmp_path / f"{name}.ipynb", parameters)
        cells = nbformat.read(tmp_path / f"{name}.ipynb", as_version=4).cells
        assert not [output for cell in cells for output in cell.get("outputs", []) if output.output_type == "error"]
    assert "the unrolled step and the core's step agree" in (tmp_path / f"{chosen[0]}.ipynb").read_text()
