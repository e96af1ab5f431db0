"""Fitted estimators as plain data, and as files."""
