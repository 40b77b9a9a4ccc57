/* SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, the server's side (RFC 5802, RFC 7677; channel binding by tls-exporter, RFC 9266).
 *
 *	C: n,,n=user,r=CNONCE          client-first-message = gs2-header client-first-message-bare
 *	S: r=CNONCE SNONCE,s=SALT,i=ITERATIONS
 *	C: c=biws,r=CNONCE SNONCE,p=PROOF
 *	S: v=SIGNATURE                 and the client's empty line, and 235
 *
 * Who is not there, or has no verifier, gets a salt that is always the same for the name, and fails at the proof. */
#include "internal.h"

#include <postrider/base/auto.h>
#include <postrider/base/base64.h>

#define NONCE_OCTETS 18
#define CLIENT_NONCE_MAX 512
#define HEADER_MAX 1024

void scram_init(struct scram_state *s)
{
	buf_init(&s->header, HEADER_MAX);
	buf_init(&s->bare, AUTH_LINE_MAX);
	buf_init(&s->server_first, AUTH_LINE_MAX);
}

void scram_fini(struct scram_state *s)
{
	buf_fini(&s->header);
	buf_fini(&s->bare);
	buf_fini(&s->server_first);
	crypto_wipe(&s->verifier, sizeof(s->verifier));
}

/* ---------------------------------------------------------------- the client's first message */

enum err saslname_decode(struct text t, struct buf *out)
{
	while (t.len) {
		if (t.at[0] != '=') {
			buf_add_octet(out, t.at[0]);
			t = text_skip(t, 1);
			continue;
		}
		if (text_starts_nocase(t, TEXT("=2C")))
			buf_add_octet(out, ',');
		else if (text_starts_nocase(t, TEXT("=3D")))
			buf_add_octet(out, '=');
		else
			return ERR_SYNTAX;
		t = text_skip(t, 3);
	}
	return buf_err(out);
}

bool gs2_parse(struct text *rest, struct gs2 *out)
{
	struct text all = *rest;

	if (text_find_octet(*rest, ',') == rest->len)
		return false;
	out->flag = text_cut(rest, ',');
	if (text_find_octet(*rest, ',') == rest->len)
		return false;
	out->identity = text_cut(rest, ',');
	out->header = text_head(all, all.len - rest->len);
	if (out->identity.len && !text_starts(out->identity, TEXT("a=")))
		return false;
	out->identity = text_skip(out->identity, 2);
	return text_eq(out->flag, TEXT("n")) || text_eq(out->flag, TEXT("y")) ||
	       text_starts(out->flag, TEXT("p="));
}

/* Why this flag does not do with this mechanism; NULL: it does. */
static const char *flag_fault(const struct auth_exchange *x, struct text flag)
{
	bool plus = x->mechanism->bit == AUTH_SCRAM_SHA_256_PLUS;

	if (plus != text_starts(flag, TEXT("p=")))
		return plus ? "SCRAM-SHA-256-PLUS without channel binding"
		            : "channel binding without SCRAM-SHA-256-PLUS";
	if (plus && !text_eq(flag, TEXT("p=tls-exporter")))
		return "a kind of channel binding other than tls-exporter";
	if (text_eq(flag, TEXT("y")) && x->plus_offered)
		return "the client saw no SCRAM-SHA-256-PLUS, which was offered: somebody stands between";
	return NULL;
}

static bool take_names(struct auth_exchange *x, struct text name, struct text identity)
{
	AUTO(buf_fini) struct buf decoded = BUF(AUTH_LINE_MAX), acts_for = BUF(AUTH_LINE_MAX);

	enum err err = saslname_decode(name, &decoded);

	if (!err)
		err = saslname_decode(identity, &acts_for);
	if (err) {
		exchange_failed(x, err, "a name with an equals sign that stands for nothing");
		return false;
	}
	if (!exchange_take_name(x, buf_text(&decoded)))
		return false;
	if (exchange_is_own_identity(x, buf_text(&acts_for)))
		return true;
	exchange_wrong(x, "an authorization identity that is another name");
	return false;
}

