"""Updates and clipping are those of torch's classes."""

import pytest
import torch

from skvae._training.optimizers import OPTIMIZERS, clip_

CLASSES = {
    "adamw": torch.optim.AdamW,
    "adam": torch.optim.Adam,
    "sgd": lambda groups, **options: torch.optim.SGD(groups, momentum=0.9, **options),
}


def parameters():
    """Three tensors, the same every time."""
    generator = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in [(4, 3), (4,), (2, 4)]]


def groups(tensors):
    return [{"params": tensors[:2]}, {"params": tensors[2:], "weight_decay": 0.0}]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_updates_are_those_of_torchs_classes(name):
    """Two groups with their own decay, gradients that are missing now and then, state that is stored in between."""
    options = {"lr": 0.01, "weight_decay": 0.1}
    runs = {}
    for kind, make in (("ours", OPTIMIZERS[name]), ("theirs", CLASSES[name])):
        tensors = parameters()
        optimizer = make(groups(tensors), **options)
        for step in range(6):
            for i, p in enumerate(tensors):
                seed = torch.Generator().manual_seed(10 * step + i)
                p.grad = None if (step + i) % 4 == 3 else torch.randn(p.shape, generator=seed)
            optimizer.step()
            if step == 3:
                state = optimizer.state_dict()
                optimizer = make(groups(tensors), **options)
                optimizer.load_state_dict(state)
        runs[kind] = torch.cat([p.detach().flatten() for p in tensors])
    torch.testing.assert_close(runs["ours"], runs["theirs"], rtol=1e-6, atol=1e-7)
    assert not torch.allclose(runs["ours"], torch.cat([p.detach().flatten() for p in parameters()]), atol=1e-3)


@pytest.mark.parametrize("most", [0.5, 100.0])
def test_clipping_is_torchs(most):
    ours, theirs = parameters(), parameters()
    for tensors in (ours, theirs):
        for p in tensors[:2]:
            p.grad = p.detach().clone()
    clip_(ours, most)
    torch.nn.utils.clip_grad_norm_(theirs, most)
    for mine, other in zip(ours[:2], theirs[:2], strict=True):
        torch.testing.assert_close(mine.grad, other.grad)
    assert ours[2].grad is None
