/* SPDX-License-Identifier: MIT */
/*
 * cli.h - what all verbs of cellpack share: arguments, output, errors.
 *
 * Why: one tool, one behaviour. A verb is one file that defines one `const struct verb` and is
 * listed in verbs.h; parsing, --help, formats, colours, error layout, exit codes and completion
 * follow from its table and are the same for all.
 *
 * Rules: stdout is data, stderr is talk. A verb's run function returns an exit code; it never calls
 * exit(). It supports FORMAT_JSON always, and JSON holds everything that the table shows, as raw
 * numbers. Strings that these functions return live until the program ends.
 */
#pragma once

#include <jansson.h>
#include <stdio.h>

#include "problem.h"

enum exit_code {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_DIFFERS = 10, /* this and the next three with --check only */
    EXIT_INCOMPATIBLE = 11,
    EXIT_OVER_BUDGET = 12,
    EXIT_NOT_TRUSTED = 13,
    EXIT_INTERNAL = 70,
};

/* ---- arguments (arguments.c) ---- */

enum output_format {
    FORMAT_TABLE = 1,
    FORMAT_JSON = 2,
    FORMAT_DOT = 4,
    FORMAT_SVG = 8,
    FORMAT_HTML = 16,
    FORMAT_EDGES = 32, /* one line a relocation, as the kernel prints its own */
};

enum option_type {
    OPTION_FLAG,
    OPTION_TEXT,
    OPTION_NUMBER, /* unsigned, decimal or 0x; checked by the parser */
    OPTION_LIST,   /* may be repeated */
};

/* What a shell offers for a value or a noun. */
enum words {
    WORDS_NONE,
    WORDS_FILE,
    WORDS_FOLDER,
    WORDS_CELL,
    WORDS_SYMBOL,
    WORDS_VERB,
    WORDS_CODE,
};

struct option {
    const char *name; /* without dashes; NULL ends a table */
    char letter;      /* 0: no short form */
    enum option_type type;
    const char *value;   /* placeholder in the help, "FILE" */
    const char *choices; /* "release|debug": checked by the parser and completed; or NULL */
    enum words words;
    const char *help;
};

#define NOUNS_UNLIMITED 0xffffffffu

struct arguments;

struct verb {
    const char *name;
    const char *summary;  /* the question that it answers, or what it does; lower case, no stop */
    const char *synopsis; /* after `cellpack VERB `: "[OPTION].. CELL" */
    const char *examples[2];      /* whole command lines */
    const struct option *options; /* or NULL; those of every verb are not repeated */
    unsigned formats;             /* set of enum output_format; 0 means table and JSON */
    unsigned least_nouns;
    unsigned most_nouns;
    enum words words;         /* what its nouns are */
    const char *noun_choices; /* as in struct option; for completion only */
    bool hidden;              /* not in lists and completions */
    int (*run)(const struct arguments *arguments);
};

struct arguments {
    const struct verb *verb;
    enum output_format format;
    size_t noun_count;
    const char **nouns; /* noun_count + 1 entries, the last one is NULL */
    struct given {
        const struct option *option;
        const char *value; /* NULL for a flag */
    } * given;
    size_t given_count;
};

/*
 * Parses what follows the verb. Returns false after it has reported a usage error or shown the
 * help; *exit_code then tells which. `format` and the colour settings are applied.
 */
bool arguments_parse(struct arguments *arguments, const struct verb *verb, int count,
                     char *const *values, int *exit_code);
void arguments_fini(struct arguments *arguments);

/* The value of an option by its long name. A name that the verb does not have is an internal error.
 */
bool argument_given(const struct arguments *arguments, const char *name);
const char *argument_text(const struct arguments *arguments, const char *name); /* NULL: absent */
uint64_t argument_number(const struct arguments *arguments, const char *name, uint64_t otherwise);
const char *argument_nth(const struct arguments *arguments, const char *name, size_t n);

/* The options that every verb has; ends with name NULL. */
const struct option *common_options(void);

/*
 * The archive that a verb reads when none was named: --cells (declare it with OPTION_CELLS), then
 * $CELLPACK_CELLS, then cells.a in this folder, in image/ and in build/<any>/image/ (the newest).
 * NULL, and `problem` set to C0453, if there is none.
 */
const char *find_cells(const struct arguments *arguments, struct problem *problem);

