"""An OpenSMTPD of its own. Its paths and users are compiled in, so it sees the machine's files with its own laid over them (a
mount namespace and an overlay in memory): nothing of the machine is changed, and all is gone with its process."""

import pathlib
import subprocess

import peers

TOP = pathlib.Path(__file__).resolve().parents[3]
FILES = TOP / "build/deps-opensmtpd"

# $1: the files, $2: a directory for what is laid over, $3: the configuration
INSIDE = """\
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs "$2"
mkdir "$2/upper" "$2/work" "$2/root"
cp -a "$1/usr" "$2/upper/usr"
mount -t overlay overlay -o "lowerdir=/,upperdir=$2/upper,workdir=$2/work" "$2/root"
cd "$2/root"
mount --rbind /dev dev
mount -t proc proc proc
cat etc/passwd >passwd.new
echo 'opensmtpd:x:64331:64331::/var/lib/opensmtpd/empty:/usr/sbin/nologin' >>passwd.new
echo 'opensmtpq:x:64332:64332::/var/lib/opensmtpd/empty:/usr/sbin/nologin' >>passwd.new
mv passwd.new etc/passwd
cat etc/group >group.new
echo 'opensmtpd:x:64331:' >>group.new
echo 'opensmtpq:x:64332:' >>group.new
mv group.new etc/group
mkdir -p var/lib/opensmtpd/empty var/spool/smtpd
chown root:root var/lib/opensmtpd/empty
chmod 711 var/spool/smtpd
exec chroot . /usr/sbin/smtpd -d -f "$3"
"""


def is_there():
    return (FILES / "usr/sbin/smtpd").exists()


class OpenSMTPD:
    """users: name -> password, for AUTH inside TLS; without any nobody needs one. What it takes goes on to next_port."""

    def __init__(self, world, next_port, cert=None, key=None, users=None, name="opensmtpd", tls="tls-require"):
        self.port = peers.free_port()
        directory = world.path / name
        over = directory / "over"
        over.mkdir(parents=True)
        lines = [f"listen on 127.0.0.1 port {self.port} hostname opensmtpd.example"]
        if cert:
            lines = [f'pki nexthop cert "{cert}"', f'pki nexthop key "{key}"', lines[0] + f" {tls} pki nexthop"]
        if users:
            table = directory / "users"
            table.write_text("".join(f"{user} {self.hashed(password)}\n" for user, password in users.items()))
            table.chmod(0o644)
            lines.insert(0, f'table users file:{table}')
            lines[-1] += " auth <users>"
        lines += [f'action "on" relay host "smtp://127.0.0.1:{next_port}"',
                  f'match from any {"auth " if users else ""}for any action "on"']
        self.file = directory / "smtpd.conf"
        self.file.write_text("\n".join(lines) + "\n")
        self.file.chmod(0o644)
        self.name, self.world = name, world
        self.process = world.start(["unshare", "--mount", "sh", "-c", INSIDE, "sh", FILES, over, self.file], name)
        peers.wait_for_port(self.port, process=self.process)

    @staticmethod
    def hashed(password):
        return subprocess.run(["openssl", "passwd", "-6", "-stdin"], input=password, capture_output=True, text=True, check=True).stdout.strip()

    def log(self):
        return self.world.log(self.name)
