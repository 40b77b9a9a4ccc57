/* Messages as local programs write them: line ends, then the header section as sendmail -t and the pick-up directory read
 * it. Whatever comes out as a mailbox is one that may stand in an SMTP command, and nothing that is for nobody is left.
 * The first octet says what is asked for, the second how many octets come at a time. */
#include <assert.h>

#include <postrider/mail/address_list.h>
#include <postrider/mail/header.h>
#include <postrider/mail/local_text.h>
#include <postrider/mail/submission.h>
#include <postrider/smtp/path.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_lines(struct text t, bool has_end)
{
	for (size_t i = 0; i < t.len; i++) {
		assert(t.at[i] != '\n' || (i > 0 && t.at[i - 1] == '\r'));
		assert(t.at[i] != '\r' || (i + 1 < t.len && t.at[i + 1] == '\n'));
	}
	assert(!has_end || t.len == 0 || text_ends(t, TEXT("\r\n")));
}

static void to_mail(struct text in, size_t step, bool dot_ends, struct buf *out)
{
	struct local_text l = { .dot_ends = dot_ends };

	for (; in.len > 0; in = text_skip(in, step))
		local_text_add(&l, text_head(in, step), out);
	local_text_finish(&l, out);
	check_lines(buf_text(out), true);
	/* a CR alone becomes a line end, and may so leave a dot alone: that is content by then */
	if (dot_ends && !l.has_bare_cr)
		assert(!text_starts(buf_text(out), TEXT(".\r\n")) &&
		       text_find(buf_text(out), TEXT("\n.\r\n")) == out->len);
}

static void check_mailbox(struct text mailbox)
{
	struct smtp_path path;

	assert(smtp_mailbox_parse_utf8(mailbox, &path) == ERR_OK && mailbox.at[0] != '-');
	for (size_t i = 0; i < mailbox.len; i++)
		assert((unsigned char)mailbox.at[i] >= ' ' && mailbox.at[i] != 0x7f);
}

static void check_header(const struct submission *s, bool x_fields)
{
	struct text rest = buf_text(&s->header);
	struct header_field field;

	check_lines(rest, false);
	while (header_next(&rest, &field)) {
		assert(!text_eq_nocase(field.name, TEXT("Bcc")) &&
		       !text_eq_nocase(field.name, TEXT("Resent-Bcc")));
		assert(!x_fields || !text_eq_nocase(field.name, TEXT("X-Receiver")));
	}
	assert(rest.len == 0);
}

static enum err no_control(void *owner, struct text mailbox)
{
	(void)owner;
	assert(mailbox.len > 0 && mailbox.len <= ADDRESS_MAX);
	for (size_t i = 0; i < mailbox.len; i++)
		assert(mailbox.at[i] && mailbox.at[i] != '\r' && mailbox.at[i] != '\n');
	return ERR_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2 || size > 100000)
		return 0;
	struct text in = text_of((const char *)data + 2, size - 2);
	struct buf mail = BUF(2 * size + 100), problem = BUF(10000);
	struct submission s = { 0 };
	struct submission_wanted wanted = { .recipients = data[0] & 1,
		                            .sender = data[0] & 2,
		                            .x_fields = data[0] & 4,
		                            .domain = data[0] & 8 ? TEXT("host.example") : TEXT_EMPTY };

	if (address_list_each(in, no_control, NULL))
		assert(true); /* most are none */
	to_mail(in, data[1] + 1u, data[0] & 16, &mail);
	struct text section = text_head(buf_text(&mail), header_section_bytes(buf_text(&mail)));
	enum err err = submission_read(section, &wanted, &s, &problem);

	assert(err == ERR_OK || problem.len > 0);
	if (!err) {
		check_header(&s, wanted.x_fields);
		for (size_t i = 0; i < s.recipient_count; i++)
			check_mailbox(s.recipients[i]);
		if (s.has_sender && s.sender.len > 0)
			check_mailbox(s.sender);
	}
	submission_fini(&s);
	buf_fini(&mail);
	buf_fini(&problem);
	return 0;
}
