"""The lock of a folder: dead and living holders, on this machine and on another one, and what is done once."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pandas as pd
import pytest
import two_at_once

from advconf_lite.evaluation.predictions import PREDICTION_COLUMNS
from advconf_lite.experiment import scoring
from advconf_lite.support import alone
from advconf_lite.support.alone import alone_in
from advconf_lite.support.errors import BadInput
from advconf_lite.support.files import write_text

HOLDER = """
import sys, time
from pathlib import Path
from advconf_lite.support import alone
alone.BEAT_S = float(sys.argv[2])
if sys.argv[3]:
    alone.machine = lambda: sys.argv[3]
with alone.alone_in(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""

ELSEWHERE = {"host": "b", "pid": 7, "machine": "elsewhere", "born": "1", "token": "t"}


@pytest.fixture
def holder():
    """Processes that hold a folder: `holder(folder, seconds between its touches, its machine)`."""
    started = []

    def start(folder, beat=0.1, machine=""):
        command = [sys.executable, "-c", HOLDER, str(folder), str(beat), machine]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        assert started[-1].stdout.readline() == "held\n"
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def quick(monkeypatch):
    """A limit of two seconds, so that a test need not wait for a minute."""
    for name, value in {"BEAT_S": 0.1, "LIMIT_S": 2.0, "LOOK_S": 0.02}.items():
        monkeypatch.setattr(alone, name, value)


def held(folder, wait=True):
    """Seconds until the folder was had."""
    began = time.monotonic()
    with alone_in(folder, wait=wait):
        return time.monotonic() - began


def test_a_living_process_is_refused_or_waited_for_on_this_and_on_another_machine(holder, quick, tmp_path):
    for number, machine in enumerate(("", "elsewhere")):
        process = holder(tmp_path / str(number), 0.1, machine)
        with pytest.raises(BadInput, match=rf"is at work in .* \(process {process.pid} on "):
            held(tmp_path / str(number), wait=False)
        threading.Timer(3.0, process.kill).start()  # longer than the limit: it is alive, for it touches its lock
        assert held(tmp_path / str(number)) > 2.9


def test_a_killed_process_of_this_machine_blocks_nobody_even_before_its_parent_has_asked_for_it(holder, tmp_path):
    process = holder(tmp_path, 0.1)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # ended, and still in the system's list
    assert held(tmp_path, wait=False) < 2
    assert not list(tmp_path.glob(".*"))


def test_a_stopped_process_of_this_machine_keeps_its_folder(holder, quick, tmp_path, monkeypatch):
    monkeypatch.setattr(alone, "LIMIT_S", 0.2)
    process = holder(tmp_path, 0.1)
    process.send_signal(signal.SIGSTOP)
    with pytest.raises(BadInput):
        held(tmp_path, wait=False)
    thread = threading.Thread(target=held, args=[tmp_path])
    thread.start()
    thread.join(1.0)
    assert thread.is_alive()  # long after the limit
    process.kill()
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.parametrize("left", [json.dumps(ELSEWHERE), "", '{"host": "b"'])  # or killed while it wrote who it is
def test_a_lock_left_on_another_machine_is_taken_once_by_many_who_wait(left, quick, tmp_path, monkeypatch):
    monkeypatch.setattr(alone, "LIMIT_S", 0.4)
    (tmp_path / ".alone").write_text(left)
    inside, most = [], []

    def work():
        with alone_in(tmp_path, wait=True):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.02)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert most == [1] * 8 and not list(tmp_path.glob(".*"))


def test_who_died_while_burying_another_ones_lock_blocks_nobody(quick, tmp_path, monkeypatch):
    monkeypatch.setattr(alone, "LIMIT_S", 0.2)
    (tmp_path / ".alone").write_text(json.dumps(ELSEWHERE))
    (tmp_path / ".alone.t").touch()
    assert held(tmp_path) < 5 and not list(tmp_path.glob(".*"))


def test_a_later_process_of_the_same_number_is_another_one(tmp_path):
    owner = {"pid": os.getppid(), "machine": alone.machine()}
    (tmp_path / ".alone").write_text(json.dumps(ELSEWHERE | owner))
    assert held(tmp_path, wait=False) < 2


def test_what_another_process_has_taken_is_not_written_any_more(tmp_path):
    write_text(tmp_path / "a.txt", "old")
    with alone_in(tmp_path):
        write_text(tmp_path / "a.txt", "mine")
        (tmp_path / ".alone").write_text(json.dumps(ELSEWHERE))
        with pytest.raises(BadInput, match=r"no sign of life .* \(process 7 on b\)"):
            write_text(tmp_path / "deeper" / "a.txt", "late")
        with pytest.raises(BadInput, match="no sign of life"):
            write_text(tmp_path / "a.txt", "late")
    assert (tmp_path / "a.txt").read_text() == "mine" and (tmp_path / ".alone").exists()  # the other one's
    write_text(tmp_path / "a.txt", "later")


def test_scores_that_two_want_at_a_time_are_made_once(tmp_path, monkeypatch):
    made, found = [], []
    table = pd.DataFrame({name: [1] for name in PREDICTION_COLUMNS})

    class Folder:
        def alone(self, work):
            return alone_in(tmp_path, wait=True, work=work)

    def make():
        made.append(1)
        time.sleep(0.3)
        return [table]

    monkeypatch.setattr(scoring, "done", lambda run, methods, s, h: table if (tmp_path / "there").exists() else None)
    monkeypatch.setattr(scoring, "keep", lambda run, tables: (tmp_path / "there").touch() or tables[0])
    threads = [
        threading.Thread(target=lambda: found.append(scoring.kept(Folder(), "heads", ["plain"], 0, 0, make)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1 and len(found) == 3


def test_work_that_is_done_twice_is_found(tmp_path):
    log = tmp_path / "log"
    log.write_text(
        "1.0 10 begin a\n2.0 11 begin a\n3.0 10 end a\n4.0 11 end a\n5.0 10 begin b\n6.0 11 begin b\n7.0 11 end b\n"
    )
    assert len(two_at_once.made_twice(log, {10: 5.5})) == 2  # `a` at a time, and finished twice; 10 was killed in `b`


def test_only_the_lock_of_a_killed_process_may_stay(tmp_path):
    for name, pid in ((".alone", 10), (".alone-heads-s0-h0", 11)):
        owner = {"host": "vm", "pid": pid, "machine": "two", "born": "1", "token": name}
        (tmp_path / name).write_text(json.dumps(owner))
    (tmp_path / ".alone.token").touch()  # of whom, nobody knows
    assert two_at_once.left_behind(tmp_path, {11}) == [".alone is left", ".alone.token is left"]
    assert len(two_at_once.left_behind(tmp_path, set())) == 3


@pytest.mark.slow
def test_two_processes_on_one_folder_lose_nothing_and_make_nothing_twice(tmp_path):
    reference = two_at_once.launch(tmp_path / "reference", tmp_path / "reference.log", "", False)
    assert two_at_once.failed(reference, tmp_path / "reference.log") == []
    draw = two_at_once.random.Random(1)
    for number, apart in enumerate((False, True)):
        findings, _ = two_at_once.trial(tmp_path / str(number), tmp_path / "reference", 20.0, 1, draw, apart)
        assert not findings
