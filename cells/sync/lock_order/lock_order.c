/* SPDX-License-Identifier: MIT */
/*
 * Kinds are the nodes of a graph, `before[a]` has a bit for each kind that was taken while a was
 * held. A new order a, b is an error if there is a way from b to a. It is noted first, so that an
 * error is reported once, and of two CPUs that make one together at least one sees it.
 *
 * Everything is written by single atomic stores into tables that only grow: checking must work
 * between any two instructions of anybody.
 *
 * A pointer into a cell would keep it in memory after it has been replaced. So types are copied, of
 * which only addresses of functions are kept, which are stable, and places in code are kept as
 * something else than a pointer: they are only printed.
 */
#include "lock_order.h"

#include "logger.h"

CELL(library, "1.0.0");

#define TYPES_MAX 8u
#define SLOTS_MAX 256u /* of a chain; more is taken for a broken one */
#define NAME_SIZE 24u
#define WHAT_SIZE 24u
#define SEEN_MAX  512u /* a power of two */
#define WORDS     (LOCK_ORDER_KINDS / 64)
#define NO_KIND   LOCK_ORDER_KINDS

/* What is known of a kind. */
enum {
    MASKS = 1,
    PARKS = 2,
    IN_HANDLER = 4, /* was taken in a handler of interrupts */
    REPORTED = 8,   /* the context in which it is taken */
};

struct kind {
    uint64_t hash; /* of type and name; 0: not yet a kind */
    char name[NAME_SIZE];
    const char *what;
    uint32_t flags;
    uint64_t before[WORDS];
};

struct seen {
    uint32_t order;     /* from << 16 | to, both + 1; 0: free */
    uint64_t not_where; /* the complement of the place */
};

struct known_type {
    bool is_taken;
    struct lock_type type; /* `drop` is set last */
    char what[WHAT_SIZE];
};

static struct known_type types[TYPES_MAX];
static struct kind kinds[LOCK_ORDER_KINDS];
static struct seen seen[SEEN_MAX];
static uint32_t orders;
static uint32_t findings;
static uint32_t lost;

/* ---- tables ---- */

static void copy_text(char *to, const char *from, size_t size)
{
    for (size_t i = 0; i < size - 1 && from[i]; i++) {
        to[i] = from[i];
    }
}

static const struct lock_type *type_by_drop(own_drop_t drop)
{
    for (unsigned i = 0; i < TYPES_MAX; i++) {
        if (__atomic_load_n(&types[i].type.drop, __ATOMIC_ACQUIRE) == drop) {
            return &types[i].type;
        }
    }
    return NULL;
}

/*
 * Our copy of a type; NULL: there are too many. Of two CPUs that bring one together each makes one.
 */
static const struct lock_type *copy_of(const struct lock_type *type)
{
    const struct lock_type *known = type_by_drop(type->drop);
    for (unsigned i = 0; i < TYPES_MAX && !known; i++) {
        struct known_type *copy = &types[i];
        if (__atomic_exchange_n(&copy->is_taken, true, __ATOMIC_RELAXED)) {
            continue;
        }
        copy_text(copy->what, type->what, WHAT_SIZE);
        copy->type.what = copy->what;
        copy->type.name = type->name;
        copy->type.masks = type->masks;
        copy->type.parks = type->parks;
        __atomic_store_n(&copy->type.drop, type->drop, __ATOMIC_RELEASE);
        known = &copy->type;
    }
    return known;
}

static const struct lock_type *type_of(const struct own_slot *slot)
{
    own_drop_t drop = own_slot_type(slot);
    return drop ? type_by_drop(drop) : NULL;
}

/* FNV-1a; never 0. */
static uint64_t hash_of(const char *what, const char *name)
{
    uint64_t hash = 0xcbf29ce484222325ull;
    for (const char *text = what; *text; text++) {
        hash = (hash ^ (uint8_t)*text) * 0x100000001b3ull;
    }
    for (const char *text = name; *text; text++) {
        hash = (hash ^ (uint8_t)*text) * 0x100000001b3ull;
    }
    return hash | 1;
}

