#include <postrider/smtp/data.h>

#include <postrider/base/buf.h>
#include <postrider/base/random.h>

#include "octets64.h"
#include "support/check.h"
#include "support/mail_data.h"

/* ---------------------------------------------------------------- in */

struct decoded {
	struct data_decoder d;
	struct buf content;
	bool ended;
	size_t used;
};

/* Hands over the next octets in a block of their own, and looks at every span. */
static void feed(struct decoded *r, struct text piece)
{
	char *copy = alone(piece);
	struct text input = text_of(copy, piece.len), span;
	enum data_event event = DATA_END;

	while (!r->ended && (event = data_decode(&r->d, &input, &span)) == DATA_SPAN) {
		assert_true(span.len > 0);
		buf_add(&r->content, span);
	}
	r->ended = event == DATA_END;
	assert_true(r->ended || input.len == 0);
	r->used += piece.len - input.len;
	free(copy);
}

static void decoded_init(struct decoded *r, size_t max)
{
	*r = (struct decoded){ .content = BUF(max) };
	data_decoder_init(&r->d);
}

static void check_against_plain(const char *name, struct decoded *r, const struct plain_data *p)
{
	CHECK_TEXT(name, buf_text(&r->content), buf_text(&p->content));
	CHECK_INT(name, r->ended, p->ended);
	CHECK_INT(name, r->used, p->used);
	CHECK_INT(name, r->d.content_bytes, p->content.len);
	CHECK_INT(name, r->d.bare_lf_count, p->bare_lf);
	CHECK_INT(name, r->d.bare_cr_count, p->bare_cr);
	CHECK_INT(name, r->d.nul_count, p->nul);
	CHECK_INT(name, r->d.nul_first_count, p->nul_first);
	CHECK_INT(name, r->d.has_8bit, p->has_8bit);
	CHECK_INT(name, r->d.long_line_count, p->long_lines);
}

