/* postrider/smtp/command.h - what an SMTP client says (RFC 5321 section 4.1.1). All texts point into the
 * line. */
#ifndef POSTRIDER_SMTP_COMMAND_H
#define POSTRIDER_SMTP_COMMAND_H

#include <postrider/smtp/path.h>
#include <postrider/smtp/reply.h>

enum smtp_verb {
	SMTP_UNKNOWN = 0, /* 500 */
	SMTP_HELO,
	SMTP_EHLO,
	SMTP_LHLO,
	SMTP_MAIL,
	SMTP_RCPT,
	SMTP_DATA,
	SMTP_BDAT,
	SMTP_RSET,
	SMTP_NOOP,
	SMTP_QUIT,
	SMTP_VRFY,
	SMTP_EXPN,
	SMTP_HELP,
	SMTP_STARTTLS,
	SMTP_AUTH,
	SMTP_ETRN,
	SMTP_XCLIENT,
	SMTP_XFORWARD,
	SMTP_HTTP, /* GET, POST, PUT, CONNECT, ...: a browser led here; close (cross-protocol attack) */
	SMTP_VERB_COUNT
};

struct smtp_command {
	enum smtp_verb verb;
	struct text name; /* as written */
	struct text args; /* without white space at both ends; may be empty */
};

/* Splits a line (without CR LF). Verbs are known in any case of letters. ERR_SYNTAX: no verb at the front, or
 * a control octet other than HTAB anywhere. */
MUST_USE enum err smtp_command_parse(struct text line, struct smtp_command *out);

struct text smtp_verb_text(enum smtp_verb verb); /* "MAIL"; "" for SMTP_UNKNOWN */

/* ---------------------------------------------------------------- MAIL and RCPT */

#define SMTP_PARAMS_MAX 16

/* esmtp-param = esmtp-keyword ["=" esmtp-value] */
struct smtp_param {
	struct text keyword;
	struct text value; /* without "=" : empty, has_value false */
	bool has_value;
};

enum smtp_body { SMTP_BODY_NONE = 0, SMTP_BODY_7BIT, SMTP_BODY_8BITMIME, SMTP_BODY_BINARYMIME };

struct smtp_mail {
	struct smtp_path reverse_path;
	bool has_size;
	uint64_t size_bytes;                       /* RFC 1870; what does not fit is UINT64_MAX */
	enum smtp_body body;                       /* RFC 6152, RFC 3030 */
	struct smtp_param others[SMTP_PARAMS_MAX]; /* all others: 555 5.5.4 unless the session knows them */
	size_t other_count;
};

struct smtp_rcpt {
	struct smtp_path forward_path;
	struct smtp_param others[SMTP_PARAMS_MAX];
	size_t other_count;
};

/* args of MAIL: "FROM:" Reverse-path [SP Mail-parameters]. A space behind the colon is accepted: old devices
 * and libraries send it, and nothing else can be meant. ERR_SYNTAX: *refusal is what to answer (501 with
 * 5.1.7, 5.1.3, 5.5.2 or 5.5.4), its text is constant. */
MUST_USE enum err smtp_mail_parse(struct text args, struct smtp_mail *out, struct reply *refusal);
/* args of RCPT: "TO:" Forward-path [SP Rcpt-parameters] */
MUST_USE enum err smtp_rcpt_parse(struct text args, struct smtp_rcpt *out, struct reply *refusal);

#endif
