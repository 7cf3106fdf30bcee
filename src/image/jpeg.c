/* SPDX-License-Identifier: Apache-2.0
 *
 * jpeg.c - JPEG files through libjpeg-turbo. Grey, YCbCr, CMYK and YCCK become RGB8 and the
 * EXIF orientation is applied while the rows come in, so no second picture is held.
 *
 * libjpeg fills what is missing from a damaged file with grey and merely warns. A grey half of
 * a face would be measured like a real one, so the warnings that mean lost pixels are errors
 * here. The slow integer transform and smooth upsampling are asked for by name: they give the
 * same pixels on every machine.
 *
 * libjpeg reports errors by not returning: run_decode and run_encode hold the setjmp, all state
 * that must survive the jump lives in the job of their caller.
 */
#include "image/codec.h"

#ifdef DV_HAVE_JPEG
#include <setjmp.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

#define MAX_SCANS 100                 /* a progressive photo has about 10 */
#define MAX_SCAN_PIXELS 4000000000ull /* pixels times scans: seconds of work, not hours */
#define MAX_COEFFICIENTS (512l << 20) /* bytes that a progressive picture may hold */

typedef struct errors {
    struct jpeg_error_mgr mgr; /* first: libjpeg's pointer is ours */
    jmp_buf jump;
    dmv_status code;
    const char *name; /* NULL while writing */
    dv_err *e;
} errors;

static void stop(j_common_ptr c)
{
    errors *er = (errors *)c->err;
    const char *name = er->name ? er->name : "JPEG";
    char why[JMSG_LENGTH_MAX];

    er->mgr.format_message(c, why);
    switch (er->mgr.msg_code) {
    case JERR_OUT_OF_MEMORY:
        er->code = dv_nomem(er->e);
        break;
    case JERR_NO_BACKING_STORE:
        er->code = dv_fail(er->e, DMV_ERR_LIMIT,
                           "%s: this progressive JPEG needs more than %ld MiB to decode; scale it "
                           "down or save it as baseline JPEG",
                           name, MAX_COEFFICIENTS >> 20);
        break;
    case JERR_IMAGE_TOO_BIG:
    case JERR_WIDTH_OVERFLOW:
        er->code = dv_fail(er->e, DMV_ERR_LIMIT,
                           "%s: the JPEG picture is over the limit of %d pixels a side; scale the "
                           "picture down",
                           name, DV_IMAGE_MAX_SIDE);
        break;
    case JERR_BAD_PRECISION:
    case JERR_SOF_UNSUPPORTED:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_ARITH_NOTIMPL:
    case JERR_NOT_COMPILED:
        er->code = dv_fail(er->e, DMV_ERR_UNSUPPORTED,
                           "%s: this kind of JPEG is not supported (%s); save it as an ordinary "
                           "8-bit JPEG or as PNG",
                           name, why);
        break;
    case JERR_INPUT_EOF:
    case JERR_INPUT_EMPTY:
    case JWRN_JPEG_EOF:
        er->code =
            dv_fail(er->e, DMV_ERR_FORMAT, "%s: the JPEG file is cut off; copy it again", name);
        break;
    default:
        er->code = dv_fail(er->e, DMV_ERR_FORMAT,
                           "%s: damaged JPEG file (%s); copy or save it again", name, why);
    }
    longjmp(er->jump, 1);
}

static void stop_on_loss(j_common_ptr c, int level)
{
    if (level >= 0)
        return; /* trace text */
    switch (c->err->msg_code) {
    case JWRN_EXTRANEOUS_DATA: /* padding before a marker, odd headers: no pixel is lost */
    case JWRN_ADOBE_XFORM:
    case JWRN_JFIF_MAJOR:
    case JWRN_TOO_MUCH_DATA:
        return;
    default:
        stop(c);
    }
}

static void say_nothing(j_common_ptr c)
{
}

static void errors_init(errors *er, const char *name, dv_err *e)
{
    jpeg_std_error(&er->mgr);
    er->mgr.error_exit = stop;
    er->mgr.emit_message = stop_on_loss;
    er->mgr.output_message = say_nothing;
    er->name = name;
    er->e = e;
}

/* ---- reading ---- */

typedef struct reading {
    struct jpeg_decompress_struct c;
    struct jpeg_progress_mgr progress;
    errors er;
    const dv_limits *lim;
    int orientation;
    uint8_t *pixels, *row; /* row: one decoded row, where it is not stored as it comes */
    int width, height;     /* after turning */
} reading;

/* libjpeg calls this between rows of blocks: a short file can hold thousands of empty scans,
 * each of which walks over the whole picture. */