/* The content is written out: the table must not depend on the other implementation. */
static const struct {
	const char *name;
	struct text wire, content;
	bool ends;
	struct text rest;
	unsigned bare_lf, bare_cr, nul;
} nasty[] = {
	{ "a message", LIT("a\r\nb\r\n.\r\nQUIT\r\n"), LIT("a\r\nb\r\n"), true, LIT("QUIT\r\n"), 0, 0, 0 },
	{ "an empty message", LIT(".\r\n"), LIT(""), true, LIT(""), 0, 0, 0 },
	{ "an empty line", LIT("\r\n.\r\n"), LIT("\r\n"), true, LIT(""), 0, 0, 0 },
	{ "stuffed dots", LIT("..\r\n..a\r\n...\r\n.\r\n"), LIT(".\r\n.a\r\n..\r\n"), true, LIT(""), 0, 0,
	  0 },
	{ "a dot that was not doubled", LIT(".a\r\n.\r\n"), LIT("a\r\n"), true, LIT(""), 0, 0, 0 },
	{ "dots inside a line", LIT("a.\r\na.b\r\n.\r\n"), LIT("a.\r\na.b\r\n"), true, LIT(""), 0, 0, 0 },
	{ "LF dot LF", LIT("a\n.\nb\r\n.\r\n"), LIT("a\n.\nb\r\n"), true, LIT(""), 2, 0, 0 },
	{ "LF dot CR LF", LIT("a\n.\r\nb\r\n.\r\n"), LIT("a\n.\r\nb\r\n"), true, LIT(""), 1, 0, 0 },
	{ "CR LF dot LF", LIT("a\r\n.\nb\r\n.\r\n"), LIT("a\r\n\nb\r\n"), true, LIT(""), 1, 0, 0 },
	{ "CR dot CR", LIT("a\r.\rb\r\n.\r\n"), LIT("a\r.\rb\r\n"), true, LIT(""), 0, 2, 0 },
	{ "CR dot CR LF", LIT("a\r.\r\nb\r\n.\r\n"), LIT("a\r.\r\nb\r\n"), true, LIT(""), 0, 1, 0 },
	{ "CR LF dot CR", LIT("a\r\n.\rb\r\n.\r\n"), LIT("a\r\n\rb\r\n"), true, LIT(""), 0, 1, 0 },
	{ "CR LF dot CR CR LF", LIT("a\r\n.\r\r\n.\r\n"), LIT("a\r\n\r\r\n"), true, LIT(""), 0, 1, 0 },
	{ "CR CR LF dot CR LF", LIT("a\r\r\n.\r\n"), LIT("a\r\r\n"), true, LIT(""), 0, 1, 0 },
	{ "LF CR dot CR LF", LIT("a\n\r.\r\n.\r\n"), LIT("a\n\r.\r\n"), true, LIT(""), 1, 1, 0 },
	{ "CR LF NUL dot CR LF", LIT("a\r\n\0.\r\n.\r\n"), LIT("a\r\n\0.\r\n"), true, LIT(""), 0, 0, 1 },
	{ "CR LF dot NUL CR LF", LIT("a\r\n.\0\r\n.\r\n"), LIT("a\r\n\0\r\n"), true, LIT(""), 0, 0, 1 },
	{ "CR NUL LF dot CR LF", LIT("a\r\0\n.\r\n.\r\n"), LIT("a\r\0\n.\r\n"), true, LIT(""), 1, 1, 1 },
	{ "a space behind the dot", LIT("a\r\n. \r\n.\r\n"), LIT("a\r\n \r\n"), true, LIT(""), 0, 0, 0 },
	{ "a dot at the end of a line", LIT("a.\r\n.\r\n"), LIT("a.\r\n"), true, LIT(""), 0, 0, 0 },
	{ "LF alone at the start", LIT("\n.\r\n.\r\n"), LIT("\n.\r\n"), true, LIT(""), 1, 0, 0 },
	{ "a second end behind the first", LIT("a\r\n.\r\n.\r\n"), LIT("a\r\n"), true, LIT(".\r\n"), 0, 0,
	  0 },
	{ "commands behind a false end", LIT("a\n.\r\nMAIL FROM:<x@y>\r\nDATA\r\nb\r\n.\r\n"),
	  LIT("a\n.\r\nMAIL FROM:<x@y>\r\nDATA\r\nb\r\n"), true, LIT(""), 1, 0, 0 },
	{ "no end", LIT("a\r\nb\r\n"), LIT("a\r\nb\r\n"), false, LIT(""), 0, 0, 0 },
	{ "half of the end", LIT("a\r\n."), LIT("a\r\n"), false, LIT(""), 0, 0, 0 },
	{ "nearly the end", LIT("a\r\n.\r"), LIT("a\r\n"), false, LIT(""), 0, 0, 0 },
	{ "a CR at the end", LIT("a\r"), LIT("a\r"), false, LIT(""), 0, 0, 0 },
	{ "nothing", LIT(""), LIT(""), false, LIT(""), 0, 0, 0 },
};

static void check_nasty(size_t i, struct decoded *r)
{
	const char *name = nasty[i].name;

	CHECK_TEXT(name, buf_text(&r->content), nasty[i].content);
	CHECK_INT(name, r->ended, nasty[i].ends);
	CHECK_TEXT(name, text_skip(nasty[i].wire, r->used), nasty[i].rest);
	CHECK_INT(name, r->d.bare_lf_count, nasty[i].bare_lf);
	CHECK_INT(name, r->d.bare_cr_count, nasty[i].bare_cr);
	CHECK_INT(name, r->d.nul_count, nasty[i].nul);
	CHECK_INT(name, r->d.content_bytes, nasty[i].content.len);
}

