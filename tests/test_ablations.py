"""Tables, timings and figures of lesson 06, against cases that can be reckoned by hand."""

import itertools
import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from advconf_lite.course import timings
from advconf_lite.course.tables import (
    ablation_rows,
    all_predictions,
    chosen_metrics,
    methods_text,
    of_run,
    on_shared_pairs,
    pairs_text,
    perturbation_table,
    seen_by,
    table3,
)
from advconf_lite.evaluation.paired import compare
from advconf_lite.evaluation.per_domain import METRIC_COLUMNS
from advconf_lite.evaluation.predictions import PREDICTION_COLUMNS
from advconf_lite.evaluation.text import NOTHING, comparison_table, domain_table, mae_floor
from advconf_lite.experiment.run import Run
from advconf_lite.experiment.seen import seen_scores
from advconf_lite.figures.controls import BETTER, NO_INTERVAL, OPEN, WORSE, forest
from advconf_lite.figures.training import training_scores
from advconf_lite.support.errors import BadInput

METHODS = "plain adversarial adversarial-0.2 finetuned adversarial-0.05 agreement-15".split()


def metrics(pairs=((0, 0), (0, 1)), domains=("source", "one", "two"), methods=METHODS, qualities=("dice",)):
    """Pearson is 0.1 times the method's place, plus 0.01 in domain two, plus 0.02 times the head seed."""
    rows = []
    for quality, domain, (place, name), (s, h) in itertools.product(qualities, domains, enumerate(methods), pairs):
        value = 0.1 * place + 0.01 * (domain == "two") + 0.02 * h
        mae = np.nan if name.startswith("agreement") else value / 10
        row = {"dataset": "toy", "domain": domain, "quality": quality, "method": name, "segmenter_seed": s, "head_seed": h}
        rows.append(row | {"pearson": value, "eaurc": 1 - value, "mae": mae})
    return pd.DataFrame(rows, columns=METRIC_COLUMNS)


# ---- tables


def test_table_3_has_the_rows_columns_and_blocks_of_the_paper():
    table = table3(metrics(), "source")
    assert list(table.columns) == ["one", "two"]
    assert list(table.index.get_level_values("metric")) == ["Pearson"] * 4 + ["eAURC"] * 4 + ["MAE"] * 4
    assert list(table.index.get_level_values("method")) == ["Δs = 0.05", "Δs = 0.1", "fine-tuned", "Δs = 0.2"] * 3
    # adversarial: 0.1 and 0.12 in domain one; their sample standard deviation is 0.02 / sqrt(2)
    assert table.loc[("dice", "Pearson", "Δs = 0.1"), "one"] == "0.110 ± 0.014"
    assert table.loc[("dice", "Pearson", "Δs = 0.2"), "two"] == "0.220 ± 0.014"
    assert table.loc[("dice", "eAURC", "fine-tuned"), "one"] == "0.690 ± 0.014"
    assert table.loc[("dice", "MAE", "Δs = 0.05"), "two"] == "0.042 ± 0.001"


def test_table_3_of_one_pair_of_several_qualities_and_of_some_methods():
    table = table3(metrics(((0, 1),), qualities=("dice", "surface_dice")), "source")
    assert table.loc[("dice", "Pearson", "Δs = 0.1"), "one"] == "0.120" and len(table) == 24
    assert list(dict.fromkeys(table.index.get_level_values("quality"))) == ["dice", "surface_dice"]
    few = table3(metrics(methods=["plain", "adversarial"]), "source", delta_s=0.15)
    assert list(few.index.get_level_values("method")) == ["Δs = 0.15"] * 3
    assert list(table3(metrics(), None).columns) == ["source", "one", "two"]
    assert ablation_rows(["plain", "agreement-2"]) == {}
    assert table3(metrics(methods=["plain"]), "source").empty


