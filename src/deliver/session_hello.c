/* From the greeting to a session that is up, or logs in: EHLO or HELO, what the host offers, STARTTLS. */
#include <postrider/smtp/ehlo.h>

#include "session.h"

/* ---------------------------------------------------------------- up, or not */

/* TLS could not be had as it is demanded. Where a sender demands it (REQUIRETLS) the host is no way for that mail; others'
 * may go. is_final: the host does not have it, rather than that it failed. */
void session_fail_tls(struct session *s, enum session_fault fault, const char *enhanced, bool is_final)
{
	struct deliver_result r = { .kind = DELIVER_TRANSIENT,
		                    .reason = REASON_TLS,
		                    .enhanced = text_from(enhanced) };

	if (s->o.needs.keywords & EHLO_REQUIRETLS) {
		buf_add_string(&s->line, " (the sender demands TLS all the way: REQUIRETLS)");
		r.lacking = true;
		r.reason = REASON_TLS_POLICY;
		r.enhanced = is_final ? TEXT("5.7.30") : TEXT("4.7.30");
		r.kind = is_final ? DELIVER_PERMANENT : DELIVER_TRANSIENT;
	}
	session_fail(s, fault, &r, fault == SESSION_NO_TLS);
}

static bool lacks(const struct session *s, const struct deliver_needs *needs, struct needs_lack *out,
                  struct buf *words)
{
	struct needs_offer offer = { .keywords = s->keywords,
		                     .size_limit_bytes = s->size_limit_bytes,
		                     .by_min_s = s->by_min_s,
		                     .is_proved = s->secure && s->o.verifies,
		                     .now_time = s->o.out->now_time(s->o.owner) };

	return needs_lack(needs, &offer, out, words);
}

bool session_lacks(struct session *s, const struct deliver_needs *needs, struct needs_lack *out)
{
	return lacks(s, needs, out, &s->line);
}

bool session_meets(const struct session *s, const struct deliver_needs *needs)
{
	struct needs_lack lack;

	return !lacks(s, needs, &lack, NULL);
}

void session_come_up(struct session *s)
{
	struct needs_lack lack;

	if (session_lacks(s, &s->o.needs, &lack)) {
		struct deliver_result r = { .kind = DELIVER_PERMANENT,
			                    .reason = lack.reason,
			                    .enhanced = text_from(lack.enhanced),
			                    .lacking = true };

		session_fail(s, SESSION_LACKS, &r, true);
		return;
	}
	session_enter_phase(s, SESSION_UP);
	s->o.out->up(s->o.owner);
}

/* The connection is as it has to be: a login comes next, where there is one, or mail. Nobody logs in at a host that cannot take
 * the mail anyway. */
static void go_up(struct session *s)
{
	if (s->o.login && s->o.login->login && session_meets(s, &s->o.needs))
		session_login_begin(s);
	else
		session_come_up(s);
}

/* ---------------------------------------------------------------- replies */

void session_say_hello(struct session *s, enum session_phase phase)
{
	struct text verb = s->o.lmtp ? TEXT("LHLO") : phase == SESSION_EHLO ? TEXT("EHLO") : TEXT("HELO");

	session_command(s, verb, s->o.helo);
	session_enter_phase(s, phase);
}

static void on_greeting(struct session *s, const struct reply *reply)
{
	if (reply_is_positive(reply))
		session_say_hello(s, s->o.no_ehlo && !s->o.lmtp ? SESSION_HELO : SESSION_EHLO);
	else if (reply_is_intermediate(reply))
		session_fail_out_of_step(s);
	else
		session_fail_by_reply(s, reply);
}

static void lack_tls(struct session *s, const char *words)
{
	session_say(s, words);
	session_fail_tls(s, SESSION_NO_TLS, "4.7.4", true);
}

