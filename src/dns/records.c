/* TLSA, TXT and CNAME records: what is asked for by its name, and means nothing to the resolver. */
#include "lookup.h"

/* Problems and records come from the answer; what is absent is not found. */
static enum err err_of(const struct answer *a)
{
	if (a->kind == ANSWER_RECORDS)
		return ERR_OK;
	return a->kind == ANSWER_FAILED ? a->err : ERR_NOT_FOUND;
}

static void deliver_tlsa(struct dns_lookup *l)
{
	const struct answer *a = l->parts[0].answer;
	struct dns_tlsa_list list = { a->tlsa, a->count, a->secure, a->canonical };
	enum err err = err_of(a);

	l->on_done.tlsa(l->owner, err, err ? NULL : &list, a->problem);
}

static void deliver_texts(struct dns_lookup *l)
{
	const struct answer *a = l->parts[0].answer;
	struct dns_text_list list = { a->texts, a->count, a->secure };
	enum err err = err_of(a);

	l->on_done.texts(l->owner, err, err ? NULL : &list, a->problem);
}

/* An address has no records. */
static enum err ask(struct dns_lookup *l, uint16_t type)
{
	struct answer none = { .kind = ANSWER_NO_NAME,
		               .canonical = name_text(&l->name),
		               .problem = TEXT("an address has no such records") };
	enum err err = l->is_literal ? lookup_answer_here(l, &none) : lookup_ask(l, &type, 1);

	if (err)
		lookup_free(l);
	return err;
}

static enum err find_texts(struct dns *dns, struct text name, uint16_t type, struct dns_lookup **slot,
                           dns_text_fn *on_done, void *owner)
{
	struct dns_lookup *l = NULL;
	enum err err = lookup_new(dns, name, slot, deliver_texts, &l);

	if (err)
		return err;
	l->on_done.texts = on_done;
	l->owner = owner;
	return ask(l, type);
}

enum err dns_find_tlsa(struct dns *dns, struct text name, struct dns_lookup **slot, dns_tlsa_fn *on_done,
                       void *owner)
{
	struct dns_lookup *l = NULL;
	enum err err = lookup_new(dns, name, slot, deliver_tlsa, &l);

	if (err)
		return err;
	l->on_done.tlsa = on_done;
	l->owner = owner;
	return ask(l, WIRE_TLSA);
}

enum err dns_find_txt(struct dns *dns, struct text name, struct dns_lookup **slot, dns_text_fn *on_done,
                      void *owner)
{
	return find_texts(dns, name, WIRE_TXT, slot, on_done, owner);
}

enum err dns_find_alias(struct dns *dns, struct text name, struct dns_lookup **slot, dns_text_fn *on_done,
                        void *owner)
{
	return find_texts(dns, name, WIRE_CNAME, slot, on_done, owner);
}
