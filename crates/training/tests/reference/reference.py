"""Tiny random bases and PEFT adapters with what PyTorch makes of them: the fixtures of tests/reference.rs.

    pip install torch transformers peft safetensors
    python reference.py make FOLDER      writes bases, adapters, logits, loss and gradients
    python reference.py check FOLDER     loads adapters that `train` has written, and compares logits

ChatGLM2 is written out here, since transformers has no such model: fused projections, interleaved rotation of half
a head, grouped keys.
"""

import json
import sys
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, GlmConfig, Glm4Config, LlamaConfig, Qwen2Config, Qwen3Config

SHAPE = dict(vocab_size=48, hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=64, attention_dropout=0.0, pad_token_id=0,
             bos_token_id=1, eos_token_id=2, initializer_range=0.3)
LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=16, rope_theta=10000.0)
YARN = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=16, rope_theta=10000.0)
TRANSFORMERS = {
    "llama": (LlamaConfig(**SHAPE, tie_word_embeddings=False), ["q_proj", "v_proj", "gate_proj", "down_proj"]),
    "llama3": (LlamaConfig(**SHAPE, tie_word_embeddings=True, rope_parameters=LLAMA3), ["k_proj", "o_proj", "up_proj"]),
    "qwen2": (Qwen2Config(**SHAPE, tie_word_embeddings=True, rope_parameters=YARN), ["q_proj", "k_proj", "v_proj"]),
    "qwen3": (Qwen3Config(**SHAPE, head_dim=12, tie_word_embeddings=False), ["q_proj", "k_proj", "o_proj"]),
    "glm": (GlmConfig(**SHAPE, head_dim=8, tie_word_embeddings=False), ["q_proj", "gate_up_proj", "down_proj"]),
    "glm4": (Glm4Config(**SHAPE, head_dim=8, tie_word_embeddings=False), ["v_proj", "o_proj", "gate_up_proj"]),
}
CHATGLM = dict(model_type="chatglm", padded_vocab_size=48, hidden_size=32, ffn_hidden_size=40, num_layers=2,
               num_attention_heads=4, multi_query_attention=True, multi_query_group_num=2, kv_channels=8,
               seq_length=64, add_qkv_bias=True, add_bias_linear=False, rmsnorm=True, post_layer_norm=True,
               layernorm_epsilon=1e-5, apply_residual_connection_post_layernorm=False, tie_word_embeddings=False)
CHATGLM_TARGETS = ["query_key_value", "dense_h_to_4h", "dense_4h_to_h"]


class Config(dict):
    """What PEFT asks a model's config."""

    def __getattr__(self, name):
        return self.get(name)

    def to_dict(self):
        return dict(self)


class Norm(nn.Module):
    def __init__(self, width, eps):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(width)), eps

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c, self.width = c, c.kv_channels
        query, key = c.num_attention_heads * self.width, c.multi_query_group_num * self.width
        self.sizes = [query, key, key]
        self.query_key_value = nn.Linear(c.hidden_size, query + 2 * key, bias=c.add_qkv_bias)
        self.dense = nn.Linear(query, c.hidden_size, bias=False)

    def turn(self, x):
        half = self.width // 2
        theta = 10000.0 ** (-torch.arange(0, half, 2).float() / half)
        angle = torch.outer(torch.arange(x.shape[1]).float(), theta)
        cos, sin = angle.cos()[None, :, None], angle.sin()[None, :, None]
        a, b = x[..., 0:half:2], x[..., 1:half:2]
        turned = torch.stack([a * cos - b * sin, b * cos + a * sin], -1).flatten(-2)
        return torch.cat([turned, x[..., half:]], -1)

    def forward(self, x):
        batch, length, _ = x.shape
        q, k, v = self.query_key_value(x).split(self.sizes, -1)
        q, k, v = (t.view(batch, length, -1, self.width) for t in (q, k, v))
        q, k = self.turn(q), self.turn(k)
        shared = self.c.num_attention_heads // self.c.multi_query_group_num
        k, v = (t.repeat_interleave(shared, 2) for t in (k, v))
        q, k, v = (t.transpose(1, 2) for t in (q, k, v))
        out = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.dense(out.transpose(1, 2).reshape(batch, length, -1))


