/* SPDX-License-Identifier: MIT */
/*
 * diff.h - what became of each cell between two builds, and which cells must be swapped together.
 *
 * Why: a running system evolves from one build to another by swapping the cells that differ, and no
 * others. `cellpack diff` shows this structure and writes it down as an evolution manifest.
 *
 * Rules: borrows both models, which must outlive it. Nothing prints or exits.
 *
 * How sets come about. A cell is *changed* if its content hash is (cell_hash.h); nothing else is
 * ever swapped. Two changed cells are in one set when neither order of swapping them one by one
 * would do:
 *  - a symbol that one exports has another signature, and the other one imports it;
 *  - a type has another layout, both know it before and after, and the same one before or after;
 *  - a symbol that the one exported is now exported by the other one.
 * One comes before the other when only that order does:
 *  - before a cell that imports a symbol comes the one that newly exports it, and before a cell
 *    that no longer exports a symbol comes the one that no longer imports it; likewise for knowing
 *    a layout that changes.
 * Sets that would have to come before each other are one set. So a set is as small as what is known
 * allows; a change of meaning that no type shows (a protocol, a constant) joins nothing: `together`
 * says so.
 */
#pragma once

#include "bytes.h"
#include "cell_abi.h"
#include "cell_hash.h"
#include "model/model.h"
#include "process.h"

/* What differs in a cell. */
enum diff_part {
    DIFF_CODE = 1,
    DIFF_CONSTANTS = 2,
    DIFF_INITIAL = 4,     /* initial values of variables */
    DIFF_STATE = 8,       /* variables: which there are, or their types */
    DIFF_EXPORTS = 16,    /* which there are */
    DIFF_SIGNATURES = 32, /* of exports or imports */
    DIFF_TYPES = 64,      /* layouts that others know too */
    DIFF_UNWIND = 128,
    DIFF_NOTES = 256, /* name, version, kind, summary, lines about transfer */
    DIFF_NAME = 512,  /* it was renamed */
};

/* What becomes of a variable, if it is not simply adopted where it is. */
enum diff_fate {
    DIFF_ADDED,   /* begins with its initial value */
    DIFF_REMOVED, /* its value is lost */
    DIFF_MOVED,   /* adopted from another old cell of the set */
    DIFF_TRANSFERRED,
    DIFF_FRESH,
    DIFF_MISSING, /* its type has changed without a line, or the line names nothing old: an error */
};

struct diff_variable {
    enum diff_fate fate;
    char *name;     /* in the new cell; in the old one for DIFF_REMOVED; unique there */
    char *symbol;   /* its name in the symbol table */
    char *old_name; /* DIFF_MOVED: the old cell; DIFF_TRANSFERRED: the old variable; else NULL */
    char *function; /* DIFF_TRANSFERRED, else NULL */
    char *detail;   /* how old and new differ; NULL where there is only one */
};

/*
 * A type whose layout has changed, while there may be things that the old version laid out
 * (layout_change.h), in a cell without a line about transfer: an error.
 */
struct diff_layout {
    char *name;   /* with its keyword */
    char *detail; /* the first difference */
    char *holder; /* a variable of the old cell that leads to it; NULL: none does */
};

struct diff_cell {
    const char *name; /* of the new one if there is one */
    uint32_t old;     /* in the models, or MODEL_NOWHERE */
    uint32_t new;
    struct blake2b_digest old_hash; /* 0 where there is none */
    struct blake2b_digest new_hash;
    struct cell_abi old_abi; /* empty where there is none */
    struct cell_abi new_abi;
    unsigned parts;  /* set of enum diff_part; 0 where unchanged, added or removed */
    bool is_changed; /* added and removed ones, too */
    bool is_rebuilt; /* unchanged, but its bytes are others: line numbers, paths, order */
    struct words_list functions; /* that differ: `name`, `+name`, `-name` */
    struct words_list reasons;   /* why it is swapped, and why not alone */
    struct words_list inherits;  /* old cells, but its own, of which it takes over something */
    struct diff_variable *variables;
    uint32_t variable_count;
    struct diff_layout *layouts;
    uint32_t layout_count;
    uint32_t set; /* from 1 on, in order; 0 where it is not swapped */
};

struct diff_set {
    uint32_t *after; /* the sets that must come before */
    uint32_t after_count;
    uint32_t cell_count;
};

struct diff {
    const struct model *old;
    const struct model *new;
    struct diff_cell *cells; /* sorted by name */
    struct diff_set *sets;   /* that of number n is [n - 1] */
    uint32_t cell_count;
    uint32_t set_count;
    uint32_t unchanged_count;
    uint32_t rebuilt_count; /* of them */
    uint32_t missing_count; /* variables and layouts that need a line about transfer */
};

struct diff_request {
    const struct model *old;
    const struct model *new;
    const char *const
        *replace; /* "OLD=NEW": this new cell takes that one's place; ends with NULL, or NULL */
    const char *const *together; /* "A,B,..": cells that go into one set; likewise */
};

/* C0521 where `replace` or `together` name what is not there; C0401. */
MUST_CHECK enum status diff_builds(const struct diff_request *request, struct diff *out_diff,
                                   struct problem *problem);
void diff_fini(struct diff *diff);

/* "code", "constants", ... for one part; "adopted", ... for a fate. */
const char *diff_part_name(enum diff_part part);
const char *diff_fate_name(enum diff_fate fate);

/*
 * Appends what the author of the new cells may write for what lacks a line, as source text: for
 * each variable a function that takes over the fields of equal name and type, as far as types are
 * known, and its line; or CELL_FRESH(). Whether that is right only he can know. Nothing where
 * nothing is missing.
 */
void diff_advise(const struct diff *diff, struct bytes *text);

/*
 * Writes the manifest (docs/evolution-format.md) to `path`, and the new cells to `path`.a unless
 * there are none. C0520 while a variable or a layout needs a line about transfer, C08xx where the
 * manifest would not be one (too long, names that it cannot hold), C0401, C0403.
 */
MUST_CHECK enum status diff_write(const struct diff *diff, const char *path,
                                  struct problem *problem);
