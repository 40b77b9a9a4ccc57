"""Real programs around the relay, on free loopback ports in a temporary directory: started, watched, ended by pid."""

import contextlib
import itertools
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parents[3]

# Whoever is told to end leaves its worlds as at any other end: nothing that they started stays behind.
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


# Ours, and nobody else's: the relay refuses to start with a POSTRIDER_ variable that it does not know.
OWN = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("POSTRIDER_")}
RELAY = OWN.get("POSTRIDER_BIN", str(TOP / "build/release/postrider"))
LOAD = OWN.get("POSTRIDER_LOAD", OWN.get("POSTRIDER_LOAD_BIN", str(pathlib.Path(RELAY).parent / "postrider-load")))


def relay_binary():
    return RELAY


def load_binary():
    return LOAD


GIVEN = set()


def free_port():
    """Another one each time, below those that the kernel gives to clients, and elsewhere in each process that runs beside this one."""
    for turn in itertools.count():
        port = 10000 + (os.getpid() + turn // 2000) % 22 * 1000 + random.randrange(1000)
        with socket.socket() as s, contextlib.suppress(OSError):
            if port not in GIVEN:
                s.bind(("127.0.0.1", port))
                GIVEN.add(port)
                return port


def wait_for_port(port, seconds=20, process=None, host="127.0.0.1"):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process is not None and process.poll() is not None:
            raise RuntimeError(f"the process for port {port} ended with {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
            return
        time.sleep(0.02)
    raise RuntimeError(f"nothing listens on port {port} after {seconds} s")


def wait_until(condition, seconds=30, what="what was awaited"):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come true in {seconds} s")


class World:
    """A temporary directory and the processes in it; all are ended when the block is left."""

    def __init__(self, keep=False):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="postrider-peers-"))
        os.chmod(self.path, 0o755)
        self.endings = []
        self.keep = keep

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        for ending in reversed(self.endings):
            with contextlib.suppress(Exception):
                ending()
        if not self.keep:
            shutil.rmtree(self.path, ignore_errors=True)

    def start(self, arguments, name, **options):
        log = open(self.path / f"{name}.log", "ab")
        process = subprocess.Popen([str(a) for a in arguments], stdin=subprocess.DEVNULL, stdout=log,
                                   stderr=subprocess.STDOUT, **options)
        log.close()
        self.endings.append(lambda: end_process(process))
        return process

    def log(self, name):
        return (self.path / f"{name}.log").read_text(errors="replace")


def end_process(process, number=signal.SIGTERM, seconds=15):
    if process.poll() is None:
        process.send_signal(number)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return process.returncode


# ---------------------------------------------------------------- the relay

