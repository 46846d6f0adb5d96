/*
 * The loop of a simulated fleet: devices wait in a heap for their time, and
 * share a number of connections.
 */

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sim.h"


#define SIM_TICK  0.2           /* seconds */
#define SIM_RAMP  1000          /* first polls a second, without a rate */


static bool sim_begin(sim_t *sim);
static bool sim_start_due(sim_t *sim, double now);
static void sim_messages(sim_t *sim);
static bool sim_over(const sim_t *sim, double now);
static int sim_wait(const sim_t *sim, double now, double tick);
static void sim_push(sim_t *sim, uint32_t i);
static uint32_t sim_pop(sim_t *sim);
static double sim_due(const sim_t *sim, size_t at);


bool
sim_run(sim_t *sim, bool (*stop)(void *data), void (*tick)(void *data),
    void *data)
{
    bool    ok;
    double  now, drawn;

    sim->start = drawn = now = sim_now();

    if (!sim_begin(sim)) {
        return false;
    }

    ok = true;

    while (ok && !stop(data) && !sim_over(sim, now)) {
        ok = sim_start_due(sim, now)
             && curl_multi_perform(sim->multi, &(int) { 0 }) == CURLM_OK;

        sim_messages(sim);

        now = sim_now();

        if (now - drawn >= SIM_TICK) {
            drawn = now;
            tick(data);
        }

        ok = ok && curl_multi_poll(sim->multi, NULL, 0,
                                   sim_wait(sim, now, drawn + SIM_TICK), NULL)
                   == CURLM_OK;
        now = sim_now();
    }

    sim->end = now;

    return ok;
}


/* devices come one after the other, not all in one moment */

static bool
sim_begin(sim_t *sim)
{
    long           i, n;
    double         ramp;
    sim_device_t  *d;

    n = sim->options->devices;
    sim->random = (uint64_t) sim->options->seed * 0x9e3779b97f4a7c15u + 1;

    sim->devices = calloc((size_t) n, sizeof(sim_device_t));
    sim->heap = calloc((size_t) n, sizeof(uint32_t));
    sim->slots = calloc((size_t) sim->options->connections,
                        sizeof(sim_slot_t));
    sim->multi = curl_multi_init();

    if (sim->devices == NULL || sim->heap == NULL || sim->slots == NULL
        || sim->multi == NULL)
    {
        return false;
    }

    curl_multi_setopt(sim->multi, CURLMOPT_MAXCONNECTS,
                      sim->options->connections);

    ramp = (double) n / (sim->options->rate > 0 ? sim->options->rate
                                                : SIM_RAMP);

    for (i = 0; i < n; i++) {
        d = &sim->devices[i];
        d->number = (uint32_t) i + 1;
        d->wait = 60;
        d->due = sim->start + ramp * (double) i / (double) n;
        sim_push(sim, (uint32_t) i);
    }

    return true;
}


void
sim_free(sim_t *sim)
{
    long         i;
    sim_slot_t  *slot;

    for (i = 0; sim->slots != NULL && i < sim->options->connections; i++) {
        slot = &sim->slots[i];

        if (slot->device != NULL) {
            curl_multi_remove_handle(sim->multi, slot->curl);
        }

        curl_easy_cleanup(slot->curl);
        curl_slist_free_all(slot->headers);
        free(slot->body);
    }

    for (i = 0; sim->devices != NULL && i < sim->options->devices; i++) {
        sim_device_drop(sim, &sim->devices[i]);
    }

    curl_multi_cleanup(sim->multi);
    free(sim->slots);
    free(sim->devices);
    free(sim->heap);
}


static bool
sim_start_due(sim_t *sim, double now)
{
    size_t       i;
    sim_slot_t  *slot;

    for (i = 0; sim->nheap > 0 && sim_due(sim, 0) <= now
                && i < (size_t) sim->options->connections; i++)
    {
        slot = &sim->slots[i];

        if (slot->device == NULL
            && !sim_http_start(sim, slot, &sim->devices[sim_pop(sim)]))
        {
            return false;
        }
    }

    return true;
}


