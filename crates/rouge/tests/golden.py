"""Writes golden.jsonl: random and hostile pairs with the scores of the packages that the rules are equal to.

    python -m venv venv
    venv/bin/pip install rouge-score==0.1.2 nltk==3.10.4 rouge==1.0.1 rouge-chinese==1.0.3 jieba==0.42.1
    venv/bin/python golden.py > golden.jsonl

A line is [prediction, reference, [[precision, recall, F] for each of SCORERS]]. A text that says much of the same is
a list of [piece, how often]. Where a package raises because a text is empty, the score is 0.
"""

import itertools
import json
import math
import random
import sys

import jieba
from rouge import Rouge
from rouge_chinese import Rouge as RougeChinese
from rouge_score.rouge_scorer import RougeScorer

sys.setrecursionlimit(100_000)
jieba.setLogLevel(60)
rand = random.Random(20240607)


def google(kind, use_stemmer):
    scorer = RougeScorer([kind], use_stemmer=use_stemmer)

    def score(prediction, reference):
        result = scorer.score(reference, prediction)[kind]
        return [result.precision, result.recall, result.fmeasure]

    return score


def package(scorer, cut=None):
    def score(prediction, reference):
        if cut:
            prediction, reference = " ".join(cut(prediction)), " ".join(cut(reference))
        try:
            result = scorer.get_scores(prediction, reference)[0]["rouge-l"]
        except ValueError:
            return [0, 0, 0]
        return [result["p"], result["r"], result["f"]]

    return score


SCORERS = [
    google("rougeL", use_stemmer=False),
    google("rougeL", use_stemmer=True),
    google("rougeLsum", use_stemmer=False),
    google("rougeLsum", use_stemmer=True),
    package(Rouge(metrics=["rouge-l"])),
    package(Rouge(metrics=["rouge-l"]), cut=list),
    package(RougeChinese(metrics=["rouge-l"]), cut=list),
    package(RougeChinese(metrics=["rouge-l"]), cut=jieba.cut),
]

SMALL_WORDS = "the a of to in and it is was he she I you not".split()
ROOTS = """walk run nation operate hope relate digit form electr control adopt communi fly spy try enjoy happy radical
valen trouble plaster conflat motor agree feed sky skies die dying lie lying tie tying news inning outing canning howe
proceed exceed succeed theo geo archaeo philo use fail hiss fizz tann rate cease probate size yell yyy cry say toy
syzyg""".split()
SUFFIXES = [""] + """s es ies sses ed ied ing eed ly ally alli ational tional izer ization ation ator alism iveness
fulness ousness aliti iviti biliti fulli logi logy icate ative alize iciti ical ful ness al ance ence er ic able ible
ant ement ment ent ion tion sion ou ism ate iti ous ive ize e y ll lle bly ably enci anci entli eli ousli at bl iz
ated bling izing ying yed""".split()
ENGLISH_GAPS = [" "] * 12 + ["  ", ", ", ". ", ". ", ".", "! ", "? ", "\n", "\n\n", "\t", "... ", "—", "-", "'"]
ENGLISH_GAPS += ["\u3000", "\u00a0", "\x1c", ".  ."]
HAN = "的一是不了在人有我他这个上们来到时大地为子中你说生国年着就那和要她出也得里后自以会家可下而过天去能对小多然于心学么之都好看"
CHINESE_GAPS = [""] * 6 + ["，", "，", "。", "！", "？", "。\n", "\n", "\n\n", " ", "…", "……", "“", "”。", "；", "?", "?”", ".", ". "]
EMOJI = "😀🎉👍🏽👩‍👧🇨🇳❤️"
ODD = ["\u0130", "\u212a", "\u212b", "\u017f", "\ufb01", "ß", "é", "Σ", "ΑΣ", "١", "²", "½", "\u200b", "\ufeff", "\x1f"]
ODD += ["\u2028", "\x85", "0", "42", "3.14", "x86", "A", "U.S.A.", "e.g."]
EDGES = [
    ("", ""), ("", "a"), ("a", ""), (" ", " "), (".", "."), (". ", "."), (".  .", "a."), ("...", "..."), ("\n", "\n"),
    ("。", "。"), ("\n好", "好"), (" \n好", "好\n\n好"), ("好。\n好", "好。 \n 好"), ("a", "a"), ("A", "a"),
    ("\u212a5 \u0130z", "k5 iz"), ("你好", "你好"), ("hello", "你好"), ("你好", "hello"), ("😀", "😀"), ("?", "?"),
    ("？？", "？"), ("a.b", "a. b"), ("x . . y", "x..y"), ("\x1c.\x1c", "\x1c"), ("a\x1cb", "a b"), ("a\u200bb", "a b"),
    ("......\n好", "......。"), ("好.......好", "好......"), ("a......b", "a...... b"), ("25-64=", "25 - 64"), ("B超", "b超"),
    ("3.14%a.b-c_d", "3.14 % a.b"), ("\u9fa6\u3400\u3400", "\u3400"), ("a\r\n\r\n好", "好\r\na"), ("a\nb c\nd", "d\n\nc b\na"),
]  # fmt: skip


