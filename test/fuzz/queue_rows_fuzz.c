/* What stands in the rows of the queue's store. The first octet says which kind; the rest is a record, sealed here, since no
 * search would find a seal: behind it stands what a later version, or a fault of ours, could have written. */
#include <assert.h>
#include <stdlib.h>

#include <postrider/mail/envelope.h>

#include "queue/records.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct id some_id = { { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 } };

/* What can be read can be written, and is read again as the same. */
static void recipient(struct text sealed, struct text key)
{
	struct recipient_row row, again;
	struct buf unknown = BUF(1 << 20), unknown_again = BUF(1 << 20), b = BUF(1 << 20);

	if (recipient_decode(key, sealed, &row, &unknown) == ERR_OK) {
		recipient_encode(&b, key, &row);
		assert(buf_err(&b) == ERR_OK);
		assert(recipient_decode(key, buf_text(&b), &again, &unknown_again) == ERR_OK);
		assert(row.public.state == again.public.state &&
		       row.public.due_time == again.public.due_time);
		assert(row.public.attempts == again.public.attempts && row.run == again.run);
		assert(text_eq(row.public.key, again.public.key));
		assert(text_eq(buf_text(&unknown), buf_text(&unknown_again)));
	}
	buf_fini(&unknown);
	buf_fini(&unknown_again);
	buf_fini(&b);
}

static void message(struct text row)
{
	struct message_head head;
	struct text blocks;
	struct envelope *e = NULL;

	if (message_row_read(some_id, row, &head, &blocks))
		return;
	if (envelope_decode(head.envelope, &e) == ERR_OK)
		envelope_free(&e);
	if (!head.in_file) {
		char *content = malloc((size_t)head.content_bytes + 1);
		enum err err = message_content_read(some_id, blocks, head.content_bytes, content);

		assert(err == ERR_OK || err == ERR_DAMAGED);
		free(content);
	}
}

/* A head that is sealed, in a row whose other octets are the searcher's: in_file, and what stands behind. */
static void message_with_sealed_head(struct text rest)
{
	size_t len = rest.len > 2 ? (size_t)(unsigned char)rest.at[1] % (rest.len - 1) : 0;
	struct buf head = BUF(1 << 20), row = BUF(1 << 20);
	char prefix[5] = { 0 };

	if (rest.len < 3)
		return;
	buf_add(&head, text_of(rest.at + 2, MIN(len, rest.len - 2)));
	record_seal(&head, id_key(&some_id));
	prefix[0] = rest.at[0];
	crc_write(prefix + 1, (uint32_t)head.len);
	buf_add_bytes(&row, prefix, sizeof(prefix));
	buf_add(&row, buf_text(&head));
	buf_add(&row, text_skip(rest, 2 + MIN(len, rest.len - 2)));
	message(buf_text(&row));
	buf_fini(&head);
	buf_fini(&row);
}

static void keys(struct text row)
{
	struct text key;
	struct id id;
	int64_t due_time;
	uint32_t n;
	struct row_key again;

	if (due_key_read(row, &key, &due_time, &id, &n)) {
		due_key(&again, key, due_time, id, n);
		assert(text_eq(row_key_text(&again), row));
	}
	if (recipient_key_read(row, &id, &n)) {
		recipient_key(&again, id, n);
		assert(text_eq(row_key_text(&again), row));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf b = BUF(1 << 20);
	struct row_key key;
	struct file_row file;
	struct aside_row aside;
	struct meta_row meta;
	struct due_row due;
	uint64_t number;

	if (size == 0)
		return 0;
	struct text rest = text_of((const char *)data + 1, size - 1);
	bool of_meta = data[0] % 8 == 5;

	recipient_key(&key, some_id, 3);
	buf_add(&b, rest);
	record_seal(&b, of_meta ? meta_key : row_key_text(&key));
	struct text sealed = buf_text(&b);
	enum err err = ERR_OK;

	switch (data[0] % 8) {
	case 0:
		recipient(sealed, row_key_text(&key));
		break;
	case 1:
		err = due_decode(row_key_text(&key), sealed, &due);
		break;
	case 2:
		err = count_decode(row_key_text(&key), sealed, &number);
		break;
	case 3:
		err = file_decode(row_key_text(&key), sealed, &file);
		break;
	case 4:
		err = aside_decode(row_key_text(&key), sealed, &aside);
		break;
	case 5:
		err = meta_decode(sealed, &meta);
		assert(err || meta.unclean_count <= META_RANGES_MAX);
		break;
	case 6:
		message(rest);
		message_with_sealed_head(rest);
		break;
	default:
		keys(rest);
		break;
	}
	assert(err == ERR_OK || err == ERR_DAMAGED || err == ERR_UNSUPPORTED);
	buf_fini(&b);
	return 0;
}
