# What install.sh and tests/run both do to a machine: report steps, wait for
# long commands, and make Docker Engine, Rust, the programs and the base image.
#
# Sourced, never run. The caller sets SOURCE (the checkout), LOG_DIR and LOG.
# shellcheck shell=bash

STEPS=0 STEP=0 TITLE='reading the arguments' ADVICE='' WORK='' OFFLINE=no UPDATED=no
BUILD_DIR=$SOURCE/target
ME=$(basename "$0")
declare -A JOB=()

# --- saying what happens ------------------------------------------------------

say() { printf '       %s\n' "$*"; }
warn() { printf '       warning: %s\n' "$*" >&2; }

step() { # step TITLE ADVICE
    STEP=$((STEP + 1)) TITLE=$1 ADVICE=$2
    printf '[%d/%d] %s  (%d:%02d)\n' "$STEP" "$STEPS" "$TITLE" $((SECONDS / 60)) $((SECONDS % 60))
}

die() { # die WHY [WHAT_TO_DO]
    trap - ERR
    {
        printf '\n%s: failed at step %d, "%s"\n' "$ME" "$STEP" "$TITLE"
        printf '  why:        %s\n' "$1"
        printf '  what to do: %s\n' "${2:-${ADVICE:-read the lines above, mend it and run $ME again}}"
        [[ ! -s $LOG ]] || printf '  full log:   %s\n' "$LOG"
    } >&2
    exit 1
}

clean_up() {
    local pid
    for pid in "${JOB[@]}"; do kill -- "-$pid" 2>/dev/null || true; done
    [[ -z $WORK ]] || rm -rf "$WORK"
}

on_error() { die "'$2' (line $1) ended with status $3"; }

set_traps() {
    WORK=$(mktemp -d)
    trap 'on_error "$LINENO" "$BASH_COMMAND" "$?"' ERR
    trap clean_up EXIT
    trap 'trap - ERR; exit 130' INT TERM
}

# Starts a long command in the background; `finish NAME` waits for it.
start() { # start NAME COMMAND...
    local name=$1
    shift
    set -m # a process group of its own, so that it can be ended as a whole
    (
        trap - ERR EXIT INT TERM
        "$@"
    ) >"$WORK/$name.log" 2>&1 </dev/null &
    JOB[$name]=$!
    set +m
}

finish() { # finish NAME [SECONDS_SO_FAR]
    local name=$1 began=$((SECONDS - ${2:-0})) status=0
    local pid=${JOB[$name]} log=$WORK/$name.log
    while kill -0 "$pid" 2>/dev/null; do
        show_progress "$name" $((SECONDS - began)) "$log"
        sleep 0.5
    done
    wait "$pid" || status=$?
    unset "JOB[$name]"
    [[ ! -t 1 ]] || printf '\r\033[K'
    { printf '\n==> %s, status %d\n' "$name" "$status" && cat "$log"; } >>"$LOG"
    if ((status != 0)); then
        printf '       last lines of "%s":\n' "$name" >&2
        tail -n 25 "$log" | sed 's/^/         | /' >&2
        die "\"$name\" ended with status $status"
    fi
    say "$name: done in $((SECONDS - began)) s"
}

