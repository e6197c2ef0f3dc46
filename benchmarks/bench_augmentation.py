"""Augmentation of a batch beside batchgeneratorsv2, nnU-Net's own library, on one thread.

    pip install batchgeneratorsv2    # in an environment of its own: it brings much that nothing here needs
    python benchmarks/bench_augmentation.py [--batch 32] [--size 256] [--repeats 15]

Both sides do what `nnUNetTrainer.get_training_transforms` asks for in 2D, in its order, with its probabilities and ranges:
rotation and scaling in one resampling step, noise, blur, brightness, contrast, low resolution, inverted gamma, gamma,
mirroring along both axes. `ours` is `Augmenter()`, which has them built in. `theirs` is built below with the arguments of
that function, and takes one image after another, as it is made to; what nnU-Net adds for cascades, ignored labels and deep
supervision is left out. Two things are as ours, and make theirs faster than in nnU-Net: a label map is resampled by nearest
neighbours (`--masks bilinear` is nnU-Net's own choice, a resampling per label), and images lie in memory as tensors.

Chance decides how much there is to do, so a repeat is several batches, a new draw each, and the two sides take turns.
`untouched` is the share of images that came back as they were, a check that both draw alike (about 5 % are expected).
The last line bounds the ratio: what torch's own kernels for one copy, resampling, noise, blur and powers take by themselves,
as often as a batch needs them. Whoever calls torch for these transforms cannot be faster.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

from advconf_lite.augmentation import BLUR_RADIUS, CHANNEL_PROBABILITY, PROBABILITY, Augmenter, rotation_grid

BATCHES = 4  # in a repeat
Pair = tuple[torch.Tensor, torch.Tensor]


def batch_of(n: int, size: int) -> Pair:
    """Images (n, 1, size, size), z-scored, and label maps (n, size, size) of three nested discs."""
    generator = torch.Generator().manual_seed(0)
    axis = torch.linspace(-1, 1, size)
    radius = (axis[:, None] ** 2 + axis**2).sqrt()
    masks = sum((radius < 0.2 * ring).long() for ring in (1, 2, 3)).expand(n, -1, -1).contiguous()
    images = masks[:, None] + 0.5 * torch.randn(n, 1, size, size, generator=generator)
    return (images - images.mean((2, 3), keepdim=True)) / images.std((2, 3), keepdim=True), masks


def their_transforms(size: int, masks: str) -> Callable[..., dict[str, torch.Tensor]]:
    """nnU-Net's pipeline for images of size x size."""
    try:
        from batchgeneratorsv2.transforms.intensity.brightness import MultiplicativeBrightnessTransform
        from batchgeneratorsv2.transforms.intensity.contrast import BGContrast, ContrastTransform
        from batchgeneratorsv2.transforms.intensity.gamma import GammaTransform
        from batchgeneratorsv2.transforms.intensity.gaussian_noise import GaussianNoiseTransform
        from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
        from batchgeneratorsv2.transforms.spatial.low_resolution import SimulateLowResolutionTransform
        from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
        from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
        from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
        from batchgeneratorsv2.transforms.utils.random import RandomTransform
    except ImportError as error:
        raise SystemExit(f"{error}; install it with: pip install batchgeneratorsv2") from None
    alone = {"synchronize_channels": False, "p_per_channel": 1}
    some = {"synchronize_channels": False, "p_per_channel": 0.5}
    gamma = {"gamma": BGContrast((0.7, 1.5)), "p_retain_stats": 1, **alone}
    spatial = SpatialTransform(
        (size, size), patch_center_dist_from_border=0, random_crop=False, p_elastic_deform=0, p_rotation=0.2,
        rotation=(-np.pi, np.pi), p_scaling=0.2, scaling=(0.7, 1.4), p_synchronize_scaling_across_axes=1,
        bg_style_seg_sampling=False, mode_seg=masks,
    )  # fmt: skip
    return ComposeTransforms([
        spatial,
        RandomTransform(GaussianNoiseTransform((0, 0.1), p_per_channel=1, synchronize_channels=True), 0.1),
        RandomTransform(GaussianBlurTransform((0.5, 1.0), synchronize_axes=False, benchmark=True, **some), 0.2),
        RandomTransform(MultiplicativeBrightnessTransform(BGContrast((0.75, 1.25)), **alone), 0.15),
        RandomTransform(ContrastTransform(BGContrast((0.75, 1.25)), preserve_range=True, **alone), 0.15),
        RandomTransform(SimulateLowResolutionTransform((0.5, 1), synchronize_axes=True, ignore_axes=None, **some), 0.25),
        RandomTransform(GammaTransform(p_invert_image=1, **gamma), 0.1),
        RandomTransform(GammaTransform(p_invert_image=0, **gamma), 0.3),
        MirrorTransform(allowed_axes=(0, 1)),
    ])  # fmt: skip


