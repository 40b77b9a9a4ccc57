/* postrider/config.h - the configuration: from texts to a checked snapshot that never changes.
 * The structs mirror the YAML, key by key; src/config/schema.c is the one table behind both. Whoever holds a
 * snapshot across a turn of the loop holds a reference; all texts and pointers in it live as long as it does.
 * Durations are milliseconds, sizes octets. An empty text is "not set". */
#ifndef POSTRIDER_CONFIG_H
#define POSTRIDER_CONFIG_H

#include <postrider/base/ip.h>
#include <postrider/base/time.h>
#include <postrider/config/pattern.h>
#include <postrider/config/report.h>

/* The value of `never`: later than any time, and may be added to any time without overflow. */
#define CONFIG_NEVER (INT64_MAX / 2)

enum config_tls {
	CONFIG_TLS_NONE,
	CONFIG_TLS_OPPORTUNISTIC,
	CONFIG_TLS_REQUIRE,
	CONFIG_TLS_IMPLICIT, /* from the first octet (RFC 8314) */
};

enum config_auth { CONFIG_AUTH_NONE, CONFIG_AUTH_OPTIONAL, CONFIG_AUTH_REQUIRED };
enum config_bare_lf { CONFIG_BARE_LF_REJECT, CONFIG_BARE_LF_REPAIR };
enum config_on_error { CONFIG_ON_ERROR_TEMPFAIL, CONFIG_ON_ERROR_ACCEPT };
enum config_sandbox { CONFIG_SANDBOX_AUTO, CONFIG_SANDBOX_REQUIRE, CONFIG_SANDBOX_OFF };
enum config_hand_over { CONFIG_STORE, CONFIG_THROUGH, CONFIG_THROUGH_OR_STORE };
enum config_protocol { CONFIG_SMTP, CONFIG_LMTP };
enum config_balance { CONFIG_BALANCE_ORDER, CONFIG_BALANCE_WEIGHTED };
enum config_ip_choice { CONFIG_IP_ANY, CONFIG_IP_V4, CONFIG_IP_V6, CONFIG_IP_PREFER_V4, CONFIG_IP_PREFER_V6 };
enum config_via {
	CONFIG_VIA_UPSTREAM,
	CONFIG_VIA_DIRECT,
	CONFIG_VIA_DISCARD,
	CONFIG_VIA_HOLD,
	CONFIG_VIA_REJECT
};
/* How we log in: AUTO is the best that the server and our credentials have in common. */
enum config_mechanism {
	CONFIG_MECHANISM_AUTO,
	CONFIG_MECHANISM_NONE,
	CONFIG_MECHANISM_SCRAM_SHA_256,
	CONFIG_MECHANISM_PLAIN,
	CONFIG_MECHANISM_LOGIN,
	CONFIG_MECHANISM_CRAM_MD5,
	CONFIG_MECHANISM_EXTERNAL,
	CONFIG_MECHANISM_XOAUTH2,
	CONFIG_MECHANISM_OAUTHBEARER
};
enum config_trust_ad { CONFIG_TRUST_AUTO, CONFIG_TRUST_YES, CONFIG_TRUST_NO };
/* Of mail inside a destination: URGENT goes before all else, BULK behind it. */
/* Stored in the queue: a number never gets another meaning. */
enum config_class { CONFIG_CLASS_NORMAL, CONFIG_CLASS_URGENT, CONFIG_CLASS_BULK };
/* When the mark of an attempt is on disk: LAZY joins the next commit, STRICT before the final dot leaves. */
enum config_ledger { CONFIG_LEDGER_LAZY, CONFIG_LEDGER_STRICT };
/* What follows when the final dot went out and no answer came. */
enum config_unknown { CONFIG_UNKNOWN_RETRY, CONFIG_UNKNOWN_SAME_HOST, CONFIG_UNKNOWN_HOLD };
enum config_rule_action {
	CONFIG_RULE_SLOW,         /* fewer connections and a lower rate for a while */
	CONFIG_RULE_SUSPEND,      /* the destination is left alone for a while */
	CONFIG_RULE_OTHER_HOST,   /* the same attempt goes on with the next host */
	CONFIG_RULE_OTHER_SOURCE, /* the next attempt comes from another of our addresses */
	CONFIG_RULE_OTHER_ROUTE,  /* the recipient goes on via another upstream */
	CONFIG_RULE_RETRY,        /* a transient failure, whatever the code says */
	CONFIG_RULE_BOUNCE        /* a permanent one */
};
enum config_include { CONFIG_INCLUDE_HEADERS, CONFIG_INCLUDE_FULL, CONFIG_INCLUDE_NONE };
enum config_log_format { CONFIG_LOG_JSON, CONFIG_LOG_TEXT, CONFIG_LOG_POSTFIX }; /* JSON only, so far */
enum config_log_level { CONFIG_LOG_ERROR, CONFIG_LOG_WARN, CONFIG_LOG_INFO, CONFIG_LOG_DEBUG };

