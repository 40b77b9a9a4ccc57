/* Header sections as they arrive, against the same in memory; what is made of them in a Received field and in a notice
 * must be clean whatever they say. The first octet says how many octets arrive at a time. */
#include <assert.h>

#include <postrider/mail/dsn.h>
#include <postrider/base/auto.h>
#include <postrider/mail/header.h>
#include <postrider/mail/trace.h>
#include <postrider/smtp/data.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void scan(struct text content, size_t step, struct header_scan *s)
{
	header_scan_init(s);
	for (; content.len; content = text_skip(content, step))
		assert(header_scan_feed(s, text_head(content, step)) == ERR_OK);
	header_scan_finish(s);
	assert(s->end != HEADER_OPEN);
}

static void check_scan(struct text content, size_t step)
{
	struct header_scan s;
	struct header_field field;
	struct text rest = content, first_subject = TEXT_EMPTY;
	unsigned received = 0, subjects = 0;

	scan(content, step, &s);
	while (header_next(&rest, &field)) {
		received += text_eq_nocase(field.name, TEXT("Received"));
		if (text_eq_nocase(field.name, TEXT("Subject")) && subjects++ == 0)
			first_subject = field.value;
	}
	assert(s.counts[HEADER_RECEIVED] == received && s.counts[HEADER_SUBJECT] == subjects);
	if (s.values[HEADER_SUBJECT].len < HEADER_VALUE_MAX) {
		struct buf b = BUF(content.len);

		header_unfold_add(&b, first_subject);
		assert(text_eq(text_trim(buf_text(&b)), header_scan_value(&s, HEADER_SUBJECT)));
		buf_fini(&b);
	}
	header_scan_fini(&s);
}

/* What is picked as it arrives is what is picked from memory, whole lines and bounded. */
static void check_pick(struct text content, size_t step)
{
	static const struct text names[] = { LIT("Subject"), LIT("X"), LIT("List-Id") };
	struct header_scan s;
	struct header_pick arriving, there;

	header_pick_init(&arriving, names, ARRAY_LEN(names));
	header_pick_init(&there, names, ARRAY_LEN(names));
	header_scan_init(&s);
	s.pick = &arriving;
	for (struct text rest = content; rest.len; rest = text_skip(rest, step))
		assert(header_scan_feed(&s, text_head(rest, step)) == ERR_OK);
	header_scan_finish(&s);
	header_pick_all(&there, content);
	assert(!header_pick_finish(&arriving) && !header_pick_finish(&there));
	assert(text_eq(buf_text(&arriving.lines), buf_text(&there.lines)));
	assert(there.lines.len && there.lines.len <= HEADER_PICK_MAX + 64);
	assert(there.lines.at[there.lines.len - 1] == '\n');
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		assert(header_pick_knows(buf_text(&there.lines), names[i]));
	header_scan_fini(&s);
	header_pick_fini(&arriving);
	header_pick_fini(&there);
}

static void check_lines(struct text t)
{
	assert(data_is_clean(t) && text_ends(t, TEXT("\r\n")));
	while (t.len)
		assert(text_cut(&t, '\n').len <= 999);
}

static void check_trace(struct text words)
{
	struct trace t = { .helo = text_head(words, 300),
		           .client_name = text_head(words, 255),
		           .hostname = TEXT("relay"),
		           .protocol = TEXT("ESMTP"),
		           .tls = text_head(words, 100),
		           .forward_path = text_head(words, 254) };
	struct buf b = BUF(10000);
	struct header_field field;

	trace_add_received(&b, &t);
	check_lines(buf_text(&b));
	struct text rest = buf_text(&b);

	assert(header_next(&rest, &field) && rest.len == 0);
	buf_fini(&b);
}

static void check_notice(struct text content, enum dsn_return returned)
{
	struct text words = text_head(content, 1000);
	struct dsn_recipient r = { .forward_path = text_head(words, 254),
		                   .original_path = text_head(words, 254),
		                   .status = text_head(words, 5),
		                   .reply = words,
		                   .from_peer = true,
		                   .explanation = words,
		                   .remote_mta = text_head(words, 255) };
	struct dsn d = { .hostname = TEXT("relay"),
		         .from = TEXT("postmaster"),
		         .to = TEXT("a@b"),
		         .message_id = text_head(words, 300),
		         .subject = words,
		         .recipients = &r,
		         .recipient_count = 1,
		         .returned = returned,
		         .original = content,
		         .original_bytes = content.len,
		         .returned_max_bytes = 2000 };
	struct buf b = BUF(100000);
	struct dsn_result result;

	dsn_add(&b, &d, &result);
	assert(!buf_err(&b) && data_is_clean(buf_text(&b)));
	buf_fini(&b);
	d.returned = DSN_RETURN_NOTHING;
	dsn_add(&b, &d, &result);
	check_lines(buf_text(&b));
	assert(!result.is_8bit);
	for (size_t i = 0; i < b.len; i++)
		assert((unsigned char)b.at[i] < 0x7f);
	buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2 || size > 100000)
		return 0;
	struct text content = text_of((const char *)data + 1, size - 1);

	check_scan(content, data[0] + 1u);
	check_pick(content, data[0] + 1u);
	check_trace(content);
	check_notice(content, data[0] & 1 ? DSN_RETURN_FULL : DSN_RETURN_HEADERS);
	return 0;
}
