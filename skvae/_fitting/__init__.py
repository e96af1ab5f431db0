"""Fit as a pipeline of values."""
