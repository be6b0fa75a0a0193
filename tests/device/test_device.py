"""On a GPU of this machine: kernels, scores and runs beside those of the CPU."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/system"))
from programs import BIN, DEMO_JOB, SMALL, numeric_data, prune_sweep  # noqa: E402

pytestmark = pytest.mark.device

# With pruned models that go side by side.
SWEEP = [option.replace("magnitude=0,60", "magnitude=0,30,60,80") for option in SMALL]


def run(out, *options):
    prune_sweep(DEMO_JOB, f"--output.dir={out}", *SWEEP, "--no-gates", *options, timeout=900)
    return out / "archive.h5"


def test_kernels_attention_and_pruning():
    done = subprocess.run([BIN / "test_device"], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("compute-sanitizer") is None, reason="compute-sanitizer is not installed")
@pytest.mark.parametrize("tool", ["memcheck", "racecheck", "synccheck"])
def test_the_sanitizer_finds_nothing_in_kernels_of_ours(tool):
    done = subprocess.run(
        ["compute-sanitizer", "--tool", tool, "--kernel-name", "kns=prune_sweep", "--target-processes", "all", "--error-exitcode", "9",
         BIN / "test_device", "kernels*,the kernel*,generated*"],
        capture_output=True, text=True, timeout=900, env=os.environ | {"OMP_NUM_THREADS": "4"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ERROR SUMMARY: 0 errors" in done.stdout or "hazards displayed (0 errors" in done.stdout


def test_check_names_the_device():
    text = prune_sweep("check", DEMO_JOB).stdout
    assert "device     cuda" in text
    assert "compute capability" in text


def scores(*options):
    """[prompts] {id: log-probability} of the twenty likeliest next tokens."""
    requests = [json.dumps({"ids": list(range(5, 5 + length)), "top": 20}) for length in (1, 50, 300)]
    done = prune_sweep("score", ROOT / "jobs/demo/model", *options, stdin="\n".join(requests) + "\n")
    return [dict(json.loads(line)["logprobs"]) for line in done.stdout.splitlines()]


def largest_difference(some, others):
    pairs = [(a, b) for a, b in zip(some, others, strict=True)]
    assert all(len(a.keys() & b.keys()) >= 15 for a, b in pairs)
    return max(abs(a[i] - b[i]) for a, b in pairs for i in a.keys() & b.keys())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_scores_are_those_of_the_cpu(dtype):
    """To float32's precision, or about as near to float32 as the CPU's are in the same type."""
    exact = scores("--dtype", "float32", "--device", "cpu")
    of_device = largest_difference(scores("--dtype", dtype, "--device", "cuda"), exact)
    of_cpu = largest_difference(scores("--dtype", dtype, "--device", "cpu"), exact)
    print(f"{dtype}: device {of_device:.3g}, CPU {of_cpu:.3g} from float32")
    assert of_device < max(1e-3, 4 * of_cpu)


def test_a_rerun_gives_the_same_archive_and_verify_accepts_it(tmp_path):
    first = run(tmp_path / "first", "--model.device=cuda")
    assert numeric_data(first) == numeric_data(run(tmp_path / "second", "--model.device=cuda"))
    prune_sweep("verify", first)


def responses(archive):
    group = archive["benchmarks/gsm8k/response"]
    content, offsets = group["bytes"][:].tobytes(), group["offsets"][:].ravel()
    return [content[a:b] for a, b in zip(offsets[:-1], offsets[1:], strict=True)]


def test_recorded_steps_give_what_steps_give(tmp_path):
    recorded = run(tmp_path / "recorded", "--model.device=cuda")
    assert numeric_data(recorded) == numeric_data(run(tmp_path / "queued", "--model.device=cuda", "--no-graphs"))


@pytest.mark.parametrize("architecture, head_dim", [("Qwen2ForCausalLM", 16), ("Qwen3ForCausalLM", 64)])
def test_other_heads_give_the_numbers_of_the_cpu(tmp_path, architecture, head_dim):
    """Heads that the kernels are made for and heads that they are not, with biases and without."""
    model = tmp_path / "model"
    subprocess.run(
        [sys.executable, ROOT / "tests/make_checkpoint.py", model, "--architecture", architecture, "--layers", "4", "--hidden", "64",
         "--intermediate", "96", "--heads", "6", "--kv-heads", "2", "--head-dim", str(head_dim), "--vocab", "1216", "--tied",
         "--dtype", "float32", "--tokenizer", ROOT / "jobs/demo/model"], check=True)

    def archive(device):
        out = tmp_path / device
        prune_sweep(
            DEMO_JOB, f"--output.dir={out}", f"--model.path={model}", "--model.dtype=float32", f"--model.device={device}", "--no-gates",
            "--sweep.layers=0,2", "--sweep.magnitude=40", "--benchmarks.limit=3", "--benchmarks.max-new-tokens=8")
        return h5py.File(out / "archive.h5")

    with archive("cuda") as ours, archive("cpu") as theirs:
        for column in ("mmlu/loglik", "gsm8k/gold_loglik"):
            a, b = ours[f"benchmarks/{column}"][:], theirs[f"benchmarks/{column}"][:]
            assert np.isfinite(b).all()
            assert np.allclose(a, b, rtol=1e-4, atol=1e-2)
        # Texts of a model with random weights hang on single roundings; nearly all are the same.
        texts, wanted = (responses(file) for file in (ours, theirs))
        assert np.mean([a == b for a, b in zip(texts, wanted, strict=True)]) > 0.9


def test_predictions_are_those_of_the_cpu_but_where_bfloat16_cannot_tell(tmp_path):
    def logliks(name, *options):
        with h5py.File(run(tmp_path / name, *options)) as archive:
            return archive["variants/name"].asstr()[:], archive["benchmarks/mmlu/loglik"][:]

    names, ours = logliks("device", "--model.device=cuda")
    _, theirs = logliks("exact", "--model.device=cpu", "--model.dtype=float32")
    noise = np.abs(ours - theirs).max()
    noise_of_cpu = np.abs(logliks("cpu", "--model.device=cpu")[1] - theirs).max()
    top_two = np.sort(theirs, axis=-1)[..., -2:]
    is_clear = top_two[..., 1] - top_two[..., 0] > 2 * noise
    differs = ours.argmax(-1) != theirs.argmax(-1)
    print(f"{differs.sum()} of {differs.size} predictions differ, largest difference {noise:.3g}; of the CPU {noise_of_cpu:.3g}")
    assert noise < 2 * noise_of_cpu
    of_small = ~np.isin(names, ["magnitude-30", "magnitude-80"])
    assert np.abs(ours - theirs)[of_small].max() < 0.5
    assert not (differs & is_clear).any()
