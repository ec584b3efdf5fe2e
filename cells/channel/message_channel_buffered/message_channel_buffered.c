/* SPDX-License-Identifier: MIT */
/*
 * The ring is used to its capacity: who sends waits only while it is full. A receiver that waits is
 * served directly. Senders that began to wait under another implementation are served by receivers,
 * and their messages go into the ring as room becomes free.
 */
#define MESSAGE_CHANNEL_USABLE(channel) meeting_of(channel)->capacity
#include "message_channel_calls.h"

CELL(library, "1.0.0");

const char *message_channel_way(void)
{
    return "buffered";
}
