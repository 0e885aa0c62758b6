"""Tokens per second of training steps with PyTorch and PEFT: the same arguments as training_speed.rs, without `profile`."""

import contextlib
import resource
import sys
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

numbers = [int(n) for a in sys.argv[1:] for n in a.split("/") if n.isdigit()]
if len(numbers) == 9:
    numbers.insert(4, numbers[3])
hidden, inner, layers, heads, key_heads, vocab, length, rows, threads, steps = numbers
scratch, on_gpu = "scratch" in sys.argv, "cuda" in sys.argv or "cuda-f32" in sys.argv
device = "cuda" if on_gpu else "cpu"
is_bf16 = "cuda" in sys.argv
torch.set_num_threads(threads)
config = LlamaConfig(hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers, num_attention_heads=heads,
                     num_key_value_heads=key_heads, vocab_size=vocab, max_position_embeddings=length,
                     tie_word_embeddings=True)
torch.manual_seed(1)
# A frozen base in bf16, trained weights in f32.
torch.set_default_dtype(torch.bfloat16 if is_bf16 and not scratch else torch.float32)
with torch.device(device):
    model = LlamaForCausalLM._from_config(config, attn_implementation="sdpa")
torch.set_default_dtype(torch.float32)
if not scratch:
    model = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules="all-linear"))
if "recompute" in sys.argv:
    model.gradient_checkpointing_enable()
    model.enable_input_require_grads()
model.train()
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3, weight_decay=0.0, fused=on_gpu)
ids = torch.tensor([[(r * 7919 + i * 104729) % vocab for i in range(length + 1)] for r in range(rows)], device=device)
precision = torch.autocast("cuda", torch.bfloat16) if is_bf16 else contextlib.nullcontext()


def step():
    with precision:
        logits = model(input_ids=ids[:, :-1], use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten())
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


step()
step()
started = time.time()
for _ in range(steps):
    step()
speed = steps * rows * length / (time.time() - started)
if on_gpu:
    print(f"{speed:.0f} tokens/s, peak {torch.cuda.max_memory_allocated() >> 20} MB of the GPU")
else:
    print(f"{speed:.0f} tokens/s, peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss} kB")
