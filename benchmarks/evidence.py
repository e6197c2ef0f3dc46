"""Every table of the evidence from one command, which goes on where it was stopped.

    python benchmarks/evidence.py PROTOCOL [PROTOCOL ...] --profile quick --out runs/evidence
                                  [--hearts FILE.npz] [--freeze COMMIT] [--tuned chosen.json] [--only plan|table]
                                  [--results results]

What is asked, named here before anything was run. Endpoints: eAURC and MAE of the images' Dice, averaged over the target
domains, with the correlation beside them; MAE is set beside a constant, the mean score of source validation. The question:
does any method beat Algorithm 1 (`adversarial`) and `strong-augmentation`, both, in eAURC and in MAE, under massive shift,
every one of the four 95 % intervals below 0? Intervals are paired bootstraps over subjects and seeds. Checkpoints are chosen
on clean source validation, for every method alike.

Asked later, on 2026-11-29, when six pairs of seeds of phantom-prostate had been looked at and no sealed scanner had been:
what only ranks (`ensemble-3`, `agreement-15`), mapped to an estimate by the straight line that fits the source's validation
best (`ensemble-3 mapped`): does it beat both? On phantom-prostate this is an observation, and sealed-prostate tests it.
Asked last, on that day, when all of quick had been seen: `soft-dice` by such a line, too, and each method minus
`agreement-15 mapped`, which needs one network. These are observations everywhere, and medium can test them.

Protocols (sealed is both organs):

    phantom-heart, phantom-prostate   virtual scanners, moderate and massive shift
    acdc-folds     real hearts of one hospital in three folds; test subjects re-acquired by the heart's virtual scanners
    hearts-dev     those hearts, split by subject, and as targets other hospitals' patients and four levels of motion
    sealed-heart, sealed-prostate   the phantom's finished networks in scanners that are drawn from the ranges by a generator
                   seeded with the commit that froze the settings: --freeze, or the first word of results/freeze.txt

--only plan says what there is to do and how long it will take; --only table makes the tables from what is finished and says
what lacks. Tables go to OUT/results, or where --results says. Beside them, in pairs/, goes a file for each finished pair of
seeds of a phantom: whoever has it need not make that pair again, so a protocol goes on on another machine. The same command
in more terminals, one for each core, takes the parts that the others are not making. --tuned takes what `python -m
advconf_lite tune` chose for each method that trains a head; that is a protocol of its own, whose pairs lie beside a copy of
chosen.json.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import evidence_clinic as clinic
import evidence_tables as tables
import pandas as pd
from derived import MAPPED
from hearts import make_sets
from making import in_turn, make_parts, plan
from sealed import CLONE, NUMBER, changed_since, constants, drawn, frozen_commit, sealed_set
from sealed_study import Sealed
from studies import Study

from advconf_lite.evaluation.answer import RIVALS
from advconf_lite.evaluation.predictions import CONSTANT
from advconf_lite.experiment.profiles import find_profile
from advconf_lite.experiment.tune import tuned_profile
from advconf_lite.methods.registry import find_method
from advconf_lite.support.alone import alone_in
from advconf_lite.support.command_line import well_behaved, words
from advconf_lite.support.errors import BadInput
from advconf_lite.support.files import write_text

# By name; a version of the package that lacks one leaves it out and says so.
METHODS = (
    "plain-2b", "replay", "adversarial", "random-direction", "strong-augmentation", "severity", "overconfidence",
    "severity-appearance", "overconfidence-appearance", "adversarial+strong", "soft-dice", "agreement-15", "ensemble-3",
    "quality-regression",
)  # fmt: skip
# Nearly a quarter of the time of Dice's heads; decided before any pair of that profile was made.
LEFT_OUT = {"medium": ("severity-appearance", "overconfidence-appearance")}
OF_SURFACES = ("plain-2b", "replay", "adversarial", "random-direction", "agreement-15")
AGAINST = (*RIVALS, CONSTANT, "agreement-15" + MAPPED)
DEV = (3, 2)  # segmenter seeds, head seeds, where a protocol does not say


@dataclass(frozen=True)
class Protocol:
    """What is compared on what.

    Attributes:
        shift: how far the targets lie from the source.
        data: SPEC of each run: a phantom, or the name of a set of `hearts.make_sets`.
        base: of sealed scanners, the protocol whose networks see them.
        seeds: profile -> numbers of segmenter and head seeds.
    """

    name: str
    shift: str
    data: tuple[str, ...] = ()
    base: str | None = None
    seeds: dict[str, tuple[int, int]] = field(default_factory=dict)

    def seeds_of(self, profile: str) -> tuple[int, int]:
        return {"smoke": (2, 2), **self.seeds}.get(profile, DEV)


PHANTOM = {"quick": (5, 3), "medium": (3, 2)}
PROTOCOLS = {
    p.name: p
    for p in (
        Protocol("phantom-heart", "moderate", ("phantom:cardiac",), seeds=PHANTOM),
        Protocol("phantom-prostate", "massive", ("phantom:prostate",), seeds=PHANTOM),
        Protocol("acdc-folds", "moderate", ("acdc-fold-1", "acdc-fold-2", "acdc-fold-3")),
        Protocol("hearts-dev", "real", ("hearts-dev",), seeds={"quick": (3, 3)}),
        Protocol("sealed-heart", "moderate", base="phantom-heart", seeds=PHANTOM),
        Protocol("sealed-prostate", "massive", base="phantom-prostate", seeds=PHANTOM),
    )
}
GROUPS = {"sealed": ("sealed-heart", "sealed-prostate")}


def known(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Those that this version has, and those that it lacks."""
    there, missing = [], []
    for name in names:
        try:
            there.append(find_method(name).name)
        except BadInput:
            missing.append(name)
    return there, missing


