"""Several processes of one fit: what they share out adds up to one process, and none is left waiting."""

import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace

import launched
import numpy as np
import pytest
import torch
from filelock import FileLock  # torch brings it
from sklearn.datasets import load_iris

from skvae import AAE, AVB, ELBO, IWAE, Gaussian, VAETransformer
from skvae._training import processes
from skvae._training.processes import Processes

IRIS = load_iris().data
WORKER = str(Path(launched.__file__))
TIMEOUT = 180  # seconds; a launch takes about 20


@pytest.fixture(scope="session", autouse=True)
def accelerate():
    return pytest.importorskip("accelerate")


@contextmanager
def launch(folder, *names, options=("--standalone", "--nproc_per_node=2")):
    """A launch that runs; whatever happens, none of its processes outlives the block."""
    command = [sys.executable, "-m", "torch.distributed.run", *options, WORKER, str(folder), *names]
    alone = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}  # device="auto" is the CPU, as in one process
    environment = {**os.environ, **alone, "PYTHONPATH": os.pathsep.join(sys.path)}
    with (folder / f"log{len(list(folder.glob('log*')))}").open("w+") as log:
        agent = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            yield agent
        finally:
            agent.terminate()  # it takes its workers along
            agent.wait(30)


def logs(folder):
    return "\n".join(path.read_text() for path in folder.glob("log*"))


def results(folder):
    return [pickle.loads((folder / f"rank{rank}.pkl").read_bytes()) for rank in (0, 1)]


def assert_nobody_is_left(folder):
    """The agents may be faster than the system that buries their workers."""
    pids = [int(path.read_text()) for path in folder.glob("pid*")]
    assert len(pids) == 2
    end = time.monotonic() + 10
    while any(is_alive(pid) for pid in pids):
        assert time.monotonic() < end
        time.sleep(0.1)


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def assert_equal(a, b, without=()):
    """To the last bit, in every entry but the digest, which is also of the seconds of each epoch."""
    assert a.keys() == b.keys()
    for name in a.keys() - {"digest", *without}:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


# One launch of two processes on one machine, which runs every case.


