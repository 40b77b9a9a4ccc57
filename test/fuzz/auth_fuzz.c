/* Dialogues of AUTH, whole: arbitrary mechanisms and lines, with users, certificates and backends or without. Nothing breaks,
 * each line gets one step and not from inside, and nobody is let in who did not say a right password, show a proof, have a
 * certificate, or come with a backend's word.
 *
 * The first three octets choose: bits (1 TLS, 2 channel binding, 4 a certificate, 8 Dovecot, 16 a checker of tokens, 32 few
 * failures are allowed, 64 lines go as they are and are not encoded first, 128 the client hangs up at the end), the mechanism
 * (7: the first line names it), and what backends say. The rest is lines with LF; in them octet 0x80 stands for the
 * server's nonce and 0x81 for the proof of somebody who knows the password. */
#include <assert.h>
#include <stdlib.h>

#include <postrider/base/base64.h>
#include <postrider/config.h>
#include <postrider/crypto.h>
#include <postrider/http/client.h>
#include <postrider/io/io.h>

#include "auth/internal.h"
#include "support/fake_io.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	IN_TLS = 1,
	BINDING = 2,
	CERTIFICATE = 4,
	DOVECOT = 8,
	TOKENS = 16,
	GUARDED = 32,
	RAW = 64,
	HANGS_UP = 128
};

#define PASSWORD "pencil"
#define USERS                                                                                          \
	"ann:$5$rounds=1000$saltsalt$1E80wIeNUk6Tw.cvgykgsGLDhE7YCS/mO7gtCEoKze9|{SCRAM-SHA-256}4096," \
	"W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,"                       \
	"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=:ann@example.com\n"                               \
	"shut:!$5$rounds=1000$saltsalt$1E80wIeNUk6Tw.cvgykgsGLDhE7YCS/mO7gtCEoKze9\n"                  \
	"dora:*\n"

struct fuzz {
	struct fake_io world;
	unsigned char bits, says;
	struct auth *auth;
	struct auth_backend dovecot, tokens;
	struct config_listener listener;
	struct auth_peer peer;
	struct auth_exchange *exchange;
	bool inside, has_step, is_over;
	unsigned steps;
	struct buf first, server_first; /* of SCRAM: the client's, the server's */
	bool said_password, said_proof, backend_said_yes;
};

/* ---------------------------------------------------------------- what auth is made of */

static enum err mark_file(void *owner, struct text path, struct auth_file_mark *out)
{
	(void)owner, (void)path;
	*out = (struct auth_file_mark){ .inode = 1, .bytes = sizeof(USERS) - 1, .mode = 0600 };
	return ERR_OK;
}

static enum err read_file(void *owner, struct text path, struct buf *out, struct buf *detail,
                          struct buf *hint)
{
	(void)owner, (void)path, (void)detail, (void)hint;
	buf_add_string(out, USERS);
	return buf_err(out);
}

struct auth_call {
	struct fuzz *fuzz;
	struct auth_call **slot;
	auth_result_fn *on_result;
	void *owner;
	unsigned messages;
	struct io_later later;
};

static unsigned dovecot_mechanisms(const struct auth_backend *b)
{
	return CONTAINER_OF(b, struct fuzz, dovecot)->says & 128
	               ? AUTH_PLAIN | AUTH_SCRAM_SHA_256 | AUTH_XOAUTH2
	               : AUTH_PLAIN;
}

static unsigned token_mechanisms(const struct auth_backend *b)
{
	(void)b;
	return AUTH_OAUTHBEARER | AUTH_XOAUTH2;
}

