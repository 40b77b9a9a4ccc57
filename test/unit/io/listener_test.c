#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <postrider/io/uv.h>

#include "support/streams.h"

#define CLIENTS 40

struct world {
	struct io *io;
	struct io_listener *listener;
	struct end clients[CLIENTS], servers[CLIENTS];
	unsigned accepted;
	bool pause_when_accepted;
	char directory[64];
	struct io_address unix_address;
};

static void on_accept(void *owner, struct io_stream *stream)
{
	struct world *w = owner;
	struct end *e = &w->servers[w->accepted++];

	assert_true(w->accepted <= CLIENTS);
	end_init(e, w->io);
	e->stream = stream;
	io_stream_attach(stream, &end_events, e);
	if (w->pause_when_accepted)
		io_listener_pause(w->listener);
}

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	assert_int_equal(io_uv_new(NULL, &w->io), ERR_OK);
	snprintf(w->directory, sizeof(w->directory), "listener-XXXXXX");
	assert_non_null(mkdtemp(w->directory));
	snprintf(w->unix_address.unix_path, sizeof(w->unix_address.unix_path), "%s/sock", w->directory);
	for (unsigned i = 0; i < CLIENTS; i++)
		end_init(&w->clients[i], w->io);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	io_listener_close(&w->listener);
	io_uv_free(&w->io);
	for (unsigned i = 0; i < CLIENTS; i++) {
		end_fini(&w->clients[i]);
		end_fini(&w->servers[i]);
	}
	unlink(w->unix_address.unix_path);
	rmdir(w->directory);
	free(w);
	return 0;
}

static struct io_address address_of(const char *text)
{
	struct io_address a = { 0 };

	assert_int_equal(ip_port_parse(text_from(text), &a.ip), ERR_OK);
	return a;
}

static void listen_on(struct world *w, const struct io_address *a)
{
	assert_int_equal(io_listen(w->io, a, 0600, on_accept, w, &w->listener), ERR_OK);
}

static void connect_client(struct world *w, unsigned i, const struct io_address *to)
{
	struct end *e = &w->clients[i];

	assert_int_equal(io_connect(w->io, to, NULL, &end_events, e, &e->stream), ERR_OK);
}

static void join(struct world *w, const struct io_address *to)
{
	connect_client(w, 0, to);
	LOOP_UNTIL(w->io, w->clients[0].connected && w->accepted == 1);
}

/* ---------------------------------------------------------------- IP */

static void port_0_takes_a_free_one(void **state)
{
	struct world *w = *state;
	struct io_address a = address_of("127.0.0.1:0");

	listen_on(w, &a);
	assert_int_not_equal(io_listener_address(w->listener)->ip.port, 0);
	join(w, io_listener_address(w->listener));
}

static void an_address_in_use_is_busy(void **state)
{
	struct world *w = *state;
	struct io_address a = address_of("127.0.0.1:0");
	struct io_listener *second = NULL;

	listen_on(w, &a);
	assert_int_equal(io_listen(w->io, io_listener_address(w->listener), 0, on_accept, w, &second), ERR_BUSY);
	assert_null(second);
}

static void an_address_that_is_not_ours_is_an_error(void **state)
{
	struct world *w = *state;
	struct io_address a = address_of("192.0.2.1:2525");
	struct io_listener *l = NULL;

	assert_int_equal(io_listen(w->io, &a, 0, on_accept, w, &l), ERR_UNREACHABLE);
	assert_null(l);
}

static void the_unspecified_ipv6_address_takes_ipv4_and_shows_it_as_such(void **state)
{
	struct world *w = *state;
	struct io_address a = address_of("[::]:0"), to = address_of("127.0.0.1:1");

	listen_on(w, &a);
	to.ip.port = io_listener_address(w->listener)->ip.port;
	join(w, &to);
	assert_int_equal(io_stream_peer(w->servers[0].stream)->ip.ip.family, IP_V4);
	assert_int_equal(io_stream_local(w->servers[0].stream)->ip.ip.family, IP_V4);
	assert_true(ip_is_loopback(io_stream_local(w->servers[0].stream)->ip.ip));
}