static void only_cr_lf_dot_cr_lf_ends_the_data_however_it_is_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(nasty); i++) {
		struct text wire = nasty[i].wire;

		for (size_t first = 0; first <= wire.len; first++) {
			for (size_t second = first; second <= wire.len; second++) {
				struct decoded r;

				decoded_init(&r, 1000);
				feed(&r, text_head(wire, first));
				feed(&r, text_of(wire.at + first, second - first));
				feed(&r, text_skip(wire, second));
				check_nasty(i, &r);
				buf_fini(&r.content);
			}
		}
	}
}

static void the_octet_by_octet_decoder_agrees_on_the_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(nasty); i++) {
		struct plain_data p;

		plain_data_decode(&p, nasty[i].wire);
		CHECK_TEXT(nasty[i].name, buf_text(&p.content), nasty[i].content);
		CHECK_INT(nasty[i].name, p.bare_lf, nasty[i].bare_lf);
		CHECK_INT(nasty[i].name, p.bare_cr, nasty[i].bare_cr);
		plain_data_fini(&p);
	}
}

/* The nasty things again, at every place of a block of 64 octets. */
static void places_in_a_block_change_nothing(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(nasty); i++) {
		for (size_t before = 0; before < 130; before++) {
			struct buf wire = BUF(1000);
			struct plain_data p;
			struct decoded r;

			for (size_t k = 0; k < before; k++)
				buf_add_octet(&wire, 'x');
			buf_add_string(&wire, before % 2 ? "" : "\r\n");
			buf_add(&wire, nasty[i].wire);
			plain_data_decode(&p, buf_text(&wire));
			decoded_init(&r, 1000);
			feed(&r, buf_text(&wire));
			check_against_plain(nasty[i].name, &r, &p);
			buf_fini(&r.content);
			plain_data_fini(&p);
			buf_fini(&wire);
		}
	}
}

/* Octets of which most are the ones that matter, or long runs of others between them. */
static void add_random(struct buf *b, struct random *random, size_t len)
{
	static const char matter[] = "\r\n\r\n\r\n..\r\n.\0\x80"
				     "ab";

	while (b->len < len) {
		if (random_below(random, 30) == 0) {
			for (uint64_t run = random_below(random, 1200); run > 0 && b->len < len; run--)
				buf_add_octet(b, 'x');
		} else if (random_below(random, 4) == 0) {
			buf_add_string(b, "\r\n");
		} else {
			buf_add_octet(b, matter[random_below(random, sizeof(matter) - 1)]);
		}
	}
}

static void random_octets_in_random_pieces_come_out_as_the_plain_decoder_says(void **state)
{
	struct random random;

	(void)state;
	random_init(&random, 4);
	for (int round = 0; round < 4000; round++) {
		struct buf wire = BUF(10000);
		struct plain_data p;
		struct decoded r;

		add_random(&wire, &random, random_below(&random, round % 10 ? 200 : 4000));
		plain_data_decode(&p, buf_text(&wire));
		decoded_init(&r, 10000);
		for (struct text rest = buf_text(&wire); rest.len && !r.ended;) {
			size_t len = MIN(1 + random_below(&random, round % 3 ? 10 : 300), rest.len);

			feed(&r, text_head(rest, len));
			rest = text_skip(rest, len);
		}
		check_against_plain("random", &r, &p);
		buf_fini(&r.content);
		plain_data_fini(&p);
		buf_fini(&wire);
	}
}

static void long_lines_are_counted_to_the_octet(void **state)
{
	(void)state;
	for (size_t len = 990; len < 1010; len++) {
		for (size_t step = 1; step < 2000; step = step * 3 + 1) {
			struct buf wire = BUF(3000);
			struct decoded r;

			buf_add_string(&wire, "short\r\n..");
			for (size_t i = 1; i < len; i++)
				buf_add_octet(&wire, 'x');
			buf_add_string(&wire, "\r\nshort\r\n.\r\n");
			decoded_init(&r, 3000);
			for (struct text rest = buf_text(&wire); rest.len; rest = text_skip(rest, step))
				feed(&r, text_head(rest, step));
			assert_int_equal(r.d.long_line_count, len > DATA_LINE_MAX);
			assert_true(r.ended);
			buf_fini(&r.content);
			buf_fini(&wire);
		}
	}
}

