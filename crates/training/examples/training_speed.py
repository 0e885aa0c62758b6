"""Tokens per second of training steps with PyTorch and PEFT: the same arguments as training_speed.rs."""

import resource
import sys
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

numbers = [int(a) for a in sys.argv[1:] if a.isdigit()]
hidden, inner, layers, heads, vocab, length, rows, threads, steps = numbers
torch.set_num_threads(threads)
config = LlamaConfig(hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers, num_attention_heads=heads,
                     num_key_value_heads=heads, vocab_size=vocab, max_position_embeddings=length,
                     tie_word_embeddings=True)
torch.manual_seed(1)
model = LlamaForCausalLM._from_config(config, attn_implementation="sdpa")
if "scratch" not in sys.argv:
    model = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules="all-linear"))
if "recompute" in sys.argv:
    model.gradient_checkpointing_enable()
    model.enable_input_require_grads()
model.train()
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
ids = torch.tensor([[(r * 7919 + i * 104729) % vocab for i in range(length + 1)] for r in range(rows)])


def step():
    logits = model(input_ids=ids[:, :-1], use_cache=False).logits
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten())
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()


step()
started = time.time()
for _ in range(steps):
    step()
speed = steps * rows * length / (time.time() - started)
print(f"{speed:.0f} tokens/s, peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss} kB")
