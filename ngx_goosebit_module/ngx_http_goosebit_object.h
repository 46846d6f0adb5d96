/*
 * object: artifacts in an object store that speaks S3.  An internal location
 * proxies to the store, with what variables sign; a filter makes of the
 * store's answers what a file's would be.  A module of its own in the same
 * file, with its own directives.
 */

#ifndef NGX_HTTP_GOOSEBIT_OBJECT_H
#define NGX_HTTP_GOOSEBIT_OBJECT_H


#include "ngx_http_goosebit_artifact_head.h"

#include "gb_s3.h"


typedef enum {
    NGX_HTTP_GOOSEBIT_OBJECT_NONE = 0,      /* artifacts are files */
    NGX_HTTP_GOOSEBIT_OBJECT_STREAM,
    NGX_HTTP_GOOSEBIT_OBJECT_REDIRECT
} ngx_http_goosebit_object_delivery_e;


typedef struct {
    gb_s3_t                        s3;      /* strings are goosebit.yaml's */
    gb_s3_key_t                    key;     /* of this worker, of the day */
    ngx_array_t                    locations;   /* of those that say goosebit:
                                                   ngx_http_goosebit_object_
                                                   location_t */
    unsigned                       used:1;  /* storage.backend is s3 */
} ngx_http_goosebit_object_main_conf_t;


typedef struct {
    ngx_str_t                      store;       /* "/uri" or "@name"; data
                                                   NULL: none */
    ngx_uint_t                     delivery;
    time_t                         ttl;         /* of presigned URLs, s */
} ngx_http_goosebit_object_conf_t;


/* one of several ranges */
typedef struct {
    off_t                          start;
    off_t                          end;         /* the first byte behind it */
    ngx_str_t                      head;        /* boundary and headers */
} ngx_http_goosebit_object_part_t;


/* an artifact on its way from the store; in r->pool */
typedef struct {
    ngx_http_goosebit_artifact_t   artifact;
    ngx_str_t                      uri;         /* encoded, a C string, too */

    ngx_array_t                    parts;       /* of several ranges, in order
                                                   and apart; nelts 0: one
                                                   range, or none */
    ngx_uint_t                     part;        /* that is being sent */
    off_t                          offset;      /* of the next buffer */
    ngx_str_t                      tail;        /* behind the last part */

    ngx_http_request_t            *from;        /* whose bytes come now: the
                                                   request's, or a slice's */
    off_t                          left;        /* of them */

    unsigned                       accepted:1;  /* the store has sent it */
} ngx_http_goosebit_object_t;


/* how artifacts that are not elsewhere get from here to the device */
ngx_http_goosebit_object_delivery_e ngx_http_goosebit_object_delivery(
    ngx_http_request_t *r);

/*
 * A URL by which anybody may have the artifact for goosebit_presign_ttl.
 * NGX_DECLINED: it can't have one.  NGX_ERROR: out of memory.
 */
ngx_int_t ngx_http_goosebit_object_url(ngx_http_request_t *r,
    ngx_http_goosebit_artifact_t *a, ngx_str_t *url);

/*
 * Leads the request on to goosebit_object_store.  NGX_DONE: with the caller's
 * reference given back; NGX_DECLINED: the artifact has no name there;
 * NGX_ERROR: out of memory.
 */
ngx_int_t ngx_http_goosebit_object_stream(ngx_http_request_t *r,
    ngx_http_goosebit_artifact_t *a);


/* ---- between the files of this room */

ngx_int_t ngx_http_goosebit_object_add_variables(ngx_conf_t *cf);

/*
 * The request's Range becomes one that the slice module reads rightly: with
 * both ends, never behind the last byte, which the store would refuse.  Of
 * several it is the one that holds all, and they become parts.  NGX_ERROR:
 * out of memory.
 */
ngx_int_t ngx_http_goosebit_object_ranges(ngx_http_request_t *r,
    ngx_http_goosebit_object_t *object);

/* postconfiguration: the filter for what the store answers */
void ngx_http_goosebit_object_filter_init(void);


extern ngx_module_t  ngx_http_goosebit_object_module;
extern ngx_module_t  ngx_http_goosebit_object_parts_module;


#endif /* NGX_HTTP_GOOSEBIT_OBJECT_H */
