"""`Conditions`: what encoder and decoder see of the columns that are given."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["Conditions"]


class Conditions(nn.Module):
    """Cells of the given columns (..., G), in model space with NaN where a category is missing -> c (..., C).

    A number enters as it is, a category as the indicators of its levels, less their shares `center` in `fit`, so that
    c = 0 is an average row. Where `fit` saw missing cells of a category, missing is one more level; elsewhere a missing
    cell has zeros, as an average row has. A level that `fit` has not seen is missing. An exposure is no feature: its
    logarithm alone enters, with coefficient 1.

    Parameters
    ----------
    n_levels : list of int or None (G,)
        Number of levels of each category; None for numbers.
    incomplete : list of int
        Which of these columns had missing cells in `fit`.
    exposures : list of int
        Which of them are exposures.
    """

    owner: Tensor
    level: Tensor
    is_number: Tensor
    is_blank: Tensor
    center: Tensor

    def __init__(
        self, n_levels: Sequence[int | None], incomplete: Sequence[int] = (), exposures: Sequence[int] = ()
    ) -> None:
        super().__init__()
        of_column = [
            [-1] if n is None else [*range(n), *([-1] if g in incomplete else [])] for g, n in enumerate(n_levels)
        ]
        features = [
            (g, level, n_levels[g]) for g, levels in enumerate(of_column) if g not in exposures for level in levels
        ]
        tensors = {
            "owner": torch.tensor([g for g, _, _ in features], dtype=torch.long),
            "level": torch.tensor([float(level) for _, level, _ in features]),
            "is_number": torch.tensor([n is None for *_, n in features], dtype=torch.bool),
            "is_blank": torch.tensor([n is not None and g not in incomplete for g, _, n in features], dtype=torch.bool),
        }
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor, persistent=False)
        self.register_buffer("center", torch.zeros(len(features)))

    @property
    def width(self) -> int:
        """C, the number of features; 0 where all columns are exposures."""
        return len(self.center)

    def forward(self, given: Tensor) -> Tensor | None:
        """c (..., C) of given cells (..., G); None without features."""
        if not self.width:
            return None
        cells = given.index_select(-1, self.owner)
        is_missing = cells.isnan()
        is_level = (torch.where(is_missing, -1.0, cells) == self.level).to(cells.dtype)
        features = torch.where(self.is_number, cells, is_level)
        return torch.where(is_missing & self.is_blank, self.center, features) - self.center
