#include "sandbox.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <postrider/base/auto.h>
#include <postrider/base/url.h>

/* Read by the resolver, by TLS, by the C library, by the watch over memory. As root /etc is not opened as a whole: it holds
 * secrets. Then a resolv.conf that is replaced is seen only after a restart. */
static const char *const of_system[] = {
	"/etc/resolv.conf",
	"/etc/hosts",
	"/etc/nsswitch.conf",
	"/etc/passwd",
	"/etc/group",
	"/etc/localtime",
	"/etc/ssl",
	"/etc/pki",
	"/etc/ca-certificates",
	"/usr/share/zoneinfo",
	"/usr/share/ca-certificates",
	"/usr/local/share/ca-certificates",
	"/run/systemd/resolve",
	"/run/resolvconf",
	"/run/NetworkManager",
	"/dev/urandom",
	"/dev/random",
	"/dev/null",
	"/proc",
	"/sys/fs/cgroup",
	"/sys/devices/system/cpu",
};

/* ---------------------------------------------------------------- places */

static void add_place(struct sandbox_places *p, struct text path, bool writable, bool of_configuration)
{
	for (size_t i = 0; i < p->count; i++)
		if (text_eq(text_from(p->items[i].path), path)) {
			p->items[i].writable = p->items[i].writable || writable;
			p->items[i].of_configuration = p->items[i].of_configuration || of_configuration;
			return;
		}
	if (p->count == p->room) {
		size_t room = p->room ? p->room * 2 : 32;
		struct sandbox_place *items = realloc(p->items, room * sizeof(*items));

		if (!items) {
			p->no_memory = true;
			return;
		}
		p->items = items;
		p->room = room;
	}
	char *copy = text_dup(path);

	if (!copy) {
		p->no_memory = true;
		return;
	}
	p->items[p->count++] = (struct sandbox_place){ copy, writable, of_configuration };
}

static struct text directory_of(struct text path)
{
	size_t slash = text_find_last_octet(path, '/');

	if (slash == path.len)
		return TEXT(".");
	return text_head(path, slash);
}

static size_t depth_of(struct text path)
{
	size_t depth = 0;

	for (size_t i = 0; i + 1 < path.len; i++)
		depth += path.at[i] == '/';
	return depth;
}

/* A directory that is a link is one that is switched as a whole (a volume of Kubernetes): what it leads to next lies beside
 * it. Not for links at the top, as /var/run is one. */
static void add_beside(struct sandbox_places *p, struct text directory)
{
	AUTO(free_memory) char *name = text_dup(directory);
	struct text above = directory_of(directory);
	struct stat st;

	if (name && lstat(name, &st) == 0 && S_ISLNK(st.st_mode) && depth_of(above) >= 2)
		add_place(p, above, false, true);
}

/* A file may be a link too, with each new one in the place where the last one was (live and archive of certbot). */
static void add_target(struct sandbox_places *p, struct text path)
{
	AUTO(free_memory) char *name = text_dup(path);
	AUTO(free_memory) char *real = name ? realpath(name, NULL) : NULL;
	struct text directory = directory_of(text_from(real));

	if (real && directory.len > 0)
		add_place(p, directory, false, true);
}

void sandbox_add_file(struct sandbox_places *p, struct text path)
{
	struct text directory = directory_of(path);

	if (path.len == 0)
		return;
	add_place(p, directory.len > 0 ? directory : path, false, true);
	add_beside(p, directory);
	add_target(p, path);
}

static bool names_a_file(struct text key)
{
	struct text last = text_skip(key, text_find_last_octet(key, '.') + 1);

	if (last.len == 0)
		last = key;
	return text_eq(last, TEXT("cert")) || text_eq(last, TEXT("key")) ||
	       text_eq(last, TEXT("client_ca")) || text_ends(last, TEXT("_file"));
}

