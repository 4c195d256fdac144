"""Malformed, unusual and hostile TLS towards a listener of DNS over TLS, in the manner of tlsfuzzer.

    tls_cases.py HOST PORT     prints one line for each case; exit status 1 if one of them is not as it must be

Each case says what must become of the connection: `closed` (an alert or nothing, and no byte of a response), `served`
(the query is answered). After each of them another client must be served. Needs tlslite-ng.
"""

import os
import socket
import struct
import sys

from tlslite.api import HandshakeSettings, TLSConnection
from tlslite.constants import AlertDescription, AlertLevel, ContentType, KeyUpdateMessageType
from tlslite.errors import BaseTLSException, TLSRemoteAlert
from tlslite.messages import Alert, ApplicationData, ClientHello, Message

HOST, PORT = sys.argv[1], int(sys.argv[2])
WAIT = 15
ALERT, HANDSHAKE, DATA, CCS, HEARTBEAT = 21, 22, 23, 20, 24
# localhost A, which is answered without an upstream.
QUERY = b"\x12\x34\x01\x00\0\1\0\0\0\0\0\0\x09localhost\0\0\1\0\1"
FRAMED = struct.pack(">H", len(QUERY)) + QUERY


def connect():
    plain = socket.create_connection((HOST, PORT), WAIT)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return plain


def record(content, body, version=0x0303, length=None):
    return struct.pack(">BHH", content, version, len(body) if length is None else length) + body


def handshake(kind, body, length=None):
    return bytes([kind]) + struct.pack(">I", len(body) if length is None else length)[1:] + body


def extension(kind, body, length=None):
    return struct.pack(">HH", kind, len(body) if length is None else length) + body


def listed(width, body):
    return len(body).to_bytes(width, "big") + body


GROUPS = extension(10, listed(2, b"\x00\x1d\x00\x17"))
SCHEMES = extension(13, listed(2, b"\x04\x03\x08\x04\x04\x01"))
VERSIONS = extension(43, listed(1, b"\x03\x04\x03\x03"))
SHARE = extension(51, listed(2, b"\x00\x1d" + listed(2, os.urandom(32))))
SUITES = b"\x13\x01\x13\x02\xc0\x2b\xc0\x2f"


def hello(version=0x0303, session=b"", suites=SUITES, compressions=b"\0", extensions=None, tail=b""):
    if extensions is None:
        extensions = GROUPS + SCHEMES + VERSIONS + SHARE
    body = struct.pack(">H", version) + os.urandom(32) + listed(1, session)
    body += listed(2, suites) + listed(1, compressions) + listed(2, extensions) + tail
    return handshake(1, body)


def replies(sent, pieces=None, ends=False):
    """All that comes back for these bytes, as (content type, body)."""
    plain = connect()
    try:
        for piece in pieces or [sent]:
            plain.sendall(piece)
        if ends:
            plain.shutdown(socket.SHUT_WR)
    except OSError:
        pass
    received = b""
    try:
        while more := plain.recv(65536):
            received += more
            # A server's first flight is enough to know.
            if ends is None and received[:1] == bytes([HANDSHAKE]):
                break
    except ConnectionError:
        pass
    plain.close()
    records = []
    while len(received) >= 5:
        length = struct.unpack(">H", received[3:5])[0]
        records.append((received[0], received[5 : 5 + length]))
        received = received[5 + length :]
    return records


def refused(sent, alert=None, ends=False):
    """Nothing but an alert comes back, and the end."""
    records = replies(sent, ends=ends)
    alerts = [body[1] for content, body in records if content == ALERT]
    return all(content == ALERT for content, _ in records) and (alert is None or alerts == [alert])


def answered_hello(pieces):
    records = replies(b"", pieces, ends=None)
    return bool(records) and records[0][0] == HANDSHAKE and records[0][1][0] == 2


def session(version=None, alpn=(b"dot",), **hooks):
    settings = HandshakeSettings()
    if version:
        settings.minVersion = settings.maxVersion = version
    connection = TLSConnection(connect())
    connection.closeSocket = True
    connection.handshakeClientCert(settings=settings, alpn=list(alpn) or None, serverName="dns.example.test", **hooks)
    return connection


def answer(connection):
    length = struct.unpack(">H", connection.read(max=2, min=2))[0]
    return connection.read(max=length, min=length)


def is_served(connection, query=FRAMED):
    connection.write(query)
    response = answer(connection)
    return response[:2] == QUERY[:2] and response[3] & 15 == 0


