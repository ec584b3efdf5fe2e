/* SPDX-License-Identifier: MIT */
/*
 * firmware_memory.h - copies what firmware left in memory.
 *
 * Why: tables of the firmware lie anywhere in physical memory, several to a frame, at addresses
 * that come out of other tables. A frame has one owner, so holding a table mapped would lock out
 * whoever wants its neighbour, and firmware may change what is mapped. A copy has neither trouble.
 *
 * Rules: mapped read-only, a frame at a time, and unmapped before it returns; faults included, for
 * frames and mappings are slots. Frames of RAM are refused, untouched: mapping them would clear
 * them. Takes frames and pages for a moment, so: not in exceptions, one caller at a time
 * (docs/locking.md).
 */
#pragma once

#include "memory.h"
#include "status.h"

/*
 * Copies `size` bytes at `start`. ERR_PERMISSION where memory is RAM that nobody owns, ERR_BUSY
 * where somebody owns it, ERR_OUT_OF_BOUNDS behind the last physical address, ERR_NO_MEMORY,
 * ERR_NO_ADDRESS_SPACE. After a failure the buffer is partly written.
 */
CELL_API MUST_CHECK enum status firmware_memory_read(paddr_t start, void *buffer, size_t size);
