/* Certificates with their keys, and which of them are for a name. */
#include "mbed.h"

#include <stdlib.h>

#include <mbedtls/error.h>
#include <postrider/base/time.h>
#include <postrider/io/lane.h>

#define NAMES_MAX 1000
#define NAMES_MAX_BYTES (64u << 10)

/* ---------------------------------------------------------------- reading */

static enum err read_chain(struct mbed_pair *p, struct text pem, struct buf *problem)
{
	size_t size;
	char *copy = mbed_pem_copy(pem, &size);

	if (!copy)
		return ERR_NOMEM;
	int status = mbedtls_x509_crt_parse(&p->chain, (const unsigned char *)copy, size);

	mbed_pem_free(&copy, size);
	if (status == 0)
		return ERR_OK;
	if (status > 0)
		return mbed_wrong(problem, "a certificate of the chain cannot be read");
	mbed_add_error(problem, "the certificate cannot be read", status);
	return ERR_CONFIG;
}

static int parse_key(struct mbed_pair *p, const char *pem, size_t size, mbedtls_ctr_drbg_context *random)
{
	mbedtls_pk_context *key = &p->keys[p->key_count++];

	mbedtls_pk_init(key);
	return mbedtls_pk_parse_key(key, (const unsigned char *)pem, size, NULL, 0, mbedtls_ctr_drbg_random,
	                            random);
}

static enum err read_keys(struct mbed_pair *p, struct text pem, struct mbed_world *w, struct buf *problem)
{
	unsigned wanted = MIN(io_lane_threads(w->io, IO_LANE_CPU), (unsigned)KEYS_MAX);
	size_t size;
	char *copy = mbed_pem_copy(pem, &size);

	if (!copy)
		return ERR_NOMEM;
	int status = parse_key(p, copy, size, &w->random);

	while (!status && p->key_count < wanted && mbedtls_pk_can_do(&p->keys[0], MBEDTLS_PK_RSA))
		status = parse_key(p, copy, size, &w->random);
	mbed_pem_free(&copy, size);
	if (status == 0)
		return ERR_OK;
	if (status == MBEDTLS_ERR_PK_PASSWORD_REQUIRED || status == MBEDTLS_ERR_PK_PASSWORD_MISMATCH)
		return mbed_wrong(problem,
		                  "the key is protected by a password; it has to be stored without one");
	mbed_add_error(problem, "the key cannot be read", status);
	return ERR_CONFIG;
}

static enum err check_pair(struct mbed_pair *p, mbedtls_ctr_drbg_context *random, struct buf *problem)
{
	if (mbedtls_pk_check_pair(&p->chain.pk, &p->keys[0], mbedtls_ctr_drbg_random, random) != 0)
		return mbed_wrong(
			problem,
			"the key does not belong to the certificate (the first of the chain must be the "
			"server's own)");
	return ERR_OK;
}

/* ---------------------------------------------------------------- names */

/* First all octets, separated by spaces, which no name has; then the views of them. */
static void add_name(void *owner, struct text name)
{
	struct buf *b = owner;
	bool wild = text_starts(name, TEXT("*."));

	if (text_ends(name, TEXT(".")))
		name = text_head(name, name.len - 1);
	if (!mbed_is_host_name(text_skip(name, wild ? 2 : 0)))
		return;
	for (size_t i = 0; i < name.len; i++)
		buf_add_octet(b, ascii_lower(name.at[i]));
	buf_add_octet(b, ' ');
}

static enum err set_names(struct mbed_pair *p, struct text octets)
{
	size_t count = 0;

	for (size_t i = 0; i < octets.len; i++)
		count += octets.at[i] == ' ';
	count = MIN(count, (size_t)NAMES_MAX);
	if (count == 0)
		return ERR_OK;
	p->names = malloc(count * sizeof(*p->names) + octets.len);
	if (!p->names)
		return ERR_NOMEM;
	char *at = memcpy(p->names + count, octets.at, octets.len);
	struct text rest = text_of(at, octets.len);

	while (p->name_count < count)
		p->names[p->name_count++] = text_cut(&rest, ' ');
	return ERR_OK;
}

