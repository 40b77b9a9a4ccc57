"""What it costs that the client waits for the next hop (listen.hand_over), and what the strict ledger costs (routes.ledger).

  hand_over   store, through and through_or_store, towards a sink that answers the dot at once and one that takes 20 ms: how long the
              client waits for the answer to its dot (p50, p99), messages a second over 8 sessions, processor time a message;
              as ratios to store
  ledger      lazy and strict with hand_over: store, likewise: accepted and delivered messages a second

One run after the other on this machine, in turn, five times; the middle one counts. Messages have 2 KiB.
"""

import argparse
import os
import pathlib
import socket
import statistics
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "test/peer/support"))
import peers  # noqa: E402

SESSIONS = 8
BODY = b"Subject: bench\r\n\r\n" + (b"x" * 70 + b"\r\n") * 28 + b".\r\n"
YAML = """\
hostname: relay.example
spool: {{path: {dir}/spool, max_size: 2GB}}
listen: [{{address: 127.0.0.1:{port}, {mode}}}]
upstreams: {{next: {{hosts: ["127.0.0.1:{next_port}"], tls: none, connections: 20}}}}
routes: [{{to: any, via: next, ledger: {ledger}}}]
limits: {{any: {{connections: 20}}}}
admin: {{socket: {dir}/admin.sock}}
"""


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def read_replies(s, count, rest=b""):
    """Reads so many whole replies; returns the last one and what came behind it."""
    while True:
        lines = rest.split(b"\r\n")
        ends = [i for i, line in enumerate(lines[:-1]) if line[3:4] == b" "]
        if len(ends) >= count:
            return lines[ends[count - 1]], b"\r\n".join(lines[ends[count - 1] + 1:])
        more = s.recv(4096)
        if not more:
            raise ConnectionError(rest)
        rest += more


def session(port, messages, waits):
    with socket.create_connection(("127.0.0.1", port)) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        read_replies(s, 1)
        s.sendall(b"EHLO bench.example\r\n")
        read_replies(s, 1)
        for _ in range(messages):
            s.sendall(b"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n")
            read_replies(s, 3)
            began = time.perf_counter()
            s.sendall(BODY)
            answer, _ = read_replies(s, 1)
            waits.append(time.perf_counter() - began)
            if not answer.startswith(b"250"):
                raise RuntimeError(answer)


def lines_in(path):
    return path.read_bytes().count(b"\n") if path.exists() else 0


def run(mode, ledger, delay_ms, messages):
    with peers.World() as world:
        port, arrivals = peers.free_port(), world.path / "arrivals"
        slow = ["--slow", f"{delay_ms}ms"] if delay_ms else []
        world.start([peers.relay_binary(), "sink", "-l", f"127.0.0.1:{port}", "--ledger", arrivals, *slow], "sink")
        peers.wait_for_port(port)
        how = "hand_over: " + mode + ("" if mode == "store" else ", hand_over_timeout: 30s")
        relay = peers.Relay(world, YAML, mode=how, ledger=ledger, next_port=port)
        waits, cpu = [], cpu_seconds(relay.process.pid)
        each = messages // SESSIONS
        threads = [threading.Thread(target=session, args=(relay.port, each, waits)) for _ in range(SESSIONS)]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        accepted = time.perf_counter() - began
        peers.wait_until(lambda: lines_in(arrivals) >= each * SESSIONS, 120, "the last delivery")
        delivered = time.perf_counter() - began
        cpu = cpu_seconds(relay.process.pid) - cpu
        relay.stop()
    waits.sort()
    assert len(waits) == each * SESSIONS, "some message was not answered 250"
    return {"p50": waits[len(waits) // 2] * 1000, "p99": waits[len(waits) * 99 // 100] * 1000, "taken": len(waits) / accepted,
            "delivered": len(waits) / delivered, "cpu": cpu / len(waits) * 1000}


def middle(runs):
    return {key: statistics.median(r[key] for r in runs) for key in runs[0]}


def line(name, r, base):
    print(f"  {name:18} {r['p50']:7.2f} ms p50 {r['p99']:8.2f} ms p99 {r['taken']:7.0f}/s taken {r['delivered']:7.0f}/s delivered"
          f" {r['cpu']:6.2f} ms cpu   as ratios: p50 {r['p50'] / base['p50']:.2f}, p99 {r['p99'] / base['p99']:.2f},"
          f" delivered {r['delivered'] / base['delivered']:.2f}, cpu {r['cpu'] / base['cpu']:.2f}", flush=True)


def compare(what, ways, delay, messages, times):
    """Each way in turn, so that what else the machine does falls on all alike."""
    print(f"{what}, next hop answers after {delay} ms:")
    runs = {way: [] for way in ways}
    for _ in range(times):
        for way in ways:
            runs[way].append(run(*way, delay, messages))
    base = middle(runs[ways[0]])
    for mode, ledger in ways:
        line(ledger if what == "ledger" else mode, middle(runs[mode, ledger]), base)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="fewer messages, one turn each")
    messages, times = (400, 1) if parser.parse_args().short else (1000, 5)
    for delay in (0, 20):
        compare("hand_over", [("store", "lazy"), ("through", "lazy"), ("through_or_store", "lazy")], delay, messages, times)
    for delay in (0, 20):
        compare("ledger", [("store", "lazy"), ("store", "strict")], delay, messages, times)


if __name__ == "__main__":
    main()
