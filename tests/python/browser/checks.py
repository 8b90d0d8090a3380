"""What holds on every page, whoever looks at it."""

import os
import pathlib

# Counts what moves by itself once it is painted.
SHIFT = """
window.shifted = 0;
window.movers = [];
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) {
    if (entry.hadRecentInput) continue;
    window.shifted += entry.value;
    for (const source of entry.sources) window.movers.push(source.node?.outerHTML?.slice(0, 90));
  }
}).observe({ type: "layout-shift", buffered: true });
"""

# What is wider than the window, or cut off where nothing scrolls.
TOO_WIDE = """() => {
  const found = [];
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) found.push(`the page is ${root.scrollWidth} px wide`);
  const apart = ".sr, .skip, .defs, .scroll, .clip, .who, .log, select, input, textarea, svg *, option";
  for (const element of document.querySelectorAll("body *")) {
    const box = element.getBoundingClientRect();
    if (!box.width || !box.height || element.closest(apart)) continue;
    const head = element.closest("thead");
    if (head && getComputedStyle(head).clipPath !== "none") continue;
    const name = `<${element.localName} class="${element.getAttribute("class") ?? ""}">`;
    if (box.right > innerWidth + 1 || box.left < -1) found.push(`${name} ends at ${Math.round(box.right)} px`);
    const hides = ["hidden", "clip"].includes(getComputedStyle(element).overflowX);
    if (hides && element.scrollWidth > element.clientWidth + 1 && element.localName !== "svg") {
      found.push(`${name} cuts its content off`);
    }
  }
  return found.slice(0, 6);
}"""

# Entries of the navigation that stand in a further row, and not below one of the first.
UNEVEN = """() => {
  const links = [...document.querySelectorAll(".top nav a")];
  const left = (link) => Math.round(link.getBoundingClientRect().left);
  const top = (link) => Math.round(link.getBoundingClientRect().top);
  const columns = links.filter((link) => top(link) === top(links[0])).map(left);
  const apart = links.filter((link) => !columns.includes(left(link)));
  return apart.map((link) => `${link.textContent} in the navigation stands at ${left(link)} px`);
}"""

AXE = pathlib.Path(os.environ["LATHE_AXE"]).read_text(encoding="utf-8") if "LATHE_AXE" in os.environ else ""
# The preloading of style sheets would be a request of its own.
AXE_RUN = "() => axe.run(document, {resultTypes: ['violations'], preload: false})"


class Watch:
    """Listens to a page: what it asks for, and what goes wrong in it."""

    def __init__(self, context, base, seen, axe=False):
        context.add_init_script(SHIFT + (AXE if axe else ""))
        self.page = context.new_page()
        self.base = base
        self.wrong = []
        self.seen = seen
        self.page.on("console", self.console)
        self.page.on("pageerror", lambda error: self.wrong.append(f"script: {error}"))
        self.page.on("request", self.request)
        self.page.on("response", self.response)

    def console(self, message):
        # A page that is not there, or a form that is refused, is a failed resource to the console.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.wrong.append(f"console: {message.text}")

    def request(self, request):
        if not request.url.startswith(tuple(self.base.values())):
            self.wrong.append(f"a request to {request.url}")

    def response(self, response):
        method = response.request.method
        # What was refused was not used; a form that was taken leads on.
        if response.status == 200 or (method == "POST" and response.status == 303):
            path = "/" + response.url.split("/", 3)[3].split("?")[0]
            self.seen.add((method, path))

    def show(self, width, scheme):
        """Makes the window so wide, and its reader one who likes it light or dark."""
        self.page.set_viewport_size({"width": width, "height": 900})
        self.page.emulate_media(color_scheme=scheme)

    def problems(self, html_lang):
        """What is wrong with the page as it stands."""
        page = self.page
        found, self.wrong = self.wrong, []
        lang = page.evaluate("document.documentElement.lang")
        if lang != html_lang:
            found.append(f"the page says it is in {lang}, not {html_lang}")
        if not page.locator("main h1, main h2").count():
            found.append("no heading")
        found += page.evaluate(TOO_WIDE)
        found += page.evaluate(UNEVEN)
        shifted, movers = page.evaluate("[window.shifted, window.movers]")
        if shifted:
            found.append(f"the layout shifts by {shifted:.4f}: {movers[:3]}")
        return found

    def axe(self):
        """What axe-core finds serious or critical."""
        found = []
        for it in self.page.evaluate(AXE_RUN)["violations"]:
            if it["impact"] in ("serious", "critical"):
                where = "; ".join(node["html"][:120] + " " + node["failureSummary"][:160] for node in it["nodes"][:3])
                found.append(f"axe {it['id']}: {where}")
        return found
