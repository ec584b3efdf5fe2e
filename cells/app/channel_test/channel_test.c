/* SPDX-License-Identifier: MIT */
/*
 * channel_test - messages in a ring, from all to all, and by calls, on all CPUs.
 *
 * Each message has its sender, its number and a checksum of them; who receives compares. What waits
 * with a deadline is tried as well, and at the end as many blocks of memory must be in use as
 * at the beginning.
 */
#include "application.h"
#include "async_channel.h"
#include "console.h"
#include "fast_path.h"
#include "heap.h"
#include "rendezvous.h"
#include "task.h"

CELL(application, "1.0.0");

APPLICATION(channel_test);

#define NODES    8u
#define LAPS     100u
#define EACH     60u /* messages from each to each */
#define CALLS    500u
#define MOMENT   3000000u /* nanoseconds */
#define CAPACITY 4u
#define SLICES   12u

struct message {
    uint32_t from;
    uint32_t to;
    uint64_t number;
    uint64_t check;
};

ASYNC_CHANNEL_DEFINE(tokens, uint64_t);
RENDEZVOUS_DEFINE(batons, uint64_t);
ASYNC_CHANNEL_DEFINE(messages, struct message);
FAST_PATH_DEFINE(square, uint32_t, uint64_t);

static uint64_t checksum(const struct message *message)
{
    uint64_t sum = message->number * 0x9e3779b97f4a7c15ull + message->from * 0x100000001b3ull;
    return (sum ^ (sum >> 29)) + message->to;
}

static struct task_options on_cpu(unsigned i)
{
    return (struct task_options){.is_pinned = true, .cpu = i % dispatcher_cpu_count()};
}

static enum status report(const char *what, enum status status)
{
    console_print("channel_test: %s: %s\n", what, status_name(status));
    return status;
}

/* ---- rings: each node adds 1 and passes it on ---- */

