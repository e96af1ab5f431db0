"""Methods that generate cells and rows: impute and sample."""

from collections.abc import Mapping
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._inference.evaluation import chunk_rows
from .._inference.fitted import Fitted, HoldsFit, fitted_of
from .._inference.imputation import (
    effective_size,
    linear_codes,
    weighted_codes,
)
from .._inference.imputed_tables import imputed_tables
from .._inference.made_rows import decoded_rows, drawn_conditions, maker
from .._tables import decoding, encoding
from .._tables.assignment import position
from .._tables.given import given_conditions, given_row
from .._tables.intake import as_table
from .._tables.parts import take_columns
from .._tables.selection import dense
from .._tables.validation import validated
from .._utils.arrays import on_host
from .._utils.checks import check_count, check_parameters
from .._utils.progress import progress
from .._utils.random import draw_seed, exclusive
from .._utils.user_warnings import warn_user
from ..model import LatentVariableModel
from ..posteriors.conditioning import push_joint
from .offered import offered

__all__ = ["Generation"]

_POOR = 10  # draws: weights with a smaller effective sample size are unreliable
_POOR_SHARE = 0.1
_CANDIDATES = 2000  # codes from each of posterior and prior, for rows with given cells


class Generation(HoldsFit):
    """The methods that impute missing values and draw rows."""

    @offered("codes")
    def impute(
        self,
        X: Any,
        n_draws: int | None = None,
        n_importance_samples: int = 200,
        random_state: int | np.random.RandomState | None = None,
    ) -> Any:
        r"""Impute the missing values of X by conditional means and modes, or by draws.

        This is self-normalised importance sampling with codes from the row's posterior, from the prior, and from two
        normals that are adapted to the weights of the codes before them (Cornuet et al. 2012),

        .. math:: E[f(x_{mis}) | x_{obs}] \approx \sum_s w_s E[f(x_{mis}) | z_s], \quad
            w_s \propto p(x_{obs} | z_s)\, p(z_s) / r(z_s)

        (Mattei & Frellsen 2019, eq. 10). For linear Gaussian models (``max_iter=0``) p(x_mis | x_obs) is normal, and
        nothing is weighted. Where codes have no density, and so no weights, values are decoded from the centre of the
        posterior.

        Parameters
        ----------
        X : array-like, frame or CSR of shape (n_samples, n_features)
            Rows with missing cells; `fit` need not have seen missing cells.
        n_draws : int, optional
            The number of tables for multiple imputation, in each of which the missing cells are drawn from
            p(x_mis | x_obs). None gives one table of conditional means, and of modes of categories and booleans.
        n_importance_samples : int, default=200
            S, the number of codes per row; linear Gaussian models need none.
        random_state : int, RandomState instance or None
            Seed of the drawn tables; means are deterministic. Given the seed, the draws of a row depend on its cells,
            and on how many rows before it are equal to it, but not on any other rows.

        Returns
        -------
        like X, or list of such
            An ndarray for a list or masked array, a pyarrow table for a record batch. Observed cells are unchanged.
            Columns have the dtypes that `fit` saw, integers are whole and booleans are booleans. A column without any
            observed cell in `fit` has no model and stays missing, and so do missing categories among the
            `conditions`.

        Warns
        -----
        UserWarning
            For a tenth of the rows or more, the effective sample size of the weights is below ten.

        See Also
        --------
        sample : Draw new rows, with some cells given.
        reconstruct : Reconstruct the observed cells, too.
        sklearn.impute.KNNImputer : Impute by means over the most similar rows.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.datasets import load_iris
        >>> from skvae import VAETransformer
        >>> X, _ = load_iris(return_X_y=True)
        >>> incomplete = X.copy()
        >>> incomplete[0, 2] = np.nan
        >>> vae = VAETransformer(n_components=2, max_iter=20, random_state=0).fit(X)
        >>> vae.impute(incomplete)[0].round(1), X[0]
        (array([5.1, 3.5, 1.4, 0.2]), array([5.1, 3.5, 1.4, 0.2]))
        """
        fitted = fitted_of(self)
        check_count("n_importance_samples", n_importance_samples, "impute")
        if n_draws is not None:
            check_count("n_draws", n_draws, "impute")
        X = as_table(X)
        table = validated(self, fitted.schema, X)
        values, missing = dense(on_host(table)).astype(np.float64), encoding.missing(fitted.schema, on_host(X))
        missing[:, fitted.columns.given] = False
        rows = np.flatnonzero(missing.any(1))
        seed = fitted.seed if n_draws is None else draw_seed(random_state)
        with progress(self.verbose, "VAETransformer.impute", len(rows)) as told:
            drawn, sizes = imputed_tables(fitted, table[rows], n_draws, n_importance_samples, seed, told)
        _warn_of_poor_weights(fitted, sizes)
        tables = []
        for draw in drawn:
            values[rows] = draw
            tables.append(decoding.fill(fitted.schema, X, values, missing, fitted.columns.supports))
        return tables[0] if n_draws is None else tables

    @offered()
    def sample(
        self,
        n_samples: int = 1,
        random_state: int | np.random.RandomState | None = None,
        given: Any = None,
        calibrate: bool = True,
        missing: bool = False,
        codes_of: Any = None,
        without: Any = None,
    ) -> Any:
        r"""Draw rows from the model, z ~ p(z) and x ~ p(x given z), in data space, with the margins of the table.

        Under ``calibrate=True`` each number x of a column is then mapped,

        .. math:: x \mapsto Q(F(x))

        with F the distribution function of the numbers that the model generates and Q the quantile function of the
        fitted ones: piecewise linear functions that `fit` has learned from up to 10 000 generated rows and up to 20 000
        of the table. Ranks, and with them the relations between columns, are those of the model; the values lie in the
        fitted range, and those that several rows of the table share, such as zeros or whole numbers, occur as often as
        in the table. A value that only one row has is not returned, unless rounding produces it: Q passes half-way
        between it and its neighbours. Cells that are `given`, categories, booleans and `conditions` are not mapped.
        Nothing is mapped for linear models (``hidden_layer_sizes=()``, ``max_iter=0``), whose draws have exactly the
        density of their scores, after `partial_fit` without `fit_statistics` or an earlier `fit`, and for more than
        1000 columns of numbers.

        The prior is `prior_`; with ``prior="auto"`` it is a mixture that `fit` has fitted to the latent codes, where
        that describes them clearly better than N(0, I), and always for a plain autoencoder.

        With `conditions`, z ~ p(z) and x ~ p(x given z, c) for the conditions c that are `given`. Without them, c is
        drawn from the combinations of conditions that the model keeps: those of the fitted rows, at most 10 000, in
        proportion to their weights. Such a combination is a verbatim part of a fitted row.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows; left at 1 where `given` has one row each.
        random_state : int, RandomState instance or None
            Seed of the draws; None draws fresh entropy from the operating system.
        given : dict, or frame of conditions, optional
            Values of some columns, ``{"sex": "female", "age": 40}``, by name or, for arrays, by number. The other cells
            are drawn given these, by importance resampling of codes from their posterior and from the prior. Columns of
            `conditions` need no resampling: a dict that names any column names all of them, and a frame (for a model of
            arrays an array) with a column for each has one row for each row to draw. None stands for a missing category
            among the conditions.
        calibrate : bool, default=True
            Whether numbers are mapped to the margins of the table. Without it the rows are draws from the density to
            which scores refer; use these to check the model by its samples. Rows under given `conditions` have other
            margins than the table and are always such draws.
        missing : bool, default=False
            Whether cells are missing as they are in the table: by a logistic regression for each column with missing
            cells, on the row's code and on which of the up to 30 such columns before it are missing. Cells that are
            `given` are never missing, nor are `conditions`, unless they are missing in the fitted rows. Without it rows
            are complete.
        codes_of : array-like, frame or CSR of shape (n_rows, n_features), optional
            Rows :math:`x_i`, such as those of the fit; each row to draw takes one of them at random, with its
            `conditions`: its code is then drawn from :math:`q(z | x_i)` and not from p(z), so that codes lie where
            those of the table lie, however well the prior describes them. Each drawn row is a noisy copy of one row of
            the table and may reveal that this person is in it, most of all where posteriors are narrow. Not with
            `given`.
        without : str, int or list of such, optional
            Columns that are left out of the drawn rows, by name or number, such as identifiers, of which the model can
            only return real ones.

        Returns
        -------
        ndarray of shape (n_samples, n_features), or a frame of the library that fit saw
            A frame's columns have the dtypes that `fit` saw: integers are whole, floats have as many decimals as the
            fitted ones, and categories have the fitted levels. Columns named in `without` are left out.

        Raises
        ------
        ValueError
            An unknown column, a value that it cannot have, or a column of `conditions` that `given` lacks; `given`
            beside `codes_of`, or `codes_of` without a row or for a model without an encoder; no column is left. Also
            ``missing=True`` after `partial_fit` alone, since a chunk does not show which cells are missing in the
            table.

        Warns
        -----
        UserWarning
            The given cells are a rare combination: the effective sample size of their weights is below ten.

        See Also
        --------
        decode : Give the distribution from which rows are drawn, for given codes.
        impute : Impute the missing values of rows.

        Examples
        --------
        Flowers with a petal length of 6 cm have wide petals:

        >>> from sklearn.datasets import load_iris
        >>> from skvae import VAETransformer
        >>> X, _ = load_iris(return_X_y=True)
        >>> vae = VAETransformer(n_components=2, max_iter=0).fit(X)
        >>> vae.sample(500, random_state=0).mean(axis=0).round(1)
        array([5.9, 3. , 3.8, 1.2])
        >>> vae.sample(500, random_state=0, given={2: 6.0}).mean(axis=0).round(1)
        array([6.7, 2.8, 6. , 2.1])

        Nine in ten fines are zero, which no normal distribution can represent:

        >>> import numpy as np
        >>> fine = np.where(np.arange(1000) % 10 == 0, 1.0 + np.arange(1000) % 70, 0.0)
        >>> vae = VAETransformer(n_components=1, max_iter=20, random_state=0).fit(np.column_stack([fine, fine + 0.1]))
        >>> fines = vae.sample(2000, random_state=0)[:, 0]
        >>> float((fines == 0).mean().round(1)), bool(fines.max() <= fine.max())
        (0.9, True)
        >>> own = vae.sample(2000, random_state=0, calibrate=False)[:, 0]
        >>> float((own == 0).mean()), bool(own.min() < 0)
        (0.0, True)

        Rows like one flower, without the last column:

        >>> vae = VAETransformer(n_components=2, max_iter=0).fit(X)
        >>> like_it = vae.sample(500, random_state=0, codes_of=X[:1], without=3)
        >>> like_it.shape, X[0, :3], like_it.mean(axis=0).round(1)
        ((500, 3), array([5.1, 3.5, 1.4]), array([5. , 3.5, 1.4]))
        """
        fitted = fitted_of(self)
        check_count("n_samples", n_samples, "sample")
        flags = {"calibrate": calibrate, "missing": missing}
        check_parameters({name: ["boolean"] for name in flags}, flags, "VAETransformer.sample")
        module = maker(fitted)
        kept = _kept_columns(fitted, without)
        row, is_given = _given_row(fitted, given)
        table = None if codes_of is None else self._rows_to_encode(codes_of, given)
        with exclusive(draw_seed(random_state)), torch.no_grad():
            if table is not None:
                z, cells = _codes_of_rows(fitted, module, table, n_samples)
            else:
                cells = _conditions(fitted, given, row, is_given, n_samples)
                n_rows = n_samples if cells is None else len(cells)
                z = (
                    module.prior(module.encode).sample((n_rows,))
                    if not (is_given & ~fitted.columns.is_given).any()
                    else _codes_given(fitted, module, row, n_rows, self.verbose)
                )
            with progress(self.verbose, "VAETransformer.sample", len(z)) as told:
                values = decoded_rows(fitted, module, z, cells, told)
            has_margins_of_table = given is None or not fitted.columns.is_given.any()
            values = _calibrated(fitted, values) if calibrate and has_margins_of_table else values
            values = _with_missing_cells(fitted, values, z) if missing else values
        values = np.where(is_given, row, values)
        if cells is not None:
            values[:, fitted.columns.given] = cells
        exact = np.flatnonzero(is_given | fitted.columns.is_given)
        made = decoding.draws(fitted.schema, values, exact=exact, supports=fitted.columns.supports)
        return made if len(kept) == values.shape[1] else take_columns(made, kept)

    def _rows_to_encode(self, codes_of: Any, given: Any) -> np.ndarray:
        """The rows of `codes_of` as numbers (n, D) in data space."""
        fitted = fitted_of(self)
        if given is not None:
            raise ValueError(
                "sample takes 'given' or 'codes_of': given cells say themselves which codes suit them. Leave one out."
            )
        if fitted.parts.lacks("codes"):
            raise ValueError(
                "sample(codes_of=...) draws the codes of rows, and a model with "
                f"objective={fitted.parts.objective!r} has no encoder. Leave codes_of out, or use objective='elbo'."
            )
        table = on_host(validated(self, fitted.schema, as_table(codes_of)))
        fitted.columns.check_support(table)
        return dense(table).astype(np.float64)


