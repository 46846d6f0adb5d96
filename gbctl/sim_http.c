/*
 * A simulated device's requests: each takes a slot with a curl handle, and
 * connections are kept alive by the multi handle.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"


#define SIM_TIMEOUT  60L        /* seconds without a byte, or of an answer */


static bool sim_http_headers(sim_t *sim, sim_slot_t *slot,
    const sim_device_t *d);
static bool sim_http_header(sim_slot_t *slot, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void sim_token(const sim_t *sim, const char *id, char *token);
static size_t sim_http_write(char *bytes, size_t size, size_t n, void *data);


/* what libcurl hands to the write callback */

static sim_t  *sim_http_sim;


bool
sim_http_start(sim_t *sim, sim_slot_t *slot, sim_device_t *d)
{
    char         url[SIM_URL_MAX], body[SIM_URL_MAX];
    uint64_t     from;
    const char  *method;

    sim_http_sim = sim;

    if (slot->curl == NULL) {
        slot->curl = curl_easy_init();
        slot->body = malloc(SIM_BODY_MAX + 1);
    }

    if (slot->curl == NULL || slot->body == NULL) {
        return false;
    }

    method = sim_device_request(sim, d, url, body, sizeof(body), &from);

    curl_easy_reset(slot->curl);
    slot->device = d;
    slot->len = 0;
    slot->stopped = false;

    if (!sim_http_headers(sim, slot, d)) {
        return false;
    }

    curl_easy_setopt(slot->curl, CURLOPT_PRIVATE, slot);
    curl_easy_setopt(slot->curl, CURLOPT_URL, url);
    curl_easy_setopt(slot->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(slot->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(slot->curl, CURLOPT_HTTPHEADER, slot->headers);
    curl_easy_setopt(slot->curl, CURLOPT_WRITEFUNCTION, sim_http_write);
    curl_easy_setopt(slot->curl, CURLOPT_WRITEDATA, slot);
    curl_easy_setopt(slot->curl, CURLOPT_CONNECTTIMEOUT, SIM_TIMEOUT);

    if (d->step == SIM_DOWNLOAD) {
        curl_easy_setopt(slot->curl, CURLOPT_FOLLOWLOCATION, 1L);
        curl_easy_setopt(slot->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
        curl_easy_setopt(slot->curl, CURLOPT_LOW_SPEED_TIME, SIM_TIMEOUT);
        curl_easy_setopt(slot->curl, CURLOPT_RESUME_FROM_LARGE,
                         (curl_off_t) from);
    } else {
        curl_easy_setopt(slot->curl, CURLOPT_TIMEOUT, SIM_TIMEOUT);
    }

    if (body[0] != '\0') {
        curl_easy_setopt(slot->curl, CURLOPT_COPYPOSTFIELDS, body);
        curl_easy_setopt(slot->curl, CURLOPT_CUSTOMREQUEST, method);
    }

    sim->active++;

    return curl_multi_add_handle(sim->multi, slot->curl) == CURLM_OK;
}


static bool
sim_http_headers(sim_t *sim, sim_slot_t *slot, const sim_device_t *d)
{
    bool  ok;
    char  id[SIM_ID_MAX], token[33];

    curl_slist_free_all(slot->headers);
    slot->headers = NULL;

    ok = sim_http_header(slot, "Expect:")
         && sim_http_header(slot, "Content-Type: application/json");

    if (sim->options->gateway != NULL) {
        ok = ok && sim_http_header(slot, "Authorization: GatewayToken %s",
                                   sim->options->gateway);

    } else if (sim->options->tokens) {
        sim_device_id(sim, d, id);
        sim_token(sim, id, token);
        ok = ok && sim_http_header(slot, "Authorization: TargetToken %s",
                                   token);
    }

    return ok;
}


static bool
sim_http_header(sim_slot_t *slot, const char *fmt, ...)
{
    char                text[512];
    va_list             args;
    struct curl_slist  *list;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);

    list = curl_slist_append(slot->headers, text);

    if (list != NULL) {
        slot->headers = list;
    }

    return list != NULL;
}


/* of id and seed, so that the same fleet comes again with the same tokens */

static void
sim_token(const sim_t *sim, const char *id, char *token)
{
    int            i;
    char           text[SIM_ID_MAX + 32];
    unsigned char  digest[EVP_MAX_MD_SIZE];

    memset(digest, 0, sizeof(digest));
    snprintf(text, sizeof(text), "%ld:%s", sim->options->seed, id);
    (void) EVP_Digest(text, strlen(text), digest, NULL, EVP_sha256(), NULL);

    for (i = 0; i < 16; i++) {
        snprintf(token + 2 * i, 3, "%02x", digest[i]);
    }
}


static size_t
sim_http_write(char *bytes, size_t size, size_t n, void *data)
{
    long         status;
    sim_slot_t  *slot = data;

    n *= size;
    curl_easy_getinfo(slot->curl, CURLINFO_RESPONSE_CODE, &status);

    if (slot->device->step == SIM_DOWNLOAD
        && (status == 200 || status == 206))
    {
        slot->stopped = !sim_device_bytes(sim_http_sim, slot->device, bytes,
                                          n);
        return slot->stopped ? 0 : n;
    }

    if (n > SIM_BODY_MAX - slot->len) {
        return 0;
    }

    memcpy(slot->body + slot->len, bytes, n);
    slot->len += n;

    return n;
}


void
sim_http_done(sim_t *sim, sim_slot_t *slot, CURLcode code)
{
    long           status;
    double         seconds;
    curl_off_t     took;
    sim_device_t  *d;

    status = 0;
    took = 0;
    d = slot->device;

    if (code == CURLE_OK || slot->stopped) {
        curl_easy_getinfo(slot->curl, CURLINFO_RESPONSE_CODE, &status);

    } else {
        sim_error(sim, "%s", curl_easy_strerror(code));
    }

    curl_easy_getinfo(slot->curl, CURLINFO_TOTAL_TIME_T, &took);
    seconds = (double) took / 1e6;

    if (status != 0 && d->step == SIM_POLL) {
        sim_latency_add(&sim->polls, seconds);
    }

    if (status != 0 && d->step != SIM_DOWNLOAD) {
        sim_latency_add(&sim->requests, seconds);
    }

    curl_multi_remove_handle(sim->multi, slot->curl);
    slot->body[slot->len] = '\0';
    slot->device = NULL;
    sim->active--;

    sim_device_answer(sim, d, status, slot->body, slot->len);
}
