/* SPDX-License-Identifier: MIT */
#include "image.h"
#include "archive.h"
#include "evolution.h"
#include "process.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MULTIBOOT2_MAGIC        0xe85250d6u /* Multiboot2, Header layout */
#define MULTIBOOT2_ARCHITECTURE 0u          /* i386: 32-bit protected mode, x86_64 too */
#define MULTIBOOT2_SEARCH       32768u

/* KiB, of a size that every firmware knows: FAT12. A GRUB core has about 650. */
#define FAT_FORMAT  "1440"
#define FAT_SERIAL  "54484f52" /* "THOR" */
#define VOLUME_NAME "THEORIS"

#define COMMAND_LINE_LETTERS \
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _=.,:/+@%-\""

/* What both cores need; the rest is how a firmware reaches disks and the screen. */
#define COMMON_MODULES                                                                     \
    "iso9660", "part_msdos", "part_gpt", "search_fs_uuid", "normal", "configfile", "boot", \
        "multiboot2", "serial", "terminal", "echo"

static const char *const bios_modules[] = {COMMON_MODULES, "biosdisk", "vbe", NULL};
static const char *const uefi_modules[] = {COMMON_MODULES, "efi_gop", NULL};

struct core {
    const char *platform; /* folder of modules */
    const char *format;   /* of grub-mkimage */
    const char *package;
    const char *const *modules;
    const char *file; /* in the work folder */
};

static const struct core bios_core = {"i386-pc", "i386-pc-eltorito", "grub-pc-bin", bios_modules,
                                      "tree/boot/grub/bios.img"};
static const struct core uefi_core = {"x86_64-efi", "x86_64-efi", "grub-efi-amd64-bin",
                                      uefi_modules, "BOOTX64.EFI"};

#define STEP_COUNT 6u /* programs that run */

struct making {
    const struct image_request *request;
    struct problem *problem;
    const char *grub_folder;
    char *folder;       /* temporary */
    char volume_id[17]; /* YYYYMMDDhhmmsscc: ISO 9660 has no other identifier that GRUB reads */
    char epoch[24];     /* SOURCE_DATE_EPOCH=... is made of it */
    char date[17];      /* the same as YYYYMMDDhhmmsscc */
    char setting[48];
    const char *settings[3];
    size_t step;
    char *bundle_path; /* of the evolution; NULL: it has none */
};

/* Files that go in; empty where they are not wanted. */
struct input {
    struct bytes nano_core;
    struct bytes cells;
    struct bytes manifest;
    struct bytes bundle;
};

/* ---- what goes in ---- */

static uint32_t word_at(struct span file, size_t offset)
{
    uint32_t word;
    memcpy(&word, file.base + offset, sizeof(word));
    return word;
}

/* Multiboot2: the header lies in the first 32 KiB, 8-byte aligned, and its first four words sum to
 * 0. */
static bool has_multiboot2_header(struct span file)
{
    for (size_t at = 0; at + 16 <= file.size && at + 16 <= MULTIBOOT2_SEARCH; at += 8) {
        uint32_t sum = 0;
        for (size_t i = 0; i < 4; i++) {
            sum += word_at(file, at + 4 * i);
        }
        if (word_at(file, at) == MULTIBOOT2_MAGIC && sum == 0 &&
            word_at(file, at + 4) == MULTIBOOT2_ARCHITECTURE) {
            return true;
        }
    }
    return false;
}

static enum status check_nano_core(struct making *making, struct span file)
{
    if (has_multiboot2_header(file)) {
        return OK;
    }
    problem_set(making->problem, PROBLEM_IMAGE_KERNEL, "GRUB would not boot %s",
                making->request->nano_core);
    problem_because(making->problem, "no Multiboot2 header in its first %u bytes",
                    MULTIBOOT2_SEARCH);
    return making->problem->status;
}

static enum status check_cells(struct making *making, struct span file)
{
    struct archive archive;
    struct diag diag;
    const struct image_request *request = making->request;
    return !request->cells || request->unchecked || archive_open(file, &archive, &diag) == OK
               ? OK
               : problem_set_diag(making->problem, &diag, request->cells);
}