struct config_texts {
	const struct text *items;
	size_t count;
};

struct config_ips {
	const struct ip *items;
	size_t count;
};

struct config_networks {
	const struct ip_network *items;
	size_t count;
};

struct config_durations {
	const int64_t *items; /* milliseconds */
	size_t count;
};

/* 600/min: at most so many in any window of that length. */
struct config_rate {
	uint64_t count; /* 0: no limit */
	int64_t window_ms;
};

struct config_rates {
	const struct config_rate *items; /* all of them hold */
	size_t count;
};

/* host:port, [::1]:port, unix:/path or fd:3, taken apart. */
struct config_endpoint {
	struct text text; /* as written; empty: not set */
	struct text
		host; /* a name or an address without brackets; the path with is_unix; "3" or a name with is_fd */
	uint16_t port;   /* 0 in a listener: any free one */
	unsigned weight; /* of an upstream's host: with `balance: weighted` its share; 1 or more there */
	bool is_unix;
	bool is_fd;   /* an inherited descriptor: its number, or its name in LISTEN_FDNAMES */
	struct ip ip; /* IP_NONE: host is a name or a path */
};

struct config_endpoints {
	const struct config_endpoint *items;
	size_t count;
};

/* Outbound waits, RFC 5321 section 4.5.3.2. */
struct config_timeouts {
	int64_t connect_ms;
	int64_t greeting_ms; /* also EHLO, STARTTLS, RSET, QUIT */
	int64_t mail_ms;
	int64_t rcpt_ms;
	int64_t data_ms;  /* for the 354 */
	int64_t block_ms; /* for the peer to take a block of mail data */
	int64_t dot_ms;   /* for the reply to the final dot */
};

struct config_spool {
	struct text path;
	uint64_t max_size_bytes;
	uint64_t reserve_hundredths; /* share of max_size in 1/100 of a percent */
	uint64_t reserve_bytes;      /* the same in octets, computed */
	uint64_t max_messages;       /* that wait at a time; 0: no limit */
	bool durable;
};

struct config_host {      /* a static answer */
	struct text name; /* lower-cased, without a final dot */
	struct config_ips addresses;
};

struct config_hosts {
	const struct config_host *items;
	size_t count;
};

struct config_dns {
	struct config_endpoints servers; /* addresses, port 53 filled in; none: resolv.conf */
	int64_t timeout_ms;
	enum config_trust_ad trust_ad; /* whose AD bit counts; AUTO: a loopback resolver's */
	struct config_hosts hosts;
};

/* A certificate for some of the names that clients ask for (SNI). */
struct config_certificate {
	struct config_place place;
	struct text cert;
	struct text key;
	struct config_texts names; /* host names, `*.example.com` too; none: those in the certificate */
};

struct config_certificates {
	const struct config_certificate *items;
	size_t count;
};

/* A client certificate as identity, by its SHA-256. */
struct config_fingerprint {
	unsigned char sha256[32];
	struct text user;
};

