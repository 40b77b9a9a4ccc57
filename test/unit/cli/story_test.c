#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cli.h"

#define ID "01JD8Q4FZ7ABCDEFGHJKMNPQRS"
#define NOW INT64_C(1767348600000) /* 2026-01-02T10:10:00Z */
#define RECEIVED                                                                                     \
	"{\"time\":\"2026-01-02T10:00:00.003000Z\",\"event\":\"received\",\"id\":\"" ID              \
	"\",\"recipients\":2,"                                                                       \
	"\"message_id\":\"<inv@app>\",\"from\":\"app@example.com\",\"size\":18200,"                  \
	"\"created\":\"2026-01-02T10:00:00.000000Z\",\"code\":250,\"ms\":{\"total\":3,\"queue\":3}," \
	"\"client\":{\"ip\":\"127.0.0.1\",\"listener\":\"apps\"},\"headers\":{\"Subject\":\"=?utf-8?q?Gr=C3=BC=C3=9Fe?=\"}}"
#define DEFERRED                                                                                                     \
	"{\"time\":\"2026-01-02T10:00:00.200000Z\",\"event\":\"deferred\",\"rcpt\":0,\"to\":\"ann@gmail.com\","      \
	"\"attempt\":1,\"code\":454,\"response\":\"454 4.7.0 sending rate exceeded\",\"stage\":\"dot\","             \
	"\"reason\":\"rate_limited\",\"next_attempt\":\"2026-01-02T10:01:00.200000Z\",\"at\":\"postrider.yaml:35\"," \
	"\"upstream\":\"ses\",\"mx\":\"mx.example.net\",\"remote\":\"203.0.113.9:587\","                             \
	"\"tls\":{\"version\":\"TLSv1.3\",\"verified\":true},"                                                       \
	"\"ms\":{\"total\":155,\"dns\":2,\"connect\":18,\"tls\":41,\"envelope\":22,\"data\":35}}"
#define DELIVERED                                                                                                \
	"{\"time\":\"2026-01-02T10:06:00.114000Z\",\"event\":\"delivered\",\"rcpt\":0,\"to\":\"ann@gmail.com\"," \
	"\"attempt\":2,\"code\":250,\"response\":\"250 2.0.0 Ok\",\"remote\":\"203.0.113.9:587\","               \
	"\"ms\":{\"total\":61,\"envelope\":20,\"data\":41}}"
#define WAITING                                                                                                      \
	"{\"queue_id\":\"" ID "\",\"received\":\"2026-01-02T10:00:00.000000Z\",\"message_size\":18200,"              \
	"\"sender\":\"app@example.com\",\"recipients\":[{\"address\":\"bob@x.example\",\"rcpt\":1,\"state\":\"%s\"," \
	"\"attempts\":2,\"delay_reason\":\"451 busy\",\"remote\":\"mx [192.0.2.1]:25\","                             \
	"\"next_attempt\":\"2026-01-02T10:13:00.000000Z\"}]}"

static struct json *story(const char *queue, const char *state, const char *events)
{
	AUTO(buf_fini) struct buf text = BUF(1 << 16), living = BUF(1 << 14);
	struct json *v = NULL;

	if (queue) {
		struct text rest = text_from(queue);
		size_t at = text_find(rest, TEXT("%s"));

		buf_add(&living, text_head(rest, at));
		buf_add_string(&living, state);
		buf_add(&living, text_skip(rest, at + 2));
	} else {
		buf_add_string(&living, "null");
	}
	buf_add_format(&text, "{\"id\":\"" ID "\",\"queue\":%.*s,\"events\":[%s]}",
	               TEXT_ARGS(buf_text(&living)), events);
	assert_int_equal(json_parse(buf_text(&text), &v, NULL), ERR_OK);
	return v;
}

static char *printed(const struct json *v)
{
	struct cli cli = { 0 };
	char *out;
	size_t len;

	cli.out = open_memstream(&out, &len);
	print_story(&cli, v, NOW);
	fclose(cli.out);
	return out;
}

