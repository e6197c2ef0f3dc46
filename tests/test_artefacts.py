"""What ships: made at the smallest size, packed, found, filled into a run's folder, refused where it is damaged or lacks."""

import json
import lzma
import os
import shutil
import subprocess
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch

from advconf_lite.__main__ import main
from advconf_lite.course import artefacts, edition, packing
from advconf_lite.course.classroom import join_seats
from advconf_lite.course.commit import commit, of_one_commit
from advconf_lite.course.edition import check_sums, find_artefacts, read_array, read_manifest, write_array
from advconf_lite.course.lessons import seen_scores, start
from advconf_lite.course.notebooks import execute, lesson
from advconf_lite.course.recheck import check_alike, check_scores
from advconf_lite.course.seat import train_seat
from advconf_lite.course.shipped import ShippedRun
from advconf_lite.evaluation.predictions import SLICE, read_predictions
from advconf_lite.experiment import run as run_module
from advconf_lite.experiment.compact import images, packed, pixels, unpacked
from advconf_lite.experiment.run import Run
from advconf_lite.phantom.organs import ORGANS
from advconf_lite.support.errors import BadInput

ROOT = Path(__file__).parent.parent
METHODS = ["plain", "adversarial", "replay", "agreement-2"]


def make(work, out):
    return artefacts.make("prostate", work, out, "smoke", ["dice"], METHODS, [0], [0, 1], progress=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A clone's folder with artefacts/ in it, and the run behind them in work/."""
    clone = tmp_path_factory.mktemp("clone")
    (clone / "pyproject.toml").touch()
    entry = make(clone / "work", clone / "artefacts")
    packing.write_manifest(clone / "artefacts", {"prostate": entry}, {"commit": "c" * 40, "command": "-"})
    return clone


@pytest.fixture
def clone(made, tmp_path, monkeypatch):
    """A copy of it that may be damaged; nothing may be trained."""
    shutil.copytree(made / "artefacts", tmp_path / "clone" / "artefacts")
    (tmp_path / "clone" / "pyproject.toml").touch()
    monkeypatch.setattr(edition, "CLONE", tmp_path / "clone")
    monkeypatch.chdir(tmp_path)
    for name in ("train_missing", "train_segmenter"):
        monkeypatch.setattr(run_module, name, lambda *_, name=name: pytest.fail(f"{name} was called"))
    return tmp_path / "clone"


def shipped(**options):
    given = {"data": "phantom:prostate", "profile": "smoke", "out": "runs/quick", "use": "shipped"}
    return start(**given | options)


# ---- a class


def test_a_seat_trains_its_own_heads_on_the_network_that_ships(made, tmp_path):
    shipped = made / "artefacts"
    files = [tmp_path / f"seat-{seed}.csv" for seed in (0, 3)]
    for seed, file in zip((0, 3), files):
        assert train_seat(seed, "prostate", tmp_path / "work", file, shipped, progress=False) == len(read_predictions(file))
    rows, behind = read_predictions(files[0]), read_predictions(made / "work" / "predictions.csv")
    behind = behind[(behind["head_seed"] == 0) & behind["method"].isin(["plain", "adversarial"])]
    both = rows.merge(behind, on=[*SLICE, "quality", "method", "head_seed"])
    assert len(both) == len(rows) > 0
    np.testing.assert_allclose(both["true_score_x"], both["true_score_y"], atol=1e-6)  # the same network, the same images
    plain = both[both["method"] == "plain"]  # what ships has rounded weights, and its early stage is one that is stored
    assert np.corrcoef(plain["predicted_score_x"], plain["predicted_score_y"])[0, 1] > 0.99
    assert join_seats(files).pairs == [(0, 0), (0, 3)]
    before = files[1].read_bytes()
    train_seat(3, "prostate", tmp_path / "work", files[1], shipped, progress=False)  # nothing is made again
    assert files[1].read_bytes() == before


# ---- fewer bits


@pytest.mark.parametrize("scale", [1e-6, 0.0147, 3.0])
@pytest.mark.parametrize("shape", [(128, 4608), (16, 8, 3, 3), (7,), (2, 200_000)])
def test_weights_are_near_what_they_were_and_rounding_twice_changes_nothing(shape, scale):
    weights = {"w": torch.randn(shape, generator=torch.Generator().manual_seed(0)) * scale, "n": torch.tensor(3)}
    weights["w"][0] = 0
    once = unpacked(packed(weights))
    assert once["n"] == 3 and once["w"].dtype == torch.float32
    steps = 127 if weights["w"].numel() >= 50_000 else 1000
    assert (once["w"] - weights["w"]).abs().max() <= weights["w"].abs().max() / steps
    assert torch.equal(unpacked(packed(once))["w"], once["w"])


@pytest.mark.parametrize("kind", ["noise", "coil", "constant"])
def test_pixels_are_near_what_they_were_and_rounding_twice_changes_nothing(kind, tmp_path):
    x = np.random.default_rng(0).uniform(3, 900, (4, 16, 12)).astype(np.float32)
    x = {"noise": x, "coil": 1e4 / (1 + x**2), "constant": np.full_like(x, 7)}[kind]
    u = pixels(x)
    span = np.ptp(x, axis=(1, 2), keepdims=True)
    expected = (x - x.min((1, 2), keepdims=True)) / np.where(span > 0, span, 1)
    assert np.abs(images(u) - expected).max() < 1 / 127
    assert np.array_equal(pixels(images(u)), u)
    write_array(u, tmp_path / "u.xz")
    assert np.array_equal(read_array(tmp_path / "u.xz"), u)


# ---- what ships is what was trained


def test_a_shipped_run_is_the_run_behind_it_and_trains_nothing(made, clone, capsys):
    run, behind = (
        shipped(methods="plain adversarial replay agreement-2"),
        Run(made / "work", "phantom:prostate", "smoke", "dice"),
    )
    said = capsys.readouterr().out
    assert "shipped (trained at commit cccccccccccc)" in said and "nothing is trained" in said and said.count("\n") == 1
    weights, own = run.segmenter().state_dict(), behind.segmenter().state_dict()
    assert all(torch.equal(weights[name], own[name]) for name in own)
    heads, z = run.heads(), torch.randn(3, *run.segmenter().feature_shape((48, 48)))
    assert set(heads) == {("plain", "dice"), ("adversarial", "dice")}
    for key, head in behind.heads().items():
        assert torch.equal(heads[key](z), head(z))
    for pair in ((0, 0), (0, 1)):
        mine, theirs = run.predict_heads(*pair), behind.predictions()
        theirs = theirs[theirs["method"].isin(mine["method"].unique()) & (theirs["head_seed"] == pair[1])]
        assert len(mine) == len(theirs) and len(run.predict_agreement(*pair))
        assert np.abs(mine["predicted_score"].to_numpy() - theirs["predicted_score"].to_numpy()).max() < 1e-4
    assert run.constant_prediction()["dice"] == pytest.approx(behind.constant_prediction()["dice"], abs=1e-4)
    assert set(run.metrics()["method"]) == {*METHODS, "constant"}
    assert len(run.history().query("method == 'adversarial'")) == 16
    assert len(seen_scores(run, "plain", "dice", [(0, 0)])["clean"]) == len(
        seen_scores(behind, "plain", "dice", [(0, 0)])["clean"]
    )
    assert set(run.experiment.evaluated()) == set(behind.experiment.evaluated())
    assert "largest difference 0.000" in check_scores(run)


def test_stages_are_those_of_one_training(clone, made):
    run = shipped()
    stages = {(stage.method, stage.name): stage for stage in run.stages_of_heads}
    assert len(stages) == 6 and stages["plain", "middle"].alpha is None
    assert [stages["adversarial", name].step for name in ("early", "middle")] == [4, 7]
    assert stages["adversarial", "early"].alpha == run.settings.alpha != stages["adversarial", "middle"].alpha
    z = torch.randn(3, *run.segmenter().feature_shape((48, 48)))
    scores = {key: run.stage_head(stage)(z) for key, stage in stages.items()}
    assert torch.equal(scores["plain", "early"], scores["adversarial", "early"])  # Algorithm 1 begins there
    assert not torch.equal(scores["plain", "middle"], scores["adversarial", "middle"])
    assert torch.equal(scores["adversarial", "end"], run.heads()["adversarial", "dice"](z))


def test_both_heads_of_the_early_stage_were_the_same_before_one_of_them_was_packed(made):
    run = Run(made / "work", "phantom:prostate", "smoke", "dice")
    first, second = (run.stage_path(name, "dice", 0, 0, 4).read_bytes() for name in ("plain", "adversarial"))
    assert first == second


def test_subjects_are_the_first_ones_of_every_scanner(clone):
    run = shipped()
    tests = run.entry["subjects"]["test"]
    domains = run.experiment.evaluated()
    assert len(tests) >= len(domains) and {name.rsplit("-", 1)[0] for name in tests} == set(domains)
    with np.load(run.folder / "data" / "one-prostate-0.npz") as one:
        assert len(one.files) == 2 * len(domains) and one["image_0"].shape == (48, 48)


def test_a_making_that_was_stopped_ends_in_the_same_files(made, tmp_path, monkeypatch):
    whole = Run.predict_heads
    calls = iter([None, KeyboardInterrupt])

    def stopped(self, *seeds):
        if next(calls, None):
            raise KeyboardInterrupt
        return whole(self, *seeds)

    monkeypatch.setattr(Run, "predict_heads", stopped)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "work", tmp_path / "out")
    monkeypatch.setattr(Run, "predict_heads", whole)
    make(tmp_path / "work", tmp_path / "out")
    for path in (made / "artefacts" / "prostate").iterdir():
        assert path.read_bytes() == (tmp_path / "out" / "prostate" / path.name).read_bytes(), path.name


