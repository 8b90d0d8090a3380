"""Writes crates/eval/tests/eval_vectors.json: metrics by scipy and scikit-learn, the linear model
by scikit-learn.

Run from the repository's root:  python tests/reference/make_eval_vectors.py
Made with scipy 1.17.1 and scikit-learn 1.9.1.
"""

import json
import pathlib

import numpy
import scipy.sparse
import scipy.stats
import sklearn.feature_extraction.text
import sklearn.linear_model
import sklearn.metrics

SENTENCES = [
    "This is a great camera, and I love it!",
    "the battery died after two days",
    "The menu is ok; the manual is not.",
    "Great sound, great price.",
    "I would not buy this player again.",
    "it works",
    "a nice screen, but the phone is slow - very slow",
    "Don't buy it: it doesn't work.",
]
RATINGS = [3.1, -2.2, -0.3, 2.8, -2.5, 0.9, -0.6, -3.0]
UNSEEN = ["great phone, great battery", "it died", "xyzzy"]


def pearson(random, size, scale):
    x = random.normal(size=size) * scale
    y = 0.7 * x / scale + random.normal(size=size)
    return {"x": list(x), "y": list(y), "r": float(scipy.stats.pearsonr(x, y).statistic)}


def macro_f1(random, size, classes):
    truth = random.choice(classes, size)
    predicted = numpy.where(random.random(size) < 0.6, truth, random.choice(classes, size))
    f1 = sklearn.metrics.f1_score(truth, predicted, average="macro", zero_division=0)
    return {"truth": truth.tolist(), "predicted": predicted.tolist(), "f1": float(f1)}


def vectorizers():
    Tfidf = sklearn.feature_extraction.text.TfidfVectorizer
    words = Tfidf(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b")
    characters = Tfidf(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
    return words, characters


def linear():
    train, test = [], []
    for vectorizer in vectorizers():
        train.append(vectorizer.fit_transform(SENTENCES))
        test.append(vectorizer.transform(UNSEEN))
    train, test = scipy.sparse.hstack(train), scipy.sparse.hstack(test)
    cases = []
    for penalty in (0.1, 1.0, 10.0):
        ridge = sklearn.linear_model.Ridge(alpha=penalty).fit(train.toarray(), RATINGS)
        predicted = ridge.predict(test.toarray())
        cases.append({"penalty": penalty, "predicted": predicted.tolist()})
    return {
        "sentences": SENTENCES,
        "ratings": RATINGS,
        "unseen": UNSEEN,
        "features": train.shape[1],
        "ridge": cases,
    }


def main():
    random = numpy.random.default_rng(20)
    vectors = {
        "pearson_r": [pearson(random, size, scale) for size, scale in [(2, 1), (9, 1), (40, 1e6), (40, 1e-6)]],
        "macro_f1": [
            macro_f1(random, size, classes)
            for size, classes in [(5, [0, 1]), (30, [0, 1, 2]), (30, [0, 2, 4]), (3, [0, 1, 2, 3, 4])]
        ],
        "linear": linear(),
    }
    path = pathlib.Path(__file__).parents[2] / "crates/eval/tests/eval_vectors.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(vectors, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
