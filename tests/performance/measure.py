"""Measures what the README and the issues speak of, side by side in one run, and writes results/performance/.

    ./dev bench [--repeat 3] [--quick]
"""

import argparse
import json
import os
import pathlib
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("PRUNE_SWEEP_BIN", ROOT / "build/release/bin"))
DATA = pathlib.Path(os.environ.get("PRUNE_SWEEP_DATA_DIR", ROOT / "build/release/data"))


def run(*arguments, ranks=None):
    """Seconds the program took."""
    command = [str(BIN / "prune-sweep"), *map(str, arguments)]
    if ranks is not None:
        command = ["mpirun", "--oversubscribe", "-n", str(ranks), *command]
    start = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True)
    elapsed_s = time.monotonic() - start
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return elapsed_s


def demo(scratch, repeat):
    """Wall time of the demo job and time to its first result, by number of ranks, in alternating order."""
    rows = {ranks: {"wall_s": [], "start_to_first_result_s": []} for ranks in (1, 2, 4, 8)}
    for round_number in range(repeat):
        for ranks, figures in rows.items():
            out = scratch / f"demo-{ranks}-{round_number}"
            figures["wall_s"].append(run("run", ROOT / "jobs/demo.ini", f"--output.dir={out}", ranks=ranks))
            status = json.loads((out / "status.json").read_text())
            figures["start_to_first_result_s"].append(status["start_to_first_result_s"])
    return rows


def real_shape(scratch):
    """The real job's sizes on a random checkpoint: check, and a small run by two ranks."""
    model = scratch / "random-0.6b"
    subprocess.run(
        [sys.executable, ROOT / "tests/make_checkpoint.py", "--shape", "0.6b", "--tokenizer", DATA / "qwen3-0.6b", model],
        check=True,
    )
    job = ["jobs/qwen3-0.6b.ini", f"--model.path={model}", f"--benchmarks.mmlu={DATA}/mmlu", f"--benchmarks.gsm8k={DATA}/gsm8k"]
    job[0] = ROOT / job[0]
    figures = {"check_s": run("check", *job, f"--output.dir={scratch}/real"),
               "check_digest_s": run("check", *job, "--digest", f"--output.dir={scratch}/real")}
    small = ["--benchmarks.limit=1", "--sweep.layers=0,14", "--sweep.magnitude=50", "--benchmarks.max-new-tokens=8"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    figures["run_2_ranks_s"] = run("run", *job, *small, f"--output.dir={scratch}/real", ranks=2)
    figures["largest_process_mib"] = max(before, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) / 1024
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="the demo job alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = pathlib.Path(folder)
        report = {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count(), "demo": demo(scratch, options.repeat)}
        if not options.quick:
            report["qwen3-0.6b shape"] = real_shape(scratch)
    lines = ["| demo, ranks | wall, s (median) | start to first result, s (median) |", "| --- | --- | --- |"]
    for ranks, figures in report["demo"].items():
        lines.append(f"| {ranks} | {statistics.median(figures['wall_s']):.1f} | {statistics.median(figures['start_to_first_result_s']):.2f} |")
    for name, value in report.get("qwen3-0.6b shape", {}).items():
        lines.append(f"{name}: {value:.2f}")
    target = ROOT / "results/performance"
    target.mkdir(parents=True, exist_ok=True)
    (target / "measure.json").write_text(json.dumps(report, indent=1) + "\n")
    (target / "measure.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
