# Completion of reapctl for fish.

set -g __reapctl_with_value

# Prints the command of the line as far as it is typed, or "wrapped" and the words of the wrapped command, a line each.
function __reapctl_parse
    set -l words (commandline -opc)
    set -e words[1]
    set -l command none
    while set -q words[1]
        set -l word $words[1]
        set -e words[1]
        switch $word
            case --
                if test $command = run
                    printf '%s\n' wrapped $words
                    return
                end
            case '--*=*'
            case '-?*'
                if contains -- $word $__reapctl_with_value
                    # The value may be what is being typed.
                    if not set -q words[1]
                        echo $command
                        return
                    end
                    set -e words[1]
                end
            case '*'
                if test $command = run
                    printf '%s\n' wrapped $word $words
                    return
                end
                test $command = none; and set command $word
        end
    end
    # What is being typed now is the name of the wrapped command, unless it is an option of ours.
    if test $command = run; and not string match -q -- '-*' (commandline -ct)
        echo wrapped
    else
        echo $command
    end
end

function __reapctl_is
    contains -- (__reapctl_parse)[1] $argv
end

function __reapctl_wrapped
    set -l words (__reapctl_parse)
    set -e words[1]
    complete -C (string join -- ' ' (string escape -- $words) (commandline -ct))
end

# Of the runs on record those in one of the STATES, a regular expression: prints FIELD, id or name. What JSON has to
# escape in a name cannot be had so easily, and such a name is left out.
function __reapctl_runs --argument-names field states
    set -l reapctl (commandline -opc)[1]
    set reapctl (string replace -r '^~/' $HOME/ -- $reapctl)
    type -q -- $reapctl; or return
    set -l text '(?:[^"\\\\]|\\\\.)*'
    set -l pattern '"run_id":"([0-9A-F]+)","name":(null|"'$text'"),"user":"'$text'","verdict":"('$states')"'
    command $reapctl list --json 2>/dev/null | string match -arg -- $pattern | while read -l id
        read -l name
        read -l state
        if test $field = id
            printf '%s\t%s\n' $id "$state, $name"
        else if string match -q '"*' -- $name; and not string match -rq '\\\\' -- $name
            printf '%s\t%s\n' (string sub -s 2 -e -1 -- $name) "$state, $id"
        end
    end
end

function __reapctl_signals
    kill -l | string split ' '
end

function __reapctl_signal_pair
    set -l first (string match -rg '^(?:--map=)?(.*:)' -- (commandline -ct)); or set -l first
    if set -q first[1]
        printf '%s\n' $first(__reapctl_signals)
    else
        printf '%s\n' (__reapctl_signals):
    end
end

# One option: for which commands, its names, what completes its value, a description. No value: ""; one that may be left
# out, and is given with "=" only: "?" before it.
function __reapctl_option --argument-names commands long letter value description
    set -l option -c reapctl -n "__reapctl_is $commands" -l $long -d $description
    if test -n "$letter"
        set -a option -s $letter
    end
    switch "$value"
        case ''
            complete $option -f
            return
        case '\?*'
            complete $option -fa (string sub -s 2 -- $value)
            return
        case 'FILE*'
            complete $option -rF -a (string replace FILE '' $value)
        case '*'
            complete $option -xa $value
    end
    set -ga __reapctl_with_value --$long -$letter
end

complete -c reapctl -f
complete -c reapctl -n '__reapctl_is wrapped' -xa '(__reapctl_wrapped)'

complete -c reapctl -n '__reapctl_is none' -a run -d 'Run a command, leave nothing behind'
complete -c reapctl -n '__reapctl_is none' -a sweep -d 'Kill and clean up what earlier runs left behind'
complete -c reapctl -n '__reapctl_is none' -a list -d 'List the runs on record'
complete -c reapctl -n '__reapctl_is none' -a show -d 'Show one run'
complete -c reapctl -n '__reapctl_is none' -a stop -d 'Stop active runs'
complete -c reapctl -n '__reapctl_is none' -a doctor -d 'Say what containment works here'
complete -c reapctl -n '__reapctl_is none' -a schema -d 'Print a JSON Schema'
complete -c reapctl -n '__reapctl_is sweep' -xa '(__reapctl_runs id "orphaned|gone")'
complete -c reapctl -n '__reapctl_is show' -xa '(__reapctl_runs id "[a-z]+")'
complete -c reapctl -n '__reapctl_is stop' -xa '(__reapctl_runs id active)'
complete -c reapctl -n '__reapctl_is schema' -xa 'report event record sweep list show doctor'

set -l every 'none run sweep list show stop doctor schema'
__reapctl_option $every help h '' 'Summary of options'
__reapctl_option $every version V '' 'Version, revision, linkage'
__reapctl_option $every verbose v '' 'Say what happens'
__reapctl_option $every registry '' '(__fish_complete_directories)' 'Where runs are on record'
__reapctl_option $every color '' 'auto always never' 'Colour in messages'

