/* The resolver over real sockets against NSD, which the test starts on a free port of the loopback. Without an installed
 * NSD these tests are skipped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <postrider/base/auto.h>
#include <postrider/dns.h>
#include <postrider/io/uv.h>

#define NSD "/usr/sbin/nsd"

static const char zone_head[] =
	"$ORIGIN mail.test.\n$TTL 300\n"
	"@ SOA ns.mail.test. h.mail.test. 1 3600 600 86400 77\n@ NS ns\nns A 127.0.0.1\n"
	"@ MX 20 mx2\n@ MX 10 Mx1\nmx1 A 127.0.0.1\nmx1 AAAA ::1\nmx2 A 127.0.0.2\n"
	"alias CNAME alias2\nalias2 CNAME @\naway CNAME host.elsewhere.test.\ngone CNAME nobody\n"
	"text TXT \"no mail here\"\nnullmx MX 0 .\n*.wild MX 10 mx1\n";

struct place {
	char directory[64];
	pid_t nsd;
	struct io *io;
	struct dns *dns;
};

/* ---------------------------------------------------------------- NSD */

static void write_file(const char *directory, const char *name, const char *text)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
	assert_int_equal(fclose(f), 0);
}

static struct sockaddr_in loopback(uint16_t port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
		                     .sin_port = htons(port),
		                     .sin_addr = { htonl(INADDR_LOOPBACK) } };
}

/* Free for UDP and TCP, a moment ago. */
static uint16_t free_port(void)
{
	for (unsigned tries = 0; tries < 100; tries++) {
		struct sockaddr_in a = loopback(0);
		socklen_t len = sizeof(a);
		int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0),
		    tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		assert_int_equal(bind(udp, (struct sockaddr *)&a, sizeof(a)), 0);
		assert_int_equal(getsockname(udp, (struct sockaddr *)&a, &len), 0);
		bool free_for_both = bind(tcp, (struct sockaddr *)&a, sizeof(a)) == 0;

		close(udp);
		close(tcp);
		if (free_for_both)
			return ntohs(a.sin_port);
	}
	fail_msg("no free port");
	return 0;
}

static void write_configuration(const char *directory, uint16_t port)
{
	char conf[1024];

	snprintf(
		conf, sizeof(conf),
		"server:\n ip-address: 127.0.0.1@%u\n username: \"\"\n chroot: \"\"\n database: \"\"\n server-count: 1\n rrl-ratelimit: 0\n"
		" pidfile: \"%s/pid\"\n zonesdir: \"%s\"\n xfrdfile: \"%s/xfrd\"\n zonelistfile: \"%s/list\"\n"
		" logfile: \"%s/log\"\nremote-control:\n control-enable: no\nzone:\n name: mail.test\n zonefile: zone\n",
		port, directory, directory, directory, directory, directory);
	write_file(directory, "conf", conf);
}

static void write_zone(const char *directory)
{
	struct buf zone = BUF(1024 * 1024);

	buf_add_string(&zone, zone_head);
	for (unsigned i = 100; i > 0; i--)
		buf_add_format(&zone, "many MX %u host-with-a-longer-name-%u\n", i, i);
	buf_add_octet(&zone, '\0');
	write_file(directory, "zone", zone.at);
	buf_fini(&zone);
}

static void wait_for_port(uint16_t port)
{
	for (unsigned tries = 0; tries < 500; tries++) {
		struct sockaddr_in a = loopback(port);
		int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		int status = connect(s, (struct sockaddr *)&a, sizeof(a));

		close(s);
		if (status == 0)
			return;
		nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
	}
	fail_msg("NSD does not come up");
}

