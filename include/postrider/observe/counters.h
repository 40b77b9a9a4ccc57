/* postrider/observe/counters.h - the numbers of this process since its start: a closed registry.
 * observe_emit counts what events say; what no event tells a room adds on the loop's thread by naming its field. All are
 * there from the start, at zero; a field that nobody counts has no place here. A name is that of the metric without its
 * prefix. */
#ifndef POSTRIDER_OBSERVE_COUNTERS_H
#define POSTRIDER_OBSERVE_COUNTERS_H

#include <postrider/observe/event.h>
#include <postrider/observe/histogram.h>

/* How a login ended. OTHER: cancelled, malformed, or nobody could say. */
enum counter_auth { COUNTER_AUTH_SUCCEEDED, COUNTER_AUTH_FAILED, COUNTER_AUTH_OTHER, COUNTER_AUTH_COUNT };

struct counters {
	/* From events. */
	uint64_t events[EVENT_COUNT];
	uint64_t messages_received, recipients_received, received_bytes;
	uint64_t rejections[REASON_COUNT];           /* by reason, REASON_NONE: refused without one */
	uint64_t attempts[REASON_COUNT];             /* by reason, REASON_NONE: succeeded */
	uint64_t delivered, bounced, expired, dropped;       /* recipients: how they ended */
	struct histogram accept_ms;                  /* end of data to our answer */
	struct histogram attempt_ms;
	struct histogram delivery_delay_ms;          /* accepted to delivered, a recipient */


	/* Counted by the rooms. */
	uint64_t smtp_connections, smtp_connections_refused;
	uint64_t smtp_sessions;                      /* a gauge: now open */
	uint64_t tls_sessions_in;
	uint64_t tls_sessions_out[EVENT_PROOF_COUNT - 1];    /* by what proved the host: enum event_proof, less one */
	uint64_t tls_resumed_in, tls_failures_in;    /* of tls_sessions_in those by a ticket; handshakes that came to nothing */
	uint64_t tls_certificate_end;                /* a gauge: when the first of those in use ends, UTC seconds; 0: none */
	uint64_t auth_attempts[COUNTER_AUTH_COUNT];  /* logins, by their end */
	uint64_t delivery_connections, delivery_connections_reused;
	uint64_t log_lines_dropped;                  /* events that came to no line for want of memory */
};

enum counter_kind { COUNTER_TOTAL, COUNTER_GAUGE, COUNTER_HISTOGRAM };

/* One line of the registry; label is empty or a label's name and value. Borrowed for the call. */
struct counter_view {
	enum counter_kind kind;
	const char *name;                            /* "recipients_received_total" */
	const char *help;
	const char *label;                           /* "reason", or NULL */
	struct text label_value;
	uint64_t value;                              /* without a histogram */
	const struct histogram *histogram;
	double unit;                                 /* of a histogram: seconds of one step */
};

typedef void counter_fn(void *owner, const struct counter_view *view);

/* Calls fn for each, labelled ones once for each value. */
void counters_each(const struct counters *c, counter_fn *fn, void *owner);

#endif
