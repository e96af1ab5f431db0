"""Closed-form initialisations: linear-Gaussian models, written into the linear paths of a model."""
