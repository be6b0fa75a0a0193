"""What all workloads share: options, the model, peers, and the order of measurements."""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

import report
import sweep_runs
from llama_cpp import LlamaCpp

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = pathlib.Path(os.environ.get("PRUNE_SWEEP_DATA_DIR", ROOT / "build/release/data"))
CACHE = ROOT / "build/bench"  # what a second call finds in place


class Bench:
    def __init__(self, options, scratch):
        self.repeat = options.repeat
        self.quick = options.quick
        self.pause_s = options.pause
        self.burst_s = options.burst
        self.threads = len(os.sched_getaffinity(0))
        self.scratch = scratch
        self.llama_cpp = LlamaCpp(CACHE / "llama.cpp")

    def model(self):
        """The 0.6B shape with random weights, under the real tokenizer."""
        path = CACHE / "random-0.6b"
        if not (path / "tokenizer.json").exists():
            CACHE.mkdir(parents=True, exist_ok=True)
            subprocess.run([sys.executable, ROOT / "tests/make_checkpoint.py", "--shape", "0.6b", "--tokenizer", DATA / "qwen3-0.6b", path],
                           check=True)
        return path

    def job(self, stem="job", **keys):
        """A job file; keys as sweep__layers="all"."""
        return sweep_runs.write_job(
            self.scratch / f"{stem}.ini", self.model(), {name.replace("__", ".").replace("_", "-"): value for name, value in keys.items()})

    def run(self, keys, *options, **settings):
        """Runs a job of the program; see sweep_runs.run."""
        done = sweep_runs.run(self, self.job(**keys), *options, **settings)
        self.pause()
        return done

    def peer(self, *arguments):
        """What tests/performance/peers.py measured, in a process of its own."""
        done = subprocess.run(
            [sys.executable, ROOT / "tests/performance/peers.py", "--threads", str(self.threads), *map(str, arguments)],
            capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"peers.py {' '.join(map(str, arguments))}\n{done.stderr}")
        self.pause()
        return json.loads(done.stdout.splitlines()[-1])

    def pause(self):
        """Leaves the machine to others for a while."""
        time.sleep(self.pause_s)

    def alternate(self, measurements):
        """{name: [value of each round]} of {name: function}; every second round in reverse order."""
        values = {name: [] for name in measurements}
        for number in range(self.repeat):
            order = list(measurements)
            for name in order if number % 2 == 0 else reversed(order):
                start = time.monotonic()
                values[name].append(measurements[name]())
                print(f"  {name}: {time.monotonic() - start:.0f} s", flush=True)
        return values


def chosen(parser, only, workloads):
    """The names of `--only`, or all of them."""
    names = only.split(",") if only else list(workloads)
    for name in names:
        if name not in workloads:
            parser.error(f"workload {name} (not known) take some of {', '.join(workloads)}")
    return names


def measure(bench, workloads, names, context, stem):
    """Runs workloads, saves and prints their rows. `context` gives where and with what they were measured."""
    for name in names:
        print(f"== {name}", flush=True)
        rows = workloads[name](bench)
        report.save(name, rows, context(), stem)
        for row in rows:
            print(f"{row.workload} | {row.against} | {report.number(row.value)} {row.unit} | {row.verdict()}", flush=True)
    print(report.TARGET / f"{stem}.md")


def median(values):
    return statistics.median(values)
