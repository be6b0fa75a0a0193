"""What the comparisons report when all is done: how much was compared, and how far apart it was."""

import pytest
import torch

# The models are small: more threads would only wait for each other, for long where others compute, too.
torch.set_num_threads(1)

REPORT = pytest.StashKey()


def pytest_configure(config):
    config.stash[REPORT] = []


@pytest.fixture(scope="session")
def report(request):
    """Lines for the end of the test run."""
    return request.config.stash[REPORT]


def pytest_terminal_summary(terminalreporter, config):
    for line in config.stash[REPORT]:
        terminalreporter.write_line(line)
