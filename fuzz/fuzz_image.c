/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_image.c - any bytes as a picture file, all formats. The input is an exact-size heap copy,
 * so that the address sanitizer sees a read past the end by one byte; pictures are kept under a
 * quarter of a million pixels, so that time goes into parsers. Accepted bytes must give the same
 * pixels twice.
 */
#include <stdlib.h>
#include <string.h>

#include "image/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const dv_limits lim = {4096, 1 << 18};
    dv_picture p, again;
    dv_err e;
    uint8_t *copy = malloc(size ? size : 1);

    if (!copy)
        return 0;
    if (size)
        memcpy(copy, data, size);
    if (dv_image_decode_within(copy, size, "input", &lim, &p, &e) == DMV_OK) {
        if (dv_image_decode_within(copy, size, "input", &lim, &again, &e) != DMV_OK ||
            again.width != p.width || again.height != p.height ||
            memcmp(again.pixels, p.pixels, (size_t)p.width * (size_t)p.height * 3) != 0)
            abort();
        dv_picture_free(&again);
    } else if (p.pixels) {
        abort();
    }
    dv_picture_free(&p);
    free(copy);
    return 0;
}