# ---- refusals


@pytest.mark.parametrize(
    "options, words",
    [
        ({"data": "phantom:cardiac"}, "no organ cardiac ships; what does: prostate"),
        ({"data": "phantom:liver"}, "no organ liver ships"),
        ({"data": "data/mine"}, "of data/mine nothing ships"),
        ({"profile": "quick"}, "of profile smoke, not quick"),
        ({"quality": "surface_dice"}, "no quality surface_dice ships; what does: dice"),
        ({"methods": "agreement-7 severity"}, "no method agreement-7 ships; what does: plain, adversarial"),
        ({"use": "download"}, "parameter use is 'download'"),
    ],
)
def test_what_does_not_ship_is_said_in_a_sentence_with_the_way_out(clone, options, words):
    with pytest.raises(BadInput, match=words) as caught:
        shipped(**options)
    assert "train" in str(caught.value) and "\n" not in str(caught.value)


def test_methods_that_do_not_ship_are_left_out_and_said(clone, capsys):
    run = shipped(methods="agreement-7 plain severity agreement-2")
    said = capsys.readouterr().out.splitlines()[-1]
    assert said == 'Left out, for they do not ship: agreement-7, severity; with use = "train" they are trained'
    assert run.methods == ["plain", "agreement-2"] and set(run.predict_heads()["method"]) == {"plain"}
    with pytest.raises(BadInput, match="method 'plane' is unknown"):  # a slip of the pen is none of them
        shipped(methods="plain plane")


