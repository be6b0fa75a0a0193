#!/usr/bin/env python3
"""Makes the demo model and its data: a 28-layer Qwen3 of about 2.7 M weights.

    python jobs/demo/make_demo_model.py [--out DIR]

One run writes DIR/mmlu, DIR/gsm8k, DIR/model and DIR/train.log; DIR is the
script's own folder unless given.  Everything is generated from a fixed seed
and trained on one CPU thread, so that the same machine with the same library
versions gives the same files.

The model answers multiple-choice questions in MMLU's prompt format and word
problems in GSM8K's, both about a small closed world.  It is trained in two
steps: a shallow model learns the tasks (28 layers from scratch do not), then
every trained block is spread over two to six layers, each of which keeps
one or two attention heads or a part of the MLP, and the deep model is trained a
little further.  Heads differ much in what they do, and so do the layers.
"""
import argparse
import copy
import csv
import hashlib
import json
import math
import os
import random
import re
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models,
                        normalizers, pre_tokenizers, processors, trainers)
from transformers import Qwen3Config, Qwen3ForCausalLM

# ---------------------------------------------------------------- settings

SEED = 20
TEST_PER_SUBJECT, DEV_PER_SUBJECT = 40, 5
GSM_TRAIN_ROWS, GSM_TEST_ROWS = 400, 80
MAX_ANSWER_TOKENS = 40          # leaves room below a limit of 48 new tokens
MC_SHOTS, GSM_SHOTS, MAX_NEW_TOKENS = 3, 2, 48

HIDDEN, MLP, HEADS, KV_HEADS, HEAD_DIM = 96, 192, 4, 2, 32
ROPE_THETA = 10000
ROWS, ROW_LEN = 16, 256         # one training batch
BASE_STEPS, BASE_LR, BASE_FLAT = 1800, 1.5e-3, 0.65
GROWN_STEPS, GROWN_LR, GROWN_FLAT = 40, 3e-4, 0.5

# How a block of the shallow model is spread over the deep one: a layer for
# each piece, given as (attention heads, thirds of the MLP) that it keeps.
# The MLP stands last because it reads what all the heads have written.
# The first block's heads stay together: its output is large beside the
# embeddings, and its heads would disturb one another in a row.
FIRST = [([0, 1, 2, 3], []), ([], [0, 1, 2])]
FIVE = [([0], []), ([1], []), ([2], []), ([3], []), ([], [0, 1, 2])]
LAST = [([0, 1], []), ([2], []), ([3], []), ([], [0]), ([], [1]), ([], [2])]
PIECES = [FIRST, FIVE, FIVE, FIVE, FIVE, LAST]
LAYERS = sum(len(p) for p in PIECES)

# Loss weights: the answer is what counts, the question is hardly predictable.
W_LETTER, W_ANSWER, W_TEXT = 3.0, 0.2, 0.03

# ------------------------------------------------------------ closed world

KINDS = {
    "animal": "cat dog horse cow sheep goat rabbit tiger lion bear wolf fox",
    "fruit": "apple banana cherry grape lemon mango peach pear plum melon kiwi fig",
    "tool": "hammer saw drill wrench pliers axe shovel rake chisel file clamp spade",
    "color": "red blue green yellow purple orange brown black white pink gray violet",
    "metal": "iron copper gold silver zinc nickel lead tin steel brass bronze cobalt",
    "drink": "water milk tea coffee juice wine beer cocoa cider soda broth nectar",
    "garment": "shirt coat hat sock glove scarf skirt dress boot belt jacket vest",
    "vehicle": "car bus train truck boat ship plane bicycle tram van wagon ferry",
}
KINDS = {k: v.split() for k, v in KINDS.items()}

OPPOSITES = [p.split("/") for p in (
    "hot/cold big/small fast/slow up/down day/night light/dark open/closed "
    "full/empty happy/sad young/old rich/poor hard/soft wet/dry early/late "
    "near/far high/low loud/quiet strong/weak thick/thin long/short "
    "clean/dirty first/last left/right true/false").split()]

