"""Follows a process from system call to system call, all its threads together, and kills it with -9 at one of them: before it has
happened, or when it has and before its thread knows. (`strace --inject` counts for each thread by itself, and only before.)

A call is named by what it is and where, "fdatasync queue", and counted: the third of its name since we began to look. What changes
nothing outside the process is passed over."""

import contextlib
import ctypes
import os
import signal
import struct
import subprocess
import threading

SYSCALL, SEIZE, INTERRUPT, CALL_INFO = 24, 0x4206, 0x4207, 0x420E
SYSGOOD, FOLLOW_THREADS, EXIT_KILLS = 0x1, 0x8, 0x100000
ENTRY, EXIT = 1, 2
ALL, OF_THIS_THREAD = 0x40000000, 0x20000000

# Which argument says where: a descriptor, or a path.
DESCRIPTOR = dict.fromkeys(("write", "writev", "pwrite64", "pwritev", "pwritev2", "sendto", "sendmsg", "sendmmsg", "connect", "shutdown",
                            "close", "fsync", "fdatasync", "sync_file_range", "ftruncate", "fallocate", "fchmod"), 0)
PATH = {"openat": 1, "open": 0, "creat": 0, "unlink": 0, "unlinkat": 1, "rename": 1, "renameat": 3, "renameat2": 3, "link": 1,
        "linkat": 3, "symlink": 1, "symlinkat": 2, "mkdir": 0, "mkdirat": 1, "rmdir": 0, "truncate": 0}
NOWHERE = ("msync", "sync", "syncfs")
OPEN_FLAGS = {"openat": 2, "open": 1}

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.restype = ctypes.c_long
libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)


def ptrace(request, tid, address=0, data=0):
    """False: the thread is gone, or was killed while it stood."""
    if libc.ptrace(request, tid, address, data) >= 0:
        return True
    error = ctypes.get_errno()
    if error == 3:                                   # ESRCH
        return False
    raise OSError(error, f"ptrace: {os.strerror(error)}")


def is_allowed():
    """Some containers let nobody look at a process."""
    process = subprocess.Popen(["sleep", "60"])
    try:
        Tracer(process.pid, lambda path: None).end()
    except PermissionError:
        return False
    finally:
        process.kill()
        process.wait()
    return True


class Names:
    """Numbers of calls are those of the machine; libseccomp, which the relay uses too, knows them."""

    def __init__(self):
        self.library = ctypes.CDLL("libseccomp.so.2")
        self.library.seccomp_syscall_resolve_num_arch.restype = ctypes.c_void_p
        self.library.seccomp_syscall_resolve_num_arch.argtypes = (ctypes.c_uint32, ctypes.c_int)
        self.free = libc.free
        self.free.argtypes = (ctypes.c_void_p,)
        self.known = {}

    def of(self, machine, number):
        if number not in self.known:
            found = self.library.seccomp_syscall_resolve_num_arch(machine, number)
            self.known[number] = ctypes.string_at(found).decode() if found else str(number)
            self.free(found)
        return self.known[number]


