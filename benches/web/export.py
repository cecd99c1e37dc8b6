"""Makes SmolLM2-135M in ONNX from the GGUF file that the tests use, as transformers.js wants it.

pip install torch transformers accelerate gguf onnx onnxruntime onnxruntime-genai onnx-ir
python export.py target/models SITE

SITE/models/smollm2 gets onnx/model.onnx (f32) and onnx/model_q4.onnx (4 bits in blocks of 32, f32 between), both
by ONNX Runtime's own builder for its WebGPU provider.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
models, site = Path(sys.argv[1]), Path(sys.argv[2]) / "models/smollm2"
work = site.parent / "work"

read = AutoModelForCausalLM.from_pretrained(models, gguf_file=GGUF, dtype=torch.float32)
config = read.config
del config.quantization_config
plain = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
plain.load_state_dict({name: value.clone() for name, value in read.state_dict().items()})
plain.save_pretrained(work / "hf")
AutoTokenizer.from_pretrained(models, gguf_file=GGUF).save_pretrained(work / "hf")

(site / "onnx").mkdir(parents=True, exist_ok=True)
for precision, name, more in [("fp32", "model", []), ("int4", "model_q4", ["use_webgpu_fp32=true"])]:
    out = work / precision
    builder = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-i", work / "hf", "-o", out]
    options = ["-p", precision, "-e", "webgpu", "-c", work / "cache", "--extra_options", "hf_token=false"]
    subprocess.run([*builder, *options, *more], check=True)
    model = onnx.load(out / "model.onnx")
    # transformers.js makes the first keys and values from these sizes.
    for value in [*model.graph.input, *model.graph.output]:
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param == "kv_cache_dim":
                size.dim_value = config.hidden_size // config.num_attention_heads
    onnx.save(model, site / "onnx" / f"{name}.onnx")
for file in ["config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"]:
    shutil.copy(work / "hf" / file, site / file)
