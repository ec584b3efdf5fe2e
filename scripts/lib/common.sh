# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# common.sh - what all scripts share; sourced, never run. Talk goes to stderr.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# Where build trees go, one folder a preset; set it to build elsewhere.
BUILD_ROOT=${THEORIS_BUILD:-$ROOT/build}

if [[ -t 2 && -z ${NO_COLOR:-} ]]; then
    BOLD=$'\e[1m' RED=$'\e[31m' YELLOW=$'\e[33m' RESET=$'\e[0m'
else
    BOLD='' RED='' YELLOW='' RESET=''
fi

step() { printf '%s==> %s%s\n' "$BOLD" "$*" "$RESET" >&2; }
warn() { printf '%swarning:%s %s\n' "$YELLOW" "$RESET" "$*" >&2; }
die() { printf '%serror:%s %s\n' "$RED" "$RESET" "$*" >&2; exit 1; }

# usage_error TEXT: a wrong option; 2 as everywhere.
usage_error() {
    printf '%serror:%s %s\n' "$RED" "$RESET" "$*" >&2
    printf 'Try: %s --help\n' "$0" >&2
    exit 2
}

# print_help FILE: the comment at the top of a script is its help text.
print_help() { awk 'NR > 2 && !/^#/ { exit } NR > 2 { sub(/^# ?/, ""); print }' "$1"; }

# build_preset PRESET [TARGET..]: configures where needed and builds; silent when nothing changed.
build_preset() {
    local preset=$1 folder=$BUILD_ROOT/$1 log
    shift
    if [[ ! -f $folder/build.ninja ]]; then
        step "configure $preset"
        log=$(cmake -S "$ROOT" --preset "$preset" -B "$folder" 2>&1) ||
            { printf '%s\n' "$log" >&2; die "configuring $preset failed"; }
    fi
    local targets=()
    (($# == 0)) || targets=(--target "$@")
    step "build $preset"
    local status=0
    cmake --build "$folder" "${targets[@]}" >&2 || status=$?
    ((status == 0)) || die "building $preset failed"
}
