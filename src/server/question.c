/* The service outside that is asked about recipients and messages (access.policy_service). */
#include <postrider/filter/policy_service.h>

#include "internal.h"

/* Made when a configuration first names one. It stays when a later one does not: sessions that began before may still ask it. */
enum err server_question(struct server *s, const struct config *config, struct buf *problem)
{
	const struct config_policy_service *wanted = &config->access.policy_service;
	struct policy_service_options options = { .io = s->io,
		                                  .observe = s->observe,
		                                  .endpoint = &wanted->address,
		                                  .timeout_ms = wanted->timeout_ms,
		                                  .accept_on_error =
		                                          wanted->on_error == CONFIG_ON_ERROR_ACCEPT };
	enum err err;

	if (wanted->address.text.len == 0)
		return ERR_OK;
	err = s->policy ? policy_service_configure(s->policy, &options)
	                : policy_service_new(&options, &s->policy);
	if (err == ERR_CONFIG)
		buf_add_format(
			problem,
			"access.policy_service: %.*s is no address with a port, and no unix: path of up to 107 octets",
			TEXT_ARGS(wanted->address.text));
	if (!err && s->receive)
		receive_set_policy_service(s->receive, s->policy);
	return err;
}
