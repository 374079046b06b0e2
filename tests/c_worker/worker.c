/* SPDX-License-Identifier: MPL-2.0 */
/*
 * A worker of protocol version 1 (docs/worker-protocol.md) in C99 and POSIX, without any library.
 *
 *     cc -std=c99 -Wall -Wextra -Werror -pedantic -O2 -o bright_spot worker.c msgpack.c json.c
 *
 * It finds what is bright: the smallest box around all pixels of the region that are at least as bright as BRIGHT. The
 * confidence is the mean brightness inside the box. It reads raw pictures; it has no decoder for JPEG and says so.
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "msgpack.h"

#define NAME "bright_spot"
#define VERSION "1.0.0"

enum { MAX_MESSAGE = 64 * 1024 * 1024, MAX_LINE = 64 * 1024, MAX_SIDE = 65535, BRIGHT = 200 };
enum { STATUS_USAGE = 2, STATUS_STREAM = 5 };

struct fault {
    const char *code;
    char text[160];
};

struct rect {
    double x, y, width, height;
};

struct frame {
    struct mp data, instance_id, room_id, timestamp;
    struct mp asked; /* roi_processing; MP_NONE or MP_NIL = there is none */
    struct mp format;
    uint64_t seq;
    uint32_t width, height;
    bool has_region;
    struct rect region; /* of the frame, 0..1 */
};

static double confidence = 0.5;
static uint64_t received, results, errors;
static struct out in, answer;

/* ---------------------------------------------------------------------------------------------- answers */

static bool refuse(struct fault *fault, const char *code, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    fault->code = code;
    vsnprintf(fault->text, sizeof fault->text, format, values);
    va_end(values);
    return false;
}

static void begin(void)
{
    answer.size = 0;
    out_bytes(&answer, "\0\0\0", 4); /* the length, when it is known */
}

static void send_answer(void)
{
    size_t at = 0;
    out_be32(answer.bytes, (uint32_t)(answer.size - 4));
    while (at < answer.size) {
        ssize_t written = write(STDOUT_FILENO, answer.bytes + at, answer.size - at);
        if (written < 0 && errno != EINTR)
            exit(0); /* the host has gone */
        at += written > 0 ? (size_t)written : 0;
    }
}

static void send_error(const struct fault *fault, const struct mp *seq)
{
    begin();
    out_head(&answer, MP_MAP, seq != NULL && seq->kind == MP_UINT ? 4 : 3);
    out_text(&answer, "type"), out_text(&answer, "error");
    out_text(&answer, "code"), out_text(&answer, fault->code);
    out_text(&answer, "message"), out_text(&answer, fault->text);
    if (seq != NULL && seq->kind == MP_UINT)
        out_text(&answer, "frame_seq"), out_uint(&answer, seq->number);
    send_answer();
}

static void field_rect(const char *name, const struct rect *rect)
{
    if (name != NULL)
        out_text(&answer, name);
    out_head(&answer, MP_MAP, 4);
    out_text(&answer, "x"), out_double(&answer, rect->x);
    out_text(&answer, "y"), out_double(&answer, rect->y);
    out_text(&answer, "width"), out_double(&answer, rect->width);
    out_text(&answer, "height"), out_double(&answer, rect->height);
}

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return 1e3 * (double)now.tv_sec + 1e-6 * (double)now.tv_nsec;
}

/* ---------------------------------------------------------------------------------------------- reading a frame */

/* The field at `path`, whose last part is its key in `map`. */
static bool need(const struct mp *map, const char *path, enum mp_kind kind, struct mp *found, struct fault *fault)
{
    const char *dot = strrchr(path, '.');
    *found = mp_get(map, dot != NULL ? dot + 1 : path);
    if (found->kind == MP_NONE)
        return refuse(fault, "bad_message", "%s: missing", path);
    if (found->kind != kind)
        return refuse(fault, "bad_message", "%s: wrong type", path);
    return kind != MP_STR || mp_is_utf8(found) || refuse(fault, "bad_message", "%s: no UTF-8", path);
}

static bool read_rect(const struct mp *map, const char *path, struct rect *rect, struct fault *fault)
{
    struct mp x = mp_get(map, "x"), y = mp_get(map, "y");
    struct mp width = mp_get(map, "width"), height = mp_get(map, "height");
    if (!mp_is_number(&x) || !mp_is_number(&y) || !mp_is_number(&width) || !mp_is_number(&height))
        return refuse(fault, "bad_message", "%s: no map of four numbers", path);
    rect->x = x.real, rect->y = y.real, rect->width = width.real, rect->height = height.real;
    return true;
}

