"""A baseline that cannot be right ends the run early; the same of an edited model is a flag."""

import importlib.util
import json

import h5py
import pytest

from programs import DEMO_JOB, ROOT, prune_sweep

spec = importlib.util.spec_from_file_location("make_checkpoint", ROOT / "tests/make_checkpoint.py")
make_checkpoint = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make_checkpoint)


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    """The demo's tokenizer on random weights, which say nothing that has an answer in it."""
    path = tmp_path_factory.mktemp("untrained")
    tokenizer = ROOT / "jobs/demo/model"
    vocab = json.loads((tokenizer / "config.json").read_text())["vocab_size"]
    shape = make_checkpoint.Shape(layers=6, hidden=48, intermediate=64, vocab=vocab)
    make_checkpoint.write_checkpoint(path, shape, tokenizer=tokenizer)
    return path


def arguments(untrained, run):
    return [
        DEMO_JOB, f"--model.path={untrained}", "--sweep.layers=1,4", "--sweep.magnitude=30,60",
        "--benchmarks.limit=3", "--benchmarks.gsm8k-limit=24", "--benchmarks.max-new-tokens=12",
        f"--output.dir={run}",
    ]


def test_a_baseline_that_says_nothing_stops_the_run(untrained, tmp_path):
    run = tmp_path / "run"
    done = prune_sweep(*arguments(untrained, run), ranks=2, check=False, env={"PRUNE_SWEEP_FAULTS": "delay=0.2"})
    assert (run / "DONE").read_text().strip() == "3", done.stdout + done.stderr
    for words in ["gsm8k", "24 answers are invalid", "cut at 12 tokens", "--no-gates"]:
        assert words in done.stderr
    status = json.loads((run / "status.json").read_text())
    assert status["state"] == "gated"
    assert status["num_records"] < status["num_records_total"]
    with h5py.File(run / "archive.h5") as archive:
        assert archive.attrs["state"] == "partial"
        assert archive["benchmarks/gsm8k/shares/signs"].asstr()[0] == "invalid,truncated"

    # The same command stops again, at once; with --no-gates the run goes on where it was.
    assert prune_sweep(*arguments(untrained, run), check=False).returncode == 3
    done = prune_sweep(*arguments(untrained, run), "--no-gates")
    assert "resuming" in done.stdout
    assert (run / "DONE").read_text().strip() == "0"
    assert done.stdout.count("gsm8k: invalid,truncated") == 5


def test_a_baseline_alone_is_judged_too(untrained, tmp_path):
    run = tmp_path / "run"
    alone = ["--sweep.layers=none", "--sweep.magnitude=none"]
    done = prune_sweep(*arguments(untrained, run)[:2], *alone, *arguments(untrained, run)[4:], check=False)
    assert done.returncode == 3, done.stdout + done.stderr
    assert json.loads((run / "status.json").read_text())["state"] == "gated"


def test_bounds_of_the_gates_are_keys_of_the_job(untrained, tmp_path):
    run = tmp_path / "run"
    prune_sweep(*arguments(untrained, run), "--gates.max-invalid=1", "--gates.max-truncated=1")
    with h5py.File(run / "archive.h5") as archive:
        assert set(archive["benchmarks/gsm8k/shares/signs"].asstr()[:]) == {""}
        assert archive["benchmarks/gsm8k/shares/invalid"][0] == 1


def test_what_an_archive_says_of_its_answers(undisturbed):
    """Shares, probabilities and likelihoods against what h5py and numpy make of the columns."""
    import numpy

    with h5py.File(undisturbed / "archive.h5") as archive:
        mmlu, gsm8k = archive["benchmarks/mmlu"], archive["benchmarks/gsm8k"]
        loglik = mmlu["loglik"][:].astype(float)
        gold = mmlu["questions/gold"][:]
        powers = numpy.exp(loglik - loglik.max(-1, keepdims=True))
        shares = numpy.take_along_axis(powers / powers.sum(-1, keepdims=True), gold[None, :, None], -1)[..., 0]
        assert numpy.allclose(mmlu["gold_probability"][:], shares, rtol=1e-6)
        picked = loglik.argmax(-1)
        most = [max(numpy.bincount(row)) / len(row) for row in picked]
        assert numpy.allclose(mmlu["shares/one_choice"][:], most)
        assert numpy.allclose(mmlu["shares/correct"][:], (picked == gold).mean(1))
        assert numpy.allclose(gsm8k["shares/truncated"][:], (gsm8k["stop"][:] == 2).mean(1))
        assert numpy.isfinite(gsm8k["gold_loglik"][:]).all()
        assert (gsm8k["gold_loglik"][:] < 0).all()
        assert (gsm8k["questions/gold_tokens"][:] > 3).all()
        assert len(mmlu.attrs["question_ids_sha256"]) == 64
        assert mmlu.attrs["selection"] == "limit 5"
