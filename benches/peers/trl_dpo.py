"""DPO with TRL and peft on {"prompt", "chosen", "rejected"} texts; prints one JSON object.

One epoch in bf16, the adapter switched off as the reference, whose log-probabilities are computed inside
the time that is measured. tokens/s counts the tokens of prompt and answer of both sides, and the one
that ends each; padding earns nothing, loading and the first step are left out.

usage: trl_dpo.py MODEL.gguf PAIRS.jsonl COUNT
"""
import json
import os
import statistics
import sys
import tempfile

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoTokenizer
from trl import DPOConfig, DPOTrainer

from base import TARGETS, load
from trl_sft import Watch


def main():
    path, pairs_path, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with open(pairs_path) as file:
        pairs = [json.loads(line) for line in file][:count]
    pairs = [{key: pair[key] for key in ("prompt", "chosen", "rejected")} for pair in pairs]
    model = load(path, torch.bfloat16)
    folder, name = os.path.split(path)
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)

    def length(*texts):
        return sum(len(tokenizer(text)["input_ids"]) for text in texts)

    tokens = sum(2 * length(p["prompt"]) + length(p["chosen"], p["rejected"]) + 2 for p in pairs)
    with tempfile.TemporaryDirectory() as out:
        config = DPOConfig(
            output_dir=out,
            use_cpu=True,
            bf16=True,
            per_device_train_batch_size=8,
            gradient_checkpointing=False,
            num_train_epochs=1,
            learning_rate=5e-5,
            beta=0.1,
            max_length=512,
            logging_steps=1,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
        )
        trainer = DPOTrainer(
            model=model,
            args=config,
            train_dataset=Dataset.from_list(pairs),
            processing_class=tokenizer,
            peft_config=LoraConfig(r=16, lora_alpha=32, lora_dropout=0.0, target_modules=TARGETS),
        )
        watch = Watch()
        trainer.add_callback(watch)
        trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    print(
        json.dumps(
            {
                "tokens_per_s": tokens / len(watch.seconds) / statistics.mean(watch.seconds[1:]),
                "pairs_per_s": len(pairs) / len(watch.seconds) / statistics.mean(watch.seconds[1:]),
                "first_loss": losses[0],
                "last_loss": losses[-1],
                "threads": torch.get_num_threads(),
            }
        )
    )


if __name__ == "__main__":
    main()
