"""The parts of a protocol, in the order in which they are made, by a run's own functions.

What is there is never made again: a run's folder says what it holds. A part that was cut off goes on from its checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import pandas as pd
from costs import step_costs
from making import Part, newer

from advconf_lite.course.exercises.lesson_00 import FAILURE
from advconf_lite.evaluation.labels_needed import labels_needed
from advconf_lite.evaluation.predictions import CONSTANT, SEEDS, constant_predictions, read_predictions
from advconf_lite.experiment.heads import own_profile
from advconf_lite.experiment.labelled import labelled_parts
from advconf_lite.experiment.profiles import Profile
from advconf_lite.experiment.run import Elsewhere, Run
from advconf_lite.methods.registry import head_methods, sampled_methods, scored, seeds_needed
from advconf_lite.support.alone import alone_in
from advconf_lite.support.files import write_atomically

Questions = dict[str, list[str]]  # quality -> methods


class Study:
    """A run with several questions: each quality with its methods, several pairs of seeds.

    All segmenters come with their first head seed before any has a second one, for segmenters differ more.
    """

    def __init__(
        self, folder: Path, data: str, profile: Profile, questions: Questions, seeds: tuple[int, int], progress: bool = True
    ) -> None:
        self.folder, self.questions = folder, questions
        self.runs = {q: Run(folder, data, profile, q, names, progress=progress) for q, names in questions.items()}
        self.pairs = [(s, h) for h in range(seeds[1]) for s in range(seeds[0])]
        self._held: dict[Path, tuple[int, set[tuple]]] = {}
        self.run, *others = self.runs.values()
        for other in others:  # they share the images
            other.__dict__["experiment"] = self.run.experiment

    @property
    def source(self) -> str:
        return self.run.experiment.slices.source_domain

    @cached_property
    def costs(self) -> pd.DataFrame:
        """`costs.step_costs`, measured once."""
        path = self.folder / "costs.csv"
        wanted = {(m, q) for q, run in self.runs.items() for m in head_methods(run.methods)}
        with alone_in(self.folder, wait=True, work="costs"):
            if path.exists():
                there = pd.read_csv(path, keep_default_na=False)
                if wanted <= set(there[["what", "quality"]].itertuples(index=False, name=None)):
                    return there
            print(f"{self.folder}: measuring steps", flush=True)
            found = [step_costs(run, of_segmenter=run is self.run) for run in self.runs.values()]
            found = pd.concat(found, ignore_index=True).drop_duplicates(["what", "quality"])
            write_atomically(path, lambda temporary: found.to_csv(temporary, index=False))
        return found

    def _seconds(self, what: str, quality: str = "") -> float:
        rows = self.costs[(self.costs["what"] == what) & (self.costs["quality"] == quality)]
        return float(rows["seconds"].sum())

    def keys(self, path: Path) -> set[tuple]:
        """(quality, method, segmenter seed, head seed, domain) of all that a table of predictions holds."""
        if not path.exists():
            return set()
        stamp = path.stat().st_mtime_ns
        if path not in self._held or self._held[path][0] != stamp:
            names = ["quality", "method", *SEEDS, "domain"]
            table = pd.read_csv(path, usecols=names, keep_default_na=False, dtype={"domain": str}).drop_duplicates()
            self._held[path] = stamp, set(table[names].itertuples(index=False, name=None))
        return self._held[path][1]

    def is_scored(self, pair: tuple[int, int], quality: str | None = None) -> bool:
        """Whether all methods' predictions for all domains, and for validation, are there."""
        there, run = self.keys(self.run.predictions_path), self.run
        known = self.keys(run.validation_path)
        for q in self.runs if quality is None else [quality]:
            for name, _ in scored(self.questions[q], [q]):
                key = (q, name, *pair)
                if not all((*key, domain) in there for domain in run.experiment.evaluated()):
                    return False
                if (*key, self.source) not in known:
                    return False
        return True

    def parts(self) -> Iterator[Part]:
        """Segmenters, heads and predictions, pair by pair; those of one pair one after the other."""
        every = [name for names in self.questions.values() for name in names]
        segmenters: dict[int, Part] = {}
        made: list[Part] = []
        for pair in self.pairs:
            judges = seeds_needed(pair[0], every)
            for seed in judges:
                if seed not in segmenters:
                    segmenters[seed] = self._segmenter(seed)
                    yield segmenters[seed]
            needs = [segmenters[pair[0]]]
            for quality in self.runs:
                needs = [self._heads(quality, pair, needs)]
                yield needs[0]
            needs += [segmenters[seed] for seed in judges]
            for quality in self.runs:
                needs = [self._predictions(quality, pair, needs)]
                yield needs[0]
            made += needs
        path, of = self.folder / "metrics.csv", self.run.predictions_path
        yield Part(path.name, "metrics", self.folder, lambda: newer(path, of), lambda: self.run.metrics(), needs=made)

    def _segmenter(self, seed: int) -> Part:
        run, p = self.run, self.run.profile

        def seconds() -> float:
            epochs = p.segmenter_steps / p.steps_per_epoch
            return p.segmenter_steps * self._seconds("segmenter") + epochs * self._seconds("validation")

        path = run.segmenter_path(seed)
        checkpoint = run.checkpoint_path(f"segmenter-{seed}")
        return Part(f"segmenter {seed}", "segmenter", self.folder, path.exists, lambda: run.segmenter(seed), seconds,
                    checkpoint=checkpoint)  # fmt: skip

    def _heads(self, quality: str, pair: tuple[int, int], needs: Sequence[Part]) -> Part:
        run, names = self.runs[quality], head_methods(self.questions[quality])

        def seconds() -> float:
            return sum(own_profile(name, run.profile).head_steps * self._seconds(name, quality) for name in names)

        return Part(
            f"heads of {quality}, seeds {pair[0]} {pair[1]}",
            f"heads of {quality}",
            self.folder,
            lambda: all(run.has_head(name, quality, *pair) for name in names),
            lambda: run.heads(*pair),
            seconds,
            needs,
            run.checkpoint_path(f"heads-s{pair[0]}-h{pair[1]}"),
        )

    def _predictions(self, quality: str, pair: tuple[int, int], needs: Sequence[Part]) -> Part:
        run, names = self.runs[quality], self.questions[quality]

        def make() -> None:
            if head_methods(names):
                run.predict_heads(*pair)
            run.predict_agreement(*pair)
            run.validation(names, [pair])

        def seconds() -> float:
            e = run.experiment
            images = sum(map(len, [*e.evaluated().values(), e.val, *e.validation.values()]))
            each = 3 * self._seconds("scoring")  # heads, passes, and the masks that samples are beside
            if sampled_methods(names):
                each += self._seconds("sampling", quality)
            return images * each

        name = f"predictions of {quality}"
        return Part(f"{name}, seeds {pair[0]} {pair[1]}", name, self.folder, lambda: self.is_scored(pair, quality), make,
                    seconds, needs)  # fmt: skip

    # ---- what the tables read

    @property
    def finished(self) -> list[tuple[int, int]]:
        return [pair for pair in self.pairs if self.is_scored(pair)]

    def predictions(self, pairs: Sequence[tuple[int, int]]) -> pd.DataFrame:
        """Of these pairs of seeds and the methods of the questions, with the constant of each segmenter."""
        return with_constants(self._chosen(read_predictions(self.run.predictions_path), pairs), list(self.runs.values()))

    def validation(self, pairs: Sequence[tuple[int, int]]) -> pd.DataFrame:
        table = self._chosen(read_predictions(self.run.validation_path), pairs)
        return table[table["domain"] == self.source]

    def _chosen(self, table: pd.DataFrame, pairs: Sequence[tuple[int, int]]) -> pd.DataFrame:
        keys = table.set_index(SEEDS).index.isin(list(pairs))
        wanted = [(q, name) for q, names in self.questions.items() for name in names]
        return table[keys & table.set_index(["quality", "method"]).index.isin(wanted)]


