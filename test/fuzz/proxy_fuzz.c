/* PROXY headers from anywhere: what is taken is within its bounds, and the same however it is cut. */
#include <assert.h>

#include <postrider/base/auto.h>

#include "receive/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct text t = text_of((const char *)data, size);
	struct proxy_header whole = { 0 }, part;
	const char *why = NULL;
	enum err err, cut;

	if (size == 0)
		return 0;
	err = proxy_header_parse(t, &whole, &why);
	assert(err == ERR_OK || err == ERR_MORE || why);
	assert(err != ERR_MORE || size < PROXY_V2_MAX);
	if (!err)
		assert(whole.bytes <= size && whole.bytes <= PROXY_V2_MAX && whole.bytes >= 15);
	/* fewer octets say "more", or what all of them said */
	for (size_t len = 1; len < size; len += 1 + len / 16) {
		cut = proxy_header_parse(text_head(t, len), &part, &why);
		assert(cut == ERR_MORE || (cut == ERR_OK) == (err == ERR_OK));
		assert(cut != ERR_OK || part.bytes == whole.bytes);
	}
	return 0;
}
