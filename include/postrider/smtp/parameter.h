/* postrider/smtp/parameter.h - the values that service extensions give to parameters of MAIL and RCPT. Which of them are
 * to be had is for the session to say. */
#ifndef POSTRIDER_SMTP_PARAMETER_H
#define POSTRIDER_SMTP_PARAMETER_H

#include <postrider/base/buf.h>

/* ---------------------------------------------------------------- xtext */

/* xtext = *( xchar / hexchar )   xchar: "!" to "~" but "+" and "="   hexchar = "+" 2(%x30-39 / %x41-46)
 * (RFC 3461 section 4). */
bool smtp_xtext_check(struct text t);
/* What it stands for; may be any octets. ERR_SYNTAX: no xtext; nothing was added. */
MUST_USE enum err smtp_xtext_decode(struct text t, struct buf *out);
void smtp_xtext_add(struct buf *b, struct text t);

/* ---------------------------------------------------------------- values
 * These return NULL and set *out, or say in a few words what is wrong with the value (a constant string). */

#define SMTP_ENVID_MAX 100 /* RFC 3461 section 4.4 */
#define SMTP_ORCPT_MAX 500 /* section 4.2 */
#define SMTP_AUTH_MAX 500  /* RFC 4954 section 5 */

/* ENVID: xtext of printable ASCII. */
const char *smtp_envid_check(struct text value);

/* ORCPT: addr-type ";" xtext, and with utf8 also "utf-8;" in the forms of RFC 6533 section 3: utf-8-addr-xtext
 * everywhere, utf-8-addr-unitext where SMTPUTF8 was asked for. */
const char *smtp_orcpt_check(struct text value, bool smtputf8);
/* The address that ORCPT stands for, added to out; type points into value. ERR_SYNTAX. */
MUST_USE enum err smtp_orcpt_decode(struct text value, struct text *type, struct buf *out);

enum smtp_notify {
	SMTP_NOTIFY_NEVER = 1,
	SMTP_NOTIFY_SUCCESS = 2,
	SMTP_NOTIFY_FAILURE = 4,
	SMTP_NOTIFY_DELAY = 8,
};

/* NOTIFY: "NEVER" alone, or a list of the others with commas (RFC 3461 section 4.1); bits of enum smtp_notify. */
const char *smtp_notify_parse(struct text value, unsigned *out);

/* BY: by-time ";" by-mode ["T"] (RFC 2852 section 4). */
struct smtp_by {
	int64_t seconds; /* -999,999,999 to 999,999,999; above 0 with returns */
	bool returns;    /* R; else N */
	bool traces;
};
const char *smtp_by_parse(struct text value, struct smtp_by *out);

/* MT-PRIORITY: ["-"] NZDIGIT / "0" (RFC 6710 section 3). */
const char *smtp_priority_parse(struct text value, int *out);

/* HOLDFOR: seconds, 1*9DIGIT (RFC 4865 section 3). */
const char *smtp_hold_for_parse(struct text value, int64_t *out_ms);
/* HOLDUNTIL: a date-time of RFC 3339 (RFC 4865 erratum 2040). */
const char *smtp_hold_until_parse(struct text value, int64_t *out_time);

/* AUTH: "<>" or the xtext of a mailbox (RFC 4954 section 5). */
const char *smtp_submitter_check(struct text value);

/* ---------------------------------------------------------------- BDAT */

struct smtp_chunk {
	uint64_t bytes; /* what does not fit is UINT64_MAX */
	bool last;
};

/* chunk-size [ SP "LAST" ] (RFC 3030 section 2). ERR_SYNTAX: nobody knows how many octets follow. */
MUST_USE enum err smtp_chunk_parse(struct text args, struct smtp_chunk *out);

#endif