def of_trials(path: Path) -> str:
    """What a chosen.json says of the trials that it was chosen from."""
    made = {"data": "?", "segmenter_seed": "?", "head_seed": "?"} | json.loads(path.read_text(encoding="utf-8"))
    seeds = f"segmenter seed {made['segmenter_seed']}, head seed {made['head_seed']}"
    return f"{made['trials']} trials for each method, judged by MAE on the validation scanners of {made['data']}, {seeds}"


class Job:
    """A protocol with a profile: its folder, its studies, its parts."""

    def __init__(self, protocol: Protocol, chosen: argparse.Namespace) -> None:
        self.protocol, self.chosen = protocol, chosen
        suffix = f"{chosen.profile}{'-tuned' if chosen.tuned else ''}"
        self.name, self.folder = f"{protocol.name}-{suffix}", chosen.out / f"{protocol.name}-{suffix}"
        self.stem, self.results = f"evidence-{self.name}", chosen.results or chosen.out / "results"
        self.seeds = protocol.seeds_of(chosen.profile)
        self.methods, self.missing = known([name for name in METHODS if name not in LEFT_OUT.get(chosen.profile, ())])
        self.frozen: str | None = None
        self.studies = self._sealed(suffix) if protocol.base else self._studies(protocol, self.folder)
        self.log = self.folder / "seconds.csv"
        self.parts = in_turn([study.parts() for study in self.studies])

    def _studies(self, protocol: Protocol, folder: Path) -> list[Study]:
        questions = {"dice": self.methods, "surface_dice": known(OF_SURFACES)[0]}
        profile = find_profile(self.chosen.profile)
        if self.chosen.tuned:
            profile = tuned_profile(self.chosen.profile, self.chosen.tuned, self.methods)
            of = json.loads(self.chosen.tuned.read_text(encoding="utf-8")).get("data")
            if of is not None and of.startswith("phantom:") and of not in protocol.data:
                raise BadInput(f"{self.chosen.tuned} was chosen on {of}; tune again on {protocol.data[0]}", argument="path")
        sets = {}
        if not protocol.data[0].startswith("phantom:"):
            with alone_in(self.chosen.out / "hearts", wait=True):
                sets = make_sets(self.chosen.hearts, self.chosen.out / "hearts")
        shown, kept = sys.stdout.isatty(), None if sets else self.results / "pairs" / folder.name
        return [
            Study(folder / spec.replace(":", "-"), str(sets.get(spec, spec)), profile, questions, self.seeds, shown, kept)
            for spec in protocol.data
        ]

    def _sealed(self, suffix: str) -> list[Study]:
        self.frozen = frozen_commit(self.chosen.freeze, CLONE / "results" / "freeze.txt")
        base = PROTOCOLS[self.protocol.base]
        folder = self.chosen.out / f"{base.name}-{suffix}"
        begun = (folder / base.data[0].replace(":", "-") / "config.json").exists()
        if not begun and not (self.results / "pairs" / self.name).is_dir():
            raise BadInput(f"{self.name} needs the networks of {base.name}, which has not been begun; run that first")
        (study,) = self._studies(base, folder)
        self.organ = base.data[0].partition(":")[2]
        with alone_in(self.folder, wait=True, work="images"):
            made = sealed_set(self.folder, self.organ, self.frozen, study.run.profile, study.run.progress)
        return [Sealed(self.folder, study, made.folder, self.results / "pairs" / self.name, self.frozen)]

    def first_lines(self) -> list[str]:
        s, h = self.seeds
        lines = [
            f"{self.name}: {s} segmenter seeds x {h} head seeds, {len(self.methods)} methods, {self.protocol.shift} shift"
        ]
        if self.missing:
            lines.append(f"    left out, for this version has no such method: {', '.join(self.missing)}")
        if self.frozen:
            changed = changed_since(self.frozen)
            said = (
                f"{len(changed)} files of methods, settings or phantom changed since" if changed else "nothing changed since"
            )
            lines.append(f"    {NUMBER} scanners drawn from freeze {self.frozen[:12]}; {said}")
        return lines

    def lacking(self) -> list[str]:
        """What the tables will not hold."""
        pairs = tables.shared_pairs(self.studies)
        wanted = self.seeds[0] * self.seeds[1]
        lines = [f"{len(pairs)} of {wanted} pairs of seeds are finished"] if len(pairs) < wanted else []
        if self.frozen and (away := self.studies[0].without_networks):
            lines += [f"networks of {len(away)} pairs of {self.protocol.base} are not in {self.chosen.out}"]
        return lines + ([f"no such method yet: {', '.join(self.missing)}"] if self.missing else [])

    def keep(self) -> list[Path]:
        """Pairs that were finished since the last time, as files, and beside them what was chosen for them, from what."""
        pairs = [path for study in self.studies for path in study.keep()]
        kept = self.studies[0].kept
        if self.chosen.tuned and kept and kept.there():
            for path in (self.chosen.tuned, self.log_of_trials):
                if path.exists():
                    write_text(kept.folder / path.name, path.read_text(encoding="utf-8"))
        return pairs

    @property
    def log_of_trials(self) -> Path:
        return self.chosen.tuned.with_name("trials.csv")

    def table(self) -> list[Path]:
        """Write the tables of what is finished."""
        kept, pairs = self.keep(), tables.shared_pairs(self.studies)
        for line in self.lacking():
            print(f"{self.name}: {line}")
        if not pairs:
            print(f"{self.name}: no pair of seeds is finished yet, so there is no table")
            return kept
        level, difference = tables.metric_tables(self.studies, pairs, AGAINST, self.chosen.resamples)
        shift = {"shift": self.protocol.shift, "sealed": "yes" if self.frozen else "no"}
        log = tables.parts_made(self.studies)
        made = {
            "": level,
            "differences": difference.assign(**shift),
            "history": tables.history_table(self.studies, pairs),
            "labels": tables.labels_table(self.studies, pairs, self.chosen.repeats, self.chosen.resamples // 10),
            "release": clinic.release(self.studies, pairs, self.chosen.resamples // 10),
            "bins": clinic.bins(self.studies, pairs, self.chosen.resamples // 10),
            "absent": clinic.absent(self.studies, pairs),
            "seconds": tables.seconds_table(log),
        }
        if self.frozen:
            made["scanners"] = constants(drawn(self.organ, self.frozen))
        if self.chosen.tuned and self.log_of_trials.exists():
            made["trials"] = tables.trials_table(pd.read_csv(self.log_of_trials))
        return [*kept, *tables.publish(self.results, self.stem, made, self._provenance(pairs, log))]

    def _provenance(self, pairs: tables.Pairs, log: pd.DataFrame) -> dict[str, str]:
        settings = "the profile's"
        if self.chosen.tuned:
            settings += f", but for what tune chose, {of_trials(self.chosen.tuned)}"
        if self.frozen:
            settings += f"; scanners drawn from commit {self.frozen}"
        if lines := self.lacking():
            settings += f"; {'; '.join(lines)}"
        seeds = [" ".join(map(str, sorted({pair[place] for pair in pairs}))) for place in (0, 1)]
        command = [f"python benchmarks/evidence.py {self.protocol.name}", f"--profile {self.chosen.profile}"]
        command += ["--out runs/evidence", "--results results"]
        command += ["--hearts FILE.npz"] if self.protocol.data and "phantom" not in self.protocol.data[0] else []
        command += ["--tuned chosen.json"] if self.chosen.tuned else []
        return {
            "command": " ".join(command), "profile": self.chosen.profile, "settings": settings, "segmenter_seeds": seeds[0],
            "head_seeds": seeds[1], "threads": tables.each(log["threads"]),
            "device": tables.each(log["device"]), "versions": tables.each(log["versions"]),
            "commit": tables.commits(log), "first_in_readme": "",
        }  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, usage=argparse.SUPPRESS
    )
    parser.add_argument("protocols", nargs="+", metavar="PROTOCOL", help=", ".join([*PROTOCOLS, *GROUPS]))
    parser.add_argument("--profile", default="quick", help="smoke (seconds), quick, or a larger one")
    parser.add_argument("--out", required=True, type=Path, metavar="runs/evidence", help="a folder for each protocol")
    parser.add_argument("--results", type=Path, metavar="FOLDER", help="where the tables go (OUT/results)")
    parser.add_argument("--hearts", type=Path, metavar="FILE.npz", help="of benchmarks/hearts.py, for the real hearts")
    parser.add_argument("--freeze", metavar="COMMIT", help="for sealed scanners, in place of results/freeze.txt")
    parser.add_argument("--tuned", type=Path, metavar="chosen.json", help="settings that tune chose on validation scanners")
    parser.add_argument("--only", choices=("plan", "table"), help="say what there is to do, or make tables of what is done")
    parser.add_argument(
        "--resamples",
        type=int,
        default=10_000,
        metavar="N",
        help="of the bootstrap; a tenth under other rules, for labels and for what is released",
    )
    parser.add_argument("--repeats", type=int, default=50, metavar="N", help="draws of people and labels")
    chosen = parser.parse_args(arguments)
    names = [each for name in chosen.protocols for each in GROUPS.get(name, (name,))]
    if unknown := [name for name in names if name not in PROTOCOLS]:
        raise BadInput(f"protocol {unknown[0]!r} is unknown; choose from {', '.join([*PROTOCOLS, *GROUPS])}")
    for name in dict.fromkeys(names):
        job = Job(PROTOCOLS[name], chosen)
        print(*job.first_lines(), sep="\n", flush=True)
        if chosen.only != "table":
            print(*plan(job.parts, job.log), sep="\n", flush=True)
        if chosen.only == "plan":
            continue
        if chosen.only is None:
            make_parts(job.parts, job.log, lambda line: print(line, flush=True), job.keep)
        with alone_in(job.folder, wait=True, work="table"):
            print(*job.table(), sep="\n", flush=True)
    return 0


if __name__ == "__main__":
    given = words()
    sys.exit(well_behaved(lambda: main(given), options={"folder": "--out", "path": "--tuned"}))
