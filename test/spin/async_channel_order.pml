/* SPDX-License-Identifier: MIT */
/* async_channel.pml, but one sender sends both messages: they arrive in order. */
#define FIRST_SENDS 2
#include "async_channel.pml"
