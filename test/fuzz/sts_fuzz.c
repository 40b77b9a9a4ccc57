/* The texts of MTA-STS as strangers write them: the first octet says which. What is accepted must follow the grammar, and come
 * back the same from the cache's record. */
#include <assert.h>
#include <stdlib.h>

#include <postrider/base/arena.h>

#include "policy/sts_cache.h"
#include "policy/sts_parse.h"

#define RECORDS_MAX 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Records with LF between; each alone in memory. */
static void read_records(struct text input)
{
	struct text records[RECORDS_MAX], id;
	char *copies[RECORDS_MAX];
	size_t count = 0;
	const char *why = NULL;
	enum err err;

	while (input.len && count < RECORDS_MAX) {
		struct text record = text_cut(&input, '\n');

		copies[count] = malloc(record.len ? record.len : 1);
		memcpy(copies[count], record.at, record.len);
		records[count] = text_of(copies[count], record.len);
		count++;
	}
	err = sts_txt_parse(records, count, &id, &why);
	assert(err == ERR_OK || err == ERR_NOT_FOUND || (err == ERR_SYNTAX && why));
	if (!err) {
		assert(id.len > 0 && id.len <= STS_ID_MAX);
		for (size_t i = 0; i < id.len; i++)
			assert(ascii_is_alnum(id.at[i]));
	}
	for (size_t i = 0; i < count; i++)
		free(copies[i]);
}

static void check_file(const struct sts_file *file)
{
	assert(file->max_age_ms >= 0 && file->max_age_ms <= STS_MAX_AGE_S * SECOND_MS);
	assert(file->mx_count <= STS_MX_MAX);
	assert(file->mode == POLICY_MODE_NONE || file->mx_count > 0);
	for (size_t i = 0; i < file->mx_count; i++) {
		struct text pattern = file->mx[i];
		bool star = text_starts(pattern, TEXT("*."));

		assert(sts_is_name(star ? text_skip(pattern, 2) : pattern));
		assert(star != sts_mx_fits(pattern, star ? text_skip(pattern, 2) : TEXT("")) || !star);
		assert(star || sts_mx_fits(pattern, pattern));
	}
}

static void keep(const struct sts_file *file)
{
	struct policy_domain *policy = policy_domain_new(TEXT("example.com"), TEXT("1"), file);
	struct buf record = BUF(1u << 20);
	struct sts_cache one, two;
	struct sts_entry *e;

	assert(policy);
	sts_cache_init(&one, 1, NULL, NULL);
	sts_cache_init(&two, 2, NULL, NULL);
	e = sts_cache_get(&one, TEXT("example.com"), 1000);
	assert(e);
	sts_cache_set(&one, e, policy, 1000);
	sts_cache_encode(&one, 1000, &record);
	assert(sts_cache_decode(&two, buf_text(&record), 1000) == ERR_OK);
	e = sts_cache_find(&two, TEXT("EXAMPLE.com"));
	assert(e && policy_domain_same(policy, e->policy) && e->policy->max_age_ms == file->max_age_ms);
	sts_cache_fini(&one);
	sts_cache_fini(&two);
	buf_fini(&record);
}

static void read_file(struct text input)
{
	struct arena arena;
	struct sts_file file;
	const char *why = NULL;
	enum err err;

	arena_init(&arena, 2 * STS_FILE_MAX);
	err = sts_file_parse(input, &arena, &file, &why);
	assert(err == ERR_OK || err == ERR_TOO_BIG || (err == ERR_SYNTAX && why));
	if (!err) {
		check_file(&file);
		keep(&file);
	}
	arena_fini(&arena);
}

/* What a disk gives back is not trusted either. */
static void read_record(struct text input)
{
	struct sts_cache cache;
	enum err err;

	sts_cache_init(&cache, 1, NULL, NULL);
	err = sts_cache_decode(&cache, input, 1000);
	assert(err == ERR_OK || err == ERR_DAMAGED || err == ERR_UNSUPPORTED);
	sts_cache_fini(&cache);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct text input = text_of((const char *)data, size);
	char kind = size ? input.at[0] : 0;

	input = text_skip(input, 1);
	if (kind == 't')
		read_records(input);
	else if (kind == 'f')
		read_file(input);
	else if (kind == 'r')
		read_record(input);
	else
		sts_is_plain_text(input);
	return 0;
}
