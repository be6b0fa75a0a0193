"""Options of all Python tests."""

import pytest


def pytest_addoption(parser):
    parser.addoption("--soak", action="store_true", help="run the full matrices: hours instead of minutes")


@pytest.fixture(scope="session")
def soak(request):
    """Whether the full matrices are asked for."""
    return request.config.getoption("--soak")
