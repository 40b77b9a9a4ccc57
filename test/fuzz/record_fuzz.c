/* Stored envelopes, damaged in any way that a checksum may have missed. */
#include <assert.h>

#include <postrider/mail/envelope.h>
#include <postrider/mail/record.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(struct text record)
{
	struct record_reader r;
	struct record_field f;
	size_t fields = 0;

	record_open(&r, record, 1);
	while (record_next(&r, &f)) {
		struct record_reader numbers = { 0 };

		assert(f.value.at >= record.at && f.value.at + f.value.len <= record.at + record.len);
		(void)record_u64(&numbers, &f, 1000);
		numbers.err = ERR_OK;
		(void)record_i64(&numbers, &f);
		fields++;
	}
	assert(fields <= record.len / 2);
	assert(!record_next(&r, &f));
}

static void check_same(const struct envelope *a, const struct envelope *b)
{
	assert(id_eq(a->id, b->id) && a->received_time == b->received_time && a->body == b->body);
	assert(text_eq(a->reverse_path, b->reverse_path) && text_eq(a->subject, b->subject));
	assert(a->recipient_count == b->recipient_count);
	for (size_t i = 0; i < a->recipient_count; i++) {
		assert(text_eq(a->recipients[i].forward_path, b->recipients[i].forward_path));
		assert(text_eq(a->recipients[i].original_path, b->recipients[i].original_path));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct text record = text_of((const char *)data, size);
	struct envelope *e = NULL, *again = NULL;

	walk(record);
	enum err err = envelope_decode(record, &e);

	assert(err == ERR_OK || err == ERR_DAMAGED || err == ERR_UNSUPPORTED);
	if (err)
		return 0;
	struct buf b = BUF(2 * size + 1000);

	assert(e->recipient_count > 0);
	envelope_encode(e, &b);
	assert(!buf_err(&b) && envelope_decode(buf_text(&b), &again) == ERR_OK);
	check_same(e, again);
	envelope_free(&e);
	envelope_free(&again);
	buf_fini(&b);
	return 0;
}
