"""A run survives what kills others: evaluators, ranks, the launcher, hangs, garbage, poison, signals, a full disk."""

import json
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import time

import h5py
import pytest
from programs import BIN, DEMO_JOB, SMALL, numeric_data, prune_sweep
from test_run import descendants, evaluators_of, start, wait_for_records, wait_until_gone

# Short enough to wait for, long enough for evaluators that start on a machine with other work to do.
PATIENCE = ["--evaluator-patience=20", "--rank-patience=3"]
# The questions of SMALL: five of each MMLU subject, six of GSM8K.
POISON = "mmlu:7"


def faults(text):
    return {"PRUNE_SWEEP_FAULTS": text}


def status_of(run):
    return json.loads((run / "status.json").read_text())


def end_of(run):
    """The exit status a run has left, which a launcher's own says little about."""
    return int((run / "DONE").read_text())


def finish(process, run, timeout_s=120):
    """Waits for the run's end, then for its launcher's, which after the loss of a rank may need a push."""
    deadline = time.monotonic() + timeout_s
    while process.poll() is None and not (run / "DONE").exists():
        assert time.monotonic() < deadline, "the run does not end"
        time.sleep(0.05)
    try:
        output, _ = process.communicate(timeout=5)
    except subprocess.TimeoutExpired:
        process.terminate()
        output, _ = process.communicate(timeout=20)
    return output


def resume(run, undisturbed, ranks=2):
    prune_sweep(DEMO_JOB, *SMALL, f"--output.dir={run}", ranks=ranks)
    assert numeric_data(run / "archive.h5") == numeric_data(undisturbed / "archive.h5")
    with h5py.File(run / "archive.h5") as archive:
        assert archive["audit"].attrs["num_duplicates_different"] == 0


def test_broken_evaluators_cost_attempts(undisturbed, tmp_path):
    run = tmp_path / "run"
    kinds = {
        "kill": "signal 9",
        "segv": "signal 11",
        "abort": "signal 6",
        "exit": "exit status 0",
        "garbage": "impossible length",
        "stop": "said nothing",
        "hang": "said nothing",
    }
    asked = ",".join(f"{kind}={place}@1" for kind, place in zip(kinds, [f"mmlu:{5 * i}" for i in range(6)] + ["gsm8k:1"]))
    done = prune_sweep(DEMO_JOB, *SMALL, "--evaluator-patience=2", f"--output.dir={run}", ranks=3, env=faults(asked))
    for words in kinds.values():
        assert words in done.stdout + done.stderr
    assert (done.stdout + done.stderr).count("said nothing") >= 4  # each is said by the rank and by the master
    assert numeric_data(run / "archive.h5") == numeric_data(undisturbed / "archive.h5")


def partial(run, text, *options, ranks=2):
    done = prune_sweep(
        DEMO_JOB, *SMALL, *options, f"--output.dir={run}", ranks=ranks, env=faults(text), check=False
    )
    assert end_of(run) == 3, done.stdout + done.stderr
    assert status_of(run)["state"] == "partial"
    assert status_of(run)["num_quarantined"] == 1
    return done


@pytest.mark.parametrize("kind", ["segv", "fail"])
def test_the_poisoned_question_is_quarantined_and_everything_else_is_there(undisturbed, tmp_path, kind):
    run = tmp_path / "run"
    done = partial(run, f"{kind}={POISON}")
    assert "mmlu question 7 is not evaluated" in done.stdout + done.stderr
    with h5py.File(run / "archive.h5") as archive, h5py.File(undisturbed / "archive.h5") as whole:
        assert archive.attrs["state"] == "partial"
        quarantined = {name: column[:] for name, column in archive["audit/quarantined"].items()}
        subjects = archive["benchmarks/mmlu/questions/subject"].asstr()[:]
        # One entry for each group of variants that met it.
        assert set(quarantined["benchmark"]) == {b"mmlu"}
        assert set(quarantined["subject"]) == {subjects[7].encode()}
        assert set(quarantined["doc_id"]) == {archive["benchmarks/mmlu/questions/doc_id"][7]}
        names = b", ".join(quarantined["variants"]).decode().split(", ")
        missing = archive["benchmarks/mmlu/correct"][:, 7] == 255
        assert sorted(names) == sorted(archive["variants/name"].asstr()[:][missing])
        assert all(quarantined["reason"])
        for name in ["mmlu/correct", "mmlu/loglik", "gsm8k/strict_correct"]:
            have, want = archive[f"benchmarks/{name}"][:], whole[f"benchmarks/{name}"][:]
            if name.startswith("mmlu"):
                assert (have[:, 7] != want[:, 7]).any()
                have[:, 7] = want[:, 7]
            assert have.tobytes() == want.tobytes()

    explained = prune_sweep("explain", run, "baseline").stdout
    assert ("in quarantine: mmlu" in explained) == ("baseline" in names)

    if kind == "fail":
        return
    # It is not tried again, until that is asked for.
    again = partial(run, f"{kind}={POISON}")
    assert "signal 11" not in again.stdout + again.stderr
    prune_sweep(DEMO_JOB, *SMALL, "--retry-failed", f"--output.dir={run}", ranks=2)
    assert end_of(run) == 0
    assert numeric_data(run / "archive.h5") == numeric_data(undisturbed / "archive.h5")


