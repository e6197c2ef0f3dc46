"""Run the small grid once undisturbed and once with SIGKILLs, and compare the tables and weights at the end.

    python benchmarks/kill_grid.py [--profile smoke] [--kills 3] [--cores 2] [--out runs/kill-grid] \
                                   [--save results/grid.csv] [KEY=VALUE ...]

KEY=VALUE are keys of workflow/grid.yaml. Each kill comes at a random moment, and hits the engine alone, whose jobs live on
and meet those of the next start, or the engine with all its jobs. It also says how long the undisturbed run took
beside what its jobs took together, divided by the cores. What is there is not run again: the same command goes on.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow" / "scripts"))

from kill_resume import differences  # noqa: E402
from measured import records  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
COMPARED = (".csv", ".safetensors", ".npz", ".npy")
COLUMNS = ["grid", "profile", "cores", "jobs", "seconds", "jobs_seconds", "ratio", "interrupted", "different"]


def start(out: Path, engine: Sequence[str], keys: list[str], log: Path) -> subprocess.Popen:
    """The engine, in a process group of its own with its jobs."""
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "snakemake", *engine, "--config", f"out={out}", *keys]
    with open(log, "ab") as said:
        return subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=said, start_new_session=True)


def local(cores: int) -> list[str]:
    return ["--profile", "workflow/profiles/local", "--cores", str(cores)]


def finish(out: Path, cores: int, keys: list[str], log: Path) -> float:
    """Seconds until the grid is finished."""
    began = time.time()
    if start(out, local(cores), keys, log).wait():
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


def save(path: Path | None, **row: object) -> None:
    """Put a row into a table of grids, in the place of one of the same name and profile."""
    if not path:
        return
    rows = list(csv.DictReader(path.read_text().splitlines())) if path.exists() else []
    new = {name: str(row.get(name, "")) for name in COLUMNS}
    rows = [each for each in rows if any(each[name] != new[name] for name in ("grid", "profile"))]
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows([*rows, new])


def undisturbed(out: Path, cores: int, profile: str, keys: list[str]) -> dict[str, float]:
    """What the grid in `out`/reference has cost; run first if it was not."""
    cost = ROOT / out / "cost.json"
    if not cost.exists():
        seconds = finish(out / "reference", cores, keys, ROOT / out / "reference.log")
        jobs = seconds_of_jobs(out / "reference")
        ratio = seconds / (sum(jobs) / cores)
        found = {"seconds": seconds, "jobs": len(jobs), "jobs_seconds": sum(jobs), "cores": cores, "ratio": ratio}
        cost.write_text(json.dumps(found | {"profile": profile}, indent=1))
    return json.loads(cost.read_text())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("keys", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--profile", default="smoke")
    parser.add_argument("--kills", type=int, default=3, help="none: only what the undisturbed grid costs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("runs/kill-grid"))
    parser.add_argument("--save", type=Path, metavar="FILE.csv", help="a row of it is written, and one of the kills")
    chosen = parser.parse_args()
    keys, draw = [f"profile={chosen.profile}", *chosen.keys], random.Random(chosen.seed)
    reference, victim = chosen.out / "reference", chosen.out / "victim"
    found = undisturbed(chosen.out, chosen.cores, chosen.profile, keys)
    print("undisturbed: {seconds:.0f} s; {jobs} jobs of {jobs_seconds:.0f} s on {cores} cores: {ratio:.3f}".format(**found))
    rounded = {"seconds": round(found["seconds"]), "jobs_seconds": round(found["jobs_seconds"])}
    save(chosen.save, **(found | rounded | {"ratio": f"{found['ratio']:.3f}"}), grid="undisturbed")
    if not chosen.kills:
        return 0
    kills = []
    for number in range(chosen.kills):
        alone, after = draw.random() < 0.5, draw.uniform(0.1, 0.9) * found["seconds"] / chosen.kills
        engine = start(victim, local(chosen.cores), keys, ROOT / chosen.out / "victim.log")
        time.sleep(after)
        if engine.poll() is not None:
            raise SystemExit("the grid ended before it was killed; give fewer kills, or see victim.log")
        (os.kill if alone else os.killpg)(engine.pid, signal.SIGKILL)
        engine.wait()
        kills.append(f"{'the engine alone' if alone else 'all of it'} with {len(records(ROOT / victim))} jobs done")
        print(f"kill {number + 1} after {after:.0f} s: {kills[-1]}", flush=True)
    finish(victim, chosen.cores, keys, ROOT / chosen.out / "victim.log")
    different = unlike(ROOT / reference, ROOT / victim)
    print(f"differences from the undisturbed grid: {different or 'none'}")
    killed = {"grid": f"SIGKILL {chosen.kills} times", "profile": chosen.profile, "cores": chosen.cores}
    save(chosen.save, **killed, jobs=found["jobs"], interrupted="; ".join(kills), different=len(different))
    return bool(different)


if __name__ == "__main__":
    sys.exit(main())
