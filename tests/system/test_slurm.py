"""The batch script on a real SLURM: it ends in the archive of a plain run, whatever happens to the job in between.

Some of it runs always; with --slurm also what takes minutes, because SLURM counts wall times in minutes.
"""

import json
import os
import signal
import subprocess
import time

import h5py
import pytest
from programs import BIN, DEMO_JOB, ROOT, SMALL, numeric_data, prune_sweep
from slurm_cluster import Cluster, missing

SCRIPT = ROOT / "slurm/prune-sweep.sbatch"
NUM_RECORDS = 287
# Every lease begins with a sleep: there is a middle to be disturbed, on any machine.
SLOW = "delay=1.5"


@pytest.fixture(scope="module")
def cluster(request):
    lacking = missing()
    if lacking and request.config.getoption("--slurm"):
        pytest.fail(f"no SLURM here: {lacking}")
    if lacking:
        pytest.skip(f"no SLURM here: {lacking}")
    with Cluster(num_nodes=2) as running:
        yield running


class Batch:
    """A job of the batch script, its log and its run directory."""

    def __init__(self, cluster, folder, *options, faults="", job_options=(), **variables):
        self.cluster = cluster
        self.log_path = folder / "batch.log"
        self.run = folder / "run"
        self.options = ["--time=10", *options, f"--output={self.log_path}", SCRIPT, DEMO_JOB, *SMALL,
                        f"--output.dir={self.run}", *job_options]
        self.variables = {"PRUNE_SWEEP": str(BIN / "prune-sweep"), "PRUNE_SWEEP_FAULTS": faults, **variables}
        self.submit()

    def submit(self):
        self.job = self.cluster.submit(*self.options, env=self.variables)

    @property
    def log(self):
        return self.log_path.read_text() if self.log_path.exists() else ""

    @property
    def last_line(self):
        return self.log.strip().splitlines()[-1]

    def records(self):
        return int(prune_sweep("status", self.run, "--records").stdout)

    def wait_for_records(self, more_than, timeout_s=60):
        deadline = time.monotonic() + timeout_s
        while self.records() <= more_than:
            assert time.monotonic() < deadline, self.log
            time.sleep(0.2)

    def wait(self, timeout_s=150):
        self.cluster.wait_for_job(self.job, timeout_s)
        return self.log

    def exit_status(self):
        return int(self.cluster.field(self.job, "ExitCode").split(":")[0])

    def starts(self):
        return self.log.count("] start ")

    def assert_complete(self, undisturbed):
        """Ended well, equal to a plain run, and no record was committed twice."""
        assert (self.run / "DONE").read_text().strip() == "0", self.log
        assert self.exit_status() == 0, self.log
        assert "ended with status 0" in self.last_line
        assert numeric_data(self.run / "archive.h5") == numeric_data(undisturbed / "archive.h5")
        assert self.records() == NUM_RECORDS
        with h5py.File(self.run / "archive.h5") as archive:
            assert archive["audit"].attrs["num_duplicates_different"] == 0

    def near_the_wall_time(self):
        """What --signal=B:USR2@300 does at its time: a signal to the batch shell alone."""
        self.cluster.run("scancel", "--batch", "--signal=USR2", self.job)


@pytest.mark.parametrize(
    "options, launcher",
    [
        (["--ntasks-per-node=2"], "mpirun"),
        (["--ntasks-per-node=2"], "srun"),
        ([], "none"),
        (["--nodes=2", "--ntasks-per-node=2"], "mpirun"),
    ],
)
def test_a_batch_job_ends_in_the_archive_of_a_plain_run(cluster, undisturbed, tmp_path, options, launcher):
    batch = Batch(cluster, tmp_path, *options, PRUNE_SWEEP_LAUNCHER=launcher)
    batch.wait()
    batch.assert_complete(undisturbed)
    assert batch.starts() == 1


