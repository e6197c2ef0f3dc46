"""The parts of a protocol, in the order in which they are made, by a run's own functions.

What is there is never made again: a run's folder says what it holds, and a pair of seeds that was kept as a file needs no
run. A part that was cut off goes on from its checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path

import pandas as pd
from costs import step_costs
from derived import completed
from making import LOGGED, Part, newer, read_log
from pairs import KeptPairs, Pair, of_pair

from advconf_lite.course.exercises.lesson_00 import FAILURE
from advconf_lite.evaluation.labels_needed import labels_needed
from advconf_lite.evaluation.predictions import (
    SEEDS,
    SLICE,
    read_predictions,
)
from advconf_lite.experiment.heads import own_profile
from advconf_lite.experiment.profiles import Profile
from advconf_lite.experiment.run import Run
from advconf_lite.methods.registry import head_methods, sampled_methods, scored, seeds_needed
from advconf_lite.support.alone import alone_in
from advconf_lite.support.errors import BadInput
from advconf_lite.support.files import write_atomically

SAME = 0.001  # mean difference of true scores up to which two segmenters are one, which threads may move by a pixel
Questions = dict[str, list[str]]  # quality -> methods
DECIMALS = 5  # of the scores that tables are made from, for more would be most of the size of what is kept


class Study:
    """A run with several questions: each quality with its methods, several pairs of seeds.

    All segmenters come with their first head seed before any has a second one, for segmenters differ more.

    Args:
        kept: a folder of finished pairs of seeds, which need not be made again; None: none are kept.
    """

    def __init__(
        self, folder: Path, data: str, profile: Profile, questions: Questions, seeds: tuple[int, int], progress: bool = True,
        kept: Path | None = None,
    ) -> None:  # fmt: skip
        self.folder, self.questions = folder, questions
        self.runs = {q: Run(folder, data, profile, q, names, progress=progress) for q, names in questions.items()}
        self.pairs = [(s, h) for h in range(seeds[1]) for s in range(seeds[0])]
        self._held: dict[Path, tuple[int, set[tuple]]] = {}
        self.run, *others = self.runs.values()
        shared = [m.name for m in sampled_methods(self.run.methods) if others and all(m.name in o.methods for o in others)]
        self.sampler = Run(folder, data, profile, list(questions), shared, progress=progress) if shared else None
        for other in filter(None, [*others, self.sampler]):  # they share the images
            other.__dict__["experiment"] = self.run.experiment
        self.kept = kept and KeptPairs(kept, folder.name, {"data": data, "profile": profile.as_dict()})

    @property
    def every(self) -> list[str]:
        """The methods of all questions."""
        return [name for names in self.questions.values() for name in names]

    @property
    def source(self) -> str:
        return self.run.experiment.slices.source_domain

    @cached_property
    def costs(self) -> pd.DataFrame:
        """`costs.step_costs`, measured once; of another machine, if all that this one has are pairs that were kept there."""
        path = self.folder / "costs.csv"
        if self.elsewhere and not path.exists():
            return self.kept.read(self.elsewhere[0], "costs", partial(pd.read_csv, keep_default_na=False))
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

    @cached_property
    def elsewhere(self) -> list[Pair]:
        """Pairs that were kept, with every method that is asked for now."""
        wanted = {(q, name) for q, names in self.questions.items() for name, _ in scored(names, [q])}

        def whole(pair: Pair) -> bool:
            table = self.kept.read(pair, "predictions", read_predictions)
            return wanted <= set(table[["quality", "method"]].itertuples(index=False, name=None))

        return [pair for pair in self.kept.there() if pair in self.pairs and whole(pair)] if self.kept else []

    def is_scored(self, pair: Pair) -> bool:
        """Whether all methods' predictions for all domains, and for validation, are in the run's folder."""
        there, run = self.keys(self.run.predictions_path), self.run
        known = self.keys(run.validation_path)
        for q, names in self.questions.items():
            for name, _ in scored(names, [q]):
                key = (q, name, *pair)
                if not all((*key, domain) in there for domain in run.experiment.evaluated()):
                    return False
                if (*key, self.source) not in known:
                    return False
        return True

    def has_networks(self, pair: Pair) -> bool:
        heads = [(name, q) for q, names in self.questions.items() for name in head_methods(names)]
        segmenters = (self.run.segmenter_path(seed).exists() for seed in seeds_needed(pair[0], self.every))
        return all(segmenters) and all(self.run.has_head(*head, *pair) for head in heads)

    def parts(self) -> Iterator[Part]:
        """Segmenters, heads and predictions, pair by pair; those of one pair one after the other."""
        segmenters: dict[int, Part] = {}
        made: list[Part] = []
        for pair in (pair for pair in self.pairs if pair not in self.elsewhere):
            judges = seeds_needed(pair[0], self.every)
            for seed in judges:
                if seed not in segmenters:
                    segmenters[seed] = self._segmenter(seed)
                    yield segmenters[seed]
            needs = [segmenters[pair[0]]]
            for quality in self.runs:
                needs = [self._heads(quality, pair, needs)]
                yield needs[0]
            needs += [segmenters[seed] for seed in judges]
            made.append(self._predictions(pair, needs))
            yield made[-1]
        if not made:
            return
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

    def _heads(self, quality: str, pair: Pair, needs: Sequence[Part]) -> Part:
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

    def _predictions(self, pair: Pair, needs: Sequence[Part]) -> Part:
        def make() -> None:
            self._predict(pair)
            if self.sampler:
                self.sampler.validation(self.sampler.methods, [pair])
            for run in self.runs.values():
                run.validation(run.methods, [pair])

        def seconds() -> float:
            e = self.run.experiment
            images = sum(map(len, [*e.evaluated().values(), e.val, *e.validation.values()]))
            sampling = [self._seconds("sampling", q) for q, run in self.runs.items() if sampled_methods(run.methods)]
            each = 3 * len(self.runs) * self._seconds("scoring")  # heads, passes, and the masks that samples are beside
            return images * (each + (max(sampling) if self.sampler else sum(sampling)))

        return Part("predictions, seeds {} {}".format(*pair), "predictions", self.folder, lambda: self.is_scored(pair), make,
                    seconds, needs)  # fmt: skip

    def _predict(self, pair: Pair) -> None:
        """Scores by all methods; samples that every question wants are drawn once, for a sample is the same for each."""
        for run in self.runs.values():
            if head_methods(run.methods):
                run.predict_heads(*pair)
        if self.sampler:
            self.sampler.predict_samples(*pair)
        for run in self.runs.values():
            run.predict_agreement(*pair)

    # ---- what the tables read

    @property
    def finished(self) -> list[Pair]:
        return [pair for pair in self.pairs if pair in self.elsewhere or self.is_scored(pair)]

    def _rows(self, name: str, path: Path, pairs: Sequence[Pair]) -> pd.DataFrame:
        """Rows of a table of predictions, pair by pair: from the file of one that was kept, else from the run's."""
        own = read_predictions(path) if set(pairs) - set(self.elsewhere) else None

        def of(pair: Pair) -> pd.DataFrame:
            if pair in self.elsewhere:
                return self.kept.read(pair, name, read_predictions)
            return of_seeds(own, pair)

        table = pd.concat(map(of, pairs), ignore_index=True).round(DECIMALS)
        self._refuse_two_segmenters(table)
        wanted = [(q, name) for q, names in self.questions.items() for name in names]
        return table[table.set_index(["quality", "method"]).index.isin(wanted)]

    def _refuse_two_segmenters(self, table: pd.DataFrame) -> None:
        """BadInput where a segmenter that was trained again, for another pair, is not the one of a pair that was kept."""
        for seed in of_two_networks(table):
            files = self.kept.path((seed, "*")) if self.kept else self.run.predictions_path
            raise BadInput(
                f"two networks were segmenter {seed}: {files} has the scores of one, and {self.folder} those of another, as "
                "another machine may train it; delete the former, and these pairs of seeds are made anew"
            )

    def predictions(self, pairs: Sequence[Pair]) -> pd.DataFrame:
        """Of these pairs of seeds and the methods of the questions, `completed`."""
        return completed(self._rows("predictions", self.run.predictions_path, pairs), self.validation(pairs))

    def validation(self, pairs: Sequence[Pair]) -> pd.DataFrame:
        table = self._rows("validation", self.run.validation_path, pairs)
        return table[table["domain"] == self.source]

    def history(self, pairs: Sequence[Pair]) -> pd.DataFrame:
        """Of each head of these pairs with perturbed images, the medians of the last tenth of its steps that had some."""
        own = self.run.history() if set(pairs) - set(self.elsewhere) else None
        kept = [self.kept.read(pair, "history") for pair in pairs if pair in self.elsewhere]
        here = [last_tenth(own, pair) for pair in pairs if pair not in self.elsewhere]
        return pd.concat([*kept, *here], ignore_index=True)

    @property
    def log_path(self) -> Path:
        return self.folder.parent / "seconds.csv"

    def log(self) -> pd.DataFrame:
        """A row for each part that was made, here or for a pair that was kept."""
        tables = [self.kept.read(pair, "seconds") for pair in self.elsewhere] + [read_log(self.log_path)]
        return pd.concat([table for table in tables if len(table)] or tables, ignore_index=True).drop_duplicates(
            [*LOGGED[:7]]
        )

    def keep(self) -> list[Path]:
        """A file for each finished pair that has none."""
        new = [pair for pair in self.finished if pair not in self.elsewhere] if self.kept else []
        written = [self.kept.write(pair, tables) for pair, tables in zip(new, self._kept_tables(new))]
        self.elsewhere.extend(new)  # from now on they are read from there
        return written

    def _kept_tables(self, pairs: Sequence[Pair]) -> Iterator[dict[str, pd.DataFrame]]:
        predictions, validation = self._rows("predictions", self.run.predictions_path, pairs), self.validation(pairs)
        history, log = self.history(pairs), self.log()
        for pair in pairs:
            yield {
                "predictions": of_seeds(predictions, pair),
                "validation": of_seeds(validation, pair),
                "history": of_seeds(history, pair),
                "costs": self.costs,
                "seconds": of_pair(log, pair, seeds_needed(pair[0], self.every)),
            }


