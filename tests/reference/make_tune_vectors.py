"""Writes crates/tune/tests/tune_vectors.json: optimizer, schedule and clipping by PyTorch.

Run from the repository's root:  python tests/reference/make_tune_vectors.py
Made with torch 2.15.0 and transformers 5.24.0 on the CPU.
"""

import json
import math
import pathlib

import torch
import transformers

SHAPES = {
    "cosine": transformers.get_cosine_schedule_with_warmup,
    "linear": transformers.get_linear_schedule_with_warmup,
    "constant": lambda optimizer, warmup, _steps: transformers.get_constant_schedule_with_warmup(
        optimizer, warmup
    ),
}


def floats(tensor):
    return [float(value) for value in tensor]


def adamw(weight_decay):
    values = torch.nn.Parameter(torch.randn(7))
    case = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weight_decay": weight_decay}
    case["start"] = floats(values.detach())
    optimizer = torch.optim.AdamW([values], lr=1.0, betas=(0.9, 0.999), eps=1e-8, weight_decay=weight_decay)
    case["steps"] = []
    for step in range(12):
        rate = 1e-2 * (1 + step % 3)
        gradients = torch.randn(7) * 10.0 ** torch.randint(-6, 2, (7,))
        optimizer.param_groups[0]["lr"] = rate
        values.grad = gradients.clone()
        optimizer.step()
        case["steps"].append(
            {"learning_rate": rate, "gradients": floats(gradients), "values": floats(values.detach())}
        )
    return case


def schedule(shape, warmup_ratio, steps=23, peak=5e-4):
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=peak)
    warmup = math.ceil(steps * warmup_ratio)
    scheduler = SHAPES[shape](optimizer, warmup, steps + 1)
    rates = []
    for _ in range(steps):
        optimizer.step()
        scheduler.step()
        rates.append(scheduler.get_last_lr()[0])
    return {"shape": shape, "peak": peak, "warmup_ratio": warmup_ratio, "rates": rates}


def clip(norm_max):
    gradients = torch.randn(19)
    parameter = torch.nn.Parameter(torch.zeros(19))
    parameter.grad = gradients.clone()
    norm = torch.nn.utils.clip_grad_norm_([parameter], norm_max)
    return {
        "gradients": floats(gradients),
        "norm_max": norm_max,
        "norm": float(norm),
        "clipped": floats(parameter.grad),
    }


def main():
    torch.manual_seed(20)
    vectors = {
        "adamw": [adamw(0.0), adamw(0.1)],
        "schedule": [schedule(shape, ratio) for shape in SHAPES for ratio in (0.0, 0.1)],
        "clip": [clip(1.0), clip(100.0)],
    }
    path = pathlib.Path(__file__).parents[2] / "crates/tune/tests/tune_vectors.json"
    path.write_text(json.dumps(vectors, indent=None, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
