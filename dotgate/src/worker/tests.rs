//! What a worker does after a bug of ours: seen from outside, with real sockets.

use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;

use dotgate_core::{Access, ClientMemory, Flights, UpstreamId, UpstreamSettings, WorkerId};
use dotgate_net::{BindOptions, UdpPath};

use super::*;

const WAIT: Duration = Duration::from_secs(10);

struct World {
    thread: JoinHandle<()>,
    commands: std::sync::mpsc::Sender<WorkerCommand>,
    waker: Arc<Waker>,
    reports: tokio::sync::mpsc::Receiver<(WorkerId, WorkerEvent)>,
    counters: Arc<Counters>,
    address: SocketAddr,
    client: UdpSocket,
}

/// A worker whose one upstream has no address, so that queries wait.
fn world() -> World {
    worker_of(WorkerId(0), &Shared::alone())
}

/// The same as worker `number` of those that share this.
fn worker_of(id: WorkerId, shared: &Shared) -> World {
    let options = BindOptions {
        share_port: true,
        receive_buffer_bytes: 0,
    };
    let udp = dotgate_net::UdpSocket::bind("127.0.0.1:0".parse().unwrap(), &options).unwrap();
    let address = udp.local_addr().unwrap();
    let settings = Settings {
        access: Access::of(["127.0.0.0/8".parse().unwrap()]),
        queries_max: 100,
        queries_per_client_max: 100,
        streams_max: 10,
        streams_per_client_max: 10,
        stream_queries_max: 10,
        ..Settings::for_upstreams(vec![UpstreamSettings::new(UpstreamId(0), "nowhere")])
    };
    let (commands, orders_out) = channel();
    let (reports_in, reports) = tokio::sync::mpsc::channel(100);
    let counters = Arc::new(Counters::new());
    let parts = WorkerSetup {
        id,
        settings: Arc::new(settings),
        shared: shared.clone(),
        messages: channel().1,
        upstreams: [].into(),
        counters: Arc::clone(&counters),
        pulse: Arc::default(),
        udp: vec![Arc::new(udp)],
        streams: Vec::new(),
        quic: Vec::new(),
        tls: None,
        udp_path: UdpPath::default(),
        commands: orders_out,
        records: crate::views::ring(&Arc::default()).0,
        copies: crate::views::tap(&Arc::default()).0,
        reports: reports_in,
        last_packet: Arc::new(AtomicU64::new(0)),
    };
    let (worker, waker) = Worker::new(parts).unwrap();
    let thread = std::thread::spawn(move || worker.run());
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(WAIT)).unwrap();
    World {
        thread,
        commands,
        waker,
        reports,
        counters,
        address,
        client,
    }
}

impl World {
    fn ask(&self, id: u8, name: &str) {
        let query = dotgate_message::query(u16::from(id), name);
        self.client.send_to(&query, self.address).unwrap();
    }

    /// ID and RCODE of the next response.
    fn next_response(&self) -> (u8, u8) {
        let mut buffer = [0; 512];
        let length = self.client.recv(&mut buffer).unwrap();
        assert!(length >= 12);
        (buffer[1], buffer[3] & 15)
    }

    fn command(&self, command: WorkerCommand) {
        self.commands.send(command).unwrap();
        self.waker.wake().unwrap();
    }
}

#[test]
fn after_a_bug_those_who_wait_get_servfail_and_the_worker_goes_on() {
    let mut world = world();
    world.ask(1, "waiting.example");
    while world.counters.get(Count::QueriesForwarded) == 0 {
        std::thread::yield_now();
    }
    world.command(WorkerCommand::Panic);
    assert_eq!(world.next_response(), (1, 2));
    world.ask(2, "localhost");
    assert_eq!(world.next_response(), (2, 0));
    assert_eq!(world.counters.get(Count::Panics), 1);
    let reported = std::iter::from_fn(|| world.reports.try_recv().ok()).collect::<Vec<_>>();
    let message = "ordered by a test".to_owned();
    assert!(
        reported.contains(&(WorkerId(0), WorkerEvent::Panicked { message })),
        "{reported:?}"
    );
    world.command(WorkerCommand::Finish);
    world.thread.join().unwrap();
}

#[test]
fn after_a_bug_in_one_worker_the_others_go_on_and_nothing_of_it_is_left_in_what_they_share() {
    let shared = Shared {
        flights: Arc::new(Flights::new(2)),
        memory: Arc::new(ClientMemory::new(2)),
        ..Shared::alone()
    };
    let [mut broken, mut sound] = [0, 1].map(|number| worker_of(WorkerId(number), &shared));
    for (world, id) in [(&broken, 1), (&sound, 2)] {
        world.ask(id, "waiting.example");
        while world.counters.get(Count::QueriesForwarded) == 0 {
            std::thread::yield_now();
        }
    }
    broken.command(WorkerCommand::Panic);
    assert_eq!(broken.next_response(), (1, 2));
    for (world, id) in [(&broken, 3), (&sound, 4)] {
        world.ask(id, "localhost");
        assert_eq!(world.next_response(), (id, 0));
    }
    assert_eq!(sound.counters.get(Count::Panics), 0);
    assert_eq!(sound.next_response(), (2, 2), "at its own time");
    for world in [&mut broken, &mut sound] {
        world.command(WorkerCommand::Finish);
        // The reports end with the worker.
        while world.reports.blocking_recv().is_some() {}
    }
    for world in [broken, sound] {
        world.thread.join().unwrap();
    }
    assert_eq!(shared.memory.used(), 0);
}
