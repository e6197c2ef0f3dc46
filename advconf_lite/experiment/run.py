"""A run's folder, and the stages that fill it. Asked for a result, a stage reads it if it is there and makes it if not.

config.json                              settings, seeds, versions: all that is needed to read the rest
segmenter-S.safetensors                  U-Net of segmenter seed S
head-METHOD-QUALITY-sS-hH.safetensors    its heads, of head seed H
seen-METHOD-QUALITY-sS-hH.npz            true scores of the images that a head saw in training: clean, perturbed
history.csv predictions.csv metrics.csv  tables, one key per (stage, quality, method, pair of seeds)
checkpoints/ data/ notebooks/ index.html
"""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import monai
import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from advconf_lite import __version__
from advconf_lite.evaluation.per_domain import metrics_table
from advconf_lite.evaluation.predictions import PREDICTION_COLUMNS, constant_predictions, merge_predictions, read_predictions
from advconf_lite.experiment.folder import (
    load_weights,
    merge_history,
    profile_from_config,
    profile_values,
    read_config,
    save_weights,
)
from advconf_lite.experiment.heads import finished_head, train_missing
from advconf_lite.experiment.parts import Experiment, Part, check_spec, load_experiment, remarks_on, to_device
from advconf_lite.experiment.profiles import PROFILES, Profile
from advconf_lite.head import ConfidenceHead, predict_scores
from advconf_lite.methods.registry import DEFAULT_METHODS, find_method, head_methods, parse_methods, sampled_methods
from advconf_lite.methods.sampled import sampled_scores
from advconf_lite.quality import Quality, aggregate
from advconf_lite.segmenter import Segmenter, build_unet, feature_layer, label_map
from advconf_lite.settings import Settings
from advconf_lite.support.errors import BadInput
from advconf_lite.support.files import write_atomically, write_text
from advconf_lite.support.progress import bar as tqdm
from advconf_lite.support.randomness import derived_seed
from advconf_lite.training import train_segmenter

QUALITIES = ("dice", "surface_dice")
HISTORY_COLUMNS = ("quality", "method", "head_seed", "alpha", "predicted_drop", "true_drop", "delta_norm")


def make_quality(name: str, experiment: Experiment, settings: Settings) -> Quality:
    """Dice or surface Dice at the experiment's spacing and tolerance.

    On a grid coarser than the tolerance, the tolerance is one pixel: below it, only identical outlines would count.
    """
    tolerance = experiment.tolerance_mm if settings.tolerance is None else settings.tolerance
    spacing = experiment.spacing_mm if settings.tolerance_unit == "mm" else 1.0
    tolerance = max(tolerance, spacing)
    return Quality(name, experiment.num_classes, tolerance, spacing, settings.predict_background)


def parse_qualities(names: Sequence[str] | str | None) -> list[str]:
    names = [names] if isinstance(names, str) else list(names or QUALITIES)
    for name in names:
        if name not in QUALITIES:
            raise BadInput(f"--quality {name} is unknown; choose dice or surface_dice")
    return names


