"""Makes folders.json: tokenizers in several files, and the ids that AutoTokenizer gives.

    python folders.py ../../.. > folders.json

Needs the packages transformers (5.24 made the file), sentencepiece and protobuf. The argument is the
root of the repository, whose own texts the SentencePiece model is learnt from. The byte-level folders
share a vocabulary of the 256 bytes and MERGES, after which come the tokens in `extra`; what else is in a
folder is in `files`. The others have the model in `model`, as hexadecimal digits, as tokenizer.model.
"""

import io
import json
import os
import sys
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
import sentencepiece as spm
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

MERGES = [("1", "2"), ("12", "3"), ("'", "S"), ("Ġ", "a"), ("Ġ", "Ġ")]

BYTE_TEXTS = [
    "'S 123.",
    "<|im_start|>a <|im_end|> b<|endoftext|>",
    "<tool> x <extra> y",
    "e\u0301 a",
    "a",
    "<mark> a",
    "x   y\n \n z",
]

PIECE_TEXTS = [
    "The license of this function.",
    "  two  spaces",
    " a",
    "the model\na page",
    "日本 é",
    "<s> the token</s> the",
    "<s>the token</s>the",
    "the<tool> token<tool>the",
    "12 34",
    "",
]


def token(content, **flags):
    plain = dict(lstrip=False, rstrip=False, normalized=False, single_word=False, special=True)
    return {"content": content, **plain, **flags}


DECODER = {
    "261": token("<|endoftext|>"),
    "262": token("<|im_start|>"),
    "263": token("<|im_end|>"),
    "264": token("<tool>", special=False, rstrip=True),
}
QWEN = {"tokenizer_class": "Qwen2Tokenizer"}
GPT2 = {"tokenizer_class": "GPT2Tokenizer"}
LLAMA = {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True}

BYTE_LEVEL = [
    ("Qwen2, tokens in tokenizer_config.json", [], {
        "config.json": {"model_type": "qwen2"},
        "tokenizer_config.json": {
            **QWEN, "added_tokens_decoder": DECODER, "add_bos_token": False, "bos_token": None,
            "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "unk_token": None,
            "additional_special_tokens": ["<|im_start|>", "<|im_end|>"],
        },
        # The older files are not read where the newer one lists tokens.
        "added_tokens.json": {"<extra>": 265},
        "special_tokens_map.json": {"mask_token": "<mark>"},
    }),
    ("Qwen2, tokens in the older files", [], {
        "tokenizer_config.json": QWEN,
        "added_tokens.json": {"<|endoftext|>": 261, "<|im_start|>": 262, "<|im_end|>": 263, "<tool>": 264},
        "special_tokens_map.json": {
            "additional_special_tokens": ["<|im_start|>", "<|im_end|>"], "eos_token": "<|im_end|>",
            "pad_token": "<|endoftext|>",
        },
    }),
    ("Qwen2 by its model", ["<|endoftext|>"], {"config.json": {"model_type": "qwen2"}}),
    ("Qwen3 by its model, a new token", ["<|endoftext|>", "<|im_end|>"], {
        "config.json": {"model_type": "qwen3"},
        "tokenizer_config.json": {"eos_token": "<|im_end|>", "bos_token": "<extra>"},
    }),
    ("Qwen2 under another class", ["<|endoftext|>"], {
        "config.json": {"model_type": "qwen2"}, "tokenizer_config.json": GPT2,
    }),
    ("Qwen2 with a beginning", ["<|endoftext|>", "<|im_end|>"], {
        "tokenizer_config.json": {
            "tokenizer_class": "Qwen2TokenizerFast", "bos_token": "<|im_end|>", "add_bos_token": True,
        },
    }),
    ("GPT-2 by its model", ["<|endoftext|>"], {"config.json": {"model_type": "gpt2"}}),
    ("GPT-2 with a beginning and a space", ["<|endoftext|>"], {
        "tokenizer_config.json": {**GPT2, "add_prefix_space": True, "add_bos_token": True},
    }),
    ("GPT-2 with a beginning of its own", ["<|endoftext|>", "<mark>"], {
        "tokenizer_config.json": {
            **GPT2, "add_bos_token": True,
            "bos_token": {"__type": "AddedToken", **token("<mark>", rstrip=True)},
        },
    }),
    ("GPT-2, added tokens with a gap", ["<|endoftext|>"], {
        "tokenizer_config.json": GPT2, "added_tokens.json": {"<tool>": 300, "<mark>": 262},
    }),
    ("GPT-2, special tokens in their own file", ["<|endoftext|>"], {
        "config.json": {"model_type": "gpt2"},
        "special_tokens_map.json": {
            "bos_token": {"content": "<mark>", "lstrip": False, "rstrip": True, "normalized": True,
                          "single_word": False},
            "additional_special_tokens": ["<tool>", "<extra>"],
        },
    }),
    ("Llama with GPT-2's class", ["<|endoftext|>"], {
        "config.json": {"model_type": "llama"}, "tokenizer_config.json": {**GPT2, "pad_token": "<extra>"},
    }),
]

PLAIN = {"tokenizer_class": "PreTrainedTokenizerFast"}

