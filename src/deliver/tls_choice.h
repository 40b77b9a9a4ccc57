/* deliver/tls_choice.h - the TLS contexts that a configuration asks for, made once for each: one that
 * takes any certificate, and for upstreams one for each file of CAs and each certificate of our own; and the pins. */
#ifndef DELIVER_TLS_CHOICE_H
#define DELIVER_TLS_CHOICE_H

#include <postrider/deliver.h>

struct tls_choice {
	bool verify;
	struct text ca_file;   /* of the configuration; empty: the system's CAs */
	struct text cert, key; /* likewise: ours; empty: none */
	struct tls_context *context;
};

struct tls_pins {
	const struct config_upstream *upstream;
	struct tls_expectation expect;
	unsigned char (*pins)[32];
};

struct tls_choices {
	struct tls_choice *items;
	size_t count;
	struct tls_pins *pins; /* of those upstreams that have some */
	size_t pins_count;
};

/* problem gets a sentence with ERR_CONFIG. The texts of config are borrowed. */
MUST_USE enum err tls_choices_make(const struct deliver_options *options, const struct config *config,
                                   struct buf *problem, struct tls_choices *out);
void tls_choices_fini(struct tls_choices *t);

/* Whether the peer must prove its name: only a configured upstream, and only where TLS is demanded. The MX
 * hosts of a domain have nothing to prove it with, as their names come from the DNS. */
bool tls_choice_verifies(const struct config_upstream *upstream, enum config_tls tls);
/* Borrowed; NULL: without TLS, or nobody can be verified. verifies: tls_choice_verifies, or a message that demands it. */
struct tls_context *tls_choose(const struct tls_choices *t, const struct config_upstream *upstream,
                               enum config_tls tls, bool verifies);
/* What an upstream's certificate has to be where that is not for the context to say: one of its pins. NULL: as the context
 * says. */
const struct tls_expectation *tls_choice_expects(const struct tls_choices *t,
                                                 const struct config_upstream *upstream, enum config_tls tls);

#endif
