"""A next hop that writes down what it kept, and the oracle for what clients were told.

The oracle: behind each 250 every recipient has a delivered copy, a row of the queue (delivered once all is well) or a report; behind
each refusal there is no row, and no copy but where the log says that there may be one."""

import collections
import contextlib
import json
import random
import re
import socket
import threading
import time

YAML = """\
hostname: relay.example
spool: {{path: {spool}, max_size: {max_size}{spool_more}}}
listen: [{{address: 127.0.0.1:{port}, hand_over: {mode}, hand_over_timeout: {timeout}}}]
upstreams: {{next: {{hosts: ["127.0.0.1:{next_port}"], tls: none, connections: 10}}}}
routes: [{{to: any, via: next, ledger: {ledger}}}]
retry: {{schedule: [{retry}], give_up_after: 1d}}
access: {{max_message_size: 2MB}}
admin: {{socket: {dir}/admin.sock}}
"""


class Hop:
    """Goes away before, in and behind the dot, by chance, and writes down what it kept: at the dot, before it answers. A better
    script than chance: another `fate`."""

    def __init__(self, world, seed):
        self.pick, self.lock = random.Random(seed), threading.Lock()
        self.kept = collections.Counter()            # "m12r1" -> copies
        self.begun = set()                           # those whose mail data was asked for
        self.reported = set()                        # final recipients of reports that came
        self.malice = 0.0
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.socket.getsockname()[1]
        world.endings.append(self.close)
        threading.Thread(target=self.accept, daemon=True).start()

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def fate(self, step, names):
        """step: "rcpt", "data" or "dot"."""
        with self.lock:
            if self.pick.random() >= self.malice:
                return "good"
            fate = self.pick.choice(["defers", "refuses", "dies", "is slow"])
            return self.pick.choice(["dies", "dies behind"]) if step == "dot" and fate == "dies" else fate

    def linger(self):
        time.sleep(self.pick.uniform(0.1, 1.5))

    def keep(self, recipients, content):
        with self.lock:
            self.kept.update(recipients)
            for path in re.findall(r"(?im)^Final-Recipient: rfc822; *(\S+)@", content.decode("latin-1")):
                self.reported.add(path)

    def serve(self, connection):
        with connection, contextlib.suppress(OSError), connection.makefile("rb") as wire:
            say = connection.sendall
            say(b"220 hop.example\r\n")
            recipients = []
            while True:
                line = wire.readline()
                if not line.endswith(b"\r\n"):
                    return
                verb = line[:4].upper()
                if verb == b"EHLO":
                    say(b"250-hop.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n")
                elif verb == b"RCPT":
                    name = line[9:line.index(b">")].decode().split("@")[0]
                    fate = self.fate("rcpt", [name])
                    if fate == "dies":
                        return
                    if fate in ("defers", "refuses"):
                        say(b"450 4.2.1 busy\r\n" if fate == "defers" else b"550 5.1.1 nobody\r\n")
                        continue
                    recipients.append(name)
                    say(b"250 ok\r\n")
                elif verb == b"DATA":
                    if not recipients:
                        say(b"554 no recipients\r\n")
                    elif not self.take(wire, say, recipients):
                        return
                    recipients = []
                elif verb == b"QUIT":
                    say(b"221 bye\r\n")
                    return
                else:
                    recipients = []
                    say(b"250 ok\r\n")

    def take(self, wire, say, recipients):
        with self.lock:
            self.begun.update(recipients)
        say(b"354 go\r\n")
        content = []
        in_the_middle = self.fate("data", recipients) == "dies"
        while True:
            line = wire.readline()
            if not line:
                return False
            if line == b".\r\n":
                break
            content.append(line)
            if in_the_middle:
                return False
        fate = self.fate("dot", recipients)
        if fate in ("defers", "refuses"):
            say(b"451 4.3.0 later\r\n" if fate == "defers" else b"554 5.7.1 no\r\n")
            return True
        if fate == "is slow":
            self.linger()
        if fate == "dies":
            return False                             # before it kept anything
        self.keep(recipients, b"".join(content))
        if fate == "dies behind":
            return False
        say(b"250 2.0.0 kept\r\n")
        return True


class Said:
    """What the log says may be there, and what was reported on."""

    def __init__(self, log):
        self.doubted, self.given_up, self.reports = set(), set(), set()
        for line in log.splitlines():
            with contextlib.suppress(ValueError, KeyError):
                event = json.loads(line)
                name = event["to"].split("@")[0]
                if event.get("from") == "":          # nobody else writes to them; the first line may have died with the relay
                    self.reports.add(name)
                if "unknown_outcome" in line:
                    self.doubted.add(name)
                if event["event"] in ("bounced", "expired"):
                    self.given_up.add(name)


def judge(hop, said, key, names, answer, may_forget):
    """A message from key@..., to names@...; answer: (code, words), or (None, b"") where none came. may_forget: nobody waits for the
    claim of a retry on a lazy route, so a kill may come before it is on disk."""
    code, words = answer
    for name in names:
        copies = hop.kept[name]
        doubted = name in said.doubted or (code is not None and code >= 400 and b"may have" in words)
        if code == 250:
            reported = name in hop.reported or (name in said.given_up and key in said.reports)
            assert copies or reported, f"{name} was answered {code} {words} and is nowhere"
        if code is not None and code >= 400:
            assert not copies or doubted, f"{name} was answered {code} {words}, and arrived, and nothing was said of it"
            assert key not in said.reports, f"{name} was answered {code} {words}, and reported on as well"
        if copies > 1 and not may_forget:
            assert doubted, f"{name} arrived {copies} times, and nothing was said of it"


def is_empty(relay):
    """OSError: it does not answer."""
    with socket.socket(socket.AF_UNIX) as control:
        control.settimeout(10)
        control.connect(str(relay.directory / "admin.sock"))
        control.sendall(b"GET /v1/queue HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n")
        said = b"".join(iter(lambda: control.recv(65536), b""))
    if not said.startswith(b"HTTP/1.1 200 ") or not said.endswith(b"\r\n0\r\n\r\n"):
        raise OSError(f"the queue cannot be read: {said!r}")
    return b"queue_id" not in said
