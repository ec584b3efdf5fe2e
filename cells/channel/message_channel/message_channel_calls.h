/* SPDX-License-Identifier: MIT */
/*
 * message_channel_calls.h - the functions of the interface, for one who says how much of a ring it
 * uses.
 *
 * Rules: included by the source of an implementation, once, behind MESSAGE_CHANNEL_USABLE(channel): how
 * much of its ring is used, 0 to its capacity. That and message_channel_way() are all that it writes
 * itself.
 */
#pragma once

#include "message_channel_meeting.h"

#ifdef MESSAGE_CHANNEL_USABLE

static inline uint64_t usable(const struct channel *channel)
{
    return MESSAGE_CHANNEL_USABLE(channel);
}

/* ---- what channel.h asks for ---- */

static void settle(struct channel_operation *operation)
{
    meeting_settle(operation);
}

static bool is_ready(const struct channel *channel, enum channel_side side)
{
    return meeting_is_ready(channel, side, usable(channel));
}

static bool take_rest(struct channel_operation *operation)
{
    return meeting_take_rest(operation);
}

/* A name of its own section: a swap finds it unchanged, and channels keep pointing to it. */
static const char kind_name[] = "message channel";

static const struct channel_kind kind = {
    .name = kind_name,
    .settle = settle,
    .is_ready = is_ready,
    .take_rest = take_rest,
};

/* ---- the interface ---- */

static enum status send(struct channel_end *end, void *slot, uint64_t deadline)
{
    return meeting_exchange(end, CHANNEL_SENDERS, slot, usable(end->channel), deadline);
}

static enum status receive(struct channel_end *end, void *slot, uint64_t deadline)
{
    return meeting_exchange(end, CHANNEL_RECEIVERS, slot, usable(end->channel), deadline);
}

enum status message_channel_send_word(struct channel_end *end, uint64_t word, uint64_t deadline)
{
    return send(end, &word, deadline);
}

enum status message_channel_send_bytes(struct channel_end *end, const void *message,
                                       uint64_t deadline)
{
    return send(end, (void *)message, deadline);
}

enum status message_channel_send_owned(struct channel_end *end, void **message, uint64_t deadline)
{
    return send(end, message, deadline);
}

enum status message_channel_receive_word(struct channel_end *end, uint64_t *out_word,
                                         uint64_t deadline)
{
    return receive(end, out_word, deadline);
}

enum status message_channel_receive_bytes(struct channel_end *end, void *out_message,
                                          uint64_t deadline)
{
    return receive(end, out_message, deadline);
}

enum status message_channel_receive_owned(struct channel_end *end, void **out, uint64_t deadline)
{
    return receive(end, out, deadline);
}

enum status message_channel_create(size_t capacity, size_t size, channel_drop_t drop,
                                   struct channel_end **sender,
                                   struct channel_end **receiver) OWN_UNCHECKED
{
    return meeting_create(capacity, size, drop, &kind, sender, receiver);
}

#endif