static pid_t start_nsd(const char *directory)
{
	char conf[128];
	snprintf(conf, sizeof(conf), "%s/conf", directory);
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		int nowhere = open("/dev/null", O_RDWR);

		dup2(nowhere, 1);
		dup2(nowhere, 2);
		execl(NSD, "nsd", "-d", "-c", conf, (char *)NULL);
		_exit(127);
	}
	return pid;
}

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	const char *temporary = getenv("TMPDIR");

	if (!p || access(NSD, X_OK) != 0) {
		free(p);
		*state = NULL;
		return 0;
	}
	snprintf(p->directory, sizeof(p->directory), "%s/dns-nsd-XXXXXX",
	         temporary && strlen(temporary) < 40 ? temporary : "/tmp");
	assert_non_null(mkdtemp(p->directory));
	uint16_t port = free_port();
	struct ip_port server = { ip_from_v4(INADDR_LOOPBACK), port };

	write_configuration(p->directory, port);
	write_zone(p->directory);
	p->nsd = start_nsd(p->directory);
	wait_for_port(port);
	assert_int_equal(io_uv_new(&(struct io_uv_options){ 0 }, &p->io), ERR_OK);
	assert_int_equal(
		dns_new(&(struct dns_options){ .io = p->io, .servers = &server, .server_count = 1 }, &p->dns),
		ERR_OK);
	*state = p;
	return 0;
}

static void remove_directory(const char *directory)
{
	DIR *d = opendir(directory);
	struct dirent *entry;
	char path[512];

	while (d && (entry = readdir(d))) {
		snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
		unlink(path);
	}
	if (d)
		closedir(d);
	rmdir(directory);
}

static int tear_down(void **state)
{
	struct place *p = *state;

	if (!p)
		return 0;
	dns_free(&p->dns);
	io_uv_free(&p->io);
	kill(p->nsd, SIGTERM);
	waitpid(p->nsd, NULL, 0);
	remove_directory(p->directory);
	free(p);
	return 0;
}

/* ---------------------------------------------------------------- lookups */

struct outcome {
	struct place *place;
	struct dns_lookup *slot;
	enum err err;
	struct buf text;
};

static void on_mx(void *owner, enum err err, const struct dns_mx_list *mx, struct text problem)
{
	struct outcome *o = owner;

	o->err = err;
	buf_add(&o->text, problem);
	if (mx && mx->is_null)
		buf_add_string(&o->text, "null");
	if (mx && mx->is_implicit)
		buf_add_string(&o->text, "implicit");
	for (size_t i = 0; mx && i < mx->count && i < 3; i++)
		buf_add_format(&o->text, " %u %.*s", mx->hosts[i].preference, TEXT_ARGS(mx->hosts[i].host));
	if (mx && mx->count > 3)
		buf_add_format(&o->text, " and %zu", mx->count - 3);
	io_uv_stop(o->place->io);
}

static void on_addresses(void *owner, enum err err, const struct dns_address_list *found, struct text problem)
{
	struct outcome *o = owner;

	o->err = err;
	buf_add(&o->text, problem);
	for (size_t i = 0; found && i < found->count; i++) {
		buf_add_octet(&o->text, ' ');
		ip_add(&o->text, found->addresses[i]);
	}
	io_uv_stop(o->place->io);
}

static void check(struct place *p, struct outcome *o, enum err err, const char *expected)
{
	io_uv_run(p->io);
	assert_null(o->slot);
	assert_int_equal(o->err, err);
	if (!text_starts(buf_text(&o->text), text_from(expected)))
		print_message("%.*s\n", TEXT_ARGS(buf_text(&o->text)));
	assert_true(text_starts(buf_text(&o->text), text_from(expected)));
	buf_fini(&o->text);
}

static void mx_is(struct place *p, const char *name, enum err err, const char *expected)
{
	struct outcome o = { .place = p, .text = BUF(4096) };

	assert_int_equal(dns_find_mx(p->dns, text_from(name), &o.slot, on_mx, &o), ERR_OK);
	check(p, &o, err, expected);
}

static void addresses_are(struct place *p, const char *name, enum err err, const char *expected)
{
	struct outcome o = { .place = p, .text = BUF(4096) };

	assert_int_equal(dns_find_addresses(p->dns, text_from(name), DNS_ANY, &o.slot, on_addresses, &o),
	                 ERR_OK);
	check(p, &o, err, expected);
}

