#include "certificates.h"
#include "folder.h"
#include "internal.h"
#include "memory.h"

#define WATCH_MS SECOND_MS
#define SETTLE_WAIT_MS 2
#define ADMIN_CLOSE_MS 500
#define HISTORY_KEEP_MS (7 * DAY_MS)
#define HISTORY_MAX_BYTES (1ull << 30)

/* ---------------------------------------------------------------- events of the daemon */

static void say(struct server *s, enum event_kind kind, enum event_level level, const char *detail)
{
	struct event event = EVENT(kind);

	event.level = level;
	event.detail = text_from(detail);
	observe_emit(s->observe, &event);
}

static void to_history(void *owner, const struct event *e, int64_t time_us, struct text line)
{
	struct server *s = owner;

	if (e->has_id && s->history)
		history_add(s->history, e->id, time_us, line);
}

static void on_rooms_stopped(void *owner);

/* Once a second: what nobody else tells. */
static void on_watch(void *owner)
{
	struct server *s = owner;
	struct queue_space space = queue_space(s->queue);

	if (space.full && !s->was_full)
		say(s, EVENT_SPOOL_FULL, LEVEL_ERROR,
		    "the spool is full: new mail is refused with 452 until there is space");
	s->was_full = space.full;
	if (space.failed && !s->failed) {
		s->failed = true;
		say(s, EVENT_ERROR, LEVEL_ERROR,
		    "the disk under the spool failed: stopping; check it (dmesg), then `postrider verify`");
		server_stop(s, s->on_stopped, s->stop_owner); /* a second time: nothing is waited for */
	}
	if (io_timer_start(s->io, &s->watch, io_now_at(s->io) + WATCH_MS, on_watch, s))
		say(s, EVENT_WARNING, LEVEL_WARN, "out of memory: the spool is no longer watched");
}

/* ---------------------------------------------------------------- start */

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
	struct buf path = BUF(4096);

	buf_add_format(&path, "%.*s/history", TEXT_ARGS(s->config->spool.path));
	if (buf_err(&path) || history_open(&(struct history_options){ .io = s->io,
	                                                              .path = buf_text(&path),
	                                                              .keep_ms = HISTORY_KEEP_MS,
	                                                              .max_bytes = HISTORY_MAX_BYTES,
	                                                              .in_memory = s->options.in_memory },
	                                   &s->history))
		say(s, EVENT_WARNING, LEVEL_WARN,
		    "the history could not be opened: finished messages have no story");
	buf_fini(&path);
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

	if (s->certificates)      /* gone when we stop */
		certificates_each(s->certificates, list_certificate, &(struct certificate_listing){ each, to });
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
		.client_context = s->options.client_context ? s->options.client_context
		                                            : client_context_with_ca,
		.client_context_owner = s->options.client_context ? s->options.tls_owner : s,
	};

	buf_add(&directory, s->config->spool.path);
	buf_add_string(&directory, "/policy");
	options.directory = buf_text(&directory);
	return buf_err(&directory) ? buf_err(&directory) : policy_new(&options, &s->tls_policy);
}

static enum err open_rooms(struct server *s, struct buf *problem)
{
	struct deliver_options deliver = { .io = s->io,
		                           .dns = s->dns,
		                           .config = s->config,
		                           .seed = io_random_u64(s->io),
		                           .client_context = s->options.client_context
		                                                     ? s->options.client_context
		                                                     : client_context_with_ca,
		                           .client_context_owner =
		                                   s->options.client_context ? s->options.tls_owner : s,
		                           .disk = s->disk,
		                           .own = s->options.own,
		                           .own_count = s->options.own_count,
		                           .observe = s->observe,
		                           .problem = problem };
	struct schedule_options schedule;
	struct receive_options receive;
	enum err err = open_policy(s);

