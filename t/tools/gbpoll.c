/*
 * A fleet of requests for measuring, at little cost of its own: the same GET
 * with a number at its end, at random out of COUNT or in order, over
 * keep-alive connections of which each has one request under way.
 *
 *   gbpoll HOST PORT CONNECTIONS SECONDS RATE PREFIX COUNT [FIRST]
 *   gbpoll -r SIZE HOST PORT CONNECTIONS SECONDS RATE PATH COUNT
 *
 * RATE 0: each connection asks again when it is answered.
 * RATE N: N requests a second come by themselves, at random moments as those
 *         of devices that know nothing of each other (a Poisson process). One
 *         that finds no connection free waits for one, and its latency counts
 *         from the moment it was due.
 * FIRST:  not at random, but FIRST + 1, FIRST + 2 ... COUNT, 1, 2 ...
 * -r:     SIZE bytes from anywhere in a file of COUNT bytes.
 *
 * Prints one JSON object; `distinct` counts the numbers asked for, `failed`
 * answers that are neither 200 nor 206, connections that broke, and requests
 * still unanswered 2 s after the end.
 */

#include <math.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <unistd.h>

#include "load.h"


#define POLL_BUFFER   65536
#define POLL_HEAD     2048      /* bytes of an answer's head, at most */
#define POLL_REQUEST  1024
#define POLL_EVENTS   256
#define POLL_MOST     10000000  /* us: what takes longer counts as this */
#define POLL_LAST     10.0      /* s, for what is under way at the end */


typedef struct {
    int       fd;
    bool      busy;
    bool      body;             /* the head is there */
    double    due;
    size_t    len;              /* of head */
    size_t    left;             /* of the body */
    char      head[POLL_HEAD + 1];
} poll_conn_t;

typedef struct {
    const char   *host;
    const char   *port;
    double        rate;
    uint64_t      count;
    uint64_t      next;         /* in order; 0: at random */
    uint64_t      range;        /* 0: the number ends the path */
    uint64_t      random;

    char          request[POLL_REQUEST];
    size_t        prefix;       /* bytes of request before the number */
    char          tail[POLL_REQUEST];
    size_t        tail_len;

    poll_conn_t  *conns;
    poll_conn_t **idle;         /* a ring: each has its turn */
    int           conns_n;
    int           idle_n;
    int           idle_at;
    int           busy;
    int           epoll;

    double        due;          /* of the next request */
    double        end;
    long          requests;
    long          failed;
    uint32_t     *us;           /* how many took so long */
    bool         *asked;        /* each number */
    char          in[POLL_BUFFER];
} poll_t;


/* xorshift64* */

static uint64_t
poll_random(poll_t *l)
{
    l->random ^= l->random >> 12;
    l->random ^= l->random << 25;
    l->random ^= l->random >> 27;

    return l->random * 0x2545f4914f6cdd1dULL;
}


/* seconds to the next request that comes by itself */

static double
poll_gap(poll_t *l)
{
    double  u;

    u = (double) ((poll_random(l) >> 11) + 1) / 9007199254740992.0;

    return -log(u) / l->rate;
}


static size_t
poll_number(char *out, uint64_t n)
{
    char    digits[20];
    size_t  i, len;

    len = 0;

    do {
        digits[len++] = (char) ('0' + n % 10);
        n /= 10;
    } while (n);

    for (i = 0; i < len; i++) {
        out[i] = digits[len - 1 - i];
    }

    return len;
}


static void
poll_free(poll_t *l, poll_conn_t *c)
{
    l->idle[(l->idle_at + l->idle_n++) % l->conns_n] = c;
}


static poll_conn_t *
poll_take(poll_t *l)
{
    poll_conn_t  *c;

    c = l->idle[l->idle_at];
    l->idle_at = (l->idle_at + 1) % l->conns_n;
    l->idle_n--;

    return c;
}


static void
poll_send(poll_t *l, poll_conn_t *c, double due)
{
    char      *p;
    uint64_t   n;

    p = l->request + l->prefix;

    if (l->range) {
        n = poll_random(l) % (l->count - l->range + 1);
        p += poll_number(p, n);
        *p++ = '-';
        p += poll_number(p, n + l->range - 1);

    } else {
        n = l->next ? l->next++ : poll_random(l);
        n = (n - (l->next != 0)) % l->count;
        l->asked[n] = true;
        p += poll_number(p, n + 1);
    }

    memcpy(p, l->tail, l->tail_len);
    p += l->tail_len;

    c->busy = true;
    c->body = false;
    c->due = due;
    c->len = 0;
    l->busy++;

    /* one that can't be sent is seen when its answer is read */
    if (write(c->fd, l->request, (size_t) (p - l->request)) < 0
        && errno != EPIPE && errno != ECONNRESET)
    {
        load_die("write");
    }
}


