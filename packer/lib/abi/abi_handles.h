/* SPDX-License-Identifier: MIT */
/*
 * abi_handles.h - which functions of a bundle return a handle by value?
 *
 * Why: what a function returns lives in a register until its caller has stored it, and there
 * neither a fault nor a kill finds it. So handles come back through the address of a slot (own.h),
 * and what is only lent is `const`. A signature shows which of these it is.
 *
 * Rules: pure. `struct X` is a handle where some cell exports or imports `X_drop`, of which the
 * text is `void(struct X**)`; or in one cell only, where that is a local function whose address the
 * cell takes. It is a lock, and no handle, where some cell exports or imports `X_lock` or
 * `X_try_lock` that takes `struct X*,struct X**` first: the lock and its guard. A result is a
 * handle if it is `struct X*`, or `struct X`, or a structure with such a member; not if it is
 * `struct X const*`, which is lent, or `struct X**`, which is a place. Looked at is what .cell.abi
 * has rows for: exports, and local functions whose address is taken. O(rows * log rows).
 */
#pragma once

#include "abi_check.h"

struct abi_returned {
    const struct abi_party *party;
    uint32_t symbol;    /* of the party's object */
    const char *text;   /* the signature */
    struct span handle; /* `frames` */
};

typedef void (*abi_returned_visitor)(void *context, const struct abi_returned *returned);

/* Calls `visit` with each function, in the order of parties and symbols. ERR_NO_MEMORY. */
MUST_CHECK enum status abi_find_returned(const struct abi_party *parties, size_t count,
                                         abi_returned_visitor visit, void *context);
