#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# Fetch person detection models into the weights directory; `--help` says everything a user needs.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)

usage() {
    cat <<'END'
Usage: download_models.sh [--yes] [--dir DIR] [--timeout SECONDS] [--if-missing] [MODEL...]

Models:
  yolox-nano           YOLOX-Nano, 416x416, 4 MB, Apache-2.0 (if none is named); size n of the worker
  yolo11n ... yolo11x  YOLO11 in size n, s, m, l or x, exported here to 640 and 320; AGPL-3.0, so it asks first.
                       `yolo11 n s` is short for `yolo11n yolo11s`.

Options:
  --yes              accept the licence of the models named, without asking
  --dir DIR          where the models go (default: $ORION_MODEL_DIR, else weights beside this script)
  --timeout SECONDS  end after so long, whatever is under way (default: no limit while data arrives)
  --if-missing       look at names only, and do nothing where DIR holds what the worker would take already:
                     for yolox-nano any model of size n, for YOLO11 any YOLO11 of that size
  -h, --help         print this

A download that was broken off leaves NAME.part and NAME.part.info; the same command goes on from there.
The SHA-256 of a file is recorded in models.lock when it is first fetched and checked ever after.

Environment:
  ORION_MODEL_BASE_URL  a mirror (http, https or file) that has the files directly below it: yolox_nano.onnx,
                        yolo11n.pt ... yolo11x.pt
  ORION_MODEL_DIR       see --dir
  ORION_MODELS_LOCK     the checksums (default: models.lock beside this script)
  ORION_LOCK_WAIT       seconds to wait for another copy that works in DIR (default: 600)
  ORION_STALL_SECONDS   give up on a connection with less than 1 KiB/s over so long (default: 30)
  ORION_EXPORT_PYTHON   a Python that has ultralytics, torch and onnx, for the YOLO11 export; without it an
                        environment is made and thrown away (pip's own settings, PIP_..., are respected)
  ORION_VENV            the worker's Python environment; when it exists, new models are loaded once as a check

Exit status: 0 all models are there, 1 failure, 2 usage, 3 server unreachable, stalled or out of time,
4 checksum mismatch, 5 licence not accepted, 6 another copy is busy in DIR; 130, 143: interrupted.
END
}

say() {
    printf '%s\n' "$*" >&2
}

die() { # STATUS MESSAGE
    code=$1
    shift
    clear_progress
    say "[ERROR] $*"
    exit "$code"
}

misuse() {
    die 2 "$* (see --help)"
}

is_count() {
    case $1 in
        '' | *[!0-9]* | 0* | ???????*) return 1 ;;
    esac
}

# --- waiting -------------------------------------------------------------------------------------------------

