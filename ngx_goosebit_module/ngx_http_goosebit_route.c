/*
 * route: method and URI as sent -> endpoint and its parts.
 */

#include "ngx_http_goosebit_route.h"

#include "gb_text.h"


#define NGX_HTTP_GOOSEBIT_ROUTE_PARTS  24
#define NGX_HTTP_GOOSEBIT_ROUTE_ANY    NGX_HTTP_GOOSEBIT_ROUTE_PARTS
#define NGX_HTTP_GOOSEBIT_HISTORY_MAX  2147483647

#define NGX_HTTP_GOOSEBIT_READING      (NGX_HTTP_GET|NGX_HTTP_HEAD)


/* what stands after the controller id: "*" is an id, "?" a file name */
typedef struct {
    ngx_http_goosebit_endpoint_e   endpoint;
    ngx_uint_t                     methods;
    ngx_str_t                      allow;
    ngx_uint_t                     nparts;
    ngx_str_t                      parts[4];
} ngx_http_goosebit_path_t;


static ngx_int_t ngx_http_goosebit_route_split(ngx_str_t *uri, u_char *buf,
    ngx_str_t *parts, ngx_str_t *args, ngx_uint_t *n);
static ngx_int_t ngx_http_goosebit_route_decode(ngx_str_t *part,
    u_char **buf);
static ngx_int_t ngx_http_goosebit_route_hex(u_char ch);
static ngx_uint_t ngx_http_goosebit_route_named(ngx_str_t *part);
static ngx_uint_t ngx_http_goosebit_route_valid(ngx_str_t *part);
static ngx_int_t ngx_http_goosebit_route_tail(ngx_http_goosebit_route_t *rt,
    ngx_str_t *parts, ngx_uint_t n);
static ngx_uint_t ngx_http_goosebit_route_is(ngx_str_t *part,
    ngx_str_t *word);
static ngx_int_t ngx_http_goosebit_route_id(ngx_str_t *part);
static ngx_http_goosebit_path_t *ngx_http_goosebit_route_path(
    ngx_http_goosebit_endpoint_e endpoint);


static ngx_str_t  ngx_http_goosebit_controller = ngx_string("controller");
static ngx_str_t  ngx_http_goosebit_v1 = ngx_string("v1");
static ngx_str_t  ngx_http_goosebit_md5sum = ngx_string(".MD5SUM");


