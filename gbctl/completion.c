/*
 * Scripts by which shells ask gbctl __complete.
 */

#include "completion.h"


/*
 * bash splits words at COMP_WORDBREAKS, gbctl does not: the line is split
 * anew, and what stands before the last break is taken off the candidates.
 */

const char  completion_bash[] =
"# bash completion for gbctl, made by \"gbctl completion bash\"\n"
"_gbctl() {\n"
"    local words word prefix\n"
"    read -ra words <<< \"${COMP_LINE:0:COMP_POINT}\"\n"
"    [[ ${COMP_LINE:COMP_POINT-1:1} != [[:space:]] ]] || words+=('')\n"
"    prefix=${words[-1]%\"${words[-1]##*[=:]}\"}\n"
"    COMPREPLY=()\n"
"    while IFS=$'\\t' read -r word _; do\n"
"        if [[ $word = :files ]]; then\n"
"            compopt -o default -o filenames 2>/dev/null\n"
"            COMPREPLY=()\n"
"            return\n"
"        fi\n"
"        printf -v word %q \"$word\"\n"
"        COMPREPLY+=(\"${word#\"$prefix\"}\")\n"
"    done < <(\"${words[0]}\" __complete -- \"${words[@]:1}\" 2>/dev/null)\n"
"}\n"
"complete -F _gbctl gbctl\n";


const char  completion_fish[] =
"# fish completion for gbctl, made by \"gbctl completion fish\"\n"
"function __gbctl_complete\n"
"    set -l words (commandline -opc) (commandline -ct)\n"
"    set -l found ($words[1] __complete -- $words[2..-1] 2>/dev/null)\n"
"    if test \"$found\" = :files\n"
"        __fish_complete_path (commandline -ct)\n"
"    else\n"
"        printf '%s\\n' $found\n"
"    end\n"
"end\n"
"complete -c gbctl -f -a '(__gbctl_complete)'\n";


const char  completion_zsh[] =
"#compdef gbctl\n"
"# zsh completion for gbctl, made by \"gbctl completion zsh\"\n"
"_gbctl() {\n"
"    local line word\n"
"    local -a found\n"
"    for line in \"${(@f)$(\"${words[1]}\" __complete --"
" \"${(@)words[2,CURRENT]}\" 2>/dev/null)}\"; do\n"
"        word=${line%%$'\\t'*}\n"
"        if [[ $word = :files ]]; then\n"
"            _files\n"
"            return\n"
"        fi\n"
"        [[ -z $word ]] || found+=(\"${word//:/\\\\:}:${line#*$'\\t'}\")\n"
"    done\n"
"    _describe gbctl found\n"
"}\n"
"if [[ ${funcstack[1]} = _gbctl ]]; then\n"
"    _gbctl \"$@\"\n"
"else\n"
"    compdef _gbctl gbctl\n"
"fi\n";
