/* SPDX-License-Identifier: MIT */
/*
 * Channels: after a strike no block of the heap is lost, no message is lost or doubled, no end
 * counts that nobody has, and nobody's lock is held.
 */
#include "async_channel.h"
#include "commit.h"
#include "df_queue.h"
#include "fast_path.h"
#include "rendezvous.h"
#include "strike.h"
#include "strike_heap.h"
#include "strike_other.h"

struct OWN_CAPABILITY("parcel") parcel;
OWN_DECLARE_LOCAL(parcel);

struct parcel {
    uint64_t drops;
};

#define PARCELS 4u

static struct parcel parcels[PARCELS];
static uint64_t made;

static void parcel_make(struct parcel **out)
{
    commit_two(&made, made + 1, out, &parcels[made]);
}

static void parcel_drop(struct parcel **handle)
{
    if (*handle) {
        commit_two(&(*handle)->drops, (*handle)->drops + 1, handle, NULL);
    }
}

ASYNC_CHANNEL_DEFINE(numbers, uint64_t);
ASYNC_CHANNEL_DEFINE_OWNED(posts, parcel);
RENDEZVOUS_DEFINE(meetings, uint64_t);
RENDEZVOUS_DEFINE_OWNED(handovers, parcel);
FAST_PATH_DEFINE(square, uint32_t, uint64_t);
DF_QUEUE_DEFINE(events, uint64_t);

/* What the other task has. */
static struct numbers_receiver *numbers_of_other;
static struct numbers_sender *numbers_to_send_of_other;
static struct meetings_receiver *meetings_of_other;
static struct handovers_receiver *handovers_of_other;
static struct square_server *server_of_other;
static struct square_caller *caller_of_other;
static struct events_consumer *consumer_of_other;
static struct events_producer *producer_of_other;
static struct parcel *parcel_of_other;

static void drop_others(void)
{
    numbers_receiver_drop(&numbers_of_other);
    numbers_sender_drop(&numbers_to_send_of_other);
    meetings_receiver_drop(&meetings_of_other);
    handovers_receiver_drop(&handovers_of_other);
    square_server_drop(&server_of_other);
    square_caller_drop(&caller_of_other);
    events_consumer_drop(&consumer_of_other);
    events_producer_drop(&producer_of_other);
    parcel_drop(&parcel_of_other);
}

/* Each parcel that was made is released exactly once when everybody is gone. */
static void check_all(void)
{
    strike_demand(preemption_count() == 0);
    strike_demand(CPU_LOCAL(task) == NULL || CPU_LOCAL(task) == strike_task_of(&strike_self));
    strike_other_turn(drop_others);
    strike_demand(strike_heap_used() == 0);
    strike_demand(!strike_self.references && !strike_other.references);
    for (unsigned i = 0; i < PARCELS; i++) {
        strike_demand(parcels[i].drops == (i < made));
    }
}

/* ---- asynchronous channels ---- */

static void send_numbers(void)
{
    OWNED(numbers_sender, to);
    OWNED(numbers_receiver, from);
    if (numbers_channel_create(2, SLOT(to), SLOT(from)) != OK) {
        return;
    }
    OWNED(numbers_sender, second);
    if (numbers_sender_clone(REF(to), SLOT(second)) != OK) {
        return;
    }
    uint64_t number = 1;
    strike_demand(numbers_send(REF(to), &number) == OK);
    numbers_sender_drop(SLOT(to));
    number = 2;
    strike_demand(numbers_send(REF(second), &number) == OK);
    strike_demand(numbers_try_send(REF(second), &number) == ERR_AGAIN);
    strike_demand(numbers_receive(REF(from), &number) == OK && number == 1);
}

static void send_parcels(void)
{
    OWNED(posts_sender, to);
    OWNED(posts_receiver, from);
    if (posts_channel_create(3, SLOT(to), SLOT(from)) != OK) {
        return;
    }
    for (unsigned i = 0; i < 3; i++) {
        OWNED(parcel, parcel);
        parcel_make(SLOT(parcel));
        strike_demand(posts_send(REF(to), SLOT(parcel)) == OK);
    }
    OWNED(parcel, first);
    strike_demand(posts_receive(REF(from), SLOT(first)) == OK);
    posts_receiver_drop(SLOT(from));
}

