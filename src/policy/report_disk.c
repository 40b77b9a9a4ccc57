/* The book as a record, so that a restart does not lose the day. */
#include <postrider/base/auto.h>
#include <postrider/mail/record.h>

#include "report_book.h"
#include "report_inside.h"
#include "sts_parse.h"

#define FORMAT 1
#define DAYS_MAX 400000 /* 3000 years */

enum { TAG_DAY = 1, TAG_DOMAIN = 2 };
enum {
	TAG_NAME = 1,
	TAG_DOMAIN_DAY = 2,
	TAG_POLICY = 3,
	TAG_OVERFLOW = 4,
	TAG_TRIES = 5,
	TAG_SENT = 6,
	TAG_NONCE = 7
};
enum {
	TAG_TYPE = 1,
	TAG_POLICY_DOMAIN = 2,
	TAG_LINES = 3,
	TAG_SUCCESSES = 4,
	TAG_FAILURES = 5,
	TAG_DETAIL = 6
};
enum { TAG_FAILURE = 1, TAG_LOCAL = 2, TAG_REMOTE = 3, TAG_MX = 4, TAG_REASON = 5, TAG_COUNT = 6 };

/* ---------------------------------------------------------------- writing */

/* Family and octets; nothing for none. */
static void add_ip(struct buf *out, unsigned tag, struct ip ip)
{
	char octets[17];
	size_t len = ip.family == IP_V4 ? 4 : 16;

	if (ip.family == IP_NONE)
		return;
	octets[0] = (char)ip.family;
	memcpy(octets + 1, ip.bytes, len);
	record_add_text(out, tag, text_of(octets, len + 1));
}

static void encode_detail(const struct report_detail *d, struct buf *out)
{
	size_t mark = record_open_field(out, TAG_DETAIL);

	record_add_u64(out, TAG_FAILURE, d->failure);
	add_ip(out, TAG_LOCAL, d->local);
	add_ip(out, TAG_REMOTE, d->remote);
	record_add_text(out, TAG_MX, d->mx);
	record_add_text(out, TAG_REASON, d->reason);
	record_add_u64(out, TAG_COUNT, d->count);
	record_close_field(out, mark);
}

static void encode_policy(const struct report_policy *p, struct buf *out)
{
	size_t mark = record_open_field(out, TAG_POLICY);

	record_add_u64(out, TAG_TYPE, p->type);
	record_add_text(out, TAG_POLICY_DOMAIN, p->domain);
	record_add_text(out, TAG_LINES, p->lines);
	record_add_u64(out, TAG_SUCCESSES, p->successes);
	record_add_u64(out, TAG_FAILURES, p->failures);
	for (LIST_EACH(it, &p->details))
		encode_detail(LIST_ITEM(it, const struct report_detail, link), out);
	record_close_field(out, mark);
}

static void encode_domain(const struct report_domain *d, struct buf *out)
{
	size_t mark = record_open_field(out, TAG_DOMAIN);

	record_add_text(out, TAG_NAME, d->by_name.key);
	record_add_i64(out, TAG_DOMAIN_DAY, d->day);
	record_add_u64(out, TAG_OVERFLOW, d->overflow);
	record_add_u64(out, TAG_TRIES, d->tries);
	record_add_u64(out, TAG_SENT, d->sent);
	record_add_u64(out, TAG_NONCE, d->nonce);
	for (LIST_EACH(it, &d->policies))
		encode_policy(LIST_ITEM(it, const struct report_policy, link), out);
	record_close_field(out, mark);
}

void report_book_encode(const struct report_book *b, struct buf *out)
{
	record_begin(out, FORMAT);
	record_add_i64(out, TAG_DAY, b->day);
	for (LIST_EACH(it, &b->closed))
		encode_domain(LIST_ITEM(it, const struct report_domain, link), out);
	for (LIST_EACH(it, &b->open))
		encode_domain(LIST_ITEM(it, const struct report_domain, link), out);
}

/* ---------------------------------------------------------------- reading */

static struct ip read_ip(struct record_reader *r, struct text value)
{
	struct ip ip = { 0 };

	if (value.len == 5 && value.at[0] == IP_V4)
		ip.family = IP_V4;
	else if (value.len == 17 && value.at[0] == IP_V6)
		ip.family = IP_V6;
	else
		r->err = ERR_DAMAGED;
	if (!r->err)
		memcpy(ip.bytes, value.at + 1, value.len - 1);
	return ip;
}

/* Nothing that was counted has controls; lines have LF between. */
static struct text words(struct record_reader *r, struct text value, char but)
{
	for (size_t i = 0; i < value.len; i++)
		if (((unsigned char)value.at[i] < ' ' || value.at[i] == 0x7f) && value.at[i] != but)
			r->err = ERR_DAMAGED;
	return value;
}

/* What does not fit is left out: the bounds may have been others when it was written. */
static enum err decode_detail(struct report_book *b, struct report_domain *d, struct report_policy *p,
                              struct text fields)
{
	struct report_detail like = { .failure = POLICY_SUCCEEDED }, *made;
	struct record_reader r;
	struct record_field f;

