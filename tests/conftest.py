"""Options of all Python tests."""

import pytest


def pytest_addoption(parser):
    parser.addoption("--soak", action="store_true", help="run the full matrices: hours instead of minutes")


@pytest.fixture(scope="session")
def soak(request):
    """Whether the full matrices are asked for."""
    return request.config.getoption("--soak")


def pytest_configure(config):
    config.addinivalue_line("markers", "soak: takes long, runs with --soak only")


def pytest_collection_modifyitems(config, items):
    """Long tests are not chosen, rather than skipped: a skipped test would look like one that could not run."""
    if config.getoption("--soak"):
        return
    long = [item for item in items if item.get_closest_marker("soak")]
    config.hook.pytest_deselected(items=long)
    items[:] = [item for item in items if item not in long]
