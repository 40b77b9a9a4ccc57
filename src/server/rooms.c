/* The rooms of the relay: made in the order in which they need each other, and gone in the other. */
#include "certificates.h"
#include "internal.h"
#include "memory.h"

#include <postrider/base/auto.h>

#define SETTLE_WAIT_MS 2
#define HISTORY_KEEP_MS (7 * DAY_MS)
#define HISTORY_MAX_BYTES (1ull << 30)

/* ---------------------------------------------------------------- queue and history */

static enum err open_queue(struct server *s, struct buf *problem)
{
	const struct config *c = s->config;
	enum err err = queue_open(&(struct queue_options){ .io = s->io,
	                                                   .disk = s->disk,
	                                                   .path = c->spool.path,
	                                                   .max_bytes = c->spool.max_size_bytes,
	                                                   .reserve_bytes = c->spool.reserve_bytes,
	                                                   .settle_wait_ms = SETTLE_WAIT_MS,
	                                                   .durable = c->spool.durable,
	                                                   .in_memory = s->options.in_memory,
	                                                   .memory = s->options.memory,
	                                                   .seed = io_random_u64(s->io),
	                                                   .fault = s->options.fault,
	                                                   .fault_owner = s->options.fault_owner,
	                                                   .problem = problem },
	                          &s->queue);

	if (err && !problem->len)
		buf_add_format(problem, "spool %.*s: %s", TEXT_ARGS(c->spool.path), err_text(err));
	return err;
}

static void open_history(struct server *s)
{
	AUTO(buf_fini) struct buf path = BUF(4096);

	buf_add_format(&path, "%.*s/history", TEXT_ARGS(s->config->spool.path));
	if (buf_err(&path) || history_open(&(struct history_options){ .io = s->io,
	                                                              .path = buf_text(&path),
	                                                              .keep_ms = HISTORY_KEEP_MS,
	                                                              .max_bytes = HISTORY_MAX_BYTES,
	                                                              .in_memory = s->options.in_memory },
	                                   &s->history))
		server_say(s, EVENT_WARNING, LEVEL_WARN,
		           TEXT("the history could not be opened: finished messages have no story"));
}

enum err server_open_stores(struct server *s, struct buf *problem)
{
	enum err err = open_queue(s, problem);

	if (!err)
		open_history(s);
	return err;
}

/* ---------------------------------------------------------------- the way out */

/* What is known of other domains' TLS is kept beside the queue. */
static enum err open_policy(struct server *s)
{
	AUTO(buf_fini) struct buf directory = BUF(4096);
	struct policy_options options = {
		.io = s->io,
		.dns = s->dns,
		.config = s->config,
		.observe = s->observe,
		.disk = s->disk,
		.queue = s->queue,
		.newest_id_time = queue_newest_time(s->queue),
		.seed = io_random_u64(s->io),
		.client_context = s->options.client_context,
		.client_context_owner = s->client_context_owner,
	};

	buf_add(&directory, s->config->spool.path);
	buf_add_string(&directory, "/policy");
	options.directory = buf_text(&directory);
	return buf_err(&directory) ? buf_err(&directory) : policy_new(&options, &s->tls_policy);
}

static enum err open_deliver(struct server *s, struct buf *problem)
{
	return deliver_new(&(struct deliver_options){ .io = s->io,
	                                              .dns = s->dns,
	                                              .config = s->config,
	                                              .seed = io_random_u64(s->io),
	                                              .client_context = s->options.client_context,
	                                              .client_context_owner = s->client_context_owner,
	                                              .policy = s->tls_policy,
	                                              .tokens = s->tokens,
	                                              .disk = s->disk,
	                                              .own = s->options.own,
	                                              .own_count = s->options.own_count,
	                                              .observe = s->observe,
	                                              .problem = problem },
	                   &s->deliver);
}

/* Descriptors are shared out from the start: an outbound connection for three inbound sessions, and some for files. */
static unsigned outbound_share(const struct server *s)
{
	return MAX(s->options.max_descriptors / 4, 8u);
}

static unsigned inbound_share(const struct server *s)
{
	unsigned outbound = outbound_share(s), files = 32;

	return s->options.max_descriptors > outbound + files + 8
	               ? s->options.max_descriptors - outbound - files
	               : 8;
}