static enum status check_evolution(struct making *making, const struct input *input)
{
    const struct image_request *request = making->request;
    struct evolution evolution;
    struct diag diag = {0};
    if (!request->evolution || request->unchecked) {
        return OK;
    }
    if (evolution_open(bytes_span(&input->manifest), &evolution, &diag) != OK) {
        return problem_set_diag(making->problem, &diag, request->evolution);
    }
    struct blake2b_digest hash;
    blake2b_of(input->bundle.data, input->bundle.size, &hash);
    if (evolution.bundle[0] ? memcmp(&hash, &evolution.bundle_hash, sizeof(hash)) == 0
                            : input->bundle.size == 0) {
        return OK;
    }
    (void)!diag_set(&diag, DIAG_EVOLUTION_BUNDLE, &(struct diag_site){.cell = evolution.bundle});
    problem_set_diag(making->problem, &diag, making->bundle_path);
    problem_because(making->problem, "%s names %s", request->evolution,
                    evolution.bundle[0] ? "one of another hash" : "none");
    return making->problem->status;
}

static enum status check_command_line(struct making *making)
{
    const char *line = making->request->command_line;
    size_t good = line ? strspn(line, COMMAND_LINE_LETTERS) : 0;
    if (!line || !line[good]) {
        return OK;
    }
    problem_set(making->problem, PROBLEM_IMAGE_OPTION,
                "the command line holds a character that GRUB would change");
    problem_because(making->problem, "0x%02x at position %zu of: %s", (unsigned char)line[good],
                    good, line);
    problem_help(making->problem, "use letters, digits, spaces, double quotes and _=.,:/+@%%-");
    return making->problem->status;
}

static enum status check_platform(struct making *making, const struct core *core)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s/kernel.img", making->grub_folder, core->platform);
    if (access(path, R_OK) == 0) {
        return OK;
    }
    problem_set(making->problem, PROBLEM_IMAGE_PLATFORM, "GRUB's platform %s is not installed",
                core->platform);
    problem_because(making->problem, "there is no %s", path);
    problem_help(making->problem, "apt-get install %s", core->package);
    return making->problem->status;
}

/* FNV-1a, 64 bits: spreads well, and nobody forges volume ids. */
static uint64_t hash_of(uint64_t hash, struct span file)
{
    for (size_t i = 0; i < file.size; i++) {
        hash = (hash ^ file.base[i]) * 0x100000001b3ull;
    }
    return hash;
}

/* A valid date, for those who show it, made of 64 bits of hash. */
static void choose_volume_id(struct making *making, uint64_t hash)
{
    static const unsigned ranges[] = {100, 12, 28, 24, 60, 60, 100};
    unsigned parts[ARRAY_COUNT(ranges)];
    for (size_t i = 0; i < ARRAY_COUNT(ranges); i++) {
        parts[i] = (unsigned)(hash % ranges[i]);
        hash /= ranges[i];
    }
    snprintf(making->volume_id, sizeof(making->volume_id), "20%02u%02u%02u%02u%02u%02u%02u",
             parts[0] % 100, (parts[1] + 1) % 100, (parts[2] + 1) % 100, parts[3] % 100,
             parts[4] % 100, parts[5] % 100, parts[6] % 100);
}

static enum status choose_dates(struct making *making)
{
    const char *epoch = getenv("SOURCE_DATE_EPOCH");
    epoch = epoch && *epoch ? epoch : IMAGE_EPOCH;
    char *end = NULL;
    time_t seconds = (time_t)strtoll(epoch, &end, 10);
    struct tm parts;
    if (*end || strlen(epoch) >= sizeof(making->epoch) || !gmtime_r(&seconds, &parts) ||
        strftime(making->date, sizeof(making->date), "%Y%m%d%H%M%S00", &parts) != 16) {
        return problem_set(making->problem, PROBLEM_IMAGE_OPTION,
                           "SOURCE_DATE_EPOCH is not a date: %s", epoch);
    }
    strcpy(making->epoch, epoch);
    snprintf(making->setting, sizeof(making->setting), "SOURCE_DATE_EPOCH=%s", making->epoch);
    making->settings[0] = making->setting;
    making->settings[1] = "TZ=UTC";
    return OK;
}