def _kept_columns(fitted: Fitted, without: Any) -> list[int]:
    """Positions of the columns that drawn rows are to have."""
    schema = fitted.schema
    names = [] if without is None else [without] if isinstance(without, (str, Integral)) else list(without)
    dropped = {position(schema, name, "without") for name in names}
    kept = [d for d in range(len(schema.kinds)) if d not in dropped]
    if not kept:
        raise ValueError("sample(without=...) names all columns, so that none is left. Name fewer.")
    return kept


def _codes_of_rows(
    fitted: Fitted, module: LatentVariableModel, table: np.ndarray, n_samples: int
) -> tuple[Tensor, np.ndarray | None]:
    """Draws (n_samples, K) of the posteriors of rows that are taken at random, and their conditions (n_samples, G)."""
    rows = table[torch.randint(len(table), (n_samples,)).numpy()]
    step, codes = chunk_rows(module, 1), []
    for first in range(0, n_samples, step):
        x, mask = fitted.columns.tensors(rows[first : first + step], "cpu", torch.float64)
        u = torch.randn(1, len(x), module.n_noise, dtype=torch.float64)
        codes.append(module.posterior.push(module.encode(x, mask), u)[0])
    return torch.cat(codes), None if fitted.combinations is None else rows[:, fitted.columns.given]