static enum err read_names(struct mbed_pair *p, const struct tls_certificate *from)
{
	AUTO(buf_fini) struct buf octets = BUF(NAMES_MAX_BYTES);

	for (size_t i = 0; i < from->name_count; i++)
		add_name(&octets, from->names[i]);
	if (from->name_count == 0)
		mbed_each_name(&p->chain, add_name, &octets);
	if (buf_err(&octets) == ERR_NOMEM)
		return ERR_NOMEM;
	return set_names(p, buf_text(&octets));
}

/* ---------------------------------------------------------------- facts */

static int64_t time_of(const mbedtls_x509_time *t)
{
	struct calendar c = { .year = t->year,
		              .month = t->mon,
		              .day = t->day,
		              .hour = t->hour,
		              .minute = t->min,
		              .second = t->sec };

	return time_from_calendar(&c);
}

static enum err set_facts(struct mbed_pair *p)
{
	AUTO(buf_fini) struct buf hex = BUF(1000);
	size_t len;

	mbed_add_hex(&hex, p->chain.serial.p, p->chain.serial.len);
	if (buf_err(&hex) == ERR_NOMEM)
		return ERR_NOMEM;
	p->serial = buf_take(&hex, &len);
	if (!p->serial)
		return ERR_NOMEM;
	p->facts = (struct tls_certificate_facts){
		.name = p->name_count > 0 ? p->names[0] : TEXT_EMPTY,
		.serial = text_of(p->serial, len),
		.not_before_time = time_of(&p->chain.valid_from),
		.not_after_time = time_of(&p->chain.valid_to),
		.rsa = mbedtls_pk_can_do(&p->chain.pk, MBEDTLS_PK_RSA),
	};
	return ERR_OK;
}

/* ---------------------------------------------------------------- life */

enum err mbed_pair_read(struct mbed_pair *p, const struct tls_certificate *from, struct mbed_world *w,
                        struct buf *problem)
{
	mbedtls_x509_crt_init(&p->chain);
	enum err err = read_chain(p, from->chain, problem);

	if (!err)
		err = read_keys(p, from->key, w, problem);
	if (!err)
		err = check_pair(p, &w->random, problem);
	if (!err)
		err = read_names(p, from);
	if (!err)
		err = set_facts(p);
	return err;
}

void mbed_pair_fini(struct mbed_pair *p)
{
	for (unsigned i = 0; i < p->key_count; i++)
		mbedtls_pk_free(&p->keys[i]);
	mbedtls_x509_crt_free(&p->chain);
	free(TAKE(p->names));
	free(TAKE(p->serial));
}

mbedtls_pk_context *mbed_pair_key(struct mbed_pair *p)
{
	return &p->keys[p->key_count > 1 ? atomic_fetch_add(&p->next_key, 1) % p->key_count : 0];
}

/* ---------------------------------------------------------------- choosing */

/* "*.example.com" is for a name with one label more (RFC 6125 section 6.4.3). */
static bool is_for(struct text pattern, struct text name, bool wildcards)
{
	if (!text_starts(pattern, TEXT("*.")))
		return !wildcards && text_eq(pattern, name);
	size_t label = text_find_octet(name, '.');

	return wildcards && label > 0 && label < name.len &&
	       text_eq(text_skip(pattern, 1), text_skip(name, label));
}

static bool pair_is_for(const struct mbed_pair *p, struct text name, bool wildcards)
{
	for (size_t i = 0; i < p->name_count; i++) {
		if (is_for(p->names[i], name, wildcards))
			return true;
	}
	return false;
}

int mbed_pairs_for(struct mbed_pair *pairs, size_t count, struct text name, mbed_pair_fn *each, void *owner,
                   size_t *found)
{
	bool has[2] = { false, false }; /* a certificate for exactly this name, with ECDSA, with RSA */

	*found = 0;
	for (unsigned wildcards = 0; wildcards < 2; wildcards++) {
		for (size_t i = 0; i < count; i++) {
			if ((wildcards && has[pairs[i].facts.rsa]) ||
			    !pair_is_for(&pairs[i], name, wildcards))
				continue;
			has[pairs[i].facts.rsa] |= !wildcards;
			++*found;
			int status = each(owner, &pairs[i]);

			if (status)
				return status;
		}
	}
	return 0;
}
