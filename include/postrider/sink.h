/* postrider/sink.h - an SMTP server that takes everything and delivers nothing: for the demo, tests and benchmarks, and
 * for people who want to see what their application sends (`postrider sink`). It can greylist, refuse, be slow and forget
 * what it said, so that a relay has something to cope with. It knows nothing of the rest of postrider.
 *
 * Whom a recipient is refused for is in its local part, in any case of letters:
 *   refuse...   550 5.1.1 no such user              defer...   451 4.2.1 mailbox busy
 *   full...     452 4.2.2 mailbox full              block...   550 5.7.1 not wanted here
 *   content...  554 5.6.0 to the final dot          tempdot... 451 4.3.0 to the final dot
 *   busy...     421 4.3.2, and closes               drop...    takes the message, then closes without a word
 *   silent...   takes the message and says nothing more     grey...    451 4.7.1 the first time */
#ifndef POSTRIDER_SINK_H
#define POSTRIDER_SINK_H

#include <postrider/io/disk.h>
#include <postrider/io/stream.h>
#include <postrider/smtp/ehlo.h>
#include <postrider/tls.h>

struct sink;

/* A message that is being accepted; all borrowed for the call. */
struct sink_message {
	uint64_t session;   /* 1, 2, ... in the order of connections */
	uint64_t number;    /* of the message within its session */
	int64_t time;       /* UTC milliseconds */
	struct text client; /* "127.0.0.1:4711", "unix" */
	struct text helo;
	bool is_tls;
	struct text reverse_path;                /* empty: the null reverse-path */
	struct text parameters;                  /* of MAIL, as they came: "SIZE=100 BODY=8BITMIME" */
	const struct text *recipients;           /* those accepted */
	const struct text *recipient_parameters; /* of their RCPT: "NOTIFY=NEVER" */
	size_t recipient_count;
	struct text content; /* without dot-stuffing; empty unless it is kept or want_content is set */
	uint64_t content_bytes;
};

/* Runs before the 250 is said, from inside the session: it must not close the sink. */
typedef void sink_message_fn(void *owner, const struct sink_message *message);

/* What is offered when nothing is said about it. */
#define SINK_KEYWORDS (EHLO_PIPELINING | EHLO_SIZE | EHLO_8BITMIME | EHLO_ENHANCEDSTATUSCODES)
/* All that it knows; REQUIRETLS within TLS only. */
#define SINK_ALL_KEYWORDS                                                                               \
	(SINK_KEYWORDS | EHLO_CHUNKING | EHLO_BINARYMIME | EHLO_SMTPUTF8 | EHLO_DSN | EHLO_REQUIRETLS | \
	 EHLO_MT_PRIORITY | EHLO_DELIVERBY)

/* Zeroed but for io and address it takes everything and counts. */
struct sink_options {
	struct io *io;
	struct io_address address; /* port 0: a free one */
	struct text hostname;      /* empty: "sink.invalid" */
	unsigned keywords;         /* of SINK_ALL_KEYWORDS; 0: SINK_KEYWORDS */
	bool no_ehlo;              /* 502 to EHLO: a server from before 1993 */
	struct tls_context *tls;   /* offers STARTTLS; a reference is taken */
	uint64_t max_bytes;        /* of a message: 552 5.3.4; 0: 64 MiB */
	unsigned max_recipients;   /* of a message: 452 4.5.3; 0: 1000 */
	unsigned max_sessions;     /* 421 to the greeting; 0: as many as io gives */

	bool greylist;       /* the first try of a (reverse-path, forward-path): 451 4.7.1 */
	int64_t greylist_ms; /* and every other before so much time has passed */
	unsigned fail_ppm;   /* so many of a million recipients: 550 5.1.1 */
	unsigned defer_ppm;  /* ... 451 4.3.0 */
	int64_t slow_ms;     /* before the answer to the final dot */

	/* Both may be set. They are written in the disk lane, many messages a job, and the 250 is said when the write is
	 * done (not synced). Texts end with a NUL. */
	struct io_disk *disk;  /* NULL: io_disk_real() */
	const char *directory; /* per message NAME.eml, the content as it came, and NAME.json, the envelope */
	const char *ledger;    /* a file that gets a line for each message: see sink_ledger_line */
	struct text
		ledger_field; /* a header field ("X-Number") whose value goes into the ledger; empty: none */

	bool want_content;           /* on_message is to see the content */
	sink_message_fn *on_message; /* may be NULL */
	void *owner;
};

/* Everything in options is copied. ERR_BUSY: the address is in use. ERR_NOT_FOUND, ERR_DENIED, ...: the ledger or the
 * directory. */
MUST_USE enum err sink_open(const struct sink_options *options, struct sink **out);
const struct io_address *sink_address(const struct sink *s);
/* Sessions end without a word, at once as far as the caller can see: no callback afterwards. Jobs under way end by
 * themselves, and what they wrote may belong to a message that was never answered. */
void sink_close(struct sink **s);

/* What may be changed while it runs: from the next command on. */
void sink_set_faults(struct sink *s, unsigned fail_ppm, unsigned defer_ppm, int64_t slow_ms);

struct sink_counts {
	uint64_t sessions, messages, recipients,
		content_bytes;                 /* messages: answered 250, or dropped after they were taken */
	uint64_t deferred, refused;            /* 4xx and 5xx to RCPT and to the final dot */
	uint64_t greylisted;                   /* those of the deferred */
	uint64_t tls_sessions, bare_line_ends; /* bare CR or LF in content: nobody should send them */
	size_t open_sessions;
};
struct sink_counts sink_count(const struct sink *s);

/* The ledger's line, without its end, fields separated by HTAB: UTC milliseconds, session, number in the session,
 * reverse-path ("<>" when null), recipients with commas between, octets of the content, value of the field ("-" when there
 * is none). Controls in it are written as "?". */
void sink_ledger_line(struct buf *b, const struct sink_message *m, struct text field_value);

#endif
