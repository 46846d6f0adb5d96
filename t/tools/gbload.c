/*
 * Device clients for measuring: CONNECTIONS keep-alive connections share
 * DEVICES devices, each of which takes its steps one after the other.
 *
 *   gbload register|cycle HOST PORT DEVICES CONNECTIONS [PREFIX [MODEL]]
 *
 * register: poll, configData.
 * cycle:    poll, deploymentBase, proceeding, closed with success.
 *
 * Prints one JSON object; exit code 1 where an answer was not what it must be.
 */

#include <stdbool.h>
#include <unistd.h>

#include "load.h"


#define LOAD_BUFFER   16384
#define LOAD_HREF     512
#define LOAD_MAX_CONN 1024


typedef struct {
    int     fd;
    int     device;             /* number, -1 when there are no more */
    int     step;
    size_t  len;
    double  sent;
    char    href[LOAD_HREF];    /* path of the deploymentBase */
    char    in[LOAD_BUFFER + 1];
} load_conn_t;

typedef struct {
    const char  *host;
    const char  *port;
    const char  *prefix;
    const char  *model;
    bool         cycle;
    int          devices;
    int          next;
    int          done;          /* devices that took all their steps */
    int          failed;
    int          epoll;
    long         requests;
    double      *latency;       /* seconds, one a request */
} load_t;


static int
load_feedback(const load_t *l, load_conn_t *c, const char *execution,
    const char *finished, char *out, size_t size)
{
    int    n, path;
    char   body[512];
    char  *end;

    /* the query of the link does not belong to the feedback's path */
    end = strchr(c->href, '?');
    path = end != NULL ? (int) (end - c->href) : (int) strlen(c->href);

    n = snprintf(body, sizeof(body), "{\"id\":\"1\",\"status\":{\"execution\":"
                 "\"%s\",\"result\":{\"finished\":\"%s\"},\"details\":"
                 "[\"step %d of device %d\"]}}",
                 execution, finished, c->step, c->device);

    return snprintf(out, size, "POST %.*s/feedback HTTP/1.1\r\nHost: %s:%s\r\n"
                    "Content-Type: application/json\r\n"
                    "Content-Length: %d\r\n\r\n%s",
                    path, c->href, l->host, l->port, n, body);
}


static int
load_config_data(const load_t *l, load_conn_t *c, char *out, size_t size)
{
    int   n;
    char  body[512];

    /* gooseBit knows a model by this name only, we by this one too */
    n = snprintf(body, sizeof(body), "{\"mode\":\"merge\",\"data\":{"
                 "\"hw_boardname\":\"%s\",\"hw_revision\":\"1.0\","
                 "\"sw_version\":\"1.0.0\"}}", l->model);

    return snprintf(out, size, "PUT /DEFAULT/controller/v1/%s%d/configData "
                    "HTTP/1.1\r\nHost: %s:%s\r\n"
                    "Content-Type: application/json\r\n"
                    "Content-Length: %d\r\n\r\n%s",
                    l->prefix, c->device, l->host, l->port, n, body);
}


static void
load_send(load_t *l, load_conn_t *c)
{
    int   n;
    char  out[2048];

    if (c->step == 0) {
        n = snprintf(out, sizeof(out), "GET /DEFAULT/controller/v1/%s%d "
                     "HTTP/1.1\r\nHost: %s:%s\r\n\r\n",
                     l->prefix, c->device, l->host, l->port);

    } else if (!l->cycle) {
        n = load_config_data(l, c, out, sizeof(out));

    } else if (c->step == 1) {
        n = snprintf(out, sizeof(out), "GET %s HTTP/1.1\r\nHost: %s:%s\r\n"
                     "\r\n", c->href, l->host, l->port);

    } else if (c->step == 2) {
        n = load_feedback(l, c, "proceeding", "none", out, sizeof(out));

    } else {
        n = load_feedback(l, c, "closed", "success", out, sizeof(out));
    }

    c->len = 0;
    c->sent = load_now();

    if (write(c->fd, out, (size_t) n) != n) {
        load_die("write");
    }
}


/* Takes the next device; false when none is left. */

static bool
load_next(load_t *l, load_conn_t *c)
{
    c->step = 0;
    c->device = l->next < l->devices ? l->next++ : -1;

    if (c->device == -1) {
        return false;
    }

    load_send(l, c);

    return true;
}


/* The path of a link, out of `"deploymentBase":{"href":"http://HOST/PATH"`. */

static bool
load_href(load_conn_t *c)
{
    char    *p, *end;
    size_t   len;

    p = strstr(c->in, "\"deploymentBase\"");
    p = p != NULL ? strstr(p, "://") : NULL;
    p = p != NULL ? strchr(p + 3, '/') : NULL;
    end = p != NULL ? strchr(p, '"') : NULL;

    if (end == NULL) {
        return false;
    }

    len = (size_t) (end - p);
    if (len >= sizeof(c->href)) {
        return false;
    }

    memcpy(c->href, p, len);
    c->href[len] = '\0';

    return true;
}


