"""Makes full-vectors.safetensors: what PyTorch says about tuning all weights; and
qwen3-full-vectors.safetensors and gemma3-full-vectors.safetensors, the gradients of tiny-qwen3 and
tiny-gemma3.

    pip install torch==2.15.0 transformers==5.24.0 safetensors==0.8.0
    python tests/reference/make_full_vectors.py [FAMILY ...]

All arithmetic is f32. Two sequences are run one by one, without padding. The model is taken as it
is, embeddings and head being one tensor (tied), and once more with a head of its own, the rows of
the embeddings in reverse (untied).

In the file:
  first, second                  the tokens; every row but the last is supervised
  weights.<sequence>             weight of each target
  gradient.<tensor>              tied: of the weighted mean over all targets, for every tensor
  untied.gradient.<tensor>       the same, untied, for the embeddings, the head and the last norm
  biases.gradient.<tensor>       the same of tiny-qwen2, for its biases
  losses                         tied: before each of three AdamW steps and after the last
                                 (learning rate 0.001, betas 0.9 and 0.999, eps 1e-8, decay 0.01,
                                 gradients clipped to a norm of 1)
  norms                          tied: the gradient's norm before each of the three steps
  after.<tensor>                 tied: the tensors of the last block and the last norm after them
In the files of the families: the tokens, the weights, gradient.<tensor> and losses, which is one.
"""

import pathlib
import sys

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

HERE = pathlib.Path(__file__).parent
MODEL = HERE.parent / "fixtures" / "tiny-model"
WITH_BIASES = HERE.parent / "fixtures" / "tiny-qwen2"
FAMILIES = {"qwen3": "tiny-qwen3", "gemma3": "tiny-gemma3"}
STEPS = 3
ENDS = ["model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"]


def main():
    for family in sys.argv[1:] or FAMILIES:
        of_family(family)
    if sys.argv[1:]:
        return
    model = load()
    tokens, weights, out = batch(model.config.vocab_size)

    loss(model, tokens, weights).backward()
    out.update({f"gradient.{name}": p.grad.clone() for name, p in model.named_parameters()})
    out["losses"], out["norms"] = steps(model, tokens, weights)
    out.update({f"after.{name}": p.detach().clone() for name, p in model.named_parameters()
                if name.startswith("model.layers.1.") or name == "model.norm.weight"})

    model = load()
    model.lm_head.weight = torch.nn.Parameter(model.model.embed_tokens.weight.detach().flip(0))
    loss(model, tokens, weights).backward()
    out.update({f"untied.gradient.{name}": p.grad.clone()
                for name, p in model.named_parameters() if name in ENDS})

    model = load(WITH_BIASES)
    loss(model, tokens, weights).backward()
    out.update({f"biases.gradient.{name}": p.grad.clone()
                for name, p in model.named_parameters() if name.endswith(".bias")})
    save(out, "full-vectors")


def of_family(family):
    model = load(HERE.parent / "fixtures" / FAMILIES[family])
    tokens, weights, out = batch(model.config.vocab_size)
    value = loss(model, tokens, weights)
    value.backward()
    out["losses"] = value.detach()[None]
    out.update({f"gradient.{name}": p.grad.clone() for name, p in model.named_parameters()})
    save(out, f"{family}-full-vectors")


def batch(vocab):
    torch.manual_seed(11)
    tokens = {"first": torch.randint(3, vocab, (23,)), "second": torch.randint(3, vocab, (14,))}
    weights = {name: torch.where(torch.arange(len(its) - 1) % 3 == 0, 0.5, 1.0)
               for name, its in tokens.items()}
    out = dict(tokens)
    out.update({f"weights.{name}": its for name, its in weights.items()})
    return tokens, weights, out


def save(out, name):
    out = {name: value.to(torch.int32) if value.dtype == torch.int64 else value.contiguous()
           for name, value in out.items()}
    save_file(out, HERE / f"{name}.safetensors")


def load(model=MODEL):
    return AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)


def loss(model, tokens, weights):
    total = 0.0
    for name, its in tokens.items():
        logits = model(input_ids=its[None]).logits[0, :-1]
        nll = torch.nn.functional.cross_entropy(logits, its[1:], reduction="none")
        total = total + (weights[name] * nll).sum()
    return total / sum(its.sum() for its in weights.values())


def steps(model, tokens, weights):
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=0.001, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
    losses, norms = [], []
    for _ in range(STEPS):
        optimizer.zero_grad()
        value = loss(model, tokens, weights)
        value.backward()
        losses.append(value.detach())
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0))
        optimizer.step()
    losses.append(loss(model, tokens, weights).detach())
    return torch.stack(losses), torch.stack(norms)


if __name__ == "__main__":
    main()