static void say(void *owner)
{
	struct auth_call *c = owner;
	struct fuzz *f = c->fuzz;
	enum auth_verdict verdict = f->says >> 2 * (c->messages++ % 3) & 3;
	const struct auth_result result = { .verdict = verdict,
		                            .octets = f->says & 64 ? TEXT("v=abc") : TEXT_EMPTY,
		                            .user = f->says & 32 ? TEXT("zoe") : TEXT("shut"),
		                            .why = TEXT("no") };
	auth_result_fn *on_result = c->on_result;
	void *to = c->owner;

	f->backend_said_yes |= verdict == AUTH_SAYS_YES;
	if (verdict != AUTH_SAYS_MORE) {
		*c->slot = NULL;
		free(c);
	}
	on_result(to, &result);
}

static void hear(struct auth_call *c, struct text octets)
{
	(void)octets;
	io_later_run(&c->fuzz->world.base, &c->later, say, c);
}

static enum err begin_call(struct fuzz *f, const struct auth_request *r, struct auth_call **slot)
{
	struct auth_call *c = calloc(1, sizeof(*c));

	assert(c && f->exchange);
	*c = (struct auth_call){ .fuzz = f, .slot = slot, .on_result = r->on_result, .owner = r->owner };
	*slot = c;
	hear(c, r->initial);
	return ERR_OK;
}

static enum err begin_dovecot(struct auth_backend *b, const struct auth_request *r, struct auth_call **slot)
{
	return begin_call(CONTAINER_OF(b, struct fuzz, dovecot), r, slot);
}

static enum err begin_tokens(struct auth_backend *b, const struct auth_request *r, struct auth_call **slot)
{
	for (size_t i = 0; i < r->initial.len; i++)
		assert(r->initial.at[i] > 0x20 && r->initial.at[i] < 0x7f); /* goes into a header field */
	return begin_call(CONTAINER_OF(b, struct fuzz, tokens), r, slot);
}

static void cancel(struct auth_call **slot)
{
	struct auth_call *c = *slot;

	*slot = NULL;
	if (c)
		io_later_cancel(&c->fuzz->world.base, &c->later);
	free(c);
}

static void close_backend(struct auth_backend **b)
{
	*b = NULL;
}

static const struct auth_backend_ops dovecot_ops = { dovecot_mechanisms, begin_dovecot, hear, cancel,
	                                             close_backend };
/* A checker of tokens never says MORE; when this one does, nobody may be let in by it. */
static const struct auth_backend_ops token_ops = { token_mechanisms, begin_tokens, hear, cancel,
	                                           close_backend };

static const struct config *load_config(void)
{
	static const struct text yaml = LIT("hostname: relay.example.com\naccess: {users_file: /users}\n");
	const struct config_sources sources = { .file = TEXT("fuzz.yaml"), .text = yaml };
	struct config_report report;
	const struct config *config = NULL;
	enum err err;

	config_report_init(&report);
	err = config_load(&sources, &config, &report);
	config_report_fini(&report);
	return err ? NULL : config;
}

/* Made once and kept: it never changes. */
static const struct config *the_config(void)
{
	static const struct config *config;

	if (!config)
		config = load_config();
	assert(config);
	return config;
}

static void open_auth(struct fuzz *f)
{
	struct buf problem = BUF(1024);
	const struct auth_options options = { .io = fake_io_init(&f->world),
		                              .config = the_config(),
		                              .mark_file = mark_file,
		                              .read_file = read_file };
	enum err err = auth_new(&options, &f->auth, &problem);

	assert(!err);
	buf_fini(&problem);
	f->dovecot.ops = &dovecot_ops;
	f->tokens.ops = &token_ops;
	if (f->bits & DOVECOT)
		f->auth->dovecot = &f->dovecot;
	if (f->bits & TOKENS)
		f->auth->token_check = &f->tokens;
	f->listener = (struct config_listener){ .name = TEXT("fuzz"), .auth = CONFIG_AUTH_OPTIONAL };
	if (f->bits & GUARDED)
		f->listener.per_client.auth_failures = (struct config_rate){ 2, MINUTE_MS };
	f->peer = (struct auth_peer){ .listener = &f->listener,
		                      .client = ip_from_v4(0xc0000201),
		                      .tls = f->bits & IN_TLS,
		                      .certificate_user = f->bits & CERTIFICATE ? TEXT("dora") : TEXT_EMPTY,
		                      .channel_binding =
		                              f->bits & BINDING ? TEXT("bindingbinding") : TEXT_EMPTY };
}

