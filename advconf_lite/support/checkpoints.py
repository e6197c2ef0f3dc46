"""What a training has come to, in a file: whole or not at all, and none if it cannot be read."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from advconf_lite.support.files import write_atomically


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a nested dict of tensors and numbers, whole or not at all."""
    data = io.BytesIO()
    torch.save(state, data)
    write_atomically(path, lambda temporary: temporary.write_bytes(data.getbuffer()))


def load_checkpoint(path: Path | None, device: torch.device | str) -> dict[str, Any] | None:
    """The checkpoint at `path`, or None if there is none; one that cannot be read is as good as none, and is said."""
    if not path or not path.exists():
        return None
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # a damaged file fails in many ways
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        print(f"{path} cannot be read ({reason}): what it had kept is made anew", flush=True)
        return None
