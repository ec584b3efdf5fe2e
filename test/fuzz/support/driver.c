/* SPDX-License-Identifier: MIT */
/*
 * Runs a fuzz target with nothing but GCC: first the kept corpus, then mutations of it. Usage:
 *
 *   mutate_<target> [-s SEED] [-t SECONDS] [-n EXECUTIONS] [-o FOLDER] FILE_OR_FOLDER..
 *
 * GCC's -fsanitize-coverage=trace-pc calls us at each basic block; an input that takes a new step
 * from one block to another joins the corpus (in memory only). An input that ends the program is
 * kept in FOLDER as crash-SEED-NUMBER. The same seed and executions do the same again; with -n 0
 * only the given files are run.
 */
#include "mutate.h"

#include <dirent.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define INPUT_SIZE   65536u
#define MAX_INPUTS   20000u
#define STEPS        65536u
#define HANG_SECONDS 20

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
void __sanitizer_set_death_callback(void (*callback)(void));
void __sanitizer_cov_trace_pc(void);
const char *__asan_default_options(void);

struct input {
    uint8_t *bytes;
    size_t size;
};

static struct input inputs[MAX_INPUTS];
static size_t input_count;

static uint8_t steps[STEPS];
static size_t new_steps;
static uintptr_t last_block;
static bool is_recording;

static const char *folder = ".";
static uint64_t seed = 1;
static uint64_t executions;
static const uint8_t *current;
static size_t current_size;

/* ---- what the compiler and the sanitizers call ---- */

/* An abort() of a target counts as much as a finding of ASan. */
const char *__asan_default_options(void)
{
    return "handle_abort=1:allocator_may_return_null=1";
}

__attribute__((no_sanitize_coverage)) void __sanitizer_cov_trace_pc(void)
{
    uintptr_t block = (uintptr_t)__builtin_return_address(0);
    if (is_recording) {
        uint8_t *step = &steps[(block ^ last_block) % STEPS];
        new_steps += *step == 0;
        *step = 1;
        last_block = block >> 1;
    }
}

static void keep_crash(void)
{
    char path[4096];
    is_recording = false;
    snprintf(path, sizeof(path), "%s/crash-%llu-%llu", folder, (unsigned long long)seed,
             (unsigned long long)executions);
    FILE *file = current ? fopen(path, "wb") : NULL;
    if (file) {
        fwrite(current, 1, current_size, file);
        fclose(file);
        fprintf(stderr, "the input is kept in %s\n", path);
    }
}

static void end_hang(int signal_number)
{
    (void)signal_number;
    fprintf(stderr, "no end within %d seconds\n", HANG_SECONDS);
    abort();
}

/* ---- inputs ---- */

static void die(const char *what, const char *path)
{
    fprintf(stderr, "%s: %s\n", what, path);
    exit(2);
}

static void add_input(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size + 1);
    if (!copy || input_count == MAX_INPUTS) {
        free(copy);
        return;
    }
    memcpy(copy, bytes, size);
    inputs[input_count++] = (struct input){.bytes = copy, .size = size};
}

static void read_file(const char *path)
{
    static uint8_t bytes[INPUT_SIZE];
    FILE *file = fopen(path, "rb");
    if (!file) {
        die("cannot read", path);
    }
    add_input(bytes, fread(bytes, 1, sizeof(bytes), file));
    fclose(file);
}

static void read_path(const char *path)
{
    struct dirent **names;
    struct stat status;
    if (stat(path, &status) != 0) {
        die("no such file", path);
    }
    if (!S_ISDIR(status.st_mode)) {
        read_file(path);
        return;
    }
    int count =
        scandir(path, &names, NULL, alphasort); /* the order is part of the seed's meaning */
    for (int i = 0; i < count; i++) {
        char name[4096];
        if (names[i]->d_name[0] != '.') {
            snprintf(name, sizeof(name), "%s/%s", path, names[i]->d_name);
            read_file(name);
        }
        free(names[i]);
    }
    if (count >= 0) {
        free(names);
    }
}

/* ---- runs ---- */

/* Runs one input in memory of its exact size. Returns whether it took new steps. */
static bool run(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy) {
        die("out of memory", "run");
    }
    memcpy(copy, bytes, size);
    current = copy;
    current_size = size;
    new_steps = 0;
    last_block = 0;
    executions++;
    alarm(HANG_SECONDS);
    is_recording = true;
    LLVMFuzzerTestOneInput(copy, size);
    is_recording = false;
    alarm(0);
    current = NULL;
    free(copy);
    return new_steps > 0;
}

static void run_mutation(uint64_t *random)
{
    static uint8_t bytes[INPUT_SIZE];
    const struct input *from = &inputs[mutate_random_below(random, input_count)];
    const struct input *other = &inputs[mutate_random_below(random, input_count)];
    size_t size = from->size;
    memcpy(bytes, from->bytes, size);
    for (uint64_t left = 1 + mutate_random_below(random, 4); left > 0; left--) {
        if (mutate_random_below(random, 16) == 0) {
            mutate_splice(bytes, size, other->bytes, other->size, random);
        } else {
            size = mutate(bytes, size, sizeof(bytes), random);
        }
    }
    if (run(bytes, size)) {
        add_input(bytes, size);
    }
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static size_t count_steps(void)
{
    size_t count = 0;
    for (size_t i = 0; i < STEPS; i++) {
        count += steps[i];
    }
    return count;
}

int main(int argc, char **argv)
{
    double seconds = 3;
    uint64_t limit = UINT64_MAX;
    for (int option; (option = getopt(argc, argv, "s:t:n:o:")) != -1;) {
        switch (option) {
        case 's':
            seed = strtoull(optarg, NULL, 0);
            break;
        case 't':
            seconds = strtod(optarg, NULL);
            break;
        case 'n':
            limit = strtoull(optarg, NULL, 0);
            break;
        case 'o':
            folder = optarg;
            break;
        default:
            return 2;
        }
    }
    for (; optind < argc; optind++) {
        read_path(argv[optind]);
    }
    if (input_count == 0) {
        die("no input", "give files or folders");
    }
    __sanitizer_set_death_callback(keep_crash);
    signal(SIGALRM, end_hang);
    size_t given = input_count;
    for (size_t i = 0; i < given; i++) {
        run(inputs[i].bytes, inputs[i].size);
    }
    size_t given_steps = count_steps();
    uint64_t random = seed ? seed : 1;
    double start = now();
    for (uint64_t i = 0; i < limit && now() - start < seconds; i++) {
        run_mutation(&random);
    }
    printf(
        "seed %llu: %llu executions, %zu inputs given, %zu found, %zu steps (%zu by the given)\n",
        (unsigned long long)seed, (unsigned long long)executions, given, input_count - given,
        count_steps(), given_steps);
    return 0;
}
