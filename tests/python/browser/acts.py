"""What people do on the pages, in any language: by addresses, roles and forms, never by words.

Each function is one errand. `visit` goes to an address of the sample workshop in a page that is watched.
"""

from pages import BASE, DATASET, DONE, FAILED, LEAF, MODEL, NUMBER, PAUSED, RECEIPT, RUNNING


def finds_orders(visit):
    page = visit("/", kind="many")
    page.locator("[name=q]").fill("after-sales")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=after-sales**")
    packs = page.locator("tbody .mono").all_inner_texts()
    assert packs and all(pack.startswith("after-sales") for pack in packs), packs
    page.goto(visit.url("/orders", "many"))
    page.locator("[name=state]").select_option("done")
    page.locator("[name=sort]").select_option("oldest")
    page.locator(".narrowing button").click()
    page.wait_for_url("**state=done**")
    assert page.locator("tbody tr").count() == page.locator("tbody .state.done").count() > 0
    assert page.locator("[name=sort]").input_value() == "oldest", "the form keeps what was chosen"
    page.goto(visit.url("/", "many"))
    page.locator("[rel=next]").click()
    page.wait_for_url("**page=1")
    page.locator("[rel=prev]").click()
    page.wait_for_url("**page=0")


def compares_orders(visit):
    page = visit("/")
    for order in (DONE, PAUSED):
        page.locator(f"input[value='{order}']").check()
    page.locator("#compare button").click()
    page.wait_for_url("**/orders/compare?**")
    assert page.locator(".forest tbody tr").count() > 0


def places_an_order(visit):
    page = visit("/")
    # By keyboard alone: the fold, the field, the button.
    page.locator("details.fold summary").focus()
    page.keyboard.press("Enter")
    page.locator("[name=pack][required]").fill("nowhere")
    page.keyboard.press("Enter")
    page.wait_for_selector("form.place [role=alert]")
    field = page.locator("[name=pack][required]")
    assert field.input_value() == "nowhere", "the form keeps what was typed"
    field.fill("packs/customer-care")
    page.locator("form.place button").click()
    page.wait_for_url(f"**/orders/{RUNNING}")


def reads_an_order(visit):
    page = visit(f"/orders/{DONE}")
    page.locator(".steps summary").first.focus()
    page.keyboard.press("Enter")
    assert page.locator(".steps details[open] dl").first.is_visible()
    button = page.locator("[data-copy]").first
    before = button.inner_text()
    button.click()
    page.wait_for_function("([it, before]) => it.textContent !== before", arg=[button.element_handle(), before])
    assert "curl" in page.evaluate("navigator.clipboard.readText()")
    page.locator("#log summary").click()
    assert page.locator(".log").is_visible()
    page.locator("a[href^='/try?model=']").click()
    page.wait_for_url("**/try?model=customer-care")


def follows_an_order(visit):
    with visit.page.expect_request("**/live"):
        page = visit(f"/orders/{RUNNING}")
    page.locator(".plot.tall svg").hover()
    assert page.locator(".readout").inner_text(), "the pointer reads the curve"
    page.locator("form[action$='/pause'] button").click()
    page.wait_for_url(f"**/orders/{RUNNING}")
    page = visit(f"/orders/{FAILED}")
    page.locator("form[action$='/resume'] button").click()
    page.wait_for_url("**/orders/**")


def clones_an_order(visit):
    page = visit(f"/orders/{DONE}")
    page.locator("a[href$='/clone']").click()
    page.locator("[name=set]").fill("nonsense=1")
    page.locator("main form button").click()
    page.wait_for_selector("[role=alert]")
    assert page.locator("[name=set]").input_value().strip() == "nonsense=1"
    page.locator("[name=set]").fill("tune.sft.rank=4")
    page.locator("main form button").click()
    page.wait_for_url(lambda url: "/clone" not in url)


def looks_at_a_lesson(visit):
    page = visit(f"/orders/{DONE}")
    page.locator("a[href$='/lesson']").click()
    assert page.locator(".tokens .learnt").count() > 0
    assert page.locator(".tokens span").first.get_attribute("title")


def asks_the_model(visit):
    page = visit("/try")
    page.locator("[name=user]").fill("Lovely.")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#answer .gauge")
    page.locator("#answer .origin a").click()
    page.wait_for_url(f"**/receipts/{RECEIPT}")
    page = visit("/try")
    page.locator(".sample").first.click()
    page.wait_for_selector("#answer .gauge")
    page.locator("[name=model]").select_option("big")
    page.wait_for_url("**/try?model=big")


