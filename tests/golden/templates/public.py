"""Holds public chat templates against transformers, and writes docs/templates.md.

    pip install transformers==5.24.0 jinja2==3.1.6
    cargo build --release --example render_template
    python public.py ../../../target/release/examples/render_template > ../../../docs/templates.md

The templates are fetched with git at the commits below, into a temporary folder or the one that
--clones names; clones that stand there already are used as they are. None of the templates is part of
this repository. With --long N, conversations of so many messages are timed instead, with no table.
"""

import argparse
import datetime
import hashlib
import json
import re
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import jinja2
import transformers
from transformers.utils.chat_template_utils import render_jinja_template

# Repository, commit, and which of its files are chat templates.
SOURCES = [
    ("ikawrakow/ik_llama.cpp", "8337e4cd3861406fc04e0854b1409cd1b027fbc9", r"models/templates/.*\.jinja"),
    ("huggingface/trl", "f2cd57710ae345ea6428ae95363267fcf38a3dc8", r"trl/chat_templates/.*\.jinja|examples/.*\.jinja"),
    ("axolotl-ai-cloud/axolotl", "067b021c8b87a9e5e380b9173c704cf7340e30f5", r"src/axolotl/utils/chat_templates/templates/.*\.jinja"),
    ("HabanaAI/vllm-fork", "95af70093fc0dbb1a8b16d4a2913c674a02434ac", r"(examples|vllm/transformers_utils/chat_templates)/.*\.jinja"),
    ("chujiezheng/chat_templates", "11c495621569969f264ee70b5c8bb49ba7a1a410", r"chat_templates/.*\.jinja"),
    ("EricLBuehler/mistral.rs", "9e922623f24b32d41f3892b74f0eed18707f4e6c", r"chat_templates/.*\.jinja"),
    ("theroyallab/llm-prompt-templates", "91e5e9221fef05011cd7c14cb6f41a1d53a9f022", r".*\.jinja"),
    ("unslothai/unsloth", "015bdef0d94a241bcd94eec7a405b1700632180d", r"studio/backend/assets/chat_templates/.*\.jinja"),
    ("google/minja", "021c2293c187789ef13d56c6cfd89c9b134fd80f", r"tests_files/.*\.jinja"),
    ("vllm-project/vllm-ascend", "182b75ea84ff13ece27b57391331ef8935410aea", r"(examples|tests)/.*\.jinja"),
]

# Families by the names of files; the first that fits.
FAMILIES = [
    ("MiroThinker", "mirothinker"), ("Hermes", "hermes"), ("FireFunction", "fire_?function"),
    ("Functionary", "functionary"), ("ToolACE", "toolace"), ("Groq tool use", "groq"),
    ("Nemotron", "nemotron"), ("DeepSeek", "deepseek"), ("QwQ", "qwq"), ("VLM2Vec", "vlm2vec"),
    ("Qwen", "qwen"), ("LLaVA", "llava"), ("Idefics", "idefics"), ("SmolLM", "smollm"),
    ("Gemma", "gemma"), ("Phi", "phi"), ("Mistral", "mistral|mixtral|pixtral|ministral|devstral"),
    ("Command", "cohere|command"), ("Aya", "aya"), ("ChatGLM", "chatglm"), ("GLM", "glm"),
    ("Kimi", "kimi"), ("Granite", "granite"), ("LFM", "lfm"), ("gpt-oss", "gpt-?oss"),
    ("Apertus", "apertus"), ("Apriel", "apriel"), ("Bielik", "bielik"), ("Seed-OSS", "seed-oss"),
    ("GigaChat", "gigachat"), ("MiMo", "mimo"), ("Reka", "reka"), ("Step", "step-?f|step-?3"),
    ("RWKV", "rwkv"), ("EXAONE", "exaone"), ("Falcon", "falcon"), ("Jamba", "jamba"),
    ("Metharme", "metharme"), ("InternLM", "internlm"), ("TeleFLM", "teleflm"),
    ("Baichuan", "baichuan"), ("Inkbot", "inkbot"), ("BLIP-2", "blip2"), ("Fuyu", "fuyu"),
    ("Amber", "amber"), ("ChatQA", "chatqa"), ("OpenChat", "openchat"), ("Saiga", "saiga"),
    ("SOLAR", "solar"), ("Vicuna", "vicuna"), ("Zephyr", "zephyr"), ("Alpaca", "alpaca"),
    ("ChatML", "chatml"), ("Llama", "llama"), ("plain", "template_basic"),
]

