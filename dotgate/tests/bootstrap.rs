//! Upstreams given by name: a scripted resolver of plain DNS on loopback tells (or does not tell) where they are, and
//! the forwarder finds them. The upstream itself is the embedded resolver; addresses in 127.0.0.0/8 stand for others.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot be set up fails, outside its own function too"
)]

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::str::FromStr as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use domain::base::iana::{Rcode, Rtype};
use domain::base::{Message, MessageBuilder, Name, Ttl};
use domain::rdata::A;
use dotgate::bootstrap::{Bootstrap, Pace};
use dotgate::commands::query::{QueryParameters, Response, Transport, ask};
use dotgate::serve::Forwarder;
use dotgate::upstreams::Upstream;
use dotgate::worker::WorkerCommand;
use dotgate_config::{Config, Environment, load};
use dotgate_testbed::resolver::{Resolver, ResolverConfig};
use dotgate_tls::Roots;

/// Fast enough for tests, and still longer than anything on loopback takes.
const PACE: Pace = Pace {
    resolver_wait: Duration::from_millis(300),
    first_pause: Duration::from_millis(10),
    longest_pause: Duration::from_millis(40),
    ttl_min: Duration::from_millis(20),
    ttl_max: Duration::from_secs(3_600),
    first_retry: Duration::from_millis(10),
    longest_retry: Duration::from_millis(40),
};

const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 9, 9, 9);

/// A question that the scripted resolver got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Got {
    id: u16,
    port: u16,
    qtype: Rtype,
    by_tcp: bool,
}

type Query = Message<Vec<u8>>;

/// A resolver of plain DNS that sends what its script makes of each query, one message after the other.
struct Scripted {
    address: SocketAddr,
    got: Arc<Mutex<Vec<Got>>>,
}

impl Scripted {
    fn start(script: impl Fn(&Query, Got) -> Vec<Vec<u8>> + Send + Sync + 'static) -> Scripted {
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind((HERE, 0)).unwrap();
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()) {
                break (udp, tcp);
            }
        };
        let address = udp.local_addr().unwrap();
        let got = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&got);
        let answers = Arc::new(move |bytes: &[u8], port: u16, by_tcp: bool| {
            let query = Message::from_octets(bytes.to_vec()).unwrap();
            let got = Got {
                id: query.header().id(),
                port,
                qtype: query.sole_question().unwrap().qtype(),
                by_tcp,
            };
            noted.lock().unwrap().push(got);
            script(&query, got)
        });
        let by_udp = Arc::clone(&answers);
        thread::spawn(move || {
            let mut buffer = [0; 512];
            while let Ok((length, from)) = udp.recv_from(&mut buffer) {
                for message in by_udp(&buffer[..length], from.port(), false) {
                    udp.send_to(&message, from).unwrap();
                }
            }
        });
        thread::spawn(move || {
            while let Ok((mut stream, from)) = tcp.accept() {
                let mut length = [0; 2];
                stream.read_exact(&mut length).unwrap();
                let mut query = vec![0; u16::from_be_bytes(length).into()];
                stream.read_exact(&mut query).unwrap();
                for message in answers(&query, from.port(), true) {
                    let length = u16::try_from(message.len()).unwrap();
                    let frame = [&length.to_be_bytes()[..], &message].concat();
                    stream.write_all(&frame).unwrap();
                }
            }
        });
        Scripted { address, got }
    }

    fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }
}

/// A response with this RCODE and, to a question for IPv4 addresses, these.
fn response(query: &Query, rcode: Rcode, addresses: &[Ipv4Addr]) -> Vec<u8> {
    let mut answer = MessageBuilder::new_vec()
        .start_answer(query, rcode)
        .unwrap();
    let question = query.sole_question().unwrap();
    let of_this_type = addresses.iter().filter(|_| question.qtype() == Rtype::A);
    for address in of_this_type {
        let owner: Name<Vec<u8>> = question.qname().to_string().parse().unwrap();
        let record = (owner, Ttl::from_secs(0), A::new(*address));
        answer.push(record).unwrap();
    }
    answer.finish()
}

