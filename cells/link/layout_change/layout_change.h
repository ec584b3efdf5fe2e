/* SPDX-License-Identifier: MIT */
/*
 * layout_change.h - what a changed layout means for the memory that an older version wrote.
 *
 * Why: when a cell is replaced, things that the old version laid out may be anywhere, and the new
 * one would misread them. A version that changes a layout must say how they are carried over; but
 * not where none can be left, or where what they say has not changed. The swap decides by this, and
 * `cellpack diff` foretells it.
 *
 * How: what a cell leads to is read off its .cell.abi (cell_abi.h).
 *  - An enumeration that has got more names, all others having kept their values, means the same
 *    wherever it stands: it has *grown*.
 *  - Otherwise it counts who can hold such a thing while no function of the cell is running.
 *    Somebody can if a static variable leads to the type, through whatever pointers and fields, or
 *    a function whose address is taken: it may be a callback, and its argument may be kept beside
 *    its address. Not so the drop of a handle, `NAME_drop(struct NAME **)`: slots are on stacks, or
 *    in fields of types that something else leads to. Somebody can, too, if a type to which a
 *    signature leads has it in a field, or points to it.
 *  - A type that signatures name directly, and that nothing of the above leads to, is an
 *    *argument*: for this cell it lives in frames. Who keeps such things is another cell, which is
 *    asked by itself; so the caller must see that each cell that knows the name is replaced. One
 *    that knows the name alone would hold a handle.
 *  - A type that nothing but a drop leads to *passes*.
 *
 * What is reached by casts alone (`void *`, a field from which its structure is computed) has no
 * text, so nobody sees it: neither here nor in what is compared.
 *
 * Rules: pure; borrows. O(bytes of texts) for marks. Any context.
 */
#pragma once

#include "cell_abi.h"

enum layout_change {
    LAYOUT_CHANGE_GROWN,    /* needs nothing */
    LAYOUT_CHANGE_PASSING,  /* needs that no frame of the old cells is live */
    LAYOUT_CHANGE_ARGUMENT, /* likewise, and that all cells that know the name are replaced */
    LAYOUT_CHANGE_KEPT,     /* needs somebody who carries things over */
};

/* What layout_change_mark() finds out of a type. */
enum layout_mark {
    LAYOUT_MARK_NAMED = 1, /* a signature of an export or import names it */
    LAYOUT_MARK_KEPT = 2,  /* somebody may hold such a thing while the cell does not run */
    LAYOUT_MARK_WALKED = 4,
};

/* One mark for each type of the table, in its order: abi->type_count bytes, of any content. */
CELL_API void layout_change_mark(const struct cell_abi *abi, const struct elf_object *object,
                                 uint8_t *marks);

/* What it means that row `was` of the old version reads `is` in the new one. */
CELL_API enum layout_change layout_change_of(const struct cell_abi *old, const uint8_t *marks,
                                             const struct cell_abi_type *was, const char *is);

/* Has this enumeration only got more names? */
CELL_API bool layout_change_is_grown(const char *was, const char *is);

/*
 * May the new variable be the old one, where it is? Yes if their types read alike and so do all
 * that lie in them, but for enumerations that have grown. What an unknown type is, nobody knows:
 * no.
 */
CELL_API bool layout_change_may_adopt(const struct cell_abi *old,
                                      const struct cell_abi_variable *was,
                                      const struct cell_abi *new,
                                      const struct cell_abi_variable *is);

/*
 * The first variable that leads to a type, by its row's index, and whether it is behind a pointer;
 * or NULL. For messages. `marks` is overwritten. O(variables * bytes of texts).
 */
CELL_API const struct cell_abi_variable *layout_change_find_holder(const struct cell_abi *abi,
                                                                   uint32_t type, uint8_t *marks);
