"""Makes what transformers says about a real GGUF model, for crates/engine/tests/real_model.rs.

    pip install torch==2.15.0 transformers==5.24.0 safetensors==0.8.0 gguf==0.19.0
    python tests/reference/make_smollm2_vectors.py MODEL.gguf OUT.safetensors

transformers dequantises the file to f32 by itself; all arithmetic is f32. The output
(some 20 MB, so it is not committed) holds `tokens`, a chat of a few dozen tokens, and
`logits`, one row after each of them.
"""

import pathlib
import sys

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

CHAT = (
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    "<|im_start|>user\nSay in one sentence why the sky is blue, then give the boiling point "
    "of water at sea level in degrees Celsius and in Fahrenheit.<|im_end|>\n"
    "<|im_start|>assistant\nThe sky is blue because air scatters short wavelengths of light "
    "more than long ones. Water boils at 100 degrees Celsius, which is 212"
)


def main():
    model_path, out = pathlib.Path(sys.argv[1]), sys.argv[2]
    where = {"gguf_file": model_path.name}
    model = AutoModelForCausalLM.from_pretrained(model_path.parent, dtype=torch.float32, **where)
    tokenizer = AutoTokenizer.from_pretrained(model_path.parent, **where)
    tokens = torch.tensor(tokenizer.encode(CHAT, add_special_tokens=False))
    with torch.no_grad():
        logits = model(input_ids=tokens[None]).logits[0]
    save_file({"tokens": tokens.to(torch.int32), "logits": logits.contiguous()}, out)
    print(f"{len(tokens)} tokens, logits of {logits.shape[1]} written to {out}")


if __name__ == "__main__":
    main()
