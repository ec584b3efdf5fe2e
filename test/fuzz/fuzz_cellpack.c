/* SPDX-License-Identifier: MIT */
/*
 * Runs the real cellpack on damaged objects and archives: each verb must end by itself, with 0
 * or 1. Usage:
 *
 *   fuzz_cellpack [-s SEED] [-t SECONDS] [-n EXECUTIONS] -o FOLDER CELLPACK FILE_OR_FOLDER..
 *
 * An input that breaks this is kept in FOLDER as crash-SEED-NUMBER, and the command is printed.
 */
#include "support/mutate.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define INPUT_SIZE     (1u << 20)
#define MAX_INPUTS     1000
#define SECONDS_A_VERB 20
#define MAX_WORDS      8
#define FINDING        "99" /* what the sanitizers exit with here; 1 would look like a refusal */

struct input {
    uint8_t *bytes;
    size_t size;
};

/* "@" is the input, "@out" a file that may be written. */
static const char *const verbs[][MAX_WORDS] = {
    {"info", "@"}, /* of an archive with several cells: which one? That is code 2 */
    {"info", "@", "--json"},
    {"info", "sort", "--cells", "@"},
    {"ls", "@"},
    {"check", "@"},
    {"sym", "sort_array", "--cells", "@"},
    {"tree", "@"},
    {"tree", "--cells", "@", "sort"},
    {"why", "a", "b", "--cells", "@"},
    {"graph", "--cells", "@", "--format", "dot"},
    {"graph", "--cells", "@", "--format", "json"},
    {"size", "@"},
    {"spill", "@"},
    {"unwind", "@"},
    {"where", "--cells", "@", "sort:.text.sort_array+0x1c"},
    {"pack", "-o", "@out", "@"},
    {"link", "-o", "@out", "--entry", "hello_main", "@"},
};
#define VERB_COUNT (sizeof(verbs) / sizeof(verbs[0]))

static struct input inputs[MAX_INPUTS];
static size_t input_count;
static const char *cellpack;
static const char *folder;
static char input_path[4096];
static char output_path[4096];

static void die(const char *what, const char *path)
{
    fprintf(stderr, "%s: %s\n", what, path);
    exit(2);
}

/* ---- inputs ---- */

static void read_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = malloc(INPUT_SIZE);
    if (!file || !bytes || input_count == MAX_INPUTS) {
        die("cannot read", path);
    }
    inputs[input_count++] =
        (struct input){.bytes = bytes, .size = fread(bytes, 1, INPUT_SIZE, file)};
    fclose(file);
}

static void read_path(const char *path)
{
    struct dirent **names;
    struct stat status;
    if (stat(path, &status) != 0 || !S_ISDIR(status.st_mode)) {
        read_file(path);
        return;
    }
    int count = scandir(path, &names, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        char name[4096];
        if (names[i]->d_name[0] != '.') {
            snprintf(name, sizeof(name), "%s/%s", path, names[i]->d_name);
            read_file(name);
        }
        free(names[i]);
    }
    free(names);
}

static void write_file(const char *path, const uint8_t *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(bytes, 1, size, file) != size || fclose(file) != 0) {
        die("cannot write", path);
    }
}

/* ---- runs ---- */

static void fill_words(const char *const *verb, const char **words)
{
    size_t count = 0;
    words[count++] = cellpack;
    for (size_t i = 0; i < MAX_WORDS && verb[i]; i++) {
        words[count++] = strcmp(verb[i], "@") == 0      ? input_path
                         : strcmp(verb[i], "@out") == 0 ? output_path
                                                        : verb[i];
    }
    words[count] = NULL;
}

static void become_cellpack(const char *const *words, const char *log)
{
    int output = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    int input = open("/dev/null", O_RDONLY);
    dup2(input, 0);
    dup2(output, 1);
    dup2(output, 2);
    setenv("ASAN_OPTIONS", "exitcode=" FINDING ":allocator_may_return_null=1", 1);
    setenv("LSAN_OPTIONS", "exitcode=" FINDING, 1);
    setenv("UBSAN_OPTIONS", "exitcode=" FINDING ":print_stacktrace=1", 1);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    alarm(SECONDS_A_VERB); /* survives exec */
    execv(cellpack, (char *const *)words);
    _exit(127);
}

