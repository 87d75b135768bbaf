# shellcheck shell=bash
# Completion of reapctl for bash, loaded by bash-completion on demand.

# What a command takes, a line each: --NAME=VALUE -LETTER. The alternatives of VALUE are words, or in upper case what
# _reapctl_value knows. With "[=VALUE]" the value is optional. Without COMMAND: what every command takes.
_reapctl_options() { # [COMMAND]
  case ${1-} in
    '') echo '
      --help -h
      --version -V
      --verbose -v
      --registry=DIR
      --color=auto|always|never
      ' ;;
    run) echo '
      --timeout=DUR -t
      --ladder=SIGNALS
      --signal=SIGNAL -s
      --kill-after=DUR -k
      --scope=main|group|tree
      --stop-timeout=DUR
      --stop-on=none|SIGNALS
      --map=SIGNAL:SIGNAL
      --forward-to=main|group
      --leftovers=stop|wait|leave
      --die-with=parent|stdin|PID
      --ok-exit=SIGNALS
      --contain=auto|subreaper|cgroup
      --no-guard
      --no-new-privs
      --close-fds[=except:]
      --workdir-base=DIR
      --no-workdir
      --workdir-use=cwd|tmp|cwd,tmp
      --keep-workdir=never|on-failure|always
      --remove=FILE
      --quiet-on-success -q
      --name=NAME:[a-z]+
      --lock=LOCK
      --on-overlap=skip|wait|fail|kill
      --splay=DUR
      --tail=SIZE
      --report=stderr|stdout|none|fd:|FILE
      --report-format=json|text
      --report-args=redacted|full|none
      --events=fd:|FILE
      ' ;;
    sweep) echo '
      --dry-run -n
      --name=NAME:[a-z]+
      --older-than=DUR
      --include-active
      --all-users
      --match-env=ASSIGNMENT
      --match-port=PORT
      --match-cwd=DIR
      --match-exe=FILE
      --match-pid=PID
      --match-user=USER
      --yes -y
      --ladder=SIGNALS
      --stop-timeout=DUR
      --fail-if-found
      --format=text|json|github
      --json
      ' ;;
    list) echo '
      --all-users
      --format=text|json
      --json
      ' ;;
    show) echo '
      --pid=PID
      --port=PORT
      --format=text|json
      --json
      ' ;;
    stop) echo '
      --name=NAME:active
      --stop-timeout=DUR
      ' ;;
    doctor) echo '
      --format=text|json
      --json
      ' ;;
  esac
}

# Words that are no options, of the commands that do not wrap another.
_reapctl_operands() { # COMMAND
  case $1 in
    '') echo 'run|sweep|list|show|stop|doctor|schema' ;;
    sweep) echo 'RUN:orphaned|RUN:gone' ;;
    show) echo 'RUN:[a-z]+' ;;
    stop) echo 'RUN:active' ;;
    schema) echo 'report|event|record|sweep|list|show|doctor' ;;
  esac
}

