#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <postrider/base/auto.h>
#include <postrider/observe/observe.h>

#include "support/alloc.h"

#define NOON INT64_C(1767355445678901) /* 2026-01-02T12:04:05.678901Z */

static int64_t stopped_clock(void *clock)
{
	return *(int64_t *)clock;
}

struct recorder {
	struct observe_consumer consumer;
	struct observe *observe;
	char lines[8][512];
	unsigned count;
	bool answers; /* emits a warning for everything but warnings */
};

static void record(void *owner, const struct event *e, int64_t time_us, struct text line)
{
	struct recorder *r = owner;

	assert_int_equal(time_us, NOON);
	assert_true(r->count < ARRAY_LEN(r->lines));
	assert_true(line.len < sizeof(r->lines[0]));
	memcpy(r->lines[r->count], line.at, line.len);
	r->lines[r->count++][line.len] = '\0';
	if (r->answers && e->kind != EVENT_WARNING) {
		struct event answer = EVENT(EVENT_WARNING);

		observe_emit(r->observe, &answer);
	}
}

struct fixture {
	int64_t now;
	struct observe *observe;
	struct recorder all, errors;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->now = NOON;
	struct observe_options options = { .node = LIT("relay.example"),
		                           .now_time_us = stopped_clock,
		                           .clock = &f->now };

	assert_int_equal(observe_new(&options, &f->observe), ERR_OK);
	f->all = (struct recorder){ .consumer = { .least = LEVEL_DEBUG, .fn = record },
		                    .observe = f->observe };
	f->errors = (struct recorder){ .consumer = { .least = LEVEL_ERROR, .fn = record },
		                       .observe = f->observe };
	f->all.consumer.owner = &f->all;
	f->errors.consumer.owner = &f->errors;
	observe_add_consumer(f->observe, &f->all.consumer);
	observe_add_consumer(f->observe, &f->errors.consumer);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	observe_free(&f->observe);
	free(f);
	return 0;
}

static void an_event_reaches_the_consumers_of_its_level(void **state)
{
	struct fixture *f = *state;
	struct event e = EVENT(EVENT_READY);

	observe_emit(f->observe, &e);
	assert_int_equal(f->all.count, 1);
	assert_int_equal(f->errors.count, 0);
	assert_string_equal(f->all.lines[0], "{\"time\":\"2026-01-02T12:04:05.678901Z\",\"event\":\"ready\","
	                                     "\"level\":\"info\",\"node\":\"relay.example\"}");
	e.level = LEVEL_ERROR;
	observe_emit(f->observe, &e);
	assert_int_equal(f->all.count, 2);
	assert_int_equal(f->errors.count, 1);
}

static void a_removed_consumer_hears_nothing(void **state)
{
	struct fixture *f = *state;
	struct event e = EVENT(EVENT_READY);

	observe_remove_consumer(&f->all.consumer);
	observe_emit(f->observe, &e);
	assert_int_equal(f->all.count, 0);
}

static void an_event_from_inside_a_consumer_is_heard_and_does_not_spoil_the_first(void **state)
{
	struct fixture *f = *state;
	struct event e = EVENT(EVENT_STARTED);

	e.level = LEVEL_ERROR;
	f->all.answers = true;
	observe_emit(f->observe, &e);
	assert_int_equal(f->all.count, 2);
	assert_non_null(strstr(f->all.lines[1], "\"warning\""));
	assert_int_equal(f->errors.count, 1);
	assert_non_null(strstr(f->errors.lines[0], "\"started\""));
}

static void endless(void *owner, const struct event *e, int64_t time_us, struct text line)
{
	(void)time_us, (void)line;
	observe_emit(owner, e);
}

static void consumers_that_answer_each_other_come_to_an_end(void **state)
{
	struct fixture *f = *state;
	struct observe_consumer loop = { .least = LEVEL_DEBUG, .fn = endless, .owner = f->observe };
	struct event e = EVENT(EVENT_STARTED);

	observe_remove_consumer(&f->all.consumer);
	observe_add_consumer(f->observe, &loop);
	observe_emit(f->observe, &e);
	assert_int_equal(observe_counters(f->observe)->log_lines_dropped, 1);
}