/* ---- the work folder ---- */

static void path_of(const struct making *making, const char *file, char *path, size_t size)
{
    snprintf(path, size, "%s/%s", making->folder, file);
}

static enum status write_file(struct making *making, const char *file, const struct bytes *content)
{
    char path[4096];
    path_of(making, file, path, sizeof(path));
    return bytes_write_file(content, path, making->problem);
}

static enum status make_folders(struct making *making)
{
    static const char *const folders[] = {"tree", "tree/boot", "tree/boot/grub"};
    for (size_t i = 0; i < ARRAY_COUNT(folders); i++) {
        char path[4096];
        path_of(making, folders[i], path, sizeof(path));
        if (mkdir(path, 0755) != 0) {
            return problem_set_errno(making->problem, PROBLEM_FILE_WRITE, path);
        }
    }
    return OK;
}

/* GRUB has no `and`: one `if` in the other, and `boot` in the last one. */
static void append_modules(const struct making *making, struct bytes *menu)
{
    const struct image_request *request = making->request;
    const char *const names[] = {request->cells ? "cells.a" : NULL,
                                 request->evolution ? "evolution" : NULL,
                                 making->bundle_path ? "evolution.a" : NULL};
    size_t depth = 0;
    bytes_append_text(menu, "   ");
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        if (names[i]) {
            bytes_append_text(menu, " if module2 /boot/%s %s; then", names[i], names[i]);
            depth++;
        }
    }
    bytes_append_text(menu, " boot");
    while (depth--) {
        bytes_append_text(menu, "; fi");
    }
    bytes_append_text(menu, "\n");
}

/* The screen and, where loading fails, the serial port too: there a test looks for the reason. */
static enum status write_configurations(struct making *making)
{
    const char *line = making->request->command_line;
    const char *id = making->volume_id;
    struct bytes menu = {0};
    struct bytes early = {0};
    bytes_append_text(&menu,
                      "set timeout=0\n"
                      "menuentry 'Theoris' {\n"
                      "  if multiboot2 /boot/nano_core%s%s; then\n",
                      line && *line ? " " : "", line ? line : "");
    append_modules(making, &menu);
    bytes_append_text(&menu, "  fi\n"
                             "  serial --unit=0 --speed=115200\n"
                             "  terminal_output console serial\n"
                             "  echo 'GRUB could not load Theoris.'\n"
                             "}\n");
    bytes_append_text(&early,
                      "search.fs_uuid %.4s-%.2s-%.2s-%.2s-%.2s-%.2s-%.2s root\n"
                      "set prefix=($root)/boot/grub\n"
                      "configfile /boot/grub/grub.cfg\n",
                      id, id + 4, id + 6, id + 8, id + 10, id + 12, id + 14);
    enum status status = write_file(making, "tree/boot/grub/grub.cfg", &menu);
    status = status == OK ? write_file(making, "early.cfg", &early) : status;
    bytes_fini(&menu);
    bytes_fini(&early);
    return status;
}

static enum status read_if(struct bytes *bytes, const char *path, struct making *making)
{
    return path ? bytes_read_file(bytes, path, making->problem) : OK;
}

/* Only one that removes cells has no bundle; what is missing otherwise the check tells. */
static enum status read_bundle(struct making *making, struct input *input)
{
    if (!making->bundle_path || access(making->bundle_path, R_OK) != 0) {
        return OK;
    }
    return bytes_read_file(&input->bundle, making->bundle_path, making->problem);
}

static enum status check_input(struct making *making, const struct input *input)
{
    enum status status = check_nano_core(making, bytes_span(&input->nano_core));
    status = status == OK ? check_cells(making, bytes_span(&input->cells)) : status;
    return status == OK ? check_evolution(making, input) : status;
}

