"""The workloads: each a function of the bench that gives rows of the report."""

import json
import subprocess

import sweep_runs
from bench import DATA, ROOT, median
from report import Row

LAYERS = 28
DROPS = range(LAYERS)
LEVELS = range(0, 100, 10)
# Passes through the whole model of baseline, drops and levels, each evaluated by itself.
PASSES = 1 + len(DROPS) * (LAYERS - 1) / LAYERS + len(LEVELS)
DROPS_PASSES = 1 + len(DROPS) * (LAYERS - 1) / LAYERS

# Prefixes save 5.3 x here, and 5.5 x with 25 questions of each of the 57 subjects.
SUBJECTS = ("anatomy", "sociology", "astronomy")
SWEEP = {"sweep__layers": "all", "sweep__magnitude": ",".join(map(str, LEVELS))}
# Variants that stand for the others where each costs as much as any of its kind.
SAMPLED_DROPS = (7, 20)
SAMPLED_LEVEL = 50
# Pruned models generate several at a time.
SAMPLED_LEVELS = (30, 50, 70)
SAMPLE = {"sweep__layers": ",".join(map(str, SAMPLED_DROPS)), "sweep__magnitude": str(SAMPLED_LEVEL)}
NEW_TOKENS = 128
# Of runs that go on in turn, those of 39 variants and the fewest questions.
TURN_S = 3
# By number of workers, the largest makespan over the ideal one.
MAKESPAN_BOUNDS = {8: 1.02, 64: 1.05, 512: 1.12, 1000: 1.15}


def mmlu_keys(subject, count, first=0):
    return {"benchmarks__mmlu": DATA / "mmlu", "benchmarks__mmlu_ids": f"{subject}:{first}-{first + count - 1}"}


def gsm8k_keys(count):
    # The same five examples for every question, which then share them; the harness draws five for each unless told so.
    # Gold solutions are not scored, as the harness does not score them.
    return {"benchmarks__gsm8k": DATA / "gsm8k", "benchmarks__gsm8k_gold": "skipped", "benchmarks__gsm8k_ids": f"0-{count - 1}", "benchmarks__gsm8k_exemplars": "fixed",
            "benchmarks__max_new_tokens": NEW_TOKENS}


def by_kind(runs):
    """Seconds of units of baseline and drops, and of pruned variants."""
    units = [unit for run in runs for unit in run.units]
    return (sum(unit.elapsed_s for unit in units if not unit.is_pruned()), sum(unit.elapsed_s for unit in units if unit.is_pruned()))


def of_all_variants(runs, scale=1.0):
    """(baseline and drops, everything) in seconds, of runs of SAMPLE in which every variant is by itself."""
    baseline_and_drops, levels = by_kind(runs)
    # The baseline is a whole pass, a drop one of LAYERS - 1 of LAYERS.
    sampled_passes = 1 + len(SAMPLED_DROPS) * (LAYERS - 1) / LAYERS
    drops_s = baseline_and_drops / sampled_passes * DROPS_PASSES * scale
    return drops_s, drops_s + levels * len(LEVELS) * scale


def harness(bench, task, limit, batch, scale=1.0):
    """Seconds of one variant's answers by lm-evaluation-harness."""
    return scale * bench.peer("harness", bench.model(), "--task", task, "--limit", limit, "--batch", batch)["elapsed_s"]


def sweep_note():
    return (f"39 variants are {PASSES:g} passes through the model evaluated one by one; level 0 is the baseline's model and is computed "
            "with it. Start-up (loading libraries and weights) is not counted on either side.")


def subjects_and_count(bench):
    """The subjects of A and the questions of each."""
    return (SUBJECTS[:1], 8) if bench.quick else (SUBJECTS, 25)


