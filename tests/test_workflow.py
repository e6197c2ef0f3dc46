"""The workflow: what is refused before anything starts, the plan of its jobs, and two of them run."""

import json
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import yaml

from advconf_lite.__main__ import main
from advconf_lite.experiment.jobs import in_order
from advconf_lite.support.errors import BadInput

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

import grid as grids  # noqa: E402
import measured  # noqa: E402
import summary  # noqa: E402

SMALL = yaml.safe_load((ROOT / "workflow" / "grid.yaml").read_text())
needs_snakemake = pytest.mark.skipif(find_spec("snakemake") is None, reason="needs the extra workflow (Python 3.11)")


def snakemake(folder, *arguments, **keys):
    """One call of the engine in `folder`, with keys of the grid; what it said."""
    given = [f"{name}={json.dumps(value) if isinstance(value, list) else value}" for name, value in keys.items()]
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "workflow" / "Snakefile"), "--cores", "1"]
    command += [*arguments, "--config", *given]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"}
    )
    return done.returncode, done.stdout + done.stderr


def test_the_small_grid_is_one():
    grid = grids.read_grid(SMALL)
    assert grid.runs == {"cardiac": "phantom:cardiac", "prostate": "phantom:prostate"}
    assert grid.all_seeds() == ["--segmenter-seed", "0", "1", "2", "--head-seed", "0"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seeds": [0]}, "no key seeds; its keys are out, data"),
        ({"methods": None}, "methods is None in the grid; give a list of names"),
        ({"methods": "plain adversarial"}, "methods is 'plain adversarial' in the grid; give a list of names"),
        ({"qualities": []}, "qualities is [] in the grid; give a list"),
        ({"methods": ["plain", "plain"]}, "methods names plain twice"),
        ({"segmenter_seeds": 3}, "segmenter_seeds is 3 in the grid; give a list of whole numbers"),
        ({"segmenter_seeds": [0, -1]}, "segmenter_seeds is [0, -1] in the grid; give a list of whole numbers from 0"),
        ({"head_seeds": [0.5]}, "head_seeds is [0.5] in the grid"),
        ({"head_seeds": [True]}, "head_seeds is [True] in the grid"),
        ({"threads": 0}, "threads is 0 in the grid; give 1 or more"),
        ({"threads": "many"}, "threads is 'many' in the grid; give a whole number"),
        ({"gpu": "yes"}, "gpu is 'yes' in the grid; give true or false"),
        ({"out": " "}, "out is empty in the grid"),
        ({"data": ["sets/one/heart", "sets/two/heart/"]}, "two data sets would share the folder runs/grid/heart"),
    ],
)
def test_a_yaml_that_is_no_grid_is_one_sentence(changes, said):
    with pytest.raises(BadInput) as refused:
        grids.read_grid(SMALL | changes)
    assert said in str(refused.value) and "\n" not in str(refused.value)


def test_a_layer_that_yaml_reads_as_a_number_is_a_name():
    assert grids.read_grid(SMALL | {"layer": 1}).layer == "1"


def test_a_key_that_lacks_is_named():
    with pytest.raises(BadInput, match="the grid lacks the key methods"):
        grids.read_grid({name: value for name, value in SMALL.items() if name != "methods"})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"data": ["phantom:liver"]}, "phantom:liver is not a phantom"),
        ({"profile": "huge"}, "profile 'huge' is unknown"),
        ({"qualities": ["nonsense"]}, "quality is 'nonsense'"),
        ({"network": "nowhere:net"}, "network nowhere:net cannot be imported"),
        ({"weights": "w.pt"}, "weights and layer belong to a network of one's own"),
    ],
)
def test_what_no_run_could_be_is_refused_in_the_packages_words(changes, said, capsys, tmp_path):
    grid = grids.read_grid(SMALL | {"out": str(tmp_path), "profile": "smoke"} | changes)
    assert grids.check(grid) == 2
    assert said in capsys.readouterr().err and not list(tmp_path.rglob("*.json"))


def test_an_ensemble_needs_its_segmenters_in_the_grid(tmp_path):
    grid = grids.read_grid(SMALL | {"out": str(tmp_path), "methods": ["ensemble-3"], "segmenter_seeds": [0, 1]})
    with pytest.raises(BadInput, match="a segmenter of seed 2, too; add it to segmenter_seeds"):
        grids.check(grid)