struct config_fingerprints {
	const struct config_fingerprint *items; /* sorted by sha256 */
	size_t count;
};

struct config_listener {
	struct config_place place;
	struct text name;               /* unique; the address as written when not given */
	struct config_endpoint address; /* an IP address, unix: or fd: */
	struct config_networks allow;
	enum config_auth auth;
	struct config_texts auth_mechanisms; /* upper-cased; none: all that some user can use */
	bool auth_plaintext;                 /* mechanisms that show a password also without TLS */
	struct config_patterns accept_for;
	enum config_tls tls; /* opportunistic without a certificate: STARTTLS is not offered */
	struct text cert;    /* PEM files; both or none */
	struct text key;
	struct config_certificates certificates; /* besides cert and key */
	struct text client_ca;                   /* PEM file; a client certificate it signed is an identity */
	struct config_fingerprints client_fingerprints;
	struct config_networks proxy_protocol; /* who has to send a PROXY header */
	struct config_networks xclient;        /* who may use XCLIENT and XFORWARD */
	struct config_texts hide;              /* EHLO keywords that are not to be had here; upper-cased */
	enum config_hand_over hand_over;
	bool has_hand_over_timeout;
	int64_t hand_over_timeout_ms; /* how long the client waits for the next hop's answer */
	enum config_bare_lf bare_lf;
	uint64_t max_sessions;
	uint64_t max_errors;
	struct {
		uint64_t sessions;
		struct config_rate connections;
		struct config_rate messages;
		struct config_rate recipients;
		struct config_rate auth_failures;
	} per_client;
	int64_t timeout_ms;
};

struct config_listeners {
	const struct config_listener *items; /* at least one */
	size_t count;
};

/* An outside service that is asked about each recipient (the Postfix policy delegation protocol). */
struct config_policy_service {
	struct config_endpoint address; /* host:port or unix:; empty text: none is asked */
	int64_t timeout_ms;
	enum config_on_error on_error;
};

/* Counted in recipients. */
struct config_quotas {
	struct config_rates per_user;
	struct config_rates per_sender;  /* reverse-path */
	struct config_rates per_network; /* /24 of IPv4, /64 of IPv6 */
};

struct config_access {
	struct text users_file;
	struct config_endpoint dovecot; /* its auth-client socket; empty text: none */
	struct text token_check;        /* URL as config_local_url_parse takes it; empty: none */
	struct config_networks deny;    /* never spoken to */
	struct config_patterns senders; /* the null reverse-path is always allowed */
	struct config_patterns recipients;
	uint64_t max_message_size_bytes;
	uint64_t max_recipients;
	uint64_t max_hops;
	uint64_t max_priority;     /* of MT-PRIORITY, for those who may relay; higher ones are lowered */
	int64_t max_hold_ms;       /* of FUTURERELEASE; 0: not offered */
	uint64_t max_memory_bytes; /* of the process; 0: four fifths of what it may use */
	struct config_quotas quotas;
	struct config_policy_service policy_service;
};

/* Tokens for XOAUTH2 and OAUTHBEARER. One source: a file or a command that has the token ready; or a token_url, asked with a
 * refresh token (or, without one, with the client's own credentials). Files are read when a token is wanted. */
struct config_oauth2 {
	struct text token_url; /* https:, or http: to a loopback address; empty: not asked */
	struct text client_id, client_secret, client_secret_file;
	struct text refresh_token, refresh_token_file;
	struct text scope;
	struct text token_file;
	struct text token_command; /* run by /bin/sh -c */
	struct text ca_file;       /* of the token_url's server; empty: the system's */
};

/* Who we are to an upstream. */
struct config_login {
	enum config_mechanism mechanism;
	struct text username;
	struct text password, password_file; /* as written, at most one of them */
	struct text secret;                  /* the password of either */
	struct text shown_name;              /* the username as it may be told; empty: there is none, or it is a secret too */
	struct config_oauth2 oauth2;
};

