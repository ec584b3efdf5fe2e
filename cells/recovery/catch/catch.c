/* SPDX-License-Identifier: MIT */
/*
 * The way of a fault:
 *
 *   the exception's handler    catch_take(): finds the point, takes a stack, diverts rip and rsp
 *   on the stack of the pool   release_slots(): pops the chain down to the point
 *   catch_resume()             back to the stack of the point; the pool's is free; "returns"
 * ERR_FAULT
 *
 * Nothing is released within the exception: drops are ordinary code, which may be interrupted, may
 * wait, and may fault in turn. A second fault comes to catch_take() again, finds the same point,
 * which has its stack already, and starts release_slots() anew, below the slots that the drop at
 * fault had on that stack: own_unwind() releases these first, and begins that drop once more. When
 * there were too many, cut_chain() runs in place of release_slots(): it releases nothing more, and
 * comes back.
 *
 * Before anything is released the chain is looked at from slot to slot, up to the point: each must
 * lie in a stack, and its tag name a function. Where it does not, catch_mend.c makes a new chain.
 *
 * The way of a kill is shorter: catch_kill() is called by the task itself, from wherever it was
 * stopped, and pops the chain on the stack that it is on. That stack is sound, other than after a
 * fault, and so a kill needs nothing that might be used up. The points that it passes are closed: a
 * drop that faults goes on at the outermost one, on a stack of the pool. Where the chain is broken,
 * or ends before the stack's last slot, what the tags tell takes its place, as after a fault.
 *
 * A base is a point without a call: it is linked from the beginning and never left. Who comes back to it begins
 * with an empty stack below it (resume_base), and it is as new, so all that follows is covered too.
 */
#include "catch.h"
#include "catch_priv.h"
#include "commit.h"
#include "cpu_local.h"
#include "exceptions.h"
#include "kill_deferral.h"
#include "own.h"
#include "owned.h"
#include "preemption.h"
#include "stack.h"
#include "x86.h"

CELL(library, "1.0.0");

#define NO_STACK CATCH_STACKS /* a bit: beside it is the stack that was left last */

/* Of a stack of the pool: what one more begin of release_slots() needs; what host code has below
 * rsp. */
#define STACK_RESERVE 2048u
#define RED_ZONE      128u

struct catch_point {
    struct own_slot slot;
    uint64_t rsp;       /* by catch_call(), while there is a way back to it; else 0 */
    uint64_t flags;     /* of the CPU, by catch_call() */
    uint32_t stack;     /* of the pool; with NO_STACK while there is no fault */
    uint32_t waits;     /* how often there was none in the pool */
    uint32_t hold;      /* preemption_count() */
    uint32_t depth;     /* of interrupts */
    enum status status; /* what catch_call() returns by catch_resume() */
    bool is_closed;     /* a kill has passed it: nothing ends here any more */
    bool is_mended;     /* the chain was broken, and made anew from tags */
    bool is_plain;      /* nothing for own_settle(): no move under way, no type that may hold */
    bool is_base;       /* of a struct base */
    uint64_t no_user;   /* of no stack of the pool: written only */
    vaddr_t bottom;     /* the stack that the newest slot was on when the fault struck */
    vaddr_t top;
    const struct own_slot *older; /* slot.below, as it was; NULL: this is where the chain begins */
    catch_witness_t witness;      /* NULL: nobody */
    struct catch_reason reason;
};

/* The outermost point of a task, at the upper end of its stack. */
struct base {
    struct catch_point point;
    catch_again_t again;
    void *argument;
    uint32_t left; /* times to come back */
};
static_assert(sizeof(struct base) <= CATCH_BASE_SIZE && CATCH_BASE_SIZE % 16 == 0, "has room");

#define POINT_RSP    32
#define POINT_FLAGS  40
#define POINT_STACK  48
#define POINT_STATUS 64
static_assert(offsetof(struct catch_point, rsp) == POINT_RSP, "catch_call() writes it");
static_assert(offsetof(struct catch_point, flags) == POINT_FLAGS, "catch_call() writes it");
static_assert(offsetof(struct catch_point, stack) == POINT_STACK, "catch_resume() clears it");
static_assert(offsetof(struct catch_point, status) == POINT_STATUS, "catch_resume() returns it");
static_assert(NO_STACK == 8 && CATCH_STACKS == 8, "catch_resume() sets the bit");

