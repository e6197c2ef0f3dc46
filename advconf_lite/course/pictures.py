"""Slices for the lessons' pictures, and what the segmenter and the heads make of them. The pictures are in `figures`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from advconf_lite.agreement import monte_carlo_masks, score_agreement
from advconf_lite.data.resampling import z_score
from advconf_lite.experiment.parts import Part
from advconf_lite.experiment.run import Run
from advconf_lite.experiment.scoring import image_scores, true_scores
from advconf_lite.figures.outlines import Outlined, Sampled
from advconf_lite.head import head_scores
from advconf_lite.methods.registry import find_method
from advconf_lite.phantom.organs import find_organ
from advconf_lite.phantom.scanner_tables import source_scanner, target_scanners
from advconf_lite.phantom.subject import make_subject
from advconf_lite.segmenter import Segmenter, label_map
from advconf_lite.support.errors import BadInput
from advconf_lite.support.files import write_atomically
from advconf_lite.support.processes import in_processes

Heads = dict[tuple[str, str], nn.Module]  # (method, quality) -> head, as `Run.heads` gives them

NOBODY = "pictures"  # a stream of virtual patients of its own: no training and no test has seen them


def subject_on_all_scanners(run: Run, subject: int = 0) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Scanner -> image and mask (H, W) of one slice of one virtual patient, the source scanner first.

    Anatomy, tissue and the draw of the noise are the same everywhere; only the scanner differs. The slice is the one with
    the largest organ on the source scanner. Made once, then kept in the run's folder.

    Raises:
        BadInput: the run is not of a phantom, whose patients alone can be scanned again.
    """
    if not run.data.startswith("phantom:"):
        raise BadInput(f"{run.data} is not a phantom; only a virtual patient can be put into every scanner")
    organ = run.data.split(":", 1)[1]
    path = Path(run.folder) / "data" / f"one-{organ}-{subject}.npz"
    scanners = [source_scanner(organ), *target_scanners(organ)]
    if not path.exists():
        size, spacing_mm = find_organ(organ).grid(run.profile.max_size)
        jobs = [(organ, scanner, subject, size, spacing_mm, 0, NOBODY) for scanner in scanners]
        made = [dict(zip(keys, zip(images, masks))) for images, masks, keys in in_processes(make_subject, jobs, 2)]
        common = [key for key in made[0] if all(key in each for each in made)]
        key = max(common, key=lambda key: int((made[0][key][1] > 0).sum()))
        arrays = {f"{part}_{n}": each[key][i] for n, each in enumerate(made) for i, part in enumerate(("image", "mask"))}
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda temporary: np.savez_compressed(temporary, **arrays))
    with np.load(path) as kept:
        return {scanner.name: (kept[f"image_{n}"], kept[f"mask_{n}"]) for n, scanner in enumerate(scanners)}


def on_all_scanners(
    run: Run, segmenter: Segmenter, heads: Heads | None = None, subject: int = 0, quality: str | None = None
) -> list[Outlined]:
    """The cases of `figures.outlines.one_subject_all_scanners`: the same patient's slice, segmented and judged."""
    found = subject_on_all_scanners(run, subject)
    x = torch.stack([normalised(image) for image, _ in found.values()])
    y = torch.stack([torch.from_numpy(mask).long() for _, mask in found.values()])
    names = list(found)
    return judged(run, segmenter, x, y, [f"{names[0]}\n(source)", *names[1:]], heads, quality)


def normalised(image: np.ndarray) -> Tensor:
    """(H, W) -> (1, H, W), by its own mean and standard deviation."""
    x = torch.from_numpy(image)[None].double()
    std, mean = torch.std_mean(x, dim=(1, 2), correction=0)
    return z_score(x.float(), mean, std)


