/* Dialogues with the sink in the simulated world, and one over loopback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include <postrider/io/uv.h>
#include <postrider/sim.h>
#include <postrider/sink.h>

#include "support/smtp_client.h"

struct world {
	struct sim *sim;
	struct sink *sink;
	struct buf seen; /* what on_message heard */
};

static struct io_address address_of(const char *string)
{
	struct io_address a = { .peer_uid = UINT32_MAX, .peer_gid = UINT32_MAX };

	assert_int_equal(ip_port_parse(text_from(string), &a.ip), ERR_OK);
	return a;
}

static void on_message(void *owner, const struct sink_message *m)
{
	struct world *w = owner;

	buf_add_format(&w->seen, "%llu.%llu %.*s%s <%.*s>", (unsigned long long)m->session,
	               (unsigned long long)m->number, TEXT_ARGS(m->helo), m->is_tls ? " tls" : "",
	               TEXT_ARGS(m->reverse_path));
	if (m->parameters.len)
		buf_add_format(&w->seen, " (%.*s)", TEXT_ARGS(m->parameters));
	for (size_t i = 0; i < m->recipient_count; i++) {
		buf_add_format(&w->seen, " %.*s", TEXT_ARGS(m->recipients[i]));
		if (m->recipient_parameters[i].len)
			buf_add_format(&w->seen, " (%.*s)", TEXT_ARGS(m->recipient_parameters[i]));
	}
	buf_add_format(&w->seen, " %llu [", (unsigned long long)m->content_bytes);
	buf_add(&w->seen, m->content);
	buf_add_string(&w->seen, "]\n");
}

static void begin_with(struct world *w, const struct sim_options *sim, const struct sink_options *from)
{
	struct sink_options o = *from;

	*w = (struct world){ .seen = BUF(1024 * 1024) };
	assert_int_equal(sim_new(sim, &w->sim), ERR_OK);
	o.io = sim_io(w->sim);
	o.address = address_of("192.0.2.25:25");
	o.disk = sim_disk(w->sim);
	if (o.on_message)
		o.owner = w;
	assert_int_equal(sink_open(&o, &w->sink), ERR_OK);
}

static void begin(struct world *w, const struct sink_options *from)
{
	begin_with(w, &(struct sim_options){ .seed = 3 }, from);
}

static void end(struct world *w)
{
	sink_close(&w->sink);
	sim_settle(w->sim, 60000);
	sim_free(&w->sim);
	buf_fini(&w->seen);
}

static void talk(struct world *w, const char *script)
{
	struct smtp_client c = { 0 };

	smtp_client_start(&c, sim_io(w->sim), sink_address(w->sink), script, NULL);
	sim_run_until(w->sim, &c.done, 3600 * 1000);
	smtp_client_fini(&c);
}

/* ---------------------------------------------------------------- dialogues */

#define HELLO \
	"S: 220 sink.invalid ESMTP\nC: EHLO me\nS: 250-sink.invalid\nS: 250-PIPELINING\nS: 250-SIZE 67108864\nS: 250-8BITMIME\nS: 250 ENHANCEDSTATUSCODES\n"
#define HELLO_ALL                                                                                               \
	"S: 220 sink.invalid ESMTP\nC: EHLO me\nS: 250-sink.invalid\nS: 250-PIPELINING\nS: 250-SIZE 67108864\n" \
	"S: 250-8BITMIME\nS: 250-ENHANCEDSTATUSCODES\nS: 250-CHUNKING\nS: 250-BINARYMIME\nS: 250-SMTPUTF8\n"    \
	"S: 250-DSN\nS: 250-DELIVERBY\nS: 250 MT-PRIORITY\n"
#define TO(rcpt) "C: MAIL FROM:<a@b.example>\nC: RCPT TO:<" rcpt ">\n"