def test_mpirun_inside_an_allocation_made_by_hand(cluster, undisturbed, tmp_path):
    run = tmp_path / "run"
    cluster.run("salloc", "--ntasks=3", "--time=5", "mpirun", BIN / "prune-sweep", DEMO_JOB, *SMALL,
                f"--output.dir={run}", timeout=120, env={"SLURM_MPI_TYPE": "none"})
    assert (run / "DONE").read_text().strip() == "0"
    assert numeric_data(run / "archive.h5") == numeric_data(undisturbed / "archive.h5")


@pytest.mark.parametrize("launcher", ["mpirun", "srun"])
def test_near_the_wall_time_the_job_goes_back_into_the_queue(cluster, undisturbed, tmp_path, launcher):
    batch = Batch(cluster, tmp_path, "--ntasks-per-node=2", faults=SLOW, PRUNE_SWEEP_LAUNCHER=launcher)
    batch.wait_for_records(0)
    batch.near_the_wall_time()
    cluster.wait_for_state(batch.job, "PENDING")
    first = batch.records()
    assert 0 < first < NUM_RECORDS
    # What is leased may come in before the run stops, and is not computed again.
    assert (batch.run / "DONE").read_text().strip() == "75"
    assert "requeued for the rest" in batch.log
    # On a login node the queue stands beside the run's own state. SLURM says a moment later why a job waits.
    cluster.wait_for_reason(batch.job, "BeginTime")
    status = subprocess.run([BIN / "prune-sweep", "status", batch.run], capture_output=True, text=True, env=cluster.environment)
    assert "stopped" in status.stdout and f"slurm job {batch.job}: PENDING (BeginTime)" in status.stdout
    batch.wait()
    batch.assert_complete(undisturbed)
    assert batch.starts() == 2
    assert f"resuming: {first} of {NUM_RECORDS}" in batch.log


def test_a_job_that_somebody_requeues_goes_on(cluster, undisturbed, tmp_path):
    batch = Batch(cluster, tmp_path, "--ntasks-per-node=2", faults=SLOW)
    batch.wait_for_records(0)
    cluster.run("scontrol", "requeue", batch.job)
    batch.wait()
    batch.assert_complete(undisturbed)
    assert batch.starts() == 2


def test_a_cancelled_job_stays_away_and_the_same_line_goes_on(cluster, undisturbed, tmp_path):
    batch = Batch(cluster, tmp_path, "--ntasks-per-node=2", faults=SLOW)
    batch.wait_for_records(0)
    cluster.run("scancel", batch.job)
    assert cluster.wait_for_job(batch.job) == "CANCELLED"
    assert "requeued" not in batch.log
    before = batch.records()
    status = subprocess.run([BIN / "prune-sweep", "status", batch.run, "--exit-code"], capture_output=True, text=True, env=cluster.environment)
    assert status.returncode == 75
    assert f"slurm job {batch.job}: not in the queue any more" in status.stdout
    batch.submit()
    batch.wait()
    batch.assert_complete(undisturbed)
    assert f"resuming: {before} of {NUM_RECORDS}" in batch.log


def test_a_job_that_can_never_succeed_is_not_requeued(cluster, tmp_path):
    batch = Batch(cluster, tmp_path, "--ntasks-per-node=2", faults="kill=start")
    batch.wait()
    assert batch.exit_status() == 75
    assert batch.starts() == 1
    assert "not requeued: this allocation committed nothing" in batch.last_line


def test_requeues_have_a_cap(cluster, tmp_path):
    batch = Batch(cluster, tmp_path, faults="delay=4", PRUNE_SWEEP_LAUNCHER="none", PRUNE_SWEEP_MAX_REQUEUES="1")
    batch.wait_for_records(0)
    batch.near_the_wall_time()
    cluster.wait_for_state(batch.job, "PENDING")
    batch.wait_for_records(batch.records())
    batch.near_the_wall_time()
    batch.wait()
    assert batch.exit_status() == 75
    assert batch.starts() == 2
    assert "not requeued: 1 requeues are the cap" in batch.last_line