static bool inside(const struct rect *r)
{
    const double slack = 1e-6;
    /* A comparison with NaN is false. */
    return r->x >= 0 && r->x <= 1 && r->y >= 0 && r->y <= 1 && r->width > 0 && r->height > 0 &&
           r->x + r->width <= 1 + slack && r->y + r->height <= 1 + slack;
}

static bool read_region(struct frame *frame, struct fault *fault)
{
    static const char *const SOURCES[] = {"external", "python_suggested", "auto_history", ""};
    struct mp size, crop, source, rois, merged, roi;
    const unsigned char *at;
    uint32_t i;
    bool known = false;

    if (frame->asked.kind != MP_MAP)
        return refuse(fault, "bad_message", "meta.roi_processing: wrong type");
    if (!need(&frame->asked, "meta.roi_processing.target_size", MP_UINT, &size, fault) ||
        !need(&frame->asked, "meta.roi_processing.crop_applied", MP_BOOL, &crop, fault) ||
        !need(&frame->asked, "meta.roi_processing.source", MP_STR, &source, fault) ||
        !need(&frame->asked, "meta.roi_processing.attention_rois", MP_ARRAY, &rois, fault))
        return false;
    if (size.number != 320 && size.number != 640)
        return refuse(fault, "bad_message", "meta.roi_processing.target_size: neither 320 nor 640");
    for (i = 0; i < 4; i++)
        known = known || mp_is_text(&source, SOURCES[i]);
    if (!known)
        return refuse(fault, "bad_message", "meta.roi_processing.source: unknown");
    for (i = 0, at = rois.bytes; i < rois.size; i++, at = mp_skip(at, rois.end)) {
        mp_read(at, rois.end, &roi);
        if (!read_rect(&roi, "meta.roi_processing.attention_rois", &frame->region, fault))
            return false;
    }
    merged = mp_get(&frame->asked, "merged_roi");
    frame->has_region = merged.kind != MP_NONE && merged.kind != MP_NIL;
    if (!frame->has_region)
        return true;
    return read_rect(&merged, "meta.roi_processing.merged_roi", &frame->region, fault) &&
           (inside(&frame->region) || refuse(fault, "bad_frame", "merged_roi: not inside the frame"));
}

static bool read_frame(const struct mp *message, struct frame *frame, struct fault *fault)
{
    struct mp meta, seq, width, height;
    memset(frame, 0, sizeof *frame);
    if (!need(message, "frame_data", MP_BIN, &frame->data, fault) ||
        !need(message, "width", MP_UINT, &width, fault) || !need(message, "height", MP_UINT, &height, fault) ||
        !need(message, "meta", MP_MAP, &meta, fault) ||
        !need(&meta, "meta.instance_id", MP_STR, &frame->instance_id, fault) ||
        !need(&meta, "meta.room_id", MP_STR, &frame->room_id, fault) ||
        !need(&meta, "meta.timestamp", MP_STR, &frame->timestamp, fault) ||
        !need(&meta, "meta.seq", MP_UINT, &seq, fault))
        return false;
    if (width.number > MAX_SIDE || height.number > MAX_SIDE)
        return refuse(fault, "bad_message", "width, height: at most %d", MAX_SIDE);
    frame->seq = seq.number;
    frame->width = (uint32_t)width.number;
    frame->height = (uint32_t)height.number;
    frame->asked = mp_get(&meta, "roi_processing");
    frame->format = mp_get(message, "format");
    if (frame->format.kind != MP_NONE && frame->format.kind != MP_STR)
        return refuse(fault, "bad_message", "format: wrong type");
    return frame->asked.kind == MP_NONE || frame->asked.kind == MP_NIL || read_region(frame, fault);
}

