"""LoRA tuning with PyTorch + transformers + peft on the steps that Lathe takes; prints one JSON object.

Reads FOLDER/order.jsonl ({"step", "tokens", "answer_start"} a line) and FOLDER/first (the adapter to
start from, as peft stores it), takes the same steps with the given learning rates in padded batches,
and prints every step's loss, the mean over its supervised tokens.

usage: train_lora.py MODEL.gguf FOLDER RATES.json [--dtype bf16|f32]
"""
import argparse
import itertools
import json
import os

import torch
from peft import PeftModel

from base import load


def batch(rows):
    width = max(len(row["tokens"]) for row in rows)
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    labels = torch.full((len(rows), width), -100)
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    for i, row in enumerate(rows):
        tokens = torch.tensor(row["tokens"])
        ids[i, : len(tokens)] = tokens
        mask[i, : len(tokens)] = 1
        labels[i, row["answer_start"] : len(tokens)] = tokens[row["answer_start"] :]
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("folder")
    parser.add_argument("rates")
    parser.add_argument("--dtype", choices=["bf16", "f32"], default="bf16")
    arguments = parser.parse_args()

    dtype = torch.bfloat16 if arguments.dtype == "bf16" else torch.float32
    base = load(arguments.model, dtype)
    model = PeftModel.from_pretrained(base, os.path.join(arguments.folder, "first"), is_trainable=True)
    model.train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    with open(arguments.rates) as file:
        ours = json.load(file)
    optimizer = torch.optim.AdamW(parameters, lr=1.0, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)
    with open(os.path.join(arguments.folder, "order.jsonl")) as file:
        rows = [json.loads(line) for line in file]
    losses = []
    for step, group in itertools.groupby(rows, key=lambda row: row["step"]):
        for settings in optimizer.param_groups:
            settings["lr"] = ours["learning_rates"][step]
        loss = model(**batch(list(group))).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss))
    print(json.dumps({"losses": losses, "peer": f"torch {torch.__version__} {arguments.dtype}, peft"}))


if __name__ == "__main__":
    main()
