/* What the contexts and streams of one loop share: random numbers, tickets, the gate before the CPU lane. */
#include "mbed.h"

#include <assert.h>
#include <stdlib.h>

#include <postrider/io/lane.h>

#define TICKET_LIFETIME_S 3600
#define HOT_MAX 64
/* As many as keep each thread of the lane busy until the loop hears of an end. A longer queue lies with us, where it has an
 * order, and other users of the lane do not stand behind all of it. */
#define STEPS_FOR_EACH_THREAD 2

/* ---------------------------------------------------------------- life */

static void world_init(struct mbed_world *w, struct io *io)
{
	w->io = io;
	w->references = 1;
	w->hot_max = HOT_MAX;
	mbedtls_entropy_init(&w->entropy);
	mbedtls_ctr_drbg_init(&w->random);
	mbedtls_ssl_ticket_init(&w->tickets);
	list_init(&w->begun);
	list_init(&w->hot);
	for (unsigned i = 0; i < GATE_BUCKETS; i++)
		list_init(&w->fresh[i]);
}

enum err mbed_world_ref(struct io *io, struct mbed_world **out)
{
	static const char key;
	struct io_shared *shared = io_shared_find(io, &key);

	if (shared) {
		*out = CONTAINER_OF(shared, struct mbed_world, shared);
		(*out)->references++;
		return ERR_OK;
	}
	struct mbed_world *w = calloc(1, sizeof(*w));

	if (!w)
		return ERR_NOMEM;
	world_init(w, io);
	io_shared_add(io, &w->shared, &key);
	*out = w;
	return ERR_OK;
}

void mbed_world_unref(struct mbed_world **world)
{
	struct mbed_world *w = TAKE(*world);

	if (!w || --w->references > 0)
		return;
	assert(w->running == 0 && w->fresh_count == 0 && w->hot_count == 0);
	io_shared_remove(&w->shared);
	mbedtls_ssl_ticket_free(&w->tickets);
	mbedtls_ctr_drbg_free(&w->random);
	mbedtls_entropy_free(&w->entropy);
	free(w);
}

enum err mbed_world_random(struct mbed_world *w)
{
	if (w->has_random)
		return ERR_OK;
	if (mbedtls_ctr_drbg_seed(&w->random, mbedtls_entropy_func, &w->entropy, NULL, 0)) {
		mbedtls_ctr_drbg_free(&w->random);
		mbedtls_ctr_drbg_init(&w->random);
		return ERR_NOMEM; /* the system always has random numbers, so it was this */
	}
	w->has_random = true;
	return ERR_OK;
}

/* Who comes again within the hour saves us a signature. */
enum err mbed_world_tickets(struct mbed_world *w)
{
	if (w->has_tickets)
		return ERR_OK;
	if (mbedtls_ssl_ticket_setup(&w->tickets, mbedtls_ctr_drbg_random, &w->random,
	                             MBEDTLS_CIPHER_AES_256_GCM, TICKET_LIFETIME_S)) {
		mbedtls_ssl_ticket_free(&w->tickets);
		mbedtls_ssl_ticket_init(&w->tickets);
		return ERR_NOMEM;
	}
	w->has_tickets = true;
	return ERR_OK;
}

/* ---------------------------------------------------------------- the gate */

/* Clients of one network (/24, /64) share a bucket, and so do some that have nothing to do with each other. */
static unsigned bucket_of(struct ip peer)
{
	size_t len = peer.family == IP_V4 ? 3 : 8;

	return peer.family == IP_NONE
	               ? 0
	               : (unsigned)(text_hash(text_of((const char *)peer.bytes, len)) % GATE_BUCKETS);
}

static bool has_room(const struct mbed_world *w)
{
	return w->running < STEPS_FOR_EACH_THREAD * io_lane_threads(w->io, IO_LANE_CPU);
}

static void run(struct mbed_world *w, struct io_job *job)
{
	w->running++;
	io_job_submit(w->io, IO_LANE_CPU, job);
}

void gate_enter(struct mbed_world *w, struct gate_item *item, struct io_job *job, bool begun, struct ip peer)
{
	item->job = job;
	if (has_room(w)) {
		run(w, job);
		return;
	}
	item->bucket = bucket_of(peer);
	list_append(begun ? &w->begun : &w->fresh[item->bucket], &item->link);
	if (begun)
		item->bucket = GATE_BUCKETS;
	else
		w->fresh_count++;
}

static struct list *next_fresh(struct mbed_world *w)
{
	if (w->fresh_count == 0)
		return NULL;
	while (list_is_empty(&w->fresh[w->next_bucket]))
		w->next_bucket = (w->next_bucket + 1) % GATE_BUCKETS;
	w->fresh_count--;
	struct list *link = list_shift(&w->fresh[w->next_bucket]);

	w->next_bucket = (w->next_bucket + 1) % GATE_BUCKETS;
	return link;
}

void gate_leave(struct mbed_world *w)
{
	assert(w->running > 0);
	w->running--;
	struct list *link = list_shift(&w->begun);

	if (!link)
		link = next_fresh(w);
	if (link)
		run(w, LIST_ITEM(link, struct gate_item, link)->job);
}

bool gate_cancel(struct mbed_world *w, struct gate_item *item)
{
	if (list_is_empty(&item->link))
		return false;
	list_remove(&item->link);
	if (item->bucket < GATE_BUCKETS)
		w->fresh_count--;
	return true;
}
