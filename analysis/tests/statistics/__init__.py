"""Formulas against statsmodels, scipy and brute force."""
