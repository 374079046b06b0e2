/* SPDX-License-Identifier: MPL-2.0 */
/* As much of MessagePack as a worker needs: reading in place, and writing into a buffer that grows. */
#ifndef ORION_MSGPACK_H
#define ORION_MSGPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum mp_kind { MP_NONE, MP_NIL, MP_BOOL, MP_UINT, MP_INT, MP_FLOAT, MP_STR, MP_BIN, MP_ARRAY, MP_MAP, MP_EXT };

/* A value inside a message, which it points into. MP_INT is negative; what is not negative is MP_UINT. */
struct mp {
    enum mp_kind kind;
    uint64_t number;            /* of MP_BOOL and MP_UINT */
    double real;                /* of MP_UINT, MP_INT and MP_FLOAT */
    uint32_t size;              /* bytes of MP_STR, MP_BIN and MP_EXT; entries of MP_ARRAY and MP_MAP */
    const unsigned char *bytes; /* their content */
    const unsigned char *end;   /* of the message */
};

/* A text or message that is being written. */
struct out {
    unsigned char *bytes;
    size_t size, room;
};

/* Reads a body that has to be one map and nothing after it; false = it is not. What is inside is checked too. */
bool mp_message(const unsigned char *body, size_t size, struct mp *map);
/* Reads one value, of an array or map its head; returns what follows, or NULL where the bytes end or mean nothing. */
const unsigned char *mp_read(const unsigned char *at, const unsigned char *end, struct mp *value);
/* Steps over one value with all that is in it. Needs no stack, however deep it is. */
const unsigned char *mp_skip(const unsigned char *at, const unsigned char *end);
/* The value of a key in a map that was checked; MP_NONE = there is none, or `map` is no map. */
struct mp mp_get(const struct mp *map, const char *key);
bool mp_is_text(const struct mp *value, const char *text);
bool mp_is_number(const struct mp *value);
bool mp_is_utf8(const struct mp *text);

/* Makes room for so many bytes more; ends the process with status 70 when there is none. */
void out_reserve(struct out *out, size_t more);
void out_bytes(struct out *out, const void *bytes, size_t size);
void out_byte(struct out *out, unsigned byte);
void out_be32(unsigned char *at, uint32_t number);
void out_nil(struct out *out);
void out_bool(struct out *out, bool value);
void out_uint(struct out *out, uint64_t number);
void out_double(struct out *out, double number);
void out_text(struct out *out, const char *text);
void out_string(struct out *out, const struct mp *text);
/* The size of a text, or the count of an array's or map's entries. Where it is not known yet: LATER, and out_be32 at the
 * place that this returns. */
#define LATER UINT32_MAX
size_t out_head(struct out *out, enum mp_kind kind, uint32_t size);

/* One line of JSON, with a NUL after its end, as MessagePack; false = it is none. */
bool json_to_msgpack(const char *line, const char *end, struct out *out);

#endif
