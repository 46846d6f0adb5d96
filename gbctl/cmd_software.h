/*
 * What the files of gbctl software share.
 */

#ifndef GBCTL_CMD_SOFTWARE_H
#define GBCTL_CMD_SOFTWARE_H


#include <gb_hash.h>
#include <gb_image.h>

#include "cli.h"
#include "out.h"


/* the verb "add" */
bool software_add(cli_t *cli);

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
 * Reads an http or https URL to its end into a temporary file without a name;
 * returns its descriptor, or -1 after the error was reported.  Redirections
 * are followed; a password in the URL is never shown.
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
out_progress_t *software_bar(const cli_t *cli, const char *label, int fd);
void software_progress(void *data, uint64_t done, uint64_t total);


#endif /* GBCTL_CMD_SOFTWARE_H */
