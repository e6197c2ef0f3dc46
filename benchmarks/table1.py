"""The paper's Table 1 with a sound protocol: python benchmarks/table1.py [--profile paper] [--size 256] [--seconds 5]

Every way to a confidence is timed from the image on the device to the score: once for a single image (latency), and for
batches of 1, 2, 4, ... until more do not help (throughput). Warm-up first, the GPU synchronised, torch.inference_mode, the
median over repeats and its quartiles, on the CPU and on the GPU if there is one. Agreement is timed without the extra pass
that would give the mask itself, which is in its favour.

Time does not depend on weights, so the networks are untrained. The metrics' time does depend on the masks, and those of an
untrained network would be speckle; so the samples that are scored are outlines of the phantom's heart, shifted a little and
with a few wrong pixels, as dropout behind the last layer leaves them.
"""

from __future__ import annotations

import argparse
import statistics
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from advconf_lite.agreement import monte_carlo_masks, score_agreement
from advconf_lite.course.timings import DIRECT, FAULTS, FINETUNED, PAPER, Way, direct, finetuned, measure
from advconf_lite.experiment.profiles import PROFILES
from advconf_lite.head import ConfidenceHead
from advconf_lite.methods.finetuned import FinetunedHead
from advconf_lite.phantom.scanner_tables import source_scanner
from advconf_lite.phantom.subject import make_subject
from advconf_lite.quality import Quality
from advconf_lite.segmenter import Segmenter, build_unet, feature_layer
from advconf_lite.support.files import write_atomically

CLASSES, TOLERANCE = 4, 3.0  # heart; millimetres, at 1 mm a pixel
LARGEST_BATCH = 256


@cache
def heart(size: int) -> Tensor:
    """(slices, size, size) label maps of the phantom's heart."""
    _, masks, _ = make_subject("cardiac", source_scanner("cardiac"), 0, size, 256 / size, seed=0)
    return torch.as_tensor(np.asarray(masks), dtype=torch.int64)


def heart_samples(n: int, images: int, size: int) -> Tensor:
    """(n, images, size, size) label maps: n similar outlines of each of several slices of the phantom's heart."""
    masks = heart(size)[torch.arange(images) % len(heart(size))]
    draw = torch.Generator().manual_seed(0)
    samples = []
    for _ in range(n):
        down, right = torch.randint(-1, 2, (2,), generator=draw).tolist()
        wrong = torch.rand(masks.shape, generator=draw) < 0.002
        labels = torch.randint(0, CLASSES, masks.shape, generator=draw)
        samples.append(torch.where(wrong, labels, masks.roll((down, right), (1, 2))))
    return torch.stack(samples)


def monai_agreement(masks: Tensor, quality: str) -> Tensor:
    """All pairs of samples (n, B, H, W) as one batch through MONAI's metrics, as the paper describes it: (B, classes)."""
    from monai.metrics import compute_dice, compute_surface_dice

    n, batch = masks.shape[:2]
    i, j = torch.triu_indices(n, n, offset=1, device=masks.device)
    hot = F.one_hot(masks, CLASSES).movedim(-1, 2).bool()  # (n, B, C, H, W)
    one, two = hot[i].flatten(0, 1), hot[j].flatten(0, 1)
    if quality == "dice":
        scores = compute_dice(one, two, include_background=False, ignore_empty=False)
    else:
        scores = compute_surface_dice(one, two, [TOLERANCE] * (CLASSES - 1), spacing=1.0).to(masks.device)
    return scores.nan_to_num(nan=1.0).view(len(i), batch, -1).mean(0)


def our_agreement(masks: Tensor, quality: str) -> Tensor:
    return score_agreement(masks, Quality(quality, CLASSES, TOLERANCE))


def ways(
    segmenter: Segmenter, size: int, samples: Sequence[int], device: torch.device
) -> dict[tuple[str, str, str], Callable[[int], Callable]]:
    """(method, quality, metric code) -> function of a batch size that gives the work to be timed."""
    head = ConfidenceHead(segmenter.feature_shape(size), CLASSES - 1).to(device).eval()
    tuned = FinetunedHead(head, segmenter).eval()
    images = torch.randn(LARGEST_BATCH, 1, size, size, device=device)

    def one_head(way: Way) -> Callable[[int], Callable]:
        return lambda batch: partial(way, images[:batch])

    def agree(n: int, quality: str, score: Callable[[Tensor, str], Tensor]) -> Callable[[int], Callable]:
        def prepare(batch: int) -> Callable[[], object]:
            masks = heart_samples(n, batch, size).to(device)
            return lambda: (monte_carlo_masks(segmenter, images[:batch], n, 0), score(masks, quality))

        return prepare

    # A head predicts what it was trained on; its work is the same, and is timed twice to show it.
    rows = {(DIRECT, name, "-"): one_head(direct(segmenter, head)) for name in ("dice", "surface_dice")}
    rows[FINETUNED, "dice", "-"] = one_head(finetuned(segmenter, tuned))
    for n in samples:
        for quality in ("dice", "surface_dice"):
            rows[f"agreement N={n}", quality, "ours"] = agree(n, quality, our_agreement)
            rows[f"agreement N={n}", quality, "MONAI"] = agree(n, quality, monai_agreement)
    return rows


