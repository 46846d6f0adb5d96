/*
 * What the tests of files share: a temporary directory, images made by
 * t/lib/fixtures, files in memory.  Everything here fails the test itself.
 */

#ifndef FIXTURE_H
#define FIXTURE_H


#include <stddef.h>


/* The temporary directory of this process, removed at its end. */
const char *fixture_dir(void);

/*
 * Runs a shell command in that directory, with $F the folder of the fixture
 * programs; the command must succeed.
 */
void fixture_run(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* A file of that directory, whole; free() it. */
unsigned char *fixture_load(const char *name, size_t *len);

/* A new memfd with these bytes, positioned anywhere; close() it. */
int fixture_memfd(const void *data, size_t len);

/* The text is one printable line that says something. */
void fixture_check_line(const char *text);


#endif /* FIXTURE_H */
