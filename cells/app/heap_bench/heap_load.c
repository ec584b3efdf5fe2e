/* SPDX-License-Identifier: MIT */
#include "heap_load.h"
#include "heap.h"

static void free_objects(void **objects, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        heap_free(objects[i]);
    }
}

enum status heap_load_threadtest(void **objects, uint32_t rounds)
{
    for (uint32_t round = 0; round < rounds; round++) {
        for (uint32_t i = 0; i < THREADTEST_OBJECTS; i++) {
            uint64_t *object = heap_allocate(sizeof(*object));
            if (!object) {
                free_objects(objects, i);
                return ERR_NO_MEMORY;
            }
            *object = i;
            objects[i] = object;
        }
        free_objects(objects, THREADTEST_OBJECTS);
    }
    return OK;
}

enum status heap_load_shbench(void **objects, uint32_t count)
{
    enum status status = OK;
    uint64_t random = 88172645463325252ull;
    for (uint32_t i = 0; status == OK && i < count; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        void **place = &objects[(uint32_t)random % SHBENCH_LIVE];
        heap_free(*place);
        uint8_t *object = heap_allocate(1 + (random >> 32) % 1000);
        *place = object;
        if (object) {
            *object = (uint8_t)i;
        } else {
            status = ERR_NO_MEMORY;
        }
    }
    free_objects(objects, SHBENCH_LIVE);
    return status;
}