static enum status write_input(struct making *making, const struct input *input)
{
    const struct image_request *request = making->request;
    enum status status = write_file(making, "tree/boot/nano_core", &input->nano_core);
    if (status == OK && request->cells) {
        status = write_file(making, "tree/boot/cells.a", &input->cells);
    }
    if (status == OK && request->evolution) {
        status = write_file(making, "tree/boot/evolution", &input->manifest);
    }
    if (status == OK && making->bundle_path) {
        status = write_file(making, "tree/boot/evolution.a", &input->bundle);
    }
    return status;
}

static uint64_t hash_input(const struct making *making, const struct input *input)
{
    const char *line = making->request->command_line;
    uint64_t hash = hash_of(0xcbf29ce484222325ull, bytes_span(&input->nano_core));
    hash = hash_of(hash, bytes_span(&input->cells));
    hash = hash_of(hash, span_of(line, line ? strlen(line) : 0));
    hash = hash_of(hash, bytes_span(&input->manifest));
    return hash_of(hash, bytes_span(&input->bundle));
}

static enum status copy_input(struct making *making)
{
    const struct image_request *request = making->request;
    struct input input = {0};
    if (request->evolution && asprintf(&making->bundle_path, "%s.a", request->evolution) < 0) {
        making->bundle_path = NULL;
        return problem_set(making->problem, PROBLEM_MEMORY, "out of memory");
    }
    enum status status = read_if(&input.nano_core, request->nano_core, making);
    status = status == OK ? read_if(&input.cells, request->cells, making) : status;
    status = status == OK ? read_if(&input.manifest, request->evolution, making) : status;
    status = status == OK ? read_bundle(making, &input) : status;
    status = status == OK ? check_input(making, &input) : status;
    if (making->bundle_path && access(making->bundle_path, R_OK) != 0) {
        free(making->bundle_path);
        making->bundle_path = NULL;
    }
    status = status == OK ? write_input(making, &input) : status;
    if (status == OK) {
        choose_volume_id(making, hash_input(making, &input));
    }
    bytes_fini(&input.nano_core);
    bytes_fini(&input.cells);
    bytes_fini(&input.manifest);
    bytes_fini(&input.bundle);
    return status;
}

/* ---- the programs ---- */

static enum status run(struct making *making, struct words_list *arguments, const char *package,
                       const char *what)
{
    progress_step(making->request->progress, ++making->step, STEP_COUNT, what);
    struct process process = {
        .arguments = words_of(arguments),
        .package = package,
        .settings = making->settings,
        .what = what,
    };
    enum status status = arguments->failed
                             ? problem_set(making->problem, PROBLEM_MEMORY, "out of memory")
                             : process_run(&process, NULL, NULL, making->problem);
    words_fini(arguments);
    return status;
}

static void add_all(struct words_list *list, const char *const *words)
{
    for (; *words; words++) {
        words_add(list, "%s", *words);
    }
}

static enum status make_core(struct making *making, const struct core *core)
{
    struct words_list arguments = {0};
    add_all(&arguments,
            (const char *const[]){"grub-mkimage", "-O", core->format, "-p", "/boot/grub", NULL});
    words_add(&arguments, "-d");
    words_add(&arguments, "%s/%s", making->grub_folder, core->platform);
    words_add(&arguments, "-c");
    words_add(&arguments, "%s/early.cfg", making->folder);
    words_add(&arguments, "-o");
    words_add(&arguments, "%s/%s", making->folder, core->file);
    add_all(&arguments, core->modules);
    return run(making, &arguments, "grub-common", "make a GRUB core");
}

