"""Makes engine-vectors.safetensors: what PyTorch, transformers and peft say about tiny-model;
qwen2-vectors.safetensors, qwen3-vectors.safetensors and gemma3-vectors.safetensors: the same about
tiny-qwen2, tiny-qwen3 and tiny-gemma3; dora-vectors.safetensors: about tiny-qwen2 with DoRA.

    pip install torch==2.15.0 transformers==5.24.0 peft==0.21.2 safetensors==0.8.0
    python tests/reference/make_engine_vectors.py [VECTORS ...]

All arithmetic is f32 on the weights of tests/fixtures with a random LoRA
adapter (rank 4, alpha 8, B not zero, so that every gradient is). Three sequences are
run one by one, without padding: prefix + first, prefix + second, and alone. Where
the engine computes the prefix once, the figures must still be these.

In the file:
  prefix, first, second, alone          the tokens
  targets.<sequence>                    rows, tokens that should follow
  weights.<sequence>                    weight of each target
  base_logits.<sequence>                logits at the target rows without the adapter
  logits.<sequence>                     and with it
  adapter.<key>, gradient.<key>         every LoRA matrix and the gradient of the loss,
                                        the weighted mean over all targets; keys as in
                                        PEFT without "base_model.model."
  losses                                the loss before each of ten AdamW steps (learning
                                        rate 0.01, betas 0.9 and 0.999, eps 1e-8, decay 0.01)
  preference.policy, .reference         log probabilities of chosen and rejected for two pairs,
                                        with and without the adapter
  preference.losses                     their DPO losses (beta 0.3)
  preference.<key>                      gradient of the mean of these losses
  answer.<sequence>                     twelve greedy tokens after it, with the adapter
  margin.<sequence>                     the lead of each of them over the second best logit
"""

import pathlib
import sys

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

HERE = pathlib.Path(__file__).parent
MODELS = {
    "engine-vectors": "tiny-model", "qwen2-vectors": "tiny-qwen2", "qwen3-vectors": "tiny-qwen3",
    "gemma3-vectors": "tiny-gemma3", "dora-vectors": "tiny-qwen2",
}
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
RANK, ALPHA, STEPS, ANSWER, BETA = 4, 8, 10, 12, 0.3
PREFIX = "base_model.model."


def main():
    for vectors in sys.argv[1:] or MODELS:
        folder = HERE.parent / "fixtures" / MODELS[vectors]
        make(folder, HERE / f"{vectors}.safetensors", dora=vectors == "dora-vectors")


def make(folder, path, dora):
    torch.manual_seed(7)
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    vocab = base.config.vocab_size
    parts = {name: torch.randint(3, vocab, (length,))
             for name, length in [("prefix", 11), ("first", 13), ("second", 7), ("alone", 19)]}
    out = dict(parts)
    sequences = {
        "first": torch.cat([parts["prefix"], parts["first"]]),
        "second": torch.cat([parts["prefix"], parts["second"]]),
        "alone": parts["alone"],
    }
    starts = {"first": len(parts["prefix"]) - 1, "second": len(parts["prefix"]) - 1, "alone": 8}
    targets = {}
    for name, tokens in sequences.items():
        rows = torch.arange(starts[name], len(tokens) - 1)
        weights = torch.where(rows % 3 == 0, 0.5, 1.0)
        targets[name] = (rows, tokens[rows + 1], weights)
        out[f"targets.{name}"] = torch.stack([rows, tokens[rows + 1]])
        out[f"weights.{name}"] = weights
        with torch.no_grad():
            out[f"base_logits.{name}"] = logits_at(base, tokens, rows)

    model = adapted(base, dora)
    for name, parameter in lora(model):
        out[f"adapter.{name}"] = parameter.detach().clone()
    for name, tokens in sequences.items():
        with torch.no_grad():
            out[f"logits.{name}"] = logits_at(model, tokens, targets[name][0])
        out[f"answer.{name}"], out[f"margin.{name}"] = greedy(model, tokens)

    loss(model, sequences, targets).backward()
    for name, parameter in lora(model):
        out[f"gradient.{name}"] = parameter.grad.clone()
    out |= preference(model, parts)
    out["losses"] = ten_losses(model, sequences, targets)
    out = {name: value.to(torch.int32) if value.dtype == torch.int64 else value.contiguous()
           for name, value in out.items()}
    save_file(out, path)


def adapted(base, dora):
    config = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=TARGETS, lora_dropout=0.0, use_dora=dora)
    model = get_peft_model(base, config)
    with torch.no_grad():
        for name, parameter in lora(model):
            noise = torch.randn(parameter.shape) * 0.1
            # Magnitudes stay near the lengths that they start from.
            parameter.copy_(parameter * (1 + noise) if "magnitude" in name else noise)
    return model


def lora(model):
    # PEFT saves a magnitude without ".weight".
    return [(name.removeprefix(PREFIX).replace("vector.default.weight", "vector").replace(".default", ""), parameter)
            for name, parameter in model.named_parameters() if parameter.requires_grad]


def logits_at(model, tokens, rows):
    return model(input_ids=tokens[None]).logits[0, rows]


def loss(model, sequences, targets):
    total, weight_sum = 0.0, 0.0
    for name, tokens in sequences.items():
        rows, wanted, weights = targets[name]
        nll = torch.nn.functional.cross_entropy(
            logits_at(model, tokens, rows), wanted, reduction="none")
        total = total + (weights * nll).sum()
        weight_sum += weights.sum()
    return total / weight_sum


def preference(model, parts):
    """DPO (Rafailov et al. 2023): first over second after prefix, second over first after alone."""
    pairs = [("prefix", "first", "second"), ("alone", "second", "first")]

    def log_probs():
        return torch.stack([
            torch.stack([answer_log_prob(model, parts[prompt], parts[answer]) for answer in answers])
            for prompt, *answers in pairs
        ])

    model.zero_grad()
    with torch.no_grad(), model.disable_adapter():
        reference = log_probs()
    policy = log_probs()
    moved = policy - reference
    losses = -torch.nn.functional.logsigmoid(BETA * (moved[:, 0] - moved[:, 1]))
    losses.mean().backward()
    out = {"policy": policy.detach(), "reference": reference, "losses": losses.detach()}
    out |= {name: parameter.grad.clone() for name, parameter in lora(model)}
    return {f"preference.{name}": value for name, value in out.items()}


def answer_log_prob(model, prompt, answer):
    tokens = torch.cat([prompt, answer])
    rows = torch.arange(len(prompt) - 1, len(tokens) - 1)
    return logits_at(model, tokens, rows).log_softmax(-1).gather(1, answer[:, None]).sum()


def ten_losses(model, sequences, targets):
    parameters = [parameter for _, parameter in lora(model)]
    optimizer = torch.optim.AdamW(parameters, lr=0.01, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        value = loss(model, sequences, targets)
        value.backward()
        optimizer.step()
        losses.append(value.detach())
    return torch.stack(losses)


def greedy(model, tokens):
    answer, margins = [], []
    with torch.no_grad():
        for _ in range(ANSWER):
            logits = logits_at(model, tokens, torch.tensor([len(tokens) - 1]))[0]
            best, second = logits.topk(2).values
            answer.append(logits.argmax())
            margins.append(best - second)
            tokens = torch.cat([tokens, answer[-1][None]])
    return torch.stack(answer), torch.stack(margins)


if __name__ == "__main__":
    main()
