"""Makes rope-vectors.json: rotary frequencies by transformers, for configs that stretch them.

    pip install torch==2.15.0 transformers==5.24.0
    python tests/reference/make_rope_vectors.py

Each config is written as older and as current transformers write it.
"""

import json
import pathlib

from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

HERE = pathlib.Path(__file__).parent
SIZES = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 128,
    "intermediate_size": 256, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 100,
    "max_position_embeddings": 131072, "rms_norm_eps": 1e-5, "bos_token_id": 1, "eos_token_id": 2,
}
LLAMA31 = {
    "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192, "rope_type": "llama3",
}
CASES = {
    "plain": (10000.0, None),
    "theta": (100000.0, None),
    "linear": (10000.0, {"type": "linear", "factor": 4.0}),
    "llama3": (500000.0, LLAMA31),
    "llama3.2": (500000.0, LLAMA31 | {"factor": 32.0}),
}


def frequencies(config):
    return LlamaRotaryEmbedding(LlamaConfig(**config)).inv_freq.tolist()


def main():
    cases = []
    for name, (theta, scaling) in CASES.items():
        older = SIZES | {"rope_theta": theta, "rope_scaling": scaling}
        kind = (scaling or {}).get("type", (scaling or {}).get("rope_type", "default"))
        rope = {key: value for key, value in (scaling or {}).items() if key != "type"}
        current = SIZES | {"rope_parameters": rope | {"rope_type": kind, "rope_theta": theta}}
        expected = frequencies(current)
        assert frequencies(json.loads(json.dumps(older))) == expected, name
        cases += [{"name": f"{name}, older", "config": older, "frequencies": expected}]
        cases += [{"name": f"{name}, current", "config": current, "frequencies": expected}]
    text = json.dumps(cases, indent=1)
    (HERE / "rope-vectors.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
