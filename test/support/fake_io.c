#include "support/fake_io.h"

#include <postrider/base/auto.h>

static struct fake_io *fake_of(struct io *io)
{
	return CONTAINER_OF(io, struct fake_io, base);
}

static int64_t now_at(struct io *io)
{
	return fake_of(io)->at_ms;
}

static int64_t now_time_us(struct io *io)
{
	return (FAKE_IO_START_TIME + fake_of(io)->at_ms) * 1000;
}

static uint64_t clock_us(struct io *io)
{
	return (uint64_t)fake_of(io)->at_ms * 1000;
}

static uint64_t random_u64(struct io *io)
{
	struct fake_io *f = fake_of(io);

	f->random = f->random * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return f->random ^ f->random >> 33;
}

static void wake_at(struct io *io, int64_t at_ms)
{
	fake_of(io)->wake_at = at_ms;
}

static void submit(struct io *io, enum io_lane lane, struct io_job *job)
{
	list_append(&fake_of(io)->jobs[lane], &job->link);
}

static enum err no_connect(struct io *io, const struct io_address *to, const struct ip *source,
                           struct io_stream **out)
{
	(void)io, (void)to, (void)source, (void)out;
	return ERR_UNREACHABLE;
}

static enum err no_listen(struct io *io, const struct io_address *a, unsigned mode, struct io_listener **out)
{
	(void)io, (void)a, (void)mode, (void)out;
	return ERR_UNSUPPORTED;
}

static enum err no_datagram(struct io *io, const struct ip_port *peer, struct io_datagram **out)
{
	(void)io, (void)peer, (void)out;
	return ERR_UNSUPPORTED;
}

static const struct io_world_ops fake_ops = {
	.now_at = now_at,
	.now_time_us = now_time_us,
	.clock_us = clock_us,
	.random_u64 = random_u64,
	.wake_at = wake_at,
	.submit = submit,
	.connect = no_connect,
	.listen = no_listen,
	.datagram_open = no_datagram,
};

struct io *fake_io_init(struct fake_io *f)
{
	*f = (struct fake_io){ .at_ms = 1000, .wake_at = INT64_MAX, .random = 1 };
	for (unsigned i = 0; i < IO_LANE_COUNT; i++)
		list_init(&f->jobs[i]);
	io_world_init(&f->base, &fake_ops);
	return &f->base;
}

void fake_io_fini(struct fake_io *f)
{
	io_world_fini(&f->base);
}

void fake_io_turn(struct fake_io *f)
{
	f->wake_at = INT64_MAX;
	io_world_turn(&f->base);
}

bool fake_io_run_job(struct fake_io *f, enum io_lane lane)
{
	struct list *link = list_shift(&f->jobs[lane]);

	if (!link)
		return false;
	struct io_job *job = LIST_ITEM(link, struct io_job, link);

	f->ran[lane]++;
	job->run(job);
	job->done(job);
	return true;
}

static bool run_a_job(struct fake_io *f)
{
	for (unsigned i = 0; i < IO_LANE_COUNT; i++) {
		if (!f->held[i] && fake_io_run_job(f, i))
			return true;
	}
	return false;
}

void fake_io_run(struct fake_io *f)
{
	for (;;) {
		if (f->wake_at <= f->at_ms)
			fake_io_turn(f);
		else if (!run_a_job(f))
			return;
	}
}

void fake_io_advance(struct fake_io *f, int64_t ms)
{
	int64_t until = f->at_ms + ms;

	for (fake_io_run(f); f->wake_at <= until; fake_io_run(f))
		f->at_ms = MAX(f->at_ms, f->wake_at);
	f->at_ms = until;
	fake_io_run(f);
}