class Mlp(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.dense_h_to_4h = nn.Linear(c.hidden_size, 2 * c.ffn_hidden_size, bias=False)
        self.dense_4h_to_h = nn.Linear(c.ffn_hidden_size, c.hidden_size, bias=False)

    def forward(self, x):
        gate, up = self.dense_h_to_4h(x).chunk(2, -1)
        return self.dense_4h_to_h(nn.functional.silu(gate) * up)


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.input_layernorm = Norm(c.hidden_size, c.layernorm_epsilon)
        self.self_attention = Attention(c)
        self.post_attention_layernorm = Norm(c.hidden_size, c.layernorm_epsilon)
        self.mlp = Mlp(c)

    def forward(self, x):
        x = x + self.self_attention(self.input_layernorm(x))
        return x + self.mlp(self.post_attention_layernorm(x))


class Embedding(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.word_embeddings = nn.Embedding(c.padded_vocab_size, c.hidden_size)


class Encoder(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.layers = nn.ModuleList(Block(c) for _ in range(c.num_layers))
        self.final_layernorm = Norm(c.hidden_size, c.layernorm_epsilon)


class Transformer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.embedding, self.encoder = Embedding(c), Encoder(c)
        self.output_layer = nn.Linear(c.hidden_size, c.padded_vocab_size, bias=False)


class ChatGlm(nn.Module):
    def __init__(self):
        super().__init__()
        self.config = Config(CHATGLM)
        self.transformer = Transformer(self.config)

    def prepare_inputs_for_generation(self, *_):
        raise NotImplementedError("it only computes logits")

    def forward(self, input_ids=None, **_):
        x = self.transformer.embedding.word_embeddings(input_ids)
        for block in self.transformer.encoder.layers:
            x = block(x)
        logits = self.transformer.output_layer(self.transformer.encoder.final_layernorm(x))
        return type("Output", (), {"logits": logits})()


def build(name):
    if name == "chatglm":
        model, targets = ChatGlm(), CHATGLM_TARGETS
    else:
        config, targets = TRANSFORMERS[name]
        model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            noise = torch.randn_like(parameter)
            parameter.copy_(1 + 0.2 * noise if "norm" in key else 0.3 * noise)
    return model.eval(), targets


def names():
    return [*TRANSFORMERS, "chatglm"]


def make(folder):
    for number, name in enumerate(names()):
        torch.manual_seed(number)
        out = folder / name
        out.mkdir(parents=True, exist_ok=True)
        model, targets = build(name)
        if name == "chatglm":
            (out / "config.json").write_text(json.dumps(CHATGLM, indent=1))
            weights = model.state_dict()
        else:
            model.config.save_pretrained(out)
            weights = {k: v for k, v in model.state_dict().items() if not (k == "lm_head.weight" and model.config.tie_word_embeddings)}
        # Two files, as large models have them; half of the tensors in bf16 would not be exact, so all are f32.
        keys = sorted(weights)
        parts = {"model-00001-of-00002.safetensors": keys[::2], "model-00002-of-00002.safetensors": keys[1::2]}
        for file, part in parts.items():
            save_file({k: weights[k].contiguous() for k in part}, out / file, metadata={"format": "pt"})
        index = {"metadata": {}, "weight_map": {k: file for file, part in parts.items() for k in part}}
        (out / "model.safetensors.index.json").write_text(json.dumps(index))
        tokens = torch.randint(0, 48, (1, 40))
        targets_of = torch.randint(0, 48, (40,))
        targets_of[:13] = -100
        base_logits = model(input_ids=tokens).logits[0]
        rank_scaled = name in ("llama3", "qwen3")
        lora = LoraConfig(r=3, lora_alpha=5, target_modules=targets, use_rslora=rank_scaled, lora_dropout=0.0)
        tuned = get_peft_model(model, lora)
        with torch.no_grad():
            for key, parameter in tuned.named_parameters():
                if "lora_" in key:
                    parameter.copy_(0.2 * torch.randn_like(parameter))
        logits = tuned(input_ids=tokens).logits[0]
        loss = nn.functional.cross_entropy(logits, targets_of, ignore_index=-100)
        loss.backward()
        tuned.save_pretrained(out / "adapter")
        (out / "adapter" / "README.md").unlink(missing_ok=True)
        gradients = {k.replace(".default", ""): p.grad for k, p in tuned.named_parameters() if "lora_" in k}
        save_file({"tokens": tokens[0].int(), "targets": targets_of.int(), "base_logits": base_logits.detach().contiguous(),
                   "logits": logits.detach().contiguous(), "loss": loss.detach().reshape(1), **gradients}, out / "expected.safetensors")
        print(name, float(loss), len(gradients))


def check(folder):
    """`train` writes FOLDER/NAME/ours (a PEFT folder) and FOLDER/NAME/ours.safetensors (tokens, logits)."""
    worst = 0.0
    for number, name in enumerate(names()):
        out = folder / name
        torch.manual_seed(number)
        model, _ = build(name)
        weights = {k: v for part in out.glob("model-*.safetensors") for k, v in load_file(part).items()}
        model.load_state_dict(weights, strict=False)
        tuned = PeftModel.from_pretrained(model, out / "ours").eval()
        ours = load_file(out / "ours.safetensors")
        with torch.no_grad():
            logits = tuned(input_ids=ours["tokens"].long()[None]).logits[0]
        difference = float((logits - ours["logits"]).abs().max())
        worst = max(worst, difference)
        print(f"{name}: logits differ by {difference:.1e} at most")
    sys.exit(worst > 1e-4)


if __name__ == "__main__":
    {"make": make, "check": check}[sys.argv[1]](Path(sys.argv[2]))
