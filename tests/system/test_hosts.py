"""Several hosts, as network namespaces with mpirun over TCP: slow and lossy networks, hosts that die, differ or are of
another build."""

import os
import re
import shutil
import time

import pytest
from net_hosts import Hosts, missing
from programs import BIN, DEMO_JOB, ROOT, SMALL, numeric_data, prune_sweep

# Every lease begins with a sleep: there is a middle to be disturbed, on any machine.
SLOW = {"PRUNE_SWEEP_FAULTS": "delay=1"}


@pytest.fixture(autouse=True)
def can_make_hosts(request):
    lacking = missing()
    if lacking and request.config.getoption("--slurm"):
        pytest.fail(f"no hosts can be made here: {lacking}")
    if lacking:
        pytest.skip(f"no hosts can be made here: {lacking}")


def records(run):
    return int(prune_sweep("status", run, "--records").stdout)


def wait_for_records(run, more_than, process, timeout_s=90):
    deadline = time.monotonic() + timeout_s
    while records(run) <= more_than:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.2)


def finish(process, run, timeout_s=240):
    """Waits for the run's end and then for mpirun's, which a lost host holds up for ever."""
    deadline = time.monotonic() + timeout_s
    while process.poll() is None and not (run / "DONE").exists():
        assert time.monotonic() < deadline, "the run does not end"
        time.sleep(0.1)
    try:
        return process.communicate(timeout=15)[0]
    except Exception:
        process.kill()
        return process.communicate(timeout=20)[0]


def start(hosts, run, *arguments, ranks_per_host=1, options=(), env=None):
    command = [BIN / "prune-sweep", DEMO_JOB, *SMALL, f"--output.dir={run}", *arguments]
    return hosts.mpirun(ranks_per_host, *command, options=options, env=env)


def assert_complete(run, undisturbed, output):
    assert (run / "DONE").read_text().strip() == "0", output
    assert numeric_data(run / "archive.h5") == numeric_data(undisturbed / "archive.h5")


def test_four_hosts_20_ms_apart_with_a_lost_packet_in_a_hundred(undisturbed, tmp_path):
    run = tmp_path / "run"
    with Hosts(4, delay_s=0.02, loss=0.01) as hosts:
        assert hosts.round_trip_s(1, 4) >= 0.04
        output = finish(start(hosts, run), run)
        num_sent, num_lost = hosts.counts
    assert_complete(run, undisturbed, output)
    assert num_lost > 0.002 * num_sent > 0
    assert "launched by mpirun: 4 ranks on 4 hosts" in output
    assert "rank loss: fatal (mpirun without --enable-recovery)" in output
    assert re.search(r"^h1 +0 .*\n^h2 +1 .*\n^h3 +2 .*\n^h4 +3 ", output, re.MULTILINE), output


def test_a_host_that_dies_costs_its_units_only(undisturbed, tmp_path):
    run = tmp_path / "run"
    with Hosts(3) as hosts:
        process = start(hosts, run, "--rank-patience=3", options=["--enable-recovery"], env=SLOW)
        wait_for_records(run, 0, process)
        hosts.kill(3)
        output = finish(process, run)
    assert_complete(run, undisturbed, output)
    assert "rank loss: survivable" in output
    assert "rank 2 is lost" in output
    assert records(run) == 287


def test_without_recovery_a_host_that_dies_ends_the_start_and_the_next_goes_on(undisturbed, tmp_path):
    run = tmp_path / "run"
    with Hosts(2) as hosts:
        process = start(hosts, run, env=SLOW)
        wait_for_records(run, 0, process)
        hosts.kill(2)
        process.communicate(timeout=60)
        assert not (run / "archive.h5").exists() or (run / "DONE").read_text().strip() == "75"
        # On the host that is left: another one would have to wait until the first start's lock is old.
        before = records(run)
        again = hosts.run(1, BIN / "prune-sweep", DEMO_JOB, *SMALL, f"--output.dir={run}")
    assert f"resuming: {before} of 287" in again.stdout
    assert_complete(run, undisturbed, again.stdout)
    assert records(run) == 287


