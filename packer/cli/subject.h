/* SPDX-License-Identifier: MIT */
/*
 * subject.h - what an analysing verb is asked about: the bundle, and the names among its nouns.
 *
 * Why: `ls`, `info`, `sym`, `tree`, `why`, `graph`, `size`, `spill` and `check` accept the same
 * input in the same way: files among the nouns (archives, or objects of any origin, together one
 * bundle), else
 * --cells, else the archive that find_cells() finds.
 *
 * Rules: a noun is a file when it holds a slash or ends in .a, .o, .ko, .cell or .obj. An object
 * file also stands for the cell in it, so `cellpack info x.ko` and `cellpack why a.o b.o` work.
 */
#pragma once

#include "cli.h"
#include "model/model.h"

struct subject {
    struct model *model;
    char *input;        /* the archive's path, or "3 objects" */
    const char **words; /* the nouns that name something in the bundle */
    size_t word_count;
    bool has_words; /* there are nouns that are no files */
};

/* Loads the bundle. Returns EXIT_DONE, or the exit code after having reported. */
int subject_open(const struct arguments *arguments, unsigned model_flags, struct subject *out);
void subject_close(struct subject *subject);

/* Finds a cell, or reports C0451 with the nearest name. */
int subject_cell(const struct subject *subject, const char *name, uint32_t *out_cell);

/* Finds `CELL:SECTION` or `CELL`; *out_section is MODEL_NOWHERE for the latter. */
int subject_place(const struct subject *subject, const char *text, uint32_t *out_cell,
                  uint32_t *out_section);

/* A JSON string of any bytes: what is not UTF-8 is replaced, so that building never fails. */
json_t *json_text(const char *text);
/* `text` as a string, or null. */
json_t *json_text_or_null(const char *text);
/* {"text": n, ..., "total": n} */
json_t *json_sizes(const struct model_sizes *sizes);
/* The edge with names: source_cell, source_section, offset, type, use, symbol, target_... */
json_t *json_edge(const struct model *model, const struct model_edge *edge);

/* `heap:.text.heap_take+0x1c`; the text is the caller's to free. */
char *place_text(const struct model *model, uint32_t section, int64_t offset) MUST_CHECK;
/* `heap:heap_take` where the reference is by a symbol's name, else as place_text(). */
char *target_text(const struct model *model, const struct model_edge *edge) MUST_CHECK;

/* "1 cell", "3 cells"; the text is the caller's to free. */
char *count_text(uint64_t count, const char *one, const char *more) MUST_CHECK;
