/* SPDX-License-Identifier: MIT */
/*
 * evolve_channels [SWAPS] - changes how messages travel while eight pairs of tasks exchange them at
 * full speed: from hand to hand, then through a ring, and back, SWAPS times (default 2).
 *
 * Each message has its number and a checksum; the receiver counts those that are lost, doubled, out
 * of order or damaged. What a person sees is the order in which a pair sends (S) and receives (R):
 * in lock step while every message is handed over, in runs while a ring lies between them. Lines
 * `figure NAME VALUE` say what the swaps cost (swap_figures.h).
 */
#include "application.h"
#include "cell_namespace.h"
#include "console.h"
#include "diag.h"
#include "heap.h"
#include "message_channel.h"
#include "swap.h"
#include "swap_figures.h"
#include "task.h"

CELL(application, "1.0.0");

APPLICATION(evolve_channels);

#define PAIRS         8u
#define CAPACITY      8u
#define SWAPS_DEFAULT 2u
#define SWAPS_MAX     1000u
#define EACH          200u           /* messages of every pair between two swaps, at least */
#define PATIENCE_NS   20000000000ull /* for that many; on a slow emulator, with much beside it */
#define MOMENT_NS     1000000u
#define TRACE_EVENTS  40u
#define LINE_SIZE     400 /* the longest diag */

static const char rendezvous[] = "message_channel_rendezvous";
static const char buffered[] = "message_channel_buffered";

struct number {
    uint64_t pair;
    uint64_t number;
    uint64_t check;
};
MESSAGE_CHANNEL_DEFINE(numbers, struct number);

/* What happened in a pair since the last swap, from its beginning on. */
struct trace {
    uint32_t count;
    char events[TRACE_EVENTS + 1];
};

struct pair {
    uint64_t sent; /* calls that returned; these two atomically */
    uint64_t received;
    uint64_t wrong;
    uint64_t lead; /* the most that were sent and not received since the last swap */
    struct trace trace;
};

struct world {
    struct pair pairs[PAIRS];
    bool is_over; /* atomically */
    struct numbers_sender *senders[PAIRS];
    struct numbers_receiver *receivers[PAIRS];
    struct sender_task *sending[PAIRS];
    struct receiver_task *receiving[PAIRS];
    struct swap_figures figures;
};

static uint64_t checksum(const struct number *message)
{
    uint64_t sum = message->number * 0x9e3779b97f4a7c15ull + message->pair;
    return sum ^ (sum >> 29);
}

static void note(struct trace *trace, char event)
{
    uint32_t at = __atomic_fetch_add(&trace->count, 1, __ATOMIC_RELAXED);
    if (at < TRACE_EVENTS) {
        trace->events[at] = event;
    }
}

/* ---- the two sides ---- */

struct side {
    struct world *world;
    uint64_t index;
    struct numbers_sender *to; /* owned, one of these two */
    struct numbers_receiver *from;
};

static enum status run_sender(struct side *side)
{
    OWNED(numbers_sender, to);
    LOAD(to, side->to);
    struct pair *pair = &side->world->pairs[side->index];
    enum status status = OK;
    for (uint64_t i = 0; status == OK && !__atomic_load_n(&side->world->is_over, __ATOMIC_RELAXED);
         i++) {
        struct number message = {.pair = side->index, .number = i};
        message.check = checksum(&message);
        status = numbers_send(REF(to), &message);
        if (status == OK) {
            __atomic_add_fetch(&pair->sent, 1, __ATOMIC_RELAXED);
            note(&pair->trace, 'S');
        }
    }
    return status;
}
TASK_DEFINE(sender, struct side, enum status, run_sender);