static const struct {
	const char *name;
	struct sink_options options;
	const char *script;
	uint64_t messages, recipients, refused, deferred;
} dialogues[] = {
	{ "a message, one command at a time",
	  { .want_content = false },
	  HELLO
	  "C: MAIL FROM:<a@b.example> SIZE=100 BODY=8BITMIME\nS: 250 2.1.0\nC: RCPT TO:<c@d.example>\nS: 250 2.1.5\n"
	  "C: RCPT TO:<e@d.example>\nS: 250 2.1.5\nC: DATA\nS: 354\nC: Subject: x\nC: \nC: ..body\nC: .\nS: 250 2.0.0\nC: QUIT\nS: 221 2.0.0\nclosed",
	  1,
	  2,
	  0,
	  0 },
	{ "two messages, pipelined, all at once",
	  { .want_content = false },
	  HELLO TO("c@d.example") "C: DATA\nC: one\nC: .\n" TO(
		  "c@d.example") "C: DATA\nC: two\nC: .\nC: QUIT\n"
	                         "S: 250 2.1.0\nS: 250 2.1.5\nS: 354\nS: 250 2.0.0\nS: 250 2.1.0\nS: 250 2.1.5\nS: 354\nS: 250 2.0.0\nS: 221\nclosed",
	  2,
	  2,
	  0,
	  0 },
	{ "HELO",
	  { .want_content = false },
	  "S: 220\nC: HELO me\nS: 250 sink.invalid\n" TO(
		  "c@d.example") "S: 250\nS: 250\nC: DATA\nS: 354\nC: .\nS: 250\ndrops",
	  1,
	  1,
	  0,
	  0 },
	{ "the null reverse-path and postmaster",
	  { .want_content = false },
	  HELLO
	  "C: MAIL FROM:<>\nC: RCPT TO:<postmaster>\nC: DATA\nC: .\nS: 250\nS: 250\nS: 354\nS: 250\ndrops",
	  1,
	  1,
	  0,
	  0 },
	{ "commands out of order",
	  { .want_content = false },
	  "S: 220\nC: MAIL FROM:<a@b>\nS: 503 5.5.1\nC: STARTTLS\nS: 503 5.5.1\nC: HELO me\nS: 250\nC: RCPT TO:<a@b>\nS: 503 5.5.1\nC: DATA\nS: 503 5.5.1\n"
	  "C: MAIL FROM:<a@b>\nS: 250\nC: MAIL FROM:<a@b>\nS: 503\nC: DATA\nS: 503\nC: RSET\nS: 250\nC: RCPT TO:<a@b>\nS: 503\nC: STARTTLS\nS: 503\ndrops",
	  0,
	  0,
	  0,
	  0 },
	{ "other commands",
	  { .want_content = false },
	  "S: 220\nC: NOOP\nS: 250 2.0.0\nC: HELP\nS: 214-2.0.0\nS: 214 2.0.0\nC: VRFY x\nS: 252\nC: EXPN x\nS: 502 5.5.1\nC: FOO\nS: 502\nC: \nS: 500 5.5.2\nR: NOOP\\n\nS: 500\nC: RSET\nS: 250\nC: GET / HTTP/1.1\nS: 421\nclosed",
	  0,
	  0,
	  0,
	  0 },
	{ "parameters that were not offered",
	  { .want_content = false },
	  HELLO
	  "C: MAIL FROM:<a@b.example> RET=FULL\nS: 555 5.5.4\nC: MAIL FROM:<a@b.example> BODY=BINARYMIME\nS: 555\nC: MAIL FROM:<a b>\nS: 501\nC: MAIL FROM:<a@b.example>\nS: 250\nC: RCPT TO:<c@d.example> NOTIFY=NEVER\nS: 555\ndrops",
	  0,
	  0,
	  0,
	  0 },
	{ "fewer keywords, no enhanced codes",
	  { .keywords = EHLO_DSN },
	  "S: 220\nC: EHLO me\nS: 250-sink.invalid\nS: 250 DSN\nC: MAIL FROM:<a@b.example> RET=FULL ENVID=x\nS: 250 Ok\nC: RCPT TO:<refuse@d.example> NOTIFY=NEVER\nS: 550 No\nC: MAIL FROM:<a@b.example> BODY=8BITMIME\nS: 503 Bad\ndrops",
	  0,
	  0,
	  1,
	  0 },
	{ "a server without EHLO",
	  { .no_ehlo = true, .hostname = LIT("old.example") },
	  "S: 220 old.example ESMTP\nC: EHLO me\nS: 502 Command\nC: HELO me\nS: 250 old.example\n" TO(
		  "c@d.example") "S: 250 Ok\nS: 250 Ok\ndrops",
	  0,
	  0,
	  0,
	  0 },
	{ "recipients that ask for it",
	  { .want_content = false },
	  HELLO
	  "C: MAIL FROM:<a@b.example>\nS: 250\nC: RCPT TO:<Refused@d.example>\nS: 550 5.1.1\nC: RCPT TO:<defer@d.example>\nS: 451 4.2.1\nC: RCPT TO:<full@d.example>\nS: 452 4.2.2\n"
	  "C: RCPT TO:<blocked@d.example>\nS: 550 5.7.1\nC: DATA\nS: 503\nC: RCPT TO:<busy@d.example>\nS: 421 4.3.2\nclosed",
	  0,
	  0,
	  2,
	  3 },
	{ "refused at the dot, and the session goes on",
	  { .want_content = false },
	  HELLO TO("content@d.example") "C: DATA\nC: .\nS: 250\nS: 250\nS: 354\nS: 554 5.6.0\n" TO(
		  "tempdot@d.example") "C: DATA\nC: .\nS: 250\nS: 250\nS: 354\nS: 451 4.3.0\n" TO("c@d.example") "C: DATA\nC: .\nS: 250\nS: 250\nS: 354\nS: 250\ndrops",
	  1,
	  1,
	  1,
	  1 },
	{ "dropped after the dot: taken, and nothing said",
	  { .want_content = false },
	  HELLO TO("drop@d.example") "S: 250\nS: 250\nC: DATA\nS: 354\nC: .\nclosed",
	  1,
	  1,
	  0,
	  0 },
	{ "dropped after the dot, all at once: what was owed before is said",
	  { .want_content = false },
	  HELLO TO("drop@d.example") "C: DATA\nC: .\nS: 250\nS: 250\nS: 354\nclosed",
	  1,
	  1,
	  0,
	  0 },
	{ "silent after the dot, and to QUIT",
	  { .want_content = false },
	  HELLO TO("silent@d.example") "C: DATA\nC: .\nS: 250\nS: 250\nS: 354\nC: QUIT\nafter 600 s\ndrops",
	  1,
	  1,
	  0,
	  0 },
	{ "too big, by its word",
	  { .max_bytes = 20 },
	  "S: 220\nC: HELO me\nS: 250\nC: MAIL FROM:<a@b.example> SIZE=21\nS: 552 5.3.4\nC: MAIL FROM:<a@b.example> SIZE=20\nS: 250\ndrops",
	  0,
	  0,
	  0,
	  0 },
	{ "too big, in truth",
	  { .max_bytes = 20 },
	  "S: 220\nC: HELO me\nS: 250\n" TO("c@d.example") "C: DATA\nC: 1234567890\nC: 123456\nC: 1\nC: .\nS: 250\nS: 250\nS: 354\nS: 552 5.3.4\n" TO(
		  "c@d.example") "C: DATA\nC: 1234567890\nC: 123456\nC: .\nS: 250\nS: 250\nS: 354\nS: 250\ndrops",
	  1,
	  1,
	  1,
	  0 },
	{ "too many recipients",
	  { .max_recipients = 2 },
	  HELLO TO(
		  "c@d.example") "C: RCPT TO:<e@d.example>\nC: RCPT TO:<f@d.example>\nC: DATA\nC: .\nS: 250\nS: 250\nS: 250\nS: 452 4.5.3\nS: 354\nS: 250\ndrops",
	  1,
	  2,
	  0,
	  1 },
	{ "everybody refused by chance",
	  { .fail_ppm = 1000000 },
	  HELLO TO("c@d.example") "S: 250\nS: 550 5.1.1\ndrops",
	  0,
	  0,
	  1,
	  0 },
	{ "everybody deferred by chance",
	  { .defer_ppm = 1000000 },
	  HELLO TO("c@d.example") "S: 250\nS: 451 4.3.0\ndrops",
	  0,
	  0,
	  0,
	  1 },
	{ "greylisted: the second try passes",
	  { .greylist = true },
	  HELLO TO(
		  "c@d.example") "C: RCPT TO:<C@D.example>\nC: RCPT TO:<e@d.example>\nS: 250\nS: 451 4.7.1\nS: 250\nS: 451\ndrops",
	  0,
	  0,
	  0,
	  2 },
	{ "greylisted: not before its time",
	  { .greylist = true, .greylist_ms = 60000 },
	  HELLO TO(
		  "c@d.example") "S: 250\nS: 451 4.7.1\nafter 59 s\nC: RCPT TO:<c@d.example>\nS: 451\nafter 2 s\nC: RCPT TO:<c@d.example>\nS: 250\nC: RSET\nC: MAIL FROM:<other@b.example>\nC: RCPT TO:<c@d.example>\nS: 250\nS: 250\nS: 451\ndrops",
	  0,
	  0,
	  0,
	  3 },
	{ "a recipient that asks to be greylisted",
	  { .want_content = false },
	  HELLO TO(
		  "greyfox@d.example") "C: RCPT TO:<greyfox@d.example>\nC: RCPT TO:<c@d.example>\nC: DATA\nC: .\n"
	                               "S: 250\nS: 451 4.7.1\nS: 250\nS: 250\nS: 354\nS: 250\ndrops",
	  1,
	  2,
	  0,
	  1 },
	{ "an end of data that is none",
	  { .want_content = false },
	  HELLO TO(
		  "c@d.example") "S: 250\nS: 250\nC: DATA\nS: 354\nR: a\\n.\\nb\\r\\n.\\nc\\r\\n.\\r\nafter 5 s\nR: \\n\nS: 250 2.0.0\ndrops",
	  1,
	  1,
	  0,
	  0 },
	{ "parameters of extensions that are offered",
	  { .keywords = SINK_ALL_KEYWORDS },
	  HELLO_ALL
	  "C: MAIL FROM:<\xc3\xbc@b.example> SMTPUTF8 RET=HDRS ENVID=x MT-PRIORITY=-3 BY=60;R\nS: 250\n"
	  "C: RCPT TO:<c@d.example> NOTIFY=NEVER ORCPT=rfc822;c@d\nS: 250\n"
	  "C: RSET\nS: 250\nC: MAIL FROM:<a@b.example> REQUIRETLS\nS: 555\ndrops",
	  0,
	  0,
	  0,
	  0 },
	{ "a message in chunks",
	  { .keywords = SINK_ALL_KEYWORDS },
	  HELLO_ALL
	  "C: MAIL FROM:<a@b.example> BODY=BINARYMIME\nC: RCPT TO:<c@d.example>\nS: 250\nS: 250\n"
	  "R: BDAT 5\\r\\na\\n.\\r\\nBDAT 0 LAST\\r\\n\nS: 250\nS: 250 2.0.0\nC: QUIT\nS: 221\nclosed",
	  1,
	  1,
	  0,
	  0 },
	{ "a chunk that nobody asked for is read and forgotten",
	  { .keywords = SINK_ALL_KEYWORDS },
	  HELLO_ALL
	  "C: MAIL FROM:<a@b.example>\nR: BDAT 6 LAST\\r\\nRSET\\r\\n\nS: 250\nS: 503\nC: NOOP\nS: 250\n"
	  "C: RCPT TO:<c@d.example>\nS: 503\ndrops",
	  0,
	  0,
	  0,
	  0 },
	{ "DATA between chunks",
	  { .keywords = SINK_ALL_KEYWORDS },
	  HELLO_ALL TO("c@d.example") "S: 250\nS: 250\nR: BDAT 1\\r\\nx\nS: 250\nC: DATA\nS: 503\n"
	                              "C: RSET\nS: 250\ndrops",
	  0,
	  0,
	  0,
	  0 },
	{ "a chunk of no length, or where none is offered",
	  { .want_content = false },
	  HELLO "C: BDAT 5 LAST\nS: 501\nclosed",
	  0,
	  0,
	  0,
	  0 },
	{ "a chunk of any length",
	  { .keywords = SINK_ALL_KEYWORDS },
	  HELLO_ALL TO("c@d.example") "S: 250\nS: 250\nC: BDAT x\nS: 501\nclosed",
	  0,
	  0,
	  0,
	  0 },
	{ "an over-long line",
	  { .want_content = false },
	  "S: 220\nC: HELO me\nS: 250\nR: LONG\nC: LONG\nS: 500 5.5.2\nC: NOOP\nS: 250\ndrops",
	  0,
	  0,
	  0,
	  0 },
	{ "one session at a time", { .max_sessions = 1 }, "S: 220\nC: QUIT\nS: 221\nclosed", 0, 0, 0, 0 },
};

