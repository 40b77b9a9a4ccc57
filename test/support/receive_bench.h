/* support/receive_bench.h - an inbound session without a stream, a queue or anybody to ask: what it was told, what it says, and
 * what it hands over. */
#ifndef TEST_SUPPORT_RECEIVE_BENCH_H
#define TEST_SUPPORT_RECEIVE_BENCH_H

#include "receive/session.h"

#define BENCH_NOW INT64_C(1767225600000) /* 2026-01-01T00:00:00Z */

struct bench {
	struct receive_session session;
	const struct config *config;
	struct buf said;    /* all that the client was told */
	struct buf content; /* the draft */
	struct buf stored;  /* the last message that was committed */
	struct buf trace;
	struct envelope *envelope; /* of it: a copy */
	char recipients[512];      /* of it: "<from> to(key) to(key) held" */
	bool has_draft, committed, closed, tls_asked, rested;
	enum err open_err, write_err;
	bool busy;
	uint64_t room; /* octets that has_room grants; 0: any number */
	bool limited;  /* every question of `take` is answered no */
	uint64_t taken[3], given_back;
	unsigned auth_mechanisms; /* offered */
	enum err auth_err;        /* of beginning a dialogue */
	bool auth_runs;
	struct buf auth_said; /* by the client, in the dialogue: last */
	bool knows_users;     /* whom others vouch for gets a user */
	bool has_policy, policy_runs;
	enum policy_stage asked_stage; /* of the last question, and "protocol sender>recipient count" */
	struct buf asked;
	unsigned clients; /* that XCLIENT named */
	unsigned rejected;
	const char *rule;
};

/* A configuration from its text; fails the test with the report. */
const struct config *bench_config(const char *yaml);

void bench_open(struct bench *b, const char *yaml, bool trusted);
void bench_close(struct bench *b);

/* Feeds in pieces of `piece` octets as a stream would: what is not taken comes again with more behind it. What is committed is
 * decided with ERR_OK at once. */
void bench_feed(struct bench *b, struct text all, size_t piece);
/* Whole, and returns what was said in answer to it alone. */
struct text bench_say(struct bench *b, const char *words);
void bench_collect(struct bench *b); /* from session.out to said */
void bench_decide(struct bench *b, enum err err);
/* The handshake that was asked for has ended well. */
void bench_protect(struct bench *b);

#endif