def word():
    kind = rand.random()
    if kind < 0.35:
        text = rand.choice(SMALL_WORDS)
    elif kind < 0.9:
        text = rand.choice(ROOTS) + rand.choice(SUFFIXES)
    else:
        text = "".join(rand.choice("abcdeilnosty") for _ in range(rand.randint(1, 9)))
    case = rand.random()
    return text.capitalize() if case < 0.1 else text.upper() if case < 0.13 else text


def english(length):
    return "".join(word() + rand.choice(ENGLISH_GAPS) for _ in range(length))


def chinese(length):
    parts = ("".join(rand.choice(HAN) for _ in range(rand.randint(1, 3))) for _ in range(length))
    return "".join(part + rand.choice(CHINESE_GAPS) for part in parts)


def mixed(length):
    parts = [
        lambda: word() + rand.choice(ENGLISH_GAPS),
        lambda: rand.choice(HAN) + rand.choice(CHINESE_GAPS),
        lambda: rand.choice(EMOJI),
        lambda: rand.choice(ODD),
        lambda: rand.choice(ODD) + rand.choice(ENGLISH_GAPS),
    ]
    return "".join(rand.choice(parts)() for _ in range(length))


def punctuation(length):
    return "".join(rand.choice(".,!?;:'\" \n。，！？…—-") for _ in range(length))


def edited(text):
    """The text with pieces dropped, moved, repeated or changed."""
    letters = list(text)
    for _ in range(rand.randint(1, 6)):
        if not letters:
            break
        start = rand.randrange(len(letters))
        end = min(len(letters), start + rand.randint(1, 20))
        piece, kind = letters[start:end], rand.random()
        if kind < 0.6:
            del letters[start:end]
            if kind > 0.35:
                at = rand.randrange(len(letters) + 1)
                letters[at:at] = piece
        elif kind < 0.75:
            letters[end:end] = piece
        elif kind < 0.85:
            letters[start:end] = "".join(piece).swapcase()
        elif kind < 0.95:
            letters[start:start] = rand.choice([".", "。", "\n", " ", "?", "a", "好"])
        else:
            letters.reverse()
    return "".join(letters)


def pairs():
    yield from EDGES
    kinds, weights = [english, chinese, mixed, punctuation], [38, 27, 25, 10]
    for _ in range(10000 - len(EDGES)):
        kind = rand.choices(kinds, weights)[0]
        length = rand.choice([1, 2, 2, 3, 3, 5, 8])
        reference, near = kind(length), rand.random()
        if near < 0.6:
            yield edited(reference), reference
        elif near < 0.85:
            yield kind(rand.choice([1, 3, 6, 12])), reference
        elif near < 0.95:
            yield rand.choice(kinds)(length), reference
        else:
            yield reference, reference
    for long in [english, chinese, mixed, english, chinese]:
        reference = long(200)
        yield edited(edited(reference)), reference
        yield long(180), reference


# 200 KB and more; the packages' tables allow few tokens only.
HUGE = [
    ([["walk ", 600], [" ", 200_000], ["run ", 300]], [["run ", 700], ["\t", 9], ["walk ", 500]]),
    ([["好", 300], ["\u3000", 70_000], ["人", 200]], [["人", 250], ["好", 250], ["。", 3]]),
    ([["天地玄黄" * 2000 + " ", 9]], [["a", 200_000], [" b. ", 40]]),
    ([["😀", 50_001], [".", 2], ["x ", 30]], [["x. y ", 40]]),
]


def whole(text):
    return text if isinstance(text, str) else "".join(piece * times for piece, times in text)


def short(figure):
    return int(figure) if figure in (0, 1) else round(figure, 10)


for prediction, reference in itertools.chain(pairs(), HUGE):
    texts = whole(prediction), whole(reference)
    # Characters joined by spaces make a table that no memory holds.
    small = math.prod(len("".join(text.split())) for text in texts) < 1_000_000
    scores = [[short(figure) for figure in score(*texts)] if small or at < 5 else None for at, score in enumerate(SCORERS)]
    print(json.dumps([prediction, reference, scores], ensure_ascii=False, separators=(",", ":")))