/* Every file that is named by a key that names files: also those of keys that are yet to come. */
static void on_value(void *owner, struct text key, struct text value, struct config_place origin)
{
	(void)origin;
	if (!names_a_file(key))
		return;
	/* a refresh token that rotates is written there */
	bool is_written = text_ends(key, TEXT(".refresh_token_file"));

	value = text_trim(value);
	if (value.len >= 2 && (value.at[0] == '"' || value.at[0] == '\''))
		value = text_of(value.at + 1, value.len - 2);
	if (text_find_octet(value, '/') < value.len)
		sandbox_add_file(owner, value);
	if (is_written && directory_of(value).len > 0 && text_find_octet(value, '/') < value.len)
		add_place(owner, directory_of(value), true, true);
}

static void add_socket(struct sandbox_places *p, struct text path)
{
	struct text directory = directory_of(path);

	if (path.len > 0 && directory.len > 0)
		add_place(p, directory, true, true);
}

static void add_system(struct sandbox_places *p)
{
	for (size_t i = 0; i < ARRAY_LEN(of_system); i++)
		add_place(p, text_from(of_system[i]), text_eq(text_from(of_system[i]), TEXT("/dev/null")),
		          false);
	if (geteuid() != 0)
		add_place(p, TEXT("/etc"), false, false);
}

void sandbox_find_places(const struct config *config, const struct config_texts *read,
                         struct sandbox_places *out)
{
	*out = (struct sandbox_places){ 0 };
	add_place(out, config->spool.path, true, true);
	add_place(out, config->drop.path, true, true);
	if (config->pickup.path.len > 0)
		add_place(out, config->pickup.path, true, true);
	if (config->admin.socket.len > 0)
		add_socket(out, config->admin.socket);
	else
		add_place(out, TEXT("/run/postrider"), true, false);
	for (size_t i = 0; i < config->listen.count; i++)
		if (config->listen.items[i].address.is_unix)
			add_socket(out, config->listen.items[i].address.host);
	for (size_t i = 0; read && i < read->count; i++)
		sandbox_add_file(out, read->items[i]);
	if (config_each_value(config, on_value, out))
		out->no_memory = true;
	add_system(out);
}

void sandbox_places_fini(struct sandbox_places *p)
{
	for (size_t i = 0; i < p->count; i++)
		free(p->items[i].path);
	free(p->items);
	*p = (struct sandbox_places){ 0 };
}

/* ---------------------------------------------------------------- ports */

struct ports {
	uint16_t *items;
	size_t count, room;
	enum err err;
};

static void add_port(struct ports *p, uint64_t port)
{
	for (size_t i = 0; i < p->count; i++)
		if (p->items[i] == port)
			return;
	if (p->count == p->room) {
		size_t room = p->room ? p->room * 2 : 16;
		uint16_t *items = realloc(p->items, room * sizeof(*items));

		if (!items) {
			p->err = ERR_NOMEM;
			return;
		}
		p->items = items;
		p->room = room;
	}
	p->items[p->count++] = (uint16_t)port;
}

static void add_endpoint(struct ports *p, const struct config_endpoint *e)
{
	if (e->text.len > 0 && !e->is_unix && !e->is_fd)
		add_port(p, e->port);
}

/* "http://host:9000/path" */
static void add_url(struct ports *p, struct text url)
{
	uint64_t port = text_starts_nocase(url, TEXT("https:")) ? 443 : 80;

	if (url.len == 0)
		return;
	struct text authority = text_skip(url, text_find(url, TEXT("://")) + 3);

	authority = text_head(authority, text_find_octet(authority, '/'));
	size_t colon = text_find_last_octet(authority, ':');

	if (colon < authority.len && text_to_u64(text_skip(authority, colon + 1), UINT16_MAX, &port))
		port = 80; /* an IPv6 address without a port */
	add_port(p, port);
}

/* What is no URL was refused before. */
static void add_https(struct ports *p, struct text text)
{
	struct url url;

	if (text.len > 0 && url_parse(text, &url, NULL) == ERR_OK)
		add_port(p, url.port);
}

