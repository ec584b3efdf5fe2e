/* SPDX-License-Identifier: MIT */
#include "cli.h"

#include <string.h>

static const char bash_script[] =
    "# bash completion of cellpack: eval \"$(cellpack completion bash)\"\n"
    "_cellpack() {\n"
    "  local IFS=$'\\n' current=\"${COMP_WORDS[COMP_CWORD]}\" lines\n"
    "  lines=$(cellpack words -- \"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null)\n"
    "  [ \"$current\" = = ] && current=\n"
    "  case $lines in\n"
    "    @files) compopt -o filenames; COMPREPLY=($(compgen -f -- \"$current\")) ;;\n"
    "    @folders) compopt -o filenames; COMPREPLY=($(compgen -d -- \"$current\")) ;;\n"
    "    *) COMPREPLY=($lines) ;;\n"
    "  esac\n"
    "}\n"
    "complete -F _cellpack cellpack\n";

static const char zsh_script[] =
    "#compdef cellpack\n"
    "# zsh completion of cellpack: source <(cellpack completion zsh)\n"
    "_cellpack() {\n"
    "  local -a lines\n"
    "  lines=(\"${(@f)$(cellpack words -- \"${(@)words[2,CURRENT]}\" 2>/dev/null)}\")\n"
    "  case $lines[1] in\n"
    "    @files) _files ;;\n"
    "    @folders) _files -/ ;;\n"
    "    ?*) compadd -a lines ;;\n"
    "  esac\n"
    "}\n"
    "compdef _cellpack cellpack\n";

static const char fish_script[] =
    "# fish completion of cellpack: cellpack completion fish | source\n"
    "function __cellpack_words\n"
    "  set -l before (commandline -opc)\n"
    "  set -l current (commandline -ct)\n"
    "  set -l lines (cellpack words --descriptions -- $before[2..-1] \"$current\" 2>/dev/null)\n"
    "  switch \"$lines[1]\"\n"
    "    case @files\n"
    "      __fish_complete_path \"$current\"\n"
    "    case @folders\n"
    "      __fish_complete_directories \"$current\"\n"
    "    case '*'\n"
    "      printf '%s\\n' $lines\n"
    "  end\n"
    "end\n"
    "complete -c cellpack -f -a '(__cellpack_words)'\n";

static const struct {
    const char *shell;
    const char *script;
} scripts[] = {{"bash", bash_script}, {"zsh", zsh_script}, {"fish", fish_script}};

static int run(const struct arguments *arguments)
{
    for (size_t i = 0; i < ARRAY_COUNT(scripts); i++) {
        if (strcmp(arguments->nouns[0], scripts[i].shell) != 0) {
            continue;
        }
        if (arguments->format == FORMAT_JSON) {
            json_t *root = json_root("completion", 1);
            json_object_set_new(root, "shell", json_string(scripts[i].shell));
            json_object_set_new(root, "script", json_string(scripts[i].script));
            return json_print(root);
        }
        fputs(scripts[i].script, stdout);
        return EXIT_DONE;
    }
    return report_usage(arguments->verb, "shells are bash, zsh and fish, not '%s'",
                        arguments->nouns[0]);
}

const struct verb verb_completion = {
    .name = "completion",
    .summary = "the script that completes verbs, options and names in a shell",
    .synopsis = "bash|zsh|fish",
    .examples = {"eval \"$(cellpack completion bash)\"", "cellpack completion fish | source"},
    .least_nouns = 1,
    .most_nouns = 1,
    .noun_choices = "bash|zsh|fish",
    .run = run,
};
