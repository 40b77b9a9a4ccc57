"""A healthy destination beside a dead, a slow and a throttling one.

A client sends a message every few milliseconds to the healthy one: how long from its 250 to the next hop's final dot, calm, and then with many
messages waiting for the three others, which are tried all the while. Printed: p50 and p99 of both, and the ratio of the p99s.

  dead        takes connections and never says a word
  slow        takes five seconds for each message
  throttling  takes a few, then answers 451 4.7.28 and 421

A ratio of 2 or more, or a message of the healthy one that did not arrive: the exit code is 1.
"""

import argparse
import contextlib
import socket
import sys
import threading
import time

import fair  # its clients, and the path to the support of peer tests
import peers
from sink import Sink

YAML = """\
hostname: relay.example
spool: {{path: {dir}/spool, max_size: 8GB}}
listen: [{{name: apps, address: 127.0.0.1:{port}, allow: [127.0.0.0/8]}}]
upstreams:
  good: {{hosts: ["127.0.0.1:{good}"], tls: none}}
  dead: {{hosts: ["127.0.0.1:{dead}"], tls: none}}
  slow: {{hosts: ["127.0.0.1:{slow}"], tls: none}}
  throttling: {{hosts: ["127.0.0.1:{throttling}"], tls: none}}
routes:
  - {{to: good.example, via: good}}
  - {{to: dead.example, via: dead}}
  - {{to: slow.example, via: slow}}
  - {{to: throttling.example, via: throttling}}
admin: {{socket: {dir}/admin.sock}}
"""
OTHERS = ("dead", "slow", "throttling")
EVERY = 0.02
CONTENT = "Subject: mailing\r\n\r\nhello\r\n"


class Throttling:
    """Three messages, then it has had enough."""

    def __init__(self, world):
        self.taken, self.lock = 0, threading.Lock()
        self.sink = Sink(world, answers=self.answer)

    def answer(self, verb, argument):
        with self.lock:
            self.taken += verb == "DOT"
            if self.taken < 3 or verb not in ("MAIL", "GREETING"):
                return None
        return "451 4.7.28 unusual rate, slow down" if verb == "MAIL" and self.taken % 2 else None


def slow_answer(verb, argument):
    if verb == "DOT":
        time.sleep(5)


def one(to, sender="a@example.com"):
    return f"MAIL FROM:<{sender}>\r\nRCPT TO:<b@{to}.example>\r\nBDAT {len(CONTENT)} LAST\r\n{CONTENT}".encode()


def fill(port, to, count):
    with contextlib.closing(socket.create_connection(("127.0.0.1", port))) as s, s.makefile("rb") as stream:
        fair.read_replies(stream, 1)
        s.sendall(b"EHLO bench.example\r\n")
        fair.read_replies(stream, 1)
        for first in range(0, count, fair.BATCH):
            n = min(fair.BATCH, count - first)
            s.sendall(one(to) * n)
            fair.read_replies(stream, 3 * n)


def fill_all(port, each, sessions=10):
    threads = [threading.Thread(target=fill, args=(port, to, each // sessions)) for to in OTHERS for _ in range(sessions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def measure(port, good, seconds, name):
    """Milliseconds from 250 to the final dot at the next hop, of each message."""
    answered = {}
    with contextlib.closing(socket.create_connection(("127.0.0.1", port))) as s, s.makefile("rb") as stream:
        fair.read_replies(stream, 1)
        s.sendall(b"EHLO bench.example\r\n")
        fair.read_replies(stream, 1)
        start = time.monotonic()
        for n in range(int(seconds / EVERY)):
            time.sleep(max(0.0, start + n * EVERY - time.monotonic()))
            s.sendall(one("good", f"{name}{n}@example.com"))
            fair.read_replies(stream, 3)
            answered[f"{name}{n}@example.com"] = time.monotonic()
    with contextlib.suppress(AssertionError):
        peers.wait_until(lambda: sum(path in answered for _, path in list(good.arrivals)) == len(answered), 60, "all arrived")
    arrived = {path: at for at, path in good.arrivals}
    lost = [path for path in answered if path not in arrived]
    took = [max(0.0, arrived[path] - at) * 1000 for path, at in answered.items() if path in arrived]
    p50, p99 = fair.percentile(took, 50), fair.percentile(took, 99)
    print(f"{name}: p50 {p50:.1f} ms, p99 {p99:.1f} ms, {len(took)} messages, {len(lost)} did not arrive", flush=True)
    return p99, lost


def run(o):
    with peers.World() as world:
        good, throttling, slow = fair.Upstream(world), Throttling(world), Sink(world, answers=slow_answer)
        dead = socket.create_server(("127.0.0.1", 0), backlog=64)
        relay = peers.Relay(world, YAML, good=good.sink.port, dead=dead.getsockname()[1], slow=slow.port,
                            throttling=throttling.sink.port)
        calm, lost = measure(relay.port, good, o.seconds, "calm")
        began = time.monotonic()
        fill_all(relay.port, o.waiting // len(OTHERS))
        print(f"{o.waiting} messages for the others taken in {time.monotonic() - began:.0f} s", flush=True)
        time.sleep(5)
        beside, more = measure(relay.port, good, o.seconds, "beside")
        dead.close()
    print(f"p99 beside / calm: {beside / calm:.2f}", flush=True)
    return 1 if lost or more or beside >= 2 * calm else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--waiting", type=int, default=100000, help="messages for the three others (100000)")
    parser.add_argument("--seconds", type=int, default=40, help="how long each is measured (40)")
    parser.add_argument("--short", action="store_true", help="9000 messages, 10 s")
    o = parser.parse_args()
    if o.short:
        o.waiting, o.seconds = 9000, 10
    return run(o)


if __name__ == "__main__":
    sys.exit(main())