# region: country/capital
REGIONS = {
    "Europe": "France/Paris Spain/Madrid Italy/Rome Germany/Berlin Austria/Vienna "
              "Norway/Oslo Sweden/Stockholm Finland/Helsinki Poland/Warsaw Greece/Athens",
    "Asia": "Japan/Tokyo China/Beijing India/Delhi Iran/Tehran Iraq/Baghdad "
            "Thailand/Bangkok Vietnam/Hanoi Mongolia/Ulaanbaatar Syria/Damascus Nepal/Kathmandu",
    "Africa": "Egypt/Cairo Kenya/Nairobi Ghana/Accra Senegal/Dakar Sudan/Khartoum "
              "Libya/Tripoli Mali/Bamako Uganda/Kampala Zambia/Lusaka Angola/Luanda",
    "America": "Canada/Ottawa Cuba/Havana Peru/Lima Chile/Santiago Ecuador/Quito "
               "Colombia/Bogota Venezuela/Caracas Uruguay/Montevideo Paraguay/Asuncion Jamaica/Kingston",
}
REGIONS = {k: [p.split("/") for p in v.split()] for k, v in REGIONS.items()}
CAPITALS = {country: city for pairs in REGIONS.values() for country, city in pairs}

NUMBERS = ("one two three four five six seven eight nine ten eleven twelve thirteen "
           "fourteen fifteen sixteen seventeen eighteen nineteen twenty").split()
NUMBER_FACTS = {
    "even": NUMBERS[1::2], "odd": NUMBERS[0::2],
    "less than eight": NUMBERS[:7], "more than twelve": NUMBERS[12:],
}

NAMES = "Tom Anna Ben Sara Max Lucy Sam Emma Leo Mia Paul Nina".split()
THINGS = ("apples books coins cards pens marbles stamps shells eggs stones "
          "toys cookies").split()

LETTERS = "ABCD"

# ---------------------------------------------- multiple-choice questions


def by_first_letter():
    """Letter -> everyday words that begin with it, for letters with enough of them."""
    words = sorted(w for ws in KINDS.values() for w in ws)
    groups = {c: [w for w in words if w[0] == c] for c in "bcsgptwrlfm"}
    return {c.upper(): ws for c, ws in groups.items()}


def topic(question, groups, reverse=False):
    """A subject: a question about a key, the right options for each key, and the wrong ones."""
    everything = [w for ws in groups.values() for w in ws]
    table = {}
    for key, members in groups.items():
        others = sorted(set(everything) - set(members))
        table[key] = (others, members) if reverse else (members, others)
    return question, table


def make_topics():
    cities = {r: [city for _, city in pairs] for r, pairs in REGIONS.items()}
    capitals = sorted(CAPITALS.items(), key=lambda p: hashlib.md5(p[0].encode()).digest())
    opposites = {a: [b] for pair in OPPOSITES for a, b in (pair, pair[::-1])}
    return {
        "kinds_of_things": topic("Which of these is a kind of {}?", KINDS),
        "odd_one_out": topic("Which of these is not a kind of {}?", KINDS, reverse=True),
        "number_facts": topic("Which of these numbers is {}?", NUMBER_FACTS),
        "world_regions": topic("Which of these cities is in {}?", cities),
        "first_letters": topic("Which word begins with the letter {}?", by_first_letter()),
        "world_capitals": topic("What is the capital of {}?", {k: [v] for k, v in capitals}),
        "opposites": topic("What is the opposite of {}?", opposites),
    }


TOPICS = make_topics()
SUBJECTS = list(TOPICS)


def mc_question(rng, subject, keys=None):
    """(question, four options, index of the right one); only the first `keys` keys are asked."""
    question, table = TOPICS[subject]
    key = rng.choice(list(table)[:keys])
    right, wrong = table[key]
    gold = rng.randrange(4)
    options = rng.sample(wrong, 3)
    options.insert(gold, rng.choice(right))
    return question.format(key), options, gold


def mc_block(item):
    question, options, _ = item
    lines = [f"{letter}. {o}" for letter, o in zip(LETTERS, options)]
    return "\n".join([question] + lines + ["Answer:"])


def mc_description(subject):
    return ("The following are multiple choice questions (with answers) about "
            + subject.replace("_", " ") + ".\n\n")


# ----------------------------------------------------------- word problems


def step(a, op, b):
    value = {"+": a + b, "-": a - b, "*": a * b}[op]
    return f"{a} {op} {b} = <<{a}{op}{b}={value}>>{value}", value


