"""The evidence's command: finished parts are kept, tables come from what is there, sealed scanners from a commit alone."""

import csv
import json
import re
import shutil
import subprocess
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import costs
import derived
import evidence
import evidence_parts
import evidence_tables
import evidence_tuned
import hearts
import interval_coverage
import numpy as np
import pandas as pd
import pytest
import sealed
from evidence_tables import ENDS
from making import Part, in_turn, make_parts
from pages import docs
from pairs import KeptPairs
from sealed_study import Sealed
from studies import Study
from teaching import predictions

from advconf_lite.data.slices import read_slice_set
from advconf_lite.evaluation.labels_worth import as_table, labels_said
from advconf_lite.evaluation.levels import MEAN, for_each_head, levels_and_differences
from advconf_lite.evaluation.paired import compare
from advconf_lite.evaluation.per_domain import metrics_table
from advconf_lite.evaluation.predictions import constant_predictions, read_predictions
from advconf_lite.experiment.heads import own_profile
from advconf_lite.experiment.networks import new_segmenter
from advconf_lite.experiment.run import open_run
from advconf_lite.experiment.tune import tune
from advconf_lite.methods import sampled
from advconf_lite.methods.registry import find_method, head_methods, known_names
from advconf_lite.phantom.scanner_tables import RANGES
from advconf_lite.support.alone import alone_in
from advconf_lite.support.errors import BadInput

COMMIT = "0123456789abcdef0123456789abcdef01234567"

# ---- numbers


def test_levels_and_differences_are_those_of_the_run():
    table = predictions(seeds=((0, 0), (0, 1), (1, 0), (1, 1)))
    table["predicted_score"] += np.random.default_rng(0).normal(0, 0.1, len(table))
    source = table["domain"].iloc[0]
    table = pd.concat([table, constant_predictions(table, {"dice": 0.6})], ignore_index=True)
    levels, differences = levels_and_differences(table, source, ["adversarial", "constant"], resamples=50)
    theirs = compare(table[table["method"] != "constant"], "adversarial", ["plain"], source, 50).set_index("metric")
    (ours,) = differences[(differences["method"] == "plain") & (differences["against"] == "adversarial")].itertuples()
    for name, row in theirs.iterrows():
        shown = [getattr(ours, name + end) for end in ("", "_low", "_high")]
        assert shown == pytest.approx([-row["difference"], -row["high"], -row["low"]])
    assert (ours.segmenters, ours.pairs_of_seeds) == (2, 4)
    metrics = metrics_table(table, resamples=0)
    for row in levels[levels["domain"] != MEAN].itertuples():
        same = metrics[(metrics["domain"] == row.domain) & (metrics["method"] == row.method)]
        assert row.mae == pytest.approx(same["mae"].mean()) and row.slices == same["n_slices"].iloc[0]
        assert row.mae_low <= row.mae <= row.mae_high
    targets = levels[~levels["domain"].isin([MEAN, source])]
    mean = levels[levels["domain"] == MEAN].set_index("method")
    assert mean["mae"].to_dict() == pytest.approx(targets.groupby("method")["mae"].mean().to_dict())
    assert len(for_each_head(table)) == len(table) + (table["method"] == "constant").sum()  # once more, for a second head


def test_tables_have_every_rule_for_absent_classes():
    table = predictions()
    for name, better in (("A", 1.0), ("B", 0.5)):
        table[f"true_{name}"], table[f"predicted_{name}"] = table["true_score"], better * table["predicted_score"]
    table["absent"] = np.where(table["slice"] == 0, "B", "-")
    study = SimpleNamespace(source="t0", predictions=lambda pairs: table)
    levels, differences = evidence_tables.metric_tables([study], [(0, 0)], ["adversarial", "constant"], resamples=10)
    of_constant = (differences["method"] == "constant") | (differences["against"] == "constant")
    assert (differences.loc[of_constant, "pearson"] == "").all() and (differences.loc[~of_constant, "pearson"] != "").all()
    assert (differences.loc[of_constant, "mae"] != "").all()
    assert set(differences["rule"]) == set(levels["rule"]) == {"counted", "present", "A", "B"}
    mean = levels[levels["domain"] == MEAN].set_index(["rule", "method"])
    assert set(levels.loc[levels["rule"] != "counted", "domain"]) == {MEAN}
    assert mean.loc[("B", "plain"), "slices"] == 48 and mean.loc[("counted", "plain"), "slices"] == 64  # on two targets
    assert float(mean.loc[("B", "plain"), "mae"]) > 0.2 > float(mean.loc[("A", "plain"), "mae"])


