/* postrider/io/stream.h - octets both ways: TCP, a Unix socket, or a simulated peer; TLS can be put under a running
 * one as a layer (postrider/io/layer.h), and whoever uses the stream does not notice. */
#ifndef POSTRIDER_IO_STREAM_H
#define POSTRIDER_IO_STREAM_H

#include <postrider/base/ip.h>
#include <postrider/io/io.h>

struct io_stream;
struct io_listener;

#define IO_UNIX_PATH_MAX 108

struct io_address {
	struct ip_port ip;                       /* ip.ip.family IP_NONE: a Unix socket */
	char unix_path[IO_UNIX_PATH_MAX];        /* final NUL; empty for an unnamed one and for IP */
	uint32_t peer_uid, peer_gid;             /* of the process at the other end of a Unix socket, else UINT32_MAX */
};

/* Limits on what io keeps for a stream. */
#define IO_READ_BYTES (64 * 1024)            /* the most that one on_data offers */
#define IO_KEEP_BYTES (16 * 1024)            /* the most that on_data may leave untaken while it is not paused */

struct io_stream_events {
	/* Outbound streams only, once. A failure comes as on_closed instead. */
	void (*on_connected)(void *owner);
	/* Octets that arrived, behind those that the last call left. Returns how many were taken; the rest is kept and
	 * offered again together with what comes next, or after io_stream_resume. The octets are borrowed for the call.
	 * To leave more than IO_KEEP_BYTES without having paused closes the stream (ERR_TOO_BIG). */
	size_t (*on_data)(void *owner, struct text bytes);
	/* The peer will send no more; what it sent was offered before. We may still write. */
	void (*on_eof)(void *owner);
	/* Everything written so far has left for the kernel, after a time in which it had not. */
	void (*on_drained)(void *owner);
	/* Last of all, exactly once, never from inside a call of ours: the stream's memory is gone afterwards.
	 * ERR_OK after our own close; else what ended it (ERR_CLOSED, ERR_TIMEOUT for a connect, ERR_REFUSED, ERR_UNREACHABLE,
	 * ERR_TLS ...). After io_stream_close or _finish the owner hears this and nothing else. */
	void (*on_closed)(void *owner, enum err why);
};

/* Starts to connect; `source` NULL: any. *out is valid at once and owned by the loop until on_closed. The deadline for
 * connecting is the caller's timer. An error here means that nothing was started. ERR_BUSY: over the descriptor budget. */
MUST_USE enum err io_connect(struct io *io, const struct io_address *to, const struct ip *source,
                             const struct io_stream_events *events, void *owner, struct io_stream **out);

/* For an accepted stream, from inside on_accept. */
void io_stream_attach(struct io_stream *s, const struct io_stream_events *events, void *owner);

/* Writes now what the kernel takes and keeps a copy of the rest; the pieces may go at return. The caller holds back
 * while io_stream_unsent is above what it wants to have in memory, until on_drained. Errors end in on_closed. */
void io_stream_write(struct io_stream *s, const struct text *pieces, size_t count);
size_t io_stream_unsent(const struct io_stream *s);

/* While paused nothing is offered and, beyond what already lies here, no more than a few KiB are read (so that a short
 * pause costs no system call). Also from inside on_data: what that call does not take is kept, however much it is
 * (up to IO_READ_BYTES). The peer's end of sending is held back too, until what lies here has been offered. */
void io_stream_pause(struct io_stream *s);
void io_stream_resume(struct io_stream *s);          /* offers what is kept in a later part of the turn */
/* Forgets what was read and not taken: before a TLS handshake (RFC 3207 section 6). Returns how many octets. From
 * inside on_data: all that this call offered and does not take (and the number is what it offered). */
size_t io_stream_discard_kept(struct io_stream *s);

/* Sends what is unsent (for 10 s at most), then says that no more will come and closes when the peer has closed too
 * (after 1 s at most: closing with octets unread would make the kernel throw away what the peer has not got yet).
 * What still arrives is thrown away. on_closed hears ERR_OK when everything went out. */
void io_stream_finish(struct io_stream *s);
void io_stream_close(struct io_stream *s);           /* closes now; may be called twice */

struct io *io_stream_io(const struct io_stream *s);
const struct io_address *io_stream_peer(const struct io_stream *s);
const struct io_address *io_stream_local(const struct io_stream *s);
bool io_stream_is_closing(const struct io_stream *s);

/* A listening socket. on_accept must attach the stream or close it. */
typedef void io_accept_fn(void *owner, struct io_stream *stream);

/* ERR_BUSY: the address is in use. A Unix path left over by a dead process is replaced; mode for Unix sockets.
 * Port 0 takes a free one: io_listener_address says which. When descriptors run out, accepting rests for a moment. */
MUST_USE enum err io_listen(struct io *io, const struct io_address *address, unsigned mode, io_accept_fn *on_accept,
                            void *owner, struct io_listener **out);
/* Added to mode: beside one of ours that io_listener_share was said of and that is closed next (its close lets in who waits): 127.0.0.1:25 before
 * 0.0.0.0:25 goes, so that there is no moment without a door, and no way back that could fail. */
#define IO_LISTEN_BESIDE (1u << 16)
void io_listener_share(struct io_listener *l);
/* The same with a socket that is bound already. Inherited: whoever started us made it and keeps it; it listens, and goes on
 * listening when this listener closes, for the one after us. Else it is taken over (closed also when this fails), and
 * closed with the listener. ERR_SYNTAX: an inherited one that is no listening stream socket. ERR_UNSUPPORTED in the simulated
 * world. */
MUST_USE enum err io_listen_on(struct io *io, int fd, bool inherited, io_accept_fn *on_accept, void *owner,
                               struct io_listener **out);
const struct io_address *io_listener_address(const struct io_listener *l);
void io_listener_pause(struct io_listener *l);
void io_listener_resume(struct io_listener *l);
void io_listener_close(struct io_listener **l);      /* no callback afterwards; removes a Unix path */

#endif
