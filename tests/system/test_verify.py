"""`verify` finds whatever was altered, and numbers that contradict each other, and says where."""

import hashlib
import random
import shutil

import h5py
import numpy
import pytest
from programs import prune_sweep

SEAL_BYTES = 85


@pytest.fixture
def run(undisturbed, tmp_path):
    return shutil.copytree(undisturbed, tmp_path / "run")


def refused(path, *words):
    """Asserts that verify finds something wrong and says so with these words."""
    done = prune_sweep("verify", path, check=False)
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
    assert "verified" not in done.stdout
    for word in words:
        assert word in done.stderr, done.stderr


def flip(path, place, bit=0):
    with open(path, "r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ (1 << bit)]))


def edit(archive, change):
    """Alters an archive and seals it again, as no accident would."""
    data = archive.read_bytes()[:-SEAL_BYTES]
    archive.write_bytes(data)
    with h5py.File(archive, "r+") as file:
        change(file)
    data = archive.read_bytes()
    archive.write_bytes(data + b"prune-sweep sha256: " + hashlib.sha256(data).hexdigest().encode() + b"\n")


def test_a_run_and_its_archive_verify(run, tmp_path):
    done = prune_sweep("verify", run)
    for word in ["journal-0001.bin", "plan.json", "archive and journals agree", "verified"]:
        assert word in done.stdout
    elsewhere = shutil.copy(run / "archive.h5", tmp_path / "copy.h5")
    assert "verified" in prune_sweep("verify", elsewhere).stdout


def test_the_seal_can_be_checked_without_the_program(run):
    data = (run / "archive.h5").read_bytes()
    assert data[-65:-1].decode() == hashlib.sha256(data[:-SEAL_BYTES]).hexdigest()


@pytest.mark.parametrize("name", ["archive.h5", "journal-0001.bin"])
def test_a_flipped_bit_is_found_wherever_it_is(run, name, soak):
    path = run / name
    size = path.stat().st_size
    chosen = random.Random(name)
    places = {0, 1, size - 1, size - SEAL_BYTES, size // 2}
    places |= {chosen.randrange(size) for _ in range(2000 if soak else 20)}
    if soak:
        places |= set(range(4096))
    for place in sorted(places):
        bit = chosen.randrange(8)
        flip(path, place, bit)
        refused(run, str(path))
        flip(path, place, bit)
    prune_sweep("verify", run)


@pytest.mark.parametrize("name", ["archive.h5", "journal-0001.bin"])
def test_a_file_cut_short_is_found(run, name):
    data = (run / name).read_bytes()
    (run / name).write_bytes(data[: len(data) - 7])
    refused(run, name)


def test_whole_entries_that_are_gone_from_the_journal_are_missed(run):
    data = (run / "journal-0001.bin").read_bytes()
    (run / "journal-0001.bin").write_bytes(data[: data.rindex(b"PSWJ")])
    refused(run, "is in the archive and not in the journals")


def test_another_plan_is_found(run):
    plan = run / "plan.json"
    plan.write_text(plan.read_text().replace('"max_new_tokens": 24', '"max_new_tokens": 25'))
    refused(run, "plan_sha256")
    plan.write_text(plan.read_text() + " ")
    refused(run, "plan.json")


def flip_correct(file):
    file["benchmarks/mmlu/correct"][1, 2] ^= 1


def change_answer(file):
    file["benchmarks/gsm8k/strict_correct"][0, 0] ^= 1


def change_response(file):
    text = file["benchmarks/gsm8k/flexible_answer/bytes"]
    text[0] = text[0] ^ 1


def nudge_loglik(file):
    loglik = file["benchmarks/mmlu/loglik"]
    row = loglik[1, 2]
    row[row.argmin()] -= 1
    loglik[1, 2] = row


def half_missing(file):
    file["benchmarks/mmlu/correct"][0, 0] = 255


def detach_scale(file):
    data = file["benchmarks/mmlu/correct"]
    data.dims[1].detach_scale(file["benchmarks/mmlu/question"])


def shorten(file):
    group = file["benchmarks/gsm8k"]
    values = group["stop"][:, :-1]
    del group["stop"]
    group["stop"] = values


def retype(file):
    group = file["benchmarks/gsm8k"]
    values = group["generated_tokens"][:].astype(numpy.int64)
    del group["generated_tokens"]
    group["generated_tokens"] = values


def remove(path):
    def change(file):
        del file[path]

    return change


# what contradicts what -> how, and words of the message
CONTRADICTIONS = {
    "correct and loglik": (flip_correct, ["scores do not follow", "mmlu", "question 2"]),
    "correct and response": (change_answer, ["scores do not follow", "gsm8k", "question 0"]),
    "answer and response": (change_response, ["scores do not follow", "gsm8k"]),
    "archive and journal": (nudge_loglik, ["other bits in the archive than in the journals", "question 2"]),
    "missing and there": (half_missing, ["/benchmarks/mmlu [0, 0]", "not evaluated"]),
    "data set and no scale": (detach_scale, ["/benchmarks/mmlu/correct", "scale"]),
    "data set and its scale": (shorten, ["/benchmarks/gsm8k/stop", "scale"]),
    "type and format": (retype, ["generated_tokens", "int64"]),
    "a data set less": (remove("audit/units/rank"), ["/audit/units/rank"]),
    "state and records": (lambda f: f.attrs.modify("state", "partial"), ["state=partial"]),
    "another format": (lambda f: f.attrs.modify("format", "other"), ["@format"]),
    "a later major version": (lambda f: f.attrs.modify("format_major", numpy.int32(2)), ["format_major=2"]),
    "another kind": (lambda f: f["benchmarks/mmlu"].attrs.modify("kind", "essay"), ["essay"]),
    "an attribute less": (lambda f: f.attrs.__delitem__("hosts"), ["/@hosts"]),
    "another plan": (lambda f: f.attrs.modify("plan_sha256", "0" * 64), ["plan_sha256 000"]),
}


@pytest.mark.parametrize("what", CONTRADICTIONS)
def test_a_contradiction_is_found_behind_a_seal_that_fits(run, what):
    change, words = CONTRADICTIONS[what]
    edit(run / "archive.h5", change)
    refused(run, *words)


def test_editing_and_sealing_alone_is_no_contradiction(run):
    edit(run / "archive.h5", lambda file: None)
    prune_sweep("verify", run)


def test_what_is_no_run_and_no_archive_is_refused(tmp_path):
    refused(tmp_path, "not a run directory")
    refused(tmp_path / "missing.h5", "missing.h5")
    (tmp_path / "text.h5").write_text("not HDF5 at all")
    refused(tmp_path / "text.h5", "text.h5", "seal")
    assert prune_sweep("verify", check=False).returncode == 2