static bool is_nonce(struct text t)
{
	if (t.len == 0 || t.len > CLIENT_NONCE_MAX)
		return false;
	for (size_t i = 0; i < t.len; i++) {
		if (t.at[i] < 0x21 || t.at[i] > 0x7e)
			return false;
	}
	return true;
}

/* A verifier for whom there is none: it cannot be told from one, and no proof fits. */
static void pretend(struct auth_exchange *x, struct scram_state *s)
{
	const struct auth *auth = x->auth;
	const struct users *users = auth->users;
	struct scram_verifier *v = &s->verifier;
	char room[AUTH_NAME_MAX];
	struct text name = prep_fold(buf_text(&x->name), room);
	struct users_scram_kind kind = { SCRAM_LEAST_ITERATIONS, NONCE_OCTETS };
	struct text key = text_of((const char *)auth->pretence.words, sizeof(auth->pretence.words));

	if (users && users->kind_count)
		key = crypto_sha256_text(&users->pretence);
	for (unsigned i = 0; i < SCRAM_SALT_MAX / CRYPTO_SHA256_BYTES; i++) {
		const struct text pieces[] = { { i ? "2" : "1", 1 }, name };
		struct crypto_sha256 octets = crypto_hmac_sha256(key, pieces, 2);

		memcpy(v->room + i * CRYPTO_SHA256_BYTES, octets.at, CRYPTO_SHA256_BYTES);
	}
	if (users && users->kind_count)
		kind = users->kinds[(unsigned char)v->room[SCRAM_SALT_MAX - 1] % users->kind_count];
	v->salt = text_of(v->room, kind.salt_bytes);
	v->iterations = kind.iterations;
	random_octets(x->auth->io, v->stored.at, sizeof(v->stored.at));
	s->pretends = true;
}

/* Who is there costs as much time as who is not: the pretence is made for both. */
static void find_verifier(struct auth_exchange *x)
{
	struct user user;
	const char *why;

	pretend(x, &x->scram);
	if (!users_find(x->auth->users, buf_text(&x->name), &user) || !user.scram.len ||
	    scram_verifier_parse(user.scram, &x->scram.verifier, &why))
		return;
	x->scram.pretends = user.shut_out;
}

static void say_first(struct auth_exchange *x, struct text client_nonce)
{
	struct scram_state *s = &x->scram;
	char octets[NONCE_OCTETS];

	random_octets(x->auth->io, octets, sizeof(octets));
	buf_add_string(&s->server_first, "r=");
	buf_add(&s->server_first, client_nonce);
	base64_add(&s->server_first, text_of(octets, sizeof(octets)));
	s->nonce_len = s->server_first.len - 2;
	buf_add_string(&s->server_first, ",s=");
	base64_add(&s->server_first, s->verifier.salt);
	buf_add_format(&s->server_first, ",i=%u", (unsigned)s->verifier.iterations);
	if (buf_err(&s->server_first) || buf_err(&s->bare) || buf_err(&s->header))
		exchange_temporary(x, "no memory for a dialogue");
	else
		exchange_challenge(x, buf_text(&s->server_first));
}

static void take_first(struct auth_exchange *x, struct text octets)
{
	struct scram_state *s = &x->scram;
	struct text rest = octets;
	struct gs2 gs2;

	if (!gs2_parse(&rest, &gs2) || gs2.header.len > HEADER_MAX) {
		exchange_malformed(x, "no SCRAM message: it begins with n,, or y,, or p=");
		return;
	}
	struct text bare = rest, name = text_cut(&rest, ','), nonce = text_cut(&rest, ',');
	const char *fault = flag_fault(x, gs2.flag);

	/* What follows the nonce are extensions, which may be passed over; a mandatory one ("m=") stands first. */
	if (!text_starts(name, TEXT("n=")) || !text_starts(nonce, TEXT("r=")) ||
	    !is_nonce(text_skip(nonce, 2))) {
		exchange_malformed(x, "no SCRAM message: a name and a nonce are missing");
	} else if (fault) {
		exchange_wrong(x, fault);
	} else if (!take_names(x, text_skip(name, 2), gs2.identity)) {
		return;
	} else if (x->mechanism->bit == AUTH_SCRAM_SHA_256 && relay_knows(x, AUTH_SCRAM_SHA_256)) {
		relay_begin(x);
	} else {
		buf_add(&s->header, gs2.header);
		buf_add(&s->bare, bare);
		find_verifier(x);
		say_first(x, text_skip(nonce, 2));
	}
}

