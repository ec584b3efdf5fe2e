/* SPDX-License-Identifier: MIT */
/*
 * Senders and receivers in random order, killed at random points: is a message ever lost, doubled,
 * out of order or forgotten, and does everybody come to an end?
 *
 * Each run has up to three senders and three receivers, each with an end of its own. Senders send
 * numbered messages with and without deadlines, receivers take them until the channel is closed.
 * What must hold afterwards is the same for every kind of channel and every form of message.
 */
#include "async_channel.h"
#include "heap.h"
#include "message_channel.h"
#include "rendezvous.h"
#include "simulated_tasks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEEDS        200u /* THEORIS_SEEDS in the environment: more */
#define SIDE_MAX     3u   /* tasks on each side */
#define MESSAGES_MAX 6u   /* of each sender */
#define TOKENS       (SIDE_MAX * MESSAGES_MAX)

/* ---- the heap: knows its blocks ---- */

#define BLOCKS_MAX 64u

static void *blocks[BLOCKS_MAX];

void *heap_allocate_zeroed(size_t bytes)
{
    void *block = calloc(1, bytes);
    unsigned i = 0;
    while (blocks[i]) {
        i++;
        simulated_assert(i < BLOCKS_MAX);
    }
    blocks[i] = block;
    return block;
}

void *heap_allocate(size_t bytes)
{
    return heap_allocate_zeroed(bytes);
}

void heap_free(void *block)
{
    unsigned i = 0;
    while (blocks[i] != block) {
        i++;
        simulated_assert(i < BLOCKS_MAX);
    }
    blocks[i] = NULL;
    free(block);
}

/* How many nobody has freed. */
static unsigned free_lost_blocks(void)
{
    unsigned count = 0;
    for (unsigned i = 0; i < BLOCKS_MAX; i++) {
        count += blocks[i] != NULL;
        free(blocks[i]);
        blocks[i] = NULL;
    }
    return count;
}

/* ---- messages ---- */

enum form {
    WORDS,
    BYTES,
    HANDLES,
    FORMS,
};

struct OWN_CAPABILITY("parcel") parcel {
    unsigned released; /* must be 1 in the end */
    bool is_made;
};
OWN_DECLARE(parcel);

struct letter {
    uint64_t token;
    uint64_t text[5]; /* each the token and its place */
};

/* What happened to the message of this number. */
static struct fate {
    struct parcel parcel;
    bool is_sent;      /* a call to send returned OK */
    unsigned received; /* by how many */
} fates[TOKENS];

void parcel_drop(struct parcel **handle)
{
    if (*handle) {
        (*handle)->released++;
        EMPTY(handle);
    }
}

static void make_parcel(unsigned token, struct parcel **out)
{
    fates[token].parcel.is_made = true;
    FILL(out, &fates[token].parcel);
}

static unsigned token_of(const struct parcel *parcel)
{
    const struct fate *fate = CONTAINER_OF(parcel, struct fate, parcel);
    return (unsigned)(fate - fates);
}

/* ---- kinds of channels ---- */

struct kind {
    const char *name;
    enum status (*create)(size_t capacity, size_t size, channel_drop_t drop,
                          struct channel_end **sender, struct channel_end **receiver);
    enum status (*send_word)(struct channel_end *, uint64_t, uint64_t);
    enum status (*send_bytes)(struct channel_end *, const void *, uint64_t);
    enum status (*send_owned)(struct channel_end *, void **, uint64_t);
    enum status (*receive_word)(struct channel_end *, uint64_t *, uint64_t);
    enum status (*receive_bytes)(struct channel_end *, void *, uint64_t);
    enum status (*receive_owned)(struct channel_end *, void **, uint64_t);
};

static enum status create_rendezvous(size_t capacity, size_t size, channel_drop_t drop,
                                     struct channel_end **sender,
                                     struct channel_end **receiver) OWN_UNCHECKED
{
    (void)capacity;
    return rendezvous_create(size, drop, sender, receiver);
}

static const struct kind kinds[] = {
    {"asynchronous", async_channel_create, async_channel_send_word, async_channel_send_bytes,
     async_channel_send_owned, async_channel_receive_word, async_channel_receive_bytes,
     async_channel_receive_owned},
    {"rendezvous", create_rendezvous, rendezvous_send_word, rendezvous_send_bytes,
     rendezvous_send_owned, rendezvous_receive_word, rendezvous_receive_bytes,
     rendezvous_receive_owned},
    /* Implementations are swapped all the time (message_channel_any.c). */
    {"swapped", message_channel_create, message_channel_send_word, message_channel_send_bytes,
     message_channel_send_owned, message_channel_receive_word, message_channel_receive_bytes,
     message_channel_receive_owned},
};