@torch.no_grad()
def judged(
    run: Run,
    segmenter: Segmenter,
    x: Tensor,
    y: Tensor,
    titles: Sequence[str],
    heads: Heads | None = None,
    quality: str | None = None,
) -> list[Outlined]:
    """Each slice with the segmenter's mask, its true quality, and the score that each head of the quality predicts.

    Args:
        x: (N, 1, H, W) normalised images.
        y: (N, H, W) true label maps.
        quality: the run's first by default.
    """
    quality = quality or run.qualities[0]
    x, y = x.to(run.device), y.to(run.device)
    passes = [segmenter(some) for some in x.split(64)]
    y_hat, z = torch.cat([label_map(logits) for logits, _ in passes]), torch.cat([z for _, z in passes])
    true = true_scores(run, y_hat, y, quality).tolist()
    predicted = {
        method: image_scores(run, head_scores(head, find_method(method).features(head, x, z, y_hat))).tolist()
        for (method, of), head in (heads or {}).items()
        if of == quality
    }
    arrays = [values.cpu().numpy() for values in (x[:, 0], y_hat, y)]
    return [
        Outlined(title, image, drawn, truth, true[n], {method: scores[n] for method, scores in predicted.items()})
        for n, (title, image, drawn, truth) in enumerate(zip(titles, *arrays))
    ]


def one_per_domain(run: Run) -> tuple[list[Tensor], list[Tensor], list[str]]:
    """A typical slice of each evaluated domain: larger in the foreground than four in five of them."""
    images, masks, titles = [], [], []
    for domain, part in run.experiment.evaluated().items():
        row = int((part.masks > 0).flatten(1).sum(1).argsort()[int(0.8 * len(part))])
        images.append(part.images[row, 0])
        masks.append(part.masks[row])
        titles.append(domain)
    return images, masks, titles


def drawn_slices(
    run: Run,
    segmenter: Segmenter,
    heads: Heads | None = None,
    n: int = 12,
    domains: Sequence[str] | None = None,
    seed: int = 0,
) -> list[Outlined]:
    """The cases of `figures.outlines.quality_grid`: n test slices, as many of each domain, mixed, drawn with a seed.

    Only slices with an organ of at least half the domain's median size are drawn: a mask of ten pixels cannot be judged by
    eye.
    """
    parts, rng = run.experiment.evaluated(), np.random.default_rng(seed)
    domains = list(parts) if domains is None else list(domains)
    unknown = [name for name in domains if name not in parts]
    if unknown:
        raise BadInput(f"there is no domain {unknown[0]}; choose from {', '.join(parts)}")
    chosen = []
    for number, name in enumerate(domains):
        sizes = (parts[name].masks > 0).flatten(1).sum(1)
        large = torch.nonzero(sizes >= sizes.median() / 2).flatten().numpy()
        share = len(range(number, n, len(domains)))
        chosen += [(name, int(row)) for row in rng.choice(large, min(share, len(large)), replace=False)]
    order = rng.permutation(len(chosen))
    return _of_rows(run, segmenter, heads, [chosen[place] for place in order])


def slices_of(run: Run, segmenter: Segmenter, rows: pd.DataFrame, heads: Heads | None = None) -> list[Outlined]:
    """The slices that rows of the predictions table are about, such as `figures.promises.broken_promises` finds."""
    parts, chosen = run.experiment.evaluated(), []
    for row in rows.itertuples():
        table = parts[row.domain].table
        here = (
            table["subject"].astype(str).eq(row.subject)
            & table["phase"].astype(str).eq(row.phase)
            & table["slice"].eq(row.slice)
        )
        chosen.append((row.domain, int(np.flatnonzero(here)[0])))
    return _of_rows(run, segmenter, heads, chosen)


def _of_rows(run: Run, segmenter: Segmenter, heads: Heads | None, chosen: list[tuple[str, int]]) -> list[Outlined]:
    parts = run.experiment.evaluated()
    x = torch.stack([parts[name].images[row] for name, row in chosen])
    y = torch.stack([parts[name].masks[row] for name, row in chosen])
    return judged(run, segmenter, x, y, [name for name, _ in chosen], heads)


def evenly(n: int, at_most: int) -> np.ndarray:
    """Up to `at_most` of the numbers 0 ... n - 1, evenly over all of them."""
    return np.unique(np.linspace(0, n - 1, min(at_most, n)).round().astype(int))