def test_rows_of_table_3_are_of_the_pairs_that_all_have():
    many, few = metrics(((0, 0), (0, 1), (1, 0)), methods=["adversarial"]), metrics(((0, 1), (1, 0)), methods=["finetuned"])
    both = pd.concat([many, few, metrics(((7, 7),), methods=["plain"])])
    shared = on_shared_pairs(both, ["adversarial", "finetuned"])
    assert set(zip(shared["method"], shared["segmenter_seed"], shared["head_seed"])) == {
        (name, *pair) for name in ("adversarial", "finetuned") for pair in ((0, 1), (1, 0))
    }
    assert len(on_shared_pairs(both, ["adversarial"])) == len(many) and on_shared_pairs(both, []).empty
    assert pairs_text(both) == "3 pairs of seeds: adversarial\n2 pairs of seeds: finetuned\n1 pair of seeds: plain"


def test_a_mean_over_domains_is_taken_before_the_spread_over_seeds():
    table = metrics()
    table.loc[(table["domain"] == "one") & (table["head_seed"] == 1), "pearson"] -= 0.04  # the domains now cancel
    row = domain_table(table, "pearson", {"A": "adversarial"}, ["one", "two"], mean=True).loc[("dice", "A")]
    assert row.tolist() == ["0.090 ± 0.014", "0.120 ± 0.014", "0.105 ± 0.000"]


def test_the_floor_comes_first_and_what_does_not_estimate_is_left_out():
    table = pd.concat([metrics(), metrics(((0, 0),), methods=["constant"]).assign(mae=0.5)])
    floor = mae_floor(table, "source")
    assert list(floor.index.get_level_values("method")) == ["constant", *METHODS[:-1]]
    assert floor.loc[("dice", "constant")].tolist() == ["0.500"] * 3 and list(floor.columns) == ["one", "two", "mean"]


def predictions(subjects=4):
    """Predictions of `adversarial` are off by 0.1, of `plain` by 0.3; `agreement-2` ranks as `plain` does."""
    rows = []
    for domain, subject, number in itertools.product(("source", "one", "two"), range(subjects), range(3)):
        true = 0.3 + 0.1 * subject + 0.05 * number**2
        for name, off in (("adversarial", 0.1), ("plain", 0.3), ("agreement-2", 0.3)):
            rows.append(
                (
                    "toy",
                    domain,
                    f"{domain}{subject}",
                    "",
                    number,
                    "dice",
                    name,
                    0,
                    0,
                    name != "agreement-2",
                    true,
                    true + off,
                )
            )
    return pd.DataFrame(rows, columns=PREDICTION_COLUMNS)


def test_comparisons_as_text():
    table = comparison_table(compare(predictions(), "adversarial", ["plain", "agreement-2"], "source", 20))
    assert list(table.columns) == ["Pearson", "eAURC", "MAE"]
    assert list(table.index) == [("dice", "plain"), ("dice", "agreement-2")]
    assert table.loc[("dice", "plain"), "MAE"] == "-0.2000 [-0.2000, -0.2000]"
    assert table.loc[("dice", "agreement-2"), "MAE"] == NOTHING
    assert comparison_table(compare(predictions(), "adversarial", [], "source", 5)).empty


def test_an_interval_that_is_not_estimable_is_named():
    rows = compare(predictions(subjects=2), "adversarial", ["plain"], "source", 20)
    assert comparison_table(rows).loc[("dice", "plain"), "MAE"] == "-0.2000 [n.e.]"


def test_perturbations_are_read_from_the_last_tenth_of_each_head():
    step = np.arange(1, 41)
    parts = [pd.DataFrame({
        "stage": "head", "quality": "dice", "method": name, "segmenter_seed": 0, "head_seed": h, "step": step,
        "delta_norm": np.where(step > 36, size + h, 9.0), "true_drop": np.where(step < 3, np.nan, 0.1),
        "predicted_drop": 0.2,
    }) for (name, size), h in itertools.product((("adversarial", 1.0), ("replay", 0.0)), (0, 1))]  # fmt: skip
    parts.append(parts[0].assign(method="plain", true_drop=np.nan))
    table = perturbation_table(pd.concat(parts))
    assert list(table.index) == [("dice", "adversarial"), ("dice", "replay")]
    # 38 steps have a drop, so the last 3 count; the means are over the two seeds
    assert table["||δ|| / ||x||"].tolist() == [1.5, 0.5] and table["true drop"].tolist() == pytest.approx([0.1, 0.1])