ANSWER = "<think>\nTwo and two.\n</think>\n\nIt is 4."
TURNS = [("user", "What is 2 + 2?"), ("assistant", "It is 4."), ("user", "And 3 + 3?")]
SYSTEM = ("system", "Answer briefly.")
TOOL = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Adds two numbers.",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer", "description": "One."}, "b": {"type": "number"}},
            "required": ["a", "b"],
        },
    },
}

# Turns, whether the text ends where an answer begins, and what else the template is told.
CONVERSATIONS = {
    "one turn": (TURNS[:1], True, {}),
    "two turns": (TURNS, True, {}),
    "two turns, system": ([SYSTEM, *TURNS], True, {}),
    "no prompt": (TURNS[:2], False, {}),
    "no prompt, system": ([SYSTEM, *TURNS[:2]], False, {}),
    "thoughts": ([TURNS[0], ("assistant", ANSWER), TURNS[2]], True, {}),
    "thoughts, no prompt": ([SYSTEM, TURNS[0], ("assistant", ANSWER)], False, {}),
    "no thinking": ([SYSTEM, *TURNS], True, {"enable_thinking": False}),
    "odd texts": ([("system", " <b> \n"), ("user", "\n\n naïve 'q' \"d\" {{ x }} \\n 🤗\t\n")], True, {}),
    "empty texts": ([("user", ""), ("assistant", ""), ("user", " ")], True, {}),
    "four turns": ([SYSTEM, *TURNS, ("assistant", "6"), ("user", "Thanks."), ("assistant", ":)"), ("user", "Bye")], True, {}),
    "two users": ([TURNS[0], TURNS[2]], True, {}),
    "a tool": ([SYSTEM, TURNS[0]], True, {"tools": [TOOL]}),
}


def run(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, **options).stdout


def clone(folder, repository, commit):
    """The git folder of a repository that has the commit."""
    here = folder / repository.replace("/", "+")
    for git in (here / "repo/.git", here / "repo", here):
        if (git / "HEAD").exists():
            return git
    run("git", "init", "--bare", here)
    run("git", "-C", here, "fetch", "--depth=1", f"https://github.com/{repository}", commit)
    return here


def fetched(folder):
    """Every template once, with its source."""
    seen = set()
    for repository, commit, pattern in SOURCES:
        git = clone(folder, repository, commit)
        names = run("git", f"--git-dir={git}", "ls-tree", "-r", "-z", "--name-only", commit, text=True)
        for name in names.split("\0"):
            if not re.fullmatch(pattern, name):
                continue
            source = run("git", f"--git-dir={git}", "show", f"{commit}:{name}")
            digest = hashlib.sha256(source).hexdigest()
            if digest not in seen:
                seen.add(digest)
                yield repository, commit, name, digest, source.decode()


def family(name):
    stem = name.rsplit("/", 1)[-1].lower()
    return next((family for family, pattern in FAMILIES if re.search(pattern, stem)), "other")


def expected(source, turns, prompt, more):
    """The text of transformers, or the error: what the template raised by itself, or None."""
    messages = [{"role": role, "content": content} for role, content in turns]
    try:
        more = {"tools": None, **more}
        [text], _ = render_jinja_template(
            conversations=[messages], chat_template=source, add_generation_prompt=prompt,
            bos_token="<s>", eos_token="</s>", **more,
        )
        return text, None
    except jinja2.TemplateError as error:
        return None, str(error) if type(error) is jinja2.TemplateError else ""
    except Exception:
        return None, ""


