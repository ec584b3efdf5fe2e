/* SPDX-License-Identifier: MIT */
/* MISUSE 0 is right and compiles; every other number is wrong, and must not. */
#include "async_channel.h"
#include "df_queue.h"
#include "fast_path.h"
#include "rendezvous.h"

struct number {
    uint32_t value;
};
struct letter {
    char text[40];
};
struct large {
    char text[ASYNC_CHANNEL_MESSAGE_SIZE_MAX + 1];
};
struct OWN_CAPABILITY("parcel") parcel;
OWN_DECLARE(parcel);
struct OWN_CAPABILITY("crate") crate;
OWN_DECLARE(crate);

ASYNC_CHANNEL_DEFINE(numbers, struct number);
ASYNC_CHANNEL_DEFINE(letters, struct letter);
ASYNC_CHANNEL_DEFINE_OWNED(parcels, parcel);
RENDEZVOUS_DEFINE(hands, struct number);
FAST_PATH_DEFINE(square, uint32_t, uint64_t);
DF_QUEUE_DEFINE(events, struct number);

#if MISUSE == 7
ASYNC_CHANNEL_DEFINE(larges, struct large);
#elif MISUSE == 8
FAST_PATH_DEFINE(slow, struct letter, uint32_t);
#endif

enum status use(struct numbers_sender *to, struct numbers_receiver *from,
                struct letters_sender *letters, struct parcels_sender *parcels,
                struct hands_sender *hand, struct square_caller *caller,
                struct events_producer *producer, struct events_item *item, struct parcel **parcel,
                struct crate **crate);
enum status use(struct numbers_sender *to, struct numbers_receiver *from,
                struct letters_sender *letters, struct parcels_sender *parcels,
                struct hands_sender *hand, struct square_caller *caller,
                struct events_producer *producer, struct events_item *item, struct parcel **parcel,
                struct crate **crate)
{
    struct number number = {1};
    struct letter letter = {{0}};
    uint32_t request = 1;
    uint64_t reply;
    (void)crate, (void)reply, (void)letter;
#if MISUSE == 0
    return numbers_send(to, &number) || numbers_receive(from, &number) ||
           letters_send(letters, &letter) || parcels_send(parcels, parcel) ||
           hands_send(hand, &number) || square_call(caller, &request, &reply) ||
           events_push(producer, item);
#elif MISUSE == 1  /* another type of message */
    return numbers_send(to, &letter);
#elif MISUSE == 2  /* another channel's end */
    return numbers_send(letters, &number);
#elif MISUSE == 3  /* the wrong end */
    return numbers_send(from, &number);
#elif MISUSE == 4  /* the wrong kind of channel */
    return numbers_send(hand, &number);
#elif MISUSE == 5  /* another type of handle */
    return parcels_send(parcels, crate);
#elif MISUSE == 6  /* nobody looks at the status */
    numbers_send(to, &number);
    return OK;
#elif MISUSE == 9  /* the reply has another type */
    return square_call(caller, &request, &request);
#elif MISUSE == 10 /* another queue's item */
    return events_push(producer, parcel);
#elif MISUSE == 11 /* a receiver as a clone of a sender */
    return numbers_sender_clone(to, (struct numbers_receiver **)&from);
#elif MISUSE == 12 /* a number where a message is expected */
    return numbers_send(to, 5);
#else
    return OK;
#endif
}
