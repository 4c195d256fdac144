//! The `dotgate-bench` command: `upstream`, `load`, `echo`, `relay`, `compare`, `report`, `soak`, `replace`, `roll`, `unread`.

#![forbid(unsafe_code)]

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Arg, ArgMatches, Command, value_parser};
use dotgate_bench::compare::{self, Comparison, Traffic, Transport, Warm};
use dotgate_bench::cpu::Measured;
use dotgate_bench::forwarder::{Forwarder, Installations, PEERS, Peer};
use dotgate_bench::load::{self, Load, Names, Pace, Popularity, Stop};
use dotgate_bench::replace::{self, Replace};
use dotgate_bench::report::{self, ReportPlan};
use dotgate_bench::roll::{self, Asking, Flows, Probing, Roll};
use dotgate_bench::soak::{self, Soak};
use dotgate_bench::unread::{self, Unread};
use dotgate_bench::upstream::{self, Behavior};
use dotgate_bench::{Error, echo, relay};

fn main() -> ExitCode {
    let matches = command().get_matches();
    if let Err(error) = dotgate_net::raise_descriptor_limit() {
        eprintln!("dotgate-bench: cannot raise the limit on descriptors: {error}");
    }
    let outcome = match matches.subcommand() {
        Some(("upstream", arguments)) => run_upstream(arguments),
        Some(("load", arguments)) => run_load(arguments),
        Some(("echo", arguments)) => echo::run(address(arguments, "listen")),
        Some(("relay", arguments)) => relay::run(
            address(arguments, "listen"),
            address(arguments, "upstream"),
            &value::<PathBuf>(arguments, "ca-file"),
        ),
        Some(("compare", arguments)) => run_compare(arguments),
        Some(("report", arguments)) => run_report(arguments),
        Some(("soak", arguments)) => run_soak(arguments),
        Some(("replace", arguments)) => run_replace(arguments),
        Some(("roll", arguments)) => run_roll(arguments),
        Some(("unread", arguments)) => run_unread(arguments),
        _ => Ok(()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dotgate-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn command() -> Command {
    let address = |name, help| option(name, help).value_parser(value_parser!(SocketAddr));
    Command::new("dotgate-bench")
        .about("Measures forwarders from plain DNS to DNS over TLS on one machine")
        .subcommand_required(true)
        .subcommand(
            Command::new("upstream")
                .about("Answers every A query over TLS; says where it listens")
                .arg(address("listen", "Address").default_value("127.0.0.1:0"))
                .arg(path("ca-file", "Where to write the authority's certificate").required(true))
                .arg(path(
                    "keep",
                    "Where certificate and key are kept from one start to the next",
                ))
                .arg(
                    option("delay-ms", "How long each response takes")
                        .value_parser(value_parser!(u64).range(..=60_000))
                        .default_value("0"),
                )
                .arg(
                    option("stall-every", "Of so many queries, one takes 400 ms longer")
                        .value_parser(value_parser!(u32))
                        .default_value("0"),
                ),
        )
        .subcommand(
            Command::new("load")
                .about("Sends unique queries over UDP and counts what comes back")
                .arg(address("target", "The forwarder").required(true))
                .arg(sockets())
                .arg(number("window", "Queries in flight").default_value("256"))
                .arg(
                    option("rate", "Queries per second, instead of a window")
                        .value_parser(value_parser!(u32).range(1..))
                        .conflicts_with("window"),
                )
                .arg(number("seconds", "How long").default_value("10"))
                .arg(timeout())
                .arg(
                    option("seed", "Part of all names: a new one for each run")
                        .value_parser(value_parser!(u32))
                        .default_value("1"),
                )
                .arg(
                    option("pid", "The process whose CPU time to measure")
                        .value_parser(value_parser!(u32)),
                ),
        )
        .subcommand(
            Command::new("echo")
                .about("Answers every query of a load over UDP and forwards none")
                .arg(address("listen", "Address").required(true)),
        )
        .subcommand(
            Command::new("relay")
                .about("Carries every query of a load over UDP to the upstream over TLS, and knows no DNS")
                .arg(address("listen", "Address").required(true))
                .arg(address("upstream", "Where queries go").required(true))
                .arg(path("ca-file", "The authority of the upstream's certificate").required(true)),
        )
        .subcommand(compare_command())
        .subcommand(report_command())
        .subcommand(
            Command::new("soak")
                .about("Keeps dotgate under load for long while the upstream restarts")
                .arg(path("dotgate", "A release binary").required(true))
                .arg(number("minutes", "How long").default_value("10"))
                .arg(
                    option("rate", "Queries per second, a fifth of them over TCP")
                        .value_parser(value_parser!(u32).range(5..))
                        .default_value("10000"),
                )
                .arg(
                    number("restart-every", "Seconds between restarts of the upstream")
                        .default_value("20"),
                ),
        )
        .subcommand(replace_command())
        .subcommand(roll_command())
        .subcommand(unread_command())
}

fn unread_command() -> Command {
    let count = |name, help| option(name, help).value_parser(value_parser!(u32).range(1..=100_000));
    Command::new("unread")
        .about(
            "Has TCP clients read nothing of long responses while dotgate has 256 MiB; needs root",
        )
        .arg(path("dotgate", "A release binary").required(true))
        .arg(count("connections", "Connections that read nothing").default_value("1600"))
        .arg(
            option("addresses", "Their addresses")
                .value_parser(value_parser!(u8).range(1..=250))
                .default_value("1"),
        )
        .arg(count("queries", "Queries on each").default_value("4"))
}

fn run_unread(arguments: &ArgMatches) -> Result<(), Error> {
    let unread = Unread {
        dotgate: value(arguments, "dotgate"),
        connections: value(arguments, "connections"),
        addresses: value(arguments, "addresses"),
        queries: value(arguments, "queries"),
    };
    unread::run(&unread, &mut io::stdout())
}

fn replace_command() -> Command {
    let count = |name, help| {
        option(name, help)
            .value_parser(value_parser!(u32).range(..=1_000))
            .default_value("10")
    };
    Command::new("replace")
        .about("Replaces dotgate, and has it read its settings again, under load that must lose nothing")
        .arg(path("dotgate", "A release binary; of several, each follows another in turns")
            .action(clap::ArgAction::Append)
            .required(true))
        .arg(number("queries", "Queries in all").default_value("1000000"))
        .arg(
            option("rate", "Queries per second, well below saturation")
                .value_parser(value_parser!(u32).range(1..))
                .default_value("10000"),
        )
        .arg(count("replacements", "How often a new process takes over"))
        .arg(count("reloads", "How often the settings change, with SIGHUP"))
}

fn roll_command() -> Command {
    let count = |name, help, range: std::ops::RangeInclusive<i64>| {
        option(name, help).value_parser(value_parser!(u32).range(range))
    };
    Command::new("roll")
        .about("Restarts a fleet behind a balancer again and again, under load that must lose nothing")
        .arg(path("dotgate", "A release binary").required(true))
        .arg(count("instances", "Instances", 1..=100).default_value("3"))
        .arg(count("rollouts", "How often all of them are replaced", 0..=1_000).default_value("10"))
        .arg(number("queries", "Queries in all, at least").default_value("1000000"))
        .arg(count("rate", "Queries per second, below saturation", 1..=100_000).default_value("5000"))
        .arg(count("endless", "Clients that never change their port", 0..=1_000).default_value("0"))
        .arg(
            Arg::new("clear-flows")
                .long("clear-flows")
                .help("The balancer forgets the flows of an instance that is not ready, as kube-proxy does")
                .action(clap::ArgAction::SetTrue),
        )
}

fn compare_command() -> Command {
    Command::new("compare")
        .about("Runs dotgate, dnsdist, Unbound and an echo in turns between load and upstream")
        .arg(path("dotgate", "A release binary").required(true))
        .arg(
            number(
                "warm",
                "Ask for so many names, all of them cached before a run",
            )
            .num_args(0..=1)
            .default_missing_value("10000"),
        )
        .arg(
            option("zipf", "Ask for warm names by Zipf's law, not all alike")
                .requires("warm")
                .action(clap::ArgAction::SetTrue),
        )
        .arg(
            option(
                "system-calls",
                "Count the system calls of each forwarder, too, with perf",
            )
            .action(clap::ArgAction::SetTrue),
        )
        .arg(
            option("cache-off", "Measure dotgate without its cache, too")
                .action(clap::ArgAction::SetTrue),
        )
        .arg(
            option("without", "Leave a forwarder out")
                .value_parser(["dotgate", "dnsdist", "unbound", "echo", "relay"])
                .action(clap::ArgAction::Append),
        )
        .arg(
            option("with", "Measure this forwarder of the report, too")
                .value_parser(PEERS.iter().map(|peer| peer.name).collect::<Vec<_>>())
                .action(clap::ArgAction::Append),
        )
        .arg(path("uring", "Measure this program of bench/uring, too"))
        .args(installations())
        .arg(number("rounds", "Runs per forwarder and load").default_value("5"))
        .arg(number("seconds", "Length of a run").default_value("10"))
        .arg(number("warm-up-ms", "Load before each run, in ms").default_value("1000"))
        .arg(sockets())
        .arg(number("window", "Queries in flight when saturated").default_value("256"))
        .arg(
            option("rate", "Queries per second when paced")
                .value_parser(value_parser!(u32).range(1..))
                .default_value("5000"),
        )
        .arg(timeout())
}

fn report_command() -> Command {
    Command::new("report")
        .about("Measures all forwarders that are installed under all workloads, and writes a page with tables and plots")
        .arg(path("dotgate", "A release binary").required(true))
        .args(installations())
        .arg(
            option("without", "Leave a forwarder out")
                .value_parser(PEERS.iter().map(|peer| peer.name).collect::<Vec<_>>())
                .action(clap::ArgAction::Append),
        )
        .arg(
            option("workload", "Measure this workload; may be repeated; all by default")
                .value_parser(report::workload_names())
                .action(clap::ArgAction::Append),
        )
        .arg(path("output", "The folder for the page and its plots").required(true))
        .arg(path("readme", "A page with a place for a few figures, which are filled in"))
        .arg(number("rounds", "Runs per forwarder and workload").default_value("3"))
        .arg(number("seconds", "Length of a run").default_value("3"))
}

fn run_report(arguments: &ArgMatches) -> Result<(), Error> {
    let report = ReportPlan {
        dotgate: value(arguments, "dotgate"),
        installations: installations_of(arguments),
        without: arguments
            .get_many("without")
            .unwrap_or_default()
            .cloned()
            .collect(),
        output: value(arguments, "output"),
        readme: arguments.get_one("readme").cloned(),
        rounds: value::<u64>(arguments, "rounds") as u32,
        run: Duration::from_secs(value(arguments, "seconds")),
        workloads: arguments
            .get_many("workload")
            .unwrap_or_default()
            .cloned()
            .collect(),
    };
    report::run(&report, &mut io::stdout())
}

/// Where other forwarders are, besides `PATH`.
fn installations() -> [Arg; 2] {
    [
        path("tools", "A folder with programs of other forwarders"),
        path(
            "tree",
            "The folder of a system with other forwarders, for chroot; needs root",
        ),
    ]
}

fn installations_of(arguments: &ArgMatches) -> Installations {
    Installations {
        tools: arguments.get_one("tools").cloned(),
        tree: arguments.get_one("tree").cloned(),
    }
}

fn option(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).help(help)
}

fn number(name: &'static str, help: &'static str) -> Arg {
    option(name, help).value_parser(value_parser!(u64).range(1..=1_000_000))
}

fn sockets() -> Arg {
    option("sockets", "Client sockets")
        .value_parser(value_parser!(u16).range(1..))
        .default_value("32")
}

fn timeout() -> Arg {
    number(
        "timeout-ms",
        "A query not answered for so long is lost, in ms",
    )
    .default_value("5000")
}

fn path(name: &'static str, help: &'static str) -> Arg {
    option(name, help).value_parser(value_parser!(PathBuf))
}

/// An argument that is required or has a default value, which the parser has seen to.
fn value<T: Clone + Send + Sync + Default + 'static>(arguments: &ArgMatches, name: &str) -> T {
    arguments.get_one::<T>(name).cloned().unwrap_or_default()
}

fn address(arguments: &ArgMatches, name: &str) -> SocketAddr {
    let unspecified = SocketAddr::from(([127, 0, 0, 1], 0));
    arguments.get_one(name).copied().unwrap_or(unspecified)
}

fn run_upstream(arguments: &ArgMatches) -> Result<(), Error> {
    let ca_file: PathBuf = value(arguments, "ca-file");
    let saved = arguments.get_one::<PathBuf>("keep").map(PathBuf::as_path);
    upstream::run(
        address(arguments, "listen"),
        &ca_file,
        saved,
        Behavior {
            delay: Duration::from_millis(value(arguments, "delay-ms")),
            stall_every: value(arguments, "stall-every"),
        },
        &mut io::stdout(),
    )
}

fn run_load(arguments: &ArgMatches) -> Result<(), Error> {
    let window = value::<u64>(arguments, "window") as usize;
    let rate = arguments.get_one::<u32>("rate").copied();
    let outcome = load::run(&Load {
        target: address(arguments, "target"),
        sockets: value(arguments, "sockets"),
        pace: rate.map_or(Pace::Window(window), Pace::PerSecond),
        stop: Stop::After(Duration::from_secs(value(arguments, "seconds"))),
        timeout: Duration::from_millis(value(arguments, "timeout-ms")),
        seed: value(arguments, "seed"),
        names: Names::Unique,
        measured: arguments.get_one("pid").copied().map(Measured::Process),
    })?;
    println!("{}", compare::line(&outcome));
    Ok(())
}

fn run_soak(arguments: &ArgMatches) -> Result<(), Error> {
    let soak = Soak {
        dotgate: value(arguments, "dotgate"),
        minutes: value::<u64>(arguments, "minutes") as u32,
        rate: value(arguments, "rate"),
        restart_every: Duration::from_secs(value(arguments, "restart-every")),
    };
    soak::run(&soak, &mut io::stdout())
}

fn run_replace(arguments: &ArgMatches) -> Result<(), Error> {
    let programs = arguments.get_many("dotgate").unwrap_or_default();
    let replace = Replace {
        programs: programs.cloned().collect(),
        queries: value(arguments, "queries"),
        rate: value(arguments, "rate"),
        replacements: value(arguments, "replacements"),
        reloads: value(arguments, "reloads"),
    };
    replace::run(&replace, &mut io::stdout())
}

fn run_roll(arguments: &ArgMatches) -> Result<(), Error> {
    // What the Helm chart sets: minReadySeconds, drainMax, the readiness probe.
    let roll = Roll {
        dotgate: value(arguments, "dotgate"),
        instances: value(arguments, "instances"),
        rollouts: value(arguments, "rollouts"),
        min_ready: Duration::from_secs(5),
        drain_max: Duration::from_secs(15),
        probing: Probing {
            every: Duration::from_secs(2),
            failures: 3,
            flows: if arguments.get_flag("clear-flows") {
                Flows::Cleared
            } else {
                Flows::Stay
            },
        },
        asking: Asking {
            queries: value(arguments, "queries"),
            rate: value(arguments, "rate"),
            connection_lifetime: Duration::from_secs(5),
            endless: value(arguments, "endless"),
        },
    };
    match roll::run(&roll, &mut io::stdout())?.unanswered() {
        0 => Ok(()),
        _ => Err(Error::RollFailed),
    }
}

fn run_compare(arguments: &ArgMatches) -> Result<(), Error> {
    let left_out: Vec<&String> = arguments
        .get_many("without")
        .map(Iterator::collect)
        .unwrap_or_default();
    let dotgate: PathBuf = value(arguments, "dotgate");
    let mut forwarders = vec![Forwarder::Dotgate(dotgate.clone())];
    if arguments.get_flag("cache-off") {
        forwarders.push(Forwarder::DotgateUncached(dotgate));
    }
    let installations = installations_of(arguments);
    let more = arguments.get_many::<String>("with").unwrap_or_default();
    let names = ["dnsdist", "unbound"]
        .into_iter()
        .chain(more.map(String::as_str));
    for peer in names.filter_map(Peer::named) {
        match peer.find(&installations) {
            Some(place) => forwarders.push(Forwarder::Peer(peer, place)),
            None => println!("{}: not installed ({}), left out", peer.name, peer.install),
        }
    }
    forwarders.push(Forwarder::Echo);
    forwarders.extend(arguments.get_one("uring").cloned().map(Forwarder::Uring));
    if !arguments.contains_id("warm") {
        forwarders.push(Forwarder::Relay);
    }
    forwarders.retain(|forwarder| !left_out.iter().any(|name| *name == forwarder.name()));
    let popularity = if arguments.get_flag("zipf") {
        Popularity::Zipf
    } else {
        Popularity::Uniform
    };
    let comparison = Comparison {
        forwarders,
        paces: vec![
            Pace::Window(value::<u64>(arguments, "window") as usize),
            Pace::PerSecond(value(arguments, "rate")),
        ],
        traffic: match arguments.get_one::<u64>("warm") {
            None => Traffic::Unique,
            Some(names) => Traffic::Cached(Warm {
                names: *names as u32,
                popularity,
            }),
        },
        transport: Transport::Udp,
        behavior: Behavior::default(),
        other_upstream: None,
        restarts: false,
        counts_calls: arguments.get_flag("system-calls"),
        rounds: value::<u64>(arguments, "rounds") as u32,
        run: Duration::from_secs(value(arguments, "seconds")),
        warm_up: Duration::from_millis(value(arguments, "warm-up-ms")),
        sockets: value(arguments, "sockets"),
        timeout: Duration::from_millis(value(arguments, "timeout-ms")),
    };
    compare::run(&comparison, &mut io::stdout())
}
