#include "sts_fetch.h"

#include <stdlib.h>

#include <postrider/base/auto.h>
#include <postrider/base/time.h>
#include <postrider/http/client.h>
#include <postrider/route.h>

#define URL_MAX 512
#define SILENCE_MS (20 * SECOND_MS)
#define CONNECT_MS (15 * SECOND_MS)
#define PARSE_BYTES (2 * STS_FILE_MAX)
#define PROBLEM_MAX 1024

struct sts_fetch {
	struct sts_fetch_options o; /* domain and id point into texts */
	struct buf texts;
	struct http_call *call;
	int status;
	bool is_plain;
	struct buf body;
};

static void fetch_free(struct sts_fetch *f)
{
	http_call_cancel(&f->call);
	config_unref(&f->o.config);
	tls_context_unref(&f->o.tls);
	buf_fini(&f->texts);
	buf_fini(&f->body);
	free(f);
}

/* ---------------------------------------------------------------- what came */

static void on_head(void *owner, int status, struct text content_type)
{
	struct sts_fetch *f = owner;

	f->status = status;
	f->is_plain = sts_is_plain_text(content_type);
}

/* More than max_body is the call's end. */
static void on_body(void *owner, struct text piece)
{
	struct sts_fetch *f = owner;

	if (f->status == 200 && f->is_plain)
		buf_add(&f->body, piece);
}

static enum policy_failure failure_of(enum err err)
{
	switch (err) {
	case ERR_CERTIFICATE:
		return POLICY_STS_WEBPKI_INVALID;
	case ERR_TOO_BIG:
		return POLICY_STS_POLICY_INVALID;
	default:
		return POLICY_STS_POLICY_FETCH_ERROR;
	}
}

/* Redirects are not followed (section 3.3); what is not text/plain may be anybody's upload. */
static enum policy_failure judge_head(const struct sts_fetch *f, struct buf *problem)
{
	if (f->status != 200) {
		buf_add_format(problem, "it answered %d, which is not 200", f->status);
		return POLICY_STS_POLICY_FETCH_ERROR;
	}
	if (!f->is_plain) {
		buf_add_string(problem, "its answer is not text/plain");
		return POLICY_STS_POLICY_INVALID;
	}
	return POLICY_SUCCEEDED;
}

static struct policy_domain *parse(const struct sts_fetch *f, struct buf *problem)
{
	AUTO(arena_fini) struct arena arena;
	const char *why = NULL;
	struct policy_domain *policy = NULL;
	struct sts_file file;
	enum err err;

	arena_init(&arena, PARSE_BYTES);
	err = buf_err(&f->body);
	if (!err)
		err = sts_file_parse(buf_text(&f->body), &arena, &file, &why);
	if (!err)
		policy = policy_domain_new(f->o.domain, f->o.id, &file);
	if (!policy)
		buf_add_format(problem, "its policy cannot be used: %s",
		               why ? why : err_text(err ? err : ERR_NOMEM));
	return policy;
}

static void on_done(void *owner, enum err err, struct text why)
{
	struct sts_fetch *f = owner;
	struct buf problem = BUF(PROBLEM_MAX);
	struct policy_domain *policy = NULL;
	enum policy_failure failure = failure_of(err);

	f->call = NULL;
	if (err) {
		buf_add(&problem, text_head(why.len ? why : text_from(err_text(err)), PROBLEM_MAX));
	} else {
		failure = judge_head(f, &problem);
		if (failure == POLICY_SUCCEEDED)
			policy = parse(f, &problem);
		if (failure == POLICY_SUCCEEDED && !policy)
			failure = POLICY_STS_POLICY_INVALID;
	}
	f->o.on_done(f->o.owner, policy, failure, buf_text(&problem));
	buf_fini(&problem);
	fetch_free(f);
}

/* ---------------------------------------------------------------- asking */

static bool may_connect(void *owner, struct ip ip)
{
	const struct sts_fetch *f = owner;
	static const struct config_ips nobody = { 0 };

	return route_target_allowed(f->o.config, ip, &nobody, NULL);
}

static enum err call(struct sts_fetch *f)
{
	static const struct http_call_events events = { .on_head = on_head,
		                                        .on_body = on_body,
		                                        .on_done = on_done };
	struct buf url = BUF(URL_MAX);
	struct http_call_options options = { .io = f->o.io,
		                             .dns = f->o.dns,
		                             .tls = f->o.tls,
		                             .may_connect = may_connect,
		                             .method = TEXT("GET"),
		                             .timeout_ms = SILENCE_MS,
		                             .connect_ms = CONNECT_MS,
		                             .total_ms = STS_FETCH_MS,
		                             .max_body = STS_FILE_MAX,
		                             .events = &events,
		                             .owner = f };
	enum err err;

	buf_add_format(&url, "https://mta-sts.%.*s/.well-known/mta-sts.txt", TEXT_ARGS(f->o.domain));
	options.url = buf_text(&url);
	err = buf_err(&url);
	if (!err)
		err = http_call_start(&options, &f->call);
	buf_fini(&url);
	return err;
}

/* Both in one buf of the fetch's own. */
static enum err keep_texts(struct sts_fetch *f)
{
	size_t domain = f->o.domain.len;

	buf_add(&f->texts, f->o.domain);
	buf_add(&f->texts, f->o.id);
	f->o.domain = text_head(buf_text(&f->texts), domain);
	f->o.id = text_skip(buf_text(&f->texts), domain);
	return buf_err(&f->texts);
}

enum err sts_fetch_start(const struct sts_fetch_options *options, struct sts_fetch **out)
{
	struct sts_fetch *f = calloc(1, sizeof(*f));
	enum err err;

	if (!f)
		return ERR_NOMEM;
	f->o = *options;
	f->o.config = config_ref(options->config);
	f->o.tls = tls_context_ref(options->tls);
	buf_init(&f->texts, URL_MAX);
	buf_init(&f->body, STS_FILE_MAX);
	err = keep_texts(f);
	if (!err)
		err = call(f);
	if (err)
		fetch_free(f);
	else
		*out = f;
	return err;
}

void sts_fetch_cancel(struct sts_fetch **slot)
{
	struct sts_fetch *f = TAKE(*slot);

	if (f)
		fetch_free(f);
}
