"""Makes the goldens of looking inside: what TransformerLens says about small random models.

The models are those in ../models, whose script states their seeds; TransformerLens hooks transformers'
own modules (`boot_transformers`), so weights are raw: nothing is folded or centred. Written by hand and
never run in CI:

    pip install torch==2.15.0 transformers==5.24.0 safetensors==0.8.0 transformer-lens==4.3.0
    python make.py [--out FOLDER] [MODEL ...]

One safetensors file for each model, f32, whose tensors are named by what they hold:

  tokens, corrupted, direction   two texts of equal length, and a vector of the stream's width
  metric                         answer and versus: two token ids
  values/NAME                    the hook of that classic name over the text, without the batch axis
  logits                         of the text, (T, V)
  edit/EDIT                      logits after the tokens 3 and 7 under an edit, as Pellucid writes it; FILE
                                 in it is this file. TransformerLens runs the same change as a hook
  ablate/WHAT/HOW/METRIC         the metric without each part: (layers, heads) or (layers); METRIC is
                                 loss or logit_diff; and baseline/METRIC
  patch/WHAT/BY                  logit differences with a piece of the clean run in the corrupted one;
                                 where TransformerLens has the sweep, its own. patch/clean, patch/corrupted
  heads/SCORE                    (layers, heads), on heads/tokens: random tokens of heads/seed with a period of 6
  lens/entropy, kl, rank, top_ids, top_logprobs   (places, T), the top with three each
  attribute/components, heads, neurons, logit     as the analysis of that name gives them

names.json says which classic names have the values that TransformerLens 4 has under a name of its own.

Each number is computed by TransformerLens where it has a function, and from its cached values otherwise;
where there are two ways, both are taken and must agree.
"""

import argparse
import itertools
import json
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models
from transformer_lens import patching
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.tools.analysis.direct_logit_attribution import direct_logit_attribution
from transformer_lens.tools.analysis.logit_lens import logit_lens
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

HERE = Path(__file__).parent
MODELS = ["gpt2", "llama", "qwen3", "gemma3"]
LENGTH = 8
ANSWER, VERSUS = 3, 11
# A position among those that edits of some positions change, and the last one.
EDITED = [3, 7]
PERIOD, HEAD_SEED = 6, 3
# By how much a head must attend more to one token than to any other.
CLEAR = 1e-5
# Tokens and copies of the runs of Olsson's scores.
SAMPLE, COPIES = 25, 4


def noise(seed, sequence, step, draw):
    """Pellucid's random numbers (src/noise.rs), which draw the text on which heads are scored."""
    mask = 0xFFFFFFFF

    def scramble(x):
        x = ((x ^ (x >> 16)) * 0x7FEB352D) & mask
        x = ((x ^ (x >> 15)) * 0x846CA68B) & mask
        return x ^ (x >> 16)

    keys = [0x9E3779B9, 0x7F4A7C15]
    for word in [seed & mask, seed >> 32, sequence, step]:
        keys = [scramble(key ^ word) for key in keys]
    return scramble(scramble(draw ^ keys[0]) ^ keys[1])


def tokenizer(vocab):
    """One that TransformerLens accepts; no text is ever given to it."""
    words = {f"t{i}": i for i in range(vocab)}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="t0")), unk_token="t0", pad_token="t0"
    )


def boot(name):
    folder = str(HERE.parent / "models" / name)
    hf = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    # Gemma multiplies embeddings by a factor that has the type of the stored weights.
    factor = getattr(hf.get_input_embeddings(), "embed_scale", None)
    if factor is not None:
        factor.copy_(factor.bfloat16())
    words = tokenizer(hf.config.vocab_size)
    bridge = TransformerBridge.boot_transformers(
        folder, hf_model=hf, device="cpu", dtype=torch.float32, tokenizer=words
    )
    bridge.eval()
    return bridge


