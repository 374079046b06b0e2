/* SPDX-License-Identifier: MPL-2.0 */
#include "msgpack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t big_endian(const unsigned char *at, unsigned bytes)
{
    uint64_t number = 0;
    while (bytes-- > 0)
        number = number << 8 | *at++;
    return number;
}

static void set_unsigned(struct mp *value, uint64_t number)
{
    value->kind = MP_UINT;
    value->number = number;
    value->real = (double)number;
}

/* `number` is two's complement of so many bits. */
static void set_signed(struct mp *value, uint64_t number, unsigned bits)
{
    uint64_t sign = (uint64_t)1 << (bits - 1);
    if (!(number & sign)) {
        set_unsigned(value, number);
        return;
    }
    value->kind = MP_INT;
    value->real = -(double)((~number & (sign - 1)) + 1);
}

static void set_float(struct mp *value, uint64_t bits, unsigned bytes)
{
    uint32_t half = (uint32_t)bits;
    float single;
    value->kind = MP_FLOAT;
    if (bytes == 8) {
        memcpy(&value->real, &bits, sizeof bits);
    } else {
        memcpy(&single, &half, sizeof half);
        value->real = single;
    }
}

const unsigned char *mp_read(const unsigned char *at, const unsigned char *end, struct mp *value)
{
    /* Bytes of the number after each tag from c0 to df. */
    static const unsigned char NUMBER[32] = {0, 0, 0, 0, 1, 2, 4, 1, 2, 4, 4, 8, 1, 2, 4, 8,
                                             1, 2, 4, 8, 0, 0, 0, 0, 0, 1, 2, 4, 2, 4, 2, 4};
    uint64_t number = 0;
    unsigned tag, width;
    size_t content = 0;

    memset(value, 0, sizeof *value);
    if (at == end)
        return NULL;
    tag = *at++;
    width = tag >= 0xc0 && tag <= 0xdf ? NUMBER[tag - 0xc0] : 0;
    if ((size_t)(end - at) < width)
        return NULL;
    number = big_endian(at, width);
    at += width;
    if (tag <= 0x7f) {
        set_unsigned(value, tag);
    } else if (tag >= 0xe0) {
        set_signed(value, tag, 8);
    } else if (tag <= 0x8f || tag >= 0xde) {
        value->kind = MP_MAP;
        value->size = (uint32_t)(tag <= 0x8f ? tag & 0x0f : number);
    } else if (tag <= 0x9f || tag >= 0xdc) {
        value->kind = MP_ARRAY;
        value->size = (uint32_t)(tag <= 0x9f ? tag & 0x0f : number);
    } else if (tag <= 0xbf || tag >= 0xd9) {
        value->kind = MP_STR;
        content = value->size = (uint32_t)(tag <= 0xbf ? tag & 0x1f : number);
    } else if (tag == 0xc0) {
        value->kind = MP_NIL;
    } else if (tag == 0xc1) {
        return NULL;
    } else if (tag <= 0xc3) {
        value->kind = MP_BOOL;
        value->number = tag & 1;
    } else if (tag <= 0xc6) {
        value->kind = MP_BIN;
        content = value->size = (uint32_t)number;
    } else if (tag <= 0xc9) { /* ext: a type follows the size */
        value->kind = MP_EXT;
        value->size = (uint32_t)number;
        content = (size_t)value->size + 1;
    } else if (tag <= 0xcb) {
        set_float(value, number, width);
    } else if (tag <= 0xcf) {
        set_unsigned(value, number);
    } else if (tag <= 0xd3) {
        set_signed(value, number, width * 8);
    } else { /* fixext: 1, 2, 4, 8 or 16 bytes and a type */
        value->kind = MP_EXT;
        value->size = (uint32_t)1 << (tag - 0xd4);
        content = (size_t)value->size + 1;
    }
    if ((size_t)(end - at) < content)
        return NULL;
    value->bytes = at;
    value->end = end;
    return at + content;
}

const unsigned char *mp_skip(const unsigned char *at, const unsigned char *end)
{
    struct mp value;
    uint64_t left = 1; /* values; it cannot overflow, as each one that adds to it takes a byte */
    for (; at != NULL && left > 0; left--) {
        at = mp_read(at, end, &value);
        if (at != NULL && (value.kind == MP_MAP || value.kind == MP_ARRAY))
            left += (uint64_t)value.size << (value.kind == MP_MAP);
    }
    return at;
}

bool mp_message(const unsigned char *body, size_t size, struct mp *map)
{
    if (mp_skip(body, body + size) != body + size)
        return false;
    mp_read(body, body + size, map);
    return map->kind == MP_MAP;
}