fn addresses(query: &Query, addresses: &[Ipv4Addr]) -> Vec<u8> {
    response(query, Rcode::NOERROR, addresses)
}

/// The forwarder, with the embedded resolver as its upstream, which it knows by name alone.
struct World {
    resolver: Resolver,
    config: Config,
    forwarder: Forwarder,
}

impl World {
    fn start(bootstrap: &[SocketAddr], deadline: &str) -> World {
        let resolver = Resolver::start(&ResolverConfig::default()).unwrap();
        let roots = Roots::trusting(resolver.authority()).unwrap();
        let list: Vec<String> = bootstrap
            .iter()
            .map(|address| format!("{}@{}", address.ip(), address.port()))
            .collect();
        let environment: Environment = [
            ("HOST", "127.0.0.1".to_owned()),
            ("PORT", "0".to_owned()),
            ("DNS_HOST", resolver.name().to_owned()),
            ("DNS_PORT", resolver.address().port().to_string()),
            ("DOTGATE_SERVER_WORKERS", "1".to_owned()),
            ("DOTGATE_BOOTSTRAP_ADDRESSES", list.join(",")),
            ("DOTGATE_QUERY_DEADLINE", deadline.to_owned()),
        ]
        .into_iter()
        .collect();
        let config = load(&environment, None)
            .unwrap_or_else(|problems| panic!("{problems}"))
            .config;
        let forwarder = Forwarder::start(&config, &roots).unwrap();
        World {
            resolver,
            config,
            forwarder,
        }
    }

    fn upstream(&self) -> Arc<Upstream> {
        Arc::clone(&self.forwarder.upstreams()[0])
    }

    /// All addresses that the upstream has now.
    fn addresses(&self) -> Vec<SocketAddr> {
        let mut all: Vec<SocketAddr> = (0..8)
            .filter_map(|try_number| self.upstream().address(try_number))
            .collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    fn at(&self, addresses: &[Ipv4Addr]) -> Vec<SocketAddr> {
        let port = self.resolver.address().port();
        addresses.iter().map(|ip| (*ip, port).into()).collect()
    }

    /// Runs a search until the condition holds.
    fn search_until(&self, condition: impl Fn() -> bool) {
        block_on(async {
            let _bootstrap = Bootstrap::with_pace(&self.config, &self.forwarder.upstreams(), PACE);
            until(condition).await;
        });
    }

    fn asking(&self) -> impl FnOnce() -> Response + Send + 'static {
        let address = self.forwarder.addresses()[0];
        let asked = QueryParameters {
            name: Name::from_str("example.test").unwrap(),
            record_type: Rtype::A,
            transport: Transport::Udp,
        };
        move || ask(address, &asked, Duration::from_secs(20)).unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.forwarder.command(WorkerCommand::Finish);
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(20), wait).await;
    assert!(waited.is_ok(), "the condition did not come about in 20 s");
}

fn assert_answered(response: &Response) {
    let header = response.message.header();
    assert_eq!(header.rcode(), Rcode::NOERROR, "{:?}", response.message);
    assert_eq!(response.message.header_counts().ancount(), 1);
}

#[test]
fn lies_under_a_wrong_id_or_to_another_question_are_waited_out() {
    let scripted = Scripted::start(|query, _| {
        let mut wrong_id = addresses(query, &[ELSEWHERE]);
        wrong_id[1] ^= 1;
        let mut wrong_name = addresses(query, &[ELSEWHERE]);
        wrong_name[13] ^= 1;
        let no_response = query.as_slice().to_vec();
        let right = addresses(query, &[HERE]);
        vec![wrong_id, wrong_name, no_response, vec![0; 5], right]
    });
    let world = World::start(&[scripted.address], "4s");
    world.search_until(|| !world.addresses().is_empty());
    assert_eq!(world.addresses(), world.at(&[HERE]));
    assert_answered(&world.asking()());
}

