"""What schemathesis does not ask, and what it is given that no description can hold (described.py).

Operations that write where the workshop runs, or that close it to whoever asks, are left out by their
name: a folder made up by a machine may be any folder of this one. All others are asked.
"""

import os

import schemathesis

MODEL = os.environ["LATHE_MODEL"]
# They write folders, or issue a key, from which on every request presents one, or retire the keys in use.
LEFT_OUT = [
    "bundle-export",
    "bundle-import",
    "filing-package",
    "key-add",
    "key-compromised",
    "key-retire",
    "key-rotate",
    "ledger-export",
    "model-export",
    "restored",
    "token-create",
]
ANSWER_TOKENS_MAX = 4


@schemathesis.hook
def filter_case(context, case):
    if case.operation.path != "/api/operations":
        return True
    return not (isinstance(case.body, dict) and case.body.get("do") in LEFT_OUT)


@schemathesis.hook
def map_case(context, case):
    """Asks the model that is there, for short answers."""
    if case.operation.path.startswith("/v1/") and isinstance(case.body, dict):
        if isinstance(case.body.get("model"), str):
            case.body["model"] = MODEL
        for name in ("max_tokens", "max_completion_tokens"):
            given = case.body.get(name)
            if isinstance(given, int) and not isinstance(given, bool) and given > ANSWER_TOKENS_MAX:
                case.body[name] = ANSWER_TOKENS_MAX
    return case
