#include "relay_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

static int64_t clock_us(void *clock)
{
	return io_now_time_us(clock);
}

static void on_event(void *owner, const struct event *e, int64_t time_us, struct text line)
{
	struct relay_world *w = owner;

	(void)time_us;
	if (w->is_crashing)
		return;
	w->counts[e->kind]++;
	if (w->prints)
		printf("%.*s\n", TEXT_ARGS(line));
	buf_add(&w->events, line);
	buf_add_octet(&w->events, '\n');
}

static enum err server_context(void *owner, const struct config_listener *l, struct tls_context **out,
                               struct buf *problem)
{
	struct relay_world *w = owner;

	(void)problem;
	*out = NULL;
	return l->tls == CONFIG_TLS_NONE || l->cert.len == 0
	               ? ERR_OK
	               : sim_tls_context(w->sim, true, false, &w->server_tls, out);
}

static enum err client_context(void *owner, const struct tls_client_options *o, struct tls_context **out,
                               struct buf *problem)
{
	struct relay_world *w = owner;

	(void)problem;
	return sim_tls_context(w->sim, false, o->verify, &w->client_tls, out);
}

static const struct config *load(const char *yaml)
{
	struct config_sources sources = { .file = TEXT("scenario.yaml"),
		                          .text = text_from(yaml),
		                          .machine_name = TEXT("relay.test") };
	const struct config *config = NULL;
	struct config_report report;
	struct buf words = BUF(1u << 20);

	config_report_init(&report);
	if (config_load(&sources, &config, &report)) {
		config_report_print(&report, &words);
		fail_msg("%.*s", TEXT_ARGS(buf_text(&words)));
	}
	buf_fini(&words);
	config_report_fini(&report);
	return config;
}

void relay_world_open(struct relay_world *w, uint64_t seed, const char *yaml, const char *zone)
{
	relay_world_open_on(w, seed, yaml, zone, 0);
}

void relay_world_open_on(struct relay_world *w, uint64_t seed, const char *yaml, const char *zone,
                         uint64_t disk_bytes)
{
	*w = (struct relay_world){ .seed = seed, .events = BUF(256u << 20), .heard = BUF(16u << 20) };
	list_init(&w->talks);
	w->memory = queue_memory_new();
	assert_non_null(w->memory);
	queue_memory_charge_disk(w->memory, disk_bytes != 0);
	assert_int_equal(sim_new(&(struct sim_options){ .seed = seed, .disk_bytes = disk_bytes }, &w->sim),
	                 ERR_OK);
	assert_int_equal(sim_names_new(w->sim, AT(10, 0, 0, 53, 53), zone ? zone : "", &w->names), ERR_OK);
	assert_int_equal(
		observe_new(&(struct observe_options){ TEXT("relay.test"), clock_us, sim_io(w->sim) },
	                    &w->observe),
		ERR_OK);
	w->consumer = (struct observe_consumer){ .least = LEVEL_DEBUG, .fn = on_event, .owner = w };
	observe_add_consumer(w->observe, &w->consumer);
	w->config = load(yaml);
	relay_world_start(w);
}

static void on_failed(void *owner)
{
	((struct relay_world *)owner)->failed = true;
}

void relay_world_start(struct relay_world *w)
{
	static const struct ip_port name_server = { { IP_V4, { 10, 0, 0, 53 } }, 53 };
	struct buf problem = BUF(1u << 16);
	struct server_options options = { .io = sim_io(w->sim),
		                          .disk = sim_disk(w->sim),
		                          .config = w->config,
		                          .observe = w->observe,
		                          .in_memory = true,
		                          .memory = w->memory,
		                          .fault = w->fault,
		                          .fault_owner = w->fault_owner,
		                          .on_failed = on_failed,
		                          .owner = w,
		                          .max_descriptors = 10000,
		                          .server_context = server_context,
		                          .client_context = client_context,
		                          .tls_owner = w,
		                          .name_servers = &name_server,
		                          .name_server_count = 1 };

	if (server_start(&options, &w->server, &problem))
		fail_msg("the relay did not start: %.*s", TEXT_ARGS(buf_text(&problem)));
	buf_fini(&problem);
}

static void on_stopped(void *owner)
{
	((struct relay_world *)owner)->stopped = true;
}

void relay_world_stop(struct relay_world *w)
{
	w->stopped = false;
	server_stop(w->server, on_stopped, w);
	assert_true(sim_run_until(w->sim, &w->stopped, 60 * 60 * 1000));
	server_free(&w->server);
}

enum err relay_world_reload(struct relay_world *w, const char *yaml)
{
	const struct config *config = load(yaml);
	struct buf problem = BUF(1u << 16);
	enum err err = server_reload(w->server, config, &problem);

	if (!err) {
		config_unref(&w->config);
		w->config = config_ref(config);
	}
	config_unref(&config);
	buf_fini(&problem);
	return err;
}

void relay_world_set_clock(struct relay_world *w, int64_t by_ms)
{
	w->clock_set_at = io_now_at(sim_io(w->sim));
	sim_set_clock(w->sim, io_now_time(sim_io(w->sim)) + by_ms);
}

void relay_world_crash(struct relay_world *w)
{
	w->is_crashing = true;
	w->crashes++;
	queue_memory_power_off(w->memory);
	/* what the store's twin takes of the disk stays, as the file of a real store would; bodies lie elsewhere */
	assert_int_equal(sim_disk(w->sim)->ops->sync_directory(sim_disk(w->sim), "/spool"), ERR_OK);
	sim_disk_crash(w->sim);
	/* what the relay still does while its memory is taken apart reaches no disk */
	sim_disk_fail_after(w->sim, 0, ERR_IO);
	sim_isolate(w->sim, true);
	w->stopped = false;
	server_stop(w->server, on_stopped, w);
	server_stop(w->server, NULL, NULL);
	assert_true(sim_run_until(w->sim, &w->stopped, 60 * 1000));
	server_free(&w->server);
	sim_isolate(w->sim, false);
	sim_disk_fail_after(w->sim, 0, ERR_OK);
	w->is_crashing = false;
	relay_world_start(w);
}

