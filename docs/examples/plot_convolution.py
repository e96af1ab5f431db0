"""Images with a convolutional encoder and decoder
===============================================

Are networks that know which pixels are neighbours better on images? To find out, replace the default networks by
:class:`~skvae.ConvNet`, on rows that are flattened images.

In the reference: :doc:`/api/networks`.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skvae import MLP, ConvNet, VAETransformer
from skvae.display import ReconstructionDisplay

X, y = load_digits(return_X_y=True)
X_train, X_test = train_test_split((X > 8).astype(float), train_size=900, stratify=y, random_state=0)

# %%
# In the encoder the first convolution keeps the size of the image, the second halves it, and a dense layer follows; the
# decoder is the reverse. Pixels are black or white here, so they are Bernoulli; for grey ones use ``scaling="global"``,
# one scale for all. The affine paths remain, and the networks are added through gates that are initially 0, so that the
# initialisation is that of every other model. The dense networks have as many weights.
convolutions, dense = ConvNet(image_shape=(8, 8), channels=(16, 32)), MLP((160, 160))
models = {
    name: VAETransformer(8, encoder=net, decoder=net, max_iter=60, random_state=0).fit(X_train)
    for name, net in {"dense": dense, "convolutional": convolutions}.items()
}

# %%
# The curves are the bounds on the tenth of the training rows that ``fit`` holds out; the best state is kept. On images
# as small and as well centred as these, neighbourhood carries little information: expect small differences, at many
# times the computation. Convolutions are for larger images, where dense networks have too many weights and the same
# stroke may occur anywhere.
figure, axis = plt.subplots(figsize=(8, 4), layout="constrained")
for name, model in models.items():
    bounds = [-epoch["valid_loss"] for epoch in model.history_]
    label = f"{name}: test score {model.score(X_test):.2f}"
    axis.plot([epoch["epoch"] for epoch in model.history_], bounds, label=label)
axis.set(xlabel="epoch", ylabel="bound, nats per row", title="held-out rows")
axis.legend()
plt.show()

# %%
# The upper row shows held-out digits, the lower row the pixel probabilities that the decoder gives for their codes of
# eight components.
ReconstructionDisplay.from_estimator(models["convolutional"], X_test, image_shape=(8, 8), cmap="gray_r")
plt.show()
