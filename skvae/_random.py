"""Seeds and generators: all randomness of the package starts here and leaves the global generators as they were."""

import threading
from contextlib import contextmanager

import numpy as np
import torch
from sklearn.utils import check_random_state

__all__ = ["draw_seed", "isolated", "torch_generator"]

_lock = threading.RLock()
_depth = 0
_saved = None


def draw_seed(random_state):
    """Turn scikit-learn's `random_state` into one int; None asks the operating system, not numpy's global generator."""
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    if isinstance(random_state, (int, np.integer)):
        check_random_state(random_state)  # refuses negative seeds with scikit-learn's message
        return int(random_state)
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))


def torch_generator(device, *keys):
    """Make a generator on `device` whose stream depends on the ints `keys` only, e.g. (seed, epoch)."""
    high, low = np.random.SeedSequence(keys).generate_state(2)
    return torch.Generator(device=device).manual_seed((int(high) << 31) ^ int(low))


@contextmanager
def isolated(*keys):
    """Seed torch's global generators inside the block and put them back after it.

    Dropout, `nn.Module` constructors and some samplers of torch.distributions take no generator. Overlapping blocks
    of several threads share one saved state: it is taken by the first and restored by the last.
    """
    global _depth, _saved
    with _lock:
        if _depth == 0:
            _saved = _global_state()
        _depth += 1
        torch.manual_seed(int(np.random.SeedSequence(keys).generate_state(1)[0]))
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0:
                _restore(_saved)


def _global_state():
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() and torch.cuda.is_initialized() else None
    return torch.get_rng_state(), cuda


def _restore(state):
    cpu, cuda = state
    torch.set_rng_state(cpu)
    if cuda is not None:
        torch.cuda.set_rng_state_all(cuda)
