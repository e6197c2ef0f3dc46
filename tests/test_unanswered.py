"""A prediction that is NaN or infinite: it stays so, is counted and named, ranks last, and never flatters its method."""

import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from advconf_lite import metrics
from advconf_lite.agreement import certainty, monte_carlo
from advconf_lite.evaluation.paired import compare
from advconf_lite.evaluation.per_domain import metrics_table
from advconf_lite.evaluation.predictions import PREDICTION_COLUMNS, merge_predictions, read_predictions, unanswered
from advconf_lite.evaluation.text import comparison, domain_table, mae_floor, summary_table
from advconf_lite.figures.scores import figure3, scatter
from advconf_lite.head import ConfidenceHead, predict_scores
from advconf_lite.methods.registry import find_method
from advconf_lite.methods.sampled import sampled_scores
from advconf_lite.quality import Quality
from advconf_lite.segmenter import decided

NO_ANSWER = [np.nan, np.inf, -np.inf]


def a_table(lost=np.nan, rows=(1, 4), method="adversarial", domain="one", seeds=(0,)):
    """Two methods on a source and two targets; `rows` of one method's predictions of a domain are `lost`."""
    rng, table = np.random.default_rng(0), []
    for place in ("home", "one", "two"):
        for number in range(16):
            true = rng.uniform(0.3, 0.9)
            for name in ("plain", "adversarial"):
                for seed in seeds:
                    key = ("set", place, f"p{number // 2}", "ED", number % 2, "dice", name, 0, seed, True)
                    table.append((*key, true, true + 0.1 * rng.normal()))
    table = pd.DataFrame(table, columns=PREDICTION_COLUMNS)
    these = table.index[(table["method"] == method) & (table["domain"] == domain) & (table["head_seed"] == seeds[-1])]
    table.loc[these[list(rows)], "predicted_score"] = lost
    return table


# ---- metrics


@pytest.mark.parametrize("lost", NO_ANSWER)
def test_metrics_of_the_order_rank_it_last_and_those_of_the_values_are_undefined(lost):
    rng = np.random.default_rng(0)
    true, predicted = rng.random(30), rng.random(30)
    predicted[[3, 8]] = lost
    last = np.where(np.isfinite(predicted), predicted, predicted[np.isfinite(predicted)].min() - 1)
    for name, metric in metrics.METRICS.items():
        if metric.of_order:
            assert metric(predicted, true) == pytest.approx(metric(last, true), abs=1e-12), name
        else:
            with pytest.warns(UserWarning, match=f"{metric.title} is not defined: 2 of 30 predictions are not finite"):
                assert math.isnan(metric(predicted, true))
    assert metrics.eaurc(predicted, true) >= 0


@pytest.mark.parametrize("lost", NO_ANSWER)
@pytest.mark.parametrize("count", [1, 5, 29])
def test_no_answer_on_the_hardest_slices_never_makes_a_value_metric_better(lost, count):
    """Over the finite ones alone, MAE would fall from slice to slice that a head refuses."""
    rng = np.random.default_rng(1)
    true = np.sort(rng.random(30))
    predicted = np.full(30, 0.9) + 0.01 * rng.normal(size=30)
    predicted[:count] = lost
    weights = rng.integers(0, 2, (50, 30)).astype(float)
    weights[0, :count] = 0  # a resample that has drawn none of them
    result = metrics.weighted_metrics(predicted, true, weights)
    assert np.isnan(result["mae"]).all() and np.isnan(result["pearson"]).all()
    assert np.isfinite(result["eaurc"]).all()


# ---- networks


class Broken(nn.Module):
    """A segmenter with dropout whose logits of the images in `rows` are spoilt."""

    def __init__(self, value, rows):
        super().__init__()
        self.net, self.dropout = nn.Conv2d(1, 3, 3, padding=1), nn.Dropout(0.5)
        self.value, self.rows = value, rows

    def forward(self, x):
        logits = self.dropout(self.net(x))
        spoilt = torch.zeros(len(x), dtype=torch.bool)
        spoilt[[row + start for start in range(0, len(x), 4) for row in self.rows]] = True
        logits[spoilt, :, 2, 3] = self.value
        return logits, logits


