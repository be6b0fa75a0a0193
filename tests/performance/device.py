"""Measures prune-sweep on a GPU beside transformers and beside what the device does at most.

    ./dev bench --device [--only NAME,...] [--repeat N]
    python3 tests/performance/device.py        in a bundle (./dev bundle), with a Python that has torch, transformers and h5py

Writes results/performance/device.md and device.json.
"""

import argparse
import os
import pathlib
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
if (ROOT / "libexec").exists():  # a bundle
    os.environ.setdefault("PRUNE_SWEEP_BIN", str(ROOT / "bin"))
    os.environ.setdefault("PRUNE_SWEEP_DATA_DIR", str(ROOT / "data"))
    os.environ.setdefault("PRUNE_SWEEP_PYTHON", sys.executable)

import report  # noqa: E402
import sweep_runs  # noqa: E402
from bench import DATA, Bench, chosen, measure, median  # noqa: E402
from report import Row  # noqa: E402
from workloads import LAYERS, PASSES, SWEEP  # noqa: E402

PACKAGES = ["torch", "transformers"]
NEW_TOKENS = 256
ON_DEVICE = {"model__device": "cuda", "model__dtype": "bfloat16"}
MMLU = ON_DEVICE | SWEEP | {"benchmarks__mmlu": DATA / "mmlu"}
# The same five examples before every question, which then share them; gold solutions are not scored, as transformers does not.
GSM8K = ON_DEVICE | SWEEP | {
    "benchmarks__gsm8k": DATA / "gsm8k", "benchmarks__gsm8k_exemplars": "fixed", "benchmarks__gsm8k_gold": "skipped",
    "benchmarks__max_new_tokens": NEW_TOKENS}
TENTH = {"benchmarks__limit": 0.1}
# Of the 0.6B shape.
LAYER_BYTES = 2 * 15_728_640
HEAD_BYTES = 2 * 151_936 * 1024
KV_ROW_BYTES = 2 * 2 * 8 * 128


def prompt_tokens(bench, keys, benchmark):
    """Lengths of a job's prompts."""
    plan = sweep_runs.plan(bench.job(**keys))
    return [question["prompt_tokens"] for question in sweep_runs.questions(plan, benchmark)]


def comma_separated(numbers):
    return ",".join(map(str, numbers))


def phases_note(run):
    return "Time by phase, s: " + ", ".join(f"{name[:-2]} {seconds:.1f}" for name, seconds in run.phases_s.items()) + "."


def against_transformers(bench, keys, benchmark, name, peers, wanted, stretch):
    """Rows of one benchmark: ours beside a peer's function of settings, one unedited model times the passes of the sweep."""
    lengths = comma_separated(prompt_tokens(bench, keys, benchmark))
    values = bench.alternate(
        {"prune-sweep": lambda: bench.run(keys)}
        | {peer: lambda a=arguments: bench.peer(a[0], bench.model(), "--tokens", lengths, *a[1:])["elapsed_s"] for peer, arguments in peers.items()})
    runs = values["prune-sweep"]
    own = [run.busy_s for run in runs]
    by_batch = {f"{peer}, batch {batch}": [round_s[batch] for round_s in values[peer]] for peer in peers for batch in values[peer][0]}
    # A batch that the device has not memory enough for has no time.
    fitting = {peer: seconds for peer, seconds in by_batch.items() if None not in seconds}
    best = min(fitting, key=lambda peer: median(fitting[peer]))
    row = Row(name, "transformers, best batch", PASSES * median(fitting[best]) / median(own), "x", wanted, stretch,
              figures={"prune-sweep, s": own, "wall, s": [run.wall_s for run in runs]}
              | {f"{peer}, s a variant": fitting[peer] for peer in fitting},
              note=f"transformers: the unedited model on prompts of the same lengths, times {PASSES:g}; best: {best}. {phases_note(runs[-1])}")
    return runs, row


def mmlu(bench):
    """10 % of MMLU, 39 variants."""
    peers = {"logits of the last position": ("loglik", "--batch", "64,256")}
    runs, row = against_transformers(bench, MMLU | TENTH, "mmlu", "10 % MMLU, 39 variants", peers, 30, 60)
    peak = bench.peer("ceilings")
    rate = [1e-12 * run.flops / run.busy_s for run in runs]
    return [
        row,
        Row("prefill: useful FLOP/s in 10 % MMLU", "bf16 product of 8192 x 8192 x 8192", 100 * median(rate) / peak["tflops"], "%", 45, 65,
            figures={"prune-sweep, TFLOP/s": rate, "product, TFLOP/s": [peak["tflops"]]},
            note="FLOPs of the plan over all the time of the units: edits of weights, attention and head included."),
    ]


def mmlu_all_logits(bench):
    """The same beside transformers that computes all logits, as lm-evaluation-harness does."""
    peers = {"all logits": ("loglik", "--batch", "4,8,16", "--logits", "all")}
    return [against_transformers(bench, MMLU | TENTH, "mmlu", "10 % MMLU, 39 variants, all logits", peers, None, None)[1]]


