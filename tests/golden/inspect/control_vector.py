"""Makes control_vector.json: what llama.cpp says under a control vector.

The model is gguf-gemma3 of ../models with its weights as f32 and without a vocabulary, which llama.cpp
would look for; the vectors are random numbers of seed 7. Written by hand and never run in CI:

    pip install gguf==0.19.0 numpy xllamacpp==2026.10.11549
    python control_vector.py

control_vector.json holds `tokens`, `vectors` (direction.N for N from 1 on), `plain` (logits after the last
token) and `cases`: the logits with the vectors of the layers `first` to `last`, both included. llama.cpp
keeps keys and values as f16, so its logits hold to about 1e-3.

xllamacpp carries llama.cpp as one library, whose C functions are called here; a block of zeros that is large
enough stands for each of its structures.
"""

import ctypes as c
import json
import tempfile
from pathlib import Path

import gguf
import numpy as np
import xllamacpp.xllamacpp

HERE = Path(__file__).parent
SOURCE = next((HERE.parent / "models/gguf-gemma3").glob("*.gguf"))
TOKENS = [5, 3, 8, 1, 2, 6]
SEED = 7


class Params(c.Structure):
    _fields_ = [("words", c.c_uint64 * 64)]


class Batch(c.Structure):
    _fields_ = [("words", c.c_uint64 * 7)]


def plain_copy(target):
    """The model in f32, with the words that llama.cpp needs for one without a vocabulary."""
    reader = gguf.GGUFReader(SOURCE)
    arch = reader.fields["general.architecture"].contents()
    writer = gguf.GGUFWriter(target, arch)
    for key, field in reader.fields.items():
        if key.startswith("GGUF.") or key == "general.architecture":
            continue
        if field.types[0] == gguf.GGUFValueType.ARRAY:
            writer.add_array(key, field.contents())
        else:
            writer.add_key_value(key, field.contents(), field.types[0])
    for tensor in reader.tensors:
        values = gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        if tensor.name == "token_embd.weight" and f"{arch}.vocab_size" not in reader.fields:
            writer.add_uint32(f"{arch}.vocab_size", values.shape[0])
        writer.add_tensor(tensor.name, values)
    writer.add_key_value("tokenizer.ggml.model", "no_vocab", gguf.GGUFValueType.STRING)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def library():
    lib = c.CDLL(xllamacpp.xllamacpp.__file__)
    floats, pointer = c.POINTER(c.c_float), c.c_void_p
    for name, result, arguments in [
        ("llama_model_default_params", Params, []),
        ("llama_context_default_params", Params, []),
        ("llama_model_load_from_file", pointer, [c.c_char_p, Params]),
        ("llama_init_from_model", pointer, [pointer, Params]),
        ("llama_batch_get_one", Batch, [c.POINTER(c.c_int32), c.c_int32]),
        ("llama_decode", c.c_int32, [pointer, Batch]),
        ("llama_get_logits_ith", floats, [pointer, c.c_int32]),
        ("llama_set_adapter_cvec", c.c_int32, [pointer, floats, c.c_size_t, c.c_int32, c.c_int32, c.c_int32]),
        ("llama_model_n_embd", c.c_int32, [pointer]),
        ("llama_model_n_layer", c.c_int32, [pointer]),
        ("llama_model_get_vocab", pointer, [pointer]),
        ("llama_vocab_n_tokens", c.c_int32, [pointer]),
    ]:
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    lib.llama_backend_init()
    lib.ggml_backend_load_all()
    return lib


def main():
    lib = library()
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "model.gguf")
        plain_copy(path)
        model = lib.llama_model_load_from_file(path.encode(), lib.llama_model_default_params())
    width, layers = lib.llama_model_n_embd(model), lib.llama_model_n_layer(model)
    vocab = lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(model))

    def logits(vectors=None, first=0, last=0):
        context = lib.llama_init_from_model(model, lib.llama_context_default_params())
        if vectors is not None:
            data = vectors.ctypes.data_as(c.POINTER(c.c_float))
            assert lib.llama_set_adapter_cvec(context, data, vectors.size, width, first, last) == 0
        tokens = (c.c_int32 * len(TOKENS))(*TOKENS)
        assert lib.llama_decode(context, lib.llama_batch_get_one(tokens, len(TOKENS))) == 0
        found = np.ctypeslib.as_array(lib.llama_get_logits_ith(context, -1), (vocab,))
        return [round(float(x), 5) for x in found]

    vectors = np.random.RandomState(SEED).randn(layers - 1, width).round(3).astype(np.float32)
    cases = [(1, layers - 1), (2, 3), (layers - 1, layers - 1)]
    found = {
        "tokens": TOKENS,
        "vectors": [[round(float(x), 3) for x in row] for row in vectors],
        "plain": logits(),
        "cases": [{"first": a, "last": b, "logits": logits(vectors, a, b)} for a, b in cases],
    }
    (HERE / "control_vector.json").write_text(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