static unsigned seeds(void)
{
    const char *wanted = getenv("THEORIS_SEEDS");
    return wanted ? (unsigned)strtoul(wanted, NULL, 10) : SEEDS;
}

/* ---- one run ---- */

struct member {
    struct channel_end *end; /* given to its task, which may be killed before it has it */
    struct task *task;
    bool was_killed;
    unsigned number;
    unsigned messages;
    int64_t last[SIDE_MAX]; /* of a receiver: the latest of each sender */
};

static struct run {
    uint64_t seed;
    const struct kind *kind;
    enum form form;
    bool may_time_out;
    bool may_clone;
    struct member senders[SIDE_MAX];
    struct member receivers[SIDE_MAX];
    unsigned sender_count;
    unsigned receiver_count;
} run;

static uint64_t random_deadline(void)
{
    if (!run.may_time_out) {
        return PARK_FOREVER;
    }
    switch (simulated_random(4)) {
    case 0:
        return CHANNEL_TRY;
    case 1:
        return parking_deadline(simulated_random(60));
    default:
        return PARK_FOREVER;
    }
}

static enum status send_once(struct channel_end *end, unsigned token, struct parcel **parcel)
{
    struct letter letter = {.token = token};
    switch (run.form) {
    case WORDS:
        return run.kind->send_word(end, token, random_deadline());
    case BYTES:
        for (unsigned i = 0; i < ARRAY_COUNT(letter.text); i++) {
            letter.text[i] = token * 100 + i;
        }
        return run.kind->send_bytes(end, &letter, random_deadline());
    default:
        return run.kind->send_owned(end, (void **)parcel, random_deadline());
    }
}

/* Until it is sent, or cannot be. */
static enum status send_token(struct channel_end *end, unsigned token)
{
    OWNED(parcel, parcel);
    if (run.form == HANDLES) {
        make_parcel(token, SLOT(parcel));
    }
    enum status status;
    do {
        status = send_once(end, token, SLOT(parcel));
        simulated_assert(run.form != HANDLES || HELD(parcel) == (status != OK));
        simulated_assert(status == OK || status == ERR_CLOSED || run.may_time_out);
        if (status == ERR_AGAIN) {
            simulated_yield();
        }
    } while (status == ERR_AGAIN || status == ERR_TIMEOUT);
    return status;
}

/* Some change to another end of the same channel in the middle. */
static void change_end(struct channel_end **end)
{
    OWNED(channel_end, clone);
    if (channel_end_clone(*end, SLOT(clone)) == OK && simulated_random(2)) {
        channel_end_drop(end);
        *end = NULL;
        struct channel_end **field = end;
        STORE(*field, clone);
    }
}

static void run_sender(void *argument)
{
    struct member *self = argument;
    OWNED(channel_end, end);
    LOAD(end, self->end);
    for (unsigned i = 0; i < self->messages; i++) {
        unsigned token = self->number * MESSAGES_MAX + i;
        enum status status = send_token(REF(end), token);
        if (status != OK) {
            simulated_assert(status == ERR_CLOSED);
            break;
        }
        fates[token].is_sent = true;
        if (run.may_clone && simulated_random(3) == 0) {
            change_end(SLOT(end));
        }
    }
}

static void note_received(struct member *self, uint64_t token)
{
    simulated_assert(token < TOKENS);
    fates[token].received++;
    unsigned sender = (unsigned)token / MESSAGES_MAX;
    simulated_assert((int64_t)token > self->last[sender]);
    self->last[sender] = (int64_t)token;
}

static enum status receive_once(struct member *self, struct channel_end *end)
{
    OWNED(parcel, parcel);
    struct letter letter = {0};
    uint64_t word = 0;
    enum status status;
    switch (run.form) {
    case WORDS:
        status = run.kind->receive_word(end, &word, random_deadline());
        break;
    case BYTES:
        status = run.kind->receive_bytes(end, &letter, random_deadline());
        word = letter.token;
        for (unsigned i = 0; status == OK && i < ARRAY_COUNT(letter.text); i++) {
            simulated_assert(letter.text[i] == word * 100 + i);
        }
        break;
    default:
        status = run.kind->receive_owned(end, (void **)SLOT(parcel), random_deadline());
        simulated_assert(HELD(parcel) == (status == OK));
        if (status == OK) {
            simulated_assert(REF(parcel)->released == 0);
            word = token_of(REF(parcel));
        }
    }
    if (status == OK) {
        note_received(self, word);
    }
    return status;
}