static void events_are_counted(void **state)
{
	struct fixture *f = *state;
	struct counters *c = observe_counters(f->observe);
	struct event received = EVENT(EVENT_RECEIVED), deferred = EVENT(EVENT_DEFERRED),
		     delivered = EVENT(EVENT_DELIVERED);
	struct event expired = EVENT(EVENT_EXPIRED);

	received.recipients = 3;
	received.size = 1000;
	received.ms.total = 4;
	observe_emit(f->observe, &received);
	deferred.attempt = 1;
	deferred.reason = REASON_GREYLISTED;
	deferred.ms.total = 70;
	observe_emit(f->observe, &deferred);
	observe_emit(f->observe, &expired);
	delivered.attempt = 2;
	delivered.created_time = NOON / 1000 - 15;
	observe_emit(f->observe, &delivered);

	assert_int_equal(c->messages_received, 1);
	assert_int_equal(c->recipients_received, 3);
	assert_int_equal(c->received_bytes, 1000);
	assert_int_equal(histogram_quantile(&c->accept_ms, 500), 4);
	assert_int_equal(c->attempts[REASON_GREYLISTED], 1);
	assert_int_equal(c->attempts[REASON_NONE], 1);
	assert_int_equal(c->delivered, 1);
	assert_int_equal(c->expired, 1);
	assert_int_equal(histogram_quantile(&c->attempt_ms, 1000), 70);
	assert_int_equal(histogram_quantile(&c->delivery_delay_ms, 1000), 15);
	assert_int_equal(c->events[EVENT_DEFERRED], 1);
}

static void an_unknown_kind_is_ignored(void **state)
{
	struct fixture *f = *state;
	struct event e = EVENT(EVENT_READY);

	e.kind = EVENT_COUNT;
	observe_emit(f->observe, &e);
	assert_int_equal(f->all.count, 0);
}

/* Without memory for its line an event is counted and lost; the next one gets through. */
static void every_allocation_may_fail(void **state)
{
	int64_t now = NOON;
	struct observe_options options = { .node = LIT("relay.example"), .now_time_us = stopped_clock, .clock = &now };

	(void)state;
	for (EACH_ALLOC_FAILING) {
		struct recorder all = { .consumer = { .least = LEVEL_DEBUG, .fn = record } };
		struct event e = EVENT(EVENT_READY);

		all.consumer.owner = &all;
		if (observe_new(&options, &all.observe) != ERR_OK)
			continue;
		observe_add_consumer(all.observe, &all.consumer);
		observe_emit(all.observe, &e);
		assert_int_equal(all.count + observe_counters(all.observe)->log_lines_dropped, 1);
		observe_emit(all.observe, &e);
		assert_int_equal(all.count + observe_counters(all.observe)->log_lines_dropped, 2);
		assert_true(all.count > 0);
		observe_free(&all.observe);
	}
}

static void a_line_of_ones_own_is_not_handed_out(void **state)
{
	struct fixture *f = *state;
	struct event e = EVENT(EVENT_WARNING);
	AUTO(buf_fini) struct buf line = BUF(1000);

	e.dropped = 3;
	observe_add_line(f->observe, &e, &line);
	assert_true(text_ends(buf_text(&line), TEXT("\"node\":\"relay.example\",\"dropped\":3}")));
	assert_int_equal(f->all.count, 0);
	assert_int_equal(observe_counters(f->observe)->events[EVENT_WARNING], 0);
}

struct registry_sum {
	uint64_t values;
	size_t words; /* uint64_t fields seen */
	unsigned histograms;
};

static void add_up(void *owner, const struct counter_view *view)
{
	struct registry_sum *sum = owner;

	assert_non_null(view->name);
	assert_non_null(view->help);
	assert_true(view->label == NULL || view->label_value.len > 0);
	if (view->histogram) {
		sum->histograms++;
		return;
	}
	sum->words++;
	sum->values += view->value;
}

static void every_counter_is_in_the_registry_once(void **state)
{
	(void)state;
	struct counters *c = calloc(1, sizeof(*c));
	struct registry_sum sum = { 0 };

	for (size_t i = 0; i < sizeof(*c) / sizeof(uint64_t); i++)
		((uint64_t *)(void *)c)[i] = UINT64_C(1);
	counters_each(c, add_up, &sum);
	assert_int_equal(sum.words * sizeof(uint64_t) + sum.histograms * sizeof(struct histogram),
	                 sizeof(*c));
	assert_int_equal(sum.values, sum.words);
	free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_event_reaches_the_consumers_of_its_level, set_up,
		                                tear_down),
		cmocka_unit_test_setup_teardown(a_removed_consumer_hears_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			an_event_from_inside_a_consumer_is_heard_and_does_not_spoil_the_first, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(consumers_that_answer_each_other_come_to_an_end, set_up,
		                                tear_down),
		cmocka_unit_test_setup_teardown(events_are_counted, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_unknown_kind_is_ignored, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_line_of_ones_own_is_not_handed_out, set_up, tear_down),
		cmocka_unit_test(every_allocation_may_fail),
		cmocka_unit_test(every_counter_is_in_the_registry_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
