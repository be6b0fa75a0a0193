"""Whatever is wrong with the inputs is found before any work: one line, the offender named, status 2, nothing written."""

import ctypes
import json
import os
import shutil
import struct

import pytest
from programs import prune_sweep

# <linux/prctl.h>, <linux/capability.h>
PR_CAPBSET_DROP = 24
CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2

# key=value on the command line -> words of the message
BAD_VALUES = [
    ("sweep.layers=28", ["sweep.layers=28", "layer 28"]),
    ("sweep.layers=3,3", ["layer 3", "twice"]),
    ("sweep.layers=5-2", ["5-2"]),
    ("sweep.layers=a", ["sweep.layers=a"]),
    ("sweep.magnitude=140", ["sweep.magnitude=140", "[0, 100]"]),
    ("sweep.magnitude=-1", ["sweep.magnitude=-1"]),
    ("sweep.magnitude=10,,20", ["sweep.magnitude", "empty"]),
    ("sweep.magnitude=10,10", ["magnitude-10", "twice"]),
    ("sweep.magnitude-scope=block", ["tensor, row, global"]),
    ("sweep.magnitude-embedding=true", ["sweep.magnitude-embedding=true"]),
    ("sweep.variant=x", ["NAME: EDITS"]),
    ("sweep.variant=a b: 3 drop", ["sweep.variant", "a name"]),
    ("sweep.variant=x: 3 fold", ["'fold' is not an edit", "drop-attention"]),
    ("sweep.variant=x: 28 drop", ["layer 28"]),
    ("sweep.variant=x: 3 drop, 3 drop-mlp", ["layer 3", "two edits"]),
    ("sweep.variant=x: 3 magnitude", ["percent"]),
    ("sweep.variant=baseline: 3 drop", ["baseline", "twice"]),
    ("sweep.variant=drop-07: 3 drop", ["drop-07", "twice"]),
    ("model.dtype=int8", ["model.dtype=int8", "bfloat16"]),
    ("model.device=tpu", ["model.device=tpu"]),
    ("model.path=nowhere", ["nowhere"]),
    ("model.colour=red", ["model.colour", "unknown key"]),
    ("benchmarks.limit=0", ["benchmarks.limit=0"]),
    ("benchmarks.limit=-3", ["benchmarks.limit=-3"]),
    ("benchmarks.limit=1.5", ["benchmarks.limit=1.5"]),
    ("benchmarks.limit=ten", ["benchmarks.limit=ten"]),
    ("benchmarks.mmlu-shots=-1", ["benchmarks.mmlu-shots=-1"]),
    ("benchmarks.mmlu-shots=6", ["dev", "5"]),
    ("benchmarks.gsm8k-shots=100000", ["gsm8k-shots"]),
    ("benchmarks.gsm8k-exemplars=random", ["sampled, fixed"]),
    ("benchmarks.max-new-tokens=0", ["max-new-tokens=0"]),
    ("benchmarks.max-new-tokens=99999", ["positions"]),
    ("benchmarks.mmlu=nowhere", ["nowhere"]),
    ("benchmarks.gsm8k=nowhere", ["nowhere"]),
    ("sweep.layers=", ["sweep.layers"]),
    ("sweep.layers=99999999999999999999", ["sweep.layers=99999999999999999999"]),
    ("sweep.magnitude=1e1", ["sweep.magnitude=1e1"]),
    ("sweep.magnitude=nan", ["sweep.magnitude=nan"]),
    ("sweep.magnitude=10.1234567", ["six decimals"]),
    ("sweep.variant=: 3 drop", ["sweep.variant"]),
    ("sweep.variant=x: drop", ["'drop'"]),
    ("model.path=", ["model.path"]),
    ("benchmarks.mmlu-limit=-1", ["benchmarks.mmlu-limit=-1"]),
    ("benchmarks.gsm8k-limit=nan", ["benchmarks.gsm8k-limit=nan"]),
    ("benchmarks.max-new-tokens=1.5", ["max-new-tokens=1.5"]),
    ("benchmarks.max-new-tokens=99999999999", ["max-new-tokens=99999999999"]),
    ("nosection.key=1", ["nosection.key"]),
    ("output.dir=/proc/prune-sweep", ["/proc"]),
    ("output.dir=/etc/passwd", ["/etc/passwd"]),
]


def refused(job, words, *options, ranks=None, preexec=None):
    """Asserts that the run and the check of `job` are refused with these words, and that nothing is written."""
    before = sorted(path for path in job.parent.rglob("*"))
    for command in ["run", "check"]:
        done = prune_sweep(command, job, *options, check=False, ranks=ranks if command == "run" else None, preexec=preexec)
        assert done.returncode == 2, (command, done.returncode, done.stdout, done.stderr)
        lines = [line for line in done.stderr.splitlines() if line.startswith("prune-sweep")]
        assert len(lines) == 1, done.stderr
        for word in words:
            assert word in lines[0], lines[0]
        assert "resuming" not in done.stdout
    assert sorted(path for path in job.parent.rglob("*")) == before


