/* MTA-STS in the simulated world: when records and sites are asked, what is made of their answers and faults, and how long a
 * policy counts. */
#include "sts.h"

#include <postrider/base/time.h>
#include <postrider/sim.h>

#include "support/check.h"
#include "support/policy_world.h"
#include "report.h"
#include "sts_domain.h"

#define ZONE(id)                                                 \
	"_mta-sts.example.com. 60 TXT \"v=STSv1; id=" id ";\"\n" \
	"mta-sts.example.com. 60 A 192.0.2.80\n"
#define ENFORCE "version: STSv1\nmode: enforce\nmx: *.example.com\nmax_age: 604800\n"
#define TESTING "version: STSv1\nmode: testing\nmx: *.example.com\nmax_age: 604800\n"

struct world {
	struct policy_world net;
	struct sts *sts;
	struct reports *reports;
	struct policy_lookup *slot;
	unsigned calls;
	struct policy_domain *found;
	int64_t asked_at, took_ms;
};

static void open_sts(struct world *w)
{
	struct sts_options options = { .io = w->net.io,
		                       .dns = w->net.dns,
		                       .config = w->net.config,
		                       .observe = w->net.observe,
		                       .disk = sim_disk(w->net.sim),
		                       .directory = TEXT("/policy"),
		                       .seed = 9,
		                       .client_context = policy_world_client_context,
		                       .client_context_owner = &w->net };

	assert_int_equal(sts_new(&options, &w->sts), ERR_OK);
}

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	policy_world_open(&w->net, "", ZONE("1"));
	policy_world_serve(&w->net, ENFORCE);
	open_sts(w);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	policy_domain_unref(&w->found);
	sts_free(&w->sts);
	assert_null(w->slot);
	policy_world_close(&w->net);
	free(w);
	return 0;
}

static void restart(struct world *w)
{
	sts_free(&w->sts);
	sim_run(w->net.sim, SECOND_MS);
	open_sts(w);
}

static void zone(struct world *w, const char *text)
{
	sim_names_change(w->net.names, text);
	sim_run(w->net.sim, 61 * SECOND_MS); /* what was cached of it is over */
}

static void on_found(void *owner, enum err err, struct policy_domain *policy)
{
	struct world *w = owner;

	assert_int_equal(err, ERR_OK);
	assert_null(w->slot);
	w->calls++;
	w->took_ms = io_now_at(w->net.io) - w->asked_at;
	policy_domain_unref(&w->found);
	w->found = policy ? policy_domain_ref(policy) : NULL;
}

static void ask(struct world *w, const char *domain)
{
	w->calls = 0;
	w->asked_at = io_now_at(w->net.io);
	assert_int_equal(sts_find(w->sts, text_from(domain), &w->slot, on_found, w), ERR_OK);
	assert_non_null(w->slot);
	assert_int_equal(w->calls, 0);
}

static enum policy_mode find(struct world *w, const char *domain)
{
	ask(w, domain);
	for (unsigned i = 0; i < 120 && !w->calls; i++)
		sim_run(w->net.sim, SECOND_MS / 4);
	assert_int_equal(w->calls, 1);
	return policy_domain_mode(w->found);
}

/* ---------------------------------------------------------------- finding */

static void a_policy_is_found(void **state)
{
	struct world *w = *state;

	assert_int_equal(find(w, "Example.COM"), POLICY_MODE_ENFORCE);
	assert_true(policy_domain_allows(w->found, TEXT("mx.example.com")));
	assert_false(policy_domain_allows(w->found, TEXT("mx.example.net")));
	assert_true(
		text_starts(buf_text(&w->net.request),
	                    TEXT("GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: mta-sts.example.com\r\n")));
	assert_int_equal(w->net.requests, 1);
}

static void a_policy_in_the_cache_is_not_fetched_again(void **state)
{
	struct world *w = *state;

	find(w, "example.com");
	assert_int_equal(find(w, "example.com"), POLICY_MODE_ENFORCE);
	sim_run(w->net.sim, HOUR_MS);
	assert_int_equal(find(w, "example.com"), POLICY_MODE_ENFORCE);
	assert_int_equal(w->net.requests, 1);
}