class Relay:
    """`postrider run` with a configuration given as text; {port} and {dir} in it are filled in."""

    def __init__(self, world, yaml, name="relay", **values):
        self.world, self.name = world, name
        self.port = free_port()
        self.directory = world.path / name
        self.directory.mkdir(exist_ok=True)
        self.file = self.directory / "postrider.yaml"
        self.file.write_text(yaml.format(port=self.port, dir=self.directory, **values))
        self.process = None
        self.start()

    def start(self, seconds=30):
        log = self.world.path / f"{self.name}.log"
        before = log.stat().st_size if log.exists() else 0
        self.process = self.world.start([relay_binary(), "run", "-c", self.file], self.name)
        try:
            wait_for_port(self.port, seconds, self.process)
            with open(log, "rb") as lines:       # the control socket opens last
                lines.seek(before)
                wait_until(lambda: b'"event":"ready"' in lines.read() or self.process.poll() is not None, seconds, "ready")
        except (RuntimeError, AssertionError) as error:
            raise RuntimeError(f"{error}\n{self.world.log(self.name)[-4000:]}") from None

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        return end_process(self.process)

    def command(self, *arguments, check=True):
        done = subprocess.run([relay_binary(), *[str(a) for a in arguments], "-c", str(self.file)],
                              capture_output=True, text=True, timeout=60)
        if check and done.returncode != 0:
            raise AssertionError(f"postrider {arguments}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def events(self, kind=None):
        found = []
        for line in self.world.log(self.name).splitlines():
            if line.startswith("{"):
                with contextlib.suppress(ValueError):
                    event = json.loads(line)
                    if kind is None or event.get("event") == kind:
                        found.append(event)
        return found

    def await_events(self, kind, count=1, seconds=30):
        wait_until(lambda: len(self.events(kind)) >= count, seconds, f"{count} events {kind!r}")
        return self.events(kind)


UPSTREAM_YAML = """\
hostname: relay.example
spool: {{path: {dir}/spool, max_size: 2GB}}
listen: [{{name: apps, address: 127.0.0.1:{port}, allow: [127.0.0.0/8]}}]
upstreams: {{next: {{hosts: ["127.0.0.1:{next_port}"], tls: none, connections: 20}}}}
routes: [{{to: any, via: next}}]
retry: {{schedule: [1s, 2s, 5s], give_up_after: 1h, bounce_give_up_after: 1h}}
admin: {{socket: {dir}/admin.sock}}
"""


# ---------------------------------------------------------------- Postfix

def postfix_parameters(directory, port, next_port, extra):
    values = {
        "compatibility_level": "3.6", "queue_directory": f"{directory}/queue", "data_directory": f"{directory}/data",
        "maillog_file": f"{directory}/log/maillog", "maillog_file_prefixes": str(directory),
        "command_directory": "/usr/sbin", "daemon_directory": "/usr/lib/postfix/sbin", "mail_owner": "postfix",
        "setgid_group": "postdrop", "myhostname": "postfix.example", "mydestination": "", "mynetworks": "127.0.0.0/8",
        "inet_interfaces": "127.0.0.1", "inet_protocols": "ipv4", "alias_maps": "", "alias_database": "",
        "local_recipient_maps": "", "smtpd_relay_restrictions": "permit_mynetworks, reject",
        "multi_instance_enable": "yes", "multi_instance_name": "postfix-" + pathlib.Path(directory).name[-20:],
        "smtpd_tls_security_level": "none", "smtp_tls_security_level": "none", "biff": "no",
        "relayhost": f"[127.0.0.1]:{next_port}" if next_port else "", "smtp_host_lookup": "native",
        "disable_dns_lookups": "yes", "import_environment": "MAIL_CONFIG", "postscreen_dnsbl_sites": "",
    }
    values.update(extra)
    return "".join(f"{key} = {value}\n" for key, value in values.items())


def postfix_services(port, processes):
    rows = [
        f"127.0.0.1:{port} inet n - n - {processes} smtpd", "pickup unix n - n 60 1 pickup",
        "cleanup unix n - n - 0 cleanup", "qmgr unix n - n 300 1 qmgr", "rewrite unix - - n - - trivial-rewrite",
        "bounce unix - - n - 0 bounce", "defer unix - - n - 0 bounce", "trace unix - - n - 0 bounce",
        "verify unix - - n - 1 verify", "flush unix n - n 1000? 0 flush", "proxymap unix - - n - - proxymap",
        f"smtp unix - - n - {processes} smtp", f"relay unix - - n - {processes} smtp",
        "showq unix n - n - - showq", "error unix - - n - - error", "retry unix - - n - - error",
        "discard unix - - n - - discard", "local unix - n n - - local", "virtual unix - n n - - virtual",
        "anvil unix - - n - 1 anvil", "scache unix - - n - 1 scache",
        "tlsmgr unix - - n 1000? 1 tlsmgr", "postlog unix-dgram n - n - 1 postlogd",
    ]
    return "\n".join(rows) + "\n"


class Postfix:
    """A Postfix of its own: own directories, own port, durable as Debian ships it."""

    def __init__(self, world, next_port=None, name="postfix", processes=100, discard=False, **extra):
        self.port = free_port()
        self.directory = world.path / name
        config = self.directory / "etc"
        for sub in ("etc", "queue", "data", "log"):
            (self.directory / sub).mkdir(parents=True)
        shutil.chown(self.directory / "data", "postfix")
        if discard:
            extra.setdefault("default_transport", "discard:")
            extra.setdefault("relay_transport", "discard:")
        (config / "main.cf").write_text(postfix_parameters(self.directory, self.port, next_port, extra))
        (config / "master.cf").write_text(postfix_services(self.port, processes))
        self.environment = dict(os.environ, MAIL_CONFIG=str(config))
        subprocess.run(["postfix", "-c", str(config), "set-permissions"], capture_output=True, env=self.environment)
        done = subprocess.run(["postfix", "-c", str(config), "start"], capture_output=True, text=True,
                              env=self.environment, timeout=60)
        if done.returncode:
            raise RuntimeError(f"postfix did not start: {done.stdout}{done.stderr}")
        self.config = config
        world.endings.append(self.stop)
        wait_for_port(self.port)
        self.master = int((self.directory / "queue/pid/master.pid").read_text())

    def stop(self):
        subprocess.run(["postfix", "-c", str(self.config), "stop"], capture_output=True, env=self.environment, timeout=60)

    def log(self):
        return (self.directory / "log/maillog").read_text(errors="replace")


# ---------------------------------------------------------------- what processes cost

def descendants(pid):
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                parent = int(pathlib.Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()[1])
                children.setdefault(parent, []).append(int(entry))
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        found.append(one)
        todo += children.get(one, [])
    return found


def cpu_seconds(pid):
    """Of a process, what it has waited for, and its living descendants."""
    ticks = 0
    for one in descendants(pid):
        with contextlib.suppress(OSError):
            fields = pathlib.Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
            if one == pid:
                ticks += int(fields[13]) + int(fields[14])
    return ticks / os.sysconf("SC_CLK_TCK")


def written_bytes(pid):
    total = 0
    for one in descendants(pid):
        with contextlib.suppress(OSError):
            for line in pathlib.Path(f"/proc/{one}/io").read_text().splitlines():
                if line.startswith("write_bytes:"):
                    total += int(line.split()[1])
    return total


def anonymous_bytes(pid):
    total = 0
    for one in descendants(pid):
        with contextlib.suppress(OSError):
            for line in pathlib.Path(f"/proc/{one}/status").read_text().splitlines():
                if line.startswith("RssAnon:"):
                    total += int(line.split()[1]) * 1024
    return total


# ---------------------------------------------------------------- running tests

def run(*tests):
    """Runs the functions given; each fails by an exception. Prints TAP-like lines; the exit code says whether all passed."""
    failed = 0
    for test in tests:
        began = time.monotonic()
        try:
            test()
            print(f"ok    {test.__name__} ({time.monotonic() - began:.1f} s)", flush=True)
        except Exception:  # noqa: BLE001 - whatever it was, the test failed
            import traceback
            failed += 1
            print(f"FAIL  {test.__name__}", flush=True)
            traceback.print_exc()
    sys.exit(1 if failed else 0)