def sweep(prepare: Callable[[int], Callable], seconds: float, device: torch.device) -> dict[int, list[float]]:
    """Batch size -> seconds of each call, for 1, 2, 4, ... until an image is no longer cheaper or memory is full."""
    found: dict[int, list[float]] = {}
    batch, best = 1, float("inf")
    while batch <= LARGEST_BATCH:
        try:
            found[batch] = measure(prepare(batch), seconds if batch == 1 else seconds / 4, device)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            break
        per_image = statistics.median(found[batch]) / batch
        if per_image > 0.98 * best:
            break
        batch, best = 2 * batch, per_image
    return found


def rows_of(device: torch.device, profile: str, size: int, samples: Sequence[int], seconds: float) -> Iterator[dict]:
    """One row per way, times in milliseconds."""
    chosen = PROFILES[profile]
    net = build_unet(chosen.channels, CLASSES, chosen.num_res_units, chosen.settings.dropout)
    layer = feature_layer(net, chosen.settings.feature_layer, chosen.num_res_units)
    segmenter = Segmenter(net, layer).to(device).freeze()
    with torch.inference_mode():
        for (method, quality, code), prepare in ways(segmenter, size, samples, device).items():
            times = sweep(prepare, seconds, device)
            low, latency, high = np.percentile(times[1], [25, 50, 75]) * 1e3
            batch = min(times, key=lambda b: statistics.median(times[b]) / b)
            best = np.percentile(times[batch], [25, 50, 75]) / batch * 1e3
            print(f"  {device.type}: {method}, {quality}, {code}: {latency:.1f} ms", flush=True)
            yield {
                "device": device.type, "method": method, "quality": quality, "metric code": code,
                "latency ms": latency, "latency q1": low, "latency q3": high, "best batch": batch,
                "ms/image": best[1], "ms/image q1": best[0], "ms/image q3": best[2], "images/s": 1e3 / best[1],
                "paper ms": 1e3 * PAPER.get((method, quality), np.nan),
                "repeats": len(times[1]), "network": profile, "size": size, "threads": torch.get_num_threads(),
                "hardware": torch.cuda.get_device_name() if device.type == "cuda" else "CPU",
            }  # fmt: skip


def main(arguments: list[str] | None = None) -> pd.DataFrame:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", choices=["smoke", "quick", "paper"], default="paper", help="which network")
    parser.add_argument("--size", type=int, default=256, help="pixels a side; a multiple of 8")
    parser.add_argument("--samples", type=int, nargs="+", default=[2, 15], metavar="N", help="of the agreement")
    parser.add_argument("--seconds", type=float, default=5.0, help="of timed latency per row; each batch takes a quarter")
    parser.add_argument(
        "--devices", nargs="+", choices=["cpu", "cuda"], help="default: the CPU, and the GPU if there is one"
    )
    parser.add_argument("--threads", type=int, help="CPU threads; default: as torch has it")
    parser.add_argument("--out", type=Path, default=Path("runs/table1.csv"))
    chosen = parser.parse_args(arguments)
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    warnings.filterwarnings("ignore")  # MONAI warns of every empty mask, and of its own deprecated argument
    torch.manual_seed(0)
    names = chosen.devices or ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    done: list[dict] = []
    for name in names:
        for row in rows_of(torch.device(name), chosen.profile, chosen.size, chosen.samples, chosen.seconds):
            done.append(row)  # written after every row: the whole takes many minutes
            write_atomically(chosen.out, lambda path: pd.DataFrame(done).to_csv(path, index=False))
    rows = pd.DataFrame(done)
    quartiles = ["latency ms", "latency q1", "latency q3"]
    shown = ["device", "method", "quality", "metric code", *quartiles, "best batch", "ms/image", "images/s", "paper ms"]
    print(rows[shown].to_string(index=False, float_format="{:.4g}".format))
    for name, part in rows.groupby("device", sort=False):
        latency = part[part["method"] == DIRECT].set_index("quality")["latency ms"]
        ratio = latency["surface_dice"] / latency["dice"]
        print(f"{name}: direct prediction takes {ratio:.2f} times as long for surface Dice as for Dice")
    print(f"times of this machine ({chosen.profile} network, {chosen.size} x {chosen.size}, {torch.get_num_threads()} CPU "
          "threads); the paper's are of an NVIDIA A40 and M&M images of 256 x 256")  # fmt: skip
    print(FAULTS, f"written to {chosen.out}", sep="\n")
    return rows


if __name__ == "__main__":
    main()
