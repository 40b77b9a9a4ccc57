/* What a captured relay could do, tried from inside: each probe runs in a child that has put the sandbox on. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <postrider/config.h>

#include "server/sandbox.h"
#include "support/check.h"

#define NOT_HERE 77 /* this kernel lacks it */

struct place {
	char directory[64], inside[100], outside[100], yaml[1000];
};

static const struct config *load(const char *yaml)
{
	const struct config_sources sources = { .file = LIT("test.yaml"), .text = text_from(yaml) };
	struct config_report report;
	const struct config *config = NULL;
	struct buf words = BUF(10000);

	config_report_init(&report);
	if (config_load(&sources, &config, &report)) {
		config_report_print(&report, &words);
		fail_msg("%.*s", TEXT_ARGS(buf_text(&words)));
	}
	config_report_fini(&report);
	return config;
}

static void write_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	close(fd);
}

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	char path[200];

	assert_non_null(p);
	snprintf(p->directory, sizeof(p->directory), "/tmp/postrider-sandbox-XXXXXX");
	assert_non_null(mkdtemp(p->directory));
	snprintf(path, sizeof(path), "%s/spool", p->directory);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/certs", p->directory);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(p->inside, sizeof(p->inside), "%s/spool/file", p->directory);
	snprintf(p->outside, sizeof(p->outside), "%s/outside", p->directory);
	write_file(p->inside);
	write_file(p->outside);
	snprintf(path, sizeof(path), "%s/certs/key.pem", p->directory);
	write_file(path);
	snprintf(
		p->yaml, sizeof(p->yaml),
		"hostname: relay.example\nspool: {path: %s/spool}\n"
		"listen: [{address: \"127.0.0.1:2525\", cert: %s/certs/cert.pem, key: %s/certs/key.pem}]\n"
		"upstreams: {next: {hosts: [\"127.0.0.1:2526\"], tls: none}}\nroutes: [{to: any, via: next}]\n",
		p->directory, p->directory, p->directory);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;
	char command[200];

	snprintf(command, sizeof(command), "rm -rf %s", p->directory);
	assert_int_equal(system(command), 0);
	free(p);
	return 0;
}

typedef int probe_fn(const struct place *p); /* 0: as it should be */

/* Runs the probe inside; the wait status. */
static int inside(const struct place *p, const char *more, probe_fn *probe)
{
	char yaml[1200];
	pid_t pid = fork();
	int status = 0;

	assert_true(pid >= 0);
	if (pid == 0) {
		struct sandbox s;
		struct buf problem = BUF(1000);

		snprintf(yaml, sizeof(yaml), "%s%s", p->yaml, more);
		if (sandbox_enter(load(yaml), NULL, &s, &problem))
			_exit(99);
		_exit(!s.limits_files || !s.limits_calls ? NOT_HERE : probe(p));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_HERE)
		print_message("this kernel lacks Landlock or seccomp: not tried\n");
	return status;
}

static void is_well(const struct place *p, const char *name, const char *more, probe_fn *probe)
{
	int status = inside(p, more, probe);

	if (!WIFEXITED(status) || (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != NOT_HERE))
		fail_msg("%s: wait status %#x", name, (unsigned)status);
}

static void is_deadly(const struct place *p, const char *name, probe_fn *probe)
{
	int status = inside(p, "", probe);

	if (!(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) &&
	    !(WIFEXITED(status) && WEXITSTATUS(status) == NOT_HERE))
		fail_msg("%s: wait status %#x", name, (unsigned)status);
}

/* ---------------------------------------------------------------- files */

static int fails(long result, int with)
{
	return result == -1 && errno == with ? 0 : 1;
}

static int reads_outside(const struct place *p)
{
	return fails(open(p->outside, O_RDONLY), EACCES) || fails(open("/etc/shadow", O_RDONLY), EACCES) ||
	       fails(open("/usr/bin", O_RDONLY | O_DIRECTORY), EACCES) ||
	       fails(open("/bin/sh", O_RDONLY), EACCES);
}

