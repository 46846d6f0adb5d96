/*
 * A call to external_url: what _call (who waits, what is asked, how long) and
 * _http (the connection) share.
 */

#ifndef NGX_HTTP_GOOSEBIT_ACCESS_CALL_H
#define NGX_HTTP_GOOSEBIT_ACCESS_CALL_H


#include "ngx_http_goosebit_access.h"


/* bytes: "HTTP/1.1 200" and more than enough */
#define NGX_HTTP_GOOSEBIT_ACCESS_LINE  512


typedef struct {
    ngx_queue_t                            queue;       /* of the worker's */
    ngx_queue_t                            waiters;
    ngx_http_goosebit_access_main_conf_t  *amcf;
    ngx_http_goosebit_access_remote_t     *remote;
    ngx_ssl_t                             *ssl;
    ngx_pool_t                            *pool;
    ngx_log_t                             *log;
    ngx_event_t                            start;
    ngx_event_t                            timer;       /* of all of it */

    ngx_resolver_t                        *resolver;
    ngx_msec_t                             resolver_timeout;
    ngx_resolver_ctx_t                    *resolving;
    ngx_addr_t                            *addrs;
    ngx_uint_t                             naddrs;
    ngx_uint_t                             addr;        /* the next to try */

    ngx_peer_connection_t                  peer;
    ngx_buf_t                             *request;
    size_t                                 received;
    u_char                                 line[NGX_HTTP_GOOSEBIT_ACCESS_LINE];
    u_char                                 key[NGX_HTTP_GOOSEBIT_ACCESS_KEY];
} ngx_http_goosebit_access_call_t;


/* tries the next address; whatever comes of it ends the call, maybe at once */
void ngx_http_goosebit_access_call_connect(
    ngx_http_goosebit_access_call_t *call);
void ngx_http_goosebit_access_call_close(
    ngx_http_goosebit_access_call_t *call);

/*
 * Both answer who waits and free the call; status is the one of HTTP.  why
 * follows "external_url NAME " in the log.
 */
void ngx_http_goosebit_access_call_fail(ngx_http_goosebit_access_call_t *call,
    ngx_err_t err, const char *why);
void ngx_http_goosebit_access_call_finish(
    ngx_http_goosebit_access_call_t *call, ngx_uint_t status);


#endif /* NGX_HTTP_GOOSEBIT_ACCESS_CALL_H */