static void many_that_ask_at_once_share_a_fetch(void **state)
{
	struct world *w = *state;
	struct policy_lookup *slots[50];

	w->net.delay_ms = 2000;
	for (size_t i = 0; i < ARRAY_LEN(slots); i++)
		assert_int_equal(sts_find(w->sts, TEXT("example.com"), &slots[i], on_found, w), ERR_OK);
	slots[7]->cancel(slots[7]);
	sim_run(w->net.sim, 5000);
	assert_int_equal(w->calls, ARRAY_LEN(slots) - 1);
	assert_int_equal(w->net.requests, 1);
	for (size_t i = 0; i < ARRAY_LEN(slots); i++)
		assert_true(i == 7 || !slots[i]);
}

static void who_has_no_record_has_no_policy(void **state)
{
	static const char *const names[] = { "example.net",        "localhost", "[192.0.2.1]",
		                             "[IPv6:2001:db8::1]", "",          "a..b" };
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		assert_int_equal(find(w, names[i]), POLICY_MODE_NONE);
	assert_int_equal(w->net.requests, 0);
	assert_int_equal(w->net.warnings, 0);
}

static void a_name_too_long_for_the_record_has_no_policy(void **state)
{
	struct world *w = *state;
	char name[254];

	for (size_t i = 0; i < 250; i++)
		name[i] = i % 50 == 49 ? '.' : 'a';
	memcpy(name + 249, ".b", 3);
	assert_int_equal(find(w, name), POLICY_MODE_NONE);
}

static void broken_records_are_no_policy(void **state)
{
	static const char *const zones[] = {
		"_mta-sts.example.com. 60 TXT \"v=STSv1;\"\n",
		"_mta-sts.example.com. 60 TXT \"v=STSv1; id=1\"\n_mta-sts.example.com. 60 TXT \"v=STSv1; id=2\"\n",
		"_mta-sts.example.com. 60 TXT \"v=spf1 -all\"\n",
	};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_LEN(zones); i++) {
		zone(w, zones[i]);
		assert_int_equal(find(w, "example.com"), POLICY_MODE_NONE);
	}
	assert_int_equal(w->net.requests, 0);
}

static void switched_off_nobody_has_one(void **state)
{
	struct world *w = *state;

	assert_int_equal(find(w, "example.com"), POLICY_MODE_ENFORCE);
	policy_world_configure(&w->net, "direct: {mta_sts: false}\n");
	sts_configure(w->sts, w->net.config);
	assert_int_equal(find(w, "example.com"), POLICY_MODE_NONE);
	policy_world_configure(&w->net, "");
	sts_configure(w->sts, w->net.config);
	assert_int_equal(find(w, "example.com"), POLICY_MODE_ENFORCE);
	assert_int_equal(w->net.requests, 1);
}

static void mode_none_takes_a_policy_away(void **state)
{
	struct world *w = *state;

	find(w, "example.com");
	zone(w, ZONE("2"));
	policy_world_serve(&w->net, "version: STSv1\nmode: none\nmax_age: 86400\n");
	assert_int_equal(find(w, "example.com"), POLICY_MODE_NONE);
	assert_null(w->found);
	assert_int_equal(find(w, "example.com"), POLICY_MODE_NONE); /* and is not asked for each time */
	assert_int_equal(w->net.requests, 2);
}

static void a_new_id_has_the_policy_fetched(void **state)
{
	struct world *w = *state;

	assert_int_equal(find(w, "example.com"), POLICY_MODE_ENFORCE);
	policy_world_serve(&w->net, TESTING);
	assert_int_equal(find(w, "example.com"), POLICY_MODE_ENFORCE); /* the id is the old one */
	zone(w, ZONE("2"));
	assert_int_equal(find(w, "example.com"), POLICY_MODE_TESTING);
	assert_int_equal(w->net.requests, 2);
}

/* ---------------------------------------------------------------- faults */

#define OK_HEAD "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"

