/* SPDX-License-Identifier: Apache-2.0
 *
 * json.c - JSON as it is written to stdout: compact, one object a line, always valid
 * (RFC 8259). File names need not be UTF-8; what is not becomes U+FFFD.
 */
#include "cli.h"

#include <math.h>
#include <string.h>

static void put_string(FILE *f, const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    fputc('"', f);
    while (*s) {
        if (*s == '"' || *s == '\\') {
            fputc('\\', f);
            fputc(*s++, f);
        } else if (*s == '\n' || *s == '\t' || *s == '\r') {
            fputc('\\', f);
            fputc(*s == '\n' ? 'n' : *s == '\t' ? 't' : 'r', f);
            s++;
        } else if (*s < 0x20 || *s == 0x7f) {
            fprintf(f, "\\u%04x", *s++);
        } else {
            size_t n = dv_utf8_length((const char *)s);
            if (n)
                fwrite(s, 1, n, f);
            else
                fputs("\xEF\xBF\xBD", f);
            s += n ? n : 1;
        }
    }
    fputc('"', f);
}

static void lead(cli_json *j, const char *key)
{
    if (j->more[j->depth])
        fputc(',', j->f);
    j->more[j->depth] = true;
    if (key) {
        put_string(j->f, key);
        fputc(':', j->f);
    }
}

void cli_js_open(cli_json *j, const char *key, char bracket)
{
    lead(j, key);
    fputc(bracket, j->f);
    if (j->depth + 1 < DV_COUNT(j->more))
        j->depth++;
    j->more[j->depth] = false;
}

void cli_js_close(cli_json *j, char bracket)
{
    fputc(bracket, j->f);
    if (j->depth)
        j->depth--;
}

void cli_js_text(cli_json *j, const char *key, const char *s)
{
    lead(j, key);
    if (s)
        put_string(j->f, s);
    else
        fputs("null", j->f);
}

void cli_js_int(cli_json *j, const char *key, long long v)
{
    lead(j, key);
    fprintf(j->f, "%lld", v);
}

void cli_js_real(cli_json *j, const char *key, double v, int digits)
{
    lead(j, key);
    if (isfinite(v))
        fprintf(j->f, "%.*g", digits, v);
    else
        fputs("null", j->f);
}

void cli_js_fixed(cli_json *j, const char *key, double v, int decimals)
{
    lead(j, key);
    if (isfinite(v))
        fprintf(j->f, "%.*f", decimals, v);
    else
        fputs("null", j->f);
}

void cli_js_bool(cli_json *j, const char *key, bool v)
{
    lead(j, key);
    fputs(v ? "true" : "false", j->f);
}

void cli_js_floats(cli_json *j, const char *key, const float *v, size_t n)
{
    cli_js_open(j, key, '[');
    for (size_t i = 0; i < n; i++)
        cli_js_real(j, NULL, v[i], 9); /* nine digits give the same float back */
    cli_js_close(j, ']');
}

void cli_js_line(cli_json *j)
{
    fputc('\n', j->f);
    j->depth = 0;
    j->more[0] = false;
}

void cli_js_face(cli_json *j, const dmv_face *face)
{
    cli_js_open(j, "box", '[');
    for (int i = 0; i < 4; i++)
        cli_js_fixed(j, NULL, face->box[i], 2);
    cli_js_close(j, ']');
    cli_js_fixed(j, "score", face->score, 4);
    if (face->has_landmarks) {
        cli_js_open(j, "landmarks", '[');
        for (int i = 0; i < 5; i++) {
            cli_js_open(j, NULL, '[');
            cli_js_fixed(j, NULL, face->landmarks[i][0], 2);
            cli_js_fixed(j, NULL, face->landmarks[i][1], 2);
            cli_js_close(j, ']');
        }
        cli_js_close(j, ']');
    } else {
        cli_js_text(j, "landmarks", NULL);
    }
    cli_js_fixed(j, "quality", face->quality < 0 ? NAN : face->quality, 4);
}

void cli_js_picture(cli_json *j, const char *path, const char *key, const dv_picture *pic)
{
    cli_js_open(j, NULL, '{');
    cli_js_text(j, "image", path);
    cli_js_int(j, "width", pic->width);
    cli_js_int(j, "height", pic->height);
    cli_js_open(j, key, '[');
}

void cli_js_picture_end(cli_json *j)
{
    cli_js_close(j, ']');
    cli_js_close(j, '}');
    cli_js_line(j);
}
