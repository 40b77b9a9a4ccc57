"""The door under load: many idle sessions, a storm, and a good client beside bad ones.

  idle     anonymous memory of the relay for each session that has said EHLO and nothing else, plain and with TLS, as many as
           the descriptor limit of this machine allows
  storm    2,000 sessions that connect at once and each send a message: all answered 250, all delivered, none refused
  bad      the latency of a client that sends one message after the other, in a calm and beside a trickler (100 sessions that
           give an octet of a message now and then) and a flooder (20 that send rubbish and idle commands as fast as they are
           let, and come again when they are thrown out), as ratios to the calm. The bad ones run at a lower priority of the processor:
           what is measured is what the relay does about them, not what they take from it by running on the same machine. What
           that takes all the same is measured too: the good client beside both at another relay

Clients come from addresses of 127.0.0.0/8, so that limits by client address hold as they would for strangers.
"""

import argparse
import contextlib
import pathlib
import resource
import select
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
spool: {{path: {dir}/spool, max_size: 2GB}}
listen:
  - {{name: plain, address: 127.0.0.1:{port}, allow: [127.0.0.0/8], {more}}}
  - {{name: tls, address: 127.0.0.1:{tls_port}, allow: [127.0.0.0/8], cert: {cert}, key: {key}}}
upstreams: {{next: {{hosts: ["127.0.0.1:{next_port}"], tls: none, connections: 20}}}}
routes: [{{to: any, via: next}}]
admin: {{socket: {dir}/admin.sock}}
"""
PER_ADDRESS = 400


def relay_of(world, next_port, more="max_errors: 20", name="relay"):
    cert, key = Certificates(world, f"{name}-ca").issue("localhost")
    tls_port = peers.free_port()
    return peers.Relay(world, YAML, name, next_port=next_port, tls_port=tls_port, cert=cert, key=key, more=more), tls_port


def connect(port, number, timeout=60):
    return socket.create_connection(("127.0.0.1", port), timeout=timeout, source_address=(f"127.1.{number // 250}.{number % 250 + 1}", 0))


def read_reply(s):
    got = b""
    while not (got.endswith(b"\r\n") and got.splitlines()[-1][3:4] == b" "):
        more = s.recv(4096)
        if not more:
            raise ConnectionError(f"closed after {got!r}")
        got += more
    return got


def say(s, line, expected=b"2"):
    s.sendall(line + b"\r\n")
    got = read_reply(s)
    if not got.startswith(expected):
        raise RuntimeError(f"{line!r}: {got!r}")
    return got


# ---------------------------------------------------------------- idle sessions

def hold(port, first, count, tls):
    """A process of its own, for its descriptors: opens sessions, says how many, and holds them until its input ends."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    sessions = []
    for n in range(first, first + count):
        s = connect(port, n // PER_ADDRESS)
        greeting = read_reply(s)
        if not greeting.startswith(b"220"):
            raise RuntimeError(f"session {n}: {greeting!r}")
        say(s, b"EHLO idle.example")
        if tls:
            say(s, b"STARTTLS")
            s = context.wrap_socket(s)
            say(s, b"EHLO idle.example")
        sessions.append(s)
    print(len(sessions), flush=True)
    sys.stdin.read()


def idle(count, tls):
    with peers.World() as world:
        relay, tls_port = relay_of(world, peers.free_port())
        pid = relay.process.pid
        time.sleep(0.5)
        before = peers.anonymous_bytes(pid)
        began = time.monotonic()
        holders = [subprocess.Popen([sys.executable, __file__, "--hold", str(tls_port if tls else relay.port), str(half * (count // 2)), str(count // 2),
                                     "tls" if tls else "plain"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for half in (0, 1)]
        opened = sum(int(holder.stdout.readline() or 0) for holder in holders)
        seconds = time.monotonic() - began
        time.sleep(3)
        after = peers.anonymous_bytes(pid)
        with contextlib.closing(socket.create_connection(("127.0.0.1", relay.port), timeout=10)) as s:    # still at home
            read_reply(s)
        for holder in holders:
            holder.stdin.close()
            holder.wait()
    assert opened == count // 2 * 2, f"{opened} of {count} sessions could be opened"
    print(f"{opened} idle sessions{' with TLS' if tls else ''}: {(after - before) / opened:.0f} octets of anonymous memory each,"
          f" opened in {seconds:.1f} s", flush=True)


# ---------------------------------------------------------------- the storm

class Sender:
    """A session that sends one message; fed by what its socket has."""

    STEPS = [b"EHLO storm.example\r\n", b"MAIL FROM:<a@example.com>\r\n", b"RCPT TO:<b@example.net>\r\n", b"DATA\r\n",
             b"Subject: storm\r\n\r\nhello\r\n.\r\n", b"QUIT\r\n"]

    def __init__(self, port, number):
        self.socket = socket.socket()
        self.socket.bind((f"127.1.{number // PER_ADDRESS}.1", 0))
        self.socket.setblocking(False)
        self.socket.connect_ex(("127.0.0.1", port))
        self.step, self.got, self.refused = 0, b"", None

    def on_readable(self):
        """True when it is over."""
        try:
            more = self.socket.recv(4096)
        except OSError as error:
            self.refused = str(error)
            return True
        if not more:
            self.refused = self.refused or (None if self.step == len(self.STEPS) else f"closed at step {self.step}")
            return True
        self.got += more
        if not (self.got.endswith(b"\r\n") and self.got.splitlines()[-1][3:4] == b" "):
            return False
        reply, self.got = self.got, b""
        if reply[:1] not in b"23":
            self.refused = reply.decode()
        if self.step == len(self.STEPS):
            return True
        self.socket.sendall(self.STEPS[self.step])
        self.step += 1
        return False


def storm(count):
    with peers.World() as world:
        next_port = peers.free_port()
        world.start(["smtp-sink", "-u", "nobody", "-c", f"127.0.0.1:{next_port}", "2000"], "smtp-sink")
        peers.wait_for_port(next_port)
        relay, _ = relay_of(world, next_port)
        began = time.monotonic()
        senders = [Sender(relay.port, n) for n in range(count)]
        poll, alive = select.epoll(), {}
        for sender in senders:
            poll.register(sender.socket, select.EPOLLIN)
            alive[sender.socket.fileno()] = sender
        while alive and time.monotonic() < began + 120:
            for fd, _ in poll.poll(1):
                if alive[fd].on_readable():
                    poll.unregister(fd)
                    alive.pop(fd).socket.close()
        seconds = time.monotonic() - began
        refused = [s.refused for s in senders if s.refused]
        assert not alive and not refused, (len(alive), len(refused), refused[:3])
        relay.await_events("delivered", count, 60)
    print(f"{count} sessions sending at once: {count} answered 250, 0 refused, in {seconds:.2f} s", flush=True)


# ---------------------------------------------------------------- a good client beside bad ones

def trickle(port, seconds):
    """100 sessions in the middle of DATA, each with an octet every half second; cut ones come again."""
    end, sessions = time.monotonic() + seconds, {}
    while time.monotonic() < end:
        for n in range(100):
            with contextlib.suppress(OSError, RuntimeError, ConnectionError):
                if n not in sessions:
                    s = connect(port, 1000 + n // 10, 5)
                    read_reply(s)
                    for line in (b"EHLO slow.example", b"MAIL FROM:<a@example.com>", b"RCPT TO:<b@example.net>"):
                        say(s, line)
                    say(s, b"DATA", b"3")
                    sessions[n] = s
                sessions[n].sendall(b"x")
                continue
            sessions.pop(n, None)
        time.sleep(0.5)


def flood(port, seconds):
    """20 sessions that send as fast as the relay reads, and come again when they are closed."""
    junk = (b"NOOP\r\n" * 200 + b"FOO bar\r\n" * 50 + b"RSET\r\n" * 200 + b"VRFY x\r\n" * 50 + b"MAIL FROM:<@>\r\n" * 50)
    end, sessions = time.monotonic() + seconds, []
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            while len(sessions) < 20:
                s = connect(port, 2000 + len(sessions), 5)
                s.setblocking(False)
                sessions.append(s)
        for s in list(sessions):
            try:
                s.send(junk)
                s.recv(65536)
            except BlockingIOError:
                continue
            except OSError:
                s.close()
                sessions.remove(s)
        select.select(sessions, [], [], 0.001)


def latencies(port, count):
    """Of whole transactions, in one session after the other, in milliseconds."""
    found = []
    for _ in range(count):
        began = time.monotonic()
        with contextlib.closing(connect(port, 1)) as s:
            read_reply(s)
            for line in (b"EHLO good.example", b"MAIL FROM:<a@example.com>", b"RCPT TO:<b@example.net>"):
                say(s, line)
            say(s, b"DATA", b"3")
            say(s, b"Subject: good\r\n\r\nhello\r\n.")
            say(s, b"QUIT")
        found.append((time.monotonic() - began) * 1000)
        time.sleep(0.005)
    return found


def quantiles(found):
    found = sorted(found)
    return statistics.median(found), found[int(len(found) * 0.99)]


def beside(count, turns):
    with peers.World() as world:
        next_port = peers.free_port()
        world.start(["smtp-sink", "-u", "nobody", "-c", f"127.0.0.1:{next_port}", "2000"], "smtp-sink")
        peers.wait_for_port(next_port)
        relay, _ = relay_of(world, next_port)
        other, _ = relay_of(world, next_port, name="other")
        latencies(relay.port, 50)
        ratios = {kind: [] for kind in ("trickle", "flood", "both", "both, elsewhere")}
        for _ in range(turns):
            calm = quantiles(latencies(relay.port, count))
            for kind in ratios:
                to = other if kind.endswith("elsewhere") else relay
                bad = [subprocess.Popen(["nice", "-n", "19", sys.executable, __file__, f"--{one}", str(to.port), "600"])
                       for one in ("trickle", "flood") if kind.startswith((one, "both"))]
                time.sleep(1)
                found = quantiles(latencies(relay.port, count))
                for process in bad:
                    process.kill()
                    process.wait()
                time.sleep(0.5)
                ratios[kind].append((found[0] / calm[0], found[1] / calm[1], *found, *calm))
        for kind, rows in ratios.items():
            middle = [statistics.median(row[n] for row in rows) for n in range(6)]
            print(f"a good client beside {kind:15} p50 {middle[2]:.2f} ms (calm {middle[4]:.2f}, {middle[0]:.2f} times), "
                  f"p99 {middle[3]:.2f} ms (calm {middle[5]:.2f}, {middle[1]:.2f} times)", flush=True)
    return ratios


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="fewer of everything")
    parser.add_argument("--only", choices=("idle", "storm", "bad"))
    parser.add_argument("--hold", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--trickle", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--flood", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.hold:
        port, first, count, tls = options.hold
        return hold(int(port), int(first), int(count), tls == "tls")
    for one in ("trickle", "flood"):
        if getattr(options, one):
            return globals()[one](*map(int, getattr(options, one)))
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit[1], limit[1]))
    most = min(20000, limit[1] * 74 // 100)      # a quarter is for deliveries, some are for files (docs/operations.md, Budgets)
    if options.only in (None, "idle"):
        idle(400 if options.short else most, False)
        idle(400 if options.short else most, True)
    if options.only in (None, "storm"):
        storm(500 if options.short else 2000)
    if options.only in (None, "bad"):
        beside(200 if options.short else 1000, 1 if options.short else 5)


if __name__ == "__main__":
    main()
