"""A model with random weights in the shapes of a Qwen2.5, for measuring speed.

Writes OUT/hf (config.json, model.safetensors in bf16, a tokenizer) for tuning, and
OUT/model.Q4_0.gguf and OUT/model.Q8_0.gguf for answers: matrices of the named type, embeddings (the
head as well) in Q8_0. The tokenizer is the donor's, filled up with unused tokens.

usage: random_model.py qwen2.5-0.5b|qwen2.5-1.5b DONOR.gguf OUT
"""
import json
import os
import sys

import gguf
import numpy as np
import torch
from safetensors.torch import save_file
from transformers import AutoTokenizer

SHAPES = {
    "qwen2.5-0.5b": dict(hidden=896, layers=24, heads=14, kv_heads=2, intermediate=4864),
    "qwen2.5-1.5b": dict(hidden=1536, layers=28, heads=12, kv_heads=2, intermediate=8960),
}
VOCAB = 151936
CONTEXT = 4096
THETA = 1e6
EPS = 1e-6

HEAD_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def tensors(shape):
    """Name in Hugging Face's layout, name in GGUF's, values."""
    generator = torch.Generator().manual_seed(1)
    hidden, wide = shape["hidden"], shape["intermediate"]
    dim = hidden // shape["heads"]
    queries, keys = shape["heads"] * dim, shape["kv_heads"] * dim
    sizes = {
        "self_attn.q_proj": (queries, hidden),
        "self_attn.k_proj": (keys, hidden),
        "self_attn.v_proj": (keys, hidden),
        "self_attn.o_proj": (hidden, queries),
        "mlp.gate_proj": (wide, hidden),
        "mlp.up_proj": (wide, hidden),
        "mlp.down_proj": (hidden, wide),
    }

    def normal(*size):
        return (torch.randn(*size, generator=generator) * 0.02).to(torch.bfloat16)

    yield "model.embed_tokens.weight", "token_embd.weight", normal(VOCAB, hidden)
    yield "model.norm.weight", "output_norm.weight", torch.ones(hidden, dtype=torch.bfloat16)
    for layer in range(shape["layers"]):
        ours, theirs = f"model.layers.{layer}", f"blk.{layer}"
        ones = torch.ones(hidden, dtype=torch.bfloat16)
        yield f"{ours}.input_layernorm.weight", f"{theirs}.attn_norm.weight", ones
        yield f"{ours}.post_attention_layernorm.weight", f"{theirs}.ffn_norm.weight", ones.clone()
        for name, size in sizes.items():
            other = HEAD_NAMES[name]
            yield f"{ours}.{name}.weight", f"{theirs}.{other}.weight", normal(*size)
            if other in ("attn_q", "attn_k", "attn_v"):
                yield f"{ours}.{name}.bias", f"{theirs}.{other}.bias", normal(size[0])


def config(shape):
    return {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "hidden_size": shape["hidden"],
        "intermediate_size": shape["intermediate"],
        "num_hidden_layers": shape["layers"],
        "num_attention_heads": shape["heads"],
        "num_key_value_heads": shape["kv_heads"],
        "vocab_size": VOCAB,
        "max_position_embeddings": CONTEXT,
        "rope_theta": THETA,
        "rms_norm_eps": EPS,
        "hidden_act": "silu",
        "tie_word_embeddings": True,
        "use_sliding_window": False,
        "torch_dtype": "bfloat16",
        "bos_token_id": 1,
        "eos_token_id": 2,
    }


def write_gguf(path, name, shape, donor, weights, kind):
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_name(name)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_0 if kind == "Q4_0" else gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(shape["hidden"])
    writer.add_block_count(shape["layers"])
    writer.add_feed_forward_length(shape["intermediate"])
    writer.add_head_count(shape["heads"])
    writer.add_head_count_kv(shape["kv_heads"])
    writer.add_rope_freq_base(THETA)
    writer.add_layer_norm_rms_eps(EPS)
    field = donor.fields
    tokens = [bytes(field["tokenizer.ggml.tokens"].parts[at]) for at in field["tokenizer.ggml.tokens"].data]
    types = [int(field["tokenizer.ggml.token_type"].parts[at][0]) for at in field["tokenizer.ggml.token_type"].data]
    merges = [bytes(field["tokenizer.ggml.merges"].parts[at]).decode() for at in field["tokenizer.ggml.merges"].data]
    fill = VOCAB - len(tokens)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens + [f"[PAD{at}]".encode() for at in range(fill)])
    writer.add_token_types(types + [gguf.TokenType.UNUSED] * fill)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(False)
    for other, values in weights:
        values = values.to(torch.float32).numpy()
        if values.ndim == 1:
            writer.add_tensor(other, values)
            continue
        stored = gguf.GGMLQuantizationType["Q8_0" if other == "token_embd.weight" else kind]
        blocks = gguf.quants.quantize(values, stored)
        writer.add_tensor(other, blocks, raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    name, donor, out = sys.argv[1:]
    shape = SHAPES[name]
    folder = os.path.join(out, "hf")
    os.makedirs(folder)
    weights = list(tensors(shape))
    save_file({ours: values for ours, _, values in weights}, os.path.join(folder, "model.safetensors"))
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump(config(shape), file, indent=1)
    where, file = os.path.split(donor)
    AutoTokenizer.from_pretrained(where, gguf_file=file).save_pretrained(folder)
    reader = gguf.GGUFReader(donor)
    for kind in ("Q4_0", "Q8_0"):
        path = os.path.join(out, f"model.{kind}.gguf")
        write_gguf(path, name, shape, reader, ((other, values) for _, other, values in weights), kind)


if __name__ == "__main__":
    np.seterr(all="ignore")
    main()
