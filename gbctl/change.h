/*
 * What a verb changed, in words.
 */

#ifndef GBCTL_CHANGE_H
#define GBCTL_CHANGE_H


/*
 * From two JSON objects, either of which may be NULL: "feed default -> prod,
 * tags - -> lab x", "feed prod" where nothing was before, "was feed prod" where
 * nothing is after.  What is the same is left out, unless all is, and so is
 * what another field tells better.  New, free(); NULL without memory.
 */
char *change_text(const char *before, const char *after);


#endif /* GBCTL_CHANGE_H */