def test_one_rank_that_cannot_start_evaluators_is_done_without(undisturbed, tmp_path):
    run = tmp_path / "run"
    for kind in ["exit=start", "refuse=start"]:
        script = f'[ "$OMPI_COMM_WORLD_RANK" = 1 ] && export PRUNE_SWEEP_FAULTS={kind}; exec "$@"'
        command = ["mpirun", "--oversubscribe", "-n", "2", "bash", "-c", script, "-", str(BIN / "prune-sweep"), str(DEMO_JOB)]
        done = subprocess.run(
            [*command, *SMALL, f"--output.dir={run}"], capture_output=True, text=True, timeout=120
        )
        assert end_of(run) == 0, done.stdout + done.stderr
        assert numeric_data(run / "archive.h5") == numeric_data(undisturbed / "archive.h5")
        subprocess.run(["rm", "-r", str(run)], check=True)


def test_evaluators_that_hang_at_their_start_end_the_run(tmp_path):
    run = tmp_path / "run"
    done = prune_sweep(
        DEMO_JOB, *SMALL, "--evaluator-patience=1", f"--output.dir={run}", env=faults("hang=start"), check=False, timeout=60
    )
    assert done.returncode == 75, done.stdout + done.stderr
    assert "said nothing" in done.stderr
    assert end_of(run) == 75


@pytest.mark.parametrize("what", [signal.SIGUSR2, signal.SIGINT])
def test_a_signal_lets_what_is_computed_come_in(undisturbed, tmp_path, what):
    run = tmp_path / "run"
    process = start(run, 0)
    wait_for_records(run, 5, process)
    process.send_signal(what)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 75, output
    assert end_of(run) == 75
    assert status_of(run)["state"] == "stopped"
    with h5py.File(run / "archive.h5") as archive:
        assert archive.attrs["state"] == "partial"
        assert (archive["audit/units/outcome"].asstr()[:] == "committed").sum() == (run / "journal-0001.bin").read_bytes().count(b"PSWJ") - 2
    resume(run, undisturbed)


def test_usr2_to_the_launcher_drains_all_ranks(undisturbed, tmp_path):
    run = tmp_path / "run"
    process = start(run, 3)
    wait_for_records(run, 8, process)
    process.send_signal(signal.SIGUSR1)  # is nobody's business
    process.send_signal(signal.SIGUSR2)
    output, _ = process.communicate(timeout=60)
    assert end_of(run) == 75, output
    assert "ended with" not in output  # no evaluator has taken it for its own
    resume(run, undisturbed)


def test_an_interrupted_launcher_leaves_a_status_and_a_run_to_resume(undisturbed, tmp_path):
    run = tmp_path / "run"
    process = start(run, 3)
    wait_for_records(run, 8, process)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert end_of(run) == 75
    resume(run, undisturbed)


def test_a_signal_lets_finished_questions_of_a_unit_come_in(job_copy, tmp_path):
    """A unit of many questions, taken one by one, is not waited for: what is finished of it is kept."""
    job_copy.write_text(re.sub(r"(?m)^mmlu.*\n", "", job_copy.read_text()))
    job = [job_copy, "--sweep.layers=13,14", "--sweep.magnitude=none", "--benchmarks.gsm8k-limit=20",
           "--benchmarks.max-new-tokens=8", "--no-batch-decode", "--no-gates"]
    whole, run = tmp_path / "whole", tmp_path / "run"
    prune_sweep(*job, f"--output.dir={whole}")
    units = json.loads((whole / "plan.json").read_text())["units"]
    assert [unit["num_questions"] for unit in units] == [20]
    # Sixty batches: eighteen seconds of pauses alone.
    process = subprocess.Popen(
        [BIN / "prune-sweep", *job, f"--output.dir={run}"], env={**os.environ, **faults("pause=0.3")}
    )
    wait_for_records(run, 2, process)
    process.send_signal(signal.SIGUSR2)
    process.communicate(timeout=60)
    assert end_of(run) == 75
    num_records = status_of(run)["num_records"]
    assert 0 < num_records < 60 and num_records % 3 == 0
    again = prune_sweep(*job, f"--output.dir={run}")
    assert f"resuming: {num_records} of 60" in again.stdout
    assert numeric_data(run / "archive.h5") == numeric_data(whole / "archive.h5")


