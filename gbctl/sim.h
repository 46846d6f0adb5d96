/*
 * gbctl simulate in four rooms: cmd_simulate.c has the verb and what it
 * prints, sim.c the clock and the loop, sim_http.c requests over libcurl's
 * multi interface, sim_device.c what a device does with each answer.
 */

#ifndef GBCTL_SIM_H
#define GBCTL_SIM_H


#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <curl/curl.h>
#include <openssl/evp.h>


#define SIM_BUCKETS  512
#define SIM_ID_MAX   96
#define SIM_URL_MAX  2048
#define SIM_BODY_MAX (256 * 1024)


typedef enum {
    SIM_POLL = 0,
    SIM_CONFIG_DATA,
    SIM_DEPLOYMENT,
    SIM_PROCEEDING,
    SIM_DOWNLOAD,
    SIM_CLOSED,
    SIM_CANCEL,
    SIM_CANCELED,
    SIM_CONFIRMATION,
    SIM_CONFIRMED
} sim_step_e;

typedef enum {
    SIM_NONE = 0,
    SIM_SUCCESS,
    SIM_FAILURE,
    SIM_CANCELLED
} sim_outcome_e;

typedef struct {
    const char  *url;           /* without a closing slash */
    const char  *tenant;        /* percent-encoded */
    const char  *prefix;        /* of device ids */
    const char  *model;
    const char  *revision;
    const char  *version;
    const char  *gateway;       /* GatewayToken, or NULL */
    bool         tokens;        /* each device sends one of its own */
    bool         until_done;
    long         devices;
    long         connections;
    long         seed;
    double       rate;          /* polls a second of all; 0: as told */
    double       fail;          /* share of updates, 0 to 1 */
    double       interrupt;     /* share of downloads, 0 to 1 */
    double       duration;      /* seconds; 0: until interrupted */
} sim_options_t;

/* what a device is in the middle of; URLs are the server's own */
typedef struct {
    char         base[SIM_URL_MAX];     /* deploymentBase, … without query */
    char         action[32];
    char         download[SIM_URL_MAX];
    char         sha256[65];
    char         version[256];
    uint64_t     size;
    uint64_t     done;                  /* bytes downloaded */
    uint64_t     stop;                  /* break off here; 0: don't */
    bool         fails;
    bool         damaged;
    EVP_MD_CTX  *hash;
} sim_update_t;

typedef struct {
    double         due;         /* seconds, on sim_now()'s clock */
    double         wait;        /* between polls, as the server said */
    sim_step_e     step;        /* of its next or present request */
    sim_outcome_e  outcome;     /* of its last update */
    uint32_t       number;
    bool           known;       /* has sent its configData */
    sim_update_t  *update;      /* owned; NULL: nothing under way */
} sim_device_t;

/* latencies, 16 buckets for each doubling, from 1 microsecond */
typedef struct {
    uint64_t  count;
    uint64_t  bucket[SIM_BUCKETS];
    double    max;              /* seconds */
} sim_latency_t;

typedef struct {
    CURL               *curl;
    sim_device_t       *device; /* NULL: free */
    struct curl_slist  *headers;
    char               *body;
    size_t              len;
    bool                stopped;        /* broke its download off */
} sim_slot_t;

typedef struct {
    const sim_options_t  *options;
    CURLM                *multi;
    sim_slot_t           *slots;
    size_t                active;       /* slots in use */
    sim_device_t         *devices;
    uint32_t             *heap;         /* devices by due, earliest first */
    size_t                nheap;
    uint64_t              random;
    double                start;
    double                end;

    sim_latency_t         polls;
    sim_latency_t         requests;     /* all but downloads */
    uint64_t              bytes;        /* downloaded */
    uint64_t              downloads;
    uint64_t              resumed;
    uint64_t              damaged;
    uint64_t              confirmed;
    uint64_t              answers;      /* that a device could use */
    uint64_t              refused;      /* 401 */
    uint64_t              missing;      /* 404 */
    uint64_t              errors;       /* no answer, or one without sense */
    uint64_t              outcomes[4];  /* updates, by sim_outcome_e */
    uint64_t              known;
    uint64_t              ended;        /* devices with an outcome */
    uint64_t              updating;     /* devices in the middle of one */
    char                  error[256];   /* the first of them, "" */
} sim_t;


/* a monotonic clock, seconds */
double sim_now(void);

/* from 0 to below 1; the same numbers for the same seed */
double sim_random(sim_t *sim);

/* what P of the requests took no longer than, in seconds */
double sim_quantile(const sim_latency_t *l, double p);
void sim_latency_add(sim_latency_t *l, double seconds);

/* remembers the first, counts all */
void sim_error(sim_t *sim, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* nothing but 404 has come: there is no such tenant */
bool sim_missing(const sim_t *sim);

/*
 * Runs until STOP says so, the duration is over, all are done, or each device
 * has been told that there is no such tenant.  TICK is called a few times a
 * second.  False: out of memory, or no curl.
 */
bool sim_run(sim_t *sim, bool (*stop)(void *data), void (*tick)(void *data),
    void *data) __attribute__((warn_unused_result));
void sim_free(sim_t *sim);

/* the device's id, into SIM_ID_MAX bytes */
void sim_device_id(const sim_t *sim, const sim_device_t *d, char *id);

/*
 * The device's next request: method, URL, body ("" for none) and, for a
 * download to be resumed, from which byte (else 0).
 */
const char *sim_device_request(sim_t *sim, sim_device_t *d, char *url,
    char *body, size_t size, uint64_t *from);

/* takes an answer (status 0: none came), and decides what is next and when */
void sim_device_answer(sim_t *sim, sim_device_t *d, long status,
    const char *body, size_t len);

/* takes bytes of a download; false breaks it off */
bool sim_device_bytes(sim_t *sim, sim_device_t *d, const char *bytes,
    size_t len);

/* forgets the update under way */
void sim_device_drop(sim_t *sim, sim_device_t *d);

/* starts a request in a free slot; false: out of memory */
bool sim_http_start(sim_t *sim, sim_slot_t *slot, sim_device_t *d)
    __attribute__((warn_unused_result));

/* ends the slot's request, of which curl says CODE */
void sim_http_done(sim_t *sim, sim_slot_t *slot, CURLcode code);


#endif /* GBCTL_SIM_H */
