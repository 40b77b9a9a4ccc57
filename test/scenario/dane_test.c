/* DANE in the simulated world: whose records count, what they demand, and that nothing of such mail ever leaves in plain text. */
#include "scripts.h"

#include <stdio.h>
#include <stdlib.h>

#include <postrider/crypto.h>

#include "../support/guest.h"

#define YAML(dns, direct)                                                                      \
	"hostname: relay.test\nspool: {path: /spool}\n"                                        \
	"listen: [{address: 127.0.0.1:2525, tls: opportunistic, cert: /c.pem, key: /k.pem}]\n" \
	"routes: [{to: any, via: direct}]\ndns: {" dns "}\n"                                   \
	"direct: {allow_private: [10.0.0.0/8], mta_sts: false" direct "}\n" YAML_RETRY
#define TRUSTED YAML("trust_ad: yes", "")
#define UPSTREAM(more)                                                                         \
	"hostname: relay.test\nspool: {path: /spool}\n"                                        \
	"listen: [{address: 127.0.0.1:2525, tls: opportunistic, cert: /c.pem, key: /k.pem}]\n" \
	"upstreams: {next: {hosts: [mx.example.net:25], dane: true" more "}}\n"                \
	"routes: [{to: any, via: next}]\ndns: {trust_ad: yes}\n" YAML_RETRY

#define TWO_UPSTREAMS                                                                                \
	"hostname: relay.test\nspool: {path: /spool}\n"                                              \
	"listen: [{address: 127.0.0.1:2525}]\n"                                                      \
	"upstreams: {next: {hosts: [\"many.example.net:25\", \"mx.example.net:25\"], dane: true}}\n" \
	"routes: [{to: any, via: next}]\ndns: {trust_ad: yes}\n" YAML_RETRY
#define MANY_UPSTREAMS                                                                                       \
	"hostname: relay.test\nspool: {path: /spool}\n"                                                      \
	"listen: [{address: 127.0.0.1:2525}]\n"                                                              \
	"upstreams: {next: {hosts: [\"many.example.net:1\", \"many.example.net:2\", \"many.example.net:3\"," \
	"\"many.example.net:4\", \"many.example.net:5\", \"many.example.net:6\", \"many.example.net:7\","    \
	"\"many.example.net:8\", \"many.example.net:9\", \"mx.example.net:25\"], dane: true}}\n"             \
	"routes: [{to: any, via: next}]\ndns: {trust_ad: yes}\n" YAML_RETRY
#define MANY(n) "many.example.net. 300 A 10.0.1." n "\n"

#define SAYS_TLS "S: 220 mx.test\nC: EHLO relay.test\nS: 250-mx.test\nS: 250 STARTTLS\n"
#define STRICT "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n" SMALL ".\r\n"

#define SAYS_TLS_AND_PIPELINING \
	"S: 220 mx.test\nC: EHLO relay.test\nS: 250-mx.test\nS: 250-PIPELINING\nS: 250 STARTTLS\n"
#define TLS_UP "C: STARTTLS\nS: 220 go\ntls\n"
#define INSIDE \
	"C: EHLO relay.test\nS: 250-mx.test\nS: 250-REQUIRETLS\nS: 250 PIPELINING\nagain:\n" TAKES "repeat\n"
#define TLS SAYS_TLS TLS_UP INSIDE
#define PLAIN HELLO "again:\n" TAKES "repeat\n"

/* What the records of a zone are made of: SHA-256 of the peer's key, of one it had before, of its issuer's. */
#define KEY "{key}"
#define OLD "{old key}"
#define ISSUER "{issuer}"

#define SIGNED "example.net. SECURE\nexample.org. SECURE\n"
#define MX "example.net. 300 MX 10 mx.example.net.\n"
#define HOST "mx.example.net. 300 A 10.0.0.1\n"
#define AT_MX "_25._tcp.mx.example.net. 300 TLSA "
#define TWO_MX                                                                              \
	"example.net. 300 MX 10 mx.example.net.\nexample.net. 300 MX 20 mx2.example.net.\n" \
	"mx2.example.net. 300 A 10.0.0.2\n"
