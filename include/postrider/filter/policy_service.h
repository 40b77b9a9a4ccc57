/* postrider/filter/policy_service.h - asks a service outside whether a command may pass, before it is answered: the asking
 * half of Postfix's SMTPD access policy delegation protocol, so that services written for it work here.
 *
 * One struct policy_service serves the process. It keeps a few connections open (Unix socket or TCP), has one question at
 * a time on each, and lets the others wait. Every question is answered within its time limit: by the service, or, when that
 * is silent, down or not understood, as `on_error` says. Nothing blocks. A service that went away while it had a question on
 * a connection that had served before is asked once more on a fresh one; one that is down is tried again after a growing
 * pause, and questions in that pause are answered at once. That it went down, and that it is back, is one event each. */
#ifndef POSTRIDER_FILTER_POLICY_SERVICE_H
#define POSTRIDER_FILTER_POLICY_SERVICE_H

#include <postrider/config.h>
#include <postrider/io/io.h>
#include <postrider/observe/event.h>
#include <postrider/smtp/reply.h>

struct policy_service; /* opaque: src/filter/policy_service.c */
struct policy_request; /* one question in flight */

struct policy_service_options {
	struct io *io;
	struct observe *observe;                /* may be NULL: nobody hears of it */
	const struct config_endpoint *endpoint; /* copied: unix:/path, or an IP address with its port */
	int64_t timeout_ms;                     /* of a question, from asking to answer; 0: 5 s */
	bool accept_on_error;                   /* else 451 4.3.5 */
	unsigned max_connections;               /* 0: 20 */
	unsigned max_waiting; /* questions without a connection; more are answered at once. 0: 10,000 */
};

/* Connects only when there is something to ask. ERR_CONFIG: the endpoint is a host's name, or its path is too long. */
MUST_USE enum err policy_service_new(const struct policy_service_options *options,
                                     struct policy_service **out);
/* After a reload. Questions in flight go on and are answered as before; a new endpoint counts for the next ones. io and
 * observe stay. On an error nothing has changed. */
MUST_USE enum err policy_service_configure(struct policy_service *service,
                                           const struct policy_service_options *options);
/* Questions in flight: their slots are set to NULL, no callback. Connections close by themselves. */
void policy_service_free(struct policy_service **service);

enum policy_stage {
	POLICY_AT_CONNECT,
	POLICY_AT_EHLO,
	POLICY_AT_MAIL,
	POLICY_AT_RCPT,
	POLICY_AT_DATA,
	POLICY_AT_END_OF_MESSAGE,
	POLICY_STAGE_COUNT
};

/* All is borrowed for the call of policy_service_ask. Texts may hold any octets: controls leave as "?", and no more than
 * 2048 octets of each. What is empty is sent with an empty value, as the protocol wants it. */
struct policy_question {
	enum policy_stage stage;
	struct text protocol_name; /* "ESMTP", "SMTP" */
	struct text helo_name;
	struct text queue_id;
	struct text sender;       /* a mailbox without brackets; empty: the null reverse-path */
	struct text recipient;    /* at RCPT; at the end of data only when there is exactly one */
	uint64_t recipient_count; /* at DATA and the end of data, else 0 */
	struct ip_port client;    /* IP_NONE: a Unix socket, sent as 127.0.0.1 */
	struct text client_name;  /* empty: sent as "unknown" */
	struct ip_port server;
	uint64_t size;        /* as declared, or as counted at the end of data */
	struct text instance; /* the same in all questions about one message */
	struct text sasl_method, sasl_username, sasl_sender;
	struct text ccert_subject, ccert_issuer; /* of a certificate that was verified */
	struct text ccert_fingerprint;           /* hexadecimal digits; sent as Postfix does, AB:CD:... */
	struct text encryption_protocol, encryption_cipher; /* "TLSv1.3"; empty: none */
	unsigned encryption_keysize;                        /* bits; 0: by the cipher's name */
	bool stress;                                        /* we are overloaded */
};

enum policy_verdict {
	POLICY_PASS, /* nothing against it. It does not make a relay: access rules were asked before and count */
	POLICY_REFUSE,  /* with answer.reply, 4yz or 5yz; after a 421 or 521 the session ends */
	POLICY_HOLD,    /* take the message, and hold all of it */
	POLICY_DISCARD, /* take the message, and deliver it to nobody */
	POLICY_PREPEND, /* go on, with answer.field in front of the message */
};

/* Borrowed for the callback.
 *
 * What services say, and what is made of it: DUNNO, OK, PERMIT: PASS. REJECT [text]: REFUSE 554 5.7.1. DEFER [text] and
 * DEFER_IF_PERMIT [text]: REFUSE 450 4.7.1, for nothing is asked behind the service that could still permit or refuse;
 * DEFER_IF_REJECT for the same reason: PASS. 4yz and 5yz [text]: REFUSE with that code. An enhanced code at the front of a
 * text is taken; one of another class than the reply's gets the right one. HOLD, DISCARD, PREPEND; WARN and INFO: PASS with a
 * note. Another number
 * alone: PASS, as in Postfix. Everything else (FILTER, REDIRECT, BCC, names of Postfix's restrictions) asks for what
 * cannot be had here, and is an error: on_error decides. So does a PREPEND whose text is no header field. */
struct policy_answer {
	enum policy_verdict verdict;
	bool failed;        /* on_error decided: verdict is PASS, or REFUSE with 451 4.3.5 */
	struct reply reply; /* of REFUSE; plain ASCII, one line, 400 octets at most */
	struct text
		field; /* of PREPEND: "Name: value", one line of 998 octets at most, without an end and controls */
	struct text
		note; /* words of the service for the log: of WARN, INFO, HOLD, DISCARD; free of controls */
	enum event_level level; /* of the note: LEVEL_WARN after WARN, else LEVEL_INFO */
	struct text problem;    /* with failed: what happened, for the log */
};

typedef void policy_answer_fn(void *owner, const struct policy_answer *answer);

/* *slot holds the question until on_answer runs or policy_service_cancel(slot) is called; both set it to NULL first.
 * on_answer runs once, in a later turn of the loop, never from inside this call. ERR_NOMEM: nothing was started. */
MUST_USE enum err policy_service_ask(struct policy_service *service, const struct policy_question *question,
                                     struct policy_request **slot, policy_answer_fn *on_answer, void *owner);
void policy_service_cancel(struct policy_request **slot); /* *slot may be NULL */

struct policy_service_counts {
	uint64_t questions, failures; /* since the start; failures: on_error decided */
	uint64_t connections;         /* made, since the start */
	unsigned open_connections, waiting;
	bool is_down;
};
struct policy_service_counts policy_service_count(const struct policy_service *service);

#endif