static const struct {
	const char *name, *response;
	bool closes;
	const char *said;
} faults[] = {
	{ "404", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", false, "it answered 404" },
	{ "a redirect",
	  "HTTP/1.1 301 Moved Permanently\r\nLocation: https://mta-sts.example.com/x\r\nContent-Length: 0\r\n\r\n",
	  false, "it answered 301" },
	{ "204", "HTTP/1.1 204 No Content\r\n\r\n", false, "it answered 204" },
	{ "a web page", "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 63\r\n\r\n" ENFORCE,
	  false, "not text/plain" },
	{ "no type", "HTTP/1.1 200 OK\r\nContent-Length: 63\r\n\r\n" ENFORCE, false, "not text/plain" },
	{ "no policy", OK_HEAD "Content-Length: 5\r\n\r\nhello", false, "not \\\"name: value\\\"" },
	{ "an empty policy", OK_HEAD "Content-Length: 0\r\n\r\n", false, "it has no version" },
	{ "cut off", OK_HEAD "Content-Length: 1000\r\n\r\nversion: STSv1\n", true, "example.com" },
	{ "too long, as it says", OK_HEAD "Content-Length: 65537\r\n\r\nversion: STSv1\n", false,
	  "more than 65536 octets" },
	{ "no HTTP", "220 mx.example.com ESMTP\r\n", true, "example.com" },
	{ "nothing at all", "", true, "example.com" },
	{ "silence", NULL, false, "no answer within" },
	{ "half of a head, then silence", "HTTP/1.1 200 OK\r\nContent-", false, "no answer within" },
};

static void a_site_that_fails_is_no_policy(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
		struct world *w;
		void *fresh = NULL;

		assert_int_equal(set_up(&fresh), 0);
		w = fresh;
		w->net.response = faults[i].response;
		w->net.closes = faults[i].closes;
		CHECK_INT(faults[i].name, find(w, "example.com"), POLICY_MODE_NONE);
		CHECK(faults[i].name, w->took_ms <= STS_WAIT_MS);
		sim_run(w->net.sim, 2 * MINUTE_MS);
		CHECK_INT(faults[i].name, w->net.warnings, 1);
		if (!policy_world_said(&w->net, faults[i].said))
			fail_msg("%s: %.*s", faults[i].name, TEXT_ARGS(buf_text(&w->net.events)));
		CHECK(faults[i].name, policy_world_said(&w->net, "as if it had none"));
		tear_down(&fresh);
	}
}

static void a_bad_certificate_is_no_policy(void **state)
{
	struct world *w = *state;

	w->net.server_tls.certificate_is_bad = true;
	assert_int_equal(find(w, "example.com"), POLICY_MODE_NONE);
	assert_int_equal(w->net.requests, 0);
	assert_int_equal(w->net.warnings, 1);
}

static void ignore(struct service_session *s)
{
	(void)s;
}

static void nobody_is_led_to_our_own_network(void **state)
{
	struct world *w = *state;
	struct service_peer inside = { 0 };
	struct io_address at = service_address("10.1.2.3:443");

	service_peer_begin(&inside, w->net.io, &at, ignore, w);
	zone(w, "_mta-sts.example.com. 60 TXT \"v=STSv1; id=1\"\nmta-sts.example.com. 60 A 10.1.2.3\n"
	        "mta-sts.example.com. 60 A 127.0.0.1\nmta-sts.example.com. 60 AAAA ::1\n");
	assert_int_equal(find(w, "example.com"), POLICY_MODE_NONE);
	assert_int_equal(w->net.warnings, 1);
	assert_int_equal(inside.accepted, 0);
	policy_world_configure(&w->net, "direct: {allow_private: [10.1.2.0/24]}\n");
	sts_configure(w->sts, w->net.config);
	sim_run(w->net.sim, 6 * MINUTE_MS);
	find(w, "example.com");
	assert_int_equal(inside.accepted, 1); /* unless somebody says so */
	service_peer_end(&inside);
}

static void a_site_that_fails_anew_is_said_anew(void **state)
{
	struct world *w = *state;

	w->net.response = "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n";
	find(w, "example.com");
	policy_world_serve(&w->net, ENFORCE);
	sim_run(w->net.sim, 6 * MINUTE_MS);
	find(w, "example.com");
	assert_int_equal(w->net.warnings, 1);
	w->net.response = "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n";
	zone(w, ZONE("2"));
	assert_int_equal(find(w, "example.com"), POLICY_MODE_ENFORCE);
	assert_int_equal(w->net.warnings, 2);
}

static void a_site_that_fails_is_asked_once_in_five_minutes(void **state)
{
	struct world *w = *state;

	w->net.response = "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n";
	for (unsigned i = 0; i < 10; i++)
		find(w, "example.com");
	assert_int_equal(w->net.requests, 1);
	sim_run(w->net.sim, 6 * MINUTE_MS);
	find(w, "example.com");
	assert_int_equal(w->net.requests, 2);
	assert_int_equal(w->net.warnings, 1); /* and said once */
	zone(w, ZONE("2"));                   /* another id is another policy */
	find(w, "example.com");
	find(w, "example.com");
	assert_int_equal(w->net.requests, 3);
	policy_world_serve(&w->net, ENFORCE);
	sim_run(w->net.sim, 6 * MINUTE_MS);
	assert_int_equal(find(w, "example.com"), POLICY_MODE_ENFORCE);
}

