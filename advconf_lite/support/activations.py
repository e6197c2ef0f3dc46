"""The way back through a PReLU whose slope is frozen, in less time and to the same bits."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode


def frozen_slopes(x: torch.Tensor) -> AbstractContextManager:
    """Of a pass of images x: `FrozenSlopes` if there will be a way back to them, else nothing."""
    way_back = x.requires_grad and torch.is_grad_enabled() and not torch.compiler.is_compiling()
    return FrozenSlopes() if way_back else nullcontext()


class FrozenSlopes(TorchFunctionMode):
    """While it is on, a PReLU of one frozen slope is computed as the leaky ReLU that it is. No layer is replaced.

    On a CPU torch's way back through a PReLU always makes the gradient of the slope too, one number of the map at a time;
    that of a leaky ReLU takes vectors of them. Elsewhere nothing changes: to read the slope, a CPU would have to wait.
    """

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None) -> Any:
        if func is torch.prelu and len(args) == 2:
            x, slope = args
            if slope.numel() == 1 and not slope.requires_grad and x.device.type == "cpu" and x.dtype == slope.dtype:
                return F.leaky_relu(x, slope.item())
        return func(*args, **(kwargs or {}))