static void run_dialogue(size_t i, bool whole_writes)
{
	static const char mark_text[] = "R: LONG";
	const char *script = dialogues[i].script, *mark = strstr(script, mark_text);
	char longer[8000];
	struct world w;

	if (mark) {
		size_t head = (size_t)(mark - script) + 3;

		memset(longer, 'x', sizeof(longer));
		memcpy(longer, script, head);
		snprintf(longer + head + 4000, sizeof(longer) - head - 4000, "%s",
		         mark + sizeof(mark_text) - 1);
		script = longer;
	}
	begin_with(&w, &(struct sim_options){ .seed = 5, .whole_writes = whole_writes },
	           &dialogues[i].options);
	talk(&w, script);
	sim_run(w.sim, 1000);
	struct sink_counts counts = sink_count(w.sink);

	assert_int_equal(counts.messages, dialogues[i].messages);
	assert_int_equal(counts.recipients, dialogues[i].recipients);
	assert_int_equal(counts.refused, dialogues[i].refused);
	assert_int_equal(counts.deferred, dialogues[i].deferred);
	assert_int_equal(counts.open_sessions, 0);
	end(&w);
}

static void dialogues_go_as_written(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(dialogues); i++) {
		print_message("  %s\n", dialogues[i].name);
		run_dialogue(i, false);
		run_dialogue(i, true);
	}
}

