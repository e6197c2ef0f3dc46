"""What runs beside what: heads in threads, lessons in two processes; the results are those of one after the other."""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from test_methods import new_runs, segmenter, train  # noqa: F401
from test_training import SMOKE, TRAIN

from advconf_lite.course import side_by_side as lanes
from advconf_lite.experiment.run import Run
from advconf_lite.head_training import Turn
from advconf_lite.support import in_threads
from advconf_lite.support.processes import beside, once_there

CPU = torch.device("cpu")
EVERY = [
    "plain", "plain-2b", "replay", "adversarial", "random-direction", "segmenter-attack", "strong-augmentation", "severity",
    "overconfidence", "severity-appearance", "adversarial+strong", "quality-regression", "finetuned",
]  # fmt: skip

# ---- threads


@pytest.fixture
def cores(monkeypatch):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield lambda number: monkeypatch.setattr(in_threads, "cpu_count", lambda: number)
    torch.set_num_threads(before)


def test_heads_in_threads_come_out_to_the_bit(cores, segmenter):  # noqa: F811
    found = []
    for number in (1, 4):
        cores(number)
        found.append(train(segmenter, new_runs(segmenter, EVERY), None))
    one, four = found
    for name in EVERY:
        weights = one[name].head.state_dict()
        assert all(torch.equal(weight, four[name].head.state_dict()[key]) for key, weight in weights.items()), name
        assert repr(one[name].history) == repr(four[name].history) and one[name].seen == four[name].seen
        assert len(one[name].history) > SMOKE.settings.warmup_batches


@pytest.mark.parametrize(("number", "threads", "wanted"), [(1, 1, 1), (3, 1, 3), (64, 1, 4), (4, 2, 2), (3, 2, 1)])
def test_as_many_threads_as_cores_for_them(cores, number, threads, wanted):
    cores(number)
    torch.set_num_threads(threads)
    at_work, most = set(), []

    def work(job):
        at_work.add(job)
        most.append(len(at_work))
        time.sleep(0.2)
        at_work.remove(job)
        return job

    with in_threads.side_by_side(CPU) as each:
        assert list(each(work, range(6))) == [0, 1, 2, 3, 4, 5]
    assert max(most) == wanted


def test_on_a_gpu_one_after_the_other():
    with in_threads.side_by_side(torch.device("cuda")) as each:
        assert each is map


def test_an_error_in_a_thread_is_raised(cores):
    cores(2)
    with pytest.raises(ZeroDivisionError), in_threads.side_by_side(CPU) as each:
        list(each(lambda number: 1 / number, [1, 0, 1]))


def test_what_heads_share_is_made_once_and_waited_for():
    turn, made = Turn(None, lambda word: (TRAIN[0][:2], TRAIN[1][:2]), 0, 0, False), []

    def make():
        time.sleep(0.2)
        made.append(1)
        return "this"

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: turn.once("name", make), range(4))) == ["this"] * 4
    assert made == [1] and turn.once("other", lambda: 3) == 3


def test_who_waits_for_what_fails_gets_the_error():
    turn = Turn(None, lambda word: (TRAIN[0][:2], TRAIN[1][:2]), 0, 0, False)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            turn.once("name", lambda: 1 / 0)


# ---- lessons


@pytest.fixture
def executed(monkeypatch, tmp_path):
    """A run that has not begun, and what is executed in this process."""
    found = []
    run = SimpleNamespace(
        folder=tmp_path, methods=["plain", "agreement-2"], qualities=["dice"], has_head=lambda *key: False,
        segmenter_path=lambda seed: tmp_path / f"segmenter-{seed}", predictions_path=tmp_path / "predictions.csv",
    )  # fmt: skip
    monkeypatch.setattr(lanes, "execute", lambda path, out, parameters: found.append(out.stem[:2]))
    monkeypatch.setattr(lanes, "write_page", lambda path: None)
    monkeypatch.setattr(lanes, "has_room", lambda run: True)
    return run, found


def go(run, beside_it, monkeypatch):
    """Execute all lessons of a run, where another process does as it is told: (parts, files), and the lessons given away."""
    asked, given = [], []

    @contextmanager
    def ahead(parts, bars, files):
        asked.append((*parts, *[file.name for file in files]))
        yield

    @contextmanager
    def other(function, files, execute, names, *rest):
        given.extend(name[:2] for name in names)
        yield beside_it

    monkeypatch.setattr(lanes, "beside", other)
    lanes.execute_lessons(run, lanes.lessons("pipeline"), {"segmenter_seeds": [0, 1], "head_seeds": [0]}, ahead)
    return asked, given


def done(error=None):
    future = Future()
    future.set_exception(error) if error else future.set_result(None)
    return future


def test_training_goes_ahead_and_two_lessons_are_given_away(executed, monkeypatch):
    run, found = executed
    asked, given = go(run, done(), monkeypatch)
    assert asked == [("segmenter", "heads"), ("samples", "segmenter-0", "segmenter-1")]
    assert found == ["01", "02", "03"] and given == ["05", "04"]


@pytest.mark.parametrize("beside_it", [None, done(RuntimeError("killed"))])
def test_what_nobody_has_executed_is_executed_here(executed, monkeypatch, beside_it):
    run, found = executed
    go(run, beside_it, monkeypatch)
    assert found == ["01", "02", "03", "05", "04"]


def test_of_a_finished_run_nothing_is_made_ahead(executed, monkeypatch):
    run, found = executed
    run.has_head = lambda *key: True
    run.predictions_path.touch()
    assert go(run, done(), monkeypatch)[0] == [] and found == ["01", "02", "03"]


def test_without_room_all_lessons_are_executed_in_order(executed, monkeypatch):
    run, found = executed
    monkeypatch.setattr(lanes, "has_room", lambda run: False)
    assert go(run, done(), monkeypatch) == ([], []) and found == ["01", "02", "03", "04", "05"]


def test_room_is_a_core_and_memory(slice_set, tmp_path, monkeypatch):
    run = Run(tmp_path, str(slice_set), "smoke", progress=False)
    before = torch.get_num_threads()
    monkeypatch.setattr(lanes, "cpu_count", lambda: before + 1)
    monkeypatch.setattr(lanes, "memory_bytes", lambda: 8e9)
    assert lanes.has_room(run)
    monkeypatch.setattr(lanes, "memory_bytes", lambda: 5e9)  # which the processes take without a single image
    assert not lanes.has_room(run)
    monkeypatch.setattr(lanes, "memory_bytes", lambda: 8e9)
    monkeypatch.setattr(lanes, "cpu_count", lambda: before)
    assert not lanes.has_room(run)
    monkeypatch.setattr(lanes, "cpu_count", lambda: before + 1)
    run.device = torch.device("cuda")
    assert not lanes.has_room(run)


def write(path, text):
    path.write_text(text)


def test_a_process_beside_begins_when_all_files_are_there(tmp_path):
    files = [tmp_path / "a", tmp_path / "b"]
    with beside(once_there, files, write, tmp_path / "made", "this") as future:
        files[0].touch()
        time.sleep(1)
        assert not future.done() and not (tmp_path / "made").exists()
        files[1].touch()
        future.result(timeout=60)
    assert (tmp_path / "made").read_text() == "this"
