"""The adapter Lathe wrote, loaded by peft over the same base, gives the answers Lathe serves.

Asks the running server COUNT held-out questions at temperature 0 and generates greedily with
transformers + peft in f32 from the same files. The server computes in bf16, so two tokens that are
nearly tied may swap: where answers differ, the logits of the two tokens at the first difference
must lie within TIE of each other, and at most one answer in twenty may differ at all.

usage: peft_greedy.py BASE.gguf ADAPTER_DIR RECORDS.jsonl [--count N]
environment: LATHE_BASE_URL (…/v1), LATHE_MODEL
"""
import argparse
import json
import os

import torch
from openai import OpenAI
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

TIE = 0.5  # logits; bf16 keeps 8 bits, logits here are of the order of 20
DIFFERENT_MAX = 1 / 20


def first_difference(ours, theirs):
    for at, (a, b) in enumerate(zip(ours, theirs)):
        if a != b:
            return at
    return min(len(ours), len(theirs))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("base")
    parser.add_argument("adapter")
    parser.add_argument("records")
    parser.add_argument("--count", type=int, default=50)
    arguments = parser.parse_args()

    client = OpenAI(base_url=os.environ["LATHE_BASE_URL"], api_key="any")
    name = os.environ["LATHE_MODEL"]
    card = client.models.retrieve(name)
    system = card.lathe["system_prompt"]
    with open(arguments.records) as file:
        records = [json.loads(line) for line in file]
    texts = [r["fields"]["text"] for r in records if r["split"] == "test"][: arguments.count]

    folder, gguf = os.path.split(arguments.base)
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=gguf)
    model = AutoModelForCausalLM.from_pretrained(
        folder, gguf_file=gguf, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
    )
    model = PeftModel.from_pretrained(model, arguments.adapter).eval()

    different, worst = 0, 0.0
    for text in texts:
        messages = [{"role": "system", "content": system}, {"role": "user", "content": text}]
        served = client.chat.completions.create(
            model=name, messages=messages, temperature=0, max_tokens=32
        ).choices[0].message.content
        prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        ids = tokenizer(prompt, return_tensors="pt", add_special_tokens=False).input_ids
        with torch.no_grad():
            out = model.generate(
                ids, max_new_tokens=32, do_sample=False, output_scores=True, return_dict_in_generate=True
            )
        theirs = out.sequences[0][ids.shape[1] :]
        answer = tokenizer.decode(theirs, skip_special_tokens=True)
        if answer == served:
            continue
        different += 1
        ours = tokenizer(served, add_special_tokens=False).input_ids + [tokenizer.eos_token_id]
        at = first_difference(ours, theirs.tolist())
        logits = out.scores[at][0]
        gap = float(logits[theirs[at]] - logits[ours[at]])
        worst = max(worst, gap)
        print(f"differs: {text!r}: served {served!r}, peft {answer!r}, gap {gap:.3f}")
        assert gap <= TIE, "the two answers differ by more than a near tie"
    print(json.dumps({"asked": len(texts), "different": different, "largest_gap": round(worst, 4)}))
    assert different <= DIFFERENT_MAX * len(texts), f"{different} of {len(texts)} answers differ"


if __name__ == "__main__":
    main()
