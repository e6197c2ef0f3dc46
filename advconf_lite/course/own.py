"""What lesson 07 works on: an export of images with three planted errors, new images without masks, and a contact sheet."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from advconf_lite.data.slice_info import COLUMNS
from advconf_lite.data.slices import SliceSet, write_slice_set
from advconf_lite.evaluation.predictions import SLICE
from advconf_lite.experiment.run import Run
from advconf_lite.figures.outlines import Outlined
from advconf_lite.segmenter import Segmenter

SIDE, EACH = 48, 3  # pixels; slices of each subject
SPLITS = ("train", "train", "val", "test", "test")  # of five people, the last one of another ward


@dataclass(frozen=True)
class Export:
    """Images (N, H, W), masks (N, H, W), a row of slices.csv for each, and which slices are wrong: error -> number."""

    images: np.ndarray
    masks: np.ndarray
    table: pd.DataFrame
    planted: dict[str, int]

    def without(self, numbers: list[int]) -> Export:
        """What is left without these slices."""
        kept = ~np.isin(np.arange(len(self.images)), numbers)
        return Export(self.images[kept], self.masks[kept], self.table[kept].reset_index(drop=True), {})


INFO = {"name": "my-export", "class_names": ["lesion"], "source_domain": "ward A", "target_domains": ["ward B"]}


def an_export(seed: int = 0) -> Export:
    """A bright spot on a textured ground: two wards, five people, three slices each. Ward B's scanner is noisier.

    Three slices are wrong: of a subject who is in two splits, with a label that no class has, and of one grey value.
    """
    rng, yx = np.random.default_rng(seed), np.mgrid[:SIDE, :SIDE]
    images, masks, rows = [], [], []
    for person in range(len(SPLITS)):
        centre, radius, ward = rng.uniform(18, 30, 2), rng.uniform(6, 11), "AAAAB"[person]
        for number in range(EACH):
            distance = np.hypot(*(axis - middle for axis, middle in zip(yx, centre + rng.normal(0, 1, 2))))
            mask = distance < radius * (0.7, 1.0, 0.8)[number]
            wave = np.sin(yx[0] / rng.uniform(3, 6)) * np.cos(yx[1] / rng.uniform(3, 6))
            noise = rng.normal(0, 0.12 if ward == "A" else 0.3, mask.shape)
            images.append(100 * (1 + 0.3 * wave + 0.8 * np.exp(-((distance / radius) ** 4)) + noise))
            masks.append(mask)
            rows.append(("my-export", f"ward {ward}", f"P{person}", "", number, 1.0, SPLITS[person]))
    images, masks = np.float32(images), np.uint8(masks)
    table = pd.DataFrame(rows, columns=COLUMNS)
    planted = {"leak": EACH + 2, "label": 3 * EACH + 1, "constant": 4 * EACH}
    table.loc[planted["leak"], "split"] = "val"
    masks[planted["label"]] *= 2
    images[planted["constant"]] = 117.0
    return Export(images, masks, table, planted)


def as_it_came(export: Export, folder: str | Path) -> Path:
    """The export's files as somebody's script has written them, looked at by nobody."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "images.npy", export.images)
    np.save(folder / "masks.npy", export.masks)
    export.table.to_csv(folder / "slices.csv", index=False)
    (folder / "dataset.json").write_text(json.dumps(INFO))
    return folder


def as_outlined(export: Export) -> list[Outlined]:
    """The export for `figures.outlines.quality_grid`: its own masks as outlines."""
    return [Outlined("", image, mask) for image, mask in zip(export.images, export.masks)]


def new_images(run: Run, scanner: str, folder: str | Path) -> SliceSet:
    """The test images of a scanner as an image-only slice set: what comes from a ward, where nobody has drawn outlines."""
    part = run.experiment.evaluated()[scanner]
    table = part.table.assign(domain=scanner, spacing_mm=run.experiment.spacing_mm, split="test")
    info = {"name": "new-images", "class_names": run.experiment.class_names, "source_domain": None}
    return write_slice_set(folder, part.images[:, 0].numpy(), None, table[COLUMNS], info)


def contact_sheet(run: Run, segmenter: Segmenter, slices: SliceSet, scores: pd.DataFrame, n: int = 12) -> list[Outlined]:
    """The first n rows of a table by `predict`, as cases of `figures.outlines`: outlined, with the predicted score."""
    keys = SLICE[1:]
    place = pd.Series(range(len(slices.table)), pd.MultiIndex.from_frame(slices.table[keys].astype(str)))
    chosen = scores.head(n)
    rows = place.loc[list(chosen[keys].astype(str).itertuples(index=False, name=None))].tolist()
    images, _ = slices.take(rows).tensors(run.experiment.size, run.experiment.spacing_mm, run.settings.normalise)
    with torch.inference_mode():
        masks = segmenter.masks(images.to(run.device)).cpu().numpy()
    predicted, several = chosen[f"predicted_{run.qualities[0]}"], scores["domain"].nunique() > 1
    titles = []
    for number, row in enumerate(chosen.itertuples(), start=1):
        phase = "" if pd.isna(row.phase) or not str(row.phase).strip("-") else f"{row.phase} "
        titles.append(f"{number} · {row.subject[-18:]}\n{f'{row.domain}, ' * several}{phase}slice {row.slice}")
    return [
        Outlined(title, image, mask, predicted={"predicted": float(value)})
        for title, image, mask, value in zip(titles, images[:, 0].numpy(), masks, predicted)
    ]