#define ALIAS "mx.example.net. 300 CNAME host.example.org.\nhost.example.org. 300 A 10.0.0.1\n"
#define AT_HOST "_25._tcp.host.example.org. 300 TLSA "

enum { NOBODY, FIRST, SECOND };

static const struct {
	const char *name, *yaml, *zone;
	const char *first, *second; /* what the two hosts say; NULL: nothing is there */
	struct sim_tls_script server;
	int to; /* who has the message in the end; NOBODY: it is deferred */
	const char *words;
} cases[] = {
	{ "a record that fits",
	  TRUSTED,
	  SIGNED MX HOST AT_MX "3 1 1 " KEY "\n",
	  TLS,
	  NULL,
	  { 0 },
	  FIRST,
	  "\"by\":\"dane\"" },
	{ "one of two records fits",
	  TRUSTED,
	  SIGNED MX HOST AT_MX "3 1 1 " OLD "\n" AT_MX "3 1 1 " KEY "\n",
	  TLS,
	  NULL,
	  { .certificate_is_bad = true, .certificate = { .names = LIT("other.test") } },
	  FIRST,
	  "\"verified\":true,\"by\":\"dane\"" },
	{ "a record of a key from before",
	  TRUSTED,
	  SIGNED MX HOST AT_MX "3 1 1 " OLD "\n",
	  TLS,
	  NULL,
	  { 0 },
	  NOBODY,
	  "DANE demands TLS (_25._tcp.mx.example.net): " },
	{ "the reason is the policy",
	  TRUSTED,
	  SIGNED MX HOST AT_MX "3 1 1 " OLD "\n",
	  TLS,
	  NULL,
	  { 0 },
	  NOBODY,
	  "\"reason\":\"tls_policy\"" },
	{ "no record",
	  TRUSTED,
	  SIGNED MX HOST,
	  TLS,
	  NULL,
	  { .certificate_is_bad = true },
	  FIRST,
	  "\"verified\":false,\"by\":\"none\"" },
	{ "no record, no TLS", TRUSTED, SIGNED MX HOST, PLAIN, NULL, { 0 }, FIRST, "250 2.0.0 taken" },
	{ "a record, and no TLS",
	  TRUSTED,
	  SIGNED MX HOST AT_MX "3 1 1 " KEY "\n",
	  PLAIN,
	  NULL,
	  { 0 },
	  NOBODY,
	  "does not offer STARTTLS" },
	{ "a record, and a handshake that fails",
	  TRUSTED,
	  SIGNED MX HOST AT_MX "3 1 1 " KEY "\n",
	  TLS,
	  NULL,
	  { .handshake_fails = true },
	  NOBODY,
	  "_25._tcp.mx.example.net" },
	{ "the records cannot be had",
	  TRUSTED,
	  SIGNED MX HOST "_25._tcp.mx.example.net. SERVFAIL\n",
	  TLS,
	  NULL,
	  { 0 },
	  NOBODY,
	  "SERVFAIL from 10.0.0.53:53 for TLSA of _25._tcp.mx.example.net" },
	{ "then the reason is the DNS",
	  TRUSTED,
	  SIGNED MX HOST "_25._tcp.mx.example.net. SERVFAIL\n",
	  PLAIN,
	  NULL,
	  { 0 },
	  NOBODY,
	  "\"reason\":\"dns\"" },
	{ "nobody answers for the records",
	  TRUSTED,
	  SIGNED MX HOST "_25._tcp.mx.example.net. SILENCE\n",
	  TLS,
	  NULL,
	  { 0 },
	  NOBODY,
	  "no answer from 10.0.0.53:53" },
	{ "only usages that are nothing",
	  TRUSTED,
	  SIGNED MX HOST AT_MX "1 1 1 " OLD "\n" AT_MX "0 0 1 " OLD "\n",
	  TLS,
	  NULL,
	  { .certificate_is_bad = true },
	  FIRST,
	  "\"verified\":false,\"by\":\"none\"" },
	{ "only usages that are nothing, and no TLS",
	  TRUSTED,
	  SIGNED MX HOST AT_MX "1 1 1 " OLD "\n",
	  PLAIN,
	  NULL,
	  { 0 },
	  NOBODY,
	  "does not offer STARTTLS" },
	{ "an issuer",
	  TRUSTED,
	  SIGNED MX HOST AT_MX "2 1 1 " ISSUER "\n",
	  TLS,
	  NULL,
	  { .certificate = { .names = LIT("mx.example.net") } },
	  FIRST,
	  "\"by\":\"dane\"" },
	{ "an issuer, and the name of the domain",
	  TRUSTED,
	  SIGNED MX HOST AT_MX "2 1 1 " ISSUER "\n",
	  TLS,
	  NULL,
	  { .certificate = { .names = LIT("example.net") } },
	  FIRST,
	  "\"by\":\"dane\"" },
	{ "an issuer, and another name",
	  TRUSTED,
	  SIGNED MX HOST AT_MX "2 1 1 " ISSUER "\n",
	  TLS,
	  NULL,
	  { .certificate = { .names = LIT("mx.example.org") } },
	  NOBODY,
	  "another name" },
	/* what DNSSEC proves, and what it does not */
	{ "nothing is signed",
	  TRUSTED,
	  MX HOST AT_MX "3 1 1 " OLD "\n",
	  PLAIN,
	  NULL,
	  { 0 },
	  FIRST,
	  "250 2.0.0" },
	{ "nothing is signed, and such questions are not answered",
	  TRUSTED,
	  MX HOST "_25._tcp.mx.example.net. SERVFAIL\n",
	  PLAIN,
	  NULL,
	  { 0 },
	  FIRST,
	  "250 2.0.0" },
	{ "the MX is not signed, the host is",
	  TRUSTED,
	  SIGNED "example.net. INSECURE\nmx.example.net. SECURE\n" MX HOST AT_MX "3 1 1 " OLD "\n",
	  PLAIN,
	  NULL,
	  { 0 },
	  FIRST,
	  "250 2.0.0" },
	{ "the MX is signed, the host is not",
	  TRUSTED,
	  SIGNED "mx.example.net. INSECURE\n" MX HOST AT_MX "3 1 1 " OLD "\n",
	  PLAIN,
	  NULL,
	  { 0 },
	  FIRST,
	  "250 2.0.0" },
	{ "the record is not signed",
	  TRUSTED,
	  SIGNED "_tcp.mx.example.net. INSECURE\n" MX HOST AT_MX "3 1 1 " OLD "\n",
	  PLAIN,
	  NULL,
	  { 0 },
	  FIRST,
	  "250 2.0.0" },
	{ "the domain is its own host",
	  TRUSTED,
	  SIGNED "example.net. 300 A 10.0.0.1\n_25._tcp.example.net. 300 TLSA 3 1 1 " OLD "\n",
	  TLS,
	  NULL,
	  { 0 },
	  NOBODY,
	  "(_25._tcp.example.net)" },
	{ "nobody is trusted",
	  YAML("trust_ad: no", ""),
	  SIGNED MX HOST AT_MX "3 1 1 " OLD "\n",
	  TLS,
	  NULL,
	  { 0 },
	  FIRST,
	  "\"by\":\"none\"" },
	{ "a resolver from afar is not",
	  YAML("trust_ad: auto", ""),
	  SIGNED MX HOST AT_MX "3 1 1 " OLD "\n",
	  TLS,
	  NULL,
	  { 0 },
	  FIRST,
	  "\"by\":\"none\"" },
	{ "DANE is off",
	  YAML("trust_ad: yes", ", dane: false"),
	  SIGNED MX HOST AT_MX "3 1 1 " OLD "\n",
	  TLS,
	  NULL,
	  { 0 },
	  FIRST,
	  "\"by\":\"none\"" },
	{ "TLS is off",
	  YAML("trust_ad: yes", ", tls: none"),
	  SIGNED MX HOST AT_MX "3 1 1 " OLD "\n",
	  PLAIN,
	  NULL,
	  { 0 },
	  FIRST,
	  "250 2.0.0" },
	{ "who can spoil the question for IPv6 cannot take DANE away",
	  TRUSTED,
	  SIGNED MX HOST "mx.example.net. SERVFAIL AAAA\n" AT_MX "3 1 1 " OLD "\n",
	  TLS,
	  NULL,
	  { 0 },
	  NOBODY,
	  "_25._tcp.mx.example.net" },
	/* aliases (RFC 7672 section 2.2.2) */
	{ "the end of a chain goes before its beginning",
	  TRUSTED,
	  SIGNED MX ALIAS AT_HOST "3 1 1 " OLD "\n" AT_MX "3 1 1 " KEY "\n",
	  TLS,
	  NULL,
	  { 0 },
	  NOBODY,
	  "(_25._tcp.host.example.org)" },
	{ "where the end has none, the beginning counts",
	  TRUSTED,
	  SIGNED MX ALIAS AT_MX "3 1 1 " KEY "\n",
	  TLS,
	  NULL,
	  { 0 },
	  FIRST,
	  "\"by\":\"dane\"" },
	{ "an alias that is proved, of a name that is not",
	  TRUSTED,
	  SIGNED "example.org. INSECURE\n" MX ALIAS AT_MX "3 1 1 " OLD "\n",
	  TLS,
	  NULL,
	  { 0 },
	  NOBODY,
	  "(_25._tcp.mx.example.net)" },
	{ "what is not proved at its end does not count there",
	  TRUSTED,
	  SIGNED "example.org. INSECURE\n" MX ALIAS AT_HOST "3 1 1 " OLD "\n",
	  PLAIN,
	  NULL,
	  { 0 },
	  FIRST,
	  "250 2.0.0" },
	/* several hosts */
	{ "the second host fits",
	  TRUSTED,
	  SIGNED TWO_MX HOST AT_MX "3 1 1 " OLD "\n"
	                           "_25._tcp.mx2.example.net. 300 TLSA 3 1 1 " KEY "\n",
	  TLS,
	  TLS,
	  { 0 },
	  SECOND,
	  "\"by\":\"dane\"" },
	{ "the second host has no records",
	  TRUSTED,
	  SIGNED TWO_MX HOST AT_MX "3 1 1 " OLD "\n",
	  TLS,
	  PLAIN,
	  { 0 },
	  SECOND,
	  "\"mx\":\"mx2.example.net\"" },
	{ "the records of the first cannot be had",
	  TRUSTED,
	  SIGNED TWO_MX HOST "_25._tcp.mx.example.net. SERVFAIL\n",
	  PLAIN,
	  PLAIN,
	  { 0 },
	  SECOND,
	  "250 2.0.0" },
	{ "both have records that do not fit",
	  TRUSTED,
	  SIGNED TWO_MX HOST AT_MX "3 1 1 " OLD "\n"
	                           "_25._tcp.mx2.example.net. 300 TLSA 3 1 1 " OLD "\n",
	  TLS,
	  TLS,
	  { 0 },
	  NOBODY,
	  "tls_policy" },
	/* an upstream that is to be proved so */
	{ "an upstream whose record fits",
	  UPSTREAM(""),
	  SIGNED HOST AT_MX "3 1 1 " KEY "\n",
	  TLS,
	  NULL,
	  { 0 },
	  FIRST,
	  "\"by\":\"dane\"" },
	{ "an upstream whose record does not",
	  UPSTREAM(""),
	  SIGNED HOST AT_MX "3 1 1 " OLD "\n",
	  TLS,
	  NULL,
	  { 0 },
	  NOBODY,
	  "DANE demands TLS (_25._tcp.mx.example.net): " },
	{ "an upstream without records",
	  UPSTREAM(""),
	  SIGNED HOST,
	  TLS,
	  NULL,
	  { 0 },
	  NOBODY,
	  "is to be proved by DANE" },
	{ "the many addresses of a host without records are no tries",
	  TWO_UPSTREAMS,
	  SIGNED HOST AT_MX "3 1 1 " KEY "\n" MANY("1") MANY("2") MANY("3") MANY("4") MANY("5") MANY("6")
	          MANY("7") MANY("8") MANY("9"),
	  TLS,
	  NULL,
	  { 0 },
	  FIRST,
	  "\"by\":\"dane\"" },
	{ "nor are many hosts without records",
	  MANY_UPSTREAMS,
	  SIGNED HOST AT_MX "3 1 1 " KEY "\n" MANY("1"),
	  TLS,
	  NULL,
	  { 0 },
	  FIRST,
	  "\"by\":\"dane\"" },
	{ "an upstream where TLS is not demanded",
	  UPSTREAM(", tls: opportunistic"),
	  SIGNED HOST AT_MX "3 1 1 " OLD "\n",
	  TLS,
	  NULL,
	  { 0 },
	  FIRST,
	  "\"by\":\"none\"" },
	{ "an upstream in no signed zone",
	  UPSTREAM(""),
	  HOST AT_MX "3 1 1 " KEY "\n",
	  TLS,
	  NULL,
	  { 0 },
	  NOBODY,
	  "is to be proved by DANE" },
};