class Tracer(threading.Thread):
    """place: from the path of a file to the word for it, or None for what does not matter. Sockets are "client" (accepted) and
    "hop" (connected); those of the control socket do not matter. target: ((name, count), "before" or "behind"), or None to look only.

    Runs until the process is dead. calls: the (name, count) of all calls until then, in order; turns: those whose
    forerunner was another thread's. ended_by: the signal.

    Nobody else of us may wait for the process before `end`: a wait is woken by a death, and not by somebody's having seen it."""

    def __init__(self, pid, place, target=None):
        super().__init__(daemon=True)
        self.pid, self.place, self.target = pid, place, target
        self.attached, self.struck, self.error, self.ended_by = threading.Event(), False, None, None
        self.calls, self.turns, self.last = [], set(), None
        self.counts, self.under_way, self.sockets, self.threads = {}, {}, {}, set()
        self.names, self.info = Names(), ctypes.create_string_buffer(88)
        self.start()
        self.attached.wait(20)
        if self.error:
            raise self.error

    def run(self):
        try:
            self.memory = os.open(f"/proc/{self.pid}/mem", os.O_RDONLY)
            self.attach()
            self.attached.set()
            self.follow()
        except OSError as error:
            self.error = error
        finally:
            self.attached.set()
            with contextlib.suppress(OSError, AttributeError):
                os.close(self.memory)

    def end(self):
        """Killed now if it lives."""
        if self.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self.join(20)
        if self.error:
            raise self.error

    def attach(self):
        """A thread that begins meanwhile is one of an untraced thread's: hence once more."""
        while new := {int(tid) for tid in os.listdir(f"/proc/{self.pid}/task")} - self.threads:
            for tid in new:
                if ptrace(SEIZE, tid, 0, SYSGOOD | FOLLOW_THREADS | EXIT_KILLS):
                    ptrace(INTERRUPT, tid)
                self.threads.add(tid)

    def follow(self):
        while True:
            try:
                tid, status = os.waitpid(-1, ALL | OF_THIS_THREAD)
            except ChildProcessError:
                return
            if not os.WIFSTOPPED(status):
                if tid == self.pid and os.WIFSIGNALED(status):
                    self.ended_by = os.WTERMSIG(status)
                continue
            number, event = os.WSTOPSIG(status), status >> 16
            if number == signal.SIGTRAP | 0x80:
                self.at_call(tid)
            # a stop that is ours is no signal of the process's
            ptrace(SYSCALL, tid, 0, 0 if event or number == signal.SIGTRAP | 0x80 else number)

    def strike(self, name, side):
        if self.target == (name, side) and not self.struck:
            self.struck = True
            os.kill(self.pid, signal.SIGKILL)

    def at_call(self, tid):
        if not ptrace(CALL_INFO, tid, len(self.info), ctypes.addressof(self.info)):
            return
        kind, machine = struct.unpack_from("<B3xI", self.info)
        if kind == ENTRY:
            number, *arguments = struct.unpack_from("<Q6Q", self.info, 24)
            call = self.names.of(machine, number)
            name = self.name(call, arguments)
            self.under_way[tid] = (call, arguments, name)
            if name and not self.struck:
                self.calls.append(name)
                if tid != self.last:
                    self.turns.add(name)
                self.last = tid
                self.strike(name, "before")
        elif kind == EXIT and tid in self.under_way:
            call, arguments, name = self.under_way.pop(tid)
            self.note_sockets(call, arguments, struct.unpack_from("<q", self.info, 24)[0])
            if name:
                self.strike(name, "behind")

    def name(self, call, arguments):
        where = self.where(call, arguments)
        if where is None:
            return None
        name = f"{call} {where}".strip()
        self.counts[name] = self.counts.get(name, 0) + 1
        return name, self.counts[name]

    def where(self, call, arguments):
        with contextlib.suppress(OSError):           # a bad descriptor or address is no call that changes anything
            if call in DESCRIPTOR:
                return self.of_descriptor(call, arguments[0])
            if call in PATH:
                if call in OPEN_FLAGS and not arguments[OPEN_FLAGS[call]] & (os.O_CREAT | os.O_TRUNC):
                    return None
                return self.place(os.pread(self.memory, 512, arguments[PATH[call]]).split(b"\0")[0].decode())
            if call in NOWHERE:
                return ""
        return None

    def of_descriptor(self, call, descriptor):
        path = os.readlink(f"/proc/{self.pid}/fd/{descriptor & 0xFFFFFFFF}")
        if path.startswith("socket:"):
            return "hop" if call == "connect" else self.sockets.get(descriptor)
        return self.place(path) if call != "close" else None

    def note_sockets(self, call, arguments, result):
        if call in ("accept", "accept4") and result >= 0:
            with contextlib.suppress(OSError):
                self.sockets[result] = None if self.is_local(result) else "client"
        elif call == "connect":
            self.sockets[arguments[0]] = "hop"
        elif call == "close":
            self.sockets.pop(arguments[0], None)

    def is_local(self, descriptor):
        inode = os.readlink(f"/proc/{self.pid}/fd/{descriptor}")[len("socket:["):-1]
        with open("/proc/net/unix", encoding="utf-8", errors="replace") as sockets:
            return any(inode in line.split() for line in sockets)