static void take(struct pair *pair, const struct number *message, const struct side *side)
{
    uint64_t received = __atomic_load_n(&pair->received, __ATOMIC_RELAXED);
    if (message->pair != side->index || message->number != received ||
        message->check != checksum(message)) {
        pair->wrong++;
    }
    uint64_t sent = __atomic_load_n(&pair->sent, __ATOMIC_RELAXED);
    if (sent > received && sent - received > __atomic_load_n(&pair->lead, __ATOMIC_RELAXED)) {
        __atomic_store_n(&pair->lead, sent - received, __ATOMIC_RELAXED);
    }
    note(&pair->trace, 'R');
    __atomic_store_n(&pair->received, received + 1, __ATOMIC_RELAXED);
}

static enum status run_receiver(struct side *side)
{
    OWNED(numbers_receiver, from);
    LOAD(from, side->from);
    struct number message;
    enum status status;
    while ((status = numbers_receive(REF(from), &message)) == OK) {
        take(&side->world->pairs[side->index], &message, side);
    }
    return status == ERR_CLOSED ? OK : status;
}
TASK_DEFINE(receiver, struct side, enum status, run_receiver);

/* Both of a pair on one CPU: then the order of their steps is that of the channel. */
static enum status spawn_pair(struct world *world, uint64_t i) OWN_UNCHECKED
{
    enum status status = numbers_channel_create(CAPACITY, &world->senders[i], &world->receivers[i]);
    struct task_options options = {.is_pinned = true, .cpu = (uint32_t)i % dispatcher_cpu_count()};
    if (status == OK) {
        struct side side = {.world = world, .index = i, .from = world->receivers[i]};
        status = receiver_spawn(&side, &options, &world->receiving[i]);
    }
    if (status == OK) {
        world->receivers[i] = NULL;
        struct side side = {.world = world, .index = i, .to = world->senders[i]};
        status = sender_spawn(&side, &options, &world->sending[i]);
    }
    if (status == OK) {
        world->senders[i] = NULL;
    }
    return status;
}

static enum status join_pair(struct world *world, uint64_t i) OWN_UNCHECKED
{
    numbers_sender_drop(&world->senders[i]);
    numbers_receiver_drop(&world->receivers[i]);
    enum status sending = OK;
    enum status receiving = OK;
    enum status joined = world->sending[i] ? sender_join(&world->sending[i], &sending) : OK;
    if (joined == OK && world->receiving[i]) {
        joined = receiver_join(&world->receiving[i], &receiving);
    }
    return joined != OK ? joined : sending != OK ? sending : receiving;
}

/* ---- watching ---- */

static uint64_t received_by(const struct world *world, unsigned pair)
{
    return __atomic_load_n(&world->pairs[pair].received, __ATOMIC_RELAXED);
}

/* Until every pair has gone on by EACH messages. */
static enum status let_run(const struct world *world)
{
    uint64_t deadline = parking_deadline(PATIENCE_NS);
    uint64_t wanted[PAIRS];
    for (unsigned i = 0; i < PAIRS; i++) {
        wanted[i] = received_by(world, i) + EACH;
    }
    for (unsigned i = 0; i < PAIRS; i++) {
        while (received_by(world, i) < wanted[i]) {
            if (parking_now() > deadline) {
                return ERR_TIMEOUT;
            }
            task_sleep(MOMENT_NS);
        }
    }
    return OK;
}

static void watch_anew(struct world *world)
{
    for (unsigned i = 0; i < PAIRS; i++) {
        __atomic_store_n(&world->pairs[i].lead, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&world->pairs[i].trace.count, 0, __ATOMIC_RELAXED);
    }
}

static void show(const struct world *world)
{
    uint64_t lead = 0;
    uint64_t total = 0;
    for (unsigned i = 0; i < PAIRS; i++) {
        uint64_t ahead = __atomic_load_n(&world->pairs[i].lead, __ATOMIC_RELAXED);
        lead = ahead > lead ? ahead : lead;
        total += __atomic_load_n(&world->pairs[i].received, __ATOMIC_RELAXED);
    }
    console_print("evolve_channels: %s: %s, at most %lu ahead, %lu messages so far\n",
                  message_channel_way(), world->pairs[0].trace.events, (unsigned long)lead,
                  (unsigned long)total);
}

/* ---- swapping ---- */

