/* How long mail waits after an attempt failed, over all routes that lead to a destination. */
#include <postrider/route.h>

#include <postrider/base/auto.h>
#include <postrider/base/time.h>

/* What is given up soon must be tried before: some eight times in its life, whatever the schedule says. */
static int64_t step_of(const struct config_retry *retry, size_t failures)
{
	int64_t step = retry->schedule.items[MIN(failures, retry->schedule.count - 1)];

	return MIN(step, MAX(retry->give_up_after_ms / 8, SECOND_MS));
}

static int64_t longest_step(const struct config_retry *retry)
{
	int64_t longest = 0;

	for (size_t i = 0; i < retry->schedule.count; i++)
		longest = MAX(longest, retry->schedule.items[i]);
	return longest;
}

int64_t route_longest_step_ms(const struct config *config)
{
	int64_t longest = longest_step(&config->retry);

	for (size_t i = 0; i < config->routes.count; i++)
		longest = MAX(longest, longest_step(config->routes.items[i].effective_retry));
	return longest;
}

int64_t route_shortest_step_ms(const struct config *config, struct text key, size_t failures)
{
	const struct config_upstream *upstream = route_upstream(config, key);
	enum config_via via = upstream ? CONFIG_VIA_UPSTREAM : CONFIG_VIA_DIRECT;
	int64_t shortest = step_of(upstream ? &upstream->retry : &config->retry, failures);

	for (size_t i = 0; i < config->routes.count; i++) {
		const struct config_route *route = &config->routes.items[i];

		if (route->has_retry && route->via == via && route->upstream == upstream)
			shortest = MIN(shortest, step_of(&route->retry, failures));
	}
	return shortest;
}
