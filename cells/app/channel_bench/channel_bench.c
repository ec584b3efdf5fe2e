/* SPDX-License-Identifier: MIT */
/*
 * channel_bench - measures channels in ticks of the time stamp counter, one line `figure NAME
 * VALUE` each; in an emulator that counts instructions a tick is one (see bench).
 *
 * A round trip is a message of 1 byte to another task on the same CPU and one back, both tasks
 * waiting in turn: two sends, two receives, two switches. Throughput is ticks for each message of
 * 8 bytes through one channel: between two tasks on one CPU, and, where there are more CPUs,
 * from half of them to the other half. An interrupt to a deferred task: from the instruction that
 * interrupts, through the handler and a switch from a task that then waits, to the work's first
 * one.
 */
#include "application.h"
#include "async_channel.h"
#include "console.h"
#include "deferred.h"
#include "df_queue.h"
#include "fast_path.h"
#include "interrupts.h"
#include "rendezvous.h"
#include "task.h"
#include "x86.h"

CELL(application, "1.0.0");

APPLICATION(channel_bench);

#define ROUNDS    1000u
#define WARM_UP   10u
#define MESSAGES  20000u
#define CAPACITY  64u
#define PAIRS_MAX 8u

ASYNC_CHANNEL_DEFINE(bytes, uint8_t);
RENDEZVOUS_DEFINE(meetings, uint8_t);
FAST_PATH_DEFINE(quick, uint8_t, uint8_t);
ASYNC_CHANNEL_DEFINE(words, uint64_t);
DF_QUEUE_DEFINE(items, uint64_t);

/* `ticks` for `count` times the same, with one decimal. */
static void say(const char *name, uint64_t ticks, uint64_t count)
{
    uint64_t tenths = (ticks * 10 + count / 2) / count;
    console_print("figure %s %lu.%lu\n", name, (unsigned long)(tenths / 10),
                  (unsigned long)(tenths % 10));
}

static struct task_options here(void)
{
    return (struct task_options){.is_pinned = true, .cpu = CPU_LOCAL(index)};
}

/* ---- round trips ---- */