@pytest.mark.parametrize("value", NO_ANSWER)
def test_samples_of_a_network_that_overflows_do_not_agree(value):
    """All their masks are alike, which would be the perfect score."""
    torch.manual_seed(0)
    segmenter = Broken(value, [1, 3])
    samples = monte_carlo(segmenter, torch.randn(4, 1, 8, 8), 4, seed=0, mean_of=[4])
    assert samples.decided.tolist() == [True, False, True, False]
    assert certainty(samples.probabilities[4]).isnan().tolist() == [False, True, False, True]
    methods = [find_method(name) for name in ("agreement-2", "agreement-4", "entropy-3")]
    qualities = [Quality("dice", 3), Quality("surface_dice", 3, tolerance=1.0)]
    scores = sampled_scores(segmenter, torch.randn(4, 1, 8, 8), methods, qualities, seed=0)
    assert len(scores) == 6
    for score in scores.values():
        assert score.isnan().tolist() == [[False] * 2, [True] * 2, [False] * 2, [True] * 2]


def test_a_class_that_is_ruled_out_is_an_answer():
    logits = torch.randn(2, 3, 4, 4)
    logits[:, 1] = -torch.inf
    assert decided(logits).all() and decided(logits[:, :1]).all()
    assert not decided(torch.full((1, 3, 4, 4), -torch.inf)).any()


# ---- tables


@pytest.mark.parametrize("lost", NO_ANSWER)
def test_it_is_stored_counted_and_named(lost, tmp_path):
    table = a_table(lost)
    merge_predictions(tmp_path / "predictions.csv", table)
    read = read_predictions(tmp_path / "predictions.csv")
    same = np.isfinite(read["predicted_score"]) == np.isfinite(table["predicted_score"])
    assert same.all() and len(read) == len(table)
    (sentence,) = unanswered(read)
    assert sentence.startswith("adversarial has no finite prediction of dice for 2 of 16 slices of one (segmenter seed 0,")
    assert "subject p0 ED slice 1, subject p2 ED slice 0; they rank last" in sentence
    result = metrics_table(read, resamples=20).set_index(["domain", "method"])
    assert result["n_unanswered"].to_dict()["one", "adversarial"] == 2 and result["n_unanswered"].sum() == 2
    row = result.loc[("one", "adversarial")]
    assert row[["mae", "mae_low", "pearson", "pearson_high"]].isna().all() and row[["eaurc", "eaurc_low"]].notna().all()
    assert result.drop(index=("one", "adversarial"))[["mae", "pearson", "mae_high"]].notna().all(axis=None)


@pytest.mark.parametrize("seeds", [(0,), (0, 1), (0, 1, 2)])
def test_no_mean_leaves_out_where_a_head_diverged(seeds):
    """A mean over the other domains, or the other seeds, would be that of a method without its worst."""
    table = a_table(seeds=seeds)
    result = metrics_table(table, resamples=20)
    text = summary_table(result, "home")
    lines = text.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("mean of the targets"))
    assert [cell == "-" for cell in lines[first + 1].split()[1:]].count(True) == 2 and " - " not in lines[first]
    assert "-: adversarial has no finite prediction of dice for" in text
    cells = domain_table(result, "mae", {"a": "adversarial", "p": "plain"}, ["one", "two"], mean=True)
    assert cells.loc[("dice", "a"), "one"] == "–" == cells.loc[("dice", "a"), "mean"]
    assert "–" not in set(cells.loc[("dice", "p")]) and cells.loc[("dice", "a"), "two"] != "–"
    assert list(mae_floor(result, "home").loc["dice"].index) == ["plain", "adversarial"]
    rows = compare(table, "adversarial", ["plain"], "home", 30).set_index("metric")
    assert rows.loc[["mae", "pearson"], ["difference", "low", "high"]].isna().all(axis=None)
    assert rows.loc["eaurc", ["difference", "low", "high"]].notna().all()
    assert "nan" not in comparison(table, "home").lower()


@pytest.mark.parametrize("lost", NO_ANSWER)
def test_figures_are_drawn_and_say_what_is_missing(lost):
    table = a_table(lost)
    figure3(metrics_table(table, resamples=5), "home")
    figure = scatter(table, "dice", source_domain="home")
    assert "not drawn: 2 without a finite prediction" in figure.get_supxlabel()
    assert all(np.isfinite(ax.get_ylim()).all() for ax in figure.axes)