static int writes_outside(const struct place *p)
{
	char path[200], key[200];

	snprintf(path, sizeof(path), "%s/new", p->directory);
	snprintf(key, sizeof(key), "%s/certs/key.pem", p->directory);
	return fails(open(path, O_WRONLY | O_CREAT, 0600), EACCES) || fails(unlink(p->outside), EACCES) ||
	       fails(open(key, O_WRONLY), EACCES) || fails(rename(p->inside, path), EACCES) ||
	       fails(mkdir(path, 0700), EACCES) ||
	       fails(open("/etc/cron.d/x", O_WRONLY | O_CREAT, 0600), EACCES);
}

static int reads_what_it_needs(const struct place *p)
{
	char key[200];

	snprintf(key, sizeof(key), "%s/certs/key.pem", p->directory);
	return open(key, O_RDONLY) < 0 || open("/etc/hosts", O_RDONLY) < 0 ||
	       open("/proc/self/statm", O_RDONLY) < 0;
}

static int lives_in_its_spool(const struct place *p)
{
	char path[200], other[200];
	int fd;

	snprintf(path, sizeof(path), "%s/spool/a", p->directory);
	snprintf(other, sizeof(other), "%s/spool/b", p->directory);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	return fd < 0 || write(fd, "x", 1) != 1 || fsync(fd) || ftruncate(fd, 0) || rename(path, other) ||
	       unlink(other) || mkdir(path, 0700) || chmod(path, 01733) || rmdir(path);
}

static int makes_links(const struct place *p)
{
	char path[200];

	snprintf(path, sizeof(path), "%s/spool/link", p->directory);
	return fails(symlink("/etc/shadow", path), ENOSYS) || fails(link(p->outside, path), ENOSYS);
}

/* What certbot and Kubernetes do: the file is a link to another place, or its directory is, and both are switched. */
static int reads_what_links_lead_to(const struct place *p)
{
	char from[200], to[200];

	snprintf(from, sizeof(from), "%s/live/key.pem", p->directory);
	if (open(from, O_RDONLY) < 0)
		return 1;
	snprintf(to, sizeof(to), "%s/archive/key2.pem", p->directory);
	if (open(to, O_RDONLY) < 0)
		return 2;
	snprintf(to, sizeof(to), "%s/volume/..second/cert.pem", p->directory);
	return open(to, O_RDONLY) < 0 ? 3 : 0;
}

static void make(const struct place *p, const char *name, const char *link)
{
	char path[200];

	snprintf(path, sizeof(path), "%s/%s", p->directory, name);
	if (link)
		assert_int_equal(symlink(link, path), 0);
	else if (strstr(name, ".pem"))
		write_file(path);
	else
		assert_int_equal(mkdir(path, 0700), 0);
}

static void test_links(void **state)
{
	struct place *p = *state;

	make(p, "live", NULL);
	make(p, "archive", NULL);
	make(p, "archive/key1.pem", NULL);
	make(p, "archive/key2.pem", NULL);
	make(p, "live/key.pem", "../archive/key1.pem");
	make(p, "volume", NULL);
	make(p, "volume/..first", NULL);
	make(p, "volume/..second", NULL);
	make(p, "volume/..first/cert.pem", NULL);
	make(p, "volume/..second/cert.pem", NULL);
	make(p, "volume/..data", "..first");
	snprintf(
		p->yaml, sizeof(p->yaml),
		"hostname: relay.example\nspool: {path: %s/spool}\n"
		"listen: [{address: \"127.0.0.1:2525\", cert: %s/volume/..data/cert.pem, key: %s/live/key.pem}]\n"
		"upstreams: {next: {hosts: [\"127.0.0.1:2526\"], tls: none}}\nroutes: [{to: any, via: next}]\n",
		p->directory, p->directory, p->directory);
	is_well(p, "links", "", reads_what_links_lead_to);
	is_well(p, "and no more", "", reads_outside);
}

/* ---------------------------------------------------------------- system calls */

