/* What a client may send before its mail data: lines, verbs, paths and parameters. The first octet says how many octets
 * arrive at a time. */
#include <assert.h>
#include <stdlib.h>

#include <postrider/base/auto.h>
#include <postrider/base/utf8.h>
#include <postrider/smtp/command.h>
#include <postrider/smtp/parameter.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool lies_in(struct text part, struct text whole)
{
	return part.len == 0 || (part.at >= whole.at && part.at + part.len <= whole.at + whole.len);
}

/* Nothing that could break a line somewhere; UTF-8 only where it is well-formed. */
static void check_octets(struct text t)
{
	assert(utf8_is_valid(t));
	while (t.len) {
		uint32_t c;

		t = text_skip(t, utf8_length(t, &c));
		assert(c >= ' ' && !(c >= 0x7f && c < 0xa0) && c != 0x2028 && c != 0x2029);
	}
}

/* What was taken for a path can be sent on between angle brackets, and is the same path there. */
static void check_path(const struct smtp_path *path, struct text line)
{
	struct smtp_path again;
	struct buf b = BUF(SMTP_PATH_MAX);

	assert(lies_in(path->mailbox, line) && lies_in(path->local_part, line) &&
	       lies_in(path->domain, line));
	assert(path->local_part.len <= SMTP_LOCAL_PART_MAX && path->domain.len <= SMTP_DOMAIN_MAX);
	check_octets(path->mailbox);
	assert(path->is_utf8 == !utf8_is_ascii(path->mailbox));
	buf_add_octet(&b, '<');
	buf_add(&b, path->mailbox);
	buf_add_octet(&b, '>');
	assert(!buf_err(&b));
	struct text rest = buf_text(&b);

	if (path->domain.len || path->mailbox.len == 0)
		assert(smtp_reverse_path_parse(&rest, &again) == ERR_OK);
	else
		assert(smtp_forward_path_parse(&rest, &again) == ERR_OK);
	assert(rest.len == 0 && text_eq(again.mailbox, path->mailbox) && smtp_path_eq(&again, path));
	buf_fini(&b);
}

/* What a value was taken for can be said again in the same way. */
static void check_value(struct text value)
{
	struct text type;
	struct buf plain = BUF(1024), again = BUF(4096);
	struct smtp_by by;
	unsigned notify;
	int priority;
	int64_t ms;

	if (smtp_xtext_decode(value, &plain) == ERR_OK) {
		struct buf back = BUF(1024);

		smtp_xtext_add(&again, buf_text(&plain));
		assert(smtp_xtext_check(buf_text(&again)) && !smtp_xtext_decode(buf_text(&again), &back));
		assert(text_eq(buf_text(&back), buf_text(&plain)));
		buf_fini(&back);
	}
	buf_reset(&plain);
	if (!smtp_orcpt_check(value, false))
		assert(!smtp_orcpt_check(value, true));
	if (!smtp_orcpt_check(value, true)) {
		assert(smtp_orcpt_decode(value, &type, &plain) == ERR_OK && plain.len > 0 && type.len > 0);
		check_octets(buf_text(&plain));
	}
	if (!smtp_envid_check(value) || !smtp_submitter_check(value))
		assert(value.len > 0 && utf8_is_ascii(value));
	if (!smtp_notify_parse(value, &notify))
		assert(notify == SMTP_NOTIFY_NEVER || (notify && !(notify & ~14u)));
	if (!smtp_by_parse(value, &by))
		assert(by.seconds >= (by.returns ? 1 : -999999999) && by.seconds <= 999999999);
	if (!smtp_priority_parse(value, &priority))
		assert(priority >= -9 && priority <= 9);
	if (!smtp_hold_for_parse(value, &ms))
		assert(ms >= 1000 && ms <= INT64_C(999999999000));
	if (!smtp_hold_until_parse(value, &ms))
		assert(ms > -INT64_C(70000000000000) && ms < INT64_C(300000000000000));
	buf_fini(&plain);
	buf_fini(&again);
}

static void check_params(const struct smtp_param *params, size_t count, struct text line)
{
	assert(count <= SMTP_PARAMS_MAX);
	for (size_t i = 0; i < count; i++) {
		assert(params[i].keyword.len > 0 && lies_in(params[i].keyword, line) &&
		       lies_in(params[i].value, line));
		check_octets(params[i].value);
		assert(params[i].has_value == (params[i].value.len > 0));
		check_value(params[i].value);
		for (size_t k = 0; k < i; k++)
			assert(!text_eq_nocase(params[i].keyword, params[k].keyword));
	}
}

static void check_refusal(const struct reply *refusal)
{
	assert(refusal->code == 501 && reply_is_enhanced(text_from(refusal->enhanced)));
	check_octets(refusal->text);
}

static void try_line(struct text line)
{
	struct smtp_command c;
	struct smtp_mail mail;
	struct smtp_rcpt rcpt;
	struct reply refusal = { 0 };

	if (smtp_command_parse(line, &c))
		return;
	assert(lies_in(c.name, line) && lies_in(c.args, line) && c.name.len > 0);
	struct smtp_chunk chunk;

	if (smtp_chunk_parse(c.args, &chunk) == ERR_OK)
		assert(ascii_is_digit(c.args.at[0]));
	if (smtp_mail_parse(c.args, &mail, &refusal) == ERR_OK) {
		check_path(&mail.reverse_path, line);
		check_params(mail.others, mail.other_count, line);
	} else {
		check_refusal(&refusal);
	}
	if (smtp_rcpt_parse(c.args, &rcpt, &refusal) == ERR_OK) {
		assert(rcpt.forward_path.mailbox.len > 0);
		check_path(&rcpt.forward_path, line);
		check_params(rcpt.others, rcpt.other_count, line);
	} else {
		check_refusal(&refusal);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct line_reader r = line_reader(200);
	size_t step = size ? data[0] + 1u : 1, begin = 1, end = 1;

	while (end < size) {
		end = MIN(end + step, size);
		struct text whole = text_of((const char *)data + begin, end - begin), input = whole;
		struct line line;

		while (line_read(&r, &input, &line) == ERR_OK) {
			assert(line.text.len <= r.max_bytes && lies_in(line.text, whole));
			assert(text_find_octet(line.text, '\n') == line.text.len);
			if (line.fault == LINE_FINE)
				try_line(line.text);
		}
		assert(input.len <= r.max_bytes + 1);
		begin = end - input.len;
	}
	return 0;
}
