"""LoRA with PyTorch + transformers + peft on 2 x 256 dense tokens; prints one JSON object.

Forward and backward of an adapter of rank 16 on all seven linear layers, every position supervised,
without the optimizer's step; tokens/s from the median step, peak memory as Linux counts it.

usage: lora_dense.py MODEL [--steps N] [--dtype bf16|f32] [--adapter same|autocast] [--compile] [--ipex]
MODEL is a GGUF file or a Hugging Face folder. The adapter is held in the base's type, or in f32 and
multiplied in bf16 under autocast, as trainers do.
"""
import argparse
import json
import statistics
import time

import torch
from peft import LoraConfig, get_peft_model

from base import TARGETS, load, peak_mib

def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--dtype", choices=["bf16", "f32"], default="bf16")
    parser.add_argument("--adapter", choices=["same", "autocast"], default="same")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--ipex", action="store_true")
    arguments = parser.parse_args()

    torch.manual_seed(0)
    if arguments.dtype == "f32" and arguments.adapter == "autocast":
        parser.error("autocast computes in bf16: leave out --dtype f32")
    dtype = torch.bfloat16 if arguments.dtype == "bf16" else torch.float32
    base = load(arguments.model, dtype)
    # Nobody reads what it would put aside.
    base.config.use_cache = False
    autocast = arguments.adapter == "autocast"
    config = LoraConfig(r=16, lora_alpha=32, target_modules=TARGETS)
    model = get_peft_model(base, config, autocast_adapter_dtype=autocast)
    model.train()
    vocabulary = min(model.config.vocab_size, 40000)
    ids = torch.tensor([[50 + (i * 7919 + s * 104729 + 17) % (vocabulary - 100) for i in range(256)] for s in range(2)])
    if arguments.ipex:
        import intel_extension_for_pytorch as ipex

        parameters = [p for p in model.parameters() if p.requires_grad]
        model, _ = ipex.optimize(model, dtype=dtype, optimizer=torch.optim.AdamW(parameters), inplace=True)
    step = torch.compile(model) if arguments.compile else model
    seconds = []
    # The first steps compile and warm up.
    for _ in range(arguments.steps + 2):
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            loss = step(input_ids=ids, labels=ids).loss
        loss.backward()
        seconds.append(time.perf_counter() - start)
        model.zero_grad()
    rate = ids.numel() / statistics.median(seconds[2:])
    print(json.dumps({"tokens_per_s": rate, "peak_mib": peak_mib(), "loss": float(loss), "threads": torch.get_num_threads()}))


if __name__ == "__main__":
    main()
