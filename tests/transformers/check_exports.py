"""Trains small models, and checks that transformers gets from their folders what the program gets.

Three corpora, which this script writes with a seed, and three families:

  gpt2   sentences parted by <|endoftext|>, a tokenizer trained on them
  llama  documents in JSON lines, a tokenizer that puts <s> before each text; grouped heads, untied
  qwen2  conversations in JSON lines, learned by a model that transformers made (`train --from`)

Each exported folder is loaded with AutoTokenizer and AutoModelForCausalLM, the weights raised to
float64. Compared are the tokens of several texts, the log-probabilities of the 256 most probable tokens at
each position (`score --top`) and of the next one, the tokens drawn greedily (`generate --temperature 0`), and the token that
ends a text. An attention-only model must be refused by transformers. The script prints a table and ends
with 1 if anything differs.

    pip install torch==2.15.0 transformers==5.24.0
    cargo build --release
    python tests/transformers/check_exports.py --pellucid target/release/pellucid
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()

# The program calculates in f32, transformers here in f64.
TOLERANCE = 2e-5
MOST = 256
NAMES = ["Ann", "Bob", "Sue", "Tom", "Zoë"]
VERBS = ["ran", "sat", "sang", "slept", "saw 12 owls", "said \u201cno\u201d"]
END, BEGIN = "<|endoftext|>", "<s>"
TEXTS = ["Ann ran.", "Bob sat. Sue sang.", " Tom  saw\n12 owls, didn't he?", "Zoë said \u201cno\u201d. \U0001f989"]
TURNS = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] "
    "+ '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
# How Qwen2 cuts texts. Transformers 5 cuts so for every model of this type, whatever tokenizer.json says.
QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
SPEED = ["--context", "48", "--batch", "8", "--lr", "5e-3", "--seed", "7", "--json"]


class Program:
    """The program under test."""

    def __init__(self, path, options):
        self.path, self.options = path, options

    def run(self, *arguments, device=True):
        options = self.options if device else []
        command = [self.path, *map(str, arguments), *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)}\n{done.stderr}")
        return done.stdout

    def json(self, *arguments, device=True):
        return json.loads(self.run(*arguments, device=device))


def sentence(draw):
    return f"{draw.choice(NAMES)} {draw.choice(VERBS)}."


def tokenizer(program, folder, text, special):
    """A tokenizer of 300 tokens, trained on a text."""
    source, path = folder / "corpus.txt", folder / "tokenizer.json"
    source.write_text(text, encoding="utf-8")
    names = [word for name in special for word in ("--special-token", name)]
    program.run("tokenizer", "train", "--vocab-size", 300, *names, "-o", path, source, device=False)
    return path


def gpt2(program, folder, draw, steps):
    source = folder / "stories.txt"
    source.write_text(f"{END}\n".join(sentence(draw) for _ in range(600)), encoding="utf-8")
    path = tokenizer(program, folder, source.read_text(encoding="utf-8"), [END])
    sizes = ["--layers", 2, "--heads", 3, "--width", 36, "--hidden", 100]
    output = folder / "run"
    program.run("train", source, "--tokenizer", path, *sizes, *SPEED, "--steps", steps, "-o", output)
    return output / "model", END


def llama(program, folder, draw, steps):
    documents = [" ".join(sentence(draw) for _ in range(draw.randint(1, 3))) for _ in range(400)]
    path = tokenizer(program, folder, "\n".join(documents), [END, BEGIN])
    file = json.loads(path.read_text(encoding="utf-8"))
    begin = next(token["id"] for token in file["added_tokens"] if token["content"] == BEGIN)
    file["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": BEGIN, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {BEGIN: {"id": BEGIN, "ids": [begin], "tokens": [BEGIN]}},
    }
    path.write_text(json.dumps(file), encoding="utf-8")
    source = folder / "documents.jsonl"
    lines = [json.dumps({"text": document}) for document in documents]
    source.write_text("\n".join(lines), encoding="utf-8")
    sizes = ["--family", "llama", "--layers", 2, "--heads", 4, "--kv-heads", 2, "--width", 32, "--untied"]
    output = folder / "run"
    program.run("train", source, "--tokenizer", path, *sizes, *SPEED, "--steps", steps, "-o", output)
    return output / "model", END


def qwen2(program, folder, draw, steps):
    special = [END, "<|im_start|>", "<|im_end|>"]
    turns = [(f"What did {name} do?", f"{name} {draw.choice(VERBS)}.") for name in NAMES * 80]
    begin = folder / "before"
    begin.mkdir()
    path = tokenizer(program, folder, "\n".join(text for turn in turns for text in turn), special)
    file = json.loads(path.read_text(encoding="utf-8"))
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    cut = {"type": "Split", "pattern": {"Regex": QWEN2}, "behavior": "Isolated", "invert": False}
    file["normalizer"] = {"type": "NFC"}
    file["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [cut, byte_level]}
    (begin / "tokenizer.json").write_text(json.dumps(file), encoding="utf-8")
    own = {"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|im_end|>", "chat_template": TURNS}
    (begin / "tokenizer_config.json").write_text(json.dumps(own), encoding="utf-8")
    ids = {token["content"]: token["id"] for token in file["added_tokens"]}
    config = Qwen2Config(
        vocab_size=300,
        hidden_size=32,
        intermediate_size=72,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=ids["<|im_end|>"],
    )
    torch.manual_seed(7)
    Qwen2ForCausalLM(config).save_pretrained(begin)
    lines = [
        json.dumps({"messages": [{"role": "user", "content": ask}, {"role": "assistant", "content": answer}]})
        for ask, answer in turns
    ]
    source = folder / "talks.jsonl"
    source.write_text("\n".join(lines), encoding="utf-8")
    output = folder / "run"
    program.run("train", source, "--from", begin, *SPEED, "--steps", steps, "-o", output)
    return output / "model", "<|im_end|>"


def log_probabilities(model, ids):
    with torch.no_grad():
        return torch.log_softmax(model(torch.tensor([ids])).logits[0], dim=-1)


def check(program, folder, end):
    """How many texts and tokens were compared, the largest difference, and what is wrong."""
    wrong = []
    theirs = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).double().eval()
    if theirs.eos_token != end or model.config.eos_token_id != theirs.eos_token_id:
        wrong.append(f"{theirs.eos_token!r} ({model.config.eos_token_id}) ends a text, not {end!r}")
    tokens, largest = 0, 0.0
    texts = [*TEXTS, f"Ann ran.{end}Bob"]
    for text in texts:
        ids = theirs(text)["input_ids"]
        own = program.json("tokenize", "--special", "--json", "--model", folder, text, device=False)["ids"]
        if own != ids:
            wrong.append(f"{text!r} is {own}, in transformers {ids}")
            continue
        if theirs.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False).find(text) < 0:
            wrong.append(f"{text!r} is not what transformers decodes {ids} to")
        vocab = model.config.vocab_size
        listed = ",".join(map(str, ids))
        score = program.json("score", "--json", "--model", folder, "--tokens", listed, "--top", min(vocab, MOST))
        expected = log_probabilities(model, ids)
        if len(score["logprobs"]) != len(ids) - 1 or {len(top) for top in score["top"]} != {min(vocab, MOST)}:
            wrong.append(f"score gives too few values for {text!r}")
            continue
        tops = zip(score["top"], expected)
        pairs = [(value, row[token]) for top, row in tops for token, value in top]
        pairs += [(value, row[token]) for value, row, token in zip(score["logprobs"], expected, ids[1:])]
        distance = max(abs(value - own.item()) if value is not None else float("inf") for value, own in pairs)
        largest, tokens = max(largest, distance), tokens + len(ids)
        drawn = program.json(
            "generate", "--json", "--temperature", 0, "--max-new-tokens", 12, "--special", "--model", folder, text
        )
        if drawn["prompt_tokens"] != ids:
            wrong.append(f"generate reads {text!r} as {drawn['prompt_tokens']}")
        for token in drawn["tokens"]:
            last = log_probabilities(model, ids)[-1]
            # Two tokens may be equally probable up to rounding.
            if last.max() - last[token] > TOLERANCE:
                wrong.append(f"after {ids} the program draws {token}, transformers {last.argmax().item()}")
                break
            ids = [*ids, token]
    if not largest <= TOLERANCE:
        wrong.append(f"log-probabilities differ by {largest:.1e}")
    return len(texts), tokens, largest, wrong


def attention_only(program, folder):
    """Transformers has no such model, and must not run it as another."""
    source, output = folder / "text.txt", folder / "run"
    source.write_text("abcd " * 400)
    sizes = ["--family", "gpt2-attn-only", "--layers", 1, "--heads", 2, "--width", 16]
    program.run("train", source, *sizes, *SPEED, "--steps", 2, "-o", output)
    try:
        AutoModelForCausalLM.from_pretrained(output / "model")
    except ValueError:
        return []
    return ["transformers loads it, as a model that it is not"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pellucid", default="target/release/pellucid", help="the program")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--backend", help="graphics API of the program; the best adapter's otherwise")
    arguments = parser.parse_args()
    program = Program(arguments.pellucid, ["--backend", arguments.backend] if arguments.backend else [])
    version = program.run("--version", device=False).strip()
    print(f"{version}, transformers {transformers.__version__}, torch {torch.__version__}\n")
    print("| model | texts | tokens | largest difference, nats | wrong |\n|---|---|---|---|---|")
    failed = []
    with tempfile.TemporaryDirectory() as place:
        for make in (gpt2, llama, qwen2):
            folder = Path(place) / make.__name__
            folder.mkdir()
            model, end = make(program, folder, random.Random(arguments.seed), arguments.steps)
            texts, tokens, largest, wrong = check(program, model, end)
            print(f"| {make.__name__} | {texts} | {tokens} | {largest:.1e} | {len(wrong)} |")
            failed += [f"{make.__name__}: {reason}" for reason in wrong]
        folder = Path(place) / "attention-only"
        folder.mkdir()
        wrong = attention_only(program, folder)
        print(f"| gpt2-attn-only | | | refused by transformers | {len(wrong)} |")
        failed += [f"gpt2-attn-only: {reason}" for reason in wrong]
    print("".join(f"\n{reason}" for reason in failed))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