@needs_snakemake
def test_the_plan_of_the_small_grid(tmp_path):
    code, said = snakemake(tmp_path, "--dry-run", profile="smoke")
    assert code == 0, said
    jobs = dict(line.split() for line in said.splitlines() if len(line.split()) == 2 and line.split()[1].isdigit())
    wanted = {"data": 2, "segmenter": 6, "heads": 6, "samples": 6, "tables": 2, "lessons": 2, "summary": 1}
    assert {name: int(jobs[name]) for name in wanted} == wanted
    assert "subjects: 5 source" in said  # the package was asked


@needs_snakemake
def test_nothing_starts_where_one_word_is_wrong(tmp_path):
    code, said = snakemake(tmp_path, threads=0, profile="smoke")
    assert code == 1 and "threads is 0 in the grid; give 1 or more" in said
    assert "Traceback" not in said and not list(tmp_path.rglob("jobs"))


def test_a_word_that_the_package_does_not_know_is_refused_from_outside_too(tmp_path):
    with pytest.raises(BadInput, match="method 'nonsense' is unknown; choose from plain"):
        grids.refuse(SMALL | {"methods": ["plain", "nonsense"], "profile": "smoke", "out": str(tmp_path)})


NETWORK = """import torch
from torch import nn

def small(num_classes):
    return nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, num_classes, 3, padding=1))
"""


@pytest.mark.slow
@needs_snakemake
def test_jobs_run_on_a_set_and_a_network_of_ones_own_and_a_lost_record_costs_no_training(slice_set, tmp_path, monkeypatch):
    (tmp_path / "own_network.py").write_text(NETWORK)
    keys = {"out": "grid", "profile": "smoke", "data": [str(slice_set)], "methods": ["plain"], "qualities": ["dice"]}
    keys |= {"network": "own_network:small", "layer": "1"}
    record = "grid/mine/jobs/segmenter-s0.json"
    code, said = snakemake(tmp_path, record, **keys)
    assert code == 0, said
    weights, done = tmp_path / "grid/mine/segmenter-0.safetensors", json.loads((tmp_path / record).read_text())
    assert done["part"] == "segmenter" and done["memory_mb"] > 50 and done["seconds"] > 0
    before = weights.stat().st_mtime_ns
    (tmp_path / record).unlink()  # as of a job that was killed after its last write but one
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["run", "--only", "segmenter", *grids.read_grid(SMALL | keys).options("mine")]) == 0
    assert (tmp_path / record).exists() and weights.stat().st_mtime_ns == before


def test_rows_come_in_one_order_whichever_job_was_first():
    run = SimpleNamespace(
        experiment=SimpleNamespace(evaluated=lambda: {"source": 0, "a-target": 0}),
        methods=["plain", "adversarial"],
        qualities=["dice", "surface_dice"],
    )
    rows = [
        (s, h, domain, method, quality, number)
        for s, h in ((0, 0), (0, 1), (1, 0), (10, 0))
        for domain in ("source", "a-target")
        for method in ("plain", "adversarial")
        for quality in ("dice", "surface_dice")
        for number in range(2)
    ]
    columns = ["segmenter_seed", "head_seed", "domain", "method", "quality", "slice"]
    last = [(0, 0, domain, "constant", "dice", 0) for domain in ("source", "a-target")]
    table = pd.DataFrame(rows + last, columns=columns)
    groups = [group for _, group in table.groupby(columns[:-1], sort=True)]
    for mixed in (groups, groups[::-1], groups[1::2] + groups[::2]):
        pd.testing.assert_frame_equal(in_order(pd.concat(mixed), run), table)


def test_rows_of_a_history_come_by_stage_and_seed():
    run = SimpleNamespace(experiment=SimpleNamespace(evaluated=dict), methods=["plain", "adversarial"], qualities=["dice"])
    segmenters = [("segmenter", None, None, s, None, step) for s in (0, 1) for step in (4, 8)]
    heads = [("head", "dice", name, s, 0, step) for s in (0, 1) for name in ("plain", "adversarial") for step in (1, 2)]
    columns = ["stage", "quality", "method", "segmenter_seed", "head_seed", "step"]
    table = pd.DataFrame(segmenters + heads, columns=columns)
    mixed = pd.concat([table[table["segmenter_seed"] == 1], table[table["segmenter_seed"] == 0]])
    pd.testing.assert_frame_equal(in_order(mixed, run), table, check_dtype=False)