static ngx_http_goosebit_path_t  ngx_http_goosebit_paths[] = {

    { NGX_HTTP_GOOSEBIT_POLL, NGX_HTTP_GOOSEBIT_READING,
      ngx_string("GET, HEAD"), 0,
      { ngx_null_string } },

    { NGX_HTTP_GOOSEBIT_CONFIG_DATA, NGX_HTTP_PUT, ngx_string("PUT"), 1,
      { ngx_string("configData") } },

    { NGX_HTTP_GOOSEBIT_DEPLOYMENT_BASE, NGX_HTTP_GOOSEBIT_READING,
      ngx_string("GET, HEAD"), 2,
      { ngx_string("deploymentBase"), ngx_string("*") } },

    { NGX_HTTP_GOOSEBIT_DEPLOYMENT_FEEDBACK, NGX_HTTP_POST,
      ngx_string("POST"), 3,
      { ngx_string("deploymentBase"), ngx_string("*"),
        ngx_string("feedback") } },

    { NGX_HTTP_GOOSEBIT_CANCEL_ACTION, NGX_HTTP_GOOSEBIT_READING,
      ngx_string("GET, HEAD"), 2,
      { ngx_string("cancelAction"), ngx_string("*") } },

    { NGX_HTTP_GOOSEBIT_CANCEL_FEEDBACK, NGX_HTTP_POST, ngx_string("POST"), 3,
      { ngx_string("cancelAction"), ngx_string("*"),
        ngx_string("feedback") } },

    { NGX_HTTP_GOOSEBIT_INSTALLED_BASE, NGX_HTTP_GOOSEBIT_READING,
      ngx_string("GET, HEAD"), 2,
      { ngx_string("installedBase"), ngx_string("*") } },

    { NGX_HTTP_GOOSEBIT_INSTALLED_VERSION, NGX_HTTP_PUT, ngx_string("PUT"), 1,
      { ngx_string("installedBase") } },

    { NGX_HTTP_GOOSEBIT_CONFIRMATION_BASE, NGX_HTTP_GOOSEBIT_READING,
      ngx_string("GET, HEAD"), 1,
      { ngx_string("confirmationBase") } },

    /* before what takes any word */

    { NGX_HTTP_GOOSEBIT_CONFIRMATION_ON, NGX_HTTP_POST, ngx_string("POST"), 2,
      { ngx_string("confirmationBase"), ngx_string("activateAutoConfirm") } },

    { NGX_HTTP_GOOSEBIT_CONFIRMATION_OFF, NGX_HTTP_POST, ngx_string("POST"),
      2,
      { ngx_string("confirmationBase"),
        ngx_string("deactivateAutoConfirm") } },

    { NGX_HTTP_GOOSEBIT_CONFIRMATION_ACTION, NGX_HTTP_GOOSEBIT_READING,
      ngx_string("GET, HEAD"), 2,
      { ngx_string("confirmationBase"), ngx_string("*") } },

    { NGX_HTTP_GOOSEBIT_CONFIRMATION_FEEDBACK, NGX_HTTP_POST,
      ngx_string("POST"), 3,
      { ngx_string("confirmationBase"), ngx_string("*"),
        ngx_string("feedback") } },

    { NGX_HTTP_GOOSEBIT_ARTIFACTS, NGX_HTTP_GOOSEBIT_READING,
      ngx_string("GET, HEAD"), 3,
      { ngx_string("softwaremodules"), ngx_string("*"),
        ngx_string("artifacts") } },

    { NGX_HTTP_GOOSEBIT_ARTIFACT, NGX_HTTP_GOOSEBIT_READING,
      ngx_string("GET, HEAD"), 4,
      { ngx_string("softwaremodules"), ngx_string("*"),
        ngx_string("artifacts"), ngx_string("?") } },

    { NGX_HTTP_GOOSEBIT_MD5SUM, NGX_HTTP_GOOSEBIT_READING,
      ngx_string("GET, HEAD"), 0,
      { ngx_null_string } },

    { NGX_HTTP_GOOSEBIT_OTHER, 0, ngx_null_string, 0,
      { ngx_null_string } }
};


ngx_int_t
ngx_http_goosebit_route(ngx_http_goosebit_route_t *rt, ngx_str_t *uri,
    u_char *buf, ngx_uint_t skip)
{
    ngx_str_t   parts[NGX_HTTP_GOOSEBIT_ROUTE_PARTS];
    ngx_uint_t  i, n, last;
    u_char     *p;

    ngx_memzero(rt, sizeof(ngx_http_goosebit_route_t));

    if (ngx_http_goosebit_route_split(uri, buf, parts, &rt->args, &n)
        != NGX_OK)
    {
        return NGX_DECLINED;
    }

    last = ngx_min(skip, n);

    for (i = 0; i <= last && i + 3 < n; i++) {
        if (ngx_http_goosebit_route_is(&parts[i + 1],
                                       &ngx_http_goosebit_controller)
            && ngx_http_goosebit_route_is(&parts[i + 2],
                                          &ngx_http_goosebit_v1))
        {
            break;
        }
    }

    if (i > last || i + 3 >= n) {
        return NGX_DECLINED;
    }

    rt->tenant = parts[i];
    rt->device = parts[i + 3];

    /* parts may lie in buf, so the prefix is found by its slashes */

    rt->prefix.data = uri->data;

    for (p = uri->data, last = i + 1; last; p++) {
        if (*p == '/' && --last == 0) {
            break;
        }
    }

    rt->prefix.len = p - uri->data;

    return ngx_http_goosebit_route_tail(rt, &parts[i + 4], n - i - 4);
}


static ngx_int_t
ngx_http_goosebit_route_split(ngx_str_t *uri, u_char *buf, ngx_str_t *parts,
    ngx_str_t *args, ngx_uint_t *n)
{
    u_char      *p, *end, *start, *last, *hash;
    ngx_uint_t   i, plain;

    p = uri->data;
    last = p + uri->len;

    if (uri->len == 0 || *p != '/') {
        return NGX_DECLINED;
    }

    /* the path ends where arguments begin, both where a fragment does */

    hash = memchr(p, '#', last - p);

    if (hash) {
        last = hash;
    }

    end = memchr(p, '?', last - p);

    if (end) {
        args->data = end + 1;
        args->len = last - args->data;

    } else {
        end = last;
    }

    /* nearly always: no byte has to be looked at again */

    plain = (buf == NULL && gb_text_all_plain((char *) p, end - p));

    for (i = 0, start = p + 1; start < end; start = p + 1) {

        p = memchr(start, '/', end - start);

        if (p == NULL) {
            p = end;
        }

        if (i == NGX_HTTP_GOOSEBIT_ROUTE_PARTS) {
            return NGX_DECLINED;
        }

        parts[i].data = start;
        parts[i].len = p - start;

        if (plain ? !ngx_http_goosebit_route_named(&parts[i])
                  : ngx_http_goosebit_route_decode(&parts[i], &buf) != NGX_OK)
        {
            return NGX_DECLINED;
        }

        i++;
    }

    *n = i;

    return NGX_OK;
}


