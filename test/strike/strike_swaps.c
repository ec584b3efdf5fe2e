/* SPDX-License-Identifier: MIT */
/*
 * Swaps of real cells of the build, by the real swap, plan, loader and all that they need: after a
 * strike the old cells are there to the byte, or the new ones with all that they have taken over.
 * Then all cells are swapped again and taken back, those that were replaced go, all others are
 * unloaded, and no block, page or entry is missing.
 *
 * What only a kernel can do stands in here: no CPU has to be stopped, no stack has a frame of a
 * cell, nothing points to one that was replaced. In the short form few instructions of the plan are
 * struck, of most cases none, and many from the window on.
 */
#include "cell_retirement.h"
#include "commit.h"
#include "diag.h"
#include "entry_pool.h"
#include "live_frames.h"
#include "loader.h"
#include "page_table.h"
#include "preemption.h"
#include "read_sections.h"
#include "remote_call.h"
#include "strike.h"
#include "strike_cells.h"
#include "swap.h"
#include "swap_sample.h"
#include "task.h"
#include "time_limit.h"

#define ONE   "swap_sample_one"
#define TWO   "swap_sample_two"
#define THREE "swap_sample_three"
#define BASE  "freestanding"
#define USER  "sort" /* needs the base */

#define COUNTED 5u /* calls before what is struck */

/* ---- the machine ---- */

static struct remote_stop *stopped;
static struct time_limit *limited;

STRIKE_NOT enum status remote_stop_begin(struct remote_stop **out)
{
    strike_go_on();
    strike_every(STRIKE_EVERY_LATE);
    commit_two(&stopped, out, out, &stopped);
    return OK;
}

void remote_stop_drop(struct remote_stop **handle)
{
    if (*handle) {
        commit_two(&stopped, NULL, handle, NULL);
    }
}

enum status time_limit_begin(struct time_limit **out)
{
    commit_two(&limited, out, out, &limited);
    return OK;
}

void time_limit_drop(struct time_limit **handle)
{
    if (*handle) {
        commit_two(&limited, NULL, handle, NULL);
    }
}

enum status time_limit_call(struct time_limit *limit, void (*function)(void *argument),
                            void *argument, uint64_t limit_ns)
{
    function(argument);
    return OK;
}

bool live_frames_find(const struct remote_stop *stop, const struct cell *const *cells, size_t count,
                      struct live_finding *out)
{
    return false;
}

bool cell_retirement_spare(struct cell_namespace *namespace)
{
    return true;
}

void cell_retirement_release_image(const struct cell *cell)
{
    strike_demand(!"a cell of the image");
}

bool page_table_find(vaddr_t page, paddr_t *out_frame, unsigned *out_flags)
{
    return true;
}

bool page_table_find_stopped(vaddr_t page, paddr_t *out_frame, unsigned *out_flags)
{
    return true;
}

void task_sleep(uint64_t duration_ns)
{
}

/* ---- the scene ---- */

static uint64_t hash_before;
static uint64_t forgotten;   /* swaps that are remembered no longer */
static unsigned blocks_left; /* with no cell, and no swap remembered */
static swap_sample_function_t pointer;
static uint64_t (*count_by_entry)(void);
static uint64_t id; /* of the swap that is struck, or of one before it */

static uint64_t swap(const struct swap_pair *pairs, uint32_t count, uint64_t continues)
{
    struct swap_report report;
    struct diag diag = {0};
    const struct swap_request request = {
        .namespace = strike_here(),
        .pairs = pairs,
        .pair_count = count,
        .continues = continues,
    };
    strike_demand(swap_cells(&request, &report, &diag) == OK);
    return report.id;
}

static void swap_one(const char *from, const char *to)
{
    const struct swap_pair pair = {from, to};
    id = swap(&pair, 1, 0);
}

static void retire_all(void)
{
    strike_demand(swap_retire() == 0 && !strike_here()->retired);
}

static void unload_all(void)
{
    must_unload(USER);
    must_unload(BASE);
    must_unload(ONE);
    must_unload(TWO);
    must_unload(THREE);
    strike_demand(!strike_here()->first && strike_here()->cell_count == 0);
}

static const char *sample(void)
{
    return is_there(ONE) ? ONE : is_there(TWO) ? TWO : THREE;
}

static void load_cells(void)
{
    must_load(USER);
    must_load(ONE);
    pointer = ((__typeof__(pointer)(*)(void))demand("swap_sample_pointer"))();
    count_by_entry = (__typeof__(count_by_entry))demand("swap_sample_count");
}

