#compdef fsm-orchestrator
# Completion of fsm-orchestrator for zsh. To have it in every new shell, put this into ~/.zshrc, below
# compinit:
#   eval "$(fsm-orchestrator completion zsh)"

_fsm_orchestrator_completion() {
    local -a names described response
    local kind value help
    (( ! $+commands[fsm-orchestrator] )) && return 1

    response=("${(@f)$(env COMP_WORDS="${(F)words[1,CURRENT]}" COMP_CWORD=$((CURRENT-1)) \
        _FSM_ORCHESTRATOR_COMPLETE=zsh_complete fsm-orchestrator 2>/dev/null </dev/null)}")
    [[ $PREFIX == --*=* ]] && compset -P '*='

    for kind value help in "${response[@]}"; do
        case $kind in
            plain)
                if [[ $help == _ ]]; then
                    names+=("$value")
                else
                    described+=("$value:$help")
                fi ;;
            dir) _path_files -/ ;;
            file) _path_files -f ;;
        esac
    done
    (( $#described )) && _describe -V unsorted described
    (( $#names )) && compadd -V unsorted -a names
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _fsm_orchestrator_completion "$@"
else
    compdef _fsm_orchestrator_completion fsm-orchestrator
fi
