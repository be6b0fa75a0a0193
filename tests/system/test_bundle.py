"""The bundle for machines where nothing can be installed, with nothing of this one but a Python that has torch."""

import shutil
import subprocess

import h5py
import pytest
from programs import ROOT, SMALL


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """Unpacked somewhere else."""
    made = subprocess.run([ROOT / "dev", "bundle"], capture_output=True, text=True, timeout=1200)
    assert made.returncode == 0, made.stdout + made.stderr
    archive = ROOT / "build/release/prune-sweep-bundle.tar.xz"
    assert archive.stat().st_size < 60e6
    folder = tmp_path_factory.mktemp("elsewhere")
    subprocess.run(["tar", "-C", folder, "-xJf", archive], check=True)
    return folder / "prune-sweep-bundle"


def run(bundle, *command, cwd):
    return subprocess.run(
        command, capture_output=True, text=True, timeout=300, cwd=cwd,
        env={"PATH": "/usr/bin:/bin", "PRUNE_SWEEP_PYTHON": str(ROOT / ".venv/bin/python"),
             "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"})


def test_it_checks_runs_and_verifies(bundle, tmp_path):
    program = bundle / "bin/prune-sweep"
    job = bundle / "jobs/demo.ini"
    for command in (
        [program, "check", job],
        [program, "run", job, *SMALL, "--output.dir=alone"],
        [bundle / "bin/mpirun", "--oversubscribe", "-n", "2", program, "run", job, *SMALL, "--output.dir=both"],
        [program, "verify", "both/archive.h5"],
    ):
        done = run(bundle, *command, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
    with h5py.File(tmp_path / "alone/archive.h5") as alone, h5py.File(tmp_path / "both/archive.h5") as both:
        assert alone.attrs["state"] == both.attrs["state"] == "complete"


def test_without_torch_it_says_what_is_missing(bundle, tmp_path):
    done = subprocess.run(
        [bundle / "bin/prune-sweep", "check"], capture_output=True, text=True, cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PRUNE_SWEEP_PYTHON": "/usr/bin/python3"})
    assert done.returncode == 2
    assert "has no torch" in done.stderr


def test_it_has_the_kernels_of_all_capabilities(bundle):
    """Of GPUs from Turing on, and what later ones compile for themselves."""
    library = bundle / "lib/libprune_sweep_cuda.so"
    if shutil.which("nvcc") is None:
        assert not library.exists()
        return
    content = library.read_bytes()
    for architecture in (b"sm_75", b"sm_80", b"sm_90", b"sm_100"):
        assert architecture in content