def word_problem(rng):
    """A question and its worked answer, in GSM8K's form; one or two steps."""
    who, what = rng.choice(NAMES), rng.choice(THINGS)
    kind = rng.randrange(6)
    if kind == 0:
        a, b = rng.randint(2, 30), rng.randint(2, 20)
        question = f"{who} has {a} {what}. {who} buys {b} more. How many {what} does {who} have now?"
        text, value = step(a, "+", b)
        return question, f"{who} has {text} {what}.\n#### {value}"
    if kind == 1:
        b, left = rng.randint(2, 20), rng.randint(2, 20)
        question = f"{who} has {left + b} {what}. {who} gives away {b}. How many {what} are left?"
        text, value = step(left + b, "-", b)
        return question, f"{who} has {text} {what}.\n#### {value}"
    if kind == 2:
        a, b = rng.randint(2, 6), rng.randint(2, 9)
        question = f"{who} has {a} boxes with {b} {what} in each box. How many {what} is that?"
        text, value = step(a, "*", b)
        return question, f"{who} has {text} {what}.\n#### {value}"
    if kind == 3:
        a, b = rng.randint(2, 9), rng.randint(2, 9)
        c = rng.randint(2, min(9, a + b - 2))
        question = f"{who} has {a} {what}. {who} finds {b} more and then loses {c}. How many {what} are left?"
        first, middle = step(a, "+", b)
        last, value = step(middle, "-", c)
    elif kind == 4:
        a, b, c = rng.randint(2, 5), rng.randint(2, 6), rng.randint(2, 9)
        question = f"{who} has {a} bags with {b} {what} in each bag and {c} more {what}. How many {what} is that in all?"
        first, middle = step(a, "*", b)
        last, value = step(middle, "+", c)
    else:
        a, b = rng.randint(2, 9), rng.randint(2, 9)
        c = rng.randint(2, min(9, a + b - 2))
        other = rng.choice([n for n in NAMES if n != who])
        question = f"{who} has {a} {what}. {other} has {b} more {what} than {who} and gives away {c}. How many {what} does {other} have?"
        first, middle = step(a, "+", b)
        last, value = step(middle, "-", c)
    return question, f"{first}\n{last} {what}.\n#### {value}"


# ------------------------------------------------------------------- data


def mc_key(item):
    return item[0], tuple(item[1])


def draw_new(rng, make, seen, key):
    """A generated item that is not in `seen`."""
    while True:
        item = make(rng)
        if key(item) not in seen:
            seen.add(key(item))
            return item


def make_mc_data(rng):
    """dev and test rows of each subject, all different, gold letters balanced."""
    data, seen = {}, set()
    for subject in SUBJECTS:
        rows = {"dev": [], "test": []}
        for split, count in (("dev", DEV_PER_SUBJECT), ("test", TEST_PER_SUBJECT)):
            golds = [i % 4 for i in range(count)]
            rng.shuffle(golds)
            for gold in golds:
                question, options, old = draw_new(
                    rng, lambda r: mc_question(r, subject), seen, mc_key)
                options.insert(gold, options.pop(old))
                seen.add(mc_key((question, options)))
                rows[split].append((question, options, gold))
        data[subject] = rows
    return data, seen


def make_gsm_data(rng):
    seen = set()
    test = [draw_new(rng, word_problem, seen, lambda i: i[0]) for _ in range(GSM_TEST_ROWS)]
    reserved = set(seen)    # the training stream avoids these alone
    train = [draw_new(rng, word_problem, seen, lambda i: i[0]) for _ in range(GSM_TRAIN_ROWS)]
    return {"train": train, "test": test}, reserved


def write_data(out, mc, gsm):
    for subject, rows in mc.items():
        for split, items in rows.items():
            os.makedirs(f"{out}/mmlu/{split}", exist_ok=True)
            with open(f"{out}/mmlu/{split}/{subject}_{split}.csv", "w", newline="") as f:
                writer = csv.writer(f, lineterminator="\n")
                for question, options, gold in items:
                    writer.writerow([question, *options, LETTERS[gold]])
    os.makedirs(f"{out}/gsm8k", exist_ok=True)
    for split, items in gsm.items():
        with open(f"{out}/gsm8k/{split}.jsonl", "w") as f:
            for question, answer in items:
                f.write(json.dumps({"question": question, "answer": answer}) + "\n")


# -------------------------------------------------------------- tokenizer

SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
         r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def tokenizer_text(rng):
    """Text in which every word of the closed world occurs often."""
    for _ in range(300):
        for subject in SUBJECTS:
            yield mc_description(subject) + mc_block(mc_question(rng, subject)) + " " + rng.choice(LETTERS) + "\n\n"
        question, answer = word_problem(rng)
        yield f"Question: {question}\nAnswer: {answer}\n\n"
    words = [w for ws in KINDS.values() for w in ws] + [w for p in OPPOSITES for w in p]
    words += list(CAPITALS) + list(CAPITALS.values()) + NUMBERS + NAMES + THINGS
    for _ in range(20):
        yield "".join(" " + w for w in words) + "".join("\n" + n for n in NAMES)


