/*
 * accept: which representation a device wants, and whether its body is one we
 * read.
 */

#include "ngx_http_goosebit_accept.h"


#define NGX_HTTP_GOOSEBIT_Q_MAX  1000       /* q=1, in thousandths */


/* one representation: the most specific range that covers it, and its q */
typedef struct {
    ngx_int_t     level;        /* -1 none, 0 any, 1 application, 2 exact */
    ngx_uint_t    q;
    ngx_uint_t    order;        /* of that range in the header */
} ngx_http_goosebit_offer_t;


typedef struct {
    ngx_http_goosebit_offer_t   json;
    ngx_http_goosebit_offer_t   hal;
    ngx_http_goosebit_offer_t   cbor;
    ngx_uint_t                  ranges;
} ngx_http_goosebit_accept_t;


static ngx_int_t ngx_http_goosebit_accept_choose(
    ngx_http_goosebit_accept_t *accept, ngx_str_t **type);
static ngx_int_t ngx_http_goosebit_accept_line(
    ngx_http_goosebit_accept_t *accept, ngx_str_t *line);
static ngx_int_t ngx_http_goosebit_accept_range(u_char **pos, u_char *end,
    ngx_str_t *type, ngx_str_t *subtype);
static ngx_int_t ngx_http_goosebit_accept_params(u_char **pos, u_char *end,
    ngx_uint_t *q);
static ngx_int_t ngx_http_goosebit_accept_value(u_char **pos, u_char *end,
    ngx_str_t *value);
static ngx_int_t ngx_http_goosebit_accept_q(ngx_str_t *value, ngx_uint_t *q);
static void ngx_http_goosebit_accept_offer(ngx_http_goosebit_offer_t *offer,
    char *name, ngx_str_t *type, ngx_str_t *subtype, ngx_uint_t q,
    ngx_uint_t order);
static ngx_uint_t ngx_http_goosebit_accept_suffix(ngx_str_t *subtype,
    char *word);
static void ngx_http_goosebit_accept_token(u_char **pos, u_char *end,
    ngx_str_t *token);
static void ngx_http_goosebit_accept_space(u_char **pos, u_char *end);
static ngx_uint_t ngx_http_goosebit_accept_is(ngx_str_t *token, char *word);


static ngx_str_t  ngx_http_goosebit_type_json = ngx_string("application/json");
static ngx_str_t  ngx_http_goosebit_type_hal =
                                          ngx_string("application/hal+json");
static ngx_str_t  ngx_http_goosebit_type_cbor = ngx_string("application/cbor");


ngx_int_t
ngx_http_goosebit_accept(ngx_http_request_t *r, ngx_str_t **type)
{
    ngx_uint_t                   i;
    ngx_list_part_t             *part;
    ngx_table_elt_t             *header;
    ngx_http_goosebit_accept_t   accept;

    ngx_memzero(&accept, sizeof(ngx_http_goosebit_accept_t));
    accept.json.level = -1;
    accept.hal.level = -1;
    accept.cbor.level = -1;

    *type = &ngx_http_goosebit_type_json;

    part = &r->headers_in.headers.part;
    header = part->elts;

    /* headers_in.accept exists only in builds with certain modules */

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                break;
            }

            part = part->next;
            header = part->elts;
            i = 0;
        }

        if (header[i].key.len == sizeof("accept") - 1
            && ngx_memcmp(header[i].lowcase_key, "accept",
                          sizeof("accept") - 1)
               == 0
            && ngx_http_goosebit_accept_line(&accept, &header[i].value)
               != NGX_OK)
        {
            return NGX_OK;
        }
    }

    return accept.ranges ? ngx_http_goosebit_accept_choose(&accept, type)
                         : NGX_OK;
}


/* JSON unless another is asked for by name */

static ngx_int_t
ngx_http_goosebit_accept_choose(ngx_http_goosebit_accept_t *accept,
    ngx_str_t **type)
{
    ngx_http_goosebit_offer_t  *best, *cbor;

    best = &accept->json;
    cbor = &accept->cbor;

    if (accept->hal.q
        && (best->q == 0
            || (accept->hal.level == 2 && accept->hal.q >= best->q)))
    {
        best = &accept->hal;
        *type = &ngx_http_goosebit_type_hal;
    }

    if (cbor->q
        && (best->q == 0
            || (cbor->level == 2
                && (cbor->q > best->q
                    || (cbor->q == best->q
                        && (best->level < 2
                            || cbor->order < best->order))))))
    {
        best = cbor;
        *type = &ngx_http_goosebit_type_cbor;
    }

    return best->q ? NGX_OK : NGX_DECLINED;
}


