"""A preference task made by a rule: which reply fits what a customer feels.

    python benches/preference_task.py TRAIN.tsv TEST.tsv OUT_FOLDER

TRAIN and TEST are rows of id, mean and text of the product reviews (Hutto and Gilbert 2014), cut by review.
The rule: a mean below -0.5 wants an apology, above 0.5 the second reply, else the stock reply.

  demonstrations.jsonl   conversations as a busy desk holds them: seven of ten replies are the stock reply,
                         whatever was felt (seeded); beside them the same sentences' classes, a second task
  pairs.jsonl            the reply of the rule against one of the other two, for the same sentences
  replies.jsonl          the rule's replies to the sentences of TEST
  classes.jsonl          the classes of these: what learning from the pairs must not spoil
"""

import json
import pathlib
import random
import sys

SEED = 5
STOCK_SHARE = 0.7
REPLY = "Reply to the customer."
CLASSIFY = "Name the customer's feeling: negative, neutral or positive."
REPLIES = {
    "negative": "We are sorry about that. What can we do to put it right?",
    "neutral": "Thank you for writing to us.",
    "positive": "That is good to hear! May we quote you?",
}


def rows(path):
    for line in pathlib.Path(path).read_text(encoding="utf-8").splitlines():
        _, mean, text = line.split("\t", 2)
        mean = float(mean)
        yield text, "negative" if mean < -0.5 else "positive" if mean > 0.5 else "neutral"


def asked(system, text):
    return [{"role": "system", "content": system}, {"role": "user", "content": text}]


def conversation(system, text, answer):
    return {"messages": [*asked(system, text), {"role": "assistant", "content": answer}]}


def write(folder, name, records):
    with open(folder / name, "w", encoding="utf-8") as file:
        for record in records:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
    print(f"{len(records)} in {name}")


def main():
    train, test, folder = sys.argv[1:]
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    draw = random.Random(SEED)
    shown, pairs = [], []
    for text, feeling in rows(train):
        habit = "neutral" if draw.random() < STOCK_SHARE else feeling
        shown.append(conversation(REPLY, text, REPLIES[habit]))
        shown.append(conversation(CLASSIFY, text, feeling))
        other = draw.choice([name for name in REPLIES if name != feeling])
        answers = {"chosen": REPLIES[feeling], "rejected": REPLIES[other]}
        turns = {name: [{"role": "assistant", "content": answer}] for name, answer in answers.items()}
        pairs.append({"prompt": asked(REPLY, text), **turns})
    write(folder, "demonstrations.jsonl", shown)
    write(folder, "pairs.jsonl", pairs)
    held = list(rows(test))
    write(folder, "replies.jsonl", [conversation(REPLY, text, REPLIES[it]) for text, it in held])
    write(folder, "classes.jsonl", [conversation(CLASSIFY, text, it) for text, it in held])


if __name__ == "__main__":
    main()
