//! One long connection over DNS over QUIC, for `bench/listeners/cost.py`.
//!
//! `doq PORT CA_FILE NAME`: each line of input has a number of queries at a time and a number of rounds. They are asked at 127.0.0.1,
//! for the addresses of n1.test to n1000.test, and `done` is written.

#![expect(clippy::disallowed_methods, reason = "it measures")]

use std::error::Error;
use std::io::{BufRead as _, Write as _};
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use dotgate_testbed::quic::{QuicClient, QuicClientSetup};

fn query(number: usize) -> Vec<u8> {
    dotgate_message::query(0, &format!("n{}.test", 1 + number % 1_000))
}

struct Connection {
    socket: UdpSocket,
    server: SocketAddr,
    client: QuicClient,
}

impl Connection {
    /// Sends what there is, and waits for one datagram.
    fn turn(&mut self) -> Result<(), Box<dyn Error>> {
        for packet in self.client.packets(Instant::now()) {
            self.socket.send_to(&packet, self.server)?;
        }
        let mut buffer = [0; 2_048];
        let due = self.client.next_deadline();
        let wait = due.map_or(Duration::from_secs(1), |due| {
            due.saturating_duration_since(Instant::now())
        });
        self.socket
            .set_read_timeout(Some(wait.max(Duration::from_millis(1))))?;
        if let Ok((length, from)) = self.socket.recv_from(&mut buffer) {
            let bytes = buffer.get(..length).unwrap_or_default();
            self.client.on_packet(Instant::now(), from, bytes);
        }
        self.client.on_timeout(Instant::now());
        match self.client.lost() {
            None => Ok(()),
            Some(reason) => Err(format!("the connection ended: {reason}").into()),
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, authority, name] = &arguments[..] else {
        return Err("doq PORT CA_FILE NAME".into());
    };
    let server = SocketAddr::from(([127, 0, 0, 1], port.parse()?));
    let setup = QuicClientSetup::new(&std::fs::read_to_string(authority)?, &[b"doq"], None)?;
    let mut connection = Connection {
        socket: UdpSocket::bind("127.0.0.1:0")?,
        server,
        client: QuicClient::connect(&setup, Instant::now(), server, name)?,
    };
    while !connection.client.is_connected() {
        connection.turn()?;
    }
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let mut numbers = line.split(' ').map(str::parse::<usize>);
        let (Some(batch), Some(rounds)) = (numbers.next(), numbers.next()) else {
            return Err("a number of queries and a number of rounds".into());
        };
        let batch = batch?;
        for round in 0..rounds? {
            let mut streams = Vec::new();
            while streams.len() < batch {
                match connection.client.ask(&query(round * batch + streams.len())) {
                    Some(stream) => streams.push(stream),
                    None => connection.turn()?,
                }
            }
            while !streams
                .iter()
                .all(|it| connection.client.response(*it).is_some())
            {
                connection.turn()?;
            }
            connection.client.forget(&streams);
        }
        println!("done");
        std::io::stdout().flush()?;
    }
    Ok(())
}