static enum err open_schedule(struct server *s)
{
	return schedule_new(&(struct schedule_options){ .io = s->io,
	                                                .queue = s->queue,
	                                                .deliver = s->deliver,
	                                                .observe = s->observe,
	                                                .config = s->config,
	                                                .disk = s->disk,
	                                                .spool = s->config->spool.path,
	                                                .seed = io_random_u64(s->io),
	                                                .max_connections = outbound_share(s) },
	                    &s->schedule);
}

/* ---------------------------------------------------------------- the way in */

static enum err open_receive(struct server *s)
{
	return receive_new(&(struct receive_options){ .io = s->io,
	                                              .auth = s->auth,
	                                              .policy = s->policy,
	                                              .queue = s->queue,
	                                              .observe = s->observe,
	                                              .config = s->config,
	                                              .seed = io_random_u64(s->io),
	                                              .newest_id_time = queue_newest_time(s->queue),
	                                              .max_sessions = inbound_share(s),
	                                              .server_context = s->options.server_context,
	                                              .owner = s->server_context_owner,
	                                              .find_socket = s->options.find_socket,
	                                              .socket_owner = s->options.socket_owner },
	                   &s->receive);
}

static enum err open_watches(struct server *s)
{
	enum err err;

	if (!s->options.use_system_files)
		return ERR_OK;
	err = memory_watch_new(s, &s->memory_watch);
	return err ? err : names_watch_new(s, &s->names_watch);
}

/* ---------------------------------------------------------------- the control socket */

static void on_health(void *owner, struct admin_health *out)
{
	struct server *s = owner;

	out->listening = s->receive != NULL && !s->stopping;
	out->stopping = s->stopping;
}

struct certificate_listing {
	admin_certificate_fn *each;
	void *to;
};

static void list_certificate(void *owner, struct text listener, const struct tls_certificate_facts *f)
{
	struct certificate_listing *l = owner;

	l->each(l->to, listener, f->name, f->serial, f->not_after_time);
}

static void each_certificate(void *owner, admin_certificate_fn *each, void *to)
{
	struct server *s = owner;

	if (s->certificates) /* gone when we stop */
		certificates_each(s->certificates, list_certificate,
		                  &(struct certificate_listing){ each, to });
}

static enum err open_admin(struct server *s, struct buf *problem)
{
	struct admin_options options = { .io = s->io,
		                         .queue = s->queue,
		                         .history = s->history,
		                         .schedule = s->schedule,
		                         .observe = s->observe,
		                         .config = s->config,
		                         .seed = io_random_u64(s->io),
		                         .version = s->options.version,
		                         .commit = s->options.commit,
		                         .uid = s->options.uid,
		                         .gid = s->options.gid,
		                         .health = on_health,
		                         .each_certificate = each_certificate,
		                         .owner = s };
	enum err err = s->options.has_admin ? admin_new(&options, &s->admin) : ERR_OK;

	if (!err && s->admin)
		err = admin_listen(s->admin, problem);
	return err;
}

/* ---------------------------------------------------------------- all of them */

static enum err open_way_out(struct server *s, struct buf *problem)
{
	enum err err = open_policy(s);

	if (!err)
		err = server_open_tokens(s, problem);
	if (!err)
		err = open_deliver(s, problem);
	if (!err)
		err = open_schedule(s);
	return err;
}

static enum err open_way_in(struct server *s, struct buf *problem)
{
	enum err err = server_open_auth(s, problem);

	if (!err)
		err = server_question(s, s->config, problem);
	if (!err)
		err = open_receive(s);
	if (!err)
		err = open_watches(s);
	return err;
}

enum err server_open_rooms(struct server *s, struct buf *problem)
{
	enum err err = open_way_out(s, problem);

	if (!err)
		err = open_way_in(s, problem);
	if (!err)
		err = schedule_start(s->schedule);
	if (!err)
		err = receive_configure(s->receive, s->config, problem);
	if (!err)
		err = open_admin(s, problem);
	return err;
}

void server_free_rooms(struct server *s)
{
	memory_watch_free(&s->memory_watch);
	names_watch_free(&s->names_watch);
	receive_free(&s->receive);
	auth_free(&s->auth);
	policy_service_free(&s->policy);
	schedule_free(&s->schedule);
	deliver_free(&s->deliver);
	auth_tokens_free(&s->tokens);
	policy_free(&s->tls_policy);
	dns_free(&s->dns);
}