/* A connection's request is over; -1: by itself, else the answer's status. */

static void
poll_done(poll_t *l, poll_conn_t *c, int status)
{
    double  now, us;

    now = load_now();

    if (c->busy) {
        c->busy = false;
        l->busy--;
        l->requests++;
        l->failed += status != 200 && status != 206;

        us = (now - c->due) * 1e6;
        l->us[us < POLL_MOST ? (long) us : POLL_MOST - 1]++;
    }

    if (status == -1 || strcasestr(c->head, "\nConnection: close") != NULL) {
        close(c->fd);
        c->fd = load_connect(l->epoll, l->host, l->port, c);
    }

    if (l->rate > 0) {
        poll_free(l, c);

    } else if (now < l->end) {
        poll_send(l, c, now);
    }
}


/* How many of the bytes belong to the head. */

static size_t
poll_head(poll_conn_t *c, const char *in, size_t n)
{
    char    *end, *length;
    size_t   old, most;

    old = c->len;
    most = POLL_HEAD - old < n ? POLL_HEAD - old : n;

    memcpy(c->head + old, in, most);
    c->len += most;
    c->head[c->len] = '\0';

    end = strstr(c->head, "\r\n\r\n");

    if (end == NULL) {
        if (c->len == POLL_HEAD) {
            errno = EPROTO;
            load_die("a long head");
        }
        return n;
    }

    end[2] = '\0';
    c->body = true;

    length = strcasestr(c->head, "\nContent-Length:");
    c->left = length != NULL ? strtoul(length + 16, NULL, 10) : 0;

    return (size_t) (end + 4 - c->head) - old;
}


static void
poll_read(poll_t *l, poll_conn_t *c)
{
    size_t    n, used;
    ssize_t   got;

    got = read(c->fd, l->in, sizeof(l->in));
    if (got <= 0) {

        if (c->busy) {
            poll_done(l, c, -1);

        } else {
            /* an idle one */
            close(c->fd);
            c->fd = load_connect(l->epoll, l->host, l->port, c);
        }

        return;
    }

    n = (size_t) got;
    used = c->body ? 0 : poll_head(c, l->in, n);

    if (!c->body) {
        return;
    }

    c->left -= n - used < c->left ? n - used : c->left;

    if (c->left == 0) {
        poll_done(l, c, atoi(c->head + 9));
    }
}


/* Sends what is due; seconds until the next is. */

static double
poll_due(poll_t *l)
{
    double  now;

    now = load_now();

    if (l->rate == 0 || now >= l->end) {
        return 0.01;
    }

    while (l->due <= now && l->idle_n > 0) {
        poll_send(l, poll_take(l), l->due);
        l->due += poll_gap(l);
    }

    return l->due > now ? l->due - now : 0.01;
}


static void
poll_run(poll_t *l)
{
    int                  i, got;
    double               wait;
    struct timespec      ts;
    struct epoll_event   events[POLL_EVENTS];

    for (i = 0; i < l->conns_n; i++) {
        if (l->rate > 0) {
            poll_free(l, &l->conns[i]);

        } else {
            poll_send(l, &l->conns[i], load_now());
        }
    }

    for ( ;; ) {
        wait = poll_due(l);

        if (load_now() >= l->end
            && (l->busy == 0 || load_now() >= l->end + POLL_LAST))
        {
            break;
        }

        ts.tv_sec = 0;
        ts.tv_nsec = (long) (wait < 0.01 ? wait * 1e9 : 1e7);

        got = epoll_pwait2(l->epoll, events, POLL_EVENTS, &ts, NULL);

        /* a stop and its end interrupt this, even with no handler */
        if (got == -1 && errno != EINTR) {
            load_die("epoll_pwait2");
        }

        for (i = 0; i < got; i++) {
            poll_read(l, events[i].data.ptr);
        }
    }

    l->requests += l->busy;
    l->failed += l->busy;
    l->us[POLL_MOST - 1] += (uint32_t) l->busy;
}


