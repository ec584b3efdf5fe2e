/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as operations on mappings of a machine of 16 MiB, beside the model that the random test
 * uses. Now and then frames or descriptors are few for a while: what needs one may fail then, and
 * changes nothing. Never descriptors alone: with a frame the pool would be made larger, for ever.
 */
#include "support/fuzz_assert.h"

#define SIMULATED_FRAMES      4096u
#define SIMULATED_DESCRIPTORS 2048u
#include "simulated_machine.h"

#define MODEL_SLOTS 24u
#include "mapping_model.h"

#define FEW_DESCRIPTORS 12u
static_assert(FEW_DESCRIPTORS < DESCRIPTOR_RESERVE, "the pool wants more then");

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void step_without_memory(void)
{
    struct famine famine;
    bool has_descriptors = choose(2);
    uint64_t frames = has_descriptors ? choose(8) : 0;
    begin_famine(&famine, has_descriptors ? UINT64_MAX : choose(FEW_DESCRIPTORS), frames);
    starving = true;
    model_step();
    starving = false;
    end_famine(&famine);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static bool is_up;
    if (!is_up) {
        assert_int_equal(start_simulated_machine(), 0);
        is_up = true;
    }
    struct holdings before = measure();
    choices = bytes;
    choices_left = size < 2000 ? size : 2000;
    while (choices_left > 0) {
        if (choose(8) == 0) {
            step_without_memory();
        } else {
            model_step();
        }
    }
    model_check();
    model_end();
    assert_same(before);
    assert_int_equal(mapped_pages_statistics().descriptor_pages, 0);
    return 0;
}
