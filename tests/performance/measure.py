"""Measures prune-sweep beside the tools that do the same, in one run, and writes results/performance/.

    ./dev bench [--only NAME,...] [--repeat N] [--quick]

On a machine that others use too, figures are steadier with `chrt -r 10 ./dev bench --pause 20`.
"""

import argparse
import os
import pathlib
import sys
import tempfile

import report
import sweep_runs
from bench import Bench, chosen, measure
from workloads import WORKLOADS

PACKAGES = ["torch", "transformers", "lm_eval"]


def main():
    parser = argparse.ArgumentParser(
        prog="./dev bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter,
        epilog="\n".join(f"{name:<12}{function.__doc__}" for name, function in WORKLOADS.items()))
    parser.add_argument("--only", metavar="NAME,...", help="these workloads, and what was measured of others stays")
    parser.add_argument("--repeat", type=int, default=3, help="rounds; every second one in reverse order")
    parser.add_argument("--quick", action="store_true", help="a few questions: whether it works, not how fast it is")
    parser.add_argument("--cores", type=int, default=2, help="of this machine, for every program alike")
    parser.add_argument("--pause", type=float, default=0, metavar="S", help="between measurements; runs are stopped and resumed, too")
    parser.add_argument("--burst", type=float, default=45, metavar="S", help="with --pause: after how long (twice as long when no unit ends within it)")
    options = parser.parse_args()
    names = chosen(parser, options.only, WORKLOADS)
    if options.repeat < 1 or options.cores < 1:
        parser.error("--repeat and --cores must be 1 or more")
    cores = sorted(os.sched_getaffinity(0))[: options.cores]
    os.sched_setaffinity(0, cores)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options, pathlib.Path(folder))
        measure(bench, WORKLOADS, names, lambda: {
            "machine": report.machine(len(cores)), "versions": report.versions(sweep_runs.BIN / "prune-sweep", PACKAGES, bench.llama_cpp.version()),
            "options": {"repeat": options.repeat, "quick": options.quick}}, "bench")


if __name__ == "__main__":
    sys.exit(main())
