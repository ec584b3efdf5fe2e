/* SPDX-License-Identifier: MIT */
/*
 * One CPU changes what some pages are mapped to, and the others look at them all the time. It says
 * in `world.phase` what holds: whoever sees the same phase before and after an access was in it
 * during the access, and must have found what the phase says. Two sets of frames take turns behind
 * the same pages, each with its phase's number in every page, so a stale translation shows an old
 * number, or shows something where nothing is mapped, or lets a write through.
 */
#include "clock.h"
#include "console.h"
#include "exceptions.h"
#include "freestanding.h"
#include "mapped_pages.h"
#include "smp_test_priv.h"
#include "tlb_shootdown.h"
#include "x86.h"

#define LOOKS_MOST 100u
#define PHASE_NS   5000000000u               /* a CPU that runs has looked by then */
#define PAGES_MOST (TLB_SHOOTDOWN_PAGES + 8) /* also more than are forgotten one by one */

bool smp_test_read(uint64_t address, uint64_t *out_value);
bool smp_test_write(uint64_t address);
extern const uint64_t smp_test_probes[3];

/* The lowest bits of a phase. */
enum phase_kind { PHASE_CHANGING, PHASE_WRITABLE, PHASE_READ_ONLY, PHASE_UNMAPPED, PHASE_KINDS };

struct world {
    uint64_t phase; /* number * PHASE_KINDS + kind */
    uint64_t start; /* of the pages */
    uint64_t count;
    uint64_t looks; /* accesses that were within a phase */
    uint32_t stop;
    uint32_t wrong;             /* accesses that found what they must not */
    uint64_t seen[PHASE_KINDS]; /* of `looks`, by kind */
    uint64_t wrong_phase;
    uint64_t wrong_value;
};

static bool skip_probe(struct exception_frame *frame, void *unused)
{
    (void)unused;
    if (frame->rip != smp_test_probes[0] && frame->rip != smp_test_probes[1]) {
        return false;
    }
    frame->rip = smp_test_probes[2];
    return true;
}

static void note_wrong(struct world *world, uint64_t phase, uint64_t value)
{
    if (__atomic_fetch_add(&world->wrong, 1, __ATOMIC_RELAXED) == 0) {
        world->wrong_phase = phase;
        world->wrong_value = value;
    }
}

/* One access; false where the phase changed meanwhile. */
static bool look(struct world *world, uint64_t *random, enum phase_kind *out_kind)
{
    uint64_t phase = __atomic_load_n(&world->phase, __ATOMIC_SEQ_CST);
    enum phase_kind kind = phase % PHASE_KINDS;
    if (kind == PHASE_CHANGING) {
        return false;
    }
    uint64_t page = world->start + smp_test_random(random) % world->count * PAGE_SIZE;
    bool tries_to_write = kind == PHASE_READ_ONLY && smp_test_random(random) % 2;
    uint64_t value = 0;
    bool done = tries_to_write ? smp_test_write(page) : smp_test_read(page, &value);
    if (__atomic_load_n(&world->phase, __ATOMIC_SEQ_CST) != phase) {
        return false;
    }
    bool is_readable = kind != PHASE_UNMAPPED;
    bool is_right = tries_to_write ? !done : done == is_readable;
    is_right &= !done || tries_to_write || value == phase / PHASE_KINDS;
    if (!is_right) {
        note_wrong(world, phase, value);
    }
    *out_kind = kind;
    return true;
}

static void watch(void *argument)
{
    struct world *world = argument;
    uint64_t random = CPU_LOCAL(index) * 7919u + 1;
    uint64_t seen[PHASE_KINDS] = {0};
    while (!__atomic_load_n(&world->stop, __ATOMIC_RELAXED)) {
        enum phase_kind kind;
        if (look(world, &random, &kind)) {
            seen[kind]++;
            __atomic_fetch_add(&world->looks, 1, __ATOMIC_RELAXED);
        } else {
            cpu_relax();
        }
    }
    for (unsigned i = 0; i < PHASE_KINDS; i++) {
        __atomic_fetch_add(&world->seen[i], seen[i], __ATOMIC_RELAXED);
    }
}

/* ---- the CPU that changes ---- */

static void begin_change(struct world *world)
{
    __atomic_store_n(&world->phase, PHASE_CHANGING, __ATOMIC_SEQ_CST);
}

/* Stays in a phase until others have looked at it, and not always only once. */
static void stay(struct world *world, uint64_t number, enum phase_kind kind, uint64_t *random)
{
    __atomic_store_n(&world->phase, number * PHASE_KINDS + kind, __ATOMIC_SEQ_CST);
    uint64_t looks = __atomic_load_n(&world->looks, __ATOMIC_RELAXED);
    uint64_t wanted = 1 + smp_test_random(random) % LOOKS_MOST;
    uint64_t start = clock_now_ns();
    while (__atomic_load_n(&world->looks, __ATOMIC_RELAXED) - looks < wanted &&
           clock_now_ns() - start < PHASE_NS) {
        cpu_relax();
    }
}

static void mark(struct mapped_pages *pages, uint64_t number) OWN_BORROWS(*pages)
{
    for (uint64_t i = 0; i < mapped_pages_count(pages); i++) {
        uint64_t *word = MAPPED_PAGES_AS_MUTABLE(uint64_t, pages, i * PAGE_SIZE);
        if (word) {
            *word = number;
        }
    }
}

/* Maps, protects and unmaps: each is a phase. Pages and frames come back to where they came from.
 */
