"""Two processes make one run in one folder, killed at random and started again: is anything lost, or made twice?

    python benchmarks/two_at_once.py [--trials 20] [--kills 2] [--seed 0]

Both are asked for the same segmenters, heads, scores and metrics, one from the first pair of seeds on, the other from the
last. In every second trial the two say that they are on different machines, so that each can only judge by the lock's beat
(which is made faster) whether the other one is alive. Compared with a run by one process: weights byte by byte, the tables
row by row. Each piece of work is written down when it begins and ends: two at a time, or finished twice, is a finding.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pandas as pd
import torch
from kill_resume import unreadable

from advconf_lite.experiment import run as module
from advconf_lite.experiment import scoring
from advconf_lite.support import alone

FORK = multiprocessing.get_context("fork")  # so that a process is at work at once, and not struck while it imports

PAIRS = [(0, 0), (1, 0)]
FAST = {"BEAT_S": 0.2, "LIMIT_S": 3.0, "LOOK_S": 0.05}  # of the lock, where the other machine is a pretended one


def worker(folder: Path, log: Path, machine: str, backwards: bool) -> None:
    """The run itself; what it works on goes to `log`, a line when it begins and one when it ends."""
    for stream, path in ((1, os.devnull), (2, log.with_suffix(".errors"))):
        os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT), stream)
    torch.set_num_threads(1)
    if machine:
        alone.machine = lambda: machine
        for name, value in FAST.items():
            setattr(alone, name, value)

    def logged(function, named):
        def call(*arguments, **options):
            say("begin", named(*arguments))
            result = function(*arguments, **options)
            say("end", named(*arguments))
            return result

        return call

    def say(word: str, work: str) -> None:
        with open(log, "a") as file:  # one short line at a time, which the system does not mix with another's
            file.write(f"{time.monotonic()} {os.getpid()} {word} {work}\n")

    module.Run._make_segmenter = logged(module.Run._make_segmenter, lambda run, seed: f"segmenter-{seed}")
    real = module.train_missing

    def train_missing(run, segmenter, wanted, s, h):
        if not all(run.has_head(*key, s, h) for key in wanted):  # as after waiting for the other process
            logged(real, lambda *_: f"heads-s{s}-h{h}")(run, segmenter, wanted, s, h)

    module.train_missing = train_missing
    real_kept = scoring.kept

    def kept(run, kind, methods, s, h, make):
        work, begun = f"scores-{kind}-s{s}-h{h}", []

        def made():
            begun.append(say("begin", work))
            return make()

        table = real_kept(run, kind, methods, s, h, made)
        if begun:
            say("end", work)  # when it is in the table: who is killed before has not finished it
        return table

    scoring.kept = kept
    run = module.Run(folder, "phantom:cardiac", "smoke", "dice", ["plain", "adversarial", "agreement-2"], progress=False)
    for pair in PAIRS[::-1] if backwards else PAIRS:
        run.predict_agreement(*pair)
        run.predict_heads(*pair)
        run.metrics()


def launch(folder: Path, log: Path, machine: str, backwards: bool) -> multiprocessing.Process:
    process = FORK.Process(target=worker, args=(folder, log, machine, backwards))
    process.start()
    return process


def failed(process: multiprocessing.Process, log: Path) -> list[str]:
    """Why a process that has ended by itself did not do so in peace."""
    process.join()
    return log.with_suffix(".errors").read_text().strip().splitlines()[-1:] if process.exitcode else []


def content(path: Path) -> object:
    """What two runs must have in common: the bytes, of tables the rows in any order, for they are in that of the work."""
    if path.suffix == ".csv":
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        return sorted(map(tuple, table[sorted(table)].to_numpy().tolist()))
    return path.read_bytes()


def differences(one: Path, two: Path) -> list[str]:
    """Files in which two finished folders differ, or that only one has; what is left of a killed process is hidden."""
    files = [{path.relative_to(each) for path in each.rglob("*") if path.is_file()} for each in (one, two)]
    names = [{name for name in some if not any(part.startswith(".") for part in name.parts)} for some in files]
    same = {name for name in names[0] & names[1] if content(one / name) == content(two / name)}
    return sorted(map(str, (names[0] | names[1]) - same))


def made_twice(log: Path, ended: dict[int, float]) -> list[str]:
    """Work that was finished more than once, or by two processes at a time; `ended` says when which process was killed."""
    lines = [line.split() for line in log.read_text().splitlines()]
    found = [f"{work} finished {n} times" for work, n in Counter(x[3] for x in lines if x[2] == "end").items() if n > 1]
    spans = []
    for began, pid, word, work in lines:
        if word == "begin":
            ends = [float(t) for t, p, w, what in lines if (p, w, what) == (pid, "end", work) and float(t) >= float(began)]
            spans.append((work, float(began), min([*ends, ended.get(int(pid), float("inf"))])))
    for number, (work, began, end) in enumerate(spans):
        for other, start, stop in spans[number + 1 :]:
            if work == other and began < stop and start < end:
                found.append(f"{work} at {began:.1f} to {end:.1f} and at {start:.1f} to {stop:.1f} s")
    return found


def left_behind(folder: Path, killed: set[int]) -> list[str]:
    """Locks that are still there, but for those of killed processes, which stay until somebody wants them."""
    found = {path.name: alone._look(path) or ({}, 0) for path in sorted(folder.glob(".alone*"))}
    return [f"{name} is left" for name, (owner, _) in found.items() if owner.get("pid") not in killed]


def trial(
    folder: Path, reference: Path, whole: float, kills: int, draw: random.Random, apart: bool
) -> tuple[list[str], int]:
    """(findings, kills of a living process) of two processes on `folder`; `whole` is how long one alone takes."""
    log, ended, findings, killed = folder.with_suffix(".log"), {}, [], set()
    log.touch()
    sides = [("one" if apart else "", False), ("two" if apart else "", True)]
    running = [launch(folder, log, *side) for side in sides]
    for _ in range(kills):
        time.sleep(draw.uniform(0.1 * whole, 0.6 * whole))
        which = draw.randrange(2)
        running[which].kill()
        running[which].join()
        ended[running[which].pid] = time.monotonic()
        if running[which].exitcode == -signal.SIGKILL:
            killed.add(running[which].pid)
        else:
            findings += failed(running[which], log)
        findings += unreadable(folder)
        running[which] = launch(folder, log, *sides[which])
    for process in running:
        findings += failed(process, log)
    findings += [f"{name} differs" for name in differences(reference, folder)] + made_twice(log, ended)
    return findings + left_behind(folder, killed), len(killed)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--kills", type=int, default=2, help="per trial")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    draw, findings, struck = random.Random(chosen.seed), [], 0
    with tempfile.TemporaryDirectory() as temporary:
        reference, began = Path(temporary) / "reference", time.monotonic()
        log = reference.with_suffix(".log")
        if why := failed(launch(reference, log, "", False), log):
            raise SystemExit(why[0])
        whole = time.monotonic() - began
        for number in range(chosen.trials):
            folder = Path(temporary) / f"trial{number}"
            found, kills = trial(folder, reference, whole, chosen.kills, draw, apart=number % 2 == 1)
            struck += kills
            findings += found
            print(f"trial {number + 1}: {kills} killed at work, {found or 'nothing lost, nothing made twice'}", flush=True)
    print(f"{chosen.trials} trials, {struck} kills of a process at work; findings: {findings or 'none'}")
    return bool(findings)


if __name__ == "__main__":
    sys.exit(main())
