"""tokenizer.json files made at test time: byte-level BPE trained on the text at hand, with the components that the
files of real families have. FILES is the list of families; a new one is a row."""

import dataclasses

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors, trainers

QWEN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
        r"|\s+(?!\S)|\s+")
LLAMA_3 = QWEN.replace(r"\p{N}| ?", r"\p{N}{1,3}| ?")
# Mistral's Tekken, as in Mistral-Nemo.
TEKKEN = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
          r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}"
          r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")


@dataclasses.dataclass
class File:
    pattern: str | None = None  # None: ByteLevel's own
    nfc: bool = False
    ignore_merges: bool = False
    bos: str | None = None
    special: tuple = ()
    ordinary: tuple = ()  # added tokens that are not special


FILES = {
    "qwen2": File(QWEN, nfc=True, special=("<|endoftext|>", "<|im_start|>", "<|im_end|>"), ordinary=("<tool_call>",)),
    "llama-3": File(LLAMA_3, ignore_merges=True, bos="<|begin_of_text|>",
                    special=("<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>")),
    "mistral-nemo": File(TEKKEN, ignore_merges=True, bos="<s>", special=("<unk>", "<s>", "</s>", "[INST]", "[/INST]")),
    "gpt2": File(special=("<|endoftext|>",)),
}


def make(file, texts, vocab_size=3000):
    """The tokenizer of the tokenizers library."""
    tokenizer = tokenizers.Tokenizer(models.BPE(ignore_merges=file.ignore_merges))
    if file.nfc:
        tokenizer.normalizer = normalizers.NFC()
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=file.pattern is None)
    tokenizer.pre_tokenizer = byte_level if file.pattern is None else pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(file.pattern), behavior="isolated", invert=False), byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens([AddedToken(text, normalized=False, special=True) for text in file.special])
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in file.ordinary])
    post_processor = processors.ByteLevel(trim_offsets=False)
    if file.bos is not None:
        template = processors.TemplateProcessing(
            single=f"{file.bos} $A", special_tokens=[(file.bos, tokenizer.token_to_id(file.bos))])
        post_processor = processors.Sequence([post_processor, template])
    tokenizer.post_processor = post_processor
    return tokenizer
