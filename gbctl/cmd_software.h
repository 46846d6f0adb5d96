/*
 * What the files of gbctl software share.
 */

#ifndef GBCTL_CMD_SOFTWARE_H
#define GBCTL_CMD_SOFTWARE_H


#include <libpq-fe.h>

#include <gb_hash.h>
#include <gb_image.h>

#include "cli.h"
#include "out.h"
#include "store.h"


/* an image on its way into store and database; zeroed before use */
typedef struct {
    const char      *source;        /* path or URL, as given */
    bool             checked;       /* the caller knows of no conflict */
    char            *filename;      /* as stored and offered; owned */
    json_t          *image;         /* what software_add() in SQL takes */
    store_t         *store;         /* of the stage; cli's */
    void            *stage;         /* NULL: remote, or published */
    gb_hash_sums_t   sums;
    int              created;       /* published, and was not there before */
} software_item_t;


/* the verbs that have files of their own */
bool software_add(cli_t *cli);
bool software_get(cli_t *cli);
bool software_restore(cli_t *cli);
bool software_verify(cli_t *cli);

/* the configuration's store; borrowed, or NULL after a reported error */
store_t *software_store(cli_t *cli) __attribute__((warn_unused_result));

/*
 * Parses, hashes and stages what the item's source names; nothing is locked
 * meanwhile.  Before an upload the database is asked whether the item would
 * be a conflict, unless it is checked.  software_item_read() takes the bytes
 * from FD instead, the file's name is the item's.  False after the error was
 * reported.
 */
bool software_item_prepare(cli_t *cli, software_item_t *item, bool remote)
    __attribute__((warn_unused_result));
bool software_item_read(cli_t *cli, software_item_t *item, int fd,
    bool remote) __attribute__((warn_unused_result));

/*
 * Registers the item in the open transaction and publishes its file.  The
 * row of software_add() in SQL (PQclear), or NULL after the error was
 * reported.
 */
PGresult *software_item_register(cli_t *cli, software_item_t *item)
    __attribute__((warn_unused_result));

/* ends a failed transaction and takes back what was published in it */
void software_items_undo(cli_t *cli, software_item_t *items, size_t n);

/* frees what the item holds */
void software_item_free(software_item_t *item);

/*
 * Parses what FD holds by the configuration's rules; NAME is for messages.
 * A new image (gb_image_free), or NULL after the error was reported.
 */
gb_image_t *software_parse(cli_t *cli, int fd, const char *name)
    __attribute__((warn_unused_result));

/* opens a file to be read; -1 after the error was reported */
int software_open(cli_t *cli, const char *path)
    __attribute__((warn_unused_result));

/*
 * Reads an http or https URL to its end.  Redirections are followed; no
 * password is shown.  GB_OK, GB_DECLINED if it is not there, or GB_ERROR.
 * BAR (may be NULL) is moved.
 */
int software_read_url(const char *url, store_sink_pt sink, void *data,
    out_progress_t *bar, gb_error_t *err)
    __attribute__((warn_unused_result));

/*
 * The same into a temporary file without a name; returns its descriptor, or
 * -1 after the error was reported.
 */
int software_fetch(cli_t *cli, const char *url)
    __attribute__((warn_unused_result));

/* the last part of the URL's path, decoded; new, free(); NULL: has none */
char *software_url_filename(const char *url);

/* [{"model", "revision"}] of an image; new, json_decref() */
json_t *software_hardware(const gb_image_t *image);

/*
 * Removes a stored file unless some software is still made of it: what
 * deleting left, or adding left when its transaction failed.
 */
bool software_sweep(cli_t *cli, const char *sha256, const char *filename);

/* a progress bar over what FD holds, and its step for gb_hash and gb_store */
out_progress_t *software_bar(cli_t *cli, const char *label, int fd);
void software_progress(void *data, uint64_t done, uint64_t total);


#endif /* GBCTL_CMD_SOFTWARE_H */
