/*
 * A simulated device: what it asks next, and what it makes of the answer. It
 * follows links as real clients do and knows no path but that of its poll.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include <gb_config.h>

#include "sim.h"


#define SIM_JITTER  0.1         /* of the time between polls, both ways */


static void sim_poll_answer(sim_t *sim, sim_device_t *d, const json_t *doc);
static bool sim_begin_update(sim_t *sim, sim_device_t *d, const char *href);
static void sim_deployment(sim_t *sim, sim_device_t *d, const json_t *doc);
static void sim_downloaded(sim_t *sim, sim_device_t *d, long status);
static void sim_ended(sim_t *sim, sim_device_t *d, sim_outcome_e outcome);
static void sim_next(sim_device_t *d, sim_step_e step);
static void sim_wait_poll(sim_t *sim, sim_device_t *d);
static const char *sim_link(const json_t *doc, const char *name);


static const char *const  sim_steps[] = {
    "poll", "configData", "deploymentBase", "proceeding", "download",
    "closed", "cancelAction", "canceled", "confirmationBase", "confirmed"
};


void
sim_device_id(const sim_t *sim, const sim_device_t *d, char *id)
{
    snprintf(id, SIM_ID_MAX, "%.64s%06u", sim->options->prefix, d->number);
}


const char *
sim_device_request(sim_t *sim, sim_device_t *d, char *url, char *body,
    size_t size, uint64_t *from)
{
    char                  id[SIM_ID_MAX];
    const char           *execution, *finished, *detail;
    const sim_update_t   *u;
    const sim_options_t  *o;

    o = sim->options;
    u = d->update;
    body[0] = '\0';
    *from = 0;

    sim_device_id(sim, d, id);

    switch (d->step) {

    case SIM_POLL:
        snprintf(url, SIM_URL_MAX, "%s/%s/controller/v1/%s", o->url,
                 o->tenant, id);
        return "GET";

    case SIM_CONFIG_DATA:
        snprintf(url, SIM_URL_MAX, "%s/%s/controller/v1/%s/configData",
                 o->url, o->tenant, id);
        snprintf(body, size, "{\"mode\":\"merge\",\"data\":{"
                 "\"hw_model\":\"%s\",\"hw_revision\":\"%s\","
                 "\"sw_version\":\"%s\",\"serial\":\"%s\"}}",
                 o->model, o->revision, o->version, id);
        return "PUT";

    case SIM_DEPLOYMENT:
    case SIM_CANCEL:
    case SIM_CONFIRMATION:
        snprintf(url, SIM_URL_MAX, "%s", u->base);
        return "GET";

    case SIM_DOWNLOAD:
        snprintf(url, SIM_URL_MAX, "%s", u->download);
        *from = u->done;
        return "GET";

    case SIM_CONFIRMED:
        snprintf(url, SIM_URL_MAX, "%.2000s/feedback", u->base);
        snprintf(body, size, "{\"confirmation\":\"confirmed\",\"code\":200,"
                 "\"details\":[\"simulated\"]}");
        return "POST";

    case SIM_PROCEEDING:
        execution = "proceeding";
        finished = "none";
        detail = "Downloading";
        break;

    case SIM_CANCELED:
        execution = "canceled";
        finished = "success";
        detail = "Canceled";
        break;

    case SIM_CLOSED:
    default:
        execution = "closed";
        finished = u->fails || u->damaged ? "failure" : "success";
        detail = u->damaged ? "The image is damaged"
                 : u->fails ? "The installation failed" : "Installed";
        break;
    }

    snprintf(url, SIM_URL_MAX, "%.2000s/feedback", u->base);
    snprintf(body, size, "{\"id\":\"%s\",\"status\":{\"execution\":\"%s\","
             "\"result\":{\"finished\":\"%s\"},\"details\":[\"%s\"]}}",
             u->action, execution, finished, detail);

    return "POST";
}


