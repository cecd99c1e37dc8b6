"""Makes pieces.json: small SentencePiece vocabularies, and what the real SentencePiece encodes.

    python pieces.py ../../.. > pieces.json

Needs the packages sentencepiece and protobuf. The argument is the root of the repository, whose own
texts are what the vocabularies are learnt from, beside a few lines in other scripts. Four models:
Llama's manner (byte-pair encoding, byte fallback, a space before the text), Gemma's (the same without
that space, with runs of spaces and line breaks as user-defined tokens), one without byte fallback, and
one of unigrams.
"""

import io
import json
import random
import sys
from pathlib import Path

import sentencepiece as spm
from sentencepiece import sentencepiece_model_pb2 as proto

LINES = [
    "Café déjà vu, naïve façade, über, señor, smörgåsbord",
    "Привет, мир! Как дела? Всё хорошо.",
    "日本語のテキストと中文。日本語のテキスト。",
    "aaa aaaa aaaaa bbb abab ababab abababab abcabcabc",
    "if (a == b) { return a->b; } else { a += b; }",
    "    four spaces        eight spaces\tand a tab",
]

TEXTS = [
    "",
    " ",
    "   ",
    "a",
    " a",
    "  a  b   c    d     e      f       g",
    "Hello world! 123",
    "The license of this function is a function of the license.",
    "Café déjà vu. naïve e\u0301",
    "Привет, мир!",
    "日本語と한국어と🤗",
    "line\nline\n\nline\n\n\n\tend\r\n",
    "ababababababababababab aaaaaaaaaaaaaaaaaaaaaaaaa",
    "▁x ▁ ▁▁",
    "<s>a</s><unk><0x0A>",
    "trailing   ",
    "\u0000\u0007",
    "\u3000wide\u00a0hard",
]


def noise(rng):
    """Texts that nobody would write."""
    parts = ["a", "ab", "ba", " ", "  ", "the", "▁", "é", "мир", "語", "\n", "\n\n", "🤗", "<", "0x0A", ">"]
    return ["".join(rng.choice(parts) for _ in range(rng.randrange(1, 40))) for _ in range(40)]


def train(lines, model_type="bpe", **options):
    model = io.BytesIO()
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,
        model_type=model_type,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        split_by_whitespace=True,
        allow_whitespace_only_pieces=True,
        max_sentence_length=1 << 20,
        num_threads=1,
        minloglevel=2,
        **options,
    )
    return model.getvalue()


def case(name, model, texts):
    described = proto.ModelProto.FromString(model)
    processor = spm.SentencePieceProcessor(model_proto=model)
    pieces = described.pieces
    return {
        "name": name,
        "tokens": [piece.piece for piece in pieces],
        "scores": [piece.score for piece in pieces],
        "kinds": [piece.type for piece in pieces],
        "space_prefix": described.normalizer_spec.add_dummy_prefix,
        "cases": [
            {"text": text, "ids": processor.encode(text), "decoded": processor.decode(processor.encode(text))}
            for text in texts
        ],
    }


def main(root):
    names = ["LICENSE-APACHE", "LICENSE-MIT", "STYLE.md"]
    lines = [line for name in names for line in (root / name).read_text().split("\n") if line]
    lines += LINES * 8
    texts = TEXTS + noise(random.Random(1))
    runs = ["▁" * n for n in (2, 3, 4)] + ["\n", "\n\n", "<b>"]
    models = [
        case("llama", train(lines, vocab_size=700, byte_fallback=True), texts),
        case(
            "gemma",
            train(
                lines,
                vocab_size=700,
                byte_fallback=True,
                add_dummy_prefix=False,
                user_defined_symbols=runs,
            ),
            texts,
        ),
        case("unknown", train(lines, vocab_size=400), texts),
        case("unigram", train(lines, "unigram", vocab_size=600, byte_fallback=True), texts),
    ]
    shown = ",\n".join(json.dumps(model, ensure_ascii=False, separators=(",", ":")) for model in models)
    print(f"[\n{shown}\n]")


main(Path(sys.argv[1]))
