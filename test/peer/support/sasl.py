"""The client's side of SASL mechanisms, and of a dialogue in SMTP (RFC 4954)."""

import base64
import hashlib
import hmac
import secrets
import smtplib


def plain(user, password):
    return f"\0{user}\0{password}".encode()


class Scram:
    """SCRAM-SHA-256 (RFC 7677) without channel binding; whether the server knows the password is checked too."""

    def __init__(self, user, password):
        self.user, self.password = user, password
        self.nonce = secrets.token_hex(12)
        self.bare = f"n={user.replace('=', '=3D').replace(',', '=2C')},r={self.nonce}"
        self.proved = False

    def first(self):
        return ("n,," + self.bare).encode()

    def answer(self, challenge):
        text = challenge.decode()
        if text.startswith("v="):
            assert base64.b64decode(text[2:]) == self.signature, "the server does not know the password"
            self.proved = True
            return b""
        fields = dict(field.split("=", 1) for field in text.split(","))
        assert fields["r"].startswith(self.nonce) and len(fields["r"]) > len(self.nonce)
        salted = hashlib.pbkdf2_hmac("sha256", self.password.encode(), base64.b64decode(fields["s"]), int(fields["i"]))
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        without_proof = f"c=biws,r={fields['r']}"
        message = ",".join((self.bare, text, without_proof)).encode()
        proof = bytes(a ^ b for a, b in zip(client_key, hmac.digest(hashlib.sha256(client_key).digest(), message, "sha256")))
        self.signature = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), message, "sha256")
        return f"{without_proof},p={base64.b64encode(proof).decode()}".encode()


def dialogue(smtp, mechanism, first, answer=None):
    """AUTH with an initial response; answer(challenge) -> octets. Returns (code, text) of the last reply."""
    code, text = smtp.docmd("AUTH", f"{mechanism} {base64.b64encode(first).decode() or '='}" if first is not None else mechanism)
    while code == 334:
        code, text = smtp.docmd(base64.b64encode(answer(base64.b64decode(text))).decode())
    return code, text.decode()


def login(smtp, user, password):
    """The LOGIN mechanism: two questions."""
    answers = iter((user.encode(), password.encode()))
    return dialogue(smtp, "LOGIN", None, lambda challenge: next(answers))


def mechanisms(smtp):
    smtp.ehlo_or_helo_if_needed()
    return smtp.esmtp_features.get("auth", "").split()


def connect(port, timeout=60):
    smtp = smtplib.SMTP("127.0.0.1", port, timeout=timeout)
    smtp.ehlo("client.example")
    return smtp
