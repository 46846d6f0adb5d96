/*
 * A goosebit.yaml in a temporary folder, for the tests of gb_config.
 */

#ifndef CONFIG_FILE_H
#define CONFIG_FILE_H


#include "gb_config.h"


extern char         conf_folder[];
extern char         conf_path[64];
extern char *const  conf_env[];


void config_file_write(const char *text, size_t len);

/* new; the test fails if the text is refused */
gb_config_t *config_file_load(const char *text, char *const *env);

/* want is the error without the folder's name, which changes */
void config_file_refused(const char *text, size_t len, char *const *env,
    const char *want);

int config_file_setup(void **state);
int config_file_teardown(void **state);


#endif /* CONFIG_FILE_H */