static void one_ipv6_address_takes_no_ipv4(void **state)
{
	struct world *w = *state;
	struct io_address a = address_of("[::1]:0"), four = address_of("0.0.0.0:0");
	struct io_listener *second = NULL;

	listen_on(w, &a);
	four.ip.port = io_listener_address(w->listener)->ip.port;
	assert_int_equal(io_listen(w->io, &four, 0, on_accept, w, &second), ERR_OK);
	join(w, io_listener_address(w->listener));
	assert_int_equal(io_stream_peer(w->servers[0].stream)->ip.ip.family, IP_V6);
	io_listener_close(&second);
}

/* Set on the listening socket and inherited: this saves a call for each connection. */
static void accepted_sockets_do_not_delay(void **state)
{
	struct world *w = *state;
	struct io_address a = address_of("127.0.0.1:0");
	unsigned found = 0, without_delay = 0;

	listen_on(w, &a);
	join(w, io_listener_address(w->listener));
	for (int fd = 3; fd < 64; fd++) {
		int value = 0;
		socklen_t len = sizeof(value);

		if (getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &len) != 0)
			continue;
		found++;
		without_delay += value != 0;
		assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	}
	assert_int_equal(found, 3);
	assert_int_equal(without_delay, 3);
}

static void a_paused_listener_accepts_nothing(void **state)
{
	struct world *w = *state;
	struct io_address a = address_of("127.0.0.1:0");

	listen_on(w, &a);
	io_listener_pause(w->listener);
	connect_client(w, 0, io_listener_address(w->listener));
	LOOP_UNTIL(w->io, w->clients[0].connected);
	loop_for(w->io, 20);
	assert_int_equal(w->accepted, 0);
	io_listener_resume(w->listener);
	LOOP_UNTIL(w->io, w->accepted == 1);
}

static void pausing_inside_on_accept_leaves_the_others_waiting(void **state)
{
	struct world *w = *state;
	struct io_address a = address_of("127.0.0.1:0");

	w->pause_when_accepted = true;
	listen_on(w, &a);
	for (unsigned i = 0; i < 5; i++)
		connect_client(w, i, io_listener_address(w->listener));
	LOOP_UNTIL(w->io, w->clients[4].connected);
	loop_for(w->io, 10);
	assert_int_equal(w->accepted, 1);
	w->pause_when_accepted = false;
	io_listener_resume(w->listener);
	LOOP_UNTIL(w->io, w->accepted == 5);
}

static void a_closed_listener_says_nothing_more(void **state)
{
	struct world *w = *state;
	struct io_address a = address_of("127.0.0.1:0");

	listen_on(w, &a);
	connect_client(w, 0, io_listener_address(w->listener));
	io_listener_close(&w->listener);
	assert_null(w->listener);
	io_listener_close(&w->listener);
	LOOP_UNTIL(w->io, w->clients[0].closed);
	assert_int_equal(w->accepted, 0);
}

/* ---------------------------------------------------------------- out of descriptors */

static void out_of_descriptors_accepting_rests_and_goes_on(void **state)
{
	struct world *w = *state;
	struct io_address a = address_of("127.0.0.1:0");
	struct rlimit before, tight;
	int probe;

	listen_on(w, &a);
	for (unsigned i = 0; i < 5; i++)
		connect_client(w, i, io_listener_address(w->listener));
	/* Five more are wanted and one is left. */
	probe = dup(0);
	assert_true(probe >= 0);
	close(probe);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	tight = before;
	tight.rlim_cur = (rlim_t)probe + 1;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
	loop_for(w->io, 300);
	assert_int_equal(w->accepted, 1);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	LOOP_UNTIL(w->io, w->accepted == 5);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(w->clients[i].closed, 0);
}

static void over_the_budget_accepting_rests_until_one_closes(void **state)
{
	struct world *w = *state;
	struct io_address a = address_of("127.0.0.1:0");
	struct io_uv_options options = { .max_descriptors = 3 };
	struct io *clients_io = w->io;

	assert_int_equal(io_uv_new(&options, &w->io), ERR_OK);
	listen_on(w, &a);
	for (unsigned i = 0; i < 4; i++) {
		struct end *e = &w->clients[i];

		assert_int_equal(io_connect(clients_io, io_listener_address(w->listener), NULL, &end_events, e,
		                            &e->stream), ERR_OK);
	}
	LOOP_UNTIL(clients_io, w->clients[3].connected);
	loop_for(w->io, 150);
	assert_int_equal(w->accepted, 2);
	io_stream_close(w->servers[0].stream);
	LOOP_UNTIL(w->io, w->accepted == 3);
	io_listener_close(&w->listener);
	io_uv_free(&w->io);
	w->io = clients_io;
}