def test_bad_input_is_the_job_s_status_and_is_not_tried_again(cluster, tmp_path):
    for job_option in ["--model.path=/nowhere", "--sweep.magnitude=140"]:
        batch = Batch(cluster, tmp_path, "--ntasks-per-node=2", job_options=[job_option])
        batch.wait()
        assert batch.exit_status() == 2, batch.log
        assert batch.log.count("requeued") == 0
        assert not batch.run.exists()


def test_the_end_of_the_allocation_is_the_deadline(cluster, tmp_path):
    """This SLURM does not set SLURM_JOB_END_TIME: it is asked. Nothing is leased that would not be done in time."""
    batch = Batch(cluster, tmp_path, "--time=1", "--signal=B:URG@1", faults="delay=4", PRUNE_SWEEP_LAUNCHER="none",
                  PRUNE_SWEEP_MAX_REQUEUES="0")
    batch.wait()
    status = json.loads((batch.run / "status.json").read_text())
    assert status["reason"] == "the deadline", batch.log
    assert batch.exit_status() == 75
    assert (batch.run / "archive.h5").exists()


@pytest.mark.slurm
def test_a_wall_time_shorter_than_the_sweep(cluster, undisturbed, tmp_path):
    """Three requeues or more, by SLURM's own clock and signal, without a hand."""
    batch = Batch(cluster, tmp_path, "--ntasks-per-node=2", "--time=1", "--signal=B:USR2@20", faults="delay=20")
    batch.wait(timeout_s=900)
    batch.assert_complete(undisturbed)
    assert batch.starts() >= 4


@pytest.mark.slurm
@pytest.mark.parametrize("node", ["n1", "n2"])
def test_a_node_that_dies(undisturbed, tmp_path, node):
    """Without the second node the first finishes. Without the first, which has the batch shell, mpirun and rank 0, the
    job goes back into the queue, and on when the node is back. Not under srun: the pmix servers of two nodes on one
    host get into each other's way."""
    if missing():
        pytest.fail(f"no SLURM here: {missing()}")
    with Cluster(num_nodes=2, node_timeout_s=10) as cluster:
        batch = Batch(cluster, tmp_path, "--nodes=2", "--ntasks-per-node=1", faults="delay=2")
        batch.wait_for_records(0)
        cluster.kill_node(node)
        time.sleep(1)
        before = batch.records()
        cluster.start_node(node)
        batch.wait(timeout_s=300)
        batch.assert_complete(undisturbed)
        if node == "n2":
            assert batch.starts() == 1
            assert "rank 1 is lost" in batch.log
        else:
            assert batch.starts() == 2
            assert f"resuming: {before} of {NUM_RECORDS}" in batch.log


def submit(cluster, *arguments, check=True, cwd=None):
    return cluster.run(BIN / "prune-sweep", "submit", *arguments, check=check, cwd=cwd)


@pytest.mark.parametrize("name", ["plain", "it's a run, $(touch broken) `id` & 100 % %j;x"])
def test_submit_checks_plans_writes_the_script_and_calls_sbatch(cluster, undisturbed, tmp_path, name):
    run = tmp_path / name
    done = submit(cluster, DEMO_JOB, *SMALL, f"--output.dir={run}", "--nodes", 1, "--time=10", cwd=tmp_path)
    job = done.stdout.split("submitted   job ")[1].split(";")[0]
    units = len(json.loads((undisturbed / "plan.json").read_text())["units"])
    assert f"plan        7 variants, 287 records in {units} units" in done.stdout
    # Asked for what the partition's nodes have: four cores.
    assert "allocation  1 node x 1 rank x 4 cores" in done.stdout
    assert "estimate    about" in done.stdout
    text = (run / "submit.sbatch").read_text()
    assert "#SBATCH --cpus-per-task=4" in text
    status = cluster.run(BIN / "prune-sweep", "status", run).stdout
    assert f"slurm job {job}: " in status
    assert cluster.wait_for_job(job) == "COMPLETED", (run / f"log/slurm-{job}.log").read_text()
    assert "ended with status 0, 287 records" in (run / f"log/slurm-{job}.log").read_text()
    assert numeric_data(run / "archive.h5") == numeric_data(undisturbed / "archive.h5")
    assert not (tmp_path / "broken").exists()
    assert {path.name for path in tmp_path.iterdir()} == {name}


