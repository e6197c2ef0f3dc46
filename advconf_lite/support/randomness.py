"""Seeds and generators: randomness is a function of a key of numbers and words, the same on every machine."""

from __future__ import annotations

import numpy as np
import torch


def derived_seed(*key: int | str) -> int:
    """A 63-bit seed from a key of numbers and words, the same on every machine."""
    words = [part if isinstance(part, int) else int.from_bytes(part.encode(), "big") for part in key]
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> np.uint64(1))


def generator(device: torch.device | str, *key: int | str) -> torch.Generator:
    """A generator on `device`, seeded by `key`."""
    return torch.Generator(device).manual_seed(derived_seed(*key))