static void print_log(const char *log)
{
    char text[4096];
    FILE *file = fopen(log, "rb");
    size_t size = file ? fread(text, 1, sizeof(text), file) : 0;
    fwrite(text, 1, size, stdout);
    if (file) {
        fclose(file);
    }
}

/* Is this how a verb may end? Says so if not. */
static bool is_good_end(int status, const char *const *words, const char *log)
{
    int most = strcmp(words[1], "info") == 0 ? 2 : 1;
    if (WIFEXITED(status) && WEXITSTATUS(status) <= most) {
        return true;
    }
    printf("%s %d from:", WIFSIGNALED(status) ? "signal" : "exit code",
           WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    for (size_t i = 0; words[i]; i++) {
        printf(" %s", words[i]);
    }
    printf("\n");
    print_log(log);
    return false;
}

static bool run_verb(const char *const *verb)
{
    const char *words[MAX_WORDS + 2];
    char log[4200];
    int status = 0;
    snprintf(log, sizeof(log), "%s.log", input_path);
    fill_words(verb, words);
    fflush(stdout);
    pid_t child = fork();
    if (child < 0) {
        die("cannot fork", strerror(errno));
    }
    if (child == 0) {
        become_cellpack(words, log);
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    bool is_good = is_good_end(status, words, log);
    unlink(log);
    return is_good;
}

static size_t make_input(uint8_t *bytes, uint64_t *random)
{
    const struct input *from = &inputs[mutate_random_below(random, input_count)];
    const struct input *other = &inputs[mutate_random_below(random, input_count)];
    size_t size = from->size;
    memcpy(bytes, from->bytes, size);
    for (uint64_t left = mutate_random_below(random, 4); left > 0; left--) {
        if (mutate_random_below(random, 16) == 0) {
            mutate_splice(bytes, size, other->bytes, other->size, random);
        } else {
            size = mutate(bytes, size, INPUT_SIZE, random);
        }
    }
    return size;
}

static void keep_crash(const uint8_t *bytes, size_t size, unsigned long long seed,
                       unsigned long long number)
{
    char path[4200];
    snprintf(path, sizeof(path), "%s/crash-%llu-%llu", folder, seed, number);
    write_file(path, bytes, size);
    printf("the input is kept in %s\n", path);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* A verb and an input at a time. */
static uint64_t search(uint64_t seed, double seconds, uint64_t limit, uint64_t *out_bad)
{
    static uint8_t bytes[INPUT_SIZE];
    uint64_t random = seed ? seed : 1;
    uint64_t executions = 0;
    double start = now();
    while (executions < limit && now() - start < seconds) {
        size_t size = make_input(bytes, &random);
        write_file(input_path, bytes, size);
        executions++;
        if (!run_verb(verbs[mutate_random_below(&random, VERB_COUNT)])) {
            keep_crash(bytes, size, seed, executions);
            ++*out_bad;
        }
    }
    return executions;
}

int main(int argc, char **argv)
{
    double seconds = 3;
    uint64_t limit = UINT64_MAX;
    uint64_t seed = 1;
    uint64_t bad = 0;
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
    if (argc - optind < 2 || !folder) {
        die("usage", "fuzz_cellpack -o FOLDER CELLPACK FILE_OR_FOLDER..");
    }
    cellpack = argv[optind++];
    for (; optind < argc; optind++) {
        read_path(argv[optind]);
    }
    snprintf(input_path, sizeof(input_path), "%s/sort.cell", folder);
    snprintf(output_path, sizeof(output_path), "%s/output", folder);
    uint64_t executions = search(seed, seconds, limit, &bad);
    printf("seed %llu: %llu executions, %zu inputs given, %llu bad ends\n",
           (unsigned long long)seed, (unsigned long long)executions, input_count,
           (unsigned long long)bad);
    unlink(input_path);
    unlink(output_path);
    return bad > 0;
}
