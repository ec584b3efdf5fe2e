/* SPDX-License-Identifier: MIT */
/*
 * The ring is used to its capacity: who sends waits only while it is full. A receiver that waits is
 * served directly. Senders that began to wait under another implementation are served by receivers,
 * and their messages go into the ring as room becomes free.
 */
#include "message_channel_calls.h"

CELL(library, "1.0.0");

static inline uint64_t usable(const struct channel *channel)
{
    return meeting_of(channel)->capacity;
}

const char *message_channel_way(void)
{
    return "buffered";
}
