#include "password.h"

#include <crypt.h>

#include <postrider/base/auto.h>
#include <postrider/crypto.h>

#include "prep.h"

_Static_assert(PASSWORD_HASH_MAX == CRYPT_OUTPUT_SIZE - 1, "as crypt.h has it");
_Static_assert(AUTH_PASSWORD_MAX < CRYPT_MAX_PASSPHRASE_SIZE, "as crypt.h has it");

/* Above, one password holds a thread of the lane for a second and more. */
#define BCRYPT_COST_MAX 14
#define SHA_ROUNDS_MAX 2000000
#define YESCRYPT_N_MAX 16 /* a power of two: 256 MiB */

/* digits: how many characters of the hash itself stand behind the last "$"; for bcrypt with the salt. */
static const struct {
	const char *prefix;
	const char *name;
	size_t digits;
} kinds[] = {
	{ "$y$", "yescrypt", 43 },      { "$gy$", "gost-yescrypt", 43 }, { "$7$", "scrypt", 43 },
	{ "$2b$", "bcrypt", 53 },       { "$2y$", "bcrypt", 53 },        { "$2a$", "bcrypt", 53 },
	{ "$6$", "SHA-512 crypt", 86 }, { "$5$", "SHA-256 crypt", 43 },
};

static const struct {
	const char *prefix;
	const char *what;
} refused[] = {
	{ "$1$", "an MD5 hash, which is too weak" },
	{ "$apr1$", "an MD5 hash (htpasswd makes one without -B), which is too weak" },
	{ "$2x$", "a hash of a bcrypt that had a fault" },
	{ "$3$", "an NT hash, which is too weak" },
	{ "$md5", "an MD5 hash, which is too weak" },
	{ "$sha1$", "a SHA-1 hash, which is too weak" },
	{ "_", "a DES hash, which is too weak" },
	{ "{SHA}", "a SHA-1 hash without a salt, which is too weak" },
	{ "{SSHA}", "a SHA-1 hash, which is too weak" },
	{ "{MD5}", "an MD5 hash, which is too weak" },
	{ "{PLAIN", "a password in clear" },
	{ "{CLEAR", "a password in clear" },
	{ "{SCRAM-SHA-1}", "a verifier for SCRAM-SHA-1, of which only SCRAM-SHA-256 is taken" },
	{ "{", "of a kind that is not known here" },
};

static bool is_digit(char c)
{
	return ascii_is_alnum(c) || c == '.' || c == '/';
}

static bool are_digits(struct text t)
{
	for (size_t i = 0; i < t.len; i++) {
		if (!is_digit(t.at[i]))
			return false;
	}
	return true;
}

/* crypt(3) takes no others, and reads up to a NUL. */
static bool is_printable(struct text t)
{
	for (size_t i = 0; i < t.len; i++) {
		if (t.at[i] <= 0x20 || t.at[i] > 0x7e)
			return false;
	}
	return true;
}

static const char *what_else(struct text hash)
{
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		if (text_starts(hash, text_from(refused[i].prefix)))
			return refused[i].what;
	}
	if (hash.len == 13 && are_digits(hash))
		return "a DES hash, which is too weak (or a password in clear)";
	return "no hash: it looks like a password in clear";
}

static const char *fault_of(const char *hash)
{
	switch (crypt_checksalt(hash)) {
	case CRYPT_SALT_INVALID:
		return "a hash that crypt(3) does not understand: its parameters are wrong";
	case CRYPT_SALT_METHOD_DISABLED:
		return "a hash that the libcrypt of this machine cannot check";
	default:
		return NULL;
	}
}

static bool bcrypt_costs_too_much(struct text hash)
{
	uint64_t cost = 0;

	return text_to_u64(text_head(text_skip(hash, 4), 2), BCRYPT_COST_MAX, &cost) != ERR_OK;
}

static bool sha_costs_too_much(struct text hash)
{
	struct text rest = text_skip(hash, 3), first = text_cut(&rest, '$');
	uint64_t rounds = 0;

	return text_starts(first, TEXT("rounds=")) &&
	       text_to_u64(text_skip(first, 7), SHA_ROUNDS_MAX, &rounds);
}

