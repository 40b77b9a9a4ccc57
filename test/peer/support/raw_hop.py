"""A next hop that keeps every octet it gets, and readers of those octets that are as careless as real servers have been."""

import contextlib
import re
import socket
import threading

import peers


class RawHop:
    """Reads strictly by RFC 5321 and takes everything. octets: one list entry for each connection."""

    def __init__(self, world, extensions=("PIPELINING", "8BITMIME", "SMTPUTF8", "SIZE 100000000")):
        self.extensions, self.octets, self.lock = extensions, [], threading.Lock()
        self.messages = 0
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.socket.getsockname()[1]
        world.endings.append(self.close)
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def close(self):
        """A socket that is closed while a thread waits for its clients listens on, and the thread may take those of the next
        one that gets its descriptor."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join(10)
        self.socket.close()

    def accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        kept = bytearray()
        with self.lock:
            self.octets.append(kept)
        with connection:
            connection.sendall(b"220 raw.example ESMTP\r\n")
            answered = 0
            while data := connection.recv(65536):
                with self.lock:
                    kept += data
                # all answers so far, of which those not yet given are given
                answers, ended = answers_to(bytes(kept), self.extensions)
                for answer in answers[answered:]:
                    if answer == b"250 2.0.0 taken\r\n":
                        with self.lock:
                            self.messages += 1
                    connection.sendall(answer)
                answered = len(answers)
                if ended:
                    return

    def await_messages(self, count, seconds=60):
        peers.wait_until(lambda: self.messages >= count, seconds, f"{count} messages (there are {self.messages})")
        with self.lock:
            return [bytes(one) for one in self.octets]


def answers_to(octets, extensions):
    answers = []
    for kind, text in events(octets):
        if kind == "end":
            answers.append(b"250 2.0.0 taken\r\n")
            continue
        verb = text.split(b" ")[0].upper()
        if verb == b"EHLO":
            lines = [b"raw.example", *(e.encode() for e in extensions)]
            answers.append(b"".join(b"250%s%s\r\n" % (b"-" if i + 1 < len(lines) else b" ", line) for i, line in enumerate(lines)))
        else:
            answers.append({b"DATA": b"354 go\r\n", b"QUIT": b"221 bye\r\n"}.get(verb, b"250 ok\r\n"))
        if verb == b"QUIT":
            return answers, True
    return answers, False


def events(octets):
    """("command", line) and ("end", b"") as a strict server sees them."""
    at, in_data = 0, False
    while (end := octets.find(b"\r\n", at)) >= 0:
        line, at = octets[at:end], end + 2
        if in_data:
            if line == b".":
                in_data = False
                yield "end", b""
        else:
            yield "command", line
            in_data = line.upper() == b"DATA"


# What careless servers make of the octets before they look for lines.
READERS = {
    "strict": lambda octets: octets,
    "LF ends a line": lambda octets: re.sub(rb"(?<!\r)\n", b"\r\n", octets),
    "CR ends a line": lambda octets: re.sub(rb"\r(?!\n)", b"\r\n", octets),
    "CR and LF end a line": lambda octets: re.sub(rb"\r\n|\r|\n", b"\r\n", octets),
    "any number of CR before LF": lambda octets: re.sub(rb"\r*\n", b"\r\n", octets),
    "NUL is left out": lambda octets: octets.replace(b"\0", b""),
    "NUL is left out and LF ends a line": lambda octets: re.sub(rb"\r*\n", b"\r\n", octets.replace(b"\0", b"")),
    "NUL ends a line": lambda octets: re.sub(rb"\r?\n?\0\r?\n?", b"\r\n", octets),
    "white space at the end of a line is left out": lambda octets: re.sub(rb"[ \t]+\r\n", b"\r\n", octets),
}


def senders(octets, reader="strict"):
    """Those of the messages that were ended, in order."""
    found, sender = [], None
    for kind, line in events(READERS[reader](octets)):
        if kind == "end":
            found.append(sender)
        elif line.upper().startswith(b"MAIL FROM:"):
            sender = line.partition(b"<")[2].partition(b">")[0].decode("latin-1")
    return found
