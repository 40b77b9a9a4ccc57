/* support/certificates.h - keys and certificates made at run time. */
#ifndef TEST_SUPPORT_CERTIFICATES_H
#define TEST_SUPPORT_CERTIFICATES_H

#include <postrider/base/buf.h>

#define CERTIFICATE_PEM_MAX 4096

/* Strings in PEM. */
struct certificate {
	char certificate[CERTIFICATE_PEM_MAX];
	char key[CERTIFICATE_PEM_MAX];
	char issuer[128];                         /* a distinguished name, for what this one issues */
};

struct certificate_options {
	const char *name;                         /* host name; of a CA any words. Also the common name */
	const char *second_name;                  /* another host name, or NULL */
	const char *mailbox;                      /* the first of the names, without second_name and address; or NULL */
	const unsigned char *address;             /* 4 octets of IPv4, or NULL */
	const struct certificate *ca;             /* who signs; NULL: itself, and it may sign others */
	bool is_issuer;                           /* with ca: it may sign others all the same */
	bool only_common_name;                    /* no alternative names, as certificates once were */
	bool expired, rsa;                        /* rsa: 2048 bits, which takes a while; else ECDSA on P-256 */
};

/* Fails the test when something goes wrong. */
void certificate_make(struct certificate *out, const struct certificate_options *o);

/* The data of a TLSA record for it (RFC 6698 section 2.1): selector 0 or 1, matching 0, 1 or 2. */
void certificate_add_tlsa(const struct certificate *c, unsigned selector, unsigned matching, struct buf *out);

/* What most tests need. */
struct certificates {
	struct certificate ca, server;            /* the server's is for mail.example.org and 127.0.0.1 */
};

void certificates_make(struct certificates *out);

static inline struct text certificate_pem(const struct certificate *c)
{
	return text_from(c->certificate);
}

static inline struct text certificate_key(const struct certificate *c)
{
	return text_from(c->key);
}

#endif