/* ---------------------------------------------------------------- what is heard of messages */

static void the_callback_sees_envelope_and_content(void **state)
{
	struct world w;

	(void)state;
	begin(&w, &(struct sink_options){ .want_content = true, .on_message = on_message });
	talk(&w,
	     HELLO TO(
		     "c@d.example") "C: RCPT TO:<e@d.example>\nC: DATA\nC: Subject: x\nC: \nC: ..dot\nC: .\n"
	                            "S: 250\nS: 250\nS: 250\nS: 354\nS: 250\nC: MAIL FROM:<>\nC: RCPT TO:<refuse@d>\nC: RCPT TO:<f@d>\nC: DATA\nC: .\nS: 250\nS: 550\nS: 250\nS: 354\nS: 250\ndrops");
	assert_true(
		text_eq(buf_text(&w.seen),
	                TEXT("1.1 me <a@b.example> c@d.example e@d.example 20 [Subject: x\r\n\r\n.dot\r\n]\n"
	                     "1.2 me <> f@d 0 []\n")));
	end(&w);
}

static void the_callback_sees_parameters_and_chunks(void **state)
{
	struct world w;

	(void)state;
	begin(&w, &(struct sink_options){
			  .keywords = SINK_ALL_KEYWORDS, .want_content = true, .on_message = on_message });
	talk(&w, HELLO_ALL "C: MAIL FROM:<a@b.example> RET=FULL BODY=BINARYMIME\n"
	                   "C: RCPT TO:<\"c>d\"@e.example> NOTIFY=SUCCESS,DELAY\nC: RCPT TO:<f@d.example>\n"
	                   "S: 250\nS: 250\nS: 250\nR: BDAT 3\\r\\na\\nbBDAT 4 LAST\\r\\n\\r\\n.\\n\n"
	                   "S: 250\nS: 250\nC: MAIL FROM:<>\nC: RCPT TO:<g@d.example>\nR: BDAT 0 LAST\\r\\n\n"
	                   "S: 250\nS: 250\nS: 250\ndrops");
	assert_true(text_eq(buf_text(&w.seen),
	                    TEXT("1.1 me <a@b.example> (RET=FULL BODY=BINARYMIME) \"c>d\"@e.example "
	                         "(NOTIFY=SUCCESS,DELAY) f@d.example 7 [a\nb\r\n.\n]\n"
	                         "1.2 me <> g@d.example 0 []\n")));
	end(&w);
}