static void add_digest(struct buf *b, struct text word)
{
	struct crypto_sha256 digest = crypto_sha256(&word, 1);

	for (size_t i = 0; i < sizeof(digest.at); i++)
		buf_add_format(b, "%02x", digest.at[i]);
}

/* With {words} in the place of their digests. */
static const char *zone_of(const char *zone, struct buf *room)
{
	struct text rest = text_from(zone);

	buf_reset(room);
	while (rest.len > 0) {
		size_t open = text_find_octet(rest, '{');

		buf_add(room, text_head(rest, open));
		rest = text_skip(rest, open + 1);
		if (rest.len == 0)
			break;
		add_digest(room, text_cut(&rest, '}'));
	}
	buf_add_octet(room, '\0');
	return room->at;
}

/* The peers, with one TLS for both. */
struct peers {
	struct sim_peer *first, *second;
};

static struct sim_peer *peer(struct relay_world *w, struct ip_port at, const char *script,
                             const struct sim_tls_script *tls)
{
	struct tls_context *context;
	struct sim_peer *p;

	if (!script)
		return NULL;
	p = relay_world_peer(w, at, script);
	assert_int_equal(sim_tls_context(w->sim, true, false, tls, &context), ERR_OK);
	sim_peer_use_tls(p, context);
	tls_context_unref(&context);
	return p;
}