/* ---------------------------------------------------------------- Unix sockets */

static void unix_sockets_name_the_peer(void **state)
{
	struct world *w = *state;

	listen_on(w, &w->unix_address);
	join(w, &w->unix_address);
	const struct io_address *peer = io_stream_peer(w->servers[0].stream);

	assert_int_equal(peer->ip.ip.family, IP_NONE);
	assert_int_equal(peer->peer_uid, getuid());
	assert_int_equal(peer->peer_gid, getgid());
	assert_string_equal(peer->unix_path, "");
	assert_string_equal(io_stream_local(w->servers[0].stream)->unix_path, w->unix_address.unix_path);
	assert_string_equal(io_stream_peer(w->clients[0].stream)->unix_path, w->unix_address.unix_path);
	assert_int_equal(io_stream_peer(w->clients[0].stream)->peer_uid, getuid());
	end_write(&w->clients[0], "hello");
	LOOP_UNTIL(w->io, w->servers[0].got.len == 5);
	end_write_many(&w->servers[0], 'x', 5 << 20);
	io_stream_finish(w->servers[0].stream);
	LOOP_UNTIL(w->io, w->clients[0].eofs == 1);
	assert_int_equal(w->clients[0].got.len, 5 << 20);
}

static void the_mode_is_set(void **state)
{
	struct world *w = *state;
	struct stat now;

	assert_int_equal(io_listen(w->io, &w->unix_address, 0620, on_accept, w, &w->listener), ERR_OK);
	assert_int_equal(stat(w->unix_address.unix_path, &now), 0);
	assert_int_equal(now.st_mode & 07777, 0620);
}

static void the_path_goes_with_the_listener(void **state)
{
	struct world *w = *state;

	listen_on(w, &w->unix_address);
	assert_int_equal(access(w->unix_address.unix_path, F_OK), 0);
	io_listener_close(&w->listener);
	assert_int_not_equal(access(w->unix_address.unix_path, F_OK), 0);
}

