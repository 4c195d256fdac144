#!/usr/bin/env python3
"""Where a process spends its time: bench/where.py PID [SECONDS] [--svg FILE [--title TEXT]]

Samples the process with perf, as root, while it is under load, and groups the samples: each counts for the innermost group
that fits a function of its stack. With --svg it also draws a flame graph. The stacks come from the tables for unwinding,
which a release build has; it needs no frame pointers. Functions that are inlined count for the function that they are in.
With --samples FILE it reads what `perf script -F ip,sym` printed instead, and PID is not needed.
"""

import argparse
import collections
import re
import subprocess
import sys
import tempfile
from xml.sax.saxutils import escape

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

REST = "sockets, allocator, rest"

# The flame graph: its size, and the share of all samples below which a frame is left out.
WIDTH, ROW, CHARACTER, TOP, MARGIN = 1000, 18, 7.3, 62, 10
SHARE_MIN = 0.003

# What a frame is, its color with light and with dark pages; the text is dark on the former and light on the latter.
COLORS = {
    "kernel": ("#c9d1d9", "#3d444d"),
    "TLS": ("#f2c1c1", "#7d3535"),
    "cache": ("#bfe3c4", "#2b6238"),
    "messages": ("#f5dfa3", "#6b5313"),
    "engine": ("#bcd7f7", "#1f4f87"),
    "other": ("#e4d5f2", "#573d73"),
}


def group(stack):
    """The group of a sample, whose innermost function is first."""
    for name, marks in KERNEL:
        if any(mark in symbol for symbol in stack for mark in marks):
            return name
    return program_group(stack) or REST


def program_group(stack):
    for symbol in stack:
        for name, marks in PROGRAM:
            if any(mark in symbol for mark in marks):
                return name
    return None


def stacks_of(samples):
    """What `perf script -F ip,sym` printed, as stacks of (address, function), the innermost first."""
    for sample in samples.split("\n\n"):
        lines = [line.split(None, 1) for line in sample.splitlines() if line.strip()]
        stack = [(int(line[0], 16), line[1].strip() if len(line) == 2 else "") for line in lines]
        # What started the thread has no name everywhere.
        while len(stack) > 1 and stack[-1][1] in ("", "[unknown]"):
            stack.pop()
        if stack:
            yield stack


def record(pid, seconds):
    with tempfile.NamedTemporaryFile() as data:
        perf = ["perf", "record", "-q", "-e", "cpu-clock", "-F", "999", "--call-graph", "dwarf", "-o", data.name]
        subprocess.run([*perf, "-p", pid, "--", "sleep", seconds], check=True)
        script = ["perf", "script", "--no-inline", "-i", data.name, "-F", "ip,sym"]
        return subprocess.run(script, check=True, capture_output=True, text=True).stdout


class Frame:
    def __init__(self, name, kind):
        self.name, self.kind, self.count, self.callees = name, kind, 0, {}

    def add(self, stack):
        """Counts a stack of (function, kind), the outermost first."""
        self.count += 1
        frame = self
        for name, kind in stack:
            frame = frame.callees.setdefault(name, Frame(name, kind))
            frame.count += 1

    def cut(self, least):
        """Leaves out what has fewer samples. Returns how many frames are on top of each other."""
        self.callees = {name: it for name, it in self.callees.items() if it.count >= least}
        return 1 + max((it.cut(least) for it in self.callees.values()), default=0)


def kind(address, symbol):
    # The upper half of the addresses is the kernel's.
    if address >> 63:
        return "kernel"
    name = program_group([symbol])
    return {None: "other", PROGRAM[0][0]: "TLS"}.get(name, name)


def end_of(symbol):
    """Where the first `<` of a symbol is closed; the arrow of a function's result closes nothing."""
    depth = 0
    for place, character in enumerate(symbol):
        if character == "<":
            depth += 1
        elif character == ">" and symbol[place - 1] != "-":
            depth -= 1
            if depth == 0:
                return place
    return len(symbol)


def readable(symbol):
    """A function without its hash and its generics; `<A as B>::f` is f of A."""
    for ending in (r"\.llvm\.\d+$", r"::h[0-9a-f]{16}$"):
        symbol = re.sub(ending, "", symbol)
    while "<" in symbol:
        start = symbol.index("<")
        end = start + end_of(symbol[start:])
        inner = symbol[start + 1 : end].split(" as ")[0] if start == 0 else ""
        symbol = symbol[:start].removesuffix("::") + inner + symbol[end + 1 :]
    return symbol.lstrip("&").replace("{{closure}}", "{closure}") or "[unknown]"


