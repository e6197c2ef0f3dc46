"""The picture at the top of README.md, and the numbers in it.

    python -m advconf_lite run --data phantom:prostate --profile quick --quality dice --methods plain adversarial \\
        --out runs/picture
    python docs/draw.py runs/picture

One virtual patient that no training has seen, the same slice on the source scanner and on one target scanner. By rule and
not by taste: the first such patient, its middle slice, and the target that the paper's field calls hardest, the endorectal
coil. Writes docs/picture.png and results/picture.csv; `python docs/render.py` then brings the numbers into README.md.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from advconf_lite.experiment.run import Run, open_run
from advconf_lite.figures.style import SKY, YELLOW, png
from advconf_lite.head import predict_scores
from advconf_lite.phantom.organs import find_organ
from advconf_lite.phantom.scanner_tables import source_scanner, target_scanners
from advconf_lite.phantom.subject import make_subject
from advconf_lite.segmenter import label_map

ROOT = Path(__file__).resolve().parent.parent
ORGAN, TARGET = "prostate", "1.5T-endorectal"


def slices(run: Run) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """(scanner, image, mask) of the patient's middle slice on both scanners."""
    size, spacing_mm = find_organ(ORGAN).grid(run.profile.max_size)
    scanners = [source_scanner(ORGAN), next(s for s in target_scanners(ORGAN) if s.name == TARGET)]
    drawn = []
    for scanner in scanners:
        images, masks, _ = make_subject(ORGAN, scanner, 0, size, spacing_mm, domain="picture")
        drawn.append((scanner.name, images[len(images) // 2], masks[len(masks) // 2]))
    return drawn


@torch.inference_mode()
def judged(run: Run, image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, dict[str, float]]:
    """The segmenter's mask, its true Dice, and what each head predicts for it."""
    segmenter = run.segmenter(0)
    x = torch.from_numpy((image - image.mean()) / image.std())[None, None].to(run.device)
    mask_hat = label_map(segmenter(x)[0])
    scores = {"true": run.quality("dice")(mask_hat, torch.from_numpy(mask)[None].to(run.device)).item()}
    for (method, _), head in run.heads(0, 0).items():
        scores[method] = predict_scores(segmenter, head, x).item()
    return mask_hat[0].cpu().numpy(), scores


def picture(cases: list[tuple[str, np.ndarray, np.ndarray, np.ndarray, dict[str, float]]]) -> Figure:
    """Two panels: image, true outline, the U-Net's outline, and the grades below."""
    fig = Figure(figsize=(6.4, 4.6), layout="constrained")
    for ax, (scanner, image, mask, mask_hat, scores) in zip(fig.subplots(1, 2), cases):
        low, high = np.percentile(image, [1, 99])
        ax.imshow(image, cmap="gray", vmin=low, vmax=high)
        ax.contour(mask > 0, [0.5], colors=YELLOW, linewidths=2)
        if mask_hat.any():
            ax.contour(mask_hat > 0, [0.5], colors=SKY, linewidths=2, linestyles="--")
        margin = len(image) // 6
        ax.set(xticks=[], yticks=[], title=scanner, xlim=(margin, len(image) - margin), ylim=(len(image) - margin, margin))
        ax.set_xlabel(
            f"true Dice {scores['true']:.2f}\nplain head predicts {scores['plain']:.2f}\n"
            f"adversarial head predicts {scores['adversarial']:.2f}",
            fontsize=10.5,
        )
        ax.spines[:].set_visible(False)
    handles = [fig.axes[0].plot([], [], colour, label=label)[0] for colour, label in LEGEND]
    for handle, line in zip(handles, ("-", "--")):
        handle.set(linestyle=line, linewidth=2)
    fig.legend(handles=handles, loc="outside upper center", ncols=2, frameon=False, labelcolor="black")
    return fig


LEGEND = ((YELLOW, "true outline"), (SKY, "the U-Net's outline"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="a finished run on phantom:prostate with the heads plain and adversarial")
    run = open_run(parser.parse_args().run, progress=False)
    cases = []
    for scanner, image, mask in slices(run):
        mask_hat, scores = judged(run, image, mask)
        cases.append((scanner, image, mask, mask_hat, scores))
    (ROOT / "docs" / "picture.png").write_bytes(png(picture(cases), dpi=100))
    with (ROOT / "results" / "picture.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["scanner", *cases[0][-1]])
        table.writerows([scanner, *(f"{score:.2f}" for score in scores.values())] for scanner, *_, scores in cases)


if __name__ == "__main__":
    main()
