"""What the system tests share: the programs as built, and jobs small enough to run many times."""

import os
import pathlib
import subprocess

import h5py
import numpy

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("PRUNE_SWEEP_BIN", ROOT / "build/release/bin"))
DEMO_JOB = ROOT / "jobs/demo.ini"

# Seven variants x (30 + 6) questions: every kind of unit, a few seconds.
SMALL = [
    "--sweep.layers=0,13,14",
    "--sweep.magnitude=0,60",
    "--sweep.variant=both: 3 drop, 7 drop-attention, 9-12 magnitude 50",
    "--benchmarks.limit=5",
    "--benchmarks.gsm8k-limit=6",
    "--benchmarks.max-new-tokens=24",
]


def prune_sweep(*arguments, ranks=None, check=True, timeout=300, env=None, stdin=None, cwd=None, preexec=None):
    """Runs the program, under mpirun when `ranks` is given."""
    command = [str(BIN / "prune-sweep"), *map(str, arguments)]
    if ranks is not None:
        command = ["mpirun", "--oversubscribe", "-n", str(ranks), *command]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=timeout,
        input=stdin,
        cwd=cwd,
        preexec_fn=preexec,
        env={**os.environ, **(env or {})},
    )
    if check:
        assert done.returncode == 0, done.stdout + done.stderr
    return done


def numeric_data(archive):
    """Every data set outside /audit, as bytes: what must not depend on how a run went."""
    data = {}

    def take(name, node):
        if isinstance(node, h5py.Dataset) and not name.startswith("audit"):
            values = node[()]
            data[name] = values.tobytes() if isinstance(values, numpy.ndarray) else values

    with h5py.File(archive) as file:
        file.visititems(take)
    assert any("loglik" in name for name in data)
    return data
