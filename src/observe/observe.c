#include <postrider/observe/observe.h>

#include <stdlib.h>

#include <postrider/base/auto.h>

/* Every text of an event cut and escaped in the dearest way (six octets for one) stays below this. */
#define LINE_MAX_BYTES (1u << 20)
/* Events that consumers emit while they hear one; behind that they are counted and forgotten. */
#define DEPTH_MAX 4

struct observe {
	struct list consumers;
	struct counters counters;
	struct buf node;
	struct buf lines[DEPTH_MAX]; /* one for each depth of emitting from a consumer; the memory is kept */
	unsigned depth;
	int64_t (*now_time_us)(void *clock);
	void *clock;
};

enum err observe_new(const struct observe_options *options, struct observe **out)
{
	AUTO(observe_free) struct observe *o = calloc(1, sizeof(*o));

	if (!o)
		return ERR_NOMEM;
	list_init(&o->consumers);
	buf_init(&o->node, options->node.len);
	buf_add(&o->node, options->node);
	if (buf_err(&o->node))
		return buf_err(&o->node);
	for (unsigned i = 0; i < DEPTH_MAX; i++)
		buf_init(&o->lines[i], LINE_MAX_BYTES);
	o->now_time_us = options->now_time_us;
	o->clock = options->clock;
	*out = TAKE(o);
	return ERR_OK;
}

void observe_free(struct observe **o)
{
	if (!*o)
		return;
	for (unsigned i = 0; i < DEPTH_MAX; i++)
		buf_fini(&(*o)->lines[i]);
	buf_fini(&(*o)->node);
	free(*o);
	*o = NULL;
}

void observe_add_consumer(struct observe *o, struct observe_consumer *consumer)
{
	list_append(&o->consumers, &consumer->link);
}

void observe_remove_consumer(struct observe_consumer *consumer)
{
	list_remove(&consumer->link);
}

struct counters *observe_counters(struct observe *o)
{
	return &o->counters;
}

void observe_add_line(struct observe *o, const struct event *e, struct buf *out)
{
	observe_event_line(buf_text(&o->node), e, o->now_time_us(o->clock), out);
}

static enum reason counted_reason(enum reason reason)
{
	return (unsigned)reason < REASON_COUNT ? reason : REASON_OTHER;
}

/* What became of a recipient says too how the attempt went that led there. */
static void count_attempt(struct counters *c, const struct event *e)
{
	if (e->attempt <= 0)
		return; /* not by an attempt: a route, an expiry */
	c->attempts[counted_reason(e->reason)]++;
	if (e->ms.total >= 0)
		histogram_add(&c->attempt_ms, e->ms.total);
}

static void count(struct counters *c, const struct event *e, int64_t time_us)
{
	c->events[e->kind]++;
	switch (e->kind) {
	case EVENT_RECEIVED:
		c->messages_received++;
		c->recipients_received += (uint64_t)MAX(e->recipients, 0);
		c->received_bytes += (uint64_t)MAX(e->size, 0);
		if (e->ms.total >= 0)
			histogram_add(&c->accept_ms, e->ms.total);
		break;
	case EVENT_REJECTED:
		c->rejections[counted_reason(e->reason)]++;
		break;
	case EVENT_DELIVERED:
		c->delivered++;
		count_attempt(c, e);
		if (e->created_time > 0)
			histogram_add(&c->delivery_delay_ms, time_us / 1000 - e->created_time);
		break;
	case EVENT_DEFERRED:
		count_attempt(c, e);
		break;
	case EVENT_BOUNCED:
		c->bounced++;
		count_attempt(c, e);
		break;
	case EVENT_EXPIRED:
		c->expired++;
		break;
	case EVENT_DROPPED:
		c->dropped++;
		break;
	default:
		break;
	}
}

static void hand_out(struct observe *o, const struct event *e, int64_t time_us, struct buf *line)
{
	bool is_built = false;

	for (LIST_EACH(it, &o->consumers)) {
		struct observe_consumer *consumer = LIST_ITEM(it, struct observe_consumer, link);

		if (e->level < consumer->least)
			continue;
		if (!is_built) {
			buf_reset(line);
			observe_event_line(buf_text(&o->node), e, time_us, line);
			is_built = true;
		}
		if (buf_err(line)) {
			o->counters.log_lines_dropped++;
			return;
		}
		consumer->fn(consumer->owner, e, time_us, buf_text(line));
	}
}

void observe_emit(struct observe *o, const struct event *e)
{
	if ((unsigned)e->kind >= EVENT_COUNT)
		return;
	int64_t time_us = o->now_time_us(o->clock);

	count(&o->counters, e, time_us);
	if (o->depth == DEPTH_MAX) {
		o->counters.log_lines_dropped++;
		return;
	}
	struct buf *line = &o->lines[o->depth++];

	hand_out(o, e, time_us, line);
	o->depth--;
}
