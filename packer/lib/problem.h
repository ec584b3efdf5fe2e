/* SPDX-License-Identifier: MIT */
/*
 * problem.h - why the packer could not do something, in the parts that an error message shows.
 *
 * Why: the library neither prints nor exits. Whatever refuses fills one `struct problem`: the code
 * (`cellpack explain C0412` tells more), what was refused, where, the chain of causes and the next
 * step. The command line prints it; tests assert on its code.
 *
 * Rules: a `struct problem *` parameter may not be NULL, starts as `{0}` and is released by
 * problem_fini(). It is filled only on failure, the first failure wins. Codes of cells/base/diag
 * are valid here too: 01xx objects, 02xx linking, 03xx archives, 06xx tables of firmware; 04xx and
 * 05xx are the packer's own. Texts are cut at the array's size. Numbers are never reused.
 */
#pragma once

#include "diag.h"

/* X(name, number, status, rule that was broken) */
#define PROBLEM_TABLE(X)                                                                           \
    X(USAGE, 400, ERR_INVALID_ARGUMENT, "the command line is not understood")                      \
    X(MEMORY, 401, ERR_NO_MEMORY, "out of memory")                                                 \
    X(FILE_READ, 402, ERR_IO, "a file cannot be read")                                             \
    X(FILE_WRITE, 403, ERR_IO, "a file cannot be written")                                         \
    X(TOOL_MISSING, 404, ERR_NOT_FOUND, "a program that is needed is not installed")               \
    X(TOOL_FAILED, 405, ERR_FAILED, "a program reported an error")                                 \
    X(OBJECT_SECTION, 411, ERR_UNSUPPORTED, "a cell cannot contain such a section")                \
    X(UNWIND_FRAME, 412, ERR_BAD_FORMAT, "the unwind table (.eh_frame) is malformed")              \
    X(UNWIND_TARGET, 413, ERR_BAD_FORMAT, "an unwind entry does not point into a section of code") \
    X(OBJECT_HIDDEN, 414, ERR_MISSING_SYMBOL, "a hidden symbol is not defined in its own cell")    \
    X(CELL_NOTE_COUNT, 420, ERR_BAD_FORMAT, "a cell needs exactly one CELL() line")                \
    X(CELL_NOTE_FIELD, 421, ERR_BAD_FORMAT, "the CELL() note is malformed")                        \
    X(CELL_NOTE_NAME, 422, ERR_MISMATCH, "the CELL() note names another cell")                     \
    X(CELL_BAD_NAME, 423, ERR_INVALID_ARGUMENT, "not a cell name")                                 \
    X(ABI_CONFLICT, 425, ERR_MISMATCH, "two sources of a cell contradict each other")              \
    X(PACK_TWICE, 430, ERR_EXISTS, "two cells have the same name")                                 \
    X(PACK_DUPLICATE, 431, ERR_DUPLICATE_SYMBOL, "two cells export the same symbol")               \
    X(PACK_LIMIT, 432, ERR_LIMIT, "the archive exceeds a limit of its format")                     \
    X(PACK_FIRST, 433, ERR_NOT_FOUND, "the cell to come first is not there")                       \
    X(IMAGE_PLATFORM, 440, ERR_NOT_FOUND, "a GRUB platform is not installed")                      \
    X(IMAGE_KERNEL, 441, ERR_BAD_FORMAT, "GRUB would not boot this nano_core")                     \
    X(IMAGE_OPTION, 442, ERR_INVALID_ARGUMENT, "the boot command line cannot be stored")           \
    X(LINK_REQUEST, 443, ERR_INVALID_ARGUMENT, "the static image cannot be linked like that")      \
    X(UNKNOWN_CODE, 450, ERR_NOT_FOUND, "there is no such error code")                             \
    X(UNKNOWN_CELL, 451, ERR_NOT_FOUND, "there is no such cell")                                   \
    X(UNKNOWN_SYMBOL, 452, ERR_NOT_FOUND, "no cell knows such a symbol")                           \
    X(NO_CELLS, 453, ERR_NOT_FOUND, "no archive of cells was found")                               \
    X(UNKNOWN_TYPE, 454, ERR_NOT_FOUND, "no cell mentions such a type")                            \
    X(CHECK_PREFIX, 500, ERR_MISMATCH, "an exported symbol has no prefix of its cell")             \
    X(CHECK_HIDDEN, 501, ERR_PERMISSION, "a symbol is needed that its cell does not export")       \
    X(CHECK_CYCLE, 502, ERR_CYCLE, "cells need each other in a circle")                            \
    X(CHECK_UNWIND, 503, ERR_NOT_FOUND, "a function has no unwind entry")                          \
    X(CHECK_STATE, 504, ERR_PERMISSION, "an application has mutable statics")                      \
    X(CHECK_APPLICATION, 505, ERR_PERMISSION, "a cell needs an application")                       \
    X(CHECK_OWNERSHIP, 506, ERR_STATE, "an owned handle is not used as its contract says")         \
    X(CHECK_LOCKS, 507, ERR_STATE, "a lock is not used as its contract says")                      \
    X(CHECK_ROWS, 508, ERR_BAD_FORMAT, "an unwind entry cannot be evaluated")                      \
    X(CHECK_STACK, 509, ERR_MISMATCH, "the unwind table does not follow the stack pointer")        \
    X(CHECK_REALIGNED, 510, ERR_UNSUPPORTED, "a function realigns its stack")                      \
    X(CHECK_RETURNED, 511, ERR_STATE, "a function returns an owned handle by value")               \
    X(CHECK_PLAIN, 512, ERR_STATE, "a handle is acquired by a variable that is no slot")           \
    X(DIFF_TRANSFER, 520, ERR_MISMATCH,                                                            \
      "a static variable of another type has no line about transfer")                              \
    X(DIFF_NAME, 521, ERR_NOT_FOUND, "no such cells in the two builds")

