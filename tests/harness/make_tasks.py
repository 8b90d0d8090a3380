"""Writes choice.jsonl and texts.jsonl: what lm-evaluation-harness asks in `cargo xtask acceptance harness`.

Nothing is fetched. The questions are made of the lists below, each with one right and three wrong answers
of the same kind; the texts are the paragraphs of the LICENSE of this repository. They tell two servers of
the same weights apart, not models: they are no benchmark.

usage: python tests/harness/make_tasks.py
needs: Python 3.9 or later alone; the same files come out every time
"""

import json
import pathlib
import random

HERE = pathlib.Path(__file__).resolve().parent
LICENCE = HERE.parents[1] / "LICENSE"
SEED = 20
# So many that half a point is five answers, more than chance turns.
QUESTIONS = 1000
OPTIONS = 4
PARAGRAPH_CHARS_MIN = 250

OPPOSITES = """hot cold, big small, early late, open closed, full empty, fast slow, wet dry, light dark, new old,
high low, near far, strong weak, happy sad, loud quiet, rich poor, clean dirty, thick thin, hard soft, deep shallow,
wide narrow, heavy light, long short, true false, first last, left right, up down, day night, summer winter,
push pull, buy sell, win lose, laugh cry, arrive leave, remember forget, north south, east west, love hate"""
CAPITALS = """France Paris, Japan Tokyo, Italy Rome, Spain Madrid, Germany Berlin, Egypt Cairo, China Beijing,
Russia Moscow, Canada Ottawa, Greece Athens, Portugal Lisbon, Austria Vienna, Poland Warsaw, Norway Oslo,
Sweden Stockholm, Finland Helsinki, Ireland Dublin, Cuba Havana, Peru Lima, Chile Santiago, Kenya Nairobi,
Thailand Bangkok, Turkey Ankara, Iran Tehran, Iraq Baghdad, Hungary Budapest, Denmark Copenhagen, Belgium Brussels"""
KINDS = """robin bird, salmon fish, hammer tool, apple fruit, oak tree, rose flower, violin instrument, shirt garment,
carrot vegetable, ant insect, copper metal, Mars planet, chess game, wheat grain, Spanish language, cobra snake,
eagle bird, trout fish, saw tool, banana fruit, pine tree, tulip flower, piano instrument, jacket garment,
onion vegetable, bee insect, iron metal, Venus planet, poker game, rice grain, French language, python snake"""


def pairs(text):
    return [tuple(pair.split()) for pair in text.replace("\n", " ").split(",")]


def others(chance, right, pool):
    """Wrong answers, none of them the right one and none twice."""
    return chance.sample(sorted(set(pool) - {right}), OPTIONS - 1)


def questions(chance):
    made = []
    for templates, known in (
        ("Question: What is the opposite of {}?\nAnswer:", pairs(OPPOSITES)),
        ("Question: What is the capital of {}?\nAnswer:", pairs(CAPITALS)),
        ("Question: What kind of thing is {}?\nAnswer:", pairs(KINDS)),
    ):
        pool = [right for _, right in known]
        made += [(templates.format(asked), right, others(chance, right, pool)) for asked, right in known]
    while len(made) < QUESTIONS:
        first, step = chance.randint(1, 40), chance.randint(1, 12)
        if len(made) % 2:
            text, right = f"Question: What is {first} plus {step}?\nAnswer:", first + step
        else:
            row = ", ".join(str(first + step * at) for at in range(4))
            text, right = f"Question: Which number comes next: {row}?\nAnswer:", first + step * 4
        near = [right + off for off in (-11, -3, -2, -1, 1, 2, 3, 10)]
        wrong = others(chance, str(right), [str(number) for number in near if number > 0])
        made.append((text, str(right), wrong))
    return made[:QUESTIONS]


def write(name, rows):
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    (HERE / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def main():
    chance = random.Random(SEED)
    rows = []
    for question, right, wrong in questions(chance):
        choices = [right, *wrong]
        chance.shuffle(choices)
        rows.append({"question": question, "choices": choices, "answer": choices.index(right)})
    write("choice.jsonl", rows)
    paragraphs = LICENCE.read_text(encoding="utf-8").split("\n\n")
    texts = [" ".join(paragraph.split()) for paragraph in paragraphs]
    write("texts.jsonl", [{"text": text} for text in texts if len(text) >= PARAGRAPH_CHARS_MIN])


if __name__ == "__main__":
    main()