# Hundredths of a second that no clock adjustment touches; $now.
now() {
    read -r now _ </proc/uptime
    now=${now%.*}${now#*.}
}

child=
stop_child() {
    [ -n "$child" ] || return 0
    kill -TERM "$child" 2>/dev/null || :
    grace=0
    while [ $grace -lt 20 ] && kill -0 "$child" 2>/dev/null; do
        grace=$((grace + 1))
        sleep 0.1
    done
    kill -KILL "$child" 2>/dev/null || :
    wait "$child" 2>/dev/null || :
    child=
}

# Run a program with its output in $work/log and call TICK ten times a second meanwhile. $status is its exit
# status, or `limit` (LIMIT seconds are over) or `stalled` (TICK failed). It runs in the background because a
# shell handles signals only between its commands: so Ctrl-C, SIGTERM and --timeout all act at once.
run() { # LIMIT TICK PROGRAM...
    now
    end=$((now + $1 * 100))
    [ -z "$deadline" ] || [ "$deadline" -gt "$end" ] || end=$deadline
    tick=$2
    shift 2
    before=${!:-}
    child=starting
    # shellcheck disable=SC2016 # expanded by the inner shell, which becomes the program
    sh -c 'log=$1; shift; exec "$@" >"$log" 2>&1' sh "$work/log" "$@" &
    child=$!
    status=
    while kill -0 "$child" 2>/dev/null; do
        now
        if [ "$now" -ge "$end" ]; then
            status=limit
        elif ! $tick; then
            status=stalled
        else
            sleep 0.1
            continue
        fi
        stop_child
    done
    if [ -z "$status" ]; then
        status=0
        wait "$child" || status=$?
    fi
    child=
    now
    if [ -n "$deadline" ] && [ "$now" -ge "$deadline" ] && [ "$status" != 0 ]; then
        [ -z "$part" ] || keep_part
        die 3 "not done after $timeout s (--timeout)$downloading; the same command goes on from there"
    fi
}

cleanup() {
    [ -z "$work" ] || rm -rf -- "$work"
    # Only the holder of the lock on DIR has set this one.
    [ -z "$scratch" ] || rm -rf -- "$scratch"
    work='' scratch=''
}

interrupted() { # SIGNAL
    trap '' HUP INT TERM
    trap - EXIT
    if [ "$child" = starting ]; then
        # The signal came before the assignment: $! is the new child, or still the one before it.
        child=${!:-}
        [ "$child" != "$before" ] || child=
    fi
    stop_child
    [ -z "$part" ] || keep_part
    cleanup
    clear_progress
    say "interrupted$downloading; the same command goes on from there"
    # Dying of the signal itself tells make and shells that this was no ordinary failure.
    trap - "$1"
    kill -s "$1" $$
}

idle() {
    :
}

# --- progress ------------------------------------------------------------------------------------------------

shown_at=0
progress() { # TEXT: on a terminal one line that changes, else a line every ten seconds
    if [ -t 2 ]; then
        printf '\r\033[K%s' "$1" >&2
        drawn=yes
    elif [ $((now - shown_at)) -ge 1000 ]; then
        shown_at=$now
        say "$1"
    fi
}

drawn=
clear_progress() {
    [ -z "$drawn" ] || printf '\r\033[K' >&2
    drawn=
}

megabytes() {
    printf '%d.%d' $(($1 / 1000000)) $(($1 / 100000 % 10))
}

working() {
    progress "$doing ($(((now - began) / 100)) s)"
}

download_progress() { # SIZE
    if [ -z "$total" ] || [ "$total" -lt 1 ]; then
        progress "$name: $(megabytes "$1") MB"
        return
    fi
    filled=$(($1 * 30 / total))
    [ "$filled" -le 30 ] || filled=30
    bar=$(printf '%*s' $filled '' | tr ' ' '#')$(printf '%*s' $((30 - filled)) '' | tr ' ' '.')
    progress "$name: [$bar] $(($1 * 100 / total)) %  $(megabytes "$1") / $(megabytes "$total") MB"
}

# --- one download --------------------------------------------------------------------------------------------

size_of() {
    if [ -e "$1" ]; then
        wc -c <"$1" | tr -d ' '
    else
        echo 0
    fi
}

without_credentials() {
    printf '%s' "$1" | sed 's|//[^/@]*@|//|'
}

# The last answer in curl's header file or wget's log: $code (000 without one), $total (the whole file's size,
# empty if not said) and $tag, a strong validator that can vouch for a part (empty if there is none).
read_headers() {
    code=000 total='' tag=''
    [ -s "$work/headers" ] || return 0
    eval "$(awk '
        function quoted(text) { return text ~ /\047/ ? "\047\047" : "\047" text "\047" }
        { sub(/\r$/, ""); sub(/^  /, "") }
        /^HTTP\/[0-9.]+ [0-9][0-9][0-9]/ { code = $2; size = etag = modified = ""; next }
        { value = $0; sub(/^[^:]*:[ \t]*/, "", value); key = tolower(substr($0, 1, index($0, ":") - 1)) }
        key == "content-length" && code == 200 && value ~ /^[0-9]+$/ { size = value }
        key == "content-range" && code == 206 && value ~ /\/[0-9]+$/ { size = value; sub(/.*\//, "", size) }
        key == "etag" && value !~ /^W\// { etag = value }
        key == "last-modified" { modified = value }
        END {
            if (code != "") print "code=" quoted(code)
            print "total=" quoted(size); print "tag=" quoted(etag != "" ? etag : modified)
        }' "$work/headers")"
}

# Beside a part: the address and validator it belongs to, and the size it will have.
keep_part() {
    [ -s "$part" ] || { rm -f -- "$part" "$part.info"; return 0; }
    [ ! -e "$part.info" ] || return 0
    read_headers
    if [ "$code" = 200 ] && [ -n "$tag" ]; then
        printf '%s\n%s\n%s\n' "$shown" "$tag" "$total" >"$part.info"
    fi
}

drop_part() {
    rm -f -- "$part" "$part.info"
}

while_downloading() {
    size=$(size_of "$part")
    if [ "$size" -gt "$from" ] && [ -z "$known" ]; then
        keep_part
        read_headers
        known=yes
    fi
    if [ $((now - mark_time)) -ge $((stall * 100)) ]; then
        [ $((size - mark_size)) -ge $((stall * 1024)) ] || return 1
        mark_time=$now mark_size=$size
    fi
    [ -z "$known" ] || download_progress "$size"
}

with_curl() {
    redirects=https
    case $url in https:*) ;; *) redirects=http,https ;; esac
    # Without a buffer, what has come is in the file when curl is ended.
    set -- curl --silent --show-error --no-buffer --fail --location --max-redirs 5 --connect-timeout 10 --suppress-connect-headers \
        --proto =http,https,file --proto-redir "=$redirects" --config "$work/curl" \
        --dump-header "$work/headers" --output "$part"
    if [ "$from" -gt 0 ]; then
        # A server whose file has changed answers with all of it, which curl then refuses.
        set -- "$@" --continue-at "$from" --header "If-Range: $expected"
    fi
    run 86400 while_downloading "$@"
    read_headers
    cause=$(sed -n 's/^curl: ([0-9]*) //p' "$work/log" | tail -n 1)
    case $status in
        0) outcome=complete ;;
        stalled | limit) outcome=stalled ;;
        22) outcome=http ;;
        33 | 36) outcome=restart ;;
        18 | 52 | 55 | 56 | 92 | 95) outcome=broken ;;
        23) outcome=local ;;
        37) outcome=absent ;;
        *) outcome=unreachable ;;
    esac
}