static unsigned messages(const struct sim_peer *p)
{
	return p ? sim_peer_messages(p) : 0;
}

/* Nothing of a message that must not go in plain text is said there. */
static bool spoke_of_mail(const struct sim_peer *p)
{
	return p && text_find(sim_peer_transcript(p), TEXT("C: MAIL")) < sim_peer_transcript(p).len;
}

static void run_case(size_t i)
{
	struct relay_world w;
	struct buf room = BUF(65536);
	struct peers p;

	relay_world_open(&w, 300 + i, cases[i].yaml, zone_of(cases[i].zone, &room));
	p.first = peer(&w, NEXT_HOP, cases[i].first, &cases[i].server);
	p.second = peer(&w, AT(10, 0, 0, 2, 25), cases[i].second, &cases[i].server);
	relay_world_send(&w, "a@example.com", "b@example.net", SMALL);
	relay_world_await(&w, cases[i].to ? "delivered" : "deferred", 1, 120000);
	if (!relay_world_said(&w, cases[i].words) || messages(p.first) != (cases[i].to == FIRST) ||
	    messages(p.second) != (cases[i].to == SECOND) ||
	    (!cases[i].to && (spoke_of_mail(p.first) || spoke_of_mail(p.second))))
		fail_msg("%s: %u and %u messages, or no %s in\n%.*s", cases[i].name, messages(p.first),
		         messages(p.second), cases[i].words, TEXT_ARGS(buf_text(&w.events)));
	stop_world(&w);
	sim_peer_free(&p.first);
	sim_peer_free(&p.second);
	end_world(&w);
	buf_fini(&room);
}

