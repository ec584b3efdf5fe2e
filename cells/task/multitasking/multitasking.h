/* SPDX-License-Identifier: MIT */
/*
 * multitasking.h - has tasks run on this machine's CPUs.
 *
 * Why: the dispatcher knows tasks and no hardware, the drivers of clock, timer and interrupts know
 * no tasks. This brings them together, once, and then stands aside.
 *
 * Rules: on the CPU that booted, after processors_start().
 */
#pragma once

#include "status.h"

/* The vectors of the two interrupts: of the highest group. */
#define MULTITASKING_VECTOR_TIMER 0xf1
#define MULTITASKING_VECTOR_WAKE  0xf2

/*
 * What calls becomes the first task, `name`. Errors of the drivers and of dispatcher_start(): then
 * there are no tasks, and the system goes on without. ERR_STATE when called again.
 */
CELL_API MUST_CHECK enum status multitasking_start(const char *name);
