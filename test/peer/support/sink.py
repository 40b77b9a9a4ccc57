"""A next hop in Python that keeps what it is given: slow and exact, made without our own code."""

import contextlib
import dataclasses
import socket
import threading

import peers


@dataclasses.dataclass
class Message:
    reverse_path: str
    recipients: list
    content: bytes           # as the client meant it: dots taken away, without the final dot
    wire: bytes              # as it came, without the final dot
    parameters: str


class Sink:
    def __init__(self, world, answers=None, extensions=("PIPELINING", "8BITMIME", "SIZE 100000000"), host="127.0.0.1",
                 port=0):
        """answers(verb, argument) -> a reply line, or None for the usual one."""
        self.answers, self.extensions = answers, extensions
        self.messages, self.lock = [], threading.Lock()
        self.commands = []
        self.connections = 0
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.create_server((host, port), family=family, backlog=256)
        self.port = self.socket.getsockname()[1]
        world.endings.append(self.close)
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def close(self):
        """Wakes the thread first: a socket that is closed while one waits for its clients listens on."""
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
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)      # each reply is a write of its own
            self.connections += 1
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def await_messages(self, count, seconds=30):
        peers.wait_until(lambda: len(self.messages) >= count, seconds, f"{count} messages (there are {len(self.messages)})")
        with self.lock:
            return list(self.messages)

    def usual(self, verb):
        if verb == "EHLO":
            return "".join(f"250-{e}\r\n" for e in ("sink.example", *self.extensions)) + "250 HELP"
        return {"GREETING": "220 sink.example ESMTP", "DATA": "354 go", "QUIT": "221 bye", "DOT": "250 2.0.0 taken"}.get(verb, "250 ok")

    def reply(self, stream, verb, argument, usual=None):
        line = self.answers(verb, argument) if self.answers else None
        line = line or usual or self.usual(verb)
        stream.write(line.encode() + b"\r\n")
        stream.flush()
        return line

    def serve(self, connection):
        try:
            with connection, connection.makefile("rwb") as stream:
                self.talk(stream)
        except (OSError, ValueError):
            pass

    def talk(self, stream, greets=True):
        reverse_path, recipients, parameters = None, [], ""
        if greets:
            self.reply(stream, "GREETING", "")
        for raw in stream:
            line = raw.decode("latin-1").rstrip("\r\n")
            verb = line.split(" ")[0].split(":")[0].upper()
            self.commands.append(line)
            said = self.reply(stream, verb, line, "554 no recipients" if verb == "DATA" and not recipients else None)
            good = said[0] in "23"
            if verb == "MAIL" and good:
                reverse_path, recipients = line.split("<", 1)[1].split(">")[0], []
                parameters = line.split(">", 1)[1].strip()
            elif verb == "RCPT" and good:
                recipients.append(line.split("<", 1)[1].rsplit(">", 1)[0])
            elif verb == "DATA" and said.startswith("354"):
                self.take(stream, reverse_path, recipients, parameters)
            elif verb == "QUIT":
                return

    def take(self, stream, reverse_path, recipients, parameters):
        wire = bytearray()
        while True:
            line = stream.readline()
            if not line:
                return
            if line == b".\r\n" and (not wire or wire.endswith(b"\r\n")):
                break
            wire += line
        content = bytes(wire)
        content = (b"\r\n" + content).replace(b"\r\n.", b"\r\n")[2:]
        line = (self.answers("DOT", reverse_path) if self.answers else None) or self.usual("DOT")
        if line.startswith("2"):
            with self.lock:
                self.messages.append(Message(reverse_path, list(recipients), content, bytes(wire), parameters))
        stream.write(line.encode() + b"\r\n")
        stream.flush()