void
sim_device_answer(sim_t *sim, sim_device_t *d, long status, const char *body,
    size_t len)
{
    json_t  *doc;

    if (d->step == SIM_DOWNLOAD) {
        sim_downloaded(sim, d, status);
        return;
    }

    doc = status == 200 ? json_loadb(body, len, 0, NULL) : NULL;

    if (status == 401) {
        sim->refused++;

    } else if (status != 0 && doc == NULL) {
        sim->missing += status == 404;
        sim_error(sim, "%s: answered with %ld", sim_steps[d->step], status);
    }

    if (doc == NULL) {
        sim_device_drop(sim, d);
        sim_wait_poll(sim, d);
        return;
    }

    sim->answers++;

    switch (d->step) {

    case SIM_POLL:
        sim_poll_answer(sim, d, doc);
        break;

    case SIM_CONFIG_DATA:
        sim->known += !d->known;
        d->known = true;
        sim_next(d, SIM_POLL);
        break;

    case SIM_DEPLOYMENT:
        sim_deployment(sim, d, doc);
        break;

    case SIM_PROCEEDING:
        sim_next(d, SIM_DOWNLOAD);
        break;

    case SIM_CANCEL:
        sim_next(d, SIM_CANCELED);
        break;

    case SIM_CONFIRMATION:
        sim_next(d, SIM_CONFIRMED);
        break;

    case SIM_CONFIRMED:
        sim->confirmed++;
        sim_device_drop(sim, d);
        sim_next(d, SIM_POLL);
        break;

    case SIM_CANCELED:
        sim_ended(sim, d, SIM_CANCELLED);
        break;

    case SIM_CLOSED:
    case SIM_DOWNLOAD:
    default:
        sim_ended(sim, d, d->update->fails || d->update->damaged
                          ? SIM_FAILURE : SIM_SUCCESS);
        break;
    }

    json_decref(doc);
}


static void
sim_poll_answer(sim_t *sim, sim_device_t *d, const json_t *doc)
{
    int          i, seconds;
    const char  *href, *sleep;

    static const struct {
        const char  *link;
        sim_step_e   step;
    } offers[] = {
        { "cancelAction", SIM_CANCEL },
        { "deploymentBase", SIM_DEPLOYMENT },
        { "confirmationBase", SIM_CONFIRMATION }
    };

    sleep = json_string_value(json_object_get(json_object_get(
                json_object_get(doc, "config"), "polling"), "sleep"));

    if (sleep != NULL && gb_config_time(sleep, &seconds) == GB_OK) {
        d->wait = seconds;
    }

    if (sim_link(doc, "configData") != NULL) {
        sim_next(d, SIM_CONFIG_DATA);
        return;
    }

    for (i = 0; i < 3; i++) {
        href = sim_link(doc, offers[i].link);

        if (href != NULL) {
            if (sim_begin_update(sim, d, href)) {
                sim_next(d, offers[i].step);
                return;
            }

            sim_error(sim, "%s: can't be followed", offers[i].link);
            break;
        }
    }

    sim_wait_poll(sim, d);
}


/* the action's id is the last part of the link, before its query */

static bool
sim_begin_update(sim_t *sim, sim_device_t *d, const char *href)
{
    size_t         len;
    const char    *id;
    sim_update_t  *u;

    len = strcspn(href, "?");
    u = calloc(1, sizeof(sim_update_t));

    if (u == NULL || len >= 2000) {
        free(u);
        return false;
    }

    memcpy(u->base, href, len);
    id = strrchr(u->base, '/');
    snprintf(u->action, sizeof(u->action), "%.31s", id ? id + 1 : "");

    d->update = u;
    sim->updating++;

    return true;
}