static void records_decide_where_dnssec_proves_them(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		run_case(i);
}

/* Its handshake failed, so it goes without for an hour. Then records appear. */
static void a_memory_of_plain_text_does_not_outweigh_a_record(void **state)
{
	static const struct sim_tls_script good = { 0 };
	struct relay_world w;
	struct buf room = BUF(65536);
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 1, TRUSTED,
	                 SIGNED "example.net. 60 MX 10 mx.example.net.\nmx.example.net. 60 A 10.0.0.1\n");
	p = peer(&w, NEXT_HOP, SAYS_TLS "C: STARTTLS\nS: 220 go\nS: drops\n", &good);
	assert_int_equal(sim_peer_add_script(p, SAYS_TLS_AND_PIPELINING "again:\n" TAKES "repeat\n"), ERR_OK);
	relay_world_send(&w, "a@example.com", "b@example.net", SMALL);
	relay_world_await(&w, "delivered", 1, 60000);
	assert_false(relay_world_said(&w, "TLSv1.3"));
	sim_run(w.sim, 5 * MINUTE_MS);
	sim_names_change(w.names, zone_of(SIGNED MX HOST AT_MX "3 1 1 " KEY "\n", &room));
	relay_world_send(&w, "a@example.com", "b@example.net", SMALL);
	relay_world_await(&w, "deferred", 1, 60000);
	assert_int_equal(sim_peer_messages(p), 1);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
	buf_fini(&room);
}

