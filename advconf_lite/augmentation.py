"""nnU-Net's default 2D augmentations, for a whole batch at once, where the tensors already are.

Probabilities and ranges are those of nnU-Net 2 (Isensee et al. 2021; `nnUNetTrainer.get_training_transforms`). Each image
draws its own coins and strengths; only images that drew a transform are touched. Three details decide how strong it is:

* Blur and low resolution toss a second coin of 0.5 per channel, so a one-channel MR image gets them half as often as their
  probabilities of 0.2 and 0.25 suggest (`CHANNEL_PROBABILITY`).
* Its "noise variance" of 0 to 0.1 is handed to the generator as a standard deviation. Images are z-scored, so the noise is
  at most a tenth of an image's standard deviation.
* Brightness, contrast and gamma lie below 1 half of the time, although 0.7-1.5 is not symmetric.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F

from advconf_lite.support.errors import BadInput

# In nnU-Net's order. Rotation and scaling share one resampling step.
PROBABILITY = {
    "rotation": 0.2,
    "scaling": 0.2,
    "noise": 0.1,
    "blur": 0.2,
    "brightness": 0.15,
    "contrast": 0.15,
    "low_resolution": 0.25,
    "gamma_inverted": 0.1,
    "gamma": 0.3,
    "mirror_vertical": 0.5,
    "mirror_horizontal": 0.5,
}
CHANNEL_PROBABILITY = {"blur": 0.5, "low_resolution": 0.5}
RANGE = {
    "rotation": (-180.0, 180.0),  # degrees
    "scaling": (0.7, 1.4),  # width of the field of view: above 1 objects become smaller
    "noise": (0.0, 0.1),  # standard deviation, in units of the image
    "blur": (0.5, 1.0),  # sigma in pixels, one for each axis
    "brightness": (0.75, 1.25),
    "contrast": (0.75, 1.25),
    "low_resolution": (0.5, 1.0),  # size of the coarse image over the full size
    "gamma_inverted": (0.7, 1.5),
    "gamma": (0.7, 1.5),
}
BALANCED_AROUND_ONE = ("brightness", "contrast", "gamma_inverted", "gamma")
BLUR_RADIUS = 4  # pixels; four sigma of the widest kernel
PIECE = 65536  # pixels that a CPU computes at once, for they stay in the cache of one core

ALL = tuple(PROBABILITY)
# The paper's published code defines noise and low resolution, the two most scanner-like ones, but leaves them out.
PUBLISHED_CODE = tuple(name for name in ALL if name not in ("noise", "low_resolution"))


class Augmenter:
    """Random augmentation of a batch.

    Args:
        names: which transforms are on, any of `ALL`. Switching one off does not change what the others draw.
        probability: replaces the probability of some transforms, e.g. `{"noise": 1.0}`.

    Raises:
        BadInput: an unknown name, or a probability outside [0, 1].
    """

    def __init__(self, names: tuple[str, ...] = ALL, probability: dict[str, float] | None = None):
        probability = probability or {}
        unknown = [name for name in (*names, *probability) if name not in ALL]
        if unknown:
            raise BadInput(f"unknown augmentation {unknown[0]!r}; choose from {', '.join(ALL)}")
        usual = {name: PROBABILITY[name] * CHANNEL_PROBABILITY.get(name, 1.0) for name in ALL}
        self.names = tuple(name for name in ALL if name in names)
        self.probability = {name: float((usual | probability)[name]) for name in self.names}
        if not all(0 <= p <= 1 for p in self.probability.values()):
            raise BadInput(f"augmentation probabilities are {self.probability}; each must lie between 0 and 1")

    def __call__(
        self, images: torch.Tensor, masks: torch.Tensor | None, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Augmented copies; the inputs stay as they are.

        Args:
            images: (B, channels, H, W) floating point, z-scored; what enters from outside the image is 0, as in
                nnU-Net. Channels move together, and draw their intensities one by one.
            masks: (B, H, W) integer label maps that follow the geometry, or None; what enters is background.
            generator: the only source of randomness, on any device.

        Returns:
            images and masks of the same shapes, types and device.
        """
        if images.ndim != 4 or (masks is not None and masks.shape != images[:, 0].shape):
            shapes = f"{tuple(images.shape)} and {None if masks is None else tuple(masks.shape)}"
            raise BadInput(f"images and masks have shapes {shapes}; they must be (B, channels, H, W) and (B, H, W)")
        channels = images.shape[1]
        fired, strength = self._draw(len(images) * channels, generator, images)
        for name in ("rotation", "scaling", "mirror_vertical", "mirror_horizontal"):  # an image's first channel decides
            fired[name] = fired[name][fired[name] % channels == 0] // channels
        images = images.clone(memory_format=torch.contiguous_format)
        masks = None if masks is None else masks.clone()

        # An image that drew only one of the two keeps angle 0 or scale 1.
        angle, scale = images.new_zeros(len(images)), images.new_ones(len(images))
        angle[fired["rotation"]] = strength["rotation"][::channels][fired["rotation"], 0]
        scale[fired["scaling"]] = strength["scaling"][::channels][fired["scaling"], 0]
        for i in pieces(torch.cat([fired["rotation"], fired["scaling"]]).unique(), images, PIECE):
            grid = rotation_grid(angle[i], scale[i], images.shape[2:])
            images[i] = _sample(images[i], grid, "bilinear")
            if masks is not None:
                masks[i] = _sample(masks[i, None].to(images.dtype), grid, "nearest")[:, 0].to(masks.dtype)

        x = images.flatten(0, 1)  # (B * channels, H, W), of which `images` is a view
        if len(index := fired["noise"]):
            noise = torch.randn((len(index), *x.shape[1:]), generator=generator, device=generator.device).to(x)
            x[index] += strength["noise"][index, :1, None] * noise
        for name, transform in INTENSITY.items():
            for i in pieces(fired[name], x, x.numel() if name == "blur" else PIECE):  # one convolution blurs all
                x[i] = transform(x[i], strength[name][i])

        for name, axis in (("mirror_vertical", 1), ("mirror_horizontal", 2)):
            for i in pieces(fired[name], images, PIECE):
                images[i] = images[i].flip(axis + 1)
                if masks is not None:
                    masks[i] = masks[i].flip(axis)
        return images, masks

    def _draw(
        self, batch: int, generator: torch.Generator, like: torch.Tensor
    ) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """Per transform: the indices of the images that drew it, and (B, 2) strengths."""
        # One draw of fixed size, whatever is switched on: coin, side of 1, and two strengths.
        uniform = torch.rand(len(ALL), batch, 4, generator=generator, device=generator.device).to(like.device)
        fired, strength = {}, {}
        for name, u in zip(ALL, uniform):
            fired[name] = torch.nonzero(u[:, 0] < self.probability.get(name, 0.0))[:, 0]
            if name in RANGE:
                low, high = RANGE[name]
                if name in BALANCED_AROUND_ONE:
                    below = u[:, 1:2] < 0.5
                    value = torch.where(below, low + (1 - low) * u[:, 2:], 1 + (high - 1) * u[:, 2:])
                else:
                    value = low + (high - low) * u[:, 2:]
                strength[name] = value.to(like.dtype)
        return fired, strength