/* What a destination is given, and no more. Rates hold over all connections. */
struct config_pace {
	uint64_t connections;
	uint64_t connections_per_address; /* whoever has them; 0: no limit */
	uint64_t messages_per_connection;
	uint64_t recipients_per_connection; /* 0: no limit */
	uint64_t recipients_per_message;    /* in one mail transaction */
	struct config_rates rate;           /* messages */
	struct config_rates recipient_rate;
	struct config_rates byte_rate; /* octets of messages */
	bool adapt;                    /* the window of connections follows the peer's answers */
	uint64_t rest_hundredths; /* share of the whole that is kept for what is not urgent, 1/100 percent */
};

struct config_retry {
	struct config_durations schedule; /* at least one; the last repeats */
	int64_t warn_after_ms;            /* or CONFIG_NEVER */
	int64_t give_up_after_ms;
	int64_t bounce_give_up_after_ms; /* for a null reverse-path */
};

struct config_upstream {
	struct config_place place;
	struct text name;
	struct text provider; /* a preset's name; empty: none */
	struct text region;
	struct config_endpoints hosts; /* at least one, in order */
	enum config_balance balance;
	bool mx; /* the hosts are domains whose MX hosts are meant */
	enum config_protocol protocol;
	enum config_tls tls;
	bool verify;
	bool dane;               /* hosts with TLSA records are checked by them */
	struct text server_name; /* looked for in the certificate; empty: the host's */
	struct text ca_file;     /* empty: the system's */
	struct config_texts
		pins; /* SHA-256 of a certificate or of its public key, 64 digits in lower case: one must fit */
	struct text cert, key; /* PEM files: our certificate; both or none */
	struct config_login login;
	bool auth_plaintext;      /* it is shown also to a host that has not proved its name */
	struct config_ips source; /* empty: the system chooses */
	struct text helo;         /* never empty: config.hostname when not given */
	enum config_ip_choice ip;
	struct config_pace pace;
	bool has_retry;
	struct config_retry retry; /* config.retry when not given */
	struct config_timeouts timeouts;
};

struct config_upstreams {
	const struct config_upstream *items;
	size_t count;
};

struct config_route_index; /* opaque: src/config/pattern.h */

/* How mail leaves: what two messages must have in common to share a connection. Ways that are equal are one, so pointers
 * of the same snapshot compare. */
struct config_way {
	const struct config_upstream *upstream; /* NULL: direct */
	enum config_tls tls;
	const struct config_login *login; /* NULL: none */
	struct config_ips source;         /* empty: the system chooses */
	struct text helo;                 /* never empty */
	enum config_ip_choice ip;
};

struct config_ways {
	const struct config_way *items;
	size_t count;
};

/* A condition on a header field: some field of this name has this value. */
struct config_header_match {
	struct text name;  /* as written; compared without case */
	struct text value; /* compared without case, unfolded and trimmed; `*` stands for any octets */
};

struct config_header_matches {
	const struct config_header_match *items; /* all of them must hold */
	size_t count;
};

struct config_route {
	struct config_place place;
	struct config_patterns to; /* `any` when not given, as the next */
	struct config_patterns from;
	struct config_texts listener; /* names; empty: every one */
	struct config_texts user;     /* who logged in; `any`: somebody; empty: whoever */
	struct config_header_matches header;
	uint64_t min_size_bytes, max_size_bytes; /* of the content; 0: no bound */
	enum config_via via;
	struct text via_name;                       /* as written: the upstream's name, "direct", ... */
	const struct config_upstream *upstream;     /* with CONFIG_VIA_UPSTREAM */
	const struct config_way *way;               /* with CONFIG_VIA_UPSTREAM and _DIRECT, else NULL */
	const struct config_retry *effective_retry; /* of the route, the upstream or all; never NULL */
	/* as written, in `way` as they count */
	bool has_tls;
	enum config_tls tls;
	struct config_login login; /* username and password of its own; the rest is the upstream's */
	struct config_ips source;
	struct text helo;
	bool has_ip;
	enum config_ip_choice ip;
	enum config_class class;
	enum config_ledger ledger;
	enum config_unknown unknown;
	bool has_retry;
	struct config_retry retry;
};

