/*
 * access: who may ask, beyond tokens that SQL judges: identities that NGINX
 * has proven, external authentication, and how many strangers may register.
 * A module of its own in the same file, with its own directives.
 */

#ifndef NGX_HTTP_GOOSEBIT_ACCESS_H
#define NGX_HTTP_GOOSEBIT_ACCESS_H


#include "ngx_http_goosebit.h"
#include "ngx_http_goosebit_auth.h"


/*
 * What a yes from outside is remembered by: half of the SHA-256, keyed by a
 * random secret of the zone, of authority, tenant, device and token.
 */
#define NGX_HTTP_GOOSEBIT_ACCESS_KEY       24

/* calls to external_url that a worker has under way at most */
#define NGX_HTTP_GOOSEBIT_ACCESS_CALLS     256


typedef struct ngx_http_goosebit_access_zone_s  ngx_http_goosebit_access_zone_t;


typedef enum {
    NGX_HTTP_GOOSEBIT_ACCESS_ON = 0,
    NGX_HTTP_GOOSEBIT_ACCESS_OFF,
    NGX_HTTP_GOOSEBIT_ACCESS_RATE
} ngx_http_goosebit_access_registration_e;


/* external_url, as the master has read it */
typedef struct {
    ngx_str_t                      name;        /* scheme, host and port: for
                                                   messages */
    ngx_str_t                      url;         /* all of it */
    ngx_str_t                      host;        /* C string, no brackets */
    ngx_str_t                      http_host;   /* the Host header */
    ngx_str_t                      uri;
    in_port_t                      port;
    ngx_addr_t                    *addrs;
    ngx_uint_t                     naddrs;      /* 0: ask the resolver */
    const char                    *json_key;    /* NULL: bearer */

    unsigned                       ssl:1;
    unsigned                       literal:1;   /* host is an address */
} ngx_http_goosebit_access_remote_t;


typedef struct {
    ngx_shm_zone_t                     *shm_zone;
    ngx_uint_t                          nbuckets;   /* used by rate=N/s */

    ngx_http_goosebit_access_remote_t  *remote;     /* NULL: no external_url */
    ngx_ssl_t                          *ssl;        /* the system's store */

    ngx_queue_t                         calls;      /* of this worker */
    ngx_uint_t                          ncalls;
} ngx_http_goosebit_access_main_conf_t;


typedef struct {
    ngx_http_complex_value_t       *client_id;      /* NULL: none */
    ngx_http_complex_value_t       *issuer_hash;    /* NULL: any issuer */
    ngx_str_t                       header;         /* lower case; len 0: off;
                                                       data NULL: not said */
    ngx_str_t                       issuers;        /* lower case, without the
                                                       number at its end */
    ngx_str_t                       request;        /* the same: len 0: off */
    ngx_str_t                       args;
    ngx_str_t                       server;         /* whose URI that is */
    ngx_str_t                       ca;
    ngx_ssl_t                      *ssl;            /* NULL: the main one */
    ngx_msec_t                      cache;
    ngx_msec_t                      timeout;

    ngx_uint_t                      registration;
    ngx_uint_t                      rate;           /* a second */
    ngx_uint_t                      bucket;
} ngx_http_goosebit_access_conf_t;


/* status: 200, 401 or 503 */
typedef void (*ngx_http_goosebit_access_pt)(ngx_uint_t status, void *data);


typedef struct {
    ngx_queue_t                     queue;      /* of those who wait for call */
    ngx_http_goosebit_access_pt     handler;
    void                           *data;
    void                           *call;       /* NULL: not waiting for one */

    ngx_http_request_t             *request;
    ngx_http_request_t             *subrequest; /* while it runs */
    ngx_event_t                     timer;      /* of the subrequest */
    ngx_uint_t                      status;     /* of the subrequest */
    u_char                          key[NGX_HTTP_GOOSEBIT_ACCESS_KEY];
    unsigned                        expired:1;
} ngx_http_goosebit_access_waiter_t;


