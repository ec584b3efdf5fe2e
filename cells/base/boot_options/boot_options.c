/* SPDX-License-Identifier: MIT */
#include "boot_options.h"
#include "boot_info.h"
#include "freestanding.h"
#include "fw_cfg.h"
#include "logger.h"

CELL(library, "1.0.0");

/* A longer value could not be stored anyway. */
#define FILE_SIZE_MAX 1024

#define FOLDER_LENGTH (sizeof(BOOT_OPTIONS_FOLDER) - 1)

/* State spill: read once, at the first question. */
static struct boot_options given;
static bool were_read;

static size_t room_for_text(const struct boot_options *options)
{
    return sizeof(options->text) - options->text_length;
}

/* Where a new option with this key goes: over its older value, or behind the last; NULL when full.
 */
static const char **find_place(struct boot_options *options, const char *key)
{
    for (size_t i = 0; i < options->count; i++) {
        if (strcmp(options->keys[i], key) == 0) {
            return &options->values[i];
        }
    }
    return options->count < BOOT_OPTIONS_MAX ? &options->values[options->count] : NULL;
}

/* Makes key and value, which end the used text, an option. */
static bool take(struct boot_options *options, const char *key, const char *value)
{
    const char **place = find_place(options, key);
    if (!place) {
        options->left_out++;
        return false;
    }
    if (place == &options->values[options->count]) {
        options->keys[options->count++] = key;
    }
    *place = value;
    return true;
}

bool boot_options_add(struct boot_options *options, const char *key, const char *value,
                      size_t length)
{
    const char *end = memchr(value, '\0', length);
    size_t value_length = end ? (size_t)(end - value) : length;
    size_t key_length = strlen(key);
    size_t room = room_for_text(options);
    if (key_length + 2 > room || value_length > room - key_length - 2) {
        options->left_out++;
        return false;
    }
    char *own_key = options->text + options->text_length;
    char *own_value = own_key + key_length + 1;
    memcpy(own_key, key, key_length + 1);
    memcpy(own_value, value, value_length);
    own_value[value_length] = '\0';
    if (!take(options, own_key, own_value)) {
        return false;
    }
    options->text_length += key_length + value_length + 2;
    return true;
}

/* One step through a word: the byte that belongs to it, or -1 at its end. Moves *at on. */
static int next_byte(const char **at, char *quote)
{
    for (;; ++*at) {
        char byte = **at;
        if (!byte || (byte == ' ' && !*quote)) {
            return -1;
        }
        bool is_mark = byte == '"' || byte == '\'';
        if (is_mark && (!*quote || *quote == byte)) {
            *quote = *quote ? '\0' : byte;
            continue;
        }
        if (byte == '\\' && (*at)[1]) {
            ++*at;
        }
        byte = **at;
        ++*at;
        return (uint8_t)byte;
    }
}

/* Reads one word into the free text, split at its first '='; returns what follows it. */
static const char *add_word(struct boot_options *options, const char *at)
{
    char *key = options->text + options->text_length;
    size_t room = room_for_text(options);
    size_t length = 0;
    size_t value = 0; /* where it starts; 0 before the '=' */
    char quote = '\0';
    int byte;
    while ((byte = next_byte(&at, &quote)) >= 0) {
        bool is_split = byte == '=' && !value;
        if (length < room) {
            key[length] = is_split ? '\0' : (char)byte;
        }
        length++;
        value = is_split ? length : value;
    }
    if (length + 2 > room) {
        options->left_out++;
        return at;
    }
    key[length] = '\0';
    key[length + 1] = '\0'; /* the value of a word without '=' */
    if (key[0] && take(options, key, key + (value ? value : length + 1))) {
        options->text_length += length + 2;
    }
    return at;
}

void boot_options_add_line(struct boot_options *options, const char *line)
{
    for (;;) {
        while (*line == ' ') {
            line++;
        }
        if (!*line) {
            return;
        }
        line = add_word(options, line);
    }
}

const char *boot_options_value(const struct boot_options *options, const char *key)
{
    for (size_t i = 0; i < options->count; i++) {
        if (strcmp(options->keys[i], key) == 0) {
            return options->values[i];
        }
    }
    return NULL;
}

/* The files of our folder; read later, because the device has only one read position. */
struct found_files {
    size_t count;
    struct fw_cfg_file files[BOOT_OPTIONS_MAX];
};

static bool note_file(const struct fw_cfg_file *file, void *context)
{
    struct found_files *found = context;
    if (strncmp(file->name, BOOT_OPTIONS_FOLDER, FOLDER_LENGTH) == 0) {
        found->files[found->count++] = *file;
    }
    return found->count < BOOT_OPTIONS_MAX;
}

static void add_file(struct boot_options *options, const struct fw_cfg_file *file)
{
    char value[FILE_SIZE_MAX];
    if (file->size > sizeof(value) || fw_cfg_read(file, value, file->size)) {
        options->left_out++;
        return;
    }
    boot_options_add(options, file->name + FOLDER_LENGTH, value, file->size);
}

static void read_sources(struct boot_options *options)
{
    boot_options_add_line(options, boot_info_get()->command_line);
    static struct found_files found; /* 2 KiB: too much for a stack */
    enum status status = fw_cfg_list(note_file, &found);
    if (status && status != ERR_NO_DEVICE) {
        log_warning("fw_cfg cannot be read (status %d)", status);
    }
    for (size_t i = 0; i < found.count; i++) {
        add_file(options, &found.files[i]);
    }
    if (options->left_out) {
        log_warning("%zu options left out: more than %d, or longer than %d bytes together",
                    options->left_out, BOOT_OPTIONS_MAX, BOOT_OPTIONS_TEXT_SIZE);
    }
}

const char *boot_options_find(const char *key)
{
    if (!were_read) {
        were_read = true;
        read_sources(&given);
    }
    return boot_options_value(&given, key);
}
