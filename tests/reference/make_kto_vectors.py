"""Makes kto-vectors.safetensors: the loss and the gradients of KTO as TRL computes them on tiny-model.

    pip install torch==2.15.0 transformers==5.24.0 peft==0.21.2 trl==1.16.0 safetensors==0.8.0
    python tests/reference/make_kto_vectors.py

Arithmetic is f32, the adapter (rank 4, alpha 8) is random with a B that is not zero, the reference is the model
without it. Four judged answers are one batch; the divergence is estimated by each prompt with the next one's answer.

In the file:
  prompt.<n>, answer.<n>    tokens of the four records
  wanted                    their verdicts, 1 or 0
  adapter.<key>             every LoRA matrix; keys as in PEFT without "base_model.model."
  loss, gradient.<key>      of the batch: beta 0.3, a wanted answer counts 1.0, an unwanted one 1.5
  drift                     the estimate of the divergence
"""

import pathlib
import tempfile

import torch
from datasets import Dataset
from peft import LoraConfig
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import KTOConfig, KTOTrainer

HERE = pathlib.Path(__file__).parent
FOLDER = HERE.parent / "fixtures" / "tiny-model"
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
PREFIX = "base_model.model."
LENGTHS = [(9, 5), (6, 8), (12, 3), (7, 6)]
WANTED = [1, 0, 0, 1]


def sequences(pairs):
    """Tokens, attention and completion masks, padded on the right."""
    width = max(len(prompt) + len(answer) for prompt, answer in pairs)
    rows = []
    for prompt, answer in pairs:
        pad = width - len(prompt) - len(answer)
        tokens = torch.cat([prompt, answer, torch.zeros(pad, dtype=torch.int64)])
        attends = torch.tensor([1] * (width - pad) + [0] * pad)
        completes = torch.tensor([0] * len(prompt) + [1] * len(answer) + [0] * pad)
        rows.append((tokens, attends, completes))
    return [torch.stack(column) for column in zip(*rows)]


def main():
    torch.manual_seed(3)
    base = AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32)
    vocab = base.config.vocab_size
    records = [tuple(torch.randint(3, vocab, (length,)) for length in lengths) for lengths in LENGTHS]
    crossed = [(prompt, records[(at + 1) % len(records)][1]) for at, (prompt, _) in enumerate(records)]
    texts = [{"prompt": "a", "completion": " b", "label": bool(wanted)} for wanted in WANTED]
    with tempfile.TemporaryDirectory() as scratch:
        config = KTOConfig(
            output_dir=scratch, use_cpu=True, bf16=False, beta=0.3, desirable_weight=1.0, undesirable_weight=1.5,
            per_device_train_batch_size=4, gradient_checkpointing=False, report_to=[],
        )
        trainer = KTOTrainer(
            model=base, args=config, train_dataset=Dataset.from_list(texts),
            processing_class=AutoTokenizer.from_pretrained(FOLDER),
            peft_config=LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, target_modules=TARGETS),
        )
    model = trainer.model.train()
    lora = [(name.removeprefix(PREFIX).replace(".default", ""), parameter)
            for name, parameter in model.named_parameters() if parameter.requires_grad]
    with torch.no_grad():
        for _, parameter in lora:
            parameter.copy_(torch.randn(parameter.shape) * 0.1)
    batch = dict(zip(["input_ids", "attention_mask", "completion_mask"], sequences(records)))
    batch |= dict(zip(["KL_input_ids", "KL_attention_mask", "KL_completion_mask"], sequences(crossed)))
    batch["label"] = torch.tensor(WANTED, dtype=torch.bool)
    loss = trainer._compute_loss(model, batch, return_outputs=False)
    loss.backward()
    with torch.no_grad():
        policy = trainer._compute_kl_logps(model, batch)
        with model.disable_adapter():
            reference = trainer._compute_kl_logps(model, batch)
    out = {"loss": loss.detach().reshape(1), "drift": (policy - reference).mean().clamp(min=0).reshape(1)}
    out["wanted"] = torch.tensor(WANTED)
    for at, (prompt, answer) in enumerate(records):
        out[f"prompt.{at}"], out[f"answer.{at}"] = prompt, answer
    for name, parameter in lora:
        out[f"adapter.{name}"] = parameter.detach().clone()
        out[f"gradient.{name}"] = parameter.grad.clone()
    out = {name: value.to(torch.int32) if value.dtype == torch.int64 else value.contiguous()
           for name, value in out.items()}
    save_file(out, HERE / "kto-vectors.safetensors")
    print({name: out[name] for name in ("loss", "drift")})


if __name__ == "__main__":
    main()