def test_a_second_signal_leaves_at_once(undisturbed, tmp_path):
    run = tmp_path / "run"
    process = start(run, 0, env=faults("delay=30"))
    wait_for_records(run, 2, process)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 75
    resume(run, undisturbed)


def test_grace_bounds_what_is_waited_for(tmp_path):
    run = tmp_path / "run"
    process = start(run, 0, "--grace=0.5", env=faults("delay=60"))
    wait_for_records(run, 2, process)
    process.send_signal(signal.SIGUSR2)
    assert process.wait(timeout=20) == 75


def test_a_deadline_ends_the_run_in_time(undisturbed, tmp_path):
    run = tmp_path / "run"
    began = time.monotonic()
    done = prune_sweep(
        DEMO_JOB, *SMALL, "--deadline=0:10", f"--output.dir={run}", env=faults("delay=1"), check=False
    )
    assert done.returncode == 75, done.stdout + done.stderr
    assert time.monotonic() - began < 60
    assert status_of(run)["reason"] == "the deadline"
    resume(run, undisturbed)


@pytest.mark.parametrize("option", ["deadline=soon", "grace=-1", "rank-patience=", "disk-patience=1:2:x", "patience=3"])
def test_a_bad_limit_is_refused_by_name(tmp_path, option):
    done = prune_sweep(DEMO_JOB, f"--{option}", f"--output.dir={tmp_path}/run", check=False)
    assert done.returncode == 2
    assert option.split("=")[0] in done.stderr
    assert not (tmp_path / "run").exists()


def start_recoverable(run, ranks, *options, env=None):
    return subprocess.Popen(
        ["mpirun", "--oversubscribe", "--enable-recovery", "-n", str(ranks), str(BIN / "prune-sweep"), str(DEMO_JOB)]
        + [*SMALL, f"--output.dir={run}", *(options or PATIENCE)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **(env or faults("delay=0.5"))},
    )


def ranks_of(pid):
    """Process ids of the ranks below the launcher, by rank."""
    found = {}
    for process in descendants(pid, "prune-sweep"):
        try:
            environment = pathlib.Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
            name = pathlib.Path(f"/proc/{process}/comm").read_text().strip()
        except OSError:
            continue
        for entry in environment:
            if entry.startswith(b"OMPI_COMM_WORLD_RANK=") and name == "prune-sweep":
                found[int(entry.split(b"=")[1])] = process
    return found


@pytest.mark.parametrize("what", [signal.SIGKILL, signal.SIGSTOP])
def test_a_lost_rank_is_done_without_where_the_launcher_allows_it(undisturbed, tmp_path, what):
    run = tmp_path / "run"
    process = start_recoverable(run, 3)
    wait_for_records(run, 6, process)
    os.kill(ranks_of(process.pid)[2], what)
    output = finish(process, run)
    assert end_of(run) == 0, output
    assert "rank 2 is lost" in output
    assert numeric_data(run / "archive.h5") == numeric_data(undisturbed / "archive.h5")


def test_a_rank_that_slept_serves_again(undisturbed, tmp_path):
    run = tmp_path / "run"
    process = start_recoverable(run, 2, env=faults("delay=1"))
    wait_for_records(run, 5, process)
    sleeper = ranks_of(process.pid)[1]
    os.kill(sleeper, signal.SIGSTOP)
    time.sleep(4)
    os.kill(sleeper, signal.SIGCONT)
    output = finish(process, run)
    assert end_of(run) == 0, output
    assert "rank 1 is lost" in output and "rank 1 is back" in output
    assert numeric_data(run / "archive.h5") == numeric_data(undisturbed / "archive.h5")