@pytest.fixture(scope="module")
def one_node(tmp_path_factory):
    """The folder of the launch; the workers of pytest-xdist share one."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "one_node"
    folder.mkdir(exist_ok=True)
    with FileLock(folder / "lock"):
        if not (folder / "done").exists():
            names = [case.__name__ for case in launched.SAME] + [
                "without_generators",
                "one_stops",
                "losses",
                "global_draws",
                "printed",
                "refused",
            ]
            with launch(folder, *names) as agent:
                assert agent.wait(TIMEOUT) == 0, logs(folder)
            assert_nobody_is_left(folder)
            (folder / "done").touch()
    return folder


def test_the_gradient_is_that_of_one_process(one_node, tmp_path):
    """Two sums of 100 rows in place of one of 200, in float32; a norm of the difference of 2e-7 was seen."""
    first, second = (result["gradient"]["gradient"] for result in results(one_node))
    np.testing.assert_array_equal(first, second)
    alone = launched.gradient(tmp_path)["gradient"]
    assert np.linalg.norm(first - alone) < 1e-6 * np.linalg.norm(alone)


@pytest.mark.parametrize("case", launched.SAME[1:], ids=lambda case: case.__name__)
def test_a_fit_is_that_of_one_process(case, one_node, tmp_path):
    """All processes equal to the last bit; and one process but for rounding, which some 100 steps have let grow."""
    first, second = (result[case.__name__] for result in results(one_node))
    assert_equal(first, second)
    alone = case(tmp_path)
    assert (first["n_iter"], first["best_iter"]) == (alone["n_iter"], alone["best_iter"])
    assert np.linalg.norm(first["weights"] - alone["weights"]) < 1e-5 * np.linalg.norm(alone["weights"])
    np.testing.assert_allclose(first["codes"], alone["codes"], atol=1e-4)
    for ours, theirs in zip(first["history"], alone["history"], strict=True):
        assert ours.keys() == theirs.keys()
        np.testing.assert_allclose(list(ours.values()), list(theirs.values()), rtol=1e-5, atol=1e-4)


def test_early_stopping_stops_all(one_node):
    """Both kinds did stop, and training paid."""
    for name in ("joint", "users_early_stopping"):
        for result in results(one_node):
            assert 0 < result[name]["best_iter"] <= result[name]["n_iter"] < 60


def test_draws_without_generators_leave_the_models_equal(one_node):
    first, second = (result["without_generators"] for result in results(one_node))
    for ours, theirs in zip(first, second, strict=True):
        assert_equal(ours, theirs)


def test_a_callback_that_stops_one_process_stops_all(one_node):
    assert [result["one_stops"] for result in results(one_node)] == [2, 2]


def test_schedules_are_sent_the_loss_of_the_whole_batch(one_node, tmp_path):
    """Else they would decide differently, and wait for each other for ever."""
    first, second = (result["losses"] for result in results(one_node))
    assert first == second
    np.testing.assert_allclose(first, launched.losses(tmp_path), rtol=1e-5)


def test_each_process_has_global_draws_of_its_own(one_node):
    """Such as masks of dropout: the rows of a batch would otherwise share them."""
    first, second = (result["global_draws"] for result in results(one_node))
    assert len(first) == len(second) > 0
    assert not set(first) & set(second)


def test_only_the_first_process_prints(one_node):
    first, second = (result["printed"] for result in results(one_node))
    assert all(text in first for text in ("reading] 150 rows", "writing] 150 of 150 rows", "train_loss"))
    assert second == ""


def test_the_pickle_of_the_first_process_is_an_ordinary_one(one_node):
    vae = pickle.loads((one_node / "joint.pkl").read_bytes())
    np.testing.assert_array_equal(vae.transform(launched.CANCER), results(one_node)[0]["joint"]["codes"])


@pytest.mark.parametrize(
    ("name", "says"),
    {
        "batch_size": "1 row.*2 processes.*'batch_size' parameter",
        "X_val": "1 row.*to hold out",
        "wae_mmd": r"WAEMMD\(\) compares the rows of a batch",
        "free_bits": r"ELBO\(free_bits=0.1\) compares the rows of a batch",
        "exact_em": "all rows at once",
        "batch norm": "BatchNorm1d.*at 'encoder.net",
        "rows": "differ in the number of training rows: 149 in process 0, 148 in process 1",
        "scaling": "differ in the scaling of the columns",
        "columns": "differ in the columns",
        "cells": "differ in a hash of the training rows",
        "parameters": "differ in the 'learning_rate' parameter: 0.01 in process 0, 0.02 in process 1",
        "seeds": "differ in the 'random_state' parameter: 0 in process 0, 1 in process 1",
        "device": "device='cuda:1'",
        "no checkpoint": "has no checkpoint of this fit",
        "models": "differ in the 'warm_start' parameter",
    }.items(),
)
def test_what_is_refused_is_refused_in_all_processes(name, says, one_node):
    """And the next fit of the same processes works: that all of these are there says so."""
    first, second = (result["refused"].get(name, "nothing") for result in results(one_node))
    assert first == second
    with pytest.raises(ValueError, match=f"(?s){says}"):
        raise ValueError(first)


# Processes that die


def test_the_error_of_one_process_ends_all(tmp_path):
    with launch(tmp_path, "error") as agent:
        assert agent.wait(TIMEOUT) != 0
    assert "the callback of rank 1 fails" in logs(tmp_path)
    assert_nobody_is_left(tmp_path)


@pytest.mark.slow
def test_two_nodes(one_node, tmp_path):
    """They give what one node gives, bit for bit; and when one's worker is killed, both end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = ("--nnodes=2", "--nproc_per_node=1", "--master_addr=127.0.0.1", f"--master_port={port}")
    with ExitStack() as stack:
        agents = [
            stack.enter_context(launch(tmp_path, "joint", "em", "kill", options=(*common, f"--node_rank={rank}")))
            for rank in (0, 1)
        ]
        assert all(agent.wait(TIMEOUT) != 0 for agent in agents)
    assert f"Signal {signal.SIGKILL} " in logs(tmp_path), logs(tmp_path)
    assert_nobody_is_left(tmp_path)
    for ours, theirs in zip(results(tmp_path), results(one_node), strict=True):
        for name in ("joint", "em"):
            assert_equal(ours[name], theirs[name])