/* ms that this part of all requests took at most */

static double
poll_percentile(const poll_t *l, double part)
{
    long  i, n;

    n = (long) ((double) (l->requests - 1) * part);

    for (i = 0; i < POLL_MOST - 1; i++) {
        n -= l->us[i];

        if (n < 0) {
            break;
        }
    }

    return (double) i / 1e3;
}


static void
poll_report(const poll_t *l, double seconds)
{
    double         cpu;
    uint64_t       i, distinct;
    struct rusage  u;

    distinct = 0;

    for (i = 0; !l->range && i < l->count; i++) {
        distinct += l->asked[i];
    }

    getrusage(RUSAGE_SELF, &u);
    cpu = (double) (u.ru_utime.tv_sec + u.ru_stime.tv_sec)
          + (double) (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;

    printf("{\"requests\":%ld,\"distinct\":%lu,\"failed\":%ld,"
           "\"seconds\":%.6f,"
           "\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f,"
           "\"load_cores\":%.3f}\n",
           l->requests, distinct, l->failed, seconds, poll_percentile(l, 0.5),
           poll_percentile(l, 0.99), poll_percentile(l, 1), cpu / seconds);
}


static int
poll_usage(void)
{
    fprintf(stderr, "usage: gbpoll HOST PORT CONNECTIONS SECONDS RATE PREFIX "
            "COUNT [FIRST]\n"
            "       gbpoll -r SIZE HOST PORT CONNECTIONS SECONDS RATE PATH "
            "COUNT\n");
    return 2;
}


static bool
poll_prepare(poll_t *l, const char *path, int conns)
{
    int  i, n;

    n = snprintf(l->request, sizeof(l->request) - 64, l->range
                 ? "GET %s HTTP/1.1\r\nHost: fleet\r\n"
                   "Authorization: TargetToken t\r\nRange: bytes="
                 : "GET %s", path);

    l->prefix = (size_t) n;
    l->tail_len = (size_t) snprintf(l->tail, sizeof(l->tail), l->range
                                    ? "\r\n\r\n"
                                    : " HTTP/1.1\r\nHost: fleet\r\n"
                                      "Authorization: TargetToken t\r\n\r\n");

    if (l->prefix + l->tail_len + 64 > sizeof(l->request)) {
        return false;
    }

    l->conns_n = conns;
    l->random = (uint64_t) time(NULL) << 20 ^ (uint64_t) getpid();
    l->epoll = epoll_create1(0);
    l->conns = calloc((size_t) conns, sizeof(poll_conn_t));
    l->idle = calloc((size_t) conns, sizeof(poll_conn_t *));
    l->us = calloc(POLL_MOST, sizeof(uint32_t));

    l->asked = calloc(l->range ? 1 : l->count, sizeof(bool));

    if (l->epoll == -1 || !l->conns || !l->idle || !l->us || !l->asked) {
        load_die("memory");
    }

    for (i = 0; i < conns; i++) {
        l->conns[i].fd = load_connect(l->epoll, l->host, l->port,
                                      &l->conns[i]);
    }

    return true;
}


int
main(int argc, char **argv)
{
    int            i, conns;
    double         start;
    static poll_t  l;

    i = 1;

    if (argc > 3 && strcmp(argv[1], "-r") == 0) {
        l.range = strtoul(argv[2], NULL, 10);
        i = 3;
    }

    if (argc - i < 7 || argc - i > (l.range ? 7 : 8)) {
        return poll_usage();
    }

    l.host = argv[i];
    l.port = argv[i + 1];
    conns = atoi(argv[i + 2]);
    l.rate = atof(argv[i + 4]);
    l.count = strtoul(argv[i + 6], NULL, 10);
    l.next = argc - i == 8 ? strtoul(argv[i + 7], NULL, 10) + 1 : 0;

    if (conns < 1 || l.rate < 0 || l.count < 1 || l.count < l.range) {
        return poll_usage();
    }

    signal(SIGPIPE, SIG_IGN);

    if (!poll_prepare(&l, argv[i + 5], conns)) {
        return poll_usage();
    }

    start = load_now();
    l.due = start;
    l.end = start + atof(argv[i + 3]);

    poll_run(&l);
    poll_report(&l, load_now() - start);

    return 0;
}