# Waits for all that was started; what fails first ends the script at once.
finish_all() {
    local name shown began=$SECONDS
    while ((${#JOB[@]})); do
        shown=no
        for name in "${!JOB[@]}"; do
            if ! kill -0 "${JOB[$name]}" 2>/dev/null; then
                finish "$name" $((SECONDS - began))
            elif [[ $shown == no ]]; then
                show_progress "$name" $((SECONDS - began)) "$WORK/$name.log"
                shown=yes
            fi
        done
        sleep 0.5
    done
}

show_progress() { # show_progress NAME SECONDS LOG
    local line columns
    if [[ -t 1 ]]; then
        columns=$(tput cols 2>/dev/null || echo 80)
        line=$(tail -n 1 "$3" | tr -cd '[:print:]')
        printf '\r\033[K%s' "$(printf '       %s: %d s  %s' "$1" "$2" "$line" | cut -c "1-$((columns - 1))")"
    elif (($2 >= 30 && $2 % 30 == 0)) && [[ ${SHOWN:-} != "$1 $2" ]]; then
        SHOWN="$1 $2"
        say "$1: $2 s, $(tail -n 1 "$3" | tr -cd '[:print:]' | cut -c 1-100)"
    fi
}

run() { # run NAME COMMAND...: a long command, waited for
    start "$@"
    finish "$1"
}

# --- the machine --------------------------------------------------------------

check_root() {
    ((EUID == 0)) || die "it must run as root" "run it with sudo"
}

has_systemd() { [[ -d /run/systemd/system ]]; }

# Installs what is missing of the named packages, and asks apt only then.
need_packages() {
    local package missing=()
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    update_packages
    run "apt-get install ${missing[*]}" apt_get install -y --no-install-recommends "${missing[@]}"
}

# A bare machine knows no package before it has asked once.
update_packages() {
    [[ $UPDATED == no ]] || return 0
    run "apt-get update" apt_get update
    UPDATED=yes
}

apt_offers() { apt-cache policy "$1" 2>/dev/null | awk '/Candidate:/ { print $2 }' | grep -v '(none)' || true; }

apt_get() { DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 "$@"; }

# --- Docker -------------------------------------------------------------------

docker_answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

ensure_docker() {
    docker_answers || install_docker
    say "Docker Engine $(docker version --format '{{.Server.Version}}')"
}

install_docker() {
    if ! command -v dockerd >/dev/null || ! command -v docker >/dev/null; then
        install_docker_packages
        wait_for_docker 5 || true # the package may start it by itself
    fi
    docker_answers || start_docker
    wait_for_docker 60 || {
        [[ ! -s $LOG_DIR/dockerd.log ]] || tail -n 15 "$LOG_DIR/dockerd.log" | sed 's/^/         | /' >&2
        die "Docker Engine does not answer 60 s after it was started" \
            "look at 'systemctl status docker' or $LOG_DIR/dockerd.log, start Docker, run $ME again"
    }
}

# Newer distributions have the client in a package of its own.
install_docker_packages() {
    local packages=(docker.io iptables)
    update_packages
    [[ -z $(apt_offers docker-cli) ]] || packages+=(docker-cli)
    need_packages "${packages[@]}"
}

start_docker() {
    if has_systemd; then
        systemctl enable --now docker
        return
    fi
    mount_cgroups
    say "starting dockerd by hand, log $LOG_DIR/dockerd.log, pid file /var/run/docker.pid"
    setsid dockerd >>"$LOG_DIR/dockerd.log" 2>&1 </dev/null &
    disown
}

# Without systemd nobody may have mounted the control groups yet.
mount_cgroups() {
    [[ ! -e /sys/fs/cgroup/cgroup.controllers && ! -d /sys/fs/cgroup/memory ]] || return 0
    need_packages cgroupfs-mount
    cgroupfs-mount
}

wait_for_docker() { # wait_for_docker SECONDS
    local end=$((SECONDS + $1))
    until docker_answers; do
        ((SECONDS < end)) || return 1
        sleep 1
    done
}

# --- Rust ---------------------------------------------------------------------

wanted_rust() { sed -n 's/^rust-version = "\(.*\)"/\1/p' "$SOURCE/Cargo.toml" | head -n 1; }

# Tells whether cargo and rustc in a directory run and are new enough.
rust_is_enough() { # rust_is_enough DIR
    local version
    version=$(PATH="$1:$PATH" rustc --version 2>/dev/null | awk '{ print $2 }') || return 1
    [[ -n $version && -x $1/cargo ]] || return 1
    printf '%s\n%s\n' "$(wanted_rust)" "$version" | sort -V -C
}

find_rust() {
    local dir home=''
    [[ -z ${SUDO_USER:-} ]] || home=$(getent passwd "$SUDO_USER" | cut -d : -f 6)
    for dir in "$(dirname "$(command -v cargo || echo /nonexistent/cargo)")" "$HOME/.cargo/bin" /root/.cargo/bin /usr/bin; do
        if rust_is_enough "$dir"; then
            PATH="$dir:$PATH"
            return 0
        fi
    done
    # A toolchain of the one who called sudo; what it downloads stays root's.
    [[ -n $home && -d $home/.rustup ]] || return 1
    export RUSTUP_HOME=$home/.rustup
    PATH="$home/.cargo/bin:$PATH"
    rust_is_enough "$home/.cargo/bin" || { unset RUSTUP_HOME && return 1; }
}

ensure_rust() {
    find_rust || install_rust
    export PATH CARGO_TERM_COLOR=never
    say "$(rustc --version) in $(dirname "$(command -v cargo)")"
}

install_rust() {
    local wanted offered
    wanted=$(wanted_rust)
    update_packages
    offered=$(apt_offers rustc)
    if [[ -n $offered ]] && printf '%s\n%s\n' "$wanted" "$offered" | sort -V -C; then
        need_packages rustc cargo
    elif [[ -n $(apt_offers rustup) ]]; then
        need_packages rustup
        run "rustup toolchain" rustup default stable
    else
        run "rustup-init" rustup_init
    fi
    find_rust || die "there is no Rust $wanted or newer, and none could be installed" \
        "install Rust $wanted or newer (https://rustup.rs), put cargo on root's PATH, run $ME again"
}

rustup_init() {
    curl --proto '=https' --tlsv1.2 -sSfL https://sh.rustup.rs -o "$WORK/rustup-init"
    sh "$WORK/rustup-init" -y --profile minimal --default-toolchain stable --no-modify-path
}

# --- building -----------------------------------------------------------------

build_daemon() {
    cd "$SOURCE" && cargo build --release --locked --bin acquit --target-dir "$BUILD_DIR"
}

# Static, so that it runs in every engine's image, whatever libc that has.
build_runner() {
    cd "$SOURCE" || return
    RUSTFLAGS='-C target-feature=+crt-static' cargo build --locked -p acquit-runner --profile runner \
        --target "$(host_triple)" --target-dir "$BUILD_DIR"
}

host_triple() { rustc -vV | sed -n 's/^host: //p'; }

runner_path() { echo "$BUILD_DIR/$(host_triple)/runner/acquit-runner"; }

build_base() {
    local arguments=()
    [[ $OFFLINE == no ]] || arguments=(--offline)
    "$SOURCE/containers/base/build" "${arguments[@]}"
}

# In a checkout of somebody else root leaves nothing behind.
choose_build_dir() {
    [[ $(stat -c %u "$SOURCE") == 0 ]] || BUILD_DIR=/var/cache/acquit/target
    mkdir -p "$BUILD_DIR"
}

build_programs() { build_daemon && build_runner; }

build_all() {
    choose_build_dir
    start "base image" build_base
    start "programs (cargo build)" build_programs
    finish_all
}
