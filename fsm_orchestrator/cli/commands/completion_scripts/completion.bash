# Completion of fsm-orchestrator for bash. To have it in every new shell, put this into ~/.bashrc:
#   eval "$(fsm-orchestrator completion bash)"

_fsm_orchestrator_completion() {
    local IFS=$'\n' response kind value has_names= has_paths= word=${COMP_WORDS[COMP_CWORD]}
    COMPREPLY=()
    [[ $2 || $word == '=' ]] || word=  # between two words bash names the one that follows
    response=$(env COMP_WORDS="${COMP_WORDS[*]:0:COMP_CWORD}"$'\n'"$word" \
        COMP_CWORD="$COMP_CWORD" _FSM_ORCHESTRATOR_COMPLETE=bash_complete "$1" 2>/dev/null </dev/null) ||
        return 0
    while IFS=, read -r kind value; do
        case $kind in
            plain) COMPREPLY+=("$value"); has_names=1 ;;
            dir) compopt -o filenames -o plusdirs ;;
            file) compopt -o filenames -o default; has_paths=1 ;;
        esac
    done <<< "$response"
    if [[ $has_names && $has_paths ]]; then
        while read -r value; do
            COMPREPLY+=("$value")
        done < <(compgen -f -- "$2")
    fi
    return 0
}

complete -o nosort -F _fsm_orchestrator_completion fsm-orchestrator 2>/dev/null ||
    complete -F _fsm_orchestrator_completion fsm-orchestrator
