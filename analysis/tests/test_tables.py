"""The command `tables`, in all its formats."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

import prune_sweep
from prune_sweep import cli, published, render, tables

from . import sample

#: The report's numbers, typed once more.
BY_LAYER = """
.00 .01 .01 .08 .05 .15 .06 .08 .11 .10 .11 .03 .08 .08
.11 .05 .06 .07 .05 .01 .02 .02 .04 .08 .08 .08 .08 .08
"""
BY_PERCENT = ".08 .08 .05 .00 .03 .00 .01 .01 .01 .01"


def run_tables(capsys, path, *options):
    status = cli.main(["tables", str(path), *options])
    output = capsys.readouterr()
    return status, output.out, output.err


def json_rows(capsys, path):
    _, out, _ = run_tables(capsys, path, "--format", "json")
    content = json.loads(out)
    return content, content["tables"][0]["rows"], content["tables"][1]["rows"]


def test_the_published_numbers_stand_beside_their_variants(capsys, sample_path):
    _, by_layer, by_percent = json_rows(capsys, sample_path)
    assert [row["layer"] for row in by_layer] == ["", *map(str, range(28))]
    assert [row["report_gsm8k"] for row in by_layer[1:]] == [float(x) for x in BY_LAYER.split()]
    assert [row["percent"] for row in by_percent] == ["", *map(str, range(0, 100, 10))]
    assert [row["report_gsm8k"] for row in by_percent[1:]] == [float(x) for x in BY_PERCENT.split()]
    for rows in (by_layer, by_percent):
        assert rows[0]["variant"] == "baseline"
        assert rows[0]["report_gsm8k"] is None
        assert {row["report_mmlu"] for row in rows[1:]} == {0.0}


def test_tables_hold_the_scores_of_the_archive(capsys, sample_path):
    _, by_layer, by_percent = json_rows(capsys, sample_path)
    for row in [*by_layer, *by_percent]:
        variant = sample.VARIANTS.index(row["variant"])
        flexible = [sample.gsm8k(variant, q)["flexible_correct"] for q in range(10)]
        assert row["gsm8k_flexible_accuracy"] == pytest.approx(np.mean(flexible), abs=1e-15)
        assert row["gsm8k_flexible_num_questions"] == 10
        strict = [sample.gsm8k(variant, q)["strict_correct"] for q in range(10)]
        error = np.std(strict, ddof=1) / np.sqrt(10)
        assert row["gsm8k_strict_standard_error"] == pytest.approx(error, abs=1e-15)
        if row["variant"] != "magnitude-90":
            correct = [sample.mmlu_correct(variant, q) for q in range(12)]
            assert row["mmlu_accuracy"] == pytest.approx(np.mean(correct), abs=1e-15)
    assert by_percent[-1]["mmlu_accuracy"] is None
    assert by_percent[-1]["mmlu_num_questions"] == 0


def test_csv_has_the_rows_of_json(capsys, sample_path):
    _, by_layer, by_percent = json_rows(capsys, sample_path)
    status, out, err = run_tables(capsys, sample_path, "--format", "csv")
    assert status == 0
    rows = list(csv.DictReader(io.StringIO(out)))
    assert len(rows) == len(by_layer) + len(by_percent)
    for row, expected in zip(rows, [*by_layer, *by_percent], strict=True):
        assert row["variant"] == expected["variant"]
        for name, value in expected.items():
            if name not in ("variant", "layer", "percent"):
                assert row[name] == ("" if value is None else str(value)), name
    assert "MMLU cannot be compared" in err


def test_text_and_markdown_show_the_same_cells(capsys, sample_path):
    _, text, _ = run_tables(capsys, sample_path)
    _, markdown, _ = run_tables(capsys, sample_path, "--format", "markdown")
    cells = [
        re.split(r"\s*\|\s*", line.strip("| ")) for line in markdown.splitlines() if "|" in line
    ]
    cells = [row for row in cells if not row[0].startswith("---")]
    starts = r"(layer|percent) +variant|(\d+ +)?(baseline|(drop|magnitude)-\d+) "
    lines = [line for line in text.splitlines() if re.match(starts, line.strip())]
    shown = [re.split(r"\s{2,}", line.strip()) for line in lines]
    # Empty cells leave no trace in aligned columns.
    assert shown == [[cell for cell in row if cell] for row in cells]
    assert len(cells) == 2 + 29 + 11


def test_a_cell_is_an_accuracy_with_its_interval(capsys, sample_path):
    _, text, _ = run_tables(capsys, sample_path)
    drop = re.split(r"\s{2,}", next(line for line in text.splitlines() if "drop-00" in line))
    cells = []
    for correct, n in [(4, 12), (3, 10), (4, 10)]:
        low, high = proportion_confint(correct, n, method="wilson")
        cells.append(f"{correct / n:.3f} [{low:.3f}, {high:.3f}]")
    assert drop[:3] == ["0", "drop-00", cells[0]]
    assert drop[4:7:2] == cells[1:]
    low, high = proportion_confint(0, 132, method="wilson")
    assert drop[-2:] == ["0.000", f"0.000 [{low:.3f}, {high:.3f}]"]


def test_the_notes_say_what_cannot_be_compared(capsys, sample_path):
    content, _, _ = json_rows(capsys, sample_path)
    notes = " ".join(content["notes"])
    assert "impossible for a choice of four" in notes
    assert "0.08 of the report's 132 questions is 11 right answers" in notes
    assert "16 of 880 records are missing, in 2 variants" in notes
    assert "This archive has 10 questions" in notes
    assert "two models cannot be compared" not in notes
    assert round(11 / 132, 2) == round(10 / 132, 2) == 0.08
    assert round(float(np.sqrt(0.08 * 0.92 / 131)), 3) == 0.024
    # Reference values: losing all 11 just passes 0.05 / 28, 11 to 3 does not.
    assert "Losing all 11 gives p = 0.00098, 11 to 3 gives p = 0.0078" in notes
    assert "28 layers ask for 0.0018" in notes


def test_the_numbers_of_another_model_are_labelled(capsys, edited):
    def shrink(file):
        file.attrs["num_parameters"] = 1_000_000

    path = edited(shrink)
    _, text, _ = run_tables(capsys, path)
    assert "report (another model) GSM8K" in text
    assert "28 layers and 1,000,000 parameters" in text
    assert "two models cannot be compared layer by layer" in text


def test_a_run_without_gsm8k_has_no_column_for_it(capsys, edited):
    def remove(file):
        del file["benchmarks/gsm8k"]

    content, by_layer, _ = json_rows(capsys, edited(remove))
    assert not any("gsm8k" in name for name in by_layer[0])
    assert not any("GSM8K" in note for note in content["notes"])


@pytest.mark.parametrize(
    ("edits", "layer", "percent"),
    [
        ("", None, None),
        ("3 magnitude 0", None, None),
        ("7 drop", "7", None),
        ("7 drop-mlp", None, None),
        ("7-8 drop", None, None),
        ("0 drop, 3 drop", None, None),
        ("0-27 magnitude 12.5", None, "12.5"),
        ("0-27 magnitude 50 row", None, "50"),
        ("0-26 magnitude 50", None, None),
        ("0-27 magnitude 50, 28 drop", None, None),
    ],
)
def test_a_variant_stands_in_the_table_of_its_edits(edited, edits, layer, percent):
    def change(file):
        texts = file["variants/edits"].asstr()[:]
        texts[5] = edits
        attributes = dict(file["variants/edits"].attrs)
        del file["variants/edits"]
        file["variants"].create_dataset("edits", data=texts.astype("S40"))
        assert attributes["units"] == "1"

    with prune_sweep.open(edited(change)) as run:
        name = sample.VARIANTS[5]
        for table, key in zip(tables.report_tables(run), (layer, percent), strict=True):
            found = table.rows.loc[table.rows["variant"] == name, table.columns[0].keys[0]].tolist()
            assert found == ([] if key is None else [key])


def test_a_model_of_one_layer_has_tables(capsys, edited):
    def shrink(file):
        file.attrs["num_layers"] = 1
        texts = file["variants/edits"].asstr()[:]
        texts[30:39] = "0 magnitude 10"
        del file["variants/edits"]
        file["variants"].create_dataset("edits", data=texts.astype("S40"))

    _, _, by_percent = json_rows(capsys, edited(shrink))
    assert [row["percent"] for row in by_percent] == ["", *["10"] * 9]


def test_layers_that_the_report_does_not_have_are_empty():
    assert published.gsm8k_of_layer(27) == 0.08
    assert published.gsm8k_of_layer(28) is None
    assert published.gsm8k_of_percent(render_percent("12.5")) is None
    assert published.gsm8k_of_percent(render_percent("30.0")) == 0.0


def render_percent(text):
    from decimal import Decimal

    return Decimal(text)


@pytest.mark.parametrize("form", render.FORMATS)
def test_every_format_prints_every_archive(capsys, any_path, form):
    status, out, _ = run_tables(capsys, any_path, "--format", form)
    assert status == 0
    assert "baseline" in out


def test_the_command_is_installed_and_explains_itself(capsys):
    command = [sys.executable, "-m", "prune_sweep.cli"]
    usage = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True)
    assert all(command.name in usage.stdout for command in cli.COMMANDS)
    for command in cli.COMMANDS:
        with pytest.raises(SystemExit, match="0"):
            cli.main([command.name, "--help"])
        assert "ARCHIVE" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        cli.main(["tables"])


def test_a_bad_archive_is_one_line_and_status_2(capsys, tmp_path):
    path = tmp_path / "bad.h5"
    path.write_text("not HDF5")
    status, out, err = run_tables(capsys, path)
    assert (status, out) == (2, "")
    assert err.startswith(f"prune-sweep-analysis: {path}: not an archive")
    assert err.count("\n") == 1
    status, _, err = run_tables(capsys, tmp_path / "nowhere.h5")
    assert status == 2
    assert "there is no such file" in err


def test_a_reader_that_stops_early_is_no_error(sample_path):
    command = f"{sys.executable} -m prune_sweep.cli tables {sample_path} | head -n 1"
    result = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0
    assert result.stderr == ""