static void other_receives(void)
{
    uint64_t number;
    (void)!numbers_try_receive(numbers_of_other, &number);
}

static void prepare_receiver(void)
{
    strike_other_begin(other_receives);
}

static void wait_for_room(void)
{
    OWNED(numbers_sender, to);
    {
        OWNED(numbers_receiver, from);
        if (numbers_channel_create(1, SLOT(to), SLOT(from)) != OK) {
            return;
        }
        STORE(numbers_of_other, from);
    }
    uint64_t number = 1;
    strike_demand(numbers_send(REF(to), &number) == OK);
    strike_demand(numbers_send(REF(to), &number) == OK);
    strike_demand(strike_parks == 1);
}

static void other_sends(void)
{
    uint64_t number = 3;
    (void)!numbers_try_send(numbers_to_send_of_other, &number);
}

static void prepare_sender(void)
{
    strike_other_begin(other_sends);
}

/* The sender serves the receiver's record, past the ring. */
static void wait_for_message(void)
{
    OWNED(numbers_receiver, from);
    {
        OWNED(numbers_sender, to);
        if (numbers_channel_create(1, SLOT(to), SLOT(from)) != OK) {
            return;
        }
        STORE(numbers_to_send_of_other, to);
    }
    uint64_t number = 0;
    strike_demand(numbers_receive(REF(from), &number) == OK && number == 3);
    strike_demand(strike_parks == 1);
    strike_demand(numbers_try_receive(REF(from), &number) == ERR_AGAIN);
}

/* ---- rendezvous ---- */

static void other_meets(void)
{
    uint64_t number;
    (void)!meetings_try_receive(meetings_of_other, &number);
}

static void prepare_meeting(void)
{
    strike_other_begin(other_meets);
}

static void meet(void)
{
    OWNED(meetings_sender, to);
    {
        OWNED(meetings_receiver, from);
        if (meetings_rendezvous_create(SLOT(to), SLOT(from)) != OK) {
            return;
        }
        STORE(meetings_of_other, from);
    }
    uint64_t number = 1;
    strike_demand(meetings_send(REF(to), &number) == OK);
}

static void other_takes_over(void)
{
    (void)!handovers_try_receive(handovers_of_other, &parcel_of_other);
}

static void prepare_handover(void)
{
    strike_other_begin(other_takes_over);
}

static void hand_over_in_person(void)
{
    OWNED(handovers_sender, to);
    {
        OWNED(handovers_receiver, from);
        if (handovers_rendezvous_create(SLOT(to), SLOT(from)) != OK) {
            return;
        }
        STORE(handovers_of_other, from);
    }
    OWNED(parcel, parcel);
    parcel_make(SLOT(parcel));
    strike_demand(handovers_send(REF(to), SLOT(parcel)) == OK);
    OWNED(parcel, second);
    parcel_make(SLOT(second));
    strike_demand(handovers_try_send(REF(to), SLOT(second)) == ERR_AGAIN);
}

/* ---- the fast path ---- */

static void other_serves(void)
{
    uint32_t request;
    if (square_receive_until(server_of_other, &request, 1) == OK) {
        uint64_t reply = (uint64_t)request * request;
        (void)!square_reply(server_of_other, &reply);
    }
}

static void prepare_server(void)
{
    strike_other_begin(other_serves);
}

static void call(void)
{
    OWNED(square_caller, caller);
    {
        OWNED(square_server, server);
        if (square_fast_path_create(SLOT(caller), SLOT(server)) != OK) {
            return;
        }
        STORE(server_of_other, server);
    }
    uint32_t request = 7;
    uint64_t reply = 0;
    strike_demand(square_call(REF(caller), &request, &reply) == OK && reply == 49);
}

