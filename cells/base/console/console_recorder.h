/* SPDX-License-Identifier: MIT */
/*
 * console_recorder.h - a console sink that keeps what it hears, for tests.
 *
 * Why: what an application prints is what it does; its test compares the text.
 *
 * Rules: for host tests only. What does not fit is cut off, so that the comparison fails.
 */
#pragma once

#include "console.h"

#define CONSOLE_RECORDER_SIZE 8192

struct console_recorder {
    struct console_sink sink;
    size_t length;
    char text[CONSOLE_RECORDER_SIZE]; /* terminated */
};

static inline void console_recorder_write(struct console_sink *sink, const char *bytes,
                                          size_t length)
{
    struct console_recorder *recorder = CONTAINER_OF(sink, struct console_recorder, sink);
    size_t room = sizeof(recorder->text) - 1 - recorder->length;
    size_t fitting = length < room ? length : room;
    __builtin_memcpy(recorder->text + recorder->length, bytes, fitting);
    recorder->length += fitting;
    recorder->text[recorder->length] = '\0';
}

static inline void console_recorder_clear(struct console_recorder *recorder)
{
    recorder->length = 0;
    recorder->text[0] = '\0';
}

/* Empties the recorder and registers it, once. */
static inline void console_recorder_start(struct console_recorder *recorder)
{
    recorder->sink.name = "recorder";
    recorder->sink.write = console_recorder_write;
    console_recorder_clear(recorder);
    (void)!console_register(&recorder->sink); /* once is enough */
}
