import json
import sys
import time

from rouge_score.rouge_scorer import RougeScorer

pairs = json.load(sys.stdin)
for name, stemmed in [("rouge-l/f1", False), ("rouge-l/porter-f1", True)]:
    scorer = RougeScorer(["rougeL"], use_stemmer=stemmed)
    start = time.perf_counter()
    scores = [scorer.score(reference, prediction)["rougeL"].fmeasure for prediction, reference in pairs]
    speed = len(pairs) / (time.perf_counter() - start)
    print(f"{speed:>9.0f} pairs/s  rouge_score as {name}  (mean {sum(scores) / len(scores):.4f})")
