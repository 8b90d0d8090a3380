"""Makes peft-adapter/: a LoRA adapter of tiny-model as the peft package itself writes it.

    pip install torch==2.15.0 transformers==5.24.0 peft==0.21.2
    python tests/reference/make_peft_adapter.py

B is not zero, so that every number of the file matters.
"""

import pathlib
import random

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

HERE = pathlib.Path(__file__).parent
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def main():
    torch.manual_seed(3)
    random.seed(3)
    model = AutoModelForCausalLM.from_pretrained(HERE.parent / "fixtures" / "tiny-model", dtype=torch.float32)
    config = LoraConfig(r=2, lora_alpha=6, target_modules=TARGETS, lora_dropout=0.05, task_type="CAUSAL_LM")
    model = get_peft_model(model, config)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "lora_B" in name:
                value.normal_(std=0.1)
    # A path of this machine would be recorded otherwise.
    model.peft_config["default"].base_model_name_or_path = "tiny-model"
    model.save_pretrained(HERE / "peft-adapter")
    (HERE / "peft-adapter" / "README.md").unlink(missing_ok=True)


if __name__ == "__main__":
    main()