static void count_scans(j_common_ptr c)
{
    reading *r = c->client_data;
    uint64_t scans = (uint64_t)r->c.input_scan_number;
    if (scans > MAX_SCANS || scans * r->c.image_width * r->c.image_height > MAX_SCAN_PIXELS) {
        r->er.code = dv_fail(r->er.e, DMV_ERR_LIMIT,
                             "%s: this progressive JPEG has too many scans (%llu); save it as "
                             "baseline JPEG",
                             r->er.name, (unsigned long long)scans);
        longjmp(r->er.jump, 1);
    }
}

/* Ink to light. Adobe's writers store CMYK inverted. */
static void cmyk_to_rgb(const uint8_t *in, uint8_t *out, size_t n, bool inverted)
{
    const unsigned flip = inverted ? 0 : 255;
    for (size_t i = 0; i < n; i++, in += 4, out += 3) {
        unsigned k = in[3] ^ flip;
        for (int j = 0; j < 3; j++)
            out[j] = (uint8_t)(((in[j] ^ flip) * k + 127) / 255);
    }
}

/* Where stored pixel (x, y) goes: first + x * dx + y * dy, in pixels. EXIF 2.3, 4.6.4 A:
 * 1 upright, 3 half turn, 6 and 8 quarter turns, the others mirrored as well. */
typedef struct turn {
    ptrdiff_t first, dx, dy;
} turn;

static turn turn_for(int orientation, ptrdiff_t w, ptrdiff_t h)
{
    switch (orientation) {
    case 2:
        return (turn){w - 1, -1, w};
    case 3:
        return (turn){w * h - 1, -1, -w};
    case 4:
        return (turn){w * (h - 1), 1, -w};
    case 5:
        return (turn){0, h, 1};
    case 6:
        return (turn){h - 1, h, -1};
    case 7:
        return (turn){w * h - 1, -h, -1};
    case 8:
        return (turn){h * (w - 1), -h, 1};
    default:
        return (turn){0, 1, w};
    }
}

static dmv_status decode_rows(reading *r)
{
    struct jpeg_decompress_struct *c = &r->c;
    const size_t w = c->output_width, h = c->output_height;
    const bool ink = c->out_color_space == JCS_CMYK;
    const bool direct = !ink && r->orientation == 1;
    const turn t = turn_for(r->orientation, (ptrdiff_t)w, (ptrdiff_t)h);

    r->width = (int)(r->orientation >= 5 ? h : w);
    r->height = (int)(r->orientation >= 5 ? w : h);
    r->pixels = dv_malloc(w * h * 3);
    r->row = direct ? NULL : dv_malloc(w * 4);
    if (!r->pixels || (!direct && !r->row))
        return dv_nomem(r->er.e);
    while (c->output_scanline < h) {
        size_t y = c->output_scanline;
        JSAMPROW row = direct ? r->pixels + y * w * 3 : r->row;
        if (jpeg_read_scanlines(c, &row, 1) != 1)
            return dv_fail(r->er.e, DMV_ERR_FORMAT, "%s: the JPEG file is cut off; copy it again",
                           r->er.name);
        if (direct)
            continue;
        if (ink)
            cmyk_to_rgb(r->row, r->row, w, c->saw_Adobe_marker);
        for (size_t x = 0; x < w; x++)
            memcpy(r->pixels + 3 * (t.first + (ptrdiff_t)x * t.dx + (ptrdiff_t)y * t.dy),
                   r->row + 3 * x, 3);
    }
    return DMV_OK;
}

static dmv_status run_decode(reading *r, const uint8_t *data, size_t size)
{
    struct jpeg_decompress_struct *c = &r->c;
    dmv_status s;

    if (setjmp(r->er.jump))
        return r->er.code;
    jpeg_create_decompress(c);
    c->client_data = r;
    r->progress.progress_monitor = count_scans;
    c->progress = &r->progress;
    c->mem->max_memory_to_use = MAX_COEFFICIENTS;
    jpeg_mem_src(c, data, (unsigned long)size);
    jpeg_read_header(c, TRUE);
    s = dv_check_size(c->image_width, c->image_height, r->er.name, r->lim, r->er.e);
    if (s)
        return s;
    switch (c->jpeg_color_space) {
    case JCS_GRAYSCALE:
    case JCS_YCbCr:
    case JCS_RGB:
        c->out_color_space = JCS_RGB;
        break;
    case JCS_CMYK:
    case JCS_YCCK:
        c->out_color_space = JCS_CMYK;
        break;
    default:
        return dv_fail(r->er.e, DMV_ERR_UNSUPPORTED,
                       "%s: a JPEG with %d colour components of unknown meaning; save it as RGB",
                       r->er.name, c->num_components);
    }
    c->dct_method = JDCT_ISLOW;
    c->do_fancy_upsampling = TRUE;
    jpeg_start_decompress(c);
    s = decode_rows(r);
    if (!s)
        jpeg_finish_decompress(c); /* reads up to the end mark */
    return s;
}

