#include "unit/config/world.h"

#include <stdio.h>

#include "overlay.h"

/* The page in docs/ is the table's. To write it anew: WRITE_REFERENCE=1 and this test. */
static void read_page(const char *path, struct buf *out)
{
	FILE *file = fopen(path, "rb");
	size_t got;

	if (!file)
		fail_msg("cannot open %s", path);
	do {
		char *room = buf_reserve(out, 4096);

		assert_non_null(room);
		got = fread(room, 1, 4096, file);
		buf_grew(out, got);
	} while (got > 0);
	fclose(file);
}

static void write_page(const char *path, struct text page)
{
	FILE *file = fopen(path, "wb");

	assert_non_null(file);
	assert_int_equal(fwrite(page.at, 1, page.len, file), page.len);
	fclose(file);
}

static void the_page_in_docs_is_what_the_table_makes(void **state)
{
	const char *root = getenv("POSTRIDER_SOURCE_DIR");
	AUTO(buf_fini) struct buf made = BUF(1u << 20);
	AUTO(buf_fini) struct buf page = BUF(1u << 20);
	AUTO(buf_fini) struct buf path = BUF(4096);

	(void)state;
	if (!root)
		skip();
	buf_add_format(&path, "%s/docs/configuration.md", root);
	buf_add_octet(&path, '\0');
	config_write_reference(&made);
	assert_int_equal(buf_err(&made), ERR_OK);
	if (getenv("WRITE_REFERENCE"))
		write_page(path.at, buf_text(&made));
	read_page(path.at, &page);
	if (!text_eq(buf_text(&page), buf_text(&made)))
		fail_msg(
			"docs/configuration.md is not what the table makes: run this test with WRITE_REFERENCE=1");
}

static void count_variable(void *owner, const struct variable *v)
{
	size_t *missing = owner;
	AUTO(buf_fini) struct buf said = BUF(1u << 16);
	AUTO(buf_fini) struct buf name = BUF(100);

	buf_add_format(&name, "POSTRIDER_%s ", v->name);
	config_write_environment(&said);
	*missing += v->built != (text_find(buf_text(&said), buf_text(&name)) < said.len);
}

static void the_variables_that_work_are_listed_and_no_others(void **state)
{
	size_t missing = 0;

	(void)state;
	variables_visit(count_variable, &missing);
	assert_int_equal(missing, 0);
}

/* What stands in the page as an example or a default must be good. */
static void every_example_loads(void **state)
{
	static const char yaml[] =
		"hostname: relay.app.example.com\n"
		"dns: {servers: [127.0.0.53, \"[::1]:5353\"], hosts: {mail.internal.example: [127.0.0.7]}}\n"
		"listen:\n"
		"  - name: apps\n"
		"    accept_for: [example.com]\n"
		"    cert: /etc/postrider/tls/fullchain.pem\n"
		"    key: /etc/postrider/tls/key.pem\n"
		"access: {senders: [example.com, .example.com]}\n"
		"upstreams:\n"
		"  own:\n"
		"    hosts: [mx1.corp.example:25, mx2.corp.example:25]\n"
		"    ca_file: /etc/postrider/tls/corp-ca.pem\n"
		"    helo: out.corp.example\n"
		"routes:\n"
		"  - {to: [bank.example, .bank.example], from: news.example.com, listener: apps, via: direct, tls: require}\n"
		"  - {to: any, via: own}\n"
		"direct: {allow_private: [10.1.2.0/24], source: [192.0.2.25, \"2001:db8::25\"]}\n"
		"rewrite:\n"
		"  recipients: {postmaster: ops@example.com, ann@old.example: ann@new.example, old.example: new.example}\n"
		"log: {headers: [Subject]}\n"
		"admin: {socket: /run/postrider/admin.sock}\n";
	struct world w = { .files = { { "c.yaml", yaml } } };

	(void)state;
	world_must_load(&w);
	assert_true(world_said(&w, "examples", ""));
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_page_in_docs_is_what_the_table_makes),
		cmocka_unit_test(the_variables_that_work_are_listed_and_no_others),
		cmocka_unit_test(every_example_loads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
