/* Arbitrary octets of a client, in arbitrary pieces, into the inbound session: nothing breaks, every answer is a reply of
 * SMTP, and no dot is answered twice or by more than one 250.
 *
 * The first four octets choose: bits (1 trusted, 2 TLS demanded, 4 a draft may be busy, 8 the handshake fails, 16 silence after
 * the last octet, 32 the daemon stops after it), the largest piece, how the queue decides, which write fails. The rest is what
 * the client says. */
#include <assert.h>
#include <stdlib.h>

#include <postrider/smtp/reply.h>

#include "receive/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz {
	struct receive_session session;
	struct reply_reader replies;
	unsigned char bits, pattern, failing;
	unsigned writes, commits, decisions, accepted, queued, intermediate;
	bool has_draft, committed, closed, tls_asked, busy;
};

/* ---------------------------------------------------------------- what the session asks for */

static void renew(void *owner)
{
	(void)owner;
}

static int64_t now_time(void *owner)
{
	(void)owner;
	return INT64_C(1767225600000);
}

static struct id make_id(void *owner)
{
	struct fuzz *f = owner;

	return (struct id){ { 1, (unsigned char)f->commits } };
}

static enum err open_draft(void *owner, uint64_t declared_bytes)
{
	struct fuzz *f = owner;

	(void)declared_bytes;
	assert(!f->has_draft && !f->closed);
	if (f->failing == 255)
		return ERR_FULL;
	f->has_draft = true;
	return ERR_OK;
}

static enum err write_draft(void *owner, struct text bytes)
{
	struct fuzz *f = owner;

	assert(f->has_draft && bytes.len > 0);
	f->writes++;
	f->busy = (f->bits & 4) && f->writes % 3 == 0;
	return f->failing && f->writes % 16 == f->failing % 16 ? ERR_FULL : ERR_OK;
}

static bool draft_is_busy(void *owner)
{
	struct fuzz *f = owner;

	return f->has_draft && f->busy;
}

static void abort_draft(void *owner)
{
	struct fuzz *f = owner;

	assert(f->has_draft);
	f->has_draft = false;
}

static void commit(void *owner, const struct queue_submission *s)
{
	struct fuzz *f = owner;

	assert(f->has_draft && !f->committed && !f->closed);
	assert(s->envelope->recipient_count > 0 && s->envelope->recipient_count <= 100);
	for (size_t i = 0; i < s->envelope->recipient_count; i++)
		assert(s->keys[i].len > 0);
	assert(text_starts(s->prepended, TEXT("Received: ")) && text_ends(s->prepended, TEXT("\r\n")));
	f->has_draft = false;
	f->committed = true;
	f->commits++;
}

static void start_tls(void *owner)
{
	struct fuzz *f = owner;

	assert(!f->tls_asked && !f->session.tls_running);
	f->tls_asked = true;
}

static void close_session(void *owner)
{
	struct fuzz *f = owner;

	assert(!f->closed);
	f->closed = true;
}

static void emit(void *owner, struct event *event)
{
	(void)owner;
	(void)event;
}

static const struct receive_session_ops ops = { renew,       now_time,      make_id,     open_draft,
	                                        write_draft, draft_is_busy, abort_draft, commit,
	                                        start_tls,   close_session, emit };

/* ---------------------------------------------------------------- what it answers */

static void read_replies(struct fuzz *f)
{
	struct text rest = buf_text(&f->session.out);
	struct reply r;

	while (rest.len) {
		enum err err = reply_read(&f->replies, &rest, &r);

		assert(!err);
		assert(r.code >= 200 && r.code <= 599);
		/* RFC 2034: the first digit of both, and none with 3xx */
		assert(!r.enhanced[0] || r.enhanced[0] - '0' == r.code / 100);
		assert(r.code / 100 != 3 || !r.enhanced[0]);
		f->intermediate += r.code == 354;
		f->queued += r.code == 250 && text_starts(r.text, TEXT("queued as "));
	}
	buf_reset(&f->session.out);
	assert(f->queued == f->accepted);
	assert(f->commits <= f->intermediate);
}

