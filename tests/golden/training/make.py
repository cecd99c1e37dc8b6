"""Makes the goldens of training: what PyTorch says of small models that learn for ten steps.

Each case is a folder of ../models, raised to float64. NAME.json beside this script holds

  batch, context  sequences of a batch and tokens of each
  rate, betas, eps, decay, clip  of torch.optim.AdamW; matrices decay, vectors do not
  batches         for each step two micro-batches: tokens and targets, 4294967295 where there is none
  gradients       of the first step, by the tensor's name: its length, and four of its values by place
  losses          the mean over the targets of both micro-batches, before each step
  norms           of all gradients of a step, before they are clipped

    pip install torch==2.15.0 transformers==5.24.0 safetensors==0.8.0
    python make.py [CASE ...]
"""

import argparse
import json
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM
from transformers.utils import logging

logging.set_verbosity_error()
logging.disable_progress_bar()

CASES = ["gpt2", "gpt2-untied", "gpt2-attn-only", "gpt-neo"]
CASES += ["llama", "llama3", "qwen2-window"]
BATCH, CONTEXT, STEPS, MICRO = 3, 11, 10, 2
RATE, BETAS, EPS, DECAY, CLIP = 0.001, (0.9, 0.95), 1e-8, 0.1, 1.0
IGNORED = 2**32 - 1


def batches(vocab, generator):
    """Random tokens, each followed by what its place in a fixed cycle says: something to learn."""
    after = torch.randperm(vocab, generator=generator)
    tokens = torch.randint(vocab, (STEPS, MICRO, BATCH, CONTEXT), generator=generator)
    for place in range(1, CONTEXT):
        kept = torch.rand(tokens.shape[:-1], generator=generator) < 0.7
        tokens[..., place] = torch.where(kept, after[tokens[..., place - 1]], tokens[..., place])
    targets = after[tokens]
    # Some teach nothing, and not as many in one micro-batch as in the other.
    targets[:, 0, 0, :3] = IGNORED
    targets[:, 1, 1, 4] = IGNORED
    return tokens, targets


class Nothing(torch.nn.Module):
    """Adds nothing to the residual stream."""

    def forward(self, x):
        return torch.zeros_like(x)


def make(name, folder):
    model = AutoModelForCausalLM.from_pretrained(
        folder / "../models" / name, dtype=torch.float64, attn_implementation="eager"
    )
    model.eval()  # without dropout
    if getattr(model.config, "attn_only", False):
        for block in model.transformer.h:
            block.ln_2, block.mlp = torch.nn.Identity(), Nothing()
    tokens, targets = batches(model.config.vocab_size, torch.Generator().manual_seed(7))
    named = dict(model.named_parameters())
    groups = [
        {"params": [p for p in named.values() if p.dim() > 1], "weight_decay": DECAY},
        {"params": [p for p in named.values() if p.dim() < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=RATE, betas=BETAS, eps=EPS)
    losses, norms, gradients = [], [], {}
    for step in range(STEPS):
        optimizer.zero_grad()
        counted = (targets[step] != IGNORED).sum()
        loss = 0.0
        for micro in range(MICRO):
            logits = model(input_ids=tokens[step, micro]).logits.flatten(0, 1)
            goal = targets[step, micro].flatten()
            goal = torch.where(goal == IGNORED, -100, goal)
            part = cross_entropy(logits, goal, reduction="sum") / counted
            part.backward()
            loss += part.item()
        if step == 0:
            for key, parameter in named.items():
                flat = parameter.grad.flatten()
                places = [(i * 7919 + 13) % len(flat) for i in range(4)]
                values = [[place, flat[place].item()] for place in places]
                gradients[key] = {"norm": flat.norm().item(), "values": values}
        losses.append(loss)
        norms.append(torch.nn.utils.clip_grad_norm_(named.values(), CLIP).item())
        optimizer.step()
    golden = {
        "batch": BATCH,
        "context": CONTEXT,
        "rate": RATE,
        "betas": BETAS,
        "eps": EPS,
        "decay": DECAY,
        "clip": CLIP,
        "batches": [
            [{"tokens": t.flatten().tolist(), "targets": g.flatten().tolist()} for t, g in zip(*step)]
            for step in zip(tokens, targets)
        ],
        "gradients": gradients,
        "losses": losses,
        "norms": norms,
    }
    (folder / f"{name}.json").write_text(json.dumps(golden) + "\n")
    print(name, [round(loss, 4) for loss in losses])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", default=CASES)
    for case in parser.parse_args().cases:
        make(case, Path(__file__).parent)
