"""Cuts a development split from a training file, so that a recipe can be judged before the official test.

    python benches/cut_development.py csv TRAIN.csv OUT_FOLDER [SHARE]
    python benches/cut_development.py lines OUT_FOLDER LABEL=FILE.txt ... [SHARE]

Writes train.csv and test.csv. Lines are taken once, and not at all under two labels; the shuffle is seeded.
"""

import csv
import pathlib
import random
import sys

SEED = 77


def write(folder: pathlib.Path, head: list[str], rows: list[list[str]], share: float) -> None:
    random.Random(SEED).shuffle(rows)
    count = int(len(rows) * share)
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in [("test.csv", rows[:count]), ("train.csv", rows[count:])]:
        with open(folder / name, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(head)
            writer.writerows(part)
    print(f"{len(rows) - count} to learn from, {count} to measure on")


def lines(named: list[str]) -> list[list[str]]:
    by_label = {}
    for pair in named:
        label, path = pair.split("=", 1)
        text = pathlib.Path(path).read_text(encoding="utf-8")
        by_label[label] = [line.strip().strip("\ufeff") for line in text.splitlines()]
    labels_of = {}
    for label, texts in by_label.items():
        for text in texts:
            labels_of.setdefault(text, set()).add(label)
    return [[text, *labels] for text, labels in labels_of.items() if text and len(labels) == 1]


def main() -> None:
    kind, *rest = sys.argv[1:]
    share = float(rest.pop()) if rest[-1].replace(".", "", 1).isdigit() else 0.1
    if kind == "csv":
        with open(rest[0], newline="", encoding="utf-8") as file:
            head, *rows = csv.reader(file)
        write(pathlib.Path(rest[1]), head, rows, share)
    else:
        write(pathlib.Path(rest[0]), ["text", "label"], lines(rest[1:]), share)


if __name__ == "__main__":
    main()