/* ---------------------------------------------------------------- what it says */

static bool may_be_let_in(const struct fuzz *f, const struct auth_step *step)
{
	return f->said_password || f->said_proof || f->backend_said_yes || step->mechanism == AUTH_EXTERNAL;
}

static void on_step(void *owner, const struct auth_step *step)
{
	struct fuzz *f = owner;

	assert(!f->inside && !f->has_step && !f->is_over);
	assert((step->kind == AUTH_CHALLENGE) == (f->exchange != NULL));
	f->has_step = true;
	f->is_over = step->kind != AUTH_CHALLENGE;
	f->steps++;
	if (step->kind == AUTH_CHALLENGE) {
		buf_reset(&f->server_first);
		assert(base64_decode(step->challenge, &f->server_first) == ERR_OK);
		return;
	}
	assert((step->kind == AUTH_DONE) == (step->user != NULL));
	assert(auth_words(step->kind).code == 235 ? step->kind == AUTH_DONE
	                                          : auth_words(step->kind).code >= 454);
	if (step->kind != AUTH_DONE)
		return;
	assert(may_be_let_in(f, step));
	assert(!text_eq(auth_user_name(step->user), TEXT("shut")));
	(void)auth_user_may_send(step->user, TEXT("ann@example.com"));
}

static void wait_for_step(struct fuzz *f)
{
	int64_t until_at = f->world.at_ms + 60000;

	for (fake_io_run(&f->world); !f->has_step; fake_io_run(&f->world)) {
		assert(f->world.wake_at <= until_at);
		f->world.at_ms = MAX(f->world.at_ms, f->world.wake_at);
	}
}

/* ---------------------------------------------------------------- what the client says */

static struct text server_nonce(const struct fuzz *f)
{
	struct text rest = buf_text(&f->server_first), nonce = text_cut(&rest, ',');

	return text_starts(nonce, TEXT("r=")) ? text_skip(nonce, 2) : TEXT_EMPTY;
}

static struct crypto_sha256 hmac(const struct crypto_sha256 *key, const struct text *pieces, size_t count)
{
	return crypto_hmac_sha256(crypto_sha256_text(key), pieces, count);
}

/* Of whoever knows the password, over what stands before it in the line. */
static void add_proof(struct fuzz *f, struct buf *line)
{
	struct text without = buf_text(line), rest = buf_text(&f->server_first);
	struct text bare = buf_text(&f->first), comma = LIT(","), piece;
	struct crypto_sha256 salted, key, stored, sum;
	struct buf salt = BUF(256);

	text_cut(&rest, ',');
	if (base64_decode(text_skip(text_cut(&rest, ','), 2), &salt) || salt.len != 16) {
		buf_fini(&salt);
		return;
	}
	text_cut(&bare, ',');
	text_cut(&bare, ',');
	if (text_ends(without, TEXT(",p=")))
		without.len -= 3;
	const struct text message[] = { bare, comma, buf_text(&f->server_first), comma, without };

	salted = crypto_pbkdf2_sha256(TEXT(PASSWORD), buf_text(&salt), 4096);
	key = hmac(&salted, &(struct text)LIT("Client Key"), 1);
	piece = crypto_sha256_text(&key);
	stored = crypto_sha256(&piece, 1);
	sum = hmac(&stored, message, ARRAY_LEN(message));
	for (size_t i = 0; i < sizeof(sum.at); i++)
		sum.at[i] ^= key.at[i];
	base64_add(line, crypto_sha256_text(&sum));
	f->said_proof = true;
	buf_fini(&salt);
}

