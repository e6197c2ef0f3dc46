"""A run and its stages. Asked for a result, a stage reads it if it is there and makes it if not."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path

import pandas as pd
from torch import nn

from advconf_lite.evaluation.predictions import PREDICTION_COLUMNS, constant_predictions, merge_predictions
from advconf_lite.evaluation.rules import counted, metrics_by_rule
from advconf_lite.experiment import scoring
from advconf_lite.experiment.folder import Key, RunFolder, network_from_config, read_config
from advconf_lite.experiment.heads import finished_head, train_missing
from advconf_lite.experiment.networks import check_segmenter, has_dropout, is_trained, new_segmenter
from advconf_lite.experiment.parts import Experiment, Part, to_device
from advconf_lite.experiment.profiles import profile_from_config
from advconf_lite.experiment.weights import load_weights, save_weights
from advconf_lite.methods.passes import Lent
from advconf_lite.methods.registry import head_methods, pass_methods, sampled_methods, seeds_needed
from advconf_lite.segmenter import Segmenter
from advconf_lite.support.errors import BadInput
from advconf_lite.support.files import write_atomically
from advconf_lite.training import train_segmenter


class Run(RunFolder):
    """The stages: `experiment`, `segmenter`, `heads`, `predict_heads`, `predict_agreement`, `metrics`."""

    def segmenter(self, seed: int = 0) -> Segmenter:
        """The frozen segmenter of a seed; trained first if the folder has none, and no weights were given."""
        path, own = self.segmenter_path(seed), self.network
        if not path.exists():
            with self.alone(f"segmenter-{seed}"):
                if not path.exists():  # still, after waiting
                    return self._make_segmenter(seed)
        stored = replace(own, weights=None) if own else None  # those in the folder are enough
        segmenter = new_segmenter(stored, self.profile, self.experiment.num_classes, seed).to(self.device)
        load_weights(segmenter.net, path)
        return segmenter.freeze()

    def _make_segmenter(self, seed: int) -> Segmenter:
        path, own = self.segmenter_path(seed), self.network
        segmenter = new_segmenter(own, self.profile, self.experiment.num_classes, seed).to(self.device)
        check_segmenter(segmenter, self.experiment)
        if own and own.weights and seed != 0:
            raise BadInput(f"weights {own.weights} are those of one network; leave out segmenter seed {seed}")
        if not is_trained(segmenter, own):
            name = f"network {own.factory}" if own else "U-Net"
            print(f"{path} is not there yet: training the {name} (seed {seed})", flush=True)
            checkpoint = self.checkpoint_path(f"segmenter-{seed}")
            pairs = (to_device(part, self.device) for part in (self.experiment.train, self.experiment.val))
            history = train_segmenter(segmenter, *pairs, self.profile, seed, checkpoint, self.progress)
            check_segmenter(segmenter, self.experiment)
            self.merge_history(history, stage="segmenter", segmenter_seed=seed)
            checkpoint.unlink(missing_ok=True)
        save_weights(segmenter.net, path)
        return segmenter.freeze()

    def heads(self, segmenter_seed: int = 0, head_seed: int = 0) -> dict[Key, nn.Module]:
        """(method, quality) -> head in evaluation mode; those that the folder lacks are trained, side by side."""
        segmenter = self.segmenter(segmenter_seed)
        wanted = [(method, quality) for method in head_methods(self.methods) for quality in self.qualities]
        if not all(self.has_head(*key, segmenter_seed, head_seed) for key in wanted):
            with self.alone(f"heads-s{segmenter_seed}-h{head_seed}"):
                train_missing(self, segmenter, wanted, segmenter_seed, head_seed)
        return {key: finished_head(self, segmenter, key, segmenter_seed, head_seed) for key in wanted}

    def predict_heads(self, segmenter_seed: int = 0, head_seed: int = 0) -> pd.DataFrame:
        """Predicted and true scores of every evaluated slice by every head; kept in predictions.csv."""
        seeds = segmenter_seed, head_seed

        def make() -> list[pd.DataFrame]:
            return scoring.head_tables(self, self.segmenter(segmenter_seed), self.heads(*seeds), *seeds)

        return scoring.kept(self, "heads", head_methods(self.methods), *seeds, make)

    def predict_agreement(self, segmenter_seed: int = 0, head_seed: int = 0) -> pd.DataFrame:
        """Scores of every evaluated slice by the methods without a head: from dropout samples, such as agreement, and from
        plain passes."""
        seeds = segmenter_seed, head_seed
        tables = [table for table in (self.predict_samples(*seeds), self.predict_passes(*seeds)) if len(table)]
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=PREDICTION_COLUMNS)

    def predict_passes(self, segmenter_seed: int = 0, head_seed: int = 0) -> pd.DataFrame:
        """Scores from plain passes, of this segmenter and those that an ensemble needs; no seed changes them."""
        methods, seeds = pass_methods(self.methods), (segmenter_seed, head_seed)

        def make() -> list[pd.DataFrame]:
            return scoring.pass_tables(self, self.lent(segmenter_seed, self.methods), methods, *seeds)

        return scoring.kept(self, "passes", [method.name for method in methods], *seeds, make)

    def lent(self, segmenter_seed: int, methods: Sequence[str]) -> Lent:
        """What this run lends to methods that score from passes; segmenters that they need and it lacks are trained."""
        judged, *others = map(self.segmenter, seeds_needed(segmenter_seed, methods))
        return Lent(judged, others, lambda: self.experiment.train.images)

    def predict_samples(self, segmenter_seed: int = 0, head_seed: int = 0) -> pd.DataFrame:
        """Scores from dropout samples, agreement and entropy; `head_seed` seeds the dropout."""
        methods, seeds = sampled_methods(self.methods), (segmenter_seed, head_seed)
        names = [method.name for method in methods]

        def make() -> list[pd.DataFrame]:
            segmenter = self.segmenter(segmenter_seed)
            if not has_dropout(segmenter):
                raise BadInput(
                    f"the network has no dropout, from whose samples {', '.join(names)} are made; leave them out of the "
                    "methods"
                )
            return scoring.sampled_tables(self, segmenter, methods, *seeds)

        return scoring.kept(self, "samples", names, *seeds, make)

    def metrics(self) -> pd.DataFrame:
        """metrics.csv, made anew from predictions.csv, which gets the constant prediction, the MAE's floor, as rows.

        Returned are its rows under the rule `counted`; the file has the others below them.
        """
        with self.alone("metrics"):
            return self._make_metrics()

    def _make_metrics(self) -> pd.DataFrame:
        table, constants = self.predictions(), []
        for seed in table["segmenter_seed"].unique():
            constant = self.constant_predictions(int(seed))
            constants.append(constant_predictions(table[table["segmenter_seed"] == seed], constant))
        constant = pd.concat(constants, ignore_index=True)
        there = table[list(constant)].tail(len(constant)).reset_index(drop=True)
        if len(there) < len(constant) or not ((there == constant) | there.isna() & constant.isna()).all(axis=None):
            with self.alone("tables"):
                merge_predictions(self.predictions_path, constant)  # which puts them last
            table = self.predictions()
        table = metrics_by_rule(table)
        write_atomically(self.folder / "metrics.csv", lambda path: table.to_csv(path, index=False))
        return counted(table)

    def constant_prediction(self, segmenter_seed: int = 0) -> dict[str, float]:
        """Mean true score on source validation, per quality: the constant whose MAE is the floor."""
        return {quality: one["predicted_score"] for quality, one in self.constant_predictions(segmenter_seed).items()}

    def constant_predictions(self, segmenter_seed: int = 0) -> dict[str, dict[str, float]]:
        """The same with the means of the classes, by column of predictions.csv."""
        return scoring.constant_predictions(self, self.segmenter(segmenter_seed))

    def validation(self, methods: list[str], pairs: list[tuple[int, int]]) -> pd.DataFrame:
        """Predictions for slices that trained no weight and test nothing, the source's validation and validation scanners,
        by methods and pairs of seeds that are trained; kept in validation.csv, where the folder can be written to."""
        parts = {self.experiment.slices.source_domain: self.experiment.val, **self.experiment.validation}
        with _writable(self.validation_path) as path:
            view = Elsewhere(self, parts, path, methods)
            return pd.concat([view.predicted(*pair) for pair in pairs], ignore_index=True)


@contextmanager
def _writable(path: Path) -> Iterator[Path]:
    """The path, or that of a copy which is gone afterwards, if its folder is somebody else's to write to."""
    if os.access(path.parent, os.W_OK):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="advconf-") as folder:
        yield Path(shutil.copy(path, folder)) if path.exists() else Path(folder) / path.name


