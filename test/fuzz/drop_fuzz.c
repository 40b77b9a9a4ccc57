/* Files of the drop directory, which any local user may write: what is read can be written again and says the same. */
#include <assert.h>

#include <postrider/mail/drop.h>
#include <postrider/smtp/path.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_mailboxes(const struct drop *d)
{
	struct smtp_path path;

	assert(d->to_count > 0 && d->to_count <= DROP_RECIPIENTS_MAX);
	assert(!d->from.len || !smtp_mailbox_parse_utf8(d->from, &path));
	for (size_t i = 0; i < d->to_count; i++)
		assert(text_eq_nocase(d->to[i], TEXT("postmaster")) ||
		       !smtp_mailbox_parse_utf8(d->to[i], &path));
}

static void check_again(const struct drop *d)
{
	struct buf b = BUF(DROP_HEAD_MAX), problem = BUF(1000);
	struct drop again;

	drop_add(&b, d);
	assert(!buf_err(&b));
	struct text rest = buf_text(&b);

	assert(drop_parse(&rest, &again, &problem) == ERR_OK && rest.len == 0);
	assert(text_eq(again.from, d->from) && again.to_count == d->to_count && again.notify == d->notify);
	assert(again.ret == d->ret && text_eq(again.envid, d->envid));
	for (size_t i = 0; i < d->to_count; i++)
		assert(text_eq(again.to[i], d->to[i]));
	drop_fini(&again);
	buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct text all = text_of((const char *)data, size), rest = all;
	struct buf problem = BUF(1000);
	struct drop d;
	enum err err = drop_parse(&rest, &d, &problem);

	if (err) {
		assert(rest.len == all.len && (err == ERR_MORE || err == ERR_TOO_BIG || problem.len > 0));
	} else {
		check_mailboxes(&d);
		check_again(&d);
		drop_fini(&d);
	}
	buf_fini(&problem);
	return 0;
}
