"""The segmenter f_theta, and a tap that reads its features z without changing it."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Sequence
from typing import Any

import torch
from monai.networks.nets import UNet
from torch import Tensor, nn

from advconf_lite.support.activations import frozen_slopes
from advconf_lite.support.errors import BadInput
from advconf_lite.support.layers import blank, by, described, find_layer, layer_advice, reason, weight_of

# Names inside a MONAI UNet of depth four; all lie at a quarter of the input's resolution.
FEATURE_LAYERS = {
    "decoder": "model.1.submodule.1.submodule.2.1.conv.unit0.adn.N",
    "encoder": "model.1.submodule.0.conv.unit{last}.adn.N",
}


def build_unet(
    channels: Sequence[int] = (32, 64, 128, 256),
    num_classes: int = 4,
    num_res_units: int = 4,
    dropout: float = 0.1,
    in_channels: int = 1,
) -> UNet:
    """The paper's U-Net (section 4.2): depth four, four residual units a level, instance norm, dropout per ADN layer.

    `num_classes` softmax outputs, background first; H and W must be multiples of 8. A narrower `channels` keeps the
    topology.
    In MONAI, `num_res_units` counts the encoder's units; each decoder level has one.
    """
    return UNet(
        spatial_dims=2,
        in_channels=in_channels,
        out_channels=num_classes,
        channels=tuple(channels),
        strides=(2,) * (len(channels) - 1),
        num_res_units=num_res_units,
        norm="INSTANCE",
        dropout=dropout,
    )


def feature_layer(net: nn.Module, side: str = "decoder", num_res_units: int = 4) -> str:
    """Name of the layer that z is read at, for the U-Net of `build_unet`; `side` is decoder or encoder."""
    name = find_layer(net, FEATURE_LAYERS[side].format(last=num_res_units - 1))
    if name is None:
        raise BadInput(f"this network is not that of build_unet, so name the layer to read z at. {layer_advice(net)}")
    return name


def as_logits(output: Any, key: str | None = None) -> Tensor:
    """The logits (B, K, H, W), K >= 2, in whatever a network returns.

    Args:
        output: a tensor (B, K, H, W); a tuple or list, as of deep supervision, of which the first of the largest maps is
            taken; a tensor (B, n, K, H, W), of which the first map is; or a dict or dataclass. One channel l of a sigmoid
            becomes the two channels (0, l) of a softmax, which are the same probabilities.
        key: the entry of a dict, dataclass or named tuple. Not needed for a dict that has one map alone.

    Raises:
        BadInput: none of these, or the dict has no such entry.
    """
    entries = _entries(output, key)
    if entries is not None:
        maps = [name for name, value in entries.items() if isinstance(value, Tensor) and value.ndim == 4]
        if key is None and len(maps) == 1:
            key = maps[0]
        if key not in entries:
            kind = "dict" if isinstance(output, dict) else type(output).__name__
            raise BadInput(
                f"the network returns a {kind} with {', '.join(map(repr, entries))}; name the logits as output=..."
            )
        output = entries[key]
    if isinstance(output, (tuple, list)) and output:
        maps = [value for value in output if isinstance(value, Tensor) and value.ndim == 4]
        output = max(maps, key=lambda each: each.shape[-1] * each.shape[-2]) if maps else output[0]
    if isinstance(output, Tensor) and output.ndim == 5:
        output = output[:, 0]
    if not isinstance(output, Tensor) or output.ndim != 4:
        found = f"shape {tuple(output.shape)}" if isinstance(output, Tensor) else f"a {type(output).__name__}"
        raise BadInput(f"the network returns {found}; its logits must be a tensor (B, K, H, W)")
    return torch.cat([torch.zeros_like(output), output], 1) if output.shape[1] == 1 else output


def _entries(output: Any, key: str | None) -> dict[str, Any] | None:
    """The named entries of what a network returns, if they have names that are asked for."""
    if isinstance(output, dict):
        return output
    if dataclasses.is_dataclass(output):
        return {field.name: getattr(output, field.name) for field in dataclasses.fields(output)}
    if key is not None and hasattr(output, "_asdict"):  # a named tuple; without a key it is a tuple
        return output._asdict()
    return None


def label_map(logits: Tensor) -> Tensor:
    """Label maps (B, H, W) of logits (B, K, H, W): the argmax over classes, the first of equal ones."""
    # max(1) gives the same labels as argmax(1), which on a CPU takes a third of the network's own time.
    return logits.max(1).indices


def decided(logits: Tensor) -> Tensor:
    """Whether every pixel of an image has a largest logit, (B, K, H, W) -> (B,): not where one is NaN or infinite."""
    return logits.amax(1).isfinite().flatten(1).all(1)


class Segmenter(nn.Module):
    """A network that maps images to logits, and a tap on one of its layers.

    Args:
        net: any module whose output `as_logits` can read, background first.
        layer: the tapped layer's name in `net.named_modules()`. Default: the decoder's norm layer at 1/4 resolution
            of `build_unet`.
        side: read the layer's "input" or its "output". Default: the output of a layer that is named, the input of the
            default one (z before the norm, as published).
        output: the key of the logits, for a network that returns a dict.

    The network itself is not touched: no wrapped or replaced layer, the same state dict, the same output.

    Raises:
        BadInput: the network has no such layer; the message lists those that it has, with shapes.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(1, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 2, 1))
        >>> segmenter = Segmenter(net, layer="1").freeze()
        >>> logits, z = segmenter(torch.zeros(4, 1, 32, 48))
        >>> logits.shape, z.shape
        (torch.Size([4, 2, 32, 48]), torch.Size([4, 5, 32, 48]))
    """

    def __init__(self, net: nn.Module, layer: str | None = None, side: str | None = None, output: str | None = None) -> None:
        super().__init__()
        # Their replicas run in threads and processes of their own, where no tap of this one would see them.
        while isinstance(net, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            net = net.module
        self.net, self.output = net, output
        self.side = side or ("input" if layer is None else "output")
        if self.side not in ("input", "output"):
            raise BadInput(f"side is {side!r}; read a layer's 'input' or its 'output'")
        self.layer = find_layer(net, layer) if layer else feature_layer(net)
        if self.layer is None:
            raise BadInput(f"the network has no layer {layer!r}. {layer_advice(net, layer)}")

    def logits(self, x: Tensor) -> Tensor:
        """Logits (B, K, H, W) of images (B, channels, H, W), without the tap.

        Raises:
            BadInput: the network does not take such images, or what it returns are no logits of their size.
        """
        if x.ndim != 4:
            raise BadInput(
                f"images have shape {tuple(x.shape)}; give (B, channels, H, W): heads judge slices, so cut volumes into them"
            )
        try:
            # A copy, for the network may work in place from its first layer on; in its own precision, if it has another.
            output = self.net(x.to(self._dtype(x), copy=True))
        except (torch.OutOfMemoryError, BadInput):
            raise
        except Exception as error:  # each network refuses in its own way
            size = f"{by(x.shape[1:])} (channels x height x width)"
            raise BadInput(f"the network does not take images of {size}: {reason(error)}") from error
        logits = as_logits(output, self.output)
        if logits.shape[2:] != x.shape[2:]:
            raise BadInput(
                f"the network gives logits of {by(logits.shape[2:])} for images of {by(x.shape[2:])} pixels; "
                "let it return them at the images' size"
            )
        return self._like(logits, x)

    def _dtype(self, x: Tensor) -> torch.dtype:
        weight = weight_of(self.net)
        return weight.dtype if weight.is_floating_point() else x.dtype

    def _like(self, found: Tensor, x: Tensor) -> Tensor:
        """In the precision of the images, where that of the network is another; autocast's own stays."""
        return found.to(x.dtype) if x.is_floating_point() and self._dtype(x) != x.dtype else found

    def forward(self, x: Tensor, whole: bool = False) -> tuple[Tensor, Tensor]:
        """Logits and features of one pass; several threads may call it at once.

        Args:
            x: (B, channels, H, W).
            whole: record what leads to the logits, too.

        Returns:
            logits (B, K, H, W), never with a graph unless `whole` or the network is being trained, and z (B, C, h, w), with
            a graph back to x if x requires a gradient. Only what leads to z is recorded: behind the tap, autograd is
            switched off for the rest of the pass.

        Raises:
            BadInput: as `logits`, or the layer does not run exactly once, or what it gives is not (B, C, h, w).
        """
        caught: list[Tensor] = []
        thread = None if torch.compiler.is_compiling() else threading.get_ident()  # which torch.compile cannot follow

        def read(module: nn.Module, args: tuple, *rest: Any) -> Any:
            # Another pass at the same time has a tap of its own.
            if not torch.compiler.is_compiling() and threading.get_ident() != thread:
                return None
            if caught:
                raise BadInput(f"layer {self.layer} runs more than once in a pass; tap a layer that runs once")
            z = _first(args, rest[0]) if self.side == "input" else rest[-1]
            if not isinstance(z, Tensor) or z.ndim != 4:
                raise BadInput(f"the {self.side} of layer {self.layer} is {described(z)}; features must be (B, C, h, w)")
            # A copy, for what comes after the tap may work in place, on z itself or on a view of it.
            caught.append(z.clone())
            if not frozen or whole:
                return None
            torch.set_grad_enabled(False)
            if not z.requires_grad:
                return None
            # Another one goes on, for autograd may need z as it is on the way back to x.
            return _replaced(args, rest[0], z.clone()) if self.side == "input" else z.clone()

        module = self.net.get_submodule(self.layer)
        frozen = not any(p.requires_grad for p in self.net.parameters())
        register = module.register_forward_pre_hook if self.side == "input" else module.register_forward_hook
        hook = register(read, with_kwargs=True)
        try:
            # The first restores the mode that `read` may switch off.
            with torch.set_grad_enabled(torch.is_grad_enabled()), frozen_slopes(x):
                logits = self.logits(x)
        finally:
            hook.remove()
        if not caught:
            raise BadInput(f"layer {self.layer} did not run in the forward pass; tap a layer that does")
        return logits, self._like(caught[0], x)

    def freeze(self) -> Segmenter:
        """Evaluation mode, no weight requires a gradient: the state in which the head is trained and used."""
        self.eval()
        self.requires_grad_(False)
        return self

    @torch.no_grad()
    def masks(self, x: Tensor) -> Tensor:
        """Label maps (N, H, W), the argmax over classes, 64 images at a time."""
        return torch.cat([label_map(self(part)[0]) for part in x.split(64)])

    @torch.no_grad()
    def feature_shape(self, size: int | Sequence[int]) -> tuple[int, int, int]:
        """(C, h, w) of z for images of `size`: pixels a side, or (H, W)."""
        return tuple(self(blank(self.net, size))[1].shape[1:])


def _first(args: tuple, kwargs: dict[str, Any]) -> Any:
    """What a layer is called with: its first argument, by place or else by keyword."""
    return args[0] if args else next(iter(kwargs.values()), None)


def _replaced(args: tuple, kwargs: dict[str, Any], z: Tensor) -> tuple[tuple, dict[str, Any]]:
    return ((z, *args[1:]), kwargs) if args else ((), {**kwargs, next(iter(kwargs)): z})
