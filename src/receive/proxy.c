#include "proxy.h"

#include <postrider/base/auto.h>
#include <postrider/base/crc32c.h>

static const char signature[12] = { '\r', '\n', '\r', '\n', 0, '\r', '\n', 'Q', 'U', 'I', 'T', '\n' };

static enum err refuse(enum err err, const char **why, const char *words)
{
	*why = words;
	return err;
}

/* ---------------------------------------------------------------- version 1 */

/* Decimal, without a sign and without zeros in front. */
static bool take_port(struct text word, uint16_t *out)
{
	uint64_t port;

	if ((word.len > 1 && word.at[0] == '0') || text_to_u64(word, UINT16_MAX, &port))
		return false;
	*out = (uint16_t)port;
	return true;
}

static bool take_address(struct text word, bool is_v6, struct ip *out)
{
	bool written_as_v6 = text_find_octet(word, ':') < word.len;

	return written_as_v6 == is_v6 && !ip_parse(word, out);
}

static enum err parse_addresses(struct text rest, bool is_v6, struct proxy_header *h, const char **why)
{
	struct text from = text_cut(&rest, ' '), to = text_cut(&rest, ' '), from_port = text_cut(&rest, ' ');

	if (!take_address(from, is_v6, &h->client.ip) || !take_address(to, is_v6, &h->server.ip))
		return refuse(ERR_SYNTAX, why, "an address in it is none of the family it names");
	if (!take_port(from_port, &h->client.port) || !take_port(rest, &h->server.port))
		return refuse(ERR_SYNTAX, why, "a port in it is no number from 0 to 65535");
	return ERR_OK;
}

/* PROXY TCP4|TCP6 SP from SP to SP port SP port CR LF, or PROXY UNKNOWN with anything behind it */
static enum err parse_v1(struct text bytes, struct proxy_header *out, const char **why)
{
	struct proxy_header h = { .bytes = text_find_octet(text_head(bytes, PROXY_V1_MAX), '\n') + 1 };
	struct text line;
	enum err err;

	if (h.bytes > MIN(bytes.len, (size_t)PROXY_V1_MAX))
		return bytes.len < PROXY_V1_MAX
		               ? ERR_MORE
		               : refuse(ERR_TOO_BIG, why, "its line is over 107 octets long");
	if (h.bytes < 2 || bytes.at[h.bytes - 2] != '\r')
		return refuse(ERR_SYNTAX, why, "its line does not end in CR LF");
	line = text_of(bytes.at + 6, h.bytes - 2 - MIN(h.bytes - 2, (size_t)6));
	if (text_starts(line, TEXT("TCP4 ")) || text_starts(line, TEXT("TCP6 "))) {
		err = parse_addresses(text_skip(line, 5), line.at[3] == '6', &h, why);
		if (err)
			return err;
	} else if (text_eq(line, TEXT("UNKNOWN")) || text_starts(line, TEXT("UNKNOWN "))) {
		h.is_local = true;
	} else {
		return refuse(ERR_SYNTAX, why, "it names neither TCP4 nor TCP6 nor UNKNOWN");
	}
	*out = h;
	return ERR_OK;
}

/* ---------------------------------------------------------------- version 2 */

enum { COMMAND_LOCAL = 0, COMMAND_PROXY = 1 };
enum { FAMILY_UNSPEC = 0, FAMILY_INET = 1, FAMILY_INET6 = 2, FAMILY_UNIX = 3 };
enum { TRANSPORT_UNSPEC = 0, TRANSPORT_STREAM = 1, TRANSPORT_DGRAM = 2 };
#define TLV_HEAD 3
#define TLV_CRC32C 0x03

static unsigned u8(struct text t, size_t at)
{
	return (unsigned char)t.at[at];
}

static unsigned u16(struct text t, size_t at)
{
	return u8(t, at) << 8 | u8(t, at + 1);
}

static uint32_t u32(struct text t, size_t at)
{
	return (uint32_t)u16(t, at) << 16 | u16(t, at + 2);
}

/* The checksum is made over the whole header with zeros in its own place. */
static bool checksum_is_right(struct text header, size_t at)
{
	static const char zeros[4];
	uint32_t crc = crc32c(0, header.at, at);

	crc = crc32c(crc, zeros, sizeof(zeros));
	crc = crc32c(crc, header.at + at + 4, header.len - at - 4);
	return crc == u32(header, at);
}