/* ---------------------------------------------------------------- events */

unsigned relay_world_count(const struct relay_world *w, const char *kind)
{
	for (int i = 0; i < EVENT_COUNT; i++)
		if (text_eq(event_kind_text((enum event_kind)i), text_from(kind)))
			return w->counts[i];
	fail_msg("there are no events \"%s\"", kind);
	return 0;
}

bool relay_world_said(const struct relay_world *w, const char *words)
{
	return text_find(buf_text(&w->events), text_from(words)) < w->events.len;
}

void relay_world_await(struct relay_world *w, const char *kind, unsigned count, int64_t limit_ms)
{
	for (int64_t passed = 0; passed < limit_ms; passed += 100) {
		if (relay_world_count(w, kind) >= count)
			return;
		sim_run(w->sim, 100);
	}
	fail_msg("after %lld ms there are %u events \"%s\" and not %u:\n%.*s", (long long)limit_ms,
	         relay_world_count(w, kind), kind, count, TEXT_ARGS(buf_text(&w->events)));
}

/* ---------------------------------------------------------------- clients */

struct talk {
	struct list link;
	struct io_stream *stream;
	struct text lines;
	struct buf told;
	bool closed;
};

static void on_connected(void *owner)
{
	struct talk *t = owner;

	io_stream_write(t->stream, &t->lines, 1);
}

static size_t on_data(void *owner, struct text bytes)
{
	struct talk *t = owner;

	buf_add(&t->told, bytes);
	return bytes.len;
}

static void on_eof(void *owner)
{
	io_stream_close(((struct talk *)owner)->stream);
}

static void on_drained(void *owner)
{
	(void)owner;
}

static void on_closed(void *owner, enum err why)
{
	(void)why;
	((struct talk *)owner)->closed = true;
}

static const struct io_stream_events talk_events = { on_connected, on_data, on_eof, on_drained, on_closed };

static void keep_codes(struct text told, char *codes, size_t room)
{
	size_t used = 0;

	while (told.len) {
		struct text line = text_cut(&told, '\n');

		if (line.len < 4 || line.at[3] == '-' || used + 5 > room)
			continue;
		memcpy(codes + used, line.at, 3);
		codes[used + 3] = ' ';
		used += 4;
	}
	codes[used ? used - 1 : 0] = 0;
}

void relay_world_say_until(struct relay_world *w, const char *lines, int64_t limit_ms)
{
	struct talk *t = calloc(1, sizeof(*t));
	struct io_address to = { .ip = RELAY_AT };

	assert_non_null(t);
	t->told = BUF(16u << 20);
	t->lines.at = text_dup(text_from(lines));
	t->lines.len = strlen(lines);
	list_append(&w->talks, &t->link);
	assert_int_equal(io_connect(sim_io(w->sim), &to, NULL, &talk_events, t, &t->stream), ERR_OK);
	sim_run(w->sim, limit_ms);
}

static void end_talks(struct relay_world *w)
{
	struct list *first;

	while ((first = list_shift(&w->talks))) {
		struct talk *t = LIST_ITEM(first, struct talk, link);

		if (!t->closed)
			io_stream_close(t->stream);
		assert_true(sim_run_until(w->sim, &t->closed, 1000));
		free((char *)t->lines.at);
		buf_fini(&t->told);
		free(t);
	}
}

const char *relay_world_say(struct relay_world *w, const char *lines)
{
	static char codes[65536];
	struct buf all = BUF(512u << 20);
	struct talk t = { .told = BUF(16u << 20) };
	struct io_address to = { .ip = RELAY_AT };

	buf_add_string(&all, lines);
	buf_add_string(&all, "QUIT\r\n");
	t.lines = buf_text(&all);
	assert_int_equal(io_connect(sim_io(w->sim), &to, NULL, &talk_events, &t, &t.stream), ERR_OK);
	assert_true(sim_run_until(w->sim, &t.closed, 60 * 60 * 1000));
	keep_codes(buf_text(&t.told), codes, sizeof(codes));
	buf_fini(&all);
	buf_fini(&w->heard);
	w->heard = t.told;
	return codes;
}

struct text relay_world_heard(struct relay_world *w)
{
	return buf_text(&w->heard);
}

void relay_world_send(struct relay_world *w, const char *from, const char *to, const char *content)
{
	struct buf all = BUF(512u << 20);

	buf_add_format(&all, "EHLO client.test\r\nMAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nDATA\r\n%s.\r\n", from,
	               to, content);
	buf_add_octet(&all, 0);
	assert_string_equal(relay_world_say(w, all.at), "220 250 250 250 354 250 221");
	buf_fini(&all);
}

struct sim_peer *relay_world_peer(struct relay_world *w, struct ip_port at, const char *script)
{
	struct sim_peer *p;

	assert_int_equal(sim_peer_new(w->sim, at, &p), ERR_OK);
	assert_int_equal(sim_peer_add_script(p, script), ERR_OK);
	return p;
}

void relay_world_close(struct relay_world *w)
{
	if (w->server)
		relay_world_stop(w);
	end_talks(w);
	sim_settle(w->sim, 60 * 60 * 1000);
	observe_remove_consumer(&w->consumer);
	observe_free(&w->observe);
	sim_names_free(&w->names);
	config_unref(&w->config);
	sim_free(&w->sim);
	queue_memory_free(&w->memory);
	buf_fini(&w->events);
	buf_fini(&w->heard);
}
