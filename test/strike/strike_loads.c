/* SPDX-License-Identifier: MIT */
/*
 * Loads and unloads of real cells of the build, by the real loader and all that it needs: after a
 * strike a load has happened or has not, with all of its cells, and so has an unload. Nothing is
 * lost, and cells come and go as before.
 */
#include "address_map.h"
#include "cell_namespace.h"
#include "descriptor_pool.h"
#include "diag.h"
#include "entry_pool.h"
#include "loader.h"
#include "strike.h"
#include "strike_cells.h"

/* ---- what is loaded ---- */

/* `sort` needs `freestanding`; the sample takes addresses. */
#define FIRST  "freestanding"
#define SECOND "sort"
#define SAMPLE "swap_sample_one"

static struct cell_reference *held;

static bool comes_before(const void *a, const void *b)
{
    return *(const int *)a < *(const int *)b;
}

/* What is loaded now does what it is for. */
static void check_code(void)
{
    void (*sort)(void *, size_t, size_t, bool (*)(const void *, const void *)) =
        (__typeof__(sort))demand("sort_array");
    int numbers[] = {5, 1, 4, 2};
    sort(numbers, ARRAY_COUNT(numbers), sizeof(numbers[0]), comes_before);
    strike_demand(numbers[0] == 1 && numbers[1] == 2 && numbers[2] == 4 && numbers[3] == 5);
    uint64_t (*(*pointer)(void))(void) = (__typeof__(pointer))demand("swap_sample_pointer");
    strike_demand(pointer()() == 1);
}

static void check(void)
{
    pages_left = STRIKE_PAGES;
    check_all();
    must_load(SAMPLE);
    must_load(SECOND);
    check_all();
    check_code();
    must_unload(SECOND);
    must_unload(FIRST);
    must_unload(SAMPLE);
    check_all();
    strike_demand(strike_here()->cell_count == 0 && !strike_here()->first);
    strike_demand(descriptor_pool_in_use() <= 1 + 1 && entry_pool_statistics().taken == 0);
    strike_demand(cell_namespace_fini(strike_here()) == OK);
    strike_demand(blocks_out() == 1);
}

/* ---- loads ---- */

static void load_sample(void)
{
    (void)!load(SAMPLE);
}

static void check_sample(void)
{
    strike_demand(strike_has_struck() || is_there(SAMPLE));
    check();
}

static void load_two(void)
{
    (void)!load(SECOND);
}

static void check_two(void)
{
    strike_demand(is_there(FIRST) == is_there(SECOND));
    strike_demand(strike_has_struck() || is_there(SECOND));
    check();
}

static void prepare_first(void)
{
    strike_cells_prepare();
    must_load(SAMPLE);
    must_load(FIRST);
    strike_every(0);
}

static void check_second(void)
{
    strike_demand(is_there(SAMPLE) && is_there(FIRST));
    strike_demand(strike_has_struck() || is_there(SECOND));
    check();
}

/* There are pages for the first of two cells, and not for all of the second. */
static void prepare_want(void)
{
    strike_cells_prepare();
    must_load(SAMPLE);
    must_load(SECOND);
    pages_left = pages_out() - 1;
    must_unload(SECOND);
    must_unload(FIRST);
    strike_every(0);
}

static void load_in_want(void)
{
    strike_demand(load(SECOND) == ERR_NO_MEMORY);
}

static void check_want(void)
{
    strike_demand(!is_there(FIRST) && !is_there(SECOND) && is_there(SAMPLE));
    check();
}

static void demand_held(void)
{
    uint64_t address;
    struct diag diag = {0};
    (void)!loader_demand_held(strike_here(), "sort_array", &address, &held, &diag);
}

static void check_held(void)
{
    strike_demand(strike_has_struck() || held);
    strike_demand(!held || is_there(SECOND));
    check_all();
    cell_reference_drop(&held);
    check_two();
}

/* ---- unloads ---- */

static void prepare_three(void)
{
    prepare_first();
    must_load(SECOND);
    strike_every(STRIKE_EVERY_LATE);
}

static void unload_last(void)
{
    struct diag diag = {0};
    (void)!loader_unload_named(strike_here(), SECOND, &diag);
}

static void check_last(void)
{
    strike_demand(is_there(SAMPLE) && is_there(FIRST));
    strike_demand(strike_has_struck() || !is_there(SECOND));
    check();
}

static void unload_first(void)
{
    struct diag diag = {0};
    (void)!loader_unload_named(strike_here(), SAMPLE, &diag);
}

static void check_first(void)
{
    strike_demand(is_there(FIRST) && is_there(SECOND));
    strike_demand(strike_has_struck() || !is_there(SAMPLE));
    check();
}

static void prepare_sample(void)
{
    strike_cells_prepare();
    must_load(SAMPLE);
    strike_every(STRIKE_EVERY_LATE);
}

static void check_only(void)
{
    strike_demand(strike_has_struck() || !is_there(SAMPLE));
    check();
}

static void unload_held(void)
{
    struct diag diag = {0};
    strike_demand(loader_unload_named(strike_here(), FIRST, &diag) == ERR_BUSY);
}

static void check_three(void)
{
    strike_demand(is_there(SAMPLE) && is_there(FIRST) && is_there(SECOND));
    check();
}

/* ---- lookups ---- */

static void look_up(void)
{
    const struct cell *cell = strike_here()->first;
    address_map_enter();
    for (unsigned r = 0; r < REGION_COUNT; r++) {
        (void)address_map_find(cell->regions[r].address);
        (void)address_map_find(cell->regions[r].address + cell->regions[r].size - 1);
    }
    address_map_leave();
    (void)address_map_find(last_page());
    (void)address_map_find(0);
}

static void prepare_look_up(void)
{
    prepare_three();
    strike_every(1);
}

int main(int argc, char **argv)
{
    static const struct strike_case cases[] = {
        {"load a cell", strike_cells_prepare, load_sample, check_sample},
        {"load two cells", strike_cells_prepare, load_two, check_two},
        {"load one that needs what is there", prepare_first, load_two, check_second},
        {"load two, and there are no pages", prepare_want, load_in_want, check_want},
        {"demand a symbol and hold its cell", strike_cells_prepare, demand_held, check_held},
        {"unload the last one", prepare_three, unload_last, check_last},
        {"unload the first one", prepare_three, unload_first, check_first},
        {"unload the only one", prepare_sample, unload_first, check_only},
        {"unload what is needed", prepare_three, unload_held, check_three},
        {"look up addresses", prepare_look_up, look_up, check_three},
    };
    if (!strike_cells_start(argc, argv)) {
        return 2;
    }
    return strike_run(cases, ARRAY_COUNT(cases));
}