static void add_outbound(struct ports *p, const struct config *c)
{
	add_port(p, 53);
	add_port(p, c->direct.port);
	if (c->direct.mta_sts || c->tls_reports.send)
		add_port(p, 443);
	for (size_t i = 0; i < c->dns.servers.count; i++)
		add_endpoint(p, &c->dns.servers.items[i]);
	for (size_t i = 0; i < c->upstreams.count; i++) {
		add_https(p, c->upstreams.items[i].login.oauth2.token_url);
		for (size_t j = 0; j < c->upstreams.items[i].hosts.count; j++)
			add_endpoint(p, &c->upstreams.items[i].hosts.items[j]);
	}
	add_endpoint(p, &c->access.dovecot);
	add_endpoint(p, &c->access.policy_service.address);
	add_url(p, c->access.token_check);
}

static int compare_ports(const void *a, const void *b)
{
	return *(const uint16_t *)a - *(const uint16_t *)b;
}

enum err sandbox_find_ports(const struct config *config, bool outbound, uint16_t **ports, size_t *count)
{
	struct ports p = { 0 };

	if (outbound) {
		add_outbound(&p, config);
	} else {
		add_port(
			&p,
			0); /* any free one: what outbound connections with an address of their own bind to */
		for (size_t i = 0; i < config->listen.count; i++)
			add_endpoint(&p, &config->listen.items[i].address);
	}
	if (p.err) {
		free(p.items);
		return p.err;
	}
	if (p.count > 0)
		qsort(p.items, p.count, sizeof(*p.items), compare_ports);
	*ports = p.items;
	*count = p.count;
	return ERR_OK;
}

/* ---------------------------------------------------------------- entering */

/* Rules and questions speak of real paths: what a link leads to counts. */
static void make_real(struct sandbox_places *p)
{
	for (size_t i = 0; i < p->count; i++) {
		char *real = realpath(p->items[i].path, NULL);

		if (!real)
			continue;
		free(p->items[i].path);
		p->items[i].path = real;
	}
}

static enum err lacks(const struct config *config, const char *what, struct buf *problem, struct buf *words)
{
	if (config->sandbox != CONFIG_SANDBOX_REQUIRE) {
		buf_add_format(words, "%sthis kernel has no %s", words->len ? "; " : "sandbox: ", what);
		return ERR_OK;
	}
	buf_add_format(
		problem,
		"sandbox: require, but this kernel (or what runs us in it) has no %s: sandbox: auto goes without",
		what);
	return ERR_UNSUPPORTED;
}

static void say_files(struct sandbox *s, int abi)
{
	buf_add_format(&s->words, "sandbox: files limited (Landlock ABI %d)", abi);
	if (s->limits_ports)
		buf_add_format(&s->words, ", TCP to %zu ports", s->connect_count);
}

static enum err limit_files(struct sandbox *s, const struct config *config, struct buf *problem)
{
	bool is_strict = config->sandbox == CONFIG_SANDBOX_REQUIRE;
	int abi = 0;
	enum err err = sandbox_limit_files(s, is_strict, &abi);

	if (err == ERR_UNSUPPORTED)
		return lacks(config, "Landlock", problem, &s->words);
	if (err) {
		buf_add_format(problem, "sandbox: Landlock fails: %s; sandbox: off goes without",
		               err_text(err));
		return err;
	}
	say_files(s, abi);
	return is_strict && !s->limits_ports
	               ? lacks(config, "Landlock for ports (Linux 6.7)", problem, &s->words)
	               : ERR_OK;
}

static enum err limit_calls(struct sandbox *s, const struct config *config, struct buf *problem)
{
	enum err err = sandbox_limit_calls();

	if (err == ERR_NOMEM)
		return err;
	if (err)
		return lacks(config, "seccomp filters", problem, &s->words);
	s->limits_calls = true;
	buf_add_format(&s->words, "%ssystem calls limited (seccomp)", s->words.len ? ", " : "sandbox: ");
	return ERR_OK;
}