def test_submit_dry_run_prints_the_script_and_writes_nothing(cluster, tmp_path):
    arguments = [DEMO_JOB, f"--output.dir={tmp_path}/run", "--nodes=4", "--gpus-per-node=4", "--time=1-00:00:00"]
    done = submit(cluster, *arguments, "--dry-run")
    assert done.stdout.startswith("#!/bin/bash\n")
    assert "plan        39 variants" in done.stderr
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "script").write_text(done.stdout)
    subprocess.run(["bash", "-n", tmp_path / "script"], check=True)
    assert not cluster.run("squeue", "-h").stdout


def test_a_submission_that_cannot_work_is_refused_and_leaves_nothing(cluster, tmp_path):
    run = tmp_path / "run"
    for arguments, words in [
        (["--model.path=/nowhere"], ["model.path=/nowhere"]),
        (["--mmlu=x"], ["--mmlu"]),
        (["--nodes=0"], ["--nodes=0"]),
        (["--time=soon"], ["--time=soon"]),
        (["--deadline=soon"], ["deadline=soon"]),
        (["--partition=a b"], ["--partition=a b", "not a word"]),
        (["--partition=none"], ["sbatch refuses", "invalid partition"]),
        (["--constraint=none"], ["sbatch refuses", "invalid feature"]),
    ]:
        done = submit(cluster, DEMO_JOB, f"--output.dir={run}", *arguments, check=False)
        assert done.returncode == 2, done.stdout + done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
        for word in words:
            assert word.lower() in done.stderr.lower(), done.stderr
        assert not run.exists()
    assert not cluster.run("squeue", "-h").stdout


def test_a_run_is_not_submitted_twice(cluster, tmp_path):
    run = tmp_path / "run"
    arguments = [DEMO_JOB, *SMALL, f"--output.dir={run}", "--time=10"]
    cluster.run("scontrol", "update", "PartitionName=all", "State=DOWN")
    try:
        first = submit(cluster, *arguments)
        job = first.stdout.split("submitted   job ")[1].split(";")[0]
        before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
        second = submit(cluster, *arguments, check=False)
        assert second.returncode == 2
        assert f"job {job} is in the queue for it already: PENDING (PartitionDown)" in second.stderr
        assert {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()} == before
        status = cluster.run(BIN / "prune-sweep", "status", run, "--json", "--exit-code", check=False)
        assert status.returncode == 75
        assert json.loads(status.stdout)["slurm"]["entries"][0]["state"] == "PENDING"
    finally:
        cluster.run("scontrol", "update", "PartitionName=all", "State=UP")
        cluster.run("scancel", job)
        cluster.wait_for_job(job)
    assert "submit it again" in cluster.run(BIN / "prune-sweep", "status", run).stdout


def test_shards_in_allocations_of_their_own_merge_into_the_run(cluster, undisturbed, tmp_path):
    run = tmp_path / "run"
    done = submit(cluster, DEMO_JOB, *SMALL, f"--output.dir={run}", "--shards=3", "--time=10")
    job = done.stdout.split("submitted   job ")[1].split(";")[0]
    deadline = time.monotonic() + 120
    while cluster.run("squeue", "-h", "-j", job, check=False).stdout:
        assert time.monotonic() < deadline
        time.sleep(0.3)
    shards = [tmp_path / f"run-{k}-of-3" for k in (1, 2, 3)]
    assert [(shard / "DONE").read_text().strip() for shard in shards] == ["0"] * 3
    prune_sweep("merge", run, *shards)
    # What is there already is not computed again, and stands in the order of the whole job.
    again = prune_sweep(DEMO_JOB, *SMALL, f"--output.dir={run}")
    assert "resuming: 287 of 287" in again.stdout
    assert numeric_data(run / "archive.h5") == numeric_data(undisturbed / "archive.h5")
    prune_sweep("verify", run)