static void clean_input_is_one_span_that_points_into_it(void **state)
{
	struct data_decoder d;
	char octets[10000] = "";
	struct text input = text_of(octets, sizeof(octets)), span;

	(void)state;
	memset(octets, 'x', sizeof(octets));
	for (size_t i = 70; i + 1 < sizeof(octets); i += 72)
		memcpy(octets + i, "\r\n", 2);
	data_decoder_init(&d);
	assert_int_equal(data_decode(&d, &input, &span), DATA_SPAN);
	assert_ptr_equal(span.at, octets);
	assert_int_equal(span.len, sizeof(octets));
	assert_int_equal(data_decode(&d, &input, &span), DATA_MORE);
}

/* ---------------------------------------------------------------- out */

/* Encodes content that comes in steps; false: refused. */
static bool encode(struct text content, size_t step, struct buf *wire)
{
	struct data_encoder e;
	struct text span;
	enum err err = ERR_MORE;

	data_encoder_init(&e);
	while (content.len) {
		size_t len = MIN(step, content.len);
		char *copy = alone(text_head(content, len));
		struct text piece = text_of(copy, len);

		while (!(err = data_encode(&e, &piece, &span))) {
			assert_true(span.len > 0);
			buf_add(wire, span);
		}
		free(copy);
		if (err != ERR_MORE)
			break;
		content = text_skip(content, len);
	}
	if (err == ERR_MORE)
		err = data_encode_end(&e, &span);
	if (err) {
		assert_int_equal(err, ERR_SYNTAX);
		assert_int_equal(data_encode_end(&e, &span), ERR_SYNTAX);
		assert_int_equal(data_encode(&e, &(struct text){ "x", 1 }, &span), ERR_SYNTAX);
		return false;
	}
	buf_add(wire, span);
	return true;
}

static const struct {
	const char *name;
	struct text content, wire; /* no wire: refused */
} out_cases[] = {
	{ "a message", LIT("a\r\nb\r\n"), LIT("a\r\nb\r\n.\r\n") },
	{ "an empty message", LIT(""), LIT(".\r\n") },
	{ "no line end at the end", LIT("a"), LIT("a\r\n.\r\n") },
	{ "dots", LIT(".\r\n..\r\n.a\r\na.\r\n"), LIT("..\r\n...\r\n..a\r\na.\r\n.\r\n") },
	{ "a dot alone without a line end", LIT("."), LIT("..\r\n.\r\n") },
	{ "an end of data inside", LIT("a\r\n.\r\nMAIL FROM:<x@y>\r\n"),
	  LIT("a\r\n..\r\nMAIL FROM:<x@y>\r\n.\r\n") },
	{ "a bare LF", LIT("a\nb\r\n"), LIT("") },
	{ "a bare LF first", LIT("\nb\r\n"), LIT("") },
	{ "a bare CR", LIT("a\rb\r\n"), LIT("") },
	{ "a bare CR last", LIT("a\r"), LIT("") },
	{ "CR twice", LIT("a\r\r\n"), LIT("") },
	{ "LF twice", LIT("a\r\n\n"), LIT("") },
	{ "LF dot LF", LIT("a\n.\nMAIL FROM:<x@y>\r\n"), LIT("") },
	{ "CR dot CR", LIT("a\r.\rMAIL FROM:<x@y>\r\n"), LIT("") },
	{ "a NUL and octets above 127", LIT("a\0\xff\r\n"), LIT("a\0\xff\r\n.\r\n") },
};

static void what_leaves_is_stuffed_and_ended_whatever_the_cuts(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(out_cases); i++) {
		for (size_t step = 1; step < 40; step++) {
			struct buf wire = BUF(1000);
			bool done = encode(out_cases[i].content, step, &wire);

			CHECK_INT(out_cases[i].name, done, out_cases[i].wire.len > 0);
			CHECK_INT(out_cases[i].name, data_is_clean(out_cases[i].content), done);
			if (done)
				CHECK_TEXT(out_cases[i].name, buf_text(&wire), out_cases[i].wire);
			buf_fini(&wire);
		}
	}
}

