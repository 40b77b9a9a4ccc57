"""The three servers, each in the same roles: one port for each role, on loopback.

    relay       the client may send to anyone; STARTTLS is offered; passwords only inside TLS
    implicit    the same, TLS from the first octet
    plainauth   as relay, and AUTH is offered without TLS
    submission  nobody may send without AUTH; passwords also without TLS
    tlsreq      nothing is taken without STARTTLS
    stranger    the client may send to gate.example only
    proxy       a PROXY header is demanded
    proxytls    a PROXY header is demanded, then TLS from the first octet
    xclient     the client may use XCLIENT and XFORWARD
    repair      bare LF becomes CR LF
    hurry       a client may be silent for two seconds
    denied      nobody is spoken to: the client comes from 127.0.0.66
    certificate TLS from the first octet; who shows the certificate of this run is `tester`, others may send to nobody

Bearer tokens (ours alone): `t0ken` is `tester`. User `tester`, password `s3cret`, and user `tester2`, password `other`. Messages to 1000000 octets. The next hop of all is next_hop.py.
"""

import hashlib
import http.server
import json
import os
import pathlib
import re
import shutil
import ssl
import subprocess
import sys
import threading

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "test/peer/support"))
import accounts  # noqa: E402
import peers  # noqa: E402

ROLES = ("relay", "implicit", "plainauth", "submission", "tlsreq", "stranger", "proxy", "proxytls", "xclient", "repair", "hurry", "denied", "certificate")
USERS = (("tester", "s3cret"), ("tester2", "other"))
SIZE = 1000000
EXIM = TOP / "build/deps-exim"


def certificate(world):
    cert, key = world.path / "cert.pem", world.path / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", "/CN=relay.example", "-addext", "subjectAltName=DNS:relay.example", "-out", cert, "-keyout", key],
                   check=True, capture_output=True)
    os.chmod(key, 0o644)
    return cert, key


def client_certificate(world):
    """One for all servers of a run."""
    cert, key = world.path / "client.pem", world.path / "client.key"
    if not cert.exists():
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                        "-subj", "/CN=tester", "-out", cert, "-keyout", key], check=True, capture_output=True)
    return cert, key


# ---------------------------------------------------------------- ours

class TokenService(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        good = question.get("token") == "t0ken"
        answer = json.dumps({"user": "tester"} if good else {}).encode()
        self.send_response(200 if good else 401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *unused):
        pass


def token_service(world):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), TokenService)
    world.endings.append(server.shutdown)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


class Ours:
    name, title = "ours", "postrider"

    def __init__(self, world, sink):
        cert, key = certificate(world)
        self.ports = {role: peers.free_port() for role in ROLES}
        users = world.path / "users"
        users.write_text("".join(accounts.line(*user) for user in USERS))
        pair = f"cert: {cert}, key: {key}"
        self.client_certificate = client_certificate(world)
        fingerprint = hashlib.sha256(ssl.PEM_cert_to_DER_cert(self.client_certificate[0].read_text())).hexdigest()
        how = {
            "relay": "auth: optional", "implicit": "tls: implicit, auth: optional",
            "plainauth": "auth: optional, auth_plaintext: true",
            "submission": "auth: required, auth_plaintext: true, allow: []",
            "tlsreq": "tls: require", "stranger": "allow: [192.0.2.0/24], accept_for: [gate.example]",
            "proxy": "proxy_protocol: [127.0.0.0/8]", "proxytls": "proxy_protocol: [127.0.0.0/8], tls: implicit", "xclient": "xclient: [127.0.0.0/8], auth: optional", "repair": "bare_lf: repair", "hurry": "timeout: 2s", "denied": "auth: none",
            "certificate": f"tls: implicit, auth: optional, allow: [192.0.2.0/24], client_fingerprints: {{{{{fingerprint}: tester}}}}",
        }
        listeners = "".join(f"  - {{{{name: {role}, address: 127.0.0.1:{self.ports[role]}, {pair}, {more}, "
                            "per_client: {{auth_failures: 0}}}}\n"
                            for role, more in how.items())
        yaml = ("hostname: relay.example\nspool: {{path: {dir}/spool, max_size: 2GB}}\n"
                f"listen:\n{listeners}"
                f"access: {{{{deny: [127.0.0.66], max_message_size: {SIZE}B, users_file: {users}, token_check: 'http://127.0.0.1:{token_service(world)}/'}}}}\n"
                "upstreams: {{next: {{hosts: [\"127.0.0.1:{next_port}\"], tls: none, connections: 20}}}}\n"
                "routes: [{{to: any, via: next}}]\nretry: {{schedule: [1s, 2s, 5s]}}\nadmin: {{socket: {dir}/admin.sock}}\n")
        self.relay = RelayOnPorts(world, yaml, next_port=sink.port, port=self.ports["relay"])
        said = subprocess.run([peers.relay_binary(), "version"], capture_output=True, text=True).stdout
        self.version = re.search(r"\d+\.\d+\.\d+", said)[0]