static void a_dead_site_delays_one_delivery_and_no_more(void **state)
{
	struct world *w = *state;

	w->net.response = NULL;
	assert_int_equal(find(w, "example.com"), POLICY_MODE_NONE);
	assert_in_range(w->took_ms, STS_WAIT_MS, STS_WAIT_MS + 10);
	sim_run(w->net.sim, MINUTE_MS); /* the fetch has ended too */
	find(w, "example.com");
	assert_in_range(w->took_ms, 0, 50);
	assert_int_equal(w->net.requests, 1);
}

static void a_slow_site_is_not_waited_for_and_counts_when_it_comes(void **state)
{
	struct world *w = *state;

	w->net.delay_ms = 15 * SECOND_MS;
	assert_int_equal(find(w, "example.com"), POLICY_MODE_NONE);
	assert_in_range(w->took_ms, STS_WAIT_MS, STS_WAIT_MS + 10);
	sim_run(w->net.sim, 10 * SECOND_MS);
	assert_int_equal(find(w, "example.com"), POLICY_MODE_ENFORCE);
	assert_int_equal(w->net.requests, 1);
}

static void a_fetch_ends_within_a_minute(void **state)
{
	struct world *w = *state;

	w->net.response = OK_HEAD "Content-Length: 60000\r\n\r\nversion: STSv1\n";
	w->net.delay_ms = 19 * SECOND_MS; /* under the limit of silence */
	find(w, "example.com");
	sim_run(w->net.sim, 61 * SECOND_MS);
	assert_int_equal(w->net.warnings, 1);
}

static void names_that_cannot_be_asked_for_delay_nobody_twice(void **state)
{
	struct world *w = *state;

	zone(w, "_mta-sts.example.com. SILENCE\n");
	assert_int_equal(find(w, "example.com"), POLICY_MODE_NONE);
	assert_true(w->took_ms >= 4 * SECOND_MS);
	assert_int_equal(find(w, "example.com"), POLICY_MODE_NONE);
	assert_in_range(w->took_ms, 0, 1);
	sim_names_change(w->net.names, ZONE("1"));
	sim_run(w->net.sim, 2 * MINUTE_MS);
	assert_int_equal(find(w, "example.com"), POLICY_MODE_ENFORCE);
}

/* ---------------------------------------------------------------- the cache counts */

static void what_is_known_counts_without_record_and_site(void **state)
{
	static const char *const zones[] = {
		"", /* the record is gone */
		"_mta-sts.example.com. SERVFAIL\n",
		"_mta-sts.example.com. SILENCE\n",
		"_mta-sts.example.com. 60 TXT \"v=STSv1;\"\n",
		"_mta-sts.example.com. 60 TXT \"v=STSv1; id=2\"\n", /* and the site's name does not exist */
		"_mta-sts.example.com. 60 TXT \"v=STSv1; id=3\"\nmta-sts.example.com. 60 A 192.0.2.99\n",
	};
	struct world *w = *state;

	find(w, "example.com");
	for (size_t i = 0; i < ARRAY_LEN(zones); i++) {
		zone(w, zones[i]);
		CHECK_INT(zones[i], find(w, "example.com"), POLICY_MODE_ENFORCE);
	}
	assert_true(policy_world_said(&w->net, "the one of before counts until"));
}

static void a_policy_ends_with_its_age(void **state)
{
	struct world *w = *state;

	policy_world_serve(&w->net, "version: STSv1\nmode: enforce\nmx: *.example.com\nmax_age: 3600\n");
	assert_int_equal(find(w, "example.com"), POLICY_MODE_ENFORCE);
	w->net.response = NULL;
	sim_names_change(w->net.names, "");
	sim_run(w->net.sim, 3500 * SECOND_MS);
	assert_int_equal(find(w, "example.com"), POLICY_MODE_ENFORCE);
	sim_run(w->net.sim, 101 * SECOND_MS);
	assert_int_equal(find(w, "example.com"), POLICY_MODE_NONE);
}

static void an_age_of_nothing_still_covers_the_deliveries_at_hand(void **state)
{
	struct world *w = *state;

	policy_world_serve(&w->net, "version: STSv1\nmode: enforce\nmx: *.example.com\nmax_age: 0\n");
	assert_int_equal(find(w, "example.com"), POLICY_MODE_ENFORCE);
	assert_int_equal(find(w, "example.com"), POLICY_MODE_ENFORCE);
	assert_int_equal(w->net.requests, 1);
	sim_run(w->net.sim, 61 * SECOND_MS);
	assert_int_equal(find(w, "example.com"), POLICY_MODE_ENFORCE);
	assert_int_equal(w->net.requests, 2);
}