__reapctl_option run timeout t ' ' 'Limit for the run'
__reapctl_option run ladder '' '(__fish_complete_list , __reapctl_signals)' 'Signals of a stop'
__reapctl_option run signal s '(__reapctl_signals)' 'The one graceful signal'
__reapctl_option run kill-after k ' ' 'Bound of the graceful signal'
__reapctl_option run scope '' 'main group tree' 'Who hears the graceful signals'
__reapctl_option run stop-timeout '' ' ' 'Limit from the stop to the exit'
__reapctl_option run stop-on '' 'none (__fish_complete_list , __reapctl_signals)' 'Signals that begin a stop'
__reapctl_option run map '' '(__reapctl_signal_pair)' 'Rewrite a forwarded signal'
__reapctl_option run forward-to '' 'main group' 'Who hears other signals'
__reapctl_option run leftovers '' 'stop wait leave' 'Descendants that outlive the command'
__reapctl_option run die-with '' 'parent stdin (__fish_complete_pids)' 'Stop when that is gone'
__reapctl_option run ok-exit '' '(__fish_complete_list , __reapctl_signals)' 'What counts as success'
__reapctl_option run contain '' 'auto subreaper cgroup' 'How processes are held together'
__reapctl_option run no-guard '' '' 'Without a second reapctl process'
__reapctl_option run no-new-privs '' '' 'No gain of privileges'
__reapctl_option run close-fds '' '?except:' 'Pass only 0, 1 and 2'
__reapctl_option run workdir-base '' '(__fish_complete_directories)' 'Where to make the private directory'
__reapctl_option run no-workdir '' '' 'No private directory'
__reapctl_option run workdir-use '' 'cwd tmp cwd,tmp' 'What the private directory is for'
__reapctl_option run keep-workdir '' 'never on-failure always' 'Whether to keep it'
__reapctl_option run remove '' FILE 'Stale file to unlink at the end'
__reapctl_option run quiet-on-success q '' 'Show output and report only if the run fails'
__reapctl_option run lock '' ' ' 'One run at a time has it'
__reapctl_option run on-overlap '' 'skip wait fail kill' 'When another run has it'
__reapctl_option run splay '' ' ' 'First wait a part of that'
__reapctl_option run tail '' ' ' 'The end of the output goes into the report'
__reapctl_option run name '' '(__reapctl_runs name "[a-z]+")' 'What to call the run'
__reapctl_option run report '' 'FILE stderr stdout none fd:' 'Where the report goes'
__reapctl_option run report-format '' 'json text' 'Form of the report'
__reapctl_option run report-args '' 'redacted full none' 'How command lines are shown'
__reapctl_option run events '' 'FILE fd:' 'Where events go'

__reapctl_option sweep dry-run n '' 'Change nothing'
__reapctl_option sweep name '' '(__reapctl_runs name "[a-z]+")' 'Only runs of that name'
__reapctl_option sweep older-than '' ' ' 'Only what is as old as that'
__reapctl_option sweep include-active '' '' 'Stop active runs as well'
__reapctl_option sweep all-users '' '' 'The runs of every user'
__reapctl_option sweep match-env '' ' ' 'Processes with that in the environment'
__reapctl_option sweep match-port '' ' ' 'Processes listening on that port'
__reapctl_option sweep match-cwd '' '(__fish_complete_directories)' 'Processes in that directory'
__reapctl_option sweep match-exe '' FILE 'Processes executing that file'
__reapctl_option sweep match-pid '' '(__fish_complete_pids)' 'That process'
__reapctl_option sweep match-user '' '(__fish_complete_users)' 'Of that user only'
__reapctl_option sweep yes y '' 'Do not ask'
__reapctl_option sweep ladder '' '(__fish_complete_list , __reapctl_signals)' 'Signals for all victims'
__reapctl_option sweep stop-timeout '' ' ' 'Limit until everything is killed'
__reapctl_option sweep fail-if-found '' '' 'Exit 3 when there was something'
__reapctl_option sweep format '' 'text json github' 'Form of the output'
__reapctl_option sweep json '' '' 'Short for --format json'

__reapctl_option list all-users '' '' 'The runs of every user'
__reapctl_option list format '' 'text json' 'Form of the output'
__reapctl_option list json '' '' 'Short for --format json'

__reapctl_option show pid '' '(__fish_complete_pids)' 'The run of that process'
__reapctl_option show port '' ' ' 'The run that listens on that port'
__reapctl_option show format '' 'text json' 'Form of the output'
__reapctl_option show json '' '' 'Short for --format json'

__reapctl_option stop name '' '(__reapctl_runs name active)' 'All active runs of that name'
__reapctl_option stop stop-timeout '' ' ' 'Wait no longer than this'

__reapctl_option doctor format '' 'text json' 'Form of the output'
__reapctl_option doctor json '' '' 'Short for --format json'
