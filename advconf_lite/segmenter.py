"""The segmenter f_theta, and a tap that reads its features z without changing it."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import torch
from monai.networks.nets import UNet
from torch import Tensor, nn

from advconf_lite.support.errors import BadInput

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
    name = FEATURE_LAYERS[side].format(last=num_res_units - 1)
    if name not in dict(net.named_modules()):
        raise BadInput(f"this network is not that of build_unet, so name the layer to read z at. {layer_advice(net)}")
    return name


def as_logits(output: Any, key: str | None = None) -> Tensor:
    """The logits (B, K, H, W), K >= 2, in whatever a network returns.

    Args:
        output: a tensor (B, K, H, W); a tuple or list, or a tensor (B, n, K, H, W), of deep supervision, whose first entry
            is the full-size one; or a dict. One channel l of a sigmoid becomes the two channels (0, l) of a softmax, which
            are the same probabilities.
        key: the entry of a dict.

    Raises:
        BadInput: none of these, or the dict has no such entry.
    """
    if isinstance(output, dict):
        if key not in output:
            raise BadInput(f"the network returns a dict with {', '.join(map(repr, output))}; name the logits as output=...")
        output = output[key]
    if isinstance(output, (tuple, list)) and output:
        output = output[0]
    if isinstance(output, Tensor) and output.ndim == 5:
        output = output[:, 0]
    if not isinstance(output, Tensor) or output.ndim != 4:
        found = f"shape {tuple(output.shape)}" if isinstance(output, Tensor) else f"a {type(output).__name__}"
        raise BadInput(f"the network returns {found}; its logits must be a tensor (B, K, H, W)")
    return torch.cat([torch.zeros_like(output), output], 1) if output.shape[1] == 1 else output


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
        self.net, self.output = net, output
        self.side = side or ("input" if layer is None else "output")
        if self.side not in ("input", "output"):
            raise BadInput(f"side is {side!r}; read a layer's 'input' or its 'output'")
        self.layer = layer or feature_layer(net)
        if self.layer not in dict(net.named_modules()):
            raise BadInput(f"the network has no layer {self.layer!r}. {layer_advice(net, self.layer)}")

    def logits(self, x: Tensor) -> Tensor:
        """Logits (B, K, H, W) of images (B, channels, H, W), without the tap."""
        return as_logits(self.net(x), self.output)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and features of one pass.

        Args:
            x: (B, channels, H, W).

        Returns:
            logits (B, K, H, W), never with a graph unless the network is being trained, and z (B, C, h, w), with a graph
            back to x if x requires a gradient. Only what leads to z is recorded: behind the tap, autograd is switched off
            for the rest of the pass.

        Raises:
            BadInput: the layer does not run exactly once, or what it gives is not (B, C, h, w).
        """
        caught: list[Tensor] = []

        def read(module: nn.Module, inputs: tuple, output: Any = None) -> Any:
            if caught:
                raise BadInput(f"layer {self.layer} runs more than once in a pass; tap a layer that runs once")
            z = inputs[0] if self.side == "input" else output
            if not isinstance(z, Tensor) or z.ndim != 4:
                raise BadInput(f"the {self.side} of layer {self.layer} is {_described(z)}; features must be (B, C, h, w)")
            caught.append(z)
            if not frozen:
                return None
            torch.set_grad_enabled(False)
            # A copy goes on through the network, whose next layer may work in place.
            return (z.clone(), *inputs[1:]) if self.side == "input" else z.clone()

        module = self.net.get_submodule(self.layer)
        frozen = not any(p.requires_grad for p in self.net.parameters())
        hook = module.register_forward_pre_hook(read) if self.side == "input" else module.register_forward_hook(read)
        try:
            with torch.set_grad_enabled(torch.is_grad_enabled()):  # restores the mode that `read` may switch off
                logits = self.logits(x)
        finally:
            hook.remove()
        if not caught:
            raise BadInput(f"layer {self.layer} did not run in the forward pass; tap a layer that does")
        return logits, caught[0]

    def freeze(self) -> Segmenter:
        """Evaluation mode, no weight requires a gradient: the state in which the head is trained and used."""
        self.eval()
        self.requires_grad_(False)
        return self

    @torch.no_grad()
    def masks(self, x: Tensor) -> Tensor:
        """Label maps (B, H, W), the argmax over classes."""
        return label_map(self(x)[0])

    @torch.no_grad()
    def feature_shape(self, size: int | Sequence[int]) -> tuple[int, int, int]:
        """(C, h, w) of z for images of `size`: pixels a side, or (H, W)."""
        return tuple(self(_blank(self.net, size))[1].shape[1:])


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


def _blank(net: nn.Module, size: int | Sequence[int]) -> Tensor:
    height, width = (size, size) if isinstance(size, int) else size
    weight = next(net.parameters(), torch.zeros(0))
    return torch.zeros(1, input_channels(net), height, width, dtype=weight.dtype, device=weight.device)


def _described(z: Any) -> str:
    return f"of shape {tuple(z.shape)}" if isinstance(z, Tensor) else f"a {type(z).__name__}"


OFFERED = 20  # layers that an error message lists
EXAMPLE = 256  # pixels a side of the image whose shapes it gives


def layer_advice(net: nn.Module, wanted: str = "") -> str:
    """Which layers there are: the likeliest names first, with shapes where an example image goes through."""
    training = net.training
    try:
        shapes = layer_shapes(net.eval(), _blank(net, EXAMPLE))
    except (RuntimeError, ValueError, TypeError):  # it takes other images
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
