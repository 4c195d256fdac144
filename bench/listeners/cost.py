"""What a warm hit costs over TCP, TLS, HTTPS and QUIC, and what TLS handshakes cost, in CPU time of a running dotgate.

python3 bench/listeners/cost.py PID PORT DOT_PORT DOH_PORT DOQ_PORT CA_FILE NAME

The client over QUIC is `cargo build --release -p dotgate-testbed --example doq`; CA_FILE has issued the certificate for NAME.

dotgate is asked at 127.0.0.1 for the addresses of n1.test to n1000.test, which its upstream must know; the first round brings them
into the cache. One long connection of each kind asks in turns, with 1 and with 32 queries at a time, and the CPU time of the process,
the kernel's included, is read before and after each of five rounds. The least of a kind is printed: other load only adds to it.
"""

import base64
import glob
import socket
import ssl
import struct
import subprocess
import sys

PID, PORT, DOT_PORT, DOH_PORT = (int(argument) for argument in sys.argv[1:5])
DOQ = sys.argv[5:]
DATA, HEADERS, RST_STREAM, SETTINGS, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 7, 8
END_STREAM, END_HEADERS = 1, 4


def cpu():
    """Nanoseconds that the threads of the process have run."""
    files = glob.glob(f"/proc/{PID}/task/*/schedstat")
    return sum(int(open(file).read().split()[0]) for file in files)


def query(number, message_id):
    name = b"n%d" % (1 + number % 1000)
    header = struct.pack(">HHHHHH", message_id, 0x0100, 1, 0, 0, 0)
    return header + bytes([len(name)]) + name + b"\4test\0\0\1\0\1"


def context(protocol, version=None):
    own = ssl.create_default_context()
    own.check_hostname, own.verify_mode = False, ssl.CERT_NONE
    own.set_alpn_protocols([protocol])
    if version:
        own.minimum_version = own.maximum_version = version
    return own


def connect(port, tls=None, session=None):
    plain = socket.create_connection(("127.0.0.1", port))
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return tls.wrap_socket(plain, session=session) if tls else plain


class Framed:
    """DNS over TCP, or over TLS."""

    def __init__(self, connection):
        self.connection, self.received = connection, b""

    def ask(self, batch, rounds):
        for turn in range(rounds):
            queries = (query(turn * batch + n, n) for n in range(batch))
            self.connection.sendall(b"".join(struct.pack(">H", len(it)) + it for it in queries))
            answered = 0
            while answered < batch:
                self.received += self.connection.recv(65536)
                while len(self.received) >= 2:
                    end = 2 + struct.unpack(">H", self.received[:2])[0]
                    if len(self.received) < end:
                        break
                    self.received = self.received[end:]
                    answered += 1


def frame(kind, flags, stream, payload):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


class Http2:
    """GET over HTTP/2; all fields but the path are indexed after the first request."""

    def __init__(self, connection):
        self.connection, self.received, self.stream = connection, b"", 1
        window = frame(WINDOW_UPDATE, 0, 0, (1 << 30).to_bytes(4, "big"))
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, b"") + window)

    def request(self, message):
        authority = b"\x41\x09localhost" if self.stream == 1 else b"\xbe"
        path = b"/dns-query?dns=" + base64.urlsafe_b64encode(message).rstrip(b"=")
        fields = b"\x82\x87" + authority + b"\x04" + bytes([len(path)]) + path
        self.stream += 2
        return frame(HEADERS, END_HEADERS | END_STREAM, self.stream - 2, fields)

    def ask(self, batch, rounds):
        for turn in range(rounds):
            requests = (self.request(query(turn * batch + n, 0)) for n in range(batch))
            self.connection.sendall(b"".join(requests))
            answered = 0
            while answered < batch:
                self.received += self.connection.recv(65536)
                while len(self.received) >= 9:
                    end = 9 + int.from_bytes(self.received[:3], "big")
                    if len(self.received) < end:
                        break
                    kind, flags = self.received[3], self.received[4]
                    assert kind not in (RST_STREAM, GOAWAY)
                    answered += kind == DATA and flags & END_STREAM
                    self.received = self.received[end:]


class Quic:
    """DNS over QUIC, by a process of its own."""

    def __init__(self):
        pipe = subprocess.PIPE
        self.client = subprocess.Popen(["target/release/examples/doq", *DOQ], stdin=pipe, stdout=pipe, text=True)

    def ask(self, batch, rounds):
        print(batch, rounds, file=self.client.stdin, flush=True)
        assert self.client.stdout.readline() == "done\n"


def hits():
    clients = {
        "TCP": Framed(connect(PORT)),
        "TLS": Framed(connect(DOT_PORT, context("dot"))),
        "HTTPS": Http2(connect(DOH_PORT, context("h2"))),
        "QUIC": Quic(),
    }
    for batch, rounds in ((1, 3000), (32, 300)):
        least = {}
        for _ in range(5):
            for name, client in clients.items():
                client.ask(batch, 40)
                before = cpu()
                client.ask(batch, rounds)
                cost = (cpu() - before) / (batch * rounds) / 1000
                least[name] = min(cost, least.get(name, cost))
        for name, cost in least.items():
            print(f"{batch} at a time, {name}: {cost:.1f} us, {cost / least['TCP']:.2f} times TCP")


def handshakes(count=200):
    for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
        for kind in ("full", "resumed"):
            tls, session = context("dot", version), None
            if kind == "resumed":
                # Tickets of TLS 1.3 come behind the handshake.
                first = connect(DOT_PORT, tls)
                Framed(first).ask(1, 1)
                session = first.session
            costs = []
            for _ in range(3):
                before = cpu()
                for _ in range(count):
                    connection = connect(DOT_PORT, tls, session)
                    assert connection.session_reused == (kind == "resumed")
                    connection.close()
                costs.append((cpu() - before) / count / 1000)
            cost = min(costs)
            print(f"{version.name}, {kind}: {cost:.0f} us, {1e6 / cost:.0f} a second and core")


hits()
handshakes()