static void bare_line_ends_are_counted(void **state)
{
	struct world w;

	(void)state;
	begin(&w, &(struct sink_options){ .want_content = true, .on_message = on_message });
	talk(&w,
	     HELLO TO(
		     "c@d.example") "S: 250\nS: 250\nC: DATA\nS: 354\nR: a\\nb\\rc\\r\\n.\\r\\n\nS: 250\ndrops");
	assert_true(text_eq(buf_text(&w.seen), TEXT("1.1 me <a@b.example> c@d.example 7 [a\nb\rc\r\n]\n")));
	assert_int_equal(sink_count(w.sink).bare_line_ends, 2);
	end(&w);
}

static void a_slow_answer_to_the_dot_holds_up_what_follows(void **state)
{
	struct world w;
	int64_t before;

	(void)state;
	begin(&w, &(struct sink_options){ .slow_ms = 2000 });
	before = io_now_at(sim_io(w.sim));
	talk(&w, HELLO TO("c@d.example") "C: DATA\nC: .\n" TO(
			 "e@d.example") "C: DATA\nC: .\nC: QUIT\nS: 250\nS: 250\nS: 354\nS: 250\n"
	                                "S: 250\nS: 250\nS: 354\nS: 250\nS: 221\nclosed");
	assert_in_range(io_now_at(sim_io(w.sim)) - before, 4000, 4500);
	end(&w);
}

static void a_client_may_leave_while_an_answer_is_owed(void **state)
{
	struct world w;

	(void)state;
	begin(&w, &(struct sink_options){ .slow_ms = 2000 });
	talk(&w, HELLO TO("c@d.example") "C: DATA\nC: .\nS: 250\nS: 250\nS: 354\nafter 1 s\ndrops");
	sim_run(w.sim, 10000);
	assert_int_equal(sink_count(w.sink).open_sessions, 0);
	end(&w);
}

static void faults_can_be_changed_while_it_runs(void **state)
{
	struct world w;

	(void)state;
	begin(&w, &(struct sink_options){ .fail_ppm = 1000000 });
	talk(&w, HELLO TO("c@d.example") "S: 250\nS: 550\ndrops");
	sink_set_faults(w.sink, 0, 1000000, 0);
	talk(&w, HELLO TO("c@d.example") "S: 250\nS: 451\ndrops");
	sink_set_faults(w.sink, 0, 0, 0);
	talk(&w, HELLO TO("c@d.example") "S: 250\nS: 250\ndrops");
	end(&w);
}

static void a_share_of_recipients_fails(void **state)
{
	struct buf script = BUF(1024 * 1024);
	struct world w;

	(void)state;
	buf_add_string(&script, HELLO "C: MAIL FROM:<a@b.example>\nS: 250\n");
	for (unsigned i = 0; i < 2000; i++)
		buf_add_format(&script, "C: RCPT TO:<u%u@d.example>\n", i);
	for (unsigned i = 0; i < 2000; i++)
		buf_add_string(&script, "S: \n");
	buf_add_string(&script, "drops");
	buf_add_octet(&script, '\0');
	begin(&w, &(struct sink_options){ .fail_ppm = 50000, .max_recipients = 5000 });
	talk(&w, script.at);
	assert_in_range(sink_count(w.sink).refused, 60, 140);
	buf_fini(&script);
	end(&w);
}

static void sessions_over_the_limit_hear_421(void **state)
{
	struct smtp_client first = { 0 };
	struct world w;

	(void)state;
	begin(&w, &(struct sink_options){ .max_sessions = 1 });
	smtp_client_start(&first, sim_io(w.sim), sink_address(w.sink), "S: 220\nafter 60 s\ndrops", NULL);
	sim_run(w.sim, 1000);
	talk(&w, "S: 421 4.3.2\nclosed");
	sim_run_until(w.sim, &first.done, 100000);
	smtp_client_fini(&first);
	sim_run(w.sim, 1000);
	talk(&w, "S: 220\ndrops");
	end(&w);
}

static void closing_the_sink_ends_its_sessions(void **state)
{
	struct smtp_client c = { 0 };
	struct world w;

	(void)state;
	begin(&w, &(struct sink_options){ .slow_ms = 100000 });
	smtp_client_start(&c, sim_io(w.sim), sink_address(w.sink),
	                  HELLO TO("c@d.example") "C: DATA\nC: .\nS: 250\nS: 250\nS: 354\nclosed", NULL);
	sim_run(w.sim, 1000);
	assert_int_equal(sink_count(w.sink).open_sessions, 1);
	sink_close(&w.sink);
	sim_run_until(w.sim, &c.done, 10000);
	smtp_client_fini(&c);
	end(&w);
}

