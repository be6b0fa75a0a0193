"""Runs of different machines in one, and what happened to a variant."""

import json
import shutil

import h5py
import pytest
from programs import DEMO_JOB, SMALL, numeric_data, prune_sweep

COMMON = SMALL[3:]


@pytest.fixture(scope="module")
def halves(tmp_path_factory):
    """Two runs of the small job's variants; the baseline is in both."""
    folder = tmp_path_factory.mktemp("halves")
    jobs = {
        "first": ["--sweep.layers=0,13", "--sweep.magnitude=0,60"],
        "second": ["--sweep.layers=14", "--sweep.magnitude=none", SMALL[2]],
    }
    for name, options in jobs.items():
        prune_sweep(DEMO_JOB, *COMMON, *options, f"--output.dir={folder / name}", ranks=1)
    return folder


def rows(archive):
    """By variant: what was measured, as bytes."""
    with h5py.File(archive) as file:
        names = file["variants/name"].asstr()[:]
        loglik = file["benchmarks/mmlu/loglik"][:]
        tokens = file["benchmarks/gsm8k/generated_tokens"][:]
        return {name: (loglik[i].tobytes(), tokens[i].tobytes()) for i, name in enumerate(names)}


def test_merged_runs_have_the_variants_of_all(halves, undisturbed, tmp_path):
    out = tmp_path / "merged"
    done = prune_sweep("merge", out, halves / "first", halves / "second")
    assert "0 differed" in done.stdout
    assert rows(out / "archive.h5") == rows(undisturbed / "archive.h5")
    assert "verified" in prune_sweep("verify", out).stdout
    assert (out / "DONE").read_text().strip() == "0"
    assert "complete" in prune_sweep("status", out).stdout
    with h5py.File(out / "archive.h5") as file:
        # The baseline, which is magnitude-00 too, was computed twice.
        assert file["audit"].attrs["num_duplicates_compared"] == 41
        assert file["audit"].attrs["num_duplicates_different"] == 0


def test_a_merged_run_is_resumed_as_any_other(halves, tmp_path):
    out = tmp_path / "merged"
    prune_sweep("merge", out, halves / "first", halves / "second")
    before = rows(out / "archive.h5")
    again = prune_sweep("run", out / "job.ini", ranks=2)
    assert "resuming: 287 of 287" in again.stdout
    assert rows(out / "archive.h5") == before
    grown = prune_sweep("run", out / "job.ini", "--sweep.layers=0,5,13", ranks=2)
    assert "resuming: 287 of 328" in grown.stdout
    prune_sweep("verify", out)


def test_a_run_merged_with_its_copy_is_the_run(halves, tmp_path):
    shutil.copytree(halves / "first", tmp_path / "copy")
    done = prune_sweep("merge", tmp_path / "merged", halves / "first", tmp_path / "copy")
    assert "of 0 second computations" in done.stdout
    assert numeric_data(tmp_path / "merged/archive.h5") == numeric_data(halves / "first/archive.h5")


def test_what_a_damaged_journal_still_has_is_merged_and_the_rest_computed(halves, tmp_path):
    run = shutil.copytree(halves / "first", tmp_path / "damaged")
    journal = run / "journal-0001.bin"
    data = bytearray(journal.read_bytes())
    data[len(data) // 2] ^= 4
    journal.write_bytes(data)
    assert prune_sweep("verify", run, check=False).returncode == 2
    out = tmp_path / "merged"
    done = prune_sweep("merge", out, run)
    assert " 0 bytes unreadable" not in done.stdout
    prune_sweep("verify", out)
    assert prune_sweep("status", out, "--exit-code", check=False).returncode == 75
    prune_sweep("run", out / "job.ini", ranks=2)
    assert numeric_data(out / "archive.h5") == numeric_data(halves / "first/archive.h5")


def test_records_of_other_questions_are_kept_and_told(halves, tmp_path):
    more = tmp_path / "more"
    options = ["--sweep.layers=13", "--sweep.magnitude=none", "--benchmarks.gsm8k-limit=9"]
    prune_sweep(DEMO_JOB, *COMMON, *options, f"--output.dir={more}", ranks=2)
    done = prune_sweep("merge", tmp_path / "merged", halves / "first", more)
    line = next(line for line in done.stdout.splitlines() if str(more) in line)
    assert " 6 foreign" in line  # three questions of two variants
    # They are in the journal: with the longer list they are there again.
    again = prune_sweep("run", tmp_path / "merged/job.ini", "--benchmarks.gsm8k-limit=9", check=False)
    assert f"resuming: {5 * 41 + 9} of {5 * 44}" in again.stdout, again.stdout + again.stderr


def test_runs_that_cannot_be_merged_are_refused_and_nothing_is_made(halves, tmp_path):
    other_model = shutil.copytree(halves / "second", tmp_path / "other")
    plan = json.loads((other_model / "plan.json").read_text())
    plan["context"]["model_sha256"] = "0" * 64
    (other_model / "plan.json").write_text(json.dumps(plan))
    other_name = shutil.copytree(halves / "second", tmp_path / "renamed")
    text = (other_name / "plan.json").read_text()
    (other_name / "plan.json").write_text(text.replace('"drop-14"', '"drop-13"'))
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter.tex").write_text("x")
    out = tmp_path / "merged"
    for arguments, words in [
        ([out, other_model, halves / "first"], ["another model"]),
        ([out, halves / "first", other_name], ["variant drop-13", "14 drop", "13 drop"]),
        ([out, halves / "first", tmp_path / "none"], ["none", "not a run directory"]),
        ([halves / "first", halves / "second"], ["is a run already"]),
        ([tmp_path / "thesis", halves / "first"], ["thesis"]),
        ([out], ["merge", "needs"]),
        ([], ["merge", "needs"]),
    ]:
        done = prune_sweep("merge", *arguments, check=False)
        assert done.returncode == 2, done.stdout + done.stderr
        for word in words:
            assert word in done.stderr, done.stderr
        assert not out.exists()


def test_explain_tells_what_happened_to_a_complete_variant(undisturbed):
    text = prune_sweep("explain", undisturbed, "both").stdout
    assert "both (3 drop, 7 drop-attention, 9-12 magnitude 50): complete, 41 records" in text
    assert "mmlu: 35 of 35" in text and "gsm8k: 6 of 6" in text
    assert "committed, rank 0 on " in text


def test_explain_tells_what_a_variant_waits_for(undisturbed, tmp_path):
    run = shutil.copytree(undisturbed, tmp_path / "run")
    journal = run / "journal-0001.bin"
    data = journal.read_bytes()
    journal.write_bytes(data[: data.rindex(b"PSWJ") + 30])
    texts = {name: prune_sweep("explain", run, name).stdout for name in rows(run / "archive.h5")}
    waiting = [text for text in texts.values() if "not complete" in text]
    assert waiting and len(waiting) < len(texts)
    for text in waiting:
        assert "are missing: not computed yet" in text
        assert "30 bytes of the journals cannot be read" in text


def test_explain_knows_only_the_run_s_variants(undisturbed, tmp_path):
    done = prune_sweep("explain", undisturbed, "drop-99", check=False)
    assert done.returncode == 2
    assert "drop-99" in done.stderr and "drop-13" in done.stderr
    assert prune_sweep("explain", undisturbed, check=False).returncode == 2
    assert prune_sweep("explain", tmp_path, "baseline", check=False).returncode == 2
