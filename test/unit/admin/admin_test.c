/* The control socket of a whole relay in the simulated world. Its upstream refuses connections, so that mail waits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <postrider/admin.h>
#include <postrider/http/client.h>
#include <postrider/http/json.h>
#include <postrider/server.h>
#include <postrider/sim.h>

#include "support/relay_world.h"

#define SOCKET "/sim/admin.sock"

static const char yaml[] =
	"hostname: relay.test\n"
	"spool: {path: /spool}\n"
	"access: {recipients: [any], senders: [example.com, .example.com], max_message_size: 100KB, max_recipients: 100, max_hops: 5}\n"
	"listen: [{name: apps, address: 127.0.0.1:2525}]\n"
	"upstreams: {down: {hosts: ['10.0.0.9:25'], tls: none}, slow: {hosts: ['10.0.0.10:25'], tls: none}}\n"
	"routes:\n"
	"  - {to: held.example, via: hold}\n"
	"  - {to: no.example, via: reject}\n"
	"  - {to: slow.example, via: slow}\n"
	"  - {to: any, via: down}\n"
	"retry: {schedule: [1h]}\n"
	"admin: {socket: " SOCKET "}\n";

struct fixture {
	struct relay_world relay;
	struct admin *admin;
	bool admin_closed;
	struct admin_health health;

	struct http_call *call;
	bool done;
	enum err err;
	int status;
	struct buf body;
};

static void on_health(void *owner, struct admin_health *out)
{
	*out = ((struct fixture *)owner)->health;
}

/* A simulated peer of a Unix socket is user and group UINT32_MAX. */
static void open_admin(struct fixture *f, uint32_t uid, uint32_t gid)
{
	struct buf problem = BUF(4096);
	struct admin_options options = {
		.io = sim_io(f->relay.sim),
		.queue = server_queue(f->relay.server),
		.history = server_history(f->relay.server),
		.schedule = server_schedule(f->relay.server),
		.observe = f->relay.observe,
		.config = f->relay.config,
		.seed = 11,
		.version = LIT("1.2.3"),
		.commit = LIT("abc"),
		.health = on_health,
		.owner = f,
		.uid = uid,
		.gid = gid,
	};

	assert_int_equal(admin_new(&options, &f->admin), ERR_OK);
	assert_int_equal(admin_listen(f->admin, &problem), ERR_OK);
	assert_string_equal(admin_socket_path(f->admin), SOCKET);
	buf_fini(&problem);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	relay_world_open(&f->relay, 7, yaml, NULL);
	f->health.listening = true;
	open_admin(f, UINT32_MAX, 1000);
	buf_init(&f->body, 64u << 20);
	*state = f;
	return 0;
}

static void on_admin_closed(void *owner)
{
	((struct fixture *)owner)->admin_closed = true;
}

static void close_admin(struct fixture *f)
{
	f->admin_closed = false;
	admin_close(&f->admin, 100, on_admin_closed, f);
	assert_true(sim_run_until(f->relay.sim, &f->admin_closed, 10000));
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	close_admin(f);
	relay_world_close(&f->relay);
	buf_fini(&f->body);
	free(f);
	return 0;
}

/* ---------------------------------------------------------------- calling */

static void on_head(void *owner, int status, struct text content_type)
{
	(void)content_type;
	((struct fixture *)owner)->status = status;
}

static void on_body(void *owner, struct text piece)
{
	buf_add(&((struct fixture *)owner)->body, piece);
}

static void on_done(void *owner, enum err err, struct text problem)
{
	struct fixture *f = owner;

	f->call = NULL;
	f->err = err;
	(void)problem;
	f->done = true;
}

static const struct http_call_events events = { .on_head = on_head, .on_body = on_body, .on_done = on_done };

static void start_call(struct fixture *f, const char *method, const char *target, const char *type,
                       struct text body)
{
	static const struct io_address at = { .unix_path = SOCKET };
	struct http_call_options options = {
		.io = sim_io(f->relay.sim),
		.to = &at,
		.method = text_from(method),
		.target = text_from(target),
		.host = LIT("x"),
		.content_type = text_from(type),
		.body = body,
		.timeout_ms = 60000,
		.events = &events,
		.owner = f,
	};

	f->done = false;
	f->status = 0;
	buf_reset(&f->body);
	assert_int_equal(http_call_start(&options, &f->call), ERR_OK);
}

