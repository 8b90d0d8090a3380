"""Sample workshops to look at, and the browser that looks.

Each is the example `sample` of lathe-web: the real router over written-down views, in a process of its own.
"""

import os
import pathlib
import re
import subprocess

from playwright.sync_api import sync_playwright

ROOT = pathlib.Path(__file__).resolve().parents[3]
PAGES_SOURCE = ROOT / "crates/web/src/pages/mod.rs"

# Nothing in it breaks by itself: where a page does not break it, it is too wide.
LONG = "Unbreakable" * 12 + " 很长的名称没有任何空格也没有标点符号" * 6
# What each server shows: the argument that the example takes.
KINDS = {"sample": None, "empty": "empty", "filed": "filed", "many": "many", "long": LONG}

# The languages, as a browser names them, and as `<html lang>` does.
LANGS = {"en-GB": "en", "zh-CN": "zh-CN"}


class Workshops:
    """The servers, by kind."""

    def __init__(self, kinds):
        self.processes = []
        self.urls = {}
        for kind in kinds:
            arguments = [os.environ["LATHE_SAMPLE"], "127.0.0.1:0"]
            if KINDS[kind]:
                arguments.append(KINDS[kind])
            process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
            self.processes.append(process)
            self.urls[kind] = process.stdout.readline().strip().rstrip("/")

    def stop(self):
        for process in self.processes:
            process.kill()
            process.wait()
            process.stdout.close()


class Browser:
    """Headless Chromium as the machine has it."""

    def __init__(self):
        self.playwright = sync_playwright().start()
        self.chromium = self.playwright.chromium.launch(
            executable_path=os.environ["LATHE_CHROMIUM"],
            args=["--no-sandbox", "--force-color-profile=srgb", "--disable-gpu"],
        )

    def context(self, lang="en-GB", width=1440, dark=False, **options):
        return self.chromium.new_context(
            locale=lang,
            timezone_id="Asia/Shanghai",
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
            **options,
        )

    def stop(self):
        self.chromium.close()
        self.playwright.stop()


def routes():
    """Method and pattern of every page, as the router has them."""
    text = PAGES_SOURCE.read_text(encoding="utf-8")
    found = set()
    for call in re.finditer(r'\.route\(\s*"([^"]+)",((?:[^()]|\([^()]*\))*)\)', text):
        pattern, handlers = call.groups()
        for method in re.findall(r"\b(get|post|put|delete)\(", handlers):
            found.add((method.upper(), pattern))
    return found


def route_of(method, path, known):
    """The route that answers this, a literal one before one with a place in it."""
    fitting = []
    for route_method, pattern in known:
        expression = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(pattern))
        if route_method == method and re.fullmatch(expression, path):
            fitting.append((pattern.count("{"), pattern))
    return (method, min(fitting)[1]) if fitting else None
