/*
 * The terminal in other states than a shell's: for a secret without echo, and
 * for a picture of what goes on, redrawn in place on its second screen.  It is
 * as it was afterwards, however it ends: by the end of the verb, by an error,
 * by ^C or "q".
 */

#ifndef GBCTL_LIVE_H
#define GBCTL_LIVE_H


#include "cli.h"


/* prints the picture on stdout, as for a terminal */
typedef bool (*live_draw_pt)(cli_t *cli, void *data);


/*
 * Takes the terminal if stdout is one that can move its cursor and -o is
 * table or wide, else does nothing and returns false.
 */
bool live_begin(cli_t *cli);

/*
 * Draws what DRAW prints, cut to the terminal, in one write.  False when DRAW
 * says so.  Outside live_begin() and live_end() DRAW prints as ever.
 */
bool live_draw(cli_t *cli, live_draw_pt draw, void *data)
    __attribute__((warn_unused_result));

/*
 * Waits, but not longer than until the terminal has another size; false when
 * "q" was typed.
 */
bool live_wait(int seconds) __attribute__((warn_unused_result));

/*
 * Asks PROMPT on stderr and reads a line of SIZE bytes at most from the
 * terminal on stdin, without echo and without its end.  False after an error
 * was reported.
 */
bool live_secret(cli_t *cli, const char *prompt, char *buf, size_t size)
    __attribute__((warn_unused_result));

/* gives the terminal back; cli_fail() does it as well */
void live_end(void);

/*
 * The same for a signal's handler that ends the process; false where the
 * terminal was not taken.
 */
bool live_restore(void);


#endif /* GBCTL_LIVE_H */