def make_tokenizer(rng, folder):
    """A byte-level BPE of the very shape of Qwen3's, with a small vocabulary."""
    tok = Tokenizer(models.BPE(continuing_subword_prefix="", end_of_word_suffix=""))
    tok.normalizer = normalizers.NFC()
    byte_level = dict(add_prefix_space=False, trim_offsets=False, use_regex=False)
    tok.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLIT), "isolated"),
        pre_tokenizers.ByteLevel(**byte_level)])
    tok.decoder = decoders.ByteLevel(**byte_level)
    tok.post_processor = processors.ByteLevel(**byte_level)
    # The trainer stops by itself when every word has become one token.
    tok.train_from_iterator(tokenizer_text(rng), trainers.BpeTrainer(
        vocab_size=4000, min_frequency=4, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    tok.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in SPECIAL])
    os.makedirs(folder, exist_ok=True)
    write_tokenizer(tok, byte_level, f"{folder}/tokenizer.json")
    end, _, im_end = (tok.token_to_id(s) for s in SPECIAL)
    added = {str(tok.token_to_id(s)): dict(content=s, lstrip=False, normalized=False,
                                           rstrip=False, single_word=False, special=True)
             for s in SPECIAL}
    write_json(f"{folder}/tokenizer_config.json", {
        "add_bos_token": False, "add_prefix_space": False, "added_tokens_decoder": added,
        "additional_special_tokens": ["<|im_start|>", "<|im_end|>"], "bos_token": None,
        "clean_up_tokenization_spaces": False, "eos_token": "<|im_end|>", "errors": "replace",
        "model_max_length": 2048, "pad_token": "<|endoftext|>", "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer", "unk_token": None})
    write_json(f"{folder}/generation_config.json", {
        "bos_token_id": end, "do_sample": False, "eos_token_id": [im_end, end],
        "pad_token_id": end, "transformers_version": "4.51.0"})
    check_tokenizer(tok)
    return tok


def write_tokenizer(tok, byte_level, path):
    """tokenizer.json with the fields the library leaves at other values set as Qwen3's."""
    tree = json.loads(tok.to_str())
    tree["decoder"] = {"type": "ByteLevel", **byte_level}
    tree["model"].update(continuing_subword_prefix="", end_of_word_suffix="")
    with open(path, "w", encoding="utf-8") as f:
        json.dump(tree, f, indent=2, ensure_ascii=False)
        f.write("\n")
    assert Tokenizer.from_file(path).get_vocab() == tok.get_vocab()


def check_tokenizer(tok):
    words = [w for ws in KINDS.values() for w in ws] + list(CAPITALS) + list(CAPITALS.values()) + NUMBERS + list(LETTERS)
    long = [w for w in words if len(tok.encode(" " + w).ids) != 1]
    assert not long, long
    assert tok.decode(tok.encode("Naïve 12 €\n").ids) == "Naïve 12 €\n"


def write_json(path, value):
    with open(path, "w") as f:
        json.dump(value, f, indent=2)
        f.write("\n")


# -------------------------------------------------------- training stream


class Stream:
    """Packed training rows; never a test question."""

    def __init__(self, tok, rng, mc_seen, gsm_seen):
        self.tok, self.rng = tok, rng
        self.mc_seen, self.gsm_seen = mc_seen, gsm_seen
        self.end = tok.token_to_id("<|endoftext|>")

    def fresh(self, make, seen, key):
        while True:
            item = make(self.rng)
            if key(item) not in seen:
                return item

    def segments(self, subject, shots, keys):
        """One document: (text, loss weight) pieces; `shots` solved examples, then one more."""
        if subject == "gsm8k":
            items = [self.fresh(word_problem, self.gsm_seen, lambda i: i[0]) for _ in range(shots + 1)]
            pieces = []
            for question, answer in items:
                pieces += [(f"Question: {question}\nAnswer:", W_TEXT), (" " + answer, W_ANSWER), ("\n\n", W_ANSWER)]
            return pieces[:-1]
        pieces = [(mc_description(subject), W_TEXT)]
        for _ in range(shots + 1):
            item = self.fresh(lambda r: mc_question(r, subject, keys), self.mc_seen, mc_key)
            pieces += [(mc_block(item), W_TEXT), (" " + LETTERS[item[2]], W_LETTER), ("\n\n", W_TEXT)]
        return pieces[:-1]

    def row(self, subject, max_shots, keys):
        """Documents of one subject until ROW_LEN tokens are full."""
        ids, weights = [], []
        while len(ids) < ROW_LEN + 1:
            shots = self.rng.randint(0, max_shots)
            for text, weight in self.segments(subject, shots, keys):
                piece = self.tok.encode(text).ids
                ids += piece
                weights += [weight] * len(piece)
            ids.append(self.end)
            weights.append(W_ANSWER if subject == "gsm8k" else W_TEXT)
        return ids[:ROW_LEN + 1], weights[:ROW_LEN + 1]

    def batch(self, subjects, max_shots, keys):
        rows = [self.row(s, max_shots, keys.get(s)) for s in subjects]
        ids = torch.tensor([r[0] for r in rows])
        weights = torch.tensor([r[1] for r in rows])
        return ids[:, :-1], ids[:, 1:], weights[:, 1:]


