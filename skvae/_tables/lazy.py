"""Collections that are not in memory are refused, with the lines that work.

A dask array loads itself whole, and silently, where numpy asks for an array. Collections are recognised by the
package of their class, so that none of these packages is imported.
"""

from typing import Any

import numpy as np

from .frames import is_lazy_frame, refuse_duplicate_names

__all__ = ["LINES", "refuse_lazy"]

#: Kind of collection -> what encodes such a table X, and what fits it.
LINES = {
    "dask array": """
    X.rechunk({1: -1}).map_blocks(vae.transform, chunks=(X.chunks[0], (len(vae.get_feature_names_out()),)), dtype=float)
    vae.fit_batches(lambda: (block.compute() for block in X.partitions))""",
    "dask": """
    vae.set_output(transform="pandas")
    X.map_partitions(vae.transform, meta=dict.fromkeys(vae.get_feature_names_out(), float))
    vae.fit_batches(lambda: (part.compute() for part in X.partitions))""",
    "pyspark": """
    vae.set_output(transform="pandas")
    X.mapInPandas(lambda X: map(vae.transform, X), ", ".join(k + " double" for k in vae.get_feature_names_out()))
    vae.fit(X.sample(0.01).toPandas())""",
    "polars": """
    vae.transform(X.collect())
    vae.fit_batches(lambda: X.collect_batches(maintain_order=True))""",
    "other": """
    vae.transform(narwhals.from_native(X).collect("pandas").to_native())
    vae.fit(narwhals.from_native(X).collect("pandas").to_native())""",
}


def refuse_lazy(X: Any, name: str = "X") -> None:
    """Raise a TypeError for a collection of dask or Spark, or a lazy frame of any library that narwhals reads.

    Every method calls this first with the table that it is given. So a frame with duplicate names is refused here,
    too, before scikit-learn says that its names are not those of the fitted table.

    Parameters
    ----------
    X : object
        What the user gave.
    name : str
        The parameter.
    """
    if isinstance(X, (np.ndarray, list)):
        return  # asking narwhals takes a tenth of the time of a row through `transform`
    refuse_duplicate_names(X, name)
    package = type(X).__module__.split(".")[0]
    if package not in ("dask", "pyspark") and not is_lazy_frame(X):
        return
    kind = "dask array" if hasattr(X, "map_blocks") else package if package in LINES else "other"
    raise TypeError(
        f"{name} is a {type(X).__module__}.{type(X).__qualname__}, whose rows are not in memory, and VAETransformer "
        f"does not load them unasked. What works for such a table X:{LINES[kind]}"
    )