static void a_story_reads_from_top_to_bottom(void **state)
{
	(void)state;
	struct json *v = story(WAITING, "waiting", RECEIVED "," DEFERRED "," DELIVERED);
	char *out = printed(v);

	assert_string_equal(
		out, ID
		"   Gr\xc3\xbc\xc3\x9f"
		"e   <inv@app>   18.2 KB\n"
		"from app@example.com   listener apps   client 127.0.0.1   route postrider.yaml:35 \xe2\x86\x92 ses   on 2026-01-02 UTC\n"
		"ann@gmail.com                                                             DELIVERED after 6m 0s\n"
		"  10:00:00.003  received    250 queued                                                on disk in 3 ms\n"
		"  10:00:00.200  attempt 1   mx.example.net [203.0.113.9]:587  TLSv1.3 verified\n"
		"                dns 2  connect 18  tls 41  envelope 22  data 35  in all 155 ms\n"
		"                454 4.7.0 sending rate exceeded (after end of data)  rate_limited  \xe2\x86\x92 next try in 1m 0s\n"
		"  10:06:00.114  attempt 2   203.0.113.9:587\n"
		"                reused connection  envelope 20  data 41  in all 61 ms\n"
		"                250 2.0.0 Ok\n"
		"bob@x.example                                                             WAITING, next try in 3m 0s\n"
		"  10:00:00.003  received    250 queued                                                on disk in 3 ms\n"
		"                2 attempts, the last one: 451 busy   from mx [192.0.2.1]:25\n");
	free(out);
	json_free(&v);
}

static const struct {
	const char *name, *state, *says;
} states[] = {
	{ "held", "held", "HELD, until released" },
	{ "active", "active", "BEING DELIVERED" },
};

static void states_have_words(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(states); i++) {
		struct json *v = story(WAITING, states[i].state, RECEIVED);
		char *out = printed(v);

		if (!strstr(out, states[i].says))
			fail_msg("%s: %s", states[i].name, out);
		free(out);
		json_free(&v);
	}
}

static void an_event_of_another_day_says_which(void **state)
{
	(void)state;
	struct json *v =
		story(NULL, NULL,
	              RECEIVED ",{\"time\":\"2026-01-07T10:00:00.000000Z\",\"event\":\"expired\",\"rcpt\":0,"
	                       "\"to\":\"ann@gmail.com\",\"response\":\"too old\"}");
	char *out = printed(v);

	assert_non_null(strstr(out, "EXPIRED after 5d 0h"));
	assert_non_null(strstr(out, "\n01-07 10:00:00.000  expired     too old\n"));
	free(out);
	json_free(&v);
}

static void a_message_with_nothing_but_its_beginning_is_printed(void **state)
{
	(void)state;
	struct json *v = story(NULL, NULL, RECEIVED);
	char *out = printed(v);

	assert_non_null(strstr(out, "received    250 queued"));
	free(out);
	json_free(&v);
	v = story(NULL, NULL, "");
	out = printed(v);
	assert_non_null(strstr(out, ID));
	free(out);
	json_free(&v);
}

static const struct {
	const char *name;
	bool living;
	const char *events;
	unsigned waiting, failed;
} outcomes[] = {
	{ "nothing known", false, "", 1, 0 },
	{ "received", false, RECEIVED, 2, 0 },
	{ "one of two is there", false, RECEIVED "," DELIVERED, 1, 0 },
	{ "one is there, one waits", true, RECEIVED "," DELIVERED, 1, 0 },
	{ "one deferred, one waits", true, RECEIVED "," DEFERRED, 2, 0 },
	{ "both at their end", false,
	  RECEIVED "," DELIVERED ",{\"event\":\"bounced\",\"rcpt\":1,\"to\":\"b@c\"}", 0, 1 },
};

static void the_outcome_counts_all_recipients(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(outcomes); i++) {
		struct json *v = story(outcomes[i].living ? WAITING : NULL, "waiting", outcomes[i].events);
		unsigned waiting, failed;

		story_outcome(v, &waiting, &failed);
		if (waiting != outcomes[i].waiting || failed != outcomes[i].failed)
			fail_msg("%s: %u waiting, %u failed", outcomes[i].name, waiting, failed);
		json_free(&v);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_story_reads_from_top_to_bottom),
		cmocka_unit_test(states_have_words),
		cmocka_unit_test(an_event_of_another_day_says_which),
		cmocka_unit_test(a_message_with_nothing_but_its_beginning_is_printed),
		cmocka_unit_test(the_outcome_counts_all_recipients),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
