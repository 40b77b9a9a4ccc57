"""A Dovecot of its own that only checks logins: own directories, no port, whoever runs the test."""

import contextlib
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess

import peers

CONFIGURATION = """\
base_dir = {dir}/run
state_dir = {dir}/state
log_path = {dir}/log
protocols =
ssl = no
auth_mechanisms = {mechanisms}
auth_username_format = %Ln
auth_username_chars =
auth_failure_delay = {failure_delay}
default_internal_user = {internal}
default_login_user = {login}
default_internal_group = {group}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {dir}/users
}}
{more}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
service auth {{
  user = {internal}
  unix_listener auth-client {{
    mode = 0600
  }}
}}
"""


def binary():
    return shutil.which("dovecot", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


class Dovecot:
    """users: name -> password, or a whole field of a passwd-file that begins with {SCHEME}."""

    def __init__(self, world, users, mechanisms="plain login scram-sha-256", name="dovecot", failure_delay="0", more=""):
        self.world, self.name = world, name
        self.directory = world.path / name
        self.directory.mkdir()
        self.socket = self.directory / "run/auth-client"
        self.users_file = self.directory / "users"
        self.write_users(users)
        own = pwd.getpwuid(os.getuid()).pw_name
        group = subprocess.run(["id", "-gn"], capture_output=True, text=True, check=True).stdout.strip()
        self.file = self.directory / "dovecot.conf"
        self.file.write_text(CONFIGURATION.format(dir=self.directory, mechanisms=mechanisms, failure_delay=failure_delay, internal=own, more=more,
                                                  login="nobody" if os.getuid() == 0 else own, group=group))
        self.process = None
        self.start()

    def write_users(self, users):
        self.users_file.write_text("".join(f"{user}:{secret if secret.startswith('{') else '{PLAIN}' + secret}\n"
                                           for user, secret in users.items()))

    def start(self):
        self.process = self.world.start([binary(), "-F", "-c", self.file], self.name)
        peers.wait_until(self.greets, 20, "a Dovecot that greets; its log: " + self.log())

    def greets(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"dovecot ended with {self.process.returncode}: {self.log()}{self.world.log(self.name)}")
        try:
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(2)
                s.connect(str(self.socket))
                return s.recv(100).startswith(b"VERSION\t1\t")
        except OSError:
            return False

    def stop(self, leave_auth=False):
        """leave_auth: its auth process goes on serving those who are connected, as it does by itself."""
        left = self.auth_processes()
        peers.end_process(self.process)
        if not leave_auth:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        peers.wait_until(lambda: not self.greets_quietly(), 20, "a Dovecot that is gone")

    def greets_quietly(self):
        with socket.socket(socket.AF_UNIX) as s:
            try:
                s.connect(str(self.socket))
            except OSError:
                return False
            return True

    def auth_processes(self):
        return [pid for pid in peers.descendants(self.process.pid)
                if pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"dovecot/auth\0")]

    def freeze(self, frozen):
        for pid in self.auth_processes():
            os.kill(pid, signal.SIGSTOP if frozen else signal.SIGCONT)

    def log(self):
        log = self.directory / "log"
        return log.read_text(errors="replace") if log.exists() else ""
