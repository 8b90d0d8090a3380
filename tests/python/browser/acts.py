"""What people do on the pages, in any language: by addresses, roles and forms, never by words.

Each function is one errand. `visit` goes to an address of a workshop in a page that is watched. The errands are done
once in each language, one after the other, in the same workshops.

Playwright waits for what it is to click, to read or to fill in, and after a click until the next page begins. What only
counts or looks waits for nothing, so it comes after the whole page: after `wait_for_url` or `follow`.
"""

from pages import BASE, DATASET, DONE, FAILED, LEAF, MODEL, NUMBER, PAUSED, RECEIPT, RUNNING


def follow(link):
    """Clicks what leads on, and waits until the page there is whole."""
    link.click()
    link.page.wait_for_load_state()


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
    assert page.locator(".badge.good").count() == 1, "which of them answers is said"
    # With one ticked a second one is chosen, and the first stays ticked.
    page = visit("/")
    page.locator(f"input[value='{DONE}']").check()
    page.locator("#compare button").click()
    page.wait_for_selector("#choose")
    assert page.locator(f"input[value='{DONE}']").is_checked()
    page.locator(f"input[value='{PAUSED}']").check()
    page.locator("#choose .turn button").click()
    page.wait_for_selector(".forest tbody tr")


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
    page.wait_for_url(f"**/orders/{RUNNING}?known=yes")


def reads_an_order(visit):
    page = visit(f"/orders/{DONE}")
    page.locator(".steps summary").first.focus()
    page.keyboard.press("Enter")
    assert page.locator(".steps details[open] dl").first.is_visible()
    button = page.locator("[data-copy]").first
    # It says for a moment that it has copied; a loaded machine might look later. The page may bring it anew meanwhile.
    page.evaluate("""() => new MutationObserver((changes) => {
        if (changes.some((it) => it.target.closest("[data-copy]"))) window.told = true;
    }).observe(document.body, {childList: true, subtree: true})""")
    button.click()
    page.wait_for_function("window.told")
    assert "curl" in page.evaluate("navigator.clipboard.readText()")
    page.locator("#log summary").click()
    assert page.locator(".log").is_visible()
    page.locator("a[href^='/try?model=']").click()
    page.wait_for_url("**/try?model=customer-care")


def follows_an_order(visit):
    with visit.page.expect_request("**/live"):
        page = visit(f"/orders/{RUNNING}")
    page.locator(".plot.tall svg[data-low]").hover()
    assert page.locator(".readout").inner_text(), "the pointer reads the curve"
    page.locator("form[action$='/pause'] button").click()
    page.wait_for_url(f"**/orders/{RUNNING}")
    page = visit(f"/orders/{PAUSED}")
    page.locator("#cancel summary").click()
    page.locator("form[action$='/cancel'] button").click()
    page.wait_for_url(f"**/orders/{PAUSED}")
    page = visit(f"/orders/{FAILED}")
    page.locator("form[action$='/resume'] button").click()
    page.wait_for_url("**/orders/**")


def is_told_that_an_order_is_followed_no_more(visit):
    page = visit.page
    for path in ("events", "live"):
        page.route(f"**/orders/{RUNNING}/{path}", lambda route: route.fulfill(status=401))
    visit(f"/orders/{RUNNING}")
    page.wait_for_selector("#live-note:not([hidden])")
    note = page.locator("#live-note")
    assert note.inner_text() == note.get_attribute("data-ended")


def is_told_that_the_workshop_does_not_answer(visit):
    page = visit("/data/bring", "staffed")
    page.route("**/api/operations", lambda route: route.abort())
    file = {"name": "unsent.csv", "mimeType": "text/csv", "buffer": b"text,label\nfine,good\n"}
    page.locator("[name=file]").set_input_files(file)
    page.locator("#bring button").click()
    words = page.locator("body").get_attribute("data-unreached")
    told = "(words) => document.querySelector('#bring [data-status]').textContent.includes(words)"
    page.wait_for_function(told, arg=words)
    assert page.locator("#bring button").is_enabled(), "it can be tried again"


