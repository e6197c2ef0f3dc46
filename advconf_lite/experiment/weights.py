"""Weights in files: those of a run, and state dicts from elsewhere, whatever they are wrapped in."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from advconf_lite.support.errors import BadInput
from advconf_lite.support.files import write_atomically
from advconf_lite.support.layers import plain_name

# Where trainers keep the state dict in a checkpoint: PyTorch Lightning, MONAI, nnU-Net, and by habit.
KEYS = ("state_dict", "model_state_dict", "model", "net", "network", "network_weights", "weights")
# Plain numbers that checkpoints hold beside the tensors.
_SCALAR = np.float64(0).__reduce__()[0]
NUMBERS = [np.dtype, *{type(np.dtype(kind)) for kind in "fdiqe?"}, _SCALAR, (_SCALAR, "numpy.core.multiarray.scalar")]
NAMED = 3  # weights that an error message names


def save_weights(module: nn.Module, path: Path) -> None:
    """Weights and buffers as safetensors, written whole or not at all."""
    data = safetensors.torch.save({k: v.detach().cpu().contiguous() for k, v in module.state_dict().items()})
    write_atomically(path, lambda temporary: temporary.write_bytes(data))


def load_weights(module: nn.Module, path: Path) -> None:
    """Read weights into `module`: safetensors, or a state dict by torch.save.

    The state dict may lie in a checkpoint under one of `KEYS`, and its names may have what DataParallel, torch.compile or a
    trainer put before them; what a trainer keeps beside the network's weights is left out.

    Raises:
        BadInput: the file cannot be read, holds something else, or does not fit.
    """
    try:
        weights = safetensors.torch.load_file(path) if path.suffix == ".safetensors" else _of_checkpoint(path)
        module.load_state_dict(_renamed(weights, module))
    except Exception as error:  # a wrong file fails in many ways
        raise BadInput(
            f"{path} cannot be read as the weights of this network ({_reason(error)}); if a run made it, delete the file "
            "and run again, otherwise give the weights that belong to the network"
        ) from error


def _of_checkpoint(path: Path) -> dict[str, Tensor]:
    with torch.serialization.safe_globals(NUMBERS):
        weights = torch.load(path, map_location="cpu", weights_only=True)
    while isinstance(weights, dict) and not any(isinstance(value, Tensor) for value in weights.values()):
        key = next((name for name in KEYS if isinstance(weights.get(name), dict)), None)
        if key is None:
            raise BadInput(f"it holds {_few(weights)}, and no weights")
        weights = weights[key]
    if not isinstance(weights, dict):
        raise BadInput(f"it holds a {type(weights).__name__}, and no state dict")
    return weights


def _renamed(weights: dict[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    """The weights under the names that `module` has for them."""
    own = {plain_name(name): name for name in module.state_dict()}
    given = {plain_name(name): weight for name, weight in weights.items()}
    if own.keys() != given.keys() and own:
        first = next(iter(own))
        # A trainer's own name for the network, such as "net." or "model.", before all of its weights.
        prefixes = [name.removesuffix(first) for name in given if name.endswith("." + first)]
        for prefix in prefixes:
            if all(prefix + name in given for name in own):
                given = {name: given[prefix + name] for name in own}
                break
    missing, unknown = [name for name in own if name not in given], [name for name in given if name not in own]
    if missing or unknown:
        raise BadInput(f"missing keys: {_few(missing)}; unknown ones: {_few(unknown)}")
    return {own[name]: weight for name, weight in given.items()}


def _few(names: Any) -> str:
    names = list(map(str, names))
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more if names else "none"


def _reason(error: Exception) -> str:
    if isinstance(error, pickle.UnpicklingError) and "Unsupported" in str(error):
        return "it holds more than weights; store them alone, by torch.save(net.state_dict(), FILE)"
    return " ".join(str(error).split())[:300] or type(error).__name__
