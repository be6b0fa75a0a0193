"""Whatever is wrong with the inputs is found before any work: one line, the offender named, status 2, nothing written."""

import json
import struct

import pytest
from conftest import prune_sweep

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
    ("output.dir=/proc/prune-sweep", ["/proc"]),
    ("output.dir=/etc/passwd", ["/etc/passwd"]),
]


def refused(job, words, *options, ranks=None):
    """Asserts that the run and the check of `job` are refused with these words, and that nothing is written."""
    before = sorted(path for path in job.parent.rglob("*"))
    for command in ["run", "check"]:
        done = prune_sweep(command, job, *options, check=False, ranks=ranks if command == "run" else None)
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
