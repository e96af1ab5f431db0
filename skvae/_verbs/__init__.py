"""The methods of a fitted estimator."""
