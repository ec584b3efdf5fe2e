/* SPDX-License-Identifier: MIT */
/*
 * status.h - the one list of what can go wrong.
 *
 * Why: every fallible function returns `enum status`; results come back through out-parameters that
 * are written only on success. Detail travels beside it as data (diag.h), never as a second list.
 *
 * Rules: OK is 0, errors are negative, numbers are never reused. Any context.
 */
#pragma once

#include "cell.h"

/* X(name, number, text) */
#define STATUS_TABLE(X)                                          \
    X(OK, 0, "done")                                             \
    X(ERR_INVALID_ARGUMENT, -1, "invalid argument")              \
    X(ERR_NO_MEMORY, -2, "out of memory")                        \
    X(ERR_NO_ADDRESS_SPACE, -3, "out of address space")          \
    X(ERR_NOT_FOUND, -4, "not found")                            \
    X(ERR_EXISTS, -5, "exists already")                          \
    X(ERR_OUT_OF_BOUNDS, -6, "out of bounds")                    \
    X(ERR_OVERFLOW, -7, "value does not fit")                    \
    X(ERR_MISALIGNED, -8, "misaligned")                          \
    X(ERR_BAD_FORMAT, -9, "malformed")                           \
    X(ERR_BAD_MAGIC, -10, "wrong magic number")                  \
    X(ERR_TRUNCATED, -11, "truncated")                           \
    X(ERR_UNSUPPORTED, -12, "not supported")                     \
    X(ERR_MISSING_SYMBOL, -13, "symbol is not defined anywhere") \
    X(ERR_DUPLICATE_SYMBOL, -14, "symbol is defined twice")      \
    X(ERR_LIMIT, -15, "limit exceeded")                          \
    X(ERR_BUSY, -16, "in use")                                   \
    X(ERR_TIMEOUT, -17, "timed out")                             \
    X(ERR_IO, -18, "input or output failed")                     \
    X(ERR_PERMISSION, -19, "not permitted")                      \
    X(ERR_STATE, -20, "wrong state for this")                    \
    X(ERR_MISMATCH, -21, "does not match")                       \
    X(ERR_NO_DEVICE, -22, "device is not there")                 \
    X(ERR_FAULT, -23, "CPU exception")                           \
    X(ERR_CYCLE, -24, "dependency cycle")                        \
    X(ERR_FAILED, -25, "failed")                                 \
    X(ERR_CLOSED, -26, "the other end is gone")                  \
    X(ERR_DEADLOCK, -27, "would wait for itself")                \
    X(ERR_AGAIN, -28, "not now")                                 \
    X(ERR_KILLED, -29, "was killed")

enum status {
#define STATUS_ENUMERATOR_(name, number, text) name = (number),
    STATUS_TABLE(STATUS_ENUMERATOR_)
#undef STATUS_ENUMERATOR_
};

/* The enumerator's name, `ERR_NO_MEMORY`; "ERR_?" for a number that is not in the table. */
CELL_API const char *status_name(enum status status);

/* The text of the table, in lower case and without a full stop; "unknown status" otherwise. */
CELL_API const char *status_text(enum status status);