class RelayOnPorts(peers.Relay):
    def __init__(self, world, yaml, port, **values):
        self.world, self.name, self.port = world, "relay", port
        self.directory = world.path / self.name
        self.directory.mkdir()
        self.file = self.directory / "postrider.yaml"
        self.file.write_text(yaml.format(dir=self.directory, **values))
        self.process = None
        self.start()


# ---------------------------------------------------------------- Postfix

def cyrus_sasl(world, program):
    """A directory with the configuration of Cyrus SASL for a program, and the users."""
    sasl = world.path / f"sasl-{program}"
    sasl.mkdir()
    (sasl / f"{program}.conf").write_text("pwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: PLAIN LOGIN CRAM-MD5 SCRAM-SHA-256\n"
                                          f"sasldb_path: {sasl}/users.db\n")
    for user, password in USERS:
        subprocess.run(["saslpasswd2", "-p", "-c", "-f", sasl / "users.db", "-u", "conformance", user], input=password.encode(),
                       check=True, capture_output=True)
    os.chmod(sasl / "users.db", 0o644)
    return sasl


POSTFIX_ROLES = {
    "relay": {}, "implicit": {"smtpd_tls_wrappermode": "yes"}, "plainauth": {"smtpd_tls_auth_only": "no"},
    "submission": {"smtpd_tls_auth_only": "no", "mynetworks": "", "smtpd_client_restrictions": "permit_sasl_authenticated,reject",
                   "smtpd_delay_reject": "yes"},
    "tlsreq": {"smtpd_tls_security_level": "encrypt"},
    "stranger": {"mynetworks": "", "relay_domains": "gate.example",
                 "smtpd_relay_restrictions": "permit_sasl_authenticated,reject_unauth_destination"},
    "proxy": {"smtpd_upstream_proxy_protocol": "haproxy", "smtpd_upstream_proxy_timeout": "3s"},
    "proxytls": {"smtpd_upstream_proxy_protocol": "haproxy", "smtpd_tls_wrappermode": "yes"},
    "xclient": {"smtpd_authorized_xclient_hosts": "127.0.0.1", "smtpd_authorized_xforward_hosts": "127.0.0.1"},
    "repair": {"smtpd_forbid_bare_newline": "normalize"},
    "hurry": {"smtpd_timeout": "2s"},
    "denied": {"smtpd_delay_reject": "no", "smtpd_client_restrictions": "reject"},
}
POSTFIX_COMMON = {
    "smtpd_tls_security_level": "may", "smtpd_tls_auth_only": "yes", "smtpd_sasl_auth_enable": "yes", "smtpd_sasl_path": "smtpd",
    "smtpd_sasl_local_domain": "conformance", "smtpd_sasl_security_options": "noanonymous",
    "message_size_limit": str(SIZE), "smtputf8_enable": "yes", "smtpd_peername_lookup": "no", "smtpd_error_sleep_time": "0",
    "smtpd_forbid_bare_newline": "reject", "smtpd_forbid_bare_newline_exclusions": "", "smtpd_forbid_unauth_pipelining": "yes",
    "smtpd_client_connection_count_limit": "0", "local_header_rewrite_clients": "", "in_flow_delay": "0", "inet_protocols": "all", "mynetworks": "127.0.0.0/8",
    "smtpd_relay_restrictions": "permit_mynetworks, permit_sasl_authenticated, reject", "smtpd_starttls_timeout": "10s",
}


