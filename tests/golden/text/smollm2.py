"""Makes smollm2.json: texts and their SmolLM2 token ids.

    python smollm2.py SmolLM2-135M-Instruct.Q4_1.gguf > smollm2.json

Needs the packages gguf, regex and tokenizers. The ids come from the plainest byte-pair encoding
there is, over the vocabulary and merges of the GGUF file; the tokenizers package, set up as SmolLM2's
own tokenizer.json (Digits with individual digits, then ByteLevel), must agree.
"""

import json
import sys

import regex
from gguf import GGUFReader
from tokenizers import Tokenizer, models, pre_tokenizers

GPT2 = regex.compile(
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
)

TEXTS = [
    "Hello world! 123",
    "The capital of France is",
    "Café déjà vu.",
    "  multiple   spaces",
    "Year 2024, pi = 3.14159; 1,000,000 items",
    "Room 12b, ½ cup, x² + ٣ = Ⅻ",
    "a  1   22\n3\n\n4",
    "I'm sure they'll say it's y'all'd've, DON'T you?",
    "don’t",
    "def f(x):\n    return x ** 2  # square\n\n\nprint(f(3))\n",
    "\tif (a[i] != 0) { b += a[i++]; }\r\n",
    "日本語のテキストと中文。",
    "안녕하세요 세계",
    "🤗 hi 👩‍👩‍👧 ok",
    "हिन्दी में",
    "Привет, мир!",
    "مرحبا بالعالم",
    "e\u0301 vs é",
    "a\u00a0b\u3000c\u200bd\ufeffe",
    "trailing   ",
    "\n\n \n",
    "<|im_start|>user\nhi<|im_end|>\n",
    "nul\u0000 bell\u0007 fs\u001c",
    "https://example.org/a_b?c=d&e=100%25#top",
    "aaaaaaaaaaaaaaaaaaaa",
    "",
]


def byte_chars():
    """GPT-2's table: printable bytes as themselves, the others from U+0100 on."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {byte: chr(byte) for byte in plain}
    for byte in range(256):
        if byte not in table:
            table[byte] = chr(256 + len(table) - len(plain))
    return table


def pieces(text):
    """Each number character alone; the rest as GPT-2 splits it."""
    for part in regex.findall(r"\p{N}|\P{N}+", text):
        yield from GPT2.findall(part)


def merge(symbols, ranks):
    """Joins the pair of lowest rank, leftmost first, until none is left."""
    while True:
        pairs = enumerate(zip(symbols, symbols[1:]))
        pairs = [(ranks[pair], at) for at, pair in pairs if pair in ranks]
        if not pairs:
            return symbols
        _, at = min(pairs)
        symbols[at : at + 2] = ["".join(symbols[at : at + 2])]


def main(path):
    fields = GGUFReader(path).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    merges = [tuple(pair.split(" ")) for pair in fields["tokenizer.ggml.merges"].contents()]
    ids = {token: id for id, token in enumerate(tokens)}
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    table = byte_chars()

    # Trained with digits apart: no token holds two of them, or one beside anything else.
    assert not [token for token in tokens if regex.search(r"[0-9].|.[0-9]", token)]

    other = Tokenizer(models.BPE(vocab=ids, merges=merges))
    other.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    cases = []
    for text in TEXTS:
        found = []
        for piece in pieces(text):
            symbols = [table[byte] for byte in piece.encode()]
            found += [ids[symbol] for symbol in merge(symbols, ranks)]
        assert found == other.encode(text).ids, text
        cases.append({"text": text, "ids": found})
    lines = ",\n".join(json.dumps(case) for case in cases)
    print(f"[\n{lines}\n]")


main(sys.argv[1])