/* UEFI starts \EFI\BOOT\BOOTX64.EFI of a FAT file system. */
static enum status make_fat(struct making *making)
{
    struct words_list format = {0};
    add_all(&format, (const char *const[]){"mformat", "-C", "-f", FAT_FORMAT, "-N", FAT_SERIAL,
                                           "-v", VOLUME_NAME, "-i", NULL});
    words_add(&format, "%s/tree/boot/grub/efi.img", making->folder);
    words_add(&format, "::");
    struct words_list folders = {0};
    add_all(&folders, (const char *const[]){"mmd", "-i", NULL});
    words_add(&folders, "%s/tree/boot/grub/efi.img", making->folder);
    add_all(&folders, (const char *const[]){"::/EFI", "::/EFI/BOOT", NULL});
    struct words_list copy = {0};
    add_all(&copy, (const char *const[]){"mcopy", "-i", NULL});
    words_add(&copy, "%s/tree/boot/grub/efi.img", making->folder);
    words_add(&copy, "%s/BOOTX64.EFI", making->folder);
    words_add(&copy, "::/EFI/BOOT/BOOTX64.EFI");
    enum status status = run(making, &format, "mtools", "make the UEFI file system");
    status = status == OK ? run(making, &folders, "mtools", "make the UEFI folders") : status;
    status = status == OK ? run(making, &copy, "mtools", "copy the UEFI core") : status;
    words_fini(&folders);
    words_fini(&copy);
    return status;
}

static enum status make_iso(struct making *making)
{
    struct words_list arguments = {0};
    add_all(&arguments, (const char *const[]){"xorriso", "-no_rc", "-as", "mkisofs", "-quiet", "-r",
                                              "-V", VOLUME_NAME, NULL});
    words_add(&arguments, "--modification-date=%s", making->volume_id);
    words_add(&arguments, "--set_all_file_dates");
    words_add(&arguments, "%s", making->date);
    add_all(&arguments, (const char *const[]){"-b", "boot/grub/bios.img", "-no-emul-boot",
                                              "-boot-load-size", "4", "-boot-info-table",
                                              "--grub2-boot-info", "--grub2-mbr", NULL});
    words_add(&arguments, "%s/i386-pc/boot_hybrid.img", making->grub_folder);
    add_all(&arguments,
            (const char *const[]){"--efi-boot", "boot/grub/efi.img", "-efi-boot-part",
                                  "--efi-boot-image", "--protective-msdos-label", "-o", NULL});
    words_add(&arguments, "%s/image.iso", making->folder);
    words_add(&arguments, "%s/tree", making->folder);
    return run(making, &arguments, "xorriso", "make the ISO image");
}

static enum status deliver(struct making *making, struct image_result *result)
{
    char path[4096];
    path_of(making, "image.iso", path, sizeof(path));
    struct bytes image = {0};
    enum status status = bytes_read_file(&image, path, making->problem);
    status =
        status == OK ? bytes_write_file(&image, making->request->output, making->problem) : status;
    result->size = image.size;
    bytes_fini(&image);
    return status;
}

static enum status make(struct making *making, struct image_result *result)
{
    enum status status = check_command_line(making);
    status = status == OK ? choose_dates(making) : status;
    status = status == OK ? check_platform(making, &bios_core) : status;
    status = status == OK ? check_platform(making, &uefi_core) : status;
    status = status == OK ? make_folders(making) : status;
    status = status == OK ? copy_input(making) : status;
    status = status == OK ? write_configurations(making) : status;
    status = status == OK ? make_core(making, &bios_core) : status;
    status = status == OK ? make_core(making, &uefi_core) : status;
    status = status == OK ? make_fat(making) : status;
    status = status == OK ? make_iso(making) : status;
    return status == OK ? deliver(making, result) : status;
}

enum status image_make(const struct image_request *request, struct image_result *out_result,
                       struct problem *problem)
{
    struct making making = {
        .request = request,
        .problem = problem,
        .grub_folder = request->grub_folder ? request->grub_folder : IMAGE_GRUB_FOLDER,
    };
    struct image_result result = {0};
    making.folder = temporary_folder_create(problem);
    enum status status = making.folder ? make(&making, &result) : problem->status;
    temporary_folder_destroy(making.folder);
    free(making.bundle_path);
    if (status == OK) {
        *out_result = result;
    }
    return status;
}
