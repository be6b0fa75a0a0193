"""Runs of the program under measurement, and what its run directory says of the time they took."""

import dataclasses
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time

import h5py
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("PRUNE_SWEEP_BIN", ROOT / "build/release/bin"))
SAMPLING_S = 0.1
STOPPED = 75  # exit status of a run that can be resumed


@dataclasses.dataclass
class Unit:
    benchmark: str
    variants: list[str]
    num_questions: int
    flops: float
    started_s: float
    elapsed_s: float

    def is_pruned(self):
        """Whether it evaluates a magnitude level that zeroes something."""
        return all(name.startswith("magnitude") for name in self.variants)


@dataclasses.dataclass
class Run:
    units: list[Unit]
    wall_s: float  # from the command to its end, pauses included
    launch_to_first_unit_s: float
    evaluator_own_mib: float  # largest memory of an evaluator without file pages, as sampled
    master_cpu_share: float  # of one core, between the first unit's start and the last one's end
    phases_s: dict  # summed over the units; empty where the archive has none
    variant_tokens_per_s: float | None

    @property
    def busy_s(self):
        """Time in which units were computed, all ranks together."""
        return sum(unit.elapsed_s for unit in self.units)

    @property
    def flops(self):
        return sum(unit.flops for unit in self.units)


def write_job(path, model, keys):
    """A job file of {"section.key": value}; a benchmark that is not named is left out."""
    sections = {"model": {"path": model}, "output": {"dir": path.parent / "run"}}
    for name, value in keys.items():
        section, key = name.split(".")
        sections.setdefault(section, {})[key] = value
    lines = []
    for section, values in sections.items():
        lines.append(f"[{section}]")
        lines += [f"{key} = {value}" for key, value in values.items() if key != "variant"]
        lines += [f"variant = {value}" for value in values.get("variant", [])]
    path.write_text("\n".join(lines) + "\n")
    return path


def plan(job, *options):
    """What `plan --json` says of a job."""
    done = subprocess.run([BIN / "prune-sweep", "plan", job, "--json", *options], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stderr)
    return json.loads(done.stdout)


def questions(plan_json, benchmark):
    """Its questions of a benchmark, as objects."""
    for entry in plan_json["benchmarks"]:
        if entry["name"] == benchmark:
            return [dict(zip(entry["question_fields"], row, strict=True)) for row in entry["questions"]]
    raise KeyError(benchmark)


class Watch:
    """Samples the processes under one process: memory of evaluators, CPU of the master."""

    def __init__(self, pid):
        self.pid = pid
        self.evaluator_own_mib = 0.0
        self.master_cpu = []  # (time.time(), seconds)
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.sample)
        self.thread.start()

    def end(self):
        self.stop.set()
        self.thread.join()

    def master_cpu_share(self, begin_s, end_s):
        inside = [(at, cpu) for at, cpu in self.master_cpu if begin_s <= at <= end_s]
        if len(inside) < 2:
            return float("nan")
        (first_s, first_cpu_s), (last_s, last_cpu_s) = inside[0], inside[-1]
        return (last_cpu_s - first_cpu_s) / (last_s - first_s)

    def sample(self):
        while not self.stop.wait(SAMPLING_S):
            for folder in descendants(self.pid):
                try:
                    self.look_at(folder)
                except (FileNotFoundError, ProcessLookupError):
                    continue

    def look_at(self, folder):
        name = (folder / "comm").read_text().strip()
        if name.startswith("prune-sweep-eva"):
            fields = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
            if "VmRSS" in fields:
                own_kib = int(fields["VmRSS"].split()[0]) - int(fields["RssFile"].split()[0])
                self.evaluator_own_mib = max(self.evaluator_own_mib, own_kib / 1024)
        elif name == "prune-sweep":
            environment = (folder / "environ").read_bytes().split(b"\0")
            ranks = [e for e in environment if e.startswith(b"OMPI_COMM_WORLD_RANK=")]
            if not ranks or ranks[0].endswith(b"=0"):
                fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
                ticks = os.sysconf("SC_CLK_TCK")
                self.master_cpu.append((time.time(), (int(fields[11]) + int(fields[12])) / ticks))


def descendants(pid):
    """/proc folders of a process and those under it."""
    found, left = [], [pid]
    while left:
        folder = pathlib.Path("/proc") / str(left.pop())
        found.append(folder)
        try:
            for task in (folder / "task").iterdir():
                left += map(int, (task / "children").read_text().split())
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def command_of(job, out, *options):
    shutil.rmtree(out, ignore_errors=True)
    return [str(BIN / "prune-sweep"), "run", str(job), "--no-gates", f"--output.dir={out}", *options]


