/* SPDX-License-Identifier: MIT */
/* Text that is written, vector registers, memory that is mapped. */
#include "async_channel.h"
#include "catch.h"
#include "exceptions.h"
#include "mapped_pages.h"
#include "memory.h"
#include "strike_guest_priv.h"
#include "task.h"
#include "text_write.h"

/* ---- text ---- */

#define UNITS      3u
#define NOT_MAPPED 0x4000ull

static struct mapped_pages *text; /* owned, until guest_end() */
static const uint64_t code[UNITS] = {0x9090909090909001, 0x9090909090909002, 0x9090909090909003};

static volatile uint64_t *text_units(void)
{
    return (volatile uint64_t *)mapped_pages_start(STORED(text));
}

static void prepare_text(void)
{
    static const uint64_t zeros[UNITS];
    text_write((uint64_t)text_units(), zeros, sizeof(zeros));
}

static void write_text(void)
{
    text_write((uint64_t)text_units(), code, sizeof(code));
}

static void store_to_text(void *unused)
{
    (void)unused;
    text_units()[0] = 1;
}

static void write_unmapped(void *unused)
{
    (void)unused;
    text_write(NOT_MAPPED, code, sizeof(code));
}

/* Does it end by a page fault? */
static bool faults(void (*function)(void *))
{
    struct catch_reason reason;
    return catch_unwind(function, NULL, &reason) == ERR_FAULT &&
           reason.fault.vector == EXCEPTION_PF;
}

/* What comes first is written first; and nobody else may write, not even after a fault in the write itself. */
static bool is_text_right(bool has_ended)
{
    bool is_whole = has_ended;
    bool is_right = true;
    for (unsigned i = UNITS; i-- > 0;) {
        is_right &= text_units()[i] == code[i] || (text_units()[i] == 0 && !is_whole);
        is_whole |= text_units()[i] != 0;
    }
    is_right &= faults(store_to_text);
    is_right &= faults(write_unmapped) && faults(store_to_text);
    write_text();
    for (unsigned i = 0; i < UNITS; i++) {
        is_right &= text_units()[i] == code[i];
    }
    return is_right;
}

/* ---- vector registers: one of them, which nobody else uses ---- */

#define MINE   0x1111u
#define OTHERS 0x2222u

static void set_vector(uint64_t value)
{
    __asm__ volatile("movq %0, %%xmm5" : : "r"(value));
}

static uint64_t get_vector(void)
{
    uint64_t value;
    __asm__ volatile("movq %%xmm5, %0" : "=r"(value));
    return value;
}

static void use_vectors(void)
{
    set_vector(MINE);
}

static bool is_use_right(bool has_ended)
{
    bool is_right = !has_ended || get_vector() == MINE;
    set_vector(MINE + 1);
    task_yield();
    return is_right && get_vector() == MINE + 1;
}

/* ---- switches between two tasks with vector registers ---- */

static struct companion_task *companion; /* owned, until guest_end() */
static bool is_over;

/* How often its register was another than it left it. */
static uint64_t accompany(uint64_t *value)
{
    uint64_t wrong = 0;
    set_vector(*value);
    while (!__atomic_load_n(&is_over, __ATOMIC_RELAXED)) {
        task_yield();
        wrong += get_vector() != *value;
        ++*value;
        set_vector(*value);
    }
    return wrong;
}
TASK_DEFINE(companion, uint64_t, uint64_t, accompany);

static void yield(void)
{
    task_yield();
}

static bool is_switch_right(bool has_ended)
{
    (void)has_ended;
    bool is_right = get_vector() == MINE;
    for (unsigned i = 0; i < 3; i++) {
        task_yield();
        is_right &= get_vector() == MINE;
    }
    return is_right;
}

static bool is_switch_without_right(bool has_ended)
{
    (void)has_ended;
    task_yield();
    return parking_self()->vector_state == NULL;
}

/* ---- memory ---- */

static void map_and_unmap(void)
{
    OWNED(mapped_pages, memory);
    if (mapped_pages_create(PAGE_ZONE_DATA, 2 * PAGE_SIZE, PAGE_WRITE, SLOT(memory)) == OK) {
        *(volatile uint64_t *)mapped_pages_start(REF(memory)) = 1;
    }
}

static bool is_memory_right(bool has_ended)
{
    (void)has_ended;
    OWNED(mapped_pages, memory);
    if (mapped_pages_create(PAGE_ZONE_DATA, 2 * PAGE_SIZE, PAGE_WRITE, SLOT(memory)) != OK) {
        return false;
    }
    volatile uint64_t *word = (volatile uint64_t *)mapped_pages_start(REF(memory));
    bool is_right = *word == 0;
    *word = 1;
    return is_right;
}

/* ---- tasks and messages: up to where another task comes to run ---- */

static uint64_t square(uint64_t *number)
{
    return *number * *number;
}
TASK_DEFINE(square, uint64_t, uint64_t, square);

static bool square_in_task(void)
{
    struct task_options here = {.is_pinned = true, .cpu = 0};
    uint64_t number = 7;
    uint64_t result = 0;
    OWNED(square_task, task);
    return square_spawn(&number, &here, SLOT(task)) == OK &&
           square_join(SLOT(task), &result) == OK && result == 49;
}

static void spawn_and_join(void)
{
    (void)square_in_task();
}

static bool is_task_right(bool has_ended)
{
    (void)has_ended;
    return square_in_task();
}

ASYNC_CHANNEL_DEFINE(numbers, uint64_t);

static bool pass_message(void)
{
    OWNED(numbers_sender, to);
    OWNED(numbers_receiver, from);
    uint64_t number = 5;
    uint64_t got = 0;
    return numbers_channel_create(2, SLOT(to), SLOT(from)) == OK &&
           numbers_send(REF(to), &number) == OK && numbers_receive(REF(from), &got) == OK &&
           got == 5;
}

static void send_and_receive(void)
{
    (void)pass_message();
}

static bool is_message_right(bool has_ended)
{
    (void)has_ended;
    return pass_message();
}

/* ---- all ---- */

const struct guest_operation guest_operations[] = {
    {"text is written", 1, prepare_text, write_text, is_text_right},
    {"vector registers are used first", 1, NULL, use_vectors, is_use_right},
    {"a switch with vector registers", 1, use_vectors, yield, is_switch_right},
    {"a switch from a task without", 1, NULL, yield, is_switch_without_right},
    {"memory is mapped and unmapped", 1, NULL, map_and_unmap, is_memory_right},
    {"a task is spawned and joined", 3, NULL, spawn_and_join, is_task_right},
    {"a message is sent and received", 1, NULL, send_and_receive, is_message_right},
    {NULL, 0, NULL, NULL, NULL},
};

enum status guest_begin(void)
{
    OWNED(mapped_pages, pages);
    enum status status =
        mapped_pages_create(PAGE_ZONE_CODE, PAGE_SIZE, PAGE_READ | PAGE_EXECUTE, SLOT(pages));
    if (status != OK) {
        return status;
    }
    struct task_options here = {.is_pinned = true, .cpu = 0};
    uint64_t value = OTHERS;
    OWNED(companion_task, task);
    status = companion_spawn(&value, &here, SLOT(task));
    if (status == OK) {
        STORE(text, pages);
        STORE(companion, task);
    }
    return status;
}

bool guest_end(void)
{
    mapped_pages_drop(&text);
    __atomic_store_n(&is_over, true, __ATOMIC_RELAXED);
    OWNED(companion_task, task);
    LOAD(task, companion);
    uint64_t wrong = 1;
    return companion_join(SLOT(task), &wrong) == OK && wrong == 0;
}