/* ---- for the rooms that answer devices */

/*
 * What NGINX itself knows of the one who asks: auth's scheme becomes "proven"
 * or, where the identity is another device's or its issuer not this tenant's,
 * "refused", and NGX_OK is returned.  NGX_DECLINED: it knows nothing, so
 * tokens count.  NGX_ERROR: out of memory.  Needs r's context.
 */
ngx_int_t ngx_http_goosebit_access_identity(ngx_http_request_t *r,
    ngx_http_goosebit_auth_t *auth);

/* device_auth for SQL, in this location; static */
ngx_str_t *ngx_http_goosebit_access_mode(ngx_http_request_t *r);

/* a yes from outside that is still good: the scheme becomes "external" */
void ngx_http_goosebit_access_remembered(ngx_http_request_t *r,
    ngx_http_goosebit_auth_t *auth);

/*
 * Asks outside for a token that SQL would have asked about.  NGX_AGAIN: the
 * handler is called once, later, unless r ends before; NGX_DECLINED: nobody
 * is there to ask, or no token; NGX_BUSY: too many are being asked.
 * NGX_ERROR: out of memory.  After a call NGINX's posted requests are the
 * caller's to run; the handler's are its own.
 */
ngx_int_t ngx_http_goosebit_access_external(ngx_http_request_t *r,
    ngx_http_goosebit_auth_t *auth, ngx_http_goosebit_access_pt handler,
    void *data);

/*
 * May an unknown device be registered now?  200, 401 (switched off), or 429
 * with *retry_after in seconds.  A 200 counts.
 */
ngx_uint_t ngx_http_goosebit_access_registration(ngx_http_request_t *r,
    ngx_uint_t *retry_after);


/* ---- between the files of this room */

ngx_int_t ngx_http_goosebit_access_add_variables(ngx_conf_t *cf);

/* the zone: what was allowed, and buckets of registrations */
ngx_int_t ngx_http_goosebit_access_zone(ngx_conf_t *cf,
    ngx_http_goosebit_access_main_conf_t *amcf);
ngx_int_t ngx_http_goosebit_access_zone_bucket(ngx_conf_t *cf,
    ngx_http_goosebit_access_conf_t *acf);
ngx_int_t ngx_http_goosebit_access_zone_key(ngx_http_request_t *r,
    ngx_http_goosebit_auth_t *auth, u_char *key);
ngx_uint_t ngx_http_goosebit_access_zone_find(
    ngx_http_goosebit_access_main_conf_t *amcf, u_char *key, ngx_msec_t valid);
void ngx_http_goosebit_access_zone_add(
    ngx_http_goosebit_access_main_conf_t *amcf, u_char *key);
ngx_uint_t ngx_http_goosebit_access_zone_take(
    ngx_http_goosebit_access_main_conf_t *amcf, ngx_uint_t bucket,
    ngx_uint_t rate, ngx_uint_t *retry_after);

/* external_url: of configuration, in the master; may block for a name */
ngx_int_t ngx_http_goosebit_access_remote(ngx_conf_t *cf,
    ngx_http_goosebit_access_main_conf_t *amcf, gb_config_t *config);

/* a context for TLS clients that trusts ca, or the system's store if empty */
ngx_ssl_t *ngx_http_goosebit_access_ssl(ngx_conf_t *cf, ngx_str_t *ca);

/*
 * The call for key that is under way, or a new one, with waiter among those
 * who wait for it; NGX_AGAIN, NGX_BUSY, NGX_ERROR.
 */
ngx_int_t ngx_http_goosebit_access_call(ngx_http_request_t *r,
    ngx_http_goosebit_auth_t *auth,
    ngx_http_goosebit_access_waiter_t *waiter);


extern ngx_module_t  ngx_http_goosebit_access_module;


#endif /* NGX_HTTP_GOOSEBIT_ACCESS_H */
