/* SPDX-License-Identifier: MIT */
/*
 * cell_abi.h - `.cell.abi`: the signatures that a cell exports and imports, the layouts behind
 * them.
 *
 * Why: a symbol binds by its name, and a name says nothing of types. So cellpack writes down, from
 * the debug information, how each cell *itself* declares what it exports, imports and keeps.
 * Whoever links two cells compares both sides by 64-bit hashes; the texts that were hashed are
 * kept, to say what differs. docs/cell-format.md is the specification.
 *
 * Flat: a signature names structures, unions and enumerations; a table says which layout the cell
 * knows under each name. A type of which a cell knows the name only agrees with any layout.
 *
 * Rules: pure; borrows the bytes, which may lie at any address and hold anything. Opening is O(1)
 * and checks bounds of tables only: what a row says is a hint until it is used, an offset that is
 * no text's is the empty text, and only cell_abi_check() looks at everything. Any context.
 */
#pragma once

#include "elf_object.h"

struct diag;

#define CELL_ABI_SECTION ".cell.abi"
#define CELL_ABI_MAGIC   0x49424143u /* "CABI" in memory order */
#define CELL_ABI_VERSION 1u

struct PACKED cell_abi_header {
    uint32_t magic;
    uint16_t version;
    uint16_t header_size;
    uint32_t symbol_count;
    uint32_t variable_count;
    uint32_t type_count;
    uint32_t text_size;
};

/*
 * A function or variable, sorted by `symbol`. The symbol table tells the kinds apart: undefined is
 * an import, global an export, local a function whose address the cell takes.
 */
struct PACKED cell_abi_symbol {
    uint64_t signature; /* hash of its text */
    uint32_t symbol;    /* index in the cell's symbol table */
    uint32_t text;
};

/* A mutable static variable, exported or not, sorted by `symbol`. */
struct PACKED cell_abi_variable {
    uint64_t signature; /* hash of its type's text */
    uint64_t layout; /* hash of that and of all layouts that lie in it: of every byte's meaning */
    uint32_t symbol; /* says which section, and where in it */
    uint32_t name;   /* unique in the cell: `count`, `function.count` or `file.c:count` */
    uint32_t text;
    uint32_t size; /* bytes */
};

/* A named type, sorted by `key`. */
struct PACKED cell_abi_type {
    uint64_t key;    /* hash of its name: "struct task" */
    uint64_t layout; /* hash of its text; 0: the cell knows the name only */
    uint32_t text;   /* `struct task{...}184`, or the name */
    uint32_t flags;
};

#define CELL_ABI_TYPE_SHARED 1u /* an exported or imported symbol leads to it */

static_assert(sizeof(struct cell_abi_header) == 24, "docs/cell-format.md");
static_assert(sizeof(struct cell_abi_symbol) == 16, "docs/cell-format.md");
static_assert(sizeof(struct cell_abi_variable) == 32, "docs/cell-format.md");
static_assert(sizeof(struct cell_abi_type) == 24, "docs/cell-format.md");

struct cell_abi {
    const struct cell_abi_symbol *symbols;
    const struct cell_abi_variable *variables;
    const struct cell_abi_type *types;
    uint32_t symbol_count;
    uint32_t variable_count;
    uint32_t type_count;
    struct span texts; /* NUL-terminated; offset 0 is the empty one */
};

/*
 * C0143 unless the header is of this version and the tables lie in `note`. An empty note has no
 * rows: nothing is known, and nothing is checked.
 */
CELL_API MUST_CHECK enum status cell_abi_open(struct span note, struct cell_abi *out_abi,
                                              struct diag *diag);

/* The bytes of an object's section; empty where there is none. */
CELL_API struct span cell_abi_find_note(const struct elf_object *object);

/* Finds and opens the section of an object. */
CELL_API MUST_CHECK enum status cell_abi_read(const struct elf_object *object,
                                              struct cell_abi *out_abi, struct diag *diag);

/*
 * Every row: order, symbols of the kind that they ought to be, texts, and hashes that are those of
 * the texts. C0143 names the offset in the section at which it is wrong. O(bytes + rows * log
 * rows).
 */