def of_two_networks(table: pd.DataFrame) -> list[int]:
    """Segmenter seeds of a table of predictions under which it has the true scores of more than one network."""
    truth = table.groupby([*SLICE, "quality", "segmenter_seed"], dropna=False)["true_score"]
    apart = (truth.max() - truth.min()).groupby("segmenter_seed").mean()
    return list(apart[apart > SAME].index)


def of_seeds(table: pd.DataFrame, pair: Pair) -> pd.DataFrame:
    return table[table.set_index(SEEDS).index.isin([pair])]


def last_tenth(history: pd.DataFrame, pair: Pair) -> pd.DataFrame:
    """Medians of predicted drop, true drop and norm: a row for each quality and method."""
    rows = of_seeds(history, pair).dropna(subset="delta_norm")
    rows = rows.groupby(["quality", "method", *SEEDS], sort=False)[["predicted_drop", "true_drop", "delta_norm"]]
    medians = [(*key, *steps.tail(max(1, len(steps) // 10)).median()) for key, steps in rows]
    return pd.DataFrame(medians, columns=["quality", "method", *SEEDS, "predicted_drop", "true_drop", "norm"])


def curve(study: Study, pairs: Sequence[Pair], repeats: int, resamples: int) -> pd.DataFrame:
    """`calibrate --curve` of a study: error, bias and coverage against the number of labels, per domain."""
    table = study.predictions(pairs)
    table = table[table["method"].isin(study.every)]
    return labels_needed(table, study.validation(pairs), study.source, FAILURE, repeats=repeats, resamples=resamples)
