"""What a running workshop answers is what its /openapi.json says, as other people's programs see it.

openapi-spec-validator reads the description, schemathesis asks by it: what fits it, what breaks it in one
place, and methods that are not there. Nothing may end in a 5xx, with a status, a type, a header or a body
that is not described, or be taken although the description refuses it. The number of requests is bounded
and the seed is fixed. What is asked of models names a real one (described_hooks.py).

usage: LATHE_URL=http://127.0.0.1:7878 LATHE_MODEL=NAME python described.py
needs: pip install openapi-spec-validator==0.9.0 schemathesis==4.32.5
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import urllib.request

import openapi_spec_validator

URL = os.environ["LATHE_URL"].rstrip("/")
HERE = pathlib.Path(__file__).resolve().parent
EXAMPLES_MAX = os.environ.get("LATHE_EXAMPLES", "8")
CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
    "allow_header_conformance",
]


def main():
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{URL}/openapi.json") as answer:
        document = json.load(answer)
    openapi_spec_validator.validate(document)
    print(f"openapi-spec-validator: {len(document['paths'])} paths, {len(document['components']['schemas'])} schemas")
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{URL}/openapi.json"]
    command += ["--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing", "--mode", "all"]
    command += ["--max-examples", EXAMPLES_MAX, "--seed", "7"]
    command += ["--generation-database", "none", "--no-color", "--warnings", "off"]
    command += ["--suppress-health-check", "all", "--request-timeout", "30", "--continue-on-failure"]
    # Reports and caches stay out of the checkout.
    with tempfile.TemporaryDirectory() as folder:
        environment = dict(os.environ, SCHEMATHESIS_HOOKS="described_hooks", PYTHONPATH=str(HERE), NO_PROXY="*")
        ran = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(ran.stdout)
    sys.exit(ran.returncode)


if __name__ == "__main__":
    main()