def test_methods_are_described_by_their_own_first_sentence():
    lines = methods_text(["replay", "agreement-15", "random-direction"]).splitlines()
    assert lines[2] == "| `replay` | Algorithm 1 with delta = 0: every image twice, and nothing else. |"
    assert "Roy et al. 2018; paper, section 4.3)" in lines[3] and "norms" in lines[4] and len(lines) == 5


def test_no_two_names_are_described_alike():
    names = ["adversarial", "adversarial-0.05", "adversarial-0.2", "agreement-2", "agreement-15", "agreement-15-zero"]
    names += ["agreement-2-one", "entropy-15", "entropy-2", "entropy-15-foreground"]
    words = [line.split(" | ")[1] for line in methods_text(names).splitlines()[2:]]
    assert len(set(words)) == len(names) == len(words)


# ---- from a run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    names = ["adversarial", "random-direction", "agreement-2"]
    run = Run(tmp_path_factory.mktemp("run") / "r", "phantom:prostate", "smoke", "dice", names, progress=False)
    all_predictions(run, [(0, 0), (0, 1)])
    return run


@pytest.mark.slow
class TestFromARun:
    def test_only_what_was_asked_for(self, run):
        some = Run(run.folder, run.data, "smoke", "dice", ["adversarial"], progress=False)
        table = all_predictions(some, [(0, 1)])
        assert set(table["method"]) == {"adversarial"} and set(table["head_seed"]) == {1}
        chosen = chosen_metrics(some, [(0, 1)])
        assert set(zip(chosen["method"], chosen["head_seed"])) == {("adversarial", 1), ("constant", 0)}

    def test_a_lesson_compares_all_pairs_that_the_folder_has(self, run):
        some = Run(run.folder, run.data, "smoke", "dice", ["adversarial"], progress=False)
        predictions, table = of_run(some)
        assert set(predictions["method"]) == {"adversarial"} and set(predictions["head_seed"]) == {0, 1}
        assert set(zip(table["method"], table["head_seed"])) == {("adversarial", 0), ("adversarial", 1), ("constant", 0)}

    def test_scores_seen(self, run):
        seen = seen_by(run, ["adversarial", "segmenter-attack", "random-direction"], "dice", [(0, 0), (0, 1)])
        assert list(seen) == ["clean", "adversarial", "random-direction"]
        with np.load(run.seen_path("random-direction", "dice", 0, 1)) as file:
            assert seen["random-direction"][-5:].tolist() == file["perturbed"][-5:].tolist()
        assert len(seen["clean"]) > len(seen["adversarial"]) == len(seen["random-direction"])  # the warm-up is clean

    def test_scores_seen_that_are_not_there_are_left_out_and_said(self, run, tmp_path, capsys):
        fewer = Run(tmp_path / "r", run.data, "smoke", "dice", run.methods, progress=False)
        with pytest.raises(BadInput, match="r does not hold what heads of adversarial, random-direction saw in"):
            seen_by(fewer, ["adversarial", "random-direction"], "dice", [(0, 0)])
        path = fewer.seen_path("adversarial", "dice", 0, 0)
        shutil.copyfile(run.seen_path("adversarial", "dice", 0, 0), path)
        capsys.readouterr()
        seen = seen_by(fewer, ["adversarial", "random-direction"], "dice", [(0, 0), (0, 1)])
        assert list(seen) == ["clean", "adversarial"]
        said = f"{fewer.folder} holds what was seen in training for adversarial alone, with seeds 0 and 0\n"
        assert capsys.readouterr().out == said
        with np.load(path) as file:
            assert seen["clean"].tolist() == file["clean"].tolist()
        with pytest.raises(BadInput, match="seen-random-direction-dice-s0-h0.npz does not exist"):
            seen_scores(fewer, "random-direction", "dice", [(0, 0)])

    def test_table_1(self, run):
        table = timings.table1(run, run.segmenter(0), samples=(2,), batch=2, seconds=0)
        assert [table.index[i] for i in (0, 2, 4)] == [
            ("direct prediction", "dice"),
            ("direct prediction, fine-tuned copy", "dice"),
            ("agreement N=2", "surface_dice"),
        ]
        assert table["paper, ms"].tolist() == ["0.9", "0.9", "1.8", "5.9", "23.0"]
        assert (table["ms per image, batch of 2"].astype(float) > 0).all()

    def test_the_cost_of_passes_is_counted(self, run):
        table = timings.cost_table(run, run.segmenter(0), samples=(3,), repeats=1)
        assert table["passes"].tolist() == [1, 1, *[3] * len(run.qualities)] and (table["ms per image"] > 0).all()
        assert table["method"].tolist()[2:] == [f"agreement, N = 3, {name}" for name in run.qualities]