enum err sandbox_enter(const struct config *config, const struct config_texts *read, struct sandbox *out,
                       struct buf *problem)
{
	*out = (struct sandbox){ .words = BUF(1000) };
	if (config->sandbox == CONFIG_SANDBOX_OFF) {
		buf_add(&out->words, TEXT("sandbox: off"));
		return ERR_OK;
	}
	sandbox_find_places(config, read, &out->places);
	make_real(&out->places);
	enum err err = out->places.no_memory ? ERR_NOMEM : ERR_OK;

	if (!err)
		err = sandbox_find_ports(config, false, &out->listen_ports, &out->listen_count);
	if (!err)
		err = sandbox_find_ports(config, true, &out->connect_ports, &out->connect_count);
	if (!err)
		err = limit_files(out, config, problem);
	return err ? err : limit_calls(out, config, problem);
}

void sandbox_fini(struct sandbox *s)
{
	sandbox_places_fini(&s->places);
	free(s->listen_ports);
	free(s->connect_ports);
	buf_fini(&s->words);
}

/* ---------------------------------------------------------------- another configuration */

static bool lies_in(struct text path, struct text directory)
{
	return text_eq(path, directory) || text_eq(directory, TEXT("/")) ||
	       (text_starts(path, directory) && path.at[directory.len] == '/');
}

/* The real path; of what is not there yet that of the directory above, as far up as there is one. */
static char *real_path(struct text path)
{
	for (;;) {
		AUTO(free_memory) char *name = text_dup(path);
		char *real = name ? realpath(name, NULL) : NULL;

		if (real || !name || path.len == 0)
			return real;
		struct text above = directory_of(path);

		if (text_eq(above, path) || above.len >= path.len)
			return NULL;
		path = above;
	}
}

static bool allows(const struct sandbox *s, struct text path, bool writable)
{
	AUTO(free_memory) char *real = real_path(path);

	for (size_t i = 0; i < s->places.count; i++)
		if ((!writable || s->places.items[i].writable) && real &&
		    lies_in(text_from(real), text_from(s->places.items[i].path)))
			return true;
	return false;
}

bool sandbox_allows_file(const struct sandbox *s, struct text path)
{
	return !s->limits_files || allows(s, path, false);
}

static bool has_port(const uint16_t *ports, size_t count, uint16_t port)
{
	for (size_t i = 0; i < count; i++)
		if (ports[i] == port)
			return true;
	return false;
}

static enum err check_ports(const struct sandbox *s, const struct config *config, bool outbound,
                            struct buf *problem)
{
	AUTO(free_memory) uint16_t *ports = NULL;
	size_t count = 0;
	enum err err = sandbox_find_ports(config, outbound, &ports, &count);

	for (size_t i = 0; i < count && !err; i++) {
		if (has_port(outbound ? s->connect_ports : s->listen_ports,
		             outbound ? s->connect_count : s->listen_count, ports[i]))
			continue;
		buf_add_format(
			problem,
			"port %u was not in the configuration that the relay started with, and the sandbox (require) "
			"allows only those: restart",
			ports[i]);
		err = ERR_CONFIG;
	}
	return err;
}

enum err sandbox_check(const struct sandbox *s, const struct config *config, const struct config_texts *read,
                       struct buf *problem)
{
	struct sandbox_places wanted = { 0 };
	enum err err = ERR_OK;

	if (s->limits_files)
		sandbox_find_places(config, read, &wanted);
	if (wanted.no_memory)
		err = ERR_NOMEM;
	for (size_t i = 0; i < wanted.count && !err; i++) {
		const struct sandbox_place *place = &wanted.items[i];

		if (!place->of_configuration || allows(s, text_from(place->path), place->writable))
			continue;
		buf_add_format(
			problem,
			"%s lies outside of what the sandbox allowed at the start: restart (or place it where the relay "
			"already looks)",
			place->path);
		err = ERR_CONFIG;
	}
	sandbox_places_fini(&wanted);
	if (!err && s->limits_ports)
		err = check_ports(s, config, false, problem);
	return !err && s->limits_ports ? check_ports(s, config, true, problem) : err;
}