static ngx_int_t
ngx_http_goosebit_route_decode(ngx_str_t *part, u_char **buf)
{
    u_char     *s, *d, *end;
    ngx_int_t   hi, lo;

    s = part->data;
    end = s + part->len;

    s = *buf ? memchr(s, '%', part->len) : NULL;

    if (s == NULL) {
        return ngx_http_goosebit_route_valid(part) ? NGX_OK : NGX_DECLINED;
    }

    d = ngx_cpymem(*buf, part->data, s - part->data);

    while (s < end) {

        if (*s != '%') {
            *d++ = *s++;
            continue;
        }

        if (end - s < 3) {
            return NGX_DECLINED;
        }

        hi = ngx_http_goosebit_route_hex(s[1]);
        lo = ngx_http_goosebit_route_hex(s[2]);

        if (hi == NGX_ERROR || lo == NGX_ERROR) {
            return NGX_DECLINED;
        }

        *d++ = (u_char) (hi * 16 + lo);
        s += 3;
    }

    part->data = *buf;
    part->len = d - *buf;

    *buf = d;

    return ngx_http_goosebit_route_valid(part) ? NGX_OK : NGX_DECLINED;
}


static ngx_int_t
ngx_http_goosebit_route_hex(u_char ch)
{
    if (ch >= '0' && ch <= '9') {
        return ch - '0';
    }

    ch |= 0x20;

    if (ch >= 'a' && ch <= 'f') {
        return ch - 'a' + 10;
    }

    return NGX_ERROR;
}


static ngx_uint_t
ngx_http_goosebit_route_named(ngx_str_t *part)
{
    u_char  *p;

    p = part->data;

    if (part->len == 0 || part->len > NGX_HTTP_GOOSEBIT_PART_MAX) {
        return 0;
    }

    return p[0] != '.' || (part->len > 1 && (part->len > 2 || p[1] != '.'));
}


static ngx_uint_t
ngx_http_goosebit_route_valid(ngx_str_t *part)
{
    u_char    *p, *end;
    size_t     n;
    uint32_t   code;

    p = part->data;
    end = p + part->len;

    if (!ngx_http_goosebit_route_named(part)) {
        return 0;
    }

    if (gb_text_all_plain((char *) p, part->len)) {
        return 1;
    }

    while (p < end) {

        if (*p >= 0x20 && *p < 0x7f) {
            p++;
            continue;
        }

        n = gb_text_utf8((char *) p, end - p, &code);

        /* Unicode's control characters are C0, DEL and C1 */

        if (n == 0 || code < 0x20 || (code >= 0x7f && code < 0xa0)) {
            return 0;
        }

        p += n;
    }

    return 1;
}