struct mp mp_get(const struct mp *map, const char *key)
{
    const unsigned char *at = map->bytes;
    struct mp name, value = {0};
    uint32_t left;
    for (left = map->kind == MP_MAP ? map->size : 0; left > 0; left--) {
        mp_read(at, map->end, &name);
        at = mp_skip(at, map->end);
        if (mp_is_text(&name, key)) {
            mp_read(at, map->end, &value);
            break;
        }
        at = mp_skip(at, map->end);
    }
    return value;
}

bool mp_is_text(const struct mp *value, const char *text)
{
    return value->kind == MP_STR && value->size == strlen(text) && memcmp(value->bytes, text, value->size) == 0;
}

bool mp_is_number(const struct mp *value)
{
    return value->kind == MP_UINT || value->kind == MP_INT || value->kind == MP_FLOAT;
}

bool mp_is_utf8(const struct mp *text)
{
    static const uint32_t LEAST[4] = {0, 0x80, 0x800, 0x10000};
    const unsigned char *at = text->bytes, *end = at + text->size;
    while (at < end) {
        uint32_t code = *at++;
        int more = code < 0x80 ? 0 : code < 0xc0 ? -1 : code < 0xe0 ? 1 : code < 0xf0 ? 2 : code < 0xf8 ? 3 : -1;
        int i;
        if (more < 0 || end - at < more)
            return false;
        code &= more > 0 ? 0x3fu >> more : 0x7fu;
        for (i = 0; i < more; i++, at++) {
            if ((*at & 0xc0) != 0x80)
                return false;
            code = code << 6 | (*at & 0x3f);
        }
        if (code < LEAST[more] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
            return false;
    }
    return true;
}

void out_reserve(struct out *out, size_t more)
{
    size_t room = out->size + more + out->room / 2;
    unsigned char *bytes;
    if (out->room - out->size >= more)
        return;
    bytes = realloc(out->bytes, room);
    if (bytes == NULL) {
        fputs("[ERROR] out of memory\n", stderr);
        exit(70);
    }
    out->bytes = bytes;
    out->room = room;
}

void out_bytes(struct out *out, const void *bytes, size_t size)
{
    if (size == 0)
        return;
    out_reserve(out, size);
    memcpy(out->bytes + out->size, bytes, size);
    out->size += size;
}

void out_byte(struct out *out, unsigned byte)
{
    unsigned char single = (unsigned char)byte;
    out_bytes(out, &single, 1);
}

void out_be32(unsigned char *at, uint32_t number)
{
    at[0] = (unsigned char)(number >> 24);
    at[1] = (unsigned char)(number >> 16);
    at[2] = (unsigned char)(number >> 8);
    at[3] = (unsigned char)number;
}

static void tagged(struct out *out, unsigned tag, uint64_t number)
{
    unsigned char bytes[9];
    bytes[0] = (unsigned char)tag;
    out_be32(bytes + 1, (uint32_t)(number >> 32));
    out_be32(bytes + 5, (uint32_t)number);
    out_bytes(out, bytes, sizeof bytes);
}

void out_nil(struct out *out)
{
    out_byte(out, 0xc0);
}

void out_bool(struct out *out, bool value)
{
    out_byte(out, value ? 0xc3 : 0xc2);
}

void out_uint(struct out *out, uint64_t number)
{
    if (number <= 0x7f) {
        out_byte(out, (unsigned)number);
    } else if (number <= 0xffff) {
        out_byte(out, 0xcd);
        out_byte(out, (unsigned)number >> 8);
        out_byte(out, (unsigned)number & 0xff);
    } else {
        tagged(out, 0xcf, number);
    }
}

void out_double(struct out *out, double number)
{
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    tagged(out, 0xcb, bits);
}

size_t out_head(struct out *out, enum mp_kind kind, uint32_t size)
{
    unsigned char bytes[5];
    if (size <= (kind == MP_STR ? 0x1f : 0x0f)) {
        out_byte(out, (kind == MP_STR ? 0xa0 : kind == MP_ARRAY ? 0x90 : 0x80) | size);
        return out->size;
    }
    bytes[0] = kind == MP_STR ? 0xdb : kind == MP_ARRAY ? 0xdd : 0xdf;
    out_be32(bytes + 1, size);
    out_bytes(out, bytes, sizeof bytes);
    return out->size - 4;
}

void out_text(struct out *out, const char *text)
{
    size_t size = strlen(text);
    out_head(out, MP_STR, (uint32_t)size);
    out_bytes(out, text, size);
}

void out_string(struct out *out, const struct mp *text)
{
    out_head(out, MP_STR, text->size);
    out_bytes(out, text->bytes, text->size);
}
