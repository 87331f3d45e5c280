"""Close a process of its own namespaces in, then become the program named: standard library only, Linux only.

    unshare --user --map-root-user --mount --net --pid --ipc --uts --fork --kill-child
        python -I confine.py SETTINGS PROGRAM ...

SETTINGS is a JSON object: `work` (the one folder that can be written), `visible` (what else can be read), `tmp_mib`
(room in /tmp and /dev/shm), `data_mib` (memory that one process may ask for) and `file_mib` (largest file). All else
of the file system is not there. The network has a loopback of its own and nothing beyond. No capability is kept.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import platform
import resource
import socket
import struct
import sys

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 4096, 16384, 1 << 18
MNT_DETACH, AT_FDCWD, AT_RECURSIVE = 2, -100, 0x8000
SYS_MOUNT_SETATTR = 442
SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 24, 38
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
DEVICES = ("null", "zero", "full", "random", "urandom")
TEMPORARY = ("/tmp", "/dev/shm")
KERNEL_SETTINGS = ("sys", "sysrq-trigger", "irq", "bus")  # root of the machine could write there without a capability
libc = ctypes.CDLL(None, use_errno=True)


def call(result: int, what: str) -> None:
    """Raise OSError where a call of libc failed."""
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{os.strerror(ctypes.get_errno())} ({what})")


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2)."""
    words = (source.encode(), target.encode(), kind.encode() or None)
    call(libc.mount(*words, ctypes.c_ulong(flags), options.encode() or None), f"mount {source} on {target}")


def bind(path: str, root: str) -> None:
    """Show a file or folder at the same place below the new root; a link stays a link."""
    target = root + path
    if os.path.lexists(target):  # within a folder that is there already
        return
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.islink(path):
        os.symlink(os.readlink(path), target)
    elif os.path.isdir(path):
        os.mkdir(target)
        mount(path, target, flags=MS_BIND | MS_REC)
    elif os.path.exists(path):
        open(target, "w").close()
        mount(path, target, flags=MS_BIND)


def make_read_only(path: str) -> None:
    """Let nothing be written in a mount and in those within it."""
    set_attributes(path, AT_RECURSIVE, MS_RDONLY | MS_NOSUID, 0)


def set_attributes(path: str, flags: int, added: int, removed: int) -> None:
    """mount_setattr(2)."""
    attributes = struct.pack("=QQQQ", added, removed, 0, 0)  # struct mount_attr
    arguments = (AT_FDCWD, path.encode(), flags, attributes, ctypes.c_size_t(len(attributes)))
    call(libc.syscall(SYS_MOUNT_SETATTR, *arguments), f"mount_setattr {path}")


def make_root(work: str, visible: list[str], tmp_mib: int) -> str:
    """A file system in which only `work` can be written and only `visible` and the system's programs be read."""
    root = "/mnt"  # any folder that exists: only this namespace sees what is mounted there
    mount("", "/", flags=MS_REC | MS_PRIVATE)
    work_fd = os.open(work, os.O_PATH)
    mount("root", root, "tmpfs", MS_NOSUID)
    for folder in ("/proc", "/dev", "/tmp"):
        os.mkdir(root + folder)
    mount("dev", root + "/dev", "tmpfs", MS_NOSUID, "size=1m")
    os.mkdir(root + "/dev/shm")
    for folder in TEMPORARY:
        mount("tmp", root + folder, "tmpfs", MS_NOSUID | MS_NODEV, f"size={tmp_mib}m")
    for path in sorted(visible):  # some may lie in /tmp
        bind(path, root)
    for device in DEVICES:
        bind(f"/dev/{device}", root)
    os.makedirs(root + work, exist_ok=True)
    make_read_only(root)
    mount("proc", root + "/proc", "proc", MS_NOSUID | MS_NODEV)
    for path in filter(os.path.exists, (root + "/proc/" + name for name in KERNEL_SETTINGS)):
        mount(path, path, flags=MS_BIND | MS_REC)
        make_read_only(path)
    for folder in TEMPORARY:
        set_attributes(root + folder, 0, 0, MS_RDONLY)
    mount(f"/proc/self/fd/{work_fd}", root + work, flags=MS_BIND)
    os.close(work_fd)
    return root


def enter(root: str) -> None:
    """Make `root` the root and let go of the old one."""
    os.chdir(root)
    call(libc.syscall(SYS_PIVOT_ROOT[platform.machine()], b".", b"."), "pivot_root")
    call(libc.umount2(b".", MNT_DETACH), "umount2")
    os.chdir("/")


def raise_loopback() -> None:
    """Bring 127.0.0.1 of this network namespace up: some chapters run servers there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
        answer = fcntl.ioctl(connection, SIOCGIFFLAGS, struct.pack("16sh14x", b"lo", 0))
        (flags,) = struct.unpack_from("h", answer, 16)
        fcntl.ioctl(connection, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))


def drop_rights() -> None:
    """Leave no capability to the program that follows, and no way to gain one."""
    call(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    for capability in range(64):
        if libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0:  # beyond the last one that this kernel has
            break


def set_limits(data_mib: int, file_mib: int) -> None:
    """Bound what one process may ask for."""
    limits = {resource.RLIMIT_DATA: data_mib << 20, resource.RLIMIT_FSIZE: file_mib << 20, resource.RLIMIT_CORE: 0}
    for what, most in limits.items():
        resource.setrlimit(what, (most, most))


def main() -> None:
    """Close in, then become the program."""
    settings, program = json.loads(sys.argv[1]), sys.argv[2:]
    raise_loopback()
    enter(make_root(settings["work"], settings["visible"], settings["tmp_mib"]))
    os.chdir(settings["work"])
    set_limits(settings["data_mib"], settings["file_mib"])
    drop_rights()
    os.execv(program[0], program)


if __name__ == "__main__":
    main()
