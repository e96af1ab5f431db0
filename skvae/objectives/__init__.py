"""Objectives of training, and their short names."""

from .adversarial import AAE, AVB, GAN, VAEGAN
from .annealing import Annealing, CyclicalAnnealing, LinearAnnealing
from .autoencoders import AE, RAE, WAEMMD
from .base import Objective
from .bounds import ELBO, IWAE
from .decomposed import BetaTCVAE, FactorVAE, InfoVAE

__all__ = [
    "AAE",
    "AE",
    "AVB",
    "ELBO",
    "GAN",
    "IWAE",
    "OBJECTIVES",
    "RAE",
    "VAEGAN",
    "WAEMMD",
    "Annealing",
    "BetaTCVAE",
    "CyclicalAnnealing",
    "FactorVAE",
    "InfoVAE",
    "LinearAnnealing",
    "Objective",
]

OBJECTIVES: dict[str, type[Objective]] = {
    "elbo": ELBO,
    "iwae": IWAE,
    "ae": AE,
    "aae": AAE,
    "rae": RAE,
    "wae_mmd": WAEMMD,
    "avb": AVB,
    "gan": GAN,
    "vae_gan": VAEGAN,
    "beta_tc_vae": BetaTCVAE,
    "factor_vae": FactorVAE,
    "info_vae": InfoVAE,
}