static void decide(struct fuzz *f)
{
	static const enum err ends[] = {
		ERR_OK, ERR_FULL, ERR_OK, ERR_IO, ERR_OK, ERR_NOMEM, ERR_OK, ERR_OK
	};
	enum err err = ends[(f->pattern + f->decisions++) % ARRAY_LEN(ends)];

	f->committed = false;
	f->accepted += !err;
	receive_session_decided(&f->session, &(struct queue_decision){ .err = err, .stored = !err });
}

static void shake_hands(struct fuzz *f)
{
	struct tls_info info = { .version = TLS_1_3, .cipher = TEXT("TLS_AES_128_GCM_SHA256") };

	f->tls_asked = false;
	receive_session_tls_done(&f->session, f->bits & 8 ? ERR_TLS : ERR_OK, &info);
}

/* Whatever is waited for comes. */
static void go_on(struct fuzz *f)
{
	read_replies(f);
	if (f->committed)
		decide(f);
	if (f->tls_asked && !f->closed)
		shake_hands(f);
	f->busy = false;
	read_replies(f);
}

static void talk(struct fuzz *f, struct text said, size_t piece)
{
	size_t start = 0, end = 0;

	while (start < said.len && !f->closed) {
		size_t taken;

		end = MIN(end + piece, said.len);
		taken = receive_session_feed(&f->session, text_of(said.at + start, end - start));
		assert(taken <= end - start);
		assert(!f->committed || !receive_session_wants_input(&f->session));
		start += taken;
		if (f->tls_asked)
			start = end; /* came in plain text: forgotten */
		if (taken == 0 && end == said.len && receive_session_wants_input(&f->session))
			break;
		go_on(f);
	}
	if (!f->closed && (f->bits & 16))
		receive_session_timed_out(&f->session);
	else if (f->bits & 32)
		receive_session_end(&f->session);
	read_replies(f);
	assert(f->closed == (f->session.phase == PHASE_CLOSED));
	/* nothing is said after the end */
	assert(!f->closed || receive_session_feed(&f->session, TEXT("NOOP\r\n")) == 0);
	assert(f->session.out.len == 0);
}

/* ---------------------------------------------------------------- one run */

static const struct config *load(bool tls_demanded)
{
	struct config_sources sources = { .file = TEXT("fuzz.yaml"), .machine_name = TEXT("relay.test") };
	const struct config *config = NULL;
	struct config_report report;

	sources.text =
		tls_demanded
			? TEXT("listen: [{address: 127.0.0.1:2525, tls: require, cert: /c, key: /k, max_errors: 20}]\n"
	                       "access: {max_message_size: 64KiB, max_recipients: 100}\n"
	                       "routes: [{to: any, via: direct}]\n")
			: TEXT("listen: [{address: 127.0.0.1:2525, max_errors: 20}]\n"
	                       "access: {max_message_size: 64KiB, max_recipients: 100, senders: [example.com]}\n"
	                       "rewrite: {recipients: {postmaster: admin@example.com}}\n"
	                       "routes: [{to: refused.test, via: reject}, {to: any, via: direct}]\n");
	config_report_init(&report);
	if (config_load(&sources, &config, &report))
		abort();
	config_report_fini(&report);
	return config;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = { 0 };
	const struct config *config;

	if (size < 4)
		return 0;
	f.bits = data[0];
	f.pattern = data[2];
	f.failing = data[3];
	config = load(f.bits & 2);
	reply_reader_init(&f.replies);
	receive_session_init(&f.session, &ops, &f, config, &config->listen.items[0], ip_from_v4(0x7f000001),
	                     4711, true);
	f.session.may_relay = f.bits & 1;
	talk(&f, text_of((const char *)data + 4, size - 4), (size_t)data[1] + 1);
	receive_session_fini(&f.session);
	assert(!f.has_draft);
	assert(!reply_reader_is_inside(&f.replies));
	reply_reader_fini(&f.replies);
	config_unref(&config);
	return 0;
}