static int runs_a_program(const struct place *p)
{
	char name[] = "/bin/true";
	char *const argv[] = { name, NULL };

	(void)p;
	execv(argv[0], argv);
	return 1;
}

static int makes_a_process(const struct place *p)
{
	(void)p;
	syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	return 1;
}

static int mounts(const struct place *p)
{
	(void)p;
	mount("none", "/tmp", "tmpfs", 0, NULL);
	return 1;
}

static int leaves_its_namespace(const struct place *p)
{
	(void)p;
	unshare(CLONE_NEWUSER);
	return 1;
}

static int writes_into_others(const struct place *p)
{
	(void)p;
	syscall(SYS_process_vm_writev, getppid(), NULL, 0, NULL, 0, 0);
	return 1;
}

static int makes_code(const struct place *p)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)p;
	return page == MAP_FAILED || fails(mprotect(page, 4096, PROT_READ | PROT_EXEC), ENOSYS) ||
	       mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
}

static int opens_odd_sockets(const struct place *p)
{
	(void)p;
	return fails(socket(AF_PACKET, SOCK_RAW, 0), ENOSYS) ||
	       fails(socket(AF_NETLINK, SOCK_RAW, 12), ENOSYS) ||
	       fails(socket(AF_VSOCK, SOCK_STREAM, 0), ENOSYS) || fails(setuid(0), ENOSYS) ||
	       fails(syscall(SYS_io_uring_setup, 1, NULL), ENOSYS) ||
	       fails(syscall(SYS_clone3, NULL, 0), ENOSYS);
}

static int signals_its_parent(const struct place *p)
{
	(void)p;
	return kill(getppid(), 0) == 0;
}

/* A way to a port that nobody listens on: refused by the other side, or by the sandbox. */
static int connect_error(uint16_t port)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
		                  .sin_port = htons(port),
		                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	return fd < 0 ? -1 : connect(fd, (struct sockaddr *)&in, sizeof(in)) == 0 ? 0 : errno;
}

static int connects_anywhere(const struct place *p)
{
	(void)p;
	return connect_error(1) != ECONNREFUSED;
}

static int connects_where_it_should(const struct place *p)
{
	(void)p;
	return connect_error(1) != EACCES || connect_error(53) == EACCES || connect_error(2526) == EACCES;
}

static void test_probes(void **state)
{
	const struct place *p = *state;

	is_well(p, "reading outside", "", reads_outside);
	is_well(p, "writing outside", "", writes_outside);
	is_well(p, "reading what is needed", "", reads_what_it_needs);
	is_well(p, "the spool", "", lives_in_its_spool);
	is_well(p, "links", "", makes_links);
	is_well(p, "odd sockets", "", opens_odd_sockets);
	is_well(p, "any port", "", connects_anywhere);
#if !defined(__SANITIZE_ADDRESS__) && \
	!defined(__SANITIZE_THREAD__) /* their run-times need these themselves */
	is_well(p, "code", "", makes_code);
	is_deadly(p, "a process", makes_a_process);
	is_well(p, "a signal", "", signals_its_parent);
#else
	(void)makes_code, (void)makes_a_process, (void)signals_its_parent;
#endif
	is_deadly(p, "a program", runs_a_program);
	is_deadly(p, "mount", mounts);
	is_deadly(p, "unshare", leaves_its_namespace);
	is_deadly(p, "process_vm_writev", writes_into_others);
}

static void test_ports(void **state)
{
	int status = inside(*state, "sandbox: require\n", connects_where_it_should);

	/* 99: require, and this kernel has no rules for ports */
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) != 99 && WEXITSTATUS(status) != NOT_HERE)
		assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---------------------------------------------------------------- another configuration */

