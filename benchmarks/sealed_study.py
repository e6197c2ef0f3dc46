"""A finished study on scanners that were drawn after its networks were trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
from derived import completed
from making import Part
from pairs import KeptPairs, Pair, of_pair
from studies import Study, of_seeds

from advconf_lite.experiment.labelled import labelled_parts
from advconf_lite.experiment.run import Elsewhere
from advconf_lite.methods.registry import scored


class Sealed(Study):
    """A finished study's networks on slices of scanners that were drawn after they were trained; nothing is trained."""

    def __init__(self, folder: Path, study: Study, data: Path, kept: Path | None, commit: str) -> None:
        self.base, self.folder, self.questions, self.pairs, self._held = study, folder, study.questions, study.pairs, {}
        every = labelled_parts(study.run, data)[0]
        self.targets = {name: part for name, part in every.items() if name != study.source}
        path = folder / "predictions.csv"
        self.runs = {q: Elsewhere(run, self.targets, path, study.questions[q]) for q, run in study.runs.items()}
        self.run = next(iter(self.runs.values()))
        self.sampler = study.sampler and Elsewhere(study.sampler, self.targets, path, study.sampler.methods)
        made_with = {"data": study.run.data, "profile": study.run.profile.as_dict(), "freeze": commit}
        self.kept = kept and KeptPairs(kept, study.folder.name, made_with)

    @property
    def costs(self) -> pd.DataFrame:
        return self.base.costs

    def is_scored(self, pair: Pair) -> bool:
        there = self.keys(self.run.predictions_path)
        wanted = [(q, name) for q, names in self.questions.items() for name, _ in scored(names, [q])]
        return all((*key, *pair, domain) in there for key in wanted for domain in self.targets)

    @property
    def finished(self) -> list[Pair]:
        return [pair for pair in super().finished if pair in self.base.finished]

    @property
    def without_networks(self) -> list[Pair]:
        """Pairs that the study has finished elsewhere: what is here of them is no network."""
        left = (pair for pair in self.base.finished if pair not in self.elsewhere and not self.is_scored(pair))
        return [pair for pair in left if not self.base.has_networks(pair)]

    def parts(self) -> Iterator[Part]:
        """Predictions of the pairs that the study has finished and whose networks are there."""
        lacking = {*self.elsewhere, *self.without_networks}
        for pair in (pair for pair in self.base.finished if pair not in lacking):
            yield self._scores(pair)

    def _scores(self, pair: Pair) -> Part:
        return Part("predictions, seeds {} {}".format(*pair), "predictions", self.folder, lambda: self.is_scored(pair),
                    lambda: self._predict(pair))  # fmt: skip

    def predictions(self, pairs: Sequence[Pair]) -> pd.DataFrame:
        source = self.base.predictions(pairs)
        sealed = completed(self._rows("predictions", self.run.predictions_path, pairs), self.validation(pairs))
        return pd.concat([source[source["domain"] == self.source], sealed], ignore_index=True)

    def validation(self, pairs: Sequence[Pair]) -> pd.DataFrame:
        return self.base.validation(pairs)

    def history(self, pairs: Sequence[Pair]) -> pd.DataFrame:
        return self.base.history(pairs)

    @property
    def log_path(self) -> Path:
        return self.folder / "seconds.csv"

    def log(self) -> pd.DataFrame:
        return pd.concat([super().log(), self.base.log()], ignore_index=True)

    def _kept_tables(self, pairs: Sequence[Pair]) -> Iterator[dict[str, pd.DataFrame]]:
        predictions, log = self._rows("predictions", self.run.predictions_path, pairs), super().log()
        for pair in pairs:
            yield {"predictions": of_seeds(predictions, pair), "seconds": of_pair(log, pair, [])}
