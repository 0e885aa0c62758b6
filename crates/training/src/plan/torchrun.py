"""Trains the LoRA that config.json describes on train.jsonl, and writes it to adapter/.

    pip install torch transformers peft accelerate
    torchrun --nproc_per_node 8 train.py

The token ids and the loss mask are those of `train rocit`; each row holds one chat.
"""

import json
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, Trainer, TrainingArguments


class Chats(torch.utils.data.Dataset):
    def __init__(self, path):
        self.rows = [json.loads(line) for line in path.read_text().splitlines()]

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


def collate(rows):
    longest = max(len(row["input_ids"]) for row in rows)

    def padded(key, value):
        return torch.tensor([row[key] + [value] * (longest - len(row[key])) for row in rows])

    mask = torch.tensor([[1] * len(r["input_ids"]) + [0] * (longest - len(r["input_ids"])) for r in rows])
    return {"input_ids": padded("input_ids", 0), "labels": padded("labels", -100), "attention_mask": mask}


here = Path(__file__).parent
config = json.loads((here / "config.json").read_text())
model = AutoModelForCausalLM.from_pretrained(config["base"], dtype="auto", trust_remote_code=True)
if config["training"]["gradient_checkpointing"]:
    model.enable_input_require_grads()
model = get_peft_model(model, LoraConfig(**config["lora"]))
held_out = Chats(here / "eval.jsonl")
arguments = TrainingArguments(
    output_dir=str(here / "run"), remove_unused_columns=False, logging_steps=10, report_to=[],
    bf16=torch.cuda.is_available(), eval_strategy="epoch" if len(held_out) else "no", save_strategy="epoch",
    **config["training"],
)
trainer = Trainer(model=model, args=arguments, train_dataset=Chats(here / "train.jsonl"),
                  eval_dataset=held_out if len(held_out) else None, data_collator=collate)
trainer.train()
if trainer.is_world_process_zero():
    model.save_pretrained(here / "adapter")
