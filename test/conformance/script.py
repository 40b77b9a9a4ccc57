"""Cases as data: what the files in cases/ say, and how one case is played against a server.

A file is read line by line; `#` at a line's start is a comment. A case begins with `case ID` and has these words:

    case 5321-mail-twice
    rfc 5321 4.1.4                      the document and the section
    title MAIL inside a transaction
    on relay                            which listener (see servers.py); relay if nothing is said
    once                                this case only as it stands: not cut into octets, not in TLS
    timing                              what the peers say hangs on the moment: it is not compared with the page
        ...                             steps, indented
    must 503                            what is right: one pattern for each answer that is judged (or: should, may)
    ours 503 5.5.1                      what our server says: exactly
    note why ours is what it is         demanded where ours differs from both peers, or from what is right
    postfix, exim                       (`peers postfix: why`, `peers exim: why`) a word on another's answer

Steps (a write gathers until an answer is awaited; so `+` lines are one segment, pipelined):

    greet, greet?                       read the greeting; with `?` it is judged
    ehlo, helo                          greet and say EHLO (HELO)
    envelope                            ehlo, MAIL FROM:<{me}@example.com>, RCPT TO:<b@example.net>
    data                                envelope, DATA
    > TEXT                              a command; its answer must be good, else the case has "no setting"
    ? TEXT                              a command whose answer is judged
    + TEXT                              a command to write, no answer awaited
    * OCTETS                            octets to write, without CR LF
    <, <?                               read an answer; with `?` it is judged
    skip NUMBER                         read so many answers; they must be good
    tls                                 STARTTLS, handshake
    handshake                           the handshake alone
    needs KEYWORD                       the last answer to EHLO must have it, else the case has "no setting"
    has KEYWORD[ PARAMETERS]            judged, yes or no: is it in the last answer to EHLO?
    shape REGEX                         judged, yes or no: the whole last answer, octets
    closed                              judged, closed or open
    pause SECONDS
    bye                                 close our side
    arrives                             judged, arrived or nothing: does the sink get the message from {me}?
    content REGEX, parameters REGEX     judged, yes or no: what arrived (parameters: the MAIL and RCPT lines)
    scram MECHANISM USER PASSWORD [HOW] judged: the last answer of the dialogue

In TEXT and OCTETS: \\r \\n \\t \\0 \\\\ \\xNN, {x*64} (64 times x), {me} (a name for this session alone), {b64 OCTETS},
{each 9 OCTETS} (nine times, # being 1 to 9).
Patterns: 250, 2xx, 5xx, !2xx (no good answer, or the end of the connection), any, yes, no, closed, a list with `|`;
`5xx 5.x.x` demands an enhanced code too.
"""

import base64
import contextlib
import dataclasses
import hashlib
import hmac
import itertools
import os
import pathlib
import re
import socket
import ssl
import time

CASES = pathlib.Path(__file__).resolve().parent / "cases"
PATIENCE = 10.0
LEVELS = ("must", "should", "may")
ROLE_IN_TLS = {"relay": "implicit", "plainauth": "implicit"}


@dataclasses.dataclass
class Case:
    id: str
    place: str
    rfc: str = ""
    section: str = ""
    title: str = ""
    role: str = "relay"
    once: bool = False
    timing: bool = False
    steps: list = dataclasses.field(default_factory=list)
    level: str = ""
    right: list = dataclasses.field(default_factory=list)
    ours: list = dataclasses.field(default_factory=list)
    note: str = ""
    peers: dict = dataclasses.field(default_factory=dict)


# ---------------------------------------------------------------- reading the files

class BadCase(Exception):
    pass


def parts_of(text):
    return [part.strip() for part in text.split(",")]


def take_word(case, word, rest):
    if word == "rfc":
        case.rfc, _, case.section = rest.partition(" ")
    elif word == "on":
        case.role = rest
    elif word in ("once", "timing"):
        setattr(case, word, True)
    elif word in LEVELS:
        case.level, case.right = word, parts_of(rest)
    elif word == "ours":
        case.ours = parts_of(rest)
    elif word in ("title", "note"):
        setattr(case, word, rest)
    elif word == "peers":
        who, _, why = rest.partition(":")
        case.peers[who.strip()] = why.strip()
    else:
        raise BadCase(f"{case.place}: {case.id}: nobody knows the word {word!r}")


def read_file(path):
    cases = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        if line[0] in " \t":
            cases[-1].steps.append(line.strip(" \t") if not line.strip().startswith(("*", "+", "?", ">")) else line.lstrip())
            continue
        word, _, rest = line.partition(" ")
        if word == "case":
            cases.append(Case(rest.strip(), f"{path.name}:{number}"))
        else:
            take_word(cases[-1], word, rest.strip())
    return cases