def kernel_milliseconds(images: torch.Tensor, masks: torch.Tensor, calls: int = 100) -> float:
    """What a batch takes in torch's kernels alone: no draws, no statistics, no mirrors, and all data in the cache."""
    one, labels = images[:1], masks[:1, None].to(images.dtype)
    grid = rotation_grid(torch.tensor([30.0]), torch.tensor([1.1]), images.shape[2:])
    line = torch.full((1, 1, 2 * BLUR_RADIUS + 1, 1), 1 / (2 * BLUR_RADIUS + 1))
    positive, generator = one - one.amin(), torch.Generator().manual_seed(0)
    p = {name: PROBABILITY[name] * CHANNEL_PROBABILITY.get(name, 1.0) for name in PROBABILITY}
    kernels = [  # per image: how often, and what
        (1 / len(images), lambda: (images.clone(), masks.clone())),
        (1 - (1 - p["rotation"]) * (1 - p["scaling"]), lambda: F.grid_sample(one, grid, align_corners=False)),
        (1 - (1 - p["rotation"]) * (1 - p["scaling"]), lambda: F.grid_sample(labels, grid, "nearest", align_corners=False)),
        (p["noise"], lambda: torch.randn(one.shape, generator=generator)),
        (p["blur"], lambda: F.conv2d(F.conv2d(one, line), line.mT)),
        (p["gamma"] + p["gamma_inverted"], lambda: positive**0.8),
    ]
    total = 0.0
    for times, kernel in kernels:
        kernel()
        began = time.process_time()
        for _ in range(calls):
            kernel()
        total += len(images) * times * 1e3 * (time.process_time() - began) / calls
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--masks", choices=("nearest", "bilinear"), default="nearest", help="how theirs resamples labels")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    np.random.seed(0)  # theirs draws from both global states
    images, masks = batch_of(chosen.batch, chosen.size)
    labels = masks[:, None].to(torch.int16)  # nnU-Net's type
    augment, generator = Augmenter(), torch.Generator().manual_seed(0)
    transforms = their_transforms(chosen.size, chosen.masks)

    def ours() -> Pair:
        return augment(images, masks, generator)

    def theirs() -> Pair:
        made = [transforms(image=x.clone(), segmentation=y.clone()) for x, y in zip(images, labels)]
        return torch.stack([one["image"] for one in made]), torch.stack([one["segmentation"] for one in made])

    milliseconds: dict[str, list[float]] = {"ours": [], "theirs": []}
    alone: list[float] = []
    untouched: dict[str, list[float]] = {"ours": [], "theirs": []}
    for turn in range(chosen.repeats + 1):  # the first one warms up
        alone.append(kernel_milliseconds(images, masks))
        for name, side in (("ours", ours), ("theirs", theirs)):
            began = time.process_time()
            made = [side()[0] for _ in range(BATCHES)]
            if turn:
                milliseconds[name].append(1e3 * (time.process_time() - began) / BATCHES)
                untouched[name] += [(x == images).flatten(1).all(1).float().mean().item() for x in made]
    for name, values in milliseconds.items():
        low, median, high = np.percentile(values, (25, 50, 75))
        print(f"{name:7} {median:7.1f} ms [{low:.1f}, {high:.1f}] a batch, {statistics.mean(untouched[name]):.1%} untouched")
    ratios = [t / o for t, o in zip(milliseconds["theirs"], milliseconds["ours"])]
    low, median, high = np.percentile(ratios, (25, 50, 75))
    print(
        f"ratio {median:.1f} [{low:.1f}, {high:.1f}], {chosen.batch} images of {chosen.size} x {chosen.size}, their label "
        f"maps {chosen.masks}, medians and quartiles of {chosen.repeats} repeats"
    )
    least = statistics.median(alone)
    bound = statistics.median(milliseconds["theirs"]) / least
    print(f"torch's kernels alone {least:.1f} ms a batch: no ratio above {bound:.1f}")


if __name__ == "__main__":
    main()
