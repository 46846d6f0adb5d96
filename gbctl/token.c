/*
 * Tokens of devices and gateways.
 */

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include <openssl/evp.h>

#include "token.h"


#define TOKEN_BYTES  16


static void token_hex(const unsigned char *bytes, size_t n, char *text);


bool
token_new(cli_t *cli, token_t *token)
{
    char           text[2 * TOKEN_BYTES + 1];
    unsigned char  bytes[TOKEN_BYTES];

    if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes)) {
        return cli_fail(cli, CLI_FAILED, "failed", NULL,
                        "no random bytes for a token");
    }

    token_hex(bytes, sizeof(bytes), text);

    return token_take(cli, text, token);
}


bool
token_stdin(cli_t *cli, token_t *token)
{
    char  line[TOKEN_MAX + 3];

    if (fgets(line, sizeof(line), stdin) == NULL) {
        return cli_fail(cli, CLI_FAILED, "invalid", NULL,
                        "no token on standard input");
    }

    line[strcspn(line, "\r\n")] = '\0';

    return token_take(cli, line, token);
}


/* what an Authorization header can carry after "TargetToken " */

bool
token_take(cli_t *cli, const char *text, token_t *token)
{
    size_t  i, len;

    len = strlen(text);

    for (i = 0; i < len && text[i] > ' ' && text[i] < 127; i++) {
        /* void */
    }

    if (len == 0 || len > TOKEN_MAX || i < len) {
        return cli_fail(cli, CLI_FAILED, "invalid", NULL,
                        "a token has 1 to %d visible ASCII characters and no "
                        "blanks", TOKEN_MAX);
    }

    memcpy(token->text, text, len + 1);

    return token_digest(cli, text, token);
}


bool
token_digest(cli_t *cli, const char *text, token_t *token)
{
    unsigned int   n;
    unsigned char  digest[EVP_MAX_MD_SIZE];

    if (EVP_Digest(text, strlen(text), digest, &n, EVP_sha256(), NULL) != 1) {
        return cli_fail(cli, CLI_FAILED, "failed", NULL,
                        "SHA-256 is not available");
    }

    memcpy(token->digest, "\\x", 2);
    token_hex(digest, n, token->digest + 2);

    return true;
}


static void
token_hex(const unsigned char *bytes, size_t n, char *text)
{
    size_t  i;

    for (i = 0; i < n; i++) {
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    }
}