def read_all():
    cases = [case for path in sorted(CASES.glob("*.cases")) for case in read_file(path)]
    seen = set()
    for case in cases:
        if case.id in seen:
            raise BadCase(f"{case.place}: {case.id} is there twice")
        seen.add(case.id)
        judged = sum(is_judged(step) for step in case.steps)
        if not (case.rfc and case.section and case.title and case.right and judged):
            raise BadCase(f"{case.place}: {case.id} lacks a part")
        if judged != len(case.right):
            raise BadCase(f"{case.place}: {case.id}: {judged} answers are judged, {len(case.right)} patterns say how")
    return cases


def is_judged(step):
    word = step.split(" ")[0]
    return word in ("?", "<?", "greet?", "has", "shape", "closed", "arrives", "content", "parameters", "scram")


# ---------------------------------------------------------------- right or not

def fits(seen, pattern):
    """seen: `250 2.1.0`, `yes`, `closed`, ...; pattern: alternatives with `|`."""
    return any(fits_one(seen, one.strip()) for one in pattern.split("|"))


def fits_one(seen, pattern):
    if pattern == "any":
        return seen[0].isdigit() or seen in ("closed", "open", "yes", "no", "arrived", "nothing")
    if pattern.startswith("!"):
        return seen != "silence" and not fits_one(seen, pattern[1:])
    code, _, enhanced = seen.partition(" ")
    wanted, _, wanted_enhanced = pattern.partition(" ")
    if not re.fullmatch(wanted.replace("x", r"\d"), code):
        return False
    return not wanted_enhanced or bool(re.fullmatch(re.escape(wanted_enhanced).replace("x", r"\d{1,3}"), enhanced))


def verdict(case, seen):
    if len(seen) != len(case.right):
        return False
    return all(fits(one, pattern) for one, pattern in zip(seen, case.right))


# ---------------------------------------------------------------- octets

ESCAPES = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", "\\": b"\\", "{": b"{", "}": b"}"}


def octets_of(text, me):
    out, at = bytearray(), 0
    while at < len(text):
        c = text[at]
        if c == "\\":
            if text[at + 1] == "x":
                out += bytes([int(text[at + 2:at + 4], 16)])
                at += 4
            else:
                out += ESCAPES[text[at + 1]]
                at += 2
        elif c == "{" and (end := closing(text, at)) > 0:
            out += insertion(text[at + 1:end], me)
            at = end + 1
        else:
            out += c.encode()
            at += 1
    return bytes(out)


def closing(text, at):
    depth = 0
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif text[at] in "{}":
            depth += 1 if text[at] == "{" else -1
            if depth == 0:
                return at
        at += 1
    return -1


def insertion(what, me):
    if what == "me":
        return me.encode()
    if what.startswith("each "):
        count, text = what[5:].split(" ", 1)
        return b"".join(octets_of(text.replace("#", str(i)), me) for i in range(1, int(count) + 1))
    if what.startswith("b64 "):
        return base64.b64encode(octets_of(what[4:], me))
    repeated = re.fullmatch(r"(.+)\*(\d+)", what, re.S)
    if repeated:
        return octets_of(repeated[1], me) * int(repeated[2])
    raise BadCase(f"nobody knows {{{what}}}")


# ---------------------------------------------------------------- playing

class NoSetting(Exception):
    """What a case stands on did not come about: the extension is not offered, say."""


numbers = itertools.count(1)
run_name = f"{os.getpid():x}"