def asks_two_models(visit):
    page = visit("/try")
    page.locator("[name=other]").select_option("big")
    assert page.locator("#answer-2").is_visible()
    page.locator("#parameters summary").focus()
    page.keyboard.press("Enter")
    page.locator("[name=schema]").fill("{")
    page.locator("[name=user]").fill("Lovely.")
    page.keyboard.press("Control+Enter")
    assert page.evaluate("document.querySelector('[name=schema]').validationMessage")
    page.locator("[name=schema]").fill('{"type": "object"}')
    page.locator("[name=temperature]").fill("0.5")
    page.locator("[name=user]").focus()
    page.keyboard.press("Control+Enter")
    for panel in ("#answer", "#answer-2"):
        page.wait_for_selector(f"{panel} .gauge")
        assert page.locator(f"{panel} .origin a").get_attribute("href").endswith(RECEIPT)
    page.locator("[name=other]").select_option("")
    assert page.locator("#answer-2").is_hidden()


def follows_a_model(visit):
    page = visit("/models")
    page.locator("[name=q]").fill("customer-care")
    page.keyboard.press("Enter")
    page.wait_for_url("**/models?q=customer-care**")
    page.locator(".row-link").first.click()
    page.wait_for_url(f"**/models/{MODEL}")
    assert page.locator(".exports .command").count() > 0
    page.locator("#settings summary").focus()
    page.keyboard.press("Enter")
    assert page.locator("#settings dl").is_visible()
    page.locator(f"a[href='/models/{BASE}']").first.click()
    page.wait_for_url(f"**/models/{BASE}")


def takes_the_tour(visit):
    page = visit("/tour")
    page.locator("form[action='/tour'] button").first.click()
    page.wait_for_selector(".passages mark")
    page.locator("form[action='/tour/flip'] button").click()
    page.wait_for_selector(".alert code")
    page.locator("a[href$='/withdraw']").click()
    page.locator("[name=reason]").fill("asked by its author")
    page.locator("[name=sure]").focus()
    page.keyboard.press("Space")
    page.locator("button.grave").click()
    page.wait_for_selector(".uses .badge")


def walks_from_an_answer_to_a_record(visit):
    page = visit("/receipts")
    page.locator("[rel=next]").click()
    page.wait_for_url("**before=**")
    page.locator("[rel=prev]").click()
    page.wait_for_url("**/receipts**")
    page = visit("/receipts")
    page.locator(f"a[href$='{RECEIPT}']").click()
    page.locator(".passages ul a").first.click()
    page.wait_for_url(f"**/records/{LEAF}")
    page.locator(".uses a").first.click()
    page.wait_for_url("**/deployments/customer-care")
    page.locator("a.button[href^='/try']").click()
    page.wait_for_url("**/try**")


def looks_at_data(visit):
    page = visit("/data")
    page.locator(".row-link").first.click()
    page.wait_for_url(f"**/data/{DATASET}")
    assert page.locator(".histogram").count() > 0


def files_a_registration(visit):
    page = visit("/register")
    page.locator("a.row-link[href$='%s']" % NUMBER).click()
    page.locator("a[href$='/dossier']").click()
    assert NUMBER in page.content()
    page.go_back()
    page.locator("a[href$='/filing']").first.click()
    for question in page.locator("fieldset").all():
        choices = question.locator("input")
        if choices.count():
            choices.last.focus()
            page.keyboard.press("Space")
    page.locator("main form button[type=submit]").click()
    page.wait_for_selector(".act")
    package = page.locator("a[href*='/filing/package']")
    if not package.count():
        page = visit(f"/register/{NUMBER}/filing?public=yes&generative=yes&base-filed=no&opinion=no&recommends=no")
        package = page.locator("a[href*='/filing/package']")
    package.click()
    page.wait_for_url("**/filing/package**")


def reads_the_ledger(visit):
    page = visit("/ledger")
    page.locator(".kinds a[href$='kind=registration']").click()
    assert page.locator(".kinds [aria-current]").get_attribute("href").endswith("registration")
    page.locator(".row-link").first.click()
    page.wait_for_url("**/ledger/6")
    page.locator("main details summary").focus()
    page.keyboard.press("Enter")
    assert page.locator("main details .json").is_visible()


ACTS = [
    finds_orders,
    compares_orders,
    places_an_order,
    reads_an_order,
    follows_an_order,
    clones_an_order,
    looks_at_a_lesson,
    asks_the_model,
    asks_two_models,
    follows_a_model,
    takes_the_tour,
    walks_from_an_answer_to_a_record,
    looks_at_data,
    files_a_registration,
    reads_the_ledger,
]
