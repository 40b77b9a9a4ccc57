"""Delivery to a next hop that is 50 ms away and back, with so many connections: the relay, Postfix and Exim in turn.

A proxy on loopback holds back every octet for half of the round trip in each direction, and the opening of a connection for a
whole one; it does not limit how much is on its way. Messages are handed in as fast as they are taken, so that a queue stands,
and what counts is how many arrive at the next hop in a second. Ratios of medians over the turns.
"""

import argparse
import asyncio
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP / "test/peer/support"))
sys.path.insert(0, str(TOP / "test/conformance"))
import peers  # noqa: E402

TUNED = {"in_flow_delay": "0", "smtpd_client_connection_count_limit": "0", "smtpd_client_connection_rate_limit": "0",
         "max_use": "100000", "smtp_connection_cache_on_demand": "yes", "smtp_connection_reuse_count_limit": "0",
         "qmgr_message_active_limit": "20000", "qmgr_message_recipient_limit": "20000"}
YAML = peers.UPSTREAM_YAML.replace("connections: 20", "connections: {connections}") + \
    "limits: {{any: {{messages_per_connection: 100000}}}}\n"
EXIM_MOST = 5           # connections: each has a queue runner, which routes all messages first; twenty of them do nothing else for minutes
PER_CONNECTION = 120    # messages of a turn: about ten seconds for the slowest


# ---------------------------------------------------------------- the distance

async def hold_back(reader, writer, seconds):
    """Everything leaves so much later than it came, in order, whatever else is on its way."""
    loop, pending = asyncio.get_running_loop(), asyncio.Queue()

    async def send():
        while True:
            due, octets = await pending.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not octets:
                writer.close()
                return
            writer.write(octets)

    sender = asyncio.create_task(send())
    try:
        while octets := await reader.read(65536):
            pending.put_nowait((loop.time() + seconds, octets))
    except ConnectionError:
        pass
    pending.put_nowait((loop.time() + seconds, b""))
    try:
        await sender
    except ConnectionError:
        pass


async def carry(reader, writer, port, seconds):
    await asyncio.sleep(2 * seconds)    # of the connection: there and back
    there, back = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.gather(hold_back(reader, back, seconds), hold_back(there, writer, seconds))


async def proxy(port, next_port, seconds):
    server = await asyncio.start_server(lambda r, w: carry(r, w, next_port, seconds), "127.0.0.1", port)
    async with server:
        await server.serve_forever()


def distance(world, next_port, milliseconds):
    """A port that leads to next_port, so many milliseconds there and back."""
    port = peers.free_port()
    process = world.start([sys.executable, __file__, "--proxy", str(port), str(next_port), str(milliseconds / 2000)], "far")
    peers.wait_for_port(port, process=process)
    return port


# ---------------------------------------------------------------- turns

def load(port, next_port, messages, size):
    done = subprocess.run([peers.load_binary(), "--to", f"127.0.0.1:{port}", "--listen", f"127.0.0.1:{next_port}", "--sessions", "10",
                           "--messages", str(messages), "--size", str(size), "--wait", "300"], capture_output=True, text=True)
    if not done.stdout:
        raise RuntimeError(f"the load tool failed: {done.stderr}")
    result = json.loads(done.stdout)
    if result["arrived"] != messages:
        raise RuntimeError(f"not all arrived: {done.stdout}{done.stderr}")
    return result["per_second"]


def relay_turn(connections, size, milliseconds):
    with peers.World() as world:
        sink = peers.free_port()
        relay = peers.Relay(world, YAML, next_port=distance(world, sink, milliseconds), connections=connections)
        return load(relay.port, sink, PER_CONNECTION * connections, size)


def postfix_turn(connections, size, milliseconds):
    with peers.World() as world:
        sink = peers.free_port()
        postfix = peers.Postfix(world, distance(world, sink, milliseconds), processes=100,
                                default_destination_concurrency_limit=connections,
                                initial_destination_concurrency=connections, **TUNED)
        return load(postfix.port, sink, PER_CONNECTION * connections, size)