static_assert(COMMIT_REGISTERS == CFI_REGISTER_COUNT, "by the same numbers");

ALIGNED(PAGE_SIZE) struct catch_stacks catch_stacks;
catch_witness_t catch_base_witness;
static uint64_t users[CATCH_STACKS]; /* points, by a locked exchange; 0 again by catch_resume() */

/* Never called: the slot of a catch point is empty. Its address is the point's type. */
static NOINLINE void point_drop(void **handle)
{
    *handle = NULL;
}

/* ---- there and back ---- */

#define SAVE(register)                                \
    "pushq %" register "\n\t"                         \
                       ".cfi_adjust_cfa_offset 8\n\t" \
                       ".cfi_rel_offset " register ", 0\n\t"
#define RESTORE(register)                             \
    "popq %" register "\n\t"                          \
                      ".cfi_adjust_cfa_offset -8\n\t" \
                      ".cfi_restore " register "\n\t"

/* Keeps stack pointer and flags in the point, then calls function(argument). Returns OK; or, by
 * catch_resume(), the point's status. */
__attribute__((naked, noinline, noclone)) static enum status catch_call(
    UNUSED struct catch_point *point, UNUSED void (*function)(void *), UNUSED void *argument)
{
    __asm__(SAVE("rbx") SAVE("rbp") SAVE("r12") SAVE("r13") SAVE("r14")
                SAVE("r15") "pushfq\n\t"
                            ".cfi_adjust_cfa_offset 8\n\t" /* stays: it aligns the stack too */
                            "movq (%rsp), %rax\n\t"
                            "movq %rax, 40(%rdi)\n\t"
                            "movq %rdi, %rbx\n\t"
                            "movq %rsp, 32(%rdi)\n\t" /* from here on the point can be used, */
                            "movq %rdx, %rdi\n\t"
                            "call *%rsi\n\t"
                            "movq $0, 32(%rbx)\n\t" /* to here: the frame ends */
                            "xorl %eax, %eax\n"
                            ".Lcatch_return:\n\t"
                            "addq $8, %rsp\n\t"
                            ".cfi_adjust_cfa_offset -8\n\t" RESTORE("r15") RESTORE("r14")
                                RESTORE("r13") RESTORE("r12") RESTORE("rbp") RESTORE("rbx") "ret");
}

/*
 * Leaves this stack, which nobody is on before it is free again. The point says first that it has: who is
 * struck in between finds it again by its user.
 */
__attribute__((naked, noinline, noclone)) NORETURN static void catch_resume(
    UNUSED const struct catch_point *point, UNUSED uint64_t *user)
{
    __asm__(".cfi_undefined rip\n\t"
            "movq 32(%rdi), %rsp\n\t"
            "orl $8, 48(%rdi)\n\t"
            "movq $0, (%rsi)\n\t"
            "pushq 40(%rdi)\n\t"
            ".cfi_adjust_cfa_offset 8\n\t"
            "popfq\n\t"
            ".cfi_adjust_cfa_offset -8\n\t"
            "movl 64(%rdi), %eax\n\t"
            "jmp .Lcatch_return");
}

__attribute__((noinline, noclone, used, no_sanitize("address"))) static NORETURN void go_on_at_base(
    struct catch_point *point)
{
    struct base *base = CONTAINER_OF(point, struct base, point);
    point->is_closed = --base->left == 0;
    point->is_mended = false;
    point->waits = 0;
    base->again(base->argument, point->status, &point->reason);
    __builtin_trap();
}

/*
 * The same to a base, whose stack is empty then. With interrupts off: a kill would be one more end before
 * `again` has said that there is one.
 */
__attribute__((naked, noinline, noclone)) NORETURN static void resume_base(
    UNUSED struct catch_point *point, UNUSED uint64_t *user)
{
    __asm__(".cfi_undefined rip\n\t"
            "movq 32(%rdi), %rsp\n\t"
            "orl $8, 48(%rdi)\n\t"
            "movq $0, (%rsi)\n\t"
            "xorl %ebp, %ebp\n\t"
            "call go_on_at_base\n\t"
            "ud2");
}

