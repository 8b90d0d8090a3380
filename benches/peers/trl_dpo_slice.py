"""A recipe's pairs tuned by TRL and peft from the same adapter, the result left where `lathe eval` can score it.

Rows are what `lathe data preview --json` prints, two a pair, the preferred answer first, with their tokens and how
much each counts. What both begin with and nothing counts of is the prompt. The reference
is the adapter as it came, the anchor the preferred answers' own loss (TRL's `sft`), arithmetic is bf16.

usage: trl_dpo_slice.py MODEL.gguf ADAPTER ROWS.jsonl OUT_FOLDER '{"rate": 5e-5, "epochs": 1, "batch": 8, "warmup": 0.1,
                                                                  "beta": 0.1, "anchor": 1.0, "seed": 1}'
"""
import json
import math
import os
import sys
import tempfile
import time

import torch
from datasets import Dataset
from peft import PeftModel
from transformers import AutoTokenizer
from trl import DPOConfig, DPOTrainer

from base import load


class Given(DPOTrainer):
    """A trainer of rows that are cut into tokens already."""

    def _prepare_dataset(self, dataset, *_arguments, **_options):
        return dataset


def pair(chosen, rejected):
    """TRL's columns of a pair: the prompt that both share, and what is supervised after it."""
    start = next(at for at, weight in enumerate(chosen["weights"]) if weight > 0)
    assert start == next(at for at, weight in enumerate(rejected["weights"]) if weight > 0)
    assert chosen["ids"][:start] == rejected["ids"][:start], "two answers to two prompts"
    for row in (chosen, rejected):
        assert all(weight == 1 for weight in row["weights"][start:]), "a completion without gaps"
    return {
        "prompt_ids": chosen["ids"][:start],
        "chosen_ids": chosen["ids"][start:],
        "rejected_ids": rejected["ids"][start:],
    }


def main():
    path, adapter, rows_path, out, options = sys.argv[1:]
    options = json.loads(options)
    with open(rows_path, encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    pairs = [pair(chosen, rejected) for chosen, rejected in zip(rows[::2], rows[1::2], strict=True)]
    model = PeftModel.from_pretrained(load(path, torch.bfloat16), adapter, is_trainable=True)
    folder, name = os.path.split(path)
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
    steps = math.ceil(len(pairs) / options["batch"] * options["epochs"])
    with tempfile.TemporaryDirectory() as scratch:
        config = DPOConfig(
            output_dir=scratch,
            use_cpu=True,
            bf16=True,
            max_length=512,
            per_device_train_batch_size=options["batch"],
            gradient_checkpointing=False,
            num_train_epochs=options["epochs"],
            learning_rate=options["rate"],
            lr_scheduler_type="cosine",
            warmup_steps=round(options["warmup"] * steps),
            weight_decay=0.0,
            max_grad_norm=1.0,
            beta=options["beta"],
            loss_type=["sigmoid", "sft"],
            loss_weights=[1.0, options["anchor"]],
            seed=options["seed"],
            logging_steps=10,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
        )
        trainer = Given(model=model, args=config, train_dataset=Dataset.from_list(pairs), processing_class=tokenizer)
        start = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - start
        trainer.model.save_pretrained(out, selected_adapters=["default"])
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    print(json.dumps({"seconds": seconds, "first_loss": losses[0], "last_loss": losses[-1], "pairs": len(pairs)}))


if __name__ == "__main__":
    main()
