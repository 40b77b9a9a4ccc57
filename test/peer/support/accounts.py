"""Lines of the users file, made without our own code."""

import base64
import hashlib
import hmac
import os
import subprocess


def scram_verifier(password, iterations=4096):
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    return ",".join((str(iterations), *(base64.b64encode(one).decode() for one in (salt, stored, server))))


def crypt_hash(password):
    return subprocess.run(["openssl", "passwd", "-6", "-stdin"], input=password, capture_output=True, text=True, check=True).stdout.strip()


def line(name, password, senders=""):
    secrets = f"{crypt_hash(password)}|{{SCRAM-SHA-256}}{scram_verifier(password)}"
    return f"{name}:{secrets}{':' + senders if senders else ''}\n"
