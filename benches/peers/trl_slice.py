"""A recipe's rows tuned by TRL and peft, the adapter left where `lathe eval` can score it.

Rows are what `lathe data preview --json` prints: their tokens, and how much each counts. What is supervised by
several tokens is supervised by the likeliest. Batches are padded, the loss is the completion's, arithmetic is bf16.

usage: trl_slice.py MODEL.gguf ROWS.jsonl OUT_FOLDER '{"rank": 16, "alpha": 32, "rate": 1e-3, "epochs": 2, "batch": 16,
                                                       "warmup": 0.05, "seed": 1}'
"""
import json
import math
import os
import sys
import tempfile
import time

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoTokenizer
from trl import SFTConfig, SFTTrainer

from base import TARGETS, load


def main():
    path, rows_path, out, options = sys.argv[1:]
    options = json.loads(options)
    with open(rows_path, encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    data = Dataset.from_list(
        [
            {
                "input_ids": row["ids"],
                "completion_mask": [int(weight > 0) for weight in row["weights"]],
            }
            for row in rows
        ]
    )
    model = load(path, torch.bfloat16)
    folder, name = os.path.split(path)
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
    steps = math.ceil(len(rows) / options["batch"] * options["epochs"])
    with tempfile.TemporaryDirectory() as scratch:
        config = SFTConfig(
            output_dir=scratch,
            use_cpu=True,
            bf16=True,
            max_length=512,
            per_device_train_batch_size=options["batch"],
            train_sampling_strategy="random",
            gradient_checkpointing=False,
            completion_only_loss=True,
            num_train_epochs=options["epochs"],
            learning_rate=options["rate"],
            lr_scheduler_type="cosine",
            warmup_steps=round(options["warmup"] * steps),
            weight_decay=0.0,
            max_grad_norm=1.0,
            seed=options["seed"],
            logging_steps=10,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
        )
        lora = LoraConfig(
            r=options["rank"],
            lora_alpha=options["alpha"],
            lora_dropout=0.0,
            target_modules=TARGETS,
            task_type="CAUSAL_LM",
        )
        trainer = SFTTrainer(
            model=model, args=config, train_dataset=data, processing_class=tokenizer, peft_config=lora
        )
        start = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - start
        trainer.model.save_pretrained(out)
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    print(json.dumps({"seconds": seconds, "last_loss": losses[-1], "rows": len(rows)}))


if __name__ == "__main__":
    main()