def clones_an_order(visit):
    page = visit(f"/orders/{DONE}")
    page.locator("a[href$='/clone']").click()
    assert page.locator("#taken").is_visible(), "whose name it would take"
    assert page.locator("[aria-labelledby=plan-title] dd").count() > 0, "what it would take"
    page.locator("[name='tune.sft.rank']").fill("0")
    page.locator("button[value=check]").click()
    page.wait_for_selector("[id='m-tune.sft.rank']")
    page.locator("[name='tune.sft.rank']").fill("16")
    page.locator("[name=more]").fill("nonsense=1")
    page.locator("button[value=place]").click()
    page.wait_for_selector("[role=alert]")
    assert page.locator("[name=more]").input_value().strip() == "nonsense=1"
    page.locator("[name=more]").fill("")
    page.locator("[name='tune.sft.rank']").fill("4")
    page.locator("button[value=place]").click()
    page.wait_for_url(lambda url: "/clone" not in url)


def looks_at_a_lesson(visit):
    page = visit(f"/orders/{DONE}")
    follow(page.locator("a[href$='/lesson']"))
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
    page.locator(".retune summary").focus()
    page.keyboard.press("Enter")
    assert page.locator(".retune .command").is_visible()
    page.locator(".retune form[action$='/clone'] button").click()
    page.wait_for_url(f"**/orders/{DONE}")


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
    page.locator("a[href$='/records']").click()
    page.wait_for_url(f"**/data/{DATASET}/records")
    page.locator(".row-link").first.click()
    page.wait_for_url(f"**/records/{LEAF}")


def files_a_registration(visit):
    page = visit("/register")
    page.locator("a.row-link[href$='%s']" % NUMBER).click()
    follow(page.locator("a[href$='/dossier']"))
    assert NUMBER in page.content()
    page.go_back()
    follow(page.locator("a[href$='/filing']").first)
    for question in page.locator("fieldset").all():
        choices = question.locator("input")
        if choices.count():
            choices.last.focus()
            page.keyboard.press("Space")
    page.locator("main form button[type=submit]").click()
    page.wait_for_selector(".act")
    page.wait_for_load_state()
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


def fills_in_an_order(visit):
    page = visit("/orders/new?pack={pack}", "staffed")
    epochs, check = page.locator("[name='tune.sft.epochs']"), page.locator("button[value=check]")
    stale = page.locator("[data-stale]")
    assert stale.count() == 1 and not stale.is_visible(), "the estimate is of the form as it stands"
    epochs.fill("2")
    assert stale.is_visible(), "the estimate is not of the form as it stands any more"
    follow(check)
    assert not stale.is_visible()
    yaml, command = page.locator("[name=yaml]"), page.locator(".command code")
    assert "tune.sft.epochs: 2" in yaml.input_value(), yaml.input_value()
    assert "--set tune.sft.epochs=2" in command.inner_text(), command.inner_text()
    yaml.fill(yaml.input_value().replace("epochs: 2", "epochs: 3"))
    page.locator("button[value=yaml]").click()
    assert epochs.input_value() == "3"
    rank = page.locator("[name='tune.sft.rank']")
    rank.fill("0")
    follow(page.locator("button[value=place]"))
    told = page.locator("#m-tune\\.sft\\.rank")
    assert page.locator("[role=alert] a[href='#f-tune.sft.rank']").is_visible(), "the alert leads to the field"
    assert told.is_visible() and rank.get_attribute("aria-describedby") == "m-tune.sft.rank"
    rank.fill("4")
    # What differs is another order in each language.
    page.locator("[name='tune.sft.seed']").fill(str(len(visit.lang) + ord(visit.lang[0])))
    page.locator("button[value=place]").click()
    page.wait_for_url(lambda url: "/orders/" in url and "/new" not in url)


