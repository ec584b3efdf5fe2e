/* SPDX-License-Identifier: MIT */
/*
 * Both outputs are read with poll() until the program has closed them: reading one after the other
 * would hang as soon as it fills the pipe of the other.
 */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define OPEN_FOLDERS_MAX 8

extern char **environ;

void words_add(struct words_list *list, const char *format, ...)
{
    char *word = NULL;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&word, format, arguments);
    va_end(arguments);
    char **words = realloc(list->words, (list->count + 2) * sizeof(*words));
    if (length < 0 || !words) {
        free(length < 0 ? NULL : word);
        list->words = words ? words : list->words;
        list->failed = true;
        return;
    }
    list->words = words;
    words[list->count++] = word;
    words[list->count] = NULL;
}

void words_fini(struct words_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->words[i]);
    }
    free(list->words);
    *list = (struct words_list){0};
}

/* Our environment with `settings` in front: the first of two equal names counts. */
static char **make_environment(const char *const *settings)
{
    size_t own = 0;
    size_t extra = 0;
    while (environ[own]) {
        own++;
    }
    while (settings && settings[extra]) {
        extra++;
    }
    char **all = malloc((own + extra + 1) * sizeof(*all));
    if (all) {
        for (size_t i = 0; i < extra; i++) {
            all[i] = (char *)settings[i];
        }
        memcpy(all + extra, environ, (own + 1) * sizeof(*all));
    }
    return all;
}

struct pipes {
    int output[2];
    int errors[2];
};

static void close_end(int *end)
{
    if (*end >= 0) {
        close(*end);
        *end = -1;
    }
}

static void close_pipes(struct pipes *pipes)
{
    for (size_t i = 0; i < 2; i++) {
        close_end(&pipes->output[i]);
        close_end(&pipes->errors[i]);
    }
}

/* Reads what is there; false once the writer has closed its end. */
static bool drain(int end, struct bytes *to)
{
    uint8_t part[4096];
    ssize_t got = read(end, part, sizeof(part));
    if (got > 0) {
        bytes_append(to, part, (size_t)got);
    }
    return got > 0 || (got < 0 && errno == EINTR);
}

static void collect(struct pipes *pipes, struct bytes *output, struct bytes *errors)
{
    while (pipes->output[0] >= 0 || pipes->errors[0] >= 0) {
        struct pollfd ends[2] = {{.fd = pipes->output[0], .events = POLLIN},
                                 {.fd = pipes->errors[0], .events = POLLIN}};
        if (poll(ends, 2, -1) < 0 && errno != EINTR) {
            return;
        }
        if (ends[0].revents && !drain(pipes->output[0], output)) {
            close_end(&pipes->output[0]);
        }
        if (ends[1].revents && !drain(pipes->errors[0], errors)) {
            close_end(&pipes->errors[0]);
        }
    }
}

static int spawn(const struct process *process, const struct pipes *pipes, char **environment,
                 pid_t *out_child)
{
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, pipes->output[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, pipes->errors[1], STDERR_FILENO);
    int error = posix_spawnp(out_child, process->arguments[0], &actions, NULL,
                             (char *const *)process->arguments, environment);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

static enum status missing_tool(const struct process *process, int error, struct problem *problem)
{
    problem_set(problem, PROBLEM_TOOL_MISSING, "cannot run %s", process->arguments[0]);
    problem_because(problem, "it is needed to %s", process->what);
    problem_because(problem, "%s", strerror(error));
    if (process->package) {
        problem_help(problem, "apt-get install %s", process->package);
    }
    return problem->status;
}

static enum status judge(const struct process *process, int result, struct bytes *errors,
                         struct problem *problem)
{
    if (WIFEXITED(result) && WEXITSTATUS(result) == 0) {
        return OK;
    }
    problem_set(problem, PROBLEM_TOOL_FAILED, "cannot %s", process->what);
    if (WIFSIGNALED(result)) {
        problem_because(problem, "%s was ended by signal %d (%s)", process->arguments[0],
                        WTERMSIG(result), strsignal(WTERMSIG(result)));
    } else {
        problem_because(problem, "%s ended with exit status %d", process->arguments[0],
                        WEXITSTATUS(result));
    }
    bytes_append(errors, "", 1);
    if (!errors->failed && !problem->transcript) {
        problem->transcript = strdup((const char *)errors->data);
    }
    return problem->status;
}

static enum status run_with_pipes(const struct process *process, struct pipes *pipes,
                                  struct bytes *output, struct bytes *remarks,
                                  struct problem *problem)
{
    char **environment = make_environment(process->settings);
    if (!environment) {
        return problem_set(problem, PROBLEM_MEMORY, "out of memory");
    }
    pid_t child = 0;
    int error = spawn(process, pipes, environment, &child);
    free(environment);
    close_end(&pipes->output[1]);
    close_end(&pipes->errors[1]);
    if (error) {
        return missing_tool(process, error, problem);
    }
    struct bytes ignored = {0};
    struct bytes errors = {0};
    collect(pipes, output ? output : &ignored, &errors);
    int result = 0;
    while (waitpid(child, &result, 0) < 0 && errno == EINTR) {
    }
    if (remarks) {
        bytes_append(remarks, errors.data, errors.size);
    }
    enum status status = judge(process, result, &errors, problem);
    bytes_fini(&errors);
    bytes_fini(&ignored);
    return status;
}

enum status process_run(const struct process *process, struct bytes *output, struct bytes *remarks,
                        struct problem *problem)
{
    struct pipes pipes = {{-1, -1}, {-1, -1}};
    if (pipe2(pipes.output, O_CLOEXEC) != 0 || pipe2(pipes.errors, O_CLOEXEC) != 0) {
        close_pipes(&pipes);
        return problem_set_errno(problem, PROBLEM_FILE_READ, "a pipe");
    }
    enum status status = run_with_pipes(process, &pipes, output, remarks, problem);
    close_pipes(&pipes);
    return status;
}

char *temporary_folder_create(struct problem *problem)
{
    const char *parent = getenv("TMPDIR");
    char *folder = NULL;
    if (asprintf(&folder, "%s/cellpack.XXXXXX", parent && *parent ? parent : "/tmp") < 0) {
        problem_set(problem, PROBLEM_MEMORY, "out of memory");
        return NULL;
    }
    if (!mkdtemp(folder)) {
        problem_set_errno(problem, PROBLEM_FILE_WRITE, folder);
        free(folder);
        return NULL;
    }
    return folder;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status;
    (void)type;
    (void)place;
    return remove(path);
}

void temporary_folder_destroy(char *folder)
{
    if (folder) {
        nftw(folder, remove_one, OPEN_FOLDERS_MAX, FTW_DEPTH | FTW_PHYS);
        free(folder);
    }
}
