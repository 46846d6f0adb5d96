/*
 * The connection of a call to external_url, over TLS where the URL says so, on
 * NGINX's event loop.  Only the status line of the answer is read.
 */

#include "ngx_http_goosebit_access_call.h"


static void ngx_http_goosebit_access_call_connected(ngx_event_t *ev);
static void ngx_http_goosebit_access_call_tls(
    ngx_http_goosebit_access_call_t *call);
static void ngx_http_goosebit_access_call_handshake(ngx_connection_t *c);
static ngx_uint_t ngx_http_goosebit_access_call_verify(
    ngx_http_goosebit_access_call_t *call, ngx_connection_t *c);
static void ngx_http_goosebit_access_call_ready(
    ngx_http_goosebit_access_call_t *call);
static void ngx_http_goosebit_access_call_write(ngx_event_t *ev);
static void ngx_http_goosebit_access_call_idle(ngx_event_t *ev);
static void ngx_http_goosebit_access_call_read(ngx_event_t *ev);
static ngx_int_t ngx_http_goosebit_access_call_status(
    ngx_http_goosebit_access_call_t *call);


/* one address after the other, until one answers */

void
ngx_http_goosebit_access_call_connect(ngx_http_goosebit_access_call_t *call)
{
    ngx_int_t               rc;
    ngx_addr_t             *addr;
    ngx_connection_t       *c;
    ngx_peer_connection_t  *peer;

    while (call->addr < call->naddrs) {
        addr = &call->addrs[call->addr++];
        peer = &call->peer;

        ngx_memzero(peer, sizeof(ngx_peer_connection_t));

        peer->sockaddr = addr->sockaddr;
        peer->socklen = addr->socklen;
        peer->name = &addr->name;
        peer->get = ngx_event_get_peer;
        peer->log = call->log;
        peer->log_error = NGX_ERROR_ERR;

        rc = ngx_event_connect_peer(peer);

        if (rc == NGX_ERROR || rc == NGX_BUSY || rc == NGX_DECLINED) {
            ngx_http_goosebit_access_call_close(call);
            continue;
        }

        c = peer->connection;

        c->data = call;
        c->pool = call->pool;
        c->log = call->log;
        c->read->log = call->log;
        c->write->log = call->log;
        c->read->handler = ngx_http_goosebit_access_call_connected;
        c->write->handler = ngx_http_goosebit_access_call_connected;

        if (rc == NGX_OK) {
            ngx_http_goosebit_access_call_connected(c->write);
        }

        return;
    }

    ngx_http_goosebit_access_call_fail(call, 0, "can't be reached");
}


void
ngx_http_goosebit_access_call_close(ngx_http_goosebit_access_call_t *call)
{
    ngx_connection_t  *c;

    c = call->peer.connection;

    if (c == NULL) {
        return;
    }

    if (c->ssl) {
        c->ssl->no_wait_shutdown = 1;
        c->ssl->no_send_shutdown = 1;
        (void) ngx_ssl_shutdown(c);
    }

    ngx_close_connection(c);
    call->peer.connection = NULL;
}


static void
ngx_http_goosebit_access_call_connected(ngx_event_t *ev)
{
    int                               err;
    socklen_t                         len;
    ngx_connection_t                 *c;
    ngx_http_goosebit_access_call_t  *call;

    c = ev->data;
    call = c->data;

    err = 0;
    len = sizeof(int);

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, (void *) &err, &len) == -1) {
        err = ngx_socket_errno;
    }

    if (err) {
        ngx_log_error(NGX_LOG_ERR, call->log, err,
                      "connect() to external_url %V failed",
                      &call->remote->name);

        ngx_http_goosebit_access_call_close(call);
        ngx_http_goosebit_access_call_connect(call);
        return;
    }

    if (call->remote->ssl) {
        ngx_http_goosebit_access_call_tls(call);
        return;
    }

    ngx_http_goosebit_access_call_ready(call);
}


static void
ngx_http_goosebit_access_call_tls(ngx_http_goosebit_access_call_t *call)
{
    ngx_int_t          rc;
    ngx_connection_t  *c;

    c = call->peer.connection;

    if (ngx_ssl_create_connection(call->ssl, c,
                                  NGX_SSL_BUFFER|NGX_SSL_CLIENT)
        != NGX_OK)
    {
        ngx_http_goosebit_access_call_fail(call, 0, "got no TLS");
        return;
    }

    /* RFC 6066, 3: no addresses */

    if (!call->remote->literal
        && SSL_set_tlsext_host_name(c->ssl->connection,
                                    (char *) call->remote->host.data)
           != 1)
    {
        ngx_http_goosebit_access_call_fail(call, 0, "got no TLS");
        return;
    }

    rc = ngx_ssl_handshake(c);

    if (rc == NGX_AGAIN) {
        c->ssl->handler = ngx_http_goosebit_access_call_handshake;
        return;
    }

    ngx_http_goosebit_access_call_handshake(c);
}


