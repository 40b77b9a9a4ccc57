/* postrider/deliver.h - outbound SMTP: connections to next hops, and mail transactions on them.
 *
 * `schedule` decides how many connections a destination has and what they carry; `deliver` finds the host
 * (MX, address lookup, the next address within the same attempt), speaks SMTP, and says what became of
 * each recipient. It knows no queue: a message is an envelope and a body_source. RFC 5321, 2920, 1870,
 * 6152, 3207; what a client asked for by parameters goes on: RFC 2852, 3030, 3461, 6531, 6710, 8689, 9422. */
#ifndef POSTRIDER_DELIVER_H
#define POSTRIDER_DELIVER_H

#include <postrider/auth/tokens.h>
#include <postrider/config.h>
#include <postrider/dns.h>
#include <postrider/io/disk.h>
#include <postrider/mail/body_source.h>
#include <postrider/mail/envelope.h>
#include <postrider/observe/observe.h>
#include <postrider/policy.h>
#include <postrider/smtp/ehlo.h>
#include <postrider/tls.h>

struct deliver; /* one for the process: TLS contexts, memory of hosts, own addresses */
struct deliver_connection;

struct deliver_options {
	struct io *io;
	struct dns *dns;
	const struct config *config; /* referenced */
	uint64_t seed;
	/* TLS towards an upstream or for direct delivery; NULL: mbedTLS. The simulated world gives its
	 * scripted layer. */
	enum err (*client_context)(void *owner, const struct tls_client_options *o, struct tls_context **out,
	                           struct buf *problem);
	void *client_context_owner;
	/* All these may be left zero. */
	struct io_disk *disk; /* of the CA files of upstreams, read at start and reload; NULL: the real one */
	/* Addresses of this machine: an MX that leads there leads back to us. Copied. Listeners with an
	 * address and direct.source count without being named here. */
	const struct ip *own;
	size_t own_count;
	struct policy *policy;   /* DANE and MTA-STS; NULL: nobody has either */
	struct observe *observe; /* for its counters */
	struct auth_tokens *tokens; /* for logins by token; NULL: there are none */
	struct buf *problem;     /* for people, with ERR_CONFIG; borrowed for the call */
};

/* ERR_CONFIG: a CA file that cannot be used, or no CA where one is needed. */
MUST_USE enum err deliver_new(const struct deliver_options *options, struct deliver **out);
/* A new snapshot: connections that are open go on under the old one until they are idle, then close. After
 * an error all is as before, and deliver_problem says what was wrong. */
MUST_USE enum err deliver_configure(struct deliver *d, const struct config *config);
struct text deliver_problem(const struct deliver *d);
/* A login that was refused is not tried again for a while, which grows from 1m to 4h: connections fail at once meanwhile, with
 * REASON_AUTH. This lets all be tried again at once. A success does too, and another credential is another login. */
void deliver_forgive_logins(struct deliver *d);
void deliver_free(struct deliver **d); /* no connection may be left */

/* One host and no other, by its name or, without one, by its address; all zero: any. */
struct deliver_only {
	uint64_t name;
	struct ip_port at;
};
/* Of "mx1.example.net [192.0.2.1]:25", as results name their host. */
struct deliver_only deliver_only_of(struct text remote);

/* Hosts that turned the message away in this attempt. */
struct deliver_except {
	struct ip_port at[4];
	unsigned count;
};

/* What a message cannot go without: a host that lacks it is passed over for the next one. All zero: nothing. */
struct deliver_needs {
	unsigned keywords; /* of enum ehlo_keyword; EHLO_REQUIRETLS also means a proved name */
	uint64_t bytes;    /* a SIZE limit may not be below it; 0: not known */
	int64_t by_time;   /* with EHLO_DELIVERBY */
	struct deliver_only only; /* others are passed over */
	struct deliver_except except; /* these are passed over */
	/* "TLS-Required: No" (RFC 8689 section 5): DANE and MTA-STS do not count. A connection that was opened for such mail carries
	 * no other. */
	bool tls_optional;
};

