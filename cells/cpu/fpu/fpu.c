/* SPDX-License-Identifier: MIT */
/*
 * CR0.TS is clear on a CPU exactly while the task that runs there has an area. State is saved at
 * each switch and not when the next user comes: so it is never in another CPU than that of its
 * task.
 *
 * The handler of #NM runs with interrupts off, where nobody may ask for memory. So it lets the task
 * go on in fpu_first_use, as ordinary code, which asks for it and returns to the instruction.
 * Without memory it returns to fpu_refused, with all registers as they were: a vector instruction,
 * whose exception is passed on as that of the one that was meant.
 *
 * Both rules hold but for some instructions with interrupts off. Who is struck there is followed by
 * fpu_switch(NULL, ..), which reads off the task whether it has an area, and off `loaded` whether
 * registers are still its own: they are until those of another are loaded, which is said before.
 */
#include "fpu.h"

#include "commit.h"
#include "exceptions.h"
#include "heap_block.h"

CELL(library, "1.0.0");

#define AREA_ALIGNMENT 64u /* SDM vol. 1, "XSAVE Area" */
#define FXSAVE_SIZE    512u

#define CR0_MONITOR   (1ull << 1) /* wait heeds TS too */
#define CR0_EMULATION (1ull << 2)
#define CR0_ERRORS    (1ull << 5) /* of the x87, as exceptions */
#define CR4_FXSR      (1ull << 9)
#define CR4_SIMD      (1ull << 10) /* #XM */
#define CR4_XSAVE     (1ull << 18)

#define CPUID_1_ECX_XSAVE (1u << 26)
#define STATES_WANTED     0xe7u /* x87, SSE, AVX, and the three of AVX-512 */
#define STATES_AVX        0x06u
#define STATES_AVX_512    0xe0u /* all of these or none, and only with AVX */

#define INITIAL_FCW   0x037fu
#define INITIAL_MXCSR 0x1f80u

/* The head of what both instructions write. */
struct state {
    uint16_t fcw;
    uint8_t rest[22];
    uint32_t mxcsr;
};
static_assert(offsetof(struct state, mxcsr) == 24, "SDM vol. 1, FXSAVE area");

static struct exception_handler *handler; /* owned, for good */
static size_t state_size;
static uint64_t states; /* what XSAVE saves; 0: FXSAVE */

/* Whose registers are in those of each CPU, or were being loaded there. Compared only. */
static const struct task *loaded[CPU_LIMIT];

__attribute__((visibility("hidden"))) void fpu_refused(void);
__attribute__((visibility("hidden"))) void fpu_first_use(void); /* fpu_first_use.S, which calls */
__attribute__((visibility("hidden"))) uint64_t fpu_prepare(void);

static struct state *aligned(void *area)
{
    uintptr_t address = (uintptr_t)area;
    return (struct state *)((address + AREA_ALIGNMENT - 1) & ~(uintptr_t)(AREA_ALIGNMENT - 1));
}

static void save(void *area)
{
    if (states) {
        xsave(aligned(area), states);
    } else {
        fxsave(aligned(area));
    }
}

/* Of the task, whose area that is or will be. */
static void restore(const struct task *task, void *area)
{
    loaded[CPU_LOCAL(index)] = task;
    COMPILER_BARRIER();
    if (states) {
        xrstor(aligned(area), states);
    } else {
        fxrstor(aligned(area));
    }
}

static void set_task_switched(void)
{
    write_cr0(read_cr0() | CR0_TASK_SWITCHED);
}

static NOINLINE void settle(const struct task *task)
{
    if (!task->vector_state) {
        set_task_switched();
        return;
    }
    clear_task_switched();
    if (loaded[CPU_LOCAL(index)] != task) {
        restore(task, task->vector_state); /* they were saved before */
    }
}

void fpu_switch(struct task *previous, struct task *next)
{
    if (UNLIKELY(!previous)) {
        settle(next);
        return;
    }
    if (previous->vector_state) {
        save(previous->vector_state);
    } else {
        clear_task_switched();
    }
    if (next->vector_state) {
        restore(next, next->vector_state);
    } else {
        set_task_switched();
    }
}

/* Of the task that calls: where it goes on. */
uint64_t fpu_prepare(void)
{
    struct task *task = CPU_LOCAL(task);
    OWNED(heap_block, block);
    if (!heap_block_take_zeroed(state_size + AREA_ALIGNMENT - 1, SLOT(block))) {
        return (uintptr_t)fpu_refused;
    }
    void *area = heap_block_of(*SLOT(block));
    aligned(area)->fcw = INITIAL_FCW;
    aligned(area)->mxcsr = INITIAL_MXCSR;
    disable_interrupts();
    clear_task_switched();
    restore(task, area);
    commit_two(&task->vector_state, area, SLOT(block), NULL); /* saved and freed from here on */
    enable_interrupts();
    return task->vectors_resume;
}

static bool on_not_available(struct exception_frame *frame, void *unused)
{
    (void)unused;
    struct task *task = CPU_LOCAL(task);
    if (!task || !(frame->rflags & RFLAGS_INTERRUPTS) || CPU_LOCAL(interrupt_depth)) {
        return false;
    }
    if (frame->rip == (uintptr_t)fpu_refused) {
        frame->rip = task->vectors_resume; /* for who is asked next */
        return false;
    }
    task->vectors_resume = frame->rip;
    frame->rip = (uintptr_t)fpu_first_use;
    return true;
}

static uint64_t choose_states(void)
{
    uint64_t wanted = cpuid(0xd, 0).eax & STATES_WANTED;
    if ((wanted & STATES_AVX) != STATES_AVX || (wanted & STATES_AVX_512) != STATES_AVX_512) {
        wanted &= ~(uint64_t)STATES_AVX_512;
    }
    return wanted;
}

enum status fpu_init(void)
{
    if (handler) {
        return ERR_STATE;
    }
    OWNED(exception_handler, made);
    enum status status = exception_handler_register(EXCEPTION_NM, "vector registers",
                                                    on_not_available, NULL, SLOT(made));
    if (status != OK) {
        return status;
    }
    STORE(handler, made);
    if (cpuid(1, 0).ecx & CPUID_1_ECX_XSAVE) {
        states = choose_states();
    }
    return OK;
}

void fpu_init_cpu(void)
{
    write_cr4(read_cr4() | CR4_FXSR | CR4_SIMD | (states ? CR4_XSAVE : 0));
    if (states) {
        write_xcr0(states);
    }
    state_size = states ? cpuid(0xd, 0).ebx : FXSAVE_SIZE; /* on each CPU the same */
    uint64_t cr0 = read_cr0() & ~CR0_EMULATION;
    write_cr0(cr0 | CR0_MONITOR | CR0_ERRORS | CR0_TASK_SWITCHED);
}

size_t fpu_state_size(void)
{
    return state_size;
}
