/* What all connections share: TLS contexts and their CA files, own addresses, a new configuration. */
#include <postrider/deliver.h>
#include <postrider/sim.h>

#include "support/check.h"
#include "support/deliver_world.h"

#define UPSTREAM(name, more) "  " name ": {hosts: [\"192.0.2.1:25\"], " more "}\n"

/* What contexts were asked for. */
struct asked {
	struct sim *sim;
	struct buf log;
	enum err fails;
};

static enum err note_context(void *owner, const struct tls_client_options *o, struct tls_context **out,
                             struct buf *problem)
{
	static const struct sim_tls_script script;
	struct asked *a = owner;

	buf_add_format(&a->log, "%s %.*s\n", o->verify ? "verify" : "any", TEXT_ARGS(o->ca));
	if (a->fails && o->verify) {
		buf_add_string(problem, "no good");
		return a->fails;
	}
	return sim_tls_context(a->sim, false, o->verify, &script, out);
}

static void write_file(struct sim *sim, const char *path, struct text content)
{
	struct io_disk *disk = sim_disk(sim);
	struct io_file *file;

	assert_int_equal(disk->ops->open(disk, path, IO_FILE_CREATE, &file), ERR_OK);
	assert_int_equal(disk->ops->write_at(file, 0, content.at, content.len), ERR_OK);
	disk->ops->close(&file);
}

static enum err make(struct asked *a, const char *yaml, struct buf *problem, struct deliver **out)
{
	const struct config *config = deliver_world_load(yaml);
	enum err err;

	err = deliver_new(&(struct deliver_options){ .io = sim_io(a->sim),
	                                             .config = config,
	                                             .seed = 1,
	                                             .client_context = note_context,
	                                             .client_context_owner = a,
	                                             .disk = sim_disk(a->sim),
	                                             .problem = problem },
	                  out);
	config_unref(&config);
	return err;
}

static void open_asked(struct asked *a)
{
	*a = (struct asked){ .log = BUF(1u << 20) };
	assert_int_equal(sim_new(&(struct sim_options){ .seed = 1 }, &a->sim), ERR_OK);
}

static void close_asked(struct asked *a)
{
	sim_free(&a->sim);
	buf_fini(&a->log);
}

static void one_context_for_each_need(void **state)
{
	static const char yaml[] = "upstreams:\n" UPSTREAM("a", "tls: opportunistic") UPSTREAM(
		"b", "tls: require") UPSTREAM("c", "tls: require, ca_file: /ca.pem")
		UPSTREAM("d", "tls: require") UPSTREAM("e", "tls: require, ca_file: /ca.pem") UPSTREAM(
			"f", "tls: require, verify: false, ca_file: /none.pem")
			UPSTREAM("g", "tls: none, ca_file: /other.pem") UPSTREAM(
				"h",
				"tls: none, ca_file: /none.pem") "routes:\n"
								 "  - {to: x.example, via: g, tls: require}\n"
								 "  - {to: any, via: a}\n";
	struct deliver *d = NULL;
	struct asked a;

	(void)state;
	open_asked(&a);
	write_file(a.sim, "/ca.pem", TEXT("CA"));
	write_file(a.sim, "/other.pem", TEXT("OTHER"));
	assert_int_equal(make(&a, yaml, NULL, &d), ERR_OK);
	CHECK_TEXT("contexts", buf_text(&a.log), TEXT("any \nverify \nverify CA\nverify OTHER\n"));
	deliver_free(&d);
	close_asked(&a);
}

static void long_ca_file_is_read_whole(void **state)
{
	struct deliver *d = NULL;
	struct asked a;
	char *content = malloc(200000);

	(void)state;
	open_asked(&a);
	memset(content, 'c', 200000);
	write_file(a.sim, "/ca.pem", text_of(content, 200000));
	assert_int_equal(make(&a,
	                      "upstreams:\n" UPSTREAM(
				      "a", "tls: require, ca_file: /ca.pem") "routes: [{to: any, via: a}]\n",
	                      NULL, &d),
	                 ERR_OK);
	assert_int_equal(a.log.len, strlen("any \nverify \n") + 200000);
	deliver_free(&d);
	free(content);
	close_asked(&a);
}

static void ca_file_that_cannot_be_read_is_said(void **state)
{
	struct deliver *d = NULL;
	struct buf problem = BUF(1000);
	struct asked a;

	(void)state;
	open_asked(&a);
	assert_int_equal(
		make(&a,
	             "upstreams:\n" UPSTREAM(
			     "a", "tls: require, ca_file: /gone.pem") "routes: [{to: any, via: a}]\n",
	             &problem, &d),
		ERR_CONFIG);
	assert_null(d);
	assert_true(text_find(buf_text(&problem), TEXT("/gone.pem")) < problem.len);
	buf_fini(&problem);
	close_asked(&a);
}

static void context_that_cannot_be_made_is_said(void **state)
{
	struct deliver *d = NULL;
	struct buf problem = BUF(1000);
	struct asked a;

	(void)state;
	open_asked(&a);
	a.fails = ERR_CONFIG;
	assert_int_equal(make(&a,
	                      "upstreams:\n" UPSTREAM("a", "tls: require") "routes: [{to: any, via: a}]\n",
	                      &problem, &d),
	                 ERR_CONFIG);
	CHECK_TEXT("problem", buf_text(&problem), TEXT("no good"));
	buf_fini(&problem);
	close_asked(&a);
}

static void bad_reload_leaves_all_as_it_was(void **state)
{
	const struct config *config;
	struct deliver *d = NULL;
	struct asked a;

	(void)state;
	open_asked(&a);
	assert_int_equal(make(&a, "routes: [{to: any, via: direct}]\n", NULL, &d), ERR_OK);
	config = deliver_world_load("upstreams:\n" UPSTREAM(
		"a", "tls: require, ca_file: /gone.pem") "routes: [{to: any, via: a}]\n");
	assert_int_equal(deliver_configure(d, config), ERR_CONFIG);
	assert_true(text_find(deliver_problem(d), TEXT("/gone.pem")) < deliver_problem(d).len);
	write_file(a.sim, "/gone.pem", TEXT("here"));
	assert_int_equal(deliver_configure(d, config), ERR_OK);
	assert_int_equal(deliver_problem(d).len, 0);
	config_unref(&config);
	deliver_free(&d);
	close_asked(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_context_for_each_need),
		cmocka_unit_test(long_ca_file_is_read_whole),
		cmocka_unit_test(ca_file_that_cannot_be_read_is_said),
		cmocka_unit_test(context_that_cannot_be_made_is_said),
		cmocka_unit_test(bad_reload_leaves_all_as_it_was),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
