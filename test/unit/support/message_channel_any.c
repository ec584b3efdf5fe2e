/* SPDX-License-Identifier: MIT */
/*
 * An implementation of message_channel.h that is now the one and now the other, as seen by each
 * call: what tasks meet whose calls began before a swap, and others after it.
 */
#include "message_channel_calls.h"
#include "simulated_tasks.h"

static inline uint64_t usable(const struct channel *channel)
{
    return simulated_random(2) ? meeting_of(channel)->capacity : 0;
}

const char *message_channel_way(void)
{
    return "any";
}