dmv_status dv_jpeg_decode(const uint8_t *data, size_t size, const char *name, const dv_limits *lim,
                          dv_picture *out, dv_err *e)
{
    reading r;
    dmv_status s;

    memset(&r, 0, sizeof r);
    errors_init(&r.er, name, e);
    r.c.err = &r.er.mgr;
    r.lim = lim;
    r.orientation = dv_exif_orientation(data, size);
    s = run_decode(&r, data, size);
    jpeg_destroy_decompress(&r.c);
    dv_free(r.row);
    if (s) {
        dv_free(r.pixels);
        return s;
    }
    out->pixels = r.pixels;
    out->width = r.width;
    out->height = r.height;
    return DMV_OK;
}

/* ---- writing ---- */

typedef struct writing {
    struct jpeg_compress_struct c;
    struct jpeg_destination_mgr dest;
    errors er;
    uint8_t *data;
    size_t size, cap;
} writing;

static void put_begin(j_compress_ptr c)
{
}

/* The whole buffer is full, whatever the free count says. */
static boolean put_more(j_compress_ptr c)
{
    writing *w = c->client_data;
    size_t cap = w->cap ? w->cap * 2 : 65536;
    uint8_t *d = dv_realloc(w->data, cap);

    if (!d) {
        w->er.code = dv_nomem(w->er.e);
        longjmp(w->er.jump, 1);
    }
    w->data = d;
    w->dest.next_output_byte = d + w->cap;
    w->dest.free_in_buffer = cap - w->cap;
    w->cap = cap;
    return TRUE;
}

static void put_end(j_compress_ptr c)
{
    writing *w = c->client_data;
    w->size = w->cap - w->dest.free_in_buffer;
}

static dmv_status run_encode(writing *w, const dv_picture *p, int quality)
{
    struct jpeg_compress_struct *c = &w->c;

    if (setjmp(w->er.jump))
        return w->er.code;
    jpeg_create_compress(c);
    c->client_data = w;
    w->dest.init_destination = put_begin;
    w->dest.empty_output_buffer = put_more;
    w->dest.term_destination = put_end;
    c->dest = &w->dest;
    put_more(c);
    c->image_width = (JDIMENSION)p->width;
    c->image_height = (JDIMENSION)p->height;
    c->input_components = 3;
    c->in_color_space = JCS_RGB;
    jpeg_set_defaults(c);
    jpeg_set_quality(c, quality, TRUE);
    c->dct_method = JDCT_ISLOW;
    if (quality >= 90) { /* full colour resolution: drawn lines and letters keep their edges */
        c->comp_info[0].h_samp_factor = 1;
        c->comp_info[0].v_samp_factor = 1;
    }
    jpeg_start_compress(c, TRUE);
    while (c->next_scanline < c->image_height) {
        JSAMPROW row = p->pixels + (size_t)c->next_scanline * (size_t)p->width * 3;
        jpeg_write_scanlines(c, &row, 1);
    }
    jpeg_finish_compress(c);
    return DMV_OK;
}

dmv_status dv_image_encode_jpeg(const dv_picture *p, int quality, uint8_t **data, size_t *size,
                                dv_err *e)
{
    writing w;
    dmv_status s = dv_check_picture(p, e);

    *data = NULL;
    *size = 0;
    if (s)
        return s;
    if (quality < 1 || quality > 100)
        return dv_fail(e, DMV_ERR_ARGUMENT, "JPEG quality %d is not 1 to 100", quality);
    memset(&w, 0, sizeof w);
    errors_init(&w.er, NULL, e);
    w.c.err = &w.er.mgr;
    s = run_encode(&w, p, quality);
    jpeg_destroy_compress(&w.c);
    if (s) {
        dv_free(w.data);
        return s;
    }
    *data = w.data;
    *size = w.size;
    return DMV_OK;
}

#else /* !DV_HAVE_JPEG */

dmv_status dv_jpeg_decode(const uint8_t *data, size_t size, const char *name, const dv_limits *lim,
                          dv_picture *out, dv_err *e)
{
    return dv_fail(e, DMV_ERR_UNSUPPORTED,
                   "%s: this build cannot read JPEG; rebuild it with libjpeg-turbo, or convert "
                   "the picture to PPM",
                   name);
}

dmv_status dv_image_encode_jpeg(const dv_picture *p, int quality, uint8_t **data, size_t *size,
                                dv_err *e)
{
    *data = NULL;
    *size = 0;
    return dv_fail(e, DMV_ERR_UNSUPPORTED,
                   "this build cannot write JPEG; rebuild it with libjpeg-turbo, or save as .ppm");
}
#endif
