/* postrider/smtp/path.h - mailboxes and domains as SMTP writes them (RFC 5321 section 4.1.2 and 4.1.3, RFC 6531 section 3.3).
 * All texts point into the input. Control characters are refused everywhere; octets above 127 must be well-formed UTF-8, and
 * where they stand is_utf8 says that SMTPUTF8 is needed. */
#ifndef POSTRIDER_SMTP_PATH_H
#define POSTRIDER_SMTP_PATH_H

#include <postrider/base/buf.h>
#include <postrider/base/ip.h>

#define SMTP_LOCAL_PART_MAX 64
#define SMTP_DOMAIN_MAX 255
#define SMTP_PATH_MAX 256 /* with < and > */
#define SMTP_LABEL_MAX 63

struct smtp_path {
	struct text mailbox; /* all of it without a source route: "ann@example.com"; empty: the null path */
	struct text local_part; /* as written: a quoted one with its quotes */
	struct text domain; /* "example.com" or "[192.0.2.1]"; empty: the null path, or "postmaster" alone */
	bool is_literal;    /* the domain is an address literal; `literal` then is the address */
	bool is_utf8; /* not all ASCII: only with SMTPUTF8; the domain has been seen to have an ASCII form */
	struct ip literal;
};

/* These take a path in angle brackets from the front of *rest and leave what follows it. A source route
 * (<@a.example,@b.example:ann@example.com>) is accepted and dropped (appendix C). A path without angle
 * brackets is refused. ERR_SYNTAX, or ERR_TOO_BIG over one of the lengths above; *rest is as it was then.
 * Reverse-path = Path / "<>" */
MUST_USE enum err smtp_reverse_path_parse(struct text *rest, struct smtp_path *out);
/* Forward-path = Path / "<Postmaster>", in any case of letters */
MUST_USE enum err smtp_forward_path_parse(struct text *rest, struct smtp_path *out);

/* All of t without angle brackets: "ann@example.com", "\"a b\"@[192.0.2.1]". Neither null nor postmaster
 * alone. ASCII only: ERR_SYNTAX for others. */
MUST_USE enum err smtp_mailbox_parse(struct text t, struct smtp_path *out);
/* The same, UTF-8 too. */
MUST_USE enum err smtp_mailbox_parse_utf8(struct text t, struct smtp_path *out);

/* Labels of letters, digits, hyphens and (seen in the wild) underscores, with dots between; a hyphen neither
 * first nor last in a label; no dot at the end. ERR_SYNTAX or ERR_TOO_BIG. */
MUST_USE enum err smtp_domain_check(struct text domain);

/* Whether a character may stand in an address or a parameter: no control (C0, DEL, C1), no line or paragraph separator, no
 * surrogate, no noncharacter. */
bool smtp_code_point_is_fit(uint32_t code_point);

/* The domain as the DNS has it, in small letters, added to out: U-labels become A-labels (RFC 5890 section 2.3.2.1, UTS #46
 * without its transitional exceptions). Not for address literals. ERR_SYNTAX or ERR_TOO_BIG: no domain, nothing was added;
 * ERR_NOMEM. Allocates only for a domain that is not ASCII. */
MUST_USE enum err smtp_domain_to_ascii(struct text domain, struct buf *out);
/* A parsed path's mailbox with its domain so, added to out; what is ASCII stays as it was written. */
MUST_USE enum err smtp_mailbox_to_ascii_domain(const struct smtp_path *path, struct buf *out);

/* "[192.0.2.1]", "[IPv6:2001:db8::1]". General literals ("[tag:...]") are ERR_SYNTAX: no tag is
 * registered. */
MUST_USE enum err smtp_literal_parse(struct text t, struct ip *out);

/* The argument of EHLO or HELO: a domain or an address literal. Many real clients send neither; what is
 * refused for that is for the session to say (RFC 5321 section 4.1.4 forbids to refuse a name that merely
 * does not resolve). */
MUST_USE enum err smtp_helo_check(struct text helo);

/* What a local part means: a quoted one without its quotes and backslashes. "a.b" and "\"a.b\"" are the same
 * mailbox. */
void smtp_local_part_add(struct buf *b, struct text local_part);
/* The same mailbox: local parts by meaning, octet by octet; domains without regard to case. */
bool smtp_path_eq(const struct smtp_path *a, const struct smtp_path *b);

#endif
