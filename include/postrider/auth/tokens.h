/* postrider/auth/tokens.h - access tokens for logging in at upstreams (XOAUTH2, OAUTHBEARER). One struct auth_tokens serves the
 * process.
 *
 * Each `oauth2:` of the configuration is a source: a token_file, a token_command, or a token_url that is asked with a refresh
 * token (RFC 6749 section 6) or with the client's own credentials (section 4.4). All who wait for a token of one source wait for
 * one request. A token is kept until shortly before its end, and a new one is had when the old one was refused. A source that
 * fails is left alone for a while: meanwhile everybody hears at once what was wrong with it. Nothing of a token or of a secret
 * is ever in a text for people, and memory that held one is wiped. */
#ifndef POSTRIDER_AUTH_TOKENS_H
#define POSTRIDER_AUTH_TOKENS_H

#include <postrider/config.h>
#include <postrider/dns.h>
#include <postrider/io/disk.h>
#include <postrider/tls.h>

struct auth_tokens;
struct auth_token_wait; /* somebody who waits for one */
struct auth_command;    /* a command that runs */

/* The end of a token_command, once, in a later turn, except after `cancel`. ERR_OK: it ran, and ended with exit_code (128 + n:
 * by signal n). Texts are borrowed for the call; first_error is the first line of its standard error, as it came.
 * ERR_TIMEOUT: it was killed. ERR_TOO_BIG: it said too much. Others: it could not be run. */
typedef void auth_command_fn(void *owner, enum err err, int exit_code, struct text output,
                             struct text first_error);

/* Whoever can run commands: the process may not once its sandbox is shut. */
struct auth_commands {
	/* command is copied. An error: nothing was started. ERR_DENIED: not one of those that may be run. */
	enum err (*run)(void *owner, struct text command, struct auth_command **out, auth_command_fn *on_done,
	                void *done_owner);
	void (*cancel)(void *owner, struct auth_command **command); /* killed; no callback afterwards */
	void *owner;
};

struct auth_tokens_options {
	struct io *io;
	struct dns *dns;
	const struct config *config; /* referenced for the call only */
	struct io_disk *disk;        /* of the files that the configuration names */
	/* TLS towards a token_url; NULL: mbedTLS. */
	enum err (*client_context)(void *owner, const struct tls_client_options *o, struct tls_context **out,
	                           struct buf *problem);
	void *client_context_owner;
	struct auth_commands commands; /* run NULL: token_command fails */
	/* For the log: a sentence. is_bad: somebody has to do something. May be NULL. */
	void (*on_notice)(void *owner, bool is_bad, struct text what);
	void *owner;
};

/* problem (may be NULL) is for people. ERR_CONFIG: a ca_file that cannot be used. Reads files: for the start, and reloads. */
MUST_USE enum err auth_tokens_new(const struct auth_tokens_options *options, struct auth_tokens **out,
                                  struct buf *problem);
/* Sources that stay as they were keep their tokens. After an error all is as before. Those who wait at a source that is gone
 * hear ERR_TEMPORARY. */
MUST_USE enum err auth_tokens_configure(struct auth_tokens *t, const struct config *config,
                                        struct buf *problem);
/* Nobody hears anything any more: slots are set to NULL. Jobs in a lane may still be out: their memory goes when they end. */
void auth_tokens_free(struct auth_tokens **t);

struct auth_token {
	struct text
		value; /* free of control characters and spaces; borrowed for the call: whoever copies it wipes the copy */
	uint64_t serial; /* of this token, never 0 */
};

/* ERR_OK: a token. ERR_TEMPORARY: there is none now: problem is a sentence that names the source and what it said: the
 * delivery is deferred. ERR_NOMEM. token is NULL with an error. */
typedef void auth_token_fn(void *owner, enum err err, const struct auth_token *token, struct text problem);

/* login: of the present snapshot or an earlier one, with oauth2; not kept. refused: the serial of a token of the same login that
 * the server has just refused (535), so that another one is wanted; 0: none.
 * *slot holds the wait until on_token runs or auth_tokens_cancel(slot) is called; both set it to NULL first. on_token runs once, in
 * a later turn, never from inside this call. An error (ERR_NOMEM): nothing was started. */
MUST_USE enum err auth_tokens_get(struct auth_tokens *t, const struct config_login *login, uint64_t refused,
                                  struct auth_token_wait **slot, auth_token_fn *on_token, void *owner);
void auth_tokens_cancel(struct auth_token_wait **slot); /* *slot may be NULL */

/* Whether a login has a source of tokens. */
bool auth_login_has_tokens(const struct config_login *login);

#endif