@pytest.fixture
def model_copies(tmp_path):
    """Three copies of model and data: the first as it is, in the second a changed weight, in the third a question."""
    for name in ["same", "weight", "question"]:
        shutil.copytree(ROOT / "jobs/demo", tmp_path / name)
    weights = tmp_path / "weight/model/model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-8] ^= 1
    weights.write_bytes(data)
    questions = tmp_path / "question/mmlu/test/opposites_test.csv"
    questions.write_text(questions.read_text().replace("hot", "cold", 1))
    return tmp_path


def test_files_may_lie_elsewhere_but_must_be_the_same(undisturbed, tmp_path, model_copies):
    run = tmp_path / "run"
    with Hosts(3) as hosts:
        hosts.variables[2] = {"PRUNE_SWEEP_PATHS": f"{ROOT}/jobs/demo={model_copies}/same"}
        hosts.variables[3] = {"PRUNE_SWEEP_PATHS": f"{ROOT}/jobs/demo={model_copies}/weight"}
        output = finish(start(hosts, run, env=SLOW), run)
        assert_complete(run, undisturbed, output)
        assert f"h3: {model_copies}/weight/model: config.json or weights (differs from that of rank 0's host)" in output
        # The second host has worked with its own copy.
        text = prune_sweep("explain", run, "baseline").stdout + prune_sweep("explain", run, "magnitude-60").stdout
        assert "rank 1 on h2" in text or "on h2" in text, text
        assert "h3" not in text
        hosts.variables[3] = {"PRUNE_SWEEP_PATHS": f"{ROOT}/jobs/demo={model_copies}/question"}
        second = tmp_path / "second"
        output = finish(start(hosts, second), second)
        assert_complete(second, undisturbed, output)
        assert "h3: what the benchmarks' files ask (differs from that of rank 0's host)" in output


def test_a_rank_of_another_build_is_refused_by_name(undisturbed, tmp_path):
    """The same program but for its version text, which is all that tells builds apart."""
    other = tmp_path / "other"
    shutil.copytree(BIN, other, ignore=lambda _, names: [name for name in names if not name.startswith("prune-sweep")])
    program = (BIN / "prune-sweep").read_bytes()
    version = prune_sweep("--version").stdout.split()[1:]
    text = " ".join(version).encode()
    assert program.count(text) >= 1
    (other / "prune-sweep").write_bytes(program.replace(text, text[:-2] + b"X)"))
    run = tmp_path / "run"
    with Hosts(2) as hosts:
        command = ["-n", 1, BIN / "prune-sweep", DEMO_JOB, *SMALL, f"--output.dir={run}", ":", "-n", 1, other / "prune-sweep"]
        process = hosts.mpirun(1, *command, env=SLOW)
        output = finish(process, run)
    assert_complete(run, undisturbed, output)
    assert f"rank 1 on h2 is refused (it is prune-sweep {text[:-2].decode()}X), rank 0 is {text.decode()})" in output


def test_only_rank_0_s_host_writes_the_run_directory(undisturbed, tmp_path):
    """The folder is read-only to the other host, and not shared at all in what rank 0 writes."""
    run = tmp_path / "run"
    with Hosts(2) as hosts:
        shared = tmp_path
        original = hosts._on

        def on(k, command):
            line = original(k, command)
            if k == 2:
                index = next(i for i, part in enumerate(line) if part.startswith("hostname"))
                line[index] = line[index].replace("&& exec", f"&& mount -t tmpfs -o ro none {shared} && exec")
            return line

        hosts._on = on
        assert hosts.run(2, "ls", tmp_path).stdout == ""
        output = finish(start(hosts, run), run)
    assert_complete(run, undisturbed, output)
