/* SPDX-License-Identifier: MIT */
/*
 * evolution.h - reads the manifest of an evolution: which running cells give way to which new ones.
 *
 * Why: `cellpack diff` finds on one machine what another one does to its running cells. What passes
 * between them is a short text that a person can read, sign and keep, and a bundle of cells.
 * docs/evolution-format.md is the specification.
 *
 * Rules: pure; borrows the text, allocates nothing. Opening looks at every line, so that walking
 * cannot fail. O(lines * cells). Any context.
 *
 * After evolution_open() succeeded: sets are numbered from 1 on in their order, and come after
 * earlier ones only; each has a cell; no old cell and no new cell is named twice; names are those
 * of cells and symbols; other lines with a new cell follow the one about it; there is a bundle if a
 * cell is new; there are no more of anything than the limits below.
 */
#pragma once

#include "blake2b.h"
#include "span.h"
#include "status.h"

struct diag;

#define EVOLUTION_MAX_SIZE \
    (1u << 20)                     /* bytes: what names and reasons of a whole system take, twice */
#define EVOLUTION_MAX_LINES   4096 /* bounds the time to find what is named twice */
#define EVOLUTION_MAX_LINE    1024 /* bytes, without its end */
#define EVOLUTION_MAX_CELLS   512  /* the whole system has about 150 */
#define EVOLUTION_NAME_SIZE   40   /* as CELL_INFO_NAME_SIZE */
#define EVOLUTION_SYMBOL_SIZE 64   /* as CELL_TRANSFER_NAME */
#define EVOLUTION_BUNDLE_SIZE 64   /* of its file name */
#define EVOLUTION_HEADER      "theoris-evolution 1"

struct evolution {
    struct span text;
    uint64_t first; /* where the first set begins */
    uint32_t set_count;
    uint32_t cell_count;                /* lines about cells */
    char bundle[EVOLUTION_BUNDLE_SIZE]; /* file name; "" where no cell is new */
    struct blake2b_digest bundle_hash;  /* of all its bytes; of no use where there is none */
};

enum evolution_kind {
    EVOLUTION_SET,      /* a set begins */
    EVOLUTION_REPLACE,  /* old by new */
    EVOLUTION_REMOVE,   /* old goes */
    EVOLUTION_ADD,      /* new comes */
    EVOLUTION_INHERIT,  /* new takes over from old, too: that one was split or merged */
    EVOLUTION_TRANSFER, /* `function` of new fills its `new_variable` from `old_variable` */
    EVOLUTION_FRESH,    /* `new_variable` of new begins anew */
    EVOLUTION_BECAUSE,  /* a reason, for people */
};

/* What one line says. Names that its kind does not have are empty. */
struct evolution_line {
    enum evolution_kind kind;
    uint32_t number; /* of the line, from 1 on */
    uint32_t set;
    char old_name[EVOLUTION_NAME_SIZE];
    char new_name[EVOLUTION_NAME_SIZE];
    struct blake2b_digest old_hash; /* cell_hash.h */
    struct blake2b_digest new_hash;
    char old_variable[EVOLUTION_SYMBOL_SIZE];
    char new_variable[EVOLUTION_SYMBOL_SIZE];
    char function[EVOLUTION_SYMBOL_SIZE];
    struct span text; /* the reason; of EVOLUTION_SET the numbers of the sets before it */
};

/* A walk over the lines: start with {0}. */
struct evolution_cursor {
    uint64_t offset;
    uint32_t number;
    uint32_t set;
};

/*
 * Checks the whole text. Refusals name the line as section, the byte in it as offset, and the word:
 * C0801 another format, C0802 a line, C0803 a word, C0804 order, C0805 a cell twice, C0806 no end,
 * C0807 limits.
 */
CELL_API MUST_CHECK enum status evolution_open(struct span text, struct evolution *out_evolution,
                                               struct diag *diag);

/* The next line from the first set on; false at the end. */
CELL_API bool evolution_next(const struct evolution *evolution, struct evolution_cursor *cursor,
                             struct evolution_line *out_line);

/* The next of the sets that must come before, of a line EVOLUTION_SET: takes it from `text`. */
CELL_API bool evolution_next_before(struct evolution_line *line, uint32_t *out_set);
