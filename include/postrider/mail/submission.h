/* postrider/mail/submission.h - the header section of a message that a local program hands in without SMTP: who it is
 * from and for, and how it goes on its way. What sendmail -t and the pick-up directory have in common. */
#ifndef POSTRIDER_MAIL_SUBMISSION_H
#define POSTRIDER_MAIL_SUBMISSION_H

#include <postrider/base/buf.h>

#define SUBMISSION_RECIPIENTS_MAX 10000

struct submission_wanted {
	/* Recipients from To, Cc and Bcc; where there are Resent- fields, from those of the topmost group of such fields. */
	bool recipients;
	bool sender; /* the first mailbox of Resent-From or From, unless (Resent-)Sender says better */
	/* X-Sender and X-Receiver are the envelope where they are there, and go no further. */
	bool x_fields;
	struct text domain; /* given to a mailbox that has none; empty: such a one is refused */
};

struct submission {
	/* The section with CR LF, without the blank line: without Bcc, Resent-Bcc, Return-Path and Content-Length, which are
	 * for nobody behind us. */
	struct buf header;
	struct text *recipients; /* each one once, as smtp_mailbox_parse_utf8 takes it; they lie in `octets` */
	size_t recipient_count;
	bool has_sender;
	struct text sender;                 /* empty with has_sender: X-Sender: <> */
	unsigned dates, message_ids, froms; /* fields of that name: RFC 5322 wants one of each */

	struct buf octets;
	size_t *starts; /* of each recipient in octets */
	size_t room;
};

/* section: header fields with CR LF (header_section_bytes of them). ERR_SYNTAX, ERR_TOO_BIG: problem says what is wrong, in
 * a phrase that names the field. ERR_NOMEM. fini in every case. */
MUST_USE enum err submission_read(struct text section, const struct submission_wanted *wanted,
                                  struct submission *out, struct buf *problem);
void submission_fini(struct submission *s);

/* Checks a mailbox that came otherwise (an argument), gives it the domain, and adds it to out. What it refuses: what
 * smtp_mailbox_parse_utf8 does, controls among it, and a local part that begins with a hyphen (programs on the way take such a
 * one for a flag). */
MUST_USE enum err submission_add_mailbox(struct text mailbox, struct text domain, struct buf *out,
                                         struct buf *problem);

#endif
