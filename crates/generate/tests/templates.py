"""Writes templates.jsonl: conversations as each family lays them out.

    python -m venv venv
    venv/bin/pip install jinja2==3.1.6
    venv/bin/python templates.py LLAMA_CPP_DIR > templates.jsonl

Lines with `named` are our built-in layouts: what they should be is put together here from the published descriptions,
without Jinja. Lines with `file` are chat templates that model files bring. LLAMA_CPP_DIR is a folder with llama.cpp's
source, which keeps many of them in models/templates; the test reads them from there, too, so that only what they
render stands here. The environment is that of Hugging Face's tokenizers.

Every line has messages, bos_token, eos_token, thinking (true, false, or null for undefined) and expected.
"""

import json
import sys
from pathlib import Path

from jinja2.exceptions import TemplateError
from jinja2.ext import Extension
from jinja2.sandbox import ImmutableSandboxedEnvironment

SHORT = [{"role": "system", "content": "You are Li Bai."}, {"role": "user", "content": "Wine?"}]
LONG = [
    {"role": "system", "content": "你是李白。\n\"Speak\" <in> {{ verses }} & rhymes."},
    {"role": "user", "content": "  Hello, it's me.\n"},
    {"role": "assistant", "content": "<think>\nA guest.\n</think>\n\nWelcome, friend. "},
    {"role": "user", "content": "Wine? 🍷"},
]
NO_SYSTEM = LONG[1:]
CONVERSATIONS = [SHORT, LONG, NO_SYSTEM]


class Generation(Extension):
    """`{% generation %}` marks what a model is trained on."""

    tags = {"generation"}

    def parse(self, parser):
        next(parser.stream)
        return parser.parse_statements(["name:endgeneration"], drop_needle=True)


def raise_exception(message):
    raise TemplateError(message)


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def strftime_now(format):
    raise TemplateError("today")


environment = ImmutableSandboxedEnvironment(
    trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"]
)
environment.filters["tojson"] = tojson
environment.globals["raise_exception"] = raise_exception
environment.globals["strftime_now"] = strftime_now

FILES = """
GLM-4.6
HuggingFaceTB-SmolLM3-3B
Qwen-QwQ-32B
Qwen-Qwen2.5-7B-Instruct
Qwen-Qwen3-0.6B
Qwen3.5-4B
deepseek-ai-DeepSeek-R1-Distill-Llama-8B
deepseek-ai-DeepSeek-R1-Distill-Qwen-32B
google-gemma-2-2b-it
meta-llama-Llama-3.1-8B-Instruct
meta-llama-Llama-3.3-70B-Instruct
microsoft-Phi-3.5-mini-instruct
mistralai-Mistral-Nemo-Instruct-2407
""".split()


def system_of(messages):
    return next((m["content"] for m in messages if m["role"] == "system"), None)


def turns(messages, system, **layout):
    """Each message by the layout of its role; the system's is dropped where the layout has none."""
    texts = [layout[m["role"]](m["content"]) for m in messages if m["role"] in layout]
    return (system or "") + "".join(texts)


def rocit(messages, bos, eos, thinking):
    names = {"system": f"{bos}### Instruction:", "user": "### Input:", "assistant": "### Response:"}
    return "".join(f"{names[m['role']]}\n{m['content']}{eos}\n\n" for m in messages) + "### Response:\n"


def alpaca(messages, bos, eos, thinking):
    preamble = "Below is an instruction that describes a task. Write a response that appropriately completes the request."
    preamble = (system_of(messages) or preamble) + "\n\n"
    user, assistant = "### Instruction:\n{}\n\n".format, ("### Response:{}" + eos + "\n\n").format
    return turns(messages, preamble, user=user, assistant=assistant) + "### Response:"


def vicuna(messages, bos, eos, thinking):
    preamble = (
        "A chat between a curious user and an artificial intelligence assistant. "
        "The assistant gives helpful, detailed, and polite answers to the user's questions."
    )
    preamble = (system_of(messages) or preamble) + " "
    user, assistant = "USER: {} ".format, ("ASSISTANT: {}" + eos).format
    return turns(messages, preamble, user=user, assistant=assistant) + "ASSISTANT:"


