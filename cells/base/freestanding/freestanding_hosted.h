/* SPDX-License-Identifier: MIT */
/*
 * freestanding_hosted.h - other names for the functions of freestanding.h, for builds on a host.
 *
 * Why: a host program that defined memcpy would replace the one of its C library and sanitizers.
 *
 * Rules: included before freestanding.h, by the cell's own source and test only.
 */
#pragma once

#define memcpy  freestanding_memcpy
#define memmove freestanding_memmove
#define memset  freestanding_memset
#define memcmp  freestanding_memcmp
#define memchr  freestanding_memchr
#define strlen  freestanding_strlen
#define strcmp  freestanding_strcmp
#define strncmp freestanding_strncmp