enum problem_code {
    PROBLEM_NONE = 0,
#define PROBLEM_ENUMERATOR_(name, number, status, text) PROBLEM_##name = (number),
    PROBLEM_TABLE(PROBLEM_ENUMERATOR_)
#undef PROBLEM_ENUMERATOR_
};

#define PROBLEM_TEXT_SIZE     512
#define PROBLEM_BECAUSE_LIMIT 4 /* deeper chains are not readable */

struct problem {
    unsigned code;                 /* 0: nothing is wrong; else an enum problem_code or diag_code */
    enum status status;            /* of that code */
    char what[PROBLEM_TEXT_SIZE];  /* one line, no full stop */
    char where[PROBLEM_TEXT_SIZE]; /* `cell:section+0x1c` or a file; may be empty */
    char because[PROBLEM_BECAUSE_LIMIT][PROBLEM_TEXT_SIZE]; /* outermost first; unused ones empty */
    char help[PROBLEM_TEXT_SIZE]; /* the next command or step; may be empty */
    char *transcript;             /* what a program that failed wrote to stderr; owned, or NULL */
};

/* Fills code and `what`; returns the code's status, so that a refusal is one `return` line. */
enum status problem_set(struct problem *problem, enum problem_code code, const char *format, ...)
    PRINTF_LIKE(3, 4);

/* The same for C0402 and C0403 on `path`, with errno as the cause. */
enum status problem_set_errno(struct problem *problem, enum problem_code code, const char *path);

/* Takes over a finding of a cell's reader, linker or archive; `file` names it where `diag` does
 * not. */
enum status problem_set_diag(struct problem *problem, const struct diag *diag, const char *file);

void problem_where(struct problem *problem, const char *format, ...) PRINTF_LIKE(2, 3);
void problem_because(struct problem *problem, const char *format, ...) PRINTF_LIKE(2, 3);
void problem_help(struct problem *problem, const char *format, ...) PRINTF_LIKE(2, 3);

/* The rule behind a code, of either table; NULL for a number that is in none. */
const char *problem_rule(unsigned code);

/* Releases the transcript and empties it. */
void problem_fini(struct problem *problem);