static enum status swap_once(const char *from, const char *to, struct swap_report *out_report)
{
    struct swap_pair pair = {.old_name = from, .new_name = to};
    struct swap_request request = {
        .namespace = cell_namespace_initial(), .pairs = &pair, .pair_count = 1};
    struct diag diag = {0};
    enum status status = swap_cells(&request, out_report, &diag);
    if (status != OK) {
        char line[LINE_SIZE];
        diag_format(&diag, line, sizeof(line));
        console_print("evolve_channels: %s -> %s refused: %s: %s\n", from, to, status_name(status),
                      line);
    }
    return status;
}

static void print_figures(struct swap_figures *figures, uint64_t swaps)
{
    struct swap_figure window = swap_figures_of(figures, SWAP_FIGURES_WINDOW);
    console_print("evolve_channels: %lu swaps; all CPUs stood still for %lu ticks (median), %lu "
                  "(worst)\n",
                  (unsigned long)swaps, (unsigned long)window.median, (unsigned long)window.worst);
    swap_figures_print(figures, "channels");
}

static enum status evolve(struct world *world, uint64_t swaps)
{
    enum status status = let_run(world);
    for (uint64_t i = 0; status == OK && i < swaps; i++) {
        bool shown = i + 2 >= swaps;
        if (shown) {
            show(world);
        }
        struct swap_report report;
        status = i % 2 == 0 ? swap_once(rendezvous, buffered, &report)
                            : swap_once(buffered, rendezvous, &report);
        if (status != OK) {
            break;
        }
        swap_figures_add(&world->figures, &report);
        if (shown) {
            console_print("evolve_channels: swapped: %u fields patched, %u entries, window %lu "
                          "ticks\n",
                          (unsigned)report.patches, (unsigned)report.entries,
                          (unsigned long)report.window_ticks);
        }
        status = let_run(world);
        watch_anew(world); /* what the other way had left in the rings is received */
        status = status == OK ? let_run(world) : status;
    }
    if (status == OK) {
        show(world);
        print_figures(&world->figures, swaps);
    }
    return status;
}

/* Everything that was sent has been received, once, in order. */
static enum status check(const struct world *world)
{
    uint64_t total = 0;
    enum status status = OK;
    for (unsigned i = 0; i < PAIRS; i++) {
        const struct pair *pair = &world->pairs[i];
        total += pair->received;
        if (pair->wrong || pair->sent != pair->received) {
            console_print("evolve_channels: pair %u: %lu sent, %lu received, %lu wrong\n", i,
                          (unsigned long)pair->sent, (unsigned long)pair->received,
                          (unsigned long)pair->wrong);
            status = ERR_MISMATCH;
        }
    }
    console_print(
        "evolve_channels: %lu messages in %u pairs, each received once and in order: %s\n",
        (unsigned long)total, PAIRS, status_name(status));
    return status;
}

enum status evolve_channels_main(const struct app_arguments *arguments)
{
    uint64_t swaps = app_number(arguments, 1, SWAPS_DEFAULT);
    if (swaps == 0 || swaps > SWAPS_MAX || swaps % 2 != 0 || !parking_self()) {
        console_print("usage: evolve_channels [SWAPS], an even number up to %u; with tasks\n",
                      SWAPS_MAX);
        return ERR_INVALID_ARGUMENT;
    }
    struct world *world = heap_allocate_zeroed(sizeof(*world));
    if (!world) {
        return ERR_NO_MEMORY;
    }
    enum status status = OK;
    for (uint64_t i = 0; status == OK && i < PAIRS; i++) {
        status = spawn_pair(world, i);
    }
    if (status == OK) {
        status = evolve(world, swaps);
    }
    __atomic_store_n(&world->is_over, true, __ATOMIC_RELAXED);
    for (uint64_t i = 0; i < PAIRS; i++) {
        enum status joined = join_pair(world, i);
        status = status == OK ? joined : status;
    }
    enum status checked = check(world);
    heap_free(world);
    return status == OK ? checked : status;
}
