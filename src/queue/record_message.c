/* A message's row: the head, then the body in checked blocks. */
#include "records.h"

#include <postrider/base/crc32c.h>
#include <postrider/mail/record.h>

#define HEAD_FORMAT 1
#define ROW_PREFIX_BYTES 5 /* in_file, length of the head */

enum { HEAD_ENVELOPE = 1, HEAD_PREPENDED = 2, HEAD_CONTENT_BYTES = 3, HEAD_FILE = 4 };

uint32_t block_crc_begin(struct id owner, uint64_t number)
{
	unsigned char octets[8];

	for (int i = 0; i < 8; i++)
		octets[i] = (unsigned char)(number >> 8 * i);
	return crc32c(crc32c(0, owner.bytes, ID_BYTES), octets, sizeof(octets));
}

uint32_t block_crc(struct id owner, uint64_t number, const void *data, size_t len)
{
	return crc32c(block_crc_begin(owner, number), data, len);
}

void message_head_encode(struct buf *b, struct id id, const struct message_head *m)
{
	record_begin(b, HEAD_FORMAT);
	record_add_text(b, HEAD_ENVELOPE, m->envelope);
	record_add_text(b, HEAD_PREPENDED, m->prepended);
	record_add_u64(b, HEAD_CONTENT_BYTES, m->content_bytes);
	if (m->in_file)
		record_add_text(b, HEAD_FILE, id_key(&m->file));
	record_seal(b, id_key(&id));
}

size_t message_row_bytes(const struct buf *head, const struct message_head *m)
{
	return ROW_PREFIX_BYTES + head->len + (m->in_file ? 0 : (size_t)bytes_with_blocks(m->content_bytes));
}

void message_row_write(char *room, const struct buf *head, struct id id, const struct message_head *m,
                       struct text content)
{
	room[0] = m->in_file ? 1 : 0;
	crc_write(room + 1, (uint32_t)head->len);
	memcpy(room + ROW_PREFIX_BYTES, head->at, head->len);
	if (m->in_file)
		return;
	char *at = room + ROW_PREFIX_BYTES + head->len;

	for (uint64_t number = 0; content.len > 0; number++) {
		size_t len = MIN(content.len, BLOCK_DATA_BYTES);

		memcpy(at, content.at, len);
		crc_write(at + len, block_crc(id, number, content.at, len));
		at += len + BLOCK_CRC_BYTES;
		content = text_skip(content, len);
	}
}

bool message_row_is_in_file(struct text row)
{
	return row.len > 0 && row.at[0] == 1;
}

static enum err read_head(struct id id, struct text sealed, struct message_head *m)
{
	struct record_reader reader;
	struct record_field field;
	struct text record;
	struct message_head head = { .envelope = TEXT_EMPTY, .prepended = TEXT_EMPTY };
	enum err err = record_unseal(id_key(&id), sealed, &record);

	if (err)
		return err;
	record_open(&reader, record, HEAD_FORMAT);
	while (record_next(&reader, &field)) {
		if (field.tag == HEAD_ENVELOPE)
			head.envelope = field.value;
		else if (field.tag == HEAD_PREPENDED)
			head.prepended = field.value;
		else if (field.tag == HEAD_CONTENT_BYTES)
			head.content_bytes = record_u64(&reader, &field, UINT64_MAX);
		else if (field.tag == HEAD_FILE && !id_read(field.value, &head.file))
			return ERR_DAMAGED;
		else if (field.tag == HEAD_FILE)
			head.in_file = true;
	}
	if (!reader.err)
		*m = head;
	return reader.err;
}

enum err message_row_read(struct id id, struct text row, struct message_head *m, struct text *blocks)
{
	struct message_head head;

	if (row.len < ROW_PREFIX_BYTES)
		return ERR_DAMAGED;
	struct text rest = text_skip(row, ROW_PREFIX_BYTES);
	uint32_t len = crc_read(row.at + 1);

	if (len > rest.len)
		return ERR_DAMAGED;
	enum err err = read_head(id, text_head(rest, len), &head);

	if (err)
		return err;
	*blocks = text_skip(rest, len);
	if (!head.in_file && head.content_bytes > blocks->len)
		return ERR_DAMAGED; /* also keeps the sum below from running over */
	if (head.in_file != (row.at[0] == 1) || (unsigned char)row.at[0] > 1 ||
	    (head.in_file ? blocks->len != 0 : blocks->len != bytes_with_blocks(head.content_bytes)))
		return ERR_DAMAGED;
	*m = head;
	return ERR_OK;
}

/* Block `number` inside the row, its data checked against the checksum behind it. */
static enum err find_block(struct id id, struct text blocks, uint64_t content_bytes, uint64_t number,
                           struct text *data)
{
	uint64_t from = number * BLOCK_DATA_BYTES;

	if (from >= content_bytes)
		return ERR_NOT_FOUND;
	*data = (struct text){ blocks.at + number * BLOCK_BYTES,
		               (size_t)MIN(content_bytes - from, BLOCK_DATA_BYTES) };
	return crc_read(data->at + data->len) == block_crc(id, number, data->at, data->len) ? ERR_OK
	                                                                                    : ERR_DAMAGED;
}

enum err message_block_read(struct id id, struct text blocks, uint64_t content_bytes, uint64_t number,
                            char *at, size_t *len)
{
	struct text data;
	enum err err = find_block(id, blocks, content_bytes, number, &data);

	if (err)
		return err;
	memcpy(at, data.at, data.len);
	*len = data.len;
	return ERR_OK;
}

enum err message_content_read(struct id id, struct text blocks, uint64_t content_bytes, char *at)
{
	struct text data;
	enum err err = ERR_OK;

	for (uint64_t number = 0; number < blocks_of(content_bytes) && !err; number++) {
		err = find_block(id, blocks, content_bytes, number, &data);
		if (!err && at)
			memcpy(at + number * BLOCK_DATA_BYTES, data.at, data.len);
	}
	return err;
}
