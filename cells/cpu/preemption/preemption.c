/* SPDX-License-Identifier: MIT */
#include "preemption.h"

CELL(library, "1.0.0");

/* What the guard of interrupts holds. */
#define WERE_DISABLED ((struct interrupt_mask *)1)
#define WERE_ENABLED  ((struct interrupt_mask *)2)

/*
 * The word was 0 a moment ago. With interrupts disabled it may be looked at again; if a handler has
 * switched meanwhile, the wish is gone. Where the caller has disabled interrupts itself nothing
 * happens: the word stays 0 until they are enabled, and then this is called again.
 */
void preemption_switch(void)
{
    if (!interrupts_enabled()) {
        return;
    }
    disable_interrupts();
    if (CPU_LOCAL(hold) == 0 && CPU_LOCAL(reschedule)) {
        CPU_LOCAL(reschedule)();
    }
    enable_interrupts();
}

void preemption_restore_other(uint32_t count)
{
    if (preemption_count() != count) {
        preemption_subtract(preemption_count() - count);
    }
    if (CPU_LOCAL(hold) == 0) {
        preemption_switch();
    }
}

void preemption_drop(struct preemption **guard)
{
    if (*guard) {
        EMPTY(guard);
        preemption_release();
    }
}

void interrupt_mask_lock(struct interrupt_mask *which, struct interrupt_mask **guard) OWN_UNCHECKED
{
    (void)which;
    if (interrupts_enabled()) {
        disable_interrupts();
        FILL(guard, WERE_ENABLED);
    } else {
        FILL(guard, WERE_DISABLED);
    }
}

void interrupt_mask_drop(struct interrupt_mask **guard)
{
    bool enable = *guard == WERE_ENABLED;
    EMPTY(guard);
    if (enable) {
        enable_interrupts();
        if (CPU_LOCAL(hold) == 0) {
            preemption_switch();
        }
    }
}
