"""Synthetic data from a fitted model
==================================

Can a table that must not be shared be replaced by one that is sampled from a model? We sample tumours, diagnosis
included, and ask two questions: can they be distinguished from real ones, and does a classifier that was trained on
them work on real ones?

In the user guide: :doc:`/guide/synthetic`.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.model_selection import cross_val_score, train_test_split

from skvae import VAETransformer
from skvae.display import SampleDisplay

tumours = load_breast_cancer(as_frame=True)
table = tumours.data.assign(diagnosis=tumours.target_names[tumours.target])
train, test = train_test_split(table, stratify=table["diagnosis"], random_state=0)

# %%
# The thirty numbers are skewed and positive, the diagnosis is a string. ``sample`` maps the numbers of a trained model
# to the distributions of the real columns; under ``scaling="quantile"`` the model itself sees columns that are
# transformed towards the normal. ``max_iter=0`` is the linear model for comparison, which draws normal columns. All
# give a frame with the same columns, dtypes and decimals.
models = {
    "linear": VAETransformer(10, max_iter=0, random_state=0),
    "default": VAETransformer(10, random_state=0),
    "quantile": VAETransformer(10, scaling="quantile", random_state=0),
}
synthetic = {name: model.fit(train).sample(len(train), random_state=0) for name, model in models.items()}
print(synthetic["quantile"].iloc[:3, [0, 1, 2, 3, -1]])

# %%
# The first question is answered by the area under the curve (AUC) of a classifier that is trained on both tables: 0.5
# is guessing, and 1 means that it always can. The second is answered by the accuracy on real rows of a forest that was
# trained on synthetic ones only.


def detection(rows):
    both = pd.concat([train, rows]).drop(columns="diagnosis").to_numpy()
    is_synthetic = np.repeat([0, 1], [len(train), len(rows)])
    detector = HistGradientBoostingClassifier(max_iter=50, random_state=0)
    return cross_val_score(detector, both, is_synthetic, cv=3, scoring="roc_auc").mean()


def accuracy(rows):
    forest = RandomForestClassifier(random_state=0).fit(rows.drop(columns="diagnosis"), rows["diagnosis"])
    return forest.score(test.drop(columns="diagnosis"), test["diagnosis"])


print(f"{'real':10}                  accuracy {accuracy(train):.3f}")
for name, rows in synthetic.items():
    print(f"{name:10} detection {detection(rows):.3f}, accuracy {accuracy(rows):.3f}")

# %%
# Rows of the linear model are easy to detect; those of the others are less so, and a forest that was trained on them is
# nearly as good as one that was trained on real rows.
#
# This does not guarantee privacy. Synthetic columns end where the real ones end, and values that real rows share are
# repeated. Nothing here adds noise to prevent it.
SampleDisplay.from_estimator(
    models["quantile"], train, columns=["mean radius", "mean concavity", "area error", "diagnosis"], random_state=0
)
plt.show()
