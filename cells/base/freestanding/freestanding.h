/* SPDX-License-Identifier: MIT */
/*
 * freestanding.h - the memory and string functions that GCC and every cell expect.
 *
 * Why: GCC calls memcpy, memmove, memset and memcmp on its own, with or without a C library. The
 * few others are those that readers of names and tables need.
 *
 * Rules: ISO C semantics. memchr wants all `size` bytes readable, also those after a match. Any
 * context, exceptions included: no state, no allocation, no stack beyond a return address or two.
 * On the host the C library provides these names; there, ours are called `freestanding_<name>`
 * (freestanding_hosted.h), and nothing but their own test calls them.
 */
#pragma once

#include "cell.h"

CELL_API void *memcpy(void *restrict to, const void *restrict from, size_t size);
CELL_API void *memmove(void *to, const void *from, size_t size);
CELL_API void *memset(void *to, int byte, size_t size);
CELL_API int memcmp(const void *left, const void *right, size_t size);
CELL_API void *memchr(const void *bytes, int byte, size_t size);
CELL_API size_t strlen(const char *text);
CELL_API int strcmp(const char *left, const char *right);
CELL_API int strncmp(const char *left, const char *right, size_t size);
