/* SPDX-License-Identifier: MIT */
/*
 * A format is literal text and conversions in turn. Each conversion is first read into a `struct
 * conversion` (pure data), then its argument is fetched and rendered. A number is made of four
 * parts, any of which may be empty: spaces, sign or radix prefix, zeros, digits, spaces; all of ISO
 * C's rules about flags come down to how many bytes each part has.
 */
#include "format.h"
#include "freestanding.h"

CELL(library, "1.0.0");

/* The longest number: 64 bits in octal. */
#define DIGITS_MAX 22

enum flag { FLAG_LEFT = 1, FLAG_ZERO = 2, FLAG_PLUS = 4, FLAG_SPACE = 8, FLAG_PREFIX = 16 };

enum length { LENGTH_CHAR, LENGTH_SHORT, LENGTH_INT, LENGTH_LONG };

struct conversion {
    unsigned flags;
    size_t width;
    size_t precision;
    bool has_precision;
    enum length length;
    char kind; /* the conversion's letter */
};

/* The caller's va_list; in a structure so that helpers share one (a va_list parameter is a copy).
 */
struct arguments {
    va_list list;
};

void format_append_bytes(struct format_buffer *text, const char *bytes, size_t length)
{
    if (!format_was_cut(text)) {
        size_t room = text->size - 1 - text->length;
        size_t fitting = length < room ? length : room;
        memcpy(text->data + text->length, bytes, fitting);
        text->data[text->length + fitting] = '\0';
    }
    text->length += length;
}

static void append_repeated(struct format_buffer *text, char byte, size_t count)
{
    if (count && !format_was_cut(text)) {
        size_t room = text->size - 1 - text->length;
        size_t fitting = count < room ? count : room;
        memset(text->data + text->length, byte, fitting);
        text->data[text->length + fitting] = '\0';
    }
    text->length += count;
}

static const char *read_flags(const char *at, struct conversion *out)
{
    for (;; at++) {
        switch (*at) {
        case '-':
            out->flags |= FLAG_LEFT;
            break;
        case '0':
            out->flags |= FLAG_ZERO;
            break;
        case '+':
            out->flags |= FLAG_PLUS;
            break;
        case ' ':
            out->flags |= FLAG_SPACE;
            break;
        case '#':
            out->flags |= FLAG_PREFIX;
            break;
        default:
            return at;
        }
    }
}

static const char *read_number(const char *at, size_t *out)
{
    size_t number = 0;
    for (; *at >= '0' && *at <= '9'; at++) {
        number = number * 10 + (size_t)(*at - '0');
        if (number > FORMAT_WIDTH_MAX) {
            number = FORMAT_WIDTH_MAX;
        }
    }
    *out = number;
    return at;
}

static const char *read_width(const char *at, struct conversion *out, struct arguments *arguments)
{
    if (*at != '*') {
        return read_number(at, &out->width);
    }
    int64_t width = va_arg(arguments->list, int);
    if (width < 0) {
        out->flags |= FLAG_LEFT;
        width = -width;
    }
    out->width = width < FORMAT_WIDTH_MAX ? (size_t)width : FORMAT_WIDTH_MAX;
    return at + 1;
}

static const char *read_precision(const char *at, struct conversion *out,
                                  struct arguments *arguments)
{
    if (*at != '.') {
        return at;
    }
    at++;
    out->has_precision = true;
    if (*at != '*') {
        return read_number(at, &out->precision);
    }
    int precision = va_arg(arguments->list, int);
    out->has_precision = precision >= 0;
    if (precision > 0) {
        out->precision = precision < FORMAT_WIDTH_MAX ? (size_t)precision : FORMAT_WIDTH_MAX;
    }
    return at + 1;
}

static const char *read_length(const char *at, struct conversion *out)
{
    switch (*at) {
    case 'h':
        out->length = at[1] == 'h' ? LENGTH_CHAR : LENGTH_SHORT;
        return at + (at[1] == 'h' ? 2 : 1);
    case 'l':
        out->length = LENGTH_LONG;
        return at + (at[1] == 'l' ? 2 : 1);
    case 'z':
    case 'j':
    case 't':
        out->length = LENGTH_LONG;
        return at + 1;
    default:
        out->length = LENGTH_INT;
        return at;
    }
}

/* Reads a conversion from behind its '%'; returns where the format goes on. */
static const char *read_conversion(const char *at, struct conversion *out,
                                   struct arguments *arguments)
{
    *out = (struct conversion){0};
    at = read_flags(at, out);
    at = read_width(at, out, arguments);
    at = read_precision(at, out, arguments);
    at = read_length(at, out);
    out->kind = *at;
    return *at ? at + 1 : at;
}

static int64_t fetch_signed(struct arguments *arguments, enum length length)
{
    switch (length) {
    case LENGTH_CHAR:
        return (signed char)va_arg(arguments->list, int);
    case LENGTH_SHORT:
        return (short)va_arg(arguments->list, int);
    case LENGTH_INT:
        return va_arg(arguments->list, int);
    case LENGTH_LONG:
        break;
    }
    return va_arg(arguments->list, long);
}

static uint64_t fetch_unsigned(struct arguments *arguments, enum length length)
{
    switch (length) {
    case LENGTH_CHAR:
        return (unsigned char)va_arg(arguments->list, int);
    case LENGTH_SHORT:
        return (unsigned short)va_arg(arguments->list, int);
    case LENGTH_INT:
        return va_arg(arguments->list, unsigned);
    case LENGTH_LONG:
        break;
    }
    return va_arg(arguments->list, unsigned long);
}