wget_says() {
    grep -v -e '^  ' -e '^$' "$work/headers" | sed -n '$s/^wget: //;$p'
}

with_wget() {
    set -- env LC_ALL=C wget --no-verbose --server-response --tries=1 --max-redirect=5 --connect-timeout=10 \
        --dns-timeout=10 --read-timeout="$stall" --output-file="$work/headers" --input-file="$work/wget"
    if [ "$from" -gt 0 ]; then
        # wget skips what it has when a server ignores the range, so only an unchanged file may be resumed.
        run 60 idle "$@" --spider
        read_headers
        if [ "$status" != 0 ] || [ "$tag" != "$expected" ]; then
            drop_part
            from=0 expected=''
        else
            set -- "$@" --continue
        fi
        : >"$work/headers"
    fi
    run 86400 while_downloading "$@" --output-document="$part"
    read_headers
    cause=$(wget_says)
    case $status in
        0) outcome=complete ;;
        stalled | limit) outcome=stalled ;;
        8) outcome=http ;;
        6) outcome=http code=401 ;;
        3) outcome=local ;;
        4 | 7) if [ "$code" = 000 ]; then outcome=unreachable; else outcome=broken; fi ;;
        *) outcome=unreachable ;;
    esac
    case $url in https:*)
        # curl refuses this by itself; here it can only be noticed.
        if grep -qi '^ *Location: *http:' "$work/headers"; then
            drop_part
            outcome=unreachable cause='the server redirects to an address without encryption'
        fi
        ;;
    esac
}

# One attempt at $url into $part; sets $outcome and $cause.
attempt() {
    from=0 expected='' known='' total=''
    if [ -s "$part" ] && [ -f "$part.info" ]; then
        { read -r owner && read -r expected && read -r total; } <"$part.info" || owner=
        from=$(size_of "$part")
        if [ "$owner" != "$shown" ] || [ -z "$expected" ]; then
            from=0
        elif [ -n "$total" ] && [ "$from" -eq "$total" ]; then
            outcome=complete
            return
        elif [ -n "$total" ] && [ "$from" -gt "$total" ]; then
            from=0
        fi
    fi
    if [ "$from" -eq 0 ]; then
        drop_part
    else
        say "$name: going on at $(megabytes "$from") MB"
    fi
    : >"$work/headers"
    now
    mark_time=$now mark_size=$from shown_at=$now
    with_"$tool"
    clear_progress
    case $code in
        000 | 200 | 206 | 4?? | 5??) ;;
        *) [ "$outcome" != complete ] || { outcome=http; drop_part; } ;;
    esac
    if [ "$from" -gt 0 ] && [ "$outcome" = complete ] && [ "$tag" != "$expected" ]; then
        outcome=restart
    elif [ "$outcome" = http ] && [ "$code" = 416 ]; then
        outcome=restart
    elif [ "$outcome" = complete ] && [ -n "$total" ] && [ "$(size_of "$part")" -ne "$total" ]; then
        outcome=broken cause="$(size_of "$part") of $total bytes came"
    fi
    keep_part
}

