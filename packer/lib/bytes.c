/* SPDX-License-Identifier: MIT */
#include "bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MODE 0644
#define PART_SIZE 65536u

/* Room for `more` bytes at the end, or NULL; the size is not changed. */
static uint8_t *reserve(struct bytes *bytes, size_t more)
{
    if (bytes->failed || more > SIZE_MAX / 2 - bytes->size) {
        bytes->failed = true;
        return NULL;
    }
    size_t needed = bytes->size + more;
    if (needed > bytes->capacity || !bytes->data) {
        size_t capacity = needed < 256 ? 256 : needed + needed / 2;
        uint8_t *data = realloc(bytes->data, capacity);
        if (!data) {
            bytes->failed = true;
            return NULL;
        }
        bytes->data = data;
        bytes->capacity = capacity;
    }
    return bytes->data + bytes->size;
}

void bytes_append(struct bytes *bytes, const void *data, size_t size)
{
    uint8_t *to = reserve(bytes, size);
    if (to && size) {
        memcpy(to, data, size);
        bytes->size += size;
    }
}

void bytes_append_fill(struct bytes *bytes, uint8_t value, size_t count)
{
    uint8_t *to = reserve(bytes, count);
    if (to && count) {
        memset(to, value, count);
        bytes->size += count;
    }
}

void bytes_append_text(struct bytes *bytes, const char *format, ...)
{
    char *text = NULL;
    va_list list;
    va_start(list, format);
    int length = vasprintf(&text, format, list);
    va_end(list);
    if (length < 0) {
        bytes->failed = true;
        return;
    }
    bytes_append(bytes, text, (size_t)length);
    free(text);
}

void bytes_append_string(struct bytes *bytes, const char *text)
{
    bytes_append(bytes, text, strlen(text) + 1);
}

void bytes_align(struct bytes *bytes, size_t alignment)
{
    if (alignment > 1) {
        bytes_append_fill(bytes, 0, -bytes->size & (alignment - 1));
    }
}

void bytes_fini(struct bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct bytes){0};
}

enum status bytes_check(const struct bytes *bytes, struct problem *problem)
{
    return bytes->failed ? problem_set(problem, PROBLEM_MEMORY, "out of memory") : OK;
}

static bool read_all(struct bytes *bytes, int file)
{
    for (;;) {
        uint8_t *to = reserve(bytes, PART_SIZE);
        if (!to) {
            errno = ENOMEM;
            return false;
        }
        ssize_t got = read(file, to, PART_SIZE);
        if (got == 0) {
            return true;
        }
        if (got < 0 && errno != EINTR) {
            return false;
        }
        bytes->size += got > 0 ? (size_t)got : 0;
    }
}

enum status bytes_read_file(struct bytes *bytes, const char *path, struct problem *problem)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return problem_set_errno(problem, PROBLEM_FILE_READ, path);
    }
    bool good = read_all(bytes, file);
    enum status status = good ? OK : problem_set_errno(problem, PROBLEM_FILE_READ, path);
    close(file);
    return status;
}

static bool write_all(int file, const uint8_t *data, size_t size)
{
    while (size > 0) {
        ssize_t put = write(file, data, size);
        if (put < 0 && errno != EINTR) {
            return false;
        }
        data += put > 0 ? put : 0;
        size -= put > 0 ? (size_t)put : 0;
    }
    return true;
}

enum status bytes_write_file(const struct bytes *bytes, const char *path, struct problem *problem)
{
    if (bytes_check(bytes, problem) != OK) {
        return problem->status;
    }
    char *part = NULL;
    if (asprintf(&part, "%s.part%ld", path, (long)getpid()) < 0) {
        return problem_set(problem, PROBLEM_MEMORY, "out of memory");
    }
    enum status status = OK;
    int file = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, FILE_MODE);
    bool good = file >= 0 && write_all(file, bytes->data, bytes->size);
    good = (file < 0 || close(file) == 0) && good;
    if (!good || rename(part, path) != 0) {
        status = problem_set_errno(problem, PROBLEM_FILE_WRITE, path);
        unlink(part);
    }
    free(part);
    return status;
}