@pytest.mark.parametrize("option, words", BAD_VALUES, ids=[row[0] for row in BAD_VALUES])
def test_a_bad_value_is_refused_by_name(job_copy, option, words):
    refused(job_copy, words, f"--{option}")


def edit_text(path, change):
    path.write_text(change(path.read_text()))


def edit_config(demo, **changes):
    path = demo / "model/config.json"
    config = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in config.items() if value != "absent"}))


def edit_header(demo, change):
    """Rewrites the header of the safetensors file."""
    path = demo / "model/model.safetensors"
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])


def set_bytes(path, offset, data):
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)


def first_weight_offset(demo):
    data = (demo / "model/model.safetensors").read_bytes()
    return 8 + struct.unpack("<Q", data[:8])[0]


def make_folder(path):
    path.unlink()
    path.mkdir()


def rename(header, old, new):
    header[new] = header.pop(old)


NORM = "model.norm.weight"

# what is broken -> how, and words of the message
BROKEN = {
    "no config": (lambda d: (d / "model/config.json").unlink(), ["config.json"]),
    "config not JSON": (lambda d: (d / "model/config.json").write_text("{"), ["config.json"]),
    "config without hidden_size": (lambda d: edit_config(d, hidden_size="absent"), ["config.json", "hidden_size"]),
    "config with negative layers": (lambda d: edit_config(d, num_hidden_layers=-1), ["config.json", "num_hidden_layers"]),
    "config with text for a number": (lambda d: edit_config(d, hidden_size="96"), ["config.json", "hidden_size"]),
    "heads not divisible": (lambda d: edit_config(d, num_key_value_heads=3), ["config.json", "num_key_value_heads"]),
    "unknown architecture": (lambda d: edit_config(d, architectures=["FooForCausalLM"]), ["FooForCausalLM", "Qwen3ForCausalLM"]),
    "rope scaling": (lambda d: edit_config(d, rope_scaling={"type": "dynamic", "factor": 2}), ["rope_scaling", "dynamic", "llama3"]),
    "other activation": (lambda d: edit_config(d, hidden_act="gelu"), ["hidden_act"]),
    "one layer more": (lambda d: edit_config(d, num_hidden_layers=29), ["model.layers.28"]),
    "one layer less": (lambda d: edit_config(d, num_hidden_layers=27), ["27"]),
    "no weights": (lambda d: (d / "model/model.safetensors").unlink(), ["model.safetensors"]),
    "weights truncated": (
        lambda d: (d / "model/model.safetensors").write_bytes((d / "model/model.safetensors").read_bytes()[:-10]),
        ["model.safetensors"],
    ),
    "weights empty": (lambda d: (d / "model/model.safetensors").write_bytes(b""), ["model.safetensors"]),
    "header beyond the file": (
        lambda d: set_bytes(d / "model/model.safetensors", 0, struct.pack("<Q", 1 << 62)),
        ["model.safetensors"],
    ),
    "missing tensor": (lambda d: edit_header(d, lambda h: rename(h, NORM, "model.norm.weigth")), ["model.norm.weig"]),
    "surplus tensor": (
        lambda d: edit_header(d, lambda h: h.update(extra={"dtype": "BF16", "shape": [0], "data_offsets": [0, 0]})),
        ["extra"],
    ),
    "wrong shape": (lambda d: edit_header(d, lambda h: h[NORM].update(shape=[1] + h[NORM]["shape"])), [NORM]),
    "wrong dtype": (lambda d: edit_header(d, lambda h: h[NORM].update(dtype="I8")), [NORM]),
    "offsets beyond the file": (
        lambda d: edit_header(d, lambda h: h[NORM].update(data_offsets=[1 << 60, (1 << 60) + 192])),
        [NORM],
    ),
    "NaN weight": (
        lambda d: set_bytes(d / "model/model.safetensors", first_weight_offset(d), b"\xc0\x7f"),
        ["tensor model.", "NaN"],
    ),
    "pickled weights only": (
        lambda d: (d / "model/model.safetensors").rename(d / "model/pytorch_model.bin"),
        ["pytorch_model.bin", "safetensors"],
    ),
    "no tokenizer": (lambda d: (d / "model/tokenizer.json").unlink(), ["tokenizer.json"]),
    "tokenizer not JSON": (lambda d: (d / "model/tokenizer.json").write_text("[1"), ["tokenizer.json"]),
    "other tokenizer model": (
        lambda d: edit_text(d / "model/tokenizer.json", lambda t: t.replace('"BPE"', '"WordPiece"', 1)),
        ["tokenizer.json", "WordPiece"],
    ),
    "no MMLU test folder": (lambda d: (d / "mmlu/test").rename(d / "mmlu/tset"), ["mmlu"]),
    "no MMLU dev file": (lambda d: sorted((d / "mmlu/dev").iterdir())[0].unlink(), ["_dev.csv"]),
    "a CSV row short of a column": (
        lambda d: sorted((d / "mmlu/test").iterdir())[0].open("a").write("only,four,columns,here\n"),
        ["_test.csv:", "columns"],
    ),
    "a CSV answer out of range": (
        lambda d: sorted((d / "mmlu/test").iterdir())[0].open("a").write("q,1,2,3,4,E\n"),
        ["_test.csv:"],
    ),
    "a CSV quote left open": (
        lambda d: sorted((d / "mmlu/test").iterdir())[0].open("a").write('"q,1,2,3,4,A\n'),
        ["_test.csv:", "quote"],
    ),
    "config empty": (lambda d: (d / "model/config.json").write_text(""), ["config.json"]),
    "config is a list": (lambda d: (d / "model/config.json").write_text("[]"), ["config.json"]),
    "config is a folder": (lambda d: make_folder(d / "model/config.json"), ["config.json"]),
    "header not JSON": (
        lambda d: set_bytes(d / "model/model.safetensors", 8, b"x"),
        ["model.safetensors"],
    ),
    "infinite weight": (
        lambda d: set_bytes(d / "model/model.safetensors", first_weight_offset(d), b"\x80\x7f"),
        ["tensor model."],
    ),
    "tokenizer empty": (lambda d: (d / "model/tokenizer.json").write_text(""), ["tokenizer.json"]),
    "an MMLU test file empty": (
        lambda d: sorted((d / "mmlu/test").iterdir())[0].write_text(""),
        ["_test.csv"],
    ),
    "a JSON line not UTF-8": (
        lambda d: (d / "gsm8k/test.jsonl").write_bytes(b'{"question": "\xff", "answer": "#### 1"}\n'),
        ["test.jsonl:1"],
    ),
    "GSM8K test file empty": (lambda d: (d / "gsm8k/test.jsonl").write_text(""), ["test.jsonl"]),
    "no GSM8K train file": (lambda d: (d / "gsm8k/train.jsonl").unlink(), ["train.jsonl"]),
    "a JSON line broken": (
        lambda d: edit_text(d / "gsm8k/test.jsonl", lambda t: t.replace("\n", "\n{\n", 1)),
        ["test.jsonl:2"],
    ),
    "a JSON line without answer": (
        lambda d: edit_text(d / "gsm8k/test.jsonl", lambda t: '{"question": "q"}\n' + t),
        ["test.jsonl:1", "answer"],
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_file_is_refused_by_name(job_copy, what):
    damage, words = BROKEN[what]
    damage(job_copy.parent / "demo")
    refused(job_copy, words)


# how a job file is broken -> its text, and words of the message
BROKEN_JOBS = {
    "empty": ("", ["job.ini", "model.path"]),
    "no INI": ("this is no job\n", ["job.ini"]),
    "a key before any section": ("path = demo/model\n", ["job.ini", "path"]),
    "a section left open": ("[model\npath = demo/model\n", ["job.ini"]),
    "a key twice": ("[model]\npath = demo/model\npath = demo/model\n", ["job.ini", "model.path"]),
    "an unknown section": ("[modle]\npath = demo/model\n", ["job.ini", "modle.path"]),
    "bytes": ("\0\1\2\3", ["job.ini"]),
}


@pytest.mark.parametrize("what", BROKEN_JOBS)
def test_a_broken_job_file_is_refused_by_name(job_copy, what):
    text, words = BROKEN_JOBS[what]
    job_copy.write_text(text)
    refused(job_copy, words)


def test_a_folder_for_a_job_is_refused(tmp_path):
    (tmp_path / "job.ini").mkdir()
    refused(tmp_path / "job.ini", ["job.ini"])


def as_anybody():
    """Before a program is started: even root may then do only what permissions say."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        for capability in [CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH]:
            if libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
                raise OSError(ctypes.get_errno(), "prctl")


# what may not be read or written -> its mode, and words of the message
CLOSED = {
    "job.ini": (0o000, ["job.ini"]),
    "demo/model": (0o000, ["model"]),
    "demo/model/config.json": (0o000, ["config.json"]),
    "demo/model/model.safetensors": (0o000, ["model.safetensors", "Permission denied"]),
    "demo/model/tokenizer.json": (0o000, ["tokenizer.json"]),
    "demo/mmlu/test": (0o000, ["mmlu"]),
    "demo/mmlu/dev": (0o000, ["mmlu"]),
    "demo/gsm8k/test.jsonl": (0o000, ["test.jsonl"]),
    "demo/gsm8k/train.jsonl": (0o000, ["train.jsonl"]),
    "run": (0o555, ["run", "output.dir", "Permission denied"]),
    "outer": (0o555, ["outer", "output.dir", "Permission denied"]),
}


@pytest.mark.parametrize("name", CLOSED)
def test_what_may_not_be_read_or_written_is_refused_by_name(job_copy, name):
    mode, words = CLOSED[name]
    folder = job_copy.parent
    for made in ["run", "outer"]:
        (folder / made).mkdir()
    options = [f"--output.dir={folder}/outer/run"] if name == "outer" else []
    (folder / name).chmod(mode)
    try:
        refused(job_copy, words, *options, preexec=as_anybody)
        assert list((folder / "run").iterdir()) == [] and list((folder / "outer").iterdir()) == []
    finally:
        (folder / name).chmod(0o755)


# arguments after a finished run's directory was broken -> how, the command, words of the message
BROKEN_RUNS = {
    "no plan": (lambda r: (r / "plan.json").unlink(), ["pack"], ["plan.json"]),
    "plan not JSON": (lambda r: (r / "plan.json").write_text("{"), ["pack"], ["plan.json"]),
    "plan of other things": (lambda r: (r / "plan.json").write_text("[1]"), ["pack"], ["plan.json", "not a plan"]),
    "plan with a unit beyond it": (
        lambda r: edit_text(r / "plan.json", lambda t: t.replace('"first_question": 0', '"first_question": 999', 1)),
        ["pack"],
        ["plan.json", "unit 0"],
    ),
    "plan without memory's end": (
        lambda r: edit_text(r / "plan.json", lambda t: t.replace('"num_layers": 28', '"num_layers": 2000000000')),
        ["pack"],
        ["plan.json", "num_layers"],
    ),
    "no status": (lambda r: (r / "status.json").unlink(), ["status"], ["status.json"]),
    "status not JSON": (lambda r: (r / "status.json").write_text("{"), ["status"], ["status.json"]),
    "status of other things": (lambda r: (r / "status.json").write_text("{}"), ["status"], ["status.json"]),
    "DONE without a number": (
        lambda r: (r / "DONE").write_text("yes"),
        ["status", "--exit-code"],
        ["DONE", "exit status"],
    ),
    "a journal that is a folder": (lambda r: (r / "journal-0002.bin").mkdir(), ["pack"], ["journal-0002.bin"]),
    "no such variant": (lambda r: None, ["samples", "--benchmark=mmlu", "--variant=x"], ["--variant=x", "drop-13"]),
    "no such benchmark": (lambda r: None, ["samples", "--benchmark=x", "--variant=baseline"], ["--benchmark=x"]),
    "an unknown option": (lambda r: None, ["pack", "--fast"], ["--fast"]),
    "no job": (lambda r: (r / "job.ini").unlink(), ["pack"], ["not a run directory"]),
}


@pytest.mark.parametrize("what", BROKEN_RUNS)
def test_a_broken_run_directory_is_refused_by_name(undisturbed, tmp_path, what):
    damage, (command, *options), words = BROKEN_RUNS[what]
    run = shutil.copytree(undisturbed, tmp_path / "run")
    damage(run)
    before = (run / "archive.h5").read_bytes()
    done = prune_sweep(command, run, *options, check=False)
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
    for word in words:
        assert word in done.stderr, done.stderr
    assert (run / "archive.h5").read_bytes() == before


def test_under_mpirun_the_error_is_said_once(job_copy):
    refused(job_copy, ["layer 28"], "--sweep.layers=28", ranks=4)


def test_a_missing_job_file_is_named(tmp_path):
    done = prune_sweep(tmp_path / "none.ini", check=False)
    assert done.returncode == 2
    assert "none.ini" in done.stderr


def test_an_unknown_command_lists_the_commands():
    done = prune_sweep("rnu", check=False)
    assert done.returncode == 2
    assert "tokenize" in done.stderr


def test_an_existing_folder_of_something_else_is_left_alone(job_copy):
    other = job_copy.parent / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("do not touch")
    refused(job_copy, ["other"], f"--output.dir={other}")


@pytest.mark.skipif(__import__("os").path.exists("/dev/nvidiactl"), reason="this machine has a CUDA device")
def test_cuda_without_a_device_is_an_error(job_copy):
    refused(job_copy, ["model.device=cuda"], "--model.device=cuda")