def reads_a_recipe_into_an_order(visit):
    page = visit("/orders/new?pack={pack}", "staffed")
    recipe, read = page.locator("[name=recipe]"), page.locator("button[value=recipe]")
    recipe.fill("model_name_or_path: some/model\nstage: dpo\nlora_rank: 0\nnum_train_epochs: 2\nbf16: true\n")
    # By keyboard: the button stands after the text.
    recipe.press("Tab")
    page.keyboard.press("Enter")
    told = page.locator("#m-recipe code")
    told.first.wait_for()
    assert told.all_inner_texts() == ["lora_rank", "stage"], told.all_inner_texts()
    assert recipe.get_attribute("aria-describedby") == "m-recipe"
    assert page.locator("#m-tune\\.sft\\.rank").is_visible(), "what has a field is marked there, too"
    assert page.locator("#recipe-left dd").all_inner_texts() == ["model_name_or_path", "bf16"]
    recipe.fill(recipe.input_value().replace("dpo", "sft").replace("rank: 0", "rank: 4"))
    read.click()
    page.locator("#recipe-title ~ [role=status]").wait_for()
    assert page.locator("[name='tune.sft.rank']").input_value() == "4"
    assert page.locator("[name='tune.sft.epochs']").input_value() == "2"
    yaml = page.locator("[name=yaml]").input_value()
    assert "tune.sft.rank: 4" in yaml and "tune.sft.epochs: 2" in yaml, yaml
    assert "--set tune.sft.rank=4" in page.locator(".command code").inner_text()


def brings_a_table(visit):
    name = f"tickets-{visit.lang}"
    rows = (f"{row},The till printed {row} receipts too many.,{('till', 'stock')[row % 2]}" for row in range(24))
    table = "\n".join(("no,subject,team", *rows, "99,Call 13800138000 about the till.,till"))
    page = visit("/data/bring", "staffed")
    field, note, button = (page.locator(it).bounding_box() for it in ("[name=file]", "#formats", "#bring button"))
    below = [lower["y"] - upper["y"] - upper["height"] for upper, lower in ((field, note), (note, button))]
    assert below[0] < below[1] < 16, f"the note stands by its field, and nothing empty before the button: {below}"
    file = {"name": f"{name}.csv", "mimeType": "text/csv", "buffer": table.encode()}
    page.locator("[name=file]").set_input_files(file)
    page.locator("#bring button").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/data/bring/*")
    page.locator("[name=kind][value=label]").check()
    page.locator("[name=question]").select_option("subject")
    page.locator("[name=answer]").select_option("team")
    follow(page.locator("button[value=check]"))
    assert page.locator("text=138••••••00").count() == 1, "personal data is found and masked"
    page.locator("[name=name]").fill("Not A Name")
    assert page.locator("input[required]").count() == 3, "what is needed is marked"
    page.locator("[name=licence]").fill("CC-BY-4.0")
    page.locator("[name=owner]").fill("Our shop")
    follow(page.locator("button[value=make]"))
    assert page.locator("[name=name]").get_attribute("aria-invalid") == "true"
    assert page.locator("#m-name").is_visible()
    assert page.locator("[name=question]").input_value() == "subject", "the form keeps what was chosen"
    page.locator("[name=name]").fill(name)
    page.locator("button[value=make]").click()
    page.wait_for_url(f"**/orders/new?pack={name}")
    assert page.locator("#plan-title + dl").is_visible(), "what tuning on it would take"
    page = visit("/data", "staffed")
    assert page.locator(".row-link").first.inner_text() == name


def goes_on_with_a_file_that_broke_off(visit):
    page = visit("/data/bring", "staffed")
    table = "text,label\n" + "".join(f"line {row},{'ab'[row % 2]}\n" for row in range(4000))
    begin = f"""async () => {{
        const text = {table!r}, headers = {{...ours, "Content-Type": "application/json"}};
        const sum = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
        const sha256 = Array.from(sum, (byte) => byte.toString(16).padStart(2, "0")).join("");
        const begin = {{do: "bring-begin", name: "broken-{visit.lang}.csv", bytes: text.length, sha256}};
        const asked = {{method: "POST", headers, body: JSON.stringify(begin)}};
        const {{id}} = await (await fetch("/api/operations", asked)).json();
        await fetch(`/api/brought/${{id}}?offset=0`, {{method: "PUT", headers: ours, body: text.slice(0, 9000)}});
        return id;
    }}"""
    id = page.evaluate(begin)
    offsets = []
    page.on("request", lambda request: offsets.append(request.url) if request.method == "PUT" else None)
    file = {"name": f"broken-{visit.lang}.csv", "mimeType": "text/csv", "buffer": table.encode()}
    page.locator("[name=file]").set_input_files(file)
    page.locator("#bring button").click()
    page.wait_for_url(f"**/data/bring/{id}")
    assert offsets == [visit.url(f"/api/brought/{id}?offset=9000", "staffed")], offsets
    page.locator("button[value=forget]").click()
    page.wait_for_url("**/data/bring")


