/* SPDX-License-Identifier: MIT */
/*
 * simulated_accesses.c - every access to memory is a point (simulated_tasks.h).
 *
 * Why: code without a lock is right or wrong between two of its accesses. GCC calls a function
 * before each access if asked to (-fsanitize=thread); the library that usually has these functions
 * looks for races of threads. These let another simulated task go on, or kill this one.
 *
 * Rules: only what is compiled so is seen. Atomic operations happen in one order, the strongest of
 * the memory models: missing barriers are not found.
 */
#include "simulated_tasks.h"

/* The names are GCC's; it also declares some of them itself, so prototypes follow its types. */
void __tsan_init(void);
void __tsan_func_entry(void *caller);
void __tsan_func_exit(void *unused);
void __tsan_read_range(void *address, long size);
void __tsan_write_range(void *address, long size);
void __tsan_atomic_thread_fence(int order);
void __tsan_atomic_signal_fence(int order);

void __tsan_init(void)
{
}

void __tsan_func_entry(void *caller)
{
    (void)caller;
}

void __tsan_func_exit(void *unused)
{
    (void)unused;
}

void __tsan_read_range(void *address, long size)
{
    (void)address, (void)size;
    simulated_point();
}

void __tsan_write_range(void *address, long size)
{
    (void)address, (void)size;
    simulated_point();
}

void __tsan_atomic_thread_fence(int order)
{
    (void)order;
    simulated_point();
}

void __tsan_atomic_signal_fence(int order)
{
    (void)order;
}

#define ACCESS(name)                  \
    void __tsan_##name(void *);       \
    void __tsan_##name(void *address) \
    {                                 \
        (void)address;                \
        simulated_point();            \
    }

#define ACCESSES(size)           \
    ACCESS(read##size)           \
    ACCESS(write##size)          \
    ACCESS(unaligned_read##size) \
    ACCESS(unaligned_write##size)

ACCESSES(1)
ACCESSES(2)
ACCESSES(4)
ACCESSES(8)
ACCESSES(16)

#define ATOMIC_UPDATE(bits, operation)                                                        \
    uint##bits##_t __tsan_atomic##bits##_##operation(volatile void *at, uint##bits##_t, int); \
    uint##bits##_t __tsan_atomic##bits##_##operation(volatile void *at, uint##bits##_t value, \
                                                     int order)                               \
    {                                                                                         \
        (void)order;                                                                          \
        simulated_point();                                                                    \
        return __atomic_##operation((volatile uint##bits##_t *)at, value, __ATOMIC_SEQ_CST);  \
    }

/* exchange has another name as a builtin. */
#define __atomic_exchange __atomic_exchange_n

#define ATOMIC_COMPARE(bits, strength)                                                   \
    _Bool __tsan_atomic##bits##_compare_exchange_##strength(volatile void *, void *,     \
                                                            uint##bits##_t, int, int);   \
    _Bool __tsan_atomic##bits##_compare_exchange_##strength(                             \
        volatile void *at, void *expected, uint##bits##_t value, int order, int failure) \
    {                                                                                    \
        (void)order, (void)failure;                                                      \
        simulated_point();                                                               \
        return __atomic_compare_exchange_n((volatile uint##bits##_t *)at,                \
                                           (uint##bits##_t *)expected, value, false,     \
                                           __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);          \
    }

#define ATOMICS(bits)                                                                    \
    uint##bits##_t __tsan_atomic##bits##_load(const volatile void *, int);               \
    uint##bits##_t __tsan_atomic##bits##_load(const volatile void *at, int order)        \
    {                                                                                    \
        (void)order;                                                                     \
        simulated_point();                                                               \
        return __atomic_load_n((const volatile uint##bits##_t *)at, __ATOMIC_SEQ_CST);   \
    }                                                                                    \
    void __tsan_atomic##bits##_store(volatile void *, uint##bits##_t, int);              \
    void __tsan_atomic##bits##_store(volatile void *at, uint##bits##_t value, int order) \
    {                                                                                    \
        (void)order;                                                                     \
        simulated_point();                                                               \
        __atomic_store_n((volatile uint##bits##_t *)at, value, __ATOMIC_SEQ_CST);        \
    }                                                                                    \
    ATOMIC_UPDATE(bits, exchange)                                                        \
    ATOMIC_UPDATE(bits, fetch_add)                                                       \
    ATOMIC_UPDATE(bits, fetch_sub)                                                       \
    ATOMIC_UPDATE(bits, fetch_and)                                                       \
    ATOMIC_UPDATE(bits, fetch_or)                                                        \
    ATOMIC_UPDATE(bits, fetch_xor)                                                       \
    ATOMIC_COMPARE(bits, strong)                                                         \
    ATOMIC_COMPARE(bits, weak)

ATOMICS(8)
ATOMICS(16)
ATOMICS(32)
ATOMICS(64)
