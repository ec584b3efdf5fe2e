/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as operations on frames of a machine of 32 MiB, beside the model that the random test
 * uses. Now and then descriptors are few for a while: what needs one may fail then, and changes
 * nothing.
 */
#include "support/fuzz_assert.h"

#define MODEL_FRAMES   (8 * 1024u)
#define MODEL_RESERVED 256u
#define MODEL_LOW      512u
#define MODEL_SLOTS    40u
#define MODEL_TABLES   10u
#include "frame_model.h"
#include "boot_info.h"
#include "support/famine.h"

#define MIB 0x100000ull

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static uint64_t descriptors; /* in use while all frames are free */

static void start_machine(void)
{
    static _Alignas(4096) uint8_t more[64 * 1024];
    static struct boot_info boot = {.memory_count = 1};
    boot.memory[0] = (struct boot_memory){
        .start = 0,
        .bytes = MODEL_FRAMES * PAGE_SIZE,
        .kind = BOOT_MEMORY_USABLE,
    };
    descriptor_pool_donate(more, sizeof(more));
    assert_int_equal(frame_allocator_init(&boot, MIB, MIB), OK);
    descriptors = descriptor_pool_in_use();
}

/* All is free again, in one piece, and no descriptor is lost. */
static void check_end(void)
{
    struct frames *all = NULL;
    struct frame_statistics now = frame_allocator_statistics();
    assert_int_equal(now.free, now.total);
    assert_int_equal(frame_allocator_take(now.total, 1, &all), OK);
    frames_drop(&all);
    assert_int_equal(frame_allocator_statistics().ranges, 1);
    assert_int_equal(frame_allocator_statistics().bad_drops, 0);
    assert_int_equal(descriptor_pool_in_use(), descriptors);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (descriptors == 0) {
        start_machine();
    }
    choices = bytes;
    choices_left = size < 3000 ? size : 3000;
    while (choices_left > 0) {
        starving = choose(8) == 0;
        begin_famine(starving ? choose(6) : UINT64_MAX);
        model_step();
        end_famine();
    }
    starving = false;
    model_end();
    check_end();
    return 0;
}
