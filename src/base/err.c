#include <postrider/base/err.h>

#include <errno.h>

static const char *const phrases[ERR_COUNT] = {
	[ERR_OK] = "success",
	[ERR_NOMEM] = "out of memory",
	[ERR_SYNTAX] = "syntax error",
	[ERR_TOO_BIG] = "over the limit",
	[ERR_MORE] = "incomplete",
	[ERR_NOT_FOUND] = "no such thing",
	[ERR_EXISTS] = "exists already",
	[ERR_TIMEOUT] = "time-out",
	[ERR_CANCELLED] = "cancelled",
	[ERR_CLOSED] = "connection closed",
	[ERR_REFUSED] = "connection refused",
	[ERR_UNREACHABLE] = "no route to host",
	[ERR_DENIED] = "permission denied",
	[ERR_BUSY] = "busy",
	[ERR_FULL] = "no space left",
	[ERR_IO] = "input/output error",
	[ERR_DAMAGED] = "damaged data",
	[ERR_UNSUPPORTED] = "not supported",
	[ERR_TLS] = "TLS failure",
	[ERR_CERTIFICATE] = "certificate not accepted",
	[ERR_TEMPORARY] = "temporary failure",
	[ERR_CONFIG] = "wrong configuration",
};

const char *err_text(enum err err)
{
	if ((unsigned)err >= ERR_COUNT)
		return "unknown failure";
	return phrases[err];
}

enum err err_from_errno(int errno_value)
{
	switch (errno_value) {
	case 0:
		return ERR_OK;
	case ENOMEM:
		return ERR_NOMEM;
	case E2BIG:
	case EFBIG:
	case EMSGSIZE:
	case ENAMETOOLONG:
		return ERR_TOO_BIG;
	case ENOENT:
	case ENOTDIR:
	case ESRCH:
	case ENXIO:
	case ENODEV:
		return ERR_NOT_FOUND;
	case EEXIST:
		return ERR_EXISTS;
	case ETIMEDOUT:
		return ERR_TIMEOUT;
	case ECANCELED:
		return ERR_CANCELLED;
	case ECONNRESET:
	case ECONNABORTED:
	case EPIPE:
	case ENOTCONN:
	case ESHUTDOWN:
		return ERR_CLOSED;
	case ECONNREFUSED:
		return ERR_REFUSED;
	case EHOSTUNREACH:
	case EHOSTDOWN:
	case ENETUNREACH:
	case ENETDOWN:
	case EADDRNOTAVAIL:
		return ERR_UNREACHABLE;
	case EACCES:
	case EPERM:
	case EROFS:
		return ERR_DENIED;
	case EAGAIN:
	case EBUSY:
	case EADDRINUSE:
	case EMFILE:
	case ENFILE:
	case EALREADY:
	case EINPROGRESS:
		return ERR_BUSY;
	case ENOSPC:
	case EDQUOT:
		return ERR_FULL;
	case EOPNOTSUPP:
	case ENOSYS:
	case EAFNOSUPPORT:
	case EPROTONOSUPPORT:
		return ERR_UNSUPPORTED;
	default:
		return ERR_IO;
	}
}