#define RING_DEFINE(name, create)                                                                \
    struct name##_node {                                                                         \
        struct name##_receiver *from; /* owned */                                                \
        struct name##_sender *to;                                                                \
    };                                                                                           \
    static int name##_pass_on(struct name##_node *node)                                          \
    {                                                                                            \
        OWNED(name##_receiver, from);                                                            \
        OWNED(name##_sender, to);                                                                \
        LOAD(from, node->from);                                                                  \
        LOAD(to, node->to);                                                                      \
        uint64_t value;                                                                          \
        while (name##_receive(REF(from), &value) == OK) {                                        \
            value++;                                                                             \
            if (name##_send(REF(to), &value) != OK) {                                            \
                break;                                                                           \
            }                                                                                    \
        }                                                                                        \
        return 0;                                                                                \
    }                                                                                            \
    TASK_DEFINE(name##_passer, struct name##_node, int, name##_pass_on);                         \
    /* Node i receives from channel i and sends to channel i + 1; the caller closes the ring. */ \
    static enum status name##_laps(struct name##_sender *to, struct name##_receiver *from)       \
        OWN_BORROWS(*to) OWN_BORROWS(*from)                                                      \
    {                                                                                            \
        enum status status = OK;                                                                 \
        for (uint64_t lap = 0; lap < LAPS && status == OK; lap++) {                              \
            uint64_t value = lap * 1000;                                                         \
            status = name##_send(to, &value);                                                    \
            if (status == OK) {                                                                  \
                status = name##_receive(from, &value);                                           \
            }                                                                                    \
            if (status == OK && value != lap * 1000 + NODES) {                                   \
                status = ERR_MISMATCH;                                                           \
            }                                                                                    \
        }                                                                                        \
        return status;                                                                           \
    }                                                                                            \
    static enum status name##_ring(void) OWN_UNCHECKED                                           \
    {                                                                                            \
        struct name##_node nodes[NODES + 1] = {0}; /* owned, as the tasks are */                 \
        struct name##_passer_task *tasks[NODES] = {0};                                           \
        enum status status = OK;                                                                 \
        for (unsigned i = 0; i <= NODES && status == OK; i++) {                                  \
            status = create(&nodes[i].to, &nodes[i].from);                                       \
        }                                                                                        \
        struct name##_sender *first = nodes[0].to;                                               \
        for (unsigned i = 0; i < NODES; i++) {                                                   \
            nodes[i].to = nodes[i + 1].to;                                                       \
        }                                                                                        \
        nodes[NODES].to = first;                                                                 \
        for (unsigned i = 0; i < NODES && status == OK; i++) {                                   \
            struct task_options options = on_cpu(i);                                             \
            status = name##_passer_spawn(&nodes[i], &options, &tasks[i]);                        \
            if (status == OK) {                                                                  \
                nodes[i] = (struct name##_node){0};                                              \
            }                                                                                    \
        }                                                                                        \
        if (status == OK) {                                                                      \
            status = name##_laps(nodes[NODES].to, nodes[NODES].from);                            \
        }                                                                                        \
        for (unsigned i = 0; i <= NODES; i++) {                                                  \
            name##_sender_drop(&nodes[i].to);                                                    \
            name##_receiver_drop(&nodes[i].from);                                                \
        }                                                                                        \
        for (unsigned i = 0; i < NODES; i++) {                                                   \
            int result;                                                                          \
            enum status joined = tasks[i] ? name##_passer_join(&tasks[i], &result) : OK;         \
            status = status == OK ? joined : status;                                             \
        }                                                                                        \
        return status;                                                                           \
    }                                                                                            \
    static_assert(1, "")

static enum status create_tokens(struct tokens_sender **to, struct tokens_receiver **from)
    OWN_ACQUIRES(**to, **from);
static enum status create_tokens(struct tokens_sender **to,
                                 struct tokens_receiver **from) OWN_UNCHECKED
{
    return tokens_channel_create(CAPACITY, to, from);
}

RING_DEFINE(tokens, create_tokens);
RING_DEFINE(batons, batons_rendezvous_create);

/* ---- from all to all ---- */

struct inbox {
    struct messages_receiver *from; /* owned */
    uint32_t number;
};

/* How many messages were right; stops at the first that is not. */
static uint64_t read_inbox(struct inbox *inbox)
{
    OWNED(messages_receiver, from);
    LOAD(from, inbox->from);
    uint64_t next[NODES] = {0};
    uint64_t count = 0;
    struct message message;
    while (messages_receive(REF(from), &message) == OK) {
        if (message.to != inbox->number || message.from >= NODES ||
            message.number != next[message.from]++ || message.check != checksum(&message)) {
            console_print("channel_test: node %u: message %lu of %u is wrong\n",
                          (unsigned)inbox->number, (unsigned long)message.number,
                          (unsigned)message.from);
            break;
        }
        count++;
    }
    return count;
}
TASK_DEFINE(reader, struct inbox, uint64_t, read_inbox);

struct outbox {
    struct messages_sender *to[NODES]; /* owned */
    uint32_t number;
};

static int write_messages(struct outbox *outbox) OWN_UNCHECKED
{
    int failures = 0;
    for (uint64_t i = 0; i < EACH; i++) {
        for (uint32_t to = 0; to < NODES; to++) {
            struct message message = {.from = outbox->number, .to = to, .number = i};
            message.check = checksum(&message);
            failures += messages_send(outbox->to[to], &message) != OK;
        }
    }
    for (uint32_t to = 0; to < NODES; to++) {
        messages_sender_drop(&outbox->to[to]);
    }
    return failures;
}
TASK_DEFINE(writer, struct outbox, int, write_messages);

struct crowd {
    struct messages_sender *to[NODES]; /* owned, all of these */
    struct inbox inboxes[NODES];
    struct reader_task *readers[NODES];
    struct writer_task *writers[NODES];
};

static enum status spawn_writer(struct crowd *crowd, unsigned i) OWN_UNCHECKED
{
    struct outbox outbox = {.number = i};
    enum status status = OK;
    for (unsigned to = 0; to < NODES && status == OK; to++) {
        status = messages_sender_clone(crowd->to[to], &outbox.to[to]);
    }
    struct task_options options = on_cpu(i);
    if (status == OK) {
        status = writer_spawn(&outbox, &options, &crowd->writers[i]);
    }
    for (unsigned to = 0; to < NODES && status != OK; to++) {
        messages_sender_drop(&outbox.to[to]);
    }
    return status;
}

static enum status spawn_crowd(struct crowd *crowd) OWN_UNCHECKED
{
    enum status status = OK;
    for (unsigned i = 0; i < NODES && status == OK; i++) {
        crowd->inboxes[i].number = i;
        status = messages_channel_create(CAPACITY, &crowd->to[i], &crowd->inboxes[i].from);
    }
    for (unsigned i = 0; i < NODES && status == OK; i++) {
        struct task_options options = on_cpu(i + 1);
        status = reader_spawn(&crowd->inboxes[i], &options, &crowd->readers[i]);
        if (status == OK) {
            crowd->inboxes[i].from = NULL;
        }
    }
    for (unsigned i = 0; i < NODES && status == OK; i++) {
        status = spawn_writer(crowd, i);
    }
    return status;
}

static enum status join_crowd(struct crowd *crowd) OWN_UNCHECKED
{
    enum status status = OK;
    for (unsigned i = 0; i < NODES; i++) {
        messages_sender_drop(&crowd->to[i]);
        messages_receiver_drop(&crowd->inboxes[i].from);
        int failures = 0;
        enum status joined = crowd->writers[i] ? writer_join(&crowd->writers[i], &failures) : OK;
        joined = failures ? ERR_FAILED : joined;
        status = status == OK ? joined : status;
    }
    for (unsigned i = 0; i < NODES; i++) {
        uint64_t count = EACH * NODES;
        enum status joined = crowd->readers[i] ? reader_join(&crowd->readers[i], &count) : OK;
        joined = count != EACH * NODES ? ERR_MISMATCH : joined;
        status = status == OK ? joined : status;
    }
    return status;
}

static enum status all_to_all(void)
{
    struct crowd *crowd = heap_allocate_zeroed(sizeof(*crowd));
    if (!crowd) {
        return ERR_NO_MEMORY;
    }
    enum status status = spawn_crowd(crowd);
    enum status joined = join_crowd(crowd);
    heap_free(crowd);
    return status == OK ? joined : status;
}

/* ---- calls ---- */

static int serve(struct square_server **argument)
{
    OWNED(square_server, server);
    LOAD(server, *argument);
    uint32_t number;
    enum status status = square_receive(REF(server), &number);
    while (status == OK) {
        uint64_t result = (uint64_t)number * number;
        status = square_reply_and_receive(REF(server), &result, &number);
    }
    return status == ERR_CLOSED ? 0 : 1;
}
TASK_DEFINE(square_serving, struct square_server *, int, serve);

static enum status call_often(struct square_caller *caller) OWN_BORROWS(*caller)
{
    enum status status = OK;
    for (uint32_t i = 0; i < CALLS && status == OK; i++) {
        uint64_t result = 0;
        status = square_call(caller, &i, &result);
        if (status == OK && result != (uint64_t)i * i) {
            status = ERR_MISMATCH;
        }
    }
    return status;
}

static enum status calls_to_cpu(unsigned cpu)
{
    OWNED(square_caller, caller);
    OWNED(square_server, server);
    enum status status = square_fast_path_create(SLOT(caller), SLOT(server));
    if (status != OK) {
        return status;
    }
    struct square_server *given = NULL;
    STORE(given, server);
    struct task_options options = on_cpu(cpu);
    OWNED(square_serving_task, task);
    status = square_serving_spawn(&given, &options, SLOT(task));
    if (status != OK) {
        square_server_drop(&given);
        return status;
    }
    status = call_often(REF(caller));
    square_caller_drop(SLOT(caller));
    int result = 1;
    enum status joined = square_serving_join(SLOT(task), &result);
    joined = joined == OK && result ? ERR_FAILED : joined;
    return status == OK ? joined : status;
}

/* ---- turns: two who wake each other, and one who only counts, on one CPU ---- */

struct turns {
    volatile bool is_over;
    volatile uint64_t rounds;
    volatile uint64_t counted;
};

static int count_on(struct turns **turns)
{
    while (!(*turns)->is_over) {
        (*turns)->counted++;
    }
    return 0;
}
TASK_DEFINE(bystander, struct turns *, int, count_on);

/* The way of a token, round and round. */
struct player {
    struct tokens_receiver *from; /* owned */
    struct tokens_sender *to;
    struct turns *turns;
};

static int play(struct player *player)
{
    OWNED(tokens_receiver, from);
    OWNED(tokens_sender, to);
    LOAD(from, player->from);
    LOAD(to, player->to);
    uint64_t token;
    while (!player->turns->is_over && tokens_receive(REF(from), &token) == OK) {
        token++;
        player->turns->rounds = token;
        if (tokens_send(REF(to), &token) != OK) {
            break;
        }
    }
    return 0;
}
TASK_DEFINE(player, struct player, int, play);

struct asker {
    struct square_caller *caller; /* owned */
    struct turns *turns;
};

static int ask(struct asker *asker)
{
    OWNED(square_caller, caller);
    LOAD(caller, asker->caller);
    enum status status = OK;
    for (uint32_t i = 0; !asker->turns->is_over && status == OK; i++) {
        uint64_t result;
        status = square_call(REF(caller), &i, &result);
        asker->turns->rounds = i;
    }
    return status == OK ? 0 : 1;
}
TASK_DEFINE(asker, struct asker, int, ask);

static enum status begin_to_play(struct turns *turns, struct player_task *tasks[2]) OWN_UNCHECKED
{
    struct player players[2] = {{.turns = turns}, {.turns = turns}};
    struct task_options options = on_cpu(0);
    enum status status = tokens_channel_create(1, &players[1].to, &players[0].from);
    if (status == OK) {
        status = tokens_channel_create(1, &players[0].to, &players[1].from);
    }
    uint64_t token = 0;
    if (status == OK) {
        status = tokens_send(players[1].to, &token);
    }
    for (unsigned i = 0; i < 2 && status == OK; i++) {
        status = player_spawn(&players[i], &options, &tasks[i]);
        if (status == OK) {
            players[i] = (struct player){0};
        }
    }
    for (unsigned i = 0; i < 2; i++) {
        tokens_sender_drop(&players[i].to);
        tokens_receiver_drop(&players[i].from);
    }
    return status;
}

/* Who counts has turns, and who plays or asks has some, too. */
static enum status watch(struct turns *turns, const char *what)
{
    struct task_options options = on_cpu(0);
    OWNED(bystander_task, bystander);
    enum status status = bystander_spawn(&turns, &options, SLOT(bystander));
    if (status == OK) {
        task_sleep(SLICES * DISPATCHER_SLICE_NS);
        uint64_t before = turns->counted;
        uint64_t rounds = turns->rounds;
        task_sleep(SLICES * DISPATCHER_SLICE_NS);
        bool is_fair = turns->counted > before && turns->rounds > rounds;
        console_print("channel_test: beside %s: %lu rounds, %lu counted\n", what,
                      (unsigned long)(turns->rounds - rounds),
                      (unsigned long)(turns->counted - before));
        turns->is_over = true;
        int result;
        status = bystander_join(SLOT(bystander), &result);
        status = status == OK && !is_fair ? ERR_FAILED : status;
    }
    turns->is_over = true;
    return status;
}

static enum status turns_beside_channel(void) OWN_UNCHECKED
{
    struct turns turns = {0};
    struct player_task *tasks[2] = {0};
    enum status status = begin_to_play(&turns, tasks);
    status = status == OK ? watch(&turns, "a channel") : status;
    turns.is_over = true;
    for (unsigned i = 0; i < 2; i++) {
        int result;
        enum status joined = tasks[i] ? player_join(&tasks[i], &result) : OK;
        status = status == OK ? joined : status;
    }
    return status;
}

static enum status turns_beside_calls(void) OWN_UNCHECKED
{
    struct turns turns = {0};
    struct asker asker = {.turns = &turns};
    struct square_server *server = NULL;
    struct square_serving_task *serving = NULL;
    struct asker_task *asking = NULL;
    struct task_options options = on_cpu(0);
    enum status status = square_fast_path_create(&asker.caller, &server);
    status = status == OK ? square_serving_spawn(&server, &options, &serving) : status;
    server = status == OK ? NULL : server;
    status = status == OK ? asker_spawn(&asker, &options, &asking) : status;
    asker.caller = status == OK ? NULL : asker.caller;
    status = status == OK ? watch(&turns, "calls") : status;
    turns.is_over = true;
    square_caller_drop(&asker.caller);
    square_server_drop(&server);
    int result;
    enum status joined = asking ? asker_join(&asking, &result) : OK;
    enum status served = serving ? square_serving_join(&serving, &result) : OK;
    status = status == OK ? joined : status;
    return status == OK ? served : status;
}

/* ---- deadlines ---- */

static enum status expect_timeout(enum status status, uint64_t deadline)
{
    if (status != ERR_TIMEOUT) {
        return status == OK ? ERR_FAILED : status;
    }
    return parking_now() >= deadline ? OK : ERR_FAILED;
}

static enum status deadlines(void)
{
    OWNED(tokens_sender, to);
    OWNED(tokens_receiver, from);
    OWNED(batons_sender, hand);
    OWNED(batons_receiver, other_hand);
    OWNED(square_caller, caller);
    OWNED(square_server, server);
    enum status status = tokens_channel_create(1, SLOT(to), SLOT(from));
    if (status != OK) {
        return status;
    }
    status = batons_rendezvous_create(SLOT(hand), SLOT(other_hand));
    if (status != OK) {
        return status;
    }
    status = square_fast_path_create(SLOT(caller), SLOT(server));
    if (status != OK) {
        return status;
    }
    uint64_t token = 0;
    uint64_t deadline = parking_deadline(MOMENT);
    status = expect_timeout(tokens_receive_until(REF(from), &token, deadline), deadline);
    if (status == OK) {
        status = tokens_send(REF(to), &token);
    }
    deadline = parking_deadline(MOMENT);
    if (status == OK) {
        status = expect_timeout(tokens_send_until(REF(to), &token, deadline), deadline);
    }
    deadline = parking_deadline(MOMENT);
    if (status == OK) {
        status = expect_timeout(batons_send_until(REF(hand), &token, deadline), deadline);
    }
    deadline = parking_deadline(MOMENT);
    if (status == OK) {
        status = expect_timeout(batons_receive_until(REF(other_hand), &token, deadline), deadline);
    }
    uint32_t number = 1;
    deadline = parking_deadline(MOMENT);
    if (status == OK) {
        status =
            expect_timeout(square_call_until(REF(caller), &number, &token, deadline), deadline);
    }
    return status;
}

enum status channel_test_main(const struct app_arguments *arguments)
{
    (void)arguments;
    if (!parking_self()) {
        return report("there are no tasks", ERR_STATE);
    }
    task_statistics(); /* releases what ended tasks have left */
    uint64_t blocks = heap_statistics().blocks_in_use;
    enum status status = report("ring of asynchronous channels", tokens_ring());
    status = status == OK ? report("ring of rendezvous", batons_ring()) : status;
    status = status == OK ? report("all to all", all_to_all()) : status;
    for (unsigned cpu = 0; cpu < dispatcher_cpu_count() && status == OK; cpu++) {
        status = calls_to_cpu(cpu);
    }
    status = status == OK ? report("calls", status) : status;
    status = status == OK ? report("turns beside a channel", turns_beside_channel()) : status;
    status = status == OK ? report("turns beside calls", turns_beside_calls()) : status;
    status = status == OK ? report("deadlines", deadlines()) : status;
    task_statistics();
    uint64_t left = heap_statistics().blocks_in_use;
    console_print("channel_test: on %u CPUs; %lu blocks in use, %lu before\n",
                  (unsigned)dispatcher_cpu_count(), (unsigned long)left, (unsigned long)blocks);
    return status == OK && left != blocks ? report("blocks that are left", ERR_MISMATCH) : status;
}
