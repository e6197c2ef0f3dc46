"""Weights and images with fewer bits, for what ships: what is rounded is used rounded, so that numbers belong to the files.

A head's first fully connected layer holds 99 % of its weights. As 8-bit numbers with one scale for each output (a bfloat16:
127 times it is exact in float32) they take a quarter of the room. Other matrices and kernels are float16 where that is
enough; biases and the statistics of norms stay what they are. Images are 8 bits of their square root, which leaves the dark
parts of a coil's field as many steps as they need. Rounding twice changes nothing.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from advconf_lite.support.errors import BadInput
from advconf_lite.support.files import write_atomically

Weights = dict[str, Tensor]
LARGE = 50_000  # numbers in a matrix from which on it is stored in 8 bits
ENOUGH = 1e-3  # error of float16, relative to the largest weight
SCALE = ":scale"  # after the name of a matrix: what its whole numbers are multiplied with


def packed(weights: Weights) -> Weights:
    """Weights as they are stored: matrices as float16, large ones (rows, ...) as int8 with their scales (rows,) bfloat16."""
    stored: Weights = {}
    for name, values in weights.items():
        if not values.is_floating_point() or values.ndim < 2:
            stored[name] = values.contiguous()
        elif values.numel() < LARGE:
            half = values.half()
            enough = (half.float() - values).abs().max() <= values.abs().max() * ENOUGH  # not so for tiny and for huge ones
            stored[name] = (half if enough else values).contiguous()
        else:
            rows = values.float().flatten(1)
            scale = (rows.abs().amax(1) / 127).bfloat16()
            steps = rows / scale.float().clamp_min(torch.finfo(torch.float32).tiny)[:, None]
            stored[name] = steps.round().clamp(-127, 127).to(torch.int8).reshape(values.shape).contiguous()
            stored[name + SCALE] = scale.contiguous()
    return stored


def unpacked(stored: Weights) -> Weights:
    """The float32 weights that `packed` has stored."""
    weights: Weights = {}
    for name, values in stored.items():
        if name.endswith(SCALE):
            continue
        scale = stored.get(name + SCALE)
        if scale is not None:
            values = values.float() * scale.float().view(-1, *[1] * (values.ndim - 1))
        weights[name] = values.float() if values.is_floating_point() else values
    return weights


def read_weights(path: Path) -> Weights:
    """Tensors of a safetensors file.

    Raises:
        BadInput: it cannot be read as one.
    """
    try:
        return safetensors.torch.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise BadInput(f"{path} cannot be read as weights ({reason}); delete it and run again") from error


def write_weights(weights: Weights, path: Path) -> None:
    data = safetensors.torch.save(weights)
    write_atomically(path, lambda temporary: temporary.write_bytes(data))


def round_file(path: Path) -> None:
    """Give a file of weights the values that it would have after shipping."""
    weights = read_weights(path)
    rounded = unpacked(packed(weights))
    if any(not torch.equal(rounded[name], values) for name, values in weights.items()):
        write_weights(rounded, path)


def pixels(images: np.ndarray) -> np.ndarray:
    """Images (N, H, W) as uint8, each between its own extremes: 255 times the square root."""
    images = np.asarray(images, np.float32)
    low, high = (of(images, axis=(1, 2), keepdims=True) for of in (np.min, np.max))
    span = np.where(high > low, high - low, 1)
    return np.rint(255 * np.sqrt((images - low) / span)).astype(np.uint8)


def images(pixels: np.ndarray) -> np.ndarray:
    """The float32 images (N, H, W) from 0 to 1 of 8-bit pixels."""
    return np.square(pixels.astype(np.float32) / 255)
