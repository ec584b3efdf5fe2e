/* SPDX-License-Identifier: MIT */
/*
 * Two samples, each of both counters, and a division. A sample reads the time stamp counter before
 * and after the reference, which was read somewhere in between: so half of that interval is the
 * error of a sample, and one tick of each counter that of both. The second sample is taken again
 * and again until the error is small beside the distance of the two. That is soon where reads are
 * quick (in an emulator that counts instructions after some hundred microseconds) and late where
 * they are slow; interrupts of any kind make a sample bad, but not a bad sample count.
 */
#include "clock_priv.h"
#include "clock.h"

#define FS_PER_S    1000000000000000ull
#define FS_PER_NS   1000000ull
#define PPM         1000000ull
#define FIRST_READS 4u /* the best of these is the first sample */

struct sample {
    uint64_t tsc;   /* in the middle */
    uint64_t width; /* from before to after */
    uint64_t count;
};

uint64_t clock_multiply_divide(uint64_t a, uint64_t b, uint64_t divisor)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    uint64_t low = (uint64_t)product;
    uint64_t rest = (uint64_t)(product >> 64);
    if (rest >= divisor) {
        return UINT64_MAX;
    }
    uint64_t quotient = 0;
    for (int bit = 63; bit >= 0;
         bit--) { /* by hand: C's division would be a call that cells have not */
        bool carry = rest >> 63;
        rest = rest << 1 | (low >> bit & 1);
        quotient <<= 1;
        if (carry || rest >= divisor) {
            rest -= divisor;
            quotient |= 1;
        }
    }
    return quotient;
}

static enum status take_sample(const struct clock_reference *reference, struct sample *out)
{
    uint64_t count;
    uint64_t before = read_tsc();
    enum status status = reference->read(&count);
    uint64_t width = read_tsc() - before;
    *out = (struct sample){.tsc = before + width / 2, .width = width, .count = count};
    return status;
}

static enum status take_first_sample(const struct clock_reference *reference, struct sample *out)
{
    enum status status = take_sample(reference, out);
    for (unsigned i = 1; status == OK && i < FIRST_READS; i++) {
        struct sample other;
        status = take_sample(reference, &other);
        if (other.width < out->width) {
            *out = other;
        }
    }
    return status;
}

/* In parts per million, what is not known of the distance of two samples. */
static uint32_t error_between(const struct sample *first, const struct sample *last,
                              uint64_t counts)
{
    uint64_t distance = last->tsc - first->tsc;
    uint64_t tick = counts ? distance / counts : distance;
    uint64_t error = (first->width + last->width) / 2 + tick + 1;
    uint64_t ppm = clock_multiply_divide(error, PPM, distance);
    return ppm < UINT32_MAX ? (uint32_t)ppm : UINT32_MAX;
}

enum status clock_calibrate(const struct clock_reference *reference, struct clock_measurement *out)
{
    struct sample first;
    struct sample last;
    struct clock_measurement best = {.error_ppm = UINT32_MAX};
    uint64_t elapsed_ns = 0;
    enum status status = take_first_sample(reference, &first);
    while (status == OK && best.error_ppm > CLOCK_PRECISION_PPM && elapsed_ns < CLOCK_WINDOW_NS) {
        status = take_sample(reference, &last);
        if (status != OK) {
            break;
        }
        uint64_t counts = (last.count - first.count) & reference->mask;
        elapsed_ns = clock_multiply_divide(counts, reference->period_fs, FS_PER_NS);
        uint32_t error = error_between(&first, &last, counts);
        if (counts && error < best.error_ppm) {
            uint64_t fs = clock_multiply_divide(counts, reference->period_fs, 1);
            uint64_t hz = clock_multiply_divide(last.tsc - first.tsc, FS_PER_S, fs);
            best = (struct clock_measurement){.hz = hz, .ns = elapsed_ns, .error_ppm = error};
        }
    }
    if (status != OK) {
        return status;
    }
    *out = best;
    return best.hz ? OK : ERR_OUT_OF_BOUNDS;
}