/* $y$jNr...: N in a digit of crypt's, for 2 to the power of one more; 4 KiB of memory each with the usual r. */
static bool yescrypt_costs_too_much(struct text hash)
{
	static const struct text digits =
		LIT("./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");

	return hash.len > 4 && hash.at[3] == 'j' && text_find_octet(digits, hash.at[4]) > YESCRYPT_N_MAX - 1;
}

static bool costs_too_much(struct text hash)
{
	if (text_starts(hash, TEXT("$2")))
		return bcrypt_costs_too_much(hash);
	if (text_starts(hash, TEXT("$y$")))
		return yescrypt_costs_too_much(hash);
	return sha_costs_too_much(hash);
}

const char *password_hash_kind(struct text hash, const char **why)
{
	size_t behind = text_find_last_octet(hash, '$') + 1;
	char copy[CRYPT_OUTPUT_SIZE];

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (!text_starts(hash, text_from(kinds[i].prefix)))
			continue;
		if (hash.len > PASSWORD_HASH_MAX || hash.len - MIN(behind, hash.len) != kinds[i].digits ||
		    !are_digits(text_skip(hash, behind)) || !is_printable(hash)) {
			*why = "a hash that is not whole: part of it was lost, or something was added";
			return NULL;
		}
		memcpy(copy, hash.at, hash.len);
		copy[hash.len] = 0;
		*why = fault_of(copy);
		if (!*why && costs_too_much(hash))
			*why = "a hash with a cost that is wrong, or so high that a login would take seconds";
		return *why ? NULL : kinds[i].name;
	}
	*why = what_else(hash);
	return NULL;
}

static bool try_one(struct crypt_data *room, const char *hash, struct text password)
{
	char copy[AUTH_PASSWORD_MAX + 1];
	const char *found;
	bool fits;

	if (password.len > AUTH_PASSWORD_MAX)
		return false;
	memcpy(copy, password.at, password.len);
	copy[password.len] = 0;
	found = crypt_rn(copy, hash, room, sizeof(*room));
	fits = found && crypto_equal(text_from(found), text_from(hash));
	crypto_wipe(copy, sizeof(copy));
	return fits;
}

enum err password_fits(struct text hash, struct text password, bool *fits)
{
	AUTO(free_memory) struct crypt_data *room = calloc(1, sizeof(*room));
	AUTO(free_memory) char *setting = text_dup(hash);
	AUTO(secret_fini) struct buf prepared = BUF(AUTH_PASSWORD_MAX);

	if (!room || !setting || !buf_reserve(&prepared, AUTH_PASSWORD_MAX))
		return ERR_NOMEM;
	*fits = try_one(room, setting, password);
	/* htpasswd and others hash what was typed, `users add` what SASLprep makes of it. */
	if (!*fits && prep_add(password, &prepared) == ERR_OK && !text_eq(buf_text(&prepared), password))
		*fits = try_one(room, setting, buf_text(&prepared));
	crypto_wipe(room, sizeof(*room));
	return ERR_OK;
}

enum err password_hash_add(struct buf *out, struct text password, struct text salt)
{
	AUTO(free_memory) struct crypt_data *room = calloc(1, sizeof(*room));
	char setting[CRYPT_GENSALT_OUTPUT_SIZE], copy[AUTH_PASSWORD_MAX + 1];
	const char *hash;

	if (!room)
		return ERR_NOMEM;
	if (password.len > AUTH_PASSWORD_MAX)
		return ERR_TOO_BIG;
	if (!crypt_gensalt_rn("$y$", 0, salt.at, (int)salt.len, setting, sizeof(setting)))
		return ERR_UNSUPPORTED;
	memcpy(copy, password.at, password.len);
	copy[password.len] = 0;
	hash = crypt_rn(copy, setting, room, sizeof(*room));
	if (hash)
		buf_add_string(out, hash);
	crypto_wipe(copy, sizeof(copy));
	crypto_wipe(room, sizeof(*room));
	return hash ? buf_err(out) : ERR_UNSUPPORTED;
}
