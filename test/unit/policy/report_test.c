/* Days of reports on TLS in the simulated world: when they leave, by https, what is tried again, and what a restart keeps.
 * By mail: test/scenario/sts_test.c. */
#include "report.h"

#include <stdio.h>

#include <postrider/base/time.h>
#include <postrider/sim.h>

#include "support/check.h"
#include "support/policy_world.h"

#define SEND "tls_reports: {send: true}\n"
#define ZONE                                                                                    \
	"_smtp._tls.example.com. 300 TXT \"v=TLSRPTv1; rua=https://reports.example.net/tls\"\n" \
	"reports.example.net. 300 A 192.0.2.80\n"
#define OK "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"
#define BUSY "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"

struct world {
	struct policy_world net;
	struct reports *reports;
};

static void open_reports(struct world *w)
{
	struct reports_options options = { .io = w->net.io,
		                           .dns = w->net.dns,
		                           .config = w->net.config,
		                           .observe = w->net.observe,
		                           .disk = sim_disk(w->net.sim),
		                           .directory = TEXT("/policy"),
		                           .seed = 4,
		                           .client_context = policy_world_client_context,
		                           .client_context_owner = &w->net };

	assert_int_equal(reports_new(&options, &w->reports), ERR_OK);
}

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	policy_world_open(&w->net, SEND, ZONE);
	w->net.response = OK;
	open_reports(w);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	reports_free(&w->reports);
	sim_run(w->net.sim, SECOND_MS);
	policy_world_close(&w->net);
	free(w);
	return 0;
}

static void restart(struct world *w)
{
	reports_free(&w->reports);
	sim_run(w->net.sim, SECOND_MS);
	open_reports(w);
}

static void note(struct world *w, const char *domain, enum policy_failure failure)
{
	struct policy_report n = { .domain = text_from(domain),
		                   .mx = TEXT("mx.example.com"),
		                   .failure = failure };

	report_note(w->reports, &n);
}

/* Until so many hours of the day after the first one. */
static void run_to(struct world *w, int64_t hours)
{
	int64_t start = INT64_C(1767225600000); /* 2026-01-01 */

	sim_run(w->net.sim, start + DAY_MS + hours * HOUR_MS - io_now_time(w->net.io));
}

static void a_report_leaves_after_midnight(void **state)
{
	struct world *w = *state;

	note(w, "example.com", POLICY_SUCCEEDED);
	note(w, "example.com", POLICY_CERTIFICATE_EXPIRED);
	run_to(w, 0);
	assert_int_equal(w->net.requests, 0);
	run_to(w, 4);
	sim_run(w->net.sim, MINUTE_MS);
	assert_int_equal(w->net.requests, 1);
	assert_true(text_starts(buf_text(&w->net.request),
	                        TEXT("POST /tls HTTP/1.1\r\nHost: reports.example.net\r\n")));
	assert_true(text_find(buf_text(&w->net.request),
	                      TEXT("\r\nContent-Type: application/tlsrpt+gzip\r\n")) < w->net.request.len);
	run_to(w, 100);
	assert_int_equal(w->net.requests, 1); /* no session, no report */
	assert_int_equal(w->net.warnings, 0);
}

static void reports_do_not_leave_all_at_once(void **state)
{
	struct world *w = *state;
	struct buf zone = BUF(1 << 16);
	unsigned after[5];
	char name[40];

	buf_add_string(&zone, ZONE);
	for (unsigned i = 0; i < 200; i++) {
		buf_add_format(
			&zone,
			"_smtp._tls.d%u.example. 300 TXT \"v=TLSRPTv1; rua=https://reports.example.net/\"\n",
			i);
		snprintf(name, sizeof(name), "d%u.example", i);
		note(w, name, POLICY_SUCCEEDED);
	}
	buf_add_octet(&zone, '\0');
	sim_names_change(w->net.names, zone.at);
	for (int64_t hour = 0; hour < 5; hour++) {
		run_to(w, hour);
		after[hour] = w->net.requests;
	}
	assert_int_equal(after[0], 0);
	for (unsigned hour = 1; hour < 5; hour++)
		assert_in_range(after[hour] - after[hour - 1], 30, 70);
	sim_run(w->net.sim, MINUTE_MS);
	assert_int_equal(w->net.requests, 200);
	buf_fini(&zone);
}

static void who_does_not_ask_gets_none(void **state)
{
	struct world *w = *state;

	note(w, "example.org", POLICY_SUCCEEDED);
	note(w, "[192.0.2.1]", POLICY_SUCCEEDED);
	run_to(w, 24);
	assert_int_equal(w->net.requests, 0);
	assert_int_equal(w->net.warnings, 0);
}

static void without_tls_reports_send_nothing_is_kept(void **state)
{
	struct world *w = *state;

	policy_world_configure(&w->net, "");
	reports_configure(w->reports, w->net.config);
	note(w, "example.com", POLICY_SUCCEEDED);
	policy_world_configure(&w->net, SEND);
	reports_configure(w->reports, w->net.config);
	run_to(w, 24);
	assert_int_equal(w->net.requests, 0);
}

static void a_switch_off_forgets_what_was_counted(void **state)
{
	struct world *w = *state;

	note(w, "example.com", POLICY_SUCCEEDED);
	policy_world_configure(&w->net, "");
	reports_configure(w->reports, w->net.config);
	run_to(w, 24);
	assert_int_equal(w->net.requests, 0);
}

static void a_site_that_is_busy_is_tried_three_times(void **state)
{
	struct world *w = *state;

	w->net.response = BUSY;
	note(w, "example.com", POLICY_SUCCEEDED);
	run_to(w, 24);
	assert_int_equal(w->net.requests, 3);
	assert_int_equal(w->net.warnings, 1);
	assert_true(policy_world_said(&w->net, "it answered 503"));
}

