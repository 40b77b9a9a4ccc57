/* postrider/sim.h - the simulated world: virtual time, a network and a disk in memory, seeded randomness.
 *
 * The same rooms run in it as in the daemon, on the same faces (io, disk, tls). Nothing in it waits: time jumps to the next
 * thing that is due. The same seed gives the same run, octet by octet; sim_trace says so in one number.
 *
 * Peers are ordinary users of io in the same world: whatever listens on an address here (sim_peer's scripts, the sink room)
 * is reached by io_connect. Octets travel in pieces of seeded lengths after seeded delays. */
#ifndef POSTRIDER_SIM_H
#define POSTRIDER_SIM_H

#include <postrider/io/disk.h>
#include <postrider/io/stream.h>
#include <postrider/tls.h>

struct sim;

struct sim_options {
	uint64_t seed;
	int64_t start_time;              /* UTC milliseconds; 0: 2026-01-01 */
	int64_t latency_ms;              /* one way, up to twice as much by seed; 0: 1 */
	bool whole_writes;               /* octets arrive as they were written, not in pieces */
	uint64_t disk_bytes;             /* the size of the disk; 0: 1 GiB */
};

MUST_USE enum err sim_new(const struct sim_options *options, struct sim **out);
/* Everything that lives in it must have been closed and sim_settle called. */
void sim_free(struct sim **s);

struct io *sim_io(struct sim *s);
struct io_disk *sim_disk(struct sim *s);

/* Lets the given time pass. */
void sim_run(struct sim *s, int64_t ms);
/* Until *flag is set, for limit_ms at most. False: it was not. */
bool sim_run_until(struct sim *s, const bool *flag, int64_t limit_ms);
/* Until nothing is under way and no timer runs, for limit_ms at most. */
void sim_settle(struct sim *s, int64_t limit_ms);

/* A number that every octet, datagram and job of the run so far went into, with its time. */
uint64_t sim_trace(const struct sim *s);

/* The wall clock is set while time goes on. */
void sim_set_clock(struct sim *s, int64_t utc_ms);

/* ---------------------------------------------------------------- network */

enum sim_reach {
	SIM_REACHABLE,
	SIM_REFUSED,             /* also where nobody listens */
	SIM_UNREACHABLE,
	SIM_SILENT,              /* no answer, ever: the caller's deadline ends it */
};
/* What happens to new connections towards an address (port 0: any port of it). */
MUST_USE enum err sim_set_reach(struct sim *s, struct ip_port to, enum sim_reach reach);
/* Every connection to or from this address ends now, as by a reset; what is on the way is lost. */
void sim_cut(struct sim *s, struct ip_port address);
/* The user of this stream says no more but goes on listening, as shutdown(2) does. */
void sim_half_close(struct io_stream *stream);
/* As if the machine had lost its network: all connections end now, what is on the way is lost, none can be made. */
void sim_isolate(struct sim *s, bool isolated);

/* A name server at an address, by a function: query in, answer out (nothing added: silence). */
typedef void sim_datagram_fn(void *owner, struct text query, struct buf *answer);
MUST_USE enum err sim_answer_datagrams(struct sim *s, struct ip_port at, sim_datagram_fn *answer, void *owner);

/* ---------------------------------------------------------------- disk */

/* Power is cut: what was not synced is lost or half there, by seed. Files open are of no more use. */
void sim_disk_crash(struct sim *s);
void sim_disk_set_size(struct sim *s, uint64_t bytes);
/* The write or sync after the next `count` ones fails with this error, and all later ones until it is set to ERR_OK. */
void sim_disk_fail_after(struct sim *s, uint64_t count, enum err err);

/* ---------------------------------------------------------------- TLS, by a script */

/* Words in the place of octets: a TLSA record or a pin is made of them as of the real ones (matching 0 and 1). */
struct sim_tls_certificate {
	struct text names;               /* separated by spaces; empty: it is for whatever is asked for */
	struct text octets, key;         /* empty: "certificate", "key" */
	struct text issuer;              /* of whom the server sends the certificate, and its key; empty: "issuer" */
};

struct sim_tls_script {
	bool handshake_fails;            /* ERR_TLS after the delay */
	bool certificate_is_bad;         /* leads to no CA: ERR_CERTIFICATE where the client verifies */
	struct sim_tls_certificate certificate;      /* of a server */
	int64_t delay_ms;
	enum tls_version version;        /* TLS_NONE: 1.3 */
	/* What tls_info of this end says of the other; the texts outlive the streams. */
	bool resumed, has_peer, peer_verified;
	struct text server_name;         /* empty: what the client asked for */
	struct text peer_name, peer_fingerprint;
	bool has_no_binding;             /* tls_channel_binding finds nothing; else both ends get the same octets */
};
/* Contexts whose streams tell each other in plain text that they are protected. Both ends must use these. */
MUST_USE enum err sim_tls_context(struct sim *s, bool server, bool verify, const struct sim_tls_script *script,
                                  struct tls_context **out);

/* ---------------------------------------------------------------- peers and names, by a script */

/* An SMTP server that does what its script says, once for each connection (the last script is used again and again):
 *
 *	S: 220 mx.example.net ESMTP     says a line (CR LF is added); several in a row leave in one write
 *	C: EHLO *                       expects a line; * stands for any octets, letters compare without case
 *	D:                              takes mail data up to the final dot
 *	B:                              takes a BDAT command with its octets; with LAST the message is there
 *	after 300 s                     waits (ms, s, m)
 *	S: drops                        cuts the connection
 *	tls                             goes on under TLS (sim_peer_use_tls)
 *	repeat                          back to the last line "again:"
 *
 * A line that was not expected is counted as wrong and answered 503. Lines beginning with # are passed over. */
struct sim_peer;

MUST_USE enum err sim_peer_new(struct sim *s, struct ip_port at, struct sim_peer **out);
MUST_USE enum err sim_peer_add_script(struct sim_peer *p, const char *script);
void sim_peer_use_tls(struct sim_peer *p, struct tls_context *context);      /* takes a reference */
void sim_peer_free(struct sim_peer **p);         /* closes; sim_settle afterwards */

unsigned sim_peer_connections(const struct sim_peer *p);
unsigned sim_peer_most_at_once(const struct sim_peer *p); /* connections that were open together */
unsigned sim_peer_wrong_lines(const struct sim_peer *p);
unsigned sim_peer_messages(const struct sim_peer *p);            /* taken with a final dot that was answered 2xx */
/* All mail data of message n as it came, dots still doubled, without the final dot; empty: no such message. */
struct text sim_peer_message(const struct sim_peer *p, unsigned n);
/* The dialogue so far: "C: ..." and "S: ..." lines with LF. */
struct text sim_peer_transcript(const struct sim_peer *p);

/* A name server that answers from lines as in a zone file, names absolute: "example.com. 300 MX 10 mx.example.com.".
 * A name with "SERVFAIL", "REFUSED" or "SILENCE" in the place of a TTL answers so to everything, or to questions for the type
 * behind it. What it does not know is NXDOMAIN, or no data when the name has other records. With "SECURE" everything from
 * that name down has the AD bit, with "INSECURE" nothing, the nearest line counts; a chain has it when each name has. */
struct sim_names;

MUST_USE enum err sim_names_new(struct sim *s, struct ip_port at, const char *zone, struct sim_names **out);
void sim_names_change(struct sim_names *n, const char *zone);    /* from now on */
unsigned sim_names_queries(const struct sim_names *n);
void sim_names_free(struct sim_names **n);

#endif
