from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import pytest

import prune_sweep

from . import sample

SAMPLE = sample.REPOSITORY / "tests" / "data" / "archive-1.0.h5"


def archives() -> list[Path]:
    demo = os.environ.get("PRUNE_SWEEP_DEMO_ARCHIVE")
    return [SAMPLE, Path(demo)] if demo else [SAMPLE]


@pytest.fixture
def sample_path() -> Path:
    return SAMPLE


@pytest.fixture
def sample_run() -> Iterator[prune_sweep.Run]:
    with prune_sweep.open(SAMPLE) as run:
        yield run


@pytest.fixture
def soak_or_quick(request: pytest.FixtureRequest) -> bool:
    """Whether simulations may take long."""
    return bool(request.config.getoption("--soak", default=False))


@pytest.fixture(params=archives(), ids=lambda path: path.name)
def any_path(request: pytest.FixtureRequest) -> Path:
    """The sample, and the demo run's archive where there is one."""
    return request.param


@pytest.fixture
def edited(tmp_path: Path) -> Callable[[Callable[[h5py.File], None]], Path]:
    """Make a copy of the sample with something changed in it."""

    def edit(change: Callable[[h5py.File], None]) -> Path:
        path = tmp_path / "edited.h5"
        shutil.copyfile(SAMPLE, path)
        with h5py.File(path, "r+") as file:
            change(file)
        return path

    return edit


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Long tests run with --soak only, an option of the repository's tests."""
    if config.getoption("--soak", default=False):
        return
    long = [item for item in items if item.get_closest_marker("soak")]
    config.hook.pytest_deselected(items=long)
    items[:] = [item for item in items if item not in long]