class Model:
    """A bridge, and Pellucid's names for its hooks."""

    def __init__(self, name):
        self.name = name
        self.bridge = boot(name)
        self.hf = self.bridge.original_model
        self.config = self.hf.config
        self.layers, self.heads = self.bridge.cfg.n_layers, self.bridge.cfg.n_heads
        self.kv = self.bridge.cfg.n_key_value_heads or self.heads
        self.width, self.vocab = self.bridge.cfg.d_model, self.config.vocab_size
        self.rms = not name.startswith("gpt2")
        generator = torch.Generator().manual_seed(len(name))
        self.tokens = torch.randint(self.vocab, (LENGTH,), generator=generator)
        self.corrupted = self.tokens.clone()
        self.corrupted[2] = (self.corrupted[2] + 7) % self.vocab
        self.direction = torch.randn(self.width, generator=generator)

    def context(self):
        return self.config.max_position_embeddings

    def block(self, layer):
        body = self.hf.transformer.h if hasattr(self.hf, "transformer") else self.hf.model.layers
        return body[layer]

    def logits(self, tokens, hooks=()):
        with torch.no_grad():
            return self.bridge.run_with_hooks(tokens[None], fwd_hooks=list(hooks))[0]

    def mid(self, layer, change):
        """Hooks under which the stream between attention and MLP changes. Here hook_resid_mid is the input
        of the second norm, so that a change of it would reach the MLP alone."""
        before = {}

        def remember(x, hook):
            before["x"] = x

        def add(x, hook):
            return change(before["x"] + x, hook) - before["x"]

        return [(f"blocks.{layer}.hook_resid_pre", remember), (f"blocks.{layer}.hook_attn_out", add)]

    def cache(self, tokens):
        with torch.no_grad():
            logits, cache = self.bridge.run_with_cache(tokens[None])
        return logits[0], {name: value[0] for name, value in cache.items() if value.shape[0] == 1}, cache


POINTS = """hook_embed hook_pos_embed ln_final.hook_scale ln_final.hook_normalized""".split()
LAYER_POINTS = """hook_resid_pre ln1.hook_scale ln1.hook_normalized attn.hook_q attn.hook_k attn.hook_v
attn.q_norm.hook_out attn.k_norm.hook_out attn.hook_rot_q attn.hook_rot_k attn.hook_attn_scores
attn.hook_pattern attn.hook_z attn.hook_result attn.hook_out ln1_post.hook_scale ln1_post.hook_normalized
hook_attn_out hook_resid_mid ln2.hook_scale ln2.hook_normalized mlp.hook_pre mlp.hook_pre_linear
mlp.hook_post mlp.hook_out ln2_post.hook_scale ln2_post.hook_normalized hook_mlp_out
hook_resid_post""".split()


def values(model, out):
    model.bridge.set_use_attn_result(True)
    logits, seen, _ = model.cache(model.tokens)
    post = "blocks.0.ln1_post.hook_scale" in seen
    for layer in range(model.layers):
        for point in LAYER_POINTS:
            # The same values as what is added to the stream, where no norm follows.
            if point in ("attn.hook_out", "mlp.hook_out") and not post:
                continue
            name = f"blocks.{layer}.{point}"
            if name in seen:
                value = seen[name]
                if point.endswith("_norm.hook_out"):
                    # Heads stand before positions in transformers.
                    value = value.transpose(0, 1)
                out[f"values/{name}"] = value
    for name in POINTS:
        if name in seen:
            out[f"values/{name}"] = seen[name]
    # Branches that are copies of the stream; with an axis of equal heads in TransformerLens.
    model.bridge.set_use_attn_result(False)
    model.bridge.set_use_split_qkv_input(True)
    split_logits, split, _ = model.cache(model.tokens)
    for layer in range(model.layers):
        for branch in "qkv":
            name = f"blocks.{layer}.hook_{branch}_input"
            value = split.get(name, split.get(f"blocks.{layer}.attn.hook_{branch}_input"))
            assert torch.equal(value, value[:, :1].expand_as(value)), name
            out[f"values/{name}"] = value[:, 0]
    model.bridge.set_use_split_qkv_input(False)
    assert torch.allclose(split_logits, logits, atol=1e-4)
    out["logits"] = logits


