/* A new configuration: in force in all rooms, or in none. */
#include "certificates.h"
#include "internal.h"

/* ---------------------------------------------------------------- the rooms that can say no */

static bool needs_restart(const struct config *old, const struct config *new, struct buf *problem)
{
	if (!text_eq(old->spool.path, new->spool.path) ||
	    old->spool.max_size_bytes != new->spool.max_size_bytes ||
	    old->spool.durable != new->spool.durable || !text_eq(old->user, new->user) ||
	    old->sandbox != new->sandbox)
		buf_add_string(problem,
		               "spool.path, spool.max_size, spool.durable, user and sandbox change only "
		               "with a restart");
	return problem->len > 0;
}

static enum err change_intake(struct server *s, const struct config *config, struct buf *problem)
{
	enum err err = auth_configure(s->auth, config, problem);

	if (err)
		return err;
	err = server_question(s, config, problem);
	if (!err)
		err = receive_configure(s->receive, config, problem);
	if (err && (auth_configure(s->auth, s->config, problem) || server_question(s, s->config, problem)))
		buf_add_string(problem, "; and the users of before could not be restored: restart soon");
	return err;
}

/* All rooms that can say no, or none. */
static enum err change_rooms(struct server *s, const struct config *config, struct buf *problem)
{
	enum err err = deliver_configure(s->deliver, config);

	if (err) {
		buf_add(problem, deliver_problem(s->deliver));
		return err;
	}
	err = server_names(s, config);
	if (!err)
		err = auth_tokens_configure(s->tokens, config, problem);
	if (!err)
		err = change_intake(s, config, problem);
	/* the last one left everything as it was: only those before it have to go back */
	if (err && (deliver_configure(s->deliver, s->config) || server_names(s, s->config) ||
	            auth_tokens_configure(s->tokens, s->config, NULL)))
		buf_add_string(problem,
		               "; and the old configuration could not be restored in whole: restart soon");
	return err;
}

/* The directories too: the new ones are there before anything is changed. */
static enum err change_all(struct server *s, const struct config *config, struct buf *problem)
{
	struct doors_plan plan;
	enum err err = server_plan_doors(s, config, &plan, problem);

	if (err)
		return err;
	err = change_rooms(s, config, problem);
	if (err)
		server_drop_plan(s, &plan);
	else
		server_change_doors(s, config, &plan);
	return err;
}

/* ---------------------------------------------------------------- what the reload comes to */

static void refuse(struct server *s, enum err err, struct buf *problem)
{
	certificates_forget(s->certificates);
	if (!problem->len)
		buf_add_string(problem, err_text(err));
	server_say(s, EVENT_RELOAD_FAILED, LEVEL_ERROR, buf_text(problem));
}

static void take_over(struct server *s, const struct config *config)
{
	const struct config *old = s->config;

	schedule_configure(s->schedule, config);
	policy_configure(s->tls_policy, config);
	if (s->admin)
		admin_configure(s->admin, config);
	s->config = config_ref(config);
	config_unref(&old);
	server_say(s, EVENT_RELOADED, LEVEL_INFO, TEXT("the new configuration is in force"));
	if (certificates_adopt(s->certificates, s->config))
		server_say(s, EVENT_WARNING, LEVEL_WARN,
		           TEXT("out of memory: the files of certificates are no longer watched"));
}

enum err server_reload(struct server *s, const struct config *config, struct buf *problem)
{
	enum err err;

	if (s->stopping) {
		buf_add_string(problem, "the daemon is stopping");
		return ERR_BUSY;
	}
	err = needs_restart(s->config, config, problem) ? ERR_CONFIG : change_all(s, config, problem);
	if (err)
		refuse(s, err, problem);
	else
		take_over(s, config);
	return err;
}