/* ---------------------------------------------------------------- TLS */

static void after_starttls_everything_begins_again(void **state)
{
	struct sim_tls_script script = { .delay_ms = 5 };
	struct tls_context *server = NULL, *client = NULL;
	struct smtp_client c = { 0 };
	struct sim *sim;
	struct world w = { .seen = BUF(65536) };

	(void)state;
	assert_int_equal(sim_new(&(struct sim_options){ .seed = 4, .whole_writes = true }, &sim), ERR_OK);
	w.sim = sim;
	assert_int_equal(sim_tls_context(sim, true, false, &script, &server), ERR_OK);
	assert_int_equal(sim_tls_context(sim, false, false, &script, &client), ERR_OK);
	struct sink_options o = { .io = sim_io(sim),
		                  .address = address_of("192.0.2.25:25"),
		                  .tls = server,
		                  .on_message = on_message,
		                  .owner = &w };

	assert_int_equal(sink_open(&o, &w.sink), ERR_OK);
	tls_context_unref(&server); /* the sink has its own reference */
	smtp_client_start(
		&c, sim_io(sim), sink_address(w.sink),
		"S: 220\nC: EHLO me\nS: 250-sink.invalid\nS: 250-PIPELINING\nS: 250-SIZE\nS: 250-8BITMIME\n"
		"S: 250-ENHANCEDSTATUSCODES\nS: 250 STARTTLS\nC: STARTTLS now\nS: 501\nC: STARTTLS\nC: NOOP\nS: 220 2.0.0\n"
		"tls\nC: MAIL FROM:<a@b>\nS: 503\nC: EHLO again\nS: 250-sink.invalid\nS: 250-PIPELINING\nS: 250-SIZE\n"
		"S: 250-8BITMIME\nS: 250 ENHANCEDSTATUSCODES\nC: STARTTLS\nS: 503\n" TO(
			"c@d.example") "C: DATA\nC: .\nS: 250\nS: 250\nS: 354\nS: 250\nC: QUIT\nS: 221\nclosed",
		client);
	sim_run_until(sim, &c.done, 100000);
	smtp_client_fini(&c);
	assert_true(text_eq(buf_text(&w.seen), TEXT("1.1 again tls <a@b.example> c@d.example 0 []\n")));
	assert_int_equal(sink_count(w.sink).tls_sessions, 1);
	tls_context_unref(&client);
	end(&w);
}

/* ---------------------------------------------------------------- what is written */

static void read_all(struct io_disk *disk, const char *path, struct buf *out)
{
	struct io_file *file = NULL;
	char octets[4096];
	size_t got;

	assert_int_equal(disk->ops->open(disk, path, IO_FILE_READ, &file), ERR_OK);
	do {
		assert_int_equal(disk->ops->read_at(file, out->len, octets, sizeof(octets), &got), ERR_OK);
		buf_add_bytes(out, octets, got);
	} while (got == sizeof(octets));
	disk->ops->close(&file);
}

#define MESSAGE(number)                                                          \
	TO("c@d.example")                                                        \
	"C: RCPT TO:<e@d.example>\nC: DATA\nC: Subject: x\nC: x-number: " number \
	"\nC: \nC: .x\nC: .\nS: 250\nS: 250\nS: 250\nS: 354\nS: 250 2.0.0\n"

static void the_ledger_has_a_line_for_each_message(void **state)
{
	struct sink_options o = { .ledger = "/ledger", .ledger_field = LIT("X-Number") };
	struct buf ledger = BUF(65536);
	struct world w;

	(void)state;
	begin(&w, &o);
	talk(&w,
	     HELLO MESSAGE("1") MESSAGE(
		     "two\\t\nC:  more") "C: MAIL FROM:<>\nC: RCPT TO:<f@d>\nC: DATA\nC: .\nS: 250\nS: 250\nS: 354\nS: 250\ndrops");
	talk(&w, HELLO TO("drop@d.example") "C: DATA\nC: .\nS: 250\nS: 250\nS: 354\nclosed");
	read_all(sim_disk(w.sim), "/ledger", &ledger);
	struct text rest = buf_text(&ledger);
	static const char *const lines[] = {
		"1\t1\ta@b.example\tc@d.example,e@d.example\t30\t1",
		"1\t2\ta@b.example\tc@d.example,e@d.example\t41\ttwo\\t more",
		"1\t3\t<>\tf@d\t0\t-",
		"2\t1\ta@b.example\tdrop@d.example\t0\t-",
	};

	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		struct text line = text_cut(&rest, '\n');
		uint64_t time;

		assert_int_equal(text_to_u64(text_cut(&line, '\t'), UINT64_MAX, &time), ERR_OK);
		assert_true((int64_t)time <= io_now_time(sim_io(w.sim)));
		if (!text_eq(line, text_from(lines[i])))
			print_message("%.*s\n", TEXT_ARGS(line));
		assert_true(text_eq(line, text_from(lines[i])));
	}
	assert_int_equal(rest.len, 0);
	buf_fini(&ledger);
	end(&w);
}