def edits(model, out):
    """Changes of values, each as Pellucid writes it and as a hook."""
    d, last = model.direction, model.layers - 1

    def zero(x, hook):
        x = x.clone()
        x[:] = 0
        return x

    def head_zero(x, hook):
        x = x.clone()
        x[:, :, model.heads - 1] = 0
        return x

    def scale(x, hook):
        x = x.clone()
        x[:, 2:5] *= 0.5
        return x

    def add(x, hook):
        return x + 0.3 * d

    def add_column(x, hook):
        x = x.clone()
        x[:, -1, 3:7] += 0.75
        return x

    def project(x, hook):
        u = d / d.norm()
        return x - (x @ u)[..., None] * u

    def replace(x, hook):
        x = x.clone()
        x[:, 1:4] = d
        return x

    def pattern_set(x, hook):
        x = x.clone()
        x[:, 0, 3:, 1] = 0.5
        return x

    def scores_add(x, hook):
        x = x.clone()
        x[:, 0, 3:, 0:2] += 9
        return x

    def neurons(x, hook):
        x = x.clone()
        x[:, :, 0:9] = 0
        return x

    def vector(x, hook):
        x = x.clone()
        x[:, :, 0] *= -2
        return x

    def one(name, text, change, hooks=None):
        logits = model.logits(model.tokens, hooks or [(name, change)])[EDITED]
        plain = out["logits"][EDITED]
        moved = (logits - plain).norm() / plain.norm()
        assert moved > 1e-3, f"{model.name}: {name}{text} moves the logits by {moved}"
        out[f"edit/{name}{text}"] = logits

    for layer in (0, last):
        stream = f"blocks.{layer}.hook_resid_post"
        one(f"blocks.{layer}.hook_resid_pre", "[2:5] *= 0.5", scale)
        one(stream, " += FILE:direction * 0.3", add)
        one(stream, "[-1, 3:7] += 0.75", add_column)
        one(stream, " project FILE:direction", project)
        one(f"blocks.{layer}.hook_attn_out", " = 0", zero)
        one(f"blocks.{layer}.hook_mlp_out", "[1:4] = FILE:direction", replace)
        one(f"blocks.{layer}.hook_resid_mid", "[2:5] *= 0.5", scale, model.mid(layer, scale))
        one(f"blocks.{layer}.hook_mlp_in", " += FILE:direction * 0.3", add, [(f"blocks.{layer}.ln2.hook_in", add)])
        one(f"blocks.{layer}.attn.hook_z", f"[:, {model.heads - 1}] = 0", head_zero)
        one(f"blocks.{layer}.attn.hook_q", "[:, 0] *= -2", vector)
        one(f"blocks.{layer}.attn.hook_k", "[:, 0] *= -2", vector)
        one(f"blocks.{layer}.attn.hook_v", "[:, 0] *= -2", vector)
        one(f"blocks.{layer}.attn.hook_pattern", "[0, 3:, 1] = 0.5", pattern_set)
        one(f"blocks.{layer}.attn.hook_attn_scores", "[0, 3:, 0:2] += 9", scores_add)
        one(f"blocks.{layer}.mlp.hook_post", "[:, 0:9] = 0", neurons)
    one("hook_embed", "[2:5] *= 0.5", scale)
    # A branch alone, which TransformerLens forks for every head.
    model.bridge.set_use_split_qkv_input(True)
    for branch in "qkv":
        one(f"blocks.{last}.hook_{branch}_input", " += FILE:direction * 0.3", add)
    model.bridge.set_use_split_qkv_input(False)


def names(model):
    """TransformerLens 4's names of the last layer, each with the classic names of the same values."""
    _, seen, _ = model.cache(model.tokens)
    inside = f"blocks.{model.layers - 1}."
    classic = [name for name in POINTS + [inside + point for point in LAYER_POINTS] if name in seen]
    # What transformers gives with the heads before the positions.
    plain = {name: x.transpose(0, 1) if "_norm.hook" in name else x for name, x in seen.items()}
    same = lambda a, b: a.shape == b.shape and torch.equal(a, b)
    return {
        name: [other for other in classic if same(plain[other], value)]
        for name, value in plain.items()
        if name not in classic and (name.startswith(inside) or not name.startswith("blocks."))
    }


def loss(logits, tokens):
    return -logits[:-1].log_softmax(-1).gather(1, tokens[1:, None]).mean()


def difference(logits, tokens=None):
    return logits[-1, ANSWER] - logits[-1, VERSUS]