/* Finds the size in the header of a JPEG: segments of a marker and a length, until a start of frame. */
static bool check_jpeg(const struct frame *frame, struct fault *fault)
{
    const unsigned char *data = frame->data.bytes;
    size_t size = frame->data.size, at = 2;
    if (size < 2 || data[0] != 0xff || data[1] != 0xd8)
        return refuse(fault, "bad_frame", "no JPEG: it does not start with ff d8");
    for (;;) {
        unsigned marker;
        while (at < size && data[at] != 0xff)
            at++;
        while (at < size && data[at] == 0xff)
            at++;
        if (at == size)
            return refuse(fault, "bad_frame", "JPEG ends before its frame header");
        marker = data[at++];
        if (marker <= 1 || (marker >= 0xd0 && marker <= 0xd8))
            continue; /* has no length */
        if (size - at < 7 || marker == 0xd9 || marker == 0xda)
            return refuse(fault, "bad_frame", "JPEG has no whole frame header");
        if (marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc) {
            unsigned height = (unsigned)data[at + 3] << 8 | data[at + 4];
            unsigned width = (unsigned)data[at + 5] << 8 | data[at + 6];
            bool told = frame->width != 0 || frame->height != 0;
            if (width == 0 || height == 0 || (told && (width != frame->width || height != frame->height)))
                return refuse(fault, "bad_frame", "JPEG of %ux%u px in a frame announced as %ux%u px", width, height,
                              (unsigned)frame->width, (unsigned)frame->height);
            return true;
        }
        marker = (unsigned)data[at] << 8 | data[at + 1];
        at += marker < 2 ? 2 : marker < size - at ? marker : size - at;
    }
}

static bool check_picture(const struct frame *frame, struct fault *fault)
{
    uint64_t pixels = (uint64_t)frame->width * frame->height, expected;
    if (frame->format.kind == MP_NONE || mp_is_text(&frame->format, "jpeg"))
        return check_jpeg(frame, fault) &&
               refuse(fault, "unsupported_format", "JPEG is not supported by this worker");
    if (mp_is_text(&frame->format, "rgb") || mp_is_text(&frame->format, "bgr"))
        expected = pixels * 3;
    else if (mp_is_text(&frame->format, "i420") || mp_is_text(&frame->format, "nv12"))
        expected = pixels + 2 * (uint64_t)((frame->width + 1) / 2) * ((frame->height + 1) / 2);
    else
        return refuse(fault, "bad_message", "format: expected jpeg, rgb, bgr, i420 or nv12");
    if (pixels == 0)
        return refuse(fault, "bad_frame", "a raw frame of %ux%u px", (unsigned)frame->width, (unsigned)frame->height);
    if (frame->data.size != expected)
        return refuse(fault, "bad_frame", "%lu bytes for a frame of %lu", (unsigned long)frame->data.size,
                      (unsigned long)expected);
    return true;
}

/* ---------------------------------------------------------------------------------------------- looking at it */

/* 0..255. */
static unsigned brightness(const struct frame *frame, uint32_t x, uint32_t y)
{
    size_t at = (size_t)y * frame->width + x;
    const unsigned char *data = frame->data.bytes;
    bool rgb = mp_is_text(&frame->format, "rgb");
    if (rgb || mp_is_text(&frame->format, "bgr")) {
        data += 3 * at;
        return (77u * data[rgb ? 0 : 2] + 150u * data[1] + 29u * data[rgb ? 2 : 0]) >> 8;
    }
    /* Luma lies in 16..235. */
    return data[at] <= 16 ? 0 : data[at] >= 235 ? 255 : (data[at] - 16u) * 255u / 219u;
}

/* A region along one axis as whole pixels, rounded outward; at least 2 of them where the frame has so many. */
static void span(double start, double size, uint32_t length, uint32_t *low, uint32_t *high)
{
    double last = (start + size) * length - 1e-6;
    *low = (uint32_t)(start * length + 1e-6);
    *high = last <= 0 ? 0 : (uint32_t)last + ((double)(uint32_t)last < last);
    *high = *high > length ? length : *high;
    if (*high < *low + 2) {
        *low = *low + 2 <= length ? *low : length < 2 ? 0 : length - 2;
        *high = *low + 2 <= length ? *low + 2 : length;
    }
}

/* False = there is nothing bright. `box`: pixels. */
static bool look(const struct frame *frame, struct rect *box, double *mean)
{
    uint32_t x, y, left = 0, top = 0, right = frame->width, bottom = frame->height;
    uint32_t x0 = UINT32_MAX, y0 = UINT32_MAX, x1 = 0, y1 = 0;
    uint64_t sum = 0;
    if (frame->has_region) {
        span(frame->region.x, frame->region.width, frame->width, &left, &right);
        span(frame->region.y, frame->region.height, frame->height, &top, &bottom);
    }
    for (y = top; y < bottom; y++)
        for (x = left; x < right; x++)
            if (brightness(frame, x, y) >= BRIGHT) {
                x0 = x < x0 ? x : x0, x1 = x >= x1 ? x + 1 : x1;
                y0 = y < y0 ? y : y0, y1 = y + 1;
            }
    if (x1 == 0)
        return false;
    for (y = y0; y < y1; y++)
        for (x = x0; x < x1; x++)
            sum += brightness(frame, x, y);
    box->x = x0, box->y = y0, box->width = x1 - x0, box->height = y1 - y0;
    *mean = (double)sum / (255.0 * box->width * box->height);
    return *mean >= confidence;
}

