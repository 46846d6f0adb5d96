/*
 * body: reads, caps and flattens a request body.
 *
 * NGINX refuses a large body before it looks for the location's handler, while
 * ddi.md wants 404, 405 and 401 said first.  So client_max_body_size is lifted
 * in our locations, and kept here instead: the body is read unbuffered, into
 * memory that grows with what has really come, and never past the maximum.
 */

#ifndef NGX_HTTP_GOOSEBIT_BODY_H
#define NGX_HTTP_GOOSEBIT_BODY_H


#include "ngx_http_goosebit.h"


/*
 * status 200: body is all of it, one piece in r->pool, maybe empty; else 400
 * (framing), 408 (client_body_timeout), 413 or 503 (memory, temporary file)
 * and body is empty.  r then has a reference of its own that the handler has
 * to give back by ngx_http_finalize_request(), and no keep-alive on failure.
 */
typedef void (*ngx_http_goosebit_body_pt)(ngx_http_request_t *r,
    ngx_uint_t status, ngx_str_t *body);


/*
 * For a content handler to return.  max is client_max_body_size (0: no limit
 * but 64 MB).  The handler is called once, perhaps before this returns, and
 * never if the client went away.  r has a context.
 */
ngx_int_t ngx_http_goosebit_body_read(ngx_http_request_t *r, off_t max,
    ngx_http_goosebit_body_pt handler);

/* the length that the headers name is over max: 413 without reading */
ngx_uint_t ngx_http_goosebit_body_large(ngx_http_request_t *r, off_t max);


#endif /* NGX_HTTP_GOOSEBIT_BODY_H */
