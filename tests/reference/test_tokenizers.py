"""`tokenize` against the tokenizers library: generated texts over tokenizers of several families, and every question of
MMLU and GSM8K through that of Qwen3."""

import csv
import json
import os
import pathlib
import random
import subprocess
import unicodedata

import pytest
import tokenizers

from models import BIN, ROOT
from tokenizer_files import FILES, make

DATA = pathlib.Path(os.environ.get("PRUNE_SWEEP_DATA_DIR", ROOT / "build/release/data"))
TEXTS_PER_TOKENIZER = 4000


def tokenize(directory, requests):
    done = subprocess.run(
        [BIN / "prune-sweep", "tokenize", directory], input="".join(json.dumps(r) + "\n" for r in requests),
        capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.split("\n")[:-1]]


def questions():
    """Every question of MMLU, test and dev, with its options, and of GSM8K, test and train, with its answer."""
    texts = []
    for path in sorted(DATA.glob("mmlu/*/*.csv")):
        with open(path, newline="", encoding="utf-8") as file:
            texts += ["\n".join(row) for row in csv.reader(file)]
    for path in sorted(DATA.glob("gsm8k/*.jsonl")):
        rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
        texts += [f"Question: {row['question']}\nAnswer: {row['answer']}" for row in rows]
    return texts


@pytest.fixture(scope="session")
def real_texts():
    return questions()


@pytest.fixture(scope="session")
def corpus(real_texts):
    """What the small tokenizers are trained on: some of the real texts, and scripts that these lack."""
    scripts = "Größe naïve façade où Ελλάδα Москва שלום سلام हिन्दी 日本語テキスト 한국어 ไทย 😀👩‍👩‍👧 "
    return real_texts[::20] + [scripts * 20]


@pytest.fixture(scope="session", params=[*FILES, "demo", "qwen3-0.6b"])
def pair(request, tmp_path_factory, corpus):
    """A tokenizer directory, and the same tokenizer in the library."""
    if request.param in FILES:
        directory = tmp_path_factory.mktemp(request.param)
        tokenizer = make(FILES[request.param], corpus)
        tokenizer.save(str(directory / "tokenizer.json"))
        return directory, tokenizer
    directory = ROOT / "jobs/demo/model" if request.param == "demo" else DATA / request.param
    return directory, tokenizers.Tokenizer.from_file(str(directory / "tokenizer.json"))


# ------------------------------------------------------------------------------------------------ generated texts

SPACES = [" ", "  ", "   ", "\t", "\n", "\r\n", "\r", "\n\n", " \n", "\u00a0", "\u2003", "\u3000", "\u0085", "\u2028",
          "\x0b", "\x0c", "\u200b", "\ufeff", "\u180e"]
WORDS = ["the", "The", "and", "Question", "Answer", "don't", "we'LL", "I'm", "x'S", "A", "B.", "####", "18", "=", "naïve",
         "Straße", "ΑΒΓ", "привет", "שלום", "سلام", "हिन्दी", "日本語", "한국어", "ไทย", "ǅ", "ſ", "'ſ", "ﬁ"]
COMBINING = ["\u0301", "\u0308", "\u0323", "\u0327", "\u3099", "\u093c", "\u1161", "\u11a8"]
EMOJI = ["😀", "👍🏽", "👩\u200d👩\u200d👧", "🇩🇪", "❤\ufe0f", "1\ufe0f\u20e3"]


def known_characters():
    """Those whose class all tables agree on, however old: of Unicode 14, which PCRE2 10.42 has; where Python's tables are
    newer, of Unicode 3.2. Without U+1DF6, whose combining class Unicode 14 changed after the library's NFC."""
    is_newer = tuple(map(int, unicodedata.unidata_version.split("."))) > (14, 0, 0)
    table = unicodedata.ucd_3_2_0 if is_newer else unicodedata
    return "".join(
        chr(code) for code in range(0x110000) if table.category(chr(code)) not in ("Cn", "Cs") and code != 0x1df6)


@pytest.fixture(scope="module")
def characters():
    characters = known_characters()
    assert len(characters) > 90_000
    return characters


