/* SPDX-License-Identifier: MIT */
/*
 * boot_options.h - what the person who started the machine asked for.
 *
 * Why: a test wants another application in the same ISO (QEMU's fw_cfg file `opt/theoris/<key>`), a
 * person edits the boot menu (the command line: words `key=value`). Readers ask for a key.
 *
 * Rules: fw_cfg wins over the command line, and there the last of equal keys. Quotes (" or ') keep
 * spaces in a word, a backslash keeps the next character; a word without `=` has the value "". What
 * does not fit the limits below is left out with a warning. The first call reads the sources: it is
 * the captain's, before there are tasks. From then on nothing changes: any context, any CPU; values
 * live for ever.
 */
#pragma once

#include "status.h"

#define BOOT_OPTIONS_MAX       32
#define BOOT_OPTIONS_TEXT_SIZE 4096 /* all keys and values, with their terminators */
#define BOOT_OPTIONS_FOLDER    "opt/theoris/"

/* The value of `key`, or NULL where nobody gave one. */
CELL_API const char *boot_options_find(const char *key);

/* The options found by parsing; caller's storage, all zero is empty. */
struct boot_options {
    size_t count;
    size_t text_length;
    size_t left_out; /* options that did not fit */
    const char *keys[BOOT_OPTIONS_MAX];
    const char *values[BOOT_OPTIONS_MAX];
    char text[BOOT_OPTIONS_TEXT_SIZE];
};

/* Adds the words of a command line; a later equal key replaces the earlier. Pure. */
CELL_API void boot_options_add_line(struct boot_options *options, const char *line);

/* Adds one option whose value is `length` bytes (cut at the first NUL). Pure. False if it did not
 * fit. */
CELL_API bool boot_options_add(struct boot_options *options, const char *key, const char *value,
                               size_t length);

/* The value of `key` in `options`, or NULL. Pure. */
CELL_API const char *boot_options_value(const struct boot_options *options, const char *key);
