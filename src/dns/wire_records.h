/* wire_records.h - what stands in the records of an answer; for wire.c. */
#ifndef POSTRIDER_SRC_DNS_WIRE_RECORDS_H
#define POSTRIDER_SRC_DNS_WIRE_RECORDS_H

#include <ldns/ldns.h>

#include "wire.h"

static inline struct text wire_rdf_octets(const ldns_rdf *rdf)
{
	return text_of((const char *)ldns_rdf_data(rdf), ldns_rdf_size(rdf));
}

bool wire_is_record_at(const ldns_rr *rr, const struct name *owner);
void wire_lower_ttl(struct wire_reply *r, const ldns_rr *rr);

/* The records of the type at r->end, into r; there is one at least. */
MUST_USE enum err wire_take_records(const ldns_rr_list *answers, ldns_rr_type type, struct wire_reply *r);

/* Why a server refused, in its own words (RFC 8914): r->why. */
MUST_USE enum err wire_take_reason(const ldns_pkt *packet, struct wire_reply *r);

#endif
