# Completion of fsm-orchestrator for fish. To have it in every new shell, put this into
# ~/.config/fish/config.fish:
#   fsm-orchestrator completion fish | source

function _fsm_orchestrator_completion
    set -l words (commandline -cp)
    set -l word (commandline -ct)
    set -l prefix (string match -r -- '^--[^=]+=' "$word")
    set -l response (env _FSM_ORCHESTRATOR_COMPLETE=fish_complete COMP_WORDS="$words" COMP_CWORD="$word" \
        fsm-orchestrator 2>/dev/null </dev/null)
    for line in $response
        set -l parts (string split -m 1 , -- $line)
        switch $parts[1]
            case plain
                printf '%s\n' "$prefix$parts[2]"
            case dir
                for path in (__fish_complete_directories "$parts[2]" "")
                    printf '%s\n' "$prefix$path"
                end
            case file
                for path in (__fish_complete_path "$parts[2]" "")
                    printf '%s\n' "$prefix$path"
                end
        end
    end
end

complete --no-files --command fsm-orchestrator --arguments "(_fsm_orchestrator_completion)"
