/* SPDX-License-Identifier: MIT */
/* release.h - what release.c and throw.cc have in common. */
#pragma once

#define RELEASE_DEPTH 10 /* frames, each with one thing */