static void a_real_server_is_understood(void **state)
{
	struct place *p = *state;

	if (!p)
		skip();
	mx_is(p, "mail.test", ERR_OK, " 10 mx1.mail.test 20 mx2.mail.test");
	mx_is(p, "alias.mail.test", ERR_OK, " 10 mx1.mail.test 20 mx2.mail.test");
	mx_is(p, "nullmx.mail.test", ERR_OK, "null");
	mx_is(p, "text.mail.test", ERR_OK, "implicit 0 text.mail.test");
	mx_is(p, "nobody.mail.test", ERR_NOT_FOUND, "NXDOMAIN from 127.0.0.1:");
	mx_is(p, "gone.mail.test", ERR_NOT_FOUND, "NXDOMAIN from 127.0.0.1:");
	addresses_are(p, "mx1.mail.test", ERR_OK, " ::1 127.0.0.1");
	addresses_are(p, "mx2.mail.test", ERR_OK, " 127.0.0.2");
	addresses_are(p, "text.mail.test", ERR_NOT_FOUND, "no record from 127.0.0.1:");
	/* it serves one zone and refuses the rest, also where an alias leads; newer ones say why */
	mx_is(p, "example.com", ERR_TEMPORARY, "REFUSED");
	mx_is(p, "away.mail.test", ERR_TEMPORARY, "REFUSED");
}

static void an_answer_too_long_for_a_datagram_comes_over_tcp(void **state)
{
	struct place *p = *state;

	if (!p)
		skip();
	struct dns_counts before = dns_count(p->dns);

	mx_is(p, "many.mail.test", ERR_OK,
	      " 1 host-with-a-longer-name-1.mail.test 2 host-with-a-longer-name-2.mail.test 3 "
	      "host-with-a-longer-name-3.mail.test and 97");
	struct dns_counts after = dns_count(p->dns);

	assert_int_equal(after.queries - before.queries, 2);
	assert_int_equal(after.answers - before.answers, 2);
}

static void a_negative_answer_of_a_real_server_is_kept(void **state)
{
	struct place *p = *state;

	if (!p)
		skip();
	mx_is(p, "no-such-name.mail.test", ERR_NOT_FOUND, "NXDOMAIN");
	struct dns_counts before = dns_count(p->dns);

	mx_is(p, "no-such-name.mail.test", ERR_NOT_FOUND, "NXDOMAIN");
	assert_int_equal(dns_count(p->dns).queries, before.queries);
}

/* ---------------------------------------------------------------- many */

#define LOOKUPS 4000
#define AT_ONCE 64

struct one {
	struct many *many;
	struct dns_lookup *lookup;
};

struct many {
	struct place *place;
	struct one ones[AT_ONCE];
	unsigned begun, done, good;
};

static void begin_one(struct many *m, struct one *o);

static void on_one(void *owner, enum err err, const struct dns_mx_list *mx, struct text problem)
{
	struct one *o = owner;
	struct many *m = o->many;

	if (err)
		print_message("  %s: %.*s\n", err_text(err), TEXT_ARGS(problem));
	m->good += !err && mx->count == 1 && text_eq(mx->hosts[0].host, TEXT("mx1.mail.test"));
	if (++m->done == LOOKUPS)
		io_uv_stop(m->place->io);
	else if (m->begun < LOOKUPS)
		begin_one(m, o);
}

static void begin_one(struct many *m, struct one *o)
{
	char name[64];

	snprintf(name, sizeof(name), "n%u.wild.mail.test", m->begun++);
	o->many = m;
	assert_int_equal(dns_find_mx(m->place->dns, text_from(name), &o->lookup, on_one, o), ERR_OK);
}

static double cpu_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void thousands_of_questions_find_their_answers(void **state)
{
	struct place *p = *state;
	struct many m = { .place = p };

	if (!p)
		skip();
	double before = cpu_us();

	for (unsigned i = 0; i < AT_ONCE; i++)
		begin_one(&m, &m.ones[i]);
	io_uv_run(p->io);
	print_message("  %.1f us of CPU for each question, its socket included\n",
	              (cpu_us() - before) / LOOKUPS);
	assert_int_equal(m.good, LOOKUPS);
	assert_int_equal(dns_count(p->dns).in_flight, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_real_server_is_understood),
		cmocka_unit_test(an_answer_too_long_for_a_datagram_comes_over_tcp),
		cmocka_unit_test(a_negative_answer_of_a_real_server_is_kept),
		cmocka_unit_test(thousands_of_questions_find_their_answers),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