	if (!err)
		err = server_open_tokens(s, problem);
	deliver.policy = s->tls_policy;
	deliver.tokens = s->tokens;
	if (!err)
		err = deliver_new(&deliver, &s->deliver);
	if (err)
		return err;
	schedule = (struct schedule_options){
		.io = s->io,
		.queue = s->queue,
		.deliver = s->deliver,
		.observe = s->observe,
		.config = s->config,
		.disk = s->disk,
		.spool = s->config->spool.path,
		.seed = io_random_u64(s->io),
		.max_connections = outbound_share(s),
	};
	err = schedule_new(&schedule, &s->schedule);
	if (err)
		return err;
	err = server_open_auth(s, problem);
	if (err)
		return err;
	err = server_question(s, s->config, problem);
	if (err)
		return err;
	receive = (struct receive_options){ .io = s->io,
		                            .auth = s->auth,
		                            .policy = s->policy,
		                            .queue = s->queue,
		                            .observe = s->observe,
		                            .config = s->config,
		                            .seed = io_random_u64(s->io),
		                            .newest_id_time = queue_newest_time(s->queue),
		                            .max_sessions = inbound_share(s),
		                            .server_context = s->options.server_context
		                                                      ? s->options.server_context
		                                                      : server_context_from_files,
		                            .owner = s->options.server_context ? s->options.tls_owner : s,
		                            .find_socket = s->options.find_socket,
		                            .socket_owner = s->options.socket_owner };
	err = receive_new(&receive, &s->receive);
	if (!err && s->options.use_system_files)
		err = memory_watch_new(s, &s->memory_watch);
	if (!err && s->options.use_system_files)
		err = names_watch_new(s, &s->names_watch);
	if (!err)
		err = schedule_start(s->schedule);
	if (!err)
		err = receive_configure(s->receive, s->config, problem);
	if (!err)
		err = open_admin(s, problem);
	return err;
}

static void on_closed(void *owner)
{
	(void)owner;
}

static void give_up(struct server *s)
{
	if (s->drop)
		folder_close(&s->drop, on_closed, NULL);
	if (s->pickup)
		folder_close(&s->pickup, on_closed, NULL);
	if (s->admin)
		admin_close(&s->admin, 0, on_closed, NULL);
	certificates_free(&s->certificates);
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
	if (s->queue)
		queue_close(&s->queue, on_closed, NULL);
	if (s->history)
		history_close(&s->history, on_closed, NULL);
	observe_remove_consumer(&s->to_history);
	io_timer_stop(s->io, &s->watch);
	config_unref(&s->config);
	free(s);
}

static void say_listener(void *owner, struct text name, const struct io_address *address)
{
	struct server *s = owner;
	struct buf words = BUF(512);

	buf_add_format(&words, "%.*s listens on ", TEXT_ARGS(name));
	if (address->ip.ip.family == IP_NONE)
		buf_add_format(&words, "unix:%s", address->unix_path);
	else
		ip_port_add(&words, address->ip);
	buf_add_octet(&words, 0);
	say(s, EVENT_STARTED, LEVEL_INFO, words.at ? words.at : "");
	buf_fini(&words);
}

static void say_ready(struct server *s)
{
	struct queue_space space = queue_space(s->queue);
	struct buf words = BUF(512);

	receive_each_listener(s->receive, say_listener, s);
	if (!s->config->spool.durable)
		say(s, EVENT_WARNING, LEVEL_WARN,
		    "spool.durable is false: a power cut loses mail that was answered 250");
	if (queue_was_unclean(s->queue))
		say(s, EVENT_WARNING, LEVEL_WARN,
		    "the last stop was not clean: what was being delivered then is tried again, and may arrive twice");
	buf_add_format(&words, "ready; spool %.*s holds %llu messages", TEXT_ARGS(s->config->spool.path),
	               (unsigned long long)space.messages);
	buf_add_octet(&words, 0);
	say(s, EVENT_READY, LEVEL_INFO, words.at ? words.at : "ready");
	buf_fini(&words);
}

enum err server_start(const struct server_options *options, struct server **out, struct buf *problem)
{
	struct server *s = calloc(1, sizeof(*s));
	enum err err;