@pytest.mark.parametrize("ask", ["segmenter", "heads", "predict_heads", "predict_agreement"])
def test_seeds_that_do_not_ship(clone, ask):
    run = shipped()
    with pytest.raises(BadInput, match="seed 5"):
        getattr(run, ask)(*(5,) if ask == "segmenter" else (0, 5))


DAMAGE = {"emptied": lambda path: path.write_bytes(b""), "gone": Path.unlink,
          "a byte": lambda path: path.write_bytes(path.read_bytes()[:-1] + b"?")}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", ["segmenter-0.safetensors", "predictions.csv.xz", "images.npy.xz", "metrics.csv"])
def test_a_damaged_file_is_named_and_nothing_is_filled(clone, name, damage):
    DAMAGE[damage](clone / "artefacts" / "prostate" / name)
    with pytest.raises(BadInput, match=f"{name} (is damaged|cannot be read)"):
        shipped()
    assert not list((clone.parent / "runs").rglob("*.csv"))


@pytest.mark.parametrize("text", ["", "{}", '{"format": 99}', "[1]"])
def test_a_damaged_manifest_is_named(clone, text):
    (clone / "artefacts" / "manifest.json").write_text(text)
    with pytest.raises(BadInput, match="manifest.json"):
        shipped()


def test_without_artefacts_the_way_out_is_named(clone, monkeypatch):
    shutil.rmtree(clone / "artefacts")
    with pytest.raises(BadInput, match="python -m advconf_lite artefacts.*use = .train"):
        shipped()
    (clone / "pyproject.toml").unlink()  # no clone: what pip has installed
    monkeypatch.setattr(edition.metadata, "files", lambda _: None)
    with pytest.raises(BadInput, match="install advconf-lite again with pip"):
        find_artefacts()


