//! The known floods of HTTP/2 at the listener of the running program: each ends, costs bounded memory, and takes nothing from others.
//!
//! Several clients flood over TLS, each again on a new connection when one is closed, while another client asks over HTTPS and one over
//! UDP. Counted are the answers of these, the connections that were cut off, and the memory of clients at any time.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::world::dot::{Files, Offer};
use crate::world::h2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, H2, HEADERS, INITIAL_WINDOW, PING, RST_STREAM,
    SETTINGS, WINDOW_UPDATE, fields, frame, request_for, setting,
};
use crate::world::house::House;
use crate::world::http::metric;
use crate::world::program::Program;
use crate::world::upstream::Step;

/// The address of the clients that flood. What one address may have in flight is bounded, and the bound is theirs.
const FLOOD_FROM: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Clients that flood at the same time.
const FLOODERS: usize = 4;

/// Connections that each of them has closed under it, or begins in all.
const CONNECTIONS: usize = 5;

/// Queries of each innocent client.
const ASKED: usize = 100;

/// What clients may cost.
const MEMORY: f64 = 4.0 * 1024.0 * 1024.0;

/// Sends what it likes until the connection is over.
type Flood = fn(&mut H2);

/// Floods, and asks meanwhile. Returns how many connections were closed for `reason`.
fn endure(flood: Flood, settings: &[u8], reason: &str) -> f64 {
    let house = House::new();
    house.upstream.script(|script| {
        script.on_beginning("held", &[Step::Hold]);
    });
    let files = Files::new(&house.authority);
    let (certificate, key) = (files.text("dns.pem"), files.text("dns.key"));
    let program = house.serve(
        "0",
        &[
            ("DOTGATE_DOH_LISTEN", "127.0.0.1:0"),
            ("DOTGATE_SERVER_CERTIFICATE_FILE", &*certificate),
            ("DOTGATE_SERVER_KEY_FILE", &*key),
            ("DOTGATE_SERVER_WORKERS", "1"),
            ("DOTGATE_SERVER_CLIENT_MEMORY", "4MiB"),
            // Loopback addresses are exempt otherwise.
            ("DOTGATE_QUERY_EXEMPT", "192.0.2.1"),
        ],
    );
    let offer = Arc::new(Offer::new(&house.authority).with_protocols(&["h2"]));
    let (listen, admin) = (program.doh_address(), program.admin());
    let flooders = (0..FLOODERS).map(|_| {
        let (offer, settings) = (Arc::clone(&offer), settings.to_vec());
        std::thread::spawn(move || {
            for _ in 0..CONNECTIONS {
                flood(&mut H2::from(FLOOD_FROM, &offer, listen, &settings));
            }
        })
    });
    let flooders: Vec<_> = flooders.collect();
    let is_over = Arc::new(AtomicBool::new(false));
    let most = Arc::new(AtomicUsize::new(0));
    let watcher = {
        let (is_over, most) = (Arc::clone(&is_over), Arc::clone(&most));
        std::thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                let used = metric(admin, "dotgate_client_memory_bytes");
                most.fetch_max(used as usize, Ordering::Relaxed);
            }
        })
    };
    ask_meanwhile(&program, &offer);
    for flooder in flooders {
        flooder.join().unwrap();
    }
    ask_meanwhile(&program, &offer);
    is_over.store(true, Ordering::Relaxed);
    watcher.join().unwrap();
    assert!(
        (most.load(Ordering::Relaxed) as f64) < 1.25 * MEMORY,
        "{most:?} bytes"
    );
    let series = format!("dotgate_streams_closed_total{{reason=\"{reason}\"}}");
    metric(admin, &series)
}

fn ask_meanwhile(program: &Program, offer: &Offer) {
    let mut https = H2::connect(offer, program.doh_address());
    let mut udp = program.udp();
    for number in 0..ASKED {
        https.ask(&format!("h{number}.test")).assert_right();
        udp.ask(&format!("u{number}.test")).assert_right();
    }
}

/// Sends pieces until the server has closed the connection, and reads nothing.
fn send_until_closed(client: &mut H2, mut piece: impl FnMut(&mut H2) -> Vec<u8>) {
    while !client.has_ended {
        let bytes = piece(client);
        client.send(&bytes);
    }
}

const ALL: f64 = (FLOODERS * CONNECTIONS) as f64;

#[test]
fn streams_that_are_reset_at_once() {
    let closed = endure(
        |client| {
            send_until_closed(client, |client| {
                let stream = client.stream();
                let request = frame(
                    HEADERS,
                    END_HEADERS | END_STREAM,
                    stream,
                    &request_for("r.test"),
                );
                [request, frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
            });
        },
        &[],
        "flood",
    );
    assert_eq!(closed, ALL);
}

#[test]
fn requests_that_are_cancelled_once_they_are_asked() {
    let closed = endure(
        |client| {
            // Each is at the engine before it is cancelled.
            send_until_closed(client, |client| {
                let stream = client.send_for("held.test");
                client.ping();
                frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])
            });
        },
        &setting(INITIAL_WINDOW, 0),
        "flood",
    );
    assert_eq!(closed, ALL);
}

#[test]
fn headers_without_end() {
    let closed = endure(
        |client| {
            let stream = client.stream();
            client.send(&frame(HEADERS, 0, stream, &request_for("c.test")));
            let more = fields(&[("x", "y")]);
            send_until_closed(client, |_| frame(CONTINUATION, 0, stream, &more));
        },
        &[],
        "http",
    );
    assert_eq!(closed, ALL);
}

#[test]
fn settings_and_pings_without_queries() {
    for piece in [
        frame(SETTINGS, 0, 0, &setting(3, 100)),
        frame(PING, 0, 0, &[0; 8]),
    ] {
        let flood: Flood = match piece[3] {
            SETTINGS => |client| {
                let piece = frame(SETTINGS, 0, 0, &setting(3, 100)).repeat(50);
                send_until_closed(client, |_| piece.clone());
            },
            _ => |client| {
                let piece = frame(PING, 0, 0, &[0; 8]).repeat(50);
                send_until_closed(client, |_| piece.clone());
            },
        };
        assert_eq!(endure(flood, &[], "flood"), ALL);
    }
}

#[test]
fn bodies_in_bytes_of_one() {
    let closed = endure(
        |client| {
            let stream = client.stream();
            let head = fields(&[
                (":method", "POST"),
                (":scheme", "https"),
                (":authority", "dns"),
                (":path", "/dns-query"),
                ("content-type", "application/dns-message"),
            ]);
            client.send(&frame(HEADERS, END_HEADERS, stream, &head));
            send_until_closed(client, |_| frame(DATA, 0, stream, b"x"));
        },
        &[],
        "flood",
    );
    assert_eq!(closed, ALL);
}

#[test]
fn windows_that_stay_closed() {
    // Nobody is cut off before the time of clients that do not read; what waits for them is bounded.
    endure(
        |client| {
            for number in 0..90 {
                client.send_for_text(&format!("w{number}.test"));
                client.send(&frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]));
            }
            client.ping();
        },
        &setting(INITIAL_WINDOW, 0),
        "memory",
    );
}
