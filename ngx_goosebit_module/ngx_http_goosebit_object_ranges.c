/*
 * object_ranges: what ranges a request asks for -> one that the store has, and
 * parts of it where they are several.
 */

#include "ngx_http_goosebit_object.h"


static ngx_int_t ngx_http_goosebit_object_ranges_parse(ngx_http_request_t *r,
    ngx_http_goosebit_object_t *object);
static ngx_int_t ngx_http_goosebit_object_ranges_one(u_char **pos, off_t size,
    ngx_http_goosebit_object_part_t *part);
static off_t ngx_http_goosebit_object_ranges_number(u_char **pos);
static int ngx_libc_cdecl ngx_http_goosebit_object_ranges_order(const void *one,
    const void *two);
static ngx_int_t ngx_http_goosebit_object_ranges_set(ngx_http_request_t *r,
    off_t start, off_t end);


/* the verdict on each set is that of ngx_http_range_parse() */

ngx_int_t
ngx_http_goosebit_object_ranges(ngx_http_request_t *r,
    ngx_http_goosebit_object_t *object)
{
    ngx_uint_t                        i, n;
    ngx_http_goosebit_object_part_t  *part;

    if (r->headers_in.range == NULL
        || r->headers_in.range->value.len < 7
        || ngx_strncasecmp(r->headers_in.range->value.data,
                           (u_char *) "bytes=", 6)
           != 0)
    {
        return NGX_OK;
    }

    if (ngx_array_init(&object->parts, r->pool, 4,
                       sizeof(ngx_http_goosebit_object_part_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    switch (ngx_http_goosebit_object_ranges_parse(r, object)) {

    case NGX_OK:
        break;

    case NGX_DECLINED:
        object->parts.nelts = 0;
        r->headers_in.range = NULL;
        return NGX_OK;

    case NGX_HTTP_RANGE_NOT_SATISFIABLE:
        object->parts.nelts = 0;
        return ngx_http_goosebit_object_ranges_set(r, 1, 1);

    default:
        return NGX_ERROR;
    }

    part = object->parts.elts;
    n = 0;

    ngx_qsort(part, object->parts.nelts,
              sizeof(ngx_http_goosebit_object_part_t),
              ngx_http_goosebit_object_ranges_order);

    for (i = 1; i < object->parts.nelts; i++) {

        if (part[i].start > part[n].end) {
            part[++n] = part[i];

        } else {
            part[n].end = ngx_max(part[n].end, part[i].end);
        }
    }

    object->parts.nelts = n ? n + 1 : 0;
    object->offset = part[0].start;

    return ngx_http_goosebit_object_ranges_set(r, part[0].start, part[n].end);
}


/* NGX_DECLINED: all bytes are as good */

static ngx_int_t
ngx_http_goosebit_object_ranges_parse(ngx_http_request_t *r,
    ngx_http_goosebit_object_t *object)
{
    off_t                             size, total;
    u_char                           *p;
    ngx_int_t                         rc;
    ngx_http_core_loc_conf_t         *clcf;
    ngx_http_goosebit_object_part_t   part, *added;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    p = r->headers_in.range->value.data + 6;
    size = (off_t) object->artifact.size;
    total = 0;

    do {
        rc = ngx_http_goosebit_object_ranges_one(&p, size, &part);

        if (rc == NGX_ERROR) {
            return NGX_HTTP_RANGE_NOT_SATISFIABLE;
        }

        if (rc == NGX_OK) {
            added = ngx_array_push(&object->parts);
            if (added == NULL) {
                return NGX_ERROR;
            }

            *added = part;
            total += part.end - part.start;

            if (object->parts.nelts > clcf->max_ranges) {
                return NGX_DECLINED;
            }
        }

    } while (*p++ == ',');

    if (object->parts.nelts == 0) {
        return NGX_HTTP_RANGE_NOT_SATISFIABLE;
    }

    return total > size ? NGX_DECLINED : NGX_OK;
}


/* NGX_DECLINED: there are no such bytes; NGX_ERROR: malformed */

static ngx_int_t
ngx_http_goosebit_object_ranges_one(u_char **pos, off_t size,
    ngx_http_goosebit_object_part_t *part)
{
    off_t  start, end;

    start = ngx_http_goosebit_object_ranges_number(pos);

    if (*(*pos)++ != '-') {
        (*pos)--;
        return NGX_ERROR;
    }

    end = ngx_http_goosebit_object_ranges_number(pos);

    if ((**pos != ',' && **pos != '\0')
        || start == NGX_ERROR || end == NGX_ERROR
        || (start == NGX_DECLINED && end == NGX_DECLINED))
    {
        return NGX_ERROR;
    }

    if (start == NGX_DECLINED) {
        part->start = end < size ? size - end : 0;
        part->end = size;

    } else {
        part->start = start;
        part->end = (end == NGX_DECLINED || end >= size) ? size : end + 1;
    }

    ngx_str_null(&part->head);

    return part->start < part->end ? NGX_OK : NGX_DECLINED;
}


/* with blanks around it; NGX_DECLINED: none; NGX_ERROR: too large */

static off_t
ngx_http_goosebit_object_ranges_number(u_char **pos)
{
    off_t    n;
    u_char  *p, *first;

    for (first = *pos; *first == ' '; first++) { /* void */ }
    for (p = first; *p >= '0' && *p <= '9'; p++) { /* void */ }

    n = (p == first) ? NGX_DECLINED : ngx_atoof(first, p - first);

    while (*p == ' ') { p++; }

    *pos = p;

    return n;
}


static int ngx_libc_cdecl
ngx_http_goosebit_object_ranges_order(const void *one, const void *two)
{
    const ngx_http_goosebit_object_part_t  *first = one, *second = two;

    return (first->start > second->start) - (first->start < second->start);
}


/* end is the first byte behind; an empty range can't be satisfied */

static ngx_int_t
ngx_http_goosebit_object_ranges_set(ngx_http_request_t *r, off_t start,
    off_t end)
{
    ngx_table_elt_t  *h;

    h = ngx_pcalloc(r->pool, sizeof(ngx_table_elt_t));
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->value.data = ngx_pnalloc(r->pool,
                                sizeof("bytes=-") + 2 * NGX_OFF_T_LEN);
    if (h->value.data == NULL) {
        return NGX_ERROR;
    }

    h->value.len = ngx_sprintf(h->value.data, "bytes=%O-%O%Z", start, end - 1)
                   - h->value.data - 1;

    r->headers_in.range = h;

    return NGX_OK;
}
