#include "guest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static size_t on_data(void *owner, struct text bytes)
{
	struct guest *g = owner;

	buf_add(&g->told, bytes);
	return bytes.len;
}

static void on_nothing(void *owner)
{
	(void)owner;
}

static void on_eof(void *owner)
{
	io_stream_close(((struct guest *)owner)->stream);
}

static void on_closed(void *owner, enum err why)
{
	(void)why;
	((struct guest *)owner)->closed = true;
}

static const struct io_stream_events events = { on_nothing, on_data, on_eof, on_nothing, on_closed };

struct ip guest_ip(const char *text)
{
	struct ip ip;

	assert_int_equal(ip_parse(text_from(text), &ip), ERR_OK);
	return ip;
}

void guest_come_from(struct relay_world *w, struct guest *g, struct ip from, struct ip_port to)
{
	*g = (struct guest){ .world = w, .told = BUF(16u << 20) };
	assert_int_equal(
		io_connect(sim_io(w->sim), &(struct io_address){ .ip = to }, &from, &events, g, &g->stream),
		ERR_OK);
	sim_run(w->sim, 100);
}

void guest_come(struct relay_world *w, struct guest *g)
{
	guest_come_from(w, g, guest_ip("127.0.0.1"), RELAY_AT);
}

void guest_put(struct guest *g, struct text words)
{
	if (!g->closed)
		io_stream_write(g->stream, &words, 1);
}

const char *guest_say(struct guest *g, const char *words)
{
	buf_reset(&g->told);
	guest_put(g, text_from(words));
	sim_run(g->world->sim, 100);
	buf_add_octet(&g->told, 0);
	return g->told.at;
}

bool guest_heard(struct guest *g, const char *words)
{
	return text_find(buf_text(&g->told), text_from(words)) < g->told.len;
}

static void on_protected(void *owner, enum err err, const struct tls_info *info)
{
	struct guest *g = owner;

	(void)info;
	g->protected = !err;
	g->failed = err;
}

void guest_start_tls(struct guest *g)
{
	static const struct sim_tls_script script;

	assert_int_equal(sim_tls_context(g->world->sim, false, false, &script, &g->tls), ERR_OK);
	assert_int_equal(tls_start(g->stream, g->tls, TEXT("relay.test"), on_protected, g), ERR_OK);
	sim_run(g->world->sim, 100);
}

static void leave(struct guest *g, int64_t ms)
{
	if (!g->closed)
		io_stream_close(g->stream);
	sim_run(g->world->sim, ms);
	assert_true(g->closed);
	tls_context_unref(&g->tls);
	buf_fini(&g->told);
}

void guest_leave(struct guest *g)
{
	leave(g, 20000);
}

void guest_cut(struct guest *g)
{
	leave(g, 50);
}
