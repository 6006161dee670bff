"""A provider of OpenID Connect that signs with RS256, and errs where it is told to.

    oidc.py client secret redirect-uri

Says its port as JSON. Everybody is let in at once: /authorize takes, besides what the protocol
asks for, `email` and `wrong`, which is one of nonce, audience, issuer, expired, none, key, hmac,
unverified, silent. Without `email` a page asks for it, as people see it.
"""

import base64
import hashlib
import hmac
import json
import secrets
import sys
import time
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

CLIENT, SECRET, BACK = sys.argv[1:4]
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
CODES = {}


def encode(data):
    if not isinstance(data, bytes):
        data = json.dumps(data).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value):
    return encode(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def signature(wrong, text):
    if wrong == "none":
        return b""
    if wrong == "hmac":
        return hmac.digest(SECRET.encode(), text, "sha256")
    key = OTHER if wrong == "key" else KEY
    return key.sign(text, padding.PKCS1v15(), SHA256())


def token(issuer, asked):
    wrong, now = asked.get("wrong"), int(time.time())
    claims = {
        "iss": "http://127.0.0.1:1" if wrong == "issuer" else issuer,
        "aud": "another" if wrong == "audience" else CLIENT,
        "sub": "4711",
        "iat": now - 7200 if wrong == "expired" else now,
        "exp": now - 3600 if wrong == "expired" else now + 300,
        "nonce": "another" if wrong == "nonce" else asked["nonce"],
        "email": asked["email"],
        "email_verified": wrong != "unverified",
    }
    if wrong == "silent":
        del claims["email_verified"]
    algorithm = {"none": "none", "hmac": "HS256"}.get(wrong, "RS256")
    text = encode({"alg": algorithm, "kid": "one", "typ": "JWT"}) + "." + encode(claims)
    return text + "." + encode(signature(wrong, text.encode()))


def refusal(order, authorization):
    """Says what is wrong with an order for tokens."""
    asked = CODES.pop(order.get("code"), None)
    login = base64.b64decode(authorization.removeprefix("Basic ")).decode().split(":")
    if [unquote(part) for part in login] != [CLIENT, SECRET]:
        return "invalid_client", None
    if not asked or order.get("redirect_uri") != BACK:
        return "invalid_grant", None
    digest = hashlib.sha256(order.get("code_verifier", "").encode()).digest()
    if encode(digest) != asked["code_challenge"]:
        return "invalid_grant", None
    return None, asked


class Provider(BaseHTTPRequestHandler):
    def answer(self, body, status=200):
        body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def issuer(self):
        # By the name it is called: a browser takes another port of the same name for the same site.
        return f"http://{self.headers['Host']}"

    def do_GET(self):
        url = urlsplit(self.path)
        if url.path == "/.well-known/openid-configuration":
            return self.answer({
                "issuer": self.issuer(),
                "authorization_endpoint": self.issuer() + "/authorize",
                "token_endpoint": self.issuer() + "/token",
                "jwks_uri": self.issuer() + "/keys",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
            })
        if url.path == "/keys":
            public = KEY.public_key().public_numbers()
            key = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "one"}
            return self.answer({"keys": [key | {"n": number(public.n), "e": number(public.e)}]})
        if url.path == "/authorize":
            return self.authorize(dict(parse_qsl(url.query)))
        return self.answer({}, 404)

    def authorize(self, asked):
        expected = {
            "client_id": CLIENT,
            "redirect_uri": BACK,
            "response_type": "code",
            "code_challenge_method": "S256",
        }
        scopes = set(asked.get("scope", "").split())
        if any(asked.get(k) != v for k, v in expected.items()) or not {"openid", "email"} <= scopes:
            return self.answer({"error": "invalid_request"}, 400)
        if "email" not in asked:
            return self.ask(asked)
        code = secrets.token_urlsafe()
        CODES[code] = asked
        self.send_response(302)
        self.send_header("Location", BACK + "?" + urlencode({"code": code, "state": asked["state"]}))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def ask(self, asked):
        kept = "".join(f'<input type="hidden" name="{escape(k)}" value="{escape(v)}">' for k, v in asked.items())
        page = f"""<!DOCTYPE html><html lang="en"><title>Sign in</title><link rel="icon" href="data:,">
            <form>{kept}<label>E-mail address <input name="email"></label><button>Go on</button></form>"""
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page.encode())))
        self.end_headers()
        self.wfile.write(page.encode())

    def do_POST(self):
        order = self.rfile.read(int(self.headers["Content-Length"])).decode()
        error, asked = refusal(dict(parse_qsl(order)), self.headers.get("Authorization", ""))
        if error:
            return self.answer({"error": error}, 400)
        return self.answer({
            "access_token": "unused",
            "token_type": "Bearer",
            "id_token": token(self.issuer(), asked),
        })

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
print(json.dumps({"port": server.server_port}), flush=True)
server.serve_forever()