static void a_second_try_ends_it(void **state)
{
	struct world *w = *state;

	w->net.response = BUSY;
	note(w, "example.com", POLICY_SUCCEEDED);
	for (unsigned i = 0; i < 600 && w->net.requests == 0; i++)
		sim_run(w->net.sim, 10 * MINUTE_MS);
	w->net.response = OK;
	run_to(w, 24);
	assert_int_equal(w->net.requests, 2);
	assert_int_equal(w->net.warnings, 0);
}

static void a_refusal_is_final(void **state)
{
	struct world *w = *state;

	w->net.response = "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n";
	note(w, "example.com", POLICY_SUCCEEDED);
	run_to(w, 24);
	assert_int_equal(w->net.requests, 1);
	assert_int_equal(w->net.warnings, 1);
}

static void one_place_that_has_it_does_not_get_it_again(void **state)
{
	struct world *w = *state;

	sim_names_change(w->net.names,
	                 "_smtp._tls.example.com. 300 TXT \"v=TLSRPTv1; rua=https://reports.example.net/tls,"
	                 "https://gone.example.net/\"\nreports.example.net. 300 A 192.0.2.80\n"
	                 "gone.example.net. 300 A 192.0.2.81\n");
	note(w, "example.com", POLICY_SUCCEEDED);
	run_to(w, 24);
	assert_int_equal(w->net.requests, 1);
	assert_int_equal(w->net.warnings, 1); /* of the other */
	assert_true(policy_world_said(&w->net, "gone.example.net"));
}

static void nobody_is_led_to_our_own_network(void **state)
{
	struct world *w = *state;

	sim_names_change(w->net.names,
	                 "_smtp._tls.example.com. 300 TXT \"v=TLSRPTv1; rua=https://in.example.net/,"
	                 "https://127.0.0.1/\"\nin.example.net. 300 A 10.0.0.1\n");
	note(w, "example.com", POLICY_SUCCEEDED);
	for (unsigned i = 0; i < 60 && sim_names_queries(w->net.names) == 0; i++)
		sim_run(w->net.sim, 30 * MINUTE_MS);
	sim_run(w->net.sim, 10 * MINUTE_MS);
	assert_int_equal(w->net.warnings, 1); /* at once: another try would lead there too */
	assert_int_equal(w->net.site.accepted, 0);
}

static void names_that_fail_are_tried_again(void **state)
{
	struct world *w = *state;

	sim_names_change(w->net.names, "_smtp._tls.example.com. SERVFAIL\n");
	note(w, "example.com", POLICY_SUCCEEDED);
	run_to(w, 4);
	sim_names_change(w->net.names, ZONE);
	run_to(w, 24);
	assert_int_equal(w->net.requests, 1);
}

static void a_restart_keeps_the_day(void **state)
{
	struct world *w = *state;

	note(w, "example.com", POLICY_SUCCEEDED);
	restart(w);
	note(w, "example.com", POLICY_SUCCEEDED);
	sim_run(w->net.sim, MINUTE_MS);
	sim_disk_crash(w->net.sim);
	restart(w);
	run_to(w, 24);
	assert_int_equal(w->net.requests, 1);
	restart(w);
	run_to(w, 48);
	assert_int_equal(w->net.requests, 1); /* and what is sent is sent */
}

static void a_report_that_is_late_after_a_restart_leaves_soon(void **state)
{
	struct world *w = *state;

	note(w, "example.com", POLICY_SUCCEEDED);
	reports_free(&w->reports);
	run_to(w, 20);
	open_reports(w);
	sim_run(w->net.sim, 11 * MINUTE_MS);
	assert_int_equal(w->net.requests, 1);
}

static void a_report_of_last_week_is_no_news(void **state)
{
	struct world *w = *state;

	note(w, "example.com", POLICY_SUCCEEDED);
	reports_free(&w->reports);
	run_to(w, 6 * 24);
	open_reports(w);
	run_to(w, 8 * 24);
	assert_int_equal(w->net.requests, 0);
}

static void the_end_may_come_at_any_time(void **state)
{
	struct world *w = *state;

	for (unsigned i = 0; i < 40; i++) {
		note(w, "example.com", POLICY_SUCCEEDED);
		for (unsigned n = 0; n < 300 && w->net.site.accepted == i; n++)
			sim_run(w->net.sim, 5 * MINUTE_MS);
		sim_run(w->net.sim, i);
		restart(w);
		sim_run(w->net.sim, DAY_MS);
		w->net.site.accepted = i + 1;
	}
}

#define REPORT_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		REPORT_TEST(a_report_leaves_after_midnight),
		REPORT_TEST(reports_do_not_leave_all_at_once),
		REPORT_TEST(who_does_not_ask_gets_none),
		REPORT_TEST(without_tls_reports_send_nothing_is_kept),
		REPORT_TEST(a_switch_off_forgets_what_was_counted),
		REPORT_TEST(a_site_that_is_busy_is_tried_three_times),
		REPORT_TEST(a_second_try_ends_it),
		REPORT_TEST(a_refusal_is_final),
		REPORT_TEST(one_place_that_has_it_does_not_get_it_again),
		REPORT_TEST(nobody_is_led_to_our_own_network),
		REPORT_TEST(names_that_fail_are_tried_again),
		REPORT_TEST(a_restart_keeps_the_day),
		REPORT_TEST(a_report_that_is_late_after_a_restart_leaves_soon),
		REPORT_TEST(a_report_of_last_week_is_no_news),
		REPORT_TEST(the_end_may_come_at_any_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
