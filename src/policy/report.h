/* TLSRPT (RFC 8460): how TLS towards each domain went, counted for each day (UTC) and sent to those who ask for it. */
#ifndef POSTRIDER_POLICY_REPORT_H
#define POSTRIDER_POLICY_REPORT_H

#include <postrider/policy.h>

struct queue;
struct reports;

struct reports_options {
	struct io *io;
	struct dns *dns;
	const struct config *config; /* counted */
	struct observe *observe;
	struct queue *queue;   /* that reports by mail enter; NULL: they are not sent */
	struct io_disk *disk;  /* NULL: nothing outlives the process */
	struct text directory; /* copied; made when it is missing */
	uint64_t seed;
	int64_t newest_id_time; /* queue_newest_time */
	/* As in struct policy_options; for reports by https. */
	enum err (*client_context)(void *owner, const struct tls_client_options *o, struct tls_context **out,
	                           struct buf *problem);
	void *client_context_owner;
};

/* Reads what was kept: blocks shortly, for the start. ERR_NOMEM. */
MUST_USE enum err reports_new(const struct reports_options *options, struct reports **out);
void reports_configure(struct reports *r, const struct config *config);
void reports_free(struct reports **r); /* writes what was not kept yet */

/* policy_note: one session, or attempt at one. Nothing is kept unless tls_reports.send. With a host the type of the policy is
 * tlsa, else with a policy sts, else no-policy-found. Sessions for messages that may go without TLS (reports like these) are
 * not noted by whoever calls (RFC 8460 section 5). */
void report_note(struct reports *r, const struct policy_report *note);

/* A policy of MTA-STS that could not be had (RFC 8460 section 4.3.2.2): one for each attempt at its web site. */
void report_note_fetch(struct reports *r, struct text domain, enum policy_failure failure,
                       struct text problem);

/* What reports say of a host's TLSA records, beside policy_host_base (dane.c). Borrowed from the host. */
size_t policy_host_records(const struct policy_host *host, const struct tls_tlsa **out);

#endif
