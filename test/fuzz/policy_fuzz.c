/* What a policy service may say, and what a question makes of octets from clients. The first octet says how many octets of
 * the answer arrive at a time. */
#include <assert.h>

#include <postrider/base/auto.h>

#include "filter/policy_protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_plain(struct text t, bool tabs)
{
	for (size_t i = 0; i < t.len; i++)
		assert((t.at[i] >= ' ' && t.at[i] <= '~') || (tabs && t.at[i] == '\t'));
}

/* One line, one field. */
static void check_field(struct text field)
{
	size_t colon = text_find_octet(field, ':');

	assert(colon > 0 && colon < field.len && field.len <= POLICY_FIELD_MAX);
	check_plain(field, true);
	assert(text_find_octet(text_head(field, colon), ' ') == colon);
	assert(text_find_octet(text_head(field, colon), '\t') == colon);
}

static void check_refusal(const struct reply *r)
{
	struct text enhanced = text_from(r->enhanced);

	assert(r->code >= 400 && r->code <= 599);
	assert(reply_is_enhanced(enhanced) && enhanced.at[0] - '0' == r->code / 100);
	assert(r->text.len > 0 && r->text.len <= POLICY_REPLY_TEXT_MAX);
	check_plain(r->text, false);
}

static void understand(struct text action)
{
	struct buf words = BUF(4096);
	struct policy_answer a;
	enum err err = policy_answer_read(action, &words, &a);

	assert(err == ERR_OK || err == ERR_UNSUPPORTED || err == ERR_SYNTAX);
	assert((a.problem.len > 0) == (err != ERR_OK));
	check_plain(a.problem, false);
	if (!err) {
		assert((a.verdict == POLICY_REFUSE) == (a.reply.code != 0));
		assert((a.verdict == POLICY_PREPEND) == (a.field.len > 0));
		check_plain(a.note, false);
		if (a.verdict == POLICY_REFUSE)
			check_refusal(&a.reply);
		if (a.verdict == POLICY_PREPEND)
			check_field(a.field);
	}
	buf_fini(&words);
}

static enum err find_in_steps(struct text t, size_t step, struct text *action, size_t *taken)
{
	enum err err = ERR_MORE;

	for (size_t end = 0; end < t.len && err == ERR_MORE;) {
		end = MIN(end + step, t.len);
		err = policy_answer_find(text_head(t, end), action, taken);
	}
	return err;
}

static void check_answer(struct text t, size_t step)
{
	struct text whole = TEXT_EMPTY, pieces = TEXT_EMPTY;
	size_t whole_taken = 0, pieces_taken = 0;
	enum err err = find_in_steps(t, t.len ? t.len : 1, &whole, &whole_taken);

	assert(find_in_steps(t, step, &pieces, &pieces_taken) == err);
	assert(text_eq(whole, pieces) && whole_taken == pieces_taken);
	if (err)
		return;
	assert(whole_taken <= t.len && whole_taken <= POLICY_ANSWER_MAX && t.at[whole_taken - 1] == '\n');
	understand(whole);
}

static size_t lines_of(struct text t)
{
	size_t count = 0;

	for (size_t i = 0; i < t.len; i++) {
		count += t.at[i] == '\n';
		assert(t.at[i] != '\r' && t.at[i] != '\0');
	}
	return count;
}

/* Whatever is in the values, the attributes stay those that we meant. */
static void check_question(struct text t)
{
	struct buf b = BUF(POLICY_QUESTION_MAX), empty = BUF(POLICY_QUESTION_MAX);
	const struct policy_question q = { .stage = POLICY_AT_RCPT,
		                           .protocol_name = TEXT("ESMTP"),
		                           .helo_name = t,
		                           .sender = t,
		                           .recipient = t,
		                           .client_name = t,
		                           .instance = t,
		                           .sasl_method = t,
		                           .sasl_username = t,
		                           .sasl_sender = t,
		                           .ccert_subject = t,
		                           .ccert_issuer = t,
		                           .ccert_fingerprint = t,
		                           .encryption_protocol = t,
		                           .encryption_cipher = t };

	policy_question_write(&b, &q);
	policy_question_write(&empty, &(struct policy_question){ .stage = POLICY_AT_RCPT });
	assert(!buf_err(&b));
	assert(lines_of(buf_text(&b)) == lines_of(buf_text(&empty)));
	assert(text_find(buf_text(&b), TEXT("\n\n")) == b.len - 2);
	buf_fini(&b);
	buf_fini(&empty);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	struct text t = text_of((const char *)data + 1, size - 1);

	check_answer(t, data[0] ? data[0] : 1);
	understand(t);
	check_question(t);
	return 0;
}
