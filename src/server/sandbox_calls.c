/* The system calls that the process may make (seccomp, by libseccomp). */
#include "sandbox.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <postrider/base/auto.h>

/* clang-format off */
static const char *const allowed[] = {
	/* files */
	"read", "readv", "pread64", "preadv", "preadv2", "write", "writev", "pwrite64", "pwritev", "pwritev2", "open",
	"openat", "close", "close_range", "lseek", "_llseek", "fstat", "fstat64", "newfstatat", "fstatat64", "stat",
	"stat64", "lstat", "lstat64", "statx", "access", "faccessat", "faccessat2", "readlink", "readlinkat", "getdents",
	"getdents64", "fcntl", "fcntl64", "flock", "ftruncate", "ftruncate64", "fallocate", "fsync", "fdatasync",
	"sync_file_range", "fadvise64", "fadvise64_64", "mkdir", "mkdirat", "unlink", "unlinkat", "rename", "renameat",
	"renameat2", "rmdir", "fchmod", "fchmodat", "fchmodat2", "chmod", "umask", "getcwd", "statfs", "statfs64", "fstatfs",
	"fstatfs64", "dup", "dup2", "dup3", "pipe", "pipe2",
	/* memory */
	"brk", "munmap", "mremap", "madvise", "msync",
	/* threads, signals */
	"futex", "futex_time64", "set_robust_list", "get_robust_list", "rseq", "set_tid_address", "gettid", "getpid",
	"getppid", "exit", "exit_group", "sched_yield", "sched_getaffinity", "sched_getparam", "sched_getscheduler",
	"membarrier", "getcpu", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigreturn", "sigaltstack",
	"rt_sigtimedwait", "restart_syscall", "arch_prctl",
	/* time */
	"clock_gettime", "clock_gettime64", "clock_getres", "clock_getres_time64", "clock_nanosleep",
	"clock_nanosleep_time64", "nanosleep", "gettimeofday", "time", "times",
	/* the loop */
	"epoll_create", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll",
	"ppoll_time64", "select", "_newselect", "pselect6", "pselect6_time64", "eventfd", "eventfd2", "inotify_init",
	"inotify_init1", "inotify_add_watch", "inotify_rm_watch", "timerfd_create", "timerfd_settime",
	/* the network; socket is below */
	"bind", "connect", "listen", "accept", "accept4", "getsockname", "getpeername", "getsockopt", "setsockopt", "send",
	"sendto", "sendmsg", "sendmmsg", "recv", "recvfrom", "recvmsg", "recvmmsg", "shutdown", "socketpair", "socketcall",
	/* who and where we are */
	"getuid", "geteuid", "getgid", "getegid", "getresuid", "getresgid", "getgroups", "getuid32", "geteuid32",
	"getgid32", "getegid32", "uname", "sysinfo", "getrusage", "getrlimit", "ugetrlimit", "getrandom",
};

/* Nothing here does this, so whoever does is not us any more: the process ends. What was answered 250 is on disk. */
static const char *const deadly[] = {
	"execve", "execveat", "fork", "vfork", "ptrace", "process_vm_readv", "process_vm_writev", "mount", "umount",
	"umount2", "move_mount", "open_tree", "fsopen", "fsmount", "pivot_root", "chroot", "setns", "unshare",
	"init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "bpf", "perf_event_open",
	"userfaultfd", "keyctl", "add_key", "request_key", "open_by_handle_at", "swapon", "swapoff", "reboot", "acct",
	"settimeofday", "clock_settime", "clock_settime64", "adjtimex", "sethostname", "setdomainname", "mknod", "mknodat",
	"modify_ldt", "iopl", "ioperm", "quotactl", "nfsservctl", "personality",
};

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define IS_SANITIZED 1
#endif
#endif
#ifndef IS_SANITIZED
#define IS_SANITIZED 0
#endif

/* A sanitizer's run-time is part of such a program, and looks for leaks with a tracer of its own. */
static const char *const sanitizers[] = {
	"ptrace", "wait4", "waitid", "prctl", "clone", "personality", "mprotect", "mmap", "kill", "tgkill", "setrlimit",
	"prlimit64", "ioctl", "process_vm_readv",
};
/* clang-format on */

struct filter {
	scmp_filter_ctx context;
	int error; /* the first, negative errno */
};

/* A call that this architecture has not is no fault. */
static void add(struct filter *f, uint32_t action, const char *name, unsigned count, const struct scmp_arg_cmp *arguments)
{
	int number = seccomp_syscall_resolve_name(name);

	if (number == __NR_SCMP_ERROR || f->error)
		return;
	int error = seccomp_rule_add_array(f->context, action, number, count, arguments);

	if (error && error != -EDOM && error != -EEXIST && error != -EACCES)
		f->error = error;
}