/* Returns the status; the body is in f->body with a final NUL. */
static int call(struct fixture *f, const char *method, const char *target, const char *type, struct text body)
{
	start_call(f, method, target, type, body);
	assert_true(sim_run_until(f->relay.sim, &f->done, 120000));
	assert_int_equal(f->err, ERR_OK);
	buf_add_octet(&f->body, '\0');
	return f->status;
}

static int get(struct fixture *f, const char *target)
{
	return call(f, "GET", target, NULL, (struct text){ NULL, 0 });
}

static int post(struct fixture *f, const char *target)
{
	return call(f, "POST", target, NULL, (struct text){ NULL, 0 });
}

static int hand_in(struct fixture *f, const char *target, const char *message)
{
	return call(f, "POST", target, "message/rfc822", text_from(message));
}

#define assert_answer(f, part)                                        \
	do {                                                          \
		if (!strstr((f)->body.at, part))                      \
			fail_msg("no %s in: %s", part, (f)->body.at); \
	} while (0)

static unsigned count_in_answer(const struct fixture *f, const char *part)
{
	unsigned count = 0;

	for (const char *p = f->body.at; (p = strstr(p, part)); p++)
		count++;
	return count;
}

static int64_t number_in_answer(const struct fixture *f, const char *name)
{
	struct json *v = NULL;

	assert_int_equal(json_parse(text_from(f->body.at), &v, NULL), ERR_OK);
	int64_t number = json_as_number(json_member(v, name), -1);

	json_free(&v);
	return number;
}

/* The id in the answer, for as long as the test is called once. */
static void keep_id(const struct fixture *f, char id[ID_CHARS + 1])
{
	const char *at = strstr(f->body.at, "\"id\":\"");

	assert_non_null(at);
	memcpy(id, at + 6, ID_CHARS);
	id[ID_CHARS] = '\0';
}

#define MESSAGE "Subject: hello\nMessage-ID: <1@example.com>\n\ntext\n"

/* A message that was tried once and waits. */
static void queue_one(struct fixture *f, const char *to, char id[ID_CHARS + 1])
{
	char target[500];
	unsigned deferred = relay_world_count(&f->relay, "deferred");

	snprintf(target, sizeof(target), "/v1/messages?from=app%%40example.com&to=%s", to);
	assert_int_equal(hand_in(f, target, MESSAGE), 202);
	if (id)
		keep_id(f, id);
	relay_world_await(&f->relay, "deferred", deferred + 1, 60000);
}

/* ---------------------------------------------------------------- handing in */

/* A message that waits, tried or not: a destination that failed a few times is left alone for a while. */
static void queue_untried(struct fixture *f, const char *to)
{
	char target[500];

	snprintf(target, sizeof(target), "/v1/messages?from=app%%40example.com&to=%s", to);
	assert_int_equal(hand_in(f, target, MESSAGE), 202);
	sim_run(f->relay.sim, 1000);
}

static void a_message_handed_in_is_queued_and_tried(void **state)
{
	struct fixture *f = *state;
	char id[ID_CHARS + 1];

	queue_one(f, "ann%40a.example", id);
	assert_int_equal(relay_world_count(&f->relay, "received"), 1);
	assert_int_equal(get(f, "/v1/queue"), 200);
	assert_answer(f, id);
	assert_answer(f, "\"queue_name\":\"deferred\"");
	assert_answer(f, "\"sender\":\"app@example.com\"");
	assert_answer(f, "\"address\":\"ann@a.example\"");
	assert_answer(f, "\"subject\":\"hello\"");
	assert_answer(f, "\"message_id\":\"<1@example.com>\"");
	assert_answer(f, "\"reason\":\"connect\"");
	assert_answer(f, "\"key\":\"upstream:down\"");
}

static void line_ends_are_mended(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(hand_in(f, "/v1/messages?from=&to=a%40held.example", "A: b\n\nx\ny"), 202);
	assert_int_equal(number_in_answer(f, "size"), 6 + 2 + 3 + 3);
}