/* Writes the digits so that they end at `end`; none for 0. */
static char *write_digits(char *end, uint64_t value, char kind)
{
    const char *letters = kind == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
    switch (kind) {
    case 'x':
    case 'X':
        for (; value; value >>= 4) {
            *--end = letters[value & 15];
        }
        break;
    case 'o':
        for (; value; value >>= 3) {
            *--end = (char)('0' + (value & 7));
        }
        break;
    default:
        for (; value; value /= 10) {
            *--end = (char)('0' + value % 10);
        }
    }
    return end;
}

static void render_number(struct format_buffer *text, const struct conversion *how, uint64_t value,
                          const char *prefix)
{
    char buffer[DIGITS_MAX];
    char *end = buffer + sizeof(buffer);
    char *digits = write_digits(end, value, how->kind);
    size_t digit_count = (size_t)(end - digits);
    size_t prefix_length = strlen(prefix);

    size_t least = how->has_precision ? how->precision : 1;
    if (how->kind == 'o' && how->flags & FLAG_PREFIX && least <= digit_count) {
        least = digit_count + 1; /* `#` raises the precision until the first digit is 0 */
    }
    if (how->flags & FLAG_ZERO && !(how->flags & FLAG_LEFT) && !how->has_precision &&
        how->width > prefix_length + least) {
        least = how->width - prefix_length;
    }
    size_t zeros = least > digit_count ? least - digit_count : 0;
    size_t length = prefix_length + zeros + digit_count;
    size_t spaces = how->width > length ? how->width - length : 0;

    append_repeated(text, ' ', how->flags & FLAG_LEFT ? 0 : spaces);
    format_append_bytes(text, prefix, prefix_length);
    append_repeated(text, '0', zeros);
    format_append_bytes(text, digits, digit_count);
    append_repeated(text, ' ', how->flags & FLAG_LEFT ? spaces : 0);
}

static void render_signed(struct format_buffer *text, const struct conversion *how, int64_t value)
{
    const char *sign = how->flags & FLAG_PLUS ? "+" : how->flags & FLAG_SPACE ? " " : "";
    uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    render_number(text, how, magnitude, value < 0 ? "-" : sign);
}

static void render_unsigned(struct format_buffer *text, const struct conversion *how,
                            uint64_t value)
{
    const char *prefix = "";
    if (how->flags & FLAG_PREFIX && value && how->kind != 'u' && how->kind != 'o') {
        prefix = how->kind == 'X' ? "0X" : "0x";
    }
    render_number(text, how, value, prefix);
}

static void render_pointer(struct format_buffer *text, const struct conversion *how,
                           const void *pointer)
{
    struct conversion number = *how;
    number.kind = 'x';
    render_number(text, &number, (uintptr_t)pointer, "0x");
}

static void render_bytes(struct format_buffer *text, const struct conversion *how,
                         const char *bytes, size_t length)
{
    size_t spaces = how->width > length ? how->width - length : 0;
    append_repeated(text, ' ', how->flags & FLAG_LEFT ? 0 : spaces);
    format_append_bytes(text, bytes, length);
    append_repeated(text, ' ', how->flags & FLAG_LEFT ? spaces : 0);
}

static void render_string(struct format_buffer *text, const struct conversion *how,
                          const char *string)
{
    string = string ? string : "(null)";
    size_t length = 0;
    if (how->has_precision) {
        while (length < how->precision && string[length]) {
            length++; /* a string with a precision need not be terminated */
        }
    } else {
        length = strlen(string);
    }
    render_bytes(text, how, string, length);
}

/* False for a letter that is no conversion of ours. */
static bool render(struct format_buffer *text, const struct conversion *how,
                   struct arguments *arguments)
{
    char byte;
    switch (how->kind) {
    case 'd':
    case 'i':
        render_signed(text, how, fetch_signed(arguments, how->length));
        return true;
    case 'u':
    case 'x':
    case 'X':
    case 'o':
        render_unsigned(text, how, fetch_unsigned(arguments, how->length));
        return true;
    case 'c':
        byte = (char)va_arg(arguments->list, int);
        render_bytes(text, how, &byte, 1);
        return true;
    case 's':
        render_string(text, how, va_arg(arguments->list, const char *));
        return true;
    case 'p':
        render_pointer(text, how, va_arg(arguments->list, const void *));
        return true;
    case '%':
        format_append_bytes(text, "%", 1);
        return true;
    default:
        return false;
    }
}

void format_append_list(struct format_buffer *text, const char *format, va_list list)
{
    struct arguments arguments;
    va_copy(arguments.list, list);
    while (*format) {
        const char *literal = format;
        while (*format && *format != '%') {
            format++;
        }
        if (format != literal) {
            format_append_bytes(text, literal, (size_t)(format - literal));
        }
        if (*format == '%') {
            const char *start = format;
            struct conversion how;
            format = read_conversion(format + 1, &how, &arguments);
            if (!render(text, &how, &arguments)) {
                format_append_bytes(text, start, (size_t)(format - start));
            }
        }
    }
    va_end(arguments.list);
}

void format_append(struct format_buffer *text, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    format_append_list(text, format, list);
    va_end(list);
}

size_t format_into(char *data, size_t size, const char *format, ...)
{
    struct format_buffer text = format_buffer_of(data, size);
    va_list list;
    va_start(list, format);
    format_append_list(&text, format, list);
    va_end(list);
    return text.length;
}