/* ---------------------------------------------------------------- and its last */

/* c=BASE64,r=NONCE[,extensions],p=PROOF */
struct final {
	struct text binding, nonce, without_proof, proof;
};

static bool parse_final(struct text octets, struct final *out)
{
	struct text rest = octets;
	size_t comma = text_find_last_octet(octets, ',');

	out->binding = text_cut(&rest, ',');
	out->nonce = text_cut(&rest, ',');
	out->without_proof = text_head(octets, comma);
	out->proof = text_skip(octets, comma + 1);
	if (!text_starts(out->binding, TEXT("c=")) || !text_starts(out->nonce, TEXT("r=")) ||
	    !text_starts(out->proof, TEXT("p=")))
		return false;
	out->binding = text_skip(out->binding, 2);
	out->nonce = text_skip(out->nonce, 2);
	out->proof = text_skip(out->proof, 2);
	return true;
}

/* The header of the first message again, and with -PLUS what both ends know of their TLS. */
static bool binding_fits(const struct auth_exchange *x, struct text chars)
{
	struct text header = buf_text(&x->scram.header), binding = TEXT_EMPTY;
	char said[HEADER_MAX + CHANNEL_BINDING_MAX];
	size_t len;

	if (x->mechanism->bit == AUTH_SCRAM_SHA_256_PLUS)
		binding = buf_text(&x->channel_binding);
	return base64_decode_to(chars, said, sizeof(said), &len) == ERR_OK &&
	       len == header.len + binding.len && crypto_equal(text_of(said, header.len), header) &&
	       crypto_equal(text_of(said + header.len, binding.len), binding);
}

static void say_signature(struct auth_exchange *x, const struct text *message, size_t count)
{
	struct crypto_sha256 signature = scram_signature(&x->scram.verifier, message, count);
	AUTO(buf_fini) struct buf last = BUF(64);

	buf_add_string(&last, "v=");
	base64_add(&last, crypto_sha256_text(&signature));
	if (buf_err(&last))
		exchange_temporary(x, "no memory for a dialogue");
	else
		exchange_challenge_then_done(x, buf_text(&last));
}

static void judge(struct auth_exchange *x)
{
	struct scram_state *s = &x->scram;
	struct final final;
	const struct text comma = LIT(",");
	char proof[CRYPTO_SHA256_BYTES];
	size_t len;

	if (!parse_final(buf_text(&x->message), &final) ||
	    base64_decode_to(final.proof, proof, sizeof(proof), &len) || len != sizeof(proof)) {
		exchange_malformed(x, "no SCRAM message: binding, nonce and proof of 32 octets are wanted");
		return;
	}
	const struct text message[] = { buf_text(&s->bare), comma, buf_text(&s->server_first), comma,
		                        final.without_proof };

	if (!text_eq(final.nonce, text_head(text_skip(buf_text(&s->server_first), 2), s->nonce_len)))
		exchange_wrong(x, "another nonce than was said");
	else if (!binding_fits(x, final.binding))
		exchange_wrong(
			x,
			"the channel binding does not fit: somebody stands between, or the client has a fault");
	else if (!scram_proof_fits(&s->verifier, message, ARRAY_LEN(message), text_of(proof, len)) ||
	         s->pretends)
		exchange_wrong(x, "wrong name or password");
	else
		say_signature(x, message, ARRAY_LEN(message));
}

void scram_take(struct auth_exchange *x, struct text octets)
{
	if (x->messages == 1)
		take_first(x, octets);
	else
		exchange_guarded(x, judge);
}
