"""Writes the seed inputs of the fuzzer: small valid files of each kind.

    pip install gguf numpy tokenizers && python fuzz/seeds.py
"""

import json
import pathlib

import gguf
import numpy as np
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

HERE = pathlib.Path(__file__).parent
CORPUS = HERE / "corpus"
GOLDEN = HERE.parent / "tests/golden/models"
WORDS = ["It's 1234 words, naïve words.", "日本 and 🤗 again and again"]


def write(target, name, data):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def gguf_file(architecture, tokenizer, kind):
    path = CORPUS / "gguf" / f"seed-{architecture}-{tokenizer}"
    path.parent.mkdir(parents=True, exist_ok=True)
    w = gguf.GGUFWriter(str(path), architecture)
    width, hidden, vocab = 32, 32, 8
    w.add_context_length(4)
    w.add_embedding_length(width)
    w.add_block_count(1)
    w.add_feed_forward_length(hidden)
    w.add_head_count(2)
    if architecture == "gpt2":
        w.add_layer_norm_eps(1e-5)
    else:
        w.add_head_count_kv(1)
        w.add_layer_norm_rms_eps(1e-5)
        w.add_rope_freq_base(1e4)
    w.add_tokenizer_model(tokenizer)
    if tokenizer == "gpt2":
        w.add_tokenizer_pre("gpt-2")
        w.add_token_list(["a", "b", "Ġ", "ab", "Ġab", "c", "d", "<|endoftext|>"])
        w.add_token_types([1] * 7 + [3])
        w.add_token_merges(["a b", "Ġ ab"])
    else:
        w.add_token_list(["<unk>", "<s>", "</s>", "▁", "a", "b", "ab", "<0x41>"])
        w.add_token_scores([0.0, 0.0, 0.0, -1.0, -2.0, -3.0, -0.5, 0.0])
        w.add_token_types([2, 3, 3, 1, 1, 1, 1, 6])
        w.add_bool("tokenizer.ggml.add_space_prefix", True)
    w.add_bos_token_id(1)
    w.add_eos_token_id(7)
    rng = np.random.default_rng(1)

    def matrix(name, rows, columns):
        values = rng.standard_normal((rows, columns)).astype(np.float32)
        if kind == gguf.GGMLQuantizationType.F32:
            w.add_tensor(name, values)
        else:
            w.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)

    def vector(name, size):
        w.add_tensor(name, np.ones(size, np.float32))

    matrix("token_embd.weight", vocab, width)
    norms = ["blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"]
    for norm in norms:
        vector(f"{norm}.weight", width)
    if architecture == "gpt2":
        w.add_tensor("position_embd.weight", np.ones((4, width), np.float32))
        for norm in norms:
            vector(f"{norm}.bias", width)
        maps = [("attn_qkv", 3 * width, width), ("attn_output", width, width)]
        maps += [("ffn_up", hidden, width), ("ffn_down", width, hidden)]
        for name, rows, _ in maps:
            vector(f"blk.0.{name}.bias", rows)
    else:
        maps = [("attn_q", width, width), ("attn_k", width // 2, width)]
        maps += [("attn_v", width // 2, width), ("attn_output", width, width)]
        maps += [("ffn_gate", hidden, width), ("ffn_up", hidden, width)]
        maps += [("ffn_down", width, hidden)]
    for name, rows, columns in maps:
        matrix(f"blk.0.{name}.weight", rows, columns)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def tensor_file():
    width = 4
    shapes = {"wte.weight": (5, width), "wpe.weight": (4, width)}
    for norm in ["h.0.ln_1", "h.0.ln_2", "ln_f"]:
        shapes |= {f"{norm}.weight": (width,), f"{norm}.bias": (width,)}
    for name, i, o in [
        ("attn.c_attn", width, 3 * width),
        ("attn.c_proj", width, width),
        ("mlp.c_fc", width, 4 * width),
        ("mlp.c_proj", 4 * width, width),
    ]:
        shapes |= {f"h.0.{name}.weight": (i, o), f"h.0.{name}.bias": (o,)}
    for dtype, size in [("F32", 4), ("F16", 2), ("BF16", 2)]:
        header, at = {}, 0
        for name, shape in shapes.items():
            count = int(np.prod(shape)) * size
            header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + count]}
            at += count
        text = json.dumps(header).encode()
        write("safetensors", f"seed-{dtype}", len(text).to_bytes(8, "little") + text + bytes(at))


def tokenizers():
    byte_level = Tokenizer(models.BPE())
    byte_level.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    byte_level.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=270,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    byte_level.train_from_iterator(WORDS, trainer)
    write("tokenizer", "seed-byte-level", byte_level.to_str().encode())
    pieces = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    pieces.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    pieces.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    pieces.train_from_iterator(
        WORDS, trainers.BpeTrainer(vocab_size=60, special_tokens=["<unk>", "<s>", "</s>"])
    )
    write("tokenizer", "seed-pieces", pieces.to_str().encode())
    unigram = Tokenizer(models.Unigram())
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    unigram.decoder = decoders.Metaspace()
    unigram.train_from_iterator(
        WORDS, trainers.UnigramTrainer(vocab_size=40, unk_token="<unk>", special_tokens=["<unk>"])
    )
    write("tokenizer", "seed-unigram", unigram.to_str().encode())


def main():
    kinds = gguf.GGMLQuantizationType
    gguf_file("gpt2", "gpt2", kinds.F32)
    gguf_file("llama", "llama", kinds.Q4_1)
    gguf_file("llama", "gpt2", kinds.Q8_0)
    tensor_file()
    tokenizers()
    for config in sorted(GOLDEN.glob("*/config.json")):
        write("config", f"seed-{config.parent.name}", config.read_bytes())


if __name__ == "__main__":
    main()
