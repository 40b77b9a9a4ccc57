"""Senders that share a tight limit: a mailing of four equal senders waits, and beside it an urgent message now and then.

The relay is given the mailing first (one sender after the other, so that the last lies on disk behind all the rest), then
an upstream with a rate lets it go. Printed: how long the urgent messages took from their 250 to the upstream's final dot, how
much of the limit was used and the most that went in one second, Jain's index of what the four senders had, and the relay's
anonymous memory before, with all that waits, and at the end. With --restart the relay is stopped and started in the middle.

A limit that was passed, an urgent p99 of 2 s, less than 99% of the limit, an index below 0.99: the exit code is 1.

The same at full size in simulated time: FAIR_MESSAGES=1000000 FAIR_MINUTES=60 build/release/scenario_fair
"""

import argparse
import collections
import contextlib
import pathlib
import socket
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "test/peer/support"))
import peers  # noqa: E402
from sink import Sink  # noqa: E402

YAML = """\
hostname: relay.example
spool: {{path: {dir}/spool, max_size: 8GB}}
listen: [{{name: apps, address: 127.0.0.1:{port}, allow: [127.0.0.0/8]}}]
upstreams: {{next: {{hosts: ["127.0.0.1:{next_port}"], tls: none, rate: {rate}/s, connections: 4}}}}
routes:
  - {{to: any, from: urgent.example, via: next, class: urgent}}
  - {{to: any, via: next, class: bulk}}
admin: {{socket: {dir}/admin.sock}}
"""
SENDERS = [f"s{n}@bulk.example" for n in range(4)]
BATCH = 50


class Upstream:
    """Notes when each final dot came, and from whom the message is."""

    def __init__(self, world):
        self.arrivals, self.local = [], threading.local()
        self.sink = Sink(world, answers=self.answer)

    def answer(self, verb, argument):
        if verb == "MAIL":
            self.local.path = argument.partition("<")[2].partition(">")[0]
        elif verb == "DOT":
            self.arrivals.append((time.monotonic(), self.local.path))
            self.sink.messages.clear()


def read_replies(stream, count):
    for _ in range(count):
        while True:
            line = stream.readline()
            if not line:
                raise ConnectionError("the relay closed")
            if line[3:4] == b" ":
                break
        if line[:1] not in b"23":
            raise RuntimeError(line.decode())


def give(port, sender, count):
    """count messages over one connection, BATCH of them in a write."""
    with contextlib.closing(socket.create_connection(("127.0.0.1", port))) as s, s.makefile("rb") as stream:
        read_replies(stream, 1)
        s.sendall(b"EHLO bench.example\r\n")
        read_replies(stream, 1)
        content = "Subject: mailing\r\n\r\nhello\r\n"
        one = f"MAIL FROM:<{sender}>\r\nRCPT TO:<b@example.net>\r\nBDAT {len(content)} LAST\r\n{content}".encode()
        for first in range(0, count, BATCH):
            n = min(BATCH, count - first)
            s.sendall(one * n)
            read_replies(stream, 3 * n)
        s.sendall(b"QUIT\r\n")


def give_many(port, sender, count, sessions):
    threads = [threading.Thread(target=give, args=(port, sender, count // sessions)) for _ in range(sessions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def percentile(values, percent):
    values = sorted(values)
    return values[min(len(values) - 1, len(values) * percent // 100)]


def jain(had):
    squares = sum(n * n for n in had)
    return sum(had) ** 2 / (len(had) * squares) if squares else 0


def most_in_a_second(times):
    """The most in any second, wherever it begins."""
    most, first = 0, 0
    for last, end in enumerate(times):
        while times[first] <= end - 1:
            first += 1
        most = max(most, last - first + 1)
    return most


def run(o):
    with peers.World() as world:
        upstream = Upstream(world)
        relay = peers.Relay(world, YAML, next_port=upstream.sink.port, rate=o.rate)
        idle = peers.anonymous_bytes(relay.process.pid)
        began = time.monotonic()
        for sender in SENDERS:
            give_many(relay.port, sender, o.waiting // len(SENDERS), 20)
        print(f"{o.waiting} messages of {len(SENDERS)} senders taken in {time.monotonic() - began:.0f} s", flush=True)
        full = peers.anonymous_bytes(relay.process.pid)
        time.sleep(3)
        start, urgent = time.monotonic(), []
        while time.monotonic() < start + o.seconds:
            if o.restart and len(urgent) == o.seconds // o.every // 2:
                relay.stop()
                relay.start()
            give(relay.port, f"u{len(urgent)}@urgent.example", 1)
            urgent.append(time.monotonic())
            time.sleep(max(0.0, start + len(urgent) * o.every - time.monotonic()))
        end = time.monotonic()
        time.sleep(3)
        memory = peers.anonymous_bytes(relay.process.pid)
        arrivals = list(upstream.arrivals)
    return report(o, arrivals, urgent, start, end, (idle, full, memory))


def report(o, arrivals, urgent, start, end, memory):
    arrived = {path: at for at, path in arrivals}
    took = [arrived.get(f"u{n}@urgent.example", end + 60) - at for n, at in enumerate(urgent)]
    measured = [(at, path) for at, path in arrivals if start <= at < end]
    had = collections.Counter(path for _, path in measured)
    share = [had[sender] for sender in SENDERS]
    used = len(measured) / ((end - start) * o.rate)
    most = most_in_a_second([at for at, _ in measured])
    p99 = percentile(took, 99)
    print(f"urgent beside them: p50 {percentile(took, 50) * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms ({len(took)} messages)")
    print(f"limit {o.rate}/s: {used:.1%} used in {end - start:.0f} s, at most {most} in a second")
    print(f"the senders had {share}: Jain's index {jain(share):.5f}")
    print("anonymous memory: {:.1f} MB idle, {:.1f} MB when all was taken in, {:.1f} MB at the end".format(*(m / 1e6 for m in memory)), flush=True)
    # dots that a second's end divides arrive by chance on one side or the other
    bad = p99 >= 2 or (used < 0.99 and not o.restart) or used > 1.01 or most > o.rate * 1.05 + 2 or jain(share) < 0.99
    return 1 if bad else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--waiting", type=int, default=20000, help="messages of the mailing (20000)")
    parser.add_argument("--rate", type=int, default=50, help="messages a second that the upstream takes (50)")
    parser.add_argument("--seconds", type=int, default=90, help="how long is measured (90)")
    parser.add_argument("--every", type=float, default=5, help="seconds between urgent messages (5)")
    parser.add_argument("--restart", action="store_true", help="stop and start the relay in the middle")
    parser.add_argument("--short", action="store_true", help="8000 messages, 30 s, an urgent one each second")
    o = parser.parse_args()
    if o.short:
        o.waiting, o.seconds, o.every = 8000, 30, 1
    return run(o)


if __name__ == "__main__":
    sys.exit(main())
