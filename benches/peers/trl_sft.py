"""LoRA SFT with TRL on the token rows that Lathe trains on; prints one JSON object.

Reads rows as JSON lines {"tokens": [...], "answer_start": n} and tunes one epoch in bf16. Rows are
either packed ("packing": best-fit blocks of 512 tokens, two a step) or padded in batches of 16 grouped
by length ("grouped"). tokens/s counts the rows' own tokens, padding earns nothing; the time is that of
all steps but the first; loading is left out.

usage: trl_sft.py MODEL.gguf ROWS.jsonl packing|grouped
"""
import json
import os
import statistics
import sys
import tempfile
import time

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer

from base import TARGETS, load


class Watch(TrainerCallback):
    """Seconds of every optimizer step."""

    def __init__(self):
        self.seconds = []

    def on_step_begin(self, *_, **__):
        self.start = time.perf_counter()

    def on_step_end(self, *_, **__):
        self.seconds.append(time.perf_counter() - self.start)


def main():
    path, rows_path, way = sys.argv[1:]
    with open(rows_path) as file:
        rows = [json.loads(line) for line in file]
    tokens = sum(len(row["tokens"]) for row in rows)
    data = Dataset.from_list(
        [
            {
                "input_ids": row["tokens"],
                "completion_mask": [int(at >= row["answer_start"]) for at in range(len(row["tokens"]))],
            }
            for row in rows
        ]
    )
    model = load(path, torch.bfloat16)
    folder, name = os.path.split(path)
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
    packing = way == "packing"
    with tempfile.TemporaryDirectory() as out:
        config = SFTConfig(
            output_dir=out,
            use_cpu=True,
            bf16=True,
            packing=packing,
            max_length=512,
            per_device_train_batch_size=2 if packing else 16,
            train_sampling_strategy="group_by_length" if not packing else "random",
            gradient_checkpointing=False,
            completion_only_loss=True,
            num_train_epochs=1,
            learning_rate=5e-4,
            logging_steps=1,
            save_strategy="no",
            report_to=[],
            dataloader_num_workers=0,
            disable_tqdm=True,
        )
        trainer = SFTTrainer(
            model=model,
            args=config,
            train_dataset=data,
            processing_class=tokenizer,
            peft_config=LoraConfig(r=16, lora_alpha=32, lora_dropout=0.0, target_modules=TARGETS),
        )
        watch = Watch()
        trainer.add_callback(watch)
        trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    per_step = tokens / len(watch.seconds)
    print(
        json.dumps(
            {
                "tokens_per_s": per_step / statistics.mean(watch.seconds[1:]),
                "steps": len(watch.seconds),
                "first_loss": losses[0],
                "last_loss": losses[-1],
                "threads": torch.get_num_threads(),
            }
        )
    )


if __name__ == "__main__":
    main()
