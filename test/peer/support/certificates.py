"""Certificates for tests, by an authority of their own, made with OpenSSL."""

import subprocess


def openssl(*arguments, **options):
    return subprocess.run(["openssl", *[str(a) for a in arguments]], capture_output=True, timeout=30, **options)


class Certificates:
    """An authority, and certificates by it."""

    def __init__(self, world, name="ca"):
        self.path, self.name = world.path, name
        self.ca = world.path / f"{name}.pem"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                f"/CN=authority {name}", "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-keyout", world.path / f"{name}.key", "-out", self.ca, check=True)

    def issue(self, host, kind="ec", days=2):
        cert, key, request = (self.path / f"{self.name}-{host}-{kind}.{end}" for end in ("pem", "key", "csr"))
        names = self.path / f"{self.name}-{host}.ext"
        names.write_text(f"subjectAltName=DNS:{host}\nauthorityKeyIdentifier=keyid\n")
        new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"] if kind == "ec" else ["-newkey", "rsa:2048"]
        openssl("req", *new_key, "-nodes", "-subj", f"/CN={host}",
                "-keyout", key, "-out", request, check=True)
        openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.path / f"{self.name}.key", "-CAcreateserial",
                "-days", days, "-extfile", names, "-out", cert, check=True)
        return cert, key