static void somebody_elses_path_stays(void **state)
{
	struct world *w = *state;

	listen_on(w, &w->unix_address);
	assert_int_equal(unlink(w->unix_address.unix_path), 0);
	int fd = open(w->unix_address.unix_path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	close(fd);
	io_listener_close(&w->listener);
	assert_int_equal(access(w->unix_address.unix_path, F_OK), 0);
}

static void a_path_where_somebody_answers_is_busy(void **state)
{
	struct world *w = *state;
	struct io_listener *second = NULL;

	listen_on(w, &w->unix_address);
	assert_int_equal(io_listen(w->io, &w->unix_address, 0, on_accept, w, &second), ERR_BUSY);
	assert_int_equal(access(w->unix_address.unix_path, F_OK), 0);
}

static void a_file_that_is_no_socket_is_not_replaced(void **state)
{
	struct world *w = *state;
	int fd = open(w->unix_address.unix_path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(io_listen(w->io, &w->unix_address, 0, on_accept, w, &w->listener), ERR_BUSY);
	assert_int_equal(access(w->unix_address.unix_path, F_OK), 0);
}

static void what_a_dead_process_left_is_replaced(void **state)
{
	struct world *w = *state;
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(name.sun_path, sizeof(name.sun_path), "%s", w->unix_address.unix_path);
	assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
	assert_int_equal(listen(fd, 1), 0);
	close(fd);
	listen_on(w, &w->unix_address);
	join(w, &w->unix_address);
}

static void connecting_to_no_path_is_an_error(void **state)
{
	struct world *w = *state;

	connect_client(w, 0, &w->unix_address);
	LOOP_UNTIL(w->io, w->clients[0].closed);
	assert_int_equal(w->clients[0].why, ERR_NOT_FOUND);
}

static int listening_socket(struct ip_port *address)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(listen(fd, 10), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
	*address = (struct ip_port){ ip_from_v4(INADDR_LOOPBACK), ntohs(in.sin_port) };
	return fd;
}

static void an_inherited_socket_is_used_and_stays(void **state)
{
	struct world *w = *state;
	struct io_address to = { .ip.port = 0 };
	int fd = listening_socket(&to.ip);

	for (unsigned round = 0; round < 2; round++) {
		assert_int_equal(io_listen_on(w->io, fd, true, on_accept, w, &w->listener), ERR_OK);
		assert_int_equal(io_listener_address(w->listener)->ip.port, to.ip.port);
		connect_client(w, round, &to);
		LOOP_UNTIL(w->io, w->accepted == round + 1);
		io_listener_close(&w->listener);
	}
	/* it listens on: whoever connects now waits for the next listener */
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in in = { .sin_family = AF_INET,
		                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		                  .sin_port = htons(to.ip.port) };

	assert_int_equal(connect(client, (struct sockaddr *)&in, sizeof(in)), 0);
	close(client);
	close(fd);
}

static void an_inherited_path_is_not_removed(void **state)
{
	struct world *w = *state;
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(un.sun_path, w->unix_address.unix_path, sizeof(un.sun_path));
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	assert_int_equal(listen(fd, 10), 0);
	assert_int_equal(io_listen_on(w->io, fd, true, on_accept, w, &w->listener), ERR_OK);
	assert_string_equal(io_listener_address(w->listener)->unix_path, un.sun_path);
	connect_client(w, 0, &w->unix_address);
	LOOP_UNTIL(w->io, w->accepted == 1);
	io_listener_close(&w->listener);
	assert_int_equal(access(un.sun_path, F_OK), 0);
	close(fd);
	unlink(un.sun_path);
}

static void what_does_not_listen_is_refused(void **state)
{
	struct world *w = *state;
	int pair[2], file = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), idle = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	const int wrong[] = { file, udp, idle, pair[0], pair[1], 12345 };

	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_int_equal(io_listen_on(w->io, wrong[i], true, on_accept, w, &w->listener), ERR_SYNTAX);
	for (size_t i = 0; i + 1 < ARRAY_LEN(wrong); i++)
		assert_int_equal(close(wrong[i]), 0); /* they were left alone */
}

static void a_socket_bound_before_is_taken_over(void **state)
{
	struct world *w = *state;
	struct ip_port address = { ip_from_v4(INADDR_LOOPBACK), 0 };
	struct io_address to = { .ip = address };
	int fd = -1;

	assert_int_equal(io_uv_bind(&address, &fd), ERR_OK);
	assert_int_equal(io_listen_on(w->io, fd, false, on_accept, w, &w->listener), ERR_OK);
	to.ip.port = io_listener_address(w->listener)->ip.port;
	assert_true(to.ip.port > 0);
	connect_client(w, 0, &to);
	LOOP_UNTIL(w->io, w->accepted == 1);
	int taken = -1;

	assert_int_equal(io_uv_bind(&to.ip, &taken), ERR_BUSY);
	io_listener_close(&w->listener);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	assert_int_equal(io_uv_bind(&to.ip, &taken), ERR_OK);
	close(taken);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(port_0_takes_a_free_one),
		TEST(an_address_in_use_is_busy),
		TEST(an_address_that_is_not_ours_is_an_error),
		TEST(the_unspecified_ipv6_address_takes_ipv4_and_shows_it_as_such),
		TEST(one_ipv6_address_takes_no_ipv4),
		TEST(accepted_sockets_do_not_delay),
		TEST(a_paused_listener_accepts_nothing),
		TEST(pausing_inside_on_accept_leaves_the_others_waiting),
		TEST(a_closed_listener_says_nothing_more),
		TEST(out_of_descriptors_accepting_rests_and_goes_on),
		TEST(over_the_budget_accepting_rests_until_one_closes),
		TEST(unix_sockets_name_the_peer),
		TEST(the_mode_is_set),
		TEST(the_path_goes_with_the_listener),
		TEST(somebody_elses_path_stays),
		TEST(a_path_where_somebody_answers_is_busy),
		TEST(a_file_that_is_no_socket_is_not_replaced),
		TEST(what_a_dead_process_left_is_replaced),
		TEST(connecting_to_no_path_is_an_error),
		TEST(an_inherited_socket_is_used_and_stays),
		TEST(an_inherited_path_is_not_removed),
		TEST(what_does_not_listen_is_refused),
		TEST(a_socket_bound_before_is_taken_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