download() { # fills $part from $url
    remedy="set ORION_MODEL_BASE_URL to a mirror, or put the file at $by_hand by hand, or use the detector \`motion\`, which needs no model"
    downloading=" while downloading $shown"
    say "$name: from $shown"
    tries=0 restarts=0
    while :; do
        attempt
        case $outcome in
            complete) break ;;
            restart)
                # What is here does not fit what the server has now.
                drop_part
                restarts=$((restarts + 1))
                [ "$restarts" -le 2 ] || die 1 "$shown: the file changes while it is being fetched; try again later"
                say "$name: the server cannot continue the part that is here; starting anew"
                continue
                ;;
            local) die 1 "cannot write $part: ${cause:-no reason given}; is the disk full?" ;;
            absent) die 1 "$shown: ${cause:-cannot be read}; ORION_MODEL_BASE_URL must name a directory that has the file" ;;
            unreachable) die 3 "cannot reach $shown: ${cause:-no reason given (exit status $status of $tool)}; $remedy" ;;
            http)
                case $code in
                    408 | 429 | 5??) ;;
                    *) die 1 "$shown: the server answered HTTP $code; $remedy" ;;
                esac
                cause="the server answered HTTP $code"
                ;;
            stalled) cause="less than 1 KiB/s for $stall s" ;;
        esac
        tries=$((tries + 1))
        if [ "$tries" -ge 3 ]; then
            case $outcome in
                http) die 1 "$shown: $cause, $tries times; $remedy" ;;
                *) die 3 "$shown: the download broke off $tries times, last: ${cause:-connection lost}; run this again to go on, or $remedy" ;;
            esac
        fi
        say "$name: ${cause:-connection lost}; trying again in $tries s"
        run $((tries + 10)) idle sleep "$tries"
    done
    downloading=
}

# --- is it what it should be ---------------------------------------------------------------------------------

starts_like() { # KIND FILE
    first=$(od -An -tx1 -N3 -- "$2" | tr -d ' \n')
    case $1:$first in
        # ModelProto: the format version (1 to 31), then any other field.
        onnx:080[1-9a-f]?? | onnx:081??? | pt:504b03) return 0 ;;
        *) return 1 ;;
    esac
}

sum_of() {
    sha256sum <"$1" | cut -d ' ' -f 1
}

