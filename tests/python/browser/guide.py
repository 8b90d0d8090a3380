"""The pictures of the guide's journeys, in both languages.

usage: cargo xtask screenshots --guide

Each is the head of a page as a window of a laptop shows it, named JOURNEY-STEP.LANG.webp under docs/guide/pictures.
"""

import base64
import os
import pathlib

from pages import PAGES
from workshop import KINDS, LANGS, OTHERS, Browser, Workshops

OUT = pathlib.Path(os.environ["LATHE_SCREENSHOTS"])
WIDTH = 1100
HEIGHT_MAX = 900

# Packs that a reader has, where the tests take one by its folder.
SAMPLE_ORDER = ("staffed", "/orders/new?pack=packs/customer-care&quick=true")
OWN_ORDER = ("staffed", "/orders/new?pack=reviews")
# The journeys, and the page that each of the pictured steps is about.
JOURNEYS = {
    "sample": {1: PAGES["orders-empty"], 2: SAMPLE_ORDER, 4: PAGES["order-running"], 5: PAGES["try"]},
    "own-data": {1: PAGES["bring"], 3: PAGES["brought"], 5: OWN_ORDER},
    "compare": {1: PAGES["clone"], 4: PAGES["compare"]},
    "approve": {1: PAGES["people"], 4: PAGES["pending"]},
    "source": {2: PAGES["receipt"], 4: PAGES["record"], 5: PAGES["withdraw"]},
}


def take(page, path):
    """The head of the page as WebP, which a picture of text wants: a third of PNG's bytes, no rings as in JPEG."""
    height = page.evaluate("document.documentElement.scrollHeight")
    clip = {"x": 0, "y": 0, "width": WIDTH, "height": min(height, HEIGHT_MAX), "scale": 1}
    session = page.context.new_cdp_session(page)
    shot = session.send("Page.captureScreenshot", {"format": "webp", "quality": 80, "clip": clip})
    path.write_bytes(base64.b64decode(shot["data"]))


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    workshops, browser = Workshops(KINDS), Browser()
    for lang in LANGS:
        readers = {
            reader: browser.context(lang, WIDTH, False, workshops.cookies(reader)).new_page()
            for reader in (None, *OTHERS)
        }
        for journey, steps in JOURNEYS.items():
            for step, (kind, path) in steps.items():
                page = readers.get(kind, readers[None])
                page.goto(workshops.url(kind, path))
                take(page, OUT / f"{journey}-{step}.{lang[:2]}.webp")
    browser.stop()
    workshops.stop()
    print(OUT)


main()