/* Of a message of so many octets, for whomever; and what one more recipient (its place in envelope->recipients) adds. */
struct deliver_needs deliver_needs_of(const struct envelope *e, uint64_t bytes);
void deliver_needs_add(struct deliver_needs *needs, const struct envelope *e, uint32_t recipient);
/* Whether whoever meets a meets b as well. */
bool deliver_needs_cover(const struct deliver_needs *a, const struct deliver_needs *b);

/* Where a connection leads. Copied. */
struct deliver_target {
	const struct config_way *way; /* of the current snapshot; without an upstream by the MX hosts of domain */
	struct text domain;           /* direct: lower case, or an address literal "[192.0.2.1]" */
	/* Hosts that do not meet them are left again. When that is why none remains, the failure is `lacking`. */
	struct deliver_needs needs;
	/* Of the way's own addresses those that are not used while it has others. */
	struct ip spared_sources[4];
	unsigned spared_source_count;
	/* With so many connections to an address, whatever their targets, another of the same preference is taken, or it waits
	 * in line. 0: no limit. */
	unsigned per_address;
};

/* What became of one recipient, or of a connection that never came to carry mail. Texts are borrowed for
 * the callback. */
enum deliver_kind {
	DELIVER_DELIVERED, /* 2xx to the dot for it */
	DELIVER_TRANSIENT, /* 4xx, a cut, a time-out, silence, DNS that may heal */
	DELIVER_PERMANENT, /* 5xx, null MX, no such domain */
	DELIVER_UNKNOWN,   /* the final dot went out and no answer came: transient, and may have arrived */
};

struct deliver_result {
	enum deliver_kind kind;
	enum reason reason;
	enum stage stage;
	int code;             /* reply code, 0: our own words */
	struct text enhanced; /* "4.7.1"; of the reply, or ours in its class; never empty */
	struct text reply;    /* "451 4.7.1 greylisted": as the peer said, cleaned; or our own sentence */
	bool from_peer;       /* reply is the peer's */
	struct text mx;       /* host name; empty when none was reached */
	struct ip_port remote, local; /* IP_NONE when none was reached */
	struct event_tls tls;
	struct text login_user, mechanism; /* of the login; empty: none was tried, or it has no name */
	struct event_ms ms;
	bool reused; /* the connection had carried mail before */
	/* The connection had carried mail before and ended, by cut or by 421, before the peer said
	 * anything to this job: it was certainly not delivered, and the fault is not its own. All
	 * recipients of the job alike. The caller may give it to another connection at once, without
	 * counting an attempt. Kind is DELIVER_TRANSIENT. */
	bool untouched;
	/* It was never tried: an address has as many connections as it may have, and too many wait there. Of a connection only. */
	bool crowded;
	/* No host gives what the message needs (deliver_target.needs); other messages may well go. */
	bool lacking;
	/* DELIVER_DELIVERED: the host offers DSN, and DELIVERBY: what was asked for is its business now. */
	bool keeps_dsn, keeps_by;
	bool is_final; /* DELIVER_DELIVERED: it is in the mailbox (LMTP), nobody will report on it any more */
};

/* One mail transaction: recipients of one message for one target. The caller's memory, untouched until
 * on_done. */
struct deliver_job {
	const struct envelope *envelope;
	const uint32_t *recipients; /* places in envelope->recipients */
	size_t recipient_count;     /* 1 .. what the caller's limit says */
	struct body_source *body;   /* taken over; released by deliver before on_done */
	void *owner;
	/* Nothing that the host could take for the whole message leaves before deliver_open_gate: asked for by on_gate. */
	bool gated;
};

