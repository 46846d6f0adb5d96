/*
 * Where PostgreSQL is, as a worker sees it: each host is tried by itself, and
 * names are resolved anew by NGINX's resolver when none of them answers.
 */

#include "ngx_http_goosebit_pg_conn.h"


static void ngx_http_goosebit_pg_host_file(ngx_http_goosebit_pg_t *pg,
    const char *keyword, const char *file);
static void ngx_http_goosebit_pg_host_step(ngx_http_goosebit_pg_t *pg);
static void ngx_http_goosebit_pg_host_handler(ngx_resolver_ctx_t *ctx);
static void ngx_http_goosebit_pg_host_done(ngx_http_goosebit_pg_t *pg);


void
ngx_http_goosebit_pg_host_init(ngx_http_goosebit_pg_t *pg)
{
    pg->hosts = pg->database->hosts.elts;
    pg->nhosts = pg->database->hosts.nelts;

    if (pg->nhosts == 0) {
        pg->resolve = 1;
    }
}


void
ngx_http_goosebit_pg_host_exit(ngx_http_goosebit_pg_t *pg)
{
    if (pg->resolving) {
        ngx_resolve_name_done(pg->resolving);
        pg->resolving = NULL;
    }

    if (pg->new_pool) {
        ngx_destroy_pool(pg->new_pool);
    }

    if (pg->hosts_pool) {
        ngx_destroy_pool(pg->hosts_pool);
    }
}


void
ngx_http_goosebit_pg_host_files(ngx_http_goosebit_pg_t *pg)
{
    ngx_uint_t                     i, k;
    ngx_http_goosebit_database_t  *db;

    static const char  *files[] = {
        "passfile", "sslrootcert", "sslcert", "sslkey", "sslcrl"
    };

    db = pg->database;

    for (i = 0; i < db->nkeywords; i++) {
        for (k = 0; k < sizeof(files) / sizeof(files[0]); k++) {
            if (ngx_strcmp(db->keywords[i], files[k]) == 0) {
                ngx_http_goosebit_pg_host_file(pg, files[k], db->values[i]);
            }
        }
    }
}


static void
ngx_http_goosebit_pg_host_file(ngx_http_goosebit_pg_t *pg,
    const char *keyword, const char *file)
{
    ngx_file_info_t  fi;

    /* else it may be an engine's key */

    if (file[0] != '/') {
        return;
    }

    if (access(file, R_OK) == -1) {
        ngx_log_error(NGX_LOG_ERR, pg->log, ngx_errno,
                      "goosebit: %s \"%s\" can't be read by NGINX's workers",
                      keyword, file);
        return;
    }

    if (ngx_strcmp(keyword, "passfile") == 0
        && ngx_file_info(file, &fi) != NGX_FILE_ERROR
        && ngx_file_access(&fi) & (S_IRWXG|S_IRWXO))
    {
        ngx_log_error(NGX_LOG_ERR, pg->log, 0,
                      "goosebit: passfile \"%s\" is ignored: it must have the "
                      "permissions 0600, and be the workers' user's", file);
    }
}


ngx_uint_t
ngx_http_goosebit_pg_host_count(ngx_http_goosebit_pg_t *pg)
{
    return pg->nhosts;
}


PGconn *
ngx_http_goosebit_pg_host_start(ngx_http_goosebit_pg_t *pg, ngx_uint_t n)
{
    ngx_http_goosebit_host_t      *host;
    ngx_http_goosebit_database_t  *db;

    db = pg->database;
    host = &pg->hosts[n];

    db->values[db->nkeywords] = (char *) host->host.data;
    db->values[db->nkeywords + 1] = (char *) host->address.data;
    db->values[db->nkeywords + 2] = (char *) host->port.data;

    return PQconnectStartParams(db->keywords, db->values, 0);
}


