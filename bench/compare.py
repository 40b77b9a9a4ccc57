"""The relay and Postfix in turn on one machine, under the same load, delivering to the same sink.

For each size and number of sessions it takes turns (relay, Postfix, relay, Postfix ...), each with a fresh spool, and prints
what each came to and the ratios Postfix : relay with minimum, median and maximum. On a shared machine the ratios are what
counts: both sides of one meet the same weather.

  messages/s   from the first connection to the last arrival at the next hop
  CPU          user and system time of all processes of the relay per 1,000 messages, without the load tool
  written      octets the relay handed to the disk, per octet of mail
  memory       anonymous memory of all its processes, the largest of samples
  250          from the begin of a transaction to its 250; way: from the 250 to the arrival at the next hop
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "test/peer/support"))
import peers  # noqa: E402

KIB = 1024
YAML = peers.UPSTREAM_YAML.replace("connections: 20", "connections: {connections}").replace(
    "hosts:", "hosts:") + "access: {{max_message_size: 50MB}}\nlimits: {{any: {{messages_per_connection: 1000}}}}\n"
# What a careful administrator would set for this load: no throttling of the client, connections as many as ours.
TUNED = {"in_flow_delay": "0", "smtpd_client_connection_count_limit": "0", "smtpd_client_connection_rate_limit": "0",
         "message_size_limit": "52428800", "max_use": "100000", "smtp_connection_cache_on_demand": "yes",
         "qmgr_message_active_limit": "20000", "qmgr_message_recipient_limit": "20000"}
CONNECTIONS = 20


class Sampler(threading.Thread):
    """The largest anonymous memory of a process tree."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.largest, self.ended = pid, 0, threading.Event()

    def run(self):
        while not self.ended.wait(0.05):
            self.largest = max(self.largest, peers.anonymous_bytes(self.pid))


def load(port, next_port, sessions, messages, size, *more):
    done = subprocess.run([peers.load_binary(), "--to", f"127.0.0.1:{port}", "--listen", f"127.0.0.1:{next_port}",
                           "--sessions", str(sessions), "--messages", str(messages), "--size", str(size), "--wait", "300",
                           *more], capture_output=True, text=True)
    if not done.stdout:
        raise RuntimeError(f"the load tool failed: {done.stderr}")
    result = json.loads(done.stdout)
    if result["arrived"] != result["accepted"] or result["accepted"] != messages:
        raise RuntimeError(f"not all arrived: {done.stdout}{done.stderr}")
    return result


def measure(pid, port, next_port, sessions, messages, size):
    load(port, next_port, sessions, min(messages, 50), size)    # processes started, connections open
    sampler = Sampler(pid)
    sampler.start()
    cpu, written = peers.cpu_seconds(pid), peers.written_bytes(pid)
    result = load(port, next_port, sessions, messages, size)
    time.sleep(0.2)
    cpu, written = peers.cpu_seconds(pid) - cpu, peers.written_bytes(pid) - written
    sampler.ended.set()
    sampler.join()
    return {"rate": result["per_second"], "cpu": cpu * 1000 / messages, "written": written / messages / size,
            "memory": sampler.largest, "accept_p50": result["accept_p50_ms"], "accept_p99": result["accept_p99_ms"],
            "way_p50": result["way_p50_ms"], "way_p99": result["way_p99_ms"]}


def relay_turn(sessions, messages, size):
    with peers.World() as world:
        next_port = peers.free_port()
        relay = peers.Relay(world, YAML, next_port=next_port, connections=CONNECTIONS)
        return measure(relay.process.pid, relay.port, next_port, sessions, messages, size)


def postfix_turn(sessions, messages, size):
    with peers.World() as world:
        next_port = peers.free_port()
        postfix = peers.Postfix(world, next_port, processes=max(100, sessions + 20),
                                default_destination_concurrency_limit=CONNECTIONS,
                                initial_destination_concurrency=CONNECTIONS, **TUNED)
        return measure(postfix.master, postfix.port, next_port, sessions, messages, size)


