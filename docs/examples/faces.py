"""The two-dimensional manifold of faces, or of digits, by VAETransformer: the figure of Kingma & Welling (2014).

    python docs/examples/faces.py [--data PATH] [--epochs 300]

PATH is frey_rawface.mat, the Frey faces of S. Roweis, 1965 images of 28 x 20 pixels in the columns of `ff`. Nothing is
downloaded. Without it the images are the digits of scikit-learn. The script writes faces_manifold.png.
"""

import argparse

import matplotlib
from scipy.io import loadmat
from sklearn.datasets import load_digits

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from skvae import Gaussian, VAETransformer
from skvae.display import ManifoldDisplay


def images(path):
    """Rows of pixels (n, H W) and the shape of an image."""
    if path is None:
        return load_digits().data, (8, 8)
    faces = loadmat(path)["ff"].T.astype(float)
    if faces.shape[1] != 28 * 20:
        raise SystemExit(f"{path} has images of {faces.shape[1]} pixels; the Frey faces have 28 x 20.")
    return faces, (28, 20)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", metavar="PATH")
    parser.add_argument("--epochs", type=int, default=300)
    args = parser.parse_args()
    X, shape = images(args.data)
    likelihood = Gaussian(noise="shared")
    vae = VAETransformer(2, scaling="global", likelihood=likelihood, max_iter=args.epochs, random_state=0).fit(X)
    print(f"{len(X)} images, {vae.n_iter_} epochs, {vae.score(X):.1f} nats per image")
    display = ManifoldDisplay.from_estimator(vae, shape, n=15)
    display.figure_.savefig("faces_manifold.png", dpi=150)
    plt.close(display.figure_)