static const struct {
	const char *name;
	const char *target;
	const char *message;
	int status;
	const char *says;
} refused[] = {
	{ "no recipient", "/v1/messages?from=app%40example.com", MESSAGE, 422, "no recipient" },
	{ "a sender that may not", "/v1/messages?from=a%40b.test&to=x%40y.test", MESSAGE, 422,
	  "access.senders" },
	{ "a sender that is none", "/v1/messages?from=nobody&to=x%40y.test", MESSAGE, 422, "is no address" },
	{ "two senders", "/v1/messages?from=&from=&to=x%40y.test", MESSAGE, 422, "two senders" },
	{ "a recipient that is none", "/v1/messages?from=&to=nobody", MESSAGE, 422, "is no address" },
	{ "a line end in an address", "/v1/messages?from=&to=a%0d%0ab%40y.test", MESSAGE, 422,
	  "is no address" },
	{ "a recipient that a route rejects", "/v1/messages?from=&to=x%40no.example", MESSAGE, 422,
	  "rejected by a route" },
	{ "another parameter", "/v1/messages?from=&too=x%40y.test", MESSAGE, 422, "only from and to" },
	{ "a broken escape", "/v1/messages?from=&to=x%4", MESSAGE, 422, "syntax" },
	{ "nothing", "/v1/messages?from=&to=x%40y.test", "", 422, "empty" },
	{ "a loop", "/v1/messages?from=&to=x%40y.test",
	  "Received: 1\nReceived: 2\nReceived: 3\nReceived: 4\nReceived: 5\nReceived: 6\n\nx\n", 422,
	  "max_hops" },
};

static void what_smtp_would_refuse_is_refused_here(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		int status = hand_in(f, refused[i].target, refused[i].message);

		if (status != refused[i].status || !strstr(f->body.at, refused[i].says))
			fail_msg("%s: %d %s", refused[i].name, status, f->body.at);
	}
	assert_int_equal(relay_world_count(&f->relay, "received"), 0);
	assert_int_equal(queue_space(server_queue(f->relay.server)).messages, 0);
}

static void more_recipients_than_allowed_are_refused(void **state)
{
	struct fixture *f = *state;
	struct buf target = BUF(8192);

	buf_add_string(&target, "/v1/messages?from=");
	for (int i = 0; i < 100; i++)
		buf_add_format(&target, "&to=%d%%40held.example", i);
	buf_add_octet(&target, '\0');
	assert_int_equal(hand_in(f, target.at, MESSAGE), 202);
	buf_cut(&target, target.len - 1);
	buf_add(&target, TEXT("&to=one%40more.example"));
	buf_add_octet(&target, '\0');
	assert_int_equal(hand_in(f, target.at, MESSAGE), 422);
	assert_answer(f, "access.max_recipients");
	buf_fini(&target);
}

static void a_message_too_large_is_refused_whether_declared_or_not(void **state)
{
	struct fixture *f = *state;
	char *large = malloc(200001);

	memset(large, 'x', 200000);
	large[200000] = '\0';
	for (size_t i = 70; i < 200000; i += 70)
		large[i] = '\n';
	assert_int_equal(hand_in(f, "/v1/messages?from=&to=x%40y.test", large), 413);
	assert_answer(f, "max_message_size");
	/* Line ends make it grow over the limit behind the declaration. */
	large[99990] = '\0';
	assert_int_equal(hand_in(f, "/v1/messages?from=&to=x%40y.test", large), 413);
	free(large);
	assert_int_equal(queue_space(server_queue(f->relay.server)).messages, 0);
}

static void only_mail_is_taken(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(call(f, "POST", "/v1/messages?to=a%40b.test", "text/plain", TEXT("x")), 415);
	assert_int_equal(post(f, "/v1/messages?to=a%40b.test"), 415);
}

static void nothing_is_taken_while_stopping(void **state)
{
	struct fixture *f = *state;

	f->health.stopping = true;
	assert_int_equal(hand_in(f, "/v1/messages?from=&to=a%40b.test", MESSAGE), 503);
}

/* ---------------------------------------------------------------- listing */

