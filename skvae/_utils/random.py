"""Seeds and generators: all randomness of the package starts here and leaves the global generators as they were."""

import math
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state

__all__ = [
    "draw_seed",
    "exclusive",
    "global_states",
    "isolated",
    "seed_global",
    "set_global_states",
    "torch_generator",
    "whitened_pairs",
]

_lock = threading.RLock()
_depth = 0
_saved: dict[str, torch.Tensor] = {}  # device -> state of its global generator before the first of the open blocks


def draw_seed(random_state: int | np.random.RandomState | None) -> int:
    """Turn scikit-learn's `random_state` into one int; None asks the operating system, not numpy's global generator."""
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    if isinstance(random_state, (int, np.integer)):
        check_random_state(random_state)  # refuses negative seeds with scikit-learn's message
        return int(random_state)
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))


def torch_generator(device: str | torch.device, *keys: int) -> torch.Generator:
    """Make a generator on `device` whose stream depends on the ints `keys` only, e.g. (seed, epoch)."""
    high, low = np.random.SeedSequence(keys).generate_state(2)
    return torch.Generator(device=device).manual_seed((int(high) << 31) ^ int(low))


def seed_global(device: str | torch.device, *keys: int) -> None:
    """Seed torch's global generators of the CPU and of `device`; only inside `isolated`."""
    seed = int(np.random.SeedSequence(keys).generate_state(1)[0])
    with _lock:  # not while another thread is `exclusive`
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed every device
        if torch.device(device).type != "cpu":
            _generator_module(device).manual_seed(seed)


def global_states(device: str | torch.device) -> dict[str, torch.Tensor]:
    """States of torch's global generators of the CPU and of `device`, by the kind of device."""
    return {kind: _generator_module(kind).get_rng_state() for kind in {"cpu", torch.device(device).type}}


def set_global_states(states: Mapping[str, torch.Tensor]) -> None:
    """Go on from `global_states`; only inside `isolated`."""
    for kind, state in states.items():
        _generator_module(kind).set_rng_state(state)


def whitened_pairs(n_samples: int, n_noise: int, generator: torch.Generator) -> torch.Tensor:
    """Draws u (S, 1, n_noise), S >= n_samples, with mean 0 and covariance I exactly: E[f(u)] is exact for quadratic f.

    S / 2 >= n_noise normal draws are whitened and used with both signs; float64.
    """
    half = max(math.ceil(n_samples / 2), n_noise)
    draws = torch.randn(half, n_noise, generator=generator, dtype=torch.float64)
    left, _, right = torch.linalg.svd(draws, full_matrices=False)
    white = left @ right * math.sqrt(half)  # the orthogonal matrix nearest to the draws
    return torch.cat([white, -white]).unsqueeze(1)


@contextmanager
def isolated(device: str | torch.device, *keys: int) -> Iterator[None]:
    """Seed torch's global generators inside the block and put them back after it.

    Dropout, `nn.Module` constructors and some samplers of torch.distributions take no generator. Overlapping blocks
    of several threads share one saved state: it is taken by the first and restored by the last. Their draws race;
    short blocks that must repeat under threads are `exclusive`. What is left is training that draws from the global
    generators: dropout, gamma-like posteriors, and objectives that draw from the prior.
    """
    global _depth
    with _lock:
        _depth += 1
        for name in ("cpu", str(device)):
            _saved.setdefault(name, _generator_module(name).get_rng_state())
    try:
        seed_global(device, *keys)  # a bad seed raises: the block is left then, too
        yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0:
                for name, state in _saved.items():
                    _generator_module(name).set_rng_state(state)
                _saved.clear()


@contextmanager
def exclusive(*keys: int, device: str | torch.device = "cpu") -> Iterator[None]:
    """`isolated`, one thread at a time: for building modules and drawing samples."""
    with _lock, isolated(device, *keys):
        yield


def _generator_module(device: str | torch.device) -> Any:
    kind = torch.device(device).type
    return torch if kind == "cpu" else getattr(torch, kind)
