"""The pages in headless Chromium, as people use them: in both languages, wide and narrow, light and dark,
with a pointer, with keys, without JavaScript.

usage: cargo xtask browser [TEST]...
A page without an entry in pages.py fails the first test here, a form that nothing in acts.py sends the last one. The
tests run in two halves beside each other; those that are named, one after the other.
"""

import io
import multiprocessing
import sys
import unittest

from acts import ACTS, follow
from checks import Watch
from pages import ELSEWHERE, NO_PAGES, PAGES, STATUS
from workshop import FIRST, KINDS, LANGS, OTHERS, Browser, Workshops, route_of, routes

FIRST_PAGE_BYTES_MAX = 100_000
seen = set()
workshops = browser = None


def begin():
    global workshops, browser
    workshops, browser = Workshops(KINDS | FIRST), Browser()


def end():
    browser.stop()
    workshops.stop()


def watch(kind=None, axe=False, **options):
    context = browser.context(cookies=workshops.cookies(kind), **options)
    return Watch(context, workshops.urls, seen, axe)


class Visit:
    """Goes to addresses as one reader, in one language."""

    def __init__(self, lang, width):
        self.watch = watch(lang=lang, width=width, permissions=["clipboard-read", "clipboard-write"])
        self.lang = lang[:2]
        self.page = self.watch.page

    def url(self, path, kind="sample"):
        return workshops.url(kind, path)

    def __call__(self, path, kind="sample", status=200):
        answer = self.page.goto(self.url(path, kind))
        assert answer.status == status, f"{path}: {answer.status}"
        return self.page

    def as_stranger(self):
        """Whoever reads has no session any more."""
        self.page.context.clear_cookies(name="lathe_session")


class EveryPage(unittest.TestCase):
    def look(self, lang, first, second):
        """Loads every page as the first window has it, for axe-core too, and makes it the second window then."""
        readers = {kind: watch(kind, axe=True, lang=lang) for kind in (None, *OTHERS)}
        for name, (kind, path) in PAGES.items():
            watched = readers.get(kind, readers[None])
            watched.show(*first)
            with self.subTest(page=name, lang=lang, window=first):
                answer = watched.page.goto(workshops.url(kind, path))
                self.assertEqual(answer.status, STATUS.get(name, 200))
                self.assertEqual(watched.problems(LANGS[lang]) + watched.axe(), [])
            watched.show(*second)
            with self.subTest(page=name, lang=lang, window=second):
                self.assertEqual(watched.problems(LANGS[lang]), [])
        for watched in readers.values():
            watched.page.context.close()

    # Loaded once wide and once narrow: what shifts as a page comes shows itself in both.
    def test_english(self):
        self.look("en-GB", (1440, "light"), (390, "dark"))

    def test_chinese(self):
        self.look("zh-CN", (390, "dark"), (1440, "dark"))


class WithoutScript(unittest.TestCase):
    def test_every_page_is_there(self):
        readers = {kind: watch(kind, java_script_enabled=False) for kind in (None, *OTHERS)}
        for name, (kind, path) in PAGES.items():
            page = readers.get(kind, readers[None]).page
            with self.subTest(page=name):
                page.goto(workshops.url(kind, path))
                text = page.locator("main").inner_text()
                self.assertGreater(len(text), 60, text)
                self.assertEqual(page.locator("main :disabled").count(), 0)
        for plain in readers.values():
            plain.page.context.close()

    def test_orders_are_narrowed_and_a_model_answers(self):
        page = watch(lang="zh-CN", java_script_enabled=False).page
        page.goto(workshops.urls["many"])
        page.locator("[name=state]").select_option("failed")
        follow(page.locator(".narrowing button"))
        self.assertEqual(page.locator("tbody tr").count(), page.locator("tbody .state.failed").count())
        page.goto(workshops.urls["sample"] + "/try")
        page.locator("[name=user]").fill("Lovely.")
        page.locator("#ask button[type=submit]").click()
        page.wait_for_selector(".gauge")
        page.context.close()

    def test_a_file_is_brought_and_forgotten(self):
        page = watch(java_script_enabled=False).page
        page.goto(workshops.url("staffed", "/data/bring"))
        table = "text,label\n" + "".join(f"question {row},{'ab'[row % 2]}\n" for row in range(20))
        file = {"name": "plain.csv", "mimeType": "text/csv", "buffer": table.encode()}
        page.locator("[name=file]").set_input_files(file)
        follow(page.locator("#bring button"))
        self.assertRegex(page.url, "/data/bring/[0-9a-f]+$")
        self.assertEqual(page.locator("[name=question]").input_value(), "text")
        follow(page.locator("button[value=forget]"))
        self.assertTrue(page.url.endswith("/data/bring"))
        self.assertEqual(page.get_by_text("plain.csv").count(), 0)
        page.context.close()

    def test_a_recipe_fills_the_form(self):
        page = watch(java_script_enabled=False).page
        page.goto(workshops.url("staffed", "/orders/new?pack={pack}"))
        page.locator("[name=recipe]").fill("lora_rank: 4\noutput_dir: saves\n")
        page.locator("button[value=recipe]").click()
        self.assertEqual(page.locator("[name='tune.sft.rank']").input_value(), "4")
        self.assertEqual(page.locator("#recipe-left dd").all_inner_texts(), ["output_dir"])
        page.context.close()