struct deliver_events {
	/* It stands in line at an address (deliver_target.per_address); one that is there and has nothing to do had better go. */
	void (*on_waits)(void *owner, struct deliver_connection *c);
	/* The connection can take a job: deliver_send may be called from here or any time before it
	 * closes. Said after the greeting and EHLO (and TLS), and again whenever the next job may be
	 * given: towards a peer that pipelines that is while the answer to the last dot is still out. */
	void (*on_ready)(void *owner, struct deliver_connection *c);
	/* One recipient's result; index into job->recipients. Every recipient gets exactly one, before
	 * on_done. */
	void (*on_result)(void *owner, struct deliver_connection *c, struct deliver_job *job, size_t index,
	                  const struct deliver_result *result);
	void (*on_done)(void *owner, struct deliver_connection *c, struct deliver_job *job);
	/* Of a gated job: the host takes the mail data, for those recipients that have no result yet, and only its end is held
	 * back. deliver_open_gate may be called from inside, or later as long as the job is not done. */
	void (*on_gate)(void *owner, struct deliver_connection *c, struct deliver_job *job);
	/* Last of all. failure: why it never became ready (DNS, connect, greeting, TLS ...): what a
	 * message waiting for it comes to; NULL when it had been ready, and after deliver_finish or
	 * deliver_abort. A job in hand got its results before. */
	void (*on_closed)(void *owner, struct deliver_connection *c, const struct deliver_result *failure);
};

/* Begins to find and open a connection: hosts in order, each address in turn, until one is ready.
 * Callbacks come in later turns. An error: nothing was started (ERR_BUSY: over the descriptor budget: try
 * again later). */
MUST_USE enum err deliver_open(struct deliver *d, const struct deliver_target *target,
                               const struct deliver_events *events, void *owner,
                               struct deliver_connection **out);

/* Allowed once after each on_ready. The job's results come in later turns; on_result and on_done of jobs
 * in order. */
void deliver_send(struct deliver_connection *c, struct deliver_job *job);
/* on_ready was said and deliver_send not called since. */
bool deliver_is_ready(const struct deliver_connection *c);
/* Of one that is not ready: the address where it stands in line, and how many are there; false: it does not. */
bool deliver_waits(const struct deliver_connection *c, struct ip *ip, unsigned *count);
/* Of one that is ready: one of another target stands in line for its address. */
bool deliver_others_wait(const struct deliver_connection *c);
/* The names of the hosts that its target was found to have, so far as they fit; borrowed while it lives. */
size_t deliver_hosts(const struct deliver_connection *c, struct text *out, size_t max);
size_t deliver_in_flight(const struct deliver_connection *c);    /* jobs given and not done: 0, 1 or 2 */
unsigned deliver_sent_count(const struct deliver_connection *c); /* jobs given so far */
/* Of one that was ready and has not closed: its host, addresses, TLS, login and times, as a result has them. */
void deliver_describe(const struct deliver_connection *c, struct deliver_result *out);

/* For a connection that was ready: whether its host meets them (else the job's results say what it lacks), and what it
 * wants to be kept to (RFC 9422); SIZE_MAX: it does not say. */
bool deliver_meets(const struct deliver_connection *c, const struct deliver_needs *needs);
struct deliver_limits {
	size_t messages, recipients, domains; /* on the connection; of a message; of its recipients */
};
struct deliver_limits deliver_limits(const struct deliver_connection *c);

/* The end of a gated job's mail data may leave; or it may not, and its recipients are put off. */
void deliver_open_gate(struct deliver_connection *c, struct deliver_job *job, bool may);
/* Nobody wants this job done any longer. True: none of its recipients will be delivered from here on; results and on_done
 * still come. False: its final dot is out, so its host decides; all goes on as before. */
bool deliver_call_off(struct deliver_connection *c, struct deliver_job *job);
/* Of a connection that was ready: its host, by name and address. */
struct ip_port deliver_remote(const struct deliver_connection *c, struct text *host);

/* No more jobs: QUIT after what is in hand, then close (in the background; on_closed comes). One that is
 * not ready yet is given up. */
void deliver_finish(struct deliver_connection *c);
/* Now: what is in hand gets results (DELIVER_UNKNOWN after the dot, else DELIVER_TRANSIENT), then
 * on_closed, in a later turn. */
void deliver_abort(struct deliver_connection *c);

#endif
