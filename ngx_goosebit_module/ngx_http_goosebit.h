/*
 * Types the rooms of the module share: configuration and the request's
 * context.  No logic.
 */

#ifndef NGX_HTTP_GOOSEBIT_H
#define NGX_HTTP_GOOSEBIT_H


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "gb_config.h"
#include "gb_feedback.h"


typedef struct ngx_http_goosebit_pg_s       ngx_http_goosebit_pg_t;
typedef struct ngx_http_goosebit_sync_s     ngx_http_goosebit_sync_t;
typedef struct ngx_http_goosebit_cache_s    ngx_http_goosebit_cache_t;
typedef struct ngx_http_goosebit_metrics_s  ngx_http_goosebit_metrics_t;


/* What a request asks for: $goosebit_endpoint, and a key of the status page. */
typedef enum {
    NGX_HTTP_GOOSEBIT_OTHER = 0,            /* not (yet) known: a 404, mostly */
    NGX_HTTP_GOOSEBIT_POLL,
    NGX_HTTP_GOOSEBIT_CONFIG_DATA,
    NGX_HTTP_GOOSEBIT_DEPLOYMENT_BASE,
    NGX_HTTP_GOOSEBIT_DEPLOYMENT_FEEDBACK,
    NGX_HTTP_GOOSEBIT_CANCEL_ACTION,
    NGX_HTTP_GOOSEBIT_CANCEL_FEEDBACK,
    NGX_HTTP_GOOSEBIT_INSTALLED_BASE,
    NGX_HTTP_GOOSEBIT_INSTALLED_VERSION,
    NGX_HTTP_GOOSEBIT_CONFIRMATION_BASE,
    NGX_HTTP_GOOSEBIT_CONFIRMATION_ACTION,
    NGX_HTTP_GOOSEBIT_CONFIRMATION_FEEDBACK,
    NGX_HTTP_GOOSEBIT_CONFIRMATION_ON,
    NGX_HTTP_GOOSEBIT_CONFIRMATION_OFF,
    NGX_HTTP_GOOSEBIT_ARTIFACTS,
    NGX_HTTP_GOOSEBIT_ARTIFACT,
    NGX_HTTP_GOOSEBIT_MD5SUM,
    NGX_HTTP_GOOSEBIT_ENDPOINTS
} ngx_http_goosebit_endpoint_e;


/* $goosebit_cache_status */
typedef enum {
    NGX_HTTP_GOOSEBIT_CACHE_NONE = 0,       /* the variable is empty */
    NGX_HTTP_GOOSEBIT_CACHE_HIT,
    NGX_HTTP_GOOSEBIT_CACHE_MISS,
    NGX_HTTP_GOOSEBIT_CACHE_STALE,
    NGX_HTTP_GOOSEBIT_CACHE_BYPASS,
    NGX_HTTP_GOOSEBIT_CACHE_STATES
} ngx_http_goosebit_cache_e;


/*
 * A database server to try: one of host=, or one of a name's addresses.
 * Strings are C strings; address is empty for a socket's path.
 */
typedef struct {
    ngx_str_t                      host;
    ngx_str_t                      address;
    ngx_str_t                      port;
} ngx_http_goosebit_host_t;


/* goosebit_quota */
typedef struct {
    gb_feedback_quota_t            body;
    ngx_uint_t                     statuses;    /* of an action */
} ngx_http_goosebit_quota_t;


/* goosebit_database, or db_uri */
typedef struct {
    ngx_str_t                      conninfo;
    ngx_uint_t                     connections;     /* of each worker */
    ngx_uint_t                     queue;           /* waiting, each worker */
    ngx_msec_t                     connect_timeout; /* of each host */
    ngx_msec_t                     timeout;         /* of each query */
    ngx_msec_t                     gather;          /* of each batch */
    ngx_flag_t                     prepare;

    ngx_array_t                    names;   /* ngx_http_goosebit_host_t, as
                                               written: one each of host= */
    ngx_array_t                    hosts;   /* ngx_http_goosebit_host_t, as
                                               the master resolved them */
    const char                   **keywords;        /* NULL at the end; the */
    const char                   **values;          /* last three are for
                                                       host, hostaddr, port */
    ngx_uint_t                     nkeywords;       /* without those three */
    ngx_resolver_t                *resolver;        /* NULL: none */
    ngx_msec_t                     resolver_timeout;

    char                          *origin;  /* where to blame: "FILE:LINE" */
} ngx_http_goosebit_database_t;


