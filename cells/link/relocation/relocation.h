/* SPDX-License-Identifier: MIT */
/*
 * relocation.h - applies the relocations of one section, and says later what they refer to.
 *
 * Why: this is the inner loop of every load. One pass checks, computes and writes; nothing else in
 * the system writes addresses into cells. Nothing is written down for each relocation: what one
 * refers to is computed, when somebody asks, from the pristine table and the cell's bindings.
 *
 * Rules: pure; writes only to the given bytes and marks. O(count), and O(log functions) for the
 * few references that take the address of a function. Any context.
 *
 * Which value a relocation gets (x86-64 psABI, "Relocation Types"; S symbol, A addend, P place):
 *  - R_X86_64_64 S + A; _32 and _32S the same, refused unless it zero- or sign-extends to itself;
 *  - R_X86_64_PC32, _PLT32 and _PC64 S + A - P, the 32-bit ones refused unless sign-extended; there
 *    is no PLT: a call to a function in the top 2 GiB always reaches it;
 *  - R_X86_64_NONE has no target; every other kind is refused by name.
 *
 * Which S: *direct calls are direct, an address that is taken is stable.* A PC-relative field
 * behind the opcode E8, E9 or 0F 8x (in the pristine bytes) is a branch and binds to the function
 * itself. Any other reference to the start of a function takes its address and binds to the
 * function's entry. A reference into the middle of a function (jump tables, computed goto) binds
 * to the place itself, and so does .eh_frame, which describes the function's bytes.
 */
#pragma once

#include "cell_metadata.h"

struct diag;

/* A symbol of the object's table, resolved. */
struct link_symbol {
    uint64_t value;          /* S */
    struct section *section; /* NULL: absolute, or undefined and weak */
    uint64_t entry;          /* of the function of another cell that starts at S, or 0 */
    uint32_t offset;         /* S as an offset in `section` */
    uint16_t kind;           /* enum link_symbol_kind */
    uint16_t is_via_entry;   /* set when a relocation binds to `entry` */
};

enum link_symbol_kind {
    LINK_SYMBOL_DATA,       /* nothing special about it */
    LINK_SYMBOL_CODE,       /* lies in an executable section: entries have to be considered */
    LINK_SYMBOL_NOT_LOADED, /* lies in a section that is not loaded: must not be referred to */
};

struct relocation_batch {
    const struct elf_object *object;
    uint32_t section;            /* the index of the relocated section */
    uint32_t relocation_section; /* the index of the section with its relocations */
    struct link_symbol *symbols; /* object->symbol_count */
    uint8_t *bytes;              /* where the section is built; its size is that of the header */
    uint64_t address;            /* where it will run */
    struct section *sections;    /* of this object, to tell its own functions from others' */
    struct function *functions;  /* of this object, sorted; slots are given out here, see below */
    uint32_t function_count;
    uint32_t *entry_count; /* slots in use; a function whose address is first taken gets the next */
    uint64_t entries;      /* address of slot 0 */
    bool is_general;       /* for comparison: no relocation goes a fast way */
};

/*
 * Applies all of them. On failure the bytes are unusable and `diag` names section, offset, symbol
 * or kind, and both values. Functions and symbols whose entry is written are marked `is_via_entry`.
 */
CELL_API MUST_CHECK enum status relocation_apply(const struct relocation_batch *batch,
                                                 struct diag *diag);

/* The psABI's name of a relocation kind; "R_X86_64_?" for a number that it does not define. */
CELL_API const char *relocation_name(uint32_t type);

#define RELOCATION_OPERAND_SIZE 4u /* bytes: a RIP-relative operand counts from its own end */

/* Is a field of that kind, in executable bytes, a RIP-relative operand? There is no 64-bit one. */
static inline bool relocation_is_operand(uint32_t type)
{
    return type == R_X86_64_PC32 || type == R_X86_64_PLT32;
}

/* Is the RIP-relative operand at `offset` of executable bytes that of a direct branch? */
static inline bool relocation_is_branch(const uint8_t *bytes, uint64_t offset)
{
    if (offset >= 1 && (bytes[offset - 1] & 0xfe) == 0xe8) {
        return true; /* E8 call, E9 jmp */
    }
    return offset >= 2 && bytes[offset - 2] == 0x0f && (bytes[offset - 1] & 0xf0) == 0x80; /* jcc */
}

/* ---- of loaded cells ---- */

/* One relocation: `source` at `offset` refers to `target` at `target_offset`. */
struct dependency {
    const struct section *source;
    struct section *target; /* NULL: absolute value, undefined weak symbol, or R_X86_64_NONE */
    uint32_t offset;        /* of the relocated field in `source` */
    int32_t target_offset; /* S + A in `target`; RIP-relative operands count from the field's end */
    uint16_t type;         /* R_X86_64_* */
    uint16_t via_entry;    /* 1: the address of a function was taken and its entry was written */
    uint32_t symbol;       /* index in the source cell's pristine symbol table */
};

/* What relocation `index` of a section, below its relocation_count, refers to now. */
CELL_API void relocation_describe(const struct section *source, uint32_t index,
                                  struct dependency *out);

/* The binding of a symbol, or NULL where it does not lead into another cell. O(log bindings). */
CELL_API struct binding *relocation_find_binding(const struct cell *cell, uint32_t symbol);

/* Where a walk over the relocations of a cell has come; all zeros at first. */
struct relocation_walk {
    uint32_t section;
    uint32_t index; /* of the next one, in that section */
};

/* The next relocation of the cell, section by section; false behind the last one. */
CELL_API bool relocation_next(const struct cell *cell, struct relocation_walk *walk,
                              struct dependency *out);

/* The next one that uses this binding. O(relocations of its cell) for all of them. */
CELL_API bool relocation_next_use(const struct binding *binding, struct relocation_walk *walk,
                                  struct dependency *out);

/*
 * The first function of this object that starts at `offset` of section `section` or behind it;
 * `functions + count` when there is none. O(log count).
 */
CELL_API struct function *relocation_find_function(struct function *functions, uint32_t count,
                                                   uint32_t section, uint32_t offset);
