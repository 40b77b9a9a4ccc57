/* postrider/mail/trace.h - our Received field (RFC 5321 section 4.4). Return-Path is added by final delivery
 * only. */
#ifndef POSTRIDER_MAIL_TRACE_H
#define POSTRIDER_MAIL_TRACE_H

#include <postrider/base/id.h>
#include <postrider/base/ip.h>

struct trace {
	struct text helo; /* as the client said it: neutralised where it could break the field */
	struct ip client; /* IP_NONE: a Unix socket */
	/* Taken from a local program without SMTP, "userid 1000": then there is no From clause. */
	struct text local_user;
	struct text client_name; /* from the DNS, checked both ways; empty: not known */
	struct text hostname;    /* ours */
	struct text protocol;    /* with-keyword: "ESMTPS" */
	struct text tls;         /* "TLSv1.3 TLS_AES_128_GCM_SHA256"; empty: no TLS */
	bool repaired;           /* line ends were mended: said in a comment */
	bool utf8;               /* the field may have UTF-8 (RFC 6531 section 3.7.3) */
	struct id id;
	/* Of the only recipient, as the client gave it. Empty with several: none may learn of another. */
	struct text forward_path;
	int64_t received_time;
};

/* The whole field, folded, with its line end. */
void trace_add_received(struct buf *b, const struct trace *t);

/* With-keyword of RFC 3848: "SMTP", "ESMTP", "ESMTPS", "ESMTPA", "ESMTPSA"; with smtputf8 that of RFC 6531 section 4.3:
 * "UTF8SMTP", "UTF8SMTPS", "UTF8SMTPA", "UTF8SMTPSA". */
struct text trace_protocol(bool extended, bool tls, bool authenticated, bool smtputf8);

#endif
