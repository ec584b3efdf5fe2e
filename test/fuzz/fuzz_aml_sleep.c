/* SPDX-License-Identifier: MIT */
/* Any bytes as AML: what is found is a number that fits its field, for each of the six states. */
#include "aml_sleep.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    uint8_t *exact = malloc(size ? size : 1); /* so that each byte read beyond it is seen */
    memcpy(exact, bytes, size);
    for (unsigned state = 0; state <= AML_SLEEP_STATE_MAX; state++) {
        struct aml_sleep sleep;
        struct diag diag = {0};
        enum status status = aml_sleep_find(span_of(exact, size), state, &sleep, &diag);
        bool is_good =
            status == OK ? sleep.type_a <= AML_SLEEP_TYPE_MAX && sleep.type_b <= AML_SLEEP_TYPE_MAX
                         : diag.code != DIAG_NONE && diag.offset <= size;
        if (!is_good) {
            abort();
        }
    }
    free(exact);
    return 0;
}