def run(bench, job, *options, ranks=1, in_bursts=True):
    """Runs a job to its end, in bursts with pauses when the bench was asked for pauses."""
    out = bench.scratch / "run"
    command = command_of(job, out, *options)
    if ranks > 1:
        command = ["mpirun", "--oversubscribe", "--bind-to", "none", "-n", str(ranks), *command]
    launch_s = time.time()
    watches = []
    burst_s, num_records = bench.burst_s, 0
    while True:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            watches.append(Watch(process.pid))
            timer = threading.Timer(burst_s, stop, [process])
            if bench.pause_s > 0 and in_bursts:
                timer.start()
            text = process.communicate()[0]
            timer.cancel()
            watches[-1].end()
        # A launcher's own status says little.
        done = out / "DONE"
        state = int(done.read_text()) if done.exists() else process.returncode
        if state == 0:
            return read(out, launch_s, time.time(), watches)
        if state != STOPPED:
            sys.exit(f"{' '.join(command)}\n{text}")
        before, num_records = num_records, json.loads((out / "status.json").read_text())["num_records"]
        if num_records == before:  # no unit ends within a burst
            burst_s *= 2
        bench.pause()


def stop(process):
    """Asks every supervisor under a process to give out no more work."""
    send(process, signal.SIGUSR2, lambda name: name == "prune-sweep")


def send(process, number, is_meant):
    """Sends a signal to a process and those under it, as far as `is_meant`(name)."""
    for folder in descendants(process.pid):
        try:
            if is_meant((folder / "comm").read_text().strip()):
                os.kill(int(folder.name), number)
        except (FileNotFoundError, ProcessLookupError):
            continue


def is_ours(name):
    """Not the launcher's daemon, which would hand a signal on."""
    return name.startswith("prune-sweep")


class HeldRun:
    """A run that is held up again and again, after so many seconds each time."""

    def __init__(self, job, out, share_s):
        self.command = command_of(job, out)
        self.out = out
        self.share_s = share_s
        self.process = None
        self.held = []  # [from, to], by time.time()

    def take_turn(self):
        """Starts it, or lets it go on; whether it has ended."""
        if self.process is None:
            self.launch_s = time.time()
            # In a session of its own: when a shell ends, the kernel hangs up on what it left behind held.
            self.process = subprocess.Popen(
                self.command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
            self.watch = Watch(self.process.pid)
        else:
            self.held[-1][1] = time.time()
            send(self.process, signal.SIGCONT, is_ours)
        try:
            self.process.wait(self.share_s)
            return True
        except subprocess.TimeoutExpired:
            send(self.process, signal.SIGSTOP, is_ours)
            self.held.append([time.time(), None])
            return False

    def result(self):
        """The Run, whose units took what they were not held up."""
        self.watch.end()
        text = self.process.stdout.read()
        if self.process.returncode != 0:
            sys.exit(text)
        done = read(self.out, self.launch_s, time.time(), [self.watch])
        begin_s = json.loads((self.out / "status.json").read_text())["started_s"]
        for unit in done.units:
            first_s, last_s = begin_s + unit.started_s, begin_s + unit.started_s + unit.elapsed_s
            unit.elapsed_s -= sum(max(0.0, min(last_s, end) - max(first_s, begin)) for begin, end in self.held)
        return done

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            self.watch.end()
            send(self.process, signal.SIGKILL, is_ours)
            self.process.wait()


def run_side_by_side(bench, jobs):
    """{name: Run} of {name: (job, seconds)}: each goes on for so long in turn, so that all see the same hours of a machine."""
    runs = {name: HeldRun(job, bench.scratch / f"run-{number}", share_s) for number, (name, (job, share_s)) in enumerate(jobs.items())}
    done = {}
    try:
        while len(done) < len(runs):
            for name, run_of_it in runs.items():
                if name not in done and run_of_it.take_turn():
                    done[name] = run_of_it.result()
                    print(f"  {name}: {done[name].busy_s:.0f} s", flush=True)
        return {name: done[name] for name in jobs}
    finally:
        for run_of_it in runs.values():
            run_of_it.kill()


def read(out, launch_s, end_s, watches):
    """What a complete run directory says of a run."""
    status = json.loads((out / "status.json").read_text())
    plan_json = json.loads((out / "plan.json").read_text())
    names = [variant["name"] for variant in plan_json["variants"]]
    with h5py.File(out / "archive.h5") as archive:
        audit = archive["audit/units"]
        started_s, elapsed_s, units, outcome = (
            audit[name][:] for name in ("started_s", "elapsed_s", "unit", "outcome"))
        phases_s = {name: float(np.nansum(audit[name][:])) for name in audit
                    if name.endswith("_s") and name not in ("started_s", "elapsed_s")}
    committed = {}
    for row, unit in enumerate(units):
        if outcome[row] == b"committed":
            committed.setdefault(int(unit), row)
    result = []
    for number, row in committed.items():
        unit = plan_json["units"][number]
        result.append(Unit(
            plan_json["benchmarks"][unit["benchmark"]]["name"], [names[v] for v in unit["variants"]],
            unit["num_questions"], unit["flops"], float(started_s[row]), float(elapsed_s[row])))
    # The clock of the archive starts with the run.
    first_s = status["started_s"] + min(unit.started_s for unit in result)
    last_s = status["started_s"] + max(unit.started_s + unit.elapsed_s for unit in result)
    return Run(
        result, end_s - launch_s, first_s - launch_s, max(watch.evaluator_own_mib for watch in watches),
        watches[0].master_cpu_share(first_s, last_s), phases_s, status.get("variant_tokens_per_s"))
