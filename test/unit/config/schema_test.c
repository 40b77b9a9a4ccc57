#include "unit/config/world.h"

#include "overlay.h"
#include "schema.h"

/* Every key that users are promised, at its place; those that work and those to come. */
static const char *const promised[] = {
	"hostname",
	"include",
	"spool.path",
	"spool.max_size",
	"spool.reserve",
	"spool.durable",
	"dns.servers",
	"dns.timeout",
	"dns.trust_ad",
	"dns.hosts",
	"listen[].name",
	"listen[].address",
	"listen[].allow",
	"listen[].auth",
	"listen[].accept_for",
	"listen[].tls",
	"listen[].cert",
	"listen[].key",
	"listen[].certificates",
	"listen[].client_ca",
	"listen[].hand_over",
	"listen[].proxy_protocol",
	"listen[].xclient",
	"listen[].bare_lf",
	"listen[].max_sessions",
	"listen[].max_errors",
	"listen[].per_client.sessions",
	"listen[].per_client.messages",
	"listen[].per_client.recipients",
	"listen[].per_client.auth_failures",
	"listen[].timeout",
	"access.users_file",
	"access.senders",
	"access.recipients",
	"access.max_message_size",
	"access.max_recipients",
	"access.max_hops",
	"access.quotas",
	"upstreams.NAME.provider",
	"upstreams.NAME.region",
	"upstreams.NAME.username",
	"upstreams.NAME.password",
	"upstreams.NAME.password_file",
	"upstreams.NAME.rate",
	"upstreams.NAME.connections",
	"upstreams.NAME.hosts",
	"upstreams.NAME.balance",
	"upstreams.NAME.mx",
	"upstreams.NAME.protocol",
	"upstreams.NAME.tls",
	"upstreams.NAME.verify",
	"upstreams.NAME.ca_file",
	"upstreams.NAME.auth",
	"upstreams.NAME.oauth2",
	"upstreams.NAME.source",
	"upstreams.NAME.helo",
	"upstreams.NAME.ip",
	"upstreams.NAME.timeouts.dot",
	"upstreams.NAME.retry",
	"routes[].to",
	"routes[].from",
	"routes[].user",
	"routes[].listener",
	"routes[].header",
	"routes[].via",
	"routes[].tls",
	"routes[].retry",
	"routes[].ledger",
	"direct.port",
	"direct.tls",
	"direct.dane",
	"direct.mta_sts",
	"direct.source",
	"direct.allow_private",
	"direct.timeouts.connect",
	"direct.timeouts.greeting",
	"direct.timeouts.mail",
	"direct.timeouts.rcpt",
	"direct.timeouts.data",
	"direct.timeouts.block",
	"direct.timeouts.dot",
	"limits.NAME.match_mx",
	"limits.NAME.connections",
	"limits.NAME.rate",
	"limits.NAME.messages_per_connection",
	"limits.NAME.recipients_per_message",
	"limits.NAME.adapt",
	"retry.schedule",
	"retry.warn_after",
	"retry.give_up_after",
	"retry.bounce_give_up_after",
	"rules[].reply",
	"rules[].text",
	"rules[].do",
	"rules[].for",
	"bounce.from",
	"bounce.copy_to",
	"bounce.include",
	"bounce.max_size",
	"dkim",
	"rewrite.masquerade",
	"rewrite.add_missing",
	"rewrite.remove_headers",
	"rewrite.senders",
	"rewrite.recipients",
	"rewrite.redirect_to",
	"aliases_file",
	"milters",
	"log.format",
	"log.level",
	"log.headers",
	"log.privacy",
	"history",
	"admin.socket",
	"admin.listen",
	"admin.token_file",
	"admin.api",
	"webhooks",
	"stop.drain",
	"stop.linger",
	"user",
};