static void a_ledger_that_is_there_is_gone_on_with(void **state)
{
	struct sink_options o = { .ledger = "/ledger" };
	struct buf ledger = BUF(65536);
	struct world w;

	(void)state;
	begin(&w, &o);
	talk(&w, HELLO TO("c@d.example") "C: DATA\nC: .\nS: 250\nS: 250\nS: 354\nS: 250\ndrops");
	sink_close(&w.sink);
	o.io = sim_io(w.sim);
	o.disk = sim_disk(w.sim);
	o.address = address_of("192.0.2.25:25");
	assert_int_equal(sink_open(&o, &w.sink), ERR_OK);
	talk(&w, HELLO TO("e@d.example") "C: DATA\nC: .\nS: 250\nS: 250\nS: 354\nS: 250\ndrops");
	read_all(sim_disk(w.sim), "/ledger", &ledger);
	assert_true(text_find(buf_text(&ledger), TEXT("\tc@d.example\t")) <
	            text_find(buf_text(&ledger), TEXT("\te@d.example\t")));
	assert_true(text_find(buf_text(&ledger), TEXT("\te@d.example\t")) < ledger.len);
	buf_fini(&ledger);
	end(&w);
}

struct names {
	char at[8][128];
	size_t count;
};

static void note_name(void *owner, struct text name)
{
	struct names *n = owner;

	assert_true(n->count < ARRAY_LEN(n->at) && name.len < 100);
	snprintf(n->at[n->count++], sizeof(n->at[0]), "/box/%.*s", TEXT_ARGS(name));
}

static void the_directory_has_content_and_envelope(void **state)
{
	struct sink_options o = { .directory = "/box", .want_content = true, .on_message = on_message };
	struct buf eml = BUF(65536), json = BUF(65536);
	struct names names = { .count = 0 };
	struct io_disk *disk;
	struct world w;

	(void)state;
	begin(&w, &o);
	talk(&w, HELLO MESSAGE("1") "drops");
	disk = sim_disk(w.sim);
	assert_int_equal(disk->ops->list(disk, "/box", note_name, &names), ERR_OK);
	assert_int_equal(names.count, 2);
	bool eml_first = text_ends(text_from(names.at[0]), TEXT(".eml"));

	read_all(disk, names.at[eml_first ? 0 : 1], &eml);
	read_all(disk, names.at[eml_first ? 1 : 0], &json);
	assert_true(text_eq(buf_text(&eml), TEXT("Subject: x\r\nx-number: 1\r\n\r\nx\r\n")));
	assert_true(text_ends(
		buf_text(&json),
		TEXT(",\"helo\":\"me\",\"tls\":false,\"from\":\"a@b.example\",\"parameters\":\"\","
	             "\"to\":[\"c@d.example\",\"e@d.example\"],\"to_parameters\":[\"\",\"\"],\"bytes\":30}\n")));
	/* the callback has seen it as well */
	assert_true(text_ends(buf_text(&w.seen), TEXT("30 [Subject: x\r\nx-number: 1\r\n\r\nx\r\n]\n")));
	buf_fini(&eml);
	buf_fini(&json);
	end(&w);
}

static void what_cannot_be_written_is_not_accepted(void **state)
{
	struct sink_options o = { .ledger = "/ledger" };
	struct world w;

	(void)state;
	begin(&w, &o);
	sim_disk_fail_after(w.sim, 0, ERR_FULL);
	talk(&w, HELLO TO("c@d.example") "C: DATA\nC: .\nS: 250\nS: 250\nS: 354\nS: 452 4.3.1\ndrops");
	assert_int_equal(sink_count(w.sink).messages, 0);
	sim_disk_fail_after(w.sim, 0, ERR_OK);
	talk(&w, HELLO TO("c@d.example") "C: DATA\nC: .\nS: 250\nS: 250\nS: 354\nS: 250\ndrops");
	assert_int_equal(sink_count(w.sink).messages, 1);
	end(&w);
}

static void a_client_may_leave_while_its_message_is_written(void **state)
{
	struct sink_options o = {
		.ledger = "/ledger", .directory = "/box", .want_content = true, .on_message = on_message
	};

	(void)state;
	for (unsigned ms = 0; ms < 30; ms++) {
		char script[200];
		struct world w;

		snprintf(
			script, sizeof(script),
			"S: 220\nC: HELO me\nC: MAIL FROM:<>\nC: RCPT TO:<a@b>\nC: DATA\nC: .\nafter %u ms\ndrops",
			ms);
		begin(&w, &o);
		talk(&w, script);
		sim_run(w.sim, 10000);
		assert_int_equal(sink_count(w.sink).open_sessions, 0);
		end(&w);
	}
}

static void the_sink_may_close_while_a_message_is_written(void **state)
{
	struct sink_options o = { .ledger = "/ledger", .directory = "/box" };

	(void)state;
	for (int64_t ms = 0; ms < 60; ms++) {
		struct smtp_client c = { 0 };
		struct world w;

		begin(&w, &o);
		smtp_client_start(
			&c, sim_io(w.sim), sink_address(w.sink),
			"S: 220\nC: HELO me\nC: MAIL FROM:<>\nC: RCPT TO:<a@b>\nC: DATA\nC: .\nafter 1 s\ndrops",
			NULL);
		sim_run(w.sim, ms);
		sink_close(&w.sink);
		sim_settle(w.sim, 60000);
		buf_fini(&c.in);
		buf_fini(&c.transcript);
		end(&w);
	}
}

