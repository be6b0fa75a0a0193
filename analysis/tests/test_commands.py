"""The commands compare, rank, figures and export, and runs aligned by question."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import h5py
import numpy as np
import pytest
from scipy.stats import binomtest

import prune_sweep
from prune_sweep import cli, comparison, figures, measures, render, summary, tables
from prune_sweep.alignment import Side, align
from prune_sweep.samples import SamplesError, read_samples
from prune_sweep.table import Column, Show, Table
from prune_sweep.variants import Role, kind_of, layers_text

from . import sample, synthetic


def call(capsys, *arguments):
    status = cli.main([str(argument) for argument in arguments])
    output = capsys.readouterr()
    return status, output.out, output.err


@pytest.fixture
def sweep_path(tmp_path) -> Path:
    path = tmp_path / "sweep.h5"
    synthetic.full_run(path, 200, 132)
    return path


def test_compare_counts_what_differs(capsys, sweep_path):
    options = ("--benchmark", "gsm8k", "--score", "strict_correct", "--format", "json")
    status, out, _ = call(capsys, "compare", sweep_path, "drop-0*", *options)
    assert status == 0
    (table,) = json.loads(out)["tables"]
    assert len(table["rows"]) == 10
    assert table["top"][0].startswith("Minimum detectable difference at n = 132")
    with h5py.File(sweep_path) as file:
        correct = file["benchmarks/gsm8k/strict_correct"][:].astype(int)
    names = [name for name, _ in synthetic.SWEEP]
    for row in table["rows"]:
        variant = correct[names.index(row["variant"])]
        losses = int(((correct[0] == 1) & (variant == 0)).sum())
        gains = int(((correct[0] == 0) & (variant == 1)).sum())
        assert (row["losses"], row["gains"]) == (losses, gains)
        assert row["difference"] == pytest.approx((gains - losses) / 132, abs=1e-15)
        expected = binomtest(losses, losses + gains).pvalue
        assert row["p_exact"] == pytest.approx(expected, abs=1e-12)
        assert row["p_value"] == row["p_exact" if losses + gains < 25 else "p_mid"]
        assert row["p_value"] <= row["p_holm"] <= min(1, 10 * row["p_value"] + 1e-15)
        assert row["low"] <= row["difference"] <= row["high"]
        assert (row["verdict"] == "not distinguishable") == (row["p_holm"] > 0.05)


def test_rank_puts_the_worst_first(capsys, sweep_path):
    status, out, _ = call(capsys, "rank", sweep_path, "--benchmark", "mmlu", "--format", "json")
    assert status == 0
    rows = json.loads(out)["tables"][0]["rows"]
    assert len(rows) == 28
    accuracies = [row["accuracy"] for row in rows]
    assert accuracies == sorted(accuracies)
    assert sum(row["worst"] for row in rows) == pytest.approx(1)
    assert all(row["low"] <= row["rank"] <= row["high"] for row in rows)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["compare", "ARCHIVE", "drop-99"], "drop-99: no variant of"),
        (["compare", "ARCHIVE", "--reference", "none"], "'none' is not a variant"),
        (["compare", "ARCHIVE", "--benchmark", "x"], "no benchmark 'x'; there are"),
        (["rank", "ARCHIVE", "--score", "x"], "--score=x: no such score; there are"),
        (["rank", "ARCHIVE", "--resamples", "0"], "--resamples=0: at least 1"),
        (["figures", "ARCHIVE", "--format", "gif"], "no 'gif'; there are svg, pdf, png"),
        (["report", "ARCHIVE", "--data", "mmlu"], "not BENCHMARK=FOLDER"),
        (["compare", "ARCHIVE", "--with", "/nowhere.h5"], "there is no such file"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_status_2(capsys, sample_path, arguments, words):
    given = [str(sample_path) if a == "ARCHIVE" else a for a in arguments]
    status, out, err = call(capsys, *given)
    assert (status, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1


def test_every_figure_is_drawn_in_every_format(capsys, sweep_path, tmp_path):
    folder = tmp_path / "figures"
    arguments = ("figures", sweep_path, "--output", folder, "--format", "svg,pdf,png")
    assert call(capsys, *arguments)[0] == 0
    starts = {"svg": b"<?xml", "pdf": b"%PDF", "png": b"\x89PNG"}
    for name in figures.FIGURES:
        for form, start in starts.items():
            assert (folder / f"{name}.{form}").read_bytes().startswith(start)
        text = (folder / f"{name}.svg").read_text()
        ElementTree.fromstring(text)
    words = (folder / "accuracy-by-layer.svg").read_text()
    for label in ("dropped layer", "accuracy, %", "MMLU (n = 200)", "published report"):
        assert label in words
    before = {path: path.read_bytes() for path in folder.glob("*.svg")}
    call(capsys, "figures", sweep_path, "--output", folder)
    assert before == {path: path.read_bytes() for path in folder.glob("*.svg")}


def test_an_archive_without_a_sweep_has_no_such_figures(tmp_path):
    path = tmp_path / "one.h5"
    with synthetic.write_archive(path, [("baseline", "")]) as file:
        synthetic.add_choices(file, "mmlu", ["a", "b"], np.zeros((1, 2, 4)), np.array([0, 1]))
    with prune_sweep.open(path) as run:
        drawn = [name for name, draw in figures.FIGURES.items() if draw(run) is not None]
        assert drawn == ["questions", "timeline"]
        assert summary.sentences(run.studies[0])[0].startswith("The baseline has 50 % right")
        tables.all_tables(run)


def test_export_has_every_record(capsys, sample_path, tmp_path):
    assert call(capsys, "export", sample_path, "--output", tmp_path / "csv")[0] == 0
    assert (
        call(capsys, "export", sample_path, "--output", tmp_path / "j", "--format", "json")[0] == 0
    )
    with (tmp_path / "csv" / "records-gsm8k.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    lines = (tmp_path / "j" / "records-gsm8k.json").read_text().splitlines()
    assert len(rows) == len(lines) == sample.NUM_VARIANTS * sample.GSM8K_QUESTIONS
    for place in (0, 17, 333):
        variant, question = divmod(place, sample.GSM8K_QUESTIONS)
        expected = sample.gsm8k(variant, question)
        found = json.loads(lines[place])
        assert {key: found[key] for key in expected} == expected
        assert rows[place]["response"] == expected["response"]
    with (tmp_path / "csv" / "records-mmlu.csv").open(newline="") as file:
        row = list(csv.DictReader(file))[12 * 3 + 4]
    found = [float(row[f"loglik_{c}"]) for c in range(4)]
    assert np.float32(found).tolist() == sample.loglik(3, 4).tolist()


HOSTILE = ["=1+1", "+1", "-2", "@SUM(A1)", "\t=1", "a|b", r"50 % of $x_1$ & {y}~^\z", "<b>", "a\nb"]


def hostile_table() -> Table:
    import pandas as pd

    rows = pd.DataFrame({"variant": HOSTILE, "x": np.arange(len(HOSTILE)) - 3.5})
    columns = (Column("variant", ("variant",), Show.TEXT), Column("x", ("x",), Show.NUMBER))
    return Table("hostile", "Title & <i> $ |", columns, rows, ("50 % at the top_",))


def test_no_text_is_a_formula_in_csv():
    lines = list(csv.DictReader(render.as_csv([hostile_table()]).splitlines(keepends=True)))
    for text, row in zip(HOSTILE, lines, strict=True):
        assert row["variant"].removeprefix("'") == text
        assert row["variant"][0] not in "=+-@\t\r"
    assert float(lines[0]["x"]) == -3.5


def test_no_text_is_a_command_in_latex(tmp_path):
    text = render.as_latex([hostile_table()])
    body = re.sub(r"\\[a-zA-Z]+\{\}|\\[&%$#_{}]|\$-\$", "", text)
    cells = [line for line in body.splitlines() if line.endswith(r"\\")]
    assert all(line.count("&") == 1 for line in cells)
    assert not any(sign in line for line in cells for sign in "%$#_{}~^|<>")
    if shutil.which("pdflatex"):
        head = r"\documentclass{article}\usepackage{booktabs}\begin{document}"
        document = f"{head}{text}" + r"\end{document}"
        (tmp_path / "x.tex").write_text(document)
        command = ["pdflatex", "-halt-on-error", "-interaction=batchmode", "x.tex"]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)


def test_no_text_is_markup_in_markdown():
    text = render.as_markdown([hostile_table()])
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(HOSTILE)
    for line in rows:
        assert len(re.findall(r"(?<!\\)\|", line)) == 3
        assert re.search(r"(?<!\\)[<>$`]", line) is None


def write_samples(run, path, benchmark="gsm8k", change=(), older=False):
    """What lm-evaluation-harness would have written for the baseline."""
    records = run.benchmarks[benchmark].records("baseline")
    lines = []
    for question, row in records.iterrows():
        prompt = f"prompt {question}"
        line = {
            "doc_id": int(row["doc_id"]),
            "doc": {"question": "?", "subject": row["subject"]},
            "target": str(row["gold"]),
            "arguments": [[prompt, {}]]
            if older
            else {"gen_args_0": {"arg_0": prompt, "arg_1": {}}},
        }
        if benchmark == "gsm8k":
            line |= {"resps": [[row["response"]]], "filtered_resps": ["1"]}
            for filter_name, score in (
                ("strict-match", "strict_correct"),
                ("flexible-extract", "flexible_correct"),
            ):
                right = row[score] if question not in change else 1 - row[score]
                lines.append(line | {"filter": filter_name, "exact_match": float(right)})
        else:
            responses = [[str(x), "False"] for x in row["loglik"]]
            lines.append(
                line | {"filtered_resps": responses, "filter": "none", "acc": float(row["correct"])}
            )
    path.write_text("\n".join(map(json.dumps, lines)) + "\n")
    return path


@pytest.mark.parametrize("older", [False, True])
def test_samples_of_the_harness_are_aligned_by_question(sample_run, tmp_path, older):
    path = write_samples(sample_run, tmp_path / "samples_gsm8k_x.jsonl", change={2, 5}, older=older)
    write_samples(sample_run, tmp_path / "samples_mmlu_x.jsonl", "mmlu", older=older)
    found = align(Side.of_run(sample_run), Side.of_samples(read_samples([path.parent])))
    table = found.table.set_index("score")
    assert list(table["num_questions"]) == [12, 10, 10]
    assert table.loc["mmlu correct", "losses"] == table.loc["mmlu correct", "gains"] == 0
    assert table.loc["mmlu correct", "max_loglik_difference"] == 0
    assert table.loc["gsm8k strict_correct", ["losses", "gains"]].sum() == 2
    listed = found.questions[found.questions["score"] == "gsm8k strict_correct"]
    assert list(listed["doc_id"]) == [2, 5]
    assert "12 of them have another prompt" in found.notes[0]


def test_the_prompts_digest_is_compared(sample_run, edited, tmp_path):
    digests = [hashlib.sha256(f"prompt {q}".encode()).hexdigest() for q in range(10)]

    def change(file):
        del file["benchmarks/gsm8k/questions/prompt_sha256"]
        file["benchmarks/gsm8k/questions/prompt_sha256"] = synthetic.texts([*digests[:9], "0" * 64])

    path = write_samples(sample_run, tmp_path / "samples.jsonl")
    with prune_sweep.open(edited(change)) as run:
        found = align(Side.of_run(run), Side.of_samples(read_samples([path])))
    assert set(found.table["same_prompts"]) == {0.9}


def test_a_run_is_the_same_as_itself_and_not_as_another(capsys, sweep_path, tmp_path):
    other = tmp_path / "other.h5"
    synthetic.full_run(other, 200, 100, seed=2)
    status, out, _ = call(capsys, "compare", sweep_path, "--with", sweep_path, "--format", "json")
    assert status == 0
    tables_found = json.loads(out)["tables"]
    assert len(tables_found) == 1
    assert {row["flips"] for row in tables_found[0]["rows"]} == {0}
    assert {row["max_loglik_difference"] for row in tables_found[0]["rows"]} == {0, None}
    status, out, _ = call(capsys, "compare", sweep_path, "--with", other, "--format", "json")
    table, questions = json.loads(out)["tables"]
    gsm8k = [row for row in table["rows"] if row["score"] == "gsm8k strict_correct"]
    assert {row["num_questions"] for row in gsm8k} == {100}
    assert len(questions["rows"]) == sum(row["losses"] + row["gains"] for row in table["rows"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "samples.jsonl:1: not a sample"),
        ("[]", "an object is expected"),
        ('{"doc_id": 1}', "neither acc nor exact_match"),
        ('{"acc": 1, "doc_id": 1}', "not a sample of MMLU or GSM8K"),
        ('{"acc": 1, "filter": "x"}', "not a sample of MMLU or GSM8K"),
    ],
)
def test_files_that_are_no_samples_are_refused_by_line(tmp_path, text, words):
    path = tmp_path / "samples.jsonl"
    path.write_text(text)
    with pytest.raises(SamplesError, match=re.escape(words)):
        read_samples([path])
    with pytest.raises(SamplesError, match="no samples_"):
        read_samples([tmp_path])


def test_copies_of_the_baseline_are_noise_and_no_tests(tmp_path):
    path = tmp_path / "noise.h5"
    variants = [
        ("baseline", ""),
        ("drop-00", "0 drop"),
        ("baseline-repeat-1", ""),
        ("same", "0-27 magnitude 0"),
    ]
    random = np.random.default_rng(5)
    loglik = random.normal(-2, 1, (4, 100, 4))
    loglik[2] = loglik[0]
    loglik[2, :40] = loglik[0, :40, ::-1]
    loglik[3] = loglik[0]
    with synthetic.write_archive(path, variants) as file:
        synthetic.add_choices(
            file, "mmlu", ["a"] * 50 + ["b"] * 50, loglik, random.integers(0, 4, 100)
        )
    with prune_sweep.open(path) as run:
        study = run.study("mmlu")
        assert list(study.tested) == ["drop-00"]
        assert list(study.repeats.index) == ["baseline-repeat-1"]
        flips = study.repeats["flips"].iloc[0]
        assert flips == (run.mmlu.correct[0] != run.mmlu.correct[2]).mean()
        assert flips > 0
        assert f"with {comparison.percent(flips)} of the" in tables.noise_table(study).top[0]
        assert "Noise floor: in 1 copy" in summary.sentences(study)[-1]
        distances = measures.distances(run.mmlu)
        assert distances.loc["same", ["flips", "answers_changed", "kl"]].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("selection", "factor"),
    [("limit all", 0), ("limit 0.1", 0.9**0.5), ("limit 50", 1), ("sample 9 seed 1", 1)],
)
def test_a_subset_says_more_of_its_own_benchmark(edited, selection, factor):
    def change(file):
        file["benchmarks/gsm8k"].attrs["selection"] = selection

    with prune_sweep.open(edited(change)) as run:
        table = run.gsm8k.table().iloc[:30]
        expected = table["standard_error"] * factor
        np.testing.assert_allclose(table["benchmark_error"], expected, atol=1e-15)
        assert tables.errors_table(run.study("gsm8k")).rows["benchmark_error"].notna().any()


@pytest.mark.parametrize(
    ("name", "edits", "role"),
    [
        ("baseline", "", Role.BASELINE),
        ("baseline-repeat-2", "", Role.REPEAT),
        ("baseline-repeat-2", "3 drop", Role.DROP),
        ("copy", "", Role.SAME),
        ("x", "3 magnitude 0", Role.SAME),
        ("x", "0-27 magnitude 0", Role.SAME),
        ("x", "0-27 magnitude 30 global", Role.LEVEL),
        ("x", "0-26 magnitude 30", Role.OTHER),
        ("x", "3 drop, 4 drop", Role.OTHER),
    ],
)
def test_a_variant_is_what_its_edits_are(name, edits, role):
    assert kind_of(name, edits, 28).role is role


def test_layers_are_listed_shortly():
    assert layers_text([0, 1, 2, 5, 7, 8]) == "0-2, 5, 7, 8"
    assert layers_text([]) == ""


def test_measures_are_those_of_scipy(sample_run):
    from scipy.stats import ttest_rel

    random = np.random.default_rng(6)
    values = random.normal(size=(3, 40))
    values[1, 4] = np.nan
    values[2] = values[0]
    found = measures.paired_means(values, values[0])
    keep = np.delete(np.arange(40), 4)
    expected = ttest_rel(values[1, keep], values[0, keep])
    ends = expected.confidence_interval(0.95)
    assert found["p_value"][1] == pytest.approx(expected.pvalue, abs=1e-12)
    assert (found["low"][1], found["high"][1]) == pytest.approx(tuple(ends), abs=1e-12)
    assert found["p_value"][2] == 1
    assert comparison.percent(0.034) == "3.4 %"


@pytest.mark.soak
def test_many_variants_are_opened_and_ranked_quickly(tmp_path):
    """10,000 variants x 1,430 questions, in a process of its own that counts its memory."""
    path = tmp_path / "many.h5"
    random = np.random.default_rng(7)
    variants = [("baseline", ""), *((f"v{i:05}", f"{i % 28} drop-mlp") for i in range(9_999))]
    with synthetic.write_archive(path, variants) as file:
        group = file.create_group("benchmarks/mmlu")
        gold = random.integers(0, 4, 1_430).astype(np.int32)
        synthetic.add_questions(group, ["a"] * 1_430, gold, "multiple-choice")
        correct = (random.random((10_000, 1_430)) < 0.45).astype(np.uint8)
        synthetic.add_column(group, "correct", correct, "0=wrong 1=correct 255=not evaluated")
    program = (
        "import resource, sys, time, prune_sweep\n"
        "began = time.monotonic(); run = prune_sweep.open(sys.argv[1]); run.variants; run.mmlu\n"
        "opened = time.monotonic(); ranks = run.study('mmlu').ranks(run.variants.index)\n"
        "ended = time.monotonic(); assert len(ranks) == 10_000\n"
        "memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20\n"
        "print(opened - began, ended - opened, memory)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, text=True, check=True
    )
    open_s, rank_s, memory_gib = map(float, done.stdout.split())
    print(f"10,000 x 1,430: open {open_s:.2f} s, rank {rank_s:.1f} s, {memory_gib:.2f} GiB")
    assert open_s < 2
    assert rank_s < 60
    assert memory_gib < 2