/* No CR or LF may stand alone in what left before the refusal either. */
static void check_pairs(struct text wire)
{
	for (size_t i = 0; i < wire.len; i++) {
		if (wire.at[i] == '\r')
			assert_true(i + 1 < wire.len && wire.at[i + 1] == '\n');
		if (wire.at[i] == '\n')
			assert_true(i > 0 && wire.at[i - 1] == '\r');
	}
}

static void random_content_leaves_as_the_plain_encoder_says(void **state)
{
	struct random random;

	(void)state;
	random_init(&random, 5);
	for (int round = 0; round < 4000; round++) {
		struct buf content = BUF(10000), wire = BUF(20000), plain = BUF(20000);

		add_random(&content, &random, random_below(&random, 1000));
		if (round % 2) /* mostly clean: else nearly all would be refused */
			for (size_t i = 0; i < content.len; i++)
				if (content.at[i] == '\n' || content.at[i] == '\r')
					content.at[i] = '.';
		if (round % 4 == 1)
			for (size_t i = 1; i + 1 < content.len; i += 3 + random_below(&random, 90))
				memcpy(content.at + i - 1, "\r\n", 2);
		bool expected = plain_data_encode(buf_text(&content), &plain);
		bool done = encode(buf_text(&content), 1 + random_below(&random, 200), &wire);

		assert_int_equal(done, expected);
		assert_int_equal(data_is_clean(buf_text(&content)), expected);
		check_pairs(buf_text(&wire));
		if (done)
			CHECK_TEXT("random", buf_text(&wire), buf_text(&plain));
		buf_fini(&content);
		buf_fini(&wire);
		buf_fini(&plain);
	}
}

static void what_left_comes_back_as_it_was(void **state)
{
	struct random random;

	(void)state;
	random_init(&random, 6);
	for (int round = 0; round < 2000; round++) {
		struct buf content = BUF(10000), wire = BUF(20000);
		struct decoded r;

		for (uint64_t lines = random_below(&random, 20); lines > 0; lines--) {
			for (uint64_t len = random_below(&random, 100); len > 0; len--)
				buf_add_octet(&content, random_below(&random, 3) ? '.' : 'x');
			buf_add_string(&content, "\r\n");
		}
		assert_true(encode(buf_text(&content), 1 + random_below(&random, 100), &wire));
		decoded_init(&r, 20000);
		feed(&r, buf_text(&wire));
		assert_true(r.ended);
		assert_int_equal(r.used, wire.len);
		CHECK_TEXT("content", buf_text(&r.content), buf_text(&content));
		buf_fini(&r.content);
		buf_fini(&content);
		buf_fini(&wire);
	}
}

static void clean_content_leaves_as_one_span(void **state)
{
	struct data_encoder e;
	char octets[10000] = "";
	struct text content = text_of(octets, sizeof(octets)), span;

	(void)state;
	memset(octets, 'x', sizeof(octets));
	memcpy(octets + 5000, "\r\n", 2);
	data_encoder_init(&e);
	assert_int_equal(data_encode(&e, &content, &span), ERR_OK);
	assert_ptr_equal(span.at, octets);
	assert_int_equal(span.len, sizeof(octets));
	assert_int_equal(data_encode(&e, &content, &span), ERR_MORE);
	assert_int_equal(data_encode_end(&e, &span), ERR_OK);
	CHECK_TEXT("end", span, TEXT("\r\n.\r\n"));
}

