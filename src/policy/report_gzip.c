#include <zlib.h>

#include "report_render.h"

#define GZIP_WINDOW (15 + 16) /* 16: a gzip header around it */
#define MEMORY_LEVEL 8

enum err report_gzip(struct text t, struct buf *out)
{
	z_stream z = { 0 };
	unsigned long bound;
	char *room;
	int status;

	if (t.len > UINT32_MAX)
		return ERR_TOO_BIG;
	if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP_WINDOW, MEMORY_LEVEL,
	                 Z_DEFAULT_STRATEGY) != Z_OK)
		return ERR_NOMEM;
	bound = deflateBound(&z, (unsigned long)t.len);
	room = buf_reserve(out, bound);
	if (!room) {
		deflateEnd(&z);
		return buf_err(out);
	}
	z.next_in = (Bytef *)(uintptr_t)t.at; /* zlib only reads it */
	z.avail_in = (uInt)t.len;
	z.next_out = (Bytef *)room;
	z.avail_out = (uInt)bound;
	status = deflate(&z, Z_FINISH);
	if (status == Z_STREAM_END)
		buf_grew(out, bound - z.avail_out);
	deflateEnd(&z);
	return status == Z_STREAM_END ? ERR_OK : ERR_NOMEM;
}
