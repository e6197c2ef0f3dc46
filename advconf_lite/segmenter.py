"""The segmenter f_theta, and a tap that reads its features z without changing it."""

from __future__ import annotations

from collections.abc import Sequence

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
) -> UNet:
    """The paper's U-Net (section 4.2): depth four, four residual units a level, instance norm, dropout per ADN layer.

    One input channel and `num_classes` softmax outputs, background first. A narrower `channels` keeps the topology.
    In MONAI, `num_res_units` counts the encoder's units; each decoder level has one.
    """
    return UNet(
        spatial_dims=2,
        in_channels=1,
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
        raise BadInput(f"the network has no layer {name}; pass the layer to read z at by its name in named_modules()")
    return name


def label_map(logits: Tensor) -> Tensor:
    """Label maps (B, H, W) of logits (B, K, H, W): the argmax over classes, the first of equal ones."""
    # max(1) gives the same labels as argmax(1), which on a CPU takes a third of the network's own time.
    return logits.max(1).indices


class Segmenter(nn.Module):
    """A network that maps images to logits, and a tap on one of its layers.

    Args:
        net: any module, (B, 1, H, W) -> logits (B, K, H, W), background first.
        layer: the tapped layer's name in `net.named_modules()`. Default: the decoder's norm layer at 1/4 resolution
            of `build_unet`.
        side: read the layer's "input" (z before the norm, as published) or its "output".

    The network itself is not touched: no wrapped or replaced layer, the same state dict, the same output.
    """

    def __init__(self, net: nn.Module, layer: str | None = None, side: str = "input") -> None:
        super().__init__()
        self.net = net
        self.layer = layer or feature_layer(net)
        self.side = side
        if self.layer not in dict(net.named_modules()):
            raise BadInput(f"the network has no layer {self.layer!r}; choose one of the names in named_modules()")

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and features of one pass.

        Args:
            x: (B, 1, H, W).

        Returns:
            logits (B, K, H, W), never with a graph unless the network is being trained, and z (B, C, H/4, W/4), with
            a graph back to x if x requires a gradient. Only what leads to z is recorded: behind the tap, autograd is
            switched off for the rest of the pass.
        """
        caught: list[Tensor] = []

        def read(module: nn.Module, inputs: tuple, output: Tensor | None = None) -> None:
            if caught:
                raise BadInput(f"layer {self.layer} runs more than once in a pass; tap a layer that runs once")
            caught.append(inputs[0] if output is None else output)
            if frozen:
                torch.set_grad_enabled(False)

        module = self.net.get_submodule(self.layer)
        frozen = not any(p.requires_grad for p in self.net.parameters())
        hook = module.register_forward_pre_hook(read) if self.side == "input" else module.register_forward_hook(read)
        try:
            with torch.set_grad_enabled(torch.is_grad_enabled()):  # restores the mode that `read` may switch off
                logits = self.net(x)
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
    def feature_shape(self, size: int) -> tuple[int, int, int]:
        """(C, h, w) of z for square images of `size` pixels."""
        parameter = next(self.net.parameters())
        return tuple(self(torch.zeros(1, 1, size, size, device=parameter.device))[1].shape[1:])