METRICS = {"loss": loss, "logit_diff": difference}


def ablations(model, out):
    logits, seen, _ = model.cache(model.tokens)

    def constant(x, hook, value, head=None):
        x = x.clone()
        if head is None:
            x[:] = value
        else:
            x[:, :, head] = value
        return x

    parts = {
        "head": lambda layer: [[("attn.hook_z", head)] for head in range(model.heads)],
        "attn": lambda layer: [[("hook_attn_out", None)]],
        "mlp": lambda layer: [[("hook_mlp_out", None)]],
        "layer": lambda layer: [[("hook_attn_out", None), ("hook_mlp_out", None)]],
    }
    for metric, measure in METRICS.items():
        out[f"ablate/baseline/{metric}"] = measure(logits, model.tokens)
    for what, units in parts.items():
        for how in ("zero", "mean"):
            rows = {metric: [] for metric in METRICS}
            for layer in range(model.layers):
                for unit in units(layer):
                    hooks = []
                    for point, head in unit:
                        name = f"blocks.{layer}.{point}"
                        value = seen[name].mean(0) if how == "mean" else torch.zeros(1)
                        value = value[head] if how == "mean" and head is not None else value
                        hooks.append((name, partial(constant, value=value, head=head)))
                    changed = model.logits(model.tokens, hooks)
                    for metric, measure in METRICS.items():
                        rows[metric].append(measure(changed, model.tokens))
            for metric, row in rows.items():
                row = torch.stack(row)
                out[f"ablate/{what}/{how}/{metric}"] = row.view(model.layers, -1) if what == "head" else row


def patches(model, out):
    clean, corrupted = model.tokens, model.corrupted
    clean_logits, _, clean_cache = model.cache(clean)
    out["patch/clean"] = difference(clean_logits)
    out["patch/corrupted"] = difference(model.logits(corrupted))

    def sweep(function):
        with torch.no_grad():
            return function(model.bridge, corrupted[None], clean_cache, lambda logits: difference(logits[0]))

    for what in ("resid_pre", "attn_out", "mlp_out"):
        out[f"patch/{what}/position"] = sweep(getattr(patching, f"get_act_patch_{what}"))

    def by_hand(point, pick):
        """For each layer the differences of all pieces: functions that put a piece into a value."""
        rows = []
        for layer in range(model.layers):
            name = f"blocks.{layer}.{point}"
            theirs = clean_cache[name]
            row = []
            for put in pick(theirs):
                hook = partial(lambda x, hook, put, theirs: put(x.clone(), theirs), put=put, theirs=theirs)
                row.append(difference(model.logits(corrupted, [(name, hook)])))
            rows.append(torch.stack(row))
        return torch.stack(rows)

    def heads(axis):
        def put(x, theirs, head):
            if axis == 1:
                x[:, head] = theirs[:, head]
            else:
                x[:, :, head] = theirs[:, :, head]
            return x

        return lambda theirs: [partial(put, head=head) for head in range(theirs.shape[axis])]

    def places(theirs):
        def put(x, theirs, head, place):
            x[:, place, head] = theirs[:, place, head]
            return x

        count = range(theirs.shape[2])
        return [partial(put, head=head, place=place) for head in count for place in range(LENGTH)]

    for letter, point in [("z", "attn.hook_z"), ("q", "attn.hook_q"), ("k", "attn.hook_k"), ("v", "attn.hook_v")]:
        out[f"patch/{letter}/head"] = by_hand(point, heads(2))
    out["patch/pattern/head"] = by_hand("attn.hook_pattern", heads(1))
    out["patch/z/head-position"] = by_hand("attn.hook_z", places).view(model.layers, -1, LENGTH)

    mid = []
    for layer in range(model.layers):
        for place in range(LENGTH):

            def put(x, hook, theirs=clean_cache[f"blocks.{layer}.hook_resid_mid"], place=place):
                x = x.clone()
                x[:, place] = theirs[:, place]
                return x

            mid.append(difference(model.logits(corrupted, model.mid(layer, put))))
    out["patch/resid_mid/position"] = torch.stack(mid).view(model.layers, LENGTH)

    # TransformerLens's own sweeps over heads, where it has as many heads.
    own = {"z": "out", "q": "q"} | ({"k": "k", "v": "v"} if model.kv == model.heads else {}) | {"pattern": "pattern"}
    for letter, name in own.items():
        theirs = sweep(getattr(patching, f"get_act_patch_attn_head_{name}_all_pos"))
        assert torch.allclose(theirs, out[f"patch/{letter}/head"], atol=1e-5), (model.name, letter)
    theirs = sweep(patching.get_act_patch_attn_head_out_by_pos).transpose(1, 2)
    assert torch.allclose(theirs, out["patch/z/head-position"], atol=1e-5), model.name


