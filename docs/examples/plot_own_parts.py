"""A network and a likelihood of one's own
=======================================

Rows of a table may have a shape that no default knows: here each row is a day, and has for each hour the waiting time
between two customers, which is exponential. A likelihood is a class with a distribution and a start; a network is any
function that builds a ``torch.nn.Module``. Both are given to :class:`~skvae.VAETransformer` as parameters, with
``clone``, ``get_params`` and grid search as usual.

In the documentation: :doc:`/developers`.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch

from skvae import Family, VAETransformer

rng = np.random.default_rng(0)
hours = np.arange(24)
opening, crowd = rng.uniform(6, 14, size=600), rng.normal(0.0, 0.4, size=600)
rush = np.exp(-0.5 * ((hours - opening[:, None] - 3) / 2.5) ** 2)
mean = 12 / (1 + 8 * rush * np.exp(crowd[:, None]))  # minutes between two customers
days = rng.exponential(mean)


# %%
# The likelihood: the network gives the logarithm of the mean. ``start`` turns the linear initialisation into these
# numbers, so that training begins from probabilistic PCA and not from noise.
class Waiting(Family):
    """Exponential waiting times."""

    support, units, interior = torch.distributions.constraints.nonnegative, "scale", 1.0

    def distribution(self, log_mean):
        """Exponential of mean exp(log_mean)."""
        return torch.distributions.Exponential(torch.exp(-log_mean))

    def start(self, mean, loadings, noise, resolution=None):
        """Slopes and constants of the logarithm of a linear mean."""
        return loadings / mean[:, None], np.log(mean), []


# %%
# The network: convolutions along the hours in the decoder. It is added to the linear path, through a gate that is 0
# at first.
def along_the_day(n_codes, n_hours):
    """Build a decoder whose last layers see neighbouring hours together."""
    return torch.nn.Sequential(
        torch.nn.Linear(n_codes, 8 * n_hours),
        torch.nn.Unflatten(-1, (8, n_hours)),
        torch.nn.Conv1d(8, 8, kernel_size=5, padding=2),
        torch.nn.SiLU(),
        torch.nn.Conv1d(8, 1, kernel_size=5, padding=2),
        torch.nn.Flatten(-2),
    )


models = {
    "Gaussian, MLP (the default)": VAETransformer(2, random_state=0),
    "waiting times, MLP": VAETransformer(2, likelihood=Waiting(), random_state=0),
    "waiting times, convolutions": VAETransformer(2, likelihood=Waiting(), decoder=along_the_day, random_state=0),
}
train, test = days[:500], days[500:]
scores = {name: model.fit(train).score(test) for name, model in models.items()}
for name, score in scores.items():
    print(f"{name:>28}: {score:7.1f} nats per day")

# %%
# Three new days, as waiting times (grey), with their true means (black) and what each model makes of them: 24 noisy
# numbers become two codes, and these a curve. The default does not know that a waiting time varies as much as its mean,
# and scores nine nats per day lower; the convolutions score like the MLP, with curves that jump a little less.
figure, axes = plt.subplots(1, 3, figsize=(10, 3.4), sharey=True, layout="constrained")
for axis, day in zip(axes, [3, 8, 12], strict=True):
    axis.bar(hours, test[day], color="0.85", width=1.0)
    axis.plot(hours, mean[500 + day], color="black", lw=1.2, label="truth")
    for (name, model), color in zip(models.items(), ["#E69F00", "#56B4E9", "#0072B2"], strict=True):
        axis.plot(hours, model.reconstruct(test[[day]])[0], color=color, label=name)
    axis.set(xlabel="hour", title=f"day {day}", ylim=(0, 30))
axes[0].set_ylabel("minutes between customers")
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
plt.show()
