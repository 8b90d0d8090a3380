"""A real OpenID provider (oidc-provider-mock, over Authlib) that asks for PKCE, and lies in its ID tokens when told to.

    python oidc_provider.py

prints its issuer and serves until it is ended. Beside what it has by itself: `PUT /lie` with one of LIES as text,
or with nothing to tell the truth again. The protocol is the package's; what a lie changes is one thing of an ID
token that the package made.
"""

import hashlib
import hmac
import json
import os
import time

import flask
import oidc_provider_mock._app as provider
import werkzeug.serving
from authlib.common.encoding import to_unicode, urlsafe_b64encode
from authlib.oauth2.rfc7636 import CodeChallenge
from joserfc import jws
from joserfc.jwk import RSAKey

LIES = ("signature", "public-key", "unsigned", "audience", "issuer", "nonce", "expired", "large")
lie = None
challenges = {}


class Pkce(CodeChallenge):
    """The package keeps no challenges: they are kept here, by code."""

    def __init__(self):
        super().__init__(required=True)

    def get_authorization_code_challenge(self, authorization_code):
        return challenges.get(authorization_code.code, (None, None))[0]

    def get_authorization_code_challenge_method(self, authorization_code):
        return challenges.get(authorization_code.code, (None, None))[1]


class Grant(provider.AuthorizationCodeGrant):
    def save_authorization_code(self, code, request):
        super().save_authorization_code(code, request)
        data = request.payload.data
        challenges[code] = (data.get("code_challenge"), data.get("code_challenge_method"))


class IdTokens(provider.OpenIDCode):
    def encode_id_token(self, token, request):
        honest = super().encode_id_token(token, request)
        if lie is None:
            return honest
        read = jws.deserialize_compact(honest, RSAKey.import_key(provider.storage.jwk.as_dict(is_private=True)))
        header, claims = dict(read.headers()), json.loads(read.payload)
        return told(header, claims)


def told(header, claims):
    """The token as it is after the lie."""
    key = RSAKey.import_key(provider.storage.jwk.as_dict(is_private=True))
    if lie == "signature":
        key = RSAKey.generate_key(2048)
    elif lie == "public-key":
        # The key that everybody can read, taken for a shared secret.
        parts = [encoded({"alg": "HS256"}), encoded(claims)]
        secret = provider.storage.jwk.as_pem(is_private=False)
        mac = hmac.new(secret, ".".join(parts).encode(), hashlib.sha256).digest()
        return ".".join([*parts, to_unicode(urlsafe_b64encode(mac))])
    elif lie == "unsigned":
        return ".".join([encoded({"alg": "none"}), encoded(claims), ""])
    elif lie == "audience":
        claims["aud"] = "another"
    elif lie == "issuer":
        claims["iss"] = "http://127.0.0.1:9/another"
    elif lie == "nonce":
        claims["nonce"] = "another"
    elif lie == "expired":
        claims["iat"] = int(time.time()) - 7200
        claims["exp"] = int(time.time()) - 3600
    elif lie == "large":
        claims["padding"] = "x" * (2 << 20)
    return jws.serialize_compact(header, json.dumps(claims), key, algorithms=[header["alg"]])


def encoded(value):
    return to_unicode(urlsafe_b64encode(json.dumps(value).encode()))


def asks_for_pkce(server):
    """Adds the extension to what was registered already."""
    for grants in (server._authorization_grants, server._token_grants):
        for at, (grant, extensions) in enumerate(grants):
            if issubclass(grant, Grant):
                grants[at] = (grant, [*(extensions or []), Pkce()])


def main():
    # Both ends are on this machine.
    os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
    provider.AuthorizationCodeGrant = Grant
    provider.OpenIDCode = IdTokens
    app = provider.app(require_nonce=True, require_client_registration=True)
    extended = []

    @app.before_request
    def extend():
        # The package hands its server of grants to requests alone.
        if not extended:
            asks_for_pkce(flask.g._authlib_authorization_server)
            extended.append(True)

    @app.put("/lie")
    def set_lie():
        global lie
        text = flask.request.get_data(as_text=True)
        if text and text not in LIES:
            return f"one of {LIES}", 400
        lie = text or None
        return "", 204

    server = werkzeug.serving.make_server("127.0.0.1", 0, app, threaded=False)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
