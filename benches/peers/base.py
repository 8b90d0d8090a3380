"""What the peers' scripts share: loading a base model, and the memory a process has held."""
import os

import transformers
from transformers import AutoModelForCausalLM

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def load(path, dtype):
    """A base from a Hugging Face folder or a GGUF file, its blocks unpacked once."""
    options = {"torch_dtype": dtype, "attn_implementation": "sdpa"}
    if not os.path.isdir(path):
        path, options["gguf_file"] = os.path.split(path)
        if not transformers.__version__.startswith("4."):
            # Left in its blocks, the base would be unpacked in every step. Version 4 always unpacks.
            options["quantization_config"] = transformers.GgufConfig(dequantize=True)
    return AutoModelForCausalLM.from_pretrained(path, **options)


def peak_mib():
    """The most memory this process has held, as Linux counts it."""
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("VmHWM:"))
    return int(line.split()[1]) // 1024