# The sum recorded under a name; nothing when there is none.
recorded() { # NAME
    [ -e "$sums" ] || return 0
    awk -v name="$1" '
        /^[ \t]*(#|$)/ { next }
        NF != 4 || $1 !~ /^[0-9a-f]+$/ || length($1) != 64 || $2 !~ /^[0-9]+$/ {
            print "line " NR ": not `SHA-256 size name address`: " $0
            exit 1
        }
        $3 == name { print $1; exit }' "$sums"
}

look_up() { # NAME: $want
    want=$(recorded "$1") || die 1 "$sums: ${want:-cannot be read}; correct or remove that line"
}

# Compare a fresh file with models.lock, or record it there when its name is new.
vouch() { # NAME FILE
    sum=$(sum_of "$2")
    look_up "$1"
    if [ -z "$want" ]; then
        # Another copy, with another DIR, may have recorded the name since: look again with the file held.
        # (A failed `exec` would end the shell without a word, so `true` tries first.)
        if { true >>"$sums"; } 2>/dev/null; then
            exec 8>>"$sums"
            run 10 idle flock 8
            [ "$status" = 0 ] || die 6 "$sums is held by another program; try again when that is done"
            look_up "$1"
            if [ -z "$want" ]; then
                [ -z "$(tail -c 1 "$sums")" ] || echo >&8
                printf '%s %s %s %s\n' "$sum" "$(size_of "$2")" "$1" "$shown" >&8
                say "$1: SHA-256 $sum recorded in $sums"
                want=$sum
            fi
            exec 8>&-
        else
            say "[WARNING] cannot record the SHA-256 of $1 in $sums, which cannot be written; set ORION_MODELS_LOCK to a file that can"
            want=$sum
        fi
    fi
    if [ "$sum" != "$want" ]; then
        drop_part
        die 4 "$shown has SHA-256 $sum, but $sums says $want for $1; nothing was put in place. If the new file is right, remove that line"
    fi
}

# Load a model once where the worker's environment exists; it is no failure that it does not.
try_loading() { # FILE
    venv=${ORION_VENV:-$here/.venv}
    [ -x "$venv/bin/python" ] || return 0
    run 120 idle env PYTHONNOUSERSITE=1 "$venv/bin/python" -c '
import sys
try:
    import onnxruntime
except ImportError:
    sys.exit(0)
options = onnxruntime.SessionOptions()
options.log_severity_level = 4
options.intra_op_num_threads = 1
try:
    with open(sys.argv[1], "rb") as file:
        onnxruntime.InferenceSession(file.read(), options, providers=["CPUExecutionProvider"])
except Exception as error:
    print(" ".join(str(error).split())[:300])
    sys.exit(9)
' "$1"
    # Any other failure is one of the environment, not of the model.
    [ "$status" = 9 ] || return 0
    cause=$(tail -n 1 "$work/log")
    return 1
}

readable() { # FILE
    { [ -f "$1" ] && [ -r "$1" ]; } || die 1 "$1 is there, but is not a file that can be read; move it away"
}

# A file in place that is not what models.lock says: out of the worker's sight, but kept.
reject() { # FILE FOUND WANTED WHERE
    mv -f -- "$1" "$1.rejected" || die 4 "$1 has SHA-256 $2, but $4 says $3, and it cannot be moved away; remove it"
    die 4 "$1 has SHA-256 $2, but $4 says $3; it is now $1.rejected. Run this again to fetch the right one"
}

# --- models --------------------------------------------------------------------------------------------------

# A file of the release in DIR, fetched only if it is not there.
fetch() { # NAME REMOTE_NAME RELEASE KIND BY_HAND
    name=$1 by_hand=$5
    url=${ORION_MODEL_BASE_URL:-$3}/$2
    shown=$(without_credentials "$url")
    file=$dir/$name
    if [ -e "$file" ]; then
        readable "$file"
        look_up "$name"
        sum=$(sum_of "$file")
        if [ -n "$want" ] && [ "$sum" != "$want" ]; then
            reject "$file" "$sum" "$want" "$sums"
        fi
        starts_like "$4" "$file" || die 1 "$file is there, but is not an $4 file; remove it and run this again"
        note='its SHA-256 is right'
        [ -n "$want" ] || note="its SHA-256 is in no list, so it was not checked"
        say "$file: already there ($note)"
        return
    fi
    find_tool
    part=$file.part
    # Addresses go through files: the arguments of a program are for everybody to read.
    printf 'url = "%s"\n' "$url" >"$work/curl"
    printf '%s\n' "$url" >"$work/wget"
    download
    if ! starts_like "$4" "$part"; then
        begin=$(head -c 40 -- "$part" | tr -cd '[:print:]')
        drop_part
        die 1 "what came from $shown is not an $4 file: it begins with \"$begin\". A proxy or a login page may be in the way; $remedy"
    fi
    if [ "$4" = onnx ] && ! try_loading "$part"; then
        drop_part
        die 1 "the model from $shown cannot be loaded: $cause; run this again, or $remedy"
    fi
    vouch "$name" "$part"
    # On the disk before its name says that it is whole.
    sync -- "$part" 2>/dev/null || :
    mv -- "$part" "$file" || die 1 "cannot put $file in place; see the line above"
    rm -f -- "$part.info"
    part=
    say "$file: ready"
}

yolox_nano() {
    fetch yolox_nano_416.onnx yolox_nano.onnx \
        https://github.com/Megvii-BaseDetection/YOLOX/releases/download/0.1.1rc0 onnx "$dir/yolox_nano_416.onnx"
}

pair_there() { # SIZE
    [ -e "$dir/yolo11${1}_fp32_640.onnx" ] && [ -e "$dir/yolo11${1}_fp32_320.onnx" ]
}

check_pair() { # SIZE
    listed=$dir/yolo11$1.sha256
    note='not checked: no record of their making'
    for side in 640 320; do
        file=$dir/yolo11${1}_fp32_$side.onnx
        readable "$file"
        starts_like onnx "$file" || die 1 "$file is there, but is not an onnx file; remove it and run this again"
        [ -e "$listed" ] || continue
        want=$(awk -v name="${file##*/}" '$2 == name { print $1 }' "$listed")
        sum=$(sum_of "$file")
        [ "$sum" = "$want" ] || reject "$file" "$sum" "${want:-nothing}" "$listed"
        note='their SHA-256 is right'
    done
    say "$dir/yolo11${1}_fp32_640.onnx and _320.onnx: already there ($note)"
}

find_base() { # a Python for the export's environment: one that has torch if there is any; $base, $has_torch
    has_torch=
    for base in ${PYTHON:+"$PYTHON"} python3 /usr/bin/python3; do
        if "$base" -c '
import sys, venv, ensurepip, importlib.util as util
sys.exit(sys.version_info < (3, 10) or not all(map(util.find_spec, ("torch", "torchvision"))))' 2>/dev/null; then
            has_torch=yes
            return
        fi
    done
    for base in ${PYTHON:+"$PYTHON"} python3 /usr/bin/python3; do
        "$base" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null && return
    done
    die 1 "no Python 3.10 or newer that can make virtual environments; Debian: apt-get install python3-venv, or set PYTHON"
}

accept_licence() { # SIZES
    cat >&2 <<END

YOLO11 and the program that exports it are by Ultralytics and under the GNU Affero General Public License 3.0
(AGPL-3.0), and so are the exported models. Whoever gives them on, or offers a service that uses them over a
network, has to offer the corresponding source code under that licence; Ultralytics sells other licences.
Orion itself (MPL-2.0) does not contain them. The whole text: https://www.gnu.org/licenses/agpl-3.0.html
END
    if [ -n "${ORION_EXPORT_PYTHON:-}" ]; then
        say "The export uses $ORION_EXPORT_PYTHON."
    else
        find_base
        if [ -n "$has_torch" ]; then
            say "The export takes torch from $base and installs about 80 MB more (300 MB on disk) for the time it runs."
        else
            say "The export installs torch for the time it runs: about 3 GB to download, 6 GB on disk."
            say "On Debian, \`apt-get install python3-torch python3-torchvision\` beforehand makes that 80 MB."
        fi
    fi
    say "The weights are another 5 (n) to 115 MB (x)."
    if [ -n "$yes" ]; then
        say "Accepted by --yes."
        return
    fi
    [ -t 0 ] || die 5 "the licence of $1 is not accepted: there is no terminal to ask on; pass --yes to accept it"
    printf 'Accept the licence and go on? [y/N] ' >&2
    # shellcheck disable=SC2016 # expanded by the inner shell
    run 600 idle sh -c 'read -r answer <&3 && printf "%s" "$answer"'
    answer=$(cat "$work/log")
    case $status:$answer in
        0:[yY] | 0:[yY][eE][sS]) ;;
        limit:*)
            say
            die 5 "the licence of $1 is not accepted: no answer within 10 minutes"
            ;;
        *) die 5 "the licence of $1 is not accepted" ;;
    esac
}