static void run_receiver(void *argument)
{
    struct member *self = argument;
    OWNED(channel_end, end);
    LOAD(end, self->end);
    for (unsigned i = 0; i < self->messages; i++) {
        enum status status = receive_once(self, REF(end));
        if (status == ERR_CLOSED) {
            break;
        }
        simulated_assert(status == OK || run.may_time_out);
        if (status == ERR_AGAIN) {
            simulated_yield();
        }
        if (status != OK) {
            i--;
        }
        if (run.may_clone && simulated_random(3) == 0) {
            change_end(SLOT(end));
        }
    }
}

static void create_ends(size_t capacity, struct channel_end **sender, struct channel_end **receiver)
{
    static const size_t sizes[FORMS] = {8, sizeof(struct letter), 8};
    channel_drop_t drop = run.form == HANDLES ? (channel_drop_t)parcel_drop : NULL;
    assert_int_equal(run.kind->create(capacity, sizes[run.form], drop, sender, receiver), OK);
}

static void create_members(struct member *members, unsigned count, struct channel_end *first)
{
    for (unsigned i = 0; i < count; i++) {
        members[i] = (struct member){.number = i, .messages = MESSAGES_MAX, .last = {-1, -1, -1}};
        assert_int_equal(channel_end_clone(first, &members[i].end), OK);
    }
}

static void begin_run(const struct kind *kind, enum form form, uint64_t seed)
{
    memset(fates, 0, sizeof(fates));
    run = (struct run){.seed = seed, .kind = kind, .form = form};
    simulated_begin(&(struct simulated_options){.seed = seed, .locks = true});
    run.may_time_out = simulated_random(2);
    run.may_clone = simulated_random(3) == 0;
    run.sender_count = 1 + simulated_random(SIDE_MAX);
    run.receiver_count = 1 + simulated_random(SIDE_MAX);
    OWNED(channel_end, sender);
    OWNED(channel_end, receiver);
    create_ends(1 + simulated_random(4), SLOT(sender), SLOT(receiver));
    create_members(run.senders, run.sender_count, REF(sender));
    create_members(run.receivers, run.receiver_count, REF(receiver));
}

static void spawn_members(void)
{
    static const char *const names[2][SIDE_MAX] = {{"sender 0", "sender 1", "sender 2"},
                                                   {"receiver 0", "receiver 1", "receiver 2"}};
    for (unsigned i = 0; i < run.sender_count; i++) {
        run.senders[i].task = simulated_spawn(names[0][i], 1, run_sender, &run.senders[i]);
    }
    for (unsigned i = 0; i < run.receiver_count; i++) {
        /* One that stays to the end; others may go early. */
        run.receivers[i].messages = i == 0 ? TOKENS + 1 : simulated_random(MESSAGES_MAX);
        run.receivers[i].task = simulated_spawn(names[1][i], 1, run_receiver, &run.receivers[i]);
    }
}

static unsigned drop_ends_of_killed(void)
{
    unsigned count = 0;
    for (unsigned i = 0; i < SIDE_MAX; i++) {
        count += run.senders[i].end != NULL;
        count += run.receivers[i].end != NULL;
        channel_end_drop(&run.senders[i].end);
        channel_end_drop(&run.receivers[i].end);
    }
    return count;
}

/* Who is killed before it has its end leaves that to us; the others wait for it. */
static void finish_run(void)
{
    enum simulated_result result = simulated_run();
    if (drop_ends_of_killed() && result == SIMULATED_DEADLOCK) {
        result = simulated_run();
    }
    if (result != SIMULATED_DONE) {
        simulated_report();
        fail_msg("%s, form %d, seed %llu: result %d", run.kind->name, (int)run.form,
                 (unsigned long long)run.seed, (int)result);
    }
    for (unsigned i = 0; i < run.receiver_count; i++) {
        run.receivers[i].was_killed = simulated_was_killed(run.receivers[i].task);
    }
    simulated_end();
    drop_ends_of_killed();
}

