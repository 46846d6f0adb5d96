/*
 * Parameters and columns, in PostgreSQL's binary format (its *send and *recv
 * functions: big endian; array_recv() for arrays).
 */

#include "ngx_http_goosebit_pg_conn.h"


/* of an array: dimensions, null flag, type; and of its one dimension */
#define NGX_HTTP_GOOSEBIT_PG_ARRAY  12
#define NGX_HTTP_GOOSEBIT_PG_DIM    8


static ngx_uint_t ngx_http_goosebit_pg_next(ngx_http_goosebit_pg_query_t *q,
    Oid type);
static u_char *ngx_http_goosebit_pg_put64(u_char *p, uint64_t n);
static ngx_int_t ngx_http_goosebit_pg_column(
    ngx_http_goosebit_pg_result_t *result, ngx_uint_t *row,
    const char *column, ngx_uint_t *n);


void
ngx_http_goosebit_pg_add_text(ngx_http_goosebit_pg_query_t *q,
    ngx_str_t *value)
{
    ngx_uint_t  n;

    n = ngx_http_goosebit_pg_next(q, NGX_HTTP_GOOSEBIT_OID_TEXT);

    if (value && value->data) {
        q->values[n] = (char *) value->data;
        q->lengths[n] = value->len;
    }
}


ngx_http_goosebit_pg_query_t *
ngx_http_goosebit_pg_repeat(ngx_http_goosebit_pg_query_t *q, ngx_uint_t n,
    ngx_str_t *value)
{
    ngx_http_goosebit_pg_query_t  *copy;

    copy = ngx_http_goosebit_pg_create(q->pool, q->index);
    if (copy == NULL) {
        return NULL;
    }

    copy->handler = q->handler;
    copy->data = q->data;
    copy->ctx = q->ctx;
    copy->tenant = q->tenant;
    copy->device = q->device;

    copy->nparams = q->nparams;
    copy->invalid = q->invalid;

    ngx_memcpy(copy->values, q->values, sizeof(q->values));
    ngx_memcpy(copy->lengths, q->lengths, sizeof(q->lengths));

    copy->values[n] = (char *) value->data;
    copy->lengths[n] = value->len;

    return copy;
}


void
ngx_http_goosebit_pg_add_bytes(ngx_http_goosebit_pg_query_t *q,
    ngx_str_t *value)
{
    ngx_uint_t  n;

    n = ngx_http_goosebit_pg_next(q, NGX_HTTP_GOOSEBIT_OID_BYTEA);

    if (value && value->data) {
        q->values[n] = (char *) value->data;
        q->lengths[n] = value->len;
    }
}


void
ngx_http_goosebit_pg_add_int(ngx_http_goosebit_pg_query_t *q, int32_t value)
{
    ngx_uint_t  n;

    n = ngx_http_goosebit_pg_next(q, NGX_HTTP_GOOSEBIT_OID_INT);

    (void) ngx_http_goosebit_pg_put32(q->ints[n], (uint32_t) value);

    q->values[n] = (char *) q->ints[n];
    q->lengths[n] = 4;
}


void
ngx_http_goosebit_pg_add_bigint(ngx_http_goosebit_pg_query_t *q,
    int64_t value)
{
    ngx_uint_t  n;

    n = ngx_http_goosebit_pg_next(q, NGX_HTTP_GOOSEBIT_OID_BIGINT);

    (void) ngx_http_goosebit_pg_put64(q->ints[n], (uint64_t) value);

    q->values[n] = (char *) q->ints[n];
    q->lengths[n] = 8;
}


void
ngx_http_goosebit_pg_add_null(ngx_http_goosebit_pg_query_t *q)
{
    (void) ngx_http_goosebit_pg_next(q, 0);
}


