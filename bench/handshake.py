"""Handshakes: the relay beside Postfix on one machine, with the same certificate (ECDSA P-256), in turn.

A session is connect, EHLO, STARTTLS, the handshake, EHLO, QUIT, by clients that use OpenSSL, four at a time. For each kind of handshake
(TLS 1.2 and 1.3, full and resumed by a ticket) they take turns, and what is printed are medians and, in brackets, the ratios
Postfix : relay of the single turns from the smallest to the largest (for sessions/s the other way round): above 1 the relay is better.

  sessions/s   on a machine that clients and server share
  CPU          user and system time of all processes of the server for one session, in milliseconds
  handshake    from the first octet of the client to the last it needs, milliseconds at p50 and p99
  NOOP         the answer to NOOP in plain sessions beside all that: p50 and p99 in milliseconds. The relay has one loop for all
               sessions, so this shows whether handshakes hold it up; Postfix has a process for each session
"""

import argparse
import json
import os
import pathlib
import socket
import ssl
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "test/peer/support"))
import peers  # noqa: E402
from certificates import Certificates  # noqa: E402

YAML = """\
hostname: relay.example
spool: {{path: {dir}/spool, max_size: 1GB}}
listen: [{{name: apps, address: 127.0.0.1:{port}, allow: [127.0.0.0/8], tls: opportunistic, cert: {cert}, key: {key}}}]
upstreams: {{next: {{hosts: ["127.0.0.1:9"], tls: none}}}}
routes: [{{to: any, via: next}}]
admin: {{socket: {dir}/admin.sock}}
"""
KINDS = [("1.2", False), ("1.3", False), ("1.2", True), ("1.3", True)]
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
WORKERS = 4


# ---------------------------------------------------------------- the client

def reply(s):
    got = b""
    while not (got.endswith(b"\r\n") and got.splitlines()[-1][3:4] == b" "):
        more = s.recv(4096)
        if not more:
            raise ConnectionError(f"closed after {got!r}")
        got += more
    return got


def ask(s, line):
    s.sendall(line)
    return reply(s)


def session(port, context, before):
    """One session; the time of its handshake, whether it was resumed, and what the next may resume."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reply(plain)
        ask(plain, b"EHLO client.example\r\n")
        ask(plain, b"STARTTLS\r\n")
        began = time.monotonic()
        with context.wrap_socket(plain, session=before) as tls:
            took = time.monotonic() - began
            ask(tls, b"EHLO client.example\r\n")
            ask(tls, b"QUIT\r\n")
            return took, tls.session_reused, tls.session


def work(port, count, version, resumed):
    context = ssl._create_unverified_context()
    context.minimum_version = context.maximum_version = VERSIONS[version]
    _, _, ticket = session(port, context, None)
    print("ready", flush=True)
    sys.stdin.readline()
    times, again = [], 0
    for _ in range(count):
        took, reused, _ = session(port, context, ticket if resumed else None)
        times.append(took)
        again += reused
    print(json.dumps({"times": times, "resumed": again}), flush=True)


# ---------------------------------------------------------------- one turn

def noops(port, stop):
    """Plain sessions one after the other that ask all the time, 5 ms after each answer; few enough times not to be thrown out."""
    times = []
    while not stop():
        with socket.create_connection(("127.0.0.1", port), timeout=60) as s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            reply(s)
            for _ in range(15):
                began = time.monotonic()
                ask(s, b"NOOP\r\n")
                times.append(time.monotonic() - began)
                time.sleep(0.005)
    return times


def at(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def turn(pid, port, version, resumed, count):
    workers = [subprocess.Popen([sys.executable, __file__, "--work", str(port), str(count // WORKERS), version, str(int(resumed))],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=lambda: os.nice(5))
               for _ in range(WORKERS)]
    for worker in workers:
        assert worker.stdout.readline() == "ready\n"
    cpu, began = peers.cpu_seconds(pid), time.monotonic()
    for worker in workers:
        worker.stdin.write("\n")
        worker.stdin.flush()
    beside = noops(port, lambda: all(worker.poll() is not None for worker in workers))
    results = [json.loads(worker.communicate()[0]) for worker in workers]
    seconds, cpu = time.monotonic() - began, peers.cpu_seconds(pid) - cpu
    times = [one for result in results for one in result["times"]]
    again = sum(result["resumed"] for result in results)
    assert again == (len(times) if resumed else 0), f"{again} of {len(times)} sessions were resumed"
    return {"rate": len(times) / seconds, "cpu": cpu / len(times) * 1000, "p50": at(times, 0.5) * 1000, "p99": at(times, 0.99) * 1000,
            "noop50": at(beside, 0.5) * 1000, "noop99": at(beside, 0.99) * 1000}


def compare(servers, version, resumed, rounds, count):
    turns = {name: [] for name in servers}
    for _ in range(rounds):
        for name, (pid, port) in servers.items():
            turns[name].append(turn(pid, port, version, resumed, count))
    return turns


# ---------------------------------------------------------------- the table

def row(turns, name):
    return {key: statistics.median(one[key] for one in turns[name]) for key in turns[name][0]}


def ratios(turns, key, upside_down=False):
    pairs = [(p[key], r[key]) for p, r in zip(turns["postfix"], turns["relay"])]
    values = [r / p if upside_down else p / r for p, r in pairs]
    return f"({min(values):.2f} to {max(values):.2f})"


def show(version, resumed, turns):
    relay, postfix = row(turns, "relay"), row(turns, "postfix")
    print(f"| {version} {'resumed' if resumed else 'full'} | {relay['rate']:.0f} / {postfix['rate']:.0f} {ratios(turns, 'rate', True)} "
          f"| {relay['cpu']:.2f} / {postfix['cpu']:.2f} {ratios(turns, 'cpu')} "
          f"| {relay['p50']:.1f}, {relay['p99']:.1f} / {postfix['p50']:.1f}, {postfix['p99']:.1f} "
          f"| {relay['noop50']:.2f}, {relay['noop99']:.2f} / {postfix['noop50']:.2f}, {postfix['noop99']:.2f} |", flush=True)


def run(rounds, count):
    with peers.World() as world:
        cert, key = Certificates(world).issue("localhost")
        relay = peers.Relay(world, YAML, cert=cert, key=key)
        postfix = peers.Postfix(world, discard=True, smtpd_tls_security_level="may", smtpd_tls_cert_file=str(cert),
                                smtpd_tls_key_file=str(key), smtpd_client_connection_count_limit="0", max_use="100000",
                                smtpd_client_connection_rate_limit="0", smtpd_tls_loglevel="0")
        servers = {"relay": (relay.process.pid, relay.port), "postfix": (postfix.master, postfix.port)}
        print(f"relay / Postfix, medians of {rounds} turns of {count} sessions, {WORKERS} clients at a time\n")
        print("| handshake | sessions/s | CPU ms | handshake ms p50, p99 | NOOP ms p50, p99 |\n|---|---|---|---|---|")
        for version, resumed in KINDS:
            show(version, resumed, compare(servers, version, resumed, rounds, count))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="three turns of fewer sessions")
    parser.add_argument("--work", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        port, count, version, resumed = options.work
        return work(int(port), int(count), version, resumed == "1")
    return run(3, 200) if options.short else run(5, 1000)


if __name__ == "__main__":
    sys.exit(main())
