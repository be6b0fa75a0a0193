"""A package, so that its conftest.py is not taken for that of other tests in one call of pytest."""
