"""Runs and jobs that several system tests use."""

import re
import shutil

import pytest

from programs import DEMO_JOB, ROOT, SMALL, prune_sweep


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """The run directory of the small job, run once by one rank."""
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    prune_sweep(DEMO_JOB, *SMALL, f"--output.dir={run}", ranks=1)
    return run


@pytest.fixture
def job_copy(tmp_path):
    """A job with its own copy of the demo model and data, to be broken."""
    shutil.copytree(ROOT / "jobs/demo", tmp_path / "demo")
    job = tmp_path / "job.ini"
    job.write_text(
        re.sub(r"(?s)\[output\].*", "", DEMO_JOB.read_text()) + f"\n[output]\ndir = {tmp_path}/run\n"
    )
    return job
