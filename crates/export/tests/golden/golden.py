"""The tokens that llama.cpp writes with the files of tests/golden.rs, at temperature 0.

    pip install llama-cpp-python            (0.3.36 was used)
    GOLDEN_DIR=FOLDER cargo test -p export --test golden llama_cpp
    python golden.py FOLDER > golden.json
"""

import json
import sys
from pathlib import Path

from llama_cpp import Llama

PROMPT = [0, 40, 77, 101, 35, 200, 91, 150, 7, 64]


def write(path, lora=None):
    model = Llama(str(path), n_ctx=64, n_threads=2, verbose=False, lora_path=lora and str(lora))
    tokens = []
    for token in model.generate(PROMPT, temp=0.0):
        tokens.append(int(token))
        if len(tokens) == 16:
            return tokens


golden = {}
for path in sorted(Path(sys.argv[1]).glob("*.gguf")):
    name = path.stem
    if name.endswith("-adapter"):
        golden[name] = write(path.with_name(name.replace("-adapter", "-Q8_0.gguf")), lora=path)
    elif "-of-" not in name:
        golden[name] = write(path)
    elif "-00001-of-" in name:
        golden[name.split("-00001-of-")[0]] = write(path)
lines = [f"{json.dumps(name)}: {json.dumps(tokens)}" for name, tokens in golden.items()]
print("{\n" + ",\n".join(lines) + "\n}")