void
ngx_http_goosebit_pg_add_texts(ngx_http_goosebit_pg_query_t *q,
    ngx_str_t *values, ngx_uint_t n)
{
    size_t       size;
    u_char      *p;
    ngx_uint_t   i;

    size = 0;

    for (i = 0; i < n; i++) {
        size += 4 + (values[i].data ? values[i].len : 0);
    }

    p = ngx_http_goosebit_pg_array(q, NGX_HTTP_GOOSEBIT_OID_TEXTS,
                                   NGX_HTTP_GOOSEBIT_OID_TEXT, n, size);
    if (p == NULL) {
        return;
    }

    for (i = 0; i < n; i++) {

        if (values[i].data == NULL) {
            p = ngx_http_goosebit_pg_put32(p, (uint32_t) -1);
            continue;
        }

        p = ngx_http_goosebit_pg_put32(p, values[i].len);
        p = ngx_cpymem(p, values[i].data, values[i].len);
    }
}


void
ngx_http_goosebit_pg_add_ints(ngx_http_goosebit_pg_query_t *q,
    int32_t *values, ngx_uint_t n)
{
    u_char      *p;
    ngx_uint_t   i;

    p = ngx_http_goosebit_pg_array(q, NGX_HTTP_GOOSEBIT_OID_INTS,
                                   NGX_HTTP_GOOSEBIT_OID_INT, n, n * 8);
    if (p == NULL) {
        return;
    }

    for (i = 0; i < n; i++) {
        p = ngx_http_goosebit_pg_put32(p, 4);
        p = ngx_http_goosebit_pg_put32(p, (uint32_t) values[i]);
    }
}


void
ngx_http_goosebit_pg_add_bigints(ngx_http_goosebit_pg_query_t *q,
    int64_t *values, ngx_uint_t n)
{
    u_char      *p;
    ngx_uint_t   i;

    p = ngx_http_goosebit_pg_array(q, NGX_HTTP_GOOSEBIT_OID_BIGINTS,
                                   NGX_HTTP_GOOSEBIT_OID_BIGINT, n, n * 12);
    if (p == NULL) {
        return;
    }

    for (i = 0; i < n; i++) {
        p = ngx_http_goosebit_pg_put32(p, 8);
        p = ngx_http_goosebit_pg_put64(p, (uint64_t) values[i]);
    }
}


/* the next parameter, NULL so far; type 0 fits any */

static ngx_uint_t
ngx_http_goosebit_pg_next(ngx_http_goosebit_pg_query_t *q, Oid type)
{
    ngx_uint_t  n;

    n = q->nparams;

    if (n >= q->call->nparams || (type && q->call->types[n] != type)) {
        ngx_log_error(NGX_LOG_ALERT, q->pool->log, 0,
                      "goosebit: wrong parameter %ui of %s", n + 1,
                      q->call->name);
        q->invalid = 1;
    }

    if (n < q->call->nparams) {
        q->nparams++;

    } else {
        n = 0;
    }

    q->values[n] = NULL;
    q->lengths[n] = 0;

    return n;
}


u_char *
ngx_http_goosebit_pg_array(ngx_http_goosebit_pg_query_t *q, Oid type,
    Oid element, ngx_uint_t n, size_t size)
{
    u_char      *p;
    size_t       len;
    ngx_uint_t   param;

    param = ngx_http_goosebit_pg_next(q, type);

    len = NGX_HTTP_GOOSEBIT_PG_ARRAY
          + (n ? NGX_HTTP_GOOSEBIT_PG_DIM : 0) + size;

    if (len > NGX_MAX_INT32_VALUE) {
        q->invalid = 1;
        return NULL;
    }

    p = ngx_pnalloc(q->pool, len);
    if (p == NULL) {
        q->invalid = 1;
        return NULL;
    }

    q->values[param] = (char *) p;
    q->lengths[param] = len;

    p = ngx_http_goosebit_pg_put32(p, n ? 1 : 0);
    p = ngx_http_goosebit_pg_put32(p, 0);
    p = ngx_http_goosebit_pg_put32(p, element);

    if (n) {
        p = ngx_http_goosebit_pg_put32(p, n);
        p = ngx_http_goosebit_pg_put32(p, 1);
    }

    return p;
}


