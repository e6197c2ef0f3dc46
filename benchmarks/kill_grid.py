"""Run the small grid once undisturbed and once with SIGKILLs, and compare the tables and weights at the end.

    python benchmarks/kill_grid.py [--profile smoke] [--kills 3] [--cores 2] [--out runs/kill-grid] [KEY=VALUE ...]

KEY=VALUE are keys of workflow/grid.yaml. Each kill comes at a random moment, and hits the engine alone, whose jobs live on
and meet those of the next start, or the engine with all its jobs. It also says how long the undisturbed run took
beside what its jobs took together, divided by the cores. What is there is not run again: the same command goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow" / "scripts"))

from kill_resume import differences  # noqa: E402
from measured import records  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
COMPARED = (".csv", ".safetensors", ".npz", ".npy")


def start(out: Path, cores: int, keys: list[str], log: Path) -> subprocess.Popen:
    """The engine, in a process group of its own with its jobs."""
    command = [sys.executable, "-m", "snakemake", "--profile", "workflow/profiles/local", "--cores", str(cores)]
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab") as said:
        return subprocess.Popen(
            [*command, "--config", f"out={out}", *keys], cwd=ROOT, stdout=said, stderr=said, start_new_session=True
        )


def finish(out: Path, cores: int, keys: list[str], log: Path) -> float:
    """Seconds until the grid is finished."""
    began = time.time()
    if start(out, cores, keys, log).wait():
        raise SystemExit(f"the grid failed; see {log}")
    return time.time() - began


def seconds_of_jobs(out: Path) -> list[float]:
    """From the start to the end of each finished job's process, as Snakemake has written it down."""
    found = {}
    for path in (ROOT / ".snakemake" / "metadata").rglob("*"):
        if path.is_file():
            job = json.loads(path.read_text())
            if any(Path(log).is_relative_to(out) for log in job["log"]):
                found[job["log"][0]] = job["endtime"] - job["starttime"]
    return list(found.values())


def unlike(one: Path, two: Path) -> list[str]:
    """Files of results in which two finished grids differ; logs, records of costs and executed lessons are left out."""
    ours = {path.name for path in one.rglob("*") if path.suffix in COMPARED}
    return [name for name in differences(one, two) if name.removesuffix(" missing") in ours]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("keys", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--profile", default="smoke")
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("runs/kill-grid"))
    chosen = parser.parse_args()
    keys, draw = [f"profile={chosen.profile}", *chosen.keys], random.Random(chosen.seed)
    reference, victim, cost = chosen.out / "reference", chosen.out / "victim", chosen.out / "cost.json"
    if not (ROOT / cost).exists():
        seconds = finish(reference, chosen.cores, keys, ROOT / chosen.out / "reference.log")
        jobs = seconds_of_jobs(reference)
        ratio = seconds / (sum(jobs) / chosen.cores)
        found = {"seconds": seconds, "jobs": len(jobs), "jobs_seconds": sum(jobs), "cores": chosen.cores, "ratio": ratio}
        (ROOT / cost).write_text(json.dumps(found, indent=1))
    found = json.loads((ROOT / cost).read_text())
    print("undisturbed: {seconds:.0f} s; {jobs} jobs of {jobs_seconds:.0f} s on {cores} cores: {ratio:.3f}".format(**found))
    for number in range(chosen.kills):
        alone, after = draw.random() < 0.5, draw.uniform(0.1, 0.9) * found["seconds"] / chosen.kills
        engine = start(victim, chosen.cores, keys, ROOT / chosen.out / "victim.log")
        time.sleep(after)
        if engine.poll() is not None:
            raise SystemExit("the grid ended before it was killed; give fewer kills, or see victim.log")
        (os.kill if alone else os.killpg)(engine.pid, signal.SIGKILL)
        engine.wait()
        done, hit = len(records(ROOT / victim)), "the engine alone" if alone else "all of it"
        print(f"kill {number + 1} after {after:.0f} s, of {hit}: {done} jobs done", flush=True)
    finish(victim, chosen.cores, keys, ROOT / chosen.out / "victim.log")
    different = unlike(ROOT / reference, ROOT / victim)
    print(f"differences from the undisturbed grid: {different or 'none'}")
    return bool(different)


if __name__ == "__main__":
    sys.exit(main())
