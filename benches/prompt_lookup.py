#!/usr/bin/env python3
"""What guessing the tokens of answers that repeat is worth (prompt lookup), one caller at a time.

    prompt_lookup.py TINY MODEL.gguf

TINY is the program of `cargo build --release -p lathe-serve --example tiny`. It serves the model twice, with and without
guesses; both are asked the same in turn, greedily: to repeat a text, to go on with a table, and to tell something new.
Prints the median milliseconds of each kind, whether the answers are the same, and how many guesses were right.
"""

import json
import os
import re
import statistics
import subprocess
import sys
import time
import urllib.request

PORTS = {"0": 7961, "5": 7962}
TURNS = 5
THINGS = ["battery", "screen", "charger", "cable", "camera", "keyboard", "router", "printer"]
TEXT = (
    "The router was delivered on Monday and set up by the customer. On Tuesday the connection broke down twice, "
    "for ten minutes each time. The customer asks for a technician, and for the fee of this month to be given back."
)
QUESTIONS = {
    "repeat a text": f"Repeat the following text word for word, and nothing else.\n\n{TEXT}",
    "go on with a table": "Write one line of JSON for each of these things, as in the first line: "
    + ", ".join(THINGS)
    + '.\n{"thing": "battery", "department": "returns", "urgent": false}',
    "tell something new": "Tell a short story about a lighthouse keeper who finds a map.",
}


def ask(port, question):
    body = {
        "model": "tiny",
        "temperature": 0,
        "max_tokens": 96,
        "messages": [{"role": "user", "content": question}],
    }
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/chat/completions",
        json.dumps(body).encode(),
        {"content-type": "application/json"},
    )
    began = time.perf_counter()
    with urllib.request.urlopen(request, timeout=120) as response:
        answer = json.load(response)
    took = (time.perf_counter() - began) * 1000
    return answer["choices"][0]["message"]["content"], answer["usage"]["completion_tokens"], took


def figures(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
        text = response.read().decode()
    value = lambda name: sum(float(it) for it in re.findall(rf"^vllm:spec_decode_num_{name}_tokens_total\S* (\S+)$", text, re.M))
    return value("draft"), value("accepted")


def main():
    program, model = sys.argv[1:]
    servers = []
    try:
        for guessed, port in PORTS.items():
            environment = {**os.environ, "GUESSED_TOKENS": guessed}
            server = subprocess.Popen(
                [program, f"127.0.0.1:{port}", model], env=environment, stdout=subprocess.PIPE, text=True
            )
            servers.append(server)
            server.stdout.readline()
        for kind, question in QUESTIONS.items():
            before = figures(PORTS["5"])
            times = {guessed: [] for guessed in PORTS}
            answers = set()
            for turn in range(TURNS + 1):
                for guessed, port in PORTS.items():
                    text, tokens, took = ask(port, question)
                    answers.add((text, tokens))
                    if turn > 0:
                        times[guessed].append(took)
            plain, guessing = (statistics.median(times[it]) for it in ("0", "5"))
            drafted, right = (after - first for after, first in zip(figures(PORTS["5"]), before))
            print(
                f"{kind}: {tokens} tokens, {plain:.0f} ms without, {guessing:.0f} ms with: {plain / guessing:.2f}x; "
                f"{right:.0f} of {drafted:.0f} guessed tokens right; same answers: {len(answers) == 1}"
            )
    finally:
        for server in servers:
            server.kill()


if __name__ == "__main__":
    main()