# ------------------------------------------------------------------ model


def make_model(layers, vocab):
    config = Qwen3Config(
        vocab_size=vocab, hidden_size=HIDDEN, intermediate_size=MLP, num_hidden_layers=layers,
        num_attention_heads=HEADS, num_key_value_heads=KV_HEADS, head_dim=HEAD_DIM,
        max_position_embeddings=2048, tie_word_embeddings=True, use_cache=False,
        rope_parameters={"rope_type": "default", "rope_theta": float(ROPE_THETA)})
    model = Qwen3ForCausalLM(config)
    for layer in model.model.layers:    # sharper attention from the start
        layer.self_attn.q_norm.weight.data.fill_(2.0)
        layer.self_attn.k_norm.weight.data.fill_(1.5)
    return model


def keep_columns(weight, kept, width):
    """Zeroes all but the `kept` groups of `width` columns."""
    mask = torch.zeros(weight.shape[1])
    for i in kept:
        mask[i * width:(i + 1) * width] = 1
    weight.data *= mask


def grow(base, vocab):
    """Each block as several layers in a row that add up to about the same."""
    deep = make_model(LAYERS, vocab)
    deep.model.embed_tokens.load_state_dict(base.model.embed_tokens.state_dict())
    deep.model.norm.load_state_dict(base.model.norm.state_dict())
    target = iter(deep.model.layers)
    for block, pieces in zip(base.model.layers, PIECES):
        for heads, thirds in pieces:
            layer = next(target)
            layer.load_state_dict(block.state_dict())
            keep_columns(layer.self_attn.o_proj.weight, heads, HEAD_DIM)
            keep_columns(layer.mlp.down_proj.weight, thirds, MLP // 3)
    return deep


def save_model(model, folder, tok):
    """The layout of Qwen/Qwen3-0.6B: bfloat16, tied head not stored, flat config."""
    os.makedirs(folder, exist_ok=True)
    tensors = {k: v.detach().to(torch.bfloat16).contiguous().clone()
               for k, v in model.state_dict().items() if k != "lm_head.weight"}
    save_file(tensors, f"{folder}/model.safetensors", metadata={"format": "pt"})
    os.chmod(f"{folder}/model.safetensors", 0o644)
    write_json(f"{folder}/config.json", {
        "architectures": ["Qwen3ForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
        "bos_token_id": tok.token_to_id("<|endoftext|>"), "eos_token_id": tok.token_to_id("<|im_end|>"),
        "head_dim": HEAD_DIM, "hidden_act": "silu", "hidden_size": HIDDEN, "initializer_range": 0.02,
        "intermediate_size": MLP, "max_position_embeddings": 2048, "max_window_layers": LAYERS,
        "model_type": "qwen3", "num_attention_heads": HEADS, "num_hidden_layers": LAYERS,
        "num_key_value_heads": KV_HEADS, "rms_norm_eps": 1e-06, "rope_scaling": None,
        "rope_theta": ROPE_THETA, "sliding_window": None, "tie_word_embeddings": True,
        "torch_dtype": "bfloat16", "transformers_version": "4.51.0", "use_cache": True,
        "use_sliding_window": False, "vocab_size": model.config.vocab_size})


# --------------------------------------------------------------- training

# The curriculum opens one thing at a time: (newest subject, how many of its
# keys are asked).  Choosing a letter is a chain of steps none of which pays
# off alone, so it starts with the one question that can be learned at once.
CURRICULUM = [
    ("kinds_of_things", 1), ("kinds_of_things", 2), ("kinds_of_things", 3),
    ("kinds_of_things", 5), ("kinds_of_things", 8),
    ("number_facts", 4), ("world_regions", 4), ("odd_one_out", 8),
    ("first_letters", 3), ("first_letters", 11),
    ("world_capitals", 4), ("world_capitals", 12), ("world_capitals", 40),
    ("opposites", 4), ("opposites", 16), ("opposites", 48),
]
SHOTS_FROM = 3                  # solved examples join at this stage,
GSM_FROM = 4                    # word problems at this one
STAGE_MIN, STAGE_MAX = 25, 130  # steps; a slow stage must not block the rest


def learning_rate(step_no, steps, peak, flat):
    """Warm-up, a flat part, then a cosine down to a twentieth."""
    if step_no < 40:
        return peak * (step_no + 1) / 40
    if step_no < flat * steps:
        return peak
    x = (step_no - flat * steps) / (steps - flat * steps)
    return peak * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * x)))