# ---- figures


def comparison():
    rows = [("plain", "pearson", 0.2, 0.1, 0.3), ("plain", "eaurc", 0.2, 0.1, 0.3), ("plain", "mae", -0.2, -0.3, 0.1),
            ("replay", "pearson", -0.2, -0.3, -0.1), ("replay", "eaurc", -0.2, -0.3, -0.1),
            ("replay", "mae", 0.1, np.nan, np.nan), ("agreement-2", "pearson", 0.1, 0.0, 0.2),
            ("agreement-2", "eaurc", np.nan, np.nan, np.nan)]  # fmt: skip
    return pd.DataFrame(rows, columns=["method", "metric", "difference", "low", "high"]).assign(quality="dice")


def test_forest_says_on_which_side_an_interval_lies():
    fig = forest(comparison())
    assert [ax.get_title() for ax in fig.axes] == ["Pearson", "eAURC", "MAE"]
    markers = [[line.get_marker() for line in ax.lines if line.get_linestyle() == "None"] for ax in fig.axes]
    assert markers == [[c.marker for c in cues] for cues in ([BETTER, WORSE, OPEN], [WORSE, BETTER], [OPEN, NO_INTERVAL])]
    assert [ax.get_xlabel() for ax in fig.axes] == ["adversarial better →", *["← adversarial better"] * 2]
    assert [text.get_text() for text in fig.axes[1].texts] == [text.get_text() for text in fig.axes[2].texts] == ["none"]
    assert all(any((np.asarray(line.get_xdata()) == 0).all() for line in ax.lines) for ax in fig.axes)
    right = forest(comparison()[comparison()["difference"] > 0]).axes[0]
    assert all(ax.get_xlim()[0] < -0.01 and ax.get_xlim()[1] > 0.01 for ax in (right, *fig.axes))  # 0 is not the frame
    assert list(fig.axes[0].lines[0].get_xdata()) == [0.1, 0.3] and len(fig.legends[0].get_texts()) == 4
    assert len({cue.marker for cue in (BETTER, WORSE, OPEN, NO_INTERVAL)}) == 4
    with pytest.raises(BadInput, match="nothing to compare"):
        forest(comparison().iloc[:0])


def test_forest_has_no_panel_for_a_metric_that_nobody_has():
    rows = comparison()
    assert len(forest(rows[rows["method"] == "agreement-2"]).axes) == 2
    both = pd.concat([rows, rows.assign(quality="surface_dice")])
    titles = [ax.get_title() for ax in forest(both).axes]
    assert titles[3:] == ["Pearson, surface Dice", "eAURC, surface Dice", "MAE, surface Dice"]


def test_histograms_share_their_axes_and_differ_without_colour():
    fig = training_scores({"clean": torch.full((4,), 0.9), "adversarial": [0.1, 0.9, np.nan], "random": [0.9], "none": []})
    assert [ax.get_title(loc="left")[:12] for ax in fig.axes] == ["clean: n = 4", "adversarial:", "random: n = "]
    assert [ax.lines[0].get_xdata()[0] for ax in fig.axes] == pytest.approx([0.9, 0.14, 0.9])
    assert len({ax.patches[0].get_hatch() for ax in fig.axes}) == 3
    assert [len(ax.patches) for ax in fig.axes] == [2, 3, 3]  # the clean outline again
    values, edges, _ = fig.axes[1].patches[0].get_data()
    assert values[2] == values[22] == 50 and edges[2] == pytest.approx(0.08)
    with pytest.raises(BadInput, match="train the heads"):
        training_scores({"clean": []})