struct config_routes {
	const struct config_route *items; /* at least one; the last need not match everything */
	size_t count;
	const struct config_route_index *index; /* over all `to`; NULL for a short list */
	struct config_texts fields;             /* names of header fields that some route asks for, each once */
};

/* The number (from 0) of the first route whose `to` matches, whatever its other conditions; count: none. */
size_t config_routes_first(const struct config_routes *routes, const struct config_mailbox *forward_path);

struct config_direct {
	uint16_t port;
	enum config_tls tls;
	bool dane, mta_sts;
	struct config_networks allow_private;
	struct config_ips source; /* empty: the system chooses */
	struct text helo;         /* never empty: config.hostname when not given */
	enum config_ip_choice ip;
	struct config_timeouts timeouts;
};

struct config_limit {
	struct config_place place;
	struct config_pattern domain; /* DOMAIN, SUBDOMAINS or ANY */
	struct config_patterns
		match_mx; /* all domains with such an MX host share this limit; DOMAIN and SUBDOMAINS */
	struct config_pace pace;
};

struct config_limits {
	const struct config_limit *items; /* without `any`; what one does not say it has from `any` */
	size_t count;
	struct config_limit any; /* for every other destination, upstreams too */
};

/* What to do on a peer's reply; the first that matches. */
struct config_rule {
	struct config_place place;
	struct text
		reply; /* "421", "4*", "550 5.7.*": code and, behind a space, enhanced code; `*` for any rest */
	struct text text;             /* part of the reply, without case; empty: any */
	struct config_patterns to;    /* domains of recipients; `any` when not given */
	struct config_texts upstream; /* names; empty: wherever */
	enum config_rule_action action;
	int64_t for_ms;
	struct text via_name; /* with OTHER_ROUTE: the upstream's name */
	const struct config_upstream *upstream_to;
	const struct config_way *way; /* to it: as the upstream says */
};

struct config_rules {
	const struct config_rule *items;
	size_t count;
};

/* Reports on TLS to the domains that ask for them (RFC 8460). */
struct config_tls_reports {
	bool send;
	struct text from; /* always with a domain */
	struct text organization;
};

struct config_bounce {
	struct text from;            /* always with a domain */
	struct config_texts copy_to; /* mailboxes that get a copy of each report */
	enum config_include include;
	uint64_t max_size_bytes;
};

struct config_rewrite_rule {
	struct config_place place;
	struct config_pattern match; /* `postmaster` is an ADDRESS with an empty domain */
	struct text address;         /* the new mailbox; or empty, and */
	struct text domain;          /* the new domain: the local part stays */
};

struct config_rewrites {
	const struct config_rewrite_rule *items; /* as written; the most specific rule wins */
	size_t count;
	const struct config_pattern_index *index; /* over the rules' patterns; NULL for a short list */
};

/* The rule for a mailbox, the most specific one: its address, its domain, the longest parent domain, `any`.
 * NULL: none. */
const struct config_rewrite_rule *config_rewrites_find(const struct config_rewrites *rewrites,
                                                       struct text mailbox);

struct config_rewrite {
	struct config_rewrites recipients;
};

struct config_log {
	enum config_log_format format;
	enum config_log_level level;
	struct config_texts headers;
};

struct config_admin {
	struct text
		socket; /* empty: /run/postrider/admin.sock, or admin.sock in the spool where that is not ours */
};

/* A directory from which messages are taken. */
struct config_pickup {
	struct text path; /* empty: none */
	int64_t interval_ms;
};

/* Where `sendmail` leaves messages that it cannot hand to the daemon. */
struct config_drop {
	struct text path; /* never empty: drop in the spool directory when not given */
};

struct config_stop {
	int64_t drain_ms;
	int64_t linger_ms;
};