class Sealed(Study):
    """A finished study's networks on slices of scanners that were drawn after they were trained; nothing is trained."""

    def __init__(self, folder: Path, study: Study, data: Path) -> None:
        self.base, self.folder, self.questions, self.pairs, self._held = study, folder, study.questions, study.pairs, {}
        every = labelled_parts(study.run, data)[0]
        self.targets = {name: part for name, part in every.items() if name != study.source}
        path = folder / "predictions.csv"
        self.runs = {q: Elsewhere(run, self.targets, path, study.questions[q]) for q, run in study.runs.items()}
        self.run = next(iter(self.runs.values()))

    @property
    def costs(self) -> pd.DataFrame:
        return self.base.costs

    def is_scored(self, pair: tuple[int, int], quality: str | None = None) -> bool:
        there = self.keys(self.run.predictions_path)
        wanted = [(q, name) for q in (self.runs if quality is None else [quality]) for name in self.questions[q]]
        return all((*key, *pair, domain) in there for key in wanted for domain in self.targets)

    def parts(self) -> Iterator[Part]:
        """Predictions of the pairs that the study has finished."""
        for pair in self.base.finished:
            for quality in self.runs:
                yield self._predictions(quality, pair)

    def _predictions(self, quality: str, pair: tuple[int, int]) -> Part:
        view, name = self.runs[quality], f"predictions of {quality}"
        return Part(f"{name}, seeds {pair[0]} {pair[1]}", name, self.folder, lambda: self.is_scored(pair, quality),
                    lambda: view.predicted(*pair))  # fmt: skip

    def predictions(self, pairs: Sequence[tuple[int, int]]) -> pd.DataFrame:
        sealed = self._chosen(read_predictions(self.run.predictions_path), pairs)
        source = self.base.predictions(pairs)
        sealed = with_constants(sealed, list(self.base.runs.values()))
        return pd.concat([source[source["domain"] == self.source], sealed], ignore_index=True)

    def validation(self, pairs: Sequence[tuple[int, int]]) -> pd.DataFrame:
        return self.base.validation(pairs)


def with_constants(predictions: pd.DataFrame, runs: Sequence[Run]) -> pd.DataFrame:
    """With the rows of a constant, the mean score of source validation, for each segmenter and quality."""
    tables = [predictions]
    for seed, part in predictions.groupby("segmenter_seed"):
        means = {q: mean for run in runs for q, mean in run.constant_predictions(int(seed)).items()}
        tables.append(constant_predictions(part, means))
    return pd.concat(tables, ignore_index=True)


def curve(study: Study, pairs: Sequence[tuple[int, int]], repeats: int, resamples: int) -> pd.DataFrame:
    """`calibrate --curve` of a study: error, bias and coverage against the number of labels, per domain."""
    table = study.predictions(pairs)
    table = table[table["method"] != CONSTANT]
    return labels_needed(table, study.validation(pairs), study.source, FAILURE, repeats=repeats, resamples=resamples)