static NORETURN void come_back(struct catch_point *point, uint64_t *user)
{
    if (point->is_base) {
        disable_interrupts();
        resume_base(point, user);
    }
    catch_resume(point, user);
}

/* ---- releasing ---- */

/* Releases what lies on one stack after the other, to `until` or to where the chain is broken. */
static NOINLINE void pop_other_stacks(struct catch_point *point, const struct own_slot *until)
{
    struct stack_place place;
    vaddr_t bottom = point->bottom;
    while (OWN_TOP != until && stack_find((vaddr_t)OWN_TOP, &place) && place.bottom != bottom) {
        bottom = place.bottom;
        point->reason.released += own_pop(until, place.bottom, place.top);
    }
}

static inline void pop_until(struct catch_point *point, const struct own_slot *until)
{
    point->reason.released += own_pop(until, point->bottom, point->top);
    if (UNLIKELY(OWN_TOP != until)) {
        pop_other_stacks(point, until);
    }
}

/*
 * A fault within a guard's taking may leave a hold that no slot knows of, or interrupts off. Drops
 * that wait must find neither: as soon as no guard is left both are set to what they were at the
 * point. Read sections, which are no slots, end before anything is dropped: a drop may wait for
 * all readers, and the fault has left none on this CPU.
 */
static void pop_slots(struct catch_point *point)
{
    struct own_slot *oldest = point->is_plain ? NULL : own_settle(&point->slot);
    if (oldest) {
        preemption_end_sections(point->hold);
        pop_until(point, oldest->below);
    }
    preemption_restore(point->hold);
    if (point->flags & RFLAGS_INTERRUPTS) {
        enable_interrupts();
    }
    if (OWN_TOP != &point->slot) {
        pop_until(point, &point->slot);
    }
}

static bool is_on(const uint8_t *bottom, const struct own_slot *slot)
{
    return (uintptr_t)slot - (uintptr_t)bottom < CATCH_STACK_SIZE;
}

/* Begins release_slots() at `top`, where nothing is needed any more. */
__attribute__((naked, noinline, noclone)) NORETURN static void begin_again(
    UNUSED struct catch_point *point, UNUSED uint64_t *top)
{
    __asm__(".cfi_undefined rip\n\t"
            "movq %rsi, %rsp\n\t"
            "jmp release_slots");
}

/*
 * What a drop that has faulted owned on this stack goes first. Then all of the stack is free again,
 * so that many faults one after another do not use it up.
 */
static void pop_own_slots(struct catch_point *point)
{
    uint8_t *bottom = catch_stacks.of[point->stack].stack;
    struct own_slot *until = OWN_TOP;
    while (is_on(bottom, until)) {
        until = until->below;
    }
    if (until == OWN_TOP) {
        return;
    }
    preemption_end_sections(point->hold);
    point->reason.released +=
        own_unwind(until, (uintptr_t)bottom, (uintptr_t)bottom + CATCH_STACK_SIZE);
    if (OWN_TOP == until) {
        uint64_t *top = (uint64_t *)(bottom + CATCH_STACK_SIZE) - 1;
        *top = 0; /* as in catch_take() */
        begin_again(point, top);
    }
}

/* Gives up what is left. */
__attribute__((no_sanitize("address"))) static NORETURN void cut_chain(struct catch_point *point)
{
    point->reason.is_complete = false;
    OWN_TOP = &point->slot;
    preemption_restore(point->hold);
    come_back(point, &users[point->stack]);
}

/* The sanitizer of host tests takes any stack for the thread's. */
__attribute__((noinline, noclone, used, no_sanitize("address"))) static NORETURN void release_slots(
    struct catch_point *point)
{
    pop_own_slots(point);
    pop_slots(point);
    if (OWN_TOP != &point->slot) {
        cut_chain(point);
    }
    preemption_restore(point->hold);
    come_back(point, &users[point->stack]);
}

/* ---- the exception ---- */

static bool is_of_type(const struct own_slot *slot, own_drop_t drop)
{
    return own_slot_type(slot) == drop;
}

static struct catch_point *point_of(struct own_slot *slot)
{
    return CONTAINER_OF(slot, struct catch_point, slot);
}