heavy() { # WHAT PROGRAM...: a long step of the export
    doing=$1
    shift
    now
    began=$now shown_at=$now
    say "$doing"
    run 7200 working "$@"
    clear_progress
    [ "$status" = 0 ] && return
    grep -v '^[[:space:]]*$' "$work/log" | tail -n 15 | sed 's/^/    /' >&2 || :
    case $status in
        limit) die 1 "$doing: not done after two hours" ;;
        *) die 1 "$doing: failed with exit status $status; the lines above say why" ;;
    esac
}

make_environment() {
    if [ -n "${ORION_EXPORT_PYTHON:-}" ]; then
        python=$ORION_EXPORT_PYTHON
        command -v "$python" >/dev/null 2>&1 || die 1 "ORION_EXPORT_PYTHON: $python not found"
        return
    fi
    python=$scratch/env/bin/python
    [ ! -x "$python" ] || return 0
    find_base
    set -- "$python" -m pip install --disable-pip-version-check --no-input --only-binary :all:
    if [ -n "$has_torch" ]; then
        heavy "making an environment on $base" "$base" -m venv --system-site-packages "$scratch/env"
    else
        heavy "making an environment" "$base" -m venv "$scratch/env"
        heavy "installing torch (about 3 GB)" "$@" 'torch>=2.4,<3' torchvision
    fi
    heavy "installing ultralytics" "$@" --require-hashes --no-deps --requirement "$here/requirements-export.lock"
}

