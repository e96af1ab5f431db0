"""The short names of the objectives; the contract stands in `objective.py`."""

from .autoencoders import AAE, AE, AVB, GAN, WAEMMD
from .bounds import ELBO, IWAE

__all__ = ["OBJECTIVES"]

OBJECTIVES = {"elbo": ELBO, "iwae": IWAE, "ae": AE, "aae": AAE, "wae_mmd": WAEMMD, "avb": AVB, "gan": GAN}