def is_closed(connection):
    """The connection ends, with an alert or without, and nothing is answered."""
    try:
        return connection.read(max=1, min=1) == b""
    except (BaseTLSException, OSError):
        return True


def raw(connection, data):
    connection.sock.sendall(data)


def send(connection, message):
    for _ in connection._sendMsg(message):
        pass


def key_updates(count, kind):
    connection = session((3, 4))
    for _ in range(count):
        for _ in connection.send_keyupdate_request(kind):
            pass
    return connection


def broken_record():
    connection = session()
    raw(connection, record(DATA, os.urandom(64)))
    return is_closed(connection)


def after(content, body, version=(3, 4)):
    connection = session(version)
    raw(connection, record(content, body))
    return is_closed(connection)


def renegotiation():
    connection = session((3, 3))
    again = ClientHello().create((3, 3), bytearray(32), bytearray(0), [0xC02B, 0xC02F])
    send(connection, again)
    try:
        # A warning is ignored by neither side: the old session goes on, or ends.
        return is_served(connection)
    except (BaseTLSException, OSError):
        return True


def pieces_of_a_query(size):
    connection = session()
    for at in range(0, len(FRAMED), size):
        connection.write(FRAMED[at : at + size])
    return answer(connection)[:2] == QUERY[:2]


def empty_records(count):
    connection = session()
    for _ in range(count):
        send(connection, ApplicationData().create(bytearray()))
    return connection


def endless_empty_records():
    try:
        return is_closed(empty_records(5000))
    except OSError:
        return True


def other_protocols():
    try:
        session((3, 4), alpn=(b"h2", b"http/1.1"))
    except TLSRemoteAlert as alert:
        return alert.description == AlertDescription.no_application_protocol
    return False


def query_and_close():
    connection = session()
    connection.write(FRAMED)
    send(connection, Alert().create(AlertDescription.close_notify, AlertLevel.warning))
    return answer(connection)[:2] == QUERY[:2] and is_closed(connection)


def resumed(version):
    first = session(version)
    served = is_served(first)
    second = session(version, session=first.session)
    return served and is_served(second) and second.resumed


def alerts_after(level, description):
    connection = session((3, 4))
    send(connection, Message(ContentType.alert, bytearray([level, description])))
    return is_closed(connection)


def early_data():
    """An offer of early data with a query behind it: the query is in nobody's session, and gets no response."""
    offered = GROUPS + SCHEMES + VERSIONS + SHARE + extension(45, b"\1\1") + extension(42, b"")
    identity = listed(2, listed(2, os.urandom(64)) + b"\0\0\0\0")
    offered += extension(41, identity + listed(2, listed(1, os.urandom(32))))
    records = replies(record(HANDSHAKE, hello(extensions=offered)) + record(DATA, os.urandom(80)), ends=True)
    return all(content in (HANDSHAKE, CCS, ALERT, DATA) for content, _ in records) and len(records) < 12