ngx_uint_t
ngx_http_goosebit_pg_elements(ngx_str_t *array)
{
    ngx_uint_t  n;

    n = 0;

    if (array->len > NGX_HTTP_GOOSEBIT_PG_ARRAY) {
        n = ngx_http_goosebit_pg_get32(array->data
                                       + NGX_HTTP_GOOSEBIT_PG_ARRAY);
        array->data += NGX_HTTP_GOOSEBIT_PG_ARRAY + NGX_HTTP_GOOSEBIT_PG_DIM;
        array->len -= NGX_HTTP_GOOSEBIT_PG_ARRAY + NGX_HTTP_GOOSEBIT_PG_DIM;

    } else {
        array->len = 0;
    }

    return n;
}


u_char *
ngx_http_goosebit_pg_put32(u_char *p, uint32_t n)
{
    *p++ = (u_char) (n >> 24);
    *p++ = (u_char) (n >> 16);
    *p++ = (u_char) (n >> 8);
    *p++ = (u_char) n;

    return p;
}


static u_char *
ngx_http_goosebit_pg_put64(u_char *p, uint64_t n)
{
    p = ngx_http_goosebit_pg_put32(p, (uint32_t) (n >> 32));

    return ngx_http_goosebit_pg_put32(p, (uint32_t) n);
}


uint32_t
ngx_http_goosebit_pg_get32(const u_char *p)
{
    return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16
           | (uint32_t) p[2] << 8 | (uint32_t) p[3];
}


/* row: of the query's rows, then of res */

static ngx_int_t
ngx_http_goosebit_pg_column(ngx_http_goosebit_pg_result_t *result,
    ngx_uint_t *row, const char *column, ngx_uint_t *n)
{
    ngx_uint_t  i, last;

    if (result->res == NULL || *row >= result->rows) {
        return NGX_ERROR;
    }

    *row += result->first;

    /* PQfnumber() would copy the name and fold its case, each time */

    last = PQnfields(result->res);

    for (i = 0; i < last; i++) {
        if (ngx_strcmp(PQfname(result->res, i), column) == 0) {
            *n = i;
            return PQgetisnull(result->res, *row, i) ? NGX_DECLINED : NGX_OK;
        }
    }

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "goosebit: column \"%s\" is missing", column);

    return NGX_ERROR;
}


ngx_int_t
ngx_http_goosebit_pg_text(ngx_http_goosebit_pg_result_t *result,
    ngx_uint_t row, const char *column, ngx_str_t *value)
{
    ngx_int_t   rc;
    ngx_uint_t  n;

    ngx_str_null(value);

    rc = ngx_http_goosebit_pg_column(result, &row, column, &n);

    if (rc != NGX_OK) {
        return rc;
    }

    switch (PQftype(result->res, n)) {

    case NGX_HTTP_GOOSEBIT_OID_TEXT:
    case NGX_HTTP_GOOSEBIT_OID_VARCHAR:
    case NGX_HTTP_GOOSEBIT_OID_BYTEA:
        value->data = (u_char *) PQgetvalue(result->res, row, n);
        value->len = PQgetlength(result->res, row, n);
        return NGX_OK;

    default:
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "goosebit: column \"%s\" is not text", column);
        return NGX_ERROR;
    }
}


ngx_int_t
ngx_http_goosebit_pg_bigint(ngx_http_goosebit_pg_result_t *result,
    ngx_uint_t row, const char *column, int64_t *value)
{
    u_char      *p;
    ngx_int_t    rc;
    ngx_uint_t   n;

    *value = 0;

    rc = ngx_http_goosebit_pg_column(result, &row, column, &n);

    if (rc != NGX_OK) {
        return rc;
    }

    p = (u_char *) PQgetvalue(result->res, row, n);

    switch (PQftype(result->res, n)) {

    case NGX_HTTP_GOOSEBIT_OID_BOOL:
        *value = p[0];
        return NGX_OK;

    case NGX_HTTP_GOOSEBIT_OID_SMALLINT:
        *value = (int16_t) (p[0] << 8 | p[1]);
        return NGX_OK;

    case NGX_HTTP_GOOSEBIT_OID_INT:
        *value = (int32_t) ngx_http_goosebit_pg_get32(p);
        return NGX_OK;

    case NGX_HTTP_GOOSEBIT_OID_BIGINT:
        *value = (int64_t) ((uint64_t) ngx_http_goosebit_pg_get32(p) << 32
                            | ngx_http_goosebit_pg_get32(p + 4));
        return NGX_OK;

    default:
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "goosebit: column \"%s\" is not a number", column);
        return NGX_ERROR;
    }
}


