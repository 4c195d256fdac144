//! A box on the path to an upstream that drops connections whose first TLS message needs more than one segment, as some
//! firewalls do: what it drops gets no response of any kind.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

use super::address::own_address;
use super::upstream::{AUTHENTICATION_NAME, Upstream};

/// Bytes of a segment on Ethernet, options included.
const SEGMENT: usize = 1_448;

/// Connections so far.
#[derive(Default)]
struct Seen {
    dropped: AtomicUsize,
    passed: AtomicUsize,
}

/// The box; it ends with the test's process.
pub(crate) struct Middlebox {
    address: SocketAddr,
    seen: Arc<Seen>,
}

impl Middlebox {
    /// One before this upstream.
    pub(crate) fn before(upstream: &Upstream) -> Middlebox {
        let listener = TcpListener::bind((own_address(), 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (to, seen) = (upstream.address(), Arc::<Seen>::default());
        let noted = Arc::clone(&seen);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let noted = Arc::clone(&noted);
                // A connection that breaks is one that its ends will notice.
                thread::spawn(move || drop(carry(client, to, &noted)));
            }
        });
        Middlebox { address, seen }
    }

    /// How the upstream behind it is written in `DNS_HOST`.
    pub(crate) fn written(&self) -> String {
        let (ip, port) = (self.address.ip(), self.address.port());
        format!("{ip}@{port}#{AUTHENTICATION_NAME}")
    }

    /// Connections that it dropped and those that it passed on.
    pub(crate) fn seen(&self) -> (usize, usize) {
        (
            self.seen.dropped.load(SeqCst),
            self.seen.passed.load(SeqCst),
        )
    }
}

fn carry(mut client: TcpStream, to: SocketAddr, seen: &Seen) -> io::Result<()> {
    let mut header = [0; 5];
    client.read_exact(&mut header)?;
    let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
    if header.len() + length > SEGMENT {
        seen.dropped.fetch_add(1, SeqCst);
        // Read and not answered, until the other end gives up.
        io::copy(&mut client, &mut io::sink())?;
        return Ok(());
    }
    seen.passed.fetch_add(1, SeqCst);
    let mut upstream = TcpStream::connect(to)?;
    upstream.write_all(&header)?;
    let (mut back_from, mut back_to) = (upstream.try_clone()?, client.try_clone()?);
    thread::spawn(move || {
        drop(io::copy(&mut back_from, &mut back_to));
        drop(back_to.shutdown(Shutdown::Both));
    });
    io::copy(&mut client, &mut upstream)?;
    upstream.shutdown(Shutdown::Write)
}
