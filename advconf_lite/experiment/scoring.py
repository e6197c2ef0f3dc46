"""Scores of every evaluated slice, by heads, from samples and from passes, as rows of predictions.csv."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor, nn

from advconf_lite.evaluation.predictions import (
    ABSENT,
    NONE_ABSENT,
    PREDICTION_COLUMNS,
    SEPARATOR,
    merge_predictions,
    unanswered,
)
from advconf_lite.experiment.folder import Key, RunFolder
from advconf_lite.experiment.parts import Part, to_device
from advconf_lite.head import head_scores
from advconf_lite.methods.passes import Lent, PassMethod, pass_scores
from advconf_lite.methods.registry import SampledMethod, find_method, scored
from advconf_lite.methods.sampled import sampled_scores
from advconf_lite.quality import absent_as_right, aggregate
from advconf_lite.segmenter import Segmenter, decided, label_map
from advconf_lite.support.progress import bar as tqdm
from advconf_lite.support.randomness import derived_seed


@dataclass
class Segmented:
    """An evaluated domain, or a piece of a large one, after the segmenter's pass."""

    domain: str
    part: Part
    y_hat: Tensor  # (N, H, W)
    z: Tensor  # (N, C, h, w)
    decided: Tensor  # (N,), False where the logits are not finite: there is no mask to predict a score of
    true: dict[str, Tensor]  # quality -> true scores (N, classes)
    absent: list[str]  # N cells of the column of that name
    first: int = 0  # slice of the domain that is the first here, a multiple of 64


@torch.no_grad()
def segmented(run: RunFolder, segmenter: Segmenter, what: str = "predictions") -> Iterator[Segmented]:
    """Each evaluated domain, one after the other, in pieces that fit into memory."""
    parts = run.experiment.evaluated()
    pieces = [(domain, first) for domain, part in parts.items() for first in part.starts()]
    for domain, first in tqdm(pieces, desc=what, disable=not run.progress):
        part = parts[domain].piece(first)
        x, y = to_device(part, run.device)
        passes = [segmenter(some) for some in x.split(64)]
        y_hat, z = torch.cat([label_map(logits) for logits, _ in passes]), torch.cat([z for _, z in passes])
        good = torch.cat([decided(logits) for logits, _ in passes])
        true = {q: run.quality(q)(y_hat, y) for q in run.qualities}
        yield Segmented(domain, part, y_hat, z, good, true, absent_cells(part.masks, run.experiment.class_names), first)


def absent_cells(masks: Tensor, class_names: list[str]) -> list[str]:
    """For each of the label maps (N, H, W), the foreground classes that it lacks, as predictions.csv writes them."""
    lacks = torch.stack([~(masks == label).flatten(1).any(1) for label in range(1, len(class_names) + 1)], 1)
    names = ([name for name, gone in zip(class_names, row) if gone] for row in lacks.tolist())
    return [SEPARATOR.join(gone) or NONE_ABSENT for gone in names]


def head_tables(run: RunFolder, segmenter: Segmenter, heads: dict[Key, nn.Module], s: int, h: int) -> list[pd.DataFrame]:
    """Predicted and true scores by every head, on segmenter seed `s` with head seed `h`."""
    tables = []
    for found in segmented(run, segmenter):
        x = found.part.images.to(run.device)
        for (method, quality), head in heads.items():
            scores = head_scores(head, find_method(method).features(head, x, found.z, found.y_hat))
            scores = scores.masked_fill(~found.decided[:, None], torch.nan)
            tables.append(rows(run, found, quality, method, scores, s, h))
    return tables


def sampled_tables(run: RunFolder, segmenter: Segmenter, methods: list[SampledMethod], s: int, h: int) -> list[pd.DataFrame]:
    """Scores from dropout samples, agreement and entropy; `h` seeds the dropout."""
    qualities, tables = [run.quality(quality) for quality in run.qualities], []
    for found in segmented(run, segmenter, "dropout samples"):
        seed = derived_seed("agreement", s, h, found.domain) + found.first // 64
        scores = sampled_scores(segmenter, found.part.images, methods, qualities, seed, run.settings.agreement_empty)
        tables += [rows(run, found, quality, name, score, s, h) for (name, quality), score in scores.items()]
    return tables


def pass_tables(run: RunFolder, lent: Lent, methods: list[PassMethod], s: int, h: int) -> list[pd.DataFrame]:
    """Scores from plain passes, the same for every `h`."""
    qualities, tables = [run.quality(quality) for quality in run.qualities], []
    for found in segmented(run, lent.segmenter, ", ".join(method.name for method in methods)):
        scores = pass_scores(lent, found.part.images, methods, qualities, run.settings.agreement_empty)
        tables += [rows(run, found, quality, name, score, s, h) for (name, quality), score in scores.items()]
    return tables