class FirstVisit(unittest.TestCase):
    def test_it_speaks_the_language_of_the_browser_until_another_is_chosen(self):
        for lang, html_lang in {**LANGS, "fr-FR": "en"}.items():
            page = watch(lang=lang).page
            page.goto(workshops.urls["empty"])
            self.assertEqual(page.evaluate("document.documentElement.lang"), html_lang)
            page.locator(".lang").click()
            other = page.evaluate("document.documentElement.lang")
            self.assertNotEqual(other, html_lang)
            page.locator("header nav a").nth(1).click()
            self.assertEqual(page.evaluate("document.documentElement.lang"), other, "it is remembered")
            page.context.close()

    def test_it_is_light(self):
        for kind in ("empty", "sample", "many"):
            page = watch().page
            answers = []
            page.on("response", lambda answer: answers.append(answer))
            page.goto(workshops.urls[kind], wait_until="networkidle")
            # As they are, not as they are compressed.
            size = sum(len(answer.body()) for answer in answers)
            self.assertGreater(len(answers), 2, "page, style and script")
            self.assertLess(size, FIRST_PAGE_BYTES_MAX, kind)
            page.context.close()

    def test_keys_lead_past_the_navigation(self):
        page = watch().page
        page.goto(workshops.urls["sample"])
        page.keyboard.press("Tab")
        self.assertEqual(page.evaluate("document.activeElement.className"), "skip")
        self.assertGreater(page.locator(".skip").bounding_box()["height"], 10, "it shows itself")
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        self.assertTrue(page.evaluate("document.querySelector('main').contains(document.activeElement)"))
        page.context.close()

    def test_an_empty_workshop_says_how_to_begin(self):
        page = watch(lang="zh-CN").page
        for path in ("/", "/data", "/try", "/register", "/tour"):
            page.goto(workshops.urls["empty"] + path)
            self.assertIn("lathe ", page.locator("main .command").first.inner_text(), path)
        page.goto(workshops.urls["empty"])
        self.assertEqual(page.locator("main section h2 .stage").all_inner_texts(), ["1", "2", "3"])
        page.context.close()


class Errands(unittest.TestCase):
    def run_all(self, lang, width):
        for act in ACTS:
            with self.subTest(act=act.__name__, lang=lang, width=width):
                visit = Visit(lang, width)
                try:
                    act(visit)
                    self.assertEqual(visit.watch.wrong, [])
                finally:
                    visit.page.context.close()

    def test_in_english_on_a_desk(self):
        self.run_all("en-GB", 1440)

    def test_in_chinese_on_a_phone(self):
        self.run_all("zh-CN", 390)


class Table(unittest.TestCase):
    def test_every_page_stands_in_it(self):
        known = routes()
        pages = {route for method, route in known if method == "GET"}
        self.assertGreater(len(pages), 30, pages)
        stand = set()
        for kind, path in PAGES.values():
            url = workshops.url(kind, path)
            route = route_of("GET", "/" + url.split("/", 3)[3].split("?")[0], known)
            stand.add(route and route[1])
        self.assertEqual(pages - stand - set(NO_PAGES), set(), "pages without a line in pages.py")
        self.assertEqual(set(NO_PAGES) - pages, set(), "no pages, and nothing else either")


class Routes(unittest.TestCase):
    def test_every_route_was_used(self):
        known = routes() - {("GET", "/favicon.ico")} - ELSEWHERE
        self.assertGreater(len(known), 60, "the table of rights is read as the server has it")
        used = {route_of(method, path, known) for method, path in seen}
        self.assertEqual(known - used, set(), "pages that no test opens, forms that no test sends")


# Each half takes about as long as the other.
HALVES = ((Table, FirstVisit, WithoutScript, Errands), (EveryPage,))


def run(cases):
    """Runs the tests of these; whether they passed, and what is to be told of it."""
    suite = unittest.TestSuite(map(unittest.defaultTestLoader.loadTestsFromTestCase, cases))
    told = io.StringIO()
    passed = unittest.TextTestRunner(told).run(suite).wasSuccessful()
    return passed, told.getvalue()


def half(cases):
    """One half, with workshops and a browser of its own; what it used, too."""
    begin()
    try:
        return *run(cases), seen
    finally:
        end()


def main():
    if sys.argv[1:]:
        begin()
        try:
            return unittest.main(exit=False).result.wasSuccessful()
        finally:
            end()
    with multiprocessing.get_context("fork").Pool(len(HALVES)) as pool:
        halves = pool.map(half, HALVES, chunksize=1)
    for _, told, used in halves:
        print(told)
        seen.update(used)
    passed, told = run((Routes,))
    print(told)
    return passed and all(it[0] for it in halves)


if __name__ == "__main__":
    sys.exit(not main())