static void
sim_deployment(sim_t *sim, sim_device_t *d, const json_t *doc)
{
    const char    *href, *sha256, *version;
    const json_t  *chunk, *artifact;
    sim_update_t  *u;

    u = d->update;
    chunk = json_array_get(json_object_get(json_object_get(doc, "deployment"),
                                           "chunks"), 0);
    artifact = json_array_get(json_object_get(chunk, "artifacts"), 0);
    version = json_string_value(json_object_get(chunk, "version"));
    sha256 = json_string_value(json_object_get(json_object_get(artifact,
                                               "hashes"), "sha256"));
    href = sim_link(artifact, "download");
    href = href != NULL ? href : sim_link(artifact, "download-http");
    u->size = (uint64_t) json_integer_value(json_object_get(artifact, "size"));
    u->hash = EVP_MD_CTX_new();

    if (href == NULL || version == NULL || strlen(href) >= SIM_URL_MAX
        || u->hash == NULL
        || EVP_DigestInit_ex(u->hash, EVP_sha256(), NULL) != 1)
    {
        sim_error(sim, "deploymentBase: names nothing to download");
        sim_device_drop(sim, d);
        sim_wait_poll(sim, d);
        return;
    }

    snprintf(u->download, sizeof(u->download), "%s", href);
    snprintf(u->version, sizeof(u->version), "%.255s", version);
    snprintf(u->sha256, sizeof(u->sha256), "%.64s", sha256 ? sha256 : "");

    u->fails = sim_random(sim) < sim->options->fail;

    if (sim_random(sim) < sim->options->interrupt && u->size > 1) {
        u->stop = 1 + (uint64_t) ((double) (u->size - 1) * sim_random(sim));
    }

    sim_next(d, SIM_PROCEEDING);
}


bool
sim_device_bytes(sim_t *sim, sim_device_t *d, const char *bytes, size_t len)
{
    sim_update_t  *u;

    u = d->update;

    if (u->stop != 0 && u->done + len > u->stop) {
        len = (size_t) (u->stop - u->done);
    }

    u->damaged |= EVP_DigestUpdate(u->hash, bytes, len) != 1;
    u->done += len;
    sim->bytes += len;

    return u->stop == 0 || u->done < u->stop;
}


/* a download that broke off goes on where it was */

static void
sim_downloaded(sim_t *sim, sim_device_t *d, long status)
{
    int             i;
    char            hex[65];
    unsigned int    n;
    sim_update_t   *u;
    unsigned char   digest[EVP_MAX_MD_SIZE];

    u = d->update;

    if (u->stop != 0 && u->done == u->stop
        && (status == 200 || status == 206))
    {
        u->stop = 0;
        sim->resumed++;
        sim_next(d, SIM_DOWNLOAD);
        return;
    }

    if (status != 200 && status != 206) {
        if (status != 0) {
            sim_error(sim, "download: answered with %ld", status);
        }

        sim_device_drop(sim, d);
        sim_wait_poll(sim, d);
        return;
    }

    n = 0;
    hex[0] = '\0';

    if (EVP_DigestFinal_ex(u->hash, digest, &n) == 1) {
        for (i = 0; i < 32; i++) {
            snprintf(hex + 2 * i, 3, "%02x", digest[i]);
        }
    }

    u->damaged |= u->done != u->size || strcmp(hex, u->sha256) != 0;
    sim->damaged += u->damaged;
    sim->downloads++;

    sim_next(d, SIM_CLOSED);
}


static void
sim_ended(sim_t *sim, sim_device_t *d, sim_outcome_e outcome)
{
    sim->ended += d->outcome == SIM_NONE;
    d->outcome = outcome;
    sim->outcomes[outcome]++;

    sim_device_drop(sim, d);
    sim_wait_poll(sim, d);
}


void
sim_device_drop(sim_t *sim, sim_device_t *d)
{
    if (d->update == NULL) {
        return;
    }

    EVP_MD_CTX_free(d->update->hash);
    free(d->update);
    d->update = NULL;
    sim->updating--;
}


static void
sim_next(sim_device_t *d, sim_step_e step)
{
    d->step = step;
    d->due = 0;
}


static void
sim_wait_poll(sim_t *sim, sim_device_t *d)
{
    double  wait;

    wait = sim->options->rate > 0
           ? (double) sim->options->devices / sim->options->rate : d->wait;

    d->step = SIM_POLL;
    d->due = sim_now() + wait * (1 - SIM_JITTER
                                 + 2 * SIM_JITTER * sim_random(sim));
}


static const char *
sim_link(const json_t *doc, const char *name)
{
    return json_string_value(json_object_get(json_object_get(
               json_object_get(doc, "_links"), name), "href"));
}