/* RFC 8689 section 5: rather without than not at all. But no other mail goes by that connection. */
static void mail_that_may_go_without_goes(void **state)
{
	static const struct sim_tls_script good = { 0 };
	struct relay_world w;
	struct buf room = BUF(65536);
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 2, TRUSTED, zone_of(SIGNED MX HOST AT_MX "3 1 1 " OLD "\n", &room));
	p = peer(&w, NEXT_HOP, TLS, &good);
	relay_world_send(&w, "a@example.com", "b@example.net",
	                 "TLS-Required: No\r\nSubject: one\r\n\r\nx\r\n");
	relay_world_await(&w, "delivered", 1, 60000);
	relay_world_send(&w, "a@example.com", "c@example.net", SMALL);
	relay_world_await(&w, "deferred", 1, 60000);
	assert_int_equal(sim_peer_messages(p), 1);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
	buf_fini(&room);
}

/* The attempt that an event of this kind tells of. */
static long attempt_of(const struct relay_world *w, const char *kind)
{
	struct text rest = buf_text(&w->events);

	while (rest.len > 0) {
		struct text line = text_cut(&rest, '\n');
		size_t at = text_find(line, TEXT("\"attempt\":"));

		if (text_find(line, text_from(kind)) < line.len && at < line.len)
			return strtol(line.at + at + 10, NULL, 10);
	}
	return 0;
}

/* They wait together for the one connection that may be; it fails, for want of a record that fits. */
static void mail_that_may_not_waits_and_does_not_fail_it(void **state)
{
	static const struct sim_tls_script good = { 0 };
	struct relay_world w;
	struct buf room = BUF(65536);
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 3, TRUSTED "limits: {any: {connections: 1}}\n",
	                 zone_of(SIGNED MX HOST AT_MX "3 1 1 " OLD "\n", &room));
	p = peer(&w, NEXT_HOP, TLS, &good);
	(void)relay_world_say(
		&w,
		"EHLO c\r\n" STRICT STRICT STRICT
		"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\nTLS-Required: No\r\n" SMALL
		".\r\n" STRICT);
	relay_world_await(&w, "delivered", 1, 10 * MINUTE_MS);
	assert_int_equal(attempt_of(&w, "\"event\":\"delivered\""), 1);
	relay_world_await(&w, "deferred", 4, 10 * MINUTE_MS);
	assert_int_equal(sim_peer_messages(p), 1);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
	buf_fini(&room);
}

