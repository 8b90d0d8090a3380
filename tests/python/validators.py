"""Hands what Lathe exports to the packages that others verify with; each must accept, and refuse a change.

usage: validators.py FOLDER    (FOLDER as `cargo xtask acceptance validators` fills it:
    keys.json       lathe keys list --json
    bundle/         lathe bundle export NAME
    weights/        lathe export model NAME
    ml-bom.json     lathe export ml-bom NAME)
"""

import base64
import json
import pathlib
import sys

import in_toto_attestation.v1.statement_pb2 as statement_pb2
import model_signing
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from google.protobuf import json_format
from in_toto_attestation.v1.statement import Statement
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey

folder = pathlib.Path(sys.argv[1])
listed = json.loads((folder / "keys.json").read_text())


def key(it):
    public = base64.b64decode(it["public"]).hex()
    return SSlibKey(it["id"], "ed25519", "ed25519", {"public": public})


def envelopes():
    """DSSE by securesystemslib (in-toto's own), statements by in-toto-attestation."""
    keys = [key(it) for it in listed["keys"]]
    kinds = {}
    for number, line in enumerate((folder / "bundle/ledger.jsonl").read_text().splitlines()):
        envelope = Envelope.from_dict(json.loads(line))
        envelope.verify(keys, 1)
        message = json_format.Parse(envelope.payload, statement_pb2.Statement())
        Statement.copy_from_pb(message).validate()
        kind = message.predicate_type.split(":")[3]
        kinds[kind] = kinds.get(kind, 0) + 1
        envelope.payload = envelope.payload.replace(b'"at_ms":1', b'"at_ms":2', 1)
        try:
            envelope.verify(keys, 1)
        except VerificationError:
            continue
        raise SystemExit(f"entry {number}: a changed statement was accepted")
    assert kinds, "no envelopes"
    print(f"in-toto-attestation, securesystemslib: {sum(kinds.values())} envelopes accepted", kinds)


def signed():
    """Each artifact with its signature, as the two exports lay them out, and the key of both."""
    for public in (folder / "weights/model.pub", folder / "bundle/model.pub"):
        assert public.read_text() == listed["model_key"], f"{public} is not the key that the workshop lists"
    for signature in sorted((folder / "weights").glob("*/model.sig")):
        yield signature.parent, signature
    for signature in sorted((folder / "bundle/signatures").glob("*.sig")):
        yield folder / "bundle/objects" / signature.stem, signature


def models():
    """Artifacts by model-signing; one flipped bit in one file is refused."""
    config = model_signing.verifying.Config().use_elliptic_key_verifier(public_key=folder / "weights/model.pub")
    count = 0
    for model, signature in signed():
        config.verify(model, signature)
        victim = max((it for it in model.rglob("*") if it.is_file() and it != signature), key=lambda it: it.stat().st_size)
        content = bytearray(victim.read_bytes())
        content[len(content) // 2] ^= 1
        victim.chmod(0o644)
        victim.write_bytes(content)
        try:
            config.verify(model, signature)
        except ValueError as error:
            assert victim.name in str(error), error
        else:
            raise SystemExit(f"{victim}: a changed file was accepted")
        count += 1
    assert count >= 5, f"only {count} signed artifacts"
    print(f"model-signing: {count} signed artifacts accepted, each refused with one bit of its largest file flipped")


def boms():
    """ML-BOMs by CycloneDX's schema; all three places say the same."""
    texts = [(folder / place).read_text() for place in ("ml-bom.json", "weights/ml-bom.json", "bundle/ml-bom.json")]
    boms = [json.loads(text) for text in texts]
    assert boms[0] == boms[1] == boms[2], "the exports differ in their bill of materials"
    validator = JsonStrictValidator(SchemaVersion.from_version(boms[0]["specVersion"]))
    error = validator.validate_str(texts[0])
    if error is not None:
        raise SystemExit(f"ml-bom.json: {error}")
    broken = boms[0] | {"bomFormat": "other"}
    assert validator.validate_str(json.dumps(broken)) is not None, "a broken BOM was accepted"
    print(f"cyclonedx-python-lib: the ML-BOM of {boms[0]['metadata']['component']['name']} accepted")


envelopes()
models()
boms()
