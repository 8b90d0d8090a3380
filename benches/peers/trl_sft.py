"""LoRA SFT with TRL on the token rows that Lathe trains on; prints one JSON object.

Reads rows as JSON lines {"tokens": [...], "answer_start": n} and tunes one epoch in bf16. Rows are
either packed ("packing": best-fit blocks of 512 tokens, two a step) or padded in batches of 16 grouped
by length ("grouped"). tokens/s is the rows' own tokens of all steps but the first by the seconds of these
steps: padding earns nothing, loading and fetching batches cost nothing. The loss is the mean of the last
quarter of the steps (packed steps are other batches than padded ones).

usage: trl_sft.py MODEL.gguf ROWS.jsonl packing|grouped
"""
import json
import math
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


class Counted(SFTTrainer):
    """Counts the tokens of every step that are no padding."""

    def training_step(self, model, inputs, *rest, **named):
        mask = inputs.get("attention_mask")
        self.tokens.append(int(inputs["input_ids"].numel() if mask is None else mask.sum()))
        return super().training_step(model, inputs, *rest, **named)


def main():
    path, rows_path, way = sys.argv[1:]
    with open(rows_path) as file:
        rows = [json.loads(line) for line in file]
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
            # As the pack and Lathe's defaults have them.
            learning_rate=1e-3,
            lr_scheduler_type="cosine",
            warmup_steps=0.1,
            logging_steps=1,
            save_strategy="no",
            report_to=[],
            dataloader_num_workers=0,
            disable_tqdm=True,
        )
        trainer = Counted(
            model=model,
            args=config,
            train_dataset=data,
            processing_class=tokenizer,
            peft_config=LoraConfig(r=16, lora_alpha=32, lora_dropout=0.0, target_modules=TARGETS),
        )
        trainer.tokens = []
        watch = Watch()
        trainer.add_callback(watch)
        trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert sum(trainer.tokens) == sum(len(row["tokens"]) for row in rows), "every token once"
    print(
        json.dumps(
            {
                "tokens_per_s": sum(trainer.tokens[1:]) / sum(watch.seconds[1:]),
                "steps": len(watch.seconds),
                # Of the last quarter of the steps.
                "loss": statistics.mean(losses[-math.ceil(len(losses) / 4) :]),
                "threads": torch.get_num_threads(),
            }
        )
    )


if __name__ == "__main__":
    main()
