/* admin/internal.h - the parts of the room. Each path has an operation: memory of its own that outlives the exchange when
 * the peer goes, because what it asked of queue or history cannot be called back. */
#ifndef ADMIN_INTERNAL_H
#define ADMIN_INTERNAL_H

#include <postrider/admin.h>
#include <postrider/admin/selector.h>
#include <postrider/http/json.h>
#include <postrider/http/server.h>

struct admin {
	struct admin_options options;
	const struct config *config;
	struct buf version, commit;
	struct http_server *http;
	struct io_listener *listener;
	char path[IO_UNIX_PATH_MAX];
	struct id_source ids;
	int64_t start_time;

	struct list ops; /* running */

	bool closing, http_closed;
	struct io_later closed;
	void (*on_closed)(void *owner);
	void *closed_owner;
};

/* The head of every operation. */
struct op {
	struct list link;
	struct admin *admin;
	struct http_exchange *x; /* NULL: the peer is gone, or was answered */
};

/* Attaches to x. free with op_end; events' owner is the op. */
void op_begin(struct op *op, struct admin *admin, struct http_exchange *x,
              const struct http_exchange_events *events);
/* Takes it out and frees it, which begins with op. */
void op_end(struct op *op);

/* The answers; op->x is NULL afterwards, and nothing happens when it was before. */
void op_respond_json(struct op *op, int status, const struct buf *body);
void op_respond_problem(struct op *op, int status, const char *title, const char *detail,
                        const char *next_step);

/* Reads a selector from the query; members of another name go to `other`, which returns false for those it does not know
 * either. False: a problem was answered. other may be NULL. */
typedef bool query_fn(void *owner, struct text name, struct text value, struct buf *problem);
bool read_query(struct http_exchange *x, struct selector *selector, query_fn *other, void *owner);

/* The paths. Each answers or attaches. */
void admin_health(struct admin *a, struct http_exchange *x);
void admin_version(struct admin *a, struct http_exchange *x);
void admin_config(struct admin *a, struct http_exchange *x);
void admin_counters(struct admin *a, struct http_exchange *x);
void admin_queue(struct admin *a, struct http_exchange *x);
void admin_message(struct admin *a, struct http_exchange *x);
void admin_submit(struct admin *a, struct http_exchange *x);
void admin_act(struct admin *a, struct http_exchange *x);

/* A recipient of the queue as JSON, and a message's envelope: what listing and story have in common. */
void add_recipient_json(struct admin *a, struct json_writer *w, const struct envelope *e,
                        const struct queue_recipient *r);
void add_envelope_json(struct json_writer *w, const struct queue_entry *entry);
const char *state_name(enum queue_state state); /* "waiting" "active" "held": as selectors call them */

#endif
