#include "lanes.h"

#include <assert.h>
#include <signal.h>

static void give_back(struct lanes *l, struct io_job *job)
{
	pthread_mutex_lock(&l->done_lock);
	bool first = list_is_empty(&l->done);

	list_append(&l->done, &job->link);
	pthread_mutex_unlock(&l->done_lock);
	if (first)
		l->poke(l->owner);
}

/* The next job, NULL at the end. With the lane's lock held. */
static struct io_job *next_job(struct lane *lane)
{
	struct list *link;

	while (!(link = list_shift(&lane->queue))) {
		if (lane->ending)
			return NULL;
		lane->idle++;
		while (lane->wakes == 0 && !lane->ending)
			pthread_cond_wait(&lane->wake, &lane->lock);
		if (lane->wakes > 0)
			lane->wakes--;
	}
	return LIST_ITEM(link, struct io_job, link);
}

static void *work(void *argument)
{
	struct lane *lane = argument;
	struct io_job *job;

	pthread_mutex_lock(&lane->lock);
	while ((job = next_job(lane))) {
		pthread_mutex_unlock(&lane->lock);
		job->run(job);
		give_back(lane->lanes, job);
		pthread_mutex_lock(&lane->lock);
	}
	pthread_mutex_unlock(&lane->lock);
	return NULL;
}

/* Signals belong to the loop's thread. With the lane's lock held. */
static void start_thread(struct lane *lane)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (pthread_create(&lane->threads[lane->started], NULL, work, lane) == 0)
		pthread_setname_np(lane->threads[lane->started++], lane->name);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* A sleeping thread is woken once for one job: whoever wakes it takes it off the count of the sleeping. */
void lanes_submit(struct lanes *l, enum io_lane which, struct io_job *job)
{
	struct lane *lane = &l->lane[which];
	bool wake = false;

	pthread_mutex_lock(&lane->lock);
	if (lane->idle > 0) {
		lane->idle--;
		lane->wakes++;
		wake = true;
	} else if (lane->started < lane->max) {
		start_thread(lane);
	}
	bool nobody = lane->started == 0;

	if (!nobody)
		list_append(&lane->queue, &job->link);
	pthread_mutex_unlock(&lane->lock);
	if (wake)
		pthread_cond_signal(&lane->wake);
	if (nobody) {      /* the system gives us not one thread: better late than never */
		job->run(job);
		give_back(l, job);
	}
}

size_t lanes_finish_done(struct lanes *l)
{
	struct list done, *link;
	size_t count = 0;

	list_init(&done);
	pthread_mutex_lock(&l->done_lock);
	list_append_all(&done, &l->done);
	pthread_mutex_unlock(&l->done_lock);
	while ((link = list_shift(&done))) {
		struct io_job *job = LIST_ITEM(link, struct io_job, link);

		count++;
		job->done(job);
	}
	return count;
}

static void lane_init(struct lane *lane, struct lanes *l, const char *name, unsigned threads)
{
	pthread_mutex_init(&lane->lock, NULL);
	pthread_cond_init(&lane->wake, NULL);
	list_init(&lane->queue);
	lane->max = MIN(threads, (unsigned)LANE_THREADS_MAX);
	lane->lanes = l;
	lane->name = name;
}

void lanes_init(struct lanes *l, unsigned disk_threads, unsigned cpu_threads, void (*poke)(void *owner), void *owner)
{
	lane_init(&l->lane[IO_LANE_WRITER], l, "lane-writer", 1);
	lane_init(&l->lane[IO_LANE_DISK], l, "lane-disk", disk_threads);
	lane_init(&l->lane[IO_LANE_CPU], l, "lane-cpu", cpu_threads);
	pthread_mutex_init(&l->done_lock, NULL);
	list_init(&l->done);
	l->poke = poke;
	l->owner = owner;
}

static void lane_fini(struct lane *lane)
{
	pthread_mutex_lock(&lane->lock);
	lane->ending = true;
	pthread_cond_broadcast(&lane->wake);
	pthread_mutex_unlock(&lane->lock);
	for (unsigned i = 0; i < lane->started; i++)
		pthread_join(lane->threads[i], NULL);
	assert(list_is_empty(&lane->queue));
	pthread_cond_destroy(&lane->wake);
	pthread_mutex_destroy(&lane->lock);
}

void lanes_fini(struct lanes *l)
{
	for (unsigned i = 0; i < IO_LANE_COUNT; i++)
		lane_fini(&l->lane[i]);
	assert(list_is_empty(&l->done));
	pthread_mutex_destroy(&l->done_lock);
}
