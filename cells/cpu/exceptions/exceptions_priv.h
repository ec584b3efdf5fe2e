/* SPDX-License-Identifier: MIT */
/*
 * exceptions_priv.h - what stubs, tables, handlers and report share.
 */
#pragma once

#include "exceptions.h"

/* Entry of each vector, in exceptions_stubs.S. */
extern const uint64_t exceptions_stubs[EXCEPTION_COUNT];

/* Where all stubs end up; on the stack of the exception. Returns to go on with the frame. */
void exceptions_handle(struct exception_frame *frame);

/* Asks the handlers of the frame's vector; false when none has taken it. */
bool exceptions_offer(struct exception_frame *frame);

/* Is this CPU in the middle of its report? */
bool exceptions_is_reporting(void);