/* ---------------------------------------------------------------- over loopback */

static void stop(void *owner)
{
	io_uv_stop(owner);
}

static void it_listens_on_a_real_port(void **state)
{
	struct smtp_client c = { 0 };
	struct sink *sink = NULL;
	struct io *io = NULL;

	(void)state;
	assert_int_equal(io_uv_new(&(struct io_uv_options){ 0 }, &io), ERR_OK);
	assert_int_equal(
		sink_open(&(struct sink_options){ .io = io, .address = address_of("127.0.0.1:0") }, &sink),
		ERR_OK);
	assert_int_not_equal(sink_address(sink)->ip.port, 0);
	struct sink *second = NULL;

	assert_int_equal(
		sink_open(&(struct sink_options){ .io = io, .address = *sink_address(sink) }, &second),
		ERR_BUSY);
	assert_null(second);
	c.on_done = stop;
	c.owner = io;
	smtp_client_start(
		&c, io, sink_address(sink),
		HELLO TO(
			"c@d.example") "C: DATA\nC: x\nC: .\nC: QUIT\nS: 250\nS: 250\nS: 354\nS: 250\nS: 221\nclosed",
		NULL);
	io_uv_run(io);
	smtp_client_fini(&c);
	assert_int_equal(sink_count(sink).messages, 1);
	assert_int_equal(sink_count(sink).content_bytes, 3);
	sink_close(&sink);
	io_uv_free(&io);
}

#define CLIENTS 8

struct crowd {
	struct io *io;
	unsigned left;
};

static void one_less(void *owner)
{
	struct crowd *c = owner;

	if (--c->left == 0)
		io_uv_stop(c->io);
}

static size_t count_lines(const char *path)
{
	FILE *f = fopen(path, "r");
	size_t lines = 0;

	assert_non_null(f);
	for (int c; (c = getc(f)) != EOF;)
		lines += c == '\n';
	fclose(f);
	return lines;
}

static void it_writes_to_a_real_disk(void **state)
{
	static const char script[] = HELLO MESSAGE("1") MESSAGE("2") MESSAGE("3") "C: QUIT\nS: 221\nclosed";
	struct smtp_client clients[CLIENTS] = { 0 };
	char directory[] = "/tmp/sink-test-XXXXXX", path[64];
	struct crowd crowd = { .left = CLIENTS };
	struct sink_counts counts;
	struct sink *sink = NULL;

	(void)state;
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/ledger", directory);
	assert_int_equal(io_uv_new(&(struct io_uv_options){ 0 }, &crowd.io), ERR_OK);
	struct sink_options o = { .io = crowd.io, .address = address_of("127.0.0.1:0"), .ledger = path };

	assert_int_equal(sink_open(&o, &sink), ERR_OK);
	for (size_t i = 0; i < CLIENTS; i++) {
		clients[i].on_done = one_less;
		clients[i].owner = &crowd;
		smtp_client_start(&clients[i], crowd.io, sink_address(sink), script, NULL);
	}
	io_uv_run(crowd.io);
	for (size_t i = 0; i < CLIENTS; i++)
		smtp_client_fini(&clients[i]);
	/* all were answered, so all lines are there */
	assert_int_equal(count_lines(path), 3 * CLIENTS);
	counts = sink_count(sink);
	assert_int_equal(counts.messages, 3 * CLIENTS);
	sink_close(&sink);
	io_uv_free(&crowd.io);
	unlink(path);
	rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dialogues_go_as_written),
		cmocka_unit_test(the_callback_sees_envelope_and_content),
		cmocka_unit_test(the_callback_sees_parameters_and_chunks),
		cmocka_unit_test(bare_line_ends_are_counted),
		cmocka_unit_test(a_slow_answer_to_the_dot_holds_up_what_follows),
		cmocka_unit_test(a_client_may_leave_while_an_answer_is_owed),
		cmocka_unit_test(faults_can_be_changed_while_it_runs),
		cmocka_unit_test(a_share_of_recipients_fails),
		cmocka_unit_test(sessions_over_the_limit_hear_421),
		cmocka_unit_test(closing_the_sink_ends_its_sessions),
		cmocka_unit_test(after_starttls_everything_begins_again),
		cmocka_unit_test(the_ledger_has_a_line_for_each_message),
		cmocka_unit_test(a_ledger_that_is_there_is_gone_on_with),
		cmocka_unit_test(the_directory_has_content_and_envelope),
		cmocka_unit_test(what_cannot_be_written_is_not_accepted),
		cmocka_unit_test(a_client_may_leave_while_its_message_is_written),
		cmocka_unit_test(the_sink_may_close_while_a_message_is_written),
		cmocka_unit_test(it_listens_on_a_real_port),
		cmocka_unit_test(it_writes_to_a_real_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
