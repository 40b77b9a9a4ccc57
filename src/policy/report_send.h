/* policy/report_send.h - one report to those who ask for it: the TXT record, the report itself, then each place in turn. */
#ifndef POLICY_REPORT_SEND_H
#define POLICY_REPORT_SEND_H

#include <postrider/base/id.h>

#include "report_render.h"

struct queue;
struct report_sending;

enum report_end {
	REPORT_SENT,        /* to at least one place, and to no other later */
	REPORT_NOBODY_ASKS, /* no TXT record of TLSRPT */
	REPORT_LATER,       /* the record or a place could not be reached: another try may help */
	REPORT_REFUSED,     /* no place takes it */
};

/* problem: a sentence for REPORT_LATER and _REFUSED; may be empty. Once, in a later turn; not after a cancel. */
typedef void report_end_fn(void *owner, enum report_end end, struct text problem);

struct report_send_options {
	struct io *io;
	struct dns *dns;
	struct queue *queue;     /* NULL: nothing goes by mail */
	struct tls_context *tls; /* one that verifies; NULL: nothing goes by https */
	struct observe *observe;
	struct id_source *ids;
	const struct config *config;  /* counted */
	struct report_domain *domain; /* must outlive it; `sent` is changed */
	report_end_fn *on_end;
	void *owner;
};

/* An error: nothing was started. */
MUST_USE enum err report_send_start(const struct report_send_options *options, struct report_sending **out);
void report_send_cancel(struct report_sending **s); /* NULL is fine; a message in the queue's hands goes on */

#endif
