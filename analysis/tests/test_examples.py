"""The notebooks run, on the demo run's archive where there is one, else on one of its shape."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from . import sample, synthetic

NOTEBOOKS = sorted((sample.REPOSITORY / "analysis" / "examples").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat = pytest.importorskip("nbformat")
    client = pytest.importorskip("nbclient")
    manager = pytest.importorskip("jupyter_client.manager")
    if "PRUNE_SWEEP_DEMO_ARCHIVE" not in os.environ:
        archive = tmp_path / "archive.h5"
        synthetic.full_run(archive, 280, 60)
        monkeypatch.setenv("PRUNE_SWEEP_DEMO_ARCHIVE", str(archive))
    notebook = nbformat.read(path, as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "outputs are not kept"
    client.NotebookClient(
        notebook,
        timeout=300,
        resources={"metadata": {"path": tmp_path}},
        # Not over loopback, which a sandbox may cut large messages on.
        km=manager.AsyncKernelManager(
            kernel_name="python3", transport="ipc", ip=str(tmp_path / "kernel")
        ),
    ).execute()
    shown = str([cell.get("outputs") for cell in notebook.cells])
    assert "Minimum detectable difference at n = 60" in shown
    assert "- The baseline has" in shown
    assert "worse" in shown
    assert "image/svg+xml" in shown
    assert " MB" in shown
