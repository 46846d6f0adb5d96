/*
 * Where PostgreSQL is, as the master reads it: conninfo to a list of hosts,
 * and names to addresses, which libpq would resolve with a blocking resolver.
 */

#include "ngx_http_goosebit_pg_conn.h"


#define NGX_HTTP_GOOSEBIT_PG_PORT  "5432"

/* a socket's directory that can't be one */
#define NGX_HTTP_GOOSEBIT_PG_NOWHERE  "/dev/null"

/* not taken from the string: set for each attempt, or ours */
#define NGX_HTTP_GOOSEBIT_PG_OURS  6


static ngx_int_t ngx_http_goosebit_pg_host_keywords(ngx_conf_t *cf,
    ngx_http_goosebit_database_t *db, PQconninfoOption *options);
static ngx_int_t ngx_http_goosebit_pg_host_default(ngx_conf_t *cf,
    ngx_http_goosebit_database_t *db, const char *keyword, const char *value);
static ngx_int_t ngx_http_goosebit_pg_host_names(ngx_conf_t *cf,
    ngx_http_goosebit_database_t *db, PQconninfoOption *options);
static ngx_int_t ngx_http_goosebit_pg_host_list(ngx_conf_t *cf,
    const char *value, ngx_array_t *list);
static ngx_int_t ngx_http_goosebit_pg_host_check(ngx_conf_t *cf,
    ngx_http_goosebit_database_t *db, ngx_http_goosebit_host_t *name);
static ngx_uint_t ngx_http_goosebit_pg_host_is_address(ngx_str_t *text);
static ngx_int_t ngx_http_goosebit_pg_host_resolve(ngx_conf_t *cf,
    ngx_http_goosebit_database_t *db, ngx_http_goosebit_host_t *name);
static const char *ngx_http_goosebit_pg_host_option(
    PQconninfoOption *options, const char *keyword);


