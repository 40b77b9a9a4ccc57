#include "internal.h"

#include <assert.h>
#include <stdlib.h>

#include <postrider/base/auto.h>

#define MAX_CONNECTIONS 64
#define NAME_MAX_BYTES 256
#define VALUE_MAX_BYTES 4096

/* ---------------------------------------------------------------- operations */

void op_begin(struct op *op, struct admin *admin, struct http_exchange *x,
              const struct http_exchange_events *events)
{
	op->admin = admin;
	op->x = x;
	list_append(&admin->ops, &op->link);
	http_attach(x, events, op);
}

static void closed_if_done(struct admin *a);

void op_end(struct op *op)
{
	struct admin *a = op->admin;

	assert(!op->x);
	list_remove(&op->link);
	free(op);
	closed_if_done(a);
}

void op_respond_json(struct op *op, int status, const struct buf *body)
{
	struct http_exchange *x = TAKE(op->x);

	if (!x)
		return;
	if (buf_err(body))
		http_respond_problem(x, 503, "Out of memory", text_from(err_text(buf_err(body))),
		                     TEXT("try again later"));
	else
		http_respond(x, status, HTTP_JSON, buf_text(body));
}

void op_respond_problem(struct op *op, int status, const char *title, const char *detail,
                        const char *next_step)
{
	struct http_exchange *x = TAKE(op->x);

	if (x)
		http_respond_problem(x, status, title, text_from(detail), text_from(next_step));
}

bool read_query(struct http_exchange *x, struct selector *selector, query_fn *other, void *owner)
{
	AUTO(buf_fini)
	struct buf name = BUF(NAME_MAX_BYTES),
		   value = BUF(VALUE_MAX_BYTES), problem = BUF(VALUE_MAX_BYTES);
	struct text rest = http_query(x);

	while (http_query_next(&rest, &name, &value)) {
		if (buf_err(&value))
			buf_add_format(&problem, "the query has %s", err_text(buf_err(&value)));
		else if (!other || !other(owner, buf_text(&name), buf_text(&value), &problem)) {
			if (problem.len == 0 &&
			    selector_add(selector, buf_text(&name), buf_text(&value), &problem) == ERR_OK)
				continue;
		}
		if (problem.len > 0) {
			http_respond_problem(x, 422, "This cannot be selected by", buf_text(&problem),
			                     TEXT("see `postrider help queue`"));
			return false;
		}
	}
	return true;
}

/* ---------------------------------------------------------------- who asks for what */

static bool may_ask(const struct admin *a, const struct io_address *peer)
{
	return peer->peer_uid == 0 || peer->peer_uid == a->options.uid || peer->peer_gid == a->options.gid;
}

static void refuse_peer(struct admin *a, struct http_exchange *x)
{
	const struct io_address *peer = http_peer(x);
	AUTO(buf_fini) struct buf detail = BUF(512), next = BUF(512);

	buf_add_format(&detail,
	               "user %u, group %u may not control this relay, which runs as user %u, group %u",
	               peer->peer_uid, peer->peer_gid, a->options.uid, a->options.gid);
	buf_add_format(&next, "ask as root, as user %u, or as a member of group %u", a->options.uid,
	               a->options.gid);
	http_respond_problem(x, 403, "Not permitted", buf_text(&detail), buf_text(&next));
}

static const struct {
	struct text method;
	struct text path;
	bool is_prefix; /* something follows the path */
	void (*run)(struct admin *a, struct http_exchange *x);
} paths[] = {
	{ LIT("GET"), LIT("/v1/health"), false, admin_health },
	{ LIT("GET"), LIT("/v1/version"), false, admin_version },
	{ LIT("GET"), LIT("/v1/config"), false, admin_config },
	{ LIT("GET"), LIT("/v1/counters"), false, admin_counters },
	{ LIT("GET"), LIT("/v1/queue"), false, admin_queue },
	{ LIT("GET"), LIT("/v1/messages/"), true, admin_message },
	{ LIT("POST"), LIT("/v1/messages"), false, admin_submit },
	{ LIT("POST"), LIT("/v1/queue/"), true, admin_act },
};

static void on_request(void *owner, struct http_exchange *x)
{
	struct admin *a = owner;
	struct text path = http_path(x), method = http_method(x);
	struct text asked = text_eq(method, TEXT("HEAD")) ? TEXT("GET") : method;
	const struct text *allowed = NULL;

	if (!may_ask(a, http_peer(x))) {
		refuse_peer(a, x);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		if (paths[i].is_prefix ? !text_starts(path, paths[i].path) : !text_eq(path, paths[i].path))
			continue;
		if (text_eq(asked, paths[i].method)) {
			paths[i].run(a, x);
			return;
		}
		allowed = &paths[i].method;
	}
	if (allowed) {
		http_put_header(x, TEXT("Allow"), *allowed);
		http_respond_problem(x, 405, "Not this way", TEXT("the path is right, the method is not"),
		                     *allowed);
		return;
	}
	http_respond_problem(x, 404, "No such path", path, TEXT("the paths are in the manual, under /v1"));
}