def llama2(messages, bos, eos, thinking):
    system, text = system_of(messages), ""
    first = f"<<SYS>>\n{system}\n<</SYS>>\n\n" if system else ""
    for message in messages:
        if message["role"] == "user":
            text += f"{bos}[INST] {(first + message['content']).strip()} [/INST]"
            first = ""
        elif message["role"] == "assistant":
            text += f" {message['content'].strip()} {eos}"
    return text


def mistral(messages, bos, eos, thinking):
    system, text = system_of(messages), bos
    first = f"{system}\n\n" if system else ""
    for message in messages:
        if message["role"] == "user":
            text += f" [INST] {first}{message['content']} [/INST]"
            first = ""
        elif message["role"] == "assistant":
            text += f" {message['content']}{eos}"
    return text


def llama3(messages, bos, eos, thinking):
    header = "<|start_header_id|>{}<|end_header_id|>\n\n".format
    return bos + "".join(header(m["role"]) + m["content"].strip() + "<|eot_id|>" for m in messages) + header("assistant")


def zephyr(messages, bos, eos, thinking):
    return "".join(f"<|{m['role']}|>\n{m['content']}{eos}\n" for m in messages) + "<|assistant|>\n"


def chatml(messages, bos, eos, thinking):
    start = "<|im_start|>{}\n".format
    return "".join(start(m["role"]) + m["content"] + "<|im_end|>\n" for m in messages) + start("assistant")


def qwen3(messages, bos, eos, thinking):
    without = [dict(m, content=m["content"].split("</think>")[-1].lstrip("\n")) if m["role"] == "assistant" else m for m in messages]
    return chatml(without, bos, eos, thinking) + ("<think>\n\n</think>\n\n" if thinking is False else "")


def chatglm2(messages, bos, eos, thinking):
    system = system_of(messages)
    text, round = "[gMASK]sop" + (f"{system}\n\n" if system else ""), 0
    for message in messages:
        if message["role"] == "user":
            round += 1
            text += f"[Round {round}]\n\n问：{message['content']}\n\n"
        elif message["role"] == "assistant":
            text += f"答：{message['content']}\n\n"
    return text + "答："


def chatglm3(messages, bos, eos, thinking):
    return "[gMASK]sop" + "".join(f"<|{m['role']}|>\n {m['content']}" for m in messages) + "<|assistant|>"


def glm4(messages, bos, eos, thinking):
    return "[gMASK]<sop>" + "".join(f"<|{m['role']}|>\n{m['content']}" for m in messages) + "<|assistant|>\n"


def phi3(messages, bos, eos, thinking):
    return "".join(f"<|{m['role']}|>\n{m['content']}<|end|>\n" for m in messages) + "<|assistant|>\n"


NAMED = {
    "rocit": rocit,
    "alpaca": alpaca,
    "vicuna": vicuna,
    "llama2": llama2,
    "llama3": llama3,
    "mistral": mistral,
    "zephyr": zephyr,
    "tinyllama": zephyr,
    "chatml": chatml,
    "yi": chatml,
    "qwen2": chatml,
    "qwen3": qwen3,
    "chatglm2": chatglm2,
    "chatglm3": chatglm3,
    "glm4": glm4,
    "phi3": phi3,
}


def jinja(file):
    template = environment.from_string(Path(sys.argv[1], "models", "templates", file).read_text(encoding="utf-8"))

    def render(messages, bos, eos, thinking):
        variables = {} if thinking is None else {"enable_thinking": thinking}
        return template.render(messages=messages, add_generation_prompt=True, bos_token=bos, eos_token=eos, **variables)

    return render


def write(kind, name, render):
    for messages in CONVERSATIONS:
        seen = set()
        for thinking in [None, False, True]:
            try:
                expected = render(messages, "<s>", "</s>", thinking)
            except TemplateError as error:
                print(f"{name}: {error}", file=sys.stderr)
                continue
            # Most templates do not ask.
            if expected not in seen:
                line = {kind: name, "messages": messages, "bos_token": "<s>", "eos_token": "</s>"}
                print(json.dumps(line | {"thinking": thinking, "expected": expected}, ensure_ascii=False))
            seen.add(expected)


for name, render in NAMED.items():
    write("named", name, render)
for file in FILES:
    write("file", file + ".jinja", jinja(file + ".jinja"))
