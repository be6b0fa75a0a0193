"""Leases per second through real MPI, journal and sockets, with evaluators that compute nothing; and what a rank costs that waits.

    tests/performance/lease_rate.py BUILD_DIR [RANKS]
"""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import h5py

ROOT = pathlib.Path(__file__).resolve().parents[2]


def cpu_s(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    ranks = sys.argv[2] if len(sys.argv) > 2 else "8"
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        # A program finds its evaluator beside itself.
        shutil.copy(build / "bin/prune-sweep", folder)
        shutil.copy(build / "bin/noop_evaluator", folder / "prune-sweep-evaluator")
        job = [str(folder / "prune-sweep"), str(ROOT / "jobs/demo.ini"), f"--benchmarks.mmlu={build}/data/mmlu", "--benchmarks.mmlu-limit=1.0", "--benchmarks.mmlu-shots=0",
               "--sweep.magnitude=" + ",".join(map(str, range(100))), "--no-gates",
               f"--output.dir={folder}/run"]
        done = subprocess.run(["mpirun", "--oversubscribe", "-n", ranks, *job], capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(done.stdout + done.stderr)
        units = len(json.loads((folder / "run/plan.json").read_text())["units"])
        with h5py.File(folder / "run/archive.h5") as archive:
            leased_s = archive["audit/units/started_s"][:]
        span_s = leased_s.max() - leased_s.min()
        print(f"{units} leases on {ranks} ranks in {span_s:.2f} s: {units / span_s:.0f}/s")

        # A rank whose evaluator has stopped for good waits, and does nothing else.
        (folder / "prune-sweep-evaluator").write_text("#!/bin/sh\nexec sleep 60\n")
        process = subprocess.Popen([*job[:-1], f"--output.dir={folder}/idle"], stdout=subprocess.DEVNULL)
        while not (folder / "idle/status.json").exists():
            time.sleep(0.1)
        time.sleep(1)
        before = cpu_s(process.pid)
        time.sleep(10)
        print(f"an idle rank takes {10 * (cpu_s(process.pid) - before):.1f} % of a core")
        process.kill()
        process.wait()


if __name__ == "__main__":
    main()