def test_what_only_ranks_is_mapped_by_a_line_of_the_sources_validation():
    table = predictions(seeds=((0, 0), (0, 1)))
    table = table.assign(true_A=table["true_score"], predicted_A=table["predicted_score"], absent="-")
    ranks = table[table["method"] == "plain"].assign(method="ranks", estimates=False)
    for column in ("predicted_score", "predicted_A"):
        ranks[column] = 3.0 * ranks["true_score"] - ranks["head_seed"]  # s = 1/3 (s hat + head seed), exactly
    both = pd.concat([table, ranks], ignore_index=True)
    source = both[both["domain"] == "t0"]
    mapped = derived.with_mapped(both, source)
    new = mapped[mapped["method"] == "ranks mapped"]
    assert len(mapped) == len(both) + len(ranks) == len(both) + len(new) and new["estimates"].all()
    assert np.allclose(new["predicted_score"], new["true_score"]) and np.allclose(new["predicted_A"], new["true_A"])
    assert mapped.iloc[: len(both)].equals(both.astype(mapped.dtypes))
    lacking = source.assign(absent=np.where(source["slice"] == 0, "A", "-"))
    lacking["true_A"] = lacking["true_A"].where(lacking["absent"] == "-", 0.0)  # drawn where there is none
    again = derived.with_mapped(both, lacking)
    again = again[again["method"] == "ranks mapped"]
    assert np.allclose(again["predicted_A"], new["true_A"]) and np.allclose(again["predicted_score"], new["true_score"])
    flat = derived.with_mapped(both, source.assign(predicted_score=0.5, predicted_A=np.nan))
    flat = flat[flat["method"] == "ranks mapped"]
    assert np.allclose(flat["predicted_score"], source[source["method"] == "ranks"]["true_score"].mean())
    assert flat["predicted_A"].isna().all()  # nothing to fit a line to
    soft = both.assign(method=both["method"].replace("plain", "soft-dice"))
    assert "soft-dice mapped" in set(derived.with_mapped(soft, soft[soft["domain"] == "t0"])["method"])


def test_few_segmenters_have_intervals_that_cover_less_and_many_do_not():
    few, many = (interval_coverage.coverage(n, 3, 0.0, repeats=1500) for n in (3, 30))
    assert few == pytest.approx(0.75, abs=0.05) and many == pytest.approx(0.94, abs=0.03)  # all three on one side: 1 of 4
    assert interval_coverage.coverage(3, 3, 2.0, repeats=1500) > few + 0.05


def test_the_curve_of_labels_is_kept_whole_for_each_target(tmp_path):
    table = predictions(shift=0.3)
    run = SimpleNamespace(predictions_path=tmp_path / "predictions.csv")
    run.predictions_path.touch()
    study = SimpleNamespace(folder=tmp_path, source="t0", run=run, kept=None, predictions=lambda pairs: table)
    study.validation, study.every = lambda pairs: table[table["domain"] == "t0"], ["plain", "adversarial"]
    rows = evidence_tables.labels_table([study, study], [(0, 0)], repeats=3, resamples=20)
    before = (tmp_path / "labels-needed.csv").stat().st_mtime_ns
    pd.testing.assert_frame_equal(rows, evidence_tables.labels_table([study, study], [(0, 0)], repeats=3, resamples=20))
    assert (tmp_path / "labels-needed.csv").stat().st_mtime_ns == before  # it is read while it is newer
    whole = pd.read_csv(tmp_path / "labels-needed.csv")
    means, rows = rows[rows["domain"] == MEAN], rows[rows["domain"] != MEAN]
    assert len(rows) == 2 * (whole["domain"] != "t0").sum() and set(rows["fold"]) == {"1", "2"}
    assert set(rows["k"]) == {0, 5, 10, 20} and set(rows["method"]) == {"plain", "adversarial", "constant"}
    assert (rows.loc[rows["k"] == 0, "used"] == "").all() and (rows.loc[rows["k"] > 0, "used"] != "").all()
    assert len(means) == 2 * 3 * 4 and set(means["mae_low"]) == set(means["used"]) == {""}
    for row in means.itertuples():
        same = rows[(rows["fold"] == row.fold) & (rows["method"] == row.method) & (rows["k"] == row.k)]
        assert float(row.mae) == pytest.approx(same["mae"].astype(float).mean(), abs=0.0006)
    for name in ("mae", "gain", "bias"):  # as the curve has it, with its interval, in fewer digits
        first, same = rows.iloc[1], whole[whole["domain"] != "t0"].iloc[1]
        for end in ("", "_low", "_high"):
            assert float(first[name + end]) == pytest.approx(same[name + end], abs=0.0005)
    high = rows[(rows["method"] == "adversarial") & (rows["k"] == 0)]
    assert (high["mae"].astype(float) > 0.2).all()  # a shift that labels take away
    assert "on 4 of 4 targets (5 labels)" in labels_said(as_table(rows.to_dict("records")))


def test_a_mean_over_the_targets_needs_all_of_them():
    rows = [("a", 0, 0.2), ("b", 0, 0.4), ("a", 5, 0.1)]  # b has too few people for 5 labels
    table = pd.DataFrame(rows, columns=["domain", "k", "mae"]).assign(fold="", quality="dice", method="plain")
    means = evidence_tables.with_means(table).query("domain == @MEAN")
    assert means[["k", "mae"]].to_numpy().tolist() == [[0, pytest.approx(0.3)]]


# ---- real hearts


@pytest.fixture
def npz(tmp_path):
    """Six patients of the source, one of another maker, one volunteer at two levels of motion."""
    people = [("ACDC", f"p{k}") for k in range(6)]
    people += [("M&Ms Siemens", "A1"), ("motion-1", "P001-1"), ("motion-4", "P001-4")]
    rows = [(*who, phase, number) for who in people for phase in ("ED", "ES") for number in (1, 2, 3)]
    yy, xx = np.mgrid[:48, :48]
    distance = np.hypot(yy - 24, xx - 24)
    mask = np.where(distance < 8, 1, np.where(distance < 12, 2, np.where((distance < 18) & (xx < 20), 3, 0))).astype(
        np.uint8
    )
    rng = np.random.default_rng(0)
    images = np.clip(60 * mask + rng.normal(40, 10, (len(rows), 48, 48)), 0, 255).astype(np.uint8)
    domain, subject, phase, number = (np.array(column) for column in zip(*rows))
    keys = dict(image=images, mask=np.tile(mask, (len(rows), 1, 1)), domain=domain, subject=subject, phase=phase)
    np.savez(tmp_path / "hearts.npz", **keys, slice=number.astype(np.int16))
    return tmp_path / "hearts.npz"


