"""The pages in headless Chromium, as people use them: in both languages, wide and narrow, light and dark,
with a pointer, with keys, without JavaScript.

usage: cargo xtask browser
A page without an entry in pages.py, or a form that nothing in acts.py sends, fails the last test here.
"""

import sys
import unittest

from acts import ACTS
from checks import Watch
from pages import DONE, PAGES
from workshop import KINDS, LANGS, Browser, Workshops, route_of, routes

FIRST_PAGE_BYTES_MAX = 100_000
seen = set()
workshops = browser = None


def setUpModule():
    global workshops, browser
    workshops, browser = Workshops(KINDS), Browser()


def tearDownModule():
    browser.stop()
    workshops.stop()


def watch(**options):
    return Watch(browser.context(**options), workshops.urls, seen)


class Visit:
    """Goes to addresses as one reader, in one language."""

    def __init__(self, lang, width):
        context = browser.context(lang, width, permissions=["clipboard-read", "clipboard-write"])
        self.watch = Watch(context, workshops.urls, seen)
        self.page = self.watch.page
        self.page.set_default_timeout(8_000)

    def url(self, path, kind="sample"):
        return workshops.urls[kind] + path

    def __call__(self, path, kind="sample"):
        answer = self.page.goto(self.url(path, kind))
        assert answer.status == 200, f"{path}: {answer.status}"
        return self.page


class EveryPage(unittest.TestCase):
    def look(self, lang, width, dark, axe=False):
        watched = watch(lang=lang, width=width, dark=dark)
        for name, (kind, path) in PAGES.items():
            with self.subTest(page=name, lang=lang, width=width, dark=dark):
                answer = watched.page.goto(workshops.urls[kind] + path)
                self.assertEqual(answer.status, 404 if name == "missing" else 200)
                found = watched.problems(LANGS[lang])
                found += watched.axe() if axe else []
                self.assertEqual(found, [])
        watched.page.context.close()

    def test_english_wide_light(self):
        self.look("en-GB", 1440, dark=False, axe=True)

    def test_english_narrow_dark(self):
        self.look("en-GB", 390, dark=True)

    def test_chinese_wide_dark(self):
        self.look("zh-CN", 1440, dark=True)

    def test_chinese_narrow_dark_with_axe(self):
        self.look("zh-CN", 390, dark=True, axe=True)


class WithoutScript(unittest.TestCase):
    def test_every_page_is_there(self):
        plain = watch(java_script_enabled=False)
        for name, (kind, path) in PAGES.items():
            with self.subTest(page=name):
                plain.page.goto(workshops.urls[kind] + path)
                text = plain.page.locator("main").inner_text()
                self.assertGreater(len(text), 60, text)
                self.assertEqual(plain.page.locator("main :disabled").count(), 0)
        plain.page.context.close()

    def test_orders_are_narrowed_and_a_model_answers(self):
        page = watch(lang="zh-CN", java_script_enabled=False).page
        page.goto(workshops.urls["many"])
        page.locator("[name=state]").select_option("failed")
        page.locator(".narrowing button").click()
        self.assertEqual(page.locator("tbody tr").count(), page.locator("tbody .state.failed").count())
        page.goto(workshops.urls["sample"] + "/try")
        page.locator("[name=user]").fill("Lovely.")
        page.locator("#ask button[type=submit]").click()
        page.wait_for_selector(".gauge")
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
            page.on("response", answers.append)
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


class Routes(unittest.TestCase):
    def test_every_route_was_used(self):
        known = routes()
        self.assertGreater(len(known), 30, "the router is read as it is written")
        used = {route_of(method, path, known) for method, path in seen}
        self.assertEqual(known - used, set(), "pages that no test opens, forms that no test sends")


def load_tests(loader, _tests, _pattern):
    suite = unittest.TestSuite()
    # The last one looks at what the others did.
    for case in (FirstVisit, EveryPage, WithoutScript, Errands, Routes):
        suite.addTests(loader.loadTestsFromTestCase(case))
    return suite


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-q", *sys.argv[1:]])