def decode_bytes(run, lengths, common):
    """The fewest bytes that decoding moves: weights once a step, every row's own keys and values."""
    total = 0
    own = sum(lengths) / len(lengths) - common
    for unit in run.units:
        names = set(unit.variants) - ({"magnitude-00"} if "baseline" in unit.variants else set())  # one stream
        weights = LAYERS * LAYER_BYTES * (len(names) if unit.is_pruned() else 1) + HEAD_BYTES
        total += NEW_TOKENS * weights
        # A random model's answers are as long as they may be.
        read = own * NEW_TOKENS + NEW_TOKENS * (NEW_TOKENS + 1) / 2
        total += unit.num_questions * len(names) * LAYERS * KV_ROW_BYTES * read
    return total


def gsm8k(bench):
    """10 % of GSM8K, 39 variants."""
    peers = {"generate": ("generate", "--batch", "64,132", "--new-tokens", NEW_TOKENS)}
    keys = GSM8K | TENTH
    runs, row = against_transformers(bench, keys, "gsm8k", f"10 % GSM8K, 39 variants, {NEW_TOKENS} new tokens", peers, 30, 100)
    plan = sweep_runs.plan(bench.job(**keys))
    questions = sweep_runs.questions(plan, "gsm8k")
    common = min(question["common_tokens"] for question in questions[1:])
    copy = bench.peer("ceilings")["copy_gb_s"]
    rate = [1e-9 * decode_bytes(run, [q["prompt_tokens"] for q in questions], common) / (run.phases_s["decode_s"] + run.phases_s["head_s"]) for run in runs]
    return [
        row,
        Row("decode: bytes that must be moved, per second", "a copy on the device", 100 * median(rate) / copy, "%", 40, 60,
            figures={"prune-sweep, GB/s": rate, "copy, GB/s": [copy]},
            note="Weights once a step, every row's own keys and values, over the time of decoding and the head."),
    ]


def savings(bench):
    """Each saving switched off alone, on three subjects of MMLU and 32 questions of GSM8K with 64 new tokens."""
    keys = MMLU | GSM8K | {
        "benchmarks__mmlu_ids": "anatomy:0-24; sociology:0-24; astronomy:0-24", "benchmarks__gsm8k_ids": "0-31",
        "benchmarks__max_new_tokens": 64}
    switches = {"everything on": (), "no forks": ("--no-fork",), "no prefixes (and no cascade)": ("--no-prefix",),
                "no kernels of our own (and no graphs)": ("--no-kernels",), "no graphs": ("--no-graphs",)}
    values = bench.alternate({name: lambda o=options: bench.run(keys, *o) for name, options in switches.items()})
    rows = []
    for name in list(switches)[1:]:
        for benchmark in ("mmlu", "gsm8k"):
            off, on = ([sum(u.elapsed_s for u in run.units if u.benchmark == benchmark) for run in values[n]] for n in (name, "everything on"))
            rows.append(Row(f"{name}: {benchmark}", "everything on", median(off) / median(on), "x", figures={"off, s": off, "on, s": on}))
    return rows


def start(bench):
    """From the command to the first unit's start."""
    keys = ON_DEVICE | {"sweep__layers": "none", "sweep__magnitude": "none", "benchmarks__mmlu": DATA / "mmlu", "benchmarks__mmlu_ids": "anatomy:0-1"}
    bench.run(keys)
    seconds = [bench.run(keys).launch_to_first_unit_s for _ in range(max(2, bench.repeat))]
    return [Row("start to first unit, 0.6B shape, warm page cache", "", median(seconds), "s", 8, 4, less_is_better=True, figures={"s": seconds})]


def full(bench):
    """Both benchmarks complete, 39 variants."""
    run = bench.run(MMLU | GSM8K | {"benchmarks__limit": "all"})
    return [Row(f"full MMLU and GSM8K, 39 variants, {NEW_TOKENS} new tokens", "", run.wall_s / 60, "min", 10, 4, less_is_better=True,
                figures={"units, s": [run.busy_s]}, note=phases_note(run))]


WORKLOADS = {function.__name__: function for function in (mmlu, mmlu_all_logits, gsm8k, savings, start, full)}


def main():
    parser = argparse.ArgumentParser(
        prog="device.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter,
        epilog="\n".join(f"{name:<12}{function.__doc__}" for name, function in WORKLOADS.items()))
    parser.add_argument("--only", metavar="NAME,...", help="these workloads, and what was measured of others stays")
    parser.add_argument("--repeat", type=int, default=1, help="rounds; every second one in reverse order")
    options = parser.parse_args()
    options.quick, options.pause, options.burst = False, 0, 45
    names = chosen(parser, options.only, WORKLOADS)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options, pathlib.Path(folder))
        device = bench.peer("ceilings")["device"]
        measure(bench, WORKLOADS, names, lambda: {
            "machine": {"device": device} | report.machine(bench.threads),
            "versions": report.versions(sweep_runs.BIN / "prune-sweep", PACKAGES, ""), "options": {"repeat": options.repeat}}, "device")


if __name__ == "__main__":
    sys.exit(main())