/* Everything has been done once, and is known. */
static void prepare(void)
{
    strike_cells_prepare();
    load_cells();
    swap_one(ONE, TWO);
    swap_one(BASE, BASE);
    retire_all();
    unload_all();
    blocks_left = blocks_out() - (unsigned)id;
    load_cells();
    for (unsigned i = 0; i < COUNTED; i++) {
        strike_demand(count_by_entry() == i + 1);
    }
    hash_before = swap_state_hash(strike_here(), true);
    strike_every(0);
}

/* ---- the truth ---- */

static bool comes_before(const void *a, const void *b)
{
    return *(const int *)a < *(const int *)b;
}

static void check_user(void)
{
    void (*sort)(void *, size_t, size_t, bool (*)(const void *, const void *)) =
        (__typeof__(sort))demand("sort_array");
    int numbers[] = {5, 1, 4, 2};
    sort(numbers, ARRAY_COUNT(numbers), sizeof(numbers[0]), comes_before);
    strike_demand(numbers[0] == 1 && numbers[1] == 2 && numbers[2] == 4 && numbers[3] == 5);
}

/* What is there does what it is for, by the addresses of old, and its variable goes on. */
static void check_sample(uint64_t count)
{
    uint64_t version = is_there(ONE) ? 1 : is_there(TWO) ? 2 : 3;
    swap_sample_function_t by_name = (swap_sample_function_t)demand("swap_sample_version");
    strike_demand(is_there(ONE) + is_there(TWO) + is_there(THREE) == 1);
    strike_demand(by_name() == version && pointer() == version);
    strike_demand(count_by_entry() == count);
}

static void check_system(void)
{
    strike_demand(preemption_count() == 0 && interrupts_enabled() && read_sections_wait());
    strike_demand(!stopped && !limited);
    check_names();
    check_bindings();
    check_addresses();
    for (const struct cell *cell = strike_here()->retired; cell; cell = cell->next) {
        strike_demand(cell->is_retired && !cell->is_leaving);
    }
}

/*
 * All there is for itself, and back; but for the cell whose transfer does not know its own count.
 */
static void swap_everything(void)
{
    const struct swap_pair pairs[] = {{BASE, BASE}, {USER, USER}, {sample(), sample()}};
    uint64_t all = swap(pairs, is_there(THREE) ? 2 : 3, 0);
    struct swap_report report;
    struct diag diag = {0};
    check_system();
    check_user();
    check_sample(COUNTED + 2);
    strike_demand(swap_rollback(all, 0, &report, &diag) == OK);
    id = report.id;
    forgotten++;
    check_system();
    check_user();
    check_sample(COUNTED + 3);
}

static void check_end(void)
{
    retire_all();
    check_system();
    check_sample(COUNTED + 4);
    unload_all();
    check_system();
    strike_demand(blocks_out() == blocks_left + (unsigned)(id - forgotten));
    strike_demand(entry_pool_statistics().taken == 0);
    strike_demand(pages_out() == entry_pool_statistics().page_bytes / PAGE_SIZE);
    struct loader_statistics figures = loader_statistics();
    strike_demand(figures.cells == 0 && figures.sections == 0 && figures.metadata_bytes == 0);
    strike_demand(figures.region_bytes == 0);
}

static void check(bool is_old)
{
    strike_demand(!is_old || swap_state_hash(strike_here(), true) == hash_before);
    check_system();
    check_user();
    check_sample(COUNTED + 1);
    swap_everything();
    check_end();
}

/* ---- swaps ---- */

static void swap_sample(const char *to)
{
    swap_one(ONE, to);
}

static void to_two(void)
{
    swap_sample(TWO);
}

static void check_two(void)
{
    strike_demand(strike_has_struck() || is_there(TWO));
    check(is_there(ONE));
}

static void to_three(void)
{
    swap_sample(THREE);
}

static void check_three(void)
{
    strike_demand(strike_has_struck() || is_there(THREE));
    check(is_there(ONE));
}

static const struct cell *base;

static void prepare_base(void)
{
    prepare();
    base = cell_namespace_find_cell(strike_here(), BASE);
}

static void swap_base(void)
{
    swap_one(BASE, BASE);
}

static void to_itself(void)
{
    strike_pause();
    swap_base();
}

static void check_base(void)
{
    bool is_old = cell_namespace_find_cell(strike_here(), BASE) == base;
    strike_demand(strike_has_struck() || !is_old);
    check(is_old);
}

static void all_at_once(void)
{
    static const struct swap_pair pairs[] = {{BASE, BASE}, {USER, USER}, {ONE, TWO}};
    strike_pause();
    swap(pairs, ARRAY_COUNT(pairs), 0);
}