ngx_int_t
ngx_http_goosebit_pg_int(ngx_http_goosebit_pg_result_t *result,
    const char *column, ngx_int_t dflt)
{
    int64_t  value;

    if (ngx_http_goosebit_pg_bigint(result, 0, column, &value) != NGX_OK) {
        return dflt;
    }

    return (ngx_int_t) value;
}


ngx_flag_t
ngx_http_goosebit_pg_bool(ngx_http_goosebit_pg_result_t *result,
    const char *column)
{
    return ngx_http_goosebit_pg_int(result, column, 0) != 0;
}


ngx_int_t
ngx_http_goosebit_pg_copy(ngx_http_goosebit_pg_result_t *result,
    const char *column, ngx_pool_t *pool, ngx_str_t *value)
{
    u_char     *p;
    ngx_int_t   rc;
    ngx_str_t   text;

    ngx_str_null(value);

    rc = ngx_http_goosebit_pg_text(result, 0, column, &text);

    if (rc != NGX_OK) {
        return rc;
    }

    p = ngx_pnalloc(pool, text.len + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    value->data = p;
    value->len = text.len;

    *ngx_cpymem(p, text.data, text.len) = '\0';

    return NGX_OK;
}


ngx_int_t
ngx_http_goosebit_pg_texts(ngx_http_goosebit_pg_result_t *result,
    ngx_uint_t row, const char *column, ngx_pool_t *pool, ngx_array_t **value)
{
    u_char       *p, *last;
    uint32_t      len;
    ngx_int_t     rc;
    ngx_str_t    *text;
    ngx_uint_t    n, i, dims, elements;

    *value = NULL;

    rc = ngx_http_goosebit_pg_column(result, &row, column, &n);

    if (rc != NGX_OK) {
        return rc;
    }

    p = (u_char *) PQgetvalue(result->res, row, n);
    last = p + PQgetlength(result->res, row, n);

    if (PQftype(result->res, n) != NGX_HTTP_GOOSEBIT_OID_TEXTS
        || last - p < NGX_HTTP_GOOSEBIT_PG_ARRAY)
    {
        return NGX_ERROR;
    }

    dims = ngx_http_goosebit_pg_get32(p);
    p += NGX_HTTP_GOOSEBIT_PG_ARRAY;
    elements = 0;

    if (dims == 1 && last - p >= NGX_HTTP_GOOSEBIT_PG_DIM) {
        elements = ngx_http_goosebit_pg_get32(p);
        p += NGX_HTTP_GOOSEBIT_PG_DIM;

    } else if (dims) {
        return NGX_ERROR;
    }

    /* each element takes its length's four bytes at least */

    if (elements > (ngx_uint_t) (last - p) / 4) {
        return NGX_ERROR;
    }

    *value = ngx_array_create(pool, elements ? elements : 1,
                              sizeof(ngx_str_t));
    if (*value == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < elements; i++) {

        if (last - p < 4) {
            return NGX_ERROR;
        }

        len = ngx_http_goosebit_pg_get32(p);
        p += 4;

        text = ngx_array_push(*value);
        if (text == NULL) {
            return NGX_ERROR;
        }

        ngx_str_null(text);

        if (len == (uint32_t) -1) {
            continue;
        }

        if (len > (size_t) (last - p)) {
            return NGX_ERROR;
        }

        text->data = p;
        text->len = len;
        p += len;
    }

    return NGX_OK;
}
