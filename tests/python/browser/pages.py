"""Every page, by a name: which workshop shows it, to whom, and where it stands. `{name}` is filled in with what the
workshop said of itself."""

import hashlib

DONE = "019a4a1e-58c8-7c31-9d52-5a0c3e8f1b77"
RUNNING = "019a4a2b-0f10-7a44-8e21-7b1d90c2e455"
FAILED = "019a4a0c-77aa-7e02-b5b9-1f6a44d0c912"
QUEUED = "019a4a2c-9b3e-7d18-a0c4-33e97d51f608"
PAUSED = "019a4a2d-1c77-7b52-b1e6-0c9f4d7a2e31"
DATASET = "6e1f0b6a2d0c4f7cb1a8e6f7d9c24b53a3f0d1c87e5b49266f1d0a9c8b7e6f54"
RECEIPT = "019a4a33-7d1c-7b52-a0e8-41c95f20bb66"
NUMBER = "LR-2026-0001"
LEAF = hashlib.sha256(b"leaf 1").hexdigest()
MODEL = hashlib.sha256(b"adapter").hexdigest()
BASE = hashlib.sha256(b"base").hexdigest()
ANSWERED = "?public=yes&generative=yes&base-filed=no&opinion=no&recommends=no"

PAGES = {
    "orders": ("sample", "/"),
    "orders-many": ("many", "/orders?state=done&sort=pack"),
    "orders-none": ("many", "/?q=nowhere"),
    "orders-empty": ("empty", "/"),
    "orders-long": ("long", "/"),
    "order-done": ("sample", f"/orders/{DONE}"),
    "order-running": ("sample", f"/orders/{RUNNING}"),
    "order-failed": ("sample", f"/orders/{FAILED}"),
    "order-queued": ("sample", f"/orders/{QUEUED}"),
    "order-paused": ("sample", f"/orders/{PAUSED}"),
    "order-long": ("long", f"/orders/{DONE}"),
    "compare": ("sample", f"/orders/compare?ids={DONE}&ids={PAUSED}&ids={QUEUED}"),
    "compare-choose": ("sample", f"/orders/compare?ids={DONE}"),
    "lesson": ("sample", f"/orders/{DONE}/lesson"),
    "clone": ("sample", f"/orders/{DONE}/clone"),
    "clone-long": ("long", f"/orders/{DONE}/clone"),
    "models": ("sample", "/models"),
    "models-many": ("many", "/models?kind=tuned&page=1"),
    "models-empty": ("empty", "/models"),
    "model": ("sample", f"/models/{MODEL}"),
    "model-long": ("long", f"/models/{MODEL}"),
    "model-base": ("sample", f"/models/{BASE}"),
    "try": ("sample", "/try"),
    "try-two": ("sample", "/try?model=customer-care&other=big"),
    "try-upstream": ("sample", "/try?model=big"),
    "try-empty": ("empty", "/try"),
    "try-long": ("long", "/try"),
    "tour": ("sample", "/tour"),
    "tour-flip": ("sample", "/tour/flip"),
    "tour-empty": ("empty", "/tour"),
    "data": ("sample", "/data"),
    "data-empty": ("empty", "/data"),
    "dataset": ("sample", f"/data/{DATASET}"),
    "records": ("sample", f"/data/{DATASET}/records"),
    "records-withdrawn": ("without-record", f"/data/{DATASET}/records"),
    "dataset-long": ("long", f"/data/{DATASET}"),
    "receipts": ("sample", "/receipts"),
    "receipts-empty": ("empty", "/receipts"),
    "receipt": ("sample", f"/receipts/{RECEIPT}"),
    "receipt-long": ("long", f"/receipts/{RECEIPT}"),
    "record": ("sample", f"/records/{LEAF}"),
    "record-long": ("long", f"/records/{LEAF}"),
    "record-withdrawn": ("without-record", f"/records/{LEAF}"),
    "data-withdrawn": ("without-record", "/data"),
    "dataset-withdrawn": ("without-record", f"/data/{DATASET}"),
    "lesson-withdrawn": ("without-record", f"/orders/{DONE}/lesson"),
    "withdraw": ("sample", f"/records/{LEAF}/withdraw"),
    "deployment": ("sample", "/deployments/customer-care"),
    "register": ("filed", "/register"),
    "register-empty": ("empty", "/register"),
    "register-long": ("long", "/register"),
    "registration": ("filed", f"/register/{NUMBER}"),
    "registration-decided": ("decided", f"/register/{NUMBER}?decided=yes"),
    "registration-going-on": ("going-on", f"/register/{NUMBER}?decided=yes"),
    "registration-again": ("rejected", f"/register/{NUMBER}"),
    "order-rejected": ("rejected", f"/orders/{FAILED}"),
    "order-cancelled": ("cancelled", f"/orders/{FAILED}"),
    "order-refused": ("refused", f"/orders/{DONE}"),
    "filing": ("sample", f"/register/{NUMBER}/filing"),
    "filing-decided": ("sample", f"/register/{NUMBER}/filing{ANSWERED}"),
    "ledger": ("sample", "/ledger"),
    "ledger-empty": ("empty", "/ledger"),
    "ledger-kind": ("sample", "/ledger?kind=training"),
    "entry": ("sample", "/ledger/6"),
    "missing": ("sample", "/nowhere"),
    # What people do there.
    "orders-signed": ("signed", "/"),
    "order-new": ("staffed", "/orders/new?pack={pack}"),
    "order-new-quick": ("staffed", "/orders/new?pack={pack}&quick=true"),
    "order-new-first": ("fresh", "/orders/new"),
    "order-new-none": ("staffed", "/orders/new?pack=nowhere"),
    "order-placed": ("staffed", "/orders/{order}"),
    "pending": ("signed", "/register"),
    "registration-waiting": ("signed", f"/register/{NUMBER}"),
    "bring": ("staffed", "/data/bring"),
    "bring-empty": ("fresh", "/data/bring"),
    "bring-long": ("crowded", "/data/bring"),
    "brought": ("staffed", "/data/bring/{file}"),
    "brought-long": ("crowded", "/data/bring/{file}"),
    "data-versions": ("staffed", "/data"),
    "dataset-versions": ("staffed", "/data/{to}"),
    "data-compare": ("staffed", "/data/compare?from={from}&to={to}"),
    "data-compare-long": ("crowded", "/data/compare?from={from}&to={to}"),
    "review": ("staffed", "/review"),
    "review-accepted": ("staffed", "/review?state=accepted"),
    "review-empty": ("fresh", "/review"),
    "review-long": ("crowded", "/review"),
    # Who may come in.
    "login": ("stranger", "/login?next=/data"),
    "account": ("staffed", "/account"),
    "account-long": ("crowded", "/account"),
    "people": ("staffed", "/people"),
    "people-empty": ("fresh", "/people"),
    "people-long": ("crowded", "/people"),
    "person": ("staffed", "/people/chen.wei"),
    "person-out": ("staffed", "/people/zoe.hart"),
    "person-outside": ("staffed", "/people/mira.sol"),
    "person-outside-long": ("crowded", "/people/mira.sol"),
    "person-long": ("crowded", "/people/chen.wei"),
    "projects": ("staffed", "/projects"),
    "projects-first": ("fresh", "/projects"),
    "projects-long": ("crowded", "/projects"),
    "project": ("staffed", "/projects/ward"),
    "project-common": ("staffed", "/projects/common"),
    "project-long": ("crowded", "/projects/ward"),
    "keys": ("staffed", "/keys"),
    "keys-empty": ("fresh", "/keys"),
    "keys-long": ("crowded", "/keys"),
    "audit": ("staffed", "/audit"),
    "audit-empty": ("fresh", "/audit"),
    "audit-long": ("crowded", "/audit"),
    "settings": ("sample", "/settings"),
    "settings-first": ("fresh", "/settings"),
    "denied": ("tuner", "/people"),
}

# What is answered where it is not 200.
STATUS = {"missing": 404, "order-new-none": 400, "denied": 403}

# What is answered at a GET and is no page of its own, and why.
NO_PAGES = {
    "/favicon.ico": "a picture",
    "/login/oidc/{name}": "the way to a provider's page; tests/tests/sign_in goes it",
    "/login/oidc/{name}/back": "the way back from there",
    "/orders/{id}/live": "a part of an order's page, for its script",
    "/register/{number}/dossier": "a document, drawn by lathe-register",
    "/register/{number}/filing/package": "a document, drawn by lathe-register",
}

# Routes to a provider's page and back, which no sample has: tests/tests/sign_in goes them.
ELSEWHERE = {("GET", "/login/oidc/{name}"), ("GET", "/login/oidc/{name}/back")}
