/*
 * Scripts by which shells ask gbctl __complete; see cmd_complete.c.
 */

#ifndef GBCTL_COMPLETION_H
#define GBCTL_COMPLETION_H


extern const char  completion_bash[];
extern const char  completion_fish[];
extern const char  completion_zsh[];


#endif /* GBCTL_COMPLETION_H */
