"""What makes a fit quick, as far as no clock is needed: kernels, waits for the device, imports, threads."""

import subprocess
import sys

import pytest
import torch
from torch import distributions as td
from torch.distributions import kl_divergence
from torch.utils._python_dispatch import TorchDispatchMode

from skvae import VAETransformer
from skvae.distributions import smooth
from skvae.distributions import univariate as densities

WAITS = ("_local_scalar_dense", "nonzero", "is_nonzero", "equal", "masked_select")


@pytest.mark.parametrize("shape", [(), (3,), (5, 3), (2, 5, 3)])
def test_normal_is_torchs(shape):
    """Densities, gradients and divergence, with a scale of its own shape."""
    generator = torch.Generator().manual_seed(1)
    loc = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64)
    scale = torch.rand(shape, generator=generator, dtype=torch.float64).add(0.1).requires_grad_()
    x = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    ours, theirs = densities.Normal(loc, scale), td.Normal(loc, scale)
    torch.testing.assert_close(ours.log_prob(x), theirs.log_prob(x))
    for p in (ours, theirs):
        torch.testing.assert_close(p.expand((4, 2, 5, 3)).log_prob(x), theirs.log_prob(x).expand(4, 2, 5, 3))
    gradients = [torch.autograd.grad(p.log_prob(x).sum(), scale)[0] for p in (ours, theirs)]
    torch.testing.assert_close(*gradients)
    zero = torch.zeros(3, dtype=torch.float64)
    standard = densities.StandardNormal(zero)
    torch.testing.assert_close(kl_divergence(ours, standard), kl_divergence(theirs, td.Normal(zero, zero + 1)))
    assert standard.expand((5, 3)).log_prob(x).shape == (5, 3)


class Waits(TorchDispatchMode):
    """Counts the operations for which the host waits for the device."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        """Note the name and go on."""
        self.seen += [name for name in WAITS if function.__name__.startswith(name)]
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"posterior": "full"},
        {"objective": "iwae"},
        {"objective": "wae_mmd"},
        {"prior": "mixture"},
        {"likelihood": "student_t"},
        {"precision": "bfloat16"},
    ],
    ids=str,
)
def test_steps_never_wait_for_the_device(cancer, options, monkeypatch):
    """The number of waits is that of an epoch, however many steps it has: what a GPU needs, seen on the CPU."""
    monkeypatch.setattr(smooth, "_is_between", lambda *_: False)  # a look that is taken on the CPU alone
    counts = []
    for batch_size in (400, 20):
        vae = VAETransformer(3, batch_size=batch_size, max_iter=3, early_stopping=False, random_state=0, **options)
        with Waits() as waits:
            vae.fit(cancer)
        counts.append(len(waits.seen))
    assert counts[0] == counts[1]


def python(code):
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_what_is_imported_when():
    """Nothing heavy at import; the first optimizer of torch's classes would bring torch._dynamo, 1 to 2 seconds."""
    late = ["skorch", "sklearn.cluster", "sklearn.mixture", "matplotlib", "zuko"]
    heavy = [*late, "torch._dynamo", "torch._inductor", "sympy"]
    code = (
        "import sys, torch, sklearn; before = set(sys.modules)\n"
        f"import skvae; print(*(set({heavy}) & (set(sys.modules) - before)))"
    )
    assert python(code) == []
    code = (
        "import sys, numpy, skvae; X = numpy.random.default_rng(0).normal(size=(150, 4))\n"
        "vae = skvae.VAETransformer(2, max_iter=2).fit(X); vae.score(X); vae.sample(3)\n"
        f"print(*(set({heavy[1:]}) & set(sys.modules)))"
    )
    assert python(code) == []
