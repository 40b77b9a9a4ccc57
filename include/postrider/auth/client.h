/* postrider/auth/client.h - logging in at somebody else's server: the client's half of SASL over SMTP (RFC 4954), as an engine
 * without I/O.
 *
 * SCRAM-SHA-256 and -PLUS (RFC 5802, 7677, 9266), PLAIN (RFC 4616), LOGIN, CRAM-MD5 (RFC 2195), EXTERNAL (RFC 4422), XOAUTH2,
 * OAUTHBEARER (RFC 7628). A server that shows that it does not know us (SCRAM's signature) is not logged in at. Whether the host
 * may be shown a credential at all is the caller's question: nothing here asks for TLS. */
#ifndef POSTRIDER_AUTH_CLIENT_H
#define POSTRIDER_AUTH_CLIENT_H

#include <postrider/base/buf.h>
#include <postrider/config.h>

/* Bits, the best first. */
enum auth_client_mechanism {
	AUTH_CLIENT_NONE = 0,
	AUTH_CLIENT_SCRAM_SHA_256_PLUS = 1 << 0,
	AUTH_CLIENT_SCRAM_SHA_256 = 1 << 1,
	AUTH_CLIENT_PLAIN = 1 << 2,
	AUTH_CLIENT_LOGIN = 1 << 3,
	AUTH_CLIENT_CRAM_MD5 = 1 << 4,
	AUTH_CLIENT_EXTERNAL = 1 << 5,
	AUTH_CLIENT_XOAUTH2 = 1 << 6,
	AUTH_CLIENT_OAUTHBEARER = 1 << 7,
};
#define AUTH_CLIENT_TOKENS (AUTH_CLIENT_XOAUTH2 | AUTH_CLIENT_OAUTHBEARER)

#define AUTH_CLIENT_LINE_MAX 12288 /* RFC 4954 section 4.5 */
#define AUTH_CLIENT_NONCE_OCTETS 18
#define AUTH_CLIENT_LEAST_ITERATIONS 4096 /* RFC 7677 section 4 */
#define AUTH_CLIENT_MOST_ITERATIONS 1000000
#define AUTH_CLIENT_ID_BYTES 32

const char *auth_client_name(enum auth_client_mechanism mechanism); /* "SCRAM-SHA-256-PLUS" */
/* "PLAIN, LOGIN" in the order of the bits; "none" for 0. */
void auth_client_add_names(struct buf *out, unsigned mechanisms);

/* Those of a server's AUTH keyword ("PLAIN LOGIN X-OWN") that we know. */
unsigned auth_client_offered(struct text list);
/* Those that this login has something for. has_certificate: we show one in the handshake; has_binding: the connection has a
 * channel binding. */
unsigned auth_client_usable(const struct config_login *login, bool has_certificate, bool has_binding);
/* NONE: there is none. */
enum auth_client_mechanism auth_client_best(unsigned mechanisms);

/* Stands for the credential of a login, without telling it: the same for the same name and secret, or source of tokens. */
void auth_client_id(const struct config_login *login, unsigned char out[AUTH_CLIENT_ID_BYTES]);

/* ---------------------------------------------------------------- one dialogue */

struct auth_client_start {
	enum auth_client_mechanism mechanism;
	const struct config_login *login; /* borrowed for the dialogue */
	struct text token;                /* for those that take one; borrowed for the call */
	struct text binding;              /* tls-exporter; empty: none. Borrowed for the call, as the next */
	struct text nonce;                /* AUTH_CLIENT_NONCE_OCTETS from the system, for SCRAM */
	bool plus_offered;                /* the server offers SCRAM-SHA-256-PLUS */
	struct text host;                 /* for OAUTHBEARER; borrowed for the dialogue */
	uint16_t port;
};

enum auth_client_next {
	AUTH_CLIENT_SEND,   /* auth_client_line goes out */
	AUTH_CLIENT_DERIVE, /* auth_client_derive, which takes time, then auth_client_derived */
	/* The server did not keep to the mechanism: auth_client_problem says how. "*" goes out, and the dialogue is lost. */
	AUTH_CLIENT_FAULT,
	/* The same, and the server is not who it should be: nothing more is shown to it. */
	AUTH_CLIENT_UNTRUSTED,
	AUTH_CLIENT_FAILED, /* no memory, or a name, password or token that cannot be sent: the problem says which */
};

/* What takes time of SCRAM: a copy, so that it may run on another thread. Wiped by _fini. */
struct auth_client_derivation {
	struct buf password, salt;
	uint32_t iterations;
	unsigned char client[32], stored[32], server[32];
};

struct auth_client {
	const struct config_login *login;
	enum auth_client_mechanism mechanism; /* NONE: no dialogue is under way */
	struct text host;
	uint16_t port;
	unsigned messages; /* challenges taken */
	struct buf line;   /* secret */
	struct buf
		message; /* the first one in base64: too long for the command, or asked for again; secret */
	struct buf token, sent; /* what must not be seen in the words of others; secret */
	const char *problem;
	struct auth_client_derivation derivation;
	struct buf header, bare, server_first, without_proof; /* of SCRAM */
	struct buf heard;            /* the error that a server gives with a refused token */
	size_t nonce_at;             /* in bare */
	unsigned char signature[32]; /* the one that the server must send */
	bool is_proved;              /* it did */
};

void auth_client_init(struct auth_client *c);
void auth_client_fini(struct auth_client *c); /* wipes; a zeroed one is fine */

/* The first line: "AUTH PLAIN ...". An initial response that would make it longer than a command may be (512 octets) waits for
 * the server's 334. SEND or FAILED. */
enum auth_client_next auth_client_begin(struct auth_client *c, const struct auth_client_start *start);
/* A 334: what stands behind it, as it came. */
enum auth_client_next auth_client_challenge(struct auth_client *c, struct text challenge);
/* Behind DERIVE and auth_client_take: SEND or FAILED. */
enum auth_client_next auth_client_derived(struct auth_client *c);
/* A 235. False: the server had to prove itself and did not: it is untrusted. */
bool auth_client_succeeded(struct auth_client *c);

/* Without its CR LF; wiped with the next step. */
static inline struct text auth_client_line(const struct auth_client *c)
{
	return buf_text(&c->line);
}

/* The sentence behind FAULT, UNTRUSTED, FAILED and a false auth_client_succeeded. */
static inline const char *auth_client_problem(const struct auth_client *c)
{
	return c->problem;
}

/* What a server said of a refused token, decoded; empty: nothing. Octets from outside. */
static inline struct text auth_client_heard(const struct auth_client *c)
{
	return buf_text(&c->heard);
}

/* c->derivation may be copied and worked on elsewhere; the copy's password has an error without memory. */
void auth_client_derivation_copy(struct auth_client_derivation *to,
                                 const struct auth_client_derivation *from);
void auth_client_derivation_fini(struct auth_client_derivation *d);
/* Milliseconds to half a second: in the CPU lane. Touches *d only. */
void auth_client_derive(struct auth_client_derivation *d);
/* What was derived elsewhere. */
void auth_client_take(struct auth_client *c, const struct auth_client_derivation *d);

/* Puts "***" in the place of what is secret of this dialogue, should the peer have said it back. */
void auth_client_hide(const struct auth_client *c, struct buf *words);

#endif
