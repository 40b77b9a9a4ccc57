/* Who asks for reports on TLS, and what the disk gives back of them: the first octet says which. */
#include <assert.h>
#include <stdlib.h>

#include <postrider/base/arena.h>
#include <postrider/base/url.h>
#include <postrider/http/json.h>
#include <postrider/smtp/path.h>

#include "policy/report_book.h"
#include "policy/report_render.h"
#include "policy/report_txt.h"

#define RECORDS_MAX 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_place(const struct report_place *p)
{
	struct smtp_path path;
	struct url url;

	if (p->is_mail) {
		assert(smtp_mailbox_parse(p->to, &path) == ERR_OK);
		for (size_t i = 0; i < p->to.len; i++)
			assert(p->to.at[i] >= ' ' && p->to.at[i] < 0x7f);
		return;
	}
	assert(url_parse(p->to, &url, NULL) == ERR_OK && url.is_https);
}

static void read_records(struct text input)
{
	struct text records[RECORDS_MAX];
	struct report_places places;
	struct arena arena;
	size_t count = 0;
	enum err err;

	while (input.len && count < RECORDS_MAX)
		records[count++] = text_cut(&input, '\n');
	arena_init(&arena, 1u << 20);
	err = report_txt_parse(records, count, &arena, &places);
	assert(err == ERR_OK || err == ERR_NOT_FOUND || err == ERR_NOMEM);
	assert(err || (places.count > 0 && places.count <= REPORT_PLACES_MAX));
	for (size_t i = 0; !err && i < places.count; i++)
		check_place(&places.items[i]);
	arena_fini(&arena);
}

/* Whatever is read is a report that can be written. */
static void render(const struct report_domain *d)
{
	static const struct report_head head = { LIT("x"), LIT("postmaster@x.example"), LIT("x.example") };
	struct buf text = BUF(16u << 20);
	struct json *json = NULL;

	report_add_json(&text, d, &head);
	assert(buf_err(&text) == ERR_OK);
	assert(json_parse(buf_text(&text), &json, NULL) == ERR_OK);
	json_free(&json);
	buf_fini(&text);
}

static void read_book(struct text input)
{
	struct report_book book, again;
	struct buf record = BUF(64u << 20);
	enum err err;

	report_book_init(&book, 1);
	report_book_init(&again, 2);
	err = report_book_decode(&book, input);
	assert(err == ERR_OK || err == ERR_DAMAGED || err == ERR_UNSUPPORTED);
	for (LIST_EACH(it, &book.open))
		render(LIST_ITEM(it, const struct report_domain, link));
	report_book_encode(&book, &record);
	assert(report_book_decode(&again, buf_text(&record)) == ERR_OK);
	assert(again.domains == book.domains && again.bytes == book.bytes);
	report_book_fini(&book);
	report_book_fini(&again);
	buf_fini(&record);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct text input = text_of((const char *)data, size);

	if (size && input.at[0] == 't')
		read_records(text_skip(input, 1));
	else if (size && input.at[0] == 'b')
		read_book(text_skip(input, 1));
	return 0;
}
