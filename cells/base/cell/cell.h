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