def head_scores(model, out):
    few = min(SAMPLE, model.context() // COPIES)
    count = max(PERIOD, few)

    def patterns(tokens):
        _, seen, _ = model.cache(tokens)
        return torch.stack([seen[f"blocks.{layer}.attn.hook_pattern"] for layer in range(model.layers)]), seen

    # Copying asks which token a head attends to most: no rounding may decide that.
    for seed in itertools.count(HEAD_SEED):
        random = torch.tensor([noise(seed, 0, at, 0) * model.vocab >> 32 for at in range(count)])
        most = patterns(random[:few])[0][..., 1:, :].topk(2).values
        if (most[..., 0] - most[..., 1]).min() > CLEAR:
            break
    tokens = random[:PERIOD].repeat(2)
    out["heads/seed"] = torch.tensor([float(seed)])
    out["heads/tokens"] = tokens.float()

    pattern, _ = patterns(tokens)

    def stripe(offset, start):
        """Mean attention `offset` back, of the queries from `start` on."""
        return pattern.diagonal(-offset, -2, -1)[..., start - offset :].mean(-1)

    out["heads/previous"] = stripe(1, 1)
    out["heads/current"] = stripe(0, 0)
    out["heads/duplicate"] = stripe(PERIOD, PERIOD)
    out["heads/induction"] = stripe(PERIOD - 1, PERIOD)
    out["heads/first"] = pattern[..., 0].mean(-1)

    sample = random[:few]
    repeated, _ = patterns(sample.repeat(COPIES))
    length = few * COPIES
    follows = torch.zeros(length, length)
    for query in range(few, length):
        for key in range(query % few, query - few + 1, few):
            follows[query, key + 1] = 1
    out["heads/prefix_matching"] = (repeated * follows).sum((-2, -1)) / (length - few)

    model.bridge.set_use_attn_result(True)
    once, seen = patterns(sample)
    model.bridge.set_use_attn_result(False)
    unembed = model.hf.lm_head.weight[sample].T
    scores = []
    for layer in range(model.layers):
        written = seen[f"blocks.{layer}.attn.hook_result"] @ unembed
        raised = (written - written.mean(-1, keepdim=True)).relu()
        attended = once[layer].argmax(-1)
        share = raised.gather(2, attended.T[..., None])[..., 0] / raised.sum(-1)
        scores.append(4 * share.mean(0) - 1)
    out["heads/copying_olsson"] = torch.stack(scores)


def lens(model, out):
    found = logit_lens(
        model.bridge, model.tokens[None], incl_mid=True, positions=slice(None), return_type="log_probs"
    )
    marks = [f"{layer}_{at}" for layer in range(model.layers) for at in ("pre", "mid")]
    assert found.labels == marks + ["final_post"], found.labels
    logprobs = found.values.squeeze(1).double()
    assert torch.allclose(logprobs[-1].float(), out["logits"].log_softmax(-1), atol=1e-4)
    out["lens/entropy"] = found.readout.entropy.squeeze(1)
    out["lens/kl"] = (logprobs[-1].exp() * (logprobs[-1] - logprobs)).sum(-1)
    ranks = logit_lens(model.bridge, model.tokens[None], incl_mid=True, positions=slice(None), targets=[ANSWER])
    out["lens/rank"] = ranks.readout.target_ranks.squeeze(-1).squeeze(1)
    top = logprobs.topk(3)
    out["lens/top_ids"], out["lens/top_logprobs"] = top.indices, top.values


def attribution(model, out):
    model.bridge.set_use_attn_result(True)
    logits, seen, _ = model.cache(model.tokens)
    model.bridge.set_use_attn_result(False)
    final = model.bridge.ln_final.original_component
    gain = 1 + final.weight if model.name.startswith("gemma") else final.weight
    unembed = model.hf.lm_head.weight[ANSWER] - model.hf.lm_head.weight[VERSUS]
    bias = final.bias @ unembed if getattr(final, "bias", None) is not None else torch.zeros(())

    def dla(part):
        part = part if model.rms else part - part.mean(-1, keepdim=True)
        return part / seen["ln_final.hook_scale"][-1] * gain @ unembed

    names = ["hook_embed"] + (["hook_pos_embed"] if "hook_pos_embed" in seen else [])
    for layer in range(model.layers):
        names += [f"blocks.{layer}.hook_attn_out", f"blocks.{layer}.hook_mlp_out"]
    # The embedding as it enters the stream: Gemma's is scaled.
    stack = [seen[name][-1] for name in names]
    components = [dla(part) for part in stack] + [bias]
    # Before the soft cap.
    cap = getattr(model.config, "final_logit_softcapping", None)
    logit = difference(logits if cap is None else cap * (logits / cap).atanh())
    total = torch.stack(components).sum()
    assert torch.allclose(total, logit, atol=1e-3), (total, logit)
    out["attribute/components"], out["attribute/logit"] = torch.stack(components), logit

    def before(part, layer, norm):
        """Through the norm after the sub-layer, whose divisor is frozen too."""
        post = getattr(model.block(layer), norm, None) if model.name.startswith("gemma") else None
        if post is None:
            return part
        name = {"post_attention_layernorm": "ln1_post", "post_feedforward_layernorm": "ln2_post"}[norm]
        return part / seen[f"blocks.{layer}.{name}.hook_scale"][-1] * (1 + post.weight)

    heads, neurons = [], []
    for layer in range(model.layers):
        block = model.block(layer)
        result = seen[f"blocks.{layer}.attn.hook_result"][-1]
        heads.append(dla(before(result, layer, "post_attention_layernorm")))
        down = block.mlp.c_proj.weight if hasattr(block.mlp, "c_proj") else block.mlp.down_proj.weight.T
        post = seen[f"blocks.{layer}.mlp.hook_post"][-1]
        neurons.append(dla(before(post[:, None] * down, layer, "post_feedforward_layernorm")))
    out["attribute/heads"], out["attribute/neurons"] = torch.stack(heads), torch.stack(neurons)


def folded(model, out):
    """TransformerLens's own attribution needs the final norm folded; the components stay the same."""
    bridge = boot(model.name)
    bridge.enable_compatibility_mode(
        fold_ln=True, center_writing_weights=False, center_unembed=False, fold_value_biases=False
    )
    with torch.no_grad():
        found = direct_logit_attribution(
            bridge, model.tokens[None], answer_tokens=torch.tensor([ANSWER]), incorrect_tokens=torch.tensor([VERSUS])
        )
    theirs = found.attribution.flatten()
    ours = out["attribute/components"][:-1]
    # Theirs may name the biases apart.
    assert torch.allclose(theirs[: len(ours)], ours, atol=1e-4), (model.name, found.labels, theirs, ours)


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--out", type=Path, default=HERE)
    options.add_argument("models", nargs="*", default=MODELS)
    options = options.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    spelled = {}
    for name in options.models:
        model, out = Model(name), {}
        spelled[name] = names(model)
        out["tokens"], out["corrupted"] = model.tokens, model.corrupted
        out["metric"], out["direction"] = torch.tensor([ANSWER, VERSUS]), model.direction
        with torch.no_grad():
            for part in (values, edits, ablations, patches, head_scores, lens, attribution, folded):
                part(model, out)
        out = {key: value.detach().float().contiguous().clone() for key, value in out.items()}
        save_file(out, options.out / f"{name}.safetensors")
        size = (options.out / f"{name}.safetensors").stat().st_size
        print(f"{name}: {len(out)} tensors, {size >> 10} KiB")
    if options.models == MODELS:
        (options.out / "names.json").write_text(json.dumps(spelled, indent=1) + "\n")


if __name__ == "__main__":
    main()