static void the_fast_way_to_find_octets_finds_what_the_plain_way_does(void **state)
{
	struct random random;
	static const char some[] = "\r\n.\0\x80\xff/\x0e\x0b a-\x2d\x01";

	(void)state;
	random_init(&random, 7);
	for (int round = 0; round < 2000; round++) {
		char block[BLOCK_OCTETS];

		for (size_t i = 0; i < sizeof(block); i++)
			block[i] = round % 2 ? (char)random_u64(&random)
			                     : some[random_below(&random, sizeof(some))];
		struct octets64 fast = octets64_at(block), plain = octets64_plainly(block);

		assert_memory_equal(&fast, &plain, sizeof(fast));
	}
}

/* ---------------------------------------------------------------- chunks and repair */

static void octets_in_chunks_are_counted_like_those_behind_data(void **state)
{
	struct random random;

	(void)state;
	random_init(&random, 5);
	for (int round = 0; round < 1000; round++) {
		struct buf content = BUF(10000), wire = BUF(20000);
		struct data_decoder d;
		struct plain_data p;

		add_random(&content, &random, random_below(&random, 300));
		/* what a decoder would have given out as this content: every dot doubled that it would take away */
		for (size_t i = 0; i < content.len; i++) {
			if (content.at[i] == '.' &&
			    (i == 0 || (i > 1 && content.at[i - 1] == '\n' && content.at[i - 2] == '\r')))
				buf_add_octet(&wire, '.');
			buf_add_octet(&wire, content.at[i]);
		}
		plain_data_decode(&p, buf_text(&wire));
		data_decoder_init(&d);
		for (struct text rest = buf_text(&content); rest.len;) {
			size_t len = MIN(1 + random_below(&random, 100), rest.len);

			data_decoder_count(&d, text_head(rest, len));
			rest = text_skip(rest, len);
		}
		CHECK_INT("content", d.content_bytes, content.len);
		CHECK_INT("bare LF", d.bare_lf_count, p.bare_lf);
		CHECK_INT("bare CR", d.bare_cr_count, p.bare_cr);
		CHECK_INT("NUL", d.nul_count, p.nul);
		CHECK_INT("8 bit", d.has_8bit, p.has_8bit);
		data_decoder_count_end(&d);
		CHECK_INT("CR at the end", d.bare_cr_count,
		          p.bare_cr + (content.len && content.at[content.len - 1] == '\r'));
		plain_data_fini(&p);
		buf_fini(&content);
		buf_fini(&wire);
	}
}

static void repair(struct data_repairer *r, struct text piece, struct buf *out)
{
	struct text span;

	while (data_repair(r, &piece, &span) == ERR_OK) {
		assert_true(span.len > 0);
		buf_add(out, span);
	}
	assert_int_equal(piece.len, 0);
}

static void repair_end(struct data_repairer *r, struct buf *out)
{
	struct text span;

	while (data_repair_end(r, &span) == ERR_OK)
		buf_add(out, span);
}

static const struct {
	const char *name;
	struct text content, repaired, with_dots;
	uint64_t count;
} broken[] = {
	{ "nothing", LIT(""), LIT(""), LIT(""), 0 },
	{ "clean", LIT("a\r\n.b\r\n"), LIT("a\r\n.b\r\n"), LIT("a\r\n.b\r\n"), 0 },
	{ "LF", LIT("\n"), LIT("\r\n"), LIT("\r\n"), 1 },
	{ "LF LF", LIT("a\n\nb"), LIT("a\r\n\r\nb"), LIT("a\r\n\r\nb"), 2 },
	{ "CR", LIT("\r"), LIT("\r\n"), LIT("\r\n"), 1 },
	{ "CR CR", LIT("a\r\rb"), LIT("a\r\n\r\nb"), LIT("a\r\n\r\nb"), 2 },
	{ "CR CR LF", LIT("a\r\r\nb"), LIT("a\r\nb"), LIT("a\r\nb"), 1 },
	{ "CR CR CR LF", LIT("a\r\r\r\nb"), LIT("a\r\nb"), LIT("a\r\nb"), 1 },
	{ "LF CR", LIT("a\n\rb"), LIT("a\r\n\r\nb"), LIT("a\r\n\r\nb"), 2 },
	{ "LF dot", LIT("a\n.b"), LIT("a\r\n.b"), LIT("a\r\nb"), 1 },
	{ "LF dot dot", LIT("a\n..b"), LIT("a\r\n..b"), LIT("a\r\n.b"), 1 },
	{ "CR dot", LIT("a\r.b"), LIT("a\r\n.b"), LIT("a\r\nb"), 1 },
	{ "CR CR LF dot", LIT("a\r\r\n.b"), LIT("a\r\n.b"), LIT("a\r\n.b"), 1 },
	{ "LF CR LF dot", LIT("a\n\r\n.b"), LIT("a\r\n\r\n.b"), LIT("a\r\n\r\n.b"), 1 },
	{ "LF dot LF", LIT("a\n.\nb"), LIT("a\r\n.\r\nb"), LIT("a\r\n\r\nb"), 2 },
};