def compares_versions(visit):
    page = visit("/data/{to}", "staffed")
    page.locator("a[href^='/data/compare']").click()
    page.wait_for_url("**/data/compare?**")
    counts = page.locator("main dd").all_inner_texts()[2:]
    assert counts == ["40", "5", "0"], counts
    page.locator("main dd a").first.click()
    page.wait_for_url(f"**{visit.url('/data/{from}', 'staffed').split('/', 3)[3]}")


def reviews_feedback(visit):
    page = visit("/review", "staffed")
    cards = page.locator("[data-card]")
    waiting = cards.count()
    # By keys alone: to the second card and back, then a reason, and the button after it.
    for key in "jjk":
        page.keyboard.press(key)
    page.keyboard.press("r")
    page.keyboard.type("not so")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.value") == "reject"
    page.keyboard.press("Enter")
    page.wait_for_url("**/review?state=received**")
    assert cards.count() == waiting - 1
    page.keyboard.press("j")
    page.keyboard.press("e")
    page.keyboard.press("Control+a")
    page.keyboard.type(f"warehouse {visit.lang}")
    follow(cards.first.locator("[value=accept]"))
    page.keyboard.press("j")
    with page.expect_navigation():
        page.keyboard.press("a")
    page.locator(".kinds a[href*='state=accepted']").click()
    page.wait_for_url("**/review?state=accepted**")
    assert f"warehouse {visit.lang}" in page.locator("#review").inner_text()
    page.locator("[name=dataset]").fill(f"corrections-{visit.lang}")
    page.keyboard.press("Enter")
    page.wait_for_url("**/data/*")
    assert page.locator("h1").inner_text() == f"corrections-{visit.lang}"


def decides_about_a_model(visit):
    page = visit("/register", "signed")
    form = page.locator("form.decide").first
    # Rejecting takes a second step.
    reject = form.locator("[value=rejected]")
    assert not reject.is_visible()
    form.locator("summary").click()
    assert reject.is_visible()
    form.locator("summary").click()
    form.locator("[name=reason]").fill("the report holds")
    with page.expect_response("**/decide") as answer:
        form.locator("[value=approved]").click()
    assert answer.value.status == 303
    assert "decision=approved" in answer.value.request.post_data


def lets_the_first_person_in(visit):
    kind = f"first-{visit.lang}"
    page = visit("/people", kind)
    assert page.locator("[value=administrator]").is_checked()
    page.locator("[value=operator]").check()
    page.locator("[name=display]").fill("Li Lei 李雷")
    page.locator("[name=name]").fill("li.lei")
    page.keyboard.press("Enter")
    password = page.locator("[role=status] code").inner_text()
    page.goto(visit.url("/keys", kind))
    page.wait_for_url("**/login?next=%2Fkeys")
    # The browser gives the focus after the page has come.
    page.wait_for_function("document.activeElement.name === 'name'")
    page.keyboard.type("li.lei")
    page.keyboard.press("Tab")
    page.keyboard.type("not the password")
    page.keyboard.press("Enter")
    page.wait_for_selector("[role=alert]")
    assert page.locator("[name=name]").input_value() == "li.lei", "the form keeps what was typed"
    page.locator("[name=password]").fill(password)
    page.keyboard.press("Enter")
    page.wait_for_url("**/keys")
    assert page.locator(".who").inner_text() == "Li Lei 李雷"