/* ---------------------------------------------------------------- REQUIRETLS */

static const struct {
	const char *name, *yaml, *zone, *script;
	struct sim_tls_script server;
	const char *outcome, *words;
} required[] = {
	{ "proved by DANE",
	  TRUSTED,
	  SIGNED MX HOST AT_MX "3 1 1 " KEY "\n",
	  TLS,
	  { 0 },
	  "delivered",
	  "\"by\":\"dane\"" },
	{ "a record that does not fit",
	  TRUSTED,
	  SIGNED MX HOST AT_MX "3 1 1 " OLD "\n",
	  TLS,
	  { 0 },
	  "bounced",
	  "5.7.30" },
	{ "records that nobody can use prove nothing",
	  TRUSTED,
	  MX HOST AT_MX "1 1 1 " KEY "\n",
	  TLS,
	  { 0 },
	  "bounced",
	  "cannot prove" },
	{ "a signed MX and a certificate for the host",
	  TRUSTED,
	  SIGNED MX HOST,
	  TLS,
	  { .certificate = { .names = LIT("mx.example.net") } },
	  "delivered",
	  "\"verified\":true,\"by\":\"ca\"" },
	{ "a signed MX and a certificate for another",
	  TRUSTED,
	  SIGNED MX HOST,
	  TLS,
	  { .certificate = { .names = LIT("mx.example.org") } },
	  "bounced",
	  "another name" },
	{ "nothing is signed", TRUSTED, MX HOST, TLS, { 0 }, "bounced", "5.7.30" },
	{ "the records cannot be had",
	  TRUSTED,
	  SIGNED MX HOST "_25._tcp.mx.example.net. SERVFAIL\n",
	  TLS,
	  { 0 },
	  "deferred",
	  "SERVFAIL" },
	{ "an upstream proved by DANE",
	  UPSTREAM(""),
	  SIGNED HOST AT_MX "3 1 1 " KEY "\n",
	  TLS,
	  { 0 },
	  "delivered",
	  "\"by\":\"dane\"" },
	{ "an upstream without records may get them",
	  UPSTREAM(""),
	  SIGNED HOST,
	  TLS,
	  { 0 },
	  "deferred",
	  "is to be proved by DANE" },
};

static void mail_that_requires_tls_goes_to_whom_it_can_trust(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(required); i++) {
		struct relay_world w;
		struct buf room = BUF(65536);
		struct guest g;
		struct sim_peer *p;

		relay_world_open(&w, 400 + i, required[i].yaml, zone_of(required[i].zone, &room));
		p = peer(&w, NEXT_HOP, required[i].script, &required[i].server);
		guest_come(&w, &g);
		(void)guest_say(&g, "EHLO c\r\n");
		(void)guest_say(&g, "STARTTLS\r\n");
		guest_start_tls(&g);
		(void)guest_say(&g, "EHLO c\r\n");
		(void)guest_say(
			&g, "MAIL FROM:<a@example.com> REQUIRETLS\r\nRCPT TO:<b@example.net>\r\nDATA\r\n");
		(void)guest_say(&g, SMALL ".\r\n");
		relay_world_await(&w, required[i].outcome, 1, 60000);
		if (!relay_world_said(&w, required[i].words))
			fail_msg("%s: no %s in\n%.*s", required[i].name, required[i].words,
			         TEXT_ARGS(buf_text(&w.events)));
		assert_int_equal(sim_peer_messages(p), !strcmp(required[i].outcome, "delivered"));
		guest_leave(&g);
		relay_world_stop(&w);
		sim_peer_free(&p);
		relay_world_close(&w);
		buf_fini(&room);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_decide_where_dnssec_proves_them),
		cmocka_unit_test(a_memory_of_plain_text_does_not_outweigh_a_record),
		cmocka_unit_test(mail_that_may_go_without_goes),
		cmocka_unit_test(mail_that_may_not_waits_and_does_not_fail_it),
		cmocka_unit_test(mail_that_requires_tls_goes_to_whom_it_can_trust),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