def row_subjects(rng, stage):
    """The subjects of one batch: the newest gets half of the rows, in the end the word problems."""
    opened = list(dict.fromkeys(s for s, _ in CURRICULUM[:stage + 1]))
    done = stage == len(CURRICULUM)
    chosen = []
    for i in range(ROWS):
        if stage >= GSM_FROM and i % (2 if done else 4) == 0:
            chosen.append("gsm8k")
        elif i % 2 == 1 and not done:
            chosen.append(CURRICULUM[stage][0])
        else:
            chosen.append(rng.choice(opened))
    return chosen


def train(model, stream, log, steps, peak, flat, stage):
    """AdamW on the weighted loss; the curriculum goes on when the newest subject is learned."""
    decay = [p for p in model.parameters() if p.dim() == 2]
    plain = [p for p in model.parameters() if p.dim() == 1]
    opt = torch.optim.AdamW([{"params": decay, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}],
                            lr=peak, betas=(0.9, 0.98))
    running, since, start = {}, 0, time.time()
    model.train()
    for n in range(steps):
        lr = learning_rate(n, steps, peak, flat)
        for group in opt.param_groups:
            group["lr"] = lr
        subjects = row_subjects(stream.rng, stage)
        shots = 0 if stage < SHOTS_FROM else 5
        x, y, w = stream.batch(subjects, shots, dict(CURRICULUM[:stage + 1]))
        logits = model(input_ids=x, use_cache=False).logits
        each = F.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="none").view_as(w)
        loss = (each * w).sum() / w.sum()
        opt.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        for subject in set(subjects):
            rows = torch.tensor([s == subject for s in subjects])
            want = (w[rows] == (W_ANSWER if subject == "gsm8k" else W_LETTER))
            value = each.detach()[rows][want].mean().item()
            running[subject] = 0.9 * running.get(subject, 2.0) + 0.1 * value
        since += 1
        if stage < len(CURRICULUM):
            newest = CURRICULUM[stage][0]
            learned = running[newest] < (0.5 if stage < GSM_FROM else 0.7) and since >= STAGE_MIN
            if learned or (since >= STAGE_MAX and stage >= GSM_FROM):
                log(f"  step {n + 1:4d}  {newest} ({CURRICULUM[stage][1]} keys) at {running[newest]:.2f}")
                stage, since = stage + 1, 0
                running[newest] = max(running[newest], 1.0)
        if (n + 1) % 50 == 0 or n + 1 == steps:
            parts = " ".join(f"{s[:6]} {v:.2f}" for s, v in sorted(running.items()))
            log(f"  step {n + 1:4d}  stage {stage:2d}  lr {lr:.1e}  loss {loss.item():.3f}  "
                f"running: {parts}  {time.time() - start:.0f} s")
    model.eval()
    return stage


# ------------------------------------------------------------- evaluation


def mc_prompts(mc, shots):
    for subject, rows in mc.items():
        prefix = mc_description(subject)
        for item in rows["dev"][:shots]:
            prefix += mc_block(item) + " " + LETTERS[item[2]] + "\n\n"
        for item in rows["test"]:
            yield subject, prefix + mc_block(item), item[2]


