"""The networks of a run: our U-Net or a network of one's own, its tap, new heads, and g."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from advconf_lite.agreement import DROPOUT
from advconf_lite.experiment.parts import Experiment
from advconf_lite.experiment.profiles import Profile
from advconf_lite.experiment.weights import load_weights
from advconf_lite.head import ConfidenceHead
from advconf_lite.quality import Quality
from advconf_lite.segmenter import Segmenter, build_unet, feature_layer
from advconf_lite.settings import Settings
from advconf_lite.support.errors import BadInput
from advconf_lite.support.files import sha256
from advconf_lite.support.layers import device_of, layer_advice
from advconf_lite.support.randomness import derived_seed


@dataclass(frozen=True)
class Network:
    """A network of one's own in a run.

    Attributes:
        factory: "package.module:function". The function is called with those of the keywords `in_channels` and
            `num_classes` (background included) that it takes, and returns a module, or a `Segmenter` that names its layer.
        weights: its trained weights, .safetensors or what torch.save makes of a state dict; without them the run trains it.
        layer: the layer whose output is z, by its name in `named_modules()`.
    """

    factory: str
    weights: str | None = None
    layer: str | None = None

    @classmethod
    def of(cls, factory: str | Callable[..., nn.Module], **options: Any) -> Network:
        """From the name of a function, or from the function itself."""
        if callable(factory):
            factory = f"{factory.__module__}:{factory.__qualname__}"
        return cls(factory, **options)

    def describe(self) -> dict[str, Any]:
        """What config.json holds: weights and code by their digests too, so that others under the same name are noticed."""
        return {
            "factory": self.factory, "weights": self.weights, "layer": self.layer,
            "sha256": sha256(self._existing_weights()) if self.weights else None, "code": self.code(),
        }  # fmt: skip

    def code(self) -> str | None:
        """SHA-256 of the file that the function is in; None where there is no such file, as in a notebook."""
        try:
            found = importlib.util.find_spec(self.factory.partition(":")[0])
        except (ImportError, ValueError):
            return None
        path = Path(found.origin) if found and found.origin else Path()
        return sha256(path) if path.is_file() else None

    def build(self, num_classes: int) -> Segmenter:
        """The network with its tap and, if it has any, its weights.

        Raises:
            BadInput: the function cannot be imported or called, it makes no network, its weights do not fit, or it has no
                such layer.
        """
        net = self._call(num_classes)
        if isinstance(net, Segmenter) and self.layer:
            raise BadInput(f"network {self.factory} chooses its layer itself; leave out layer {self.layer}")
        if not isinstance(net, Segmenter):
            if not self.layer:
                raise BadInput(f"network {self.factory} needs the layer at which z is read. {layer_advice(net)}")
            net = Segmenter(net, self.layer)
        if self.weights:
            load_weights(net.net, self._existing_weights())
        return net

    def _call(self, num_classes: int) -> nn.Module:
        module, _, name = self.factory.partition(":")
        if not name or not name.isidentifier():
            raise BadInput(
                f"network {self.factory!r} is not package.module:function, the function at the module's top level"
            )
        try:
            function = getattr(importlib.import_module(module), name)
        except Exception as error:  # whatever the module does when it is imported
            raise BadInput(
                f"network {self.factory} cannot be imported ({error}); run from the folder that holds it, or install it"
            ) from error
        given = {"in_channels": 1, "num_classes": num_classes}
        try:
            takes = inspect.signature(function).parameters
            net = function(**{key: value for key, value in given.items() if key in takes})
        except BadInput:
            raise
        except Exception as error:
            raise BadInput(
                f"network {self.factory} cannot be made with {', '.join(given)} at most: {_said(error)}; give a function "
                "that needs nothing else"
            ) from error
        if not isinstance(net, nn.Module):
            raise BadInput(f"network {self.factory} returns a {type(net).__name__}; it must return a torch.nn.Module")
        return net

    def _existing_weights(self) -> Path:
        path = Path(self.weights)
        if not path.is_file():
            raise BadInput(f"weights {path} do not exist; give the file of the network's state dict")
        return path


def new_segmenter(network: Network | None, profile: Profile, num_classes: int, seed: int) -> Segmenter:
    """The run's segmenter as it is before training: our U-Net with the seed's weights, or a network of one's own."""
    settings = profile.settings
    with seeded("segmenter weights", seed):
        if network is not None:
            return network.build(num_classes)
        net = build_unet(profile.channels, num_classes, profile.num_res_units, settings.dropout)
    layer = feature_layer(net, settings.feature_layer, profile.num_res_units)
    return Segmenter(net, layer, "input" if settings.feature_norm == "before" else "output")