def manages_people(visit):
    name = f"wang.{visit.lang}"
    page = visit("/people", "staffed")
    page.locator("[name=roles][value=tuner]").check()
    page.locator("[name=name]").fill("anna.berg")
    page.keyboard.press("Enter")
    page.wait_for_selector("[role=alert]")
    assert page.locator("[name=roles][value=tuner]").is_checked(), "the form keeps what was ticked"
    page.locator("[name=name]").fill(name)
    page.locator("[name=display]").fill("王芳")
    page.keyboard.press("Enter")
    assert page.locator("[role=status] code").inner_text()
    assert f"/people/{name}?told=" in page.url, "a reload lets nobody in again"
    page.reload()
    assert page.locator("[role=status]").count() == 0, "it is said once"
    page = visit("/people", "staffed")
    page.locator(f".row-link[href$='{name}']").click()
    page.locator("[name=roles][value=operator]").check()
    page.locator("[name=denied][value=ask]").focus()
    page.keyboard.press("Space")
    page.locator("form[action$='/roles'] button").click()
    page.wait_for_selector("p[role=status]")
    assert page.locator("[name=roles]:checked").count() == 2
    assert page.locator("[name=denied]:checked").get_attribute("value") == "ask"
    page.locator("form[action$='/password'] button").click()
    page.wait_for_selector("[role=status] code")
    page.locator("form[action$='/disable'] button").click()
    page.wait_for_selector(".headline .badge.bad")
    page.locator("form[action$='/enable'] button").click()
    page.wait_for_selector("form[action$='/disable']")
    page.wait_for_load_state()
    assert page.locator(".headline .badge.bad").count() == 0


def makes_a_project(visit):
    id = f"clinic-{visit.lang}".lower()
    page = visit("/projects", "staffed")
    page.locator("[name=id]").fill("ward")
    page.locator("[name=name]").fill("门诊")
    page.keyboard.press("Enter")
    page.wait_for_selector("[role=alert]")
    assert page.locator("[name=name]").input_value() == "门诊", "the form keeps what was written"
    page.locator("[name=id]").fill(id)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/projects/{id}")
    page.locator("[name=person]").select_option("chen.wei")
    page.locator("[name=roles][value=tuner]").check()
    page.locator("[name=denied][value=ask]").focus()
    page.keyboard.press("Space")
    page.locator("form[action$='/members'] button").click()
    page.wait_for_selector("form[action$='/leave']")
    page.wait_for_load_state()
    assert page.locator("tbody tr").count() == 1
    follow(page.locator("form[action$='/leave'] button"))
    assert page.locator("form[action$='/leave']").count() == 0
    page.locator("form[action$='/name'] [name=name]").fill(f"Clinic {visit.lang}")
    follow(page.locator("form[action$='/name'] button"))
    assert page.locator("h1").inner_text() == f"Clinic {visit.lang}", "it is called so from now on"
    page = visit("/keys", "staffed")
    assert page.locator(f"[name=project] option[value='{id}']").count() == 1, "keys can be for it"
    page = visit(f"/projects/{id}", "staffed")
    page.locator("form[action$='/delete'] button").click()
    page.wait_for_url("**/projects")
    assert page.locator(f"a[href$='/projects/{id}']").count() == 0, "nothing belonged to it"


def takes_a_bundle_away(visit):
    page = visit("/deployments/customer-care")
    with page.expect_download() as taken:
        page.locator("form[action$='/bundle'] button").click()
    assert taken.value.suggested_filename.endswith(".tar"), taken.value.suggested_filename


def issues_a_key(visit):
    page = visit("/keys", "staffed")
    page.locator("[name=name]").fill(f"Till {visit.lang}")
    page.locator("[name=scopes][value=feedback]").check()
    page.locator("[name=tokens_per_day]").fill("100000")
    page.keyboard.press("Enter")
    key = page.locator("[role=status] code").inner_text()
    assert key.startswith("lathe-"), key
    row = page.locator("tbody tr").first
    assert row.locator("b").inner_text() == f"Till {visit.lang}"
    row.locator("summary").focus()
    page.keyboard.press("Enter")
    row.locator("[name=reason]").fill("lost")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert row.locator("summary").count() == 0
    assert key not in page.content(), "it is shown once"


