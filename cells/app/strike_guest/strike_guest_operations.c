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

static const uint64_t code[UNITS] = {0x9090909090909001, 0x9090909090909002, 0x9090909090909003};

static void prepare_text(const struct guest *guest)
{
    static const uint64_t zeros[UNITS];
    text_write((uint64_t)guest->text, zeros, sizeof(zeros));
}

static void write_text(const struct guest *guest)
{
    text_write((uint64_t)guest->text, code, sizeof(code));
}

static void store_to_text(void *text)
{
    *(volatile uint64_t *)text = 1;
}

static void write_unmapped(void *text)
{
    (void)text;
    text_write(NOT_MAPPED, code, sizeof(code));
}

/* Does it end by a page fault? */
static bool faults(void (*function)(void *text), const struct guest *guest)
{
    struct catch_reason reason;
    return catch_unwind(function, (void *)(uintptr_t)guest->text, &reason) == ERR_FAULT &&
           reason.fault.vector == EXCEPTION_PF;
}

/* What comes first is written first. Nobody else may write, not even after a fault in the write. */
static bool is_text_right(const struct guest *guest, bool has_ended)
{
    bool is_whole = has_ended;
    bool is_right = true;
    for (unsigned i = UNITS; i-- > 0;) {
        is_right &= guest->text[i] == code[i] || (guest->text[i] == 0 && !is_whole);
        is_whole |= guest->text[i] != 0;
    }
    is_right &= faults(store_to_text, guest);
    is_right &= faults(write_unmapped, guest) && faults(store_to_text, guest);
    write_text(guest);
    for (unsigned i = 0; i < UNITS; i++) {
        is_right &= guest->text[i] == code[i];
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

static void use_vectors(const struct guest *guest)
{
    (void)guest;
    set_vector(MINE);
}

static bool is_use_right(const struct guest *guest, bool has_ended)
{
    (void)guest;
    bool is_right = !has_ended || get_vector() == MINE;
    set_vector(MINE + 1);
    task_yield();
    return is_right && get_vector() == MINE + 1;
}

/* ---- switches between two tasks with vector registers ---- */

struct company {
    uint64_t value;
    const bool *is_over;
};

/* How often its register was another than it left it. */
static uint64_t accompany(struct company *company)
{
    uint64_t wrong = 0;
    set_vector(company->value);
    while (!__atomic_load_n(company->is_over, __ATOMIC_RELAXED)) {
        task_yield();
        wrong += get_vector() != company->value;
        company->value++;
        set_vector(company->value);
    }
    return wrong;
}
TASK_DEFINE(companion, struct company, uint64_t, accompany);

static void yield(const struct guest *guest)
{
    (void)guest;
    task_yield();
}

static bool is_switch_right(const struct guest *guest, bool has_ended)
{
    (void)guest;
    (void)has_ended;
    bool is_right = get_vector() == MINE;
    for (unsigned i = 0; i < 3; i++) {
        task_yield();
        is_right &= get_vector() == MINE;
    }
    return is_right;
}

static bool is_switch_without_right(const struct guest *guest, bool has_ended)
{
    (void)guest;
    (void)has_ended;
    task_yield();
    return parking_self()->vector_state == NULL;
}

/* ---- memory ---- */

static void map_and_unmap(const struct guest *guest)
{
    (void)guest;
    OWNED(mapped_pages, memory);
    if (mapped_pages_create(PAGE_ZONE_DATA, 2 * PAGE_SIZE, PAGE_WRITE, SLOT(memory)) == OK) {
        *(volatile uint64_t *)mapped_pages_start(REF(memory)) = 1;
    }
}

static bool is_memory_right(const struct guest *guest, bool has_ended)
{
    (void)guest;
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

static void spawn_and_join(const struct guest *guest)
{
    (void)guest;
    (void)square_in_task();
}

static bool is_task_right(const struct guest *guest, bool has_ended)
{
    (void)guest;
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

static void send_and_receive(const struct guest *guest)
{
    (void)guest;
    (void)pass_message();
}

static bool is_message_right(const struct guest *guest, bool has_ended)
{
    (void)guest;
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

enum status guest_call(bool (*run)(const struct guest *guest, void *context), void *context)
{
    OWNED(mapped_pages, text);
    enum status status =
        mapped_pages_create(PAGE_ZONE_CODE, PAGE_SIZE, PAGE_READ | PAGE_EXECUTE, SLOT(text));
    if (status != OK) {
        return status;
    }
    struct guest guest = {(volatile uint64_t *)mapped_pages_start(REF(text))};
    bool is_over = false;
    struct company company = {OTHERS, &is_over};
    struct task_options here = {.is_pinned = true, .cpu = 0};
    OWNED(companion_task, companion);
    status = companion_spawn(&company, &here, SLOT(companion));
    if (status != OK) {
        return status;
    }
    bool is_right = run(&guest, context);
    __atomic_store_n(&is_over, true, __ATOMIC_RELAXED);
    uint64_t wrong = 1;
    status = companion_join(SLOT(companion), &wrong);
    return status != OK || (is_right && wrong == 0) ? status : ERR_FAILED;
}