yolo11() { # SIZE
    if pair_there "$1"; then
        check_pair "$1"
        return
    fi
    stem=yolo11$1
    fetch "$stem.pt" "$stem.pt" https://github.com/ultralytics/assets/releases/download/v8.3.0 pt \
        "$dir/$stem.pt (or a finished pair, ${stem}_fp32_640.onnx and _320.onnx, there)"
    for side in 640 320; do
        [ ! -e "$dir/${stem}_fp32_$side.onnx" ] || say "$dir/${stem}_fp32_$side.onnx is only half of a pair; making both anew"
    done
    # In DIR, so that the finished files can be renamed into place, and a small /tmp is no obstacle. Only the
    # holder of the lock comes here, so what is there was left by a killed run.
    scratch=$dir/.orion-export
    made=$scratch/$stem
    rm -rf -- "$made"
    mkdir -p -- "$made"
    make_environment
    # A copy, because the library writes beside the weights.
    cp -- "$dir/$stem.pt" "$made/"
    heavy "exporting $stem to 640 and 320" env PYTHONNOUSERSITE=1 "$python" "$here/export_yolo.py" "$made/$stem.pt" "$made"
    for side in 640 320; do
        file=$made/${stem}_fp32_$side.onnx
        { [ -f "$file" ] && starts_like onnx "$file"; } || die 1 "the export of $stem made no ONNX model for $side"
        try_loading "$file" || die 1 "the export of $stem for $side cannot be loaded: $cause"
        sync -- "$file" 2>/dev/null || :
    done
    (cd -- "$made" && sha256sum "${stem}_fp32_640.onnx" "${stem}_fp32_320.onnx") >"$made/record"
    # The worker takes a pair by its 640 file, so that comes last: at no moment is there half a pair to take.
    trap '' HUP INT TERM
    rm -f -- "$dir/${stem}_fp32_640.onnx"
    if mv -f -- "$made/${stem}_fp32_320.onnx" "$dir/" && mv -f -- "$made/record" "$dir/$stem.sha256"; then
        mv -f -- "$made/${stem}_fp32_640.onnx" "$dir/" || :
    fi
    if ! pair_there "$1"; then
        rm -f -- "$dir/${stem}_fp32_320.onnx" "$dir/$stem.sha256"
        die 1 "cannot put ${stem}_fp32_640.onnx and _320.onnx into $dir; see the line above"
    fi
    rm -f -- "$dir/$stem.pt"
    catch_signals
    say "$dir/${stem}_fp32_640.onnx and _320.onnx: ready (AGPL-3.0)"
}

# Whether DIR holds what the worker would take; $found. The patterns follow orion_worker/models.py.
present() { # MODEL
    pattern="yolo11[-_]?${1#yolo11}(_[A-Za-z0-9]+)*_fp(16|32)_640\\.onnx"
    if [ "$1" = yolox-nano ]; then
        pattern='(yolo11|yolov8|yolox)[-_]?n(_[A-Za-z0-9]+)*_fp(16|32)_640\.onnx|yolox_nano(_416.*)?\.onnx'
    fi
    for found in "$dir"/yolo*.onnx; do
        [ -f "$found" ] && printf '%s\n' "${found##*/}" | grep -Eqx "$pattern" && return 0
    done
    return 1
}

find_tool() {
    [ -z "$tool" ] || return 0
    if command -v curl >/dev/null 2>&1; then
        tool=curl
    elif command -v wget >/dev/null 2>&1; then
        case $url in file:*) die 1 "$shown: wget cannot read file addresses; install curl (Debian: apt-get install curl)" ;; esac
        wget --version 2>/dev/null | grep -q 'GNU Wget' || die 1 "this wget is not GNU wget; install curl (Debian: apt-get install curl)"
        tool=wget
    else
        die 1 "neither curl nor wget found; install one (Debian: apt-get install curl)"
    fi
}

catch_signals() {
    for signal in HUP INT TERM; do
        # shellcheck disable=SC2064 # the name of now is meant
        trap "interrupted $signal" $signal
    done
}

# --- command line --------------------------------------------------------------------------------------------

yes='' if_missing='' timeout='' deadline='' work='' scratch='' part='' downloading='' tool='' wanted='' family='' options=more
dir=${ORION_MODEL_DIR:-$here/weights}
sums=${ORION_MODELS_LOCK:-$here/models.lock}
stall=${ORION_STALL_SECONDS:-30}
lock_wait=${ORION_LOCK_WAIT:-600}
known_models='yolox-nano, yolo11n, yolo11s, yolo11m, yolo11l, yolo11x'
now
started=$now