static void line_ends_are_repaired_however_they_are_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
		struct text content = broken[i].content;

		for (size_t cut = 0; cut <= content.len; cut++) {
			for (int dots = 0; dots < 2; dots++) {
				struct data_repairer r;
				struct buf out = BUF(100);

				data_repairer_init(&r, dots);
				repair(&r, text_head(content, cut), &out);
				repair(&r, text_skip(content, cut), &out);
				repair_end(&r, &out);
				CHECK_TEXT(broken[i].name, buf_text(&out),
				           dots ? broken[i].with_dots : broken[i].repaired);
				CHECK_INT(broken[i].name, r.repaired_count, broken[i].count);
				buf_fini(&out);
			}
		}
	}
}

static void random_content_is_repaired_as_the_plain_way_says(void **state)
{
	struct random random;

	(void)state;
	random_init(&random, 6);
	for (int round = 0; round < 4000; round++) {
		struct buf content = BUF(10000), out = BUF(20000), plain = BUF(20000);
		struct data_repairer r;
		bool dots = round % 2;

		add_random(&content, &random, random_below(&random, round % 10 ? 200 : 3000));
		data_repairer_init(&r, dots);
		for (struct text rest = buf_text(&content); rest.len;) {
			size_t len = MIN(1 + random_below(&random, round % 3 ? 10 : 300), rest.len);

			repair(&r, text_head(rest, len), &out);
			rest = text_skip(rest, len);
		}
		repair_end(&r, &out);
		plain_data_repair(buf_text(&content), dots, &plain);
		CHECK_TEXT("random", buf_text(&out), buf_text(&plain));
		assert_true(data_is_clean(buf_text(&out)));
		assert_true((r.repaired_count == 0) == data_is_clean(buf_text(&content)));
		buf_fini(&content);
		buf_fini(&out);
		buf_fini(&plain);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_cr_lf_dot_cr_lf_ends_the_data_however_it_is_cut),
		cmocka_unit_test(the_octet_by_octet_decoder_agrees_on_the_table),
		cmocka_unit_test(places_in_a_block_change_nothing),
		cmocka_unit_test(random_octets_in_random_pieces_come_out_as_the_plain_decoder_says),
		cmocka_unit_test(long_lines_are_counted_to_the_octet),
		cmocka_unit_test(clean_input_is_one_span_that_points_into_it),
		cmocka_unit_test(what_leaves_is_stuffed_and_ended_whatever_the_cuts),
		cmocka_unit_test(random_content_leaves_as_the_plain_encoder_says),
		cmocka_unit_test(what_left_comes_back_as_it_was),
		cmocka_unit_test(clean_content_leaves_as_one_span),
		cmocka_unit_test(the_fast_way_to_find_octets_finds_what_the_plain_way_does),
		cmocka_unit_test(octets_in_chunks_are_counted_like_those_behind_data),
		cmocka_unit_test(line_ends_are_repaired_however_they_are_cut),
		cmocka_unit_test(random_content_is_repaired_as_the_plain_way_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