def test_the_reasons_of_a_dash_are_said():
    table = a_table(rows=())
    one = table[(table["domain"] != "two") | ((table["subject"] == "p0") & (table["slice"] == 0))].copy()
    one.loc[(one["domain"] == "one") & (one["method"] == "plain"), "predicted_score"] = 0.5
    text = summary_table(metrics_table(one, resamples=5), "home")
    assert "-: two has fewer than 3 slices, so no Pearson (plain, adversarial)" in text
    assert "-: one has predictions, or true scores, that are all equal, so no Pearson (plain)" in text
    assert "-:" not in summary_table(metrics_table(table, resamples=5), "home")


# ---- a whole run


@pytest.mark.parametrize("spoilt", ["head", "network", "one image"])
def test_a_run_with_a_broken_part_ends_and_says_so(spoilt, slice_set, tmp_path, monkeypatch, capsys):
    from advconf_lite.data.slices import SliceSet
    from advconf_lite.experiment.predict import predict
    from advconf_lite.experiment.predict import run as command
    from advconf_lite.experiment.run import Run

    run = Run(tmp_path / "r", str(slice_set), "smoke", "dice", ["plain", "agreement-2"], progress=False)
    segmenter, heads = run.segmenter(), run.heads()
    whole = SliceSet.tensors
    if spoilt == "one image":

        def tensors(self, *args, **kwargs):
            images, masks = whole(self, *args, **kwargs)
            images[0, 0, 5, 5] = np.nan
            return images, masks

        monkeypatch.setattr(SliceSet, "tensors", tensors)
        run.__dict__.pop("experiment")
    broken = {"head": heads["plain", "dice"], "network": segmenter.net}.get(spoilt)
    if broken is not None:
        from advconf_lite.experiment.weights import save_weights

        list(broken.parameters())[-1].data.fill_(float("nan"))
        save_weights(broken, run.head_path("plain", "dice", 0, 0) if spoilt == "head" else run.segmenter_path(0))
    ours, sampled = run.predict_heads(), run.predict_agreement()
    said = capsys.readouterr().out
    lost = ~np.isfinite(ours["predicted_score"])
    assert lost.any() and lost.all() == (spoilt != "one image")
    assert np.isfinite(sampled["predicted_score"]).all() == (spoilt == "head")
    assert "plain has no finite prediction of dice for" in said
    table = run.metrics()
    assert table.set_index("method").loc["plain", "n_unanswered"].sum() == lost.sum()
    assert "-: plain has no finite prediction" in summary_table(table, run.experiment.slices.source_domain)
    scores = predict(tmp_path / "r", slice_set, tmp_path / "scores.csv", "plain", progress=False)
    first = scores["predicted_dice"].isna().to_numpy()
    assert first[0] and (np.diff(first.astype(int)) <= 0).all() and len(scores) == len(pd.read_csv(tmp_path / "scores.csv"))
    import argparse

    chosen = dict(run_folder=tmp_path / "r", data=slice_set, out=tmp_path / "s.csv", method="plain")
    assert command(argparse.Namespace(**chosen, segmenter_seed=0, head_seed=0, calibration=None, processes=1)) == 0
    assert f"no finite prediction for {first.sum()} of {len(scores)} slices, which a human must look at" in (
        capsys.readouterr().out
    )
    assert json.loads((tmp_path / "r" / "config.json").read_text())["methods"] == ["plain", "agreement-2"]


@pytest.mark.parametrize("method", ["plain", "adversarial", "replay"])
def test_a_head_that_diverges_answers_nothing_and_not_what_it_began_with(slice_set, tmp_path, capsys, method):
    from dataclasses import replace

    from advconf_lite.experiment.profiles import PROFILES
    from advconf_lite.experiment.run import Run

    smoke = PROFILES["smoke"]
    wild = replace(smoke, settings=replace(smoke.settings, head_lr=1e30))
    run = Run(tmp_path / "r", str(slice_set), wild, "dice", [method], progress=False)
    assert not np.isfinite(run.predict_heads()["predicted_score"]).any()
    assert f"{method} has no finite prediction of dice for" in capsys.readouterr().out


def test_a_score_of_logits_that_are_no_numbers_is_none():
    images = torch.zeros(4, 1, 8, 8)
    images[1, 0, 3, 3], images[2, 0, 0, 0] = np.inf, np.nan
    head = ConfidenceHead((1, 8, 8), num_scores=2)
    scores = predict_scores(lambda x: (x.repeat(1, 2, 1, 1), torch.ones_like(x)), head, images)
    assert scores.isnan().all(1).tolist() == [False, True, True, False] and not scores[[0, 3]].isnan().any()