# Without a launch


def several(size, rank=0, reduce=lambda flat, how: flat):
    accelerator = SimpleNamespace(process_index=rank, num_processes=size, device="cpu", reduce=reduce)
    return Processes(accelerator)


@pytest.mark.parametrize(("n_rows", "size"), [(2, 2), (7, 2), (7, 3), (512, 4), (513, 4)])
def test_shares_are_all_rows_once(n_rows, size):
    rows = np.arange(n_rows)
    shares = [rows[several(size, rank).shard(n_rows)] for rank in range(size)]
    np.testing.assert_array_equal(np.concatenate(shares), rows)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_own_rows_are_the_shares_of_each_batch():
    positions = np.random.default_rng(0).permutation(17)
    batches = np.split(positions, [6, 12])
    for rank in (0, 1):
        own, sizes = several(2, rank).shard_batches(positions, [6, 6, 5])
        expected = [batch[several(2, rank).shard(len(batch))] for batch in batches]
        np.testing.assert_array_equal(own, np.concatenate(expected))
        assert sizes == [len(part) for part in expected]


def test_sums_come_back_into_the_tensors_they_came_from():
    tensors = [torch.arange(6.0).view(2, 3), torch.ones(()), torch.ones(2, 2).T]
    wanted = [3 * t for t in tensors]
    flag = several(3, reduce=lambda flat, how: 3 * flat).all_reduce(tensors, flag=0.5)
    assert all(torch.equal(a, b) for a, b in zip(tensors, wanted, strict=True))
    assert float(flag) == 1.5


def test_one_process_alone_warns_and_is_an_ordinary_fit():
    vae = VAETransformer(2, max_iter=2, random_state=0)
    codes = vae.fit(IRIS).transform(IRIS)
    with pytest.warns(UserWarning, match="torchrun"):
        np.testing.assert_array_equal(vae.set_params(distributed=True).fit(IRIS).transform(IRIS), codes)


def test_a_missing_accelerate_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    monkeypatch.setattr(processes, "_launched", processes._launched.__wrapped__)
    with pytest.raises(ImportError, match="pip install accelerate"):
        VAETransformer(2, distributed=True).fit(IRIS)


@pytest.mark.parametrize(
    "objective",
    [ELBO(), ELBO(n_samples=3, gradient="score_function"), ELBO(kl="monte_carlo"), ELBO(free_bits=2.4),
     IWAE(n_samples=3), IWAE(n_samples=3, gradient="doubly_reparameterized"),
     IWAE(n_samples=3, gradient="score_function"), AAE(), AVB(), "ae", "wae_mmd"],
    ids=repr,
)  # fmt: skip
def test_objectives_know_whether_they_go_row_by_row(objective):
    """Whether gradients of the parts of a batch add up to that of the whole; a GAN's draws hide it, but read it."""
    plain = {"likelihood": Gaussian(background=0), "prior": "auto" if objective == "ae" else "normal"}
    vae = VAETransformer(2, objective=objective, hidden_layer_sizes=(4,), max_iter=3, random_state=0, **plain).fit(IRIS)
    model, objective = vae.module_.train(), vae.fitted_.parts.objective
    x = vae.fitted_.columns.tensors(IRIS[::4], "cpu", torch.float32)[0]
    u = torch.randn(objective.n_draws, len(x), model.n_noise, generator=torch.Generator().manual_seed(0))

    def gradient(rows):
        torch.default_generator.manual_seed(0)
        model.zero_grad()
        objective(model, x[rows], None, u[:, rows])["loss"].sum().backward()
        return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    whole, parts = gradient(slice(None)), gradient(slice(20)) + gradient(slice(20, None))
    assert (((whole - parts).norm() < 1e-4 * whole.norm()) == objective.is_row_wise).all()
