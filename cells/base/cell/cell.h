/* SPDX-License-Identifier: MIT */
/*
 * cell.h - what every cell says about itself, and the compiler attributes that all cells share.
 *
 * Why: a cell keeps its bounds from source folder to running system. The name, summary and
 * interface come from the one `add_cell()` call of its folder (cellpack passes them to the
 * compiler); the kind and the version are stated by the `CELL()` line of its source.
 *
 * Rules: each cell has exactly one `CELL()` line, in one of its C files; cellpack refuses others.
 * This folder is the only one that is on every cell's include path without being declared.
 */
#pragma once

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exports a symbol. What a header does not mark cannot be named from another cell. */
#define CELL_API __attribute__((visibility("default")))

#define MUST_CHECK        __attribute__((warn_unused_result))
#define NORETURN          __attribute__((noreturn))
#define PACKED            __attribute__((packed))
#define ALIGNED(n)        __attribute__((aligned(n)))
#define UNUSED            __attribute__((unused))
#define NOINLINE          __attribute__((noinline))
#define COLD              __attribute__((cold))
#define SECTION(name)     __attribute__((section(name)))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))

#define LIKELY(x)   __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

#define static_assert _Static_assert

#define ARRAY_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The structure that embeds `member` at `pointer`. */
#define CONTAINER_OF(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

/* A compiler barrier: nothing moves across it, no instruction is emitted. */
#define COMPILER_BARRIER() __asm__ volatile("" ::: "memory")

#ifdef CELL_INTERFACE
    #define CELL_INTERFACE_FIELD_ "interface=" CELL_INTERFACE "\0"
#else
    #define CELL_INTERFACE_FIELD_
#endif

/*
 * States what this cell is: `CELL(library, "1.0.0");`. Kinds: `library` (functions for others),
 * `driver` (owns a device), `application` (has an entry `<name>_main`, no mutable statics),
 * `core` (the nano_core itself). The note is a list of NUL-terminated `key=value` strings, first
 * the version of the format; docs/cell-format.md specifies it.
 */
#define CELL(kind, version)                                                                        \
    __attribute__((used, aligned(1), section(".cell.info"))) static const char cell_info_note_[] = \
        "format=1\0"                                                                               \
        "name=" CELL_NAME "\0"                                                                     \
        "version=" version "\0"                                                                    \
        "kind=" #kind "\0"                                                                         \
        "summary=" CELL_SUMMARY "\0" CELL_INTERFACE_FIELD_

/*
 * What becomes of a static variable when this version of a cell takes the place of an older one. A
 * variable of equal name and type is adopted as it is and needs no line. One whose type has changed
 * does:
 *
 *      static enum status widen(const void *old, size_t old_bytes, void *new, size_t new_bytes);
 *      CELL_TRANSFER(old_queue, queue, widen);   fills `queue` from the old cell's `old_queue`
 *      CELL_FRESH(statistics);                   the new initial value shall win
 *
 * The lines stand behind the definitions that they name, all of which are static and of this
 * source; what a function of transfer may do is said in cell_transfer.h. The notes are records of
 * one size, without relocations; docs/cell-format.md specifies them.
 */
#define CELL_TRANSFER_SECTION ".cell.transfer"
#define CELL_TRANSFER_FORMAT  1u
#define CELL_TRANSFER_NAME    64 /* bytes with the NUL */

enum cell_transfer_kind {
    CELL_TRANSFER_CHANGED = 1,
    CELL_TRANSFER_FRESH = 2,
};

struct cell_transfer_note {
    uint16_t format;
    uint16_t kind;
    uint32_t new_bytes;                /* sizeof of the variable `new` */
    char old[CELL_TRANSFER_NAME];      /* empty for CELL_FRESH */
    char new[CELL_TRANSFER_NAME];      /* of this cell */
    char function[CELL_TRANSFER_NAME]; /* of this cell; empty for CELL_FRESH */
};
static_assert(sizeof(struct cell_transfer_note) == 200, "docs/cell-format.md");

#define CELL_TRANSFER_NOTE_(symbol, what, from, variable, by)                               \
    static_assert(sizeof(from) <= CELL_TRANSFER_NAME && sizeof(by) <= CELL_TRANSFER_NAME && \
                      sizeof(#variable) <= CELL_TRANSFER_NAME,                              \
                  "a name is too long");                                                    \
    __attribute__((                                                                         \
        used, aligned(4),                                                                   \
        section(CELL_TRANSFER_SECTION))) static const struct cell_transfer_note symbol = {  \
        .format = CELL_TRANSFER_FORMAT,                                                     \
        .kind = (what),                                                                     \
        .new_bytes = sizeof(variable),                                                      \
        .old = from,                                                                        \
        .new = #variable,                                                                   \
        .function = by}

#define CELL_TRANSFER(old_variable, new_variable, by)                                              \
    static __typeof__(by) by __attribute__((used));                                                \
    static_assert(__builtin_types_compatible_p(__typeof__(by),                                     \
                                               enum status(const void *, size_t, void *, size_t)), \
                  "not a function of transfer");                                                   \
    CELL_TRANSFER_NOTE_(cell_transfer_##old_variable##_##new_variable, CELL_TRANSFER_CHANGED,      \
                        #old_variable, new_variable, #by)

#define CELL_FRESH(variable) \
    CELL_TRANSFER_NOTE_(cell_fresh_##variable, CELL_TRANSFER_FRESH, "", variable, "")
