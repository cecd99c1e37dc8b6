"""Times in TransformerLens what `pellucid bench inspect` times, for orientation.

    pip install torch==2.15.0 transformers==5.24.0 transformer-lens==4.3.0
    python time_transformer_lens.py [--device cpu] [--runs 3]

The model has SmolLM2's sizes and random weights: times do not depend on values. Prints JSON: medians in
seconds of a pass over 512 tokens, of one that keeps the stream after every layer, of one that keeps
everything, of a sweep of patches of resid_pre at every layer and position of 20 tokens, and of one without
each head in turn.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from functools import partial

import torch
from tokenizers import Tokenizer, models
from transformer_lens import patching
from transformer_lens.model_bridge import TransformerBridge
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

LONG, SHORT = 512, 20

SMOLLM2 = LlamaConfig(
    hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9, num_key_value_heads=3,
    vocab_size=49152, max_position_embeddings=2048, rope_theta=10000.0, tie_word_embeddings=True,
)  # fmt: skip


def words(vocab):
    """A tokenizer that TransformerLens accepts; no text is ever given to it."""
    ids = {f"t{i}": i for i in range(vocab)}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(ids, unk_token="t0")), unk_token="t0", pad_token="t0"
    )


def boot(device):
    torch.manual_seed(0)
    SMOLLM2._attn_implementation = "eager"
    SMOLLM2.architectures = ["LlamaForCausalLM"]
    hf = LlamaForCausalLM(SMOLLM2).to(device).eval()
    with tempfile.TemporaryDirectory() as folder:
        # It reads the configuration from files, and takes the model as it is.
        SMOLLM2.save_pretrained(folder)
        bridge = TransformerBridge.boot_transformers(
            folder, hf_model=hf, device=device, dtype=torch.float32, tokenizer=words(SMOLLM2.vocab_size)
        )
    return bridge.eval()


def without_head(head, z, hook):
    z[:, :, head] = 0
    return z


def difference(logits):
    return logits[0, -1, 1] - logits[0, -1, 2]


def ablations(bridge, text):
    for layer in range(SMOLLM2.num_hidden_layers):
        for head in range(SMOLLM2.num_attention_heads):
            hook = (f"blocks.{layer}.attn.hook_z", partial(without_head, head))
            difference(bridge.run_with_hooks(text, fwd_hooks=[hook])).item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    bridge = boot(options.device)
    draw = partial(torch.randint, SMOLLM2.vocab_size)
    long, short, other = (draw((1, length)).to(options.device) for length in (LONG, SHORT, SHORT))
    after = lambda name: name.endswith("hook_resid_post")
    with torch.no_grad():
        clean = bridge.run_with_cache(short)[1]
        patches = patching.get_act_patch_resid_pre
        cases = {
            "pass_512": lambda: bridge(long),
            "resid_post_512": lambda: bridge.run_with_cache(long, names_filter=after),
            "everything_512": lambda: bridge.run_with_cache(long),
            "pass_20": lambda: bridge(short),
            "patch_resid_pre": lambda: patches(bridge, other, clean, difference),
            "ablate_heads": lambda: ablations(bridge, short),
        }
        found = {}
        for name, case in cases.items():
            case() if "_512" in name or name == "pass_20" else None
            times = []
            for _ in range(options.runs):
                start = time.perf_counter()
                case()
                if options.device != "cpu":
                    torch.cuda.synchronize()
                times.append(time.perf_counter() - start)
            found[name] = round(statistics.median(times), 4)
    print(json.dumps({"torch": torch.__version__, "threads": torch.get_num_threads(), **found}, indent=2))


if __name__ == "__main__":
    os.environ.setdefault("TQDM_DISABLE", "1")
    main()