static int checks(const struct place *p)
{
	static const struct {
		const char *more;
		bool fits;
	} cases[] = {
		{ "", true },
		{ "pickup: {path: /etc}\n", false },
		{ "drop: {path: /var/mail}\n", false },
		{ "access: {users_file: /opt/users}\n", false },
		{ "admin: {socket: /opt/admin.sock}\n", false },
	};
	struct sandbox s = { .limits_files = true };
	char yaml[1200];

	const struct config *first = load(p->yaml);

	sandbox_find_places(first, NULL, &s.places);
	config_unref(&first);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(buf_fini) struct buf problem = BUF(1000);

		snprintf(yaml, sizeof(yaml), "%s%s", p->yaml, cases[i].more);
		const struct config *config = load(yaml);

		CHECK_INT(cases[i].more, sandbox_check(&s, config, NULL, &problem),
		          cases[i].fits ? ERR_OK : ERR_CONFIG);
		CHECK(cases[i].more,
		      cases[i].fits || text_find(buf_text(&problem), TEXT("restart")) < problem.len);
		config_unref(&config);
	}
	assert_true(sandbox_allows_file(&s, text_from(p->inside)));
	assert_false(sandbox_allows_file(&s, text_from(p->outside)));
	sandbox_fini(&s);
	return 0;
}

static void test_what_a_reload_may_name(void **state)
{
	checks(*state);
}

static void test_ports_of_a_configuration(void **state)
{
	const struct place *p = *state;
	const struct config *config = load(p->yaml);
	uint16_t *ports = NULL;
	size_t count = 0;

	assert_int_equal(sandbox_find_ports(config, false, &ports, &count), ERR_OK);
	assert_true(count == 2 && ports[0] == 0 && ports[1] == 2525);
	free(ports);
	assert_int_equal(sandbox_find_ports(config, true, &ports, &count), ERR_OK);
	/* 443: the web sites of MTA-STS */
	assert_true(count == 4 && ports[0] == 25 && ports[1] == 53 && ports[2] == 443 && ports[3] == 2526);
	free(ports);
	config_unref(&config);
}

/* A token_url's port may be connected to, and a refresh token that rotates is written beside where it was. */
static void test_what_tokens_need(void **state)
{
	static const char more[] =
		"  up: {hosts: [\"192.0.2.1:587\"], tls: require, username: a, oauth2: {token_url: \"https://[2001:db8::1]/t\", "
		"client_id: c, client_secret_file: %s/certs/client, refresh_token_file: %s/spool/refresh}}\n"
		"  other: {hosts: [\"192.0.2.1:587\"], tls: require, username: a, oauth2: {token_url: \"https://a.example:8443/t\", "
		"client_id: c, client_secret: x, refresh_token_file: %s/certs/refresh}}\n"
		"direct: {mta_sts: false}\nroutes: [{to: any, via: up}]\n";
	const struct place *p = *state;
	AUTO(buf_fini) struct buf yaml = BUF(4000);
	struct sandbox_places places;
	uint16_t *ports = NULL;
	unsigned written = 0;
	size_t count = 0;
	char certs[100];

	buf_add_format(
		&yaml,
		"hostname: relay.example\nspool: {path: %s/spool}\nlisten: [{address: \"127.0.0.1:2525\"}]\nupstreams:\n",
		p->directory);
	buf_add_format(&yaml, more, p->directory, p->directory, p->directory);
	buf_add_octet(&yaml, 0);
	const struct config *config = load(yaml.at);

	assert_int_equal(sandbox_find_ports(config, true, &ports, &count), ERR_OK);
	assert_true(count == 5 && ports[2] == 443 && ports[3] == 587 && ports[4] == 8443);
	free(ports);
	snprintf(certs, sizeof(certs), "%s/certs", p->directory);
	sandbox_find_places(config, NULL, &places);
	for (size_t i = 0; i < places.count; i++)
		written += strcmp(places.items[i].path, certs) == 0 && places.items[i].writable;
	assert_int_equal(written, 1);
	sandbox_places_fini(&places);
	config_unref(&config);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_probes),
		TEST(test_links),
		TEST(test_ports),
		TEST(test_what_a_reload_may_name),
		TEST(test_ports_of_a_configuration),
		TEST(test_what_tokens_need),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
