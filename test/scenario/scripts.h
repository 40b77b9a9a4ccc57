/* What scenario tests share: configurations, and parts of what a scripted next hop says. */
#ifndef TEST_SCENARIO_SCRIPTS_H
#define TEST_SCENARIO_SCRIPTS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <postrider/base/time.h>

#include "../support/relay_world.h"

#define YAML_HEAD                 \
	"hostname: relay.test\n"  \
	"spool: {path: /spool}\n" \
	"listen: [{address: 127.0.0.1:2525}]\n"
#define YAML_RETRY "retry: {schedule: [1m, 5m, 1h], give_up_after: 1d}\n"
#define YAML_UPSTREAM                                            \
	YAML_HEAD                                                \
	"upstreams: {next: {hosts: [10.0.0.1:25], tls: none}}\n" \
	"routes: [{to: any, via: next}]\n" YAML_RETRY
#define YAML_DIRECT                          \
	YAML_HEAD                            \
	"routes: [{to: any, via: direct}]\n" \
	"direct: {allow_private: [10.0.0.0/8], tls: none}\n" YAML_RETRY

#define NEXT_HOP AT(10, 0, 0, 1, 25)

#define HELLO "S: 220 mx.test\nC: EHLO relay.test\nS: 250-mx.test\nS: 250-PIPELINING\nS: 250 8BITMIME\n"
#define ENVELOPE "C: MAIL FROM:*\nC: RCPT TO:*\nC: DATA\n"
#define ACCEPTS "S: 250 ok\nS: 250 ok\nS: 354 go\nD:\n"
#define TAKES ENVELOPE ACCEPTS "S: 250 2.0.0 taken\n"
/* Takes one message after the other. */
#define TAKES_ALL HELLO "again:\n" TAKES "repeat\n"

#define SMALL "Subject: one\r\n\r\nx\r\n"

static inline void send_many(struct relay_world *w, unsigned count, const char *to)
{
	for (unsigned i = 0; i < count; i++)
		relay_world_send(w, "a@example.com", to, SMALL);
}

/* Nothing is lost, nothing is counted wrong; then TERM. */
static inline void stop_world(struct relay_world *w)
{
	relay_world_check(w);
	if (!w->crashes)
		relay_world_balance(w);
	relay_world_stop(w);
}

static inline void end_world(struct relay_world *w)
{
	if (w->server)
		stop_world(w);
	relay_world_close(w);
}

#endif
