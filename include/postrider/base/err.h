/* postrider/base/err.h - our own failures, as one small closed list.
 * Zero is success. What an SMTP peer said is never an err: that is a reply (postrider/smtp/reply.h). */
#ifndef POSTRIDER_BASE_ERR_H
#define POSTRIDER_BASE_ERR_H

#define MUST_USE __attribute__((warn_unused_result))
#define PRINTF_LIKE(format_at, first_at) __attribute__((format(printf, format_at, first_at)))

enum err {
	ERR_OK = 0,
	ERR_NOMEM,       /* memory ran out, or a budget for it */
	ERR_SYNTAX,      /* the input does not follow its grammar */
	ERR_TOO_BIG,     /* over a limit that the caller or the configuration set */
	ERR_MORE,        /* the input ends before the thing does: come again with more */
	ERR_NOT_FOUND,   /* no such thing, and asking again is no use */
	ERR_EXISTS,      /* there is one already */
	ERR_TIMEOUT,     /* no answer in time: asking later may help */
	ERR_CANCELLED,   /* whoever asked no longer wants it */
	ERR_CLOSED,      /* the other end is gone */
	ERR_REFUSED,     /* the other end said no (ECONNREFUSED and the like) */
	ERR_UNREACHABLE, /* no route to the other end */
	ERR_DENIED,      /* permissions */
	ERR_BUSY,        /* somebody else holds it, or there is too much already */
	ERR_FULL,        /* the disk or a reserve is full */
	ERR_IO,          /* the disk or a socket failed; never to be taken for "full" */
	ERR_DAMAGED,     /* a stored thing does not match its checksum */
	ERR_UNSUPPORTED, /* understood, and not to be had here */
	ERR_TLS,         /* a handshake or a record failed */
	ERR_CERTIFICATE, /* the peer's certificate is not the one demanded */
	ERR_TEMPORARY,   /* a passing failure of a helper (DNS SERVFAIL, ...) */
	ERR_CONFIG,      /* a setting is wrong; details were reported */
	ERR_COUNT
};

/* A short phrase for people, never NULL: "no such thing", "time-out". */
const char *err_text(enum err err);

/* From an errno value. EIO stays ERR_IO, ENOSPC and EDQUOT are ERR_FULL; what is not known is ERR_IO. */
enum err err_from_errno(int errno_value);

#endif
