"""The whole path through the real programs: run, resume, survive, read back."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

import h5py
import numpy as np
import pytest
from programs import BIN, DEMO_JOB, ROOT, SMALL, numeric_data, prune_sweep

NUM_VARIANTS = 7


# Each lease begins with a sleep, so that a run can be disturbed in its middle on any machine.
SLOW = {"PRUNE_SWEEP_FAULTS": "delay=0.5"}


def start(run, ranks, *more, env=SLOW):
    """Starts the small job; `ranks` 0 is without the launcher."""
    launcher = ["mpirun", "--oversubscribe", "-n", str(ranks)] if ranks > 0 else []
    return subprocess.Popen(
        [*launcher, str(BIN / "prune-sweep"), str(DEMO_JOB), *SMALL, f"--output.dir={run}", *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **env},
    )


def wait_for_records(run, count, process, timeout_s=60):
    """Waits until the journal has `count` entries: one a start, one a ready evaluator, one a finished unit."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and process.poll() is None:
        journals = sorted(run.glob("journal-*.bin")) if run.is_dir() else []
        if journals and journals[-1].read_bytes().count(b"PSWJ") >= count:
            return
        time.sleep(0.01)
    assert process.poll() is None, process.stdout.read()


def descendants(pid, name):
    """Process ids of the programs below `pid` whose name begins with `name`."""
    found = []
    for status in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            text = status.read_text()
        except OSError:
            continue
        if text[text.index("(") + 1 : text.rindex(")")].startswith(name):
            ancestor = int(text[text.rindex(")") + 2 :].split()[1])
            while ancestor > 1 and ancestor != pid:
                try:
                    line = pathlib.Path(f"/proc/{ancestor}/stat").read_text()
                except OSError:
                    break
                ancestor = int(line[line.rindex(")") + 2 :].split()[1])
            if ancestor == pid:
                found.append(int(status.parent.name))
    return found


def evaluators_of(pid):
    return descendants(pid, "prune-sweep-eva")


