/* policy/sts_parse.h - the two texts of MTA-STS (RFC 8461 section 3), as they come from strangers. */
#ifndef POLICY_STS_PARSE_H
#define POLICY_STS_PARSE_H

#include <postrider/base/arena.h>
#include <postrider/policy.h>

#define STS_ID_MAX 32
#define STS_FILE_MAX (64u << 10)
#define STS_MX_MAX 500
#define STS_MAX_AGE_S INT64_C(31557600) /* section 3.2 */

/* The TXT records of _mta-sts.DOMAIN. *id points into the one that counts. ERR_NOT_FOUND: none is of MTA-STS. ERR_SYNTAX:
 * several are, or the one is broken: the domain has no policy (section 3.1). why (may be NULL) is set to a phrase. */
MUST_USE enum err sts_txt_parse(const struct text *records, size_t count, struct text *id, const char **why);

struct sts_file {
	enum policy_mode mode;
	int64_t max_age_ms;
	const struct text *mx; /* patterns: host names, "*." in front or not; in lower case; of the arena */
	size_t mx_count;
};

/* The policy file. ERR_SYNTAX: it is none; why is set to a phrase. ERR_TOO_BIG, ERR_NOMEM: of the arena. */
MUST_USE enum err sts_file_parse(struct text file, struct arena *arena, struct sts_file *out,
                                 const char **why);

/* Whether a response's Content-Type is text/plain, with parameters or without. */
bool sts_is_plain_text(struct text content_type);

/* "*.example.com" fits a.example.com, and neither example.com nor a.b.example.com. */
bool sts_mx_fits(struct text pattern, struct text host);

/* A host name of letters, digits, hyphens and underscores, of two labels or more, and no address: who may be asked for a
 * policy, and what may stand behind `mx`. */
bool sts_is_name(struct text name);

/* `key=value` fields behind a version, as TXT records of mail policies have them (RFC 8461 section 3.1, RFC 8460 section 3):
 * *rest is what follows "v=...". False at the end; ERR_SYNTAX in *err. */
bool sts_next_field(struct text *rest, struct text *key, struct text *value, enum err *err);
/* Whether the record begins with the version, and ends there or goes on with a semicolon. *rest: what follows. */
bool sts_has_version(struct text record, struct text version, struct text *rest);

#endif