@dataclass
class _Elsewhere(Experiment):
    """The same grid and classes; `targets` are all that is evaluated."""

    def evaluated(self) -> dict[str, Part]:
        return self.targets


class Elsewhere(Run):
    """A finished run that scores other slices than its own, by every method as those. It trains nothing.

    Args:
        parts: domain -> slices on the run's grid.
        path: where the predictions are kept, in place of predictions.csv.
        methods: of the run, those that are wanted.

    Raises:
        BadInput: by its stages, if they need a network or a head that was not trained yet.
    """

    def __init__(self, run: Run, parts: dict[str, Part], path: Path, methods: list[str]) -> None:
        self.__dict__.update(run.__dict__)
        own = {field.name: getattr(run.experiment, field.name) for field in fields(Experiment)}
        self.__dict__["experiment"] = _Elsewhere(**{**own, "targets": parts})
        self.methods, self._path = methods, path

    @property
    def predictions_path(self) -> Path:
        return self._path

    def _make_segmenter(self, seed: int) -> Segmenter:
        raise _missing(self.segmenter_path(seed))

    def heads(self, segmenter_seed: int = 0, head_seed: int = 0) -> dict[Key, nn.Module]:
        segmenter, seeds = self.segmenter(segmenter_seed), (segmenter_seed, head_seed)
        wanted = [(method, quality) for method in head_methods(self.methods) for quality in self.qualities]
        for path in (self.head_path(*key, *seeds) for key in wanted):
            if not path.exists():
                raise _missing(path)
        return {key: finished_head(self, segmenter, key, *seeds) for key in wanted}

    def predicted(self, segmenter_seed: int = 0, head_seed: int = 0) -> pd.DataFrame:
        """The rows of all its methods, made if they are not there."""
        seeds, trained = (segmenter_seed, head_seed), head_methods(self.methods)
        tables = [self.predict_heads(*seeds)] if trained else []
        if len(trained) < len(self.methods):
            tables.append(self.predict_agreement(*seeds))
        return pd.concat(tables, ignore_index=True)


def _missing(path: Path) -> BadInput:
    return BadInput(f"{path} does not exist; finish the run first with the same command that began it")


def open_run(folder: str | Path, progress: bool = True, device: str | None = None) -> Run:
    """The run in a folder, as its config.json describes it, which stays as it is: the folder may be read-only, and of
    another version of this package."""
    config = read_config(folder)
    return Run(
        folder,
        config["data"],
        profile_from_config(config["profile"]),
        config["qualities"],
        config["methods"],
        device,
        progress,
        network_from_config(config),
        read_only=True,
    )
