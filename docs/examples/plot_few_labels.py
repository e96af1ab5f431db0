"""A classifier for few labels
===========================

Of some 1300 digits only a few have a label. A classifier that is fitted to the labelled ones alone ignores the others;
`VAEClassifier` learns from these what digits look like. How many labels is that worth?

In the user guide: :doc:`/guide/labels`.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvae import VAEClassifier, VAETransformer

images, digit = load_digits(return_X_y=True)
X, test, y, y_test = train_test_split(images, digit, test_size=0.3, stratify=digit, random_state=0)

# %%
# The transformer does not see labels. It is fitted once, and frozen, so that each classifier below takes it as it is.
frozen = FrozenEstimator(VAETransformer(16, random_state=0).fit(X))


def few(n_each, seed):
    """Return y with the labels of n rows of each digit, and NaN elsewhere."""
    label, rng = np.full(len(y), np.nan), np.random.default_rng(seed)
    for c in range(10):
        known = rng.permutation(np.flatnonzero(y == c))[:n_each]
        label[known] = c
    return label


n_labels, n_draws = [2, 3, 5, 10, 20, 40, 80], 5
accuracy = {"VAEClassifier, with unlabelled rows": [], "LogisticRegression, labelled rows only": []}
for n_each in n_labels:
    found = []
    for seed in range(n_draws):
        label = few(n_each, seed)
        known = ~np.isnan(label)
        linear = make_pipeline(StandardScaler(), LogisticRegression()).fit(X[known], y[known])
        clf = VAEClassifier(frozen).fit(X, label)
        found.append([clf.score(test, y_test), linear.score(test, y_test)])
    for values, of_one in zip(accuracy.values(), np.transpose(found), strict=True):
        values.append(of_one)

# %%
# Each line is the mean over five draws of the labels, the band goes from the least to the most accurate. With three
# labels of each digit the classifier is here about as accurate as logistic regression with forty of each; the user
# guide, "Few labels", has the mean over several splits. The lines come closer as labels become many, since logistic
# regression is a part of the classifier.
figure, axis = plt.subplots(figsize=(8, 4.5), layout="constrained")
for name, values in accuracy.items():
    values = np.array(values)
    axis.plot(10 * np.array(n_labels), values.mean(axis=1), "o-", label=name)
    axis.fill_between(10 * np.array(n_labels), values.min(axis=1), values.max(axis=1), alpha=0.2)
axis.set_xscale("log")
axis.set_xticks(10 * np.array(n_labels), 10 * np.array(n_labels))
axis.minorticks_off()
axis.set(xlabel="labelled digits, of 1257", ylabel="accuracy on 540 held-out digits", ylim=(0.6, 1))
axis.legend(loc="lower right")
plt.show()

# %%
# The classes have distributions of their own, so that it can draw digits of each: a row per class.
rows, _ = VAEClassifier(frozen).fit(X, few(3, 0)).sample(100, y=np.repeat(np.arange(10), 10), random_state=0)
framed = np.pad(rows.reshape(10, 10, 8, 8), ((0, 0), (0, 0), (1, 1), (1, 1)))
figure, axis = plt.subplots(figsize=(5, 5), layout="constrained")
axis.imshow(framed.swapaxes(1, 2).reshape(100, 100), cmap="gray_r", vmin=0, vmax=16)
axis.set_axis_off()
axis.set_title("digits drawn by class, with three labels of each")
plt.show()
