"""Archives are plain HDF5: the tools of others read them, as results/FORMAT.md says."""

from __future__ import annotations

import re
import shutil
import subprocess

import h5py
import numpy as np
import pytest

import prune_sweep

from . import sample


def data_sets(path):
    found = []
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None
        )
    return found


def test_h5dump_reads_every_data_set(any_path):
    h5dump = shutil.which("h5dump")
    if h5dump is None:
        pytest.skip("h5dump is not installed")
    names = data_sets(any_path)
    assert len(names) > 20
    for name in names:
        result = subprocess.run(
            [h5dump, "-d", f"/{name}", str(any_path)], capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stderr
        assert "DATA {" in result.stdout


def test_h5dump_prints_the_numbers(sample_path):
    h5dump = shutil.which("h5dump")
    if h5dump is None:
        pytest.skip("h5dump is not installed")
    selection = ["-d", "/benchmarks/mmlu/correct", "-s", "1,0", "-c", "1,10"]
    result = subprocess.run(
        [h5dump, *selection, str(sample_path)], capture_output=True, text=True, check=True
    )
    line = re.search(r"\(1,0\): (.*)", result.stdout)
    assert [int(x) for x in line[1].split(",")] == [sample.mmlu_correct(1, q) for q in range(10)]


def test_xarray_opens_a_benchmark(any_path):
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    with prune_sweep.open(any_path) as run:
        for name, benchmark in run.benchmarks.items():
            group = f"benchmarks/{name}"
            with xarray.open_dataset(any_path, group=group, engine="h5netcdf") as found:
                assert found.sizes["variant"] == len(run.variants)
                assert found.sizes["question"] == benchmark.num_questions
                assert list(found["variant"].values) == list(run.variants.index)
                means = found[benchmark.headline].mean("question").to_series()
                expected = benchmark.table()["accuracy"]
                np.testing.assert_allclose(means, expected, rtol=1e-6, equal_nan=True)


def test_xarray_opens_the_whole_tree(any_path):
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    if not hasattr(xarray, "open_datatree"):
        pytest.skip("this xarray has no trees")
    with xarray.open_datatree(any_path, engine="h5netcdf") as tree:
        tree.load()
        assert "units" in tree["audit"].children
        assert tree["variants"]["name"].values[0] == "baseline"


def python_blocks():
    text = (sample.REPOSITORY / "results" / "FORMAT.md").read_text()
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


@pytest.mark.parametrize("block", python_blocks(), ids=["h5py", "xarray"])
def test_the_examples_of_the_format_run(block, any_path, tmp_path, monkeypatch, capsys):
    for module in re.findall(r"import (\w+)", block):
        pytest.importorskip(module)
    shutil.copyfile(any_path, tmp_path / "archive.h5")
    monkeypatch.chdir(tmp_path)
    block = block.replace("drop-07", "drop-00")
    exec(compile(block, "results/FORMAT.md", "exec"), {})
    assert "baseline" in capsys.readouterr().out


def test_the_first_example_prints_accuracies(sample_path, tmp_path, monkeypatch, capsys):
    shutil.copyfile(sample_path, tmp_path / "archive.h5")
    monkeypatch.chdir(tmp_path)
    exec(compile(python_blocks()[0], "results/FORMAT.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    expected = np.mean([sample.mmlu_correct(1, q) for q in range(12)])
    assert lines[1] == f"drop-00 {expected}"
    assert lines[38] == "magnitude-90 not evaluated"
    assert "\n".join(lines[40:]) == sample.gsm8k(0, 1)["response"]
