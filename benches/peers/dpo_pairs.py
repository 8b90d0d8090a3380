"""Preference pairs derived from customer-care's prepared records, as rendered text.

The chosen answer is the true one. The rejected answer names a number four steps away, towards the
other side of zero, and the class that goes with it: always another class than the true one. Nothing
is random. Prompts are written with the model's own chat template, as the pack serves them.

Prints JSON lines {"id", "prompt", "chosen", "rejected"}; answers are without the end token.

    pip install gguf==0.19.0 jinja2 pyyaml
    python benches/peers/dpo_pairs.py RECORDS.jsonl MODEL.gguf [--count 256] > pairs.jsonl

RECORDS.jsonl is the prepared dataset's (objects/<dataset>/records.jsonl in a home).
"""
import argparse
import decimal
import json
import pathlib

import gguf
import jinja2
import yaml

PACK = pathlib.Path(__file__).parents[2] / "packs" / "customer-care" / "pack.yaml"
SHIFT = decimal.Decimal(4)


def answer(number, bins):
    """The number and its class as the task writes them."""
    for entry in bins:
        below, to = entry.get("below"), entry.get("to")
        if (below is None or number < decimal.Decimal(str(below))) and (
            to is None or number <= decimal.Decimal(str(to))
        ):
            return json.dumps({"feeling": float(number), "class": entry["name"]}, separators=(",", ":"))
    raise ValueError(f"no bin holds {number}")


def rounded(mean):
    """To one decimal, halves away from zero, without a negative zero."""
    return decimal.Decimal(str(mean)).quantize(decimal.Decimal("0.1"), decimal.ROUND_HALF_UP) + 0


def template(path):
    reader = gguf.GGUFReader(path)
    text = reader.get_field("tokenizer.chat_template").contents()
    return jinja2.Environment(trim_blocks=True, lstrip_blocks=True).from_string(text)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("records")
    parser.add_argument("model")
    parser.add_argument("--count", type=int, default=256)
    arguments = parser.parse_args()
    task = yaml.safe_load(PACK.read_text(encoding="utf-8"))["task"]
    bins = task["answer"]["class"]["bins"]
    chat = template(arguments.model)
    left = arguments.count
    with open(arguments.records, encoding="utf-8") as file:
        for record in map(json.loads, file):
            if record["split"] != "train" or left == 0:
                continue
            left -= 1
            number = rounded(record["fields"]["mean"])
            wrong = number - SHIFT if number >= 0 else number + SHIFT
            messages = [
                {"role": "system", "content": task["system"]},
                {"role": "user", "content": record["fields"]["text"]},
            ]
            print(json.dumps({
                "id": record["id"],
                "prompt": chat.render(messages=messages, add_generation_prompt=True),
                "chosen": answer(number, bins),
                "rejected": answer(wrong, bins),
            }, ensure_ascii=False))


if __name__ == "__main__":
    main()