struct config {
	struct text hostname; /* lower-cased; never empty */
	struct config_spool spool;
	struct config_dns dns;
	struct config_listeners listen;
	struct config_access access;
	struct config_upstreams upstreams;
	struct config_routes routes;
	struct config_ways ways; /* of all routes */
	struct config_direct direct;
	struct config_limits limits;
	struct config_retry retry;
	struct config_rules rules;
	struct config_tls_reports tls_reports;
	struct config_bounce bounce;
	struct config_rewrite rewrite;
	struct config_log log;
	struct config_admin admin;
	struct config_stop stop;
	struct config_pickup pickup;
	struct config_drop drop;
	struct text user; /* to become after binding; empty: stay */
	enum config_sandbox sandbox;
};

/* From any thread. unref sets the pointer to NULL; the last one frees. */
const struct config *config_ref(const struct config *config);
void config_unref(const struct config **config);

/* ---------------------------------------------------------------- loading */

/* A file that glob-like matching found. */
typedef void config_found_fn(void *found_by, struct text path);

/* Everything that a configuration is read from. Borrowed for the time of config_load. */
struct config_sources {
	struct text file;      /* its path; empty: none */
	bool file_is_optional; /* the default path: fine if it is not there (ERR_NOT_FOUND) */
	struct text text;      /* with at != NULL: the content of `file`, which is then not read (--demo) */
	const char *const *environment; /* NAME=value, NULL at the end; may be NULL */
	const struct text *sets;        /* key=value of each --set */
	size_t set_count;
	struct text machine_name; /* the default of hostname; empty: localhost.localdomain */

	/* Adds the octets of a file to out (whose maximum is set: ERR_TOO_BIG). On failure detail and hint may be
	 * filled for people: who owns the file, who we are; the command that mends it. Needed for `file`, include
	 * and ${file:...}; may be NULL. */
	enum err (*read_file)(void *owner, struct text path, struct buf *out, struct buf *detail,
	                      struct buf *hint);
	/* Calls found for each file that matches a pattern with * or ? in its last part, in any order. */
	enum err (*find_files)(void *owner, struct text pattern, config_found_fn *found, void *found_by);
	void *owner;
};

#define CONFIG_DEFAULT_FILE "/etc/postrider/postrider.yaml"
#define CONFIG_FILE_MAX_BYTES (4u << 20)

/* Reads all, checks all. ERR_CONFIG: report has the errors, *out is untouched. ERR_NOMEM. With ERR_OK the report
 * may hold warnings. report must be initialised and is kept by the caller in every case. */
MUST_USE enum err config_load(const struct config_sources *sources, const struct config **out,
                              struct config_report *report);

/* ---------------------------------------------------------------- showing */

/* The effective configuration as YAML that loads again; with origins a comment behind each value says where it
 * came from. Secrets are never printed. */
void config_print(const struct config *config, bool origins, struct buf *out);
/* The same one by one: path "listen[0].address", value as the YAML has it, and where it came from (file "default"). All is
 * borrowed for the call. ERR_NOMEM: not all were given. */
typedef void config_value_fn(void *owner, struct text path, struct text value, struct config_place origin);
MUST_USE enum err config_each_value(const struct config *config, config_value_fn *each, void *owner);
void config_write_schema(struct buf *out);      /* JSON schema of what works in this version */
void config_write_environment(struct buf *out); /* the variables, one line each */
void config_write_reference(struct buf *out);   /* docs/configuration.md */

/* http://127.0.0.1:9000/check, or http://unix:/run/check.sock:/check: a service on this machine. */
struct config_local_url {
	struct ip_port ip;     /* IP_NONE: */
	struct text unix_path; /* 107 octets at most */
	struct text host;      /* for the request's Host field */
	struct text target;    /* its path, with the query */
};

/* *out borrows from url. ERR_SYNTAX: *why goes on after "it". */
MUST_USE enum err config_local_url_parse(struct text url, struct config_local_url *out, const char **why);

const char *config_via_name(enum config_via via); /* "direct", "hold", ...: as in the YAML */
const char *config_log_level_name(enum config_log_level level);

#endif