	if (!s)
		return ERR_NOMEM;
	s->io = options->io;
	s->disk = options->disk;
	s->observe = options->observe;
	s->options = *options;
	s->config = config_ref(options->config);
	s->to_history = (struct observe_consumer){ .least = LEVEL_INFO, .fn = to_history, .owner = s };
	observe_add_consumer(s->observe, &s->to_history);
	err = certificates_new(s, &s->certificates);
	if (!err)
		err = open_queue(s, problem);
	if (!err)
		open_history(s);
	if (!err)
		err = server_names(s, s->config);
	if (!err)
		err = open_rooms(s, problem);
	if (!err)
		err = certificates_adopt(s->certificates, s->config);
	if (!err)
		err = io_timer_start(s->io, &s->watch, io_now_at(s->io) + WATCH_MS, on_watch, s);
	if (!err)
		err = server_open_doors(s, problem);
	if (err) {
		if (!problem->len)
			buf_add_string(problem, err_text(err));
		give_up(s);
		return err;
	}
	say_ready(s);
	*out = s;
	return ERR_OK;
}

/* ---------------------------------------------------------------- reload */

static bool needs_restart(const struct config *old, const struct config *new, struct buf *problem)
{
	if (!text_eq(old->spool.path, new->spool.path) ||
	    old->spool.max_size_bytes != new->spool.max_size_bytes ||
	    old->spool.durable != new->spool.durable || !text_eq(old->user, new->user) ||
	    old->sandbox != new->sandbox)
		buf_add_string(problem, "spool.path, spool.max_size, spool.durable, user and sandbox change only "
		                        "with a restart");
	return problem->len > 0;
}

static enum err change_intake(struct server *s, const struct config *config, struct buf *problem)
{
	enum err err = auth_configure(s->auth, config, problem);

	if (err)
		return err;
	err = server_question(s, config, problem);
	if (!err)
		err = receive_configure(s->receive, config, problem);
	if (err && (auth_configure(s->auth, s->config, problem) || server_question(s, s->config, problem)))
		buf_add_string(problem, "; and the users of before could not be restored: restart soon");
	return err;
}

/* All rooms that can say no, or none. */
static enum err change_rooms(struct server *s, const struct config *config, struct buf *problem)
{
	enum err err = deliver_configure(s->deliver, config);

	if (err) {
		buf_add(problem, deliver_problem(s->deliver));
		return err;
	}
	err = server_names(s, config);
	if (!err)
		err = auth_tokens_configure(s->tokens, config, problem);
	if (!err)
		err = change_intake(s, config, problem);
	/* the last one left everything as it was: only those before it have to go back */
	if (err && (deliver_configure(s->deliver, s->config) || server_names(s, s->config) ||
	            auth_tokens_configure(s->tokens, s->config, NULL)))
		buf_add_string(problem,
		               "; and the old configuration could not be restored in whole: restart soon");
	return err;
}

/* The directories too: the new ones are there before anything is changed. */
static enum err change_all(struct server *s, const struct config *config, struct buf *problem)
{
	struct doors_plan plan;
	enum err err = server_plan_doors(s, config, &plan, problem);

	if (err)
		return err;
	err = change_rooms(s, config, problem);
	if (err)
		server_drop_plan(s, &plan);
	else
		server_change_doors(s, config, &plan);
	return err;
}

enum err server_reload(struct server *s, const struct config *config, struct buf *problem)
{
	const struct config *old = s->config;
	enum err err;

	if (s->stopping) {
		buf_add_string(problem, "the daemon is stopping");
		return ERR_BUSY;
	}
	err = needs_restart(old, config, problem) ? ERR_CONFIG : change_all(s, config, problem);
	if (err) {
		certificates_forget(s->certificates);
		if (!problem->len)
			buf_add_string(problem, err_text(err));
		buf_add_octet(problem, 0);
		say(s, EVENT_RELOAD_FAILED, LEVEL_ERROR, problem->at);
		buf_cut(problem, problem->len ? problem->len - 1 : 0);
		return err;
	}
	schedule_configure(s->schedule, config);
	policy_configure(s->tls_policy, config);
	if (s->admin)
		admin_configure(s->admin, config);
	s->config = config_ref(config);
	config_unref(&old);
	say(s, EVENT_RELOADED, LEVEL_INFO, "the new configuration is in force");
	if (certificates_adopt(s->certificates, s->config))
		say(s, EVENT_WARNING, LEVEL_WARN, "out of memory: the files of certificates are no longer watched");
	return ERR_OK;
}

