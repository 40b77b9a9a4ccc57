"""A name server in Python whose answers change while it runs: A, MX and TXT records with a time to live of a second."""

import contextlib
import socket
import struct
import threading

TYPES = {1: "A", 15: "MX", 16: "TXT"}


def encode(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.rstrip(".").split(".")) + b"\0"


def data_of(kind, value):
    if kind == "A":
        return socket.inet_aton(value)
    if kind == "MX":
        return struct.pack(">H", 10) + encode(value)
    octets = value.encode()
    return b"".join(bytes([len(octets[i:i + 255])]) + octets[i:i + 255] for i in range(0, len(octets), 255))


class Names:
    """records: {(name, type): [value, ...]}, changed at any time. A name in `silent` gets no answer."""

    def __init__(self, world, host="127.0.0.1"):
        self.records, self.silent, self.asked = {}, set(), []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, 0))
        self.port = self.socket.getsockname()[1]
        self.open = True
        world.endings.append(self.close)
        threading.Thread(target=self.serve, daemon=True).start()

    def close(self):
        self.open = False
        with contextlib.suppress(OSError):
            self.socket.sendto(b"", self.socket.getsockname())

    def serve(self):
        with self.socket:
            while self.open:
                query, peer = self.socket.recvfrom(4096)
                with contextlib.suppress(IndexError, struct.error):
                    answer = self.answer(query)
                    if answer:
                        self.socket.sendto(answer, peer)

    def answer(self, query):
        at, labels = 12, []
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode("latin-1"))
            at += 1 + query[at]
        question = query[12:at + 5]
        name, kind = ".".join(labels).lower(), TYPES.get(struct.unpack(">H", query[at + 1:at + 3])[0], "?")
        self.asked.append((name, kind))
        if name in self.silent:
            return None
        values = self.records.get((name, kind), [])
        known = any(key[0] == name for key in self.records)
        head = query[:2] + struct.pack(">HHHHH", 0x8180 if known else 0x8183, 1, len(values), 0, 0)
        number = {v: k for k, v in TYPES.items()}.get(kind, 0)
        return head + question + b"".join(
            b"\xc0\x0c" + struct.pack(">HHIH", number, 1, 1, len(data_of(kind, v))) + data_of(kind, v) for v in values)
