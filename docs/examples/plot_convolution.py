"""Images with a convolutional encoder and decoder
===============================================

Do networks that know which pixels are neighbours do better on images? They are one argument away:
:class:`~skvae.ConvNet` in place of the default networks, on rows that are images, flattened.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skvae import ConvNet, Gaussian, VAETransformer, metrics
from skvae.display import ReconstructionDisplay

X, y = load_digits(return_X_y=True)
X_train, X_test = train_test_split(X, train_size=700, stratify=y, random_state=0)

# %%
# Each layer halves the image in the encoder and doubles it in the decoder. The pixels share their scale and their
# noise. Beside the new networks the affine paths stay, so this model starts as PCA, too. Larger steps suit it.
net = ConvNet(image_shape=(8, 8), channels=(16, 32))
images = {"scaling": "global", "likelihood": Gaussian(noise="shared"), "max_iter": 60, "random_state": 0}
models = {
    "dense": VAETransformer(8, **images).fit(X_train),
    "convolutional": VAETransformer(8, encoder=net, decoder=net, learning_rate=0.01, **images).fit(X_train),
}

# %%
# Held-out digits above, their reconstructions from eight numbers below.
ReconstructionDisplay.from_estimator(models["convolutional"], X_test, image_shape=(8, 8), cmap="gray_r")
plt.show()

# %%
# The curves are the bounds on the tenth of the training rows that ``fit`` holds out; the best state is kept. On images
# as small and as well centred as these, convolutions do not pay: the dense networks get further, in fewer epochs, and
# an epoch of theirs takes less work. Convolutions are for larger images, where dense networks have too many weights and
# the same stroke may be anywhere.
figure, axis = plt.subplots(figsize=(8, 4), layout="constrained")
for name, model in models.items():
    error = metrics.reconstruction_error(model, X_test)
    bounds = [-epoch["valid_loss"] for epoch in model.history_]
    axis.plot([epoch["epoch"] for epoch in model.history_], bounds, label=f"{name}: test error {error:.2f}")
axis.set(xlabel="epoch", ylabel="bound, nats per row", title="held-out rows")
axis.legend()
plt.show()