/* Can what is above it end there? */
static bool is_open(const struct catch_point *point)
{
    return point->rsp && !point->is_closed;
}

static bool is_open_point(struct own_slot *slot)
{
    return is_of_type(slot, point_drop) && is_open(point_of(slot));
}

/* What one look at the chain, down to the point, tells. */
struct fault_view {
    struct stack_place first; /* the stack that the newest slot is on */
    uintptr_t peers;          /* of all slots, or-ed */
    uintptr_t tags;           /* the same, of each kind */
};

/*
 * Type and flags, as one word, which tell a slot of the same kind as the last one by one comparison:
 * often the next is. No slot's is NO_KIND.
 */
#define NO_KIND UINTPTR_MAX

static inline uintptr_t kind_of(const struct own_slot *slot)
{
    return slot->tag ^ (uintptr_t)slot;
}

/* Of the last slot that fits on a stack: own_place_of(). */
static inline uint64_t last_place(const struct stack_place *place)
{
    return (place->top - place->bottom - sizeof(struct own_slot)) / alignof(struct own_slot);
}

/*
 * The newest catch point on the chain that is not closed. NULL too where the chain is broken
 * before. A slot on the same stack as the last one is known by one comparison.
 */
static struct catch_point *find_point(struct fault_view *view)
{
    struct stack_place place = {.bottom = 0, .top = 0};
    struct own_slot *slot = OWN_TOP;
    uintptr_t known = NO_KIND;
    if (!slot || !catch_can_read(slot, &place)) {
        return NULL;
    }
    uintptr_t peers = 0;
    uintptr_t tags = 0;
    vaddr_t bottom = place.bottom;
    uint64_t last = last_place(&place);
    view->first = place;
    for (uint32_t left = OWNED_SLOTS_MAX; left > 0; left--) {
        if (UNLIKELY(own_place_of(slot, bottom) > last)) { /* NULL too */
            if (!slot || !catch_can_read(slot, &place)) {
                return NULL;
            }
            bottom = place.bottom;
            last = last_place(&place);
        }
        uintptr_t kind = kind_of(slot);
        if (kind != known) {
            own_drop_t type = own_slot_type(slot);
            if (type == point_drop && is_open(point_of(slot))) {
                view->peers = peers;
                view->tags = tags;
                return point_of(slot);
            }
            if (!owned_is_drop((uintptr_t)type)) {
                return NULL;
            }
            known = type == point_drop ? NO_KIND : kind; /* the next point is looked at again */
            tags |= slot->tag;
        }
        peers |= (uintptr_t)slot->peer;
        slot = slot->below;
    }
    return NULL;
}

/* The same by the slots' tags, where the chain does not lead there. */
static struct catch_point *mend_and_find(struct fault_view *view, uint64_t rsp)
{
    struct catch_point *point = find_point(view);
    if (!point && OWN_TOP && catch_mend(rsp, is_open_point)) {
        point = find_point(view);
        if (point) {
            point->is_mended = true;
        }
    }
    return point;
}

