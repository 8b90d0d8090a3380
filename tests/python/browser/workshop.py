"""Sample workshops to look at, and the browser that looks.

Each is the example `sample` of lathe-web in a process of its own: the real router over written-down views, or over
a real workshop that people brought things to.
"""

import json
import os
import pathlib
import re
import subprocess
import tempfile

from playwright.sync_api import sync_playwright

ROOT = pathlib.Path(__file__).resolve().parents[3]
SAMPLE = os.environ["LATHE_SAMPLE"]

# Nothing in it breaks by itself: where a page does not break it, it is too wide.
LONG = "Unbreakable" * 12 + " 很长的名称没有任何空格也没有标点符号" * 6
# What each server shows: the arguments that the example takes.
KINDS = {
    "sample": (),
    "empty": ("empty",),
    "filed": ("filed",),
    "decided": ("decided",),
    "going-on": ("going-on",),
    "rejected": ("rejected",),
    "cancelled": ("cancelled",),
    "refused": ("refused",),
    "without-record": ("without-record",),
    "many": ("many",),
    "long": ("long", LONG),
    "signed": ("signed",),
    "fresh": ("fresh",),
    "staffed": ("staffed",),
    "crowded": ("staffed", LONG),
}
# What nobody was let into yet, once for each language: the first person ends that.
FIRST = {"first-en": ("fresh",), "first-zh": ("fresh",)}
# The same workshop as another reads it: without a session, and with the one of somebody who only tunes.
OTHERS = {"stranger": ("staffed", None), "tuner": ("staffed", "tuner")}

# Far beyond what anything takes, so that a machine that does much else passes.
PATIENCE_MS = 60_000

# The languages, as a browser names them, and as `<html lang>` does.
LANGS = {"en-GB": "en", "zh-CN": "zh-CN"}


class Workshops:
    """The servers, by kind; each at an address of its own, since cookies know no ports."""

    def __init__(self, kinds):
        self.folder = tempfile.TemporaryDirectory()
        self.processes = []
        self.urls = {}
        self.known = {}
        environment = {**os.environ, "TMPDIR": self.folder.name}
        for place, arguments in enumerate(kinds.values(), 1):
            command = [SAMPLE, f"127.0.0.{place}:0", *arguments]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment)
            self.processes.append(process)
        for kind, process in zip(kinds, self.processes):
            self.urls[kind] = process.stdout.readline().strip().rstrip("/")
            self.known[kind] = json.loads(process.stdout.readline())

    def url(self, kind, path):
        """Where a path stands, its `{name}` filled in with what this run alone knows."""
        kind, _ = OTHERS.get(kind, (kind, None))
        return self.urls[kind] + path.format(**self.known[kind])

    def cookies(self, kind):
        """The sessions of whoever reads pages of this kind."""
        whose = {server: "session" for server in self.urls}
        if kind in OTHERS:
            server, session = OTHERS[kind]
            whose = {server: session}
        sessions = ((self.urls[server], self.known[server].get(session)) for server, session in whose.items())
        return [{"name": "lathe_session", "value": value, "url": url} for url, value in sessions if value]

    def stop(self):
        for process in self.processes:
            process.kill()
            process.wait()
            process.stdout.close()
        self.folder.cleanup()


class Browser:
    """Headless Chromium as the machine has it."""

    def __init__(self):
        self.playwright = sync_playwright().start()
        self.chromium = self.playwright.chromium.launch(
            executable_path=os.environ["LATHE_CHROMIUM"],
            args=["--no-sandbox", "--force-color-profile=srgb", "--disable-gpu"],
        )

    def context(self, lang="en-GB", width=1440, dark=False, cookies=(), **options):
        context = self.chromium.new_context(
            locale=lang,
            timezone_id="Asia/Shanghai",
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
            **options,
        )
        context.add_cookies(list(cookies))
        context.set_default_timeout(PATIENCE_MS)
        return context

    def stop(self):
        self.chromium.close()
        self.playwright.stop()


def routes():
    """Method and pattern of every page and form, as the server's own table of rights has them."""
    printed = subprocess.run([SAMPLE, "pages"], check=True, capture_output=True, text=True).stdout
    return {tuple(line.split(" ", 1)) for line in printed.splitlines()}


def route_of(method, path, known):
    """The route that answers this, a literal one before one with a place in it."""
    fitting = []
    for route_method, pattern in known:
        expression = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(pattern))
        if route_method == method and re.fullmatch(expression, path):
            fitting.append((pattern.count("{"), pattern))
    return (method, min(fitting)[1]) if fitting else None
