#!/usr/bin/env python3
"""Writes a random checkpoint in Hugging Face's layout.

    python tests/make_checkpoint.py OUT --shape 0.6b
    python tests/make_checkpoint.py OUT --architecture Qwen2ForCausalLM --layers 4 --hidden 64 --intermediate 96 \
        --heads 4 --kv-heads 2 --head-dim 16 --vocab 300 --tied --shards 3 --dtype float32 --tokenizer DIR

Every tensor is drawn from a generator of its own, seeded by its name, so a shape and a seed give the same
weights whatever --shards says. Needs numpy only and holds one tensor at a time.
"""
import argparse
import dataclasses
import json
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np

EOS_IDS = [151645, 151643]
TOKENIZER_FILES = ["tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt"]
DTYPES = {"bfloat16": ("BF16", 2), "float16": ("F16", 2), "float32": ("F32", 4)}
# Rows drawn at once, to keep the embedding of a large vocabulary out of memory.
BLOCK_ELEMENTS = 1 << 24


@dataclasses.dataclass
class Family:
    """What an architecture adds to the decoder all of them share."""
    model_type: str
    qk_norm: bool = False
    attention_bias: bool = False
    config: dict = dataclasses.field(default_factory=dict)


WINDOWS_OFF = {"max_window_layers": 0, "sliding_window": None, "use_sliding_window": False}
FAMILIES = {
    "LlamaForCausalLM": Family("llama", config={"attention_bias": False, "mlp_bias": False}),
    "MistralForCausalLM": Family("mistral", config={"sliding_window": None}),
    "Qwen2ForCausalLM": Family("qwen2", attention_bias=True, config=WINDOWS_OFF),
    "Qwen3ForCausalLM": Family("qwen3", qk_norm=True, config={"attention_bias": False, **WINDOWS_OFF}),
}


@dataclasses.dataclass
class Shape:
    architecture: str = "Qwen3ForCausalLM"
    layers: int = 2
    hidden: int = 64
    intermediate: int = 128
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 16
    vocab: int = 256
    max_positions: int = 4096
    rope_theta: float = 1e6
    norm_eps: float = 1e-6
    tied: bool = False
    stored_tied_head: bool = False


SHAPES = {
    "tiny": Shape(),
    "0.6b": Shape(layers=28, hidden=1024, intermediate=3072, heads=16, kv_heads=8, head_dim=128,
                  vocab=151936, max_positions=40960, tied=True, stored_tied_head=True),
}


def eos_ids(vocab):
    return [i for i in EOS_IDS if i < vocab] or [0]


def config(shape, dtype):
    family = FAMILIES[shape.architecture]
    return {
        "architectures": [shape.architecture],
        "attention_dropout": 0.0,
        "bos_token_id": eos_ids(shape.vocab)[-1],
        "eos_token_id": eos_ids(shape.vocab)[0],
        "head_dim": shape.head_dim,
        "hidden_act": "silu",
        "hidden_size": shape.hidden,
        "initializer_range": 0.02,
        "intermediate_size": shape.intermediate,
        "max_position_embeddings": shape.max_positions,
        "model_type": family.model_type,
        "num_attention_heads": shape.heads,
        "num_hidden_layers": shape.layers,
        "num_key_value_heads": shape.kv_heads,
        "rms_norm_eps": shape.norm_eps,
        "rope_scaling": None,
        "rope_theta": shape.rope_theta,
        "tie_word_embeddings": shape.tied,
        "torch_dtype": dtype,
        "use_cache": True,
        "vocab_size": shape.vocab,
        **family.config,
    }


def tensors(shape):
    """(name, dims, mean, standard deviation) in the order they are stored. With these scales attention scores
    and logits have a standard deviation of a few units: neither uniform nor saturated."""
    family = FAMILIES[shape.architecture]
    q, kv = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    table = (shape.vocab, shape.hidden)
    result = [("model.embed_tokens.weight", table, 0, 3 * shape.hidden ** -0.5)]
    for layer in range(shape.layers):
        linear = [("self_attn.q_proj", (q, shape.hidden)), ("self_attn.k_proj", (kv, shape.hidden)),
                  ("self_attn.v_proj", (kv, shape.hidden)), ("self_attn.o_proj", (shape.hidden, q)),
                  ("mlp.gate_proj", (shape.intermediate, shape.hidden)),
                  ("mlp.up_proj", (shape.intermediate, shape.hidden)),
                  ("mlp.down_proj", (shape.hidden, shape.intermediate))]
        norms = [("input_layernorm", shape.hidden), ("post_attention_layernorm", shape.hidden)]
        if family.qk_norm:
            norms += [("self_attn.q_norm", shape.head_dim), ("self_attn.k_norm", shape.head_dim)]
        biases = [("self_attn.q_proj", q), ("self_attn.k_proj", kv), ("self_attn.v_proj", kv)]
        prefix = f"model.layers.{layer}."
        result += [(prefix + name + ".weight", dims, 0, dims[1] ** -0.5) for name, dims in linear]
        result += [(prefix + name + ".weight", (size,), 1, 0.2) for name, size in norms]
        if family.attention_bias:
            result += [(prefix + name + ".bias", (size,), 0, 0.5) for name, size in biases]
    result.append(("model.norm.weight", (shape.hidden,), 1, 0.2))
    if not shape.tied or shape.stored_tied_head:
        result.append(("lm_head.weight", table, 0, 3 * shape.hidden ** -0.5))
    return result