static void a_policy_is_refreshed_while_nobody_writes(void **state)
{
	struct world *w = *state;

	find(w, "example.com");
	sim_run(w->net.sim, 30 * DAY_MS); /* four times its age */
	assert_in_range(w->net.requests, 30, 35);
	w->net.response = NULL;
	assert_int_equal(find(w, "example.com"), POLICY_MODE_ENFORCE);
	assert_in_range(w->took_ms, 0, 50);
}

static void who_is_written_to_no_more_is_not_asked_for_ever(void **state)
{
	struct world *w = *state;
	unsigned before;

	find(w, "example.com");
	sim_run(w->net.sim, 45 * DAY_MS);
	before = w->net.requests;
	assert_in_range(before, 30, 36);
	sim_run(w->net.sim, 45 * DAY_MS);
	assert_int_equal(w->net.requests, before);
}

static void a_refresh_finds_what_is_new(void **state)
{
	struct world *w = *state;
	unsigned before;

	find(w, "example.com");
	policy_world_serve(&w->net, TESTING); /* under the old id: it is fetched again all the same */
	sim_run(w->net.sim, 25 * HOUR_MS);
	assert_int_equal(find(w, "example.com"), POLICY_MODE_TESTING);
	sim_names_change(w->net.names, ZONE("2"));
	sim_run(w->net.sim, 25 * HOUR_MS);
	before = w->net.requests;
	assert_int_equal(find(w, "example.com"), POLICY_MODE_TESTING); /* it knows the new id already */
	assert_int_equal(w->net.requests, before);
}

static void who_blocks_the_site_is_heard_of_before_the_policy_ends(void **state)
{
	struct world *w = *state;

	find(w, "example.com");
	w->net.response = NULL;
	sim_names_change(w->net.names, "");
	sim_run(w->net.sim, 2 * DAY_MS);
	assert_int_equal(w->net.warnings, 1);
	assert_int_equal(find(w, "example.com"), POLICY_MODE_ENFORCE);
	sim_run(w->net.sim, 4 * DAY_MS);
	sim_names_change(w->net.names, ZONE("1"));
	policy_world_serve(&w->net, ENFORCE);
	sim_run(w->net.sim, 2 * HOUR_MS); /* it is tried again each hour */
	sim_names_change(w->net.names, "");
	sim_run(w->net.sim, 5 * DAY_MS); /* and counts from then on anew */
	assert_int_equal(find(w, "example.com"), POLICY_MODE_ENFORCE);
	sim_run(w->net.sim, 5 * DAY_MS);
	assert_int_equal(find(w, "example.com"), POLICY_MODE_NONE);
}

/* ---------------------------------------------------------------- restarts */

static void policies_survive_a_restart(void **state)
{
	struct world *w = *state;

	find(w, "example.com");
	w->net.response = NULL;
	sim_names_change(w->net.names, "");
	restart(w);
	assert_int_equal(find(w, "example.com"), POLICY_MODE_ENFORCE);
	assert_true(policy_domain_allows(w->found, TEXT("a.example.com")));
	assert_false(policy_domain_allows(w->found, TEXT("example.com")));
	restart(w);
	assert_int_equal(find(w, "example.com"), POLICY_MODE_ENFORCE);
	sim_run(w->net.sim, 7 * DAY_MS);
	restart(w);
	assert_int_equal(find(w, "example.com"), POLICY_MODE_NONE);
}

static void policies_survive_a_crash_seconds_later(void **state)
{
	struct world *w = *state;

	find(w, "example.com");
	sim_run(w->net.sim, 5 * SECOND_MS);
	sim_names_change(w->net.names, "");
	sim_disk_crash(w->net.sim);
	restart(w);
	assert_int_equal(find(w, "example.com"), POLICY_MODE_ENFORCE);
}

static void a_refresh_goes_on_over_a_restart(void **state)
{
	struct world *w = *state;

	find(w, "example.com");
	restart(w);
	sim_run(w->net.sim, 10 * DAY_MS);
	assert_in_range(w->net.requests, 9, 13);
	w->net.response = NULL;
	sim_names_change(w->net.names, "");
	assert_int_equal(find(w, "example.com"), POLICY_MODE_ENFORCE);
}

