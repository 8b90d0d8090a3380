"""lm-evaluation-harness gives for a served model what it gives for the same weights in transformers.

Two local tasks (tests/harness) are run twice: with the harness's `hf` model, transformers in f32 over the
weights that the file holds, and with its `local-completions` against /v1/completions, which asks for the
log-probabilities of prompts given as token ids. Both get the same tokenizer. The server computes with the
stored 4-bit blocks and inputs rounded to 8 bits, so single answers may differ; the figures may not by more
than half a point, or half a percent of a perplexity.

usage: harness.py MODEL.gguf http://HOST:PORT MODEL_NAME
needs: pip install lm-eval[api]==0.4.13 torch transformers gguf
"""

import json
import os
import pathlib
import sys
import tempfile
import time

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TOKENIZERS_PARALLELISM="false", NO_PROXY="*")

import lm_eval
from lm_eval.tasks import TaskManager
from transformers import AutoTokenizer

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
    return figures, time.monotonic() - began


def main():
    path, url, name = pathlib.Path(sys.argv[1]), sys.argv[2].rstrip("/"), sys.argv[3]
    os.chdir(TASKS)
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = AutoTokenizer.from_pretrained(str(path.parent), gguf_file=path.name)
        tokenizer.save_pretrained(folder)
        served, served_s = run(
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
        reference, reference_s = run(
            "hf",
            {
                "pretrained": str(path.parent),
                "gguf_file": path.name,
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
        print(f"{figure:<30}{expected:>14.4f}{served[figure]:>12.4f}{difference:>+15.3f} {unit}")
        if abs(difference) > most + 1e-9:
            beyond.append(figure)
    print(f"{'seconds':<30}{reference_s:>14.1f}{served_s:>12.1f}")
    if beyond:
        sys.exit(f"further apart than half a point or half a percent: {json.dumps(beyond)}")


if __name__ == "__main__":
    main()
