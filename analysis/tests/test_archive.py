"""What is read is what was written: the kept archive of format 1.0, and files that are no good."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

import prune_sweep

from . import sample

MMLU_PLACES = [(v, q) for v in range(sample.NUM_VARIANTS) for q in range(sample.MMLU_QUESTIONS)]
GSM8K_PLACES = [(v, q) for v in range(sample.NUM_VARIANTS) for q in range(sample.GSM8K_QUESTIONS)]


def test_variants_are_read(sample_run):
    variants = sample_run.variants
    assert list(variants.index) == sample.VARIANTS
    assert variants.edits["baseline"] == ""
    assert variants.edits["drop-16"] == "16 drop"
    assert variants.edits["magnitude-90"] == "0-27 magnitude 90"
    assert variants.edits["ends"] == "0 drop, 27 magnitude 50"
    assert variants.num_parameters_removed["drop-16"] == 15_730_944
    assert variants.sparsity_blocks["drop-16"] == 1 / 28
    assert variants.sparsity_model["drop-16"] == 15_730_944 / 596_049_920


def test_attributes_are_plain_python(sample_run):
    attributes = sample_run.attributes
    assert attributes["format"] == "prune-sweep"
    assert (attributes["format_major"], attributes["format_minor"]) == (1, 0)
    assert attributes["hosts"] == ["alpha", "beta"]
    assert attributes["job"] == "[model]\npath = Qwen3-0.6B  # é\n"
    assert attributes["num_layers"] == 28
    assert {type(value) for value in attributes.values()} == {str, int, list}


def test_questions_are_read(sample_run):
    mmlu = sample_run.mmlu.questions
    assert len(mmlu) == sample_run.mmlu.num_questions == sample.MMLU_QUESTIONS
    assert list(mmlu.gold) == [q % 4 for q in range(12)]
    assert list(mmlu.subject) == ["abstract_algebra"] * 7 + ["anatomy"] * 5
    assert list(mmlu.doc_id) == [*range(7), *range(5)]
    assert set(mmlu.prompt_sha256.str.len()) == {64}
    gsm8k = sample_run.gsm8k.questions
    assert list(gsm8k.gold) == [str(7 * q + 3) for q in range(10)]
    assert list(gsm8k.prompt_tokens) == [600 + q for q in range(10)]


def test_records_of_multiple_choice_are_read(sample_run):
    mmlu = sample_run.mmlu
    assert mmlu.kind == "multiple-choice"
    assert mmlu.columns == ("loglik", "correct", "greedy")
    greedy = mmlu.column("greedy")
    for variant, question in MMLU_PLACES:
        at = (variant, question)
        if sample.is_missing("mmlu", *at):
            assert np.isnan(mmlu.loglik[at]).all()
            assert mmlu.correct[at] is np.ma.masked
            assert greedy[at] is np.ma.masked
        else:
            assert (mmlu.loglik[at] == sample.loglik(*at)).all()
            assert mmlu.correct[at] == sample.mmlu_correct(*at)
            assert greedy[at] == sample.greedy(*at)


def test_records_of_generated_answers_are_read(sample_run):
    gsm8k = sample_run.gsm8k
    texts = ("response", "strict_answer", "flexible_answer")
    assert gsm8k.columns == (
        *("strict_correct", "flexible_correct", "generated_tokens", "stop"),
        *texts,
    )
    columns = {name: gsm8k.column(name) for name in gsm8k.columns if name not in texts}
    stops = gsm8k.labels("stop")
    for variant, name in enumerate(sample.VARIANTS):
        rows = {text: gsm8k.texts(text, name) for text in texts}
        for question in range(sample.GSM8K_QUESTIONS):
            if sample.is_missing("gsm8k", variant, question):
                assert all(column[variant, question] is np.ma.masked for column in columns.values())
                assert all(row[question] is None for row in rows.values())
                continue
            found = {name: column[variant, question] for name, column in columns.items()}
            found |= {text: row[question] for text, row in rows.items()}
            found["stop"] = stops[found["stop"]]
            assert found == sample.gsm8k(variant, question)


def test_responses_are_the_texts_of_one_variant(sample_run):
    expected = [sample.gsm8k(8, q)["response"] for q in range(10)]
    assert list(sample_run.gsm8k.responses("drop-07")) == expected


def test_records_say_everything_about_one_variant(sample_run):
    records = sample_run.gsm8k.records("ends")
    assert list(records.gold) == [str(7 * q + 3) for q in range(10)]
    for question in range(6):
        expected = sample.gsm8k(39, question)
        assert dict(records.loc[question, list(expected)]) == expected
    assert records.loc[6:, ["strict_correct", "stop", "response"]].isna().all(axis=None)
    loglik = sample_run.mmlu.records("drop-00").loglik
    assert (np.array(loglik.tolist()) == [sample.loglik(1, q) for q in range(12)]).all()


def test_a_partial_run_says_what_it_lacks(sample_run):
    assert not sample_run.is_complete
    missing = sample_run.missing
    assert missing.num_missing.to_dict() == {("mmlu", "magnitude-90"): 12, ("gsm8k", "ends"): 4}
    assert missing.num_questions.to_dict() == {("mmlu", "magnitude-90"): 12, ("gsm8k", "ends"): 10}


def test_attempts_at_units_are_read(sample_run):
    units = sample_run.units
    assert list(units.outcome) == ["committed", "lost: signal 9", "committed"]
    assert list(units.elapsed_s) == [2.25, 1.5, 2.5]
    assert list(units.host) == ["alpha", "beta", "alpha"]


def test_what_is_not_there_is_named_with_what_is(sample_run):
    with pytest.raises(KeyError, match="'drop-28' is not a variant; there are baseline, drop-00"):
        sample_run.gsm8k.responses("drop-28")
    with pytest.raises(KeyError, match="mmlu has no column 'strict_correct'; there are correct"):
        sample_run.mmlu.table("strict_correct")
    with pytest.raises(KeyError, match="no column 'response'"):
        sample_run.mmlu.responses("baseline")


def test_a_benchmark_that_is_not_there_is_named(edited):
    def remove(file):
        del file["benchmarks/gsm8k"]

    with (
        prune_sweep.open(edited(remove)) as run,
        pytest.raises(KeyError, match="no benchmark 'gsm8k'; there are mmlu"),
    ):
        _ = run.gsm8k


def test_a_later_minor_version_is_read_with_what_it_adds(edited):
    def change(file):
        file.attrs["format_minor"] = 7
        file["benchmarks/mmlu/margin"] = np.ones((40, 12), np.float32)
        file["variants/parent"] = np.array([b"baseline"] * 40)
        file["audit/weather"] = 3

    with prune_sweep.open(edited(change)) as run:
        assert "margin" in run.mmlu.columns
        assert run.mmlu.column("margin").sum() == 40 * 12
        assert run.variants.parent["drop-03"] == "baseline"
        assert run.mmlu.table().num_questions["baseline"] == 12


@pytest.mark.parametrize("attribute", ["format", "format_major", "state", "num_layers"])
def test_an_attribute_that_is_missing_is_an_error(edited, attribute):
    def change(file):
        del file.attrs[attribute]

    with pytest.raises(prune_sweep.ArchiveError, match=attribute):
        prune_sweep.open(edited(change))


def test_another_major_version_is_refused(edited):
    def newer(file):
        file.attrs["format_major"] = 2

    with pytest.raises(
        prune_sweep.ArchiveError, match=r"format 2\.0 \(this package reads 1\.x\) Install a newer"
    ):
        prune_sweep.open(edited(newer))


def test_foreign_files_are_refused(tmp_path):
    foreign = tmp_path / "foreign.h5"
    with h5py.File(foreign, "w") as file:
        file["x"] = 1
    with pytest.raises(
        prune_sweep.ArchiveError, match=r"foreign\.h5: not an archive.*no attribute"
    ):
        prune_sweep.open(foreign)
    with h5py.File(foreign, "a") as file:
        file.attrs["format"] = "NeXus"
    with pytest.raises(prune_sweep.ArchiveError, match="format is 'NeXus'"):
        prune_sweep.open(foreign)
    for content in (b"", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"):
        foreign.write_bytes(content)
        with pytest.raises(prune_sweep.ArchiveError, match=r"foreign\.h5"):
            prune_sweep.open(foreign)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.h5"):
        prune_sweep.open(tmp_path / "nowhere.h5")
    with pytest.raises(FileNotFoundError, match=str(tmp_path)):
        prune_sweep.open(tmp_path)


def test_a_truncated_file_is_refused_by_name(sample_path, tmp_path):
    whole = sample_path.read_bytes()
    truncated = tmp_path / "truncated.h5"
    for size in [*range(0, len(whole), 997), len(whole) - 1]:
        truncated.write_bytes(whole[:size])
        with pytest.raises(prune_sweep.ArchiveError, match=r"truncated\.h5"):
            prune_sweep.open(truncated)


def read_everything(path):
    with prune_sweep.open(path) as run:
        assert len(run.units) == 3
        assert len(run.missing) == 2
        for benchmark in run.benchmarks.values():
            assert len(benchmark.records("drop-01")) == benchmark.num_questions
            for score in benchmark.scores:
                benchmark.table(score)


def chunks(path):
    """Name, offset and size of a chunk of each data set: that of variant 2, or the only one."""
    found = []

    def visit(name, item):
        if isinstance(item, h5py.Dataset) and item.chunks and not item.is_scale:
            first = (2,) + (0,) * (item.ndim - 1) if item.ndim > 1 else (0,)
            info = item.id.get_chunk_info_by_coord(first)
            found.append((name, info.byte_offset, info.size))

    with h5py.File(path) as file:
        file.visititems(visit)
    return found


def test_a_changed_byte_in_any_column_is_an_error_that_names_it(sample_path, tmp_path):
    whole = sample_path.read_bytes()
    damaged = tmp_path / "damaged.h5"
    places = chunks(sample_path)
    assert len(places) == 35
    for name, offset, size in places:
        content = bytearray(whole)
        content[offset + size // 2] ^= 0x20
        damaged.write_bytes(content)
        with pytest.raises(prune_sweep.ArchiveError, match=rf"damaged\.h5: {name} cannot be read"):
            read_everything(damaged)


@pytest.mark.parametrize(
    ("path", "make", "message"),
    [
        (
            "benchmarks/mmlu/correct",
            lambda: np.zeros((40, 11), np.uint8),
            r"\(40, 11\), not \(40, 12",
        ),
        (
            "benchmarks/mmlu/correct",
            lambda: np.zeros((39, 12), np.uint8),
            r"\(39, 12\), not \(40, 12",
        ),
        ("benchmarks/mmlu/questions/gold", lambda: np.zeros(3, np.int32), r"\(3,\), not \(12,\)"),
        ("benchmarks/gsm8k/response/offsets", lambda: np.zeros((40, 10), np.uint64), "offsets"),
        ("benchmarks/gsm8k/response/offsets", lambda: np.full((40, 11), 10**15, np.uint64), "lead"),
        (
            "benchmarks/gsm8k/response/offsets",
            lambda: np.tile(np.arange(11)[::-1], (40, 1)),
            "lead",
        ),
        ("variants/edits", lambda: np.array([b"x"] * 39), r"\(39,\), not \(40,\)"),
    ],
)
def test_shapes_that_do_not_fit_are_an_error(edited, path, make, message):
    def change(file):
        del file[path]
        file[path] = make()

    with pytest.raises(prune_sweep.ArchiveError, match=message):
        read_everything(edited(change))


def test_columns_are_read_when_they_are_asked_for(edited):
    def change(file):
        del file["benchmarks/mmlu/loglik"]

    with prune_sweep.open(edited(change)) as run:
        assert run.mmlu.table().num_questions["baseline"] == 12
        with pytest.raises(KeyError, match="no column 'loglik'"):
            _ = run.mmlu.loglik


def test_what_was_read_outlives_the_file(sample_path):
    with prune_sweep.open(sample_path) as run:
        mmlu = run.mmlu
        table = mmlu.table()
    assert mmlu.table().equals(table)


def test_any_archive_is_consistent(any_path):
    with prune_sweep.open(any_path) as run:
        assert run.is_complete == run.missing.empty
        for benchmark in run.benchmarks.values():
            questions = benchmark.questions
            assert len(questions) == benchmark.num_questions
            if benchmark.kind == "multiple-choice":
                chosen = np.nan_to_num(benchmark.loglik, nan=-np.inf).argmax(axis=2)
                assert (benchmark.correct == (chosen == questions.gold.to_numpy())).all()
            else:
                strict = benchmark.column("strict_correct")
                flexible = benchmark.column("flexible_correct")
                assert (np.ma.getmaskarray(strict) == np.ma.getmaskarray(flexible)).all()
                assert benchmark.column("generated_tokens").min() >= 0