/* One that is the point's still, or a free one. */
static uint32_t take_stack(const struct catch_point *point)
{
    uint32_t left = point->stack & (NO_STACK - 1);
    if (__atomic_load_n(&users[left], __ATOMIC_RELAXED) == (uintptr_t)point) {
        return left;
    }
    for (uint32_t i = 0; i < CATCH_STACKS; i++) {
        uint64_t nobody = 0;
        if (__atomic_compare_exchange_n(&users[i], &nobody, (uintptr_t)point, false,
                                        __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
            return i;
        }
    }
    return NO_STACK;
}

static void begin_reason(struct catch_point *point, const uint64_t registers[CFI_REGISTER_COUNT],
                         const struct catch_fault *fault)
{
    point->reason.fault = *fault;
    __builtin_memcpy(point->reason.registers, registers, sizeof(point->reason.registers));
    point->reason.released = 0;
    point->reason.faults = 0;
    point->reason.lost = 0;
    point->reason.is_mended = false;
    point->reason.is_complete = true;
}

/* Notes what is held there and will not be released. */
static void note_loss(struct catch_point *point, const struct own_slot *slot)
{
    struct catch_reason *reason = &point->reason;
    if (reason->lost < CATCH_LOSSES_MAX) {
        reason->losses[reason->lost] = (struct catch_loss){
            .drop = (uintptr_t)own_slot_type(slot),
            .handle = (uintptr_t)slot->handle,
        };
    }
    reason->lost++;
}

/* What is newer than the point and will not be tried again: its drop has faulted too often. */
static void note_losses(struct catch_point *point)
{
    for (const struct own_slot *slot = OWN_TOP; slot != &point->slot; slot = slot->below) {
        if (slot->handle && !slot->peer && slot->tag / OWN_TRY >= OWN_TRIES) {
            note_loss(point, slot);
            return; /* the one that has faulted just now: older ones were not begun */
        }
    }
}

/* Unlinks the newest slot without releasing what it holds. */
static void leave_slot(struct catch_point *point)
{
    struct own_slot *slot = OWN_TOP;
    if (slot->handle) {
        note_loss(point, slot);
    }
    OWN_TOP = slot->below;
    COMPILER_BARRIER();
    slot->tag = 0;
}

/*
 * Where release_slots() begins: at the top, unless a drop has faulted whose own slots are there.
 * Without room below those they are left where they are.
 */
static uint64_t *find_entry(struct catch_point *point, uint64_t rsp)
{
    uint8_t *bottom = catch_stacks.of[point->stack].stack;
    uint64_t offset = CATCH_STACK_SIZE;
    if (is_on(bottom, OWN_TOP)) {
        uint64_t used = rsp - (uint64_t)bottom;
        if (used >= STACK_RESERVE && used < CATCH_STACK_SIZE) {
            offset = (used - RED_ZONE) & ~(uint64_t)15;
        }
    }
    while (offset == CATCH_STACK_SIZE && is_on(bottom, OWN_TOP)) {
        point->reason.is_complete = false;
        leave_slot(point);
    }
    return (uint64_t *)(bottom + offset) - 1;
}

static bool is_of_memory(const struct catch_fault *fault)
{
    return fault->vector == EXCEPTION_SS || fault->vector == EXCEPTION_GP ||
           fault->vector == EXCEPTION_PF;
}

/* True: the point has a stack to release slots on. */
static bool get_stack(struct catch_point *point, const uint64_t registers[CFI_REGISTER_COUNT],
                      const struct catch_fault *fault)
{
    if (point->stack & NO_STACK) {
        point->stack = take_stack(point);
        if (point->stack & NO_STACK) {
            return false;
        }
        begin_reason(point, registers, fault);
    }
    return true;
}

bool catch_take(uint64_t registers[CFI_REGISTER_COUNT], const struct catch_fault *fault)
{
    struct fault_view view;
    struct catch_point *point = mend_and_find(&view, registers[CFI_RSP]);
    if (!point || point->depth != CPU_LOCAL(interrupt_depth)) {
        return false;
    }
    if (!get_stack(point, registers, fault)) {
        return ++point->waits < CATCH_WAITS_MAX;
    }
    uint32_t faults = ++point->reason.faults;
    if (faults > CATCH_FAULTS_MAX + CATCH_CUTS_MAX) {
        return false;
    }
    if (!is_of_memory(fault)) { /* else a store of the sequence itself may be at fault */
        commit_settle(registers);
    }
    point->reason.is_mended = point->is_mended;
    point->reason.is_complete &= !point->is_mended;
    point->is_plain = faults == 1 && view.peers == 0 && !(view.tags & OWN_HOLDS);
    point->bottom = view.first.bottom;
    point->top = view.first.top;
    uint64_t *top = find_entry(point, registers[CFI_RSP]);
    *top = 0; /* as if release_slots() had been called, by nobody */
    if (faults <= CATCH_FAULTS_MAX) {
        if (faults > 1) {
            note_losses(point);
        }
        registers[CFI_RIP] = (uint64_t)release_slots;
    } else {
        while (OWN_TOP != &point->slot) {
            leave_slot(point);
        }
        registers[CFI_RIP] = (uint64_t)cut_chain;
    }
    registers[CFI_RSP] = (uint64_t)top;
    registers[CFI_RDI] = (uint64_t)point;
    return true;
}

catch_witness_t catch_witness(uint64_t address)
{
    const struct catch_point *point = (const struct catch_point *)(uintptr_t)address;
    return point->reason.faults == 1 ? point->witness : NULL;
}

static inline void copy_reason(struct catch_reason *to, const struct catch_reason *from)
{
    __builtin_memcpy(to, from, offsetof(struct catch_reason, losses));
    if (UNLIKELY(from->lost > 0)) {
        __builtin_memcpy(to->losses, from->losses, sizeof(to->losses));
    }
}

enum status catch_watched(void (*function)(void *argument), void *argument, catch_witness_t witness,
                          struct catch_reason *out_reason)
{
    struct catch_point point;
    point.witness = witness;
    point.stack = NO_STACK;
    point.waits = 0;
    point.is_mended = false;
    point.hold = preemption_count();
    point.depth = CPU_LOCAL(interrupt_depth);
    point.rsp = 0;
    point.status = ERR_FAULT;
    point.is_closed = false;
    point.is_base = false;
    own_enter(&point.slot, point_drop);
    point.older = point.slot.below;
    enum status status = catch_call(&point, function, argument);
    own_leave(&point.slot, point_drop);
    if (status != OK) {
        if (LIKELY(out_reason)) {
            copy_reason(out_reason, &point.reason);
        }
        kill_deferral_check(); /* while this point's slots were released it was deferred */
    }
    return status;
}

enum status catch_unwind(void (*function)(void *argument), void *argument,
                         struct catch_reason *out_reason)
{
    return catch_watched(function, argument, NULL, out_reason);
}

uint64_t catch_base(uint64_t top, catch_again_t again, void *argument, struct own_slot **out_top)
{
    struct base *base = (struct base *)(uintptr_t)(top - CATCH_BASE_SIZE);
    struct catch_point *point = &base->point;
    base->again = again;
    base->argument = argument;
    base->left = CATCH_BASES_MAX;
    point->witness = catch_base_witness;
    point->rsp = (uintptr_t)base;
    point->flags = RFLAGS_INTERRUPTS; /* as drops want it */
    point->stack = NO_STACK;
    point->waits = 0;
    point->hold = 0;
    point->depth = 0;
    point->status = ERR_FAULT;
    point->is_mended = false;
    point->is_closed = false;
    point->is_base = true;
    point->older = NULL;
    point->slot.handle = NULL;
    point->slot.peer = NULL;
    point->slot.below = NULL;
    point->slot.tag = (uintptr_t)&point->slot ^ (uintptr_t)point_drop;
    *out_top = &point->slot;
    return (uintptr_t)base;
}

/* ---- kills ---- */

static const struct kill_deferral not_begun = {.what = "its beginning or its end"};
static const struct kill_deferral releasing = {.what = "the release of slots after a fault"};
static const struct kill_deferral broken = {.what = "a broken chain of slots"};

/* What a kill must know of the chain before it touches it. */
struct kill_view {
    struct catch_point *outermost; /* NULL: there is none */
    uint32_t points;
    struct stack_place place;       /* of the newest slot */
    bool is_plain;                  /* as the point's */
    const struct kill_deferral *by; /* what keeps the task from being killed now; NULL: nothing */
};

/* Notes points; true: a guard, or a release after a fault, keeps the kill waiting. */
static bool note_slot(void *context, struct own_slot *slot)
{
    struct kill_view *view = context;
    own_drop_t type = own_slot_type(slot);
    if (type == point_drop) {
        view->outermost = point_of(slot);
        view->points++;
        view->by = view->outermost->stack & NO_STACK ? NULL : &releasing;
    } else if (type == (own_drop_t)kill_deferral_drop) {
        view->by = slot->handle;
    }
    return view->by;
}

/* All code lies within 2 GiB, other than what else is on a stack, as seen from there. */
static bool is_drop_nearby(uintptr_t drop)
{
    return (drop ^ (uintptr_t)point_drop) >> 31 == 0 && owned_is_intact_drop(drop);
}

/*
 * Is there a slot further out on its stack? Then a link of the chain has been cut. A point that had
 * none below it when it was entered is the end of a whole chain: nobody needs to look.
 */
static bool is_cut_at(const struct own_slot *last, const struct stack_place *place)
{
    if (LIKELY(is_of_type(last, point_drop) &&
               !CONTAINER_OF(last, const struct catch_point, slot)->older)) {
        return false;
    }
    vaddr_t behind = is_of_type(last, point_drop)
                         ? (vaddr_t)(CONTAINER_OF(last, const struct catch_point, slot) + 1)
                         : (vaddr_t)(last + 1);
    return behind < place->top && own_find_slot(behind, place->top, is_drop_nearby);
}

/* Looks the whole chain through, unless something keeps the kill waiting. False: it is broken. */
static bool view_chain(struct kill_view *view)
{
    struct stack_place place = {.bottom = 0, .top = 0};
    struct own_slot *slot = OWN_TOP;
    if (!slot) {
        return true;
    }
    if (!catch_can_read(slot, &place)) {
        return false;
    }
    view->place = place;
    vaddr_t bottom = place.bottom;
    uint64_t last = last_place(&place);
    uintptr_t known = NO_KIND;
    uintptr_t peers = 0;
    uintptr_t tags = 0;
    for (uint32_t left = OWNED_SLOTS_MAX; left > 0; left--) {
        if (UNLIKELY(own_place_of(slot, bottom) > last)) {
            if (!catch_can_read(slot, &place)) {
                return false;
            }
            bottom = place.bottom;
            last = last_place(&place);
        }
        uintptr_t kind = kind_of(slot);
        if (kind != known) {
            if (note_slot(view, slot)) {
                return true;
            }
            own_drop_t type = own_slot_type(slot);
            bool is_ours = type == point_drop || type == (own_drop_t)kill_deferral_drop;
            if (!is_ours && !owned_is_drop((uintptr_t)type)) {
                return false;
            }
            known = is_ours ? NO_KIND : kind;
            tags |= slot->tag;
        }
        peers |= (uintptr_t)slot->peer;
        if (!slot->below) {
            view->is_plain = peers == 0 && !(tags & OWN_HOLDS);
            return !is_cut_at(slot, &place);
        }
        slot = slot->below;
    }
    return false;
}

/*
 * The same by the slots' tags. The chain is made anew only where the task will be killed: who goes
 * on leaves its slots in their order in time, which tags do not tell.
 */
static void mend_to_kill(struct kill_view *view, uint64_t rsp)
{
    *view = (struct kill_view){.outermost = NULL};
    catch_scan(rsp, note_slot, view);
    if (view->by || !view->outermost || !view->outermost->rsp) {
        return;
    }
    struct stack_place place = {.bottom = 0, .top = 0};
    catch_mend_to(rsp, &view->outermost->slot);
    view->by = catch_can_read(OWN_TOP, &place) ? NULL : &broken;
    view->place = place;
}

/* All points that are newer than this one; their links have been looked at. */
static void close_points(const struct catch_point *outermost)
{
    for (struct own_slot *slot = OWN_TOP; slot != &outermost->slot; slot = slot->below) {
        if (is_of_type(slot, point_drop)) {
            point_of(slot)->is_closed = true;
        }
    }
}

__attribute__((no_sanitize("address"))) void catch_kill(const struct kill_deferral **out_by)
{
    struct kill_view view = {.outermost = NULL};
    bool is_mended = !view_chain(&view);
    if (is_mended) {
        mend_to_kill(&view, (uint64_t)__builtin_frame_address(0));
    }
    struct catch_point *point = view.outermost;
    if (view.by || !point || !point->rsp) {
        *out_by = view.by ? view.by : is_mended ? &broken : &not_begun;
        return;
    }
    static const uint64_t registers[CFI_REGISTER_COUNT];
    begin_reason(point, registers, &(struct catch_fault){0});
    point->reason.is_mended = is_mended;
    point->reason.is_complete = !is_mended;
    point->is_mended = is_mended;
    point->status = ERR_KILLED;
    point->is_plain = view.is_plain;
    point->bottom = view.place.bottom;
    point->top = view.place.top;
    if (view.points > 1) {
        close_points(point);
    }
    pop_slots(point);
    if (OWN_TOP != &point->slot) {
        point->reason.is_complete = false;
        OWN_TOP = &point->slot;
    }
    preemption_restore(point->hold);
    come_back(point, &point->no_user);
}
