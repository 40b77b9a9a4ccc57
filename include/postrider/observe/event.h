/* postrider/observe/event.h - what happened, one record each, one schema for log, history and (later) webhooks.
 * A room fills a struct event on its stack and gives it to observe_emit; everything in it is borrowed for that call. */
#ifndef POSTRIDER_OBSERVE_EVENT_H
#define POSTRIDER_OBSERVE_EVENT_H

#include <postrider/base/id.h>
#include <postrider/base/ip.h>
#include <postrider/observe/reason.h>

/* One `received` a message (rcpt -1, recipients says how many); `delivered`, `deferred`, `bounced`, `expired`, `held`,
 * `released` and `dropped` one a recipient. The first three carry the attempt that led there, with its host and times;
 * `attempt` is for one that decided nothing (the next address is tried in the same attempt). */
enum event_kind {
	/* of messages */
	EVENT_RECEIVED, EVENT_REJECTED, EVENT_ATTEMPT, EVENT_DELIVERED, EVENT_DEFERRED, EVENT_BOUNCED, EVENT_EXPIRED,
	EVENT_HELD, EVENT_RELEASED, EVENT_DROPPED, EVENT_REROUTED, EVENT_DRAINED,
	/* of clients: a login, good (info) or not (warn) */
	EVENT_AUTH,
	/* of the daemon */
	EVENT_STARTED, EVENT_READY, EVENT_RELOADED, EVENT_RELOAD_FAILED, EVENT_PAUSED, EVENT_RESUMED, EVENT_UPSTREAM_DOWN,
	EVENT_UPSTREAM_UP, EVENT_CERTIFICATE, EVENT_SPOOL_FULL, EVENT_STOPPING, EVENT_STOPPED, EVENT_WARNING, EVENT_ERROR,
	EVENT_COUNT
};

enum event_level { LEVEL_DEBUG, LEVEL_INFO, LEVEL_WARN, LEVEL_ERROR };

/* Milliseconds of each part of an attempt or of accepting; -1: there was no such part. */
struct event_ms {
	int32_t total, wait, queue, dns, connect, tls, auth, envelope, data;
};
#define EVENT_MS_NONE ((struct event_ms){ -1, -1, -1, -1, -1, -1, -1, -1, -1 })

/* What proved who the other side is. */
enum event_proof {
	EVENT_PROOF_UNSAID,
	EVENT_PROOF_NONE, EVENT_PROOF_CA, EVENT_PROOF_PIN, EVENT_PROOF_DANE, EVENT_PROOF_MTA_STS,
	EVENT_PROOF_COUNT
};

struct event_tls {
	struct text version;         /* "TLSv1.3"; empty: no TLS */
	struct text cipher;
	bool verified;
	enum event_proof by;         /* UNSAID: left out */
};

/* Empty texts, zero times and negative numbers are left out of the line; only a `from` that is empty and not NULL is
 * written, as "": the null reverse-path. Texts are cut at EVENT_TEXT_MAX octets. Start from EVENT(kind). */
struct event {
	enum event_kind kind;
	enum event_level level;
	bool has_id;
	struct id id;                /* of the message */
	int64_t rcpt;                /* its recipient's number, -1: all or none */
	int64_t recipients;          /* of a received message: how many it has */
	struct text message_id, from, to, orig_to, action;
	int64_t size, created_time, expires_time, next_attempt_time, attempt;
	int code;                    /* reply code, 0: none */
	struct text enhanced, response;
	enum stage stage;
	enum reason reason;
	struct text rule;            /* the rule that decided, as in the configuration: "access.senders" */
	struct text at;              /* where it stands: "postrider.yaml:35" */
	struct text route, upstream, mx;
	struct ip_port remote, local;
	struct event_tls tls;
	struct event_ms ms;
	struct text client_ip, client_helo, client_user, client_listener, client_protocol;
	struct text client_via;      /* who spoke for the client: a proxy's address */
	struct text mechanism;       /* of a login */
	struct text login_user, login_mechanism; /* whom we logged in as, at the next hop, and how */
	struct text serial;          /* of a certificate, hexadecimal */
	int64_t not_after_time;      /* its end */
	struct text subject;
	struct text detail;          /* of daemon events: a sentence for people */
	int64_t dropped;             /* of a warning: events that the log's reader did not take */
};

#define EVENT_TEXT_MAX 4096

#define EVENT(event_kind_value)                                                                                        \
	((struct event){ .kind = (event_kind_value), .level = LEVEL_INFO, .rcpt = -1, .recipients = -1, .size = -1,    \
	                 .attempt = -1, .dropped = -1, .ms = EVENT_MS_NONE })

struct text event_kind_text(enum event_kind kind);      /* "received", "reload_failed" */
struct text event_level_text(enum event_level level);   /* "debug" "info" "warn" "error" */
struct text event_proof_text(enum event_proof proof);   /* "none" "ca" "pin" "dane" "mta-sts" */

struct observe;
/* Cheap, never blocks, never fails: what does not fit is counted. On the loop's thread only. */
void observe_emit(struct observe *o, const struct event *e);

#endif
