"""Mahalanobis beside the evidence: finished segmenters score and nothing is trained, and what is published fits the rest."""

import shutil
from types import SimpleNamespace

import evidence_mahalanobis
import numpy as np
import pandas as pd
import pytest
from evidence import AGAINST
from evidence_mahalanobis import METHOD, QUALITY, beside, finished_run, scores
from pages import ROOT
from pairs import KeptPairs

from advconf_lite.evaluation.predictions import SLICE, read_predictions
from advconf_lite.experiment.networks import new_segmenter
from advconf_lite.experiment.profiles import PROFILES
from advconf_lite.experiment.run import Run
from advconf_lite.experiment.weights import save_weights
from advconf_lite.support.errors import BadInput

RESULTS = ROOT / "results"
OTHERS = ("adversarial", "strong-augmentation", "agreement-15")
PAIRS = [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_finished_segmenters_alone_score_and_their_run_is_left_alone(slice_set, tmp_path):
    folder, own = tmp_path / "run", tmp_path / "own"
    with pytest.raises(BadInput, match="run has no run; train its segmenters by benchmarks/evidence.py first"):
        finished_run(folder)
    made = Run(folder, str(slice_set), "smoke", None, ["soft-dice"], progress=False)
    for seed in (0, 1):
        save_weights(new_segmenter(None, made.profile, 2, seed).net, made.segmenter_path(seed))
    domains = len(made.experiment.evaluated())  # the source's test, and its images re-acquired
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    found = scores(finished_run(folder), [0, 1], own)
    assert {name: len(table) for name, table in found.items()} == {"predictions": 2 * 4 * domains, "validation": 2 * 4}
    for table in found.values():
        assert set(table["quality"]) == {QUALITY} and set(table["method"]) == {METHOD} and not table["estimates"].any()
        assert (table["predicted_score"] < 0).all() and table["predicted_score"].nunique() == len(table)
    assert set(found["predictions"]["subject"]) == {"p6", "p7"} and set(found["validation"]["subject"]) == {"p4", "p5"}
    with pytest.raises(BadInput, match="segmenter-2.safetensors does not exist; finish the run first"):
        scores(finished_run(folder), [0, 1, 2], own)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def made_up(method, pair, rng, estimates=True, quality=QUALITY, part=0):
    """Predictions for six slices of a source and, where `part` is 0, of a target."""
    rows = [(domain, n) for domain in ("home", "away")[: 2 - part] for n in range(6)]
    slices = pd.DataFrame(rows, columns=["domain", "slice"]).assign(dataset="d", subject=f"p{part}", phase="")
    true = [round(0.4 + 0.05 * n + 0.1 * part + 0.01 * pair[0], 5) for _, n in rows]
    return slices[SLICE].assign(
        quality=quality, method=method, segmenter_seed=pair[0], head_seed=pair[1], estimates=estimates, true_score=true,
        predicted_score=rng.uniform(0.2, 0.9, len(rows)), absent="-",
    )  # fmt: skip


@pytest.fixture
def made(tmp_path):
    """Kept pairs of two segmenters, and what Mahalanobis says: it knows the true score, in other units."""
    rng, kept, own = np.random.default_rng(0), KeptPairs(tmp_path / "pairs", "study", {"data": "made up"}), {}
    for pair in PAIRS:
        wanted = [(name, QUALITY) for name in OTHERS] + [("soft-dice", QUALITY), ("adversarial", "surface_dice")]
        tables = {
            name: pd.concat([made_up(m, pair, rng, m != "agreement-15", q, part) for m, q in wanted])
            for part, name in enumerate(("predictions", "validation"))
        }
        kept.write(pair, tables)
    for part, name in enumerate(("predictions", "validation")):
        table = pd.concat([made_up(METHOD, (seed, 0), rng, False, part=part) for seed in (0, 1)], ignore_index=True)
        own[name] = table.assign(predicted_score=(table["true_score"] - 2) * (3 + table["segmenter_seed"]))
    return kept, own


def test_a_segmenters_score_stands_for_each_head_seed_and_is_mapped_by_the_line_of_the_validation(made):
    kept, own = made
    table = beside(kept, own)
    assert set(table["quality"]) == {QUALITY}
    assert set(table["method"]) == {METHOD, METHOD + " mapped", *AGAINST}
    for name in (METHOD, METHOD + " mapped"):
        pairs = {key: rows for key, rows in table[table["method"] == name].groupby(["segmenter_seed", "head_seed"])}
        assert sorted(pairs) == PAIRS
        for seed in (0, 1):
            one, other = (pairs[seed, head]["predicted_score"].tolist() for head in (0, 1))
            assert one == other and len(one) == 12
    mapped = table[table["method"] == METHOD + " mapped"]
    assert mapped["estimates"].all() and (mapped["predicted_score"] - mapped["true_score"]).abs().max() < 1e-4
    constant = table[table["method"] == "constant"].groupby("segmenter_seed")["predicted_score"].unique()
    truth = own["validation"].groupby("segmenter_seed")["true_score"].mean()
    assert [list(values) for values in constant] == [[pytest.approx(value)] for value in truth]


def test_other_segmenters_than_those_of_the_kept_pairs_are_refused(made):
    kept, own = made
    table = own["predictions"]
    moved = table.assign(true_score=table["true_score"] + 0.01 * (table["segmenter_seed"] == 1))
    with pytest.raises(BadInput, match="segmenter 1 is not that of the pairs in"):
        beside(kept, {**own, "predictions": moved})


def test_the_command_says_nothing_is_between_a_method_and_itself(tmp_path, monkeypatch, capsys):
    """Given the scores of Algorithm 1 as those of Mahalanobis."""
    kept = {}
    for organ, study in (("heart", "phantom-cardiac"), ("prostate", "phantom-prostate")):
        folder = tmp_path / "pairs" / f"phantom-{organ}-quick"
        folder.mkdir(parents=True)
        shutil.copy(RESULTS / "pairs" / folder.name / f"{study}-s0-h0.zip", folder)
        data = study.replace("-", ":")
        kept[study] = KeptPairs(folder, study, {"data": data, "profile": PROFILES["quick"].as_dict()})

    def run(folder):
        (source,) = kept[folder.name].read((0, 0), "validation", read_predictions)["domain"].unique()
        slices = SimpleNamespace(source_domain=source)
        made_with = {"data": kept[folder.name].made_with["data"], "profile": PROFILES["quick"]}
        return SimpleNamespace(**made_with, folder=folder, experiment=SimpleNamespace(slices=slices))

    def same(run, segmenters, folder):
        tables = {name: kept[run.folder.name].read((0, 0), name, read_predictions) for name in ("predictions", "validation")}
        chosen = {name: t[(t["method"] == "adversarial") & (t["quality"] == QUALITY)] for name, t in tables.items()}
        return {name: table.assign(method=METHOD, estimates=False) for name, table in chosen.items()}

    monkeypatch.setattr(evidence_mahalanobis, "finished_run", run)
    monkeypatch.setattr(evidence_mahalanobis, "scores", same)
    arguments = ["--out", str(tmp_path / "out"), "--results", str(tmp_path), "--resamples", "5"]
    assert evidence_mahalanobis.main(arguments) == 0
    table = pd.read_csv(tmp_path / "evidence-mahalanobis.csv")
    assert len(table) == 2 * 2 * len(AGAINST) and set(table["pairs_of_seeds"]) == {1}
    itself = table[(table["method"] == METHOD) & (table["against"] == "adversarial")]
    assert (itself.filter(regex="^(pearson|eaurc)") == 0).all(axis=None) and itself["mae"].isna().all()
    assert table.loc[table["method"] != METHOD, "mae"].notna().all()
    assert len(pd.read_csv(tmp_path / "evidence-mahalanobis-levels.csv")) == 4
    assert "evidence-mahalanobis.csv" in capsys.readouterr().out
    shutil.rmtree(tmp_path / "pairs" / "phantom-prostate-quick")
    with pytest.raises(BadInput, match="phantom-prostate-quick has no pair of seeds"):
        evidence_mahalanobis.main(arguments)


def test_what_is_published_is_the_difference_of_what_is_published():
    differences = pd.read_csv(RESULTS / "evidence-mahalanobis.csv")
    levels = pd.read_csv(RESULTS / "evidence-mahalanobis-levels.csv").set_index(["protocol", "method"])
    assert len(differences) == 2 * 2 * len(AGAINST) and set(differences["pairs_of_seeds"]) == {15}
    for protocol, rows in differences.groupby("protocol"):
        whole = pd.read_csv(RESULTS / f"evidence-{protocol}.csv")
        whole = whole[
            (whole["rule"] == "counted") & (whole["quality"] == QUALITY) & (whole["domain"] == "mean of the targets")
        ]
        whole = whole.set_index("method")
        for row in rows.itertuples():
            ours = levels.loc[(protocol, row.method)]
            assert (ours["slices"], ours["true_score"]) == tuple(whole.loc[row.against, ["slices", "true_score"]])
            for metric in ("eaurc",) if row.method == METHOD else ("eaurc", "mae"):
                value = ours[metric] - whole.loc[row.against, metric]
                assert abs(getattr(row, metric) - value) < 1.1e-3, row  # levels have three digits
