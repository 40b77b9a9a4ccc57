#include "support/deliver_world.h"

#include <stdio.h>

#include <postrider/mail/body_source.h>
#include <postrider/mail/envelope.h>
#include <postrider/observe/observe.h>

#include "support/check.h"

#define SETTLE_MS (4 * 60 * 60 * INT64_C(1000))

struct courier_job {
	struct deliver_job job;
	struct envelope *envelope;
	uint32_t places[200];
	char names[200][16];
	bool decided[200];
	char *content;
	bool released, done;
};

/* ---------------------------------------------------------------- the world */

const struct config *deliver_world_load(const char *yaml)
{
	static const char head[] = "hostname: relay.example\n"
				   "listen: [{address: \"127.0.0.1:2525\", allow: [127.0.0.0/8]}]\n"
				   "dns: {servers: [10.0.0.53]}\n";
	struct config_sources sources = { .file = TEXT("test.yaml"), .machine_name = TEXT("relay.example") };
	struct buf text = BUF(1u << 20), words = BUF(1u << 20);
	const struct config *config = NULL;
	struct config_report report;

	buf_add_string(&text, head);
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

static enum err client_context(void *owner, const struct tls_client_options *o, struct tls_context **out,
                               struct buf *problem)
{
	struct deliver_world *w = owner;

	(void)problem;
	return sim_tls_context(w->sim, false, o->verify, &w->client_tls, out);
}

static int64_t clock_us(void *clock)
{
	return io_now_time_us(clock);
}

void deliver_world_open(struct deliver_world *w, const char *yaml, const char *zone)
{
	static const struct ip_port name_server = { { IP_V4, { 10, 0, 0, 53 } }, 53 };
	struct sim_tls_script client_tls = w->client_tls, server_tls = w->server_tls;
	struct dns_options dns = { .servers = &name_server, .server_count = 1, .timeout_ms = 5000 };
	struct deliver_options options = { .seed = 7, .client_context = client_context };

	options.own = w->own;
	options.own_count = w->own_count;
	*w = (struct deliver_world){ .client_tls = client_tls, .server_tls = server_tls };
	buf_init(&w->log, 16u << 20);
	assert_int_equal(sim_new(&(struct sim_options){ .seed = 3 }, &w->sim), ERR_OK);
	assert_int_equal(sim_names_new(w->sim, name_server, zone, &w->names), ERR_OK);
	assert_int_equal(
		observe_new(&(struct observe_options){ TEXT("relay.example"), clock_us, sim_io(w->sim) },
	                    &w->observe),
		ERR_OK);
	dns.io = sim_io(w->sim);
	assert_int_equal(dns_new(&dns, &w->dns), ERR_OK);
	w->config = deliver_world_load(yaml);
	options.io = sim_io(w->sim);
	options.dns = w->dns;
	options.config = w->config;
	options.client_context_owner = w;
	options.disk = sim_disk(w->sim);
	options.observe = w->observe;
	assert_int_equal(deliver_new(&options, &w->deliver), ERR_OK);
}

void deliver_world_configure(struct deliver_world *w, const char *yaml)
{
	config_unref(&w->config);
	w->config = deliver_world_load(yaml);
	assert_int_equal(deliver_configure(w->deliver, w->config), ERR_OK);
}

void deliver_world_close(struct deliver_world *w)
{
	sim_settle(w->sim, SETTLE_MS);
	deliver_free(&w->deliver);
	dns_free(&w->dns);
	for (size_t i = 0; i < w->peer_count; i++)
		sim_peer_free(&w->peers[i]);
	sim_settle(w->sim, SETTLE_MS);
	sim_names_free(&w->names);
	observe_free(&w->observe);
	config_unref(&w->config);
	sim_free(&w->sim);
	buf_fini(&w->log);
}

static struct ip_port address_of(const char *text)
{
	struct ip_port a;

	assert_int_equal(ip_port_parse(text_from(text), &a), ERR_OK);
	return a;
}

struct sim_peer *deliver_world_peer(struct deliver_world *w, const char *address, const char *script)
{
	struct sim_peer **p = &w->peers[w->peer_count++];
	struct tls_context *tls;

	assert_true(w->peer_count <= ARRAY_LEN(w->peers));
	assert_int_equal(sim_peer_new(w->sim, address_of(address), p), ERR_OK);
	assert_int_equal(sim_peer_add_script(*p, script), ERR_OK);
	assert_int_equal(sim_tls_context(w->sim, true, false, &w->server_tls, &tls), ERR_OK);
	sim_peer_use_tls(*p, tls);
	tls_context_unref(&tls);
	return *p;
}

void deliver_world_reach(struct deliver_world *w, const char *address, enum sim_reach reach)
{
	assert_int_equal(sim_set_reach(w->sim, address_of(address), reach), ERR_OK);
}

/* ---------------------------------------------------------------- messages */

static void on_release(void *owner)
{
	((struct courier_job *)owner)->released = true;
}

static struct courier_job *make_job(struct courier *c)
{
	struct courier_job *j = calloc(1, sizeof(*j));
	struct text rest = text_from(c->recipients ? c->recipients : "a"),
		    content = TEXT("Subject: x\r\n\r\nhello\r\n");

	assert_non_null(j);
	j->envelope = envelope_new(1u << 20);
	assert_int_equal(envelope_set(j->envelope, &j->envelope->reverse_path, TEXT("s@example.org")),
	                 ERR_OK);
	while (rest.len) {
		struct text name = text_cut(&rest, ' ');
		size_t n = j->job.recipient_count++;
		char path[100];

		j->places[n] = (uint32_t)n;
		snprintf(j->names[n], sizeof(j->names[n]), "%.*s", TEXT_ARGS(name));
		snprintf(path, sizeof(path), "%.*s@example.net", TEXT_ARGS(name));
		assert_int_equal(envelope_add_recipient(j->envelope, text_from(path), TEXT_EMPTY), ERR_OK);
	}
	if (c->text) {
		j->content = text_dup(text_from(c->text));
		content = text_from(j->content);
		for (size_t i = 0; i < content.len; i++)
			if (j->content[i] == '|')
				memcpy(j->content + i, "\r\n", 2);
	} else if (c->size) {
		j->content = malloc(c->size);
		for (size_t i = 0; i < c->size; i++)
			j->content[i] = (char)('a' + i / 72 % 26);
		for (size_t i = 70; i + 1 < c->size; i += 72)
			memcpy(j->content + i, "\r\n", 2);
		content = text_of(j->content, c->size);
		memcpy(j->content + c->size - 4, "xx\r\n", 4);
	}
	assert_int_equal(body_source_memory(TEXT("Received: by relay.example\r\n"), content, on_release, j,
	                                    &j->job.body),
	                 ERR_OK);
	j->job.envelope = j->envelope;
	j->job.recipients = j->places;
	j->job.owner = j;
	return j;
}

void courier_give(struct courier *c)
{
	if (!c->connection || !deliver_is_ready(c->connection))
		return;
	if (c->sent == c->to_send) {
		if (!c->keep_open)
			deliver_finish(c->connection);
		return;
	}
	courier_give_anyway(c);
}

void courier_give_anyway(struct courier *c)
{
	assert_true(c->sent < ARRAY_LEN(c->jobs));
	c->jobs[c->sent] = make_job(c);
	deliver_send(c->connection, &c->jobs[c->sent++]->job);
	assert_int_equal(deliver_sent_count(c->connection), c->sent);
	assert_in_range(deliver_in_flight(c->connection), 1, 2);
}

static void give(void *owner)
{
	courier_give(owner);
}

struct text courier_content(const struct courier *c, unsigned n)
{
	return text_of(c->jobs[n]->content, c->size);
}

/* ---------------------------------------------------------------- what a connection says */

static void add_result(struct deliver_world *w, const char *who, const struct deliver_result *r)
{
	static const char *const kinds[] = { "delivered", "transient", "permanent", "unknown" };
	struct buf *b = &w->log;

	assert_true(r->enhanced.len > 0 && r->reply.len > 0);
	buf_add_format(b, "%s: %s %d %.*s %.*s %.*s ", who, kinds[r->kind], r->code, TEXT_ARGS(r->enhanced),
	               TEXT_ARGS(reason_text(r->reason)), TEXT_ARGS(stage_text(r->stage)));
	if (r->mx.len)
		buf_add_format(b, "%.*s ", TEXT_ARGS(r->mx));
	if (r->remote.ip.family != IP_NONE)
		ip_port_add(b, r->remote);
	if (r->tls.version.len)
		buf_add_format(b, " %.*s%s", TEXT_ARGS(r->tls.version), r->tls.verified ? " verified" : "");
	buf_add_format(b, " %s%s~%.*s\n", r->untouched ? "untouched " : "", r->reused ? "reused " : "",
	               TEXT_ARGS(r->reply));
}

static void on_ready(void *owner, struct deliver_connection *connection)
{
	struct courier *c = owner;

	assert_ptr_equal(connection, c->connection);
	assert_true(deliver_is_ready(connection));
	if (c->world->whole_log)
		buf_add_string(&c->world->log, "ready\n");
	if (c->give_at_once)
		courier_give(c);
	else
		io_later_run(sim_io(c->world->sim), &c->give, give, c);
}

static void on_result(void *owner, struct deliver_connection *connection, struct deliver_job *job,
                      size_t index, const struct deliver_result *r)
{
	struct courier *c = owner;
	struct courier_job *j = job->owner;

	assert_ptr_equal(connection, c->connection);
	assert_false(j->decided[index] || j->done);
	j->decided[index] = true;
	if (index == 0)
		c->times[c->done] = r->ms;
	add_result(c->world, j->names[index], r);
}

static void on_done(void *owner, struct deliver_connection *connection, struct deliver_job *job)
{
	struct courier *c = owner;
	struct courier_job *j = job->owner;

	assert_ptr_equal(connection, c->connection);
	assert_ptr_equal(j, c->jobs[c->done]); /* in order */
	assert_true(j->released && !j->done);
	for (size_t i = 0; i < job->recipient_count; i++)
		assert_true(j->decided[i]);
	j->done = true;
	c->done++;
	buf_add_string(&c->world->log, "done\n");
}

static void on_closed(void *owner, struct deliver_connection *connection,
                      const struct deliver_result *failure)
{
	struct courier *c = owner;

	assert_ptr_equal(connection, c->connection);
	assert_false(c->closed);
	assert_int_equal(c->done, c->sent);
	if (failure)
		add_result(c->world, "failed", failure);
	c->failed = failure != NULL;
	if (failure)
		c->failure = *failure;
	c->closed = true;
	c->closed_at = io_now_at(sim_io(c->world->sim));
	c->connection = NULL;
	io_later_cancel(sim_io(c->world->sim), &c->give);
	buf_add_string(&c->world->log, "closed\n");
}

static const struct deliver_events courier_events = {
	.on_ready = on_ready, .on_result = on_result, .on_done = on_done, .on_closed = on_closed
};

/* As a route without wishes of its own, but for TLS. */
static struct config_way way_to(const struct config *config, const struct config_upstream *upstream,
                                enum config_tls tls)
{
	struct config_way way = { .upstream = upstream, .tls = tls };

	way.source = upstream ? upstream->source : config->direct.source;
	way.helo = upstream ? upstream->helo : config->direct.helo;
	way.ip = upstream ? upstream->ip : config->direct.ip;
	if (upstream && upstream->login.username.len)
		way.login = &upstream->login;
	return way;
}

void courier_open(struct courier *c, struct deliver_world *w, const char *to, enum config_tls tls)
{
	struct text upstream = TEXT("upstream ");
	struct deliver_target target = { .way = &c->way, .domain = text_from(to) };

	c->world = w;
	c->way = way_to(w->config, NULL, tls);
	if (text_starts(target.domain, upstream)) {
		struct text name = text_skip(target.domain, upstream.len);

		for (size_t i = 0; i < w->config->upstreams.count; i++)
			if (text_eq(w->config->upstreams.items[i].name, name))
				c->way = way_to(w->config, &w->config->upstreams.items[i], tls);
		assert_non_null(c->way.upstream);
	}
	assert_int_equal(deliver_open(w->deliver, &target, &courier_events, c, &c->connection), ERR_OK);
}

void courier_fini(struct courier *c)
{
	assert_true(c->closed);
	for (unsigned i = 0; i < c->sent; i++) {
		envelope_free(&c->jobs[i]->envelope);
		free(c->jobs[i]->content);
		free(c->jobs[i]);
	}
}

/* ---------------------------------------------------------------- expectations */

static bool line_has(struct text expected, struct text seen)
{
	struct text reply = seen, words = text_cut(&reply, '~');

	while (expected.len) {
		struct text word, rest = words;

		if (expected.at[0] == '~')
			return text_find(reply, text_skip(expected, 1)) < reply.len;
		word = text_cut(&expected, ' ');
		while (rest.len && !text_eq(text_cut(&(struct text){ rest.at, rest.len }, ' '), word))
			(void)text_cut(&rest, ' ');
		if (rest.len == 0)
			return false;
	}
	return true;
}

void deliver_world_expect(struct deliver_world *w, const char *expected)
{
	struct text rest = text_from(expected), log = buf_text(&w->log), all = log;

	while (rest.len || log.len) {
		struct text line = text_trim(text_cut(&rest, '\n')), seen;

		if (line.len == 0 && rest.len)
			continue;
		seen = text_cut(&log, '\n');
		if (line.len == 0 || !line_has(line, seen))
			fail_msg("expected: %.*s\nseen: %.*s\nall:\n%.*s", TEXT_ARGS(line), TEXT_ARGS(seen),
			         TEXT_ARGS(all));
	}
	buf_reset(&w->log);
}

void deliver_world_deliver(struct deliver_world *w, const char *to, enum config_tls tls, unsigned messages,
                           const char *expected)
{
	struct courier *c = calloc(1, sizeof(*c));

	c->to_send = messages;
	courier_open(c, w, to, tls);
	assert_true(sim_run_until(w->sim, &c->closed, SETTLE_MS));
	deliver_world_expect(w, expected);
	courier_fini(c);
	free(c);
}