def test_a_wheel_is_asked_for_its_files(clone, monkeypatch):
    class File(type(Path())):
        def locate(self):
            return clone / "artefacts" / "manifest.json"

    (clone / "pyproject.toml").unlink()
    files = [File("../../share/advconf-lite/notebooks/00.ipynb"), File("../../share/advconf-lite/artefacts/manifest.json")]
    monkeypatch.setattr(edition.metadata, "files", lambda _: files)
    assert find_artefacts() == (clone / "artefacts").resolve()
    assert shipped().predict_heads().shape[0]


def test_the_wheel_carries_every_organ():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for organ in ("", *(f"/{name}" for name in ORGANS)):
        files = "*" if organ else "*.json"
        assert f'"share/advconf-lite/artefacts{organ}" = ["artefacts{organ}/{files}"]' in text


# ---- folders


def test_a_folder_of_ones_own_is_not_filled_and_a_filled_one_is_not_trained_in(clone):
    Run("own", "phantom:prostate", "smoke", "dice", progress=False)
    with pytest.raises(BadInput, match="own holds a run of your own"):
        ShippedRun("own", "prostate")
    folder = shipped().folder
    with pytest.raises(BadInput, match="made with what ships with the package"):
        start("phantom:prostate", "smoke", str(folder), "dice")
    assert start("phantom:prostate", "smoke", "runs/quick", "dice").folder == Path("runs/quick")  # beside it, as ever


@pytest.mark.parametrize("change", ["another edition", "filling was killed", "nothing"])
def test_a_folder_is_filled_anew_only_if_it_must_be(clone, change):
    folder = shipped().folder
    weights = folder / "segmenter-0.safetensors"
    before = weights.stat().st_mtime_ns
    if change == "another edition":
        path = clone / "artefacts" / "manifest.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"commit": "d" * 40}))
    if change == "filling was killed":
        (folder / "config.json").unlink()
        weights.write_bytes(b"half")
    assert shipped().segmenter() and json.loads((folder / "config.json").read_text())["shipped"]
    assert (weights.stat().st_mtime_ns == before) == (change == "nothing")


# ---- the command


def git(folder, *words):
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


@pytest.mark.parametrize("change", ["edited", "new", "removed"])
def test_the_commit_is_named_and_a_dirty_tree_refused(tmp_path, change):
    git(tmp_path, "init")
    (tmp_path / "code.py").write_text("1")
    git(tmp_path, "add", "."), git(tmp_path, "commit", "-m", "x")
    tree, out = tmp_path.resolve(), tmp_path.resolve() / "artefacts"
    out.mkdir()
    (out / "manifest.json").write_text("{}")  # what the command writes itself is no change
    name = commit(False, out, clone=tree)
    assert len(name) == 40
    {"edited": lambda: (tree / "code.py").write_text("2"), "new": lambda: (tree / "b.py").touch(),
     "removed": (tree / "code.py").unlink}[change]()  # fmt: skip
    with pytest.raises(BadInput, match="1 file differs .*allow it"):
        commit(False, out, clone=tree)
    assert commit(True, out, clone=tree) == f"{name}-dirty"


def test_without_a_repository_there_is_no_commit(tmp_path):
    with pytest.raises(BadInput, match="clone the repository"):
        commit(False, tmp_path / "out", clone=tmp_path.resolve())


def test_runs_of_two_commits_are_not_mixed(tmp_path):
    of_one_commit(tmp_path, "a")
    of_one_commit(tmp_path, "a")
    with pytest.raises(BadInput, match="was begun from commit a, and this is b"):
        of_one_commit(tmp_path, "b")


@pytest.mark.parametrize(
    "change, words",
    [({"segmenter_seeds": [1]}, "seed 0"), ({"head_seeds": [1]}, "seed 0"), ({"methods": ["plain"]}, "ship")],
)
def test_what_must_ship_cannot_be_left_out(tmp_path, change, words):
    given = {"methods": METHODS, "segmenter_seeds": [0], "head_seeds": [0]} | change
    with pytest.raises(BadInput, match=words):
        artefacts.make("prostate", tmp_path / "w", tmp_path / "o", "smoke", ["dice"], **given)
    assert not (tmp_path / "w").exists()


