/* Tokens for logins at upstreams: what is said of their sources goes to the log. */
#include "internal.h"

static void on_notice(void *owner, bool is_bad, struct text what)
{
	struct server *s = owner;
	struct event event = EVENT(EVENT_WARNING);

	event.level = is_bad ? LEVEL_ERROR : LEVEL_INFO;
	event.detail = what;
	observe_emit(s->observe, &event);
}

enum err server_open_tokens(struct server *s, struct buf *problem)
{
	bool has_contexts = s->options.client_context != NULL;
	const struct auth_tokens_options options = {
		.io = s->io,
		.dns = s->dns,
		.config = s->config,
		.disk = s->disk,
		.client_context = has_contexts ? s->options.client_context : client_context_with_ca,
		.client_context_owner = has_contexts ? s->options.tls_owner : s,
		.commands = s->options.commands,
		.on_notice = on_notice,
		.owner = s,
	};

	return auth_tokens_new(&options, &s->tokens, problem);
}
