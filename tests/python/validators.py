"""Hands what Lathe exports to the packages that others verify with; each must accept, and refuse a change.

usage: validators.py FOLDER    (as `cargo run --example export -p lathe-verify HOME FOLDER` writes it)
"""

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


def key(keyid, public):
    return SSlibKey(keyid, "ed25519", "ed25519", {"public": public})


def envelopes():
    """DSSE by securesystemslib (in-toto's own), statements by in-toto-attestation."""
    keys = [key(*item) for item in json.loads((folder / "keys.json").read_text()).items()]
    kinds = {}
    for path in sorted((folder / "envelopes").iterdir()):
        envelope = Envelope.from_dict(json.loads(path.read_text()))
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
        raise SystemExit(f"{path.name}: a changed statement was accepted")
    assert kinds, "no envelopes"
    print(f"in-toto-attestation, securesystemslib: {sum(kinds.values())} envelopes accepted", kinds)


def models():
    """Artifacts by model-signing; one flipped bit in one file is refused."""
    count = 0
    for model in sorted((folder / "models").iterdir()):
        config = model_signing.verifying.Config().use_elliptic_key_verifier(public_key=folder / "model.pub")
        config.verify(model, model / "model.sig")
        victim = max((it for it in model.rglob("*") if it.is_file() and it.name != "model.sig"), key=lambda it: it.stat().st_size)
        content = bytearray(victim.read_bytes())
        content[len(content) // 2] ^= 1
        victim.write_bytes(content)
        try:
            config.verify(model, model / "model.sig")
        except ValueError as error:
            assert victim.name in str(error), error
        else:
            raise SystemExit(f"{victim}: a changed file was accepted")
        count += 1
    assert count, "no models"
    print(f"model-signing: {count} artifacts accepted, each refused with one bit of its largest file flipped")


def boms():
    """ML-BOMs by CycloneDX's schema."""
    count = 0
    for path in sorted(folder.glob("boms/*.json")):
        text = path.read_text()
        version = SchemaVersion.from_version(json.loads(text)["specVersion"])
        validator = JsonStrictValidator(version)
        error = validator.validate_str(text)
        if error is not None:
            raise SystemExit(f"{path.name}: {error}")
        broken = json.loads(text) | {"bomFormat": "other"}
        assert validator.validate_str(json.dumps(broken)) is not None, "a broken BOM was accepted"
        count += 1
    print(f"cyclonedx-python-lib: {count} ML-BOMs accepted")


envelopes()
models()
boms()
