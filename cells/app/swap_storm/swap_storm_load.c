/* SPDX-License-Identifier: MIT */
/*
 * Each user of the load knows what it must find: its numbers in its blocks, empty new pages, two
 * counts that are equal, numbers in their order.
 *
 * Mappings are few. Who unmaps holds the page table's lock until every CPU has answered, and the
 * others spin for it: of 4 emulated CPUs on 2 real ones, those that spin keep those that are to
 * answer from running.
 */
#include "async_channel.h"
#include "console.h"
#include "memory_load.h"
#include "swap_storm.h"
#include "task.h"

#define USERS              4u
#define ROUNDS_PER_MAPPING 4u
#define LOAD_PAUSE_NS      20000000ull
#define RING               4u
#define NUMBERS_AT_ONCE    (3 * RING) /* so that both ends wait for one another */
#define LAST_NUMBER        UINT64_MAX

struct load {
    bool is_over;
    uint64_t rounds;
    uint64_t wrong;
    struct mutex mutex;
    uint64_t first; /* by the mutex: these two are equal */
    uint64_t second;
    struct channel_end *sender; /* these two are borrowed */
    struct channel_end *receiver;
};

uint64_t load_rounds(const struct load *load)
{
    return __atomic_load_n(&load->rounds, __ATOMIC_RELAXED);
}

static bool is_over(const struct load *load)
{
    return __atomic_load_n(&load->is_over, __ATOMIC_RELAXED);
}

static void add(uint64_t *to, uint64_t count)
{
    __atomic_fetch_add(to, count, __ATOMIC_RELAXED);
}

/* ---- what tasks do ---- */

/* Between the two changes others wait. */
static bool is_lock_right(struct load *load)
{
    GUARD(mutex, held, &load->mutex);
    bool is_right = load->first == load->second;
    load->first++;
    task_yield();
    load->second++;
    return is_right;
}

static int use_system(struct load **argument)
{
    struct load *load = *argument;
    uint64_t seed = task_own_id();
    for (uint64_t rounds = 0; !is_over(load); rounds++) {
        uint64_t wrong = memory_load_blocks(&seed);
        wrong += rounds % ROUNDS_PER_MAPPING == 0 && !memory_load_mapping(seed);
        wrong += !is_lock_right(load);
        add(&load->wrong, wrong);
        add(&load->rounds, 1);
        task_sleep(LOAD_PAUSE_NS);
    }
    return 0;
}
TASK_DEFINE(user, struct load *, int, use_system);

static int send_numbers(struct load **argument)
{
    struct load *load = *argument;
    uint64_t number = 0;
    enum status status = OK;
    while (status == OK && !is_over(load)) {
        for (unsigned i = 0; status == OK && i < NUMBERS_AT_ONCE; i++) {
            status = async_channel_send_word(load->sender, number++, PARK_FOREVER);
        }
        task_sleep(LOAD_PAUSE_NS);
    }
    add(&load->wrong, status != OK);
    status = async_channel_send_word(load->sender, LAST_NUMBER, PARK_FOREVER);
    add(&load->wrong, status != OK);
    return 0;
}
TASK_DEFINE(sender, struct load *, int, send_numbers);

static int receive_numbers(struct load **argument)
{
    struct load *load = *argument;
    uint64_t expected = 0;
    uint64_t number = 0;
    enum status status = OK;
    for (; status == OK && number != LAST_NUMBER; expected++) {
        status = async_channel_receive_word(load->receiver, &number, PARK_FOREVER);
        add(&load->wrong, status != OK || (number != LAST_NUMBER && number != expected));
    }
    return 0;
}
TASK_DEFINE(receiver, struct load *, int, receive_numbers);

/* ---- all of it ---- */

/* Unchecked: tasks lie in an array, and ends are lent to tasks. */
OWN_UNCHECKED static bool run(struct channel_end *to, struct channel_end *from, load_test_t test,
                              uint32_t number)
{
    struct load load = {.mutex = MUTEX_INIT("load"), .sender = to, .receiver = from};
    struct load *argument = &load;
    struct user_task *users[USERS] = {NULL};
    bool is_right = true;
    int nothing = 0;
    for (unsigned i = 0; i < USERS; i++) {
        OWNED(user_task, task);
        if (user_spawn(&argument, NULL, SLOT(task)) == OK) {
            STORE(users[i], task);
        }
    }
    OWNED(receiver_task, receiver);
    OWNED(sender_task, sender);
    is_right &= receiver_spawn(&argument, NULL, SLOT(receiver)) == OK;
    is_right = is_right && sender_spawn(&argument, NULL, SLOT(sender)) == OK;
    is_right = is_right && test(&load, number);
    __atomic_store_n(&load.is_over, true, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < USERS; i++) {
        OWNED(user_task, task);
        LOAD(task, users[i]);
        is_right &= HELD(task) && user_join(SLOT(task), &nothing) == OK;
    }
    is_right &= HELD(sender) && sender_join(SLOT(sender), &nothing) == OK;
    is_right &= HELD(receiver) && receiver_join(SLOT(receiver), &nothing) == OK;
    console_print("swap_storm: %lu rounds of the load, %lu of them wrong\n",
                  (unsigned long)load.rounds, (unsigned long)load.wrong);
    return is_right && load.wrong == 0 && load.rounds >= USERS;
}

bool under_load(load_test_t test, uint32_t number)
{
    OWNED(channel_end, to);
    OWNED(channel_end, from);
    if (async_channel_create(RING, sizeof(uint64_t), NULL, SLOT(to), SLOT(from)) != OK) {
        return false;
    }
    return run(REF(to), REF(from), test, number);
}
