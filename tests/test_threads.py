"""How many threads a run takes, and what it has made beside its lessons."""

import json
import os
import time

import pytest
import torch

from advconf_lite.experiment import threads
from advconf_lite.experiment.jobs import parts_of
from advconf_lite.experiment.networks import Network, new_segmenter
from advconf_lite.experiment.profiles import find_profile
from advconf_lite.experiment.run import Run
from advconf_lite.support.processes import beside

SMOKE = find_profile("smoke")


def fitting(network=None):
    return threads.fitting_threads(lambda: new_segmenter(network, SMOKE, 2, 0), 8, 48)


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    """As on a machine where torch would take two threads."""
    before = torch.get_num_threads()
    monkeypatch.setattr(threads, "MOST", 2)
    monkeypatch.setattr("advconf_lite.experiment.folder.MOST", 2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("two", "chosen"), [(0.5, 2), (0.75, 2), (0.8, 1), (1.0, 1), (3.0, 1)])
def test_a_second_thread_is_taken_where_it_pays(monkeypatch, two, chosen):
    monkeypatch.setattr(threads, "_seconds", lambda segmenter, x, number: {1: 1.0, 2: two}[number])
    assert fitting() == chosen
    assert torch.get_num_threads() == 2  # until the run says which


def test_what_is_tried_is_the_run_s_own_step(monkeypatch, slice_set, tmp_path):
    tried = []
    monkeypatch.setattr(threads, "_seconds", lambda segmenter, x, number: tried.append((number, tuple(x.shape))) or 1.0)
    Run(tmp_path / "r", str(slice_set), "smoke", progress=False)
    assert tried == [(1, (8, 1, 48, 48)), (2, (8, 1, 48, 48))]


@pytest.mark.parametrize(("batch", "size", "images"), [(8, 96, 8), (32, 256, 2), (32, 1024, 1)])
def test_a_large_batch_is_tried_in_part(monkeypatch, batch, size, images):
    tried = []
    monkeypatch.setattr(threads, "_seconds", lambda segmenter, x, number: tried.append(x.shape[0]) or 1.0)
    threads.fitting_threads(lambda: new_segmenter(None, SMOKE, 2, 0), batch, size)
    assert tried == [images, images]


def test_a_long_step_is_tried_once(monkeypatch):
    steps = []

    class Slow(torch.nn.Linear):
        def logits(self, x):
            steps.append(threads.time.sleep(threads.ENOUGH_S))
            return self(x)

    assert threads._seconds(Slow(2, 2), torch.zeros(1, 2), 1) >= threads.ENOUGH_S and len(steps) == 1


def test_trying_draws_no_number_and_leaves_the_threads():
    torch.manual_seed(5)
    state = torch.get_rng_state()
    assert fitting() in (1, 2)
    assert torch.equal(torch.get_rng_state(), state) and torch.get_num_threads() == 2


def test_a_network_that_does_not_take_such_images_is_refused_elsewhere():
    broken = Network("torch.nn:Identity", layer="nothing")
    assert fitting(broken) == 2


def test_a_folder_keeps_its_number(monkeypatch, slice_set, tmp_path):
    monkeypatch.setattr(threads, "_seconds", lambda segmenter, x, number: {1: 1.0, 2: 0.5}[number])
    Run(tmp_path / "two", str(slice_set), "smoke", progress=False)
    monkeypatch.setattr(threads, "_seconds", lambda segmenter, x, number: 1.0)
    for name, number in (("one", 1), ("two", 2), ("one", 1)):
        Run(tmp_path / name, str(slice_set), "smoke", progress=False)
        assert torch.get_num_threads() == number
        assert json.loads((tmp_path / name / "config.json").read_text())["threads"] == number


def wait_and_write(path, seconds):
    time.sleep(seconds)
    path.write_text(os.environ["OMP_NUM_THREADS"])


def test_a_block_waits_for_what_is_made_beside_it(tmp_path):
    with beside(wait_and_write, tmp_path / "made", 0.5):
        assert not (tmp_path / "made").exists()
    assert (tmp_path / "made").read_text() == "1"


def test_what_is_made_beside_a_block_ends_with_its_failure(tmp_path):
    began = time.monotonic()
    with pytest.raises(ZeroDivisionError), beside(wait_and_write, tmp_path / "made", 60):
        raise ZeroDivisionError
    assert time.monotonic() - began < 30 and not (tmp_path / "made").exists()


def test_a_failure_beside_a_block_is_none_of_its(tmp_path):
    with beside(wait_and_write, tmp_path / "no" / "folder", 0):
        pass


def test_samples_made_beside_are_those_of_the_run(slice_set, tmp_path):
    asked = str(slice_set), SMOKE, ["dice"], ["agreement-2"]
    own = Run(tmp_path / "own", *asked, progress=False)
    wanted = own.predict_agreement(0, 0)
    other = Run(tmp_path / "other", *asked, progress=False)
    other.segmenter(0)
    with beside(parts_of, ["samples"], False, [0], [0], tmp_path / "other", *asked, None):
        pass
    assert len(wanted) and other.predictions_path.exists()
    assert other.predictions().equals(own.predictions())