CELL_API MUST_CHECK enum status cell_abi_check(const struct cell_abi *abi,
                                               const struct elf_object *object, struct diag *diag);

/* The text at an offset; "" where there is none. */
CELL_API const char *cell_abi_text(const struct cell_abi *abi, uint32_t offset);

/* The row of the cell's symbol with that index, or NULL: nothing is known of it. O(log). */
CELL_API const struct cell_abi_symbol *cell_abi_symbol_at(const struct cell_abi *abi,
                                                          uint32_t symbol);

/* By name, among what `object` exports and imports; or NULL. O(rows). */
CELL_API const struct cell_abi_symbol *cell_abi_find_symbol(const struct cell_abi *abi,
                                                            const struct elf_object *object,
                                                            const char *name);

/* By the name that the row states, or NULL. O(rows). */
CELL_API const struct cell_abi_variable *cell_abi_find_variable(const struct cell_abi *abi,
                                                                const char *name);

/* By name with its keyword, `struct task`; `length` bytes of it. Or NULL. O(log). */
CELL_API const struct cell_abi_type *cell_abi_find_type(const struct cell_abi *abi,
                                                        const char *name, size_t length);

/* 64-bit FNV-1a, and 1 where that is 0: no hash is 0. */
#define CELL_ABI_HASH_START 0xcbf29ce484222325ull
#define CELL_ABI_HASH_PRIME 0x100000001b3ull
CELL_API uint64_t cell_abi_hash(const char *text, size_t length);

/* ---- two cells ---- */

/*
 * The next type of which both know a layout, and not the same, from *cursor on (start with 0) in
 * the order of `mine`; *out_theirs is the other's row. NULL at the end. Types with all of `flags`
 * in both count: CELL_ABI_TYPE_SHARED when two cells are linked, 0 when one replaces the other. The
 * whole walk is O(rows of both).
 */
struct cell_abi_cursor {
    uint32_t mine;
    uint32_t theirs;
};
CELL_API const struct cell_abi_type *cell_abi_next_conflict(
    const struct cell_abi *mine, const struct cell_abi *theirs, uint32_t flags,
    struct cell_abi_cursor *cursor, const struct cell_abi_type **out_theirs);

/* ---- texts (cell_abi_text.c) ---- */

enum cell_abi_part {
    CELL_ABI_SAME,
    CELL_ABI_TYPE,   /* the whole: a variable's type, or one is no function, or of another kind */
    CELL_ABI_RETURN, /* the result */
    CELL_ABI_PARAMETER, /* number `index`, from 1 */
    CELL_ABI_FIELD,
    CELL_ABI_ENUMERATOR,
    CELL_ABI_SIZE, /* what stands behind the fields: size, alignment; an enumeration's base type */
};

/* The first part in which two texts differ; a side that has no such part is empty. */
struct cell_abi_difference {
    enum cell_abi_part part;
    uint32_t index;
    struct span mine; /* in the texts */
    struct span theirs;
};

/* An array without a bound is the same as one with any: hashes differ where types agree, here only.
 */
CELL_API struct cell_abi_difference cell_abi_compare(const char *mine, const char *theirs);

/*
 * As one line: `parameter 2: u64 in shell, u32 in heap`, `field 3: u64 id@16 in shell, none in
 * heap`. Returns the length of the whole, as snprintf does.
 */
CELL_API size_t cell_abi_format_difference(const struct cell_abi_difference *difference,
                                           const char *mine, const char *theirs, char *buffer,
                                           size_t size);

/*
 * The parts of a layout in their order: fields or enumerators. Start with *cursor = 0. False at the
 * end; then *out is what stands behind them.
 */
CELL_API bool cell_abi_next_part(const char *layout, uint64_t *cursor, struct span *out);

/* The name in front of a layout's brace, or all of it when there is none. */
CELL_API struct span cell_abi_type_name(const char *layout);

/*
 * The next named type that a text mentions, a layout's own name apart. Start with *cursor = 0;
 * false at the end. *out_inside tells whether it lies in the thing itself, not behind a pointer or
 * in a prototype.
 */
CELL_API bool cell_abi_next_mention(const char *text, uint64_t *cursor, struct span *out_name,
                                    bool *out_inside);
