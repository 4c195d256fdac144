"""What idle clients over TLS cost in memory: the resident memory of a running dotgate, per client.

python3 bench/listeners/idle.py PID DOT_PORT [CLIENTS]

Each client (10,000 of them, if nothing else is said) connects to 127.0.0.1, completes its handshake, asks for localhost and stays. dotgate
needs DOTGATE_TCP_CONNECTIONS_MAX and DOTGATE_TCP_CONNECTIONS_PER_CLIENT_MAX above their number, as many open files, a
DOTGATE_DOT_IDLE of some minutes, and a DOTGATE_SERVER_CLIENT_MEMORY above what they cost. The kernel's buffers are not in the figure.
"""

import resource
import socket
import ssl
import struct
import sys

PID, PORT = int(sys.argv[1]), int(sys.argv[2])
CLIENTS = int(sys.argv[3]) if len(sys.argv) > 3 else 10_000
# Those before the first figure pay for what all share.
FIRST = 200
QUERY = struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + b"\x09localhost\0\0\1\0\1"


def resident():
    lines = open(f"/proc/{PID}/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def client(tls):
    """An idle client: its socket, without the TLS of this side, which is larger than all of dotgate's."""
    connection = tls.wrap_socket(socket.create_connection(("127.0.0.1", PORT)))
    connection.sendall(struct.pack(">H", len(QUERY)) + QUERY)
    length = struct.unpack(">H", connection.recv(2))[0]
    while length > 0:
        length -= len(connection.recv(length))
    return socket.socket(fileno=connection.detach())


def raise_limit(files):
    """As many open files as clients need; only root may go above the hard limit."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, max(files, most)))
    except (ValueError, OSError):
        sys.exit(f"this needs {files} open files, and {most} are allowed: raise the limit (ulimit -Hn {files}) or ask for fewer clients")


def main():
    raise_limit(FIRST + CLIENTS + 100)
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    crowd = [client(tls) for _ in range(FIRST)]
    before = resident()
    crowd += [client(tls) for _ in range(CLIENTS)]
    after = resident()
    print(f"{before} KiB with {FIRST} clients, {after} KiB with {len(crowd)}: {(after - before) / CLIENTS:.1f} KiB each")


main()