def _calibrated(fitted: Fitted, values: np.ndarray) -> np.ndarray:
    """Sampled rows (n, D) in data space, with numbers mapped to the margins of the table; counts stay whole."""
    calibration = fitted.calibration
    if calibration is None:
        return values
    u = torch.rand(len(values), len(calibration.columns), dtype=torch.float64)
    values = calibration.map(values, u.numpy())
    whole = [d for d in calibration.columns if fitted.columns.families[d].support.is_discrete]
    values[:, whole] = np.rint(values[:, whole])
    return values


def _with_missing_cells(fitted: Fitted, values: np.ndarray, z: Tensor) -> np.ndarray:
    """Sampled rows (n, D) with NaN where cells are missing, given their codes z (n, K)."""
    missingness = fitted.missingness
    if missingness is None:
        if fitted.config["incomplete"]:
            raise ValueError(
                "sample(missing=True) needs to know which cells are missing in the table, and no chunk of partial_fit "
                "tells. Call fit_statistics before, or fit."
            )
        return values
    u = torch.rand(len(values), len(missingness.columns), dtype=torch.float64).numpy()
    codes = z.numpy()[:, : missingness.of_codes.shape[1]]  # none, where the model has no encoder
    values = values.copy()
    values[:, missingness.columns] = np.where(missingness.draw(codes, u), np.nan, values[:, missingness.columns])
    return values