static void check_all_at_once(void)
{
    bool is_old = cell_namespace_find_cell(strike_here(), BASE) == base;
    strike_demand(is_there(ONE) == is_old);
    check_base();
}

/* ---- refusals, and the way back ---- */

/* What the machine is told before and after, as it is of heaps and queues. */
static struct {
    bool is_prepared;
    bool is_transferred;
} told;

static enum status prepare_hook(void *context, const struct swap_view *view)
{
    told.is_prepared = true;
    return OK;
}

static enum status transfer_hook(void *context)
{
    told.is_transferred = true;
    return ERR_FAILED;
}

static void restore_hook(void *context)
{
    told.is_transferred = false;
}

static void finish_hook(void *context, bool is_committed)
{
    strike_demand(!is_committed);
    told.is_prepared = false;
}

static void refused(void)
{
    static const struct swap_hooks hooks = {prepare_hook, transfer_hook, restore_hook, finish_hook,
                                            NULL};
    static const struct swap_pair pair = {ONE, THREE};
    const struct swap_request request = {
        .namespace = strike_here(), .pairs = &pair, .pair_count = 1, .hooks = &hooks};
    struct diag diag = {0};
    strike_pause();
    strike_demand(swap_cells(&request, NULL, &diag) == ERR_FAILED);
}

static void check_refused(void)
{
    strike_demand(!told.is_prepared && !told.is_transferred && is_there(ONE));
    check(true);
}

static void prepare_two(void)
{
    prepare();
    to_two();
    strike_every(0);
}

static void roll_back(void)
{
    struct diag diag = {0};
    strike_pause();
    (void)!swap_rollback(id, 0, NULL, &diag);
}

/* It was remembered until it was taken back. */
static void check_rolled_back(void)
{
    struct diag diag = {0};
    strike_demand(strike_has_struck() || is_there(ONE));
    if (is_there(ONE)) {
        forgotten++;
        strike_demand(swap_rollback(id, 0, NULL, &diag) == ERR_NOT_FOUND);
    } else {
        strike_demand(swap_rollback(id, 0, NULL, &diag) == OK);
        forgotten++;
    }
    check(false);
}

static uint64_t known; /* by who asked */

static void go_on(void)
{
    static const struct swap_pair pair = {BASE, BASE};
    const struct swap_request request = {.namespace = strike_here(),
                                         .pairs = &pair,
                                         .pair_count = 1,
                                         .continues = id,
                                         .out_id = &known};
    struct diag diag = {0};
    strike_pause();
    (void)!swap_cells(&request, NULL, &diag);
}

/* The new id is known, and stands for both; or the old one does for the first. */
static void check_gone_on(void)
{
    struct diag diag = {0};
    bool is_old = cell_namespace_find_cell(strike_here(), BASE) == base;
    strike_demand(is_old == (known == 0) && (strike_has_struck() || known));
    if (known) {
        forgotten++;
        strike_demand(known == id + 1);
        strike_demand(swap_rollback(id, 0, NULL, &diag) == ERR_NOT_FOUND);
        id = known;
    }
    strike_demand(swap_rollback(id, 0, NULL, &diag) == OK);
    strike_demand(is_there(ONE));
    forgotten++;
    check(false);
}

static void prepare_on(void)
{
    prepare_two();
    base = cell_namespace_find_cell(strike_here(), BASE);
}

/* ---- the end of what was replaced ---- */

static void prepare_retirement(void)
{
    prepare();
    to_two();
    swap_base();
    swap_one(TWO, ONE);
    strike_every(STRIKE_EVERY_LATE);
}

static void retire(void)
{
    (void)swap_retire();
}

static void check_retired(void)
{
    strike_demand(strike_has_struck() || !strike_here()->retired);
    check(false);
}

int main(int argc, char **argv)
{
    static const struct strike_case cases[] = {
        {"swap a cell for another", prepare, to_two, check_two},
        {"swap a cell, with a transfer", prepare, to_three, check_three},
        {"swap a cell that another one needs", prepare_base, to_itself, check_base},
        {"swap three at once", prepare_base, all_at_once, check_all_at_once},
        {"swap, and the hook refuses", prepare, refused, check_refused},
        {"take a swap back", prepare_two, roll_back, check_rolled_back},
        {"go on with a swap", prepare_on, go_on, check_gone_on},
        {"free what was replaced", prepare_retirement, retire, check_retired},
    };
    return strike_cells_start(argc, argv) ? strike_run(cases, ARRAY_COUNT(cases)) : 2;
}