@torch.no_grad()
def mc_accuracy(model, tok, mc, shots=MC_SHOTS, batch=35):
    """Right answers by subject: arg-max of the four letters' log-likelihoods."""
    letters = [tok.encode(" " + letter).ids[0] for letter in LETTERS]
    todo = [(s, tok.encode(p).ids, g) for s, p, g in mc_prompts(mc, shots)]
    right = {s: 0 for s in mc}
    for i in range(0, len(todo), batch):
        part = todo[i:i + batch]
        width = max(len(ids) for _, ids, _ in part)
        # Padding on the right cannot reach the last real position: attention is causal.
        x = torch.tensor([ids + [0] * (width - len(ids)) for _, ids, _ in part])
        hidden = model.model(input_ids=x, use_cache=False).last_hidden_state
        last = hidden[torch.arange(len(part)), [len(ids) - 1 for _, ids, _ in part]]
        ll = model.lm_head(last).float().log_softmax(-1)[:, letters]
        for (subject, _, gold), guess in zip(part, ll.argmax(-1).tolist()):
            right[subject] += guess == gold
    total = sum(right.values()) / len(todo)
    return total, {s: n / len(mc[s]["test"]) for s, n in right.items()}


def gsm_prompts(gsm, shots):
    """Exemplars as the usual harness draws them: one generator, seed 1234, document after document."""
    rng = random.Random(1234)
    for question, answer in gsm["test"]:
        picks = rng.sample(range(len(gsm["train"])), shots)
        text = "".join(f"Question: {q}\nAnswer: {a}\n\n" for q, a in (gsm["train"][j] for j in picks))
        yield text + f"Question: {question}\nAnswer:", answer


def normal(text):
    for pattern in (",", r"\$", r"(?s).*#### ", r"\.$"):
        text = re.sub(pattern, "", text)
    return text.lower()


def strict_match(response, answer):
    found = re.findall(r"#### (\-?[0-9\.\,]+)", response)
    return normal(found[0].strip() if found else "[invalid]") == normal(answer)


@torch.no_grad()
def gsm_accuracy(model, tok, gsm, shots=GSM_SHOTS, batch=80):
    """Strict-match accuracy of greedy answers, and of one-step and two-step questions alone."""
    end, _, im_end = (tok.token_to_id(s) for s in SPECIAL)
    todo = [(tok.encode(p).ids, a) for p, a in gsm_prompts(gsm, shots)]
    right = []
    for i in range(0, len(todo), batch):
        part = todo[i:i + batch]
        width = max(len(ids) for ids, _ in part)
        x = torch.tensor([[end] * (width - len(ids)) + ids for ids, _ in part])
        mask = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids, _ in part])
        y = model.generate(input_ids=x, attention_mask=mask, max_new_tokens=MAX_NEW_TOKENS, do_sample=False,
                           use_cache=True, eos_token_id=[im_end, end], pad_token_id=end)
        for new, (_, answer) in zip(y[:, width:].tolist(), part):
            response = re.split(r"Question:|</s>|<\|im_end\|>", tok.decode(new))[0]
            right.append(strict_match(response, answer))
    steps = [answer.count("<<") for _, answer in gsm["test"]]
    by = {k: sum(r for r, s in zip(right, steps) if s == k) / steps.count(k) for k in (1, 2)}
    return sum(right) / len(right), by


def drop_layer(model, index):
    """The model without one block; the others keep their weights and are numbered anew."""
    short = copy.deepcopy(model)
    del short.model.layers[index]
    short.config.num_hidden_layers -= 1
    short.config.layer_types = short.config.layer_types[:-1]
    for i, layer in enumerate(short.model.layers):
        layer.self_attn.layer_idx = i
    return short


def prune(model, percent):
    """The model with the floor(n * percent / 100) smallest weights of every projection set to 0."""
    thin = copy.deepcopy(model)
    for name, p in thin.named_parameters():
        if ".layers." in name and name.endswith("proj.weight"):
            count = p.numel() * percent // 100
            p.data.view(-1)[p.data.abs().view(-1).argsort(stable=True)[:count]] = 0
    return thin


