"""Seeds and generators: all randomness of the package starts here and leaves the global generators as they were."""

import math
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state

from .global_state import in_forked_children, lock

__all__ = [
    "draw_seed",
    "exclusive",
    "global_states",
    "in_pairs",
    "isolated",
    "row_choices",
    "row_normals",
    "row_uniforms",
    "seed_global",
    "set_global_states",
    "torch_generator",
    "whitened_pairs",
]

_GAMMA, _FIRST, _SECOND = -0x61C8864680B583EB, -0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15  # of splitmix64, as int64

_open: dict[object, int] = {}  # the blocks of `isolated` that run -> their threads
_saved: dict[str, torch.Tensor] = {}  # device -> state of its global generator before the first of these blocks


def draw_seed(random_state: int | np.random.RandomState | None) -> int:
    """Turn scikit-learn's `random_state` into one int; None asks the operating system, not numpy's global generator."""
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    try:
        generator = check_random_state(random_state)
    except ValueError as error:
        raise ValueError(
            "The 'random_state' parameter must be an int from 0 to 2**32 - 1, a numpy.random.RandomState or None. Got "
            f"{random_state!r} instead."
        ) from error
    if isinstance(random_state, (int, np.integer)):
        return int(random_state)
    return int(generator.randint(np.iinfo(np.int32).max))


def torch_generator(device: str | torch.device, *keys: int) -> torch.Generator:
    """Make a generator on `device` whose stream depends on the ints `keys` only, e.g. (seed, epoch)."""
    high, low = np.random.SeedSequence(keys).generate_state(2)
    return torch.Generator(device=device).manual_seed((int(high) << 31) ^ int(low))


def seed_global(device: str | torch.device, *keys: int) -> None:
    """Seed torch's global generators of the CPU and of `device`; only inside `isolated`."""
    seed = int(np.random.SeedSequence(keys).generate_state(1)[0])
    with lock:  # not while another thread is `exclusive`
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed every device
        if torch.device(device).type != "cpu":
            _generator_module(device).manual_seed(seed)


def global_states(device: str | torch.device) -> dict[str, torch.Tensor]:
    """States of torch's global generators of the CPU and of `device`, by the kind of device."""
    return {kind: _generator_module(kind).get_rng_state() for kind in {"cpu", torch.device(device).type}}


def set_global_states(states: Mapping[str, torch.Tensor]) -> None:
    """Put torch's global generators into these states, device by device."""
    for kind, state in states.items():
        _generator_module(kind).set_rng_state(state)


def in_pairs(u: torch.Tensor) -> torch.Tensor:
    """u_1, -u_1, u_2, -u_2, ... of draws u (S, B, n_noise): (2 S, B, n_noise)."""
    return torch.stack([u, -u], 1).flatten(0, 1)


def whitened_pairs(n_samples: int, n_noise: int, generator: torch.Generator) -> torch.Tensor:
    """Draws u (S, 1, n_noise), S >= n_samples, with mean 0 and covariance I exactly: E[f(u)] is exact for quadratic f.

    S / 2 >= n_noise normal draws are whitened and used with both signs; float64.
    """
    half = max(math.ceil(n_samples / 2), n_noise)
    draws = torch.randn(half, n_noise, generator=generator, dtype=torch.float64)
    left, _, right = torch.linalg.svd(draws, full_matrices=False)
    white = left @ right * math.sqrt(half)  # the orthogonal matrix nearest to the draws
    return torch.cat([white, -white]).unsqueeze(1)


def row_normals(keys: torch.Tensor, n_samples: int, n_noise: int) -> torch.Tensor:
    """Draws u ~ N(0, 1) of each row from its own int64 key (B,): (S, B, n_noise), float64.

    They are a function of the key and of nothing else, and the first S of more draws are those S. Box & Muller (1958)
    turn the halves of a word into two draws.
    """
    words = _row_words(keys, math.ceil(n_samples / 2), n_noise)
    radius = _upper_half(words).add_(0.5).mul_(2.0**-32).log_().mul_(-2).sqrt_()
    angle = (words & 0xFFFFFFFF).double().mul_(2 * math.pi * 2.0**-32)
    return torch.stack([radius * angle.cos(), radius * angle.sin()], 1).flatten(0, 1)[:n_samples]


def row_choices(keys: torch.Tensor, n_samples: int, n_choices: int) -> torch.Tensor:
    """S of `n_choices` things for each row, with replacement, from its own int64 key (B,): int64 (S, B)."""
    return _upper_half(_row_words(keys, n_samples, 1)[..., 0]).mul_(n_choices * 2.0**-32).long()


def row_uniforms(keys: torch.Tensor, n_samples: int) -> torch.Tensor:
    """Draws of each row from the uniform distribution on (0, 1), from its own int64 key (B,): (S, B), float64."""
    return _upper_half(_row_words(keys, n_samples, 1)[..., 0]).add_(0.5).mul_(2.0**-32)


def _row_words(keys: torch.Tensor, n_samples: int, n_words: int) -> torch.Tensor:
    """64 random bits for each number, int64 (S, B, n_words): splitmix64 (Steele et al. 2014) of key and counter.

    A generator of numpy or torch for each row would take ten microseconds to make.
    """
    counter = torch.arange(1, n_samples * n_words + 1, device=keys.device).view(n_samples, 1, n_words)
    words = keys[:, None] + counter * _GAMMA
    for shift, factor in ((30, _FIRST), (27, _SECOND), (31, 1)):
        words = (words ^ ((words >> shift) & (1 << (64 - shift)) - 1)) * factor  # int64 shifts its sign in
    return words


def _upper_half(words: torch.Tensor) -> torch.Tensor:
    return ((words >> 32) & 0xFFFFFFFF).double()


@contextmanager
def isolated(device: str | torch.device, *keys: int) -> Iterator[None]:
    """Seed torch's global generators inside the block and put them back after it.

    Dropout, `nn.Module` constructors and some samplers of torch.distributions take no generator. Overlapping blocks
    of several threads share one saved state: it is taken by the first and restored by the last. Their draws race;
    short blocks that must repeat under threads are `exclusive`. What is left is training that draws from the global
    generators: dropout, gamma-like posteriors, and objectives that draw from the prior.
    """
    block = object()
    try:
        try:
            _enter(block, device)
            seed_global(device, *keys)  # a bad seed raises: the block is left then, too
            yield
        finally:
            _leave(block)
    finally:
        _leave(block)  # which does nothing, unless an interrupt has cut the first short


def _enter(block: object, device: str | torch.device) -> None:
    with lock:
        _open[block] = threading.get_ident()
        for name in {"cpu", str(device)} - set(_saved):
            _saved[name] = _generator_module(name).get_rng_state()


def _leave(block: object) -> None:
    """The last block puts the generators back, and only then forgets how they were."""
    with lock:
        _open.pop(block, None)
        if not _open:
            set_global_states(_saved)
            _saved.clear()


@in_forked_children
def _leave_blocks_of_other_threads() -> None:
    for name in set(_saved) - {"cpu"}:  # a forked child cannot use the parent's CUDA
        del _saved[name]
    for block in [block for block, thread in _open.items() if thread != threading.get_ident()]:
        _leave(block)


@contextmanager
def exclusive(*keys: int, device: str | torch.device = "cpu") -> Iterator[None]:
    """`isolated`, one thread at a time: for building modules and drawing samples."""
    with lock, isolated(device, *keys):
        yield


def _generator_module(device: str | torch.device) -> Any:
    kind = torch.device(device).type
    return torch if kind == "cpu" else getattr(torch, kind)
