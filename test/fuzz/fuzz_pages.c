/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as operations on pages of both zones, beside the model that the random test uses. Now
 * and then descriptors are few for a while: what needs one may fail then, and changes nothing.
 */
#include "support/fuzz_assert.h"

#define MODEL_PAGES 8192u
#define MODEL_SLOTS 40u
#include "page_model.h"
#include "support/famine.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static uint64_t descriptors; /* in use while all pages are free */

static void start_allocator(void)
{
    static _Alignas(4096) uint8_t more[64 * 1024];
    descriptor_pool_donate(more, sizeof(more));
    assert_int_equal(page_allocator_init(), OK);
    descriptors = descriptor_pool_in_use();
}

/* All is free again, each zone in one piece, and no descriptor is lost. */
static void check_end(void)
{
    for (unsigned zone = 0; zone < PAGE_ZONE_COUNT; zone++) {
        struct pages *all = NULL;
        uint64_t total = page_allocator_statistics((enum page_zone)zone).total;
        assert_int_equal(page_allocator_take((enum page_zone)zone, total, 1, &all), OK);
        pages_drop(&all);
        assert_int_equal(page_allocator_statistics((enum page_zone)zone).ranges, 1);
        assert_int_equal(page_allocator_statistics((enum page_zone)zone).bad_drops, 0);
    }
    assert_int_equal(descriptor_pool_in_use(), descriptors);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (descriptors == 0) {
        start_allocator();
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
