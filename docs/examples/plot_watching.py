"""Watching a fit, and a stream
============================

Is a long fit going anywhere? A callback of `skorch <https://skorch.readthedocs.io>`_ sees every epoch: it can print,
draw or write to TensorBoard. Where rows arrive in chunks without end, ``partial_fit`` is called for each of them, and
the score of the chunk that comes next says whether the model still learns.

In the user guide: :doc:`/guide/pictures`, :doc:`/guide/larger_than_memory`.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from skorch.callbacks import Callback

from skvae import VAETransformer

X = load_digits().data
X = X[np.random.default_rng(0).permutation(len(X))]


# %%
# This callback notes the held-out loss and how far the decoder has moved, and prints now and then. Copies of callbacks
# are called, but what they hold is shared: so the notes are a list that we keep. In a notebook the last line could
# redraw a figure in its place, with ``IPython.display.display(figure, display_id=...)``.
class Watch(Callback):
    """Note the held-out loss, and how far the linear path of the decoder is from where it began."""

    def __init__(self, notes):
        self.notes = notes

    def on_train_begin(self, net, **kwargs):
        """Remember where the weights begin."""
        self.first = net.module_.decoder.affine.weight.detach().clone()

    def on_epoch_end(self, net, **kwargs):
        """Each record of ``net.history`` is an epoch."""
        moved = (net.module_.decoder.affine.weight.detach() - self.first).norm() / self.first.norm()
        self.notes.append((net.history[-1, "valid_loss"], float(moved)))
        if len(self.notes) % 10 == 0:
            print(f"epoch {len(self.notes)}: {self.notes[-1][0]:.1f} nats per row")


parameters = {"n_components": 8, "scaling": "global", "random_state": 0}
notes = []
vae = VAETransformer(**parameters, max_iter=40, callbacks=[Watch(notes)]).fit(X[:800])
losses, moved = np.transpose(notes)

# %%
# A stream: chunks of 100 digits, in small batches. Each is scored before it is learned from, so that every score is one
# of new rows; so is that of 400 other digits, which is less noisy.
stream = VAETransformer(**parameters, batch_size=5).partial_fit(X[:100])
new, same = [], []
for begin in range(100, 1400, 100):
    chunk = X[begin : begin + 100]
    new.append(stream.score(chunk))
    same.append(stream.score(X[1400:]))
    stream.partial_fit(chunk)

# %%
# On the left the held-out loss falls quickly at first; the best state is kept, which the dot marks. On the right the
# score of new digits still rises at the end: there is more to learn than this stream has shown.
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
left.plot(np.arange(1, len(losses) + 1), losses, color="#0072B2")
left.plot(vae.best_iter_, losses[vae.best_iter_ - 1], "o", color="#D55E00", label="kept")
left.set(xlabel="epoch", ylabel="held-out loss, nats per row", title="a fit")
twin = left.twinx()
twin.plot(np.arange(1, len(moved) + 1), moved, color="#009E73", ls="--")
twin.set_ylabel("change of the decoder's linear path", color="#009E73")
left.legend(loc="center right")
seen = 100 * np.arange(1, len(new) + 1)
right.plot(seen, new, "o", color="0.6", label="the next chunk")
right.plot(seen, same, color="#0072B2", label="400 other digits")
right.set(xlabel="digits seen", ylabel="score of new digits, nats per row", title="a stream")
right.legend(loc="lower left")
plt.show()
