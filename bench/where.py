#!/usr/bin/env python3
"""Where a process spends its time, in groups: bench/where.py PID [SECONDS]

Samples the process with perf, as root, while it is under load, and groups the samples by what is on their stack. Build with
CARGO_PROFILE_RELEASE_DEBUG=1; frame pointers are not needed, because a sample counts for the innermost group that it fits.
"""

import collections
import subprocess
import sys
import tempfile

# The kernel's, by system call; the first that is anywhere on the stack.
KERNEL = [
    ("kernel: datagrams out", ("sys_sendmmsg",)),
    ("kernel: datagrams in", ("sys_recvmmsg",)),
    ("kernel: connections, writing", ("ksys_write", "sys_sendto", "do_writev")),
    ("kernel: connections, reading", ("ksys_read", "sys_recvfrom")),
    ("kernel: waiting", ("epoll_wait", "sys_futex")),
    ("kernel: other", ("do_syscall_64", "entry_SYSCALL", "asm_sysvec", "el0_svc")),
]

# The program's, by the function that is innermost.
PROGRAM = [
    ("TLS, with AES-GCM", ("aws_lc", "gcm", "rustls")),
    ("cache", ("cache::",)),
    ("messages", ("dotgate_wire",)),
    ("engine", ("dotgate_core",)),
]


def group(stack):
    for name, marks in KERNEL:
        if any(mark in symbol for symbol in stack for mark in marks):
            return name
    for symbol in stack:
        for name, marks in PROGRAM:
            if any(mark in symbol for mark in marks):
                return name
    return "copies, allocator, sockets, rest"


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__.splitlines()[0])
    seconds = sys.argv[2] if len(sys.argv) == 3 else "5"
    with tempfile.NamedTemporaryFile() as data:
        record = ["perf", "record", "-q", "-e", "cpu-clock", "-F", "2000", "-g", "-o", data.name]
        subprocess.run([*record, "-p", sys.argv[1], "--", "sleep", seconds], check=True)
        script = ["perf", "script", "-i", data.name, "-F", "ip,sym"]
        samples = subprocess.run(script, check=True, capture_output=True, text=True).stdout
    groups, leaves = collections.Counter(), collections.Counter()
    for sample in samples.split("\n\n"):
        lines = [line.split(None, 1) for line in sample.splitlines() if line.strip()]
        stack = [line[1] if len(line) == 2 else "" for line in lines]
        if stack:
            groups[group(stack)] += 1
            leaves[stack[0]] += 1
    total = sum(groups.values())
    if not total:
        sys.exit("no samples: the process did nothing, or is not there")
    print(f"{total} samples")
    for name, count in groups.most_common():
        print(f"| {name} | {100 * count / total:.1f} % |")
    print("\nfunctions:")
    for name, count in leaves.most_common(12):
        print(f"{100 * count / total:5.1f} % {name}")


main()