class Program:
    """The example render_template, as a function."""

    def __init__(self, path):
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([path], stdin=pipe, stdout=pipe, text=True)

    def __call__(self, source, turns, prompt, more):
        messages = [{"role": role, "content": content} for role, content in turns]
        # As JSON each, so that maps keep their order.
        more = {**more, "add_generation_prompt": prompt}
        arguments = {name: json.dumps(value) for name, value in more.items()}
        request = {"template": source, "messages": messages, "arguments": arguments}
        request |= {"bos_token": "<s>", "eos_token": "</s>"}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def same(answer, text, error):
    if text is not None:
        return answer.get("text") == text
    # What a template raises by itself is told in its own words, as far as a sentence goes.
    return "error" in answer and error[:500] in answer["error"]


def told(name, answer, text, error):
    """What differs, for whoever mends it."""
    found = answer.get("text", answer.get("error"))
    print(f"{name}\n  found    {found!r}\n  expected {text!r} {error!r}", file=sys.stderr)


def table(folder, program, version):
    rows, refused, counts = [], 0, [0, 0]
    for repository, commit, name, digest, source in fetched(folder):
        equal, refusals = 0, 0
        for title, asked in CONVERSATIONS.items():
            answer = program(source, *asked)
            text, error = expected(source, *asked)
            if same(answer, text, error):
                equal += 1
                refusals += text is None
            else:
                told(f"{repository}:{name}: {title}", answer, text, error)
        counts[0] += equal
        counts[1] += len(CONVERSATIONS)
        refused += refusals
        link = f"[{repository.split('/')[1]}@{commit[:7]}:{name}](https://github.com/{repository}/blob/{commit}/{name.replace(' ', '%20')})"
        rows.append((family(name), name, f"| {family(name)} | {link} | {digest[:12]} | {equal} / {len(CONVERSATIONS)} | {refusals} |"))
    rows.sort(key=lambda row: (row[0].lower(), row[1]))
    families = {row[0] for row in rows} - {"other", "plain"}
    titles = textwrap.fill(
        f"The conversations: {'; '.join(CONVERSATIONS)}. \"No prompt\" stands for `add_generation_prompt=false`, "
        "\"no thinking\" for `enable_thinking=false`; an answer with thoughts has `</think>` in it.",
        width=110, break_long_words=False, break_on_hyphens=False,
    )
    print(f"""# Public chat templates

Made by `tests/golden/templates/public.py` on {datetime.date.today()}, with Pellucid {version}, transformers {transformers.__version__},
Jinja {jinja2.__version__} and Python {sys.version.split()[0]}. The templates are fetched at the commits that the links name; none of them is part
of this repository, and CI does not run this.

{len(rows)} templates, each with another hash, of {len(families)} families: {counts[0]} of {counts[1]} conversations are equal to what
`transformers` makes of them, byte by byte. {refused} of these are refused by both, in the template's own words
where it has some.

{titles}

| family | template | sha256 | equal | refused |
|---|---|---|---|---|""")
    print("\n".join(row[2] for row in rows))


def long(folder, program, count):
    """How long conversations of so many messages take."""
    texts = ["What is 2 + 2? " * 8, "It is 4, as everyone knows. " * 8]
    turns = [("user" if at % 2 == 0 else "assistant", texts[at % 2]) for at in range(count)]
    turns = turns if count % 2 == 1 else turns[:-1]
    for _, _, name, _, source in fetched(folder):
        answer = program(source, turns, True, {})
        text, error = expected(source, turns, True, {})
        fits = "equal" if same(answer, text, error) else "differs"
        why = answer.get("error", "")
        print(f"{answer['seconds']:8.3f} s  {fits}  {name}  {why[:120]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program", help="the example render_template")
    parser.add_argument("--clones", type=Path, help="where clones are kept")
    parser.add_argument("--long", type=int, help="time conversations of so many messages")
    args = parser.parse_args()
    manifest = (Path(__file__).parents[3] / "Cargo.toml").read_text()
    version = re.search(r'^version = "(.*)"', manifest, re.M)[1]
    with tempfile.TemporaryDirectory() as empty:
        folder = args.clones or Path(empty)
        program = Program(args.program)
        if args.long:
            long(folder, program, args.long)
        else:
            table(folder, program, version)


main()
