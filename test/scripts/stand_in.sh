# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# stand_in.sh - a stand-in for QEMU and assertions, for the tests of the scripts that call it.
#
# The stand-in writes its arguments to $scratch/arguments, one a line, prints $FAKE_OUTPUT, sleeps for
# $FAKE_SECONDS and ends with $FAKE_CODE.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export ROOT
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/bin"
cat >"$scratch/bin/qemu-system-x86_64" <<END
#!/bin/sh
printf '%s\n' "\$@" >"$scratch/arguments"
printf '%b' "\${FAKE_OUTPUT-}"
[ "\${FAKE_SECONDS:-0}" = 0 ] || exec sleep "\$FAKE_SECONDS"
exit "\${FAKE_CODE:-33}"
END
chmod +x "$scratch/bin/qemu-system-x86_64"
PATH=$scratch/bin:$PATH
: >"$scratch/theoris.iso"
failures=0

# expect_status N COMMAND..: runs it; its output stays in $scratch/output.
expect_status() {
    local wanted=$1 got=0
    shift
    "$@" >"$scratch/output" 2>&1 </dev/null || got=$?
    ((got == wanted)) || fail "$* ended with $got, expected $wanted" "$scratch/output"
}

# expect_line FILE TEXT: one line of the file is the text.
expect_line() { grep -qxF -- "$2" "$scratch/$1" || fail "no line is: $2" "$scratch/$1"; }

# expect_text FILE TEXT: the text is in the file.
expect_text() { grep -qF -- "$2" "$scratch/$1" || fail "not there: $2" "$scratch/$1"; }

fail() {
    printf 'FAILED: %s\n' "$1"
    sed 's/^/    /' "$2"
    failures=$((failures + 1))
}
