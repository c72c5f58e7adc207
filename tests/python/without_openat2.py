"""Runs a program for which the kernel refuses `openat2`, as old kernels (ENOSYS) and sandboxes (EPERM) do.

    without_openat2.py ENOSYS|EPERM PROGRAM [ARGUMENT...]
"""

import ctypes
import errno
import os
import struct
import sys

OPENAT2 = 437  # on every architecture
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 22, 38, 2
SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO = 0x7FFF0000, 0x00050000
BPF_LD_W_ABS, BPF_JMP_JEQ_K, BPF_RET_K = 0x20, 0x15, 0x06


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def refuse(error):
    steps = [
        (BPF_LD_W_ABS, 0, 0, 0),  # the system call's number
        (BPF_JMP_JEQ_K, 0, 1, OPENAT2),
        (BPF_RET_K, 0, 0, SECCOMP_RET_ERRNO | error),
        (BPF_RET_K, 0, 0, SECCOMP_RET_ALLOW),
    ]
    program = Program(len(steps), b"".join(struct.pack("HBBI", *step) for step in steps))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) == 0
    assert libc.syscall(OPENAT2, -100, b".", None, 0) == -1 and ctypes.get_errno() == error, "it is refused from now on"


refuse(getattr(errno, sys.argv[1]))
os.execv(sys.argv[2], sys.argv[2:])