static void listing_is_narrowed_and_cut(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 7; i++)
		queue_untried(f, i % 2 ? "ann%40a.example" : "bob%40b.example&to=x%40held.example");
	assert_int_equal(get(f, "/v1/queue"), 200);
	assert_int_equal(count_in_answer(f, "queue_id"), 7);
	assert_int_equal(count_in_answer(f, "\n"), 7);
	get(f, "/v1/queue?limit=3");
	assert_int_equal(count_in_answer(f, "queue_id"), 3);
	get(f, "/v1/queue?domain=b.example");
	assert_int_equal(count_in_answer(f, "queue_id"), 4);
	assert_int_equal(count_in_answer(f, "address"), 4);
	get(f, "/v1/queue?domain=b.example&whole");
	assert_int_equal(count_in_answer(f, "address"), 8);
	get(f, "/v1/queue?state=held");
	assert_int_equal(count_in_answer(f, "x@held.example"), 4);
	get(f, "/v1/queue?older=1d");
	assert_int_equal(f->body.len, 1);
	assert_int_equal(get(f, "/v1/queue?limit=0"), 422);
	assert_int_equal(get(f, "/v1/queue?colour=red"), 422);
	assert_answer(f, "no \\\"colour\\\"");
}

static void a_peer_that_goes_in_the_middle_of_a_listing_costs_nothing(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 20; i++)
		queue_untried(f, "ann%40a.example");
	for (int wait = 0; wait < 12; wait++) {
		start_call(f, "GET", "/v1/queue", NULL, (struct text){ NULL, 0 });
		sim_run(f->relay.sim, wait);
		http_call_cancel(&f->call);
	}
	sim_run(f->relay.sim, 1000);
	assert_int_equal(get(f, "/v1/queue"), 200);
	assert_int_equal(count_in_answer(f, "queue_id"), 20);
}

/* ---------------------------------------------------------------- stories */

static void a_story_has_the_queue_and_the_events(void **state)
{
	struct fixture *f = *state;
	char id[ID_CHARS + 1], target[100];

	queue_one(f, "ann%40a.example", id);
	sim_run(f->relay.sim, 2000);
	snprintf(target, sizeof(target), "/v1/messages/%.20s", id);
	assert_int_equal(get(f, target), 200);
	assert_answer(f, id);
	assert_answer(f, "\"event\":\"received\"");
	assert_answer(f, "\"event\":\"deferred\"");
	assert_answer(f, "\"state\":\"waiting\"");
}

static void a_finished_message_still_has_its_story(void **state)
{
	struct fixture *f = *state;
	char id[ID_CHARS + 1], target[100];

	queue_one(f, "ann%40a.example", id);
	snprintf(target, sizeof(target), "/v1/queue/drop?id=%s", id);
	assert_int_equal(post(f, target), 200);
	sim_run(f->relay.sim, 2000);
	snprintf(target, sizeof(target), "/v1/messages/%s", id);
	assert_int_equal(get(f, target), 200);
	assert_answer(f, "\"queue\":null");
	assert_answer(f, "\"event\":\"dropped\"");
}

static void stories_of_nobody_and_of_many_are_refused(void **state)
{
	struct fixture *f = *state;
	char id[ID_CHARS + 1], other[ID_CHARS + 1], target[100];

	assert_int_equal(get(f, "/v1/messages/7ZZZ"), 404);
	assert_int_equal(get(f, "/v1/messages/"), 422);
	assert_int_equal(get(f, "/v1/messages/a%20b"), 422);
	queue_one(f, "ann%40a.example", id);
	queue_one(f, "ann%40a.example", other);
	snprintf(target, sizeof(target), "/v1/messages/%.3s", id);
	assert_int_equal(get(f, target), 409);
	assert_answer(f, id);
	assert_answer(f, other);
}

/* ---------------------------------------------------------------- acting */

static void hold_release_retry_and_drop_do_what_they_say(void **state)
{
	struct fixture *f = *state;
	char id[ID_CHARS + 1], target[200];

	queue_one(f, "ann%40a.example", id);
	queue_one(f, "bob%40b.example", NULL);
	snprintf(target, sizeof(target), "/v1/queue/hold?id=%.15s", id);
	assert_int_equal(post(f, target), 200);
	assert_int_equal(number_in_answer(f, "done"), 1);
	assert_int_equal(relay_world_count(&f->relay, "held"), 1);
	get(f, "/v1/queue?state=held");
	assert_answer(f, id);
	/* What is held is not meant by hold again, nor by retry. */
	post(f, target);
	assert_int_equal(number_in_answer(f, "recipients"), 0);
	post(f, "/v1/queue/retry?all");
	assert_int_equal(number_in_answer(f, "done"), 1);
	relay_world_await(&f->relay, "deferred", 3, 60000);
	post(f, "/v1/queue/release?all");
	assert_int_equal(number_in_answer(f, "done"), 1);
	relay_world_await(&f->relay, "deferred", 4, 60000);
	post(f, "/v1/queue/drop?domain=a.example&domain=b.example");
	assert_int_equal(number_in_answer(f, "done"), 2);
	assert_int_equal(queue_space(server_queue(f->relay.server)).messages, 0);
	assert_int_equal(relay_world_count(&f->relay, "dropped"), 2);
}