static ngx_int_t
ngx_http_goosebit_route_tail(ngx_http_goosebit_route_t *rt, ngx_str_t *parts,
    ngx_uint_t n)
{
    u_char                    *dot;
    ngx_str_t                 *word;
    ngx_uint_t                 i;
    ngx_http_goosebit_path_t  *path;

    for (path = ngx_http_goosebit_paths; path->methods; path++) {

        if (path->endpoint == NGX_HTTP_GOOSEBIT_MD5SUM || path->nparts != n) {
            continue;
        }

        for (i = 0; i < n; i++) {
            word = &path->parts[i];

            if (word->data[0] == '*') {
                rt->id = ngx_http_goosebit_route_id(&parts[i]);

            } else if (word->data[0] == '?') {
                rt->filename = parts[i];

            } else if (!ngx_http_goosebit_route_is(&parts[i], word)) {
                break;
            }
        }

        if (i == n) {
            break;
        }
    }

    if (path->methods == 0) {
        return NGX_DECLINED;
    }

    rt->endpoint = path->endpoint;

    if (rt->endpoint == NGX_HTTP_GOOSEBIT_ARTIFACT
        && rt->filename.len > ngx_http_goosebit_md5sum.len)
    {
        dot = rt->filename.data + rt->filename.len
              - ngx_http_goosebit_md5sum.len;

        if (ngx_memcmp(dot, ngx_http_goosebit_md5sum.data,
                       ngx_http_goosebit_md5sum.len)
            == 0)
        {
            rt->endpoint = NGX_HTTP_GOOSEBIT_MD5SUM;
            rt->filename.len -= ngx_http_goosebit_md5sum.len;
        }
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_http_goosebit_route_is(ngx_str_t *part, ngx_str_t *word)
{
    return part->len == word->len
           && ngx_memcmp(part->data, word->data, word->len) == 0;
}


static ngx_int_t
ngx_http_goosebit_route_id(ngx_str_t *part)
{
    size_t     i;
    int64_t    id;

    /* one spelling an id: no sign, no leading zero, at most 2147483647 */

    if (part->len > 10 || part->data[0] == '0') {
        return NGX_HTTP_GOOSEBIT_NO_ID;
    }

    for (id = 0, i = 0; i < part->len; i++) {

        if (part->data[i] < '0' || part->data[i] > '9') {
            return NGX_HTTP_GOOSEBIT_NO_ID;
        }

        id = id * 10 + (part->data[i] - '0');
    }

    return id > 2147483647 ? NGX_HTTP_GOOSEBIT_NO_ID : (ngx_int_t) id;
}


ngx_uint_t
ngx_http_goosebit_route_skip(ngx_str_t *location)
{
    size_t      i;
    ngx_uint_t  n;

    if (location->len == 0 || location->data[0] != '/') {
        return NGX_HTTP_GOOSEBIT_ROUTE_ANY;
    }

    for (n = 0, i = 1; i < location->len; i++) {
        if (location->data[i] != '/' && location->data[i - 1] == '/') {
            n++;
        }
    }

    return n;
}


ngx_int_t
ngx_http_goosebit_route_request(ngx_http_request_t *r,
    ngx_http_goosebit_route_t *rt)
{
    u_char                    *buf;
    ngx_str_t                 *uri;
    ngx_http_core_loc_conf_t  *clcf;

    uri = &r->unparsed_uri;
    buf = NULL;

    if (uri->len && memchr(uri->data, '%', uri->len)) {
        buf = ngx_pnalloc(r->pool, uri->len);
        if (buf == NULL) {
            return NGX_ERROR;
        }
    }

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    return ngx_http_goosebit_route(rt, uri, buf,
                                   ngx_http_goosebit_route_skip(&clcf->name));
}


static ngx_http_goosebit_path_t *
ngx_http_goosebit_route_path(ngx_http_goosebit_endpoint_e endpoint)
{
    ngx_http_goosebit_path_t  *path;

    for (path = ngx_http_goosebit_paths; path->methods; path++) {
        if (path->endpoint == endpoint) {
            break;
        }
    }

    return path;
}


ngx_uint_t
ngx_http_goosebit_route_methods(ngx_http_goosebit_endpoint_e endpoint)
{
    return ngx_http_goosebit_route_path(endpoint)->methods;
}


ngx_str_t *
ngx_http_goosebit_route_allow(ngx_http_goosebit_endpoint_e endpoint)
{
    return &ngx_http_goosebit_route_path(endpoint)->allow;
}


ngx_int_t
ngx_http_goosebit_route_history(ngx_str_t *args)
{
    u_char   *p, *end, *value;
    int64_t   n;

    static u_char  name[] = "actionHistory=";

    p = args->data;
    end = p + args->len;

    while (p < end) {

        value = p + sizeof(name) - 1;

        if (value < end && ngx_memcmp(p, name, sizeof(name) - 1) == 0) {

            if (end - value >= 2 && value[0] == '-' && value[1] == '1'
                && (end - value == 2 || value[2] == '&'))
            {
                return -1;
            }

            for (n = 0; value < end && *value != '&'; value++) {
                if (*value < '0' || *value > '9') {
                    return 0;
                }

                n = ngx_min(n * 10 + (*value - '0'),
                            NGX_HTTP_GOOSEBIT_HISTORY_MAX);
            }

            return n;
        }

        while (p < end && *p++ != '&') { /* void */ }
    }

    return 0;
}
