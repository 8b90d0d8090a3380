"""LoRA tuning with PyTorch + transformers + peft on the token rows that Lathe trains on.

Reads rows as JSON lines {"tokens": [...], "answer_start": n}, runs optimizer steps in padded
batches as a plain script would, and prints one JSON object. tokens/s counts the real tokens
(padding earns nothing), from the median step.

usage: train_lora.py MODEL.gguf ROWS.jsonl [--steps N] [--batch N] [--dtype bf16|f32] [--lr X]
"""
import argparse
import json
import os
import resource
import statistics
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, GgufConfig

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def batches(rows, size):
    for start in range(0, len(rows) - size + 1, size):
        chunk = rows[start : start + size]
        width = max(len(row["tokens"]) for row in chunk)
        ids = torch.zeros(size, width, dtype=torch.long)
        labels = torch.full((size, width), -100)
        mask = torch.zeros(size, width, dtype=torch.long)
        for i, row in enumerate(chunk):
            tokens = torch.tensor(row["tokens"])
            ids[i, : len(tokens)] = tokens
            mask[i, : len(tokens)] = 1
            labels[i, row["answer_start"] : len(tokens)] = tokens[row["answer_start"] :]
        yield ids, mask, labels


def load(path, dtype):
    folder, name = os.path.split(path)
    # Unpacked once: left in its blocks, the base would be unpacked in every step.
    model = AutoModelForCausalLM.from_pretrained(
        folder, gguf_file=name, dtype=dtype, quantization_config=GgufConfig(dequantize=True)
    )
    model = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules=TARGETS))
    model.train()
    return model


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("rows")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--dtype", choices=["bf16", "f32"], default="bf16")
    parser.add_argument("--lr", type=float, default=5e-4)
    arguments = parser.parse_args()

    torch.manual_seed(0)
    model = load(arguments.model, torch.bfloat16 if arguments.dtype == "bf16" else torch.float32)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=arguments.lr)
    with open(arguments.rows) as file:
        rows = [json.loads(line) for line in file]

    seconds, tokens, losses = [], [], []
    for step, (ids, mask, labels) in enumerate(batches(rows, arguments.batch)):
        if step == arguments.steps:
            break
        start = time.perf_counter()
        loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - start)
        tokens.append(int(mask.sum()))
        losses.append(float(loss))
    print(
        json.dumps(
            {
                "peer": f"torch {torch.__version__} {arguments.dtype}, peft, padded batches of {arguments.batch}",
                "threads": torch.get_num_threads(),
                "steps": len(seconds),
                "tokens_per_s": round(statistics.median(t / s for t, s in zip(tokens, seconds)), 1),
                "first_loss": losses[0],
                "last_loss": losses[-1],
                "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            }
        )
    )


if __name__ == "__main__":
    main()
