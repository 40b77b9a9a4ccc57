/* policy/report_txt.h - who asks for reports: the TXT record of TLSRPT (RFC 8460 section 3). */
#ifndef POLICY_REPORT_TXT_H
#define POLICY_REPORT_TXT_H

#include <postrider/base/arena.h>

#define REPORT_PLACES_MAX 10 /* more are passed over */

/* Where a report is wanted. */
struct report_place {
	bool is_mail;
	struct text to; /* a mailbox without angle brackets, or a URL (https:) */
};

struct report_places {
	struct report_place items[REPORT_PLACES_MAX];
	size_t count;
};

/* The TXT records of _smtp._tls.DOMAIN. Texts are of the arena. ERR_NOT_FOUND: nobody asks: none is of TLSRPT, several are, the
 * one is broken, or none of its URIs is one that can be used. ERR_NOMEM. */
MUST_USE enum err report_txt_parse(const struct text *records, size_t count, struct arena *arena,
                                   struct report_places *out);

#endif