static enum status take_turn(struct world *world, struct pages **pages, struct frames **frames,
                             uint64_t number, uint64_t *random) OWN_UNCHECKED
{
    OWNED(mapped_pages, mapped);
    enum status status = mapped_pages_map(pages, frames, PAGE_WRITE, SLOT(mapped));
    if (status != OK) {
        return status;
    }
    mark(REF(mapped), number);
    stay(world, number, PHASE_WRITABLE, random);
    begin_change(world);
    status = mapped_pages_remap(REF(mapped), PAGE_READ);
    if (status != OK) {
        return status;
    }
    stay(world, number, PHASE_READ_ONLY, random);
    begin_change(world);
    mapped_pages_take_apart(SLOT(mapped), pages, frames);
    stay(world, number, PHASE_UNMAPPED, random);
    begin_change(world);
    return OK;
}

static enum status change_all(struct world *world, uint64_t count, unsigned rounds) OWN_UNCHECKED
{
    uint64_t random = count;
    struct frames *frames[2] = {NULL, NULL};
    OWNED(pages, pages);
    OWNED(frames, first);
    OWNED(frames, second);
    if (page_allocator_take(PAGE_ZONE_DATA, count, 1, SLOT(pages)) != OK ||
        frame_allocator_take_any(count, SLOT(first)) != OK ||
        frame_allocator_take_any(count, SLOT(second)) != OK) {
        return ERR_NO_MEMORY;
    }
    world->start = pages_start(REF(pages));
    world->count = count;
    STORE(frames[0], first);
    STORE(frames[1], second);
    enum status status = smp_test_start(watch, world) ? OK : ERR_FAILED;
    for (unsigned i = 1; i <= rounds && status == OK; i++) {
        status = take_turn(world, SLOT(pages), &frames[i % 2], i, &random);
    }
    __atomic_store_n(&world->stop, 1, __ATOMIC_RELAXED);
    status = smp_test_finish() ? status : ERR_FAILED;
    frames_drop(&frames[0]);
    frames_drop(&frames[1]);
    return status;
}

static bool test_count(uint64_t count, unsigned rounds)
{
    struct world world = {0};
    struct tlb_shootdown_statistics before = tlb_shootdown_statistics();
    enum status status = change_all(&world, count, rounds);
    struct tlb_shootdown_statistics after = tlb_shootdown_statistics();
    console_print(
        "smp_test: %lu pages, %u rounds: %lu shootdowns, %lu of them of everything; "
        "looked %lu, %lu and %lu times\n",
        (unsigned long)count, rounds, (unsigned long)(after.calls - before.calls),
        (unsigned long)(after.whole - before.whole), (unsigned long)world.seen[PHASE_WRITABLE],
        (unsigned long)world.seen[PHASE_READ_ONLY], (unsigned long)world.seen[PHASE_UNMAPPED]);
    if (world.wrong) {
        console_print("smp_test: %u wrong; the first in phase %lu.%lu: %lu\n", world.wrong,
                      (unsigned long)(world.wrong_phase / PHASE_KINDS),
                      (unsigned long)(world.wrong_phase % PHASE_KINDS),
                      (unsigned long)world.wrong_value);
    }
    return status == OK && world.wrong == 0 && world.seen[PHASE_WRITABLE] > 0 &&
           world.seen[PHASE_READ_ONLY] > 0 && world.seen[PHASE_UNMAPPED] > 0;
}

/* ---- all CPUs change ---- */

struct churn {
    uint64_t rounds;
    uint32_t failed;
    uint64_t mapped; /* pages, by all */
};

/* Every page holds its address and its owner while it is mapped, and nobody else writes there. */
static bool fill_and_check(struct mapped_pages *pages, uint64_t salt) OWN_BORROWS(*pages)
{
    bool good = true;
    for (unsigned pass = 0; pass < 2; pass++) {
        for (uint64_t i = 0; i < mapped_pages_count(pages); i++) {
            uint64_t *word = MAPPED_PAGES_AS_MUTABLE(uint64_t, pages, i * PAGE_SIZE);
            if (!word || (pass && *word != ((uint64_t)word ^ salt)) || (!pass && *word != 0)) {
                good = false;
            } else {
                *word = (uint64_t)word ^ salt;
            }
        }
    }
    return good;
}

static bool map_and_unmap(uint64_t count, uint64_t salt)
{
    OWNED(mapped_pages, pages);
    if (mapped_pages_create(PAGE_ZONE_DATA, count * PAGE_SIZE, PAGE_WRITE, SLOT(pages)) != OK) {
        return false;
    }
    return fill_and_check(REF(pages), salt);
}

static void churn_pages(void *argument)
{
    struct churn *churn = argument;
    uint64_t random = CPU_LOCAL(index) * 104729u + 1;
    for (uint64_t i = 0; i < churn->rounds; i++) {
        uint64_t count = 1 + smp_test_random(&random) % PAGES_MOST;
        if (!map_and_unmap(count, random)) {
            __atomic_fetch_add(&churn->failed, 1, __ATOMIC_RELAXED);
        }
        __atomic_fetch_add(&churn->mapped, count, __ATOMIC_RELAXED);
    }
}

bool smp_test_churn(unsigned rounds)
{
    struct churn churn = {.rounds = rounds};
    bool good = smp_test_start(churn_pages, &churn);
    churn_pages(&churn);
    good &= smp_test_finish();
    console_print("smp_test: %lu pages mapped and unmapped by all\n", (unsigned long)churn.mapped);
    return smp_test_expect("all map and unmap at the same time", good && churn.failed == 0);
}

bool smp_test_shootdown(unsigned rounds)
{
    OWNED(exception_handler, handler);
    if (exception_handler_register(EXCEPTION_PF, "smp_test", skip_probe, NULL, SLOT(handler))) {
        return smp_test_expect("a handler of page faults", false);
    }
    bool good = smp_test_expect("no stale translation of one page", test_count(1, rounds));
    return good & smp_test_expect("no stale translation of many pages",
                                  test_count(PAGES_MOST, rounds / 4 + 1));
}