/* artifacts that stay open between requests, of each worker */
typedef struct {
    ngx_open_file_cache_t         *cache;
    ngx_event_t                    idle;    /* closes what nobody asks for */
} ngx_http_goosebit_open_files_t;


typedef struct {
    ngx_str_t                      config_file;     /* as given, or empty */
    gb_config_t                   *config;          /* goosebit.yaml */
    ngx_array_t                    tenants;         /* ngx_str_t: those of the
                                                       YAML */
    ngx_str_t                      artifacts_dir;   /* absolute, no slash at
                                                       the end */
    ngx_str_t                      auth;            /* device_auth for SQL */

    ngx_http_goosebit_database_t   database;
    ngx_http_goosebit_quota_t      quota;
    ngx_http_goosebit_open_files_t  *open_files;    /* NULL: off */
    ngx_shm_zone_t                *metrics_zone;
    ngx_http_goosebit_cache_t     *cache;           /* NULL: off */

    /* of this worker; NULL in the master */
    ngx_http_goosebit_pg_t        *pg;
    ngx_http_goosebit_sync_t      *sync;
    ngx_http_goosebit_metrics_t   *metrics;

    unsigned                       used:1;  /* some location says goosebit or
                                               goosebit_status */
    unsigned                       database_set:1;
    unsigned                       open_files_set:1;
} ngx_http_goosebit_main_conf_t;


typedef struct {
    ngx_http_complex_value_t      *tenant;          /* NULL: any configured */
    ngx_http_complex_value_t      *base_url;        /* NULL: $scheme://… */
    off_t                          max_body;        /* client_max_body_size */

    u_char                        *file;    /* where to blame: goosebit's */
    ngx_uint_t                     line;
    unsigned                       ddi:1;   /* says goosebit */
} ngx_http_goosebit_loc_conf_t;


/*
 * One device request.  ngx_http_goosebit_ctx_create() makes it, the route
 * fills in its parts, handlers add what they learn; it outlives an internal
 * redirect.  Strings are in r->pool.
 */
typedef struct {
    ngx_http_goosebit_endpoint_e   endpoint;
    ngx_http_goosebit_cache_e      cache_status;

    ngx_str_t                      tenant;      /* decoded; once known, as
                                                   the database spells it */
    ngx_str_t                      device;      /* controller id, decoded */
    ngx_str_t                      prefix;      /* the URI before /TENANT */
    ngx_int_t                      action_id;   /* 0: none */
    ngx_int_t                      software_id; /* 0: none */
    ngx_str_t                      filename;    /* decoded */

    ngx_str_t                      reason;      /* $goosebit_reason */
    uint64_t                       db_time;     /* microseconds, all calls;
                                                   kept by the pool */
    ngx_uint_t                     db_calls;    /* the same */

    void                          *data;        /* the handler's own */
    void                          *body;        /* the body reader's own */
    void                          *object;      /* the object store's own, as
                                                   soon as it delivers */

    unsigned                       answered:1;  /* by us: the error page
                                                   filter leaves it alone */
} ngx_http_goosebit_ctx_t;


/* The context, also after an internal redirect; NULL if there is none. */
ngx_http_goosebit_ctx_t *ngx_http_goosebit_ctx_get(ngx_http_request_t *r);

/* A new zeroed context set for r; NULL: out of memory. */
ngx_http_goosebit_ctx_t *ngx_http_goosebit_ctx_create(ngx_http_request_t *r);


extern ngx_module_t  ngx_http_goosebit_module;


#endif /* NGX_HTTP_GOOSEBIT_H */
