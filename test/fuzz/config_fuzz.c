/* A configuration file, and behind NULs variables and (behind --) arguments. What loads must print as YAML that
 * loads again and prints the same; what does not must say why. */
#include <assert.h>
#include <stdlib.h>

#include <postrider/base/auto.h>
#include <postrider/config.h>
#include <postrider/route.h>

#define PARTS_MAX 8

struct input {
	struct text yaml;
	const char *environment[PARTS_MAX + 1];
	struct text sets[PARTS_MAX];
	size_t variable_count, set_count;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum err read_file(void *owner, struct text path, struct buf *out, struct buf *detail,
                          struct buf *hint)
{
	const struct input *input = owner;

	(void)detail;
	(void)hint;
	if (text_eq(path, TEXT("again.yaml"))) {
		buf_add(out, input->yaml);
		return ERR_OK;
	}
	buf_add_string(out, "stop: {drain: 1s}\n");
	return text_ends(path, TEXT(".yaml")) ? ERR_OK : ERR_NOT_FOUND;
}

static enum err find_files(void *owner, struct text pattern, config_found_fn *found, void *found_by)
{
	(void)owner;
	(void)pattern;
	found(found_by, TEXT("b.yaml"));
	return ERR_OK;
}

static void ask_routes(const struct config *config, struct text mailbox)
{
	AUTO(buf_fini) struct buf rewritten = BUF(100000);
	struct route_message message = { .listener = TEXT("default"), .reverse_path = mailbox };
	struct route_choice choice;

	if (mailbox.len > 1000)
		return;
	(void)route_sender_allowed(config, mailbox);
	(void)route_admit_recipient(config, &config->listen.items[0], false, mailbox);
	(void)route_rewrite_recipient(config, mailbox, &rewritten);
	if (route_find(config, &message, buf_text(&rewritten), &choice) == ERR_OK)
		assert(choice.key_len > 0 && choice.key_len <= ROUTE_KEY_MAX);
	/* any octets for the user and for header fields */
	message.user = mailbox;
	message.fields = mailbox;
	message.content_bytes = mailbox.len;
	message.is_received = true;
	if (route_find(config, &message, TEXT("ann@example.com"), &choice) == ERR_OK) {
		assert(!choice.provisional);
		assert(route_pace(config, route_key(&choice))->connections > 0);
		assert(route_shortest_step_ms(config, route_key(&choice), mailbox.len) > 0);
	}
}

static bool load(const struct config_sources *sources, const struct config **out)
{
	AUTO(buf_fini) struct buf said = BUF(1u << 20);
	struct config_report report;

	config_report_init(&report);
	enum err err = config_load(sources, out, &report);

	config_report_print(&report, &said);
	assert(err == ERR_OK || report.error_count > 0 || err == ERR_NOMEM);
	assert(err != ERR_OK || report.error_count == 0);
	for (size_t i = 0; i < said.len; i++)
		assert(said.at[i] == '\n' || ((unsigned char)said.at[i] >= 0x20 && said.at[i] != 0x7f));
	config_report_fini(&report);
	return err == ERR_OK;
}

static void print_and_load_again(const struct config *config, const struct config_sources *first)
{
	AUTO(buf_fini) struct buf once = BUF(4u << 20);
	AUTO(buf_fini) struct buf twice = BUF(4u << 20);
	AUTO(config_unref) const struct config *again = NULL;

	config_print(config, false, &once);
	if (buf_err(&once))
		return;
	struct config_sources sources = { .file = TEXT("again"),
		                          .text = buf_text(&once),
		                          .machine_name = first->machine_name,
		                          .read_file = first->read_file,
		                          .owner = first->owner };
	bool loaded = load(&sources, &again);

	assert(loaded);
	config_print(again, false, &twice);
	assert(text_eq(buf_text(&once), buf_text(&twice)));
	buf_reset(&twice);
	config_print(config, true, &twice);
}

static void take_apart(struct input *input, char *octets, size_t size)
{
	struct text rest = text_of(octets, size);

	input->yaml = text_cut(&rest, '\0');
	for (unsigned i = 0; i < PARTS_MAX && rest.len > 0; i++) {
		struct text part = text_cut(&rest, '\0');

		if (text_starts(part, TEXT("--")))
			input->sets[input->set_count++] = text_skip(part, 2);
		else
			input->environment[input->variable_count++] =
				part.at; /* a NUL follows: also behind the last */
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(free_memory) char *octets = malloc(size + 1);
	struct input input = { .variable_count = 0 };
	AUTO(config_unref) const struct config *config = NULL;

	if (!octets || size > 50000)
		return 0;
	if (size)
		memcpy(octets, data, size);
	octets[size] = '\0';
	take_apart(&input, octets, size);
	struct config_sources sources = { .file = TEXT("fuzz.yaml"),
		                          .text = input.yaml,
		                          .environment = input.environment,
		                          .sets = input.sets,
		                          .set_count = input.set_count,
		                          .machine_name = TEXT("machine.example"),
		                          .read_file = read_file,
		                          .find_files = find_files,
		                          .owner = &input };

	if (load(&sources, &config)) {
		print_and_load_again(config, &sources);
		ask_routes(config, input.yaml);
		ask_routes(config, TEXT("ann@example.com"));
		ask_routes(config, TEXT("postmaster"));
	}
	return 0;
}
