"""Writes packages.json: RoleGPT's means on the files of RoleBench, as the packages give them.

    python -m venv venv
    venv/bin/pip install rouge-score==0.1.2 nltk==3.10.4 rouge==1.0.1 rouge-chinese==1.0.3 jieba==0.42.1
    venv/bin/python packages.py FOLDER > packages.json

One score for each test row that has a prediction of the same role and question; the last prediction counts; texts raw.
"""

import json
import sys
from pathlib import Path

import jieba
from rouge import Rouge
from rouge_chinese import Rouge as RougeChinese
from rouge_score.rouge_scorer import RougeScorer

sys.setrecursionlimit(100_000)
jieba.setLogLevel(60)

ENGLISH = ["instruction-generalization/role_specific", "role-generalization/role_specific"]
CHINESE = ["general", "role_specific"]


def google(kind, use_stemmer):
    scorer = RougeScorer([kind], use_stemmer=use_stemmer)

    def score(prediction, reference):
        figure = scorer.score(reference, prediction)[kind].fmeasure
        return figure, figure

    return score


def package(scorer, figure, cut=None):
    def score(prediction, reference):
        if cut:
            prediction, reference = " ".join(cut(prediction)), " ".join(cut(reference))
        try:
            result = scorer.get_scores(prediction, reference)[0]["rouge-l"]
        except ValueError:
            return 0.0, 0.0
        return result["f"], result[figure]

    return score


ROUGE, ROUGE_CHINESE = Rouge(metrics=["rouge-l"]), RougeChinese(metrics=["rouge-l"])
OF_GOOGLE = {
    "rouge-l/f1": google("rougeL", False),
    "rouge-l/porter-f1": google("rougeL", True),
    "rouge-lsum/f1": google("rougeLsum", False),
    "rouge-lsum/porter-f1": google("rougeLsum", True),
}
RULES = {
    "en": OF_GOOGLE | {"rouge-l/paper": package(ROUGE, "r")},
    "zh": {
        "rouge-l/paper": package(ROUGE, "r", list),
        "rouge-l/char-f1": package(ROUGE_CHINESE, "f", list),
        "rouge-l/jieba-f1": package(ROUGE_CHINESE, "f", jieba.cut),
    },
}


def rows(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]


def key(row):
    return row["role"].strip(), row["question"].strip()


def means(folder, rule):
    predictions = {key(row): row["generated"][0] for row in rows(folder / "rolegpt_baseline.jsonl")}
    totals, count = {"best-f": 0.0, "max": 0.0, "mean": 0.0, "first": 0.0}, 0
    for row in rows(folder / "test.jsonl"):
        prediction = predictions.get(key(row))
        if prediction is None:
            continue
        count += 1
        scores = [rule(prediction, reference) for reference in row["generated"]]
        values = [value for _, value in scores]
        totals["best-f"] += max(scores, key=lambda score: score[0])[1]
        totals["max"] += max(values)
        totals["mean"] += sum(values) / len(values)
        totals["first"] += values[0]
    return {"rows": count} | {name: total / count for name, total in totals.items()}


root, found = Path(sys.argv[1]), {}
for language, base, parts in [("en", "rolebench-eng", ENGLISH), ("zh", "rolebench-zh", CHINESE)]:
    for part in parts:
        folder = f"{base}/{part}"
        found[folder] = {name: means(root / folder, rule) for name, rule in RULES[language].items()}
        print(folder, file=sys.stderr)
json.dump(found, sys.stdout, indent=1)
print()