def _warn_of_poor_weights(fitted: Fitted, sizes: np.ndarray) -> None:
    if fitted.parts.lacks("score") or not len(sizes) or (sizes < _POOR).mean() < _POOR_SHARE:
        return
    warn_user(
        f"The importance weights of {(sizes < _POOR).mean():.0%} of the rows are worth fewer than {_POOR} draws: "
        "their imputed cells are uncertain. Raise n_importance_samples, or fit on a table with such missing values.",
    )


def _given_row(fitted: Fitted, given: Any) -> tuple[np.ndarray, np.ndarray]:
    """The given cells as a row (1, D) of which the others are missing, and which they are, (D,).

    None are, where `given` is None or a table of conditions.
    """
    columns = fitted.columns
    if given is None or (columns.given and not isinstance(given, Mapping)):
        D = len(fitted.schema.kinds)
        return np.full((1, D), np.nan), np.zeros(D, dtype=bool)
    row, is_given = given_row(fitted.schema, given)
    is_modelled = is_given & ~columns.is_given
    if is_modelled.any() and (fitted.parts.lacks("codes") or fitted.parts.lacks("score")):
        parts = fitted.parts
        raise ValueError(
            "sample(given=...) weighs codes by the density of their posterior, which a model with "
            f"objective={parts.objective!r} and posterior={parts.posterior!r} does not have. Use objective='elbo'."
        )
    columns.check_support(row)
    return row, is_given