#[test]
fn every_question_has_an_id_and_a_port_of_its_own() {
    let scripted = Scripted::start(|query, _| vec![addresses(query, &[HERE])]);
    let world = World::start(&[scripted.address], "4s");
    world.search_until(|| scripted.got().len() >= 20);
    let got = scripted.got();
    let different = |of: fn(&Got) -> u16| {
        let mut all: Vec<u16> = got.iter().map(of).collect();
        all.sort_unstable();
        all.dedup();
        all.len()
    };
    // Twenty random numbers of 16 bits may meet, but hardly four times.
    assert!(different(|got| got.id) > 16, "{got:?}");
    assert!(different(|got| got.port) > 16, "{got:?}");
    for qtype in [Rtype::A, Rtype::AAAA] {
        assert!(got.iter().any(|got| got.qtype == qtype), "{got:?}");
    }
}

#[test]
fn resolvers_that_are_closed_unresponsive_or_refuse_are_followed_by_the_next() {
    let closed = UdpSocket::bind((HERE, 0)).unwrap();
    // From now on it takes datagrams from itself alone, and the system refuses all others.
    closed.connect(closed.local_addr().unwrap()).unwrap();
    let unresponsive = UdpSocket::bind((HERE, 0)).unwrap();
    let refusing = Scripted::start(|query, _| vec![response(query, Rcode::REFUSED, &[])]);
    let answering = Scripted::start(|query, _| vec![addresses(query, &[HERE])]);
    let resolvers = [
        closed.local_addr().unwrap(),
        unresponsive.local_addr().unwrap(),
        refusing.address,
        answering.address,
    ];
    let world = World::start(&resolvers, "4s");
    world.search_until(|| !world.addresses().is_empty());
    assert_eq!(world.addresses(), world.at(&[HERE]));
    assert!(!refusing.got().is_empty());
}

#[test]
fn a_truncated_answer_is_asked_for_over_tcp() {
    let scripted = Scripted::start(|query, got| {
        let mut message = addresses(query, if got.by_tcp { &[HERE] } else { &[] });
        if !got.by_tcp {
            message[2] |= 0x02;
        }
        vec![message]
    });
    let world = World::start(&[scripted.address], "4s");
    world.search_until(|| !world.addresses().is_empty());
    assert_eq!(world.addresses(), world.at(&[HERE]));
    let by_tcp: Vec<Got> = scripted
        .got()
        .into_iter()
        .filter(|got| got.by_tcp)
        .collect();
    assert!(by_tcp.iter().any(|got| got.qtype == Rtype::A), "{by_tcp:?}");
}

#[test]
fn a_name_that_moves_is_followed_and_its_last_address_outlives_its_resolver() {
    let place = Arc::new(Mutex::new(Some(ELSEWHERE)));
    let reported = Arc::clone(&place);
    let scripted = Scripted::start(move |query, _| match *reported.lock().unwrap() {
        Some(address) => vec![addresses(query, &[address])],
        None => vec![response(query, Rcode::SERVFAIL, &[])],
    });
    let world = World::start(&[scripted.address], "4s");
    block_on(async {
        let _bootstrap = Bootstrap::with_pace(&world.config, &world.forwarder.upstreams(), PACE);
        until(|| world.addresses() == world.at(&[ELSEWHERE])).await;
        *place.lock().unwrap() = Some(HERE);
        until(|| world.addresses() == world.at(&[HERE])).await;
        *place.lock().unwrap() = None;
        let before = scripted.got().len();
        until(|| scripted.got().len() >= before + 8).await;
        assert_eq!(world.addresses(), world.at(&[HERE]));
        *place.lock().unwrap() = Some(ELSEWHERE);
        until(|| world.addresses() == world.at(&[ELSEWHERE])).await;
    });
}