def test_hearts_become_slice_sets_once(npz, tmp_path):
    made = hearts.make_sets(npz, tmp_path / "sets")
    folds = [read_slice_set(made[f"acdc-fold-{k}"]) for k in (1, 2, 3)]
    tested = [name for fold in folds for name in set(fold.table.loc[fold.table["split"] == "test", "subject"])]
    assert sorted(tested) == [f"p{k}" for k in range(6)] and {fold.info["fold"] for fold in folds} == {"1/3", "2/3", "3/3"}
    assert all(set(fold.table["domain"]) == {"ACDC"} for fold in folds)
    dev = read_slice_set(made["hearts-dev"])
    assert dev.target_domains == ["M&Ms Siemens", "motion-1", "motion-4"] and dev.class_names == ["LV", "MYO", "RV"]
    motion = dev.table[dev.table["domain"].str.startswith("motion")]
    assert set(motion["subject"]) == {"P001"} and set(motion["split"]) == {"test"}
    assert set(dev.table.loc[dev.table["domain"] == "ACDC", "split"]) == {"train", "val", "test"}
    before = (made["hearts-dev"] / "dataset.json").stat().st_mtime_ns
    assert hearts.make_sets(None, tmp_path / "sets") == made  # the file is no longer needed
    assert (made["hearts-dev"] / "dataset.json").stat().st_mtime_ns == before


@pytest.mark.parametrize("spoilt", ["missing", "other keys", "no source", "text", "none given"])
def test_hearts_that_cannot_be_read_are_one_sentence(npz, tmp_path, spoilt):
    arrays = dict(np.load(npz))
    if spoilt == "missing":
        npz.unlink()
    elif spoilt == "other keys":
        np.savez(npz, image=arrays["image"])
    elif spoilt == "no source":
        np.savez(npz, **arrays | {"domain": np.full(len(arrays["domain"]), "elsewhere")})
    elif spoilt == "text":
        npz.write_text("no archive")
    with pytest.raises(BadInput, match=r"keys image, mask|no slice of ACDC|no file to make it from"):
        hearts.make_sets(None if spoilt == "none given" else npz, tmp_path / "sets")
    assert not (tmp_path / "sets").exists()


# ---- sealed scanners


@pytest.mark.parametrize("organ", ["cardiac", "prostate"])
def test_sealed_scanners_follow_from_the_commit_alone(organ):
    one, again, other = (sealed.drawn(organ, commit) for commit in (COMMIT, COMMIT, COMMIT[::-1]))
    assert one == again and not {scanner.snr for scanner in one} & {scanner.snr for scanner in other}
    low, high = RANGES[organ]["resolution_mm"]
    assert all(low <= scanner.resolution_mm <= high for scanner in one)
    table = sealed.constants(one)
    assert len(table) == sealed.NUMBER and table["snr"].iloc[0] == round(asdict(one[0])["snr"], 3)
    assert "sequence" not in table  # the same of all


def test_a_freeze_is_a_commit(tmp_path):
    (tmp_path / "freeze.txt").write_text("HEAD~2 of last week")
    for given, file in ((None, tmp_path / "freeze.txt"), ("main", tmp_path), (None, tmp_path / "gone.txt")):
        with pytest.raises(BadInput, match="no commit|is not there"):
            sealed.frozen_commit(given, file)


def test_core_methods_and_phantom_are_frozen_and_what_reads_their_predictions_is_not(tmp_path, monkeypatch):
    def git(*words):
        who = ("-c", "user.name=test", "-c", "user.email=test@example.org")
        return subprocess.run(["git", *who, *words], cwd=tmp_path, capture_output=True, text=True, check=True).stdout.strip()

    files = [tmp_path / "advconf_lite" / name for name in ("head.py", "methods/new.py", "evaluation/answer.py")]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("before\n")
    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "freeze")
    commit = git("rev-parse", "HEAD")
    monkeypatch.setattr(sealed, "CLONE", tmp_path)
    for file, changed in zip(files[::-1], ([], ["methods/new.py"], ["head.py", "methods/new.py"])):
        file.write_text("after\n")
        assert sealed.changed_since(commit) == [f"advconf_lite/{name}" for name in changed]


# ---- the command, with few methods

FEW = ("adversarial", "random-direction", "strong-augmentation", "soft-dice", "agreement-2", "not-yet")
OF_SURFACES = ("adversarial", "agreement-2")


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("evidence")


@pytest.fixture(scope="module")
def command(out):
    few = ["--profile", "smoke", "--resamples", "20", "--repeats", "2", "--out", str(out)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evidence, "METHODS", FEW)
        patch.setattr(evidence, "OF_SURFACES", OF_SURFACES)
        patch.setattr(evidence.Protocol, "seeds_of", lambda self, profile: (2, 1))
        patch.setattr(sealed, "_git", lambda *words: None)  # as where there is no clone, which would not know the commit
        yield lambda *arguments: evidence.main([*arguments, *few])


