"""Small tiktoken files in GLM-4's manner and what the package tiktoken makes of texts, for ../vocabulary.rs.

The second file has the same tokens with their ranks shuffled, as no training gives them: some are then made of later
ones, some of none at all.

pip install tiktoken regex; python tiktoken_ids.py
"""

import base64
import json
import pathlib
import random

import tiktoken
from tiktoken._educational import bpe_train

PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
           r"|\s*[\r\n]+|\s+(?!\S)|\s+")
TEXTS = [
    "Good evening, how are you this evening?",
    "I'm well, you'LL see: we've 1234567 reasons... \n\n  and more!",
    "aaaaaaaaaaa banana bananas  ananas nanana",
    "the thetheme of the other mother isn't there",
    "俺老孙是齐天大圣孙悟空，你是何方妖怪？",
    "师父，前面有妖怪。师父师父！",
    "é ñ ü 🐒🐒 \t tabs\tand\u00a0spaces \r\n\r\nlines   ",
    "x=f(a,b);  //comment\n\treturn [x, y];",
    "[gMASK] in a text is no token unless it is meant",
]
FOLDER = pathlib.Path(__file__).parent


def words(seed, count):
    """Words of few letters, so that merges meet."""
    dice = random.Random(seed)
    return " ".join("".join(dice.choices("aenrsth", k=dice.randint(1, 12))) for _ in range(count))


def write(name, tokens):
    lines = (f"{base64.b64encode(token).decode()} {rank}\n" for rank, token in enumerate(tokens))
    (FOLDER / f"{name}.model").write_text("".join(lines))
    encoding = tiktoken.Encoding(name, pat_str=PATTERN, special_tokens={},
                                 mergeable_ranks={token: rank for rank, token in enumerate(tokens)})
    return [{"text": text, "ids": encoding.encode_ordinary(text)} for text in TEXTS + [words(2, 300)]]


ranks = bpe_train("\n".join(TEXTS) * 4 + words(1, 2000), 640, PATTERN, visualise=None)
trained = sorted(ranks, key=ranks.get)
shuffled = trained[:256] + random.Random(3).sample(trained[256:], len(trained) - 256)
ids = {"trained": write("trained", trained), "shuffled": write("shuffled", shuffled)}
(FOLDER / "ids.json").write_text(json.dumps(ids, ensure_ascii=False) + "\n")
