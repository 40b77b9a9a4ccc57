#include "support/policy_world.h"

#include <postrider/base/time.h>
#include <postrider/config/report.h>

#include "support/check.h"

struct answer { /* one that waits */
	struct list link;
	struct policy_world *world;
	struct service_session *session;
	struct io_timer timer;
};

/* ---------------------------------------------------------------- the web site */

static void say(struct policy_world *w, struct service_session *s)
{
	if (w->response)
		service_say(s, w->response);
	if (w->closes)
		io_stream_finish(s->stream);
}

static void on_delay(void *owner)
{
	struct answer *a = owner;

	for (LIST_EACH_SAFE(it, &a->world->site.sessions))
		if (LIST_ITEM(it, struct service_session, link) == a->session)
			say(a->world, a->session);
	list_remove(&a->link);
	free(a);
}

static void say_later(struct policy_world *w, struct service_session *s)
{
	struct answer *a = calloc(1, sizeof(*a));

	assert_non_null(a);
	a->world = w;
	a->session = s;
	list_append(&w->answers, &a->link);
	assert_int_equal(io_timer_start(w->io, &a->timer, io_now_at(w->io) + w->delay_ms, on_delay, a),
	                 ERR_OK);
}

static bool is_whole(struct text in)
{
	size_t head = text_find(in, TEXT("\r\n\r\n")) + 4;
	size_t length = text_find(in, TEXT("Content-Length: ")) + 16;
	uint64_t body = 0;

	if (head > in.len)
		return false;
	if (length < head) {
		struct text rest = text_skip(in, length);

		assert_int_equal(text_to_u64(text_cut(&rest, '\r'), 1u << 20, &body), ERR_OK);
	}
	return in.len >= head + body;
}

static void on_tls(void *owner, enum err err, const struct tls_info *info)
{
	(void)owner;
	(void)err;
	(void)info;
}

static void begin_tls(struct policy_world *w, struct service_session *s)
{
	struct tls_context *tls;

	assert_int_equal(sim_tls_context(w->sim, true, false, &w->server_tls, &tls), ERR_OK);
	assert_int_equal(tls_start(s->stream, tls, TEXT_EMPTY, on_tls, s), ERR_OK);
	tls_context_unref(&tls);
}

static void on_input(struct service_session *s)
{
	struct policy_world *w = s->peer->owner;

	if (s->steps++ == 0) {
		begin_tls(w, s);
		return;
	}
	if (!is_whole(buf_text(&s->in)))
		return;
	w->requests++;
	buf_reset(&w->request);
	buf_add(&w->request, buf_text(&s->in));
	buf_reset(&s->in);
	if (w->delay_ms)
		say_later(w, s);
	else
		say(w, s);
}

void policy_world_serve(struct policy_world *w, const char *policy)
{
	buf_reset(&w->kept);
	buf_add_format(&w->kept,
	               "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n%s",
	               strlen(policy), policy);
	buf_add_octet(&w->kept, '\0');
	w->response = w->kept.at;
}

/* ---------------------------------------------------------------- the world */

static const struct config *load(const char *yaml)
{
	struct config_sources sources = { .file = TEXT("test.yaml"), .machine_name = TEXT("relay.example") };
	struct buf text = BUF(1u << 20), words = BUF(1u << 20);
	const struct config *config = NULL;
	struct config_report report;

	buf_add_string(&text, "hostname: relay.example\n"
	                      "listen: [{address: \"127.0.0.1:2525\", allow: [127.0.0.0/8]}]\n");
	buf_add_string(&text, yaml);
	sources.text = buf_text(&text);
	config_report_init(&report);
	if (config_load(&sources, &config, &report)) {
		config_report_print(&report, &words);
		fail_msg("%.*s", TEXT_ARGS(buf_text(&words)));
	}
	config_report_fini(&report);
	buf_fini(&words);
	buf_fini(&text);
	return config;
}

void policy_world_configure(struct policy_world *w, const char *yaml)
{
	config_unref(&w->config);
	w->config = load(yaml);
}

static void on_event(void *owner, const struct event *e, int64_t time_us, struct text line)
{
	struct policy_world *w = owner;

	(void)time_us;
	w->warnings += e->kind == EVENT_WARNING;
	buf_add(&w->events, line);
	buf_add_octet(&w->events, '\n');
}

bool policy_world_said(const struct policy_world *w, const char *words)
{
	return text_find(buf_text(&w->events), text_from(words)) < w->events.len;
}

static int64_t clock_us(void *clock)
{
	return io_now_time_us(clock);
}

enum err policy_world_client_context(void *owner, const struct tls_client_options *o,
                                     struct tls_context **out, struct buf *problem)
{
	struct policy_world *w = owner;

	(void)problem;
	return sim_tls_context(w->sim, false, o->verify, &w->client_tls, out);
}

void policy_world_open(struct policy_world *w, const char *yaml, const char *zone)
{
	static const struct ip_port name_server = { { IP_V4, { 10, 0, 0, 53 } }, 53 };
	struct dns_options dns = { .servers = &name_server, .server_count = 1, .timeout_ms = 5000 };
	struct io_address site = service_address(POLICY_WORLD_SITE);

	*w = (struct policy_world){ .events = BUF(1u << 24),
		                    .request = BUF(1u << 20),
		                    .kept = BUF(1u << 20) };
	list_init(&w->answers);
	assert_int_equal(sim_new(&(struct sim_options){ .seed = 5 }, &w->sim), ERR_OK);
	w->io = sim_io(w->sim);
	assert_int_equal(sim_names_new(w->sim, name_server, zone, &w->names), ERR_OK);
	assert_int_equal(
		observe_new(&(struct observe_options){ TEXT("relay.example"), clock_us, w->io }, &w->observe),
		ERR_OK);
	w->consumer = (struct observe_consumer){ .least = LEVEL_DEBUG, .fn = on_event, .owner = w };
	observe_add_consumer(w->observe, &w->consumer);
	dns.io = w->io;
	assert_int_equal(dns_new(&dns, &w->dns), ERR_OK);
	w->config = load(yaml);
	service_peer_begin(&w->site, w->io, &site, on_input, w);
}

void policy_world_close(struct policy_world *w)
{
	for (LIST_EACH_SAFE(it, &w->answers)) {
		struct answer *a = LIST_ITEM(it, struct answer, link);

		io_timer_stop(w->io, &a->timer);
		free(a);
	}
	service_peer_end(&w->site);
	sim_settle(w->sim, HOUR_MS);
	dns_free(&w->dns);
	sim_names_free(&w->names);
	sim_settle(w->sim, HOUR_MS);
	observe_remove_consumer(&w->consumer);
	observe_free(&w->observe);
	config_unref(&w->config);
	sim_free(&w->sim);
	buf_fini(&w->events);
	buf_fini(&w->request);
	buf_fini(&w->kept);
}