static void a_dry_run_only_counts(void **state)
{
	struct fixture *f = *state;

	queue_one(f, "ann%40a.example&to=x%40held.example", NULL);
	assert_int_equal(post(f, "/v1/queue/drop?all&dry_run"), 200);
	assert_int_equal(number_in_answer(f, "messages"), 1);
	assert_int_equal(number_in_answer(f, "recipients"), 2);
	assert_int_equal(number_in_answer(f, "done"), 0);
	assert_int_equal(queue_space(server_queue(f->relay.server)).recipients, 2);
}

static void an_id_that_means_two_changes_nothing(void **state)
{
	struct fixture *f = *state;
	char id[ID_CHARS + 1], target[200];

	queue_one(f, "ann%40a.example", id);
	queue_one(f, "ann%40a.example", NULL);
	snprintf(target, sizeof(target), "/v1/queue/drop?id=%s&id=%.3s", id, id);
	assert_int_equal(post(f, target), 409);
	assert_int_equal(queue_space(server_queue(f->relay.server)).messages, 2);
}

static void an_id_that_means_none_is_named(void **state)
{
	struct fixture *f = *state;
	char id[ID_CHARS + 1], target[200];

	queue_one(f, "ann%40a.example", id);
	snprintf(target, sizeof(target), "/v1/queue/hold?id=%s&id=7ABC", id);
	assert_int_equal(post(f, target), 200);
	assert_int_equal(number_in_answer(f, "done"), 1);
	assert_answer(f, "\"missing\":[\"7ABC\"]");
}

static void acting_needs_a_verb_and_a_selection(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(post(f, "/v1/queue/drop"), 422);
	assert_int_equal(post(f, "/v1/queue/drop?dry_run"), 422);
	assert_int_equal(post(f, "/v1/queue/burn?all"), 404);
	assert_int_equal(post(f, "/v1/queue/drop?all=no"), 422);
	assert_int_equal(get(f, "/v1/queue/drop?all"), 405);
}

static void what_is_being_delivered_is_left_alone(void **state)
{
	struct fixture *f = *state;
	struct ip_port slow = AT(10, 0, 0, 10, 25);

	assert_int_equal(sim_set_reach(f->relay.sim, slow, SIM_SILENT), ERR_OK);
	assert_int_equal(hand_in(f, "/v1/messages?from=&to=x%40slow.example", MESSAGE), 202);
	sim_run(f->relay.sim, 100);
	assert_int_equal(post(f, "/v1/queue/drop?all"), 200);
	assert_int_equal(number_in_answer(f, "recipients"), 1);
	assert_int_equal(number_in_answer(f, "done") + number_in_answer(f, "busy"), 1);
}

static void a_thousand_recipients_are_acted_on(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 300; i++)
		assert_int_equal(
			hand_in(f,
		                "/v1/messages?from=&to=1%40held.example&to=2%40held.example&to=3%40held.example"
		                "&to=4%40held.example",
		                MESSAGE),
			202);
	assert_int_equal(post(f, "/v1/queue/drop?state=held"), 200);
	assert_int_equal(number_in_answer(f, "messages"), 300);
	assert_int_equal(number_in_answer(f, "done"), 1200);
	assert_int_equal(queue_space(server_queue(f->relay.server)).messages, 0);
}

/* ---------------------------------------------------------------- views */

static void health_says_what_it_consists_of(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(get(f, "/v1/health"), 200);
	assert_answer(f, "\"ready\":true");
	f->health.listening = false;
	assert_int_equal(get(f, "/v1/health"), 503);
	assert_answer(f, "{\"name\":\"listeners\",\"ok\":false");
	assert_int_equal(get(f, "/v1/health?live"), 200);
	assert_answer(f, "\"ready\":false");
}

