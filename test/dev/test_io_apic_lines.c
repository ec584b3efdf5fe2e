/* SPDX-License-Identifier: MIT */
/*
 * Lines of an IO APIC, wanted by two tasks of which one is killed, at each of its accesses to
 * memory in turn: whoever survives gets the line, and a line without an owner is masked.
 */
#include "acpi.h"
#include "heap.h"
#include "io_apic.h"
#include "mmio.h"
#include "simulated_tasks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define SEEDS  10
#define PINS   24
#define PIN    4
#define MASKED 0x10000u

struct mmio {
    uint32_t index;
    uint32_t entries[2 * PINS];
};

static struct mmio device;
static struct acpi acpi; /* a machine without: the usual controller */
static uint8_t holder;   /* who has had the line last */
static unsigned routed;

const struct acpi *acpi_get(void)
{
    return &acpi;
}

/*
 * The first block, for the places of the lines, stays; a run that loses others does not miss them.
 */
static struct {
    ALIGNED(HEAP_ALIGNMENT) uint8_t bytes[PINS * sizeof(void *)];
    bool is_used;
} heap[16];

static unsigned count_blocks(void)
{
    unsigned used = 0;
    for (size_t i = 1; i < ARRAY_COUNT(heap); i++) {
        used += heap[i].is_used;
    }
    return used;
}

static void begin(uint64_t seed)
{
    for (size_t i = 1; i < ARRAY_COUNT(heap); i++) {
        heap[i].is_used = false;
    }
    routed = 0;
    simulated_begin(&(struct simulated_options){.seed = seed, .locks = true});
}

void *heap_allocate(size_t bytes)
{
    for (size_t i = 0; i < ARRAY_COUNT(heap); i++) {
        if (!heap[i].is_used) {
            simulated_assert(bytes <= sizeof(heap[i].bytes));
            heap[i].is_used = true;
            return heap[i].bytes;
        }
    }
    return NULL;
}

void *heap_allocate_zeroed(size_t bytes)
{
    void *block = heap_allocate(bytes);
    return block ? memset(block, 0, bytes) : NULL;
}

void heap_free(void *block)
{
    for (size_t i = 0; i < ARRAY_COUNT(heap); i++) {
        if (heap[i].bytes == block) {
            simulated_assert(heap[i].is_used);
            heap[i].is_used = false;
        }
    }
}

enum status mmio_create(paddr_t start, uint64_t bytes, struct mmio **out)
{
    (void)start;
    (void)bytes;
    FILL(out, &device);
    return OK;
}

void mmio_drop(struct mmio **handle)
{
    *handle = NULL;
}

/* Another task, or the end, may come between index and window. */
enum status mmio_write32(struct mmio *mmio, uint64_t offset, uint32_t value)
{
    if (offset == 0) {
        mmio->index = value;
    } else {
        mmio->entries[mmio->index - 0x10] = value;
    }
    return OK;
}

enum status mmio_read32(const struct mmio *mmio, uint64_t offset, uint32_t *out_value)
{
    (void)offset;
    *out_value = mmio->index == 1 ? (PINS - 1) << 16 | 0x20 : mmio->entries[mmio->index - 0x10];
    return OK;
}

static uint32_t entry(void)
{
    return device.entries[2 * PIN];
}

/* Until the line is free; then has it for a while. */
static void use_line(void *vector)
{
    enum status status;
    do {
        OWNED(io_apic_line, line);
        status = io_apic_route_isa(PIN, *(const uint8_t *)vector, 0, SLOT(line));
        if (status == OK) {
            holder = *(const uint8_t *)vector;
            simulated_assert(entry() == (MASKED | *(const uint8_t *)vector));
            io_apic_line_unmask(REF(line));
            simulated_yield();
            simulated_assert(entry() == *(const uint8_t *)vector);
            simulated_assert(holder == *(const uint8_t *)vector);
            routed++;
        }
        simulated_assert(status == OK || status == ERR_BUSY);
        simulated_yield();
    } while (status != OK);
}

static void assert_nothing_is_left(void)
{
    struct io_apic_description description;
    assert_int_equal(io_apic_describe(0, &description), OK);
    assert_int_equal(description.routed, 0);
    assert_int_equal(entry() & MASKED, MASKED);
    assert_int_equal(io_apic_describe(1, &description), ERR_NOT_FOUND);
}

static void test_line_has_one_owner_at_a_time(void **state)
{
    (void)state;
    static const uint8_t vectors[] = {0x41, 0x42, 0x43};
    for (uint64_t seed = 0; seed < 20 * SEEDS; seed++) {
        begin(seed);
        for (unsigned i = 0; i < ARRAY_COUNT(vectors); i++) {
            simulated_spawn("driver", 1, use_line, (void *)&vectors[i]);
        }
        assert_int_equal(simulated_run(), SIMULATED_DONE);
        assert_int_equal(routed, ARRAY_COUNT(vectors));
        assert_int_equal(count_blocks(), 0);
        assert_nothing_is_left();
        simulated_end();
    }
}

static void test_line_of_a_killed_task_is_masked_and_free(void **state)
{
    (void)state;
    static const uint8_t vectors[] = {0x51, 0x52};
    uint64_t points = 0;
    unsigned lost = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        bool killed = true;
        for (uint64_t point = 0; killed; point++) {
            begin(seed);
            struct task *victim = simulated_spawn("victim", 1, use_line, (void *)&vectors[0]);
            simulated_kill_at(victim, point);
            if (simulated_run() != SIMULATED_DONE) {
                simulated_fail(__FILE__, __LINE__, "the killed task does not end");
            }
            assert_nothing_is_left();
            simulated_spawn("driver", 1, use_line, (void *)&vectors[1]);
            if (simulated_run() != SIMULATED_DONE) {
                simulated_fail(__FILE__, __LINE__, "the line is not free");
            }
            assert_int_equal(entry(), MASKED | vectors[1]);
            assert_nothing_is_left();
            assert_in_range(count_blocks(), 0, 1); /* io_apic.h says that */
            lost += count_blocks();
            killed = simulated_was_killed(victim);
            points += killed;
            simulated_end();
        }
    }
    print_message("killed at %llu points, %u blocks lost\n", (unsigned long long)points, lost);
    assert_true(points > 100 * SEEDS);
    assert_true(lost < points / 10);
}

static void test_line_goes_on_beside_a_killed_task(void **state)
{
    (void)state;
    static const uint8_t vectors[] = {0x61, 0x62};
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        bool killed = true;
        for (uint64_t point = 0; killed; point++) {
            begin(seed);
            struct task *victim = simulated_spawn("victim", 1, use_line, (void *)&vectors[0]);
            simulated_spawn("driver", 1, use_line, (void *)&vectors[1]);
            simulated_kill_at(victim, point);
            if (simulated_run() != SIMULATED_DONE) {
                simulated_fail(__FILE__, __LINE__, "the other one does not get the line");
            }
            assert_nothing_is_left();
            killed = simulated_was_killed(victim);
            simulated_end();
        }
    }
}

int main(void)
{
    if (io_apic_init() != OK) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_line_has_one_owner_at_a_time),
        cmocka_unit_test(test_line_of_a_killed_task_is_masked_and_free),
        cmocka_unit_test(test_line_goes_on_beside_a_killed_task),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
