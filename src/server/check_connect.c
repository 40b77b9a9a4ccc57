/* Whether every upstream can be reached and takes our login, without a message. */
#include <postrider/base/auto.h>
#include <postrider/io/uv.h>

#include "certificates.h"
#include "internal.h"

#define LINE_MAX 4096
#define VARIABLE TEXT("SSL_CERT_FILE=")

/* One way to an upstream. */
struct probe {
	struct connecting *all;
	const struct config_way *way;
	struct deliver_connection *wire; /* NULL: closed */
	bool is_good;
	struct buf words;
};

struct connecting {
	struct server server; /* as much of one as goes out */
	struct probe *probes;
	size_t count, open;
	struct io_timer deadline;
};

/* ---------------------------------------------------------------- in words */

static void add_tls(struct buf *b, const struct event_tls *tls)
{
	if (tls->version.len == 0) {
		buf_add_string(b, ", no TLS");
		return;
	}
	buf_add_format(b, ", %.*s ", TEXT_ARGS(tls->version));
	if (tls->verified)
		buf_add_format(b, "checked by %.*s", TEXT_ARGS(event_proof_text(tls->by)));
	else
		buf_add_string(b, "not checked");
}

static void say_success(struct probe *p)
{
	struct deliver_result r;

	deliver_describe(p->wire, &r);
	buf_reset(&p->words);
	buf_add(&p->words, r.mx);
	if (r.remote.ip.family != IP_NONE) {
		buf_add_string(&p->words, " [");
		ip_port_add(&p->words, r.remote);
		buf_add_octet(&p->words, ']');
	}
	add_tls(&p->words, &r.tls);
	if (r.mechanism.len && r.login_user.len)
		buf_add_format(&p->words, ", logged in as %.*s", TEXT_ARGS(r.login_user));
	else if (r.mechanism.len)
		buf_add_string(&p->words, ", logged in");
	if (r.mechanism.len)
		buf_add_format(&p->words, " by %.*s", TEXT_ARGS(r.mechanism));
	else
		buf_add_string(&p->words, ", no login");
	buf_add_format(&p->words, ", %d ms", (int)r.ms.total);
}

static void say_failure(struct probe *p, const struct deliver_result *failure)
{
	buf_reset(&p->words);
	if (failure->mx.len)
		buf_add_format(&p->words, "%.*s: ", TEXT_ARGS(failure->mx));
	buf_add(&p->words, failure->reply);
}

/* ---------------------------------------------------------------- connections */

static void on_ready(void *owner, struct deliver_connection *wire)
{
	struct probe *p = owner;

	if (p->is_good)
		return;
	p->is_good = true;
	say_success(p);
	deliver_finish(wire);
}

static void count_closed(struct connecting *c)
{
	if (--c->open == 0)
		io_uv_stop(c->server.io);
}

static void on_closed(void *owner, struct deliver_connection *wire, const struct deliver_result *failure)
{
	struct probe *p = owner;

	(void)wire;
	p->wire = NULL;
	if (failure)
		say_failure(p, failure);
	count_closed(p->all);
}

static const struct deliver_events events = { .on_ready = on_ready, .on_closed = on_closed };

static void on_deadline(void *owner)
{
	struct connecting *c = owner;

	for (size_t i = 0; i < c->count; i++)
		if (c->probes[i].wire)
			deliver_abort(c->probes[i].wire);
}

static void start(void *owner)
{
	struct connecting *c = owner;

	c->open = 1;
	for (size_t i = 0; i < c->count; i++) {
		struct probe *p = &c->probes[i];
		const struct deliver_target target = { .way = p->way };

		buf_add_format(&p->words, "no answer within %d s", SERVER_CONNECT_MS / 1000);
		if (deliver_open(c->server.deliver, &target, &events, p, &p->wire)) {
			buf_reset(&p->words);
			buf_add_string(&p->words, "no memory for a connection");
			continue;
		}
		c->open++;
	}
	if (io_timer_start(c->server.io, &c->deadline, io_now_at(c->server.io) + SERVER_CONNECT_MS,
	                   on_deadline, c))
		on_deadline(c);
	count_closed(c);
}

/* ---------------------------------------------------------------- what it takes */

static int64_t clock_us(void *clock)
{
	return io_now_time_us(clock);
}

static struct text own_ca_file(const char *const *environment)
{
	for (; environment && *environment; environment++)
		if (text_starts(text_from(*environment), VARIABLE))
			return text_skip(text_from(*environment), VARIABLE.len);
	return TEXT_EMPTY;
}

static enum err open_rooms(struct server *s, struct buf *problem)
{
	struct policy_options policy = { .io = s->io, .config = s->config, .seed = io_random_u64(s->io) };
	struct deliver_options deliver = { .io = s->io,
		                           .config = s->config,
		                           .seed = io_random_u64(s->io),
		                           .client_context = client_context_with_ca,
		                           .client_context_owner = s,
		                           .problem = problem };
	enum err err =
		observe_new(&(struct observe_options){ s->config->hostname, clock_us, s->io }, &s->observe);

	if (!err)
		err = server_names(s, s->config);
	if (!err)
		err = server_open_tokens(s, problem);
	policy.dns = deliver.dns = s->dns;
	policy.observe = s->observe;
	if (!err)
		err = policy_new(&policy, &s->tls_policy);
	deliver.policy = s->tls_policy;
	deliver.tokens = s->tokens;
	return err ? err : deliver_new(&deliver, &s->deliver);
}

static void close_rooms(struct server *s)
{
	deliver_free(&s->deliver);
	auth_tokens_free(&s->tokens);
	policy_free(&s->tls_policy);
	dns_free(&s->dns);
	observe_free(&s->observe);
	io_uv_free(&s->io);
}

static void add_probes(struct connecting *c)
{
	const struct config_ways *ways = &c->server.config->ways;

	for (size_t i = 0; i < ways->count; i++)
		if (ways->items[i].upstream) {
			c->probes[c->count] = (struct probe){ .all = c, .way = &ways->items[i] };
			buf_init(&c->probes[c->count++].words, LINE_MAX);
		}
}

enum err server_check_connect(const struct config *config, const char *const *environment,
                              server_came_fn *came, void *owner, struct buf *problem)
{
	struct connecting c = { .server = { .config = config,
		                            .disk = io_disk_real(),
		                            .options = { .use_system_files = true,
		                                         .ca_file = own_ca_file(environment) } } };
	struct io_later later = { 0 };
	enum err err =
		io_uv_new(&(struct io_uv_options){ .disk_threads = 2, .cpu_threads = 2 }, &c.server.io);

	if (err)
		return err;
	c.probes = calloc(config->ways.count + 1, sizeof(*c.probes));
	err = c.probes ? open_rooms(&c.server, problem) : ERR_NOMEM;
	if (!err) {
		add_probes(&c);
		io_later_run(c.server.io, &later, start, &c);
		io_uv_run(c.server.io);
		io_timer_stop(c.server.io, &c.deadline);
	}
	for (size_t i = 0; i < c.count; i++) {
		came(owner, c.probes[i].way->upstream->name, c.probes[i].is_good,
		     buf_text(&c.probes[i].words));
		buf_fini(&c.probes[i].words);
	}
	close_rooms(&c.server);
	free(c.probes);
	return err;
}
