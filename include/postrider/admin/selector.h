/* postrider/admin/selector.h - which messages and recipients are meant. Values of one name are alternatives, names narrow
 * each other:
 *   id        a message, by its id or the beginning of it
 *   to from   an address, a domain (every address there), .domain (its subdomains), any; <> the null reverse-path
 *   domain    a recipient's domain
 *   route     where it goes: an upstream's name, direct, hold, or a delivery key
 *   reason    why it waits: greylisted, timeout, ...
 *   older     since it was received: 90s, 4h, 5d
 *   state     waiting, active, held
 *   all       everything */
#ifndef POSTRIDER_ADMIN_SELECTOR_H
#define POSTRIDER_ADMIN_SELECTOR_H

#include <postrider/base/arena.h>
#include <postrider/base/id.h>
#include <postrider/queue.h>

#define SELECTOR_BUDGET (1u << 20)      /* for all values together */

struct selector_value;

struct selector {
	struct arena arena;
	struct selector_value *ids, *to, *from, *domains, *routes;      /* in the order given */
	size_t id_count;
	uint32_t reasons;                /* a bit for each that is meant; 0: any */
	uint32_t states;                 /* of enum queue_state; 0: any */
	int64_t older_ms;                /* -1: any */
	bool all;
	bool is_empty;                   /* nothing was said */
};

void selector_init(struct selector *s);
void selector_fini(struct selector *s);

/* ERR_SYNTAX, ERR_NOT_FOUND (no such name), ERR_NOMEM: problem says in a sentence what would be right. */
MUST_USE enum err selector_add(struct selector *s, struct text name, struct text value, struct buf *problem);

/* One id after the other, as the range of ids that begin with it. NULL: there is no further one. */
struct selector_id {
	struct text text;
	struct id first, last;
};
const struct selector_value *selector_next_id(const struct selector *s, const struct selector_value *after,
                                              struct selector_id *out);

bool selector_takes_message(const struct selector *s, const struct envelope *e, int64_t now_time);
bool selector_takes_recipient(const struct selector *s, const struct envelope *e, const struct queue_recipient *r);
bool selector_needs_recipients(const struct selector *s);      /* something in it speaks of recipients */

/* "90s" "15m" "4h" "5d" "250ms" in milliseconds. ERR_SYNTAX. */
MUST_USE enum err selector_parse_duration(struct text t, int64_t *ms);

#endif
