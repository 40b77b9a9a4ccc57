/* Tokens for logins at upstreams: what is said of their sources goes to the log. */
#include "internal.h"

static void on_notice(void *owner, bool is_bad, struct text what)
{
	server_say(owner, EVENT_WARNING, is_bad ? LEVEL_ERROR : LEVEL_INFO, what);
}

enum err server_open_tokens(struct server *s, struct buf *problem)
{
	const struct auth_tokens_options options = {
		.io = s->io,
		.dns = s->dns,
		.config = s->config,
		.disk = s->disk,
		.client_context = s->options.client_context,
		.client_context_owner = s->client_context_owner,
		.commands = s->options.commands,
		.on_notice = on_notice,
		.owner = s,
	};

	return auth_tokens_new(&options, &s->tokens, problem);
}
