"""Run the small grid through a real SLURM on this machine, disturb it, and compare it with the local run's tables.

    apt-get install --no-install-recommends slurmctld slurmd slurm-client munge
    python benchmarks/slurm_grid.py [--profile smoke] [--reference runs/kill-grid] [--out runs/slurm-grid] \\
                                    [--save results/grid.csv] [KEY=VALUE ...]

As root on Debian or Ubuntu. It starts the daemons and stops them (workflow/slurm_one_node.sh). The first job that has
written a checkpoint while it trains heads is cancelled by scancel; when half of the grid is done, the node is drained until
it is empty, and resumed. `--reference` is the folder of kill_grid.py, whose undisturbed grid is run first if it lacks.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kill_grid import ROOT, records, save, start, undisturbed, unlike

from advconf_lite.support.checkpoints import load_checkpoint

DAEMONS = ROOT / "workflow" / "slurm_one_node.sh"
SLURM = ["--profile", "workflow/profiles/slurm", "--slurm-init-seconds-before-status-checks", "5"]
# A cluster that is shared is asked less often, and one with accounting by sacct.
SLURM += ["--seconds-between-status-checks", "5", "--slurm-status-command", "squeue"]
LOOK_S = 0.05  # for a checkpoint, which may be there for a second


class Disturbed:
    """A grid that runs through SLURM, and what is done to it."""

    def __init__(self, out: Path, jobs: int, engine: subprocess.Popen) -> None:
        self.out, self.jobs, self.engine, self.began = ROOT / out, jobs, engine, time.time()

    def say(self, what: str) -> None:
        print(f"[{time.time() - self.began:5.0f} s] {what}", flush=True)

    def wait_for(self, found: Callable[[], Any], every: float = 1.0) -> Any:
        """What `found` gives, once it gives something; None if the engine has ended before."""
        while self.engine.poll() is None:
            if (value := found()) is not None:
                return value
            time.sleep(every)
        return None

    def state_of(self, job: str, *states: str) -> str | None:
        """The state of a job once it is not, or no longer, one of these."""
        return self.wait_for(
            lambda: next((state for each, state, *_ in queue() if each == job and state not in states), None)
        )

    def cancel_one(self) -> str:
        """scancel a job that trains heads and has a checkpoint; what it went on from."""
        while path := self.wait_for(lambda: next(self.out.glob("*/checkpoints/heads-*.pt"), None), LOOK_S):
            label = f"rule_heads_wildcards_{path.parts[-3]}_" + "_".join(part[1:] for part in path.stem.split("-")[1:])
            job = next((number for number, state, said, _ in queue() if said == label and state == "RUNNING"), None)
            if job is None:
                continue
            asked("scancel", job)
            if self.state_of(job, "RUNNING", "COMPLETING") == "CANCELLED" and path.exists():
                return self.followed(job, label, path)
        raise SystemExit("the grid ended before a job with a checkpoint was cancelled")

    def followed(self, job: str, label: str, path: Path) -> str:
        """What becomes of a job that was cancelled: submitted again, it must not begin anew."""
        kept, written = step_of(path), time_of(path)
        self.say(f"job {job} ({path.parts[-3]} {path.stem}) cancelled by scancel; its checkpoint holds step {kept}")
        again = self.wait_for(lambda: next((each for each, _, said, _ in queue() if said == label and each != job), None))
        self.say(f"it was submitted again, as job {again}")
        self.wait_for(lambda: None if time_of(path) == written else True, LOOK_S)
        following = step_of(path)
        went_on = following is None or following > kept
        said = f"next checkpoint holds step {following}" if following else "next step that was kept is the last"
        self.say(f"its {said}: it " + ("went on" if went_on else "BEGAN ANEW"))
        return f"scancel of a job at step {kept}, which then {'went on' if went_on else 'began anew'}"

    def drain_and_resume(self) -> str:
        self.wait_for(lambda: True if len(records(self.out)) >= self.jobs // 2 else None)
        node = asked("sinfo", "--noheader", "--format=%n").strip()
        asked("scontrol", "update", f"nodename={node}", "state=drain", "reason=maintenance")
        done = len(records(self.out))
        self.say(f"node drained with {done} jobs done; {states()}")
        self.wait_for(lambda: None if any(state == "RUNNING" for _, state, *_ in queue()) else True)
        waiting = self.wait_for(lambda: [each for each in queue() if each[1] == "PENDING"] or None) or []
        self.say(f"the node is empty: {states()}; a job that waits says: {waiting[0][3] if waiting else '-'}")
        time.sleep(10)
        begun = [each for each in queue() if each[1] == "RUNNING"]
        self.say(f"10 s later {len(begun)} jobs have begun on it; node resumed")
        asked("scontrol", "update", f"nodename={node}", "state=resume")
        return f"node drained with {done} jobs done, and resumed"


def asked(*command: str) -> str:
    """What a command of SLURM says; a controller that is busy is asked again."""
    for _ in range(10):
        done = subprocess.run(command, capture_output=True, text=True)
        if not done.returncode:
            return done.stdout
        time.sleep(3)
    raise SystemExit(f"{' '.join(command)}: {done.stderr.strip()}")


def queue() -> list[list[str]]:
    """Number, state, what Snakemake calls it, and why it waits, of every job since the start."""
    listed = asked("squeue", "--states=all", "--noheader", "--format=%i|%T|%k|%r")
    return [line.split("|") for line in listed.splitlines()]


def states() -> str:
    found = [state for _, state, *_ in queue()]
    return ", ".join(f"{found.count(state)} {state}" for state in sorted(set(found)))


def step_of(checkpoint: Path) -> int | None:
    return (load_checkpoint(checkpoint, "cpu") or {}).get("step")


def time_of(checkpoint: Path) -> int | None:
    try:
        return checkpoint.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def daemons(word: str) -> None:
    code = subprocess.run(["bash", "-c", f". {DAEMONS} {word}"], stdout=sys.stdout).returncode
    if code and word == "start":
        raise SystemExit("SLURM did not start")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("keys", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--profile", default="smoke")
    parser.add_argument("--reference", type=Path, default=Path("runs/kill-grid"))
    parser.add_argument("--out", type=Path, default=Path("runs/slurm-grid"))
    parser.add_argument("--cores", type=int, default=2, help="of the local run")
    parser.add_argument("--save", type=Path, metavar="FILE.csv", help="a row of it is written")
    chosen = parser.parse_args()
    if os.geteuid() or not all(map(shutil.which, ("slurmctld", "slurmd", "munged"))):
        raise SystemExit(
            "error: needs root, and apt-get install --no-install-recommends slurmctld slurmd slurm-client munge"
        )
    keys = [f"profile={chosen.profile}", *chosen.keys]
    found = undisturbed(chosen.reference, chosen.cores, chosen.profile, keys)
    os.environ["SLURM_DIR"] = tempfile.mkdtemp(prefix="slurm-")  # new, or the queue would show another run's jobs
    os.environ["SLURM_CONF"] = f"{os.environ['SLURM_DIR']}/slurm.conf"
    daemons("start")
    engine = None
    try:
        engine = start(chosen.out, SLURM, keys, ROOT / chosen.out.with_suffix(".log"))
        grid = Disturbed(chosen.out, found["jobs"], engine)
        done = [grid.cancel_one(), grid.drain_and_resume()]
        code = engine.wait()
        seconds, ended = time.time() - grid.began, states()
        grid.say(f"the grid has ended: exit code {code}; jobs: {ended}")
    finally:
        if engine and engine.poll() is None:
            engine.kill()
            engine.wait()
            asked("scancel", "--user=root")
        daemons("stop")
    if code:
        raise SystemExit(f"the grid failed; see {chosen.out.with_suffix('.log')}")
    different = unlike(ROOT / chosen.reference / "reference", ROOT / chosen.out)
    print(f"differences from the local grid: {different or 'none'}")
    row = {"grid": "SLURM on one node", "profile": chosen.profile, "cores": os.cpu_count(), "jobs": found["jobs"]}
    save(
        chosen.save,
        **row,
        seconds=round(seconds),
        interrupted="; ".join([*done, f"its jobs: {ended}"]),
        different=len(different),
    )
    return bool(different)


if __name__ == "__main__":
    sys.exit(main())