/* Where to look next: the box and 15 % of its size, half of that on each side, inside the frame; 0..1. */
static struct rect suggestion(const struct frame *frame, const struct rect *box)
{
    double dx = box->width * 0.075, dy = box->height * 0.075;
    double left = (box->x - dx) / frame->width, right = (box->x + box->width + dx) / frame->width;
    double top = (box->y - dy) / frame->height, bottom = (box->y + box->height + dy) / frame->height;
    struct rect region;
    region.x = left > 0 ? left : 0;
    region.y = top > 0 ? top : 0;
    region.width = (right < 1 ? right : 1) - region.x;
    region.height = (bottom < 1 ? bottom : 1) - region.y;
    return region;
}

static void echo_region(const struct frame *frame)
{
    struct mp size = mp_get(&frame->asked, "target_size"), source = mp_get(&frame->asked, "source");
    struct mp rois = mp_get(&frame->asked, "attention_rois"), roi;
    const unsigned char *at;
    struct rect rect = {0, 0, 0, 0};
    struct fault ignored;
    uint32_t i;
    out_text(&answer, "roi_processing");
    if (frame->asked.kind != MP_MAP) {
        out_nil(&answer);
        return;
    }
    out_head(&answer, MP_MAP, 5);
    out_text(&answer, "target_size"), out_uint(&answer, size.number);
    out_text(&answer, "crop_applied"), out_bool(&answer, frame->has_region);
    out_text(&answer, "source"), out_string(&answer, &source);
    out_text(&answer, "attention_rois"), out_head(&answer, MP_ARRAY, rois.size);
    for (i = 0, at = rois.bytes; i < rois.size; i++, at = mp_skip(at, rois.end)) {
        mp_read(at, rois.end, &roi);
        read_rect(&roi, "", &rect, &ignored);
        field_rect(NULL, &rect);
    }
    if (frame->has_region)
        field_rect("merged_roi", &frame->region);
    else
        out_text(&answer, "merged_roi"), out_nil(&answer);
}

static bool answer_frame(const struct mp *message, struct fault *fault)
{
    double start = now_ms(), ready, done, mean = 0;
    struct frame frame;
    struct rect box = {0, 0, 0, 0}, next;
    bool found;

    if (!read_frame(message, &frame, fault))
        return false;
    received++;
    if (!check_picture(&frame, fault)) {
        errors += strcmp(fault->code, "bad_message") != 0;
        return false;
    }
    ready = now_ms();
    found = look(&frame, &box, &mean);
    done = now_ms();

    begin();
    out_head(&answer, MP_MAP, 8);
    out_text(&answer, "type"), out_text(&answer, NAME);
    out_text(&answer, "instance_id"), out_string(&answer, &frame.instance_id);
    out_text(&answer, "room_id"), out_string(&answer, &frame.room_id);
    out_text(&answer, "timestamp"), out_string(&answer, &frame.timestamp);
    out_text(&answer, "frame_seq"), out_uint(&answer, frame.seq);
    out_text(&answer, "data"), out_head(&answer, MP_MAP, 3);
    out_text(&answer, "detections"), out_head(&answer, MP_ARRAY, found ? 1 : 0);
    if (found) {
        out_head(&answer, MP_MAP, 4);
        field_rect("bbox", &box);
        out_text(&answer, "confidence"), out_double(&answer, mean);
        out_text(&answer, "label"), out_text(&answer, "bright");
        out_text(&answer, "label_id"), out_uint(&answer, 0);
    }
    out_text(&answer, "count"), out_uint(&answer, found ? 1 : 0);
    out_text(&answer, "metadata"), out_head(&answer, MP_MAP, 5);
    out_text(&answer, "model_selected"), out_nil(&answer);
    out_text(&answer, "roi_attention"), out_bool(&answer, frame.has_region);
    echo_region(&frame);
    out_text(&answer, "frame_width"), out_uint(&answer, frame.width);
    out_text(&answer, "frame_height"), out_uint(&answer, frame.height);
    out_text(&answer, "timing"), out_head(&answer, MP_MAP, 4);
    out_text(&answer, "preprocess_ms"), out_double(&answer, ready - start);
    out_text(&answer, "inference_ms"), out_double(&answer, done - ready);
    out_text(&answer, "postprocess_ms"), out_double(&answer, 0);
    out_text(&answer, "total_ms"), out_double(&answer, now_ms() - start);
    next = suggestion(&frame, &box);
    if (found)
        field_rect("suggested_roi", &next);
    else
        out_text(&answer, "suggested_roi"), out_nil(&answer);
    results++;
    return true;
}

