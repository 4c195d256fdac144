"""What a flood of TLS handshakes does to clients over UDP, who are innocent: responses lost, and how long they took.

python3 bench/listeners/flood.py PORT DOT_PORT [SECONDS]

On a machine that others use, or with fewer processors than the flood takes, run dotgate and this script with real-time priority
(`chrt -f 20`): the processes that flood give it up, so that dotgate and its client do not wait for them.

Four processes make handshakes from 1,000 addresses of 127.0.0.0/8, as many as they can, and half of them are left in the middle.
Meanwhile one client asks 100 times in a second over UDP from 127.1.0.1 for localhost and for names of test, which the upstream must
know. It does the same for as long before the flood, for comparison.
"""

import multiprocessing
import os
import socket
import ssl
import struct
import sys
import time

PORT, DOT_PORT = int(sys.argv[1]), int(sys.argv[2])
SECONDS = int(sys.argv[3]) if len(sys.argv) > 3 else 10
FLOODERS, ADDRESSES, RATE, WAIT = 4, 1_000, 100, 2.0


def flood(number, count, stop):
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    half_done, turn = [], number
    while not stop.is_set():
        turn = (turn + FLOODERS) % ADDRESSES
        source = f"127.0.{1 + turn // 250}.{1 + turn % 250}"
        try:
            plain = socket.create_connection(("127.0.0.1", DOT_PORT), 5, (source, 0))
            with count.get_lock():
                count.value += 1
            if turn % 2:
                # The first bytes of a ClientHello, and then nothing.
                plain.sendall(b"\x16\x03\x01\x02\x00")
                half_done = half_done[-500:] + [plain]
            else:
                tls.wrap_socket(plain).close()
        except OSError:
            pass


def query(number):
    name = b"\x09localhost\0" if number % 2 else b"%c%b\x04test\0" % (len(b"u%d" % number), b"u%d" % number)
    return struct.pack(">HHHHHH", number, 0x0100, 1, 0, 0, 0) + name + b"\0\1\0\1"


def ask(first):
    """Asks for so many seconds, and says how many got no response and how long the others waited."""
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.bind(("127.1.0.1", 0))
    sent, took = {}, []
    begin = time.monotonic()
    while time.monotonic() < begin + SECONDS + WAIT:
        now = time.monotonic()
        due = min(int((now - begin) * RATE), SECONDS * RATE)
        for number in range(first + len(sent) + len(took), first + due):
            client.sendto(query(number), ("127.0.0.1", PORT))
            sent[number] = time.monotonic()
        client.settimeout(0.002)
        try:
            number = struct.unpack(">H", client.recv(4096)[:2])[0]
            took.append(time.monotonic() - sent.pop(number))
        except TimeoutError:
            if due == SECONDS * RATE and not sent:
                break
    took.sort()
    return len(sent), took


def show(when, lost, took):
    at = lambda part: took[min(int(len(took) * part), len(took) - 1)] * 1000
    print(f"{when}: {len(took) + lost} queries, {lost} lost, median {at(0.5):.1f} ms, p99 {at(0.99):.1f} ms, longest {at(1):.1f} ms")


def main():
    show("without a flood", *ask(0))
    count, stop = multiprocessing.Value("l", 0), multiprocessing.Event()
    flooders = [multiprocessing.Process(target=flood, args=(number, count, stop)) for number in range(FLOODERS)]
    for flooder in flooders:
        flooder.start()
    time.sleep(1)
    before = count.value
    lost, took = ask(10_000)
    made = count.value - before
    stop.set()
    for flooder in flooders:
        flooder.join()
    show(f"with {made / SECONDS:.0f} connections a second", lost, took)


main()
