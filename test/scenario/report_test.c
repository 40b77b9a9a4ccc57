/* Reports and warnings: who gets one, when, and what stands in it. */
#include "scripts.h"

#define REFUSES_ONE                                                                             \
	HELLO "C: MAIL FROM:<a@example.com>*\nC: RCPT TO:<b@example.net>\nC: DATA\nS: 250 ok\n" \
	      "S: 550 5.1.1 no such user\nS: 503 no\nC: RSET\nS: 250 ok\nagain:\n" TAKES "repeat\n"

static bool has(struct text t, const char *words)
{
	return text_find(t, text_from(words)) < t.len;
}

static void want(struct text report, const char *words)
{
	if (!has(report, words))
		fail_msg("no \"%s\" in\n%.*s", words, TEXT_ARGS(report));
}

/* The value of a field, from the first line that begins with its name. */
static struct text field(struct text message, const char *name)
{
	while (message.len) {
		struct text line = text_cut(&message, '\n');

		if (text_starts_nocase(line, text_from(name)))
			return text_trim(text_skip(line, strlen(name)));
	}
	return TEXT_EMPTY;
}

static void a_report_has_all_that_rfc_3464_asks_for(void **state)
{
	struct relay_world w;
	struct sim_peer *p;
	struct text r, boundary;

	(void)state;
	relay_world_open(&w, 1, YAML_UPSTREAM, NULL);
	p = relay_world_peer(&w, NEXT_HOP, REFUSES_ONE);
	relay_world_send(&w, "a@example.com", "b@example.net",
	                 "Subject: one\r\nMessage-ID: <1@example.com>\r\n\r\nsecret body\r\n");
	relay_world_await(&w, "bounced", 1, 10000);
	relay_world_await(&w, "delivered", 1, 10000);
	assert_int_equal(sim_peer_messages(p), 1);
	r = sim_peer_message(p, 0);
	assert_true(has(sim_peer_transcript(p), "C: MAIL FROM:<>"));
	want(field(r, "Auto-Submitted:"), "auto-");
	want(field(r, "MIME-Version:"), "1.0");
	want(r, "Content-Type: multipart/report");
	want(r, "report-type=delivery-status");
	want(r, "Content-Type: message/delivery-status");
	want(field(r, "Reporting-MTA:"), "dns; relay.test");
	want(field(r, "Final-Recipient:"), "rfc822; b@example.net");
	want(field(r, "Action:"), "failed");
	want(field(r, "Status:"), "5.1.1");
	want(field(r, "Diagnostic-Code:"), "smtp; 550 5.1.1 no such user");
	assert_true(field(r, "Remote-MTA:").len > 0);
	assert_true(field(r, "Arrival-Date:").len > 0);
	assert_true(field(r, "Date:").len > 0 && field(r, "From:").len > 0 &&
	            field(r, "Message-ID:").len > 0);
	want(r, "Subject: one");
	want(r, "<1@example.com>");
	assert_false(has(r, "secret body")); /* bounce.include: headers */
	boundary = text_skip(r, text_find(r, TEXT("boundary=\"")) + 10);
	boundary = text_head(boundary, text_find_octet(boundary, '"'));
	assert_true(boundary.len > 0 && boundary.len <= 70);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

static void the_null_reverse_path_never_gets_one(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 2, YAML_UPSTREAM, NULL);
	p = relay_world_peer(&w, NEXT_HOP, HELLO ENVELOPE "S: 250 ok\nS: 550 5.1.1 no\nS: 503 no\n");
	relay_world_send(&w, "", "b@example.net", SMALL);
	relay_world_await(&w, "bounced", 1, 10000);
	sim_run(w.sim, MINUTE_MS);
	assert_int_equal(queue_space(server_queue(w.server)).messages, 0);
	assert_int_equal(relay_world_count(&w, "received"), 1);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

/* The report on a report that cannot be delivered would go round for ever. */
static void a_report_that_is_refused_ends_there(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 3, YAML_UPSTREAM, NULL);
	p = relay_world_peer(&w, NEXT_HOP,
	                     HELLO "again:\n" ENVELOPE
	                           "S: 250 ok\nS: 550 5.1.1 no\nS: 503 no\nC: RSET\nS: 250 ok\nrepeat\n");
	relay_world_send(&w, "a@example.com", "b@example.net", SMALL);
	relay_world_await(&w, "bounced", 2, 60000);
	sim_run(w.sim, MINUTE_MS);
	assert_int_equal(queue_space(server_queue(w.server)).messages, 0);
	assert_int_equal(relay_world_count(&w, "received"), 2);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

static char *large_message(size_t lines)
{
	struct buf b = BUF(16u << 20);

	buf_add_string(&b, "EHLO c\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n"
	                   "Subject: large\r\nX-Mark: in the header\r\n\r\n");
	for (size_t i = 0; i < lines; i++)
		buf_add_string(
			&b,
			"a line of the body that is not to be returned in a report, whole as it is....\r\n");
	buf_add_string(&b, ".\r\n");
	buf_add_octet(&b, 0);
	assert_int_equal(buf_err(&b), ERR_OK);
	return b.at; /* the caller frees */
}

static void the_report_on_a_message_in_a_file_is_small_and_has_its_header(void **state)
{
	struct relay_world w;
	struct sim_peer *p;
	char *lines = large_message(20000);
	struct text r;

	(void)state;
	relay_world_open(&w, 4, YAML_UPSTREAM, NULL);
	p = relay_world_peer(&w, NEXT_HOP, REFUSES_ONE);
	assert_string_equal(relay_world_say(&w, lines), "220 250 250 250 354 250 221");
	relay_world_await(&w, "bounced", 1, 60000);
	relay_world_await(&w, "delivered", 1, 60000);
	r = sim_peer_message(p, 0);
	want(r, "Status: 5.1.1");
	want(r, "X-Mark: in the header");
	assert_true(r.len < 20000);
	assert_int_equal(queue_space(server_queue(w.server)).files, 0);
	free(lines);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

static void what_expires_is_reported_with_its_last_answer(void **state)
{
	struct relay_world w;
	struct sim_peer *p;
	struct text r;

	(void)state;
	relay_world_open(&w, 5,
	                 YAML_HEAD "upstreams: {next: {hosts: [10.0.0.1:25], tls: none}}\n"
	                           "routes: [{to: any, via: next}]\n"
	                           "retry: {schedule: [10m], give_up_after: 1h, warn_after: never}\n",
	                 NULL);
	p = relay_world_peer(
		&w, NEXT_HOP,
		HELLO
		"again:\nC: MAIL FROM:<a@example.com>*\nC: RCPT *\nC: DATA\nS: 250 ok\nS: 450 4.2.1 mailbox busy\n"
		"S: 503 no\nC: RSET\nS: 250 ok\nrepeat\n");
	relay_world_send(&w, "a@example.com", "b@example.net", SMALL);
	relay_world_await(&w, "deferred", 4, HOUR_MS);
	sim_peer_free(&p);
	p = relay_world_peer(&w, NEXT_HOP,
	                     HELLO "C: MAIL FROM:<a@example.com>*\nC: RCPT *\nC: DATA\nS: 250 ok\n"
	                           "S: 450 4.2.1 mailbox busy\nS: 503 no\nC: RSET\nS: 250 ok\nagain:\n" TAKES
	                           "repeat\n");
	relay_world_await(&w, "expired", 1, 2 * HOUR_MS);
	relay_world_await(&w, "delivered", 1, 10 * MINUTE_MS);
	r = sim_peer_message(p, sim_peer_messages(p) - 1);
	want(field(r, "Action:"), "failed");
	want(field(r, "Diagnostic-Code:"), "4.2.1 mailbox busy");
	assert_true(field(r, "Status:").len > 0);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

static void one_warning_says_that_it_is_late_and_until_when(void **state)
{
	struct relay_world w;
	struct sim_peer *p;
	struct text r;

	(void)state;
	relay_world_open(
		&w, 6,
		YAML_HEAD
		"upstreams: {next: {hosts: [10.0.0.1:25], tls: none}, own: {hosts: [10.0.0.2:25], tls: none}}\n"
		"routes: [{to: example.com, via: own}, {to: any, via: next}]\n"
		"retry: {schedule: [1h], give_up_after: 1d, warn_after: 2h}\n",
		NULL);
	p = relay_world_peer(&w, AT(10, 0, 0, 2, 25), TAKES_ALL);
	relay_world_send(&w, "a@example.com", "b@example.net", SMALL);
	relay_world_await(&w, "delivered", 1, 4 * HOUR_MS);
	sim_run(w.sim, 10 * HOUR_MS);
	assert_int_equal(relay_world_count(&w, "delivered"), 1); /* no second one */
	r = sim_peer_message(p, 0);
	want(field(r, "Action:"), "delayed");
	assert_true(field(r, "Will-Retry-Until:").len > 0);
	want(field(r, "Status:"), "4.");
	relay_world_await(&w, "expired", 1, DAY_MS);
	relay_world_await(&w, "delivered", 2, HOUR_MS);
	want(field(sim_peer_message(p, 1), "Action:"), "failed");
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

/* One report for all recipients of a message that fail together, however many and however long the answers. */
static void hundreds_of_recipients_make_one_report(void **state)
{
	struct relay_world w;
	struct sim_peer *p;
	struct buf b = BUF(1u << 20);
	char *script;

	(void)state;
	relay_world_open(&w, 7, YAML_UPSTREAM "access: {max_recipients: 1000}\n", NULL);
	buf_add_string(&b, "S: 554 ");
	for (int i = 0; i < 90; i++)
		buf_add_string(&b, "long words ");
	buf_add_octet(&b, '\n');
	buf_add_octet(&b, 0);
	script = b.at;
	p = relay_world_peer(&w, NEXT_HOP, script);
	assert_int_equal(sim_peer_add_script(p, HELLO TAKES), ERR_OK);
	b = BUF(1u << 20);
	buf_add_string(&b, "EHLO c\r\nMAIL FROM:<a@example.com>\r\n");
	for (int i = 0; i < 1000; i++)
		buf_add_format(&b, "RCPT TO:<b%d@example.net>\r\n", i);
	buf_add_string(&b, "DATA\r\n" SMALL ".\r\n");
	buf_add_octet(&b, 0);
	(void)relay_world_say(&w, b.at);
	relay_world_await(&w, "bounced", 1000, 60000);
	relay_world_await(&w, "delivered", 1, 60000);
	assert_true(has(sim_peer_message(p, 0), "rfc822; b999@example.net"));
	assert_true(has(sim_peer_message(p, 0), "rfc822; b0@example.net"));
	assert_false(has(sim_peer_message(p, 0), "Status: \r\n"));
	free(b.at);
	relay_world_stop(&w);
	sim_peer_free(&p);
	free(script);
	end_world(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_report_has_all_that_rfc_3464_asks_for),
		cmocka_unit_test(the_null_reverse_path_never_gets_one),
		cmocka_unit_test(a_report_that_is_refused_ends_there),
		cmocka_unit_test(the_report_on_a_message_in_a_file_is_small_and_has_its_header),
		cmocka_unit_test(what_expires_is_reported_with_its_last_answer),
		cmocka_unit_test(one_warning_says_that_it_is_late_and_until_when),
		cmocka_unit_test(hundreds_of_recipients_make_one_report),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
