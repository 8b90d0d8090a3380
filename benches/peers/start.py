"""Seconds from starting a server to its first token; prints one JSON object.

usage: start.py ours LATHE HOME MODEL     `lathe up` on a home with an admitted model
       start.py second                    the constant that the row compares with
"""
import http.client
import json
import os
import signal
import statistics
import subprocess
import sys
import time


def once(program, home, model):
    environment = dict(os.environ, LATHE_HOME=home, LATHE_LANG="en")
    start = time.perf_counter()
    server = subprocess.Popen(
        [program, "up", "--listen", "127.0.0.1:0"], env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        address = next(word for word in server.stdout.readline().split() if word.startswith("http://"))
        host = address.removeprefix("http://").rstrip("/")
        body = json.dumps({"model": model, "stream": True, "max_tokens": 4, "messages": [{"role": "user", "content": "good"}]})
        while True:
            connection = http.client.HTTPConnection(host)
            connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            if answer.status == 200:
                break
            assert time.perf_counter() - start < 60, answer.read()
            answer.read()
            time.sleep(0.005)
        for line in answer:
            if line.startswith(b"data: {") and json.loads(line[6:])["choices"][0]["delta"].get("content"):
                return time.perf_counter() - start
        raise RuntimeError("the stream ended without a token")
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()


def main():
    if sys.argv[1] == "second":
        print(json.dumps({"seconds": 1.0}))
        return
    seconds = [once(*sys.argv[2:]) for _ in range(4)]
    print(json.dumps({"seconds": statistics.median(seconds[1:]), "all": seconds}))


if __name__ == "__main__":
    main()
