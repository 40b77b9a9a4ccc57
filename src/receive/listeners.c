/* The listeners, and the life of the room. */
#include "server.h"

#include <postrider/base/time.h>

/* ---------------------------------------------------------------- one listener */

void receive_listener_unref(struct listener *l)
{
	if (--l->references > 0)
		return;
	tls_context_unref(&l->tls);
	free(l);
}

static struct io_address address_of(const struct config_listener *c)
{
	struct io_address a = { .peer_uid = UINT32_MAX, .peer_gid = UINT32_MAX };

	if (c->address.is_fd)
		return a; /* known when it is open; until then nothing has this address */
	if (c->address.is_unix)
		memcpy(a.unix_path, c->address.host.at, MIN(c->address.host.len, sizeof(a.unix_path) - 1));
	else
		a.ip = (struct ip_port){ c->address.ip, c->address.port };
	return a;
}

static bool same_address(const struct io_address *a, const struct io_address *b)
{
	return ip_eq(a->ip.ip, b->ip.ip) && a->ip.port == b->ip.port &&
	       strcmp(a->unix_path, b->unix_path) == 0;
}

/* An inherited descriptor is known by what the configuration calls it. */
static bool same_descriptor(const struct config_listener *a, const struct config_listener *b)
{
	return a->address.is_fd && b->address.is_fd && text_eq(a->address.host, b->address.host);
}

static struct listener *find_listener(struct receive *r, const struct config_listener *wanted)
{
	struct io_address address = address_of(wanted);

	for (LIST_EACH(it, &r->listeners)) {
		struct listener *l = LIST_ITEM(it, struct listener, link);

		if (l->config->address.is_fd || wanted->address.is_fd) {
			if (same_descriptor(l->config, wanted))
				return l;
			continue;
		}
		if (same_address(&l->address, &address) &&
		    (l->address.ip.port || address.unix_path[0] || text_eq(l->config->name, wanted->name)))
			return l;
	}
	return NULL;
}

static const char *why_not(enum err err, const struct config_listener *wanted)
{
	bool is_low = !wanted->address.is_unix && wanted->address.port > 0 && wanted->address.port < 1024;

	if (err == ERR_BUSY)
		return "another program listens there";
	if (err == ERR_DENIED && is_low)
		return "permission denied: ports below 1024 are bound once, at the start; restart as root with `user`, or with "
		       "CAP_NET_BIND_SERVICE";
	return err_text(err);
}

static bool is_unspecified(struct ip ip)
{
	static const unsigned char zeros[16];

	return memcmp(ip.bytes, zeros, ip.family == IP_V6 ? 16 : 4) == 0;
}

/* [::] takes IPv4 too. */
static bool covers(struct ip wide, struct ip narrow)
{
	return is_unspecified(wide) && (wide.family == narrow.family || wide.family == IP_V6);
}

static bool overlap(const struct io_address *a, const struct io_address *b)
{
	return a->ip.ip.family != IP_NONE && b->ip.ip.family != IP_NONE && a->ip.port && a->ip.port == b->ip.port &&
	       (covers(a->ip.ip, b->ip.ip) || covers(b->ip.ip, a->ip.ip));
}

/* One of ours that goes with this reload stands where a new one is to be, as 0.0.0.0:25 does for 127.0.0.1:25: for a moment both
 * are there. */
static enum err listen_beside_ours(struct receive *r, struct listener *l)
{
	enum err err = io_listen(r->io, &l->address, 0666, receive_connection_accept, l, &l->io);
	bool shared = false;

	if (err != ERR_BUSY)
		return err;
	for (LIST_EACH(it, &r->listeners)) {
		struct listener *old = LIST_ITEM(it, struct listener, link);

		if (!old->wanted && overlap(&old->address, &l->address)) {
			io_listener_share(old->io);
			shared = true;
		}
	}
	if (!shared)
		return err;
	return io_listen(r->io, &l->address, 0666 | IO_LISTEN_BESIDE, receive_connection_accept, l, &l->io);
}

/* On a socket that the server has for it, or on one of its own. */
static enum err listen_for(struct receive *r, struct listener *l, struct buf *problem)
{
	struct receive_socket socket = { .fd = -1 };
	enum err err = r->options.find_socket
	                       ? r->options.find_socket(r->options.socket_owner, l->config, &socket, problem)
	               : l->config->address.is_fd ? ERR_UNSUPPORTED
	                                          : ERR_OK;

