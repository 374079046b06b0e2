/* SPDX-License-Identifier: MPL-2.0 */
/* What a person types: JSON, turned into MessagePack so that one reader serves both. */
#include "msgpack.h"

#include <stdlib.h>
#include <string.h>

enum { DEEPEST = 32 };

static const char *blanks(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\r' || *at == '\n'))
        at++;
    return at;
}

/* The four digits after \u; -1 = they are none. */
static long hex4(const char *at, const char *end)
{
    static const char DIGITS[] = "0123456789abcdefABCDEF";
    long code = 0;
    int i;
    if (end - at < 4)
        return -1;
    for (i = 0; i < 4; i++) {
        const char *digit = memchr(DIGITS, at[i], sizeof DIGITS - 1);
        if (digit == NULL)
            return -1;
        code = code << 4 | (digit - DIGITS < 16 ? digit - DIGITS : digit - DIGITS - 6);
    }
    return code;
}

static void out_utf8(struct out *out, long code)
{
    static const unsigned FIRST[4] = {0, 0xc0, 0xe0, 0xf0};
    int more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    out_byte(out, FIRST[more] | (unsigned)(code >> (6 * more)));
    while (more-- > 0)
        out_byte(out, 0x80 | (unsigned)(code >> (6 * more) & 0x3f));
}

/* `at` is behind the backslash. */
static const char *escape(const char *at, const char *end, struct out *out)
{
    static const char NAMES[] = "\"\\/bfnrt", MEANT[] = "\"\\/\b\f\n\r\t";
    const char *name = at < end ? memchr(NAMES, *at, sizeof NAMES - 1) : NULL;
    long code, low;
    if (name != NULL) {
        out_byte(out, (unsigned char)MEANT[name - NAMES]);
        return at + 1;
    }
    if (at == end || *at != 'u' || (code = hex4(at + 1, end)) < 0)
        return NULL;
    at += 5;
    if (code >= 0xd800 && code <= 0xdfff) { /* half of a pair */
        low = end - at >= 6 && at[0] == '\\' && at[1] == 'u' ? hex4(at + 2, end) : -1;
        if (code > 0xdbff || low < 0xdc00 || low > 0xdfff)
            return NULL;
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        at += 6;
    }
    out_utf8(out, code);
    return at;
}

static const char *string(const char *at, const char *end, struct out *out)
{
    size_t head;
    if (at == end || *at++ != '"')
        return NULL;
    head = out_head(out, MP_STR, LATER);
    while (at != NULL && at < end && *at != '"') {
        if ((unsigned char)*at < 0x20)
            return NULL;
        if (*at == '\\')
            at = escape(at + 1, end, out);
        else
            out_byte(out, (unsigned char)*at++);
    }
    if (at == NULL || at == end)
        return NULL;
    out_be32(out->bytes + head, (uint32_t)(out->size - head - 4));
    return at + 1;
}

static const char *number(const char *at, struct out *out)
{
    size_t span = strspn(at, "+-.0123456789eE");
    char *stop;
    double real = strtod(at, &stop);
    /* It would read hexadecimal numbers and infinities too. */
    if (span == 0 || *at == '+' || *at == '.' || stop != at + span)
        return NULL;
    out_double(out, real);
    return stop;
}

static const char *value(const char *at, const char *end, int depth, struct out *out)
{
    static const char *const WORDS[] = {"null", "", "false", "true"}; /* c0, c2, c3 */
    char close = 0;
    uint32_t count = 0;
    size_t head, i;

    at = blanks(at, end);
    if (at == end || depth > DEEPEST)
        return NULL;
    if (*at == '"')
        return string(at, end, out);
    for (i = 0; i < 4; i++)
        if (i != 1 && (size_t)(end - at) >= strlen(WORDS[i]) && memcmp(at, WORDS[i], strlen(WORDS[i])) == 0) {
            out_byte(out, 0xc0 + (unsigned)i);
            return at + strlen(WORDS[i]);
        }
    close = *at == '{' ? '}' : *at == '[' ? ']' : 0;
    if (close == 0)
        return number(at, out);
    head = out_head(out, close == '}' ? MP_MAP : MP_ARRAY, LATER);
    out_be32(out->bytes + head, 0);
    at = blanks(at + 1, end);
    if (at < end && *at == close)
        return at + 1;
    for (;;) {
        if (close == '}') {
            at = string(blanks(at, end), end, out);
            at = at != NULL ? blanks(at, end) : end;
            if (at == end || *at++ != ':')
                return NULL;
        }
        at = value(at, end, depth + 1, out);
        at = at != NULL ? blanks(at, end) : end;
        if (at == end || (*at != ',' && *at != close))
            return NULL;
        out_be32(out->bytes + head, ++count);
        if (*at++ == close)
            return at;
    }
}

bool json_to_msgpack(const char *line, const char *end, struct out *out)
{
    const char *at = value(line, end, 0, out);
    return at != NULL && blanks(at, end) == end;
}