static const char *const variables[] = {
	"UPSTREAM",
	"PROVIDER",
	"REGION",
	"UPSTREAM_HOST",
	"UPSTREAM_PORT",
	"USERNAME",
	"PASSWORD",
	"TLS",
	"TLS_VERIFY",
	"TLS_CA",
	"AUTH",
	"LISTEN",
	"ALLOW",
	"USERS_FILE",
	"TLS_CERT",
	"TLS_KEY",
	"HOSTNAME",
	"SENDERS",
	"RECIPIENTS",
	"REDIRECT_TO",
	"REWRITE_FROM",
	"MAX_MESSAGE_SIZE",
	"RATE",
	"CONNECTIONS",
	"DKIM_DOMAINS",
	"DKIM_SELECTOR",
	"DKIM_KEY",
	"DKIM_AUTO",
	"SPOOL",
	"GIVE_UP_AFTER",
	"DRAIN",
	"LOG_FORMAT",
	"LOG_LEVEL",
	"LOG_PRIVACY",
	"ADMIN",
	"ADMIN_TOKEN",
	"WEBHOOK",
	"PASSWORD_FILE",
	"OAUTH2_TOKEN_URL",
	"OAUTH2_CLIENT_ID",
	"OAUTH2_CLIENT_SECRET",
	"OAUTH2_CLIENT_SECRET_FILE",
	"OAUTH2_REFRESH_TOKEN",
	"OAUTH2_REFRESH_TOKEN_FILE",
	"OAUTH2_TOKEN_FILE",
	"OAUTH2_TOKEN_COMMAND",
	"OAUTH2_SCOPE",
};

struct looking {
	struct text name;
	unsigned found;
};

static void look_at_key(void *owner, const struct key *key, struct text path)
{
	struct looking *looking = owner;

	(void)key;
	/* a list or a table of tables has brackets or NAME behind its own name */
	looking->found +=
		text_eq(path, looking->name) ||
		(text_starts(path, looking->name) && text_eq(text_skip(path, looking->name.len), TEXT("[]")));
}

static void look_at_variable(void *owner, const struct variable *v)
{
	struct looking *looking = owner;

	looking->found += text_eq(text_from(v->name), looking->name);
}

static void every_key_that_is_promised_is_known(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(promised); i++) {
		struct looking looking = { text_from(promised[i]), 0 };

		schema_visit(&schema, look_at_key, &looking);
		CHECK_INT(promised[i], looking.found, 1);
	}
	for (size_t i = 0; i < ARRAY_LEN(variables); i++) {
		struct looking looking = { text_from(variables[i]), 0 };

		variables_visit(look_at_variable, &looking);
		CHECK_INT(variables[i], looking.found, 1);
	}
}

static void check_row(void *owner, const struct key *key, struct text path)
{
	unsigned *wrong = owner;
	bool good = key->doc && key->doc[0];

	if (key->since) {
		good = good && (key->shape == SCALAR || key->shape == LIST) == (key->type != NULL);
		good = good && (key->shape == PAIRS) == (key->pairs != NULL);
		good = good && (key->type != &type_choice) == !key->choices;
		good = good &&
		       (key->type != &type_number && key->type != &type_port && key->type != &type_duration &&
		        key->type != &type_size && key->type != &type_bound) == !key->max;
	}
	if (!good && !(key->type == &type_share && key->max))
		print_error("%.*s is not whole\n", TEXT_ARGS(path));
	*wrong += !good && !(key->type == &type_share && key->max);
}

static void every_row_of_the_table_is_whole(void **state)
{
	unsigned wrong = 0;

	(void)state;
	schema_visit(&schema, check_row, &wrong);
	assert_int_equal(wrong, 0);
}

/* A key of a later version is refused wherever it stands, and the message names it. */
static void refuse_row(void *owner, const struct key *key, struct text path)
{
	unsigned *refused = owner;
	AUTO(buf_fini) struct buf yaml = BUF(1000);
	struct text rest = path;
	unsigned depth = 0;

	if (key->since)
		return;
	while (rest.len > 0) {
		struct text step = text_cut(&rest, '.');
		bool is_list = text_ends(step, TEXT("[]"));

		buf_add_format(&yaml, "%*s%.*s:\n", (int)depth * 2, "",
		               TEXT_ARGS(text_head(step, step.len - (is_list ? 2 : 0))));
		depth++;
		if (is_list)
			buf_add_format(&yaml, "%*s-\n", (int)depth++ * 2, "");
	}
	buf_add_octet(&yaml, '\0');
	struct world w;

	CHECK_INT(path.at, world_load_text(&w, yaml.at), ERR_CONFIG);
	CHECK(path.at, text_find(buf_text(&w.said), TEXT("is not built yet in this version")) < w.said.len);
	world_fini(&w);
	++*refused;
}

static void what_is_not_built_yet_is_refused(void **state)
{
	unsigned refused = 0;

	(void)state;
	schema_visit(&schema, refuse_row, &refused);
	assert_true(refused >= 10); /* dkim, milters, webhooks and others */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_key_that_is_promised_is_known),
		cmocka_unit_test(every_row_of_the_table_is_whole),
		cmocka_unit_test(what_is_not_built_yet_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