TIED = 24  # of the slices that share the lowest quality: enough to see how their agreement spreads


def sampled_slices(run: Run, segmenter: Segmenter, n: int = 15, seed: int = 0) -> tuple[dict[str, Sampled], list[float]]:
    """The cases of `figures.outlines.disagreement_map`: the best test slice of the source and one of the worst of all
    targets; and the agreement on each of the worst, in ascending order.

    Many slices may share the lowest quality, a Dice of 0 above all: at most `TIED` of them, evenly over all, are sampled,
    and the case is the one whose agreement is in the middle.
    """
    source, *targets = run.experiment.evaluated().items()
    (best,), worst = _extreme(run, segmenter, [source], max)[:1], _extreme(run, segmenter, targets or [source], min)
    chosen = [worst[k] for k in evenly(len(worst), TIED)]
    tied = sorted(
        ((_sampled(run, segmenter, case, n, seed), case[0]) for case in chosen), key=lambda pair: pair[0].agreement
    )
    middle, name = tied[(len(tied) - 1) // 2]
    cases = {
        f"best of the source\n{best[0]}": _sampled(run, segmenter, best, n, seed),
        f"worst of the targets\n{name}": middle,
    }
    return cases, [case.agreement for case, _ in tied]


def _sampled(run: Run, segmenter: Segmenter, case: tuple[str, Part, int], n: int, seed: int) -> Sampled:
    _, part, row = case
    x, y = part.images[row : row + 1].to(run.device), part.masks[row : row + 1].to(run.device)
    masks, g = monte_carlo_masks(segmenter, x, n, seed), run.quality(run.qualities[0])
    true = float(true_scores(run, segmenter.masks(x), y, run.qualities[0]))
    arrays = (values.cpu().numpy() for values in (x[0, 0], masks[:, 0], y[0]))
    return Sampled(*arrays, float(score_agreement(masks, g).mean()), true)


def _extreme(run: Run, segmenter: Segmenter, domains: Sequence[tuple[str, Part]], which: Any) -> list[tuple[str, Part, int]]:
    """Domain, part and row of every slice with the largest or smallest true quality."""
    found = []
    for name, part in domains:
        drawn, truth = segmenter.masks(part.images.to(run.device)), part.masks.to(run.device)
        scores = true_scores(run, drawn, truth, run.qualities[0]).tolist()
        found += [(score, (name, part, row)) for row, score in enumerate(scores)]
    extreme = which(score for score, _ in found)
    return [case for score, case in found if score == extreme]


def empty_class_case(run: Run, segmenter: Segmenter, n: int = 15, seed: int = 0) -> dict[str, Any] | None:
    """The arguments of `figures.overlays.empty_class` for a test slice of the source whose truth lacks a class that the
    segmenter draws: of all of them the one in which it draws the most. None if there is no such slice."""
    part = run.experiment.test
    x, y = part.images.to(run.device), part.masks.to(run.device)
    drawn, best = segmenter.masks(x), (0, -1)
    for label in range(1, run.experiment.num_classes):
        pixels = (drawn == label).flatten(1).sum(1) * ~(y == label).flatten(1).any(1)
        best = max(best, (int(pixels.max()), int(pixels.argmax())))
    if best[0] == 0:
        return None
    row = slice(best[1], best[1] + 1)
    scores = {run.quality(name).measure.title: run.quality(name)(drawn[row], y[row])[0].tolist() for name in run.qualities}
    with suppress(BadInput):  # a network of one's own may have no dropout to sample from
        masks = monte_carlo_masks(segmenter, x[row], n, seed)
        scores[f"agreement of {n}"] = score_agreement(masks, run.quality(run.qualities[0]))[0].tolist()
    arrays = {"image": x[row][0, 0], "truth": y[row][0], "prediction": drawn[row][0]}
    return {
        **{name: values.cpu().numpy() for name, values in arrays.items()},
        "class_names": run.experiment.class_names,
        "scores": scores,
        "spacing_mm": run.experiment.spacing_mm,
    }