def ceiling(sessions, messages, size):
    """The load tool talking to itself: neither relay can look faster than this."""
    port = peers.free_port()
    return load(port, port, sessions, messages, size)["per_second"]


LABELS = [("rate", "messages/s", "{:.0f}", False), ("cpu", "CPU s/1,000", "{:.3f}", True),
          ("written", "written per octet", "{:.2f}", True), ("memory", "memory MiB", "{:.1f}", True),
          ("accept_p50", "250 p50 ms", "{:.2f}", True), ("accept_p99", "250 p99 ms", "{:.2f}", True),
          ("way_p50", "way p50 ms", "{:.2f}", True), ("way_p99", "way p99 ms", "{:.2f}", True)]


def median(turns, key):
    return statistics.median(turn[key] for turn in turns)


def compare(sessions, messages, size, turns):
    ours, theirs = [], []
    for _ in range(turns):
        ours.append(relay_turn(sessions, messages, size))
        theirs.append(postfix_turn(sessions, messages, size))
    print(f"\n{size // KIB} KiB, {sessions} sessions, {messages} messages, {turns} turns"
          f" (the tool alone: {ceiling(sessions, messages, size):.0f} messages/s)")
    print(f"  {'':20}{'relay':>12}{'Postfix':>12}   times better: min   median      max")
    summary = {"size": size, "sessions": sessions}
    for key, label, form, smaller in LABELS:
        scale = 1 / (1 << 20) if key == "memory" else 1
        ratios = sorted((their[key] / our[key] if smaller else our[key] / their[key]) if our[key] and their[key] else 0.0
                        for our, their in zip(ours, theirs))
        print(f"  {label:20}{form.format(median(ours, key) * scale):>12}{form.format(median(theirs, key) * scale):>12}"
              f"   {ratios[0]:>17.2f} {statistics.median(ratios):>8.2f} {ratios[-1]:>8.2f}", flush=True)
        summary[key] = statistics.median(ratios)
    return summary


def idle_sessions(count):
    """Anonymous memory of the relay for each session that is open and says nothing."""
    import socket
    with peers.World() as world:
        relay = peers.Relay(world, YAML, next_port=peers.free_port(), connections=CONNECTIONS)
        pid = relay.process.pid
        before = peers.anonymous_bytes(pid)
        sessions = []
        for _ in range(count):
            s = socket.create_connection(("127.0.0.1", relay.port))
            s.recv(512)
            s.sendall(b"EHLO idle.example\r\n")
            s.recv(512)
            sessions.append(s)
        time.sleep(0.5)
        after = peers.anonymous_bytes(pid)
        for s in sessions:
            s.close()
    print(f"\n{count} idle sessions: {(after - before) / count:.0f} octets of anonymous memory each")


# A messages count that takes Postfix about ten seconds a turn.
COUNTS = {1: 8000, 10: 6000, 100: 2000, 1024: 400}
FULL = [(size, sessions) for size in (1, 10, 100, 1024) for sessions in (1, 20, 200)]
SHORT = [(1, 20), (10, 20), (1024, 200)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="three of the twelve, with fewer messages and 3 turns")
    parser.add_argument("--turns", type=int, help="default 5, with --short 3")
    parser.add_argument("--only", help="SIZE_KIB:SESSIONS[,...]")
    options = parser.parse_args()
    cases = SHORT if options.short else FULL
    if options.only:
        cases = [tuple(int(part) for part in case.split(":")) for case in options.only.split(",")]
    turns = options.turns or (3 if options.short else 5)
    divisor = 4 if options.short else 1
    began = time.monotonic()
    for size, sessions in cases:
        count = COUNTS.get(size, 2000) // divisor // (3 if sessions == 1 else 1)
        compare(sessions, max(count, sessions), size * KIB, turns)
    idle_sessions(400 if options.short else 4000)
    print(f"\n{len(cases)} comparisons in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