ngx_int_t
ngx_http_goosebit_pg_host_conf(ngx_conf_t *cf,
    ngx_http_goosebit_database_t *db)
{
    char                      *error;
    ngx_int_t                  rc;
    ngx_uint_t                 i;
    PQconninfoOption          *options;
    ngx_http_goosebit_host_t  *names;

    error = NULL;

    options = PQconninfoParse((char *) db->conninfo.data, &error);

    if (options == NULL) {
        /* libpq's message may quote the string, and so the password */
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "invalid connection string in %s", db->origin);
        PQfreemem(error);
        return NGX_ERROR;
    }

    rc = ngx_http_goosebit_pg_host_keywords(cf, db, options);

    if (rc == NGX_OK) {
        rc = ngx_http_goosebit_pg_host_names(cf, db, options);
    }

    PQconninfoFree(options);

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_array_init(&db->hosts, cf->pool, db->names.nelts,
                       sizeof(ngx_http_goosebit_host_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    names = db->names.elts;

    for (i = 0; i < db->names.nelts; i++) {
        if (ngx_http_goosebit_pg_host_check(cf, db, &names[i]) != NGX_OK
            || ngx_http_goosebit_pg_host_resolve(cf, db, &names[i]) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_goosebit_pg_host_keywords(ngx_conf_t *cf,
    ngx_http_goosebit_database_t *db, PQconninfoOption *options)
{
    ngx_uint_t         n;
    PQconninfoOption  *o;

    n = 0;

    for (o = options; o->keyword; o++) {
        n++;
    }

    n += NGX_HTTP_GOOSEBIT_PG_OURS + 1;

    db->keywords = ngx_pcalloc(cf->pool, n * sizeof(char *));
    db->values = ngx_pcalloc(cf->pool, n * sizeof(char *));

    if (db->keywords == NULL || db->values == NULL) {
        return NGX_ERROR;
    }

    for (o = options; o->keyword; o++) {

        if (o->val == NULL || ngx_strcmp(o->keyword, "host") == 0
            || ngx_strcmp(o->keyword, "hostaddr") == 0
            || ngx_strcmp(o->keyword, "port") == 0
            || ngx_strcmp(o->keyword, "connect_timeout") == 0)
        {
            continue;
        }

        if (ngx_strcmp(o->keyword, "service") == 0) {
            /* its file may name hosts that we never see */
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "\"service\" is not supported in the connection "
                          "string in %s", db->origin);
            return NGX_ERROR;
        }

        if (ngx_http_goosebit_pg_host_default(cf, db, o->keyword, o->val)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    /*
     * goosebit.yaml is gbctl's as well, where libpq's default for the user
     * is an operator; Kerberos would ask its servers, and wait for them.
     */

    if (ngx_http_goosebit_pg_host_default(cf, db, "user", "goosebit_ddi")
            != NGX_OK
        || ngx_http_goosebit_pg_host_default(cf, db, "gssencmode", "disable")
            != NGX_OK
        || ngx_http_goosebit_pg_host_default(cf, db, "client_encoding",
                                             "UTF8")
            != NGX_OK
        || ngx_http_goosebit_pg_host_default(cf, db,
                                             "fallback_application_name",
                                             "goosebit")
            != NGX_OK)
    {
        return NGX_ERROR;
    }

    db->keywords[db->nkeywords] = "host";
    db->keywords[db->nkeywords + 1] = "hostaddr";
    db->keywords[db->nkeywords + 2] = "port";

    return NGX_OK;
}


/* unless the keyword is there already */

static ngx_int_t
ngx_http_goosebit_pg_host_default(ngx_conf_t *cf,
    ngx_http_goosebit_database_t *db, const char *keyword, const char *value)
{
    u_char      *p;
    size_t       len;
    ngx_uint_t   i;

    for (i = 0; i < db->nkeywords; i++) {
        if (ngx_strcmp(db->keywords[i], keyword) == 0) {
            return NGX_OK;
        }
    }

    len = ngx_strlen(value) + 1;

    p = ngx_pnalloc(cf->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(p, value, len);
    db->values[i] = (char *) p;

    len = ngx_strlen(keyword) + 1;

    p = ngx_pnalloc(cf->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(p, keyword, len);
    db->keywords[i] = (char *) p;

    db->nkeywords++;

    return NGX_OK;
}


/* as libpq pairs them: host and hostaddr one to one, one port for all */

static ngx_int_t
ngx_http_goosebit_pg_host_names(ngx_conf_t *cf,
    ngx_http_goosebit_database_t *db, PQconninfoOption *options)
{
    ngx_str_t                 *host, *address, *port;
    ngx_uint_t                 i, n;
    ngx_array_t                hosts, addresses, ports;
    ngx_http_goosebit_host_t  *name;

    if (ngx_http_goosebit_pg_host_list(cf,
                      ngx_http_goosebit_pg_host_option(options, "host"),
                      &hosts)
            != NGX_OK
        || ngx_http_goosebit_pg_host_list(cf,
                      ngx_http_goosebit_pg_host_option(options, "hostaddr"),
                      &addresses)
            != NGX_OK
        || ngx_http_goosebit_pg_host_list(cf,
                      ngx_http_goosebit_pg_host_option(options, "port"),
                      &ports)
            != NGX_OK)
    {
        return NGX_ERROR;
    }

    host = hosts.elts;
    address = addresses.elts;
    port = ports.elts;

    n = ngx_max(hosts.nelts, addresses.nelts);

    if ((hosts.nelts && addresses.nelts && hosts.nelts != addresses.nelts)
        || (ports.nelts > 1 && ports.nelts != n))
    {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "numbers of hosts and ports differ in the connection "
                      "string in %s", db->origin);
        return NGX_ERROR;
    }

    n = ngx_max(n, 1);

    if (ngx_array_init(&db->names, cf->pool, n,
                       sizeof(ngx_http_goosebit_host_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {
        name = ngx_array_push(&db->names);
        if (name == NULL) {
            return NGX_ERROR;
        }

        ngx_str_set(&name->host, "");
        ngx_str_set(&name->address, "");
        ngx_str_set(&name->port, NGX_HTTP_GOOSEBIT_PG_PORT);

        if (hosts.nelts) {
            name->host = host[i];
        }

        if (addresses.nelts) {
            name->address = address[i];
        }

        if (ports.nelts) {
            name->port = (ports.nelts == 1) ? port[0] : port[i];
        }
    }

    return NGX_OK;
}


/* the elements of a comma separated value, as C strings; NULL has none */

static ngx_int_t
ngx_http_goosebit_pg_host_list(ngx_conf_t *cf, const char *value,
    ngx_array_t *list)
{
    size_t       len;
    ngx_str_t   *element;

    if (ngx_array_init(list, cf->temp_pool, 2, sizeof(ngx_str_t)) != NGX_OK) {
        return NGX_ERROR;
    }

    while (value) {
        element = ngx_array_push(list);
        if (element == NULL) {
            return NGX_ERROR;
        }

        len = strcspn(value, ",");

        element->len = len;
        element->data = ngx_pnalloc(cf->pool, len + 1);
        if (element->data == NULL) {
            return NGX_ERROR;
        }

        *ngx_cpymem(element->data, value, len) = '\0';

        value = (value[len] == ',') ? value + len + 1 : NULL;
    }

    return NGX_OK;
}


static const char *
ngx_http_goosebit_pg_host_option(PQconninfoOption *options,
    const char *keyword)
{
    for ( /* void */ ; options->keyword; options++) {
        if (ngx_strcmp(options->keyword, keyword) == 0) {
            return (options->val && options->val[0]) ? options->val : NULL;
        }
    }

    return NULL;
}


/*
 * What keywords mean libpq looks at when it begins to connect: here to nowhere,
 * so that a wrong value is told now, and not by each worker.  These don't have
 * the master's PG* variables, which libpq would take for the string's.
 */

static ngx_int_t
ngx_http_goosebit_pg_host_check(ngx_conf_t *cf,
    ngx_http_goosebit_database_t *db, ngx_http_goosebit_host_t *name)
{
    char       **env;
    PGconn      *conn;
    ngx_int_t    rc;
    const char  *why;

    static char  *none[] = { NULL };

    if (name->address.len
        && !ngx_http_goosebit_pg_host_is_address(&name->address))
    {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "invalid hostaddr \"%V\" in the connection string in %s",
                      &name->address, db->origin);
        return NGX_ERROR;
    }

    db->values[db->nkeywords] = NGX_HTTP_GOOSEBIT_PG_NOWHERE;
    db->values[db->nkeywords + 1] = NULL;
    db->values[db->nkeywords + 2] = (char *) name->port.data;

    env = environ;
    environ = none;
    conn = PQconnectStartParams(db->keywords, db->values, 0);
    environ = env;

    why = PQerrorMessage(conn);
    rc = NGX_OK;

    /* its message that there is no connection begins otherwise */

    if (ngx_strncmp(why, "invalid ", 8) == 0) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "%*s in the connection string in %s",
                      strcspn(why, "\n"), why, db->origin);
        rc = NGX_ERROR;
    }

    PQfinish(conn);

    return rc;
}


/* at (re)load, in the master: may block, as NGINX itself does there */

static ngx_int_t
ngx_http_goosebit_pg_host_resolve(ngx_conf_t *cf,
    ngx_http_goosebit_database_t *db, ngx_http_goosebit_host_t *name)
{
    ngx_url_t   u;
    ngx_uint_t  i;

    if (!ngx_http_goosebit_pg_host_is_name(name)) {
        return ngx_http_goosebit_pg_host_add(&db->hosts, cf->pool, name, NULL,
                                             0);
    }

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url = name->host;
    u.host = name->host;

    if (ngx_inet_resolve_host(cf->pool, &u) != NGX_OK) {

        if (db->resolver) {
            ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                          "%s in the database host \"%V\" in %s, the "
                          "resolver is to find it later",
                          u.err ? u.err : "error", &name->host, db->origin);
            return NGX_OK;
        }

        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "%s in the database host \"%V\" in %s",
                      u.err ? u.err : "error", &name->host, db->origin);
        return NGX_ERROR;
    }

    for (i = 0; i < u.naddrs; i++) {
        if (ngx_http_goosebit_pg_host_add(&db->hosts, cf->pool, name,
                                          u.addrs[i].sockaddr,
                                          u.addrs[i].socklen)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


ngx_uint_t
ngx_http_goosebit_pg_host_is_name(ngx_http_goosebit_host_t *name)
{
    if (name->address.len || name->host.len == 0
        || name->host.data[0] == '/' || name->host.data[0] == '@')
    {
        return 0;
    }

    return !ngx_http_goosebit_pg_host_is_address(&name->host);
}


/* that of an interface, fe80::1%eth0, as well, which inet_pton() refuses */

static ngx_uint_t
ngx_http_goosebit_pg_host_is_address(ngx_str_t *text)
{
    u_char  ignored[sizeof(struct in6_addr)];

#if (NGX_HAVE_INET6)
    if (ngx_inet6_addr(text->data, strcspn((char *) text->data, "%"), ignored)
        == NGX_OK)
    {
        return 1;
    }
#endif

    return inet_pton(AF_INET, (char *) text->data, ignored) == 1;
}


ngx_int_t
ngx_http_goosebit_pg_host_add(ngx_array_t *hosts, ngx_pool_t *pool,
    ngx_http_goosebit_host_t *name, struct sockaddr *sa, socklen_t socklen)
{
    u_char                    *p;
    ngx_http_goosebit_host_t  *host;

    host = ngx_array_push(hosts);
    if (host == NULL) {
        return NGX_ERROR;
    }

    *host = *name;

    if (sa == NULL) {
        return NGX_OK;
    }

    p = ngx_pcalloc(pool, NGX_SOCKADDR_STRLEN + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    host->address.data = p;
    host->address.len = ngx_sock_ntop(sa, socklen, p, NGX_SOCKADDR_STRLEN, 0);

    /* libpq knows an IPv6 address without NGINX's brackets alone */

    if (host->address.len > 2 && p[0] == '[') {
        host->address.len -= 2;
        ngx_memmove(p, p + 1, host->address.len);
        p[host->address.len] = '\0';
    }

    return NGX_OK;
}