#[test]
fn a_query_that_comes_before_the_address_waits_until_it_is_there() {
    let is_open = Arc::new(AtomicBool::new(false));
    let opened = Arc::clone(&is_open);
    let scripted = Scripted::start(move |query, _| match opened.load(Ordering::SeqCst) {
        true => vec![addresses(query, &[HERE])],
        false => vec![],
    });
    let world = World::start(&[scripted.address], "10s");
    block_on(async {
        let _bootstrap = Bootstrap::with_pace(&world.config, &world.forwarder.upstreams(), PACE);
        let asking = tokio::task::spawn_blocking(world.asking());
        let failed = || world.forwarder.count(dotgate_core::Count::SessionsFailed);
        until(|| failed() >= 2).await;
        is_open.store(true, Ordering::SeqCst);
        assert_answered(&asking.await.unwrap());
    });
    assert_eq!(world.forwarder.count(dotgate_core::Count::Failed), 0);
}

#[test]
fn a_query_whose_upstream_is_never_found_gets_servfail_and_the_reason() {
    let unresponsive = UdpSocket::bind((HERE, 0)).unwrap();
    let world = World::start(&[unresponsive.local_addr().unwrap()], "500ms");
    let response = block_on(async {
        let _bootstrap = Bootstrap::with_pace(&world.config, &world.forwarder.upstreams(), PACE);
        tokio::task::spawn_blocking(world.asking()).await.unwrap()
    });
    assert_eq!(response.message.header().rcode(), Rcode::SERVFAIL);
    let mut shown = Vec::new();
    dotgate::commands::query::write_response(&mut shown, &response).unwrap();
    let shown = String::from_utf8(shown).unwrap();
    let reason = format!(
        "; EDE: 14 (Not Ready): connect: the name has no address yet ({})\n",
        world.upstream().label()
    );
    assert!(shown.contains(&reason), "{shown}");
}

#[test]
fn when_all_addresses_of_a_name_fail_its_resolver_is_asked_again_before_their_time_is_over() {
    let asked = AtomicUsize::new(0);
    let scripted = Scripted::start(move |query, got| {
        let is_first = got.qtype == Rtype::A && asked.fetch_add(1, Ordering::SeqCst) == 0;
        let address = if is_first { ELSEWHERE } else { HERE };
        vec![addresses(query, &[address])]
    });
    let world = World::start(&[scripted.address], "10s");
    let pace = Pace {
        ttl_min: Duration::from_secs(3_600),
        ..PACE
    };
    block_on(async {
        let _bootstrap = Bootstrap::with_pace(&world.config, &world.forwarder.upstreams(), pace);
        until(|| world.addresses() == world.at(&[ELSEWHERE])).await;
        let response = tokio::task::spawn_blocking(world.asking()).await.unwrap();
        assert_answered(&response);
    });
    assert_eq!(world.addresses(), world.at(&[HERE]));
}

#[test]
fn the_address_that_led_to_the_upstream_stays_in_use_when_the_resolver_gives_a_false_one() {
    let lies = Arc::new(AtomicBool::new(false));
    let lying = Arc::clone(&lies);
    let scripted = Scripted::start(move |query, _| {
        let address = match lying.load(Ordering::SeqCst) {
            true => ELSEWHERE,
            false => HERE,
        };
        vec![addresses(query, &[address])]
    });
    let world = World::start(&[scripted.address], "10s");
    block_on(async {
        let _bootstrap = Bootstrap::with_pace(&world.config, &world.forwarder.upstreams(), PACE);
        until(|| world.addresses() == world.at(&[HERE])).await;
        let asking = world.asking();
        assert_answered(&tokio::task::spawn_blocking(asking).await.unwrap());
        lies.store(true, Ordering::SeqCst);
        until(|| world.addresses() == world.at(&[ELSEWHERE])).await;
        assert_eq!(
            world.upstream().addresses(),
            world.at(&[ELSEWHERE, HERE]),
            "it is tried once the new one has failed"
        );
    });
}