/* ---------------------------------------------------------------------------------------------- commands */

/* What is wrong with the parameters of a command that takes `wanted`, or nothing where that is NULL. */
static const char *check_params(const struct mp *params, const char *wanted)
{
    struct mp value = mp_get(params, wanted != NULL ? wanted : "");
    if (params->kind != MP_NONE && params->size != (wanted != NULL && value.kind != MP_NONE ? 1u : 0u))
        return "params: unknown parameter";
    if (wanted == NULL)
        return NULL;
    if (value.kind == MP_NONE)
        return "params.confidence: missing";
    if (!mp_is_number(&value))
        return "params.confidence: not a number";
    return value.real >= 0 && value.real <= 1 ? NULL : "params.confidence: not between 0 and 1";
}

static bool answer_command(const struct mp *message, struct fault *fault)
{
    struct mp command, id = mp_get(message, "id"), params = mp_get(message, "params"), value;
    bool set, describe;
    const char *problem;
    if (!need(message, "command", MP_STR, &command, fault) ||
        (id.kind != MP_NONE && !need(message, "id", MP_STR, &id, fault)) ||
        (params.kind != MP_NONE && !need(message, "params", MP_MAP, &params, fault)))
        return false;
    set = mp_is_text(&command, "set_confidence");
    describe = mp_is_text(&command, "describe");
    if (set || describe || mp_is_text(&command, "ping"))
        problem = check_params(&params, set ? "confidence" : NULL);
    else
        problem = "unknown command; known: ping, describe, set_confidence";

    begin();
    out_head(&answer, MP_MAP, 5);
    out_text(&answer, "type"), out_text(&answer, "ack");
    out_text(&answer, "id"), out_string(&answer, &id);
    out_text(&answer, "command"), out_string(&answer, &command);
    out_text(&answer, "status"), out_text(&answer, problem != NULL ? "error" : "success");
    if (problem != NULL) {
        out_text(&answer, "error"), out_text(&answer, problem);
        return true;
    }
    out_text(&answer, "data");
    if (set) {
        value = mp_get(&params, "confidence");
        confidence = value.real;
        out_head(&answer, MP_MAP, 1);
    } else {
        out_head(&answer, MP_MAP, describe ? 5 : 2);
        out_text(&answer, "worker"), out_text(&answer, NAME);
        out_text(&answer, "version"), out_text(&answer, VERSION);
    }
    if (set || describe)
        out_text(&answer, "confidence"), out_double(&answer, confidence);
    if (describe) {
        out_text(&answer, "labels"), out_head(&answer, MP_ARRAY, 1), out_text(&answer, "bright");
        out_text(&answer, "frames"), out_head(&answer, MP_MAP, 3);
        out_text(&answer, "received"), out_uint(&answer, received);
        out_text(&answer, "results"), out_uint(&answer, results);
        out_text(&answer, "errors"), out_uint(&answer, errors);
    }
    return true;
}

/* ---------------------------------------------------------------------------------------------- messages */

/* Every message gets one answer. */
static void answer_message(const unsigned char *body, size_t size, bool typed)
{
    struct mp message = {0}, type, meta, seq = {0};
    struct fault fault;
    bool done;
    if (!mp_message(body, size, &message)) {
        done = refuse(&fault, "bad_message", "the message is not one MessagePack map");
        message.kind = MP_NONE;
    } else {
        type = mp_get(&message, "type");
        if (mp_is_text(&type, "command") || (typed && type.kind == MP_NONE))
            done = answer_command(&message, &fault);
        else if (!typed && (type.kind == MP_NONE || mp_is_text(&type, "frame")))
            done = answer_frame(&message, &fault);
        else
            done = refuse(&fault, "bad_message", "type: expected %s", typed ? "command" : "frame or command");
        meta = mp_get(&message, "meta");
        seq = mp_get(&meta, "seq");
    }
    if (done && answer.size - 4 > MAX_MESSAGE)
        done = refuse(&fault, "bad_message", "the answer would be longer than %d bytes", MAX_MESSAGE);
    if (done)
        send_answer();
    else
        send_error(&fault, &seq);
}

