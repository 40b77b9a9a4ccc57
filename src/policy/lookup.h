/* What a question in flight begins with, whoever answers it: so policy_cancel need not know.
 * A slot is the asker's; whoever answers sets it to NULL before the callback, whoever cancels before `cancel`. */
#ifndef POSTRIDER_POLICY_LOOKUP_H
#define POSTRIDER_POLICY_LOOKUP_H

struct policy_lookup {
	struct policy_lookup **slot;
	void (*cancel)(struct policy_lookup *lookup); /* frees it; no callback */
};

#endif
