"""Options of all Python tests."""

import pytest

# Tests with these markers are not chosen without the option, rather than skipped: a skipped test would look like one
# that could not run.
LONG = {
    "soak": "run the full matrices: an hour instead of minutes",
    "slurm": "run everything on a SLURM of its own: ten minutes more",
    "device": "run on a GPU of this machine, too",
}


def pytest_addoption(parser):
    for name, text in LONG.items():
        parser.addoption(f"--{name}", action="store_true", help=text)


@pytest.fixture(scope="session")
def soak(request):
    """Whether the full matrices are asked for."""
    return request.config.getoption("--soak")


def pytest_configure(config):
    for name in LONG:
        config.addinivalue_line("markers", f"{name}: takes long, runs with --{name} only")


def pytest_collection_modifyitems(config, items):
    """A test with several of the markers runs with any of the options."""
    chosen = {name for name in LONG if config.getoption(f"--{name}")}

    def is_chosen(item):
        markers = {name for name in LONG if item.get_closest_marker(name)}
        return not markers or markers & chosen

    config.hook.pytest_deselected(items=[item for item in items if not is_chosen(item)])
    items[:] = [item for item in items if is_chosen(item)]