def test_more_than_may_ship_is_refused(made, monkeypatch, tmp_path):
    shutil.copytree(made / "artefacts", tmp_path / "out")
    monkeypatch.setattr(packing, "LIMIT", 1000)
    with pytest.raises(BadInput, match="MB may ship"):
        packing.write_manifest(tmp_path / "out", {"prostate": {}}, {"commit": "c"})


def changed_scores(folder, change):
    path = folder / "predictions.csv.xz"
    table = pd.read_csv(path)
    change(table)
    path.write_bytes(lzma.compress(table.to_csv(index=False).encode()))


@pytest.mark.parametrize("column, by", [("predicted_score", 0.2), ("true_score", 0.1)])
def test_scores_that_come_out_otherwise_are_found(made, tmp_path, column, by):
    other = tmp_path / "prostate"
    shutil.copytree(made / "artefacts" / "prostate", other)
    assert "no mean score of a method differs by more than 0.0000" in check_alike(other, made / "artefacts" / "prostate")
    changed_scores(other, lambda table: table.__setitem__(column, (table[column] + by).clip(0, 1)))
    with pytest.raises(BadInput, match=f"the mean {column}"):
        check_alike(other, made / "artefacts" / "prostate")


def test_weights_that_are_not_those_of_the_scores_are_found(clone):
    run = shipped()
    table = run.predictions()
    table["predicted_score"] += np.where(table["method"] == "plain", 0.1, 0.0)
    table.to_csv(run.predictions_path, index=False)
    with pytest.raises(BadInput, match="differ by up to 0.1"):
        check_scores(run)


def test_the_check_says_what_holds_and_leaves_nothing(made, clone, monkeypatch, capsys):
    stored = ["artefacts", "--out", str(clone / "artefacts"), "--check"]
    assert main([*stored, "stored"]) == 0
    said = capsys.readouterr().out
    assert "16 files are those of commit cccc" in said and "plain, adversarial score" in said

    def again(organ, work, out, *_):
        shutil.copytree(made / "artefacts" / organ, out / organ)

    monkeypatch.setattr(artefacts, "make", again)
    monkeypatch.setattr("advconf_lite.course.commit.commit", lambda *_: "c")
    assert main([*stored, "--work", "runs/w"]) == 0
    assert "made again, no mean score" in capsys.readouterr().out and not list(Path("runs").iterdir())
    (clone / "artefacts" / "prostate" / "metrics.csv").unlink()
    assert main([*stored, "stored"]) == 2 and "metrics.csv cannot be read" in capsys.readouterr().err


STORED = edition.CLONE / "artefacts"


@pytest.mark.skipif(not (STORED / "manifest.json").exists(), reason="this clone has no artefacts")
def test_what_ships_is_whole_small_and_of_a_commit(tmp_path):
    manifest = read_manifest(STORED)
    check_sums(STORED, manifest)
    assert set(manifest["organs"]) == {"cardiac", "prostate"} and not manifest["commit"].endswith("-dirty")
    assert sum(file["bytes"] for file in manifest["files"].values()) <= packing.LIMIT
    assert {path.relative_to(STORED).as_posix() for path in STORED.glob("*/*")} == set(manifest["files"])
    for organ, entry in manifest["organs"].items():
        assert len(entry["pairs"]) == 9 and len(entry["subjects"]["test"]) == 12 and len(entry["stages"]) == 6
        assert "largest difference" in check_scores(ShippedRun(tmp_path / organ, organ, progress=False))


@pytest.mark.slow
def test_lesson_00_runs_on_what_ships_in_an_empty_folder(made, tmp_path, monkeypatch):
    for name in ("artefacts", "advconf_lite"):
        shutil.copytree((made if name == "artefacts" else ROOT) / name, tmp_path / "clone" / name)
    (tmp_path / "clone" / "pyproject.toml").touch()
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "clone"), prepend=os.pathsep)
    execute(lesson("00_start_here"), tmp_path / "executed.ipynb", {"profile": "smoke"})
    outputs = [o for cell in nbformat.read(tmp_path / "executed.ipynb", as_version=4).cells for o in cell.get("outputs", [])]
    text = "".join(output.get("text", "") for output in outputs if output.get("name") == "stdout")
    assert "shipped (trained at commit cccccccccccc)" in text and "not there yet" not in text and "ready: " in text
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 4
    assert [path.as_posix() for path in Path().glob("*/*/*")] == ["runs/prostate-smoke/shipped-prostate"]