static ngx_int_t
ngx_http_goosebit_accept_line(ngx_http_goosebit_accept_t *accept,
    ngx_str_t *line)
{
    u_char      *p, *end;
    ngx_str_t    type, subtype;
    ngx_uint_t   q;

    p = line->data;
    end = p + line->len;

    for ( ;; ) {
        ngx_http_goosebit_accept_space(&p, end);

        if (p == end) {
            return NGX_OK;
        }

        if (*p == ',') {
            p++;
            continue;
        }

        if (ngx_http_goosebit_accept_range(&p, end, &type, &subtype) != NGX_OK
            || ngx_http_goosebit_accept_params(&p, end, &q) != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (p < end && *p != ',') {
            return NGX_ERROR;
        }

        if (type.data[0] == '*' && type.len == 1
            && !ngx_http_goosebit_accept_is(&subtype, "*"))
        {
            return NGX_ERROR;
        }

        ngx_http_goosebit_accept_offer(&accept->json, "json", &type, &subtype,
                                       q, accept->ranges);
        ngx_http_goosebit_accept_offer(&accept->hal, "hal+json", &type,
                                       &subtype, q, accept->ranges);
        ngx_http_goosebit_accept_offer(&accept->cbor, "cbor", &type, &subtype,
                                       q, accept->ranges);
        accept->ranges++;
    }
}


static ngx_int_t
ngx_http_goosebit_accept_range(u_char **pos, u_char *end, ngx_str_t *type,
    ngx_str_t *subtype)
{
    ngx_http_goosebit_accept_token(pos, end, type);

    if (type->len == 0 || *pos == end || **pos != '/') {
        return NGX_ERROR;
    }

    (*pos)++;

    ngx_http_goosebit_accept_token(pos, end, subtype);

    return subtype->len ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_http_goosebit_accept_params(u_char **pos, u_char *end, ngx_uint_t *q)
{
    ngx_str_t  name, value;

    *q = NGX_HTTP_GOOSEBIT_Q_MAX;

    for ( ;; ) {
        ngx_http_goosebit_accept_space(pos, end);

        if (*pos == end || **pos != ';') {
            return NGX_OK;
        }

        (*pos)++;

        ngx_http_goosebit_accept_space(pos, end);
        ngx_http_goosebit_accept_token(pos, end, &name);

        if (name.len == 0) {
            continue;           /* RFC 9110, 5.6.6: an empty one is allowed */
        }

        if (*pos == end || **pos != '=') {
            return NGX_ERROR;
        }

        (*pos)++;

        if (ngx_http_goosebit_accept_value(pos, end, &value) != NGX_OK) {
            return NGX_ERROR;
        }

        if (ngx_http_goosebit_accept_is(&name, "q")
            && ngx_http_goosebit_accept_q(&value, q) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }
}


static ngx_int_t
ngx_http_goosebit_accept_value(u_char **pos, u_char *end, ngx_str_t *value)
{
    u_char  *p;

    p = *pos;

    if (p == end || *p != '"') {
        ngx_http_goosebit_accept_token(pos, end, value);
        return value->len ? NGX_OK : NGX_ERROR;
    }

    value->data = ++p;

    while (p < end && *p != '"') {

        if (*p == '\\' && p + 1 < end) {
            p++;
        }

        p++;
    }

    if (p >= end) {
        return NGX_ERROR;
    }

    value->len = p - value->data;
    *pos = p + 1;

    return NGX_OK;
}


static ngx_int_t
ngx_http_goosebit_accept_q(ngx_str_t *value, ngx_uint_t *q)
{
    size_t      i;
    ngx_uint_t  unit;

    if (value->len == 0 || value->len > sizeof("0.000") - 1
        || (value->data[0] != '0' && value->data[0] != '1')
        || (value->len > 1 && value->data[1] != '.'))
    {
        return NGX_ERROR;
    }

    unit = NGX_HTTP_GOOSEBIT_Q_MAX;
    *q = (value->data[0] - '0') * unit;

    for (i = 2; i < value->len; i++) {

        if (value->data[i] < '0' || value->data[i] > '9') {
            return NGX_ERROR;
        }

        unit /= 10;
        *q += (value->data[i] - '0') * unit;
    }

    return *q <= NGX_HTTP_GOOSEBIT_Q_MAX ? NGX_OK : NGX_ERROR;
}


static void
ngx_http_goosebit_accept_offer(ngx_http_goosebit_offer_t *offer, char *name,
    ngx_str_t *type, ngx_str_t *subtype, ngx_uint_t q, ngx_uint_t order)
{
    ngx_int_t  level;

    if (ngx_http_goosebit_accept_is(type, "*")) {
        level = 0;

    } else if (!ngx_http_goosebit_accept_is(type, "application")) {
        return;

    } else if (ngx_http_goosebit_accept_is(subtype, "*")) {
        level = 1;

    } else if (ngx_http_goosebit_accept_is(subtype, name)) {
        level = 2;

    } else {
        return;
    }

    if (level > offer->level || (level == offer->level && q > offer->q)) {
        offer->level = level;
        offer->q = q;
        offer->order = order;
    }
}


/* RFC 9110, 5.6.2: one or more tchar */

static void
ngx_http_goosebit_accept_token(u_char **pos, u_char *end, ngx_str_t *token)
{
    u_char  *p, ch;

    for (p = *pos; p < end; p++) {
        ch = *p | 0x20;

        if ((ch >= 'a' && ch <= 'z') || (*p >= '0' && *p <= '9')) {
            continue;
        }

        if (*p == '\0' || ngx_strchr("!#$%&'*+-.^_`|~", *p) == NULL) {
            break;
        }
    }

    token->data = *pos;
    token->len = p - *pos;

    *pos = p;
}


static void
ngx_http_goosebit_accept_space(u_char **pos, u_char *end)
{
    while (*pos < end && (**pos == ' ' || **pos == '\t')) {
        (*pos)++;
    }
}


static ngx_uint_t
ngx_http_goosebit_accept_is(ngx_str_t *token, char *word)
{
    return token->len == ngx_strlen(word)
           && ngx_strncasecmp(token->data, (u_char *) word, token->len) == 0;
}


ngx_uint_t
ngx_http_goosebit_accept_cbor(ngx_str_t *type)
{
    return type == &ngx_http_goosebit_type_cbor;
}


ngx_int_t
ngx_http_goosebit_accept_body(ngx_http_request_t *r, ngx_uint_t *cbor)
{
    u_char     *p, *end;
    ngx_str_t   type, subtype;

    *cbor = 0;

    if (r->headers_in.content_type == NULL
        || r->headers_in.content_type->value.len == 0)
    {
        return NGX_OK;
    }

    p = r->headers_in.content_type->value.data;
    end = p + r->headers_in.content_type->value.len;

    if (ngx_http_goosebit_accept_range(&p, end, &type, &subtype) != NGX_OK
        || !ngx_http_goosebit_accept_is(&type, "application"))
    {
        return NGX_DECLINED;
    }

    ngx_http_goosebit_accept_space(&p, end);

    if (p < end && *p != ';') {
        return NGX_DECLINED;
    }

    if (ngx_http_goosebit_accept_suffix(&subtype, "+cbor")) {
        *cbor = 1;
        return NGX_OK;
    }

    return ngx_http_goosebit_accept_suffix(&subtype, "+json") ? NGX_OK
                                                              : NGX_DECLINED;
}


/* RFC 6839, 3.1, RFC 8949, 9.5: what ends in +json is JSON, as "json" is */

static ngx_uint_t
ngx_http_goosebit_accept_suffix(ngx_str_t *subtype, char *word)
{
    size_t     len;
    ngx_str_t  end;

    len = ngx_strlen(word);

    if (subtype->len <= len) {
        return ngx_http_goosebit_accept_is(subtype, word + 1);
    }

    end.data = subtype->data + subtype->len - len;
    end.len = len;

    return ngx_http_goosebit_accept_is(&end, word);
}
