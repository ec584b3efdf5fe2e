/* SPDX-License-Identifier: MIT */
/*
 * cell_transfer.h - reads what a cell says about taking over the static variables of an older
 * version.
 *
 * Why: when cells are swapped, variables of equal name and type stay where they are. For the others
 * the author of the new cell writes CELL_TRANSFER() and CELL_FRESH() lines (cell.h), which become
 * the records of the note .cell.transfer. `cellpack diff` asks for those that are needed and
 * missing, the swap calls them; both read them here.
 *
 * Rules: pure; strings of the result lie in the object's bytes. The order of records says nothing.
 * Any context.
 *
 * A function of transfer is called once, with all CPUs stopped, before any new code runs. `old` is
 * the variable of the replaced cell, which must be left as it is: the swap may still be taken back.
 * `new` is the new variable with its initial value. It fills `new` from `old` and writes nowhere
 * else, takes no lock, allocates nothing and does not wait; pointers into `old` must not survive in
 * `new`. It checks `old_bytes`, as it may be called on any older version: ERR_MISMATCH where it
 * does not know that one. Any status but OK takes the whole swap back.
 */
#pragma once

#include "elf_object.h"

struct diag;

typedef enum status cell_transfer_function(const void *old, size_t old_bytes, void *new,
                                           size_t new_bytes);

struct cell_transfer {
    enum cell_transfer_kind kind;
    const char *old;          /* a variable of the old cells; "" for CELL_FRESH */
    const char *new;          /* a variable of this cell */
    const char *function;     /* "" for CELL_FRESH */
    uint32_t new_symbol;      /* these two as indices in this cell's symbol table */
    uint32_t function_symbol; /* 0 for CELL_FRESH */
};

/* The number of records, also of those that are malformed. 0 without a note. */
CELL_API uint32_t cell_transfer_count(const struct elf_object *object);

/*
 * Reads a record; `index` is below the count. C0145 where it is cut off, of another format, names a
 * variable or function that is not there exactly once, or one of another size.
 */
CELL_API MUST_CHECK enum status cell_transfer_read(const struct elf_object *object, uint32_t index,
                                                   struct cell_transfer *out_transfer,
                                                   struct diag *diag);

/*
 * The symbol of that name and type (STT_OBJECT, STT_FUNC) that a cell defines in a loaded section;
 * 0 where there is none, or more than one: then the name says nothing. O(symbols).
 */
CELL_API uint32_t cell_transfer_find_symbol(const struct elf_object *object, const char *name,
                                            unsigned type);