def label(name, width):
    """As much of a name as fits: all of it, or its last parts, or nothing."""
    room = int((width - 6) / CHARACTER)
    parts = name.split("::")
    for first in range(len(parts)):
        text = "::".join(parts[first:])
        if len(text) <= room:
            return text
    text = parts[-1]
    return text[: room - 2] + ".." if room >= 5 else ""


def drawn(frame, x, depth, scale, total, bottom):
    """A frame and those that it calls, which are above it."""
    width, y = frame.count * scale, bottom - (depth + 1) * ROW
    share = 100 * frame.count / total
    text = label(frame.name, width)
    written = f'<text x="{x + 3:.1f}" y="{y + 13}">{escape(text)}</text>' if text else ""
    yield (
        f'<g class="{frame.kind}"><title>{escape(frame.name)}: {share:.1f} %</title>'
        f'<rect x="{x:.1f}" y="{y}" width="{max(width - 0.5, 0.5):.1f}" height="{ROW - 1}" rx="1"/>{written}</g>'
    )
    for name in sorted(frame.callees):
        callee = frame.callees[name]
        yield from drawn(callee, x, depth + 1, scale, total, bottom)
        x += callee.count * scale


def svg(stacks, title):
    """The flame graph of stacks, the innermost function first."""
    root = Frame("all", "other")
    for stack in stacks:
        root.add([(readable(symbol), kind(address, symbol)) for address, symbol in reversed(stack)])
    depth = root.cut(max(1, root.count * SHARE_MIN))
    bottom = TOP + depth * ROW
    legend, x = [], MARGIN
    for name in COLORS:
        legend.append(
            f'<g class="{name}"><rect x="{x}" y="36" width="12" height="12" rx="2"/></g>'
            f'<text x="{x + 17}" y="46">{name}</text>'
        )
        x += 17 + int(len(name) * CHARACTER) + 22
    light = "".join(f".{name} rect{{fill:{color}}}" for name, (color, _) in COLORS.items())
    dark = "".join(f".{name} rect{{fill:{color}}}" for name, (_, color) in COLORS.items())
    hint = f"{root.count} samples; functions below {100 * SHARE_MIN:.1f} % are left out; the pointer shows a name in full"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + MARGIN}" '
            'font-family="ui-monospace,Consolas,\'DejaVu Sans Mono\',monospace" font-size="12">',
            f"<title>{escape(title)}</title>",
            f"<style>text{{fill:#1f2328}}.page{{fill:#ffffff}}{light}"
            f"@media(prefers-color-scheme:dark){{text{{fill:#f0f6fc}}.page{{fill:#0d1117}}{dark}}}</style>",
            '<rect class="page" width="100%" height="100%"/>',
            f'<text x="{MARGIN}" y="22" font-size="14">{escape(title)}</text>',
            f'<text x="{WIDTH - MARGIN}" y="22" text-anchor="end">{escape(hint)}</text>',
            *legend,
            *drawn(root, MARGIN, 0, (WIDTH - 2 * MARGIN) / max(root.count, 1), root.count, bottom),
            "</svg>\n",
        ]
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pid", nargs="?", help="the process")
    parser.add_argument("seconds", nargs="?", default="5", help="how long to sample it")
    parser.add_argument("--svg", help="the file of a flame graph")
    parser.add_argument("--title", default="Where the time goes", help="what stands above it")
    parser.add_argument("--samples", help="a file that `perf script -F ip,sym` printed")
    arguments = parser.parse_args()
    if arguments.samples:
        with open(arguments.samples, encoding="utf-8") as file:
            samples = file.read()
    elif arguments.pid:
        samples = record(arguments.pid, arguments.seconds)
    else:
        parser.error("PID or --samples is required")
    stacks = list(stacks_of(samples))
    if not stacks:
        sys.exit("no samples: the process did nothing, or is not there")
    groups = collections.Counter(group([symbol for _, symbol in stack]) for stack in stacks)
    leaves = collections.Counter(stack[0][1] for stack in stacks)
    print(f"{len(stacks)} samples")
    for name, count in groups.most_common():
        print(f"| {name} | {100 * count / len(stacks):.1f} % |")
    print("\nfunctions:")
    for name, count in leaves.most_common(12):
        print(f"{100 * count / len(stacks):5.1f} % {name}")
    if arguments.svg:
        with open(arguments.svg, "w", encoding="utf-8") as file:
            file.write(svg(stacks, arguments.title))


main()
