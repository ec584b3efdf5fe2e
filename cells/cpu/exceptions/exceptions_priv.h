/* SPDX-License-Identifier: MIT */
/*
 * exceptions_priv.h - what stubs, tables and report share.
 */
#pragma once

#include "exceptions.h"

/* Entry of each vector, in exceptions_stubs.S. */
extern const uint64_t exceptions_stubs[EXCEPTION_COUNT];

/* Where all stubs end up; on the stack of the exception. */
NORETURN void exceptions_handle(const struct exception_frame *frame);