CASES = {
    "a record of an unknown type": lambda: refused(record(99, b"x")),
    "a record that is longer than any may be": lambda: refused(record(HANDSHAKE, b"\1", length=0xFFFF)),
    "an empty handshake record, and the end": lambda: refused(record(HANDSHAKE, b""), ends=True),
    "a fatal alert first": lambda: refused(record(ALERT, b"\2\50")),
    "a hundred warnings first": lambda: refused(record(ALERT, b"\1\x5a") * 100, ends=True),
    "a change of cipher first": lambda: refused(record(CCS, b"\1"), ends=True),
    "application data first": lambda: refused(record(DATA, FRAMED), ends=True),
    "a heartbeat first": lambda: refused(record(HEARTBEAT, b"\1\x40\0")),
    "a hello of SSL 2": lambda: refused(b"\x80\x2e\1\3\1\0\x15\0\0\0\x10" + os.urandom(64), ends=True),
    "SSL 3 alone": lambda: refused(record(HANDSHAKE, hello(0x0300, extensions=b""), 0x0300)),
    "TLS 1.0 alone": lambda: refused(record(HANDSHAKE, hello(0x0301, extensions=GROUPS + SCHEMES), 0x0301)),
    "TLS 1.1 alone": lambda: refused(record(HANDSHAKE, hello(0x0302, extensions=GROUPS + SCHEMES), 0x0301)),
    "half a hello, and the end": lambda: refused(record(HANDSHAKE, hello())[:60], ends=True),
    "a hello with something behind it": lambda: refused(record(HANDSHAKE, hello(tail=b"\0" * 9))),
    "a hello without cipher suites": lambda: refused(record(HANDSHAKE, hello(suites=b""))),
    "suites without encryption alone": lambda: refused(record(HANDSHAKE, hello(suites=b"\0\1\0\2\0\x3b"))),
    "unknown groups alone": lambda: refused(
        record(HANDSHAKE, hello(extensions=extension(10, listed(2, b"\xfe\xfe")) + SCHEMES + VERSIONS))
    ),
    "compression alone": lambda: refused(record(HANDSHAKE, hello(compressions=b"\1"))),
    "an extension twice": lambda: refused(record(HANDSHAKE, hello(extensions=GROUPS + GROUPS + SCHEMES + VERSIONS + SHARE))),
    "an extension that is longer than the hello": lambda: refused(
        record(HANDSHAKE, hello(extensions=GROUPS + SCHEMES + VERSIONS + extension(51, b"", length=999)))
    ),
    "a session ID of 33 bytes": lambda: refused(record(HANDSHAKE, hello(session=b"x" * 33))),
    "a handshake message of 16 MiB": lambda: refused(record(HANDSHAKE, handshake(1, b"x" * 99, length=0xFFFFFF)), ends=True),
    "a request for a hello": lambda: refused(record(HANDSHAKE, handshake(0, b""))),
    "a server's hello": lambda: refused(record(HANDSHAKE, handshake(2, os.urandom(70)))),
    "the end of a handshake first": lambda: refused(record(HANDSHAKE, handshake(20, os.urandom(12)))),
    "an empty list of protocols": lambda: refused(
        record(HANDSHAKE, hello(extensions=GROUPS + SCHEMES + VERSIONS + SHARE + extension(16, listed(2, b""))))
    ),
    "other protocols alone, with TLS 1.2": lambda: refused(
        record(HANDSHAKE, hello(extensions=GROUPS + SCHEMES + extension(16, listed(2, listed(1, b"h2"))))), 120
    ),
    "other protocols alone, with TLS 1.3": other_protocols,
    "a request of HTTP": lambda: refused(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    "a query in the clear": lambda: refused(FRAMED, ends=True),
    "random bytes": lambda: refused(os.urandom(4096), ends=True),
    "early data": early_data,
    "a hello in records of one byte": lambda: answered_hello([b"".join(record(HANDSHAKE, bytes([it])) for it in hello())]),
    "a hello in segments of one byte": lambda: answered_hello([bytes([it]) for it in record(HANDSHAKE, hello())]),
    "TLS 1.3": lambda: is_served(session((3, 4))),
    "TLS 1.2": lambda: is_served(session((3, 3))),
    "no application protocol": lambda: is_served(session(alpn=())),
    "resumption with TLS 1.3": lambda: resumed((3, 4)),
    "resumption with TLS 1.2": lambda: resumed((3, 3)),
    "a query in records of one byte": lambda: pieces_of_a_query(1),
    "a query in records of seven bytes": lambda: pieces_of_a_query(7),
    "twenty empty records and a query": lambda: is_served(empty_records(20)),
    "empty records without end": endless_empty_records,
    "two queries in one record": lambda: is_served(session(), FRAMED * 2),
    "a query and the end at once": query_and_close,
    "a new key, and one in return": lambda: is_served(key_updates(1, KeyUpdateMessageType.update_requested)),
    "ten new keys": lambda: is_served(key_updates(10, KeyUpdateMessageType.update_not_requested)),
    "a record that nobody can decrypt": broken_record,
    "a query in the clear after the handshake": lambda: after(HANDSHAKE, FRAMED),
    "a change of cipher after the handshake": lambda: after(CCS, b"\1"),
    "a heartbeat after the handshake": lambda: after(HEARTBEAT, b"\1\x40\0"),
    "a record of 20,000 bytes after the handshake": lambda: after(DATA, os.urandom(20000)),
    "a broken record with TLS 1.2": lambda: after(DATA, os.urandom(64), (3, 3)),
    "a second handshake with TLS 1.2": renegotiation,
    "a fatal alert after the handshake": lambda: alerts_after(2, 80),
}


def main():
    failed = 0
    for name, case in CASES.items():
        try:
            good = case() and is_served(session())
        except (BaseTLSException, OSError) as error:
            good = False
            print(f"  {type(error).__name__}: {error}")
        print(f"{'ok    ' if good else 'FAILED'} {name}")
        failed += not good
    print(f"{len(CASES)} cases, {failed} failed")
    sys.exit(failed > 0)


main()
