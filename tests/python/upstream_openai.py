"""llama-server behind a workshop's door, asked with the openai package.

Usage: upstream_openai.py LATHE LLAMA_SERVER MODEL HOME

Prints what was seen; fails where the answers differ from those of llama-server asked directly, where hanging
up does not free its slot, or where a dead upstream is not said to be.
"""

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request

import openai

LATHE, LLAMA_SERVER, MODEL, HOME = sys.argv[1:5]
NAME = "smol"
ENVIRONMENT = os.environ | {"LATHE_HOME": HOME, "LATHE_LANG": "en"}
QUESTIONS = [
    "What is the capital of France?",
    "Write a haiku about rain.",
    "你好，你是谁？",
    "List three prime numbers.",
]


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def get(url):
    with urllib.request.urlopen(url) as answer:
        return json.load(answer)


def wait_until(what, is_so, seconds=60.0):
    begun = time.monotonic()
    while not is_so():
        assert time.monotonic() - begun < seconds, f"waited in vain for {what}"
        time.sleep(0.002)
    return time.monotonic() - begun


def llama(port):
    # One thread: several wait for one another spinning, and what is shown here is not speed.
    command = [LLAMA_SERVER, "-m", MODEL, "--port", str(port), "--jinja", "-c", "4096", "-np", "2", "-t", "1", "--slots"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def is_well():
        assert process.poll() is None, "llama-server ended while it was starting"
        try:
            return get(f"http://127.0.0.1:{port}/health")["status"] == "ok"
        except OSError:
            return False

    wait_until("llama-server", is_well)
    return process


def lathe(*arguments):
    done = subprocess.run([LATHE, *arguments], env=ENVIRONMENT, capture_output=True, text=True, check=True)
    return done.stdout


def state():
    upstreams = json.loads(lathe("upstream", "list", "--json"))["upstreams"]
    return upstreams[0]["state"]


def chat(client, model, question, extra_body=None, **more):
    messages = [{"role": "user", "content": question}]
    # A parameter of llama-server's own, without which the same question may be rounded otherwise twice.
    own = {"cache_prompt": False} | (extra_body or {})
    return client.chat.completions.create(
        model=model, messages=messages, temperature=0, max_tokens=48, extra_body=own, **more
    )


def same_answers(ours, theirs):
    """Whole and streamed, asked here and there."""
    for question in QUESTIONS:
        expected = chat(theirs, "any", question)
        whole = chat(ours, NAME, question)
        text = expected.choices[0].message.content
        assert whole.choices[0].message.content == text, question
        assert whole.model == NAME
        assert whole.usage.completion_tokens == expected.usage.completion_tokens
        said = whole.model_extra["lathe"]
        assert said["weights"] == "not verified" and said["upstream"]["counted"] == "upstream", said
        streamed, usage = "", None
        options = {"include_usage": True}
        for chunk in chat(ours, NAME, question, stream=True, stream_options=options):
            usage = chunk.usage or usage
            if chunk.choices:
                streamed += chunk.choices[0].delta.content or ""
        assert streamed == text, f"{streamed!r} is not {text!r}"
        assert usage.completion_tokens == expected.usage.completion_tokens
    print(f"{len(QUESTIONS)} questions, whole and streamed: the answers and counts of llama-server itself")


def other_interfaces(ours, theirs):
    wanted = {"prompt": "The capital of France is", "max_tokens": 8, "temperature": 0}
    expected = theirs.completions.create(model="any", **wanted).choices[0].text
    assert ours.completions.create(model=NAME, **wanted).choices[0].text == expected
    shape = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 12}}, "required": ["city"]}
    shaped = chat(
        ours, NAME, "Name a city as JSON.",
        response_format={"type": "json_schema", "json_schema": {"name": "c", "schema": shape}},
    )
    json.loads(shaped.choices[0].message.content)
    # A parameter of llama-server's own, which goes through.
    grammar = {"grammar": 'root ::= "yes" | "no"'}
    answer = chat(ours, NAME, "Is water wet?", extra_body=grammar).choices[0].message.content
    assert answer in ("yes", "no"), answer
    try:
        chat(ours, NAME, "word " * 5000)
        raise AssertionError("a prompt beyond the context was answered")
    except openai.BadRequestError as error:
        print("a prompt that is too long:", error.status_code, error.code)


def hanging_up(ours, port):
    """Every slot is free again soon after its caller has gone."""
    busy = lambda: any(slot["is_processing"] for slot in get(f"http://127.0.0.1:{port}/slots"))
    slowest = 0.0
    for _ in range(10):
        messages = [{"role": "user", "content": "Tell a very long story."}]
        stream = ours.chat.completions.create(
            model=NAME, messages=messages, stream=True, max_tokens=2000, extra_body={"ignore_eos": True}
        )
        for _, _ in zip(range(3), stream):
            pass
        assert busy()
        stream.close()
        slowest = max(slowest, wait_until("a free slot", lambda: not busy(), 5.0))
    assert slowest < 1.0, slowest
    print(f"10 callers hung up mid-stream: llama-server's slot was free {slowest * 1000:.0f} ms later at most")


def going_down(ours, process, port):
    messages = [{"role": "user", "content": "Tell a very long story."}]
    stream = ours.chat.completions.create(
        model=NAME, messages=messages, stream=True, max_tokens=2000, extra_body={"ignore_eos": True}
    )
    next(iter(stream))
    process.kill()
    process.wait()
    try:
        for _ in stream:
            pass
        raise AssertionError("a stream of a dead server ended as if it were whole")
    except openai.APIError as error:
        print("killed mid-stream:", error.code)
    begun = time.monotonic()
    try:
        chat(ours, NAME, "Are you there?")
        raise AssertionError("a dead server answered")
    except openai.InternalServerError as error:
        took = time.monotonic() - begun
        print(f"while it is down: {error.status_code} {error.code} after {took * 1000:.0f} ms,",
              "Retry-After", error.response.headers["retry-after"])
    wait_until("the upstream's being found down", lambda: state() == "down")
    again = llama(port)
    wait_until("the upstream's being found up", lambda: state() == "up")
    assert chat(ours, NAME, QUESTIONS[0]).choices[0].message.content
    print("and after it is back it is asked again by itself")
    return again


def main():
    port = free_port()
    process = llama(port)
    up = subprocess.Popen([LATHE, "up", "--listen", "127.0.0.1:0"], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    try:
        url = re.search(r"http://\S+?(?=/?\s|$)", up.stdout.readline()).group(0).rstrip("/")
        lathe("upstream", "add", NAME, "--url", f"http://127.0.0.1:{port}", "--reason", "acceptance")
        wait_until("the upstream", lambda: state() == "up")
        ours = openai.OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0)
        theirs = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="any", max_retries=0)
        same_answers(ours, theirs)
        other_interfaces(ours, theirs)
        hanging_up(ours, port)
        process = going_down(ours, process, port)
    finally:
        up.terminate()
        up.wait()
        process.kill()
        process.wait()
    print(lathe("verify").strip().splitlines()[-1])


main()