while [ $# -gt 0 ]; do
    argument=$1
    shift
    case $options:$argument in
        more:--dir | more:--timeout)
            [ $# -gt 0 ] || misuse "$argument needs a value"
            argument=$argument=$1
            shift
            ;;
    esac
    case $options:$argument in
        more:-h | more:--help)
            usage
            exit 0
            ;;
        more:--yes) yes=yes ;;
        more:--if-missing) if_missing=yes ;;
        more:--dir=*) dir=${argument#*=} ;;
        more:--timeout=*)
            timeout=${argument#*=}
            is_count "$timeout" || misuse "--timeout $timeout: not a whole number of seconds from 1 to 999999"
            ;;
        more:--) options=ended ;;
        more:-*) misuse "unknown option $argument" ;;
        *:yolox-nano)
            [ "$family" != empty ] || misuse "yolo11 needs a size: n, s, m, l or x"
            wanted="$wanted yolox-nano" family=''
            ;;
        *:yolo11)
            [ "$family" != empty ] || misuse "yolo11 needs a size: n, s, m, l or x"
            family=empty
            ;;
        *:yolo11[nsmlx]) wanted="$wanted $argument" ;;
        *:[nsmlx])
            [ -n "$family" ] || misuse "size $argument without yolo11 before it"
            wanted="$wanted yolo11$argument" family=yolo11
            ;;
        *) misuse "unknown model $argument; there are $known_models" ;;
    esac
done
[ "$family" != empty ] || misuse "yolo11 needs a size: n, s, m, l or x"
[ -n "$dir" ] || misuse "--dir is empty"
is_count "$stall" || misuse "ORION_STALL_SECONDS=$stall: not a whole number of seconds from 1 to 999999"
is_count "$lock_wait" || misuse "ORION_LOCK_WAIT=$lock_wait: not a whole number of seconds from 1 to 999999"
ORION_MODEL_BASE_URL=${ORION_MODEL_BASE_URL:-}
ORION_MODEL_BASE_URL=${ORION_MODEL_BASE_URL%/}
case $ORION_MODEL_BASE_URL in
    *[[:space:]\"\\]*) misuse "ORION_MODEL_BASE_URL must not contain blanks, quotes or backslashes" ;;
    '' | http://?* | https://?* | file:///*) ;;
    *) misuse "ORION_MODEL_BASE_URL=$(without_credentials "$ORION_MODEL_BASE_URL"): must begin with http://, https:// or file:///" ;;
esac
case $dir in /*) ;; *) dir=$PWD/$dir ;; esac
[ -n "$wanted" ] || wanted=yolox-nano
[ -z "$timeout" ] || deadline=$((started + timeout * 100))

if [ -n "$if_missing" ]; then
    missing=
    for model in $wanted; do
        if present "$model"; then
            say "$model: $found is already there"
        else
            missing="$missing $model"
        fi
    done
    wanted=$missing
    [ -n "$wanted" ] || exit 0
fi

for program in awk flock od sha256sum; do
    command -v $program >/dev/null 2>&1 ||
        die 1 "$program not found; install it (Debian: apt-get install mawk util-linux coreutils)"
done
mkdir -p -- "$dir" || die 1 "cannot make the directory $dir; name another with --dir"
{ [ -w "$dir" ] && [ -x "$dir" ]; } || die 1 "cannot write to $dir; name another directory with --dir"
trap cleanup EXIT
catch_signals
work=$(mktemp -d) || die 1 "cannot make a temporary directory; set TMPDIR to a place that can be written"
: >"$work/log"
# The standard input of a background process is empty; the question about the licence needs the real one.
exec 3<&0

agpl=
for model in $wanted; do
    case $model in
        yolo11?) pair_there "${model#yolo11}" || agpl="$agpl $model" ;;
    esac
done
[ -z "$agpl" ] || accept_licence "${agpl# }"

# The directory itself is the lock: the kernel releases it however this process ends, and nothing stays behind.
# Programs started from here share it, so that a download which outlives a killed script still holds it.
exec 9<"$dir"
if ! flock -n 9; then
    say "another download is at work in $dir; waiting up to $lock_wait s for it"
    run "$lock_wait" idle flock 9
    case $status in
        0) ;;
        limit) die 6 "another download is still at work in $dir after $lock_wait s; try again when it is done" ;;
        *) die 1 "cannot lock $dir: $(tail -n 1 "$work/log")" ;;
    esac
fi
# What a killed run could not clear away.
rm -rf -- "$dir/.orion-export"

for model in $wanted; do
    case $model in
        yolox-nano) yolox_nano ;;
        *) yolo11 "${model#yolo11}" ;;
    esac
done