def reads_the_audit(visit):
    page = visit("/audit", "staffed")
    assert page.locator("tbody tr").count() == 50
    page.locator("[rel=next]").click()
    page.wait_for_url("**/audit?before=*")
    page.locator("[rel=prev]").click()
    page.wait_for_url("**/audit")


def looks_at_the_settings(visit):
    page = visit("/audit", "staffed")
    follow(page.locator(".offices a[href='/settings']"))
    assert page.locator(".offices [aria-current=page]").get_attribute("href") == "/settings"
    # Every section is named by its heading, and what changes a setting stands beside it.
    sections = page.locator("main section[aria-labelledby]")
    assert sections.count() >= 9, sections.count()
    for at in range(sections.count()):
        assert sections.nth(at).locator("h2").inner_text() and sections.nth(at).locator("dd").count()
    assert page.locator("#of-evidence + dl code").all_inner_texts().count("LATHE_SCRUB_S") == 1
    assert page.locator("main form, main input").count() == 0, "nothing is changed here"


def keeps_an_account(visit):
    old, new = "correct horse battery", "battery staple horse"

    def log_in(password):
        visit.as_stranger()
        page = visit("/login?next=/account", "staffed")
        page.locator("[name=name]").fill("anna.berg")
        page.locator("[name=password]").fill(password)
        page.keyboard.press("Enter")
        page.wait_for_url(lambda url: "/login" not in url)
        assert page.url.endswith("/account")
        return page

    def change(page, old, new, again):
        for name, text in (("old", old), ("new", new), ("again", again)):
            page.locator(f"[name={name}]").fill(text)
        with page.expect_navigation():
            page.keyboard.press("Enter")

    page = log_in(old)
    assert page.locator("a[href='/people']").count() == 0, "what she may not open is not offered"
    visit("/people", "staffed", status=403)
    page = visit("/account", "staffed")
    change(page, old, new, new + "s")
    assert page.locator("[role=alert]").count() == 1
    change(page, old, new, new)
    assert page.locator("[role=alert]").count() == 0
    # Changed, she is logged in here and nowhere else.
    assert page.locator("tbody tr").count() == 1
    page = log_in(new)
    rows = page.locator("tbody tr")
    assert rows.count() == 2
    follow(rows.filter(has_not=page.locator(".badge")).locator("button"))
    assert rows.count() == 1
    page = log_in(new)
    rows = page.locator("tbody tr")
    assert rows.count() == 2
    follow(page.locator("form[action='/account/sessions/end'] button"))
    assert rows.count() == 1
    assert rows.locator(".badge").count() == 1, "she goes on where she asked"
    assert page.locator("form[action='/account/sessions/end']").count() == 0
    change(page, new, old, old)
    assert page.locator("[role=alert]").count() == 0
    page.locator("form[action='/logout'] button").click()
    page.wait_for_url("**/login")
    page.goto(visit.url("/account", "staffed"))
    page.wait_for_url("**/login?next=**")
    # A provider that nobody configured is nowhere.
    visit("/login/oidc/nobody", "staffed", status=404)
    visit("/login/oidc/nobody/back", "staffed", status=404)


ACTS = [
    finds_orders,
    compares_orders,
    places_an_order,
    reads_an_order,
    follows_an_order,
    is_told_that_an_order_is_followed_no_more,
    is_told_that_the_workshop_does_not_answer,
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
    fills_in_an_order,
    reads_a_recipe_into_an_order,
    brings_a_table,
    goes_on_with_a_file_that_broke_off,
    compares_versions,
    reviews_feedback,
    decides_about_a_model,
    lets_the_first_person_in,
    manages_people,
    makes_a_project,
    takes_a_bundle_away,
    issues_a_key,
    reads_the_audit,
    looks_at_the_settings,
    keeps_an_account,
]