# With a tokenizer.json that has these added tokens itself, each special or not.
WHOLE = [
    ("tokenizer.json, tokens in tokenizer_config.json", [], {
        "tokenizer_config.json": {**PLAIN, "added_tokens_decoder": {
            id: DECODER[id] for id in ["261", "262", "264"]
        }},
    }),
    ("tokenizer.json, other flags beside it", [("<|endoftext|>", True), ("<tool>", False)], {
        "tokenizer_config.json": {**PLAIN, "added_tokens_decoder": {
            "261": token("<|endoftext|>", rstrip=True),
            "262": token("<tool>", special=False, rstrip=True),
        }},
    }),
    ("tokenizer.json, special tokens beside it", [], {
        "tokenizer_config.json": {
            **PLAIN, "eos_token": "<|endoftext|>", "bos_token": "<mark>",
            "additional_special_tokens": ["<extra>"],
        },
    }),
    ("tokenizer.json, which decides what begins a text", [], {
        "tokenizer_config.json": {**PLAIN, "bos_token": "<|endoftext|>", "add_bos_token": True},
    }),
    ("tokenizer.json and the older files", [("<tool>", False)], {
        "tokenizer_config.json": PLAIN,
        "special_tokens_map.json": {"eos_token": "<|endoftext|>", "pad_token": "<mark>"},
        "added_tokens.json": {"<extra>": 263},
    }),
    ("tokenizer.json of GPT-2 with a space", [("<|endoftext|>", True)], {
        "config.json": {"model_type": "gpt2"},
        "tokenizer_config.json": {**GPT2, "add_prefix_space": True},
    }),
]

PIECES = [
    ("Llama", {"tokenizer_config.json": LLAMA}),
    ("Llama without a beginning", {"tokenizer_config.json": {"tokenizer_class": "LlamaTokenizer"}}),
    ("Llama, legacy", {"tokenizer_config.json": {**LLAMA, "legacy": True}}),
    ("Llama without a space", {"tokenizer_config.json": {**LLAMA, "add_prefix_space": False}}),
    ("Llama, an added token", {
        "tokenizer_config.json": {**LLAMA, "legacy": False},
        "added_tokens.json": {"<tool>": 420},
    }),
    ("Llama, tokens in tokenizer_config.json", {
        "tokenizer_config.json": {
            **LLAMA, "legacy": False,
            "added_tokens_decoder": {
                "0": token("<unk>"), "1": token("<s>"), "2": token("</s>"),
                "420": token("<tool>", special=False, rstrip=True),
            },
        },
    }),
    ("Mistral", {
        "config.json": {"model_type": "mistral"},
        "tokenizer_config.json": {**LLAMA, "bos_token": "<s>", "eos_token": "</s>"},
    }),
]


def train(root):
    lines = []
    for name in ["LICENSE-MIT", "LICENSE-APACHE", "README.md"]:
        lines += (Path(root) / name).read_text().splitlines()
    model = io.BytesIO()
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, model_type="bpe", vocab_size=420,
        normalization_rule_name="identity", remove_extra_whitespaces=False, byte_fallback=True,
        allow_whitespace_only_pieces=True, split_digits=True, character_coverage=0.99,
        max_sentence_length=1 << 20, num_threads=1, minloglevel=2,
    )
    return model.getvalue()


def ids(folder, files, texts):
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    found = [tokenizer(text)["input_ids"] for text in texts]
    for name in files:
        (folder / name).unlink()
    return [{"text": text, "ids": ids} for text, ids in zip(texts, found)]


def main():
    spelt = [char for _, char in sorted(bytes_to_unicode().items())]
    result = {"merges": MERGES, "byte_level": [], "whole": [], "model": "", "pieces": []}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name, extra, files in BYTE_LEVEL:
            tokens = spelt + [left + right for left, right in MERGES] + extra
            vocab = {token: id for id, token in enumerate(tokens)}
            (folder / "vocab.json").write_text(json.dumps(vocab))
            lines = [f"{left} {right}\n" for left, right in MERGES]
            (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(lines))
            cases = ids(folder, files, BYTE_TEXTS)
            result["byte_level"].append({"name": name, "extra": extra, "files": files, "cases": cases})
        for name in ["vocab.json", "merges.txt"]:
            (folder / name).unlink()
        for name, added, files in WHOLE:
            tokens = spelt + [left + right for left, right in MERGES] + ["<|endoftext|>"]
            vocab = {token: id for id, token in enumerate(tokens)}
            tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=MERGES))
            tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
            tokenizer.decoder = decoders.ByteLevel()
            tokenizer.add_tokens([AddedToken(text, special=special) for text, special in added])
            tokenizer.save(str(folder / "tokenizer.json"))
            described = json.loads((folder / "tokenizer.json").read_text())["added_tokens"]
            cases = ids(folder, files, BYTE_TEXTS)
            result["whole"].append({
                "name": name, "extra": ["<|endoftext|>"], "added": described, "files": files,
                "cases": cases,
            })
        (folder / "tokenizer.json").unlink()
        model = train(sys.argv[1])
        result["model"] = model.hex()
        (folder / "tokenizer.model").write_bytes(model)
        for name, files in PIECES:
            cases = ids(folder, files, PIECE_TEXTS)
            result["pieces"].append({"name": name, "files": files, "cases": cases})
    json.dump(result, sys.stdout, ensure_ascii=False)
    print()


main()