/* Whether the password is among the texts between NULs, as it is or prepared (some characters are nothing). */
static void look_for_password(struct fuzz *f, struct text octets)
{
	while (octets.len) {
		struct text piece = text_cut(&octets, 0);
		struct buf prepared = BUF(1u << 16);

		f->said_password |= text_find(piece, TEXT(PASSWORD)) < piece.len;
		if (prep_add(piece, &prepared) == ERR_OK)
			f->said_password |= text_find(buf_text(&prepared), TEXT(PASSWORD)) < prepared.len;
		buf_fini(&prepared);
	}
}

/* A line of the input as the wire has it. */
static void make_line(struct fuzz *f, struct text t, struct buf *out)
{
	struct buf octets = BUF(1u << 16);

	for (size_t i = 0; i < t.len; i++) {
		if (t.at[i] == '\x80')
			buf_add(&octets, server_nonce(f));
		else if (t.at[i] == '\x81')
			add_proof(f, &octets);
		else
			buf_add_octet(&octets, t.at[i]);
	}
	if (f->first.len == 0)
		buf_add(&f->first, buf_text(&octets));
	look_for_password(f, buf_text(&octets));
	if (f->bits & RAW)
		buf_add(out, buf_text(&octets));
	else
		base64_add(out, buf_text(&octets));
	buf_fini(&octets);
}

/* What is encoded already may hold the password as well. */
static void look_inside(struct fuzz *f, struct text line)
{
	struct buf octets = BUF(1u << 16);

	if (base64_decode(line, &octets) == ERR_OK)
		look_for_password(f, buf_text(&octets));
	buf_fini(&octets);
}

static void begin(struct fuzz *f, unsigned which, struct text *rest)
{
	struct text mechanism = text_from(auth_mechanism_name(1u << which % 8));
	bool has_initial = which < 8;
	struct buf line = BUF(1u << 17);

	if (which % 8 == 7)
		mechanism = text_cut(rest, '\n');
	if (has_initial)
		make_line(f, text_cut(rest, '\n'), &line);
	look_inside(f, buf_text(&line));
	const struct auth_start start = { .peer = &f->peer,
		                          .mechanism = mechanism,
		                          .has_initial = has_initial,
		                          .initial = buf_text(&line),
		                          .on_step = on_step,
		                          .owner = f };

	f->inside = true;
	enum err err = auth_begin(f->auth, &start, &f->exchange);

	assert(!err);
	f->inside = false;
	buf_fini(&line);
}

static void answer(struct fuzz *f, struct text t)
{
	struct buf line = BUF(1u << 17);

	make_line(f, t, &line);
	look_inside(f, buf_text(&line));
	f->has_step = false;
	f->inside = true;
	auth_answer(f->exchange, buf_text(&line));
	f->inside = false;
	buf_fini(&line);
}

/* Dialogues one after the other, as a session has them after failures, until the input ends. */
static void talk(struct fuzz *f, unsigned which, struct text rest)
{
	for (unsigned i = 0; i < 4 && (i == 0 || rest.len); i++) {
		f->is_over = f->has_step = false;
		f->said_password = f->said_proof = f->backend_said_yes = false;
		buf_reset(&f->first);
		begin(f, which, &rest);
		while (rest.len || !(f->bits & HANGS_UP)) {
			wait_for_step(f);
			if (f->is_over)
				break;
			answer(f, rest.len ? text_cut(&rest, '\n') : TEXT("*"));
			if (!rest.len && f->bits & RAW && !(f->bits & HANGS_UP))
				wait_for_step(f);
			if (!rest.len)
				break;
		}
		auth_cancel(&f->exchange);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = { .first = BUF(1u << 17), .server_first = BUF(1u << 17) };

	if (size < 3 || size > 20000)
		return 0;
	f.bits = data[0];
	f.says = data[2];
	open_auth(&f);
	talk(&f, data[1] % 16, text_of((const char *)data + 3, size - 3));
	auth_free(&f.auth);
	fake_io_run(&f.world);
	fake_io_fini(&f.world);
	buf_fini(&f.first);
	buf_fini(&f.server_first);
	return 0;
}