/* The stream cannot be read on. */
static int broken(const char *code, const char *text)
{
    struct fault fault;
    refuse(&fault, code, "%s", text);
    send_error(&fault, NULL);
    fprintf(stderr, "[ERROR] %s\n", text);
    return STATUS_STREAM;
}

/* The `{` of a line of JSON was read; true = the line is in `in`. */
static bool read_line(void)
{
    int byte;
    in.size = 0;
    out_byte(&in, '{');
    while ((byte = getchar()) != EOF && byte != '\n' && in.size <= MAX_LINE)
        out_byte(&in, (unsigned)byte);
    if (in.size > MAX_LINE)
        return false;
    out_byte(&in, 0);
    in.size--;
    return true;
}

static int serve(void)
{
    for (;;) {
        unsigned char prefix[4];
        size_t length;
        int first = getchar();
        if (first == ' ' || first == '\t' || first == '\r' || first == '\n')
            continue; /* typed; a legal length starts with a byte of at most 4 */
        if (first == EOF)
            return 0;
        if (first == '{') {
            struct out body = {NULL, 0, 0};
            struct fault fault;
            if (!read_line())
                return broken("message_too_long", "a line of JSON is longer than 65536 bytes");
            if (json_to_msgpack((const char *)in.bytes, (const char *)in.bytes + in.size, &body)) {
                answer_message(body.bytes, body.size, true);
            } else {
                refuse(&fault, "bad_message", "JSON command: not one JSON object");
                send_error(&fault, NULL);
            }
            free(body.bytes);
            continue;
        }
        prefix[0] = (unsigned char)first;
        if (fread(prefix + 1, 1, 3, stdin) < 3)
            return broken("truncated_message", "the input ended inside the length of a message");
        length = (size_t)prefix[0] << 24 | (size_t)prefix[1] << 16 | (size_t)prefix[2] << 8 | prefix[3];
        if (length > MAX_MESSAGE)
            return broken("message_too_long", "a message of more than 67108864 bytes is announced");
        in.size = 0;
        out_reserve(&in, length + 1);
        if (fread(in.bytes, 1, length, stdin) < length)
            return broken("truncated_message", "the input ended inside a message");
        answer_message(in.bytes, length, false);
    }
}

static void announce(double start)
{
    begin();
    out_head(&answer, MP_MAP, 6);
    out_text(&answer, "type"), out_text(&answer, "ready");
    out_text(&answer, "protocol"), out_uint(&answer, 1);
    out_text(&answer, "worker"), out_text(&answer, NAME);
    out_text(&answer, "version"), out_text(&answer, VERSION);
    out_text(&answer, "pid"), out_uint(&answer, (uint64_t)getpid());
    out_text(&answer, "load_ms"), out_double(&answer, now_ms() - start);
    send_answer();
    fputs("[INFO] " NAME " is ready\n", stderr);
}

int main(int argc, char **argv)
{
    double start = now_ms();
    int i, status;
    for (i = 1; i + 1 < argc; i++)
        if (strcmp(argv[i], "--confidence") == 0) {
            char *end;
            confidence = strtod(argv[i + 1], &end);
            if (end == argv[i + 1] || *end != '\0' || !(confidence >= 0 && confidence <= 1)) {
                fprintf(stderr, "[ERROR] --confidence %s: not a number between 0 and 1\n", argv[i + 1]);
                return STATUS_USAGE;
            }
        }
    /* A host that has gone is an error of the write, and ends us by that. */
    signal(SIGPIPE, SIG_IGN);
    /* A socket pair shares what a host may have set for its own end. */
    fcntl(STDIN_FILENO, F_SETFL, fcntl(STDIN_FILENO, F_GETFL) & ~O_NONBLOCK);
    fcntl(STDOUT_FILENO, F_SETFL, fcntl(STDOUT_FILENO, F_GETFL) & ~O_NONBLOCK);
    announce(start);
    status = serve();
    free(in.bytes);
    free(answer.bytes);
    return status;
}