static void name_kind(struct kind *kind, const struct lock_type *type, const char *name)
{
    copy_text(kind->name, name, NAME_SIZE);
    kind->what = type->what;
    __atomic_or_fetch(&kind->flags, (type->masks ? MASKS : 0) | (type->parks ? PARKS : 0),
                      __ATOMIC_RELAXED);
}

/* The number of the kind, a new one if need be; NO_KIND: it has no name, or there are too many. */
static unsigned kind_of(const struct lock_type *type, const void *lock)
{
    const char *name = type->name(lock);
    if (!name) {
        return NO_KIND;
    }
    uint64_t hash = hash_of(type->what, name);
    for (unsigned i = 0; i < LOCK_ORDER_KINDS; i++) {
        uint64_t other = __atomic_load_n(&kinds[i].hash, __ATOMIC_RELAXED);
        if (!other && __atomic_compare_exchange_n(&kinds[i].hash, &other, hash, false,
                                                  __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
            name_kind(&kinds[i], type, name);
            return i;
        }
        if (other == hash) {
            return i;
        }
    }
    __atomic_add_fetch(&lost, 1, __ATOMIC_RELAXED);
    return NO_KIND;
}

static bool is_before(unsigned first, unsigned second)
{
    return __atomic_load_n(&kinds[first].before[second / 64], __ATOMIC_RELAXED) >> second % 64 & 1;
}

/* True: it was not known. */
static bool set_before(unsigned first, unsigned second)
{
    uint64_t bit = (uint64_t)1 << second % 64;
    if (__atomic_fetch_or(&kinds[first].before[second / 64], bit, __ATOMIC_RELAXED) & bit) {
        return false;
    }
    __atomic_add_fetch(&orders, 1, __ATOMIC_RELAXED);
    return true;
}

/* The entry of an order, or the free one where it belongs; NULL: the table is full. */
static struct seen *find_seen(unsigned first, unsigned second)
{
    uint32_t order = (first + 1) << 16 | (second + 1);
    uint32_t start = order * 0x9e3779b1u >> 16;
    for (uint32_t i = 0; i < SEEN_MAX; i++) {
        struct seen *entry = &seen[(start + i) % SEEN_MAX];
        uint32_t nobody = 0;
        if (__atomic_compare_exchange_n(&entry->order, &nobody, order, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED) ||
            nobody == order) {
            return entry;
        }
    }
    return NULL;
}

/* ---- findings ---- */

static void count_finding(void)
{
    __atomic_add_fetch(&findings, 1, __ATOMIC_RELAXED);
}

static void report_order(unsigned first, unsigned second)
{
    const struct seen *entry = find_seen(first, second);
    log_error("lock order: %s %s was taken at %p while %s %s was held", kinds[second].what,
              kinds[second].name, entry ? (const void *)~entry->not_where : NULL, kinds[first].what,
              kinds[first].name);
}

/* Breadth first, so the way is a shortest one; from[i]: by which kind i was come to. */
static bool find_way(unsigned start, unsigned end, uint8_t from[LOCK_ORDER_KINDS])
{
    uint8_t queue[LOCK_ORDER_KINDS];
    unsigned first = 0;
    unsigned last = 0;
    bool reached[LOCK_ORDER_KINDS] = {false};
    queue[last++] = (uint8_t)start;
    reached[start] = true;
    while (first < last) {
        unsigned here = queue[first++];
        if (here == end) {
            return true;
        }
        for (unsigned next = 0; next < LOCK_ORDER_KINDS; next++) {
            if (!reached[next] && is_before(here, next)) {
                reached[next] = true;
                from[next] = (uint8_t)here;
                queue[last++] = (uint8_t)next;
            }
        }
    }
    return false;
}

/* `second` is taken while `first` is held, for the first time. */
static void note_order(unsigned first, unsigned second, const void *where)
{
    struct seen *entry = find_seen(first, second);
    if (entry) {
        entry->not_where = ~(uintptr_t)where;
    }
    uint8_t from[LOCK_ORDER_KINDS];
    if (set_before(first, second) && find_way(second, first, from)) {
        count_finding();
        log_error("lock order: %s %s and %s %s are taken in both orders:", kinds[first].what,
                  kinds[first].name, kinds[second].what, kinds[second].name);
        report_order(first, second);
        for (unsigned at = first; at != second; at = from[at]) {
            report_order(from[at], at);
        }
    }
}

static void check_same_kind(unsigned kind, const void *held, const void *lock, const void *where)
{
    if ((uintptr_t)held < (uintptr_t)lock || is_before(kind, kind) || !set_before(kind, kind)) {
        return;
    }
    count_finding();
    log_error("lock order: %s %s is taken at %p while another at a higher address, or the same, is "
              "held",
              kinds[kind].what, kinds[kind].name, where);
}

/*
 * `held` keeps interrupts off and handlers take it; `wanted` does not: its holder may be
 * interrupted.
 */
static void check_masks(unsigned held, unsigned wanted, const void *where)
{
    uint32_t flags = __atomic_load_n(&kinds[held].flags, __ATOMIC_RELAXED);
    if (!(flags & IN_HANDLER) || (kinds[wanted].flags & MASKS)) {
        return;
    }
    if (__atomic_fetch_or(&kinds[wanted].flags, REPORTED, __ATOMIC_RELAXED) & REPORTED) {
        return;
    }
    count_finding();
    log_error("lock order: %s %s is taken at %p while %s %s is held, for which handlers of "
              "interrupts wait",
              kinds[wanted].what, kinds[wanted].name, where, kinds[held].what, kinds[held].name);
}

static void check_context(unsigned kind, const void *where)
{
    bool in_handler = CPU_LOCAL(interrupt_depth) != 0;
    uint32_t flags = kinds[kind].flags;
    if (in_handler && !(flags & IN_HANDLER)) {
        __atomic_or_fetch(&kinds[kind].flags, IN_HANDLER, __ATOMIC_RELAXED);
    }
    const char *wrong = NULL;
    if (in_handler && !(flags & MASKS)) {
        wrong = "in a handler of interrupts";
    } else if ((flags & PARKS) && (CPU_LOCAL(hold) & ~HOLD_UNWANTED)) {
        wrong = "while preemption is held";
    }
    if (wrong && !(__atomic_fetch_or(&kinds[kind].flags, REPORTED, __ATOMIC_RELAXED) & REPORTED)) {
        count_finding();
        log_error("lock order: %s %s is taken at %p %s", kinds[kind].what, kinds[kind].name, where,
                  wrong);
    }
}

/* ---- exported ---- */

void lock_order_check(const struct lock_type *type, const void *lock, const void *guard,
                      const void *where)
{
    const struct lock_type *known = copy_of(type);
    unsigned wanted = known ? kind_of(known, lock) : NO_KIND;
    if (wanted == NO_KIND) {
        return;
    }
    check_context(wanted, where);
    const struct own_slot *slot = OWN_TOP;
    for (unsigned count = 0; slot && count < SLOTS_MAX; slot = slot->below, count++) {
        const struct lock_type *held_type = slot->handle ? type_of(slot) : NULL;
        if (!held_type || (const void *)&slot->handle == guard) {
            continue;
        }
        unsigned held = kind_of(held_type, slot->handle);
        if (held == NO_KIND) {
            continue;
        }
        if (held == wanted) {
            check_same_kind(wanted, slot->handle, lock, where);
        } else if (!is_before(held, wanted)) {
            note_order(held, wanted, where);
        }
        check_masks(held, wanted, where);
    }
}

struct lock_order_statistics lock_order_statistics(void)
{
    struct lock_order_statistics statistics = {
        .orders = orders, .findings = findings, .lost = lost};
    for (unsigned i = 0; i < LOCK_ORDER_KINDS; i++) {
        statistics.kinds += kinds[i].hash != 0;
    }
    return statistics;
}

void lock_order_reset(void)
{
    for (unsigned i = 0; i < LOCK_ORDER_KINDS; i++) {
        kinds[i] = (struct kind){.hash = 0};
    }
    for (unsigned i = 0; i < SEEN_MAX; i++) {
        seen[i] = (struct seen){.order = 0};
    }
    orders = 0;
    findings = 0;
    lost = 0;
}
