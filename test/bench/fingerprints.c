/* SPDX-License-Identifier: MIT */
/*
 * How long cellpack needs to make the fingerprints of all cells: the debug information of each is
 * read, and the section written, as `cellpack compile` does. Arguments: the side files of the
 * cells.
 */
#include "abi/abi_build.h"

#include <stdio.h>
#include <time.h>

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static bool measure(const char *path, double *seconds, size_t *bytes)
{
    struct bytes file = {0};
    struct bytes note = {0};
    struct problem problem = {0};
    struct elf_object object;
    bool good = bytes_read_file(&file, path, &problem) == OK &&
                elf_object_open(bytes_span(&file), &object, NULL) == OK;
    double start = now();
    good = good && abi_build(&object, NULL, &note, &problem) == OK;
    *seconds += now() - start;
    *bytes += note.size;
    bytes_fini(&file);
    bytes_fini(&note);
    if (!good) {
        fprintf(stderr, "%s: %s\n", path, problem.what);
    }
    return good;
}

int main(int count, char **paths)
{
    double seconds = 0;
    size_t bytes = 0;
    for (int i = 1; i < count; i++) {
        if (!measure(paths[i], &seconds, &bytes)) {
            return 1;
        }
    }
    printf("fingerprints_cells %d\nfingerprints_bytes %zu\nfingerprints_seconds %.3f\n", count - 1,
           bytes, seconds);
    return 0;
}
