"""Every page in both languages and widths, as pictures to look at.

usage: cargo xtask screenshots [NAME]...
"""

import os
import pathlib
import sys

from pages import PAGES
from workshop import KINDS, LANGS, OTHERS, Browser, Workshops

OUT = pathlib.Path(os.environ["LATHE_SCREENSHOTS"])


def main(names):
    unknown = [name for name in names if name not in PAGES]
    if unknown:
        sys.exit(f"no page {unknown}; there are {', '.join(PAGES)}")
    workshops, browser = Workshops(KINDS), Browser()
    for lang in LANGS:
        for width in (1440, 390):
            for dark in (False, True):
                folder = OUT / f"{lang[:2]}-{width}-{'dark' if dark else 'light'}"
                folder.mkdir(parents=True, exist_ok=True)
                readers = {
                    reader: browser.context(lang, width, dark, workshops.cookies(reader)).new_page()
                    for reader in (None, *OTHERS)
                }
                for name, (kind, path) in PAGES.items():
                    if not names or name in names:
                        page = readers.get(kind, readers[None])
                        page.goto(workshops.url(kind, path))
                        page.screenshot(path=folder / f"{name}.png", full_page=True)
    browser.stop()
    workshops.stop()
    print(OUT)


main(sys.argv[1:])