static void damaged_files_are_set_aside(void **state)
{
	struct world *w = *state;
	struct io_disk *d = sim_disk(w->net.sim);
	struct io_file *f;
	uint64_t bytes;

	find(w, "example.com");
	sts_free(&w->sts);
	assert_int_equal(d->ops->open(d, "/policy/mta-sts.1", IO_FILE_UPDATE, &f), ERR_OK);
	assert_int_equal(d->ops->write_at(f, 40, "\xff\xff\xff", 3), ERR_OK);
	d->ops->close(&f);
	open_sts(w);
	assert_int_equal(w->net.warnings, 1);
	assert_int_equal(d->ops->size(d, "/policy/mta-sts.damaged", &bytes), ERR_OK);
	assert_int_equal(find(w, "example.com"), POLICY_MODE_ENFORCE);
	assert_int_equal(w->net.requests, 2);
}

static void a_clock_set_back_makes_no_policy_older_than_its_age(void **state)
{
	struct world *w = *state;

	find(w, "example.com");
	sim_set_clock(w->net.sim, io_now_time(w->net.io) - 365 * DAY_MS);
	w->net.response = NULL;
	sim_names_change(w->net.names, "");
	sim_run(w->net.sim, HOUR_MS);
	assert_int_equal(find(w, "example.com"), POLICY_MODE_NONE);
}

/* ---------------------------------------------------------------- ends */

static void a_cancelled_lookup_says_nothing(void **state)
{
	struct world *w = *state;

	for (unsigned ms = 0; ms < 40; ms += 2) {
		struct policy_lookup *l;

		ask(w, "example.com");
		sim_run(w->net.sim, ms);
		l = TAKE(w->slot);
		if (l)
			l->cancel(l);
		sim_run(w->net.sim, MINUTE_MS);
		assert_int_equal(w->calls, l ? 0 : 1);
	}
}

static void the_end_forgets_lookups_and_fetches(void **state)
{
	struct world *w = *state;

	for (unsigned ms = 0; ms < 30; ms += 2) {
		ask(w, "example.com");
		sim_run(w->net.sim, ms);
		sts_free(&w->sts);
		assert_null(w->slot);
		sim_run(w->net.sim, MINUTE_MS);
		assert_true(w->calls <= 1);
		open_sts(w);
	}
}

#define STS_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STS_TEST(a_policy_is_found),
		STS_TEST(a_policy_in_the_cache_is_not_fetched_again),
		STS_TEST(many_that_ask_at_once_share_a_fetch),
		STS_TEST(who_has_no_record_has_no_policy),
		STS_TEST(a_name_too_long_for_the_record_has_no_policy),
		STS_TEST(broken_records_are_no_policy),
		STS_TEST(switched_off_nobody_has_one),
		STS_TEST(mode_none_takes_a_policy_away),
		STS_TEST(a_new_id_has_the_policy_fetched),
		cmocka_unit_test(a_site_that_fails_is_no_policy),
		STS_TEST(a_bad_certificate_is_no_policy),
		STS_TEST(nobody_is_led_to_our_own_network),
		STS_TEST(a_site_that_fails_anew_is_said_anew),
		STS_TEST(a_site_that_fails_is_asked_once_in_five_minutes),
		STS_TEST(a_dead_site_delays_one_delivery_and_no_more),
		STS_TEST(a_slow_site_is_not_waited_for_and_counts_when_it_comes),
		STS_TEST(a_fetch_ends_within_a_minute),
		STS_TEST(names_that_cannot_be_asked_for_delay_nobody_twice),
		STS_TEST(what_is_known_counts_without_record_and_site),
		STS_TEST(a_policy_ends_with_its_age),
		STS_TEST(an_age_of_nothing_still_covers_the_deliveries_at_hand),
		STS_TEST(a_policy_is_refreshed_while_nobody_writes),
		STS_TEST(who_is_written_to_no_more_is_not_asked_for_ever),
		STS_TEST(a_refresh_finds_what_is_new),
		STS_TEST(who_blocks_the_site_is_heard_of_before_the_policy_ends),
		STS_TEST(policies_survive_a_restart),
		STS_TEST(policies_survive_a_crash_seconds_later),
		STS_TEST(a_refresh_goes_on_over_a_restart),
		STS_TEST(damaged_files_are_set_aside),
		STS_TEST(a_clock_set_back_makes_no_policy_older_than_its_age),
		STS_TEST(a_cancelled_lookup_says_nothing),
		STS_TEST(the_end_forgets_lookups_and_fetches),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