static void other_calls(void)
{
    uint32_t request = 5;
    uint64_t reply;
    if (strike_parks == 1) {
        (void)!square_call_until(caller_of_other, &request, &reply, 1);
    }
}

static void prepare_caller(void)
{
    strike_other_begin(other_calls);
}

static void serve_in_vain(void)
{
    OWNED(square_server, server);
    {
        OWNED(square_caller, caller);
        if (square_fast_path_create(SLOT(caller), SLOT(server)) != OK) {
            return;
        }
        STORE(caller_of_other, caller);
    }
    uint32_t request;
    strike_demand(square_receive_until(REF(server), &request, 1) == ERR_TIMEOUT);
}

/* ---- queues of what their producers keep ---- */

static void queue_and_complete(void)
{
    OWNED(events_consumer, consumer);
    OWNED(events_producer, producer);
    if (events_queue_create(SLOT(consumer), SLOT(producer)) != OK) {
        return;
    }
    OWNED(events_producer, second);
    if (events_producer_clone(REF(producer), SLOT(second)) != OK) {
        return;
    }
    OWNED(events_item, item);
    OWNED(events_item, left);
    if (events_item_create(SLOT(item)) != OK || events_item_create(SLOT(left)) != OK) {
        return;
    }
    strike_demand(events_push(REF(producer), REF(item)) == OK);
    strike_demand(events_push(REF(producer), REF(item)) == ERR_BUSY);
    strike_demand(events_push(REF(second), REF(left)) == OK);
    events_producer_drop(SLOT(producer));
    strike_demand(events_peek(REF(consumer)) != NULL);
    events_complete(REF(consumer));
    events_item_drop(SLOT(left));
    strike_demand(events_peek(REF(consumer)) == NULL);
    strike_demand(events_push(REF(second), REF(item)) == OK);
    events_consumer_drop(SLOT(consumer));
    strike_demand(events_item_state(REF(item)) == DF_ITEM_LOST);
    strike_demand(events_push(REF(second), REF(item)) == ERR_CLOSED);
}

static struct events_item *item_of_other;

static void other_pushes(void)
{
    if (!item_of_other && events_item_create(&item_of_other) != OK) {
        return;
    }
    (void)!events_push(producer_of_other, item_of_other);
}

static void prepare_producer(void)
{
    strike_other_begin(other_pushes);
}

static void wait_for_item(void)
{
    OWNED(events_consumer, consumer);
    {
        OWNED(events_producer, producer);
        if (events_queue_create(SLOT(consumer), SLOT(producer)) != OK) {
            return;
        }
        STORE(producer_of_other, producer);
    }
    strike_demand(events_wait(REF(consumer), PARK_FOREVER) == OK);
    strike_demand(events_peek(REF(consumer)) != NULL);
    events_complete(REF(consumer));
}

static void drop_item_of_other(void)
{
    events_item_drop(&item_of_other);
}

static void check_items(void)
{
    strike_other_turn(drop_item_of_other);
    check_all();
}

/* ---- without memory ---- */

static void refuse_memory(void)
{
    strike_heap_refuse(true);
}

static void create_in_vain(void)
{
    send_numbers();
    send_parcels();
    queue_and_complete();
}

int main(void)
{
    static const struct strike_case cases[] = {
        {"async_channel", NULL, send_numbers, check_all},
        {"async_channel of handles", NULL, send_parcels, check_all},
        {"async_channel that is full", prepare_receiver, wait_for_room, check_all},
        {"async_channel that is empty", prepare_sender, wait_for_message, check_all},
        {"rendezvous", prepare_meeting, meet, check_all},
        {"rendezvous of handles", prepare_handover, hand_over_in_person, check_all},
        {"fast_path, a call", prepare_server, call, check_all},
        {"fast_path, a call that is withdrawn", prepare_caller, serve_in_vain, check_all},
        {"df_queue", NULL, queue_and_complete, check_all},
        {"df_queue that is waited for", prepare_producer, wait_for_item, check_items},
        {"channels without memory", refuse_memory, create_in_vain, check_all},
    };
    return strike_run(cases, ARRAY_COUNT(cases));
}