def test_without_a_master_the_ranks_leave(undisturbed, tmp_path):
    run = tmp_path / "run"
    process = start_recoverable(run, 3, "--rank-patience=0.5")
    wait_for_records(run, 6, process)
    ranks = ranks_of(process.pid)
    below = evaluators_of(process.pid)
    os.kill(ranks[0], signal.SIGKILL)
    wait_until_gone([*ranks.values(), *below])
    process.terminate()
    process.communicate(timeout=20)
    assert not (run / "DONE").exists()
    resume(run, undisturbed)


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True).returncode != 0:
        pytest.skip("file systems cannot be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder):
    """Takes all space that is left."""
    ballast = folder / "ballast"
    with open(ballast, "ab", buffering=0) as file:
        for size in [65536, 4096, 1]:
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                pass
    return ballast


@pytest.mark.parametrize("returns", [True, False])
def test_a_full_disk_is_waited_for(undisturbed, small_disk, returns):
    run = small_disk / "run"
    process = start(run, 2, "--disk-patience=2" if not returns else "--disk-patience=60")
    wait_for_records(run, 6, process)
    ballast = fill(small_disk)
    time.sleep(1.5)
    if returns:
        ballast.unlink()
        output, _ = process.communicate(timeout=60)
        assert end_of(run) == 0, output
        assert "the disk takes results again" in output
        assert numeric_data(run / "archive.h5") == numeric_data(undisturbed / "archive.h5")
    else:
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 74, output
        assert not (run / "archive.h5").exists()
        ballast.unlink()
        resume(run, undisturbed)


# --- the whole matrix ---------------------------------------------------------------------------


def pause(generator, run, process):
    """Lets a run come to some random point of its life."""
    wait_for_records(run, generator.randrange(1, 17), process)
    time.sleep(generator.random() * 0.3)


@pytest.mark.soak
@pytest.mark.parametrize("what", [signal.SIGKILL, signal.SIGSEGV, signal.SIGSTOP])
@pytest.mark.parametrize("whom", ["evaluator", "worker rank", "master rank", "launcher"])
@pytest.mark.parametrize("moment", range(20))
def test_whatever_is_hit_at_any_moment_the_archive_is_the_same(undisturbed, tmp_path, whom, what, moment):
    generator = random.Random(f"{whom} {what} {moment}")
    run = tmp_path / "run"
    process = start(run, 3, *PATIENCE, env=faults("delay=0.2"))
    pause(generator, run, process)
    ranks = ranks_of(process.pid)
    targets = {
        "evaluator": evaluators_of(process.pid),
        "worker rank": [ranks[rank] for rank in ranks if rank > 0],
        "master rank": [ranks[rank] for rank in ranks if rank == 0],
        "launcher": [process.pid],
    }[whom]
    everything = [process.pid, *descendants(process.pid, "prune-sweep")]
    for target in targets[:1]:
        os.kill(target, what)
    if what == signal.SIGSTOP and whom in ["master rank", "launcher"]:
        time.sleep(1)  # nobody is left to notice: a person does
        for target in targets[:1]:
            os.kill(target, signal.SIGKILL)
    try:
        process.communicate(timeout=90)
    except subprocess.TimeoutExpired:
        assert (run / "DONE").exists(), "the run does not end"
        process.terminate()
        process.communicate(timeout=20)
    wait_until_gone(everything)
    resume(run, undisturbed, ranks=generator.choice([1, 2, 4]))


@pytest.mark.soak
@pytest.mark.parametrize("number", range(30))
def test_plain_runs_with_five_dead_evaluators_end_cleanly(undisturbed, tmp_path, number):
    generator = random.Random(number)
    run = tmp_path / "run"
    process = start(run, 4, env=faults("delay=1.5"))  # nine seconds at least
    killed = 0
    wait_for_records(run, 3, process)
    while killed < 5:
        alive = evaluators_of(process.pid)
        assert process.poll() is None
        if alive:
            os.kill(generator.choice(alive), signal.SIGKILL)
            killed += 1
        time.sleep(generator.random() * 0.2)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert end_of(run) == 0
    assert numeric_data(run / "archive.h5") == numeric_data(undisturbed / "archive.h5")


@pytest.mark.soak
def test_the_simulated_master_over_100000_schedules():
    done = subprocess.run([str(BIN / "test_sweep"), "[.soak]"], capture_output=True, text=True, timeout=3600)
    sys.stdout.write(done.stdout)
    assert done.returncode == 0, done.stdout
    assert "100000 schedules, 0 violations" in done.stdout
