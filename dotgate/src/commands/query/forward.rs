//! The question as a client's: asked over loopback of a worker of this process's own.
//!
//! It is before *listener*. The worker is the one that serves, with the configuration's upstreams and its query
//! deadline; only who may ask and where it listens are this module's.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc::{channel, sync_channel};
use std::thread;
use std::time::Duration;

use dotgate_config::Config;
use dotgate_core::labels;
use dotgate_core::{
    Access, Count, Counters, Engine, ReturnPath, Settings, Shared, StreamKind, UpstreamId, WorkerId,
};
use dotgate_net::UdpPath;
use ipnet::IpNet;
use tokio::sync::mpsc;

use super::client::{QueryParameters, Response, ask, query};
use super::prepared::Prepared;
use crate::access::HostAccess;
use crate::clock::now;
use crate::upstreams::RouteNumbers;
use crate::views;
use crate::worker::{StreamListener, Worker, WorkerCommand, WorkerEvent, WorkerSetup};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Reports kept of the one question: sessions opened and failed.
const REPORTS: usize = 64;

/// What the client waits beyond the worker's own deadline.
const GRACE: Duration = Duration::from_secs(1);

/// What the client got, and what happened on the way.
pub(super) struct Through {
    pub(super) response: io::Result<Response>,
    /// The upstream that sent a response with the code that the client got.
    pub(super) answered_by: Option<UpstreamId>,
    pub(super) reports: Vec<WorkerEvent>,
}

/// Whether serving would ask an upstream: not where dotgate has the answer itself, or refuses the type.
pub(super) fn is_forwarded(
    config: &Config,
    prepared: &Prepared,
    asked: &QueryParameters,
) -> io::Result<bool> {
    let counters = Arc::new(Counters::new());
    // It sends one query and is dropped: nothing in it needs to be unpredictable.
    let seed = [0; 32];
    let mut engine = Engine::new(
        WorkerId(0),
        Arc::new(settings(config, prepared)),
        Shared::alone(),
        Arc::clone(&counters),
        seed,
    );
    let path = ReturnPath {
        socket: 0,
        peer: SocketAddr::new(LOOPBACK, 53),
        local_ip: None,
        interface: 0,
    };
    let message = query(0, asked)?;
    engine.on_datagram(now(), path, message.as_slice());
    Ok(counters.get(Count::QueriesForwarded) > 0)
}

/// Asks a worker.
pub(super) fn ask_through_worker(
    config: &Config,
    prepared: &Prepared,
    asked: &QueryParameters,
) -> io::Result<Through> {
    let upstreams = &prepared.upstreams;
    let listener = dotgate_net::tcp::listen(SocketAddr::new(LOOPBACK, 0), false, 8)?;
    let address = listener.local_addr()?;
    let (reports_in, mut reports) = mpsc::channel(REPORTS);
    let (commands_in, commands) = channel();
    let counters = Arc::new(Counters::new());
    let parts = WorkerSetup {
        id: WorkerId(0),
        settings: Arc::new(settings(config, prepared)),
        shared: Shared::alone(),
        messages: sync_channel(1).1,
        upstreams: Arc::clone(upstreams),
        counters: Arc::clone(&counters),
        pulse: Arc::default(),
        udp: Vec::new(),
        streams: vec![StreamListener {
            kind: StreamKind::Tcp,
            socket: listener,
        }],
        quic: Vec::new(),
        tls: None,
        udp_path: UdpPath::default(),
        commands,
        records: views::ring(&Arc::default()).0,
        copies: views::tap(&Arc::default()).0,
        reports: reports_in,
        last_packet: Arc::default(),
    };
    let (worker, waker) = Worker::new(parts)?;
    let worker = thread::Builder::new()
        .name("worker-0".to_owned())
        .spawn(move || worker.run())?;
    let response = ask(address, asked, config.query().deadline + GRACE);
    if commands_in.send(WorkerCommand::Finish).is_ok() {
        // The waker fails only with its poll loop, and then the worker has ended.
        drop(waker.wake());
    }
    // A panic is caught and reported by the worker itself.
    drop(worker.join());
    let mut reported = Vec::new();
    while let Ok((_, report)) = reports.try_recv() {
        reported.push(report);
    }
    let answered_by = response.as_ref().ok().and_then(|response| {
        let rcode = labels::Rcode::of(response.message.opt_rcode().to_int());
        let ids = upstreams.iter().map(|upstream| upstream.id());
        let has_sent = |id: &UpstreamId| {
            let counters = counters.upstream(*id);
            counters.is_some_and(|it| it.responses(rcode) > 0)
        };
        ids.rev().find(has_sent)
    });
    Ok(Through {
        response,
        answered_by,
        reports: reported,
    })
}

/// What serving would have, for this process alone.
fn settings(config: &Config, prepared: &Prepared) -> Settings {
    let Prepared {
        upstreams, local, ..
    } = prepared;
    let groups = RouteNumbers::default().assign(&[], config.groups(), upstreams);
    Settings {
        access: Access::of([IpNet::from(LOOPBACK)]),
        ..crate::serve::settings(
            config,
            &groups.unwrap_or_default(),
            local,
            &HostAccess::default(),
            crate::serve::DESCRIPTORS_AT_LEAST,
        )
    }
}
