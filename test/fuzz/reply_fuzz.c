/* What a server may send: replies, whole and in pieces, EHLO's among them. The first octet says how many octets arrive
 * at a time. */
#include <assert.h>

#include <postrider/base/auto.h>
#include <postrider/smtp/ehlo.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_reply(const struct reply *r)
{
	struct text enhanced = text_from(r->enhanced);

	assert(r->code >= 200 && r->code <= 599);
	assert(enhanced.len == 0 || (reply_is_enhanced(enhanced) && enhanced.at[0] - '0' == r->code / 100));
	assert(r->text.len <= REPLY_TEXT_MAX);
	for (size_t i = 0; i < r->text.len; i++)
		assert((unsigned char)r->text.at[i] >= ' ' || r->text.at[i] == '\n');
}

/* Said by us, it is one reply with the same codes. */
static void say_again(const struct reply *r)
{
	struct buf b = BUF(1u << 20);
	struct reply_reader reader;
	struct reply again;

	reply_add(&b, r);
	assert(!buf_err(&b));
	struct text input = buf_text(&b);
	reply_reader_init(&reader);
	enum err err = reply_read(&reader, &input, &again);

	assert(err == ERR_TOO_BIG || (err == ERR_OK && input.len == 0 && again.code == r->code));
	/* Without one of its own, words that look like an enhanced code become it. */
	assert(err || !r->enhanced[0] || text_eq(text_from(again.enhanced), text_from(r->enhanced)));
	reply_reader_fini(&reader);
	buf_fini(&b);
}

static void understand(const struct reply *r)
{
	struct ehlo e;
	uint64_t limit = 1;

	ehlo_parse(r, &e);
	(void)ehlo_has_auth(&e, TEXT("PLAIN"));
	if (ehlo_limit(&e, TEXT("RCPTMAX"), &limit) == ERR_OK)
		assert(limit > 0 && limit <= 999999);
}

/* All replies as lines in log; how it ended. */
static enum err read_in_steps(struct text octets, size_t step, struct buf *log)
{
	struct reply_reader r;
	size_t begin = 0, end = 0;
	enum err err = ERR_MORE;

	reply_reader_init(&r);
	while (end < octets.len && err == ERR_MORE) {
		end = MIN(end + step, octets.len);
		struct text input = text_of(octets.at + begin, end - begin);
		struct reply reply;

		while ((err = reply_read(&r, &input, &reply)) == ERR_OK) {
			check_reply(&reply);
			say_again(&reply);
			understand(&reply);
			reply_add_line(log, &reply);
			buf_add_octet(log, '\n');
		}
		begin = end - input.len;
	}
	reply_reader_fini(&r);
	return err;
}

/* Of a line that is both too long and ended by a bare LF, what is seen first is told: in pieces the length. */
static bool same_end(enum err whole, enum err pieces)
{
	return whole == pieces || (whole == ERR_SYNTAX && pieces == ERR_TOO_BIG);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole = BUF(1u << 22), pieces = BUF(1u << 22);

	if (size < 2 || size > 1u << 20)
		return 0;
	struct text octets = text_of((const char *)data + 1, size - 1);
	enum err err = read_in_steps(octets, octets.len, &whole);

	assert(same_end(err, read_in_steps(octets, data[0] + 1u, &pieces)));
	assert(text_eq(buf_text(&whole), buf_text(&pieces)));
	buf_fini(&whole);
	buf_fini(&pieces);
	return 0;
}
