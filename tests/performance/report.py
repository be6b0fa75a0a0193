"""Rows of what was measured, and the two files that keep them."""

import dataclasses
import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import statistics
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = ROOT / "results/performance"
COMMANDS = {"bench": "bench", "device": "bench --device"}


@dataclasses.dataclass
class Row:
    workload: str
    against: str
    value: float
    unit: str = "x"
    at_least: float | None = None  # at most, where less is better
    stretch: float | None = None
    less_is_better: bool = False
    figures: dict[str, list[float]] = dataclasses.field(default_factory=dict)  # what was measured, by round
    note: str = ""

    def verdict(self):
        if self.at_least is None:
            return ""
        good = (lambda bound: self.value <= bound) if self.less_is_better else (lambda bound: self.value >= bound)
        if self.stretch is not None and good(self.stretch):
            return "stretch"
        return "yes" if good(self.at_least) else "no"


def output_of(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def cpu_model():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def machine(cores):
    """What the figures depend on beside the program."""
    flags = set(pathlib.Path("/proc/cpuinfo").read_text().split())
    memory_kib = next(line.split()[1] for line in pathlib.Path("/proc/meminfo").read_text().splitlines()
                      if line.startswith("MemTotal"))
    return {
        "cpu": cpu_model(),
        "cpu_features": [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in flags],
        "cores_used": cores,
        "cores": os.cpu_count(),
        "memory_gib": round(int(memory_kib) / 2**20, 1),
        "kernel": platform.release(),
        "priority": "real time" if os.sched_getscheduler(0) in (os.SCHED_RR, os.SCHED_FIFO) else "normal",
    }


def versions(program, packages, llama_cpp):
    """Of what was measured: the program as it calls itself, Python packages, llama.cpp where it was built."""
    found = {"prune-sweep": output_of(program, "--version").removeprefix("prune-sweep "), "python": platform.python_version()}
    for package in packages:
        found[package] = importlib.metadata.version(package)
    if llama_cpp:
        found["llama.cpp of llama-cpp-python"] = llama_cpp
    return found


def save(name, rows, context, stem):
    """Puts a workload's rows in the place of what was measured of it before; other workloads stay as they are."""
    TARGET.mkdir(parents=True, exist_ok=True)
    path = TARGET / f"{stem}.json"
    kept = json.loads(path.read_text()) if path.exists() else {}
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    kept[name] = {"measured_utc": now, **context, "rows": [dataclasses.asdict(row) | {"met": row.verdict()} for row in rows]}
    path.write_text(json.dumps(kept, indent=1) + "\n")
    (TARGET / f"{stem}.md").write_text(markdown(kept, stem))


def number(value):
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def markdown(kept, stem):
    lines = [
        "# Measured",
        "",
        f"Written by `./dev {COMMANDS[stem]}`; {stem}.json has every repetition. Medians; peers in the same run, in alternating order, with as many threads.",
        "",
        "| workload | against | measured | wanted | stretch | met | figures (median; smallest to largest of n) |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    notes, seen = [], {}
    for name, entry in kept.items():
        for row in entry["rows"]:
            wanted, stretch = (
                "" if row[key] is None else ("<= " if row["less_is_better"] else "") + f"{row[key]:g} {row['unit']}"
                for key in ("at_least", "stretch"))
            figures = "; ".join(
                f"{key}: {number(statistics.median(values))}"
                + (f" ({number(min(values))} to {number(max(values))} of {len(values)})" if len(values) > 1 else "")
                for key, values in row["figures"].items())
            lines.append(f"| {row['workload']} | {row['against']} | {number(row['value'])} {row['unit']} | {wanted} | {stretch} "
                         f"| {row['met']} | {figures} |")
            if row["note"]:
                notes.append(f"- **{row['workload']}, {row['against']}.** {row['note']}")
        circumstances = json.dumps([entry["machine"], entry["versions"], entry["options"]])
        seen.setdefault(circumstances, []).append(f"{name} ({entry['measured_utc']})")
    lines += ["", *notes, "", "## Where and with what", ""]
    for circumstances, names in seen.items():
        where, what, options = json.loads(circumstances)
        lines.append(f"- {', '.join(names)}: " + ", ".join(f"{key} {value}" for key, value in (where | what | options).items()))
    return "\n".join(lines) + "\n"
