/*
 * Tokens of devices and gateways.  One leaves this program only as its
 * SHA-256, but for the new one that is shown once.
 */

#ifndef GBCTL_TOKEN_H
#define GBCTL_TOKEN_H


#include "cli.h"


#define TOKEN_MAX  255


typedef struct {
    char  text[TOKEN_MAX + 2];
    char  digest[2 + 64 + 1];       /* a bytea literal: \x and hex */
} token_t;


/* all false after an error was reported */

/* 128 random bits */
bool token_new(cli_t *cli, token_t *token)
    __attribute__((warn_unused_result));

/* the first line of standard input */
bool token_stdin(cli_t *cli, token_t *token)
    __attribute__((warn_unused_result));

/* refuses what an Authorization header can't carry after its scheme */
bool token_take(cli_t *cli, const char *text, token_t *token)
    __attribute__((warn_unused_result));

/* fills in the digest alone, of whatever text */
bool token_digest(cli_t *cli, const char *text, token_t *token)
    __attribute__((warn_unused_result));


#endif /* GBCTL_TOKEN_H */