class Run:
    """A run's folder. The stages: `experiment`, `segmenter`, `heads`, `predict_heads`, `predict_agreement`, `metrics`.

    Args:
        folder: made if missing. A folder made from other data or with another profile is refused.
        data: "phantom:cardiac", "phantom:prostate" or a slice-set folder.
        profile: a name in `PROFILES`, or a Profile.
        quality: one of QUALITIES, several, or None for both.
    """

    def __init__(
        self,
        folder: str | Path,
        data: str = "phantom:cardiac",
        profile: str | Profile = "quick",
        quality: Sequence[str] | str | None = None,
        methods: Sequence[str] = DEFAULT_METHODS,
        device: str | None = None,
        progress: bool = True,
    ) -> None:
        if isinstance(profile, str) and profile not in PROFILES:
            raise BadInput(f"--profile {profile} is unknown; choose from {', '.join(PROFILES)}")
        self.qualities = parse_qualities(quality)
        self.methods = parse_methods(methods)
        check_spec(data)
        self.folder = Path(folder)
        self.data = data if data.startswith("phantom:") else str(Path(data))
        self.profile = PROFILES[profile] if isinstance(profile, str) else profile
        self.settings = self.profile.settings
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.progress = progress
        self._write_config()

    def _write_config(self) -> None:
        config = {
            "data": self.data,
            "profile": self.profile.as_dict(),
            "qualities": self.qualities,
            "methods": self.methods,
            "versions": {
                "advconf_lite": __version__,
                "torch": torch.__version__,
                "monai": monai.__version__,
                "numpy": np.__version__,
                "python": platform.python_version(),
            },
            "device": str(self.device),
            "threads": torch.get_num_threads(),  # with another number, sums round otherwise, and training ends elsewhere
        }
        path = self.folder / "config.json"
        if path.exists():
            old = read_config(self.folder)
            old["profile"] = profile_values(old)
            for key in ("data", "profile"):
                if old[key] != config[key]:
                    what = f"data {old['data']}" if key == "data" else f"profile {old['profile']['name']}"
                    if key == "profile" and old["profile"]["name"] == self.profile.name:
                        changed = [k for k in config[key] if config[key][k] != old[key].get(k)]
                        what += f" with other values of {', '.join(changed)}"
                    raise BadInput(
                        f"{path} says that this folder was made with {what}; choose another --out, or delete the folder"
                    )
            for key in ("qualities", "methods"):  # a folder may be asked for more later
                config[key] = list(dict.fromkeys([*old[key], *config[key]]))
        write_text(path, json.dumps(config, indent=1) + "\n")

    @cached_property
    def experiment(self) -> Experiment:
        return load_experiment(self.data, self.folder, self.profile, self.progress)

    def quality(self, name: str) -> Quality:
        return make_quality(name, self.experiment, self.settings)

    # -- stages ---------------------------------------------------------------------------------------------------

    def segmenter(self, seed: int = 0) -> Segmenter:
        """The frozen segmenter of a seed; trained first if the folder has none."""
        path = self.segmenter_path(seed)
        net = self.new_net(self.experiment.num_classes, seed)
        if path.exists():
            load_weights(net, path)
        else:
            print(f"{path} is not there yet: training the U-Net (seed {seed})", flush=True)
            checkpoint = self.folder / "checkpoints" / f"segmenter-{seed}.pt"
            pairs = (to_device(part, self.device) for part in (self.experiment.train, self.experiment.val))
            history = train_segmenter(net, *pairs, self.profile, seed, checkpoint, self.progress)
            merge_history(self.folder, history, stage="segmenter", segmenter_seed=seed)
            save_weights(net, path)
            checkpoint.unlink(missing_ok=True)
        return self.tap(net)

    def heads(self, segmenter_seed: int = 0, head_seed: int = 0) -> dict[tuple[str, str], nn.Module]:
        """(method, quality) -> head in evaluation mode; those that the folder lacks are trained, side by side."""
        segmenter = self.segmenter(segmenter_seed)
        wanted = [(method, quality) for method in head_methods(self.methods) for quality in self.qualities]
        train_missing(self, segmenter, wanted, segmenter_seed, head_seed)
        return {key: finished_head(self, segmenter, key, segmenter_seed, head_seed) for key in wanted}

    def predict_heads(self, segmenter_seed: int = 0, head_seed: int = 0) -> pd.DataFrame:
        """Predicted and true scores of every evaluated slice by every head; kept in predictions.csv."""
        done = self._done(head_methods(self.methods), segmenter_seed, head_seed)
        if done is not None:
            return done
        segmenter, heads = self.segmenter(segmenter_seed), self.heads(segmenter_seed, head_seed)
        tables = []
        for domain, part, _, z, true in self.segmented(segmenter):
            x = part.images.to(self.device)
            for (method, quality), head in heads.items():
                tables.append(
                    self.rows(
                        part,
                        domain,
                        quality,
                        method,
                        segmenter_seed,
                        head_seed,
                        true[quality],
                        predict_scores(head, find_method(method).features(head, x, z)),
                    )
                )
        return self._keep(tables)

    def predict_agreement(self, segmenter_seed: int = 0, head_seed: int = 0) -> pd.DataFrame:
        """Scores from dropout samples, agreement and entropy, of every evaluated slice; `head_seed` seeds the dropout."""
        methods = sampled_methods(self.methods)
        done = self._done([method.name for method in methods], segmenter_seed, head_seed)
        if done is not None:
            return done
        segmenter = self.segmenter(segmenter_seed)
        tables = []
        for domain, part, _, _, true in self.segmented(segmenter, "dropout samples"):
            seed = derived_seed("agreement", segmenter_seed, head_seed, domain)
            scores = sampled_scores(
                segmenter,
                part.images,
                methods,
                [self.quality(quality) for quality in self.qualities],
                seed,
                self.settings.agreement_empty,
            )
            for (name, quality), score in scores.items():
                tables.append(self.rows(part, domain, quality, name, segmenter_seed, head_seed, true[quality], score))
        return self._keep(tables)

    def predictions(self) -> pd.DataFrame:
        return read_predictions(self.folder / "predictions.csv")

    def metrics(self) -> pd.DataFrame:
        """metrics.csv, made anew from predictions.csv, which gets the constant prediction, the MAE's floor, as rows."""
        table = self.predictions()
        constant = pd.concat(
            [
                constant_predictions(table[table["segmenter_seed"] == seed], self.constant_prediction(int(seed)))
                for seed in table["segmenter_seed"].unique()
            ],
            ignore_index=True,
        )
        there = table[PREDICTION_COLUMNS].tail(len(constant)).reset_index(drop=True)
        if len(there) < len(constant) or not (there == constant).all(axis=None):
            table = merge_predictions(self.folder / "predictions.csv", constant)  # which puts them last
        table = metrics_table(table)
        write_atomically(self.folder / "metrics.csv", lambda path: table.to_csv(path, index=False))
        return table

    def constant_prediction(self, segmenter_seed: int = 0) -> dict[str, float]:
        """Mean true score on source validation, per quality: the constant whose MAE is the floor."""
        segmenter = self.segmenter(segmenter_seed)
        x, y = to_device(self.experiment.val, self.device)
        y_hat = torch.cat([segmenter.masks(part) for part in x.split(64)])
        return {q: float(self.image_scores(self.quality(q)(y_hat, y)).mean()) for q in self.qualities}

    def remarks(self) -> list[str]:
        """Sentences that belong beside this run's numbers."""
        remarks = remarks_on(self.data, self.experiment.slices.source_domain, self.experiment.reacquired)
        if self.profile.method_settings:
            chosen = ", ".join(f"{name} ({_named(values)})" for name, values in self.profile.method_settings.items())
            remarks.append(f"Chosen on validation scanners, with {self.profile.trials} trials for each method: {chosen}.")
        return remarks

    def history(self) -> pd.DataFrame:
        """history.csv; segmenter rows have no head seed, so that column is pandas' whole numbers with gaps.

        The columns of heads and of Algorithm 1 are there also if nothing in the run has filled them.
        """
        table = pd.read_csv(self.folder / "history.csv")
        missing = [name for name in HISTORY_COLUMNS if name not in table]
        return table.reindex(columns=[*table.columns, *missing]).astype({"head_seed": "Int64"})

    def seen_path(self, method: str, quality: str, segmenter_seed: int, head_seed: int) -> Path:
        return self.folder / f"seen-{method}-{quality}-s{segmenter_seed}-h{head_seed}.npz"

    # -- parts of the stages --------------------------------------------------------------------------------------

    def new_net(self, num_classes: int, seed: int) -> nn.Module:
        torch_state = torch.random.get_rng_state()
        torch.manual_seed(derived_seed("segmenter weights", seed))
        net = build_unet(self.profile.channels, num_classes, self.profile.num_res_units, self.settings.dropout)
        torch.random.set_rng_state(torch_state)
        return net.to(self.device)

    def tap(self, net: nn.Module) -> Segmenter:
        layer = feature_layer(net, self.settings.feature_layer, self.profile.num_res_units)
        return Segmenter(net, layer, "input" if self.settings.feature_norm == "before" else "output").freeze()

    def new_head(self, segmenter: Segmenter, quality: str, seed: int) -> ConfidenceHead:
        """Heads of one seed and quality start from the same weights, whatever the method."""
        s, shape = self.settings, segmenter.feature_shape(self.experiment.size)
        num_scores = self.experiment.num_classes - (0 if s.predict_background else 1)
        torch_state = torch.random.get_rng_state()
        torch.manual_seed(derived_seed("head weights", seed, quality))
        head = ConfidenceHead(shape, num_scores, s.head_channels, s.head_hidden, s.head_norm, s.head_bias, s.head_output)
        torch.random.set_rng_state(torch_state)
        return head.to(self.device)

    def segmenter_path(self, seed: int) -> Path:
        return self.folder / f"segmenter-{seed}.safetensors"

    def head_path(self, method: str, quality: str, segmenter_seed: int, head_seed: int) -> Path:
        return self.folder / f"head-{method}-{quality}-s{segmenter_seed}-h{head_seed}.safetensors"

    @torch.no_grad()
    def segmented(
        self, segmenter: Segmenter, what: str = "predictions"
    ) -> Iterator[tuple[str, Part, Tensor, Tensor, dict[str, Tensor]]]:
        """Each evaluated domain: its slices, label maps (N, H, W), z (N, C, h, w) and true scores (N, classes)."""
        domains = self.experiment.evaluated()
        for domain, part in tqdm(domains.items(), desc=what, disable=not self.progress):
            x, y = to_device(part, self.device)
            passes = [segmenter(some) for some in x.split(64)]
            y_hat, z = torch.cat([label_map(logits) for logits, _ in passes]), torch.cat([z for _, z in passes])
            yield domain, part, y_hat, z, {q: self.quality(q)(y_hat, y) for q in self.qualities}

    def image_scores(self, scores: Tensor, known: Tensor | None = None) -> Tensor:
        """Class scores (N, classes) -> one score per image: the foreground mean, NaN as 1.

        `known` (N, classes) restricts the mean to some classes: `average_over="present"`, the published evaluation.
        """
        if self.settings.predict_background:
            scores, known = scores[:, 1:], None if known is None else known[:, 1:]
        if known is None:
            return aggregate(scores)
        return scores.where(known, torch.nan).nanmean(1).nan_to_num(0.0)

    def rows(
        self,
        part: Part,
        domain: str,
        quality: str,
        method: str,
        segmenter_seed: int,
        head_seed: int,
        true: Tensor,
        predicted: Tensor,
    ) -> pd.DataFrame:
        known = ~true.isnan() if self.settings.average_over == "present" else None
        table = part.table[["dataset", "domain", "subject", "phase", "slice"]].assign(
            domain=domain,
            quality=quality,
            method=method,
            segmenter_seed=segmenter_seed,
            head_seed=head_seed,
            true_score=self.image_scores(true, known).cpu().numpy(),
            predicted_score=self.image_scores(predicted, known).cpu().numpy(),
        )
        first = 1 if self.settings.predict_background else 0
        for column, name in enumerate(self.experiment.class_names, start=first):
            table[f"true_{name}"] = true[:, column].nan_to_num(1.0).cpu().numpy()
            table[f"predicted_{name}"] = predicted[:, column].nan_to_num(1.0).cpu().numpy()
        return table

    def _done(self, methods: list[str], segmenter_seed: int, head_seed: int) -> pd.DataFrame | None:
        """The rows of these methods if predictions.csv has them all (or nothing is asked for)."""
        path = self.folder / "predictions.csv"
        if not path.exists():
            return pd.DataFrame(columns=PREDICTION_COLUMNS) if not methods else None
        table = read_predictions(path)
        rows = table[
            table["method"].isin(methods)
            & (table["segmenter_seed"] == segmenter_seed)
            & (table["head_seed"] == head_seed)
            & table["quality"].isin(self.qualities)
        ]
        wanted = len(methods) * len(self.qualities) * len(self.experiment.evaluated())
        return rows if len(rows.groupby(["method", "quality", "domain"])) == wanted else None

    def _keep(self, tables: list[pd.DataFrame]) -> pd.DataFrame:
        new = pd.concat(tables, ignore_index=True)
        merge_predictions(self.folder / "predictions.csv", new)
        return new


def _named(values: dict[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def open_run(folder: str | Path, progress: bool = True, device: str | None = None) -> Run:
    """The run in a folder, as its config.json describes it."""
    config = read_config(folder)
    return Run(folder, config["data"], profile_from_config(config), config["qualities"], config["methods"], device, progress)