static void fail_token(unsigned token, const char *what)
{
    fail_msg("%s, form %d, seed %llu: message %u is %s", run.kind->name, (int)run.form,
             (unsigned long long)run.seed, token, what);
}

/* `killed` receivers may have had a message each that they could not note. */
static void check_fates(unsigned killed, bool is_last_receiver_killed)
{
    unsigned missing = 0;
    for (unsigned i = 0; i < TOKENS; i++) {
        const struct fate *fate = &fates[i];
        if (fate->received > 1) {
            fail_token(i, "received twice");
        }
        if (fate->parcel.is_made && fate->parcel.released != 1) {
            fail_token(i, fate->parcel.released ? "released twice" : "not released");
        }
        missing += fate->is_sent && fate->received == 0;
    }
    if (missing > killed && !is_last_receiver_killed) {
        fail_msg("%s, form %d, seed %llu: %u messages are lost", run.kind->name, (int)run.form,
                 (unsigned long long)run.seed, missing);
    }
}

static void run_seeds(unsigned kind, enum form form)
{
    for (uint64_t seed = 0; seed < seeds(); seed++) {
        begin_run(&kinds[kind], form, seed);
        spawn_members();
        finish_run();
        check_fates(0, false);
        assert_int_equal(free_lost_blocks(), 0);
    }
}

static void test_async_channel_in_any_order_delivers_each_message_once(void **state)
{
    (void)state;
    for (enum form form = WORDS; form < FORMS; form++) {
        run_seeds(0, form);
    }
}

static void test_rendezvous_in_any_order_delivers_each_message_once(void **state)
{
    (void)state;
    for (enum form form = WORDS; form < FORMS; form++) {
        run_seeds(1, form);
    }
}

static void test_message_channel_swapped_between_calls_delivers_each_message_once(void **state)
{
    (void)state;
    for (enum form form = WORDS; form < FORMS; form++) {
        run_seeds(2, form);
    }
}

/* Up to two are killed. Returns how many blocks of memory were lost. */
static unsigned run_with_kills(unsigned kind, enum form form, uint64_t seed)
{
    begin_run(&kinds[kind], form, seed);
    spawn_members();
    unsigned kills = 1 + simulated_random(2);
    for (unsigned i = 0; i < kills; i++) {
        struct task *victim = simulated_random(2)
                                  ? run.senders[simulated_random(run.sender_count)].task
                                  : run.receivers[simulated_random(run.receiver_count)].task;
        simulated_kill_at(victim, simulated_random(simulated_random(2) ? 40 : 600));
    }
    unsigned killed = 0;
    finish_run();
    for (unsigned i = 0; i < run.receiver_count; i++) {
        killed += run.receivers[i].was_killed;
    }
    check_fates(killed, run.receivers[0].was_killed);
    return free_lost_blocks();
}

static void kill_in_seeds(unsigned kind)
{
    unsigned with_losses = 0;
    for (enum form form = WORDS; form < FORMS; form++) {
        for (uint64_t seed = 0; seed < seeds(); seed++) {
            with_losses += run_with_kills(kind, form, seed) != 0;
        }
    }
    printf("%s: %u runs with kills, memory was lost in %u\n", kinds[kind].name, FORMS * seeds(),
           with_losses);
    /* channel.h: between the heap and the note, and between the note and the heap. */
    assert_in_range(with_losses, 0, FORMS * seeds() / 50);
}

static void test_async_channel_whose_users_are_killed_loses_and_doubles_nothing(void **state)
{
    (void)state;
    kill_in_seeds(0);
}

static void test_rendezvous_whose_users_are_killed_loses_and_doubles_nothing(void **state)
{
    (void)state;
    kill_in_seeds(1);
}

static void test_message_channel_swapped_and_users_killed_loses_and_doubles_nothing(void **state)
{
    (void)state;
    kill_in_seeds(2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_async_channel_in_any_order_delivers_each_message_once),
        cmocka_unit_test(test_rendezvous_in_any_order_delivers_each_message_once),
        cmocka_unit_test(test_message_channel_swapped_between_calls_delivers_each_message_once),
        cmocka_unit_test(test_async_channel_whose_users_are_killed_loses_and_doubles_nothing),
        cmocka_unit_test(test_rendezvous_whose_users_are_killed_loses_and_doubles_nothing),
        cmocka_unit_test(test_message_channel_swapped_and_users_killed_loses_and_doubles_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