static void
sim_messages(sim_t *sim)
{
    int            left;
    CURLMsg       *m;
    CURLcode       code;
    sim_slot_t    *slot;
    sim_device_t  *d;

    while ((m = curl_multi_info_read(sim->multi, &left)) != NULL) {

        if (m->msg != CURLMSG_DONE) {
            continue;
        }

        code = m->data.result;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &slot);
        d = slot->device;

        sim_http_done(sim, slot, code);
        sim_push(sim, (uint32_t) (d - sim->devices));
    }
}


static bool
sim_over(const sim_t *sim, double now)
{
    return (sim->options->duration > 0
            && now - sim->start >= sim->options->duration)
           || (sim->options->until_done
               && sim->ended == (uint64_t) sim->options->devices
               && sim->updating == 0 && sim->active == 0)
           || (sim_missing(sim)
               && sim->missing >= (uint64_t) sim->options->devices);
}


bool
sim_missing(const sim_t *sim)
{
    return sim->missing > 0 && sim->missing == sim->requests.count;
}


/* milliseconds until something is due */

static int
sim_wait(const sim_t *sim, double now, double tick)
{
    double  until;

    until = tick;

    if (sim->nheap > 0 && sim->active < (size_t) sim->options->connections
        && sim_due(sim, 0) < until)
    {
        until = sim_due(sim, 0);
    }

    return until <= now ? 0 : (int) ceil((until - now) * 1000);
}


static double
sim_due(const sim_t *sim, size_t at)
{
    return sim->devices[sim->heap[at]].due;
}


static void
sim_push(sim_t *sim, uint32_t i)
{
    size_t    at, up;
    uint32_t  swap;

    at = sim->nheap++;
    sim->heap[at] = i;

    while (at > 0 && sim_due(sim, at) < sim_due(sim, (at - 1) / 2)) {
        up = (at - 1) / 2;
        swap = sim->heap[at];
        sim->heap[at] = sim->heap[up];
        sim->heap[up] = swap;
        at = up;
    }
}


static uint32_t
sim_pop(sim_t *sim)
{
    size_t    at, down;
    uint32_t  first, swap;

    first = sim->heap[0];
    sim->heap[0] = sim->heap[--sim->nheap];

    for (at = 0; (down = 2 * at + 1) < sim->nheap; at = down) {

        if (down + 1 < sim->nheap
            && sim_due(sim, down + 1) < sim_due(sim, down))
        {
            down++;
        }

        if (sim_due(sim, at) <= sim_due(sim, down)) {
            break;
        }

        swap = sim->heap[at];
        sim->heap[at] = sim->heap[down];
        sim->heap[down] = swap;
    }

    return first;
}


double
sim_now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}


/* xorshift64 */

double
sim_random(sim_t *sim)
{
    sim->random ^= sim->random << 13;
    sim->random ^= sim->random >> 7;
    sim->random ^= sim->random << 17;

    return (double) (sim->random >> 11) / 9007199254740992.0;
}


void
sim_latency_add(sim_latency_t *l, double seconds)
{
    double  i;

    i = seconds > 1e-6 ? 16 * log2(seconds * 1e6) : 0;
    l->bucket[i < SIM_BUCKETS - 1 ? (int) i : SIM_BUCKETS - 1]++;
    l->count++;
    l->max = seconds > l->max ? seconds : l->max;
}


double
sim_quantile(const sim_latency_t *l, double p)
{
    int       i;
    double    upper;
    uint64_t  seen;

    seen = 0;

    for (i = 0; i < SIM_BUCKETS; i++) {
        seen += l->bucket[i];

        if (seen > 0 && (double) seen >= p * (double) l->count) {
            upper = exp2((i + 1) / 16.0) / 1e6;
            return upper < l->max ? upper : l->max;
        }
    }

    return 0;
}


void
sim_error(sim_t *sim, const char *fmt, ...)
{
    va_list  args;

    sim->errors++;

    if (sim->error[0] == '\0') {
        va_start(args, fmt);
        vsnprintf(sim->error, sizeof(sim->error), fmt, args);
        va_end(args);
    }
}
