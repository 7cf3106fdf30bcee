/* SPDX-License-Identifier: Apache-2.0
 *
 * folder.c - a folder of numbered pictures as a video. Only the folder itself is read, not those
 * in it: data sets keep pictures and their masks side by side.
 */
#include "video/video_priv.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

int dv_natural_compare(const char *a, const char *b)
{
    const char *p = a, *q = b;
    while (*p && *q) {
        if (isdigit((unsigned char)*p) && isdigit((unsigned char)*q)) {
            while (*p == '0')
                p++;
            while (*q == '0')
                q++;
            size_t n = strspn(p, "0123456789"), m = strspn(q, "0123456789");
            int k = n != m ? (n < m ? -1 : 1) : memcmp(p, q, n);
            if (k)
                return k;
            p += n;
            q += m;
        } else if (*p != *q) {
            return (unsigned char)*p < (unsigned char)*q ? -1 : 1;
        } else {
            p++;
            q++;
        }
    }
    if (*p || *q)
        return *p ? 1 : -1;
    return strcmp(a, b); /* "1" and "01" */
}

static int by_number(const void *a, const void *b)
{
    return dv_natural_compare(*(char *const *)a, *(char *const *)b);
}

dmv_status dv_folder_list(const char *path, const char *shown, dv_paths *out, dv_err *e)
{
    dmv_status s = dv_image_list(path, out, e);
    if (s)
        return s;
    size_t n = strlen(path), kept = 0;
    while (n && path[n - 1] == '/')
        n--;
    for (size_t i = 0; i < out->n; i++) {
        const char *rest = out->v[i] + n + strspn(out->v[i] + n, "/");
        if (strchr(rest, '/'))
            dv_free(out->v[i]);
        else
            out->v[kept++] = out->v[i];
    }
    out->n = kept;
    if (kept == 0) {
        dv_paths_free(out);
        return dv_fail(e, DMV_ERR_NOT_FOUND,
                       "%s: no pictures in the folder itself; name the folder that holds them",
                       shown);
    }
    qsort(out->v, out->n, sizeof *out->v, by_number);
    return DMV_OK;
}