def check_segmenter(segmenter: Segmenter, experiment: Experiment) -> None:
    """BadInput unless images of the experiment go through, and come out as logits of its classes."""
    segmenter.eval()
    images = experiment.train.images[:4].to(device_of(segmenter))  # (n, channels, H, W)
    try:
        with torch.no_grad():
            logits, _ = segmenter(images)
    except BadInput as error:
        if error.__cause__ is None:  # it says by itself what to do
            raise
        raise BadInput(f"{error}; let dataset.json name a size that it takes (our U-Net: multiples of 8)") from error
    wanted = (1, experiment.num_classes, *images.shape[2:])
    if logits.shape[1:] != wanted[1:]:
        raise BadInput(
            f"the network gives logits of shape {(1, *logits.shape[1:])} for one image; this data set needs {wanted}: "
            f"background, {', '.join(experiment.class_names)}"
        )
    _refuse_probabilities(logits)


def _refuse_probabilities(logits: Tensor) -> None:
    """Probabilities would be taken for logits: of one sigmoid channel, all that is above 0 for the object."""
    between = bool((logits >= 0).all() and (logits <= 1).all()) and bool(logits.std() > 0)
    sigmoid = logits.shape[1] == 2 and not logits[:, 0].any() and float(logits[:, 1].min()) < 0.05
    if between and (sigmoid or torch.allclose(logits.sum(1), torch.ones_like(logits[:, 0]), atol=1e-3)):
        raise BadInput("the network returns probabilities; leave out its last sigmoid or softmax, for logits are needed")


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def is_trained(segmenter: Segmenter, network: Network | None) -> bool:
    """Whether a run takes it as it comes: its weights were given, or none of them asks for a gradient."""
    given = network is not None and network.weights is not None
    return given or not any(weight.requires_grad for weight in segmenter.parameters())


def has_dropout(net: nn.Module) -> bool:
    """Whether Monte Carlo samples of a network would differ."""
    return any(isinstance(module, DROPOUT) and module.p > 0 for module in net.modules())


def new_head(segmenter: Segmenter, experiment: Experiment, settings: Settings, quality: str, seed: int) -> ConfidenceHead:
    """Heads of one seed and quality start from the same weights, whatever the method."""
    s, shape = settings, segmenter.feature_shape(experiment.train.images.shape[2:])
    num_scores = experiment.num_classes - (0 if s.predict_background else 1)
    with seeded("head weights", seed, quality):
        return ConfidenceHead(shape, num_scores, s.head_channels, s.head_hidden, s.head_norm, s.head_bias, s.head_output)


def make_quality(name: str, experiment: Experiment, settings: Settings) -> Quality:
    """A quality at the experiment's spacing and tolerance.

    On a grid coarser than the tolerance, the tolerance is one pixel: below it, only identical outlines would count.
    """
    tolerance = experiment.tolerance_mm if settings.tolerance is None else settings.tolerance
    spacing = experiment.spacing_mm if settings.tolerance_unit == "mm" else 1.0
    tolerance = max(tolerance, spacing)
    return Quality(name, experiment.num_classes, tolerance, spacing, settings.predict_background)


@contextmanager
def seeded(*key: int | str) -> Iterator[None]:
    """torch's global generator, seeded by `key` for a while."""
    state = torch.random.get_rng_state()
    torch.manual_seed(derived_seed(*key))
    try:
        yield
    finally:
        torch.random.set_rng_state(state)