	if (err)
		return err;
	if (socket.fd < 0)
		return listen_beside_ours(r, l);
	return io_listen_on(r->io, socket.fd, socket.inherited, receive_connection_accept, l, &l->io);
}

static enum err open_listener(struct receive *r, const struct config_listener *wanted, struct listener **out,
                              struct buf *problem)
{
	struct listener *l = calloc(1, sizeof(*l));
	enum err err;

	if (!l)
		return ERR_NOMEM;
	l->receive = r;
	l->config = wanted;
	l->address = address_of(wanted);
	size_t said = problem->len;

	err = listen_for(r, l, problem);
	if (err) {
		if (problem->len == said)
			buf_add_format(problem, "cannot listen on %.*s: %s", TEXT_ARGS(wanted->address.text),
			               why_not(err, wanted));
		free(l);
		return err;
	}
	l->references = 1;
	*out = l;
	return ERR_OK;
}

static void close_listener(struct listener *l)
{
	io_listener_close(&l->io);
	list_remove(&l->link);
	receive_listener_unref(l);
}

/* ---------------------------------------------------------------- taking a configuration over */

/* What one entry of the configuration is going to have, made before anything is changed. */
struct plan {
	struct listener *listener; /* running already, or new */
	struct tls_context *tls;
	bool is_new;
};

static enum err make_plan(struct receive *r, const struct config_listener *wanted, struct plan *p,
                          struct buf *problem)
{
	enum err err = r->options.server_context(r->options.owner, wanted, &p->tls, problem);

	if (err)
		return err;
	p->listener = find_listener(r, wanted);
	if (p->listener)
		return ERR_OK;
	err = open_listener(r, wanted, &p->listener, problem);
	p->is_new = !err;
	return err;
}

static void drop_plan(struct plan *p)
{
	if (p->is_new) {
		io_listener_close(&p->listener->io);
		receive_listener_unref(p->listener);
	}
	tls_context_unref(&p->tls);
}

static void carry_out(struct receive *r, const struct config_listener *wanted, struct plan *p)
{
	struct listener *l = p->listener;

	l->config = wanted;
	l->listed = true;
	if (p->is_new)
		list_append(&r->listeners, &l->link);
	tls_context_unref(&l->tls);
	l->tls = p->tls;
}

enum err receive_configure(struct receive *r, const struct config *config, struct buf *problem)
{
	size_t count = config->listen.count;
	struct plan *plans = calloc(MAX(count, (size_t)1), sizeof(*plans));
	const struct config *old = r->config;
	enum err err = plans ? ERR_OK : ERR_NOMEM;
	size_t made = 0;

	for (LIST_EACH(it, &r->listeners))
		LIST_ITEM(it, struct listener, link)->wanted = false;
	for (size_t i = 0; i < count; i++) {
		struct listener *l = find_listener(r, &config->listen.items[i]);

		if (l)
			l->wanted = true;
	}
	while (!err && made < count) {
		err = make_plan(r, &config->listen.items[made], &plans[made], problem);
		made++;
	}
	if (err) {
		for (size_t i = 0; i < made; i++)
			drop_plan(&plans[i]);
		free(plans);
		return err;
	}
	for (LIST_EACH(it, &r->listeners))
		LIST_ITEM(it, struct listener, link)->listed = false;
	for (size_t i = 0; i < count; i++)
		carry_out(r, &config->listen.items[i], &plans[i]);
	for (LIST_EACH_SAFE(it, &r->listeners))
		if (!LIST_ITEM(it, struct listener, link)->listed)
			close_listener(LIST_ITEM(it, struct listener, link));
	r->config = config_ref(config);
	config_unref(&old);
	free(plans);
	return ERR_OK;
}

enum err receive_set_tls(struct receive *r, struct text listener, struct tls_context *context)
{
	for (LIST_EACH(it, &r->listeners)) {
		struct listener *l = LIST_ITEM(it, struct listener, link);

		if (!text_eq(l->config->name, listener))
			continue;
		tls_context_unref(&l->tls);
		l->tls = tls_context_ref(context);
		return ERR_OK;
	}
	return ERR_NOT_FOUND;
}

void receive_each_listener(struct receive *r, receive_listener_fn *each, void *owner)
{
	for (LIST_EACH_SAFE(it, &r->listeners)) {
		struct listener *l = LIST_ITEM(it, struct listener, link);

		each(owner, l->config->name, io_listener_address(l->io));
	}
}

/* ---------------------------------------------------------------- life */