static void
ngx_http_goosebit_access_call_handshake(ngx_connection_t *c)
{
    ngx_http_goosebit_access_call_t  *call;

    call = c->data;

    if (!c->ssl->handshaked) {
        ngx_http_goosebit_access_call_fail(call, 0, "refused TLS");
        return;
    }

    if (!ngx_http_goosebit_access_call_verify(call, c)) {
        ngx_http_goosebit_access_call_fail(call, 0,
                                           "has no valid certificate");
        return;
    }

    ngx_http_goosebit_access_call_ready(call);
}


/* before the token is sent */

static ngx_uint_t
ngx_http_goosebit_access_call_verify(ngx_http_goosebit_access_call_t *call,
    ngx_connection_t *c)
{
    long         rc;
    X509        *cert;
    ngx_uint_t   ok;

    rc = SSL_get_verify_result(c->ssl->connection);

    if (rc != X509_V_OK) {
        ngx_log_error(NGX_LOG_ERR, call->log, 0,
                      "certificate of external_url %V: (%l:%s)",
                      &call->remote->name, rc,
                      X509_verify_cert_error_string(rc));
        return 0;
    }

    if (!call->remote->literal) {
        return ngx_ssl_check_host(c, &call->remote->host) == NGX_OK;
    }

    cert = SSL_get_peer_certificate(c->ssl->connection);
    if (cert == NULL) {
        return 0;
    }

    ok = X509_check_ip_asc(cert, (char *) call->remote->host.data, 0) == 1;

    X509_free(cert);

    return ok;
}


static void
ngx_http_goosebit_access_call_ready(ngx_http_goosebit_access_call_t *call)
{
    ngx_connection_t  *c;

    c = call->peer.connection;

    c->read->handler = ngx_http_goosebit_access_call_read;
    c->write->handler = ngx_http_goosebit_access_call_write;

    ngx_http_goosebit_access_call_write(c->write);
}


static void
ngx_http_goosebit_access_call_write(ngx_event_t *ev)
{
    ssize_t                           n;
    ngx_buf_t                        *b;
    ngx_connection_t                 *c;
    ngx_http_goosebit_access_call_t  *call;

    c = ev->data;
    call = c->data;
    b = call->request;

    while (b->pos < b->last) {
        n = c->send(c, b->pos, b->last - b->pos);

        if (n == NGX_AGAIN) {
            if (ngx_handle_write_event(c->write, 0) != NGX_OK) {
                ngx_http_goosebit_access_call_fail(call, 0, "can't be asked");
            }

            return;
        }

        if (n <= 0) {
            ngx_http_goosebit_access_call_fail(call, 0, "closed too early");
            return;
        }

        b->pos += n;
    }

    c->write->handler = ngx_http_goosebit_access_call_idle;

    if (ngx_handle_write_event(c->write, 0) != NGX_OK) {
        ngx_http_goosebit_access_call_fail(call, 0, "can't be asked");
        return;
    }

    ngx_http_goosebit_access_call_read(c->read);
}


static void
ngx_http_goosebit_access_call_idle(ngx_event_t *ev)
{
    /* all is sent */
}


static void
ngx_http_goosebit_access_call_read(ngx_event_t *ev)
{
    ssize_t                           n;
    ngx_int_t                         status;
    ngx_connection_t                 *c;
    ngx_http_goosebit_access_call_t  *call;

    c = ev->data;
    call = c->data;

    while (call->received < NGX_HTTP_GOOSEBIT_ACCESS_LINE) {
        n = c->recv(c, call->line + call->received,
                    NGX_HTTP_GOOSEBIT_ACCESS_LINE - call->received);

        if (n == NGX_AGAIN) {
            if (ngx_handle_read_event(c->read, 0) != NGX_OK) {
                ngx_http_goosebit_access_call_fail(call, 0, "can't be read");
            }

            return;
        }

        if (n <= 0) {
            ngx_http_goosebit_access_call_fail(call, 0,
                                               "closed without an answer");
            return;
        }

        call->received += n;

        status = ngx_http_goosebit_access_call_status(call);

        if (status == NGX_AGAIN) {
            continue;
        }

        if (status == NGX_ERROR) {
            break;
        }

        if (status >= NGX_HTTP_INTERNAL_SERVER_ERROR) {
            ngx_log_error(NGX_LOG_ERR, call->log, 0,
                          "external_url %V answered %i", &call->remote->name,
                          status);
        }

        ngx_http_goosebit_access_call_finish(call, status);
        return;
    }

    ngx_http_goosebit_access_call_fail(call, 0, "answered no HTTP");
}


/* "HTTP/1.1 200 OK": RFC 9112, 4 */

static ngx_int_t
ngx_http_goosebit_access_call_status(ngx_http_goosebit_access_call_t *call)
{
    size_t     len;
    u_char    *p;
    ngx_int_t  status;

    len = sizeof("HTTP/1.1 200") - 1;
    p = call->line;

    if (ngx_strncmp(p, "HTTP/1.", ngx_min(call->received, 7)) != 0) {
        return NGX_ERROR;
    }

    if (call->received <= len) {
        return NGX_AGAIN;
    }

    status = ngx_atoi(p + 9, 3);

    if (p[8] != ' ' || status < 200 || status > 599
        || (p[len] != ' ' && p[len] != CR && p[len] != LF))
    {
        return NGX_ERROR;
    }

    return status;
}