/* ---------------------------------------------------------------- life */

enum err admin_new(const struct admin_options *options, struct admin **out)
{
	struct admin *a = calloc(1, sizeof(*a));

	if (!a)
		return ERR_NOMEM;
	struct http_server_options http = {
		.io = options->io, .on_request = on_request, .owner = a, .max_connections = MAX_CONNECTIONS
	};

	a->options = *options;
	a->config = config_ref(options->config);
	a->start_time = io_now_time(options->io);
	list_init(&a->ops);
	id_source_init(&a->ids, options->seed, queue_newest_time(options->queue));
	buf_init(&a->version, 256);
	buf_init(&a->commit, 256);
	buf_add(&a->version, options->version);
	buf_add(&a->commit, options->commit);
	enum err err = buf_err(&a->version) ? buf_err(&a->version) : buf_err(&a->commit);

	if (!err)
		err = http_server_new(&http, &a->http);
	if (err) {
		config_unref(&a->config);
		buf_fini(&a->version);
		buf_fini(&a->commit);
		free(a);
		return err;
	}
	*out = a;
	return ERR_OK;
}

void admin_configure(struct admin *a, const struct config *config)
{
	config_unref(&a->config);
	a->config = config_ref(config);
}

static void say_closed(void *owner)
{
	struct admin *a = owner;
	void (*on_closed)(void *owner) = a->on_closed;
	void *closed_owner = a->closed_owner;

	config_unref(&a->config);
	buf_fini(&a->version);
	buf_fini(&a->commit);
	free(a);
	on_closed(closed_owner);
}

static void closed_if_done(struct admin *a)
{
	if (a->closing && a->http_closed && list_is_empty(&a->ops))
		io_later_run(a->options.io, &a->closed, say_closed, a);
}

static void on_http_closed(void *owner)
{
	struct admin *a = owner;

	a->http_closed = true;
	closed_if_done(a);
}

void admin_close(struct admin **slot, int64_t deadline_ms, void (*on_closed)(void *owner), void *owner)
{
	struct admin *a = *slot;

	*slot = NULL;
	a->closing = true;
	a->on_closed = on_closed;
	a->closed_owner = owner;
	io_listener_close(&a->listener);
	http_server_close(&a->http, deadline_ms, on_http_closed, a);
}

/* ---------------------------------------------------------------- the socket */

bool admin_socket_place(const struct config *config, unsigned n, struct buf *path)
{
	if (config->admin.socket.len > 0) {
		buf_add(path, config->admin.socket);
		return n == 0;
	}
	if (n == 0)
		buf_add(path, TEXT("/run/postrider/admin.sock"));
	else if (n == 1)
		buf_add_format(path, "%.*s/admin.sock", TEXT_ARGS(config->spool.path));
	return n < 2;
}

const char *admin_socket_path(const struct admin *a)
{
	return a->listener ? a->path : "";
}

static void on_accept(void *owner, struct io_stream *stream)
{
	http_server_accept(((struct admin *)owner)->http, stream);
}

static enum err listen_at(struct admin *a, struct text path)
{
	struct io_address address = { 0 };

	if (path.len >= sizeof(address.unix_path))
		return ERR_TOO_BIG;
	memcpy(address.unix_path, path.at, path.len);
	enum err err = io_listen(a->options.io, &address, 0660, on_accept, a, &a->listener);

	if (!err)
		memcpy(a->path, address.unix_path, sizeof(a->path));
	return err;
}

static const char *remedy(enum err err)
{
	switch (err) {
	case ERR_TOO_BIG:
		return "a socket's path has at most 107 octets: set admin.socket to a shorter one";
	case ERR_BUSY:
		return "another relay uses it: stop that one, or set admin.socket";
	case ERR_NOT_FOUND:
		return "its directory is not there: make it, or set admin.socket";
	default:
		return "set admin.socket to a place where this user may write";
	}
}

enum err admin_listen(struct admin *a, struct buf *problem)
{
	enum err err = ERR_NOT_FOUND;

	for (unsigned n = 0; n < 2; n++) {
		AUTO(buf_fini) struct buf path = BUF(4096);

		if (!admin_socket_place(a->config, n, &path))
			break;
		err = buf_err(&path) ? buf_err(&path) : listen_at(a, buf_text(&path));
		if (!err) {
			buf_reset(problem);
			return ERR_OK;
		}
		if (problem->len > 0)
			buf_add(problem, TEXT("; "));
		buf_add_format(problem, "control socket %.*s: %s (%s)", TEXT_ARGS(buf_text(&path)),
		               err_text(err), remedy(err));
	}
	return err;
}