/* What lies behind the addresses: type, length, value. Only the checksum means something to us. */
static enum err check_tlvs(struct text header, size_t at, const char **why)
{
	while (at < header.len) {
		size_t len;

		if (header.len - at < TLV_HEAD)
			return refuse(ERR_SYNTAX, why, "what stands behind its addresses is cut off");
		len = u16(header, at + 1);
		if (len > header.len - at - TLV_HEAD)
			return refuse(ERR_SYNTAX, why, "what stands behind its addresses is cut off");
		if (u8(header, at) == TLV_CRC32C && (len != 4 || !checksum_is_right(header, at + TLV_HEAD)))
			return refuse(ERR_DAMAGED, why, "its checksum is wrong");
		at += TLV_HEAD + len;
	}
	return ERR_OK;
}

static void take_v4(struct text t, struct proxy_header *h)
{
	h->client = (struct ip_port){ ip_from_v4(u32(t, 0)), (uint16_t)u16(t, 8) };
	h->server = (struct ip_port){ ip_from_v4(u32(t, 4)), (uint16_t)u16(t, 10) };
}

static void take_v6(struct text t, struct proxy_header *h)
{
	const unsigned char *at = (const unsigned char *)t.at;

	h->client = (struct ip_port){ ip_from_bytes16(at), (uint16_t)u16(t, 32) };
	h->server = (struct ip_port){ ip_from_bytes16(at + 16), (uint16_t)u16(t, 34) };
}

static enum err take_addresses(struct text header, unsigned family, struct proxy_header *h, const char **why)
{
	static const size_t lengths[] = { [FAMILY_INET] = 12, [FAMILY_INET6] = 36, [FAMILY_UNIX] = 216 };
	struct text rest = text_skip(header, PROXY_V2_HEAD);

	if (rest.len < lengths[family])
		return refuse(ERR_SYNTAX, why, "it is too short for its addresses");
	if (family == FAMILY_INET)
		take_v4(rest, h);
	else if (family == FAMILY_INET6)
		take_v6(rest, h);
	return check_tlvs(header, PROXY_V2_HEAD + lengths[family], why);
}

static enum err parse_v2(struct text bytes, struct proxy_header *out, const char **why)
{
	struct proxy_header h = { 0 };
	unsigned command, family, transport;
	enum err err = ERR_OK;

	if (bytes.len < PROXY_V2_HEAD)
		return ERR_MORE;
	if (u8(bytes, 12) >> 4 != 2)
		return refuse(ERR_UNSUPPORTED, why, "it is of a version other than 1 and 2");
	command = u8(bytes, 12) & 15;
	family = u8(bytes, 13) >> 4;
	transport = u8(bytes, 13) & 15;
	h.bytes = PROXY_V2_HEAD + u16(bytes, 14);
	if (command > COMMAND_PROXY || family > FAMILY_UNIX || transport > TRANSPORT_DGRAM)
		return refuse(ERR_SYNTAX, why, "its command or family is not known");
	if (h.bytes > PROXY_V2_MAX)
		return refuse(ERR_TOO_BIG, why, "it is over 4 KiB long");
	if (bytes.len < h.bytes)
		return ERR_MORE;
	/* For LOCAL whatever stands in it does not count, and may be nothing at all. */
	if (command == COMMAND_LOCAL || family == FAMILY_UNSPEC)
		h.is_local = true;
	else if (transport == TRANSPORT_DGRAM)
		return refuse(ERR_UNSUPPORTED, why, "it is about datagrams");
	else
		err = take_addresses(text_head(bytes, h.bytes), family, &h, why);
	if (!err)
		*out = h;
	return err;
}

enum err proxy_header_parse(struct text bytes, struct proxy_header *out, const char **why)
{
	const struct text line = LIT("PROXY ");
	size_t known = MIN(bytes.len, sizeof(signature));

	if (memcmp(bytes.at, signature, known) == 0)
		return known < sizeof(signature) ? ERR_MORE : parse_v2(bytes, out, why);
	known = MIN(bytes.len, line.len);
	if (memcmp(bytes.at, line.at, known) == 0)
		return known < line.len ? ERR_MORE : parse_v1(bytes, out, why);
	return refuse(ERR_SYNTAX, why, "the client does not begin with a PROXY header");
}
