/* Mail data in both directions, held against the decoder and the encoder that read octet by octet. The first octet says
 * how many octets arrive at a time. */
#include <assert.h>

#include <postrider/base/auto.h>
#include <postrider/smtp/data.h>

#include "support/mail_data.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Returns how many octets were used; *ended says whether the end was among them. */
static size_t decode(struct text wire, size_t step, struct data_decoder *d, struct buf *content, bool *ended)
{
	size_t used = 0;

	data_decoder_init(d);
	*ended = false;
	while (used < wire.len && !*ended) {
		struct text input = text_head(text_skip(wire, used), step), span;
		size_t offered = input.len;
		enum data_event event;

		while ((event = data_decode(d, &input, &span)) == DATA_SPAN) {
			assert(span.len > 0);
			buf_add(content, span);
		}
		*ended = event == DATA_END;
		used += offered - input.len;
	}
	return used;
}

static void check_decoder(struct text wire, size_t step)
{
	struct data_decoder d;
	struct buf content = BUF(wire.len + 1);
	struct plain_data p;
	bool ended;
	size_t used = decode(wire, step, &d, &content, &ended);

	plain_data_decode(&p, wire);
	assert(text_eq(buf_text(&content), buf_text(&p.content)));
	assert(ended == p.ended && used == p.used);
	assert(d.content_bytes == p.content.len && d.bare_lf_count == p.bare_lf &&
	       d.bare_cr_count == p.bare_cr);
	assert(d.nul_count == p.nul && d.nul_first_count == p.nul_first && d.has_8bit == p.has_8bit &&
	       d.long_line_count == p.long_lines);
	plain_data_fini(&p);
	buf_fini(&content);
}

static bool encode(struct text content, size_t step, struct buf *wire)
{
	struct data_encoder e;
	struct text span;
	enum err err = ERR_MORE;

	data_encoder_init(&e);
	for (; content.len && err == ERR_MORE; content = text_skip(content, step)) {
		struct text piece = text_head(content, step);

		while ((err = data_encode(&e, &piece, &span)) == ERR_OK)
			buf_add(wire, span);
	}
	if (err != ERR_MORE || data_encode_end(&e, &span))
		return false;
	buf_add(wire, span);
	return true;
}

static void check_encoder(struct text content, size_t step)
{
	struct buf wire = BUF(content.len * 2 + 10), plain = BUF(content.len * 2 + 10),
		   back = BUF(content.len + 10);
	bool done = encode(content, step, &wire), ended;
	struct data_decoder d;

	assert(done == plain_data_encode(content, &plain));
	assert(done == data_is_clean(content));
	if (done) {
		assert(text_eq(buf_text(&wire), buf_text(&plain)));
		assert(decode(buf_text(&wire), step, &d, &back, &ended) == wire.len && ended);
		assert(d.bare_cr_count == 0 && d.bare_lf_count == 0);
		if (content.len && !text_ends(content, TEXT("\r\n")))
			buf_cut(&back, back.len - 2);
		assert(text_eq(buf_text(&back), content));
	}
	buf_fini(&wire);
	buf_fini(&plain);
	buf_fini(&back);
}

static void check_repairer(struct text content, size_t step, bool has_dots)
{
	struct data_repairer r;
	struct buf out = BUF(content.len * 2 + 10), plain = BUF(content.len * 2 + 10);
	struct text span;

	data_repairer_init(&r, has_dots);
	for (struct text rest = content; rest.len; rest = text_skip(rest, step)) {
		struct text piece = text_head(rest, step);

		while (data_repair(&r, &piece, &span) == ERR_OK) {
			assert(span.len > 0);
			buf_add(&out, span);
		}
	}
	while (data_repair_end(&r, &span) == ERR_OK)
		buf_add(&out, span);
	plain_data_repair(content, has_dots, &plain);
	assert(text_eq(buf_text(&out), buf_text(&plain)) && data_is_clean(buf_text(&out)));
	assert((r.repaired_count == 0) == data_is_clean(content));
	buf_fini(&out);
	buf_fini(&plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2 || size > 1u << 20)
		return 0;
	struct text octets = text_of((const char *)data + 1, size - 1);

	check_decoder(octets, data[0] + 1u);
	check_encoder(octets, data[0] + 1u);
	check_repairer(octets, data[0] + 1u, false);
	check_repairer(octets, data[0] + 1u, true);
	return 0;
}