/* Judges a whole answer and goes on; false when the connection is done. */

static bool
load_answer(load_t *l, load_conn_t *c)
{
    bool  ok;

    l->latency[l->requests++] = load_now() - c->sent;
    ok = strncmp(c->in, "HTTP/1.1 200", 12) == 0;

    /* nginx's keepalive_requests */
    if (strcasestr(c->in, "\r\nConnection: close\r\n") != NULL) {
        close(c->fd);
        c->fd = load_connect(l->epoll, l->host, l->port, c);
    }

    if (ok && c->step == 0 && l->cycle) {
        ok = load_href(c);
    }

    if (!ok) {
        if (l->failed++ < 3) {
            fprintf(stderr, "gbload: device %d, step %d: %s\n", c->device,
                    c->step, c->in);
        }

        return load_next(l, c);
    }

    c->step++;

    if (c->step == (l->cycle ? 4 : 2)) {
        l->done++;
        return load_next(l, c);
    }

    load_send(l, c);

    return true;
}


static bool
load_read(load_t *l, load_conn_t *c)
{
    char     *body, *length;
    size_t    want;
    ssize_t   n;

    n = read(c->fd, c->in + c->len, LOAD_BUFFER - c->len);
    if (n <= 0) {
        load_die("the server closed the connection");
    }

    c->len += (size_t) n;
    c->in[c->len] = '\0';

    body = strstr(c->in, "\r\n\r\n");
    if (body == NULL) {
        return true;
    }

    length = strcasestr(c->in, "\r\nContent-Length:");
    want = length != NULL && length < body
           ? strtoul(length + 17, NULL, 10) : 0;

    if (c->len - (size_t) (body + 4 - c->in) < want) {
        return true;
    }

    return load_answer(l, c);
}


static int
load_compare(const void *a, const void *b)
{
    double  x = *(const double *) a, y = *(const double *) b;

    return x < y ? -1 : x > y;
}


static void
load_report(load_t *l, double seconds)
{
    double  p50, p99;

    p50 = p99 = 0;

    if (l->requests > 0) {
        qsort(l->latency, (size_t) l->requests, sizeof(double), load_compare);
        p50 = l->latency[l->requests / 2];
        p99 = l->latency[l->requests * 99 / 100];
    }

    printf("{\"devices\":%d,\"done\":%d,\"failed\":%d,\"requests\":%ld,"
           "\"seconds\":%.6f,\"rate\":%.1f,\"p50_ms\":%.3f,\"p99_ms\":%.3f}\n",
           l->devices, l->done, l->failed, l->requests, seconds,
           (double) l->requests / seconds, p50 * 1e3, p99 * 1e3);
}


static void
load_run(load_t *l, int n)
{
    int                  i, got, open;
    double               start;
    load_conn_t         *conns;
    struct epoll_event   events[64];

    conns = calloc((size_t) n, sizeof(load_conn_t));
    l->latency = calloc((size_t) l->devices * 4 + 1, sizeof(double));
    l->epoll = epoll_create1(0);

    if (conns == NULL || l->latency == NULL || l->epoll == -1) {
        load_die("memory");
    }

    for (i = 0; i < n; i++) {
        conns[i].fd = load_connect(l->epoll, l->host, l->port,
                                   &conns[i]);
    }

    start = load_now();
    open = 0;

    for (i = 0; i < n; i++) {
        open += load_next(l, &conns[i]);
    }

    while (open > 0) {
        got = epoll_wait(l->epoll, events, 64, 30000);

        /* a stop and its end interrupt this, even with no handler */
        if (got == 0 || (got == -1 && errno != EINTR)) {
            load_die("no answer within 30 s");
        }

        for (i = 0; i < got; i++) {
            if (!load_read(l, events[i].data.ptr)) {
                open--;
            }
        }
    }

    load_report(l, load_now() - start);

    for (i = 0; i < n; i++) {
        close(conns[i].fd);
    }

    close(l->epoll);
    free(conns);
    free(l->latency);
}


int
main(int argc, char **argv)
{
    int     conns;
    load_t  l;

    memset(&l, 0, sizeof(l));

    if (argc < 6 || argc > 8
        || (strcmp(argv[1], "register") != 0 && strcmp(argv[1], "cycle") != 0))
    {
        fprintf(stderr, "usage: gbload register|cycle HOST PORT DEVICES "
                "CONNECTIONS [PREFIX [MODEL]]\n");
        return 2;
    }

    l.cycle = strcmp(argv[1], "cycle") == 0;
    l.host = argv[2];
    l.port = argv[3];
    l.devices = atoi(argv[4]);
    conns = atoi(argv[5]);
    l.prefix = argc > 6 ? argv[6] : "bench-";
    l.model = argc > 7 ? argv[7] : "bench";

    if (l.devices < 1 || conns < 1 || conns > LOAD_MAX_CONN) {
        fprintf(stderr, "gbload: DEVICES or CONNECTIONS out of range\n");
        return 2;
    }

    load_run(&l, conns);

    return l.failed == 0 && l.done == l.devices ? 0 : 1;
}
