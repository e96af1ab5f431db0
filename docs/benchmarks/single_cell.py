"""Codes of made single-cell counts: batch mixing, cell types and CPU seconds, next to scvi-tools.

    python docs/benchmarks/single_cell.py [--model skvae|scvi|pca] [--cells 1000] [--genes 100] [--seeds 2]

Cells of four types (40, 30, 20, 10 %) come from two batches, of which each gene has another rate and the second is read
2.5 times as deeply. All models have ten components, and are given batch and depth: skvae by `conditions` and
``NegativeBinomial(exposure="depth")``, scVI by its `batch_key` and its own library size, PCA has log rates and knows
no batch. Batch and type are told by 15 neighbours, balanced accuracy of five-fold cross-validation: a half is perfect
mixing of the batches. scvi-tools wants an environment of its own (``pip install scvi-tools``), in which this script
runs with ``--model scvi``.
"""

import argparse
import time

import numpy as np
import pandas as pd
import torch
from sklearn.decomposition import PCA
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier

K = 10


def made(n, n_genes, seed):
    """Counts (n, G), batch and type of each cell."""
    rng = np.random.default_rng(seed)
    kind, batch = rng.choice(4, n, p=[0.4, 0.3, 0.2, 0.1]), rng.integers(2, size=n)
    marked = rng.random((4, n_genes)) < 0.1
    of_type = rng.normal(-1.0, 1.0, n_genes) + np.where(marked, rng.normal(1.2, 0.4, (4, n_genes)), 0.0)
    of_batch = 0.6 * rng.normal(size=(2, n_genes))
    depth = rng.lognormal(np.log([1.0, 2.5])[batch], 0.4)
    rate = np.exp(of_type[kind] + of_batch[batch]) * rng.gamma(2.0, 0.5, size=(n, n_genes))
    return rng.poisson(depth[:, None] * rate), batch, kind


def of_skvae(counts, batch, seed):
    """Codes of the default model but for its likelihood."""
    from skvae import NegativeBinomial, VAETransformer

    genes = [f"g{g}" for g in range(counts.shape[1])]
    cells = pd.DataFrame(counts, columns=genes)
    cells = cells.assign(depth=counts.sum(1) / counts.sum(1).mean(), batch=np.array(["one", "two"])[batch])
    likelihood = [(NegativeBinomial(exposure="depth"), genes)]
    vae = VAETransformer(K, conditions=["depth", "batch"], likelihood=likelihood, random_state=seed)
    return vae.fit_transform(cells)


def of_scvi(counts, batch, seed):
    """Codes of scVI with its defaults."""
    import anndata
    import scvi
    from scipy.sparse import csr_matrix

    scvi.settings.seed = seed
    scvi.settings.verbosity = 30
    cells = anndata.AnnData(csr_matrix(counts.astype(np.float32)), obs=pd.DataFrame({"batch": batch.astype(str)}))
    scvi.model.SCVI.setup_anndata(cells, batch_key="batch")
    model = scvi.model.SCVI(cells, n_latent=K)
    model.train(accelerator="cpu", enable_progress_bar=False)
    return model.get_latent_representation()


def of_pca(counts, batch, seed):
    """Components of log rates; they know no batch."""
    rates = counts * (counts.sum() / len(counts) / counts.sum(1, keepdims=True))
    return PCA(K, random_state=seed).fit_transform(np.log1p(rates))


def told(Z, label):
    """How well 15 neighbours tell a label."""
    return cross_val_score(KNeighborsClassifier(15), Z, label, scoring="balanced_accuracy").mean()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=["skvae", "scvi", "pca"], default="skvae")
    parser.add_argument("--cells", type=int, default=1000)
    parser.add_argument("--genes", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    codes = {"skvae": of_skvae, "scvi": of_scvi, "pca": of_pca}[arguments.model]
    codes(*made(100, 20, 0)[:2], 0)  # what is imported and compiled once does not count
    for seed in range(arguments.seeds):
        counts, batch, kind = made(arguments.cells, arguments.genes, seed)
        start = time.process_time()
        Z = codes(counts, batch, seed)
        seconds = time.process_time() - start
        print(f"{arguments.model:6s} {seed}  batch {told(Z, batch):.3f}  type {told(Z, kind):.3f}  {seconds:.0f} s")
