/* SPDX-License-Identifier: MIT */
/*
 * An implementation of message_channel.h that is now the one and now the other, as seen by each
 * call: what tasks meet whose calls began before a swap, and others after it.
 */
#include "message_channel_meeting.h"
#include "simulated_tasks.h"

#define MESSAGE_CHANNEL_USABLE(channel) (simulated_random(2) ? meeting_of(channel)->capacity : 0)
#include "message_channel_calls.h"

const char *message_channel_way(void)
{
    return "any";
}