class Player:
    """One session of a case. how: "" as it stands, "cut" (each octet a segment of its own), "tls" (from the first octet)."""

    def __init__(self, case, server, sink, how=""):
        self.case, self.server, self.sink, self.how = case, server, sink, how
        self.me = f"m{run_name}x{next(numbers)}"
        self.seen, self.pending, self.reply, self.keywords = [], bytearray(), b"", []
        self.buffer, self.socket, self.arrived = b"", None, None
        self.replies, self.faults, self.greeted, self.asked = 0, [], False, b""

    def play(self):
        role = ROLE_IN_TLS[self.case.role] if self.how == "tls" else self.case.role
        if role not in self.server.ports:
            return ["not offered"]
        try:
            self.socket = socket.create_connection(("127.0.0.1", self.server.ports[role]), timeout=PATIENCE,
                                                   source_address=("127.0.0.66", 0) if role == "denied" else None)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if role in ("implicit", "certificate"):
                self.handshake()
            for step in self.case.steps:
                self.step(step)
            self.flush()
        except NoSetting as why:
            return [f"no setting: {why}"]
        except OSError as error:
            self.seen.append(f"broken: {type(error).__name__}")
        finally:
            if self.socket:
                self.socket.close()
        return self.seen

    # ------------------------------------------------ one step

    def step(self, step):
        word, _, rest = step.partition(" ")
        name = {"?": "ask", ">": "set", "+": "line", "*": "octets", "<": "read_good", "<?": "read_judged",
                "greet?": "greet_judged"}.get(word, word)
        getattr(self, "do_" + name)(rest)

    def do_octets(self, text):
        self.pending += octets_of(text, self.me)

    def do_line(self, text):
        self.pending += octets_of(text, self.me) + b"\r\n"

    def do_ask(self, text):
        self.do_line(text)
        self.do_read_judged("")

    def do_skip(self, count):
        for _ in range(int(count)):
            self.do_read_good("a command")

    def do_set(self, text):
        self.do_line(text)
        self.do_read_good(text)

    def do_read_judged(self, rest):
        self.flush()
        self.seen.append(self.read_reply())

    def do_read_good(self, text):
        self.flush()
        said = self.read_reply()
        if said[0] not in "23":
            raise NoSetting(f"{said} to {octets_of(text, self.me).decode('latin-1')[:30].strip() or 'a command'}")

    def do_greet(self, rest):
        self.do_read_good("the connection")

    def do_greet_judged(self, rest):
        self.do_read_judged("")

    def do_ehlo(self, rest):
        self.do_greet("")
        self.do_set("EHLO client.example")

    def do_helo(self, rest):
        self.do_greet("")
        self.do_set("HELO client.example")

    def do_envelope(self, rest):
        self.do_ehlo("")
        self.do_set("MAIL FROM:<{me}@example.com>" + (" " + rest if rest else ""))
        self.do_set("RCPT TO:<b@example.net>")

    def do_data(self, rest):
        self.do_envelope(rest)
        self.do_set("DATA")

    def do_tls(self, rest):
        self.do_set("STARTTLS")
        self.handshake()

    def do_handshake(self, rest):
        self.flush()
        self.handshake()

    def do_has(self, wanted):
        wanted = wanted.upper().split(" ")
        found = [k for k in self.keywords if k[:len(wanted)] == wanted]
        self.seen.append("yes" if found else "no")

    def do_needs(self, wanted):
        wanted = wanted.upper()
        if not [k for k in self.keywords if k[:1] == [wanted] or (k[:1] == ["AUTH"] and (wanted in k or f"{wanted}-SHA-256" in k))]:
            raise NoSetting(f"no {wanted}")

    def do_shape(self, regex):
        self.seen.append("yes" if re.fullmatch(regex.encode(), self.reply, re.S) else "no")

    def do_pause(self, seconds):
        self.flush()
        time.sleep(float(seconds))

    def do_bye(self, rest):
        self.flush()
        self.socket.close()

    def do_closed(self, rest):
        self.flush()
        self.socket.settimeout(1.5)
        try:
            while data := self.socket.recv(4096):
                self.buffer += data
            self.seen.append("closed")
        except TimeoutError:
            self.seen.append("open")
        except OSError:
            self.seen.append("closed")

    # ------------------------------------------------ what arrives

    def do_arrives(self, rest):
        self.flush()
        self.arrived = self.sink.await_sender(self.me, PATIENCE if not rest else float(rest))
        self.seen.append("arrived" if self.arrived else "nothing")

    def do_content(self, regex):
        text = self.arrived.content if self.arrived else b""
        self.seen.append("yes" if re.search(regex.encode(), text, re.S | re.M) else "no")

    def do_parameters(self, regex):
        text = self.arrived.envelope if self.arrived else ""
        self.seen.append("yes" if re.search(regex, text, re.S | re.M) else "no")

    # ------------------------------------------------ octets to and from

    def handshake(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if self.case.role == "certificate" and "anonymous" not in self.case.id:
            context.load_cert_chain(*self.server.client_certificate)
        self.buffer = b""
        self.socket = context.wrap_socket(self.socket, server_hostname="relay.example")

    def flush(self):
        """What cannot be written any more shows in the next answer: closed."""
        data, self.pending = bytes(self.pending), bytearray()
        if data:
            self.asked = data
        pieces = [data[i:i + 1] for i in range(len(data))] if self.how == "cut" and len(data) <= 4000 else [data]
        with contextlib.suppress(OSError):
            for piece in pieces:
                self.socket.sendall(piece)

    def read_line(self):
        while b"\n" not in self.buffer:
            data = self.socket.recv(65536)
            if not data:
                return b""
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line + b"\n"

    def read_reply(self):
        """`250 2.1.0`: the code, and the enhanced code if there is one."""
        self.reply = b""
        self.socket.settimeout(PATIENCE)
        try:
            while line := self.read_line():
                self.reply += line
                if line[3:4] != b"-":
                    break
        except TimeoutError:
            return "silence"
        except OSError:
            return "closed"
        if not line:
            return "closed"
        self.look_at_form()
        if self.reply.startswith(b"250-"):
            self.keywords = [one[4:].decode("latin-1").strip().upper().split(" ") for one in self.reply.splitlines()[1:]]
        enhanced = re.match(rb"\d\d\d[ -](\d\.\d{1,3}\.\d{1,3})(?=\s)", line)
        return line[:3].decode("latin-1") + (" " + enhanced[1].decode() if enhanced else "")

    # ------------------------------------------------ what holds for every answer

    def look_at_form(self):
        """RFC 5321 section 4.2 and 4.5.3.1.5, RFC 2034 section 4."""
        self.replies += 1
        lines = self.reply.split(b"\r\n")[:-1]
        code = lines[0][:3] if lines else b""
        enhanced = [re.match(rb"[2-5]\d\d[ -]([245])\.\d{1,3}\.\d{1,3} ", line) for line in lines]
        is_bare = (code[:1] == b"3" or not self.greeted or
                   (code in (b"250", b"220") and re.search(rb"(?im)^\s*(EHLO|HELO|XCLIENT)\b", self.asked)))
        self.greeted = True
        for fault, is_there in (
                ("a line does not end in CR LF", b"\n" in b"".join(lines) or b"\r" in b"".join(lines) or not self.reply.endswith(b"\r\n")),
                ("a line of more than 512 octets", any(len(line) > 510 for line in lines)),
                ("not printable", any(re.search(rb"[^ -~]", line) for line in lines)),
                ("lines of different codes", any(not re.match(re.escape(code) + rb"[ -]", line + b" ") for line in lines)),
                ("no code of three digits", not re.fullmatch(rb"[2-5][0-5]\d", code)),
                ("a line of an answer without its enhanced code", not is_bare and any(e is None for e in enhanced)),
                ("an enhanced code of another class", any(e and e[1] != code[:1] for e in enhanced)),
                ("an enhanced code where none belongs",
                 is_bare and code[:1] in b"23" and self.asked.count(b"\n") < 2 and any(enhanced))):
            if is_there:
                self.faults.append(f"{self.case.id}: {fault}: {self.reply!r} to {self.asked[:60]!r}")

    # ------------------------------------------------ SCRAM (RFC 5802), a client that can do it wrong

    def do_scram(self, rest):
        mechanism, user, password, *how = rest.split(" ")
        self.seen.append(Scram(self, mechanism, user, password, how[0] if how else "").run())


class Scram:
    def __init__(self, player, mechanism, user, password, how):
        self.player, self.mechanism, self.user, self.password, self.how = player, mechanism, user, password, how
        self.nonce = base64.b64encode(os.urandom(18)).decode()
        self.header = "y,," if how == "y" else "n,,"

    def say(self, text):
        self.player.do_line(text)
        self.player.flush()
        return self.player.read_reply()

    def challenge(self):
        return base64.b64decode(self.player.reply.split(b" ", 1)[1].strip())

    def run(self):
        user = self.user.replace("=", "=3D").replace(",", "=2C")
        bare = f"n={user},r={self.nonce}"
        if self.how == "extension":
            bare = "m=ext," + bare
        first = self.header + bare
        if self.how == "initial":
            said = self.say(f"AUTH {self.mechanism} " + base64.b64encode(first.encode()).decode())
        else:
            said = self.say(f"AUTH {self.mechanism}")
            if said.startswith("334"):
                said = self.say(base64.b64encode(first.encode()).decode())
        if not said.startswith("334"):
            return said
        server_first = self.challenge().decode()
        fields = dict(f.split("=", 1) for f in server_first.split(","))
        nonce = fields["r"]
        if not nonce.startswith(self.nonce) or len(nonce) <= len(self.nonce) or int(fields["i"]) < 4096:
            return "bad server-first"
        if self.how == "nonce":
            nonce = nonce[:-1] + ("A" if nonce[-1] != "A" else "B")
        header = "y,," if self.how == "binding" else self.header
        without_proof = f"c={base64.b64encode(header.encode()).decode()},r={nonce}"
        salted = hashlib.pbkdf2_hmac("sha256", self.password.encode(), base64.b64decode(fields["s"]), int(fields["i"]))
        auth_message = ",".join((bare, server_first, without_proof)).encode()
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        signature = hmac.digest(hashlib.sha256(client_key).digest(), auth_message, "sha256")
        proof = bytes(a ^ b for a, b in zip(client_key, signature))
        if self.how == "short":
            proof = proof[:10]
        said = self.say(base64.b64encode(f"{without_proof},p={base64.b64encode(proof).decode()}".encode()).decode())
        if said.startswith("334"):
            server_key = hmac.digest(salted, b"Server Key", "sha256")
            wanted = base64.b64encode(hmac.digest(server_key, auth_message, "sha256"))
            if self.challenge() != b"v=" + wanted:
                return "bad server signature"
            said = self.say("")
        elif said.startswith("235"):
            return "no server signature"
        return said