class Generator:
    def __init__(self, seed, tokenizer, characters):
        self.random = random.Random(seed)
        self.characters = characters
        self.added = [token.content for token in tokenizer.get_added_tokens_decoder().values()] or ["<none>"]

    def digits(self):
        length = self.random.choice([1, 2, 3, 4, 7, 20])
        zero = self.random.choice("000٠०０")
        return "".join(chr(ord(zero) + self.random.randrange(10)) for _ in range(length))

    def piece(self):
        choose = self.random.choice
        return self.random.choice([
            lambda: choose(WORDS), lambda: choose(WORDS), lambda: choose(SPACES), lambda: choose(SPACES), self.digits,
            lambda: choose("aeioucAEIOUnkかはᄀ") + choose(COMBINING) * self.random.randrange(1, 3),
            lambda: choose(EMOJI), lambda: choose(self.added), lambda: choose(self.added)[:-1],
            lambda: "".join(choose(self.characters) for _ in range(self.random.randrange(1, 5))),
            lambda: choose(".,;:!?()[]{}<>|'\"/\\-_=+*#$%&@^~`") * self.random.randrange(1, 6),
            lambda: choose(WORDS) * self.random.choice([2, 5, 60]),
        ])()

    def text(self):
        return "".join(self.piece() for _ in range(self.random.randrange(0, 14)))


def differing(texts, ours, theirs):
    return [(text, a, b) for text, a, b in zip(texts, ours, theirs) if a != b][:3]


@pytest.fixture(scope="module")
def compared(report):
    counts = {"texts": 0, "questions": 0, "ids": 0}
    yield counts
    report.append("tokenizers: {texts} generated texts and {questions} questions of MMLU and GSM8K encoded alike, "
                  "{ids} lists of ids decoded alike".format(**counts))


def test_generated_texts_are_encoded_and_decoded_alike(pair, characters, compared):
    directory, tokenizer = pair
    generator = Generator(len(directory.name), tokenizer, characters)
    texts = [generator.text() for _ in range(TEXTS_PER_TOKENIZER)]
    expected = [encoding.ids for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]
    size = tokenizer.get_vocab_size()
    lists = expected + [
        [generator.random.randrange(size) for _ in range(generator.random.randrange(12))] for _ in range(1000)]

    answers = tokenize(directory, [{"text": text} for text in texts] + [{"ids": ids} for ids in lists])
    assert not differing(texts, [answer["ids"] for answer in answers[:len(texts)]], expected)
    decoded = tokenizer.decode_batch(lists, skip_special_tokens=False)
    assert not differing(lists, [answer["text"] for answer in answers[len(texts):]], decoded)
    compared["texts"] += len(texts)
    compared["ids"] += len(lists)


@pytest.mark.parametrize("name", ["\\p{L}", "\\p{N}", "\\p{M}", "\\p{Lu}", "\\p{Lt}", "\\p{Ll}", "\\p{Lm}", "\\p{Lo}", "\\s", "\\d"])
def test_classes_of_all_characters_are_the_same(name, tmp_path, characters, compared):
    """An x is merged with the first byte behind it where that belongs to its piece: where the character is of the class."""
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: i for i, token in enumerate(alphabet + ["x" + symbol for symbol in alphabet])}
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.BPE(vocab=vocab, merges=[("x", symbol) for symbol in alphabet]))
    split = tokenizers.pre_tokenizers.Split(tokenizers.Regex(f"x{name}|x"), behavior="isolated")
    byte_level = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([split, byte_level])
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.save(str(tmp_path / "tokenizer.json"))

    texts = ["".join("x" + c for c in characters[i:i + 500]) for i in range(0, len(characters), 500)]
    answers = tokenize(tmp_path, [{"text": text} for text in texts])
    expected = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    assert not differing(texts, [answer["ids"] for answer in answers], expected)
    assert any(i >= 256 for ids in expected for i in ids)


def test_every_question_is_encoded_and_decoded_alike(real_texts, compared):
    directory = DATA / "qwen3-0.6b"
    tokenizer = tokenizers.Tokenizer.from_file(str(directory / "tokenizer.json"))
    assert len(real_texts) > 14042 + 285 + 1319 + 7473
    expected = [encoding.ids for encoding in tokenizer.encode_batch(real_texts, add_special_tokens=False)]
    answers = tokenize(directory, [{"text": text} for text in real_texts] + [{"ids": ids} for ids in expected])
    assert not differing(real_texts, [answer["ids"] for answer in answers[:len(real_texts)]], expected)
    decoded = tokenizer.decode_batch(expected, skip_special_tokens=False)
    assert not differing(expected, [answer["text"] for answer in answers[len(real_texts):]], decoded)
    compared["questions"] += len(real_texts)
    compared["ids"] += len(expected)