class Postfix(peers.Postfix):
    name, title = "postfix", "Postfix"

    def __init__(self, world, sink):
        cert, key = certificate(world)
        self.ports = {role: peers.free_port() for role in POSTFIX_ROLES}
        self.client_certificate = None
        sasl = cyrus_sasl(world, "smtpd")
        super().__init__(world, sink.port, smtpd_tls_cert_file=cert, smtpd_tls_key_file=key, cyrus_sasl_config_path=sasl,
                         **POSTFIX_COMMON)
        rows = "".join(f"127.0.0.1:{self.ports[role]} inet n - n - 100 smtpd\n" +
                       "".join(f"  -o {{ {key} = {value} }}\n" for key, value in options.items())
                       for role, options in POSTFIX_ROLES.items())
        shutil.copytree(sasl, self.config / "sasl")      # where Debian's build looks, whatever it is told
        with open(self.config / "master.cf", "a") as master:
            master.write(rows)
        subprocess.run(["postfix", "-c", self.config, "reload"], capture_output=True, check=True, env=self.environment)
        for port in self.ports.values():
            peers.wait_for_port(port)
        self.version = subprocess.run(["postconf", "-h", "mail_version"], capture_output=True, text=True).stdout.strip()


# ---------------------------------------------------------------- Exim

EXIM_CONFIGURATION = """\
primary_hostname = exim.example
spool_directory = {dir}/spool
log_file_path = {dir}/log/%slog
pid_file_path = {dir}/exim.pid
exim_path = {exim}
keep_environment = LD_LIBRARY_PATH : LD_PRELOAD : NSS_WRAPPER_PASSWD : NSS_WRAPPER_GROUP : SASL_CONF_PATH
add_environment = <; PATH=/usr/bin
local_interfaces = 127.0.0.1
daemon_smtp_ports = {all_ports}
tls_on_connect_ports = {implicit} : {certificate} : {proxytls}
tls_try_verify_hosts = ${{if eq{{$received_port}}{{{certificate}}}{{*}}}}
tls_verify_certificates = {client_cert}
tls_advertise_hosts = *
tls_certificate = {cert}
tls_privatekey = {key}
chunking_advertise_hosts = *
dsn_advertise_hosts = *
smtputf8_advertise_hosts = *
pipelining_advertise_hosts = *
prdr_enable = true
accept_8bitmime = true
allow_domain_literals = true
message_size_limit = {size}
host_lookup =
rfc1413_query_timeout = 0s
smtp_accept_max = 300
smtp_accept_queue = 0
smtp_accept_queue_per_connection = 0
smtp_max_unknown_commands = 3
smtp_receive_timeout = ${{if eq{{$received_port}}{{{hurry}}}{{2s}}{{5m}}}}
recipients_max = 1000
queue_run_max = 5
remote_max_parallel = 8
smtp_banner = $smtp_active_hostname ESMTP Exim $version_number
hosts_proxy = ${{if or{{{{eq{{$received_port}}{{{proxy}}}}}{{eq{{$received_port}}{{{proxytls}}}}}}}{{*}}{{}}}}
auth_advertise_hosts = *
acl_smtp_connect = acl_connect
acl_smtp_mail = acl_mail
acl_smtp_rcpt = acl_rcpt
acl_smtp_data = acl_data
acl_smtp_auth = accept
acl_smtp_starttls = accept
acl_smtp_etrn =
acl_smtp_vrfy =
begin acl
acl_connect:
  deny condition = ${{if eq{{$received_port}}{{{denied}}}}}
       message = go away
  accept
acl_mail:
  deny condition = ${{if and{{{{eq{{$received_port}}{{{submission}}}}}{{!def:authenticated_id}}}}}}
       message = authenticate first
  deny condition = ${{if and{{{{eq{{$received_port}}{{{tlsreq}}}}}{{!def:tls_in_cipher}}}}}}
       message = STARTTLS first
  accept
acl_rcpt:
  accept authenticated = *
  deny condition = ${{if eq{{$received_port}}{{{certificate}}}}}
       message = relay not permitted
  accept condition = ${{if eq{{$received_port}}{{{stranger}}}}}
         domains = gate.example
  deny condition = ${{if eq{{$received_port}}{{{stranger}}}}}
       message = relay not permitted
  deny !hosts = 127.0.0.0/8
       message = relay not permitted
  accept
acl_data:
  accept
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
  hosts_pipe_connect =
  max_rcpt = 0
begin retry
* * F,1m,2s
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${{if or{{{{and{{{{eq{{$auth2}}{{tester}}}}{{eq{{$auth3}}{{s3cret}}}}}}}}{{and{{{{eq{{$auth2}}{{tester2}}}}{{eq{{$auth3}}{{other}}}}}}}}}}}}
  server_set_id = $auth2
  server_advertise_condition = ${{if or{{{{def:tls_in_cipher}}{{eq{{$received_port}}{{{plainauth}}}}}{{eq{{$received_port}}{{{submission}}}}}}}}}
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = Username:: : Password::
  server_condition = ${{if and{{{{eq{{$auth1}}{{tester}}}}{{eq{{$auth2}}{{s3cret}}}}}}}}
  server_set_id = $auth1
  server_advertise_condition = ${{if or{{{{def:tls_in_cipher}}{{eq{{$received_port}}{{{plainauth}}}}}{{eq{{$received_port}}{{{submission}}}}}}}}}
cram:
  driver = cram_md5
  public_name = CRAM-MD5
  server_secret = ${{if eq{{$auth1}}{{tester}}{{s3cret}}fail}}
  server_set_id = $auth1
scram:
  driver = cyrus_sasl
  public_name = SCRAM-SHA-256
  server_mech = SCRAM-SHA-256
  server_realm = conformance
  server_set_id = $auth1
external:
  driver = external
  public_name = EXTERNAL
  server_advertise_condition = $tls_in_certificate_verified
  server_param2 = ${{certextract {{subject,CN}}{{$tls_in_peercert}}}}
  server_condition = ${{if or{{{{eq{{$auth1}}{{}}}}{{eq{{$auth2}}{{$auth1}}}}}}}}
  server_set_id = $auth2
"""