@pytest.fixture(scope="module")
def finished(command, out):
    """The phantom's prostate and its sealed scanners."""
    assert command("phantom-prostate") == 0
    before = files(out)
    assert command("sealed-prostate", "--freeze", COMMIT) == 0
    assert files(out) == before  # nothing was trained
    return out


def files(folder):
    return {path.relative_to(folder): path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}


def test_a_stopped_command_goes_on_and_makes_nothing_twice(command, out, capsys, monkeypatch):
    assert command("phantom-prostate", "--only", "table") == 0
    assert "no pair of seeds is finished yet" in capsys.readouterr().out
    make = Study._heads

    def stop(self, quality, pair, needs):
        part = make(self, quality, pair, needs)
        if pair == (1, 0):
            part.make = lambda: (_ for _ in ()).throw(KeyboardInterrupt)
        return part

    monkeypatch.setattr(Study, "_heads", stop)
    with pytest.raises(KeyboardInterrupt):
        command("phantom-prostate")
    stopped_at, said = time.time_ns(), capsys.readouterr().out
    assert "left out, for this version has no such method: not-yet" in said and "left: about" in said
    before = files(out)
    assert len(before) == 2 + 3 + 1  # two segmenters; of one, three heads for Dice and one for surface Dice
    assert command("phantom-prostate", "--only", "table") == 0
    said = capsys.readouterr().out
    assert "1 of 2 pairs of seeds are finished" in said
    kept = out / "results" / "pairs" / "phantom-prostate-smoke" / "phantom-prostate-s0-h0.zip"
    assert kept.exists() and kept.stat().st_mtime_ns < stopped_at  # as soon as it was finished, before any table
    monkeypatch.setattr(Study, "_heads", make)
    assert command("phantom-prostate") == 0
    after = files(out)
    assert before.items() <= after.items() and len(after) > len(before)
    log = pd.read_csv(out / "phantom-prostate-smoke" / "seconds.csv")
    assert not log["part"].duplicated().any()
    rows = list(csv.DictReader((out / "results" / "provenance.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["file"] for row in rows] == ["evidence-phantom-prostate-smoke.csv"]
    assert rows[0]["segmenter_seeds"] == "0 1" and "not-yet" in rows[0]["settings"]


def test_two_processes_make_each_part_once_beside_each_other(tmp_path):
    made, began = [], {name: threading.Event() for name in "ab"}
    beside = {"a": "b", "b": "a"}

    def part(name, needs=()):
        def make():
            if name in beside:
                began[name].set()
                assert began[beside[name]].wait(30)  # nobody else would begin it
            made.append(name)

        return Part(name, "kind", tmp_path, lambda: name in made, make, needs=needs)

    first = part("a")
    parts = [first, part("of a, and last", [first]), part("b")]
    said = []
    # Locks know no threads, so two of them stand for two processes.
    with ThreadPoolExecutor(2) as pool:
        for worker in [pool.submit(make_parts, parts, tmp_path / "seconds.csv", said.append) for _ in range(2)]:
            worker.result(60)
    assert sorted(made) == ["a", "b", "of a, and last"] and made.index("a") < made.index("of a, and last")
    assert sorted(pd.read_csv(tmp_path / "seconds.csv")["part"]) == sorted(made)
    assert not list(tmp_path.glob(".alone*"))


def test_a_pair_of_seeds_is_made_in_all_folds_before_the_next_one(tmp_path):
    folds = [[Part(f"{fold} {n}", "kind", tmp_path, bool, bool) for n in range(size)] for fold, size in (("a", 3), ("b", 2))]
    assert [part.name for part in in_turn(folds)] == ["a 0", "b 0", "a 1", "b 1", "a 2"]
    assert in_turn(iter(folds[:1])) == folds[0]


def test_who_can_make_nothing_waits_and_says_for_what(tmp_path):
    made, said = [], []
    only = Part("the only one", "kind", tmp_path, lambda: bool(made), lambda: made.append(2))

    def other():
        with alone_in(tmp_path, work="part-the-only-one"):
            held.set()
            while not said:
                time.sleep(0.01)
            made.append(1)

    held = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(other)
        assert held.wait(30)
        make_parts([only], tmp_path / "seconds.csv", said.append)
    assert made == [1] and len(said) == 1 and "waiting for the only one" in said[0]


@pytest.mark.parametrize("kind", ["virtual", "sealed"])
def test_samples_are_drawn_once_for_all_questions_and_are_those_of_each_alone(finished, tmp_path, monkeypatch, kind):
    folder, drawn = tmp_path / "phantom-prostate", []
    shutil.copytree(finished / "phantom-prostate-smoke" / "phantom-prostate", folder)
    for name in ("predictions.csv", "validation.csv"):
        (folder / name).unlink()
    again = open_run(folder, progress=False)
    questions = {"dice": list(FEW[:-1]), "surface_dice": list(OF_SURFACES)}
    study = Study(folder, again.data, again.profile, questions, (2, 1), False)
    if kind == "sealed":
        data = finished / "sealed-prostate-smoke" / "data"
        study = Sealed(tmp_path / "sealed", study, data, None, COMMIT)
        (tmp_path / "sealed").mkdir()
    draw = sampled.monte_carlo
    monkeypatch.setattr(sampled, "monte_carlo", lambda *given, **named: drawn.append(0) or draw(*given, **named))
    study._predict((0, 0))
    parts = study.run.experiment.evaluated().values()
    assert len(drawn) == sum(-(-len(part) // 64) for part in parts)
    together = read_predictions(study.run.predictions_path)
    study.run.predictions_path.unlink()
    for quality, run in study.runs.items():
        alone = run.predict_samples(0, 0)
        rows = together[(together["quality"] == quality) & (together["method"] == "agreement-2")]
        assert np.array_equal(alone["predicted_score"], rows["predicted_score"])
        assert rows["predicted_score"].nunique() > 1


def test_the_history_has_a_row_for_each_method(finished):
    table = pd.read_csv(finished / "results" / "evidence-phantom-prostate-smoke-history.csv").set_index(
        ["quality", "method"]
    )
    names = [*FEW[:-2], "soft-dice mapped", "agreement-2", "agreement-2 mapped"]
    of_surfaces = [("surface_dice", name) for name in (*OF_SURFACES, "agreement-2 mapped")]
    assert list(table.index) == [*(("dice", name) for name in names), *of_surfaces]
    steps = pd.read_csv(finished / "phantom-prostate-smoke" / "phantom-prostate" / "history.csv")
    steps = steps[(steps["quality"] == "dice") & (steps["method"] == "adversarial")]
    assert len(steps) < 2 * 20  # so that a tenth of a pair's steps is the last one alone
    last = steps.groupby("segmenter_seed").tail(1)
    assert table.loc[("dice", "adversarial"), "true_drop"] == pytest.approx(last["true_drop"].median(), abs=0.0006)
    assert pd.isna(table.loc[("dice", "soft-dice"), "true_drop"])


def test_costs_are_counted_in_passes(finished):
    table = pd.read_csv(finished / "phantom-prostate-smoke" / "phantom-prostate" / "costs.csv", keep_default_na=False)
    heads = table[(table["quality"] == "dice") & table["what"].isin(FEW)]
    passes = heads.set_index("what")["passes"].to_dict()
    # clean and perturbed images forward; Algorithm 1 also goes back from z to the clean ones
    assert passes == {"adversarial": 3, "random-direction": 2, "strong-augmentation": 2}


@pytest.mark.parametrize(
    "name", [one for one in head_methods(n for n in known_names() if " " not in n) if one != "finetuned"]
)
def test_what_a_method_says_of_its_passes_is_what_is_counted(finished, name):
    """`finetuned` goes on from another one's head, and most of its passes are through a copy."""
    run = open_run(finished / "phantom-prostate-smoke" / "phantom-prostate", progress=False)
    segmenter = new_segmenter(run.network, run.profile, run.experiment.num_classes, seed=0).freeze()
    counted = costs.of_step(run, segmenter, name, "dice", 1)["passes"]
    assert counted == find_method(name).passes(own_profile(name, run.profile).settings)


def test_sealed_scanners_need_networks_and_a_commit(command):
    with pytest.raises(BadInput, match="needs the networks of phantom-heart"):
        command("sealed-heart", "--freeze", COMMIT)
    with pytest.raises(BadInput, match="no commit"):
        command("sealed-prostate", "--freeze", "frozen")


def test_the_scanners_of_a_freeze_are_scored_and_shown_once(command, finished):
    scanners = pd.read_csv(finished / "results" / "evidence-sealed-prostate-smoke-scanners.csv")
    levels = pd.read_csv(finished / "results" / "evidence-sealed-prostate-smoke.csv")
    assert set(scanners["name"]) < set(levels["domain"]) and len(set(levels["domain"])) == sealed.NUMBER + 2
    with pytest.raises(BadInput, match="sealed scanners are run once"):
        command("sealed-prostate", "--freeze", COMMIT[::-1])


# ---- pairs that were kept as files


def tables(results):
    """By name; metrics.csv is a part of a run and of no pair of seeds, so its seconds are not kept."""
    lines = {path.name: path.read_text(encoding="utf-8").splitlines() for path in results.glob("*.csv")}
    return {name: [line for line in of if not line.startswith("metrics,")] for name, of in lines.items()}


@pytest.fixture
def elsewhere(command, finished, tmp_path):
    """The command on another machine, in an empty folder; whose results/ has the pairs of the first one."""
    few = ["--profile", "smoke", "--resamples", "20", "--repeats", "2"]
    shutil.copytree(finished / "results" / "pairs", tmp_path / "results" / "pairs")
    return lambda *arguments: evidence.main(
        [*arguments, *few, "--out", str(tmp_path), "--results", str(tmp_path / "results")]
    )


def test_whoever_has_the_kept_pairs_makes_the_same_tables_and_trains_nothing(command, finished, elsewhere, tmp_path):
    assert elsewhere("phantom-prostate") == 0
    assert elsewhere("sealed-prostate", "--freeze", COMMIT) == 0
    assert not files(tmp_path) and tables(tmp_path / "results") == tables(finished / "results")
    kept = {path: path.read_bytes() for path in (finished / "results" / "pairs").rglob("*.zip")}
    assert len(kept) == 2 * 2  # pairs of seeds, on the phantom's scanners and on sealed ones
    assert command("phantom-prostate", "--only", "table") == 0
    assert kept == {path: path.read_bytes() for path in kept}


def test_a_pair_that_is_not_kept_is_made_and_joins_the_others(finished, elsewhere, tmp_path):
    (lost,) = (tmp_path / "results" / "pairs" / "phantom-prostate-smoke").glob("*-s1-h0.zip")
    lost.unlink()
    assert elsewhere("phantom-prostate") == 0
    made = list(files(tmp_path))
    assert len([path for path in made if path.name.startswith("segmenter")]) == 1 and lost.exists()
    name = "evidence-phantom-prostate-smoke-differences.csv"
    assert (tmp_path / "results" / name).read_bytes() == (finished / "results" / name).read_bytes()


TRAINED = FEW[:3]
TUNED = "phantom-prostate-smoke-tuned"


@pytest.fixture(scope="module")
def tuned(command, finished, tmp_path_factory):
    """A tuned protocol beside that with the profile's settings: the folder of results, and one that tune has written."""
    out = tmp_path_factory.mktemp("tuned")
    tune(out / "tune", "phantom:prostate", "smoke", TRAINED, "dice", ["head_lr=1e-4,1e-2"], progress=False)
    shutil.copytree(finished / "results" / "pairs", out / "results" / "pairs")
    assert with_chosen(out, out / "tune" / "chosen.json") == 0
    return out


def with_chosen(out, chosen, *more):
    few = ["phantom-prostate", "--profile", "smoke", "--resamples", "20", "--repeats", "2", *more]
    return evidence.main([*few, "--out", str(out), "--results", str(out / "results"), "--tuned", str(chosen)])


def test_a_tuned_protocol_is_one_of_its_own_and_keeps_what_it_was_chosen_from(tuned, tmp_path):
    results = tuned / "results"
    for file in ("chosen.json", "trials.csv"):
        assert (results / "pairs" / TUNED / file).read_bytes() == (tuned / "tune" / file).read_bytes()
    table = pd.read_csv(results / f"evidence-{TUNED}-trials.csv", keep_default_na=False)
    assert len(table) == 2 * len(TRAINED) and set(table["settings"]) == {"head_lr=0.0001", "head_lr=0.01"}
    chosen = table[table["chosen"] == "yes"].set_index("method")["mae"].astype(float)
    best = pd.read_csv(tuned / "tune" / "trials.csv").groupby("method")["mae"].min()
    assert {*chosen.index} == {*TRAINED} and np.allclose(chosen, best[chosen.index], atol=1e-4)
    (row,) = csv.DictReader((results / "provenance.csv").read_text(encoding="utf-8").splitlines())
    assert "2 trials for each method" in row["settings"] and "of phantom:prostate, segmenter seed 0" in row["settings"]
    read = docs.Results(results)
    page = docs.evidence_blocks.tables(read, TUNED, "../../../")
    assert "## Trials" in page and "| Dice | adversarial | head_lr=0.01 |" in page and list(read.unshown()) == []

    shutil.copytree(results, tmp_path / "results")
    assert with_chosen(tmp_path, results / "pairs" / TUNED / "chosen.json", "--only", "table") == 0
    assert not files(tmp_path) and tables(tmp_path / "results") == tables(results)


def test_what_choosing_settings_changes(tuned, monkeypatch):
    monkeypatch.setattr(evidence_tuned, "PROFILE", "smoke")
    monkeypatch.setattr(evidence_tuned, "HEADS", TRAINED)
    monkeypatch.setattr(evidence_tuned, "OTHERS", ("soft-dice mapped",))
    table = evidence_tuned.tuned_table(tuned / "results", 20)
    changed = table[table["settings"] == "change"].set_index("method")
    assert list(changed.index) == list(TRAINED) and (changed["against"] == changed.index).all()
    own = pd.read_csv(tuned / "results" / f"evidence-{TUNED}-differences.csv")
    own = own[own["quality"] == "dice"].set_index(["method", "against"])
    here = table[table["settings"] == "chosen"].set_index(["method", "against"])
    assert here["mae"].astype(float).tolist() == pytest.approx(own.loc[here.index, "mae"].tolist())
    errors = {}
    for name in ("phantom-prostate-smoke", TUNED):
        kept = evidence_parts.Kept(evidence.PROTOCOLS["phantom-prostate"], name.removeprefix("phantom-prostate-"),
                                   tuned / "results" / "pairs")  # fmt: skip
        rows, source = kept.predictions(kept.pairs, TRAINED)
        rows = rows[rows["domain"] != source]
        gap = (rows["predicted_score"] - rows["true_score"]).abs()
        errors[name] = gap.groupby([rows[k] for k in ("method", "domain", *derived.SEEDS)]).mean().groupby("method").mean()
    by_hand = errors[TUNED] - errors["phantom-prostate-smoke"]
    assert np.allclose(changed["mae"].astype(float), by_hand[changed.index], atol=6e-5)


def test_settings_are_compared_on_the_same_networks_and_pairs(tuned, tmp_path, monkeypatch):
    monkeypatch.setattr(evidence_tuned, "PROFILE", "smoke")
    with pytest.raises(BadInput, match="has no protocol with smoke and smoke-tuned"):
        evidence_tuned.tuned_table(tmp_path, 20)
    pairs = tmp_path / "pairs"
    shutil.copytree(tuned / "results" / "pairs", pairs)
    for path in (pairs / TUNED).glob("*-s0-h0.zip"):
        path.unlink()
    for path in (pairs / "phantom-prostate-smoke").glob("*-s1-h0.zip"):
        path.unlink()
    with pytest.raises(BadInput, match="have no pair of seeds in common"):
        evidence_tuned.tuned_table(tmp_path, 20)
    # As if the other segmenter had been trained from the same seed: each half has the pair of another one.
    kept = evidence_parts.Kept(evidence.PROTOCOLS["phantom-prostate"], "smoke-tuned", pairs)
    names = ["predictions", "validation", "history", "costs", "seconds"]
    read = {name: kept.base.read((1, 0), name) for name in names}
    for name in names[:3]:
        read[name] = read[name].assign(segmenter_seed=0)
    kept.base.write((0, 0), read)
    with pytest.raises(
        BadInput, match="segmenter 0 of phantom-prostate-smoke is another network in phantom-prostate-smoke-tuned"
    ):
        evidence_tuned.tuned_table(tmp_path, 20)


def test_settings_that_were_chosen_on_another_organ_are_refused(tuned, tmp_path):
    text = json.loads((tuned / "tune" / "chosen.json").read_text()) | {"data": "phantom:cardiac"}
    (tmp_path / "chosen.json").write_text(json.dumps(text))
    with pytest.raises(BadInput, match="was chosen on phantom:cardiac; tune again on phantom:prostate"):
        with_chosen(tmp_path, tmp_path / "chosen.json", "--only", "plan")


def test_what_was_chosen_is_kept_beside_pairs_that_were_there(tuned, tmp_path):
    """As where a run was killed between a pair's file and the copy."""
    shutil.copytree(tuned / "results", tmp_path / "results")
    copy = tmp_path / "results" / "pairs" / TUNED / "trials.csv"
    copy.unlink()
    assert with_chosen(tmp_path, tuned / "tune" / "chosen.json", "--only", "table") == 0
    assert copy.read_bytes() == (tuned / "tune" / "trials.csv").read_bytes()


def test_the_constant_of_a_segmenter_is_that_of_its_run(finished):
    run = open_run(finished / "phantom-prostate-smoke" / "phantom-prostate", progress=False)
    validation = read_predictions(run.validation_path)
    validation = validation[validation["domain"] == run.experiment.slices.source_domain]
    table = derived.with_constants(run.predictions(), validation)
    for seed, rows in table[table["method"] == "constant"].groupby("segmenter_seed"):
        for quality, numbers in run.constant_predictions(seed).items():
            of = rows[rows["quality"] == quality]
            assert all(np.allclose(of[column], number, atol=1e-6) for column, number in numbers.items())


@pytest.mark.parametrize("spoilt", ["half", "a byte", "other settings", "fewer methods", "another network"])
def test_a_kept_pair_that_does_not_fit(elsewhere, tmp_path, spoilt, capsys, monkeypatch):
    pairs = tmp_path / "results" / "pairs" / "phantom-prostate-smoke"
    (path,) = pairs.glob("*-s1-h0.zip")
    kept = KeptPairs(pairs, "phantom-prostate", {"other": "settings"})
    if spoilt == "half":
        path.write_bytes(path.read_bytes()[:1000])
    elif spoilt == "a byte":
        content = bytearray(path.read_bytes())
        content[2000] ^= 255
        path.write_bytes(content)
    elif spoilt == "other settings":
        kept.write((1, 0), {"predictions": pd.DataFrame()})
    else:
        with zipfile.ZipFile(path) as archive:
            kept.made_with = json.loads(archive.read("made_with.json"))
        names = ["predictions", "validation", "history", "costs", "seconds"]
        tables = {name: kept.read((1, 0), name) for name in names}
        if spoilt == "fewer methods":
            tables["predictions"] = tables["predictions"][tables["predictions"]["method"] != "soft-dice"]
        else:  # as if it had been the first one's, for another head seed
            tables["predictions"] = tables["predictions"].assign(segmenter_seed=0, head_seed=1)
            tables["validation"] = tables["validation"].assign(segmenter_seed=0, head_seed=1)
            monkeypatch.setattr(evidence.Protocol, "seeds_of", lambda self, profile: (2, 2))
        kept.write((1, 0) if spoilt == "fewer methods" else (0, 1), tables)
    only = "table" if spoilt == "another network" else "plan"
    if spoilt == "fewer methods":  # it is made anew
        assert elsewhere("phantom-prostate", "--only", only) == 0
        assert re.search(r"segmenter +0/1 ", capsys.readouterr().out)
        return
    reasons = r"s1-h0\.zip (cannot be read|was made with other settings)|two networks were segmenter 0: .*-s0-h\*\.zip"
    with pytest.raises(BadInput, match=reasons):
        elsewhere("phantom-prostate", "--only", only)


def test_sealed_scanners_say_whose_networks_are_not_here(elsewhere, tmp_path, capsys):
    shutil.rmtree(tmp_path / "results" / "pairs" / "sealed-prostate-smoke")
    assert elsewhere("phantom-prostate", "--only", "table") == 0
    assert elsewhere("sealed-prostate", "--freeze", COMMIT, "--only", "table") == 0
    assert f"networks of 2 pairs of phantom-prostate are not in {tmp_path}" in capsys.readouterr().out


def test_the_pages_show_all_of_it_and_no_hand_writes_the_answer(finished):
    results = docs.Results(finished / "results")
    block = docs.evidence_blocks.protocol(results, "phantom-prostate-smoke", "../../")
    assert block.startswith("phantom-prostate-smoke (massive shift, 2 segmenters, 2 pairs of seeds): of 5 ")
    assert block.endswith("](../../docs/results/tables/phantom-prostate-smoke.md).")
    all_of_it = docs.evidence_blocks.tables(results, "phantom-prostate-smoke", "../../../")
    assert "| Dice | soft-dice | adversarial |" in all_of_it and "| Dice | constant | strong-augmentation |" in all_of_it
    assert "## The scanners" not in all_of_it and "## What labels" not in all_of_it  # too few people
    assert "| 0.1 | Dice | adversarial | all targets |" in all_of_it and "## Slices that lack a class" not in all_of_it
    assert "| threshold from | released, wanted 0.1 | risk of it, wanted 0.1 | missed, wanted 0.1 | pairs without," in block
    assert "![Mean true against" in all_of_it and "| Dice | adversarial | source | 0 |" in all_of_it
    assert "\n| adversarial | " in block and "| plain-2b | 0." not in block
    assert "## The scanners" in docs.evidence_blocks.tables(results, "sealed-prostate-smoke", "../../../")
    assert list(results.unshown()) == []
    text = docs.evidence_blocks.answered(results, "massive smoke")
    assert re.match(r"(Yes|No|Not everywhere): .*phantom-prostate-smoke", text) and "sealed" in text
    for block in ("evidence", "tables"):
        assert docs.evidence_blocks.BLOCKS[block](results, "acdc-folds-quick", "../../") == "Not run yet."


def test_heads_beside_a_method_without_one():
    """A row for each set of rules that say the same; of what is trained and takes one pass."""
    worse, across = ("+0.02", "+0.01", "+0.03"), ("+0.01", "-0.01", "+0.02")
    said = {("counted", "new"): worse, ("counted", "old"): across, ("LV", "new"): worse, ("LV", "old"): across}
    said |= {("RV", "new"): worse, ("RV", "old"): worse}
    same = {
        "quality": "dice",
        "against": "samples",
        "segmenters": "5",
        "pairs_of_seeds": "15",
        "shift": "massive",
        "sealed": "no",
    }
    rows = [
        {**same, "rule": rule, "method": method} | {f"{m}{end}": v for m in ("eaurc", "mae") for end, v in zip(ENDS, values)}
        for (rule, method), values in said.items()
    ]
    rows += [rows[0] | {"method": "free"}, rows[0] | {"method": "ensemble"}]
    history = [
        {"quality": "dice", "method": name, "training_passes": trained, "passes_in_use": used}
        for name, trained, used in (("new", "9", "1"), ("old", "9", "1"), ("free", "0", "1"), ("ensemble", "9", "3"))
    ]
    results = docs.Results(Path("nowhere"))
    results.files = {"evidence-made-differences.csv": rows, "evidence-made-history.csv": history}
    table = docs.evidence_blocks.heads_against(results, "samples", "")
    assert table.splitlines()[2:] == [
        "| made | counted, LV | 1 worse, 1 not told apart (old) | 1 worse, 1 not told apart (old) |",
        "| made | RV | 2 worse | 2 worse |",
    ]


def test_a_method_beside_others():
    """Said of the first, where the tables have each other one minus it; and counted over all protocols and qualities."""
    worse, better, across = ("+0.02", "+0.01", "+0.03"), ("-0.02", "-0.03", "-0.01"), ("+0.01", "-0.01", "+0.02")
    of = {("dice", "a"): (worse, better), ("dice", "b"): (across, across), ("surface_dice", "a"): (worse, worse)}
    of = {("counted", *key): both for key, both in of.items()} | {("present", "dice", "a"): (better, better)}
    same = {
        "rule": "counted",
        "against": "first",
        "segmenters": "5",
        "pairs_of_seeds": "15",
        "shift": "massive",
        "sealed": "no",
    }
    rows = [
        {**same, "rule": rule, "quality": quality, "method": method}
        | {f"{metric}{end}": v for metric, values in zip(("eaurc", "mae"), both) for end, v in zip(ENDS, values)}
        for (rule, quality, method), both in of.items()
    ]
    results = docs.Results(Path("nowhere"))
    results.files = {"evidence-made-differences.csv": rows, "evidence-made-history.csv": []}
    table = docs.evidence_blocks.beside_others(results, "first: a b", "")
    assert table.splitlines()[0] == "| protocol | quality | beside a | beside b |"
    assert table.splitlines()[2:] == [
        "| made | Dice | better in eAURC, worse in MAE | not told apart |",
        "| made | surface Dice | better in eAURC and MAE | - |",
        "| all, counted |  | 3 better, 1 worse, 0 not told apart | 0 better, 0 worse, 2 not told apart |",
        "| all, present |  | 0 better, 2 worse, 0 not told apart | 0 better, 0 worse, 0 not told apart |",
    ]


def test_a_protocol_that_does_not_exist(command):
    with pytest.raises(BadInput, match="protocol 'lungs' is unknown; choose from phantom-heart"):
        command("lungs")