ngx_int_t
ngx_http_goosebit_pg_host_ready(ngx_http_goosebit_pg_t *pg)
{
    if (pg->new_pool) {
        return NGX_AGAIN;
    }

    if (!pg->resolve || pg->database->resolver == NULL) {
        return NGX_OK;
    }

    pg->new_pool = ngx_create_pool(1024, pg->log);
    if (pg->new_pool == NULL) {
        return NGX_OK;
    }

    if (ngx_array_init(&pg->new_hosts, pg->new_pool, 4,
                       sizeof(ngx_http_goosebit_host_t))
        != NGX_OK)
    {
        ngx_destroy_pool(pg->new_pool);
        pg->new_pool = NULL;
        return NGX_OK;
    }

    pg->resolve = 0;
    pg->name = 0;

    ngx_http_goosebit_pg_host_step(pg);

    return pg->new_pool ? NGX_AGAIN : NGX_OK;
}


/* one name after the other, in the order of the string */

static void
ngx_http_goosebit_pg_host_step(ngx_http_goosebit_pg_t *pg)
{
    ngx_resolver_ctx_t        *ctx;
    ngx_http_goosebit_host_t  *name;

    while (pg->name < pg->database->names.nelts) {
        name = pg->database->names.elts;
        name += pg->name++;

        if (!ngx_http_goosebit_pg_host_is_name(name)) {
            (void) ngx_http_goosebit_pg_host_add(&pg->new_hosts, pg->new_pool,
                                                 name, NULL, 0);
            continue;
        }

        ctx = ngx_resolve_start(pg->database->resolver, NULL);

        if (ctx == NULL || ctx == NGX_NO_RESOLVER) {
            continue;
        }

        ctx->name = name->host;
        ctx->handler = ngx_http_goosebit_pg_host_handler;
        ctx->data = pg;
        ctx->timeout = pg->database->resolver_timeout;
        ctx->cancelable = 1;

        pg->resolving = ctx;

        if (ngx_resolve_name(ctx) != NGX_OK) {
            /* and the context is freed */
            pg->resolving = NULL;
            continue;
        }

        return;
    }

    ngx_http_goosebit_pg_host_done(pg);
}


static void
ngx_http_goosebit_pg_host_handler(ngx_resolver_ctx_t *ctx)
{
    ngx_uint_t                 i;
    ngx_http_goosebit_pg_t    *pg;
    ngx_http_goosebit_host_t  *name;

    pg = ctx->data;
    pg->resolving = NULL;

    name = pg->database->names.elts;
    name += pg->name - 1;

    if (ctx->state) {
        ngx_log_error(NGX_LOG_ERR, pg->log, 0,
                      "goosebit: database host %V could not be resolved "
                      "(%i: %s)", &name->host, ctx->state,
                      ngx_resolver_strerror(ctx->state));
    }

    for (i = 0; ctx->state == 0 && i < ctx->naddrs; i++) {
        (void) ngx_http_goosebit_pg_host_add(&pg->new_hosts, pg->new_pool,
                                             name, ctx->addrs[i].sockaddr,
                                             ctx->addrs[i].socklen);
    }

    ngx_resolve_name_done(ctx);

    ngx_http_goosebit_pg_host_step(pg);
}


/* where nothing was found, what was known stays */

static void
ngx_http_goosebit_pg_host_done(ngx_http_goosebit_pg_t *pg)
{
    ngx_uint_t   i;
    ngx_pool_t  *pool;

    pool = pg->new_pool;
    pg->new_pool = NULL;

    if (pg->new_hosts.nelts) {

        if (pg->hosts_pool) {
            ngx_destroy_pool(pg->hosts_pool);
        }

        pg->hosts_pool = pool;
        pg->hosts = pg->new_hosts.elts;
        pg->nhosts = pg->new_hosts.nelts;

    } else {
        ngx_destroy_pool(pool);
    }

    for (i = 0; i < pg->nconns; i++) {
        if (pg->conns[i].state == NGX_HTTP_GOOSEBIT_PG_CLOSED) {
            ngx_http_goosebit_pg_conn_later(&pg->conns[i], 1);
        }
    }
}
