/*
 * gb_error: the status every shared function returns and the one line that
 * says what went wrong.  A caller owns its gb_error_t (usually on the stack);
 * no function here allocates or prints.
 */

#ifndef GB_ERROR_H
#define GB_ERROR_H


#include <stdarg.h>


#define GB_OK          0
#define GB_ERROR      -1    /* the input is wrong; the message says why */
#define GB_DECLINED   -2    /* not ours: another parser may try */
#define GB_QUOTA      -3    /* well formed, but more than is allowed */
#define GB_NOMEM      -4    /* out of memory, or the system refused */

#define GB_MUST_CHECK  __attribute__((warn_unused_result))

#define GB_ERROR_MESSAGE  512
#define GB_ERROR_FILE     256


typedef struct {
    /*
     * The whole line, ready to print, without a newline and without control
     * characters: "FILE:LINE: text", "FILE: text", or just the text.
     */
    char  message[GB_ERROR_MESSAGE];

    /* the same file (cut at 255 bytes, "" if none) and line (0 if none) */
    char  file[GB_ERROR_FILE];
    int   line;
} gb_error_t;


/*
 * All of these return GB_ERROR, so that "return gb_error_set(err, ...)" reads
 * well; err may be NULL.  What does not fit is cut between two characters.
 */

int gb_error_set(gb_error_t *err, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* file may be NULL, line 0: what is missing is left out of the message */
int gb_error_at(gb_error_t *err, const char *file, int line,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));
int gb_error_vat(gb_error_t *err, const char *file, int line,
    const char *fmt, va_list args) __attribute__((format(printf, 4, 0)));

/* sets "out of memory" and returns GB_NOMEM */
int gb_error_nomem(gb_error_t *err);

/* empties it: message "", file "", line 0 */
void gb_error_clear(gb_error_t *err);


#endif /* GB_ERROR_H */