/* At most so many clients, users, senders and networks are remembered: about 200 octets each. */
#define REMEMBERED_MAX 65536
#define SWEEP_MS (5 * SECOND_MS)

static void init_clients(struct receive *r, uint64_t seed)
{
	clients_init(&r->clients, MAX((size_t)REMEMBERED_MAX, 2 * (size_t)r->options.max_sessions), false, seed);
	clients_init(&r->users, REMEMBERED_MAX, false, seed + 1);
	clients_init(&r->senders, REMEMBERED_MAX, true, seed + 2);
	clients_init(&r->networks, REMEMBERED_MAX, false, seed + 3);
}

static void on_sweep(void *owner)
{
	struct receive *r = owner;
	int64_t now_at = io_now_at(r->io);

	clients_sweep(&r->clients, now_at);
	clients_sweep(&r->users, now_at);
	clients_sweep(&r->senders, now_at);
	clients_sweep(&r->networks, now_at);
	receive_sweep_later(r);
}

/* While somebody is remembered. Without a timer the tables stay as they are: they have their bound. */
void receive_sweep_later(struct receive *r)
{
	size_t remembered = r->clients.map.count + r->users.map.count + r->senders.map.count + r->networks.map.count;

	if (remembered == 0 || r->stopping || io_timer_runs(&r->sweep))
		return;
	if (io_timer_start(r->io, &r->sweep, io_now_at(r->io) + SWEEP_MS, on_sweep, r))
		return; /* no memory: whoever comes next tries again */
}

void receive_set_policy_service(struct receive *r, struct policy_service *policy)
{
	r->policy = policy;
}

void receive_set_pressure(struct receive *r, enum receive_pressure pressure)
{
	r->pressure = pressure;
}

enum err receive_new(const struct receive_options *options, struct receive **out)
{
	struct receive *r = calloc(1, sizeof(*r));

	if (!r)
		return ERR_NOMEM;
	r->options = *options;
	r->io = options->io;
	r->queue = options->queue;
	r->observe = options->observe;
	r->config = config_ref(options->config);
	id_source_init(&r->ids, options->seed, options->newest_id_time);
	list_init(&r->listeners);
	list_init(&r->connections);
	r->policy = options->policy;
	init_clients(r, options->seed ^ 0x9e3779b97f4a7c15u);
	*out = r;
	return ERR_OK;
}

static void check_stopped(void *owner)
{
	struct receive *r = owner;
	void (*on_stopped)(void *owner) = r->on_stopped;

	if (!on_stopped || !list_is_empty(&r->connections))
		return;
	io_timer_stop(r->io, &r->linger);
	r->on_stopped = NULL;
	on_stopped(r->stop_owner);
}

void receive_check_stopped(struct receive *r)
{
	if (r->stopping)
		io_later_run(r->io, &r->stop_check, check_stopped, r);
}

static void on_linger_over(void *owner)
{
	struct receive *r = owner;

	for (LIST_EACH_SAFE(it, &r->connections))
		receive_connection_end(it);
}

void receive_hurry(struct receive *r)
{
	if (!r->stopping)
		return;
	for (LIST_EACH_SAFE(it, &r->connections))
		receive_connection_close(it);
}

void receive_stop(struct receive *r, int64_t linger_ms, void (*on_stopped)(void *owner), void *owner)
{
	r->stopping = true;
	io_timer_stop(r->io, &r->sweep);
	r->on_stopped = on_stopped;
	r->stop_owner = owner;
	for (LIST_EACH_SAFE(it, &r->listeners))
		close_listener(LIST_ITEM(it, struct listener, link));
	for (LIST_EACH_SAFE(it, &r->connections))
		receive_connection_stop_if_idle(it);
	if (io_timer_start(r->io, &r->linger, io_now_at(r->io) + linger_ms, on_linger_over, r))
		on_linger_over(r);
	receive_check_stopped(r);
}

void receive_free(struct receive **slot)
{
	struct receive *r = *slot;

	*slot = NULL;
	if (!r)
		return;
	for (LIST_EACH_SAFE(it, &r->listeners))
		close_listener(LIST_ITEM(it, struct listener, link));
	io_timer_stop(r->io, &r->linger);
	io_later_cancel(r->io, &r->stop_check);
	io_timer_stop(r->io, &r->sweep);
	clients_fini(&r->clients);
	clients_fini(&r->users);
	clients_fini(&r->senders);
	clients_fini(&r->networks);
	config_unref(&r->config);
	free(r);
}

struct receive_counts receive_count(const struct receive *r)
{
	return r->counts;
}