def rows(run: RunFolder, found: Segmented, quality: str, method: str, predicted: Tensor, s: int, h: int) -> pd.DataFrame:
    """Rows of predictions.csv from the predicted scores (N, classes) of a domain's slices; NaN stays NaN in them."""
    true = found.true[quality]
    known = ~true.isnan() if run.settings.average_over == "present" else None
    table = found.part.table[["dataset", "domain", "subject", "phase", "slice"]].assign(
        domain=found.domain,
        quality=quality,
        method=method,
        segmenter_seed=s,
        head_seed=h,
        true_score=image_scores(run, absent_as_right(true), known).cpu().numpy(),
        predicted_score=image_scores(run, predicted, known).cpu().numpy(),
        **{ABSENT: found.absent},
    )
    predicted = predicted.where(predicted.isfinite(), torch.nan)
    first = 1 if run.settings.predict_background else 0
    for column, name in enumerate(run.experiment.class_names, start=first):
        table[f"true_{name}"] = absent_as_right(true[:, column]).cpu().numpy()
        table[f"predicted_{name}"] = predicted[:, column].cpu().numpy()
    return table


def image_scores(run: RunFolder, scores: Tensor, known: Tensor | None = None) -> Tensor:
    """Class scores (N, classes) -> one score per image: the foreground mean; NaN for a network's answer that is none.

    `known` (N, classes) restricts the mean to some classes: `average_over="present"`, the published evaluation.
    """
    if run.settings.predict_background:
        scores, known = scores[:, 1:], None if known is None else known[:, 1:]
    if known is None:
        return aggregate(scores)
    mean = scores.where(known, 0.0).sum(1) / known.sum(1).clamp_min(1)
    return mean.where(mean.isfinite(), torch.nan)


def true_scores(run: RunFolder, y_hat: Tensor, y: Tensor, quality: str) -> Tensor:
    """One true score per image, (N,), of label maps (N, H, W) and the truth; a class in neither counts as right."""
    return image_scores(run, absent_as_right(run.quality(quality)(y_hat, y)))


def constant_predictions(run: RunFolder, segmenter: Segmenter) -> dict[str, dict[str, float]]:
    """Mean true scores on source validation, per quality and column of predictions.csv: the constant whose MAE is the floor.

    That of a class is over the slices that have it; NaN if none does.
    """
    labels = {f"predicted_{name}": label for label, name in enumerate(run.experiment.class_names, start=1)}
    there: dict[str, list[Tensor]] = {column: [] for column in labels}
    pieces: dict[str, list[Tensor]] = {quality: [] for quality in run.qualities}
    for first in run.experiment.val.starts():
        x, y = to_device(run.experiment.val.piece(first), run.device)
        y_hat = segmenter.masks(x)
        for column, label in labels.items():
            there[column].append((y == label).flatten(1).any(1))
        for quality, scores in pieces.items():
            scores.append(absent_as_right(run.quality(quality)(y_hat, y)))
    found = {}
    for q, scores in ((q, torch.cat(some)) for q, some in pieces.items()):
        of_class = scores[:, 1:] if run.settings.predict_background else scores
        means = {column: of_class[torch.cat(there[column]), label - 1].mean() for column, label in labels.items()}
        found[q] = {"predicted_score": float(image_scores(run, scores).mean())} | {c: float(m) for c, m in means.items()}
    return found


def done(run: RunFolder, methods: list[str], s: int, h: int) -> pd.DataFrame | None:
    """The rows of these methods if predictions.csv has them all (or nothing is asked for)."""
    if not run.predictions_path.exists():
        return None if methods else pd.DataFrame(columns=PREDICTION_COLUMNS)
    table = run.predictions()
    these = (table["segmenter_seed"] == s) & (table["head_seed"] == h)
    found = table[table["method"].isin(methods) & these & table["quality"].isin(run.qualities)]
    wanted = len(scored(methods, run.qualities)) * len(run.experiment.evaluated())
    return found if len(found.groupby(["method", "quality", "domain"])) == wanted else None


def kept(
    run: RunFolder, kind: str, methods: list[str], s: int, h: int, make: Callable[[], list[pd.DataFrame]]
) -> pd.DataFrame:
    """The rows of these methods: those of predictions.csv, or what `make` makes, which is then kept there."""
    there = done(run, methods, s, h)
    if there is None:
        with run.alone(f"scores-{kind}-s{s}-h{h}"):
            there = done(run, methods, s, h)  # after waiting
            return keep(run, make()) if there is None else there
    return there


def keep(run: RunFolder, tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Put new rows into predictions.csv."""
    new = pd.concat(tables, ignore_index=True)
    estimates = new["method"].map(lambda name: find_method(name).estimates)
    new.insert(PREDICTION_COLUMNS.index("estimates"), "estimates", estimates)
    with run.alone("tables"):
        merge_predictions(run.predictions_path, new)
    for sentence in unanswered(new):
        print(sentence, flush=True)
    return new
