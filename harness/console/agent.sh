# The program at the far end of the console; agent.py tells what it speaks. For any sh; in bash a short command with a
# short answer needs no program but its own. Before it is sent, comments and indents are taken out.

_md5() {
    _h=$(printf %s "$1" | md5sum)
    _h=${_h%% *}
}

# The sum of $1, into $_h.
_sum() {
    if [ ! "$BASH_VERSION" ] || [ ${#1} -gt 256 ]; then
        _md5 "$1"
        return
    fi
    local LC_ALL=C i=0 c
    _h=0
    while [ $i -lt ${#1} ]; do
        printf -v c %d "'${1:i:1}"
        _h=$(((_h * 1000003 + c) % 8796093022151)) i=$((i + 1))
    done
    printf -v _h %x $_h
}

# The whole answer if it is short, and plain text without what stands for blanks, line ends and the frame itself.
_short() {
    local LC_ALL=C o
    if IFS= read -r -d '' -n 257 o <$_o; then
        return 1
    fi
    case $o in *[!"$_lf"\ -}]* | *[\|^]*) return 1 ;; esac
    o=${o// /\~}
    o=${o//"$_lf"/^}
    _sum "$_n $_s $o"
    printf '<%s %s %s %s|%s|%s>\n' $_n $_s ${#o} $_h "$o" $_n
}

_head() {
    _much=1
    if ! base64 $_o >$_d/b; then
        printf '<pi64 %s full>\n' $_n
        return 1
    fi
    set -- $(wc -lc <$_d/b) $(md5sum <$_o)
    _sum "$_n $_s $1 $2 $3"
    printf '<%s %s %s %s %s %s>\n' $_n $_s $1 $2 $3 $_h
}

_part() {
    _r=$(sed -n "$1,$2p" $_d/b)
    _md5 "$_r"
    printf '<%s %s %s %s|\n%s\n|%s>\n' $_n $1 $2 $_h "$_r" $_n
}

# All processes below $1, parents first: a parent that outlives its child goes on with the next command.
_children() {
    local f p
    for f in /proc/[0-9]*/stat; do
        IFS= read -r p <$f || continue
        p=${p##*) } p=${p#* } f=${f#/proc/}
        if [ "${p%% *}" = $1 ]; then
            echo ${f%/stat}
            _children ${f%/stat}
        fi
    done
}

_kill() {
    local k
    for k in $(_children $$); do
        kill -KILL $k || sudo kill -KILL $k
    done
}

# Nobody is there to type a password; without -n, sudo would take requests for one.
sudo() {
    command sudo -n "$@"
}

# Waited for in the background, so that a signal is taken at once: Ctrl-C goes to the command too, Ctrl-\ kills it.
# Each output has a file of its own: what a command left running in the background may still write to it.
_run() {
    _i=$((_i + 1))
    if [ $_much ] || [ $_i -gt 50 ]; then
        rm -f $_d/o*
        _i=0 _much=
    fi
    _o=$_d/o$_n
    (
        trap - INT QUIT
        eval "$1"
    ) >$_o 2>&1 </dev/null &
    _p=$!
    while
        wait $_p
        _s=$?
        [ $_s -gt 128 ] && kill -0 $_p
    do :; done
}

_tty() {
    stty sane -echo -ixon -opost susp undef
}

_lf='
'
_cr=$(printf '\r')
_d=$1 _n=0 _s=0 _e=0 _i=0 _w=0 _c= _much=
trap : INT
trap _kill QUIT
printf '\n<pi64 ready %s>\n' "${BASH_VERSION:+fast}"
while [ $_e -lt 9 ]; do
    if ! IFS= read -r _l; then
        _e=$((_e + 1))
        continue
    fi
    _e=0
    case $_l in
        pi64-leave) break ;;
        '')
            [ $_asked ] || printf '$ '
            _asked=
            continue
            ;;
        # A line ends in CR LF. CR alone ends it already, unless a command has changed the terminal and left it so.
        *"$_cr")
            _tty
            _l=${_l%"$_cr"}
            ;;
        *) _asked=1 ;;
    esac
    _g=${_l%% *} _l=${_l#* }
    _sum "$_l"
    if [ "$_g" != "$_h" ]; then
        _tty
        printf '<pi64 ?>\n'
        continue
    fi
    _k=${_l%%[!0-9]*} _l=${_l#"$_k"}
    case $_l in
        +*)
            [ $_w = $_k ] || _c= _w=$_k
            _l=${_l#+}
            [ ${_l%% *} != ${#_c} ] || _c=$_c${_l#* }
            ;;
        =*)
            _sum "$_c"
            [ $_w != $_k ] || [ "${_l#=}" != $_h ] || _l=!$_c
            ;;
    esac
    case $_l in
        !*)
            if [ $_k != $_n ]; then
                _n=$_k
                _run "${_l#!}"
            fi
            { [ "$BASH_VERSION" ] && _short; } || { _head && _part 1 64; }
            ;;
        @*)
            set -- ${_l#@}
            [ $1 -gt 1 ] || _head
            _part $1 $2
            ;;
        [0-9=]*) printf '<pi64 %s +%s>\n' $_k ${#_c} ;;
        *) printf '<pi64 %s %s>\n' $_k $_n ;;
    esac
done
