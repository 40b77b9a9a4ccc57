#include <postrider/mail/body_source.h>

#include <postrider/base/buf.h>

#include "support/alloc.h"
#include "support/check.h"

static void count(void *owner)
{
	++*(int *)owner;
}

/* Everything a source gives now; the error that ended it. */
static enum err read_all(struct body_source *s, struct buf *out)
{
	struct text span;
	enum err err;

	while (!(err = body_source_next(s, &span)) && span.len > 0)
		buf_add(out, span);
	return err;
}

static void memory_gives_fields_then_content_without_a_copy(void **state)
{
	struct text fields = TEXT("Received: x\r\n"), content = TEXT("Subject: y\r\n\r\nbody\r\n"), span;
	struct body_source *s;
	int released = 0;

	(void)state;
	assert_int_equal(body_source_memory(fields, content, count, &released, &s), ERR_OK);
	assert_int_equal(body_source_bytes(s), fields.len + content.len);
	for (int round = 0; round < 2; round++) {
		assert_int_equal(body_source_next(s, &span), ERR_OK);
		assert_ptr_equal(span.at, fields.at);
		assert_int_equal(body_source_next(s, &span), ERR_OK);
		assert_ptr_equal(span.at, content.at);
		for (int i = 0; i < 3; i++) {
			assert_int_equal(body_source_next(s, &span), ERR_OK);
			assert_int_equal(span.len, 0);
		}
		body_source_rewind(s);
	}
	assert_int_equal(released, 0);
	body_source_release(&s);
	assert_null(s);
	assert_int_equal(released, 1);
	body_source_release(&s);
}

static void an_empty_part_is_no_end(void **state)
{
	struct body_source *s;
	struct buf out = BUF(100);

	(void)state;
	assert_int_equal(body_source_memory(TEXT(""), TEXT("body"), NULL, NULL, &s), ERR_OK);
	assert_int_equal(read_all(s, &out), ERR_OK);
	CHECK_TEXT("all", buf_text(&out), TEXT("body"));
	body_source_release(&s);
	assert_int_equal(body_source_memory(TEXT(""), TEXT(""), NULL, NULL, &s), ERR_OK);
	buf_reset(&out);
	assert_int_equal(read_all(s, &out), ERR_OK);
	CHECK_TEXT("nothing", buf_text(&out), TEXT(""));
	body_source_release(&s);
	buf_fini(&out);
}

/* A source that is read elsewhere: each span is preceded by a wait. */
struct slow {
	struct body_source source;
	int step;
	enum err fails;
	int released;
};

static enum err slow_next(struct body_source *s, struct text *span)
{
	struct slow *slow = CONTAINER_OF(s, struct slow, source);
	static const struct text spans[] = { LIT("one "), LIT("two") };

	if (slow->step == 3 && slow->fails)
		return slow->fails;
	if (slow->step < 4 && slow->step++ % 2 == 0)
		return ERR_MORE;
	*span = slow->step <= 4 && slow->step % 2 == 0 ? spans[slow->step / 2 - 1] : TEXT_EMPTY;
	if (slow->step == 4)
		slow->step = 5;
	return ERR_OK;
}

static void slow_rewind(struct body_source *s)
{
	CONTAINER_OF(s, struct slow, source)->step = 0;
}

static void slow_release(struct body_source *s)
{
	CONTAINER_OF(s, struct slow, source)->released++;
}

static const struct body_source_ops slow_ops = { slow_next, slow_rewind, slow_release };

static void fields_stand_before_a_source_that_takes_its_time(void **state)
{
	struct slow slow = { .source = { .ops = &slow_ops, .bytes = 7 } };
	struct body_source *content = &slow.source, *s;
	struct buf out = BUF(100);
	int ready = 0;

	(void)state;
	assert_int_equal(body_source_prepend(TEXT("zero "), &content, &s), ERR_OK);
	assert_null(content);
	assert_int_equal(body_source_bytes(s), 12);
	body_source_listen(s, count, &ready);
	for (int round = 1; round <= 2; round++) {
		assert_int_equal(read_all(s, &out), ERR_MORE);
		CHECK_TEXT("at once", buf_text(&out), TEXT("zero "));
		slow.source.on_ready(slow.source.owner);
		assert_int_equal(read_all(s, &out), ERR_MORE);
		slow.source.on_ready(slow.source.owner);
		assert_int_equal(ready, 2 * round);
		assert_int_equal(read_all(s, &out), ERR_OK);
		CHECK_TEXT("all", buf_text(&out), TEXT("zero one two"));
		assert_int_equal(read_all(s, &out), ERR_OK);
		CHECK_TEXT("the end stays the end", buf_text(&out), TEXT("zero one two"));
		buf_reset(&out);
		body_source_rewind(s);
	}
	body_source_release(&s);
	assert_int_equal(slow.released, 1);
	buf_fini(&out);
}

static void a_failure_is_handed_on(void **state)
{
	struct slow slow = { .source = { .ops = &slow_ops, .bytes = 7 }, .fails = ERR_DAMAGED };
	struct body_source *content = &slow.source, *s;
	struct buf out = BUF(100);

	(void)state;
	assert_int_equal(body_source_prepend(TEXT(""), &content, &s), ERR_OK);
	assert_int_equal(read_all(s, &out), ERR_MORE);
	slow.source.on_ready(slow.source.owner); /* nobody listens: nothing happens */
	assert_int_equal(read_all(s, &out), ERR_MORE);
	assert_int_equal(read_all(s, &out), ERR_DAMAGED);
	body_source_release(&s);
	assert_int_equal(slow.released, 1);
	buf_fini(&out);
}

static void without_memory_the_content_is_released_and_nobody_is_told(void **state)
{
	int released = 0;
	struct body_source *s = NULL;

	(void)state;
	alloc_fail_nth(1);
	assert_int_equal(body_source_memory(TEXT(""), TEXT(""), count, &released, &s), ERR_NOMEM);
	assert_int_equal(released, 0);
	for (EACH_ALLOC_FAILING) {
		struct slow slow = { .source = { .ops = &slow_ops } };
		struct body_source *content = &slow.source;
		enum err err = body_source_prepend(TEXT("x"), &content, &s);

		assert_int_equal(err, alloc_has_failed() ? ERR_NOMEM : ERR_OK);
		assert_null(content);
		if (!err)
			body_source_release(&s);
		assert_int_equal(slow.released, 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_gives_fields_then_content_without_a_copy),
		cmocka_unit_test(an_empty_part_is_no_end),
		cmocka_unit_test(fields_stand_before_a_source_that_takes_its_time),
		cmocka_unit_test(a_failure_is_handed_on),
		cmocka_unit_test(without_memory_the_content_is_released_and_nobody_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
