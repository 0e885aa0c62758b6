"""Writes what llama.cpp makes of every GGUF file in a folder: greedy tokens, margins and log-probabilities.

    python -m venv venv
    CMAKE_ARGS="-DGGML_NATIVE=ON -DGGML_OPENMP=OFF" venv/bin/pip install llama-cpp-python==0.3.36 numpy
    cargo run -p decoder --example tiny_models -- FOLDER
    venv/bin/python reference.py FOLDER > reference.jsonl

Beside NAME.gguf stands NAME.json, {"prompt": [token ids]}. A line is {"name", "prompt", "ids", "tokens", "margins",
"logprobs", "by_one"}: the greedy token of each step, how far its log-probability lies above the runner-up's, and every
ninth step's log-probabilities of the tokens in "ids". The first step is the one that the prompt itself leads to.
"by_one" has tokens, margins and log-probabilities along the same path where the prompt was read token by token: how far
llama.cpp is from itself, when sums in another order let an activation round to the neighbouring step.

The reference is as exact as llama.cpp goes: one thread, weights as they are stored, caches in F32, no flash attention.
"""

import argparse
import ctypes
import json
import pathlib
import sys

import llama_cpp as llama
import numpy

CONTEXT = 256
F32 = 0
MOST_IDS = 64
EVERY = 9
LEVEL_ERROR = 4

complaints = []


@llama.llama_log_callback
def keep_errors(level, text, _):
    if level == LEVEL_ERROR:
        complaints.append(text.decode(errors="replace").strip())


class Session:
    """One model with an empty cache."""

    def __init__(self, file):
        complaints.clear()
        wanted = llama.llama_model_default_params()
        wanted.n_gpu_layers = 0
        wanted.use_extra_bufts = False
        self.model = llama.llama_model_load_from_file(str(file).encode(), wanted)
        if not self.model:
            raise ValueError("; ".join(complaints) or "llama.cpp cannot load it")
        wanted = llama.llama_context_default_params()
        wanted.n_ctx = wanted.n_batch = wanted.n_ubatch = CONTEXT
        wanted.n_threads = wanted.n_threads_batch = 1
        wanted.type_k = wanted.type_v = F32
        wanted.flash_attn_type = llama.LLAMA_FLASH_ATTN_TYPE_DISABLED
        wanted.offload_kqv = wanted.op_offload = False
        self.context = llama.llama_init_from_model(self.model, wanted)
        if not self.context:
            raise ValueError("; ".join(complaints) or "llama.cpp cannot make a context")
        self.vocabulary = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(self.model))

    def logprobs(self, tokens):
        """Runs the tokens and returns the log-probabilities of what may follow the last."""
        array = (llama.llama_token * len(tokens))(*tokens)  # the batch only points at it
        if llama.llama_decode(self.context, llama.llama_batch_get_one(array, len(tokens))) != 0:
            raise ValueError("; ".join(complaints) or "llama.cpp cannot decode")
        found = llama.llama_get_logits_ith(self.context, -1)
        logits = numpy.ctypeslib.as_array(found, (self.vocabulary,)).astype(numpy.float64)
        if not numpy.isfinite(logits).all():
            raise ValueError("a logit is not finite")
        logits -= logits.max()
        return logits - numpy.log(numpy.exp(logits).sum())

    def close(self):
        llama.llama_free(self.context)
        llama.llama_model_free(self.model)


def read(session, prompt, ids, steps, piece=CONTEXT, path=None):
    """What llama.cpp makes of the path, by default of its own greedy one, with so many tokens of the prompt together."""
    line = {"tokens": [], "margins": [], "logprobs": []}
    for start in range(0, len(prompt), piece):
        found = session.logprobs(prompt[start : start + piece])
    for step in range(steps):
        if step > 0:
            found = session.logprobs([(path or line["tokens"])[step - 1]])
        runner_up, best = numpy.sort(found)[-2:]
        line["tokens"].append(int(found.argmax()))
        line["margins"].append(round(float(best - runner_up), 4))
        if step % EVERY == 0:
            line["logprobs"].append([round(float(found[at]), 5) for at in ids])
    session.close()
    return line


def golden(file, steps):
    prompt = json.loads(file.with_suffix(".json").read_text())["prompt"]
    session = Session(file)
    count = min(session.vocabulary, MOST_IDS)
    ids = [at * session.vocabulary // count for at in range(count)]
    line = read(session, prompt, ids, steps)
    by_one = read(Session(file), prompt, ids, steps, 1, line["tokens"])
    return {"name": file.stem, "prompt": prompt, "ids": ids, **line, "by_one": by_one}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--steps", type=int, default=64)
    arguments = parser.parse_args()
    llama.llama_log_set(keep_errors, ctypes.c_void_p(0))
    llama.llama_backend_init()
    files = sorted(arguments.folder.glob("*.gguf"))
    failed = not files
    for file in files:
        try:
            print(json.dumps(golden(file, arguments.steps), separators=(",", ":")), flush=True)
        except (ValueError, OSError, KeyError) as error:
            print(f"{file.name}: {error}", file=sys.stderr)
            failed = True
    sys.exit(failed)


main()