def wait_until_gone(pids, timeout_s=30):
    deadline = time.monotonic() + timeout_s
    while any(pathlib.Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline, f"{pids} are still there"
        time.sleep(0.02)


@pytest.mark.parametrize("ranks", [2, 4, 8])
def test_the_archive_does_not_depend_on_the_number_of_ranks(undisturbed, tmp_path, ranks):
    prune_sweep(DEMO_JOB, *SMALL, f"--output.dir={tmp_path}/run", ranks=ranks)
    assert numeric_data(tmp_path / "run/archive.h5") == numeric_data(undisturbed / "archive.h5")


def test_one_rank_needs_no_launcher(undisturbed, tmp_path):
    prune_sweep(DEMO_JOB, *SMALL, f"--output.dir={tmp_path}/run")
    assert numeric_data(tmp_path / "run/archive.h5") == numeric_data(undisturbed / "archive.h5")


def test_the_run_directory_holds_what_is_promised(undisturbed):
    names = {path.name for path in undisturbed.iterdir()}
    assert {"job.ini", "plan.json", "journal-0001.bin", "archive.h5", "status.json", "DONE", "log"} <= names
    assert (undisturbed / "DONE").read_text().strip() == "0"
    status = json.loads((undisturbed / "status.json").read_text())
    assert status["state"] == "complete"
    assert status["num_records"] == status["num_records_total"] > 0
    with h5py.File(undisturbed / "archive.h5") as archive:
        assert archive.attrs["state"] in (b"complete", "complete")
        assert len(archive["variants/name"]) == NUM_VARIANTS


def test_a_killed_run_goes_on_with_another_number_of_ranks(undisturbed, tmp_path):
    run = tmp_path / "run"
    process = start(run, 4)
    wait_for_records(run, 8, process)
    ranks = descendants(process.pid, "prune-sweep")
    assert len(ranks) == 8  # four ranks, each with an evaluator
    process.kill()
    process.wait(timeout=60)
    wait_until_gone(ranks)  # the launcher's death takes them with it
    assert not (run / "DONE").exists()
    done = prune_sweep(DEMO_JOB, *SMALL, f"--output.dir={run}", ranks=2)
    assert "resuming" in done.stdout
    assert numeric_data(run / "archive.h5") == numeric_data(undisturbed / "archive.h5")


def test_dead_evaluators_cost_nothing_but_time(undisturbed, tmp_path):
    run = tmp_path / "run"
    process = start(run, 2)
    wait_for_records(run, 5, process)
    for pid in evaluators_of(process.pid):
        os.kill(pid, signal.SIGKILL)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert "signal 9" in output
    assert numeric_data(run / "archive.h5") == numeric_data(undisturbed / "archive.h5")


def test_an_interrupt_leaves_a_run_that_can_be_resumed(undisturbed, tmp_path):
    run = tmp_path / "run"
    process = start(run, 0)
    wait_for_records(run, 6, process)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 75, output
    assert (run / "DONE").read_text().strip() == "75"
    assert prune_sweep("status", run, "--exit-code", check=False).returncode == 75
    prune_sweep(DEMO_JOB, *SMALL, f"--output.dir={run}", ranks=4)
    assert numeric_data(run / "archive.h5") == numeric_data(undisturbed / "archive.h5")


def num_committed(run):
    """Units that the starts of a run have computed."""
    with h5py.File(run / "archive.h5") as archive:
        return (archive["audit/units/outcome"].asstr()[:] == "committed").sum()


def test_a_complete_run_started_again_computes_nothing(undisturbed, tmp_path):
    run = shutil.copytree(undisturbed, tmp_path / "run")
    done = prune_sweep(DEMO_JOB, *SMALL, f"--output.dir={run}", ranks=2)
    assert "resuming: 287 of 287 records are there" in done.stdout
    assert num_committed(run) == num_committed(undisturbed) > 0
    assert numeric_data(run / "archive.h5") == numeric_data(undisturbed / "archive.h5")


def test_a_shrunk_and_reordered_grid_uses_what_is_there(undisturbed, tmp_path):
    run = shutil.copytree(undisturbed, tmp_path / "run")
    more = ["--sweep.layers=none", "--sweep.magnitude=60", "--sweep.variant=thirteen: 13 drop", "--sweep.variant=zero: 0 drop"]
    done = prune_sweep(DEMO_JOB, *SMALL[3:], *more, f"--output.dir={run}", ranks=2)
    assert "resuming: 164 of 164 records are there" in done.stdout
    assert "82 records in the journals belong to variants" in done.stdout  # drop-14 and both
    assert num_committed(run) == num_committed(undisturbed)
    with h5py.File(run / "archive.h5") as shrunk, h5py.File(undisturbed / "archive.h5") as whole:
        names = list(whole["variants/name"].asstr()[:])
        assert list(shrunk["variants/name"].asstr()[:]) == ["baseline", "magnitude-60", "thirteen", "zero"]
        rows = [names.index(name) for name in ["baseline", "magnitude-60", "drop-13", "drop-00"]]
        assert (shrunk["benchmarks/mmlu/loglik"][:] == whole["benchmarks/mmlu/loglik"][:][rows]).all()


def test_records_of_changed_data_or_of_a_changed_model_are_kept_and_not_used(job_copy, tmp_path):
    options = ["--sweep.layers=13", "--sweep.magnitude=none", *SMALL[3:]]
    run = tmp_path / "run"
    prune_sweep(job_copy, *options)

    questions = tmp_path / "demo/mmlu/test/first_letters_test.csv"
    original = questions.read_text()
    questions.write_text(original.replace("Which word", "Which of the words", 1))
    assert questions.read_text() != original
    done = prune_sweep(job_copy, *options)
    assert "resuming: 80 of 82 records are there" in done.stdout
    assert "2 records in the journals belong to" in done.stdout
    prune_sweep(job_copy, *options, f"--output.dir={tmp_path}/new")
    assert numeric_data(run / "archive.h5") == numeric_data(tmp_path / "new/archive.h5")

    questions.write_text(original)
    assert "resuming: 82 of 82 records are there" in prune_sweep(job_copy, *options).stdout

    weights = tmp_path / "demo/model/model.safetensors"
    changed = bytearray(weights.read_bytes())
    changed[-1000] ^= 1
    weights.write_bytes(changed)
    done = prune_sweep(job_copy, *options)
    assert "resuming" not in done.stdout
    assert "84 records in the journals belong to" in done.stdout


def test_a_grown_grid_keeps_the_records_it_has(undisturbed, tmp_path):
    run = tmp_path / "run"
    prune_sweep(DEMO_JOB, *SMALL, "--sweep.layers=13", "--sweep.magnitude=none", f"--output.dir={run}", ranks=2)
    done = prune_sweep(DEMO_JOB, *SMALL, f"--output.dir={run}", ranks=2)
    assert "resuming" in done.stdout
    assert numeric_data(run / "archive.h5") == numeric_data(undisturbed / "archive.h5")


def test_a_second_start_on_a_running_run_is_refused(tmp_path):
    run = tmp_path / "run"
    process = start(run, 1)
    wait_for_records(run, 3, process)
    second = prune_sweep(DEMO_JOB, *SMALL, f"--output.dir={run}", check=False)
    assert second.returncode == 2
    assert "pid" in second.stderr
    assert process.wait(timeout=120) == 0


def test_progress_is_a_line_per_variant_when_nobody_watches(tmp_path):
    done = prune_sweep(DEMO_JOB, *SMALL, f"--output.dir={tmp_path}/run", ranks=2)
    lines = [line for line in done.stdout.splitlines() if line.startswith("[")]
    assert len(lines) == NUM_VARIANTS
    assert lines[-1].startswith(f"[{NUM_VARIANTS}/{NUM_VARIANTS}]")
    assert "\r" not in done.stdout


def test_programs_link_what_their_layer_may_know():
    def libraries(program):
        return subprocess.run(["ldd", str(BIN / program)], capture_output=True, text=True, check=True).stdout

    assert "libtorch" not in libraries("prune-sweep")
    evaluator = libraries("prune-sweep-evaluator")
    assert "libtorch_cpu" in evaluator
    assert "libmpi" not in evaluator
    assert "libhdf5" not in evaluator
    assert "libtorch_cuda" not in evaluator


def test_plan_tells_what_sharing_saves_and_reads_no_weights(job_copy):
    (job_copy.parent / "demo/model/model.safetensors").unlink()
    plan = json.loads(prune_sweep("plan", job_copy, "--json", "--sweep.magnitude=none").stdout)
    assert len(plan["variants"]) == 29
    cost = plan["cost"]
    assert cost["layer_passes_alone"] == 28 + 28 * 27
    assert 406 <= cost["layer_passes"] <= 406 * 1.08
    assert cost["flops"] < cost["flops_alone"]


def test_check_says_what_it_found():
    done = prune_sweep("check", DEMO_JOB, "--digest")
    assert "28 layers" in done.stdout
    assert "ready to run" in done.stdout


def test_the_default_job_is_a_job():
    text = prune_sweep("--print-default-job").stdout
    for key in ["path", "dtype", "layers", "magnitude", "mmlu", "gsm8k-exemplars", "max-new-tokens", "dir"]:
        assert f"\n{key} = " in text


def test_tokenize_is_its_own_inverse():
    text = "Question: 3 + 4 = é\n"
    lines = json.dumps({"text": text}) + "\n"
    ids = json.loads(prune_sweep("tokenize", ROOT / "jobs/demo/model", stdin=lines).stdout)["ids"]
    back = prune_sweep("tokenize", ROOT / "jobs/demo/model", stdin=json.dumps({"ids": ids}) + "\n").stdout
    assert json.loads(back)["text"] == text


def test_samples_have_the_harness_fields(undisturbed):
    lines = prune_sweep("samples", undisturbed, "--benchmark=mmlu", "--variant=baseline").stdout.splitlines()
    sample = json.loads(lines[0])
    for field in ["doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics",
                  "doc_hash", "prompt_hash", "target_hash", "acc"]:
        assert field in sample
    generated = prune_sweep("samples", undisturbed, "--benchmark=gsm8k", "--variant=baseline").stdout.splitlines()
    assert len(generated) == 12  # six questions, two filters
    assert {json.loads(line)["filter"] for line in generated} == {"strict-match", "flexible-extract"}


def test_gold_solutions_are_left_out_on_request(tmp_path, undisturbed):
    run = tmp_path / "run"
    prune_sweep(DEMO_JOB, *SMALL, "--benchmarks.gsm8k-gold=skipped", f"--output.dir={run}")
    with h5py.File(run / "archive.h5") as file:
        assert np.isnan(file["benchmarks/gsm8k/gold_loglik"][:]).all()
        assert not file["benchmarks/gsm8k/questions/gold_tokens"][:].any()
    ours, theirs = numeric_data(run / "archive.h5"), numeric_data(undisturbed / "archive.h5")
    differs = {name for name in theirs if ours[name] != theirs[name]}
    assert {name for name in differs if name.startswith("benchmarks/")} == {
        "benchmarks/gsm8k/gold_loglik", "benchmarks/gsm8k/questions/gold_tokens"}


def test_copies_of_the_baseline_are_computed_by_themselves(tmp_path):
    run = tmp_path / "run"
    options = ["--sweep.layers=3", "--sweep.magnitude=none", "--sweep.repeat-baseline=2", *SMALL[3:]]
    prune_sweep(DEMO_JOB, *options, f"--output.dir={run}", ranks=2)
    plan = json.loads((run / "plan.json").read_text())
    names = [variant["name"] for variant in plan["variants"]]
    assert names == ["baseline", "drop-03", "baseline-repeat-1", "baseline-repeat-2"]
    with h5py.File(run / "archive.h5") as file:
        assert file.attrs["state"] == "complete"
        done = set(file["audit/units/unit"][file["audit/units/outcome"].asstr()[:] == "committed"])
        loglik = file["benchmarks/mmlu/loglik"][:]
        tokens = file["benchmarks/gsm8k/gold_loglik"][:]
        # One unit has each copy, for each block of questions, and none has two variants that are the baseline.
        for copy in (2, 3):
            own = [i for i, unit in enumerate(plan["units"]) if copy in unit["variants"]]
            assert own
            assert all(plan["units"][i]["variants"] == [copy] for i in own)
            assert done.issuperset(own)
            # On one kind of CPU the bits do not depend on the company.
            assert loglik[copy].tobytes() == loglik[0].tobytes()
            assert tokens[copy].tobytes() == tokens[0].tobytes()
        assert loglik[1].tobytes() != loglik[0].tobytes()
    before = numeric_data(run / "archive.h5")
    grown = prune_sweep(DEMO_JOB, *options, "--sweep.repeat-baseline=1", f"--output.dir={run}", ranks=1)
    assert "resuming: 123 of 123" in grown.stdout
    assert before != numeric_data(run / "archive.h5")
    prune_sweep("verify", run)