def to_bytes(values, dtype):
    if dtype == "bfloat16":  # round to nearest even
        bits = values.view(np.uint32)
        odd = (bits >> np.uint32(16)) & np.uint32(1)
        return ((bits + np.uint32(0x7FFF) + odd) >> np.uint32(16)).astype("<u2").tobytes()
    return values.astype("<f2" if dtype == "float16" else "<f4").tobytes()


def write_tensor(file, shape, seed, dtype, name, dims, mean, std):
    is_copy = name == "lm_head.weight" and shape.tied
    key = "model.embed_tokens.weight" if is_copy else name
    rng = np.random.default_rng([seed, zlib.crc32(key.encode())])
    left = int(np.prod(dims))
    while left > 0:
        count = min(left, BLOCK_ELEMENTS)
        values = rng.standard_normal(count, dtype=np.float32)
        values *= np.float32(std)
        values += np.float32(mean)
        file.write(to_bytes(values, dtype))
        left -= count


def write_file(path, shape, seed, dtype, entries):
    code, size = DTYPES[dtype]
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, dims, _, _ in entries:
        end = offset + size * int(np.prod(dims))
        header[name] = {"dtype": code, "shape": list(dims), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for entry in entries:
            write_tensor(file, shape, seed, dtype, *entry)


def write_checkpoint(out, shape, dtype="bfloat16", shards=1, seed=0, tokenizer=None, changes=None):
    """Writes the model directory `out`; `changes` go over the keys of its config.json, ... takes one out."""
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    values = config(shape, dtype) | (changes or {})
    values = {key: value for key, value in values.items() if value is not ...}
    (out / "config.json").write_text(json.dumps(values, indent=2) + "\n")
    generation = {"eos_token_id": eos_ids(shape.vocab)}
    (out / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")

    entries = tensors(shape)
    if shards == 1:
        write_file(out / "model.safetensors", shape, seed, dtype, entries)
    else:
        files = [f"model-{i + 1:05}-of-{shards:05}.safetensors" for i in range(shards)]
        parts = np.array_split(np.arange(len(entries)), shards)
        for name, part in zip(files, parts):
            write_file(out / name, shape, seed, dtype, [entries[i] for i in part])
        weight_map = {entries[i][0]: name for name, part in zip(files, parts) for i in part}
        total = sum(DTYPES[dtype][1] * int(np.prod(dims)) for _, dims, _, _ in entries)
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        (out / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")
    for name in TOKENIZER_FILES if tokenizer else []:
        if (Path(tokenizer) / name).exists():
            shutil.copyfile(Path(tokenizer) / name, out / name)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out", help="model directory to write")
    parser.add_argument("--shape", choices=SHAPES, default="tiny", help="what the numbers below default to")
    for field in dataclasses.fields(Shape):
        option = "--" + field.name.replace("_", "-")
        if field.type in (bool, "bool"):
            parser.add_argument(option, action=argparse.BooleanOptionalAction)
        elif field.name == "architecture":
            parser.add_argument(option, choices=FAMILIES)
        else:
            parser.add_argument(option, type=float if field.type in (float, "float") else int)
    parser.add_argument("--dtype", choices=DTYPES, default="bfloat16")
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tokenizer", help="directory whose tokenizer files are copied")
    args = parser.parse_args()
    given = {f.name: getattr(args, f.name) for f in dataclasses.fields(Shape)}
    shape = dataclasses.replace(SHAPES[args.shape], **{k: v for k, v in given.items() if v is not None})
    write_checkpoint(args.out, shape, args.dtype, args.shards, args.seed, args.tokenizer)


if __name__ == "__main__":
    main()