def exim_is_there():
    return (EXIM / "usr/sbin/exim4").exists()


def exim_environment(directory):
    """The binary wants a user Debian-exim: one of a private table, so that the machine needs none."""
    libraries = [str(p.parent) for p in EXIM.glob("**/lib*.so.*")]
    passwd, group = directory / "passwd", directory / "group"
    passwd.write_text("Debian-exim:x:64321:64321::/nonexistent:/usr/sbin/nologin\n" + pathlib.Path("/etc/passwd").read_text())
    group.write_text("Debian-exim:x:64321:\n" + pathlib.Path("/etc/group").read_text())
    return dict(os.environ, LD_LIBRARY_PATH=":".join(dict.fromkeys(libraries)), LD_PRELOAD="libnss_wrapper.so",
                NSS_WRAPPER_PASSWD=str(passwd), NSS_WRAPPER_GROUP=str(group))


class Exim:
    name, title = "exim", "Exim"

    def __init__(self, world, sink):
        cert, key = certificate(world)
        roles = [role for role in ROLES if role not in ("xclient", "repair")]
        self.client_certificate = client_certificate(world)
        self.ports = {role: peers.free_port() for role in roles}
        self.directory = world.path / "exim"
        for sub in ("", "spool", "log"):
            (self.directory / sub).mkdir()
        for sub in ("spool", "log"):
            os.chown(self.directory / sub, 64321, 64321)
        environment = dict(exim_environment(self.directory), SASL_CONF_PATH=str(cyrus_sasl(world, "exim")))
        binary = self.directory / "exim4"      # a copy without the bit that makes it root's for everybody
        shutil.copyfile(EXIM / "usr/sbin/exim4", binary)
        os.chmod(binary, 0o755)
        config = self.directory / "exim.conf"
        config.write_text(EXIM_CONFIGURATION.format(dir=self.directory, exim=binary, cert=cert, key=key, size=SIZE, client_cert=self.client_certificate[0], next_port=sink.port,
                                                    all_ports=" : ".join(str(p) for p in self.ports.values()), **self.ports))
        self.process = world.start([binary, "-C", config, "-bdf", "-q5m"], "exim", env=environment)
        for role in roles:
            peers.wait_for_port(self.ports[role], process=self.process)
        said = subprocess.run([binary, "-C", config, "-bV"], capture_output=True, text=True, env=environment).stdout
        self.version = re.search(r"Exim version (\S+)", said)[1]


def those_that_are_there(names, world, sink):
    made = []
    if "ours" in names:
        made.append(Ours(world, sink))
    if "postfix" in names and shutil.which("postfix") and shutil.which("saslpasswd2") and os.geteuid() == 0:
        made.append(Postfix(world, sink))
    if "exim" in names and exim_is_there() and os.geteuid() == 0:
        made.append(Exim(world, sink))
    return made