def mmlu(bench):
    """A: MMLU, three subjects, 39 variants."""
    subjects, count = subjects_and_count(bench)
    values = bench.alternate({
        "prune-sweep": lambda: [bench.run(SWEEP | mmlu_keys(s, count)) for s in subjects],
        "naive": lambda: [bench.run(SAMPLE | mmlu_keys(s, count), "--naive") for s in subjects],
        "hf 1": lambda: sum(harness(bench, f"mmlu_{s}", count, 1) for s in subjects),
        "hf 8": lambda: sum(harness(bench, f"mmlu_{s}", count, 8) for s in subjects),
    })
    runs = values["prune-sweep"]
    own = {"drops": [by_kind(r)[0] for r in runs], "all": [sum(by_kind(r)) for r in runs]}
    naive = {"drops": [of_all_variants(r)[0] for r in values["naive"]], "all": [of_all_variants(r)[1] for r in values["naive"]]}
    best_batch = min(("hf 1", "hf 8"), key=lambda name: median(values[name]))
    size = f"A: MMLU, {len(subjects)} x {count} questions"
    sampled = (f"naive: baseline, drops of layers {SAMPLED_DROPS} and level {SAMPLED_LEVEL} measured with --naive, the other variants "
               "counted as these, by layers. ")
    rows = [
        Row(f"{size}, 39 variants", "own --naive", median(naive["all"]) / median(own["all"]), "x", 6.5, 7.5,
            figures={"prune-sweep, s": own["all"], "naive, s": naive["all"]}, note=sampled + sweep_note()),
        Row(f"{size}, baseline and drops", "own --naive", median(naive["drops"]) / median(own["drops"]), "x", 8.5, 9.5,
            figures={"prune-sweep, s": own["drops"], "naive, s": naive["drops"]}, note="The units of these variants in the same runs."),
        Row(f"{size}, 39 variants", "lm-eval hf, best of batch 1 and 8", PASSES * median(values[best_batch]) / median(own["all"]), "x", 15, 22,
            figures={"prune-sweep, s": own["all"], "batch 1, s a variant": values["hf 1"], "batch 8, s a variant": values["hf 8"]},
            note=f"hf: the unedited model measured, times {PASSES:g}."),
        memory_row("A", runs),
    ]
    phases = {}
    for r in runs[-1:]:
        for run in r:
            for name, seconds in run.phases_s.items():
                phases[name] = phases.get(name, 0) + seconds
    if phases:
        rows[0].note += " Time by phase in the last round, s: " + ", ".join(f"{name[:-2]} {seconds:.1f}" for name, seconds in phases.items()) + "."
    return rows


def rate(bench):
    """FLOP/s of A's units, by subject, and of products alone before and after each: a machine's speed changes while A runs."""
    subjects, count = subjects_and_count(bench)
    peaks = [bench.peer("linear")["peak_gflops"]]
    rates, shares = [], []
    for subject in subjects * bench.repeat:
        run = bench.run(SWEEP | mmlu_keys(subject, count))
        peaks.append(bench.peer("linear")["peak_gflops"])
        rates.append(1e-9 * run.flops / run.busy_s)
        shares.append(100 * rates[-1] / (sum(peaks[-2:]) / 2))
    return [Row(
        "useful FLOP/s of prefill in A, subject by subject", "at::linear's best, before and after", median(shares), "%", 75, 85,
        figures={"share, %": shares, "prune-sweep, GFLOP/s": rates, "at::linear, GFLOP/s": peaks},
        note="FLOPs of the plan over all the time of the units, edits of weights, attention and head included; at::linear: the best of the model's "
             "shapes at 1024 and 2048 rows, the mean of before and after a subject.")]


def memory_row(workload, runs):
    peaks = [max(run.evaluator_own_mib for run in r) / 1024 for r in runs]
    return Row(f"memory of a worker beyond shared weights, {workload}", "", max(peaks), "GiB", 2, 1, less_is_better=True, figures={"GiB": peaks},
               note="Largest VmRSS - RssFile of the evaluator, sampled ten times a second.")