def pieces(index: torch.Tensor, x: torch.Tensor, pixels: int) -> Sequence[torch.Tensor | slice]:
    """Which of the images `x` (..., H, W) are computed at once: on a CPU up to `pixels` of them, else all."""
    if len(index) == 0 or x.device.type != "cpu":
        return [index] if len(index) else []
    number = pixels // x[0].numel()
    return index.split(number) if number > 1 else [slice(i, i + 1) for i in index.tolist()]  # which copies nothing


def rotation_grid(angle: torch.Tensor, scale: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """(n, H, W, 2) grid that turns by `angle` (n,) degrees and divides the size of objects by `scale` (n,).

    In pixels, so that an image that is not square is turned and not sheared. Positive angles turn as `scipy.ndimage.rotate`.
    """
    radians = (angle * (math.pi / 180))[:, None, None]
    cos, sin = torch.cos(radians) * scale[:, None, None], torch.sin(radians) * scale[:, None, None]  # (n, 1, 1)
    height, width = size
    y, x = (torch.linspace(-1, 1, n, device=cos.device, dtype=cos.dtype) * (n - 1) / n for n in size)  # centres of pixels
    # An outer sum of complex numbers, column + i row: the matrix product of `affine_grid` takes twenty times as long.
    along = torch.complex(cos * x, sin * width / height * x)  # (n, 1, W)
    down = torch.complex(-sin * height / width * y[:, None], cos * y[:, None])  # (n, H, 1)
    return torch.view_as_real(along + down)


def _sample(x: torch.Tensor, grid: torch.Tensor, mode: str) -> torch.Tensor:
    return F.grid_sample(x, grid, mode=mode, padding_mode="zeros", align_corners=False)


def blur(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Gaussian blur of (n, H, W) images with (n, 2) sigmas in pixels, reflecting at the border."""
    offset = torch.arange(-BLUR_RADIUS, BLUR_RADIUS + 1, device=x.device, dtype=x.dtype)
    kernel = torch.exp(-0.5 * (offset / sigma[..., None]) ** 2)  # (n, 2, 9)
    kernel = kernel / kernel.sum(-1, keepdim=True)
    n, r = len(x), BLUR_RADIUS
    x = F.pad(x[None], (r, r, r, r), mode="reflect")  # (1, n, H + 8, W + 8): images as channels, a kernel for each
    x = F.conv2d(x, kernel[:, :1, :, None], groups=n)
    return F.conv2d(x, kernel[:, 1:, None, :], groups=n)[0]


def brightness(x: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """(n, H, W) times the first column of `factor` (n, 2)."""
    return x * factor[:, :1, None]


def contrast(x: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Stretch (n, H, W) around each image's mean, clamped to each image's old range."""
    mean = x.mean((1, 2), keepdim=True)
    stretched = mean + (x - mean) * factor[:, :1, None]
    return stretched.clamp(x.amin((1, 2), keepdim=True), x.amax((1, 2), keepdim=True))


def low_resolution(x: torch.Tensor, zoom: torch.Tensor) -> torch.Tensor:
    """Pick pixels of (n, H, W) on a grid coarser by `zoom` (n, 2), first column; interpolate linearly back.

    Equal to `interpolate(mode="nearest-exact")` and `interpolate(mode="bilinear")` per image, without a loop over the
    different coarse sizes: the coarse image is never made, its pixels are looked up in the fine one.
    """
    for axis in (1, 2):
        size = x.shape[axis]
        coarse = (zoom[:, :1] * size).round().clamp(min=1)  # (n, 1)
        position = torch.arange(size, device=x.device, dtype=x.dtype) + 0.5
        position = (position * coarse / size - 0.5).clamp(min=0)  # (n, size) in coarse pixels
        first = position.floor()
        share = position - first
        left, right = (
            ((i.clamp(max=coarse - 1) + 0.5) * size / coarse).floor().long().clamp(max=size - 1) for i in (first, first + 1)
        )
        view = (-1, size, 1) if axis == 1 else (-1, 1, size)
        left, right = (x.gather(axis, i.view(view).expand(x.shape)) for i in (left, right))
        x = torch.lerp(left, right, share.view(view).expand(x.shape))
    return x


def gamma(x: torch.Tensor, exponent: torch.Tensor) -> torch.Tensor:
    """Each of (n, H, W), scaled to 0..1, ** exponent; then back to its old mean and standard deviation."""
    dims = (1, 2)
    low, mean, std = x.amin(dims, keepdim=True), x.mean(dims, keepdim=True), x.std(dims, keepdim=True)
    width = x.amax(dims, keepdim=True) - low
    curved = ((x - low) / width.clamp(min=1e-7)) ** exponent[:, :1, None] * width
    curved_mean, curved_std = curved.mean(dims, keepdim=True), curved.std(dims, keepdim=True)
    return (curved - curved_mean) * (std / curved_std.clamp(min=1e-7)) + mean


INTENSITY = {
    "blur": blur,
    "brightness": brightness,
    "contrast": contrast,
    "low_resolution": low_resolution,
    "gamma_inverted": lambda x, exponent: -gamma(-x, exponent),
    "gamma": gamma,
}
