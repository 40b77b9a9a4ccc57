"""The next hop of all three servers: it offers every extension and keeps what it gets, octet for octet."""

import dataclasses
import re
import socket
import threading
import time

EXTENSIONS = ("PIPELINING", "SIZE 100000000", "8BITMIME", "BINARYMIME", "CHUNKING", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES",
              "MT-PRIORITY", "DELIVERBY", "REQUIRETLS", "XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE")


@dataclasses.dataclass
class Message:
    sender: str
    envelope: str            # the MAIL and RCPT lines
    content: bytes           # with transparency dots taken away
    wire: bytes              # the mail data as it came


class NextHop:
    def __init__(self, world, extensions=EXTENSIONS):
        self.extensions = extensions
        self.messages, self.lines, self.changed = [], [], threading.Condition()
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.socket.getsockname()[1]
        world.endings.append(self.socket.close)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def await_sender(self, me, seconds):
        end = time.monotonic() + seconds
        with self.changed:
            while True:
                for message in self.messages:
                    if me in message.sender or me in message.envelope:
                        return message
                left = end - time.monotonic()
                if left <= 0:
                    return None
                self.changed.wait(left)

    def serve(self, connection):
        try:
            with connection, connection.makefile("rwb", buffering=-1) as stream:
                Session(self, stream).run()
        except (OSError, ValueError, IndexError):
            pass


class Session:
    def __init__(self, hop, stream):
        self.hop, self.stream = hop, stream
        self.forget()

    def forget(self):
        self.envelope, self.body = [], b""

    def say(self, line):
        self.stream.write(line.encode() + b"\r\n")
        self.stream.flush()

    def run(self):
        self.say("220 sink.example ESMTP")
        for raw in self.stream:
            line = raw.decode("latin-1").rstrip("\r\n")
            with self.hop.changed:
                self.hop.lines.append(line)
            verb = line.split(" ")[0].split(":")[0].upper()
            if verb == "QUIT":
                self.say("221 2.0.0 bye")
                return
            getattr(self, "on_" + verb.lower(), self.on_other)(line)

    def on_other(self, line):
        self.say("250 2.0.0 ok")

    def on_ehlo(self, line):
        self.forget()
        self.say("\r\n".join(f"250-{e}" for e in ("sink.example", *self.hop.extensions[:-1])) +
                 f"\r\n250 {self.hop.extensions[-1]}")

    def on_rset(self, line):
        self.forget()
        self.say("250 2.0.0 ok")

    def on_mail(self, line):
        self.envelope, self.body = [line], b""
        self.say("250 2.1.0 ok")

    def on_rcpt(self, line):
        self.envelope.append(line)
        self.say("250 2.1.5 ok")

    def on_data(self, line):
        self.say("354 go")
        wire = bytearray()
        while True:
            part = self.stream.readline()
            if not part:
                raise OSError("cut short")
            if part == b".\r\n" and (not wire or wire.endswith(b"\r\n")):
                break
            wire += part
        wire = bytes(wire)
        self.take((b"\r\n" + wire).replace(b"\r\n.", b"\r\n")[2:], wire)

    def on_bdat(self, line):
        words = line.split(" ")
        self.body += self.stream.read(int(words[1]))
        if len(words) > 2:
            self.take(self.body, self.body)
        else:
            self.say("250 2.0.0 chunk")

    def take(self, content, wire):
        found = re.search(r"<(.*?)>", self.envelope[0]) if self.envelope else None
        with self.hop.changed:
            self.hop.messages.append(Message(found[1] if found else "", "\n".join(self.envelope), content, wire))
            self.hop.changed.notify_all()
        self.forget()
        self.say("250 2.0.0 taken")