def _conditions(fitted: Fitted, given: Any, row: np.ndarray, is_given: np.ndarray, n_samples: int) -> np.ndarray | None:
    """Conditions of the rows to draw, in data space (n, G): as given, or drawn from the fitted ones; None without."""
    schema, columns = fitted.schema, fitted.columns
    if fitted.combinations is None:
        return None
    if given is None:
        return drawn_conditions(fitted, n_samples)
    if not is_given.any():
        cells = given_conditions(schema, given)
        if n_samples not in (1, len(cells)):
            raise ValueError(f"'given' has {len(cells)} rows, but n_samples={n_samples}. Leave n_samples at 1.")
        return cells
    own = {schema.label(d) if schema.names is not None else d: is_given[d] for d in columns.given}
    if lacking := [name for name, is_there in own.items() if not is_there]:
        raise ValueError(
            f"'given' lacks {lacking}: with any column given, name all 'conditions' of the model, {list(own)}."
        )
    return np.tile(row[:, columns.given], (n_samples, 1))


def _codes_given(fitted: Fitted, module: LatentVariableModel, row: np.ndarray, n_samples: int, verbose: int) -> Tensor:
    """Codes (n_samples, K) of p(z | given cells); half of the candidates come from the prior."""
    x, mask = fitted.columns.tensors(row, "cpu", torch.float64)
    if fitted.not_linear is None:
        return push_joint(linear_codes(module, x, mask), torch.randn(n_samples, 1, module.width, dtype=x.dtype))[:, 0]
    n_each = max(_CANDIDATES, 2 * n_samples)
    u = torch.randn(n_each, 1, module.n_noise, dtype=torch.float64)
    z_prior = module.prior(module.encode).sample((n_each, 1))
    with progress(verbose, "VAETransformer.sample(given=...)", 2 * n_each, "codes") as told:
        draws = weighted_codes(module, x, mask, u, z_prior, told)
    if effective_size(draws).item() < _POOR:
        warn_user(
            f"The given cells are so rare that {2 * n_each} weighted codes are worth fewer than {_POOR} draws.",
        )
    return draws.resampled(torch.rand(n_samples, 1, dtype=torch.float64))[:, 0]
