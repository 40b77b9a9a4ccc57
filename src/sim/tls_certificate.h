/* tls_certificate.h - what stands for a certificate in the simulated world, and how it is judged. */
#ifndef POSTRIDER_SIM_TLS_CERTIFICATE_H
#define POSTRIDER_SIM_TLS_CERTIFICATE_H

#include <postrider/sim.h>

void sim_certificate_add(struct buf *b, const struct sim_tls_certificate *c);
struct sim_tls_certificate sim_certificate_read(struct text sent); /* points into it */
bool sim_certificate_is_for(const struct sim_tls_certificate *c, struct text name);
enum tls_fault sim_certificate_judge(const struct sim_tls_certificate *c, const struct tls_expectation *e,
                                     bool leads_to_ca);

#endif