def test_resources_are_what_was_measured_with_room():
    found = [
        {"part": "heads", "profile": "quick", "device": "cpu", "seconds": seconds, "memory_mb": memory}
        for seconds, memory in ((100, 400), (600, 300))
    ]
    rows = measured.largest(found, [])
    assert measured.needs(rows, "quick", "heads", gpu=False) == {"mem_mb": 600, "runtime": 30}
    on_gpu = measured.needs(rows, "quick", "heads", gpu=True)  # never measured: room for anything
    assert on_gpu == {"mem_mb": 16_000, "runtime": 480, "gpu": 1}
    again = measured.largest([{**found[0], "seconds": 90}], [{**row, "jobs": "2"} for row in rows])
    assert [row["seconds"] for row in again] == [90]  # a new measurement replaces the old one


def test_a_new_profile_joins_those_that_were_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(measured, "TABLE", tmp_path / "measured.csv")
    for number, profile in enumerate(["smoke", "quick", "smoke"]):
        path = tmp_path / str(number) / "run" / "jobs" / "data.json"
        path.parent.mkdir(parents=True)
        record = {"part": "data", "profile": profile, "device": "cpu", "seconds": 10 + number, "memory_mb": 400}
        path.write_text(json.dumps(record))
        assert measured.main([str(tmp_path / str(number))]) == 0
    assert [(row["profile"], row["seconds"]) for row in measured.read()] == [("quick", "11"), ("smoke", "12")]
    assert measured.main([str(tmp_path / "nothing")]) == 2
    assert len(measured.read()) == 2


def test_of_a_profile_that_was_measured_every_part_was():
    parts = {}
    for row in measured.read():
        parts.setdefault((row["profile"], row["device"]), set()).add(row["part"])
    assert ("smoke", "cpu") in parts
    for profile, found in parts.items():
        assert found == {"data", "segmenter", "heads", "samples", "tables", "lessons"}, profile


@pytest.mark.skipif(os.name == "nt", reason="the workflow's profile for several GPUs is for Linux")
def test_two_jobs_get_two_gpus_and_a_third_waits(tmp_path):
    def job(seconds):
        code = f"import os, time; print(os.environ['CUDA_VISIBLE_DEVICES'], flush=True); time.sleep({seconds})"
        command = [sys.executable, str(ROOT / "workflow/scripts/gpu.py"), sys.executable, "-c", code]
        return subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "3,5", "TMPDIR": str(tmp_path)},
        )

    first = job(60)
    assert first.stdout.readline().strip() == "3"
    second = job(60)
    assert second.stdout.readline().strip() == "5"
    third, began = job(0), time.time()
    time.sleep(0.5)
    assert third.poll() is None
    first.kill()  # and its lock goes with it
    assert third.communicate(timeout=30)[0].strip() == "3" and time.time() - began < 30
    second.kill()
    for each in (first, second):
        each.communicate()


def test_means_are_over_targets_first_and_then_over_pairs_of_seeds():
    rows = [
        ("source", "plain", 0, 9.0), ("a", "plain", 0, 0.1), ("b", "plain", 0, 0.3),
        ("a", "plain", 1, 0.2), ("b", "plain", 1, 0.6),
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["domain", "method", "segmenter_seed", "mae"]).assign(head_seed=0, quality="dice")
    table = table.assign(pearson=float("nan"), eaurc=0.0, n_unanswered=0)
    found = summary.means(table, "source").set_index("metric")
    assert found.loc["mae", "mean"] == pytest.approx(0.3) and found.loc["mae", "sd"] == pytest.approx(0.2 / 2**0.5)
    assert found.loc["mae", "n_pairs"] == 2 and found.loc["mae", "n_targets"] == 2 and "pearson" not in found.index


def test_a_table_to_be_read_has_a_row_per_method_and_says_what_is_missing():
    rows = [("mine<", "dice", "plain", "mae", 0.25, 0.5), ("mine<", "dice", "agreement-15", "pearson", 0.1, float("nan"))]
    table = pd.DataFrame(rows, columns=["data", "quality", "method", "metric", "mean", "sd"])
    said = summary.page("Means", table, summary.mean_cell)
    assert "<td>mine&lt;</td><td>dice</td><td>plain</td><td>-</td><td>-</td><td>0.250 ± 0.500</td>" in said
    assert "<td>agreement-15</td><td>0.100</td><td>-</td><td>-</td>" in said and said.count("<tr>") == 3
    of = {"difference": -0.5, "low": -0.75, "high": -0.25}
    assert summary.difference_cell(of) == "-0.500 [-0.750, -0.250]"
    assert summary.difference_cell(of | {"low": float("nan")}) == "-0.500 [no interval]"