/* Both kinds of channels have functions of the same names: an echo task, and who asks it. */
#define ROUND_TRIP_DEFINE(name, create)                                                       \
    struct name##_echo {                                                                      \
        struct name##_receiver *from; /* owned */                                             \
        struct name##_sender *to;                                                             \
    };                                                                                        \
    static int name##_echo_run(struct name##_echo *argument)                                  \
    {                                                                                         \
        OWNED(name##_receiver, from);                                                         \
        OWNED(name##_sender, to);                                                             \
        LOAD(from, argument->from);                                                           \
        LOAD(to, argument->to);                                                               \
        uint8_t byte;                                                                         \
        while (name##_receive(REF(from), &byte) == OK && name##_send(REF(to), &byte) == OK) { \
        }                                                                                     \
        return 0;                                                                             \
    }                                                                                         \
    TASK_DEFINE(name##_echoer, struct name##_echo, int, name##_echo_run);                     \
    static enum status name##_trips(struct name##_sender *to, struct name##_receiver *from)   \
        OWN_BORROWS(*to) OWN_BORROWS(*from)                                                   \
    {                                                                                         \
        enum status status = OK;                                                              \
        uint64_t start = 0;                                                                   \
        for (unsigned i = 0; i < ROUNDS + WARM_UP && status == OK; i++) {                     \
            start = i == WARM_UP ? read_tsc() : start;                                        \
            uint8_t byte = (uint8_t)i;                                                        \
            status = name##_send(to, &byte);                                                  \
            if (status == OK) {                                                               \
                status = name##_receive(from, &byte);                                         \
            }                                                                                 \
            if (status == OK && byte != (uint8_t)i) {                                         \
                status = ERR_MISMATCH;                                                        \
            }                                                                                 \
        }                                                                                     \
        say(#name "_round_trip", read_tsc() - start, ROUNDS);                                 \
        return status;                                                                        \
    }                                                                                         \
    static enum status measure_##name(void)                                                   \
    {                                                                                         \
        OWNED(name##_sender, to);                                                             \
        OWNED(name##_receiver, from);                                                         \
        OWNED(name##_sender, back);                                                           \
        OWNED(name##_receiver, asked);                                                        \
        enum status status = create(SLOT(to), SLOT(asked));                                   \
        if (status != OK) {                                                                   \
            return status;                                                                    \
        }                                                                                     \
        status = create(SLOT(back), SLOT(from));                                              \
        if (status != OK) {                                                                   \
            return status;                                                                    \
        }                                                                                     \
        struct name##_echo echo = {0};                                                        \
        STORE(echo.from, asked);                                                              \
        STORE(echo.to, back);                                                                 \
        struct task_options options = here();                                                 \
        OWNED(name##_echoer_task, task);                                                      \
        status = name##_echoer_spawn(&echo, &options, SLOT(task));                            \
        if (status != OK) {                                                                   \
            name##_receiver_drop(&echo.from);                                                 \
            name##_sender_drop(&echo.to);                                                     \
            return status;                                                                    \
        }                                                                                     \
        status = name##_trips(REF(to), REF(from));                                            \
        name##_sender_drop(SLOT(to));                                                         \
        int result;                                                                           \
        enum status joined = name##_echoer_join(SLOT(task), &result);                         \
        return status == OK ? joined : status;                                                \
    }                                                                                         \
    static_assert(1, "")

static enum status create_bytes(struct bytes_sender **to, struct bytes_receiver **from)
    OWN_ACQUIRES(**to, **from);
static enum status create_bytes(struct bytes_sender **to,
                                struct bytes_receiver **from) OWN_UNCHECKED
{
    return bytes_channel_create(CAPACITY, to, from);
}

ROUND_TRIP_DEFINE(bytes, create_bytes);
ROUND_TRIP_DEFINE(meetings, meetings_rendezvous_create);

static int serve(struct quick_server **argument)
{
    OWNED(quick_server, server);
    LOAD(server, *argument);
    uint8_t byte;
    enum status status = quick_receive(REF(server), &byte);
    while (status == OK) {
        uint8_t reply = (uint8_t)(byte + 1);
        status = quick_reply_and_receive(REF(server), &reply, &byte);
    }
    return status == ERR_CLOSED ? 0 : 1;
}
TASK_DEFINE(quick_serving, struct quick_server *, int, serve);

static enum status measure_calls(struct quick_caller *caller) OWN_BORROWS(*caller)
{
    enum status status = OK;
    uint64_t start = 0;
    for (unsigned i = 0; i < ROUNDS + WARM_UP && status == OK; i++) {
        start = i == WARM_UP ? read_tsc() : start;
        uint8_t byte = (uint8_t)i;
        uint8_t reply = 0;
        status = quick_call(caller, &byte, &reply);
        if (status == OK && reply != (uint8_t)(i + 1)) {
            status = ERR_MISMATCH;
        }
    }
    say("fast_path_round_trip", read_tsc() - start, ROUNDS);
    return status;
}

static enum status measure_fast_path(void)
{
    OWNED(quick_caller, caller);
    OWNED(quick_server, server);
    enum status status = quick_fast_path_create(SLOT(caller), SLOT(server));
    if (status != OK) {
        return status;
    }
    struct quick_server *given = NULL;
    STORE(given, server);
    struct task_options options = here();
    OWNED(quick_serving_task, task);
    status = quick_serving_spawn(&given, &options, SLOT(task));
    if (status != OK) {
        quick_server_drop(&given);
        return status;
    }
    task_yield(); /* it waits now */
    status = measure_calls(REF(caller));
    quick_caller_drop(SLOT(caller));
    int result;
    enum status joined = quick_serving_join(SLOT(task), &result);
    return status == OK ? joined : status;
}

/* ---- without switches ---- */

static enum status measure_alone(void)
{
    OWNED(bytes_sender, to);
    OWNED(bytes_receiver, from);
    enum status status = bytes_channel_create(CAPACITY, SLOT(to), SLOT(from));
    if (status != OK) {
        return status;
    }
    uint64_t start = read_tsc();
    for (unsigned i = 0; i < ROUNDS && status == OK; i++) {
        uint8_t byte = 1;
        status = bytes_send(REF(to), &byte);
        if (status == OK) {
            status = bytes_receive(REF(from), &byte);
        }
    }
    say("channel_send_and_receive", read_tsc() - start, ROUNDS);
    return status;
}

static enum status measure_df_queue(void)
{
    OWNED(items_consumer, consumer);
    OWNED(items_producer, producer);
    OWNED(items_item, item);
    enum status status = items_queue_create(SLOT(consumer), SLOT(producer));
    if (status != OK) {
        return status;
    }
    status = items_item_create(SLOT(item));
    if (status != OK) {
        return status;
    }
    uint64_t pushing = 0;
    uint64_t start = read_tsc();
    for (unsigned i = 0; i < ROUNDS && status == OK; i++) {
        uint64_t before = read_tsc();
        status = items_push(REF(producer), REF(item));
        pushing += read_tsc() - before;
        if (!items_peek(REF(consumer))) {
            status = ERR_NOT_FOUND;
        }
        items_complete(REF(consumer));
    }
    say("df_queue_push_peek_complete", read_tsc() - start, ROUNDS);
    say("df_queue_push", pushing, ROUNDS);
    return status;
}

/* ---- interrupts ---- */

struct interruption {
    struct task *task; /* who interrupts, and waits */
    uint64_t start;
    uint64_t to_task;
    uint64_t round;
    uint64_t count;
};

static enum status note_interruption(void *context, uint64_t pushes)
{
    struct interruption *all = context;
    all->to_task += read_tsc() - all->start;
    all->count += pushes;
    parking_unpark(all->task);
    return OK;
}

/* A context cannot say that it is borrowed. */
static void defer(void *work) OWN_UNCHECKED
{
    (void)!deferred_work_push(work);
}

static enum status measure_deferred(void)
{
    struct interruption all = {.task = parking_self()};
    struct task_options options = here();
    OWNED(deferred_queue, queue);
    OWNED(deferred_work, work);
    OWNED(interrupt, interrupt);
    enum status status = deferred_queue_create("deferred", &options, SLOT(queue));
    if (status != OK) {
        return status;
    }
    status = deferred_work_create(REF(queue), note_interruption, &all, SLOT(work));
    if (status != OK) {
        return status;
    }
    status = interrupt_register(INTERRUPT_SOFTWARE, "bench", defer, REF(work), SLOT(interrupt));
    if (status != OK) {
        return status;
    }
    for (unsigned i = 0; i < ROUNDS + WARM_UP; i++) {
        if (i == WARM_UP) {
            all.to_task = all.round = all.count = 0;
        }
        all.start = read_tsc();
        __asm__ volatile("int %0" : : "i"(INTERRUPT_SOFTWARE) : "memory");
        (void)!parking_park(PARK_FOREVER, NULL);
        all.round += read_tsc() - all.start;
    }
    say("interrupt_to_deferred_task", all.to_task, ROUNDS);
    say("interrupt_to_deferred_task_and_back", all.round, ROUNDS);
    return all.count == ROUNDS ? OK : ERR_MISMATCH;
}

/* ---- throughput ---- */

struct stream {
    struct words_sender *to; /* owned; one of both is NULL */
    struct words_receiver *from;
    uint64_t count;
};

static uint64_t stream_words(struct stream *stream)
{
    OWNED(words_sender, to);
    LOAD(to, stream->to);
    uint64_t sum = 0;
    for (uint64_t i = 1; i <= stream->count && words_send(REF(to), &i) == OK; i++) {
        sum += i;
    }
    return sum;
}
TASK_DEFINE(streamer, struct stream, uint64_t, stream_words);

static uint64_t drain_words(struct stream *stream)
{
    OWNED(words_receiver, from);
    LOAD(from, stream->from);
    uint64_t sum = 0;
    uint64_t word;
    while (words_receive(REF(from), &word) == OK) {
        sum += word;
    }
    return sum;
}
TASK_DEFINE(drainer, struct stream, uint64_t, drain_words);

struct streams {
    struct streamer_task *senders[PAIRS_MAX]; /* owned */
    struct drainer_task *receivers[PAIRS_MAX];
};

/* Unchecked, these three: handles in structures. */
static enum status spawn_pair(struct streams *streams, unsigned i, unsigned cpus,
                              struct words_sender *to, struct words_receiver *from) OWN_UNCHECKED
{
    struct stream sender = {.count = MESSAGES};
    struct stream receiver = {0};
    enum status status = words_sender_clone(to, &sender.to);
    if (status == OK) {
        status = words_receiver_clone(from, &receiver.from);
    }
    struct task_options options = {.is_pinned = true, .cpu = 2 * i % cpus};
    if (status == OK) {
        status = streamer_spawn(&sender, &options, &streams->senders[i]);
    }
    sender.to = status == OK ? NULL : sender.to;
    options.cpu = (2 * i + 1) % cpus;
    if (status == OK) {
        status = drainer_spawn(&receiver, &options, &streams->receivers[i]);
    }
    receiver.from = status == OK ? NULL : receiver.from;
    words_sender_drop(&sender.to);
    words_receiver_drop(&receiver.from);
    return status;
}

static enum status join_pair(struct streams *streams, unsigned i,
                             uint64_t *difference) OWN_UNCHECKED
{
    uint64_t sum = 0;
    enum status status = OK;
    if (streams->senders[i]) {
        status = streamer_join(&streams->senders[i], &sum);
        *difference += sum;
    }
    if (streams->receivers[i]) {
        enum status other = drainer_join(&streams->receivers[i], &sum);
        *difference -= sum;
        status = status == OK ? other : status;
    }
    return status;
}

static enum status measure_throughput(const char *name, unsigned pairs, unsigned cpus) OWN_UNCHECKED
{
    struct streams streams = {0};
    uint64_t start;
    enum status status;
    {
        OWNED(words_sender, to);
        OWNED(words_receiver, from);
        status = words_channel_create(CAPACITY, SLOT(to), SLOT(from));
        start = read_tsc();
        for (unsigned i = 0; i < pairs && status == OK; i++) {
            status = spawn_pair(&streams, i, cpus, REF(to), REF(from));
        }
    }
    uint64_t difference = 0;
    for (unsigned i = 0; i < pairs; i++) {
        enum status joined = join_pair(&streams, i, &difference);
        status = status == OK ? joined : status;
    }
    say(name, read_tsc() - start, (uint64_t)pairs * MESSAGES);
    return status == OK && difference != 0 ? ERR_MISMATCH : status;
}

enum status channel_bench_main(const struct app_arguments *arguments)
{
    (void)arguments;
    if (!parking_self()) {
        console_print("channel_bench: there are no tasks\n");
        return ERR_STATE;
    }
    enum status status = measure_bytes();
    status = status == OK ? measure_meetings() : status;
    status = status == OK ? measure_fast_path() : status;
    status = status == OK ? measure_alone() : status;
    status = status == OK ? measure_df_queue() : status;
    status = status == OK ? measure_deferred() : status;
    status = status == OK ? measure_throughput("channel_message_1_cpu", 1, 1) : status;
    unsigned cpus = dispatcher_cpu_count();
    if (status == OK && cpus > 1) {
        unsigned pairs = cpus / 2 < PAIRS_MAX ? cpus / 2 : PAIRS_MAX;
        status = measure_throughput("channel_message_all_cpus", pairs, 2 * pairs);
    }
    return status;
}