EXIM = """\
exim_path = {binary}
keep_environment = *
spool_directory = {dir}/spool
log_file_path = {dir}/log/%slog
pid_file_path =
primary_hostname = exim.example
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port}
tls_advertise_hosts =
host_lookup =
rfc1413_hosts =
smtp_accept_max = 100
smtp_accept_queue_per_connection = 0
queue_only = true
queue_run_max = 100
queue_run_in_order = false
remote_max_parallel = 1
acl_smtp_rcpt = accept
begin routers
next_hop:
  driver = manualroute
  route_list = * 127.0.0.1::{next_port} byname
  self = send
  transport = smtp_out
begin transports
smtp_out:
  driver = smtp
  hosts_avoid_tls = *
  hosts_try_dane =
  connection_max_messages = 0
begin retry
* * F,1h,1m
"""


class Exim:
    """It queues first; runners of two passes (the first one routes, and notes what goes to the same host) deliver then."""

    def __init__(self, world, next_port):
        import servers
        self.port, self.directory = peers.free_port(), world.path / "exim"
        for sub in ("", "spool", "log"):
            (self.directory / sub).mkdir()
            os.chown(self.directory / sub, 64321, 64321)
        self.environment = servers.exim_environment(self.directory)
        binary, config = self.directory / "exim4", self.directory / "exim.conf"
        shutil.copyfile(servers.EXIM / "usr/sbin/exim4", binary)
        os.chmod(binary, 0o755)
        config.write_text(EXIM.format(dir=self.directory, binary=binary, port=self.port, next_port=next_port))
        self.command = [binary, "-C", config]
        self.world = world
        process = world.start([*self.command, "-bdf"], "exim", env=self.environment)
        peers.wait_for_port(self.port, process=process)

    def queued(self):
        return len(list(self.directory.glob("spool/input/**/*-H")))

    def run_queue(self, runners):
        return [self.world.start([*self.command, "-qq"], f"runner{i}", env=self.environment) for i in range(runners)]


def exim_turn(connections, size, milliseconds):
    messages = PER_CONNECTION * connections
    with peers.World() as world:
        sink = peers.free_port()
        exim = Exim(world, distance(world, sink, milliseconds))
        tool = subprocess.Popen([peers.load_binary(), "--to", f"127.0.0.1:{exim.port}", "--listen", f"127.0.0.1:{sink}",
                                 "--sessions", "10", "--messages", str(messages), "--size", str(size), "--wait", "300"],
                                stdout=subprocess.PIPE, text=True)
        try:
            peers.wait_until(lambda: exim.queued() == messages, 120, "all messages in Exim's queue")
            began = time.monotonic()
            exim.run_queue(connections)
            out, _ = tool.communicate(timeout=330)
        finally:
            tool.kill()
        if json.loads(out)["arrived"] != messages:
            raise RuntimeError(f"not all arrived: {out}")
        return messages / (time.monotonic() - began)


def compare(connections, size, milliseconds, turns, who):
    rates = {name: [] for name in who}
    for _ in range(turns):
        for name in who:
            rates[name].append({"relay": relay_turn, "Postfix": postfix_turn, "Exim": exim_turn}[name](connections, size, milliseconds))
    ours = statistics.median(rates["relay"])
    words = ", ".join(f"{name} {statistics.median(rates[name]):.1f} ({ours / statistics.median(rates[name]):.2f} times)"
                      for name in who[1:])
    print(f"{connections:3} connections, {size} octets, {milliseconds} ms: relay {ours:.1f} messages/s "
          f"({ours / connections * milliseconds / 1000:.2f} a round trip and connection), {words}", flush=True)


def main():
    if sys.argv[1:2] == ["--proxy"]:
        asyncio.run(proxy(int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="one turn, 1 and 5 connections")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--connections", type=int, action="append", help="instead of 1, 5 and 20")
    parser.add_argument("--ms", type=int, default=50)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--without-exim", action="store_true")
    options = parser.parse_args()
    who = ["relay", "Postfix"] + ([] if options.without_exim else ["Exim"])
    for connections in options.connections or ((1, 5) if options.short else (1, 5, 20)):
        beside = [name for name in who if name != "Exim" or connections <= EXIM_MOST]
        compare(connections, options.size, options.ms, 1 if options.short else options.turns, beside)


if __name__ == "__main__":
    main()
