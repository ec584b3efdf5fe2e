# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# qemu.sh - the one QEMU command line, for scripts/run and the boot tests; sourced after common.sh.
#
# Why: a test must boot what a person boots.

# Our machine. A caller changes what it wants to differ before qemu_command.
QEMU_MACHINE=q35
QEMU_MEMORY=256 # MiB
QEMU_SMP=1
QEMU_CPU=qemu64
QEMU_TCG=tcg # the emulator; with `,thread=single` CPUs take turns, and who spins lets the next one run
QEMU_UEFI=false
QEMU_KVM=false
QEMU_DEBUG_EXIT=true # the device by which the system ends QEMU with its status
QEMU_APP=''      # applications to start, as the boot option `app` has them
QEMU_OPTIONS=() # other boot options, KEY=VALUE

OVMF_CODE=/usr/share/OVMF/OVMF_CODE_4M.fd
OVMF_VARS=/usr/share/OVMF/OVMF_VARS_4M.fd

# qemu_command ISO SCRATCH: fills the array QEMU; SCRATCH is a folder for throw-away files. The caller
# adds where the serial line goes.
qemu_command() {
    local iso=$1 scratch=$2
    QEMU=(qemu-system-x86_64 -machine "$QEMU_MACHINE" -m "$QEMU_MEMORY" -smp "$QEMU_SMP"
        -display none -nic none -no-reboot -boot d -cdrom "${iso//,/,,}")
    ! $QEMU_DEBUG_EXIT || QEMU+=(-device "isa-debug-exit,iobase=0xf4,iosize=0x04")
    # The accelerator is always named: /dev/kvm may exist and hang a long-mode guest.
    if $QEMU_KVM; then
        QEMU+=(-accel kvm -cpu host)
    else
        QEMU+=(-accel "$QEMU_TCG" -cpu "$QEMU_CPU")
    fi
    if $QEMU_UEFI; then
        cp "$OVMF_VARS" "$scratch/vars.fd"
        QEMU+=(-drive "if=pflash,format=raw,readonly=on,file=$OVMF_CODE"
            -drive "if=pflash,format=raw,file=${scratch//,/,,}/vars.fd")
    fi
    # QEMU splits option values at commas; a doubled comma is a comma.
    [[ -z $QEMU_APP ]] || QEMU+=(-fw_cfg "name=opt/theoris/app,string=${QEMU_APP//,/,,}")
    local option
    for option in "${QEMU_OPTIONS[@]}"; do
        local value=${option#*=}
        QEMU+=(-fw_cfg "name=opt/theoris/${option%%=*},string=${value//,/,,}")
    done
}

# qemu_status CODE: prints the system's exit status for QEMU's exit code. The guest writes 0x10|status
# to the debug-exit port and QEMU ends with twice that plus 1. Fails where the guest gave no status:
# QEMU was stopped, could not start, or the machine reset.
qemu_status() {
    local code=$1
    ((code >= 33 && code <= 61 && code % 2 == 1)) || return 1
    printf '%d\n' $(((code >> 1) & 15))
}