static void views_answer(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(get(f, "/v1/version"), 200);
	assert_answer(f, "\"version\":\"1.2.3\",\"commit\":\"abc\",\"hostname\":\"relay.test\"");
	assert_int_equal(get(f, "/v1/config"), 200);
	assert_answer(f, "hostname: relay.test");
	assert_int_equal(get(f, "/v1/config?origin"), 200);
	queue_one(f, "ann%40a.example", NULL);
	assert_int_equal(get(f, "/v1/counters"), 200);
	assert_answer(f, "{\"name\":\"messages_received_total\",\"value\":1}");
	assert_answer(f, "{\"name\":\"attempts_total\",\"reason\":\"connect\",\"value\":1}");
	assert_answer(f, "\"key\":\"upstream:down\"");
	assert_int_equal(call(f, "HEAD", "/v1/version", NULL, (struct text){ NULL, 0 }), 200);
	assert_int_equal(f->body.len, 1);
}

static void strangers_may_not_ask_and_the_group_may(void **state)
{
	struct fixture *f = *state;

	close_admin(f);
	open_admin(f, 1000, 1000);
	assert_int_equal(get(f, "/v1/queue"), 403);
	assert_answer(f, "member of group 1000");
	assert_int_equal(hand_in(f, "/v1/messages?from=&to=x%40y.test", MESSAGE), 403);
	close_admin(f);
	open_admin(f, 1000, UINT32_MAX);
	assert_int_equal(get(f, "/v1/queue"), 200);
}

static void other_paths_and_methods_are_named(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(get(f, "/"), 404);
	assert_int_equal(get(f, "/v1/queues"), 404);
	assert_int_equal(post(f, "/v1/health"), 405);
	assert_int_equal(call(f, "DELETE", "/v1/messages/01", NULL, (struct text){ NULL, 0 }), 405);
}

static void the_places_of_the_socket_follow_the_configuration(void **state)
{
	struct fixture *f = *state;
	struct config config = *f->relay.config;
	struct buf path = BUF(1000);

	assert_true(admin_socket_place(&config, 0, &path));
	assert_true(text_eq(buf_text(&path), TEXT(SOCKET)));
	assert_false(admin_socket_place(&config, 1, &path));
	config.admin.socket = TEXT_EMPTY;
	buf_reset(&path);
	assert_true(admin_socket_place(&config, 0, &path));
	assert_true(text_eq(buf_text(&path), TEXT("/run/postrider/admin.sock")));
	buf_reset(&path);
	assert_true(admin_socket_place(&config, 1, &path));
	assert_true(text_eq(buf_text(&path), TEXT("/spool/admin.sock")));
	assert_false(admin_socket_place(&config, 2, &path));
	buf_fini(&path);
}

#define WITH_RELAY(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_RELAY(a_message_handed_in_is_queued_and_tried),
		WITH_RELAY(line_ends_are_mended),
		WITH_RELAY(what_smtp_would_refuse_is_refused_here),
		WITH_RELAY(more_recipients_than_allowed_are_refused),
		WITH_RELAY(a_message_too_large_is_refused_whether_declared_or_not),
		WITH_RELAY(only_mail_is_taken),
		WITH_RELAY(nothing_is_taken_while_stopping),
		WITH_RELAY(listing_is_narrowed_and_cut),
		WITH_RELAY(a_peer_that_goes_in_the_middle_of_a_listing_costs_nothing),
		WITH_RELAY(a_story_has_the_queue_and_the_events),
		WITH_RELAY(a_finished_message_still_has_its_story),
		WITH_RELAY(stories_of_nobody_and_of_many_are_refused),
		WITH_RELAY(hold_release_retry_and_drop_do_what_they_say),
		WITH_RELAY(a_dry_run_only_counts),
		WITH_RELAY(an_id_that_means_two_changes_nothing),
		WITH_RELAY(an_id_that_means_none_is_named),
		WITH_RELAY(acting_needs_a_verb_and_a_selection),
		WITH_RELAY(what_is_being_delivered_is_left_alone),
		WITH_RELAY(a_thousand_recipients_are_acted_on),
		WITH_RELAY(health_says_what_it_consists_of),
		WITH_RELAY(views_answer),
		WITH_RELAY(strangers_may_not_ask_and_the_group_may),
		WITH_RELAY(other_paths_and_methods_are_named),
		WITH_RELAY(the_places_of_the_socket_follow_the_configuration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
