"""The layers of any network by their names, and what it takes: channels, precision, device."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


def layer_shapes(net: nn.Module, x: Tensor) -> dict[str, tuple[int, ...]]:
    """Name -> shape (C, h, w) of what each layer gives for images x, of those layers that run once and give feature maps."""
    found: dict[str, list[tuple[int, ...]]] = {}

    def watch(name: str) -> Any:
        def read(module: nn.Module, inputs: tuple, output: Any) -> None:
            maps = isinstance(output, Tensor) and output.ndim == 4
            found.setdefault(name, []).append(tuple(output.shape[1:]) if maps else ())

        return read

    hooks = [module.register_forward_hook(watch(name)) for name, module in net.named_modules() if name]
    try:
        with torch.no_grad():
            net(x)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: shapes[0] for name, shapes in found.items() if len(shapes) == 1 and shapes[0]}


def input_channels(net: nn.Module) -> int:
    """Channels of the images that a network takes: those of its first convolution."""
    first = next((m for m in net.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))), None)
    return 1 if first is None else first.in_channels


def weight_of(net: nn.Module) -> Tensor:
    """A weight that shows where a network is and in which precision; of one without weights, an empty tensor on the CPU."""
    tensors = (tensor for group in (net.parameters(), net.buffers()) for tensor in group)
    return next((tensor for tensor in tensors if tensor.is_floating_point()), torch.zeros(0, dtype=torch.int64))


def device_of(net: nn.Module) -> torch.device:
    """Where a network is; the CPU for one without weights."""
    return weight_of(net).device


def blank(net: nn.Module, size: int | Sequence[int]) -> Tensor:
    """An empty image (1, channels, H, W) as the network takes it; `size` is pixels a side, or (H, W)."""
    height, width = (size, size) if isinstance(size, int) else size
    weight = weight_of(net)
    dtype = weight.dtype if weight.is_floating_point() else torch.float32
    return torch.zeros(1, input_channels(net), height, width, dtype=dtype, device=weight.device)


# What DataParallel and torch.compile put before the names of a network's layers and weights.
WRAPPERS = ("module", "_orig_mod")


def plain_name(name: str) -> str:
    """The name of a layer or weight without what wrappers of the network have put into it."""
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


def find_layer(net: nn.Module, layer: str) -> str | None:
    """The name of a layer in `net`, where the two may be wrapped otherwise; None if there is no such layer."""
    names = dict(net.named_modules())
    if layer in names:
        return layer
    return next((name for name in names if plain_name(name) == plain_name(layer) != ""), None)


OFFERED = 20  # layers that an error message lists
EXAMPLE = 256  # pixels a side of the image whose shapes it gives


def layer_advice(net: nn.Module, wanted: str = "") -> str:
    """Which layers there are: the likeliest names first, with shapes where an example image goes through."""
    training = net.training
    try:
        shapes = layer_shapes(net.eval(), blank(net, EXAMPLE))
    except Exception:  # it takes other images, and says so in its own way
        shapes = {name: () for name, module in net.named_modules() if name}
    finally:
        net.train(training)
    names = list(shapes)
    if len(names) > OFFERED:
        near = difflib.get_close_matches(wanted, names, 5, 0.4)
        # Few parts to a name: the network's own blocks rather than what they are made of.
        names = list(dict.fromkeys([*near, *sorted(names, key=lambda name: name.count("."))]))[:OFFERED]
        names = [name for name in shapes if name in names]
    listed = ", ".join(name + (" " + "x".join(map(str, shapes[name])) if shapes[name] else "") for name in names)
    more = f", and {len(shapes) - len(names)} more (`layer_shapes` lists all)" if len(shapes) > len(names) else ""
    of = f" (channels x height x width for {EXAMPLE} x {EXAMPLE} pixels)" if any(shapes.values()) else ""
    return f"Choose from its layers{of}: {listed}{more}"


def described(z: Any) -> str:
    """What a layer gives, in a message."""
    return f"of shape {tuple(z.shape)}" if isinstance(z, Tensor) else f"a {type(z).__name__}"


def by(shape: Sequence[int]) -> str:
    """A size in a message: 1 x 96 x 96."""
    return " x ".join(map(str, shape))


def reason(error: Exception) -> str:
    """The first line of an error, and its kind where that is not torch's usual one."""
    first = next(iter(str(error).strip().splitlines()), "")[:200]
    return first if first and isinstance(error, (RuntimeError, ValueError)) else f"{type(error).__name__} {first}".strip()
