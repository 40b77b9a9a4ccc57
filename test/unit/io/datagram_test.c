#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <postrider/io/datagram.h>
#include <postrider/io/uv.h>

#include "support/streams.h"

/* The peer is a plain socket, used by hand. */
struct world {
	struct io *io;
	int peer, stranger;
	struct ip_port peer_name;
	struct io_datagram *datagram;
	struct buf got;
	unsigned calls, errors;
	enum err err;
	bool close_in_callback;
};

static int socket_on_loopback(struct ip_port *name)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
	*name = (struct ip_port){ ip_from_v4(0x7f000001), ntohs(in.sin_port) };
	return fd;
}

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct ip_port unused;

	assert_non_null(w);
	assert_int_equal(io_uv_new(NULL, &w->io), ERR_OK);
	w->got = BUF(1 << 20);
	w->peer = socket_on_loopback(&w->peer_name);
	w->stranger = socket_on_loopback(&unused);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	io_datagram_close(&w->datagram);
	io_uv_free(&w->io);
	buf_fini(&w->got);
	close(w->peer);
	close(w->stranger);
	free(w);
	return 0;
}

static void on_datagram(void *owner, enum err err, struct text bytes)
{
	struct world *w = owner;

	if (err) {
		w->errors++;
		w->err = err;
		assert_int_equal(bytes.len, 0);
	} else {
		w->calls++;
		buf_add(&w->got, bytes);
	}
	if (w->close_in_callback)
		io_datagram_close(&w->datagram);
}

static void open_one(struct world *w)
{
	assert_int_equal(io_datagram_open(w->io, &w->peer_name, on_datagram, w, &w->datagram), ERR_OK);
}

/* Receives one at the peer; returns who sent it. */
static struct sockaddr_in receive(struct world *w, const char *expected)
{
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	char bytes[64];
	ssize_t got = recvfrom(w->peer, bytes, sizeof(bytes), 0, (struct sockaddr *)&from, &len);

	assert_int_equal(got, strlen(expected));
	assert_memory_equal(bytes, expected, strlen(expected));
	return from;
}

static void answer(int fd, const struct sockaddr_in *to, const char *string)
{
	assert_int_equal(sendto(fd, string, strlen(string), 0, (const struct sockaddr *)to, sizeof(*to)), strlen(string));
}

static void a_question_and_its_answer(void **state)
{
	struct world *w = *state;

	open_one(w);
	assert_int_equal(io_datagram_send(w->datagram, TEXT("question")), ERR_OK);
	struct sockaddr_in from = receive(w, "question");

	answer(w->peer, &from, "answer");
	answer(w->peer, &from, "");
	answer(w->peer, &from, "more");
	LOOP_UNTIL(w->io, w->calls == 3);
	assert_true(text_eq(buf_text(&w->got), TEXT("answermore")));
}

static void a_stranger_is_not_heard(void **state)
{
	struct world *w = *state;

	open_one(w);
	assert_int_equal(io_datagram_send(w->datagram, TEXT("q")), ERR_OK);
	struct sockaddr_in from = receive(w, "q");

	answer(w->stranger, &from, "forged");
	answer(w->peer, &from, "true");
	LOOP_UNTIL(w->io, w->calls == 1);
	loop_for(w->io, 10);
	assert_true(text_eq(buf_text(&w->got), TEXT("true")));
	assert_int_equal(w->calls, 1);
}

static void nobody_there_is_refused(void **state)
{
	struct world *w = *state;

	open_one(w);
	close(w->peer);
	w->peer = dup(w->stranger);
	assert_int_equal(io_datagram_send(w->datagram, TEXT("q")), ERR_OK);
	LOOP_UNTIL(w->io, w->errors > 0);
	assert_int_equal(w->err, ERR_REFUSED);
}

static void closing_inside_the_callback(void **state)
{
	struct world *w = *state;

	w->close_in_callback = true;
	open_one(w);
	assert_int_equal(io_datagram_send(w->datagram, TEXT("q")), ERR_OK);
	struct sockaddr_in from = receive(w, "q");

	answer(w->peer, &from, "one");
	answer(w->peer, &from, "two");
	LOOP_UNTIL(w->io, w->calls == 1);
	loop_for(w->io, 10);
	assert_int_equal(w->calls, 1);
	assert_null(w->datagram);
}

static void ports_differ(void **state)
{
	struct world *w = *state;
	in_port_t ports[8];
	unsigned equal = 0;

	for (unsigned i = 0; i < 8; i++) {
		open_one(w);
		assert_int_equal(io_datagram_send(w->datagram, TEXT("q")), ERR_OK);
		ports[i] = receive(w, "q").sin_port;
		io_datagram_close(&w->datagram);
		loop_for(w->io, 0);
	}
	for (unsigned i = 1; i < 8; i++)
		equal += ports[i] == ports[i - 1] || ntohs(ports[i]) == ntohs(ports[i - 1]) + 1;
	assert_true(equal < 4);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_question_and_its_answer),
		TEST(a_stranger_is_not_heard),
		TEST(nobody_there_is_refused),
		TEST(closing_inside_the_callback),
		TEST(ports_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
