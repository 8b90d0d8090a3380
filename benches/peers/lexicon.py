"""Pearson's r of the VADER lexicon tool (vaderSentiment 3.3.2) on the product-review sentences.

The figure stands in packs/customer-care/pack.yaml as a published challenger.

usage: lexicon.py amazonReviewSnippets_GroundTruth.txt
"""
import statistics
import sys

from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer


def main():
    analyzer = SentimentIntensityAnalyzer()
    truth, scores = [], []
    with open(sys.argv[1], encoding="utf-8-sig") as file:
        for line in file:
            _, mean, text = line.rstrip("\r\n").split("\t", 2)
            truth.append(float(mean))
            scores.append(analyzer.polarity_scores(text)["compound"])
    print(f"{len(truth)} sentences, r = {statistics.correlation(truth, scores):.4f}")


if __name__ == "__main__":
    main()
