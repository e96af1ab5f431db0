"""What a fitted model says of rows: bounds, information, imputation, distributions in data space."""
