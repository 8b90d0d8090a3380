"""lm-evaluation-harness gives for a served model what it gives for the same weights in transformers.

Two local tasks (tests/harness) are run twice: with the harness's `hf` model, transformers in f32 over the
weights that the file holds, and with its `local-completions` against /v1/completions, which asks for the
log-probabilities of prompts given as token ids. Both get the same tokenizer. No figure may differ by more
than half a point, or half a percent of a perplexity.

A GGUF file of 4-bit blocks is served with inputs rounded to 8 bits, which turns single answers that hang on nearly
tied likelihoods, a folder of bf16 weights is not: asking both tells the door from the rounding. How many answers
turned, and how likely a split so uneven is by chance (McNemar's exact test), is printed beside.

usage: harness.py write MODEL.gguf FOLDER          the file's weights in bf16
       harness.py ask MODEL http://HOST:PORT NAME  MODEL is a GGUF file or such a folder
needs: pip install lm-eval[api]==0.4.13 torch transformers gguf
"""

import json
import math
import os
import pathlib
import sys
import tempfile
import time

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TOKENIZERS_PARALLELISM="false", NO_PROXY="*")

import lm_eval
import torch
from lm_eval.tasks import TaskManager
from transformers import AutoModelForCausalLM, AutoTokenizer

TASKS = pathlib.Path(__file__).resolve().parents[1] / "harness"
NAMES = ["lathe_choice", "lathe_texts"]
POINTS_MAX = 0.5
PERCENT_MAX = 0.5
CONTEXT = 2048


def run(model, arguments, batch):
    began = time.monotonic()
    found = lm_eval.simple_evaluate(
        model=model,
        model_args=arguments,
        batch_size=batch,
        tasks=NAMES,
        task_manager=TaskManager(include_path=str(TASKS), include_defaults=False),
        bootstrap_iters=0,
        log_samples=True,
        random_seed=0,
        numpy_random_seed=0,
        torch_random_seed=0,
        verbosity="ERROR",
    )
    figures = {}
    for task, metrics in found["results"].items():
        for name, value in metrics.items():
            kind = name.split(",")[0]
            if isinstance(value, float) and not kind.endswith("_stderr"):
                figures[f"{task} {kind}"] = value
    questions = {sample["doc_id"]: sample for sample in found["samples"]["lathe_choice"]}
    return figures, questions, time.monotonic() - began


def place(path):
    """Where transformers finds the model."""
    if path.is_dir():
        return {"pretrained": str(path)}
    return {"pretrained": str(path.parent), "gguf_file": path.name}


def chance(reference, served, metric):
    """Questions that only transformers and that only the server got right, and how likely a split so uneven is."""
    assert reference.keys() == served.keys()
    lost = sum(reference[at][metric] > served[at][metric] for at in reference)
    gained = sum(reference[at][metric] < served[at][metric] for at in reference)
    turned = lost + gained
    tail = sum(math.comb(turned, few) for few in range(min(lost, gained) + 1)) / 2**turned
    return lost, gained, min(1.0, 2 * tail)


def write(path, folder):
    where = place(path)
    name, file = where["pretrained"], where.get("gguf_file")
    read = AutoModelForCausalLM.from_pretrained(name, gguf_file=file, dtype=torch.bfloat16)
    # What came from a GGUF file counts as quantised, and is not written, though its weights are plain by now.
    config = read.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    plain = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    plain.load_state_dict(read.state_dict())
    plain.save_pretrained(folder)
    AutoTokenizer.from_pretrained(name, gguf_file=file).save_pretrained(folder)


def ask(path, url, name):
    os.chdir(TASKS)
    with tempfile.TemporaryDirectory() as folder:
        where = place(path)
        tokenizer = AutoTokenizer.from_pretrained(where["pretrained"], gguf_file=where.get("gguf_file"))
        tokenizer.save_pretrained(folder)
        served, answered, served_s = run(
            "local-completions",
            {
                "model": name,
                "base_url": f"{url}/v1/completions",
                "tokenizer": folder,
                "tokenizer_backend": "huggingface",
                "tokenized_requests": True,
                "num_concurrent": 8,
                "max_retries": 1,
                "max_length": CONTEXT,
            },
            1,
        )
        reference, expected_of, reference_s = run(
            "hf",
            {
                **where,
                "tokenizer": folder,
                "dtype": "float32",
                "device": "cpu",
                "max_length": CONTEXT,
            },
            16,
        )
    print(f"lm-eval {lm_eval.__version__}, {sum(1 for _ in open(TASKS / 'choice.jsonl'))} questions of four answers, ", end="")
    print(f"{sum(1 for _ in open(TASKS / 'texts.jsonl'))} texts; {path.name}")
    print(f"{'figure':<30}{'transformers':>14}{'served':>12}{'difference':>22}")
    assert reference.keys() == served.keys() and len(reference) == 5, (reference, served)
    beyond = []
    for figure, expected in reference.items():
        if "acc" in figure:
            difference, unit, most = 100 * (served[figure] - expected), "points", POINTS_MAX
        else:
            difference, unit, most = 100 * (served[figure] / expected - 1), "%", PERCENT_MAX
        print(f"{figure:<30}{expected:>14.4f}{served[figure]:>12.4f}{difference:>+15.3f} {unit}", end="")
        if "acc" in figure:
            lost, gained, likely = chance(expected_of, answered, figure.split()[1])
            print(f"   {lost} lost, {gained} gained, p {likely:.2f}", end="")
        print()
        if abs(difference) > most + 1e-9:
            beyond.append(figure)
    print(f"{'seconds':<30}{reference_s:>14.1f}{served_s:>12.1f}")
    if beyond:
        sys.exit(f"further apart than half a point or half a percent: {json.dumps(beyond)}")


def main():
    match sys.argv[1:]:
        case ["write", path, folder]:
            write(pathlib.Path(path), folder)
        case ["ask", path, url, name]:
            ask(pathlib.Path(path), url.rstrip("/"), name)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