	record_open_inner(&r, fields);
	while (record_next(&r, &f)) {
		if (f.tag == TAG_FAILURE)
			like.failure = (enum policy_failure)record_u64(&r, &f, POLICY_STS_WEBPKI_INVALID);
		else if (f.tag == TAG_LOCAL)
			like.local = read_ip(&r, f.value);
		else if (f.tag == TAG_REMOTE)
			like.remote = read_ip(&r, f.value);
		else if (f.tag == TAG_MX)
			like.mx = words(&r, f.value, ' ');
		else if (f.tag == TAG_REASON)
			like.reason = words(&r, f.value, ' ');
		else if (f.tag == TAG_COUNT)
			like.count = record_u64(&r, &f, UINT64_MAX);
	}
	if (r.err || like.failure == POLICY_SUCCEEDED)
		return ERR_DAMAGED;
	made = report_detail_of(b, d, p, &like);
	if (made)
		made->count += like.count;
	return ERR_OK;
}

static enum err read_policy(struct report_policy *like, struct text fields)
{
	struct record_reader r;
	struct record_field f;

	record_open_inner(&r, fields);
	while (record_next(&r, &f)) {
		if (f.tag == TAG_TYPE)
			like->type = (enum report_type)record_u64(&r, &f, REPORT_TLSA);
		else if (f.tag == TAG_POLICY_DOMAIN)
			like->domain = words(&r, f.value, ' ');
		else if (f.tag == TAG_LINES)
			like->lines = words(&r, text_head(f.value, REPORT_LINES_MAX), '\n');
		else if (f.tag == TAG_SUCCESSES)
			like->successes = record_u64(&r, &f, UINT64_MAX);
		else if (f.tag == TAG_FAILURES)
			like->failures = record_u64(&r, &f, UINT64_MAX);
	}
	return r.err;
}

static enum err decode_policy(struct report_book *b, struct report_domain *d, struct text fields)
{
	struct report_policy like = { 0 }, *p;
	enum err err = read_policy(&like, fields);
	struct record_reader r;
	struct record_field f;

	if (err)
		return err;
	p = report_policy_of(b, d, like.type, like.domain, like.lines);
	if (!p)
		return ERR_OK;
	p->successes += like.successes;
	p->failures += like.failures;
	record_open_inner(&r, fields);
	while (!err && record_next(&r, &f))
		if (f.tag == TAG_DETAIL)
			err = decode_detail(b, d, p, f.value);
	return err;
}

static enum err read_head(struct report_domain *like, struct text *name, struct text fields)
{
	struct record_reader r;
	struct record_field f;

	record_open_inner(&r, fields);
	while (record_next(&r, &f)) {
		if (f.tag == TAG_NAME)
			*name = f.value;
		else if (f.tag == TAG_DOMAIN_DAY)
			like->day = record_i64(&r, &f);
		else if (f.tag == TAG_OVERFLOW)
			like->overflow = record_u64(&r, &f, UINT64_MAX);
		else if (f.tag == TAG_TRIES)
			like->tries = (unsigned)record_u64(&r, &f, UINT32_MAX);
		else if (f.tag == TAG_SENT)
			like->sent = (uint32_t)record_u64(&r, &f, UINT32_MAX);
		else if (f.tag == TAG_NONCE)
			like->nonce = record_u64(&r, &f, UINT64_MAX);
	}
	if (!r.err && (!sts_is_name(*name) || like->day < 0 || like->day > DAYS_MAX))
		return ERR_DAMAGED;
	return r.err;
}

static enum err decode_domain(struct report_book *b, struct text fields)
{
	struct report_domain like = { 0 }, *d;
	struct text name = TEXT_EMPTY;
	enum err err = read_head(&like, &name, fields);
	struct record_reader r;
	struct record_field f;

	if (err)
		return err;
	d = report_domain_of(b, name, like.day);
	if (!d)
		return ERR_OK;
	d->overflow += like.overflow;
	d->tries = like.tries;
	d->sent = like.sent;
	d->nonce = like.nonce;
	record_open_inner(&r, fields);
	while (!err && record_next(&r, &f))
		if (f.tag == TAG_POLICY)
			err = decode_policy(b, d, f.value);
	return err;
}

/* The day stands in front, once: so what is of it is open, and all else is closed. */
enum err report_book_decode(struct report_book *b, struct text record)
{
	struct record_reader r;
	struct record_field f;
	bool has_day = false;
	enum err err = ERR_OK;

	record_open(&r, record, FORMAT);
	while (!err && record_next(&r, &f)) {
		if (has_day == (f.tag == TAG_DAY))
			return ERR_DAMAGED;
		has_day = true;
		if (f.tag == TAG_DAY)
			report_book_turn(b, record_i64(&r, &f));
		else if (f.tag == TAG_DOMAIN)
			err = decode_domain(b, f.value);
	}
	return err ? err : r.err;
}
