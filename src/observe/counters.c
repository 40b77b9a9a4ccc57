#include <postrider/observe/counters.h>

#define FIELD(member) offsetof(struct counters, member)

/* The registry: one line a name. With `label` the field is an array, and label_text says what each place means. */
struct registered {
	const char *name;
	const char *help;
	size_t field;
	enum counter_kind kind;
	double unit;
	const char *label;
	unsigned label_count;
	struct text (*label_text)(unsigned value);
};

static struct text label_of_event(unsigned value)
{
	return event_kind_text((enum event_kind)value);
}

static struct text label_of_reason(unsigned value)
{
	return value == REASON_NONE ? TEXT("none") : reason_text((enum reason)value);
}

static struct text label_of_proof(unsigned value)
{
	return event_proof_text((enum event_proof)(value + 1));
}

static struct text label_of_auth(unsigned value)
{
	static const struct text words[] = { [COUNTER_AUTH_SUCCEEDED] = LIT("succeeded"),
		                             [COUNTER_AUTH_FAILED] = LIT("failed"),
		                             [COUNTER_AUTH_OTHER] = LIT("other") };

	return words[value];
}

/* clang-format off */
#define TOTAL(metric, member, words) { .name = metric "_total", .help = words, .field = FIELD(member) }
#define BY_REASON(metric, member, words)                                                                               \
	{ .name = metric "_total", .help = words, .field = FIELD(member), .label = "reason",                           \
	  .label_count = REASON_COUNT, .label_text = label_of_reason }
#define SPREAD(metric, member, seconds, words)                                                                         \
	{ .name = metric "_seconds", .help = words, .field = FIELD(member), .kind = COUNTER_HISTOGRAM,                 \
	  .unit = seconds }

static const struct registered registry[] = {
	{ .name = "events_total", .help = "Events by kind", .field = FIELD(events), .label = "event",
	  .label_count = EVENT_COUNT, .label_text = label_of_event },
	TOTAL("messages_received", messages_received, "Messages accepted"),
	TOTAL("recipients_received", recipients_received, "Recipients of accepted messages"),
	TOTAL("received_bytes", received_bytes, "Octets of accepted messages"),
	BY_REASON("rejections", rejections, "Refusals towards clients"),
	BY_REASON("attempts", attempts, "Attempts to deliver; reason none: succeeded"),
	TOTAL("delivered", delivered, "Recipients delivered"),
	TOTAL("bounced", bounced, "Recipients refused for good"),
	TOTAL("expired", expired, "Recipients given up after their time"),
	TOTAL("dropped", dropped, "Recipients removed by a person or a rule"),
	SPREAD("accept_duration", accept_ms, 1e-3, "End of data to our answer"),
	SPREAD("attempt_duration", attempt_ms, 1e-3, "An attempt from its beginning to its end"),
	SPREAD("delivery_delay", delivery_delay_ms, 1e-3, "Accepted to delivered"),
	TOTAL("smtp_connections", smtp_connections, "Inbound connections"),
	TOTAL("smtp_connections_refused", smtp_connections_refused, "Inbound connections refused at the door"),
	{ .name = "smtp_sessions", .help = "Inbound sessions now open", .field = FIELD(smtp_sessions),
	  .kind = COUNTER_GAUGE },
	{ .name = "auth_attempts_total", .help = "Logins, by their end", .field = FIELD(auth_attempts), .label = "result",
	  .label_count = COUNTER_AUTH_COUNT, .label_text = label_of_auth },
	TOTAL("tls_sessions_in", tls_sessions_in, "Inbound TLS sessions"),
	{ .name = "tls_sessions_out_total", .help = "Outbound TLS sessions, by what proved the host", .field = FIELD(tls_sessions_out),
	  .label = "by", .label_count = EVENT_PROOF_COUNT - 1, .label_text = label_of_proof },
	TOTAL("tls_resumed_in", tls_resumed_in, "Inbound TLS sessions resumed by a ticket"),
	TOTAL("tls_failures_in", tls_failures_in, "Inbound TLS handshakes that failed"),
	{ .name = "tls_certificate_end_seconds", .help = "When the first certificate in use ends, Unix time; 0: there is none",
	  .field = FIELD(tls_certificate_end), .kind = COUNTER_GAUGE },
	TOTAL("delivery_connections", delivery_connections, "Outbound connections"),
	TOTAL("delivery_connections_reused", delivery_connections_reused, "Transactions on a kept connection"),
	TOTAL("log_lines_dropped", log_lines_dropped, "Events that came to no line for want of memory"),
};
/* clang-format on */

static void show(const struct counters *c, const struct registered *r, counter_fn *fn, void *owner)
{
	const char *field = (const char *)c + r->field;
	struct counter_view view = {
		.kind = r->kind,
		.name = r->name,
		.help = r->help,
		.label = r->label,
		.unit = r->unit,
		.label_value = TEXT_EMPTY,
	};

	if (r->kind == COUNTER_HISTOGRAM) {
		view.histogram = (const struct histogram *)(const void *)field;
		fn(owner, &view);
		return;
	}
	const uint64_t *values = (const uint64_t *)(const void *)field;

	if (!r->label) {
		view.value = values[0];
		fn(owner, &view);
		return;
	}
	for (unsigned i = 0; i < r->label_count; i++) {
		view.label_value = r->label_text(i);
		view.value = values[i];
		fn(owner, &view);
	}
}

void counters_each(const struct counters *c, counter_fn *fn, void *owner)
{
	for (size_t i = 0; i < sizeof(registry) / sizeof(registry[0]); i++)
		show(c, &registry[i], fn, owner);
}