#define OPTION_CELLS                                                                \
    {                                                                               \
        .name = "cells", .type = OPTION_TEXT, .value = "FILE", .words = WORDS_FILE, \
        .help = "the archive (else $CELLPACK_CELLS, cells.a, build/)"               \
    }

/* ---- help (help.c) ---- */

#define HELP_LINES_MAX 15

void print_help(FILE *stream, const struct verb *verb);
void print_overview(FILE *stream);
const struct verb *const *all_verbs(void); /* ends with NULL; includes hidden ones */
const struct verb *find_verb(const char *name);

/* The candidate nearest to `word` by edit distance if it is near enough to be a typing error. */
struct suggestion {
    const char *word;
    const char *best;
    size_t distance;
};
void suggestion_offer(struct suggestion *suggestion, const char *candidate);

/* ---- output (output.c) ---- */

enum colour {
    COLOUR_NONE,
    COLOUR_BOLD,
    COLOUR_DIM,
    COLOUR_RED,
    COLOUR_GREEN,
    COLOUR_YELLOW,
    COLOUR_BLUE
};

/* "auto", "always", "never"; NULL keeps what NO_COLOR, CLICOLOR_FORCE and the terminal say. */
void output_set_colour(const char *when);
/* The escape sequence to begin a colour on this stream, COLOUR_NONE to end it; "" without colour.
 */
const char *colour(FILE *stream, enum colour colour);

/*
 * `text` itself if a terminal may see it, else a copy in which control characters are written as
 * \x1b: names in foreign objects are anybody's bytes. Whatever prints a name passes it through
 * here; tables and errors do so themselves, JSON has escapes of its own. The copy stays until the
 * program ends.
 */
const char *printable(const char *text);

/* A new object with "schema": "cellpack.<verb>/<version>". */
json_t *json_root(const char *verb, unsigned version);
/* Prints and releases it. Returns EXIT_DONE, or EXIT_INTERNAL when it could not be built. */
int json_print(json_t *root);

/*
 * Status line on stderr: `[ 7/61] compile frame_allocator`, on a terminal, after 300 ms. Call step
 * before each piece of work and end before anything else is printed.
 */
void status_begin(size_t total);
void status_step(const char *format, ...) PRINTF_LIKE(1, 2);
void status_end(void);
/* The same for the library's progress reports. */
void status_report(size_t step, size_t total, const char *what);

/* Flushes stdout; a full disk is an error: returns `code`, or EXIT_FAILED after reporting. */
int output_finish(int code);

/* ---- tables (table.c) ---- */

enum align { ALIGN_LEFT, ALIGN_RIGHT };

/*
 * Columns first, then cells row by row; a row is complete when it has as many cells as there are
 * columns. Printed with a head line in bold and two spaces between columns; the last left-aligned
 * column is not padded. UTF-8 is counted by characters.
 */
struct table *table_create(void);
void table_column(struct table *table, const char *head, enum align align);
void table_cell(struct table *table, const char *format, ...) PRINTF_LIKE(2, 3);
void table_cell_coloured(struct table *table, enum colour colour, const char *format, ...)
    PRINTF_LIKE(3, 4);
void table_print(const struct table *table, FILE *stream);
void table_destroy(struct table *table);

/* ---- errors (report.c) ---- */

/*
 * Prints a problem in four parts to stderr, releases it and returns EXIT_FAILED (EXIT_USAGE for
 * C0400): error[C0142]: the cell is not named like its member
 *       --> heap:.cell.info+0x0
 *       because: ...
 *       help: ...
 */
int report(struct problem *problem);
/* The same layout without failing: `warning: ...`. */
void report_warning(const char *format, ...) PRINTF_LIKE(1, 2);
int report_usage(const struct verb *verb, const char *format, ...) PRINTF_LIKE(2, 3);
/* Prints `internal error` with the place and ends the program with EXIT_INTERNAL. */
NORETURN void internal_error(const char *format, ...) PRINTF_LIKE(1, 2);
/* malloc, realloc and strdup that do not return without memory. */
void *allocate(size_t bytes) MUST_CHECK;
void *reallocate(void *old, size_t bytes) MUST_CHECK;
char *duplicate_text(const char *text) MUST_CHECK;
char *format_text(const char *format, ...) PRINTF_LIKE(1, 2) MUST_CHECK;