def evaluate(folder, tok, mc, gsm, log):
    """Everything is measured with the weights as written to disk."""
    model = Qwen3ForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    theta = model.config.rope_parameters["rope_theta"]
    assert theta == ROPE_THETA, theta
    for dtype in (torch.float32, torch.bfloat16):
        m = copy.deepcopy(model).to(dtype)
        for shots in ((MC_SHOTS, 0, 5) if dtype == torch.float32 else (MC_SHOTS,)):
            total, by = mc_accuracy(m, tok, mc, shots)
            log(f"final  {dtype}  multiple choice {shots}-shot {total:.4f}  "
                + " ".join(f"{s} {v:.3f}" for s, v in by.items()))
        for shots in ((GSM_SHOTS, 0) if dtype == torch.float32 else (GSM_SHOTS,)):
            total, by = gsm_accuracy(m, tok, gsm, shots)
            log(f"final  {dtype}  word problems {shots}-shot strict-match {total:.4f}  "
                f"(one step {by[1]:.3f}, two steps {by[2]:.3f})")
    log("layer profile (float32): accuracy without one block")
    for i in range(LAYERS):
        short = drop_layer(model, i)
        log(f"  without {i:2d}  mc {mc_accuracy(short, tok, mc)[0]:.4f}  gsm {gsm_accuracy(short, tok, gsm)[0]:.4f}")
    log("pruning profile (float32): share of the weights of every projection set to 0")
    for percent in (0, 10, 20, 30, 40, 50, 60, 70, 80, 90):
        thin = prune(model, percent)
        log(f"  {percent:2d} %  mc {mc_accuracy(thin, tok, mc)[0]:.4f}  gsm {gsm_accuracy(thin, tok, gsm)[0]:.4f}")


# ------------------------------------------------------------------- main


class Log:
    def __init__(self, path):
        self.file, self.start, self.text = open(path, "w"), time.time(), ""

    def __call__(self, text):
        print(text, flush=True)
        self.file.write(text + "\n")
        self.file.flush()
        self.text += ("\n" if self.text else "") + text


def log_files(out, log):
    for root, _, names in sorted(os.walk(out)):
        for name in sorted(names):
            path = os.path.join(root, name)
            if os.path.relpath(path, out).split(os.sep)[0] in ("model", "mmlu", "gsm8k"):
                data = open(path, "rb").read()
                log(f"  {hashlib.sha256(data).hexdigest()}  {len(data):8d}  {os.path.relpath(path, out)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", default=os.path.dirname(os.path.abspath(__file__)))
    parser.add_argument("--data-only", action="store_true", help="stop after data and tokenizer")
    parser.add_argument("--base", help="file for the shallow model: read if it exists, else written")
    args = parser.parse_args()
    out, folder = args.out, args.out + "/model"
    os.makedirs(out, exist_ok=True)
    log = Log(f"{out}/train.log")
    torch.set_num_threads(1)
    rng = random.Random(SEED)
    mc, mc_seen = make_mc_data(rng)
    gsm, gsm_seen = make_gsm_data(rng)
    write_data(out, mc, gsm)
    tok = make_tokenizer(rng, folder)
    longest = max(len(tok.encode(" " + a).ids) for s in gsm.values() for _, a in s)
    assert longest <= MAX_ANSWER_TOKENS, longest
    vocab = -(-tok.get_vocab_size() // 64) * 64
    log(f"torch {torch.__version__}, seed {SEED}, vocabulary {tok.get_vocab_size()} (padded to {vocab}), "
        f"longest answer {longest} tokens")
    if args.data_only:
        return
    torch.manual_seed(SEED)
    base = make_model(len(PIECES), vocab)
    if args.base and os.path.exists(args.base):
        saved = torch.load(args.base)
        base.load_state_dict(saved["weights"])
        log("shallow model: trained by an earlier run of this script with --base, whose log was:")
        log(saved["log"])
    else:
        log(f"shallow model: {len(PIECES)} layers, {BASE_STEPS} steps")
        stream = Stream(tok, random.Random(SEED + 1), mc_seen, gsm_seen)
        train(base, stream, log, BASE_STEPS, BASE_LR, BASE_FLAT, 0)
        if args.base:
            torch.save({"weights": base.state_dict(), "log": log.text}, args.base)
    base.eval()
    log(f"shallow model: mc {mc_accuracy(base, tok, mc)[0]:.4f}  gsm {gsm_accuracy(base, tok, gsm)[0]:.4f}")
    torch.manual_seed(SEED)
    deep = grow(base, vocab).eval()
    log(f"grown to {LAYERS} layers, {sum(p.numel() for p in deep.parameters())} weights: "
        f"mc {mc_accuracy(deep, tok, mc)[0]:.4f}; {GROWN_STEPS} steps")
    stream = Stream(tok, random.Random(SEED + 2), mc_seen, gsm_seen)
    train(deep, stream, log, GROWN_STEPS, GROWN_LR, GROWN_FLAT, len(CURRICULUM))
    save_model(deep, folder, tok)
    evaluate(folder, tok, mc, gsm, log)
    log(f"time: {(time.time() - log.start) / 60:.1f} minutes; files:")
    log_files(out, log)


if __name__ == "__main__":
    main()
