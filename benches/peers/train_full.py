"""Full tuning with PyTorch + transformers on dense sequences.

Every step trains on 2 x 256 tokens, every position supervised but the last of each sequence, with
AdamW and clipping, and prints one JSON object; the time is the median step. The tokens are those
of `cargo run --release -p lathe-tune --example full_speed`.

usage: train_full.py MODEL [--steps N] [--dtype bf16|f32|mixed] [--optimizer fused|foreach] [--compile] [--ipex]

MODEL is a GGUF file or a Hugging Face folder. bf16 holds weights, gradients and moments in bf16;
mixed holds them in f32 and computes in bf16 under autocast.
"""
import argparse
import json
import statistics
import time

import torch

from base import load, peak_mib

SEQUENCES, LENGTH = 2, 256


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--dtype", choices=["bf16", "f32", "mixed"], default="bf16")
    parser.add_argument("--optimizer", choices=["fused", "foreach"], default="fused")
    parser.add_argument("--lr", type=float, default=1e-5)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--ipex", action="store_true")
    arguments = parser.parse_args()

    torch.manual_seed(0)
    model = load(arguments.model, torch.bfloat16 if arguments.dtype == "bf16" else torch.float32)
    model.config.use_cache = False
    model.train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        parameters, lr=arguments.lr, weight_decay=0.0, **{arguments.optimizer: True}
    )
    if arguments.ipex:
        import intel_extension_for_pytorch as ipex

        model, optimizer = ipex.optimize(model, dtype=torch.bfloat16, optimizer=optimizer, inplace=True)
    forward = torch.compile(model) if arguments.compile else model
    numbers = torch.arange(SEQUENCES * LENGTH, dtype=torch.int64)
    ids = ((numbers * 2_654_435_761) % 2**32 % 400).view(SEQUENCES, LENGTH)

    seconds, losses = [], []
    # The first step warms up; with --compile it holds the compilation.
    for step in range(arguments.steps + 1):
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=arguments.dtype == "mixed"):
            loss = forward(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step > 0:
            seconds.append(time.perf_counter() - start)
        losses.append(float(loss))
    step_s = statistics.median(seconds)
    print(
        json.dumps(
            {
                "peer": f"torch {torch.__version__} {arguments.dtype} {arguments.optimizer}"
                + (" compiled" if arguments.compile else ""),
                "threads": torch.get_num_threads(),
                "tokens_per_s": round(SEQUENCES * LENGTH / step_s, 1),
                "step_s": round(step_s, 4),
                "peak_mib": peak_mib(),
                "first_loss": losses[0],
                "loss": losses[-1],
            }
        )
    )


if __name__ == "__main__":
    main()
