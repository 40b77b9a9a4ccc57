/* policy/report_render.h - what a report looks like: JSON (RFC 8460 section 4), its compression, and the mail that carries it
 * (section 5.3). Functions of their arguments. */
#ifndef POLICY_REPORT_RENDER_H
#define POLICY_REPORT_RENDER_H

#include "report_book.h"

#define REPORT_ID_MAX 600

struct report_head {
	struct text organization, contact; /* contact: a mailbox */
	struct text submitter;             /* our host name */
};

/* "2026-11-22.3fa9c1d2.example.com@relay.example": the same at every try. */
void report_add_id(struct buf *out, const struct report_domain *d, struct text submitter);
/* "relay.example!example.com!1795305600!1795391999!3fa9c1d2.json.gz" (section 5.1) */
void report_add_file_name(struct buf *out, const struct report_domain *d, struct text submitter);
/* Failures are kept by the buf. */
void report_add_json(struct buf *out, const struct report_domain *d, const struct report_head *head);
/* gzip (RFC 1952). ERR_NOMEM; ERR_TOO_BIG: of out. */
MUST_USE enum err report_gzip(struct text t, struct buf *out);

struct report_mail {
	const struct report_domain *domain;
	struct report_head head;
	struct text to; /* a mailbox */
	struct id id;   /* of the message */
	int64_t now_time;
	struct text gzip;
};
/* The whole message, header and body, with CR LF; ASCII but for what `contact` holds. */
void report_add_mail(struct buf *out, const struct report_mail *m);

#endif
