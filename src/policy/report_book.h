/* policy/report_book.h - how TLS went, counted: for each day, each domain of recipients, each policy. Bounded; what does not fit
 * is counted too. No I/O. */
#ifndef POLICY_REPORT_BOOK_H
#define POLICY_REPORT_BOOK_H

#include <postrider/base/map.h>
#include <postrider/base/random.h>
#include <postrider/base/time.h>
#include <postrider/io/io.h>

#include "report.h"

#define REPORT_DOMAINS_MAX 20000
#define REPORT_BYTES_MAX (16u << 20) /* of all that is counted, also of days that are not reported yet */
#define REPORT_POLICIES_MAX 30       /* of one domain and day: each MX host with TLSA records is one */
#define REPORT_DETAILS_MAX \
	50 /* kinds of failure of one policy; others are one row for each type, without addresses */
#define REPORT_LINES_MAX (8u << 10) /* of one policy's words; longer ones are cut at a line */
#define REPORT_REASON_MAX 200

/* RFC 8460 section 4.4: policy-type */
enum report_type { REPORT_NO_POLICY, REPORT_STS, REPORT_TLSA };

struct report_detail {
	struct list link;
	enum policy_failure failure;
	struct ip local, remote; /* IP_NONE: not of one session */
	uint64_t count;
	struct text mx, reason;
	char octets[];
};

struct report_policy {
	struct list link;
	enum report_type type;
	struct text domain; /* the policy domain: of STS the recipients', of TLSA the base domain */
	struct text lines;  /* policy-string, with LF between */
	uint64_t successes, failures;
	struct list details;
	size_t detail_count;
	char octets[];
};

/* A domain on a day. */
struct report_domain {
	struct map_item by_name;
	struct list link; /* in the book's `open` or `closed` */
	int64_t day;      /* since 1970, UTC */
	struct list policies;
	size_t policy_count, bytes;
	uint64_t overflow; /* sessions with a policy beyond the bound */
	uint64_t nonce;    /* in the report's name */

	/* Of sending, which report.c does. */
	struct reports *reports;
	struct io_timer timer;
	struct list queued;
	unsigned tries;
	uint32_t sent; /* a bit for each place that has it */
	char name[];
};

struct report_book {
	struct map names; /* of the open day */
	struct list open, closed;
	int64_t day;
	size_t domains, bytes; /* open and closed */
	struct random random;
	uint64_t overflow; /* sessions of the open day that did not fit */
};

void report_book_init(struct report_book *b, uint64_t seed);
void report_book_fini(struct report_book *b);

/* What is open becomes closed if it is of another day than this one; true: there was something. */
bool report_book_turn(struct report_book *b, int64_t day);
/* Of the open day. False: it did not fit (or no memory), and was counted in overflow. */
bool report_book_note(struct report_book *b, const struct policy_report *note);
/* A fetch that failed: a failure of a policy of type sts that nobody has seen. */
bool report_book_note_fetch(struct report_book *b, struct text domain, enum policy_failure failure,
                            struct text problem);
void report_book_drop(struct report_book *b, struct report_domain *d);

/* For the disk. ERR_DAMAGED: it makes no sense; what was read before stays. */
void report_book_encode(const struct report_book *b, struct buf *out);
MUST_USE enum err report_book_decode(struct report_book *b, struct text record);

#endif