# Of the runs on record those in one of the STATES, a regular expression: prints FIELD, id or name. What JSON has to
# escape in a name cannot be had so easily, and such a name is left out.
_reapctl_runs() { # FIELD STATES
  local list program=${words[0]/#\~\//$HOME/} text='([^"\\]|\\.)*'
  local pattern='"run_id":"([0-9A-F]+)","name":(null|"('$text')"),"user":"'$text'","verdict":"('$2')"'
  list=$("$program" list --json 2>/dev/null)
  while [[ $list =~ $pattern ]]; do
    list=${list#*"${BASH_REMATCH[0]}"}
    if [[ $1 == id ]]; then
      echo "${BASH_REMATCH[1]}"
    elif [[ -n ${BASH_REMATCH[3]} && ${BASH_REMATCH[3]} != *\\* ]]; then
      printf '%q\n' "${BASH_REMATCH[3]}"
    fi
  done
}

# Adds to COMPREPLY what a value can be.
_reapctl_value() { # ALTERNATIVES
  local prefix='' alternative rest=$1'|' signals value values=() pids
  signals=$(compgen -A signal SIG)
  signals=${signals//SIG/}
  while [[ -n $rest ]]; do
    alternative=${rest%%|*}
    rest=${rest#*|}
    case $alternative in
      DUR | SIZE | PORT | LOCK | ASSIGNMENT) ;;
      DIR) _filedir -d ;;
      FILE) _filedir ;;
      USER) mapfile -t -O "${#values[@]}" values < <(compgen -u) ;;
      PID)
        pids=(/proc/[1-9]*)
        values+=("${pids[@]#/proc/}")
        ;;
      NAME:*) mapfile -t -O "${#values[@]}" values < <(_reapctl_runs name "${alternative#NAME:}" | sort -u) ;;
      RUN:*) mapfile -t -O "${#values[@]}" values < <(_reapctl_runs id "${alternative#RUN:}") ;;
      SIGNAL) mapfile -t -O "${#values[@]}" values <<<"$signals" ;;
      SIGNALS)
        prefix+=${cur%"${cur##*[,/]}"}
        mapfile -t -O "${#values[@]}" values <<<"$signals"
        compopt -o nospace
        ;;
      SIGNAL:SIGNAL)
        [[ $cur != *:* ]] || prefix+=${cur%%:*}:
        mapfile -t -O "${#values[@]}" values <<<"$signals"
        [[ $cur == *:* ]] || values=("${values[@]/%/:}")
        compopt -o nospace
        ;;
      *)
        values+=("$alternative")
        [[ $alternative != "$cur"*: ]] || compopt -o nospace
        ;;
    esac
  done
  for value in "${values[@]}"; do
    [[ $prefix$value != "$cur"* ]] || COMPREPLY+=("$prefix$value")
  done
}

# Takes what a command takes into the arrays of its caller.
_reapctl_learn() { # [COMMAND]
  local line letter name
  while read -r line letter; do
    [[ -n $line ]] || continue
    name=${line%%[[=]*}
    names+=("$name" ${letter:+"$letter"})
    case $line in
      *'[='*) value_of[$name]="?${line#*=}" ;;
      *=*) value_of[$name]=${line#*=} && value_of[${letter:-$name}]=${line#*=} ;;
    esac
  done < <(_reapctl_options "$@")
}

_reapctl() {
  local cur words cword
  _get_comp_words_by_ref -n =: cur words cword
  COMPREPLY=()
  local command='' wanted='' wrapped=0 i
  local -A value_of=()
  local names=()
  _reapctl_learn
  for ((i = 1; i < cword; i++)); do
    case ${words[i]} in
      --) [[ $command != run ]] || wrapped=$((++i)) ;;
      --*=*) ;;
      -?*)
        wanted=${value_of[${words[i]}]-}
        [[ $wanted != \?* ]] || wanted=
        [[ -z $wanted ]] || ((++i))
        ((i == cword)) || wanted=
        ;;
      *)
        if [[ -z $command ]]; then
          command=${words[i]}
          _reapctl_learn "$command"
        elif [[ $command == run ]]; then
          wrapped=$i
        fi
        ;;
    esac
    ((wrapped == 0)) || break
  done
  [[ $command != run || $wrapped != 0 || -n $wanted || $cur == -* ]] || wrapped=$cword

  if ((wrapped)); then
    # Where the wrapped command begins in COMP_WORDS, which are also split at = and :.
    local raw=0 joined
    for ((i = 0; i < wrapped; i++)); do
      joined=
      while [[ $joined != "${words[i]}" ]] && ((raw < COMP_CWORD)); do joined+=${COMP_WORDS[raw++]}; done
    done
    _command_offset "$raw"
    return
  fi
  if [[ -n $wanted ]]; then
    _reapctl_value "$wanted"
  elif [[ $cur == --*=* ]]; then
    wanted=${value_of[${cur%%=*}]-}
    cur=${cur#*=}
    [[ -z $wanted ]] || { wanted=${wanted#\?} && _reapctl_value "${wanted%]}"; }
  elif [[ $cur == -[!-]?* && -n ${value_of[${cur:0:2}]-} ]]; then
    local letter=${cur:0:2}
    cur=${cur:2}
    _reapctl_value "${value_of[$letter]}"
    COMPREPLY=("${COMPREPLY[@]/#/$letter}")
  elif [[ $cur == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "${names[*]}" -- "$cur")
  else
    _reapctl_value "$(_reapctl_operands "$command")"
  fi
  __ltrim_colon_completions "$cur"
}

complete -F _reapctl reapctl