/* The hello is done: TLS comes next, or mail. */
static void after_hello(struct session *s)
{
	bool demanded = tls_is_demanded(s->o.tls);
	bool wanted = demanded || (s->o.tls == CONFIG_TLS_OPPORTUNISTIC && !s->o.no_tls);

	if (s->secure || !wanted) {
		go_up(s);
	} else if (s->keywords & EHLO_STARTTLS) {
		session_command(s, TEXT("STARTTLS"), TEXT_EMPTY);
		session_enter_phase(s, SESSION_STARTTLS);
	} else if (demanded) {
		lack_tls(s, "TLS is demanded and the host does not offer STARTTLS");
	} else {
		go_up(s);
	}
}

static size_t read_limit(const struct ehlo *offered, struct text name)
{
	uint64_t limit;

	return ehlo_limit(offered, name, &limit) ? SIZE_MAX : (size_t)limit;
}

static struct deliver_limits read_limits(const struct ehlo *offered)
{
	return (struct deliver_limits){ .messages = read_limit(offered, TEXT("MAILMAX")),
		                        .recipients = read_limit(offered, TEXT("RCPTMAX")),
		                        .domains = read_limit(offered, TEXT("RCPTDOMAINMAX")) };
}

static void on_ehlo_reply(struct session *s, const struct reply *reply)
{
	struct ehlo offered;

	if (reply_is_permanent(reply) && !s->o.lmtp) {
		session_say_hello(s, SESSION_HELO);
		return;
	}
	if (!reply_is_positive(reply)) {
		reply_is_intermediate(reply) ? session_fail_out_of_step(s) : session_fail_by_reply(s, reply);
		return;
	}
	ehlo_parse(reply, &offered);
	s->keywords = offered.keywords;
	s->size_limit_bytes = offered.size_limit_bytes;
	session_login_offered(s, offered.auth);
	if (text_to_u64(text_head(offered.deliver_by, text_find_octet(offered.deliver_by, ' ')), 999999999,
	                &s->by_min_s))
		s->by_min_s = 0;
	s->limits = read_limits(&offered);
	after_hello(s);
}

static void on_helo_reply(struct session *s, const struct reply *reply)
{
	if (reply_is_positive(reply))
		after_hello(s);
	else if (reply_is_intermediate(reply))
		session_fail_out_of_step(s);
	else
		session_fail_by_reply(s, reply);
}

/* rest: what came behind the reply. Between it and the handshake there is nothing to say: whoever put
 * something there wants it read as if it had come through TLS (RFC 3207 section 6). */
static void on_starttls_reply(struct session *s, const struct reply *reply, struct text rest)
{
	if (reply_is_positive(reply)) {
		if (rest.len) {
			session_say(
				s,
				"the host sent more behind its reply to STARTTLS: somebody may be in between");
			session_fail_by_us(s, SESSION_CUT, REASON_TLS, "4.7.5");
			return;
		}
		session_enter_phase(s, SESSION_HANDSHAKE);
		reply_reader_reset(&s->replies);
		s->o.out->start_tls(s->o.owner);
	} else if (reply_is_intermediate(reply)) {
		session_fail_out_of_step(s);
	} else if (reply->code == 421) {
		session_fail_by_reply(s, reply);
	} else if (!tls_is_demanded(s->o.tls)) {
		go_up(s);
	} else {
		session_say(s, "TLS is demanded and the host refused STARTTLS: ");
		reply_add_line(&s->line, reply);
		buf_cut(&s->line, MIN(s->line.len, SESSION_LINE_KEPT_BYTES));
		session_fail_tls(s, SESSION_NO_TLS, "4.7.4", reply_is_permanent(reply));
	}
}

/* rest: what came behind the reply. */
void session_hello_reply(struct session *s, const struct reply *reply, struct text rest)
{
	switch (s->phase) {
	case SESSION_GREETING:
		on_greeting(s, reply);
		break;
	case SESSION_EHLO:
		on_ehlo_reply(s, reply);
		break;
	case SESSION_HELO:
		on_helo_reply(s, reply);
		break;
	default:
		on_starttls_reply(s, reply, rest);
		break;
	}
}
