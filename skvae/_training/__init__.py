"""The training loop: batches, optimizers, processes, checkpoints. Empty, since skorch is imported late."""