static void add_all(struct filter *f, uint32_t action, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		add(f, action, names[i], 0, NULL);
}

static void allow_if(struct filter *f, const char *name, unsigned argument, enum scmp_compare how, uint64_t a, uint64_t b)
{
	const struct scmp_arg_cmp one = { .arg = argument, .op = how, .datum_a = a, .datum_b = b };

	add(f, SCMP_ACT_ALLOW, name, 1, &one);
}

/* Memory that is made executable would be code that is not ours. */
static void allow_memory(struct filter *f)
{
	allow_if(f, "mmap", 2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
	allow_if(f, "mmap2", 2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
	allow_if(f, "mprotect", 2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
}

/* Threads, yes; processes, no. clone3 hides its flags behind a pointer: it fails, and the C library takes clone. */
static void allow_threads(struct filter *f)
{
	const struct scmp_arg_cmp process = { .arg = 0, .op = SCMP_CMP_MASKED_EQ, .datum_a = CLONE_THREAD, .datum_b = 0 };

	allow_if(f, "clone", 0, SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD);
	add(f, SCMP_ACT_KILL_PROCESS, "clone", 1, &process);
	allow_if(f, "prctl", 0, SCMP_CMP_EQ, PR_SET_NAME, 0);
	allow_if(f, "prctl", 0, SCMP_CMP_EQ, PR_GET_NAME, 0);
	allow_if(f, "prctl", 0, SCMP_CMP_EQ, 0x53564d41 /* PR_SET_VMA: names of mappings */, 0);
	allow_if(f, "prlimit64", 2, SCMP_CMP_EQ, 0, 0); /* reading only */
	/* abort and raise */
	allow_if(f, "tgkill", 0, SCMP_CMP_EQ, (uint64_t)getpid(), 0);
	allow_if(f, "kill", 0, SCMP_CMP_EQ, (uint64_t)getpid(), 0);
}

static void allow_network(struct filter *f)
{
	const struct scmp_arg_cmp route[] = { { .arg = 0, .op = SCMP_CMP_EQ, .datum_a = AF_NETLINK },
		                              { .arg = 2, .op = SCMP_CMP_EQ, .datum_a = 0 /* NETLINK_ROUTE */ } };

	allow_if(f, "socket", 0, SCMP_CMP_EQ, AF_INET, 0);
	allow_if(f, "socket", 0, SCMP_CMP_EQ, AF_INET6, 0);
	allow_if(f, "socket", 0, SCMP_CMP_EQ, AF_UNIX, 0);
	add(f, SCMP_ACT_ALLOW, "socket", 2, route); /* our own addresses */
	allow_if(f, "ioctl", 1, SCMP_CMP_EQ, FIONBIO, 0);
	allow_if(f, "ioctl", 1, SCMP_CMP_EQ, FIONREAD, 0);
	allow_if(f, "ioctl", 1, SCMP_CMP_EQ, FIOCLEX, 0);
	allow_if(f, "ioctl", 1, SCMP_CMP_EQ, TCGETS, 0);
	allow_if(f, "ioctl", 1, SCMP_CMP_EQ, TIOCGWINSZ, 0);
}

static enum err set_attributes(struct filter *f)
{
	if (seccomp_attr_set(f->context, SCMP_FLTATR_CTL_TSYNC, 1) ||
	    seccomp_attr_set(f->context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS))
		return ERR_UNSUPPORTED;
	/* A tree instead of a list, where the library can: the filter runs at every call. */
	(void)seccomp_attr_set(f->context, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	return ERR_OK;
}

enum err sandbox_limit_calls(void)
{
	struct filter f = { .context = seccomp_init(SCMP_ACT_ERRNO(ENOSYS)) };

	if (!f.context)
		return ERR_UNSUPPORTED;
	enum err err = set_attributes(&f);

	if (IS_SANITIZED)
		add_all(&f, SCMP_ACT_ALLOW, sanitizers, ARRAY_LEN(sanitizers));
	add_all(&f, SCMP_ACT_ALLOW, allowed, ARRAY_LEN(allowed));
	allow_memory(&f);
	if (!IS_SANITIZED)
		allow_threads(&f);
	allow_network(&f);
	add_all(&f, SCMP_ACT_KILL_PROCESS, deadly, ARRAY_LEN(deadly));
	if (!err && !f.error)
		f.error = seccomp_load(f.context);
	seccomp_release(f.context);
	if (!err && f.error)
		err = f.error == -ENOMEM ? ERR_NOMEM : f.error == -EINVAL ? ERR_UNSUPPORTED : err_from_errno(-f.error);
	return err;
}
