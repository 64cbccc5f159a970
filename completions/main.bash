# bash completion for main(8): verbs, flags, and their values where they can be
# known. The addresses for exec come from "main ls", which takes root.

_main()
{
    local verbs='exec ls check gc down version help'
    local narration='-pcap -x -xx'
    local process="-e -t -u -w $narration"
    local run="$process -bridge -cap-add -cap-drop -cpus -dns -gateway -hostname -isolate -mac -memory
        -mtu -n -nat -network -p -pids-limit -privileged -read-only -rootfs -v"
    local alone=' -isolate -json -n -nat -privileged -read-only -t -x -xx -h ' # take no value

    # The words as main gets them. (COMP_WORDS has them cut at ":" and "=".)
    local line=${COMP_LINE:0:COMP_POINT} IFS=$' \t\n'
    local -a words
    read -ra words <<<"$line"
    [[ $line == *[[:blank:]] ]] && words+=('')
    local last=$((${#words[@]} - 1)) i=1 word verb= own= flag= rootfs= network=bridge
    local cur=${words[last]}
    COMPREPLY=()

    if ((last > 1)) && [[ " $verbs " == *" ${words[1]} "* ]]; then
        verb=${words[1]} i=2
    fi
    case $verb in
        '') own=$run ;;
        exec) own=$process ;;
        ls | check) own="-json $narration" ;;
        gc | down) own=$narration ;;
        help) ((last == 2)) && _main_reply -W "$verbs"; return ;;
    esac

    # Over the flags and their values.
    while ((i < last)); do
        word=${words[i]/#--/-}
        case $word in
            -) ((i++)); break ;;
            -*=*) _main_note "${word%%=*}" "${word#*=}" ;;
            -*)
                if [[ $alone != *" $word "* ]]; then
                    ((++i == last)) && flag=$word
                    _main_note "$word" "${words[i]}"
                fi
                ;;
            *) break ;;
        esac
        ((i++))
    done
    if [[ -z $flag && $i -eq $last && $cur == -*=* ]]; then
        flag=${cur%%=*} cur=${cur#*=}
        flag=${flag/#--/-}
    fi

    if [[ -n $flag ]]; then
        _main_value
    elif ((i == last)) && [[ $cur == -* ]]; then
        _main_reply -W "$own -h"
    elif [[ -n $verb && $verb != exec ]]; then
        ((i == last)) && _main_reply -W "$own -h"
    elif ((i == last)) && [[ $verb == exec ]]; then
        _main_reply -W "$("${words[0]}" ls 2>/dev/null | sed '1d; s/ .*//; s/,/ /')"
    elif ((i == last)) && [[ $network == bridge ]]; then
        ((last > 1)) && verbs=
        _main_reply -W "auto $verbs"
    else
        [[ $network == bridge ]] && ((i++))
        if ((i == last)); then _main_command; else _main_files -f; fi
    fi
}

# _main_note keeps what other words depend on.
_main_note()
{
    case $1 in
        -rootfs) rootfs=${2%/} ;;
        -network) network=$2 ;;
    esac
}

# _main_value completes the value of a flag.
_main_value()
{
    case $flag in
        -bridge) _main_reply -W "$(cd /sys/class/net && printf '%s\n' */bridge | sed -n 's,^\([^*]*\)/bridge$,\1,p')" ;;
        -cap-add | -cap-drop)
            _main_reply -W 'ALL AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF CHECKPOINT_RESTORE CHOWN
                DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE MAC_ADMIN
                MAC_OVERRIDE MKNOD NET_ADMIN NET_BIND_SERVICE NET_BROADCAST NET_RAW PERFMON SETFCAP SETGID SETPCAP
                SETUID SYSLOG SYS_ADMIN SYS_BOOT SYS_CHROOT SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE SYS_RAWIO
                SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG WAKE_ALARM' ;;
        -e) [[ $cur == *=* ]] || _main_reply -e ;;
        -network) _main_reply -W 'bridge none host' ;;
        -pcap) _main_files -f ;;
        -p) [[ $cur == */* ]] && _main_reply -W "${cur%/*}/tcp ${cur%/*}/udp ${cur%/*}/sctp" ;;
        -rootfs) _main_files -d ;;
        -u) [[ $cur == *:* || -n $rootfs ]] || _main_reply -u ;;
        -v)
            case $cur in
                *:*:*) _main_reply -W "${cur%:*}:ro" ;;
                *:*) ;;
                *) _main_files -f; compopt -o nospace 2>/dev/null ;;
            esac
            ;;
        -w) _main_inside -d ;;
        *) [[ $alone == *" $flag "* ]] && _main_reply -W 'true false' ;;
    esac
}

# _main_command completes a command's name: of the container's tree, if it has
# one of its own.
_main_command()
{
    if [[ $cur == */* ]]; then
        _main_inside -f
    elif [[ -z $rootfs ]]; then
        _main_reply -c
    else
        _main_reply -W "$(cd "$rootfs" && ls usr/local/sbin usr/local/bin usr/sbin usr/bin sbin bin 2>/dev/null)"
    fi
}

# _main_inside completes a path in the container's tree.
_main_inside()
{
    local inner=$cur
    cur=$rootfs$cur
    _main_files "$1"
    [[ -n $rootfs ]] && COMPREPLY=("${COMPREPLY[@]#"$rootfs"}")
    cur=$inner
}

_main_files()
{
    compopt -o filenames 2>/dev/null
    _main_reply "$1"
}

# _main_reply is compgen for the word. What bash puts in stands behind the last
# ":" or "=" of what is there.
_main_reply()
{
    mapfile -t COMPREPLY < <(compgen "$@" -- "$cur")
    local there=${cur%"${cur##*[:=]}"}
    COMPREPLY=("${COMPREPLY[@]#"$there"}")
}

complete -F _main main