def gsm8k(bench):
    """B: GSM8K, 39 variants."""
    count = 4 if bench.quick else 16
    part = max(1, count // 4)  # of the questions, where every one is computed by itself
    scale = count / part
    sampled = SWEEP | {"sweep__magnitude": ",".join(map(str, (0, *SAMPLED_LEVELS)))}
    values = bench.alternate({
        "prune-sweep": lambda: bench.run(sampled | gsm8k_keys(count)),
        "naive": lambda: bench.run(SAMPLE | gsm8k_keys(part), "--naive"),
        "hf 1": lambda: harness(bench, "gsm8k", part, 1, scale),
        "hf 8": lambda: harness(bench, "gsm8k", count, min(8, count)),
        "hf all": lambda: harness(bench, "gsm8k", count, count),
    })
    own = []
    for run in values["prune-sweep"]:
        drops_s, levels_s = by_kind([run])
        own.append(drops_s + (len(LEVELS) - 1) / len(SAMPLED_LEVELS) * levels_s)
    naive = [of_all_variants([run], scale)[1] for run in values["naive"]]
    batches = {"hf 1": 1, "hf 8": 8, "hf all": count}
    best = min(batches, key=lambda name: median(values[name]))
    size = f"B: GSM8K, {count} questions, 39 variants, {NEW_TOKENS} new tokens"
    return [
        Row(size, "own --naive", median(naive) / median(own), "x", 5, 8, figures={"prune-sweep, s": own, "naive, s": naive},
            note=f"Ours: baseline, drops and levels {SAMPLED_LEVELS} measured, which are a unit, the other six counted as these. Naive: baseline, drops of layers "
                 f"{SAMPLED_DROPS} and level {SAMPLED_LEVEL} on {part} of the questions measured with --naive, the rest counted as these. " + sweep_note()),
        Row(size, "transformers generate as lm-eval drives it, best batch", PASSES * median(values[best]) / median(own), "x", 10, 20,
            figures={"prune-sweep, s": own} | {f"batch {batch}, s a variant": values[name] for name, batch in batches.items()},
            note=f"hf: the unedited model measured (batch 1 on {part} of the questions), times {PASSES:g}. Best: batch {batches[best]}. "
                 "Both with the task's first five examples before every question."),
        memory_row("B", [[run] for run in values["prune-sweep"]]),
    ]


def prefill(bench):
    """One variant, nothing shared."""
    count = 8 if bench.quick else 25
    keys = {"sweep__layers": "none", "sweep__magnitude": "none"} | mmlu_keys("prehistory", count)
    questions = sweep_runs.questions(sweep_runs.plan(bench.job(**keys)), "mmlu")
    lengths = [question["prompt_tokens"] for question in questions]
    rows_of = ",".join(map(str, lengths))

    def ours(*options):
        return sum(lengths) / bench.run(keys, *options).busy_s

    def transformers():
        done = bench.peer("prefill", bench.model(), "--tokens", rows_of)
        return done["tokens"] / done["elapsed_s"]

    def llama_cpp():
        rate = bench.llama_cpp.prefill_tokens_per_s(bench.model(), 512, bench.threads)
        bench.pause()
        return rate

    bench.llama_cpp.need()
    bench.llama_cpp.model(bench.model())
    values = bench.alternate({"no-prefix": lambda: ours("--no-prefix"), "naive": lambda: ours("--naive"),
                              "transformers": transformers, "llama.cpp": llama_cpp})
    figures = {"prune-sweep --no-prefix, tokens/s": values["no-prefix"], "prune-sweep --naive, tokens/s": values["naive"]}
    note = (f"The baseline on {count} prompts of {min(lengths)} to {max(lengths)} tokens ({sum(lengths) / count:.0f} on average), every prompt computed "
            "whole; with --naive each by itself.")
    own = median(values["no-prefix"])
    return [
        Row("one variant's prefill, nothing shared", "transformers, last position only", own / median(values["transformers"]), "x", 1.6, 1.9,
            figures=figures | {"transformers, tokens/s": values["transformers"]}, note=note + " transformers: prompts of the same lengths, one after the other."),
        Row("one variant's prefill, nothing shared", "llama.cpp, bf16", own / median(values["llama.cpp"]), "x", 1.8, 2.2,
            figures=figures | {"llama-bench pp512, tokens/s": values["llama.cpp"]}, note="llama-bench -p 512 with the same weights as bf16 GGUF."),
    ]


def ranks(bench):
    """Two ranks with a core each and one rank with both."""
    keys = SWEEP | mmlu_keys("anatomy", 8 if bench.quick else 25)
    values = bench.alternate({
        "one": lambda: bench.run(keys).busy_s,
        "two": lambda: bench.run(keys, ranks=2).busy_s / 2,
    })
    one, two = median(values["one"]), median(values["two"])
    return [Row("A, one subject: two ranks x 1 thread", "one rank x 2 threads", one / two, "x",
                figures={"one rank, s": values["one"], "two ranks, s": values["two"]},
                note="Time in units, divided by ranks: what is left over at the end of a run is not counted. "
                     f"{'Two ranks are' if two < one else 'One rank is'} the faster here.")]


def master(bench):
    """What rank 0's supervisor takes of a core."""
    keys = SWEEP | mmlu_keys("anatomy", 4 if bench.quick else 8)
    shares = [100 * bench.run(keys, ranks=8, in_bursts=False).master_cpu_share for _ in range(bench.repeat)]
    return [Row("master's share of a core during A, 8 questions, -n 8", "", max(shares), "%", 3, less_is_better=True, figures={"%": shares},
                note="User and system time of rank 0's supervisor over wall time, from the first unit's start to the last one's end.")]


def start(bench):
    """From the command to the first unit's start."""
    keys = {"sweep__layers": "none", "sweep__magnitude": "none"} | mmlu_keys("anatomy", 2)
    bench.run(keys)  # warms the page cache
    seconds = [bench.run(keys).launch_to_first_unit_s for _ in range(bench.repeat)]
    return [Row("start to first unit, 0.6B shape, warm page cache", "", median(seconds), "s", 3, 1.5, less_is_better=True, figures={"s": seconds})]


def linearity(bench):
    """Cost as work grows: questions of a subject, and variants."""
    base = 8 if bench.quick else 25
    pairs = [f"pair-{a:02}-{b:02}: {a} drop, {b} drop" for a in DROPS for b in DROPS if a < b]
    spread = pairs[:: len(pairs) // 117][:117]
    questions = {1: base, 2: 2 * base, 4: 4 * base}
    variants = {39: [], 78: spread[:39], 156: spread}
    # What each takes of a turn goes with its work, so that all end at about the same time.
    jobs = {f"{times}x questions": (bench.job(f"questions-{times}", **SWEEP | mmlu_keys("anatomy", count)), TURN_S * times) for times, count in questions.items()}
    jobs |= {f"{number} variants": (bench.job(f"variants-{number}", **SWEEP | {"sweep__variant": more} | mmlu_keys("anatomy", base)), TURN_S * number / 39)
             for number, more in variants.items() if more}
    rounds = [sweep_runs.run_side_by_side(bench, jobs) for _ in range(bench.repeat)]
    values = {name: [runs[name] for runs in rounds] for name in jobs}
    rows = []
    for title, names in (("questions", [f"{times}x questions" for times in questions]),
                         ("variants", ["1x questions", "78 variants", "156 variants"])):
        cost = {name: median([1e12 * run.busy_s / run.flops for run in values[name]]) for name in names}
        first = cost[names[0]]
        worst = max((abs(cost[name] / first - 1) for name in names[1:]))
        rows.append(Row(
            f"cost as work grows, {title}: A, one subject", "linear", 100 * worst, "% off", 5, less_is_better=True,
            figures={f"{name}, s": [run.busy_s for run in values[name]] for name in names}
            | {f"{name}, s/TFLOP": [1e12 * run.busy_s / run.flops for run in values[name]] for name in names},
            note="Each run goes on for some seconds in turn while the others are held up, longer the more it has to do: a machine's speed changes in that "
                 "time. Seconds by the plan's work (a subject's prefix is computed once for all its questions, so work grows less than questions do)."))
    return rows


def demo(bench):
    """The bundled job, by number of ranks."""
    values = bench.alternate({count: lambda n=count: sweep_runs.run(bench, ROOT / "jobs/demo.ini", ranks=n) for count in (1, 2, 4, 8)})
    return [
        Row(f"the demo, {count} ranks", "", median([run.wall_s for run in runs]), "s",
            figures={"wall, s": [run.wall_s for run in runs], "start to first unit, s": [run.launch_to_first_unit_s for run in runs]})
        for count, runs in values.items()
    ]


def makespan(bench):
    """Both benchmarks complete on many workers, with unit times as measured here."""
    levels = {"sweep__layers": "all", "sweep__magnitude": f"0,{SAMPLED_LEVEL}"}
    runs = {"mmlu": bench.run(levels | mmlu_keys("anatomy", 4 if bench.quick else 25)),
            "gsm8k": bench.run(levels | gsm8k_keys(2 if bench.quick else 8))}
    measured = bench.scratch / "seconds_per_flop.json"
    measured.write_text(json.dumps({name: [unit.elapsed_s / unit.flops for unit in run.units] for name, run in runs.items()}))
    plan = bench.scratch / "plan.json"
    plan.write_text(json.dumps(sweep_runs.plan(bench.job(
        **SWEEP, benchmarks__mmlu=DATA / "mmlu", benchmarks__gsm8k=DATA / "gsm8k", benchmarks__limit="all"))))
    text = subprocess.run(
        [sweep_runs.BIN / "makespan", plan, measured, *map(str, MAKESPAN_BOUNDS)], check=True, capture_output=True, text=True).stdout
    counts = " and ".join(f"{len(run.units)} of {name}" for name, run in runs.items())
    note = ("The real master in simulated time; a unit takes its FLOPs times the seconds by FLOP of one of the units measured here, drawn anew: "
            f"{counts}.")
    return [
        Row(f"simulated {result['workers']:,} workers, full MMLU and GSM8K, {result['units']:,} units", "ideal makespan", result["over_ideal"], "",
            MAKESPAN_BOUNDS[result["workers"]], less_is_better=True, figures={"makespan, s": [result["makespan_s"]]}, note=note)
        for result in json.loads(text)
    ]


WORKLOADS = {
    "mmlu": mmlu, "rate": rate, "gsm8k": gsm8k, "prefill": prefill, "ranks": ranks, "master": master, "start": start, "linearity": linearity, "makespan": makespan,
    "demo": demo,
}
