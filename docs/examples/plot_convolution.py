"""Images with a convolutional encoder and decoder
===============================================

Do networks that know which pixels are neighbours do better on images? They are one argument away:
:class:`~skvae.ConvNet` in place of the default networks, on rows that are images, flattened.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skvae import MLP, ConvNet, VAETransformer
from skvae.display import ReconstructionDisplay

X, y = load_digits(return_X_y=True)
X_train, X_test = train_test_split((X > 8).astype(float), train_size=900, stratify=y, random_state=0)

# %%
# In the encoder the first convolution keeps the size of the image, the second halves it, and a dense layer sees what is
# left; the decoder goes the same way back. Pixels are black or white here, so they are Bernoulli; for grey ones give
# ``scaling="global"``, one scale for all. Beside the new networks the affine paths stay, and the gates between them are
# closed at first: the start is that of every other model. The dense networks have as many weights.
convolutions, dense = ConvNet(image_shape=(8, 8), channels=(16, 32)), MLP((160, 160))
models = {
    name: VAETransformer(8, encoder=net, decoder=net, max_iter=60, random_state=0).fit(X_train)
    for name, net in {"dense": dense, "convolutional": convolutions}.items()
}

# %%
# The curves are the bounds on the tenth of the training rows that ``fit`` holds out; the best state is kept. On images
# as small and as well centred as these there is little to know about neighbours: expect small differences, at many
# times the work. Convolutions are for larger images, where dense networks have too many weights and the same stroke
# may be anywhere.
figure, axis = plt.subplots(figsize=(8, 4), layout="constrained")
for name, model in models.items():
    bounds = [-epoch["valid_loss"] for epoch in model.history_]
    label = f"{name}: test score {model.score(X_test):.2f}"
    axis.plot([epoch["epoch"] for epoch in model.history_], bounds, label=label)
axis.set(xlabel="epoch", ylabel="bound, nats per row", title="held-out rows")
axis.legend()
plt.show()

# %%
# Held-out digits above, the probabilities that their codes of eight numbers give to each pixel below.
ReconstructionDisplay.from_estimator(models["convolutional"], X_test, image_shape=(8, 8), cmap="gray_r")
plt.show()