/* ---------------------------------------------------------------- stop */

/* Who asked for the stop is told, also who asked for it when it was over. */
static void tell_stopped(void *owner)
{
	struct server *s = owner;
	void (*on_stopped)(void *owner) = s->on_stopped;

	s->on_stopped = NULL;
	if (on_stopped)
		on_stopped(s->stop_owner);
	else if (s->failed && s->options.on_failed)
		s->options.on_failed(s->options.owner);
}

static void finished(struct server *s)
{
	say(s, EVENT_STOPPED, LEVEL_INFO, "stopped");
	s->is_over = true;
	tell_stopped(s);
}

static void on_store_closed(void *owner)
{
	struct server *s = owner;

	if (--s->waits == 0)
		finished(s);
}

static void on_admin_closed(void *owner)
{
	struct server *s = owner;

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
	io_timer_stop(s->io, &s->watch);
	s->waits = s->history ? 2 : 1;
	if (s->history)
		history_close(&s->history, on_store_closed, s);
	queue_close(&s->queue, on_store_closed, s);
}

/* The control socket answers until the end: a probe hears that we are stopping. */
static void on_rooms_stopped(void *owner)
{
	struct server *s = owner;

	if (--s->waits > 0)
		return;
	if (s->admin)
		admin_close(&s->admin, ADMIN_CLOSE_MS, on_admin_closed, s);
	else
		on_admin_closed(s);
}

static void stop_schedule(struct server *s)
{
	io_timer_stop(s->io, &s->drain);
	s->drain_until_at = 0;
	schedule_stop(s->schedule, s->hurried ? 0 : s->config->stop.linger_ms, on_rooms_stopped, s);
}

/* A second time: what runs is broken off. */
static void hurry(struct server *s)
{
	s->hurried = true;
	if (s->waits == 0 || !s->receive)
		return; /* nothing runs any more but the last writing */
	receive_hurry(s->receive);
	if (s->drain_until_at)
		stop_schedule(s);
	else
		schedule_hurry(s->schedule);
}

static void on_drain(void *owner)
{
	struct server *s = owner;
	struct queue_space space = queue_space(s->queue);

	if (space.recipients == space.held_recipients || io_now_at(s->io) >= s->drain_until_at ||
	    io_timer_start(s->io, &s->drain, io_now_at(s->io) + 50, on_drain, s))
		stop_schedule(s);
}

void server_stop(struct server *s, void (*on_stopped)(void *owner), void *owner)
{
	if (on_stopped) {
		s->on_stopped = on_stopped;
		s->stop_owner = owner;
	}
	if (s->is_over) {
		io_later_run(s->io, &s->over, tell_stopped, s);
		return;
	}
	if (s->stopping) {
		hurry(s);
		return;
	}
	s->stopping = true;
	certificates_free(&s->certificates);
	s->waits = 3;
	say(s, EVENT_STOPPING, LEVEL_INFO, "stopping: no new mail; what runs is finished");
	server_close_doors(s, on_rooms_stopped);
	receive_stop(s->receive, s->config->stop.linger_ms, on_rooms_stopped, s);
	s->drain_until_at = io_now_at(s->io) + s->config->stop.drain_ms;
	on_drain(s);
}

void server_free(struct server **slot)
{
	struct server *s = *slot;

	*slot = NULL;
	if (!s)
		return;
	io_later_cancel(s->io, &s->over);
	io_later_cancel(s->io, &s->doors_closed);
	observe_remove_consumer(&s->to_history);
	config_unref(&s->config);
	free(s);
}

/* ---------------------------------------------------------------- views */

struct queue *server_queue(struct server *s)
{
	return s->queue;
}

struct schedule *server_schedule(struct server *s)
{
	return s->schedule;
}

struct receive *server_receive(struct server *s)
{
	return s->receive;
}

struct history *server_history(struct server *s)
{
	return s->history;
}

const struct config *server_config(struct server *s)
{
	return s->config;
}

bool server_has_failed(const struct server *s)
{
	return s->failed;
}
