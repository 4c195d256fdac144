//! Clients over HTTPS, with sockets: requests by both versions of HTTP, statuses, flow control, and the end of a connection.
//!
//! Clients are curl, kdig, Chromium, and one that writes HTTP/2 by hand. Counted are answers and what a client gets.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;

use data_encoding::{BASE64, BASE64URL_NOPAD};
use dotgate_testbed::certificates::{Leaf, TestAuthority};

use crate::program::run_with;
use crate::world::World;
use crate::world::dot::{Files, NAME, Offer};
use crate::world::h2::{
    DATA, END_HEADERS, H2, HEADERS, INITIAL_WINDOW, SETTINGS, WINDOW_UPDATE, frame, setting,
};
use crate::world::house::House;
use crate::world::message::{QueryType, Response, query};
use crate::world::peer::{are_installed, find, is_installed_or_skipped};
use crate::world::program::Program;
use crate::world::upstream::{Form, Step};
use crate::world::wait::until;

const MEDIA: &str = "content-type: application/dns-message";

/// A forwarder with a listener for HTTPS.
pub(crate) struct Listener {
    pub(crate) world: World,
    authority: TestAuthority,
    files: Files,
}

impl Listener {
    pub(crate) fn new() -> Listener {
        Listener::with(&[])
    }

    pub(crate) fn with(variables: &[(&str, &str)]) -> Listener {
        let authority = TestAuthority::new().unwrap();
        let files = Files::new(&authority);
        std::fs::write(files.path("ca.pem"), authority.pem()).unwrap();
        let (certificate, key) = (files.text("dns.pem"), files.text("dns.key"));
        let own = [
            ("DOTGATE_DOH_LISTEN", "127.0.0.1:0"),
            ("DOTGATE_SERVER_CERTIFICATE_FILE", &*certificate),
            ("DOTGATE_SERVER_KEY_FILE", &*key),
        ];
        let all: Vec<_> = own.iter().chain(variables).copied().collect();
        let world = World::with(1, &all);
        Listener {
            world,
            authority,
            files,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.world.doh_address()
    }

    pub(crate) fn offer(&self) -> Offer {
        Offer::new(&self.authority).with_protocols(&["h2"])
    }

    pub(crate) fn h2(&self) -> H2 {
        H2::connect(&self.offer(), self.address())
    }

    fn url(&self) -> String {
        format!("https://{NAME}:{}/dns-query", self.address().port())
    }

    /// Runs curl. Returns what it wrote to standard output, with the head of the response in front.
    fn curl(&self, arguments: &[&str]) -> (String, Vec<u8>) {
        let port = self.address().port();
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--include", "--max-time", "30"]);
        command.arg("--cacert").arg(self.files.path("ca.pem"));
        command.args(["--resolve", &format!("{NAME}:{port}:127.0.0.1")]);
        let output = command.args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        let end = output.stdout.windows(4).position(|it| it == b"\r\n\r\n");
        let (head, body) = output.stdout.split_at(end.unwrap() + 4);
        let head = String::from_utf8(head.to_vec()).unwrap();
        (head.to_lowercase(), body.to_vec())
    }

    /// Requests are counted after their responses are sent.
    fn wait_for_requests(&self, status: &str, count: Option<f64>) {
        until("the requests to be counted", || {
            self.requests(status) == count
        });
    }

    fn requests(&self, status: &str) -> Option<f64> {
        let series = format!("dotgate_client_http_requests_total{{status=\"{status}\"}}");
        self.world.metric(&series)
    }
}

#[test]
fn curl_asks_by_get_and_post_over_both_versions_of_http() {
    if !are_installed(&[], &["curl"]) {
        return;
    }
    let listener = Listener::new();
    let asked = query(0, "a.test", QueryType::Address);
    let body = listener.files.path("query");
    std::fs::write(&body, &asked).unwrap();
    let get = format!("{}?dns={}", listener.url(), BASE64URL_NOPAD.encode(&asked));
    let post = listener.url();
    let data = format!("@{}", body.display());
    for (version, said) in [("--http2", "http/2 200"), ("--http1.1", "http/1.1 200 ok")] {
        let by_get = [version, &get];
        let by_post = [version, "--data-binary", &data, "-H", MEDIA, &post];
        for arguments in [&by_get[..], &by_post] {
            let (head, body) = listener.curl(arguments);
            assert!(head.starts_with(said), "{head}");
            assert!(head.contains(MEDIA), "{head}");
            let response = Response::read(&body);
            response.assert_right();
            assert_eq!(response.id, 0);
            let lifetime = format!("cache-control: max-age={}\r\n", response.ttl.unwrap());
            assert!(head.contains(&lifetime), "{head}");
        }
    }
    let of = |transport: &str, outcome: &str| {
        let labels = format!("transport=\"{transport}\",type=\"A\",outcome=\"{outcome}\"");
        listener
            .world
            .metric(&format!("dotgate_queries_total{{{labels}}}"))
    };
    assert_eq!(
        (of("https", "answered"), of("https", "cached")),
        (Some(1.0), Some(3.0))
    );
    assert_eq!(of("dot", "answered"), Some(0.0));
    listener.wait_for_requests("200", Some(4.0));
}

#[test]
fn requests_without_a_query_get_the_status_that_says_why_and_no_upstream_is_asked() {
    if !are_installed(&[], &["curl"]) {
        return;
    }
    let listener = Listener::new();
    let url = listener.url();
    let large = listener.files.path("large");
    std::fs::write(&large, vec![0; 70_000]).unwrap();
    let data = format!("@{}", large.display());
    let (elsewhere, no_query) = (url.replace("/dns-query", "/"), format!("{url}?dns=AAAA"));
    let padded = format!(
        "{url}?dns={}",
        BASE64.encode(&query(0, "aa", QueryType::Address))
    );
    for (status, arguments) in [
        ("404", &[&*elsewhere][..]),
        ("400", &[&*url]),
        ("400", &[&*no_query]),
        ("400", &[&*padded]),
        ("405", &["-X", "DELETE", &url]),
        ("415", &["--data-binary", "x", &url]),
    ] {
        for version in ["--http2", "--http1.1"] {
            let before = listener.requests(status).unwrap();
            let (head, _) = listener.curl(&[&[version], arguments].concat());
            let said = head.split(' ').nth(1).unwrap().trim();
            assert_eq!(said, status, "{arguments:?}: {head}");
            assert_eq!(head.contains("allow: get, post"), status == "405");
            listener.wait_for_requests(status, Some(before + 1.0));
        }
    }
    let curl = [
        "--http1.1",
        "--data-binary",
        &data,
        "-H",
        MEDIA,
        "-H",
        "expect:",
    ];
    let (head, _) = listener.curl(&[&curl[..], &[&url]].concat());
    assert!(head.starts_with("http/1.1 413"), "{head}");
    // The same over HTTP/2, where curl wants to send all of the body first.
    let mut client = listener.h2();
    let stream = client.stream();
    let head = crate::world::h2::fields(&[
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", NAME),
        (":path", "/dns-query"),
        ("content-type", "application/dns-message"),
        ("content-length", "70000"),
    ]);
    client.send(&frame(HEADERS, END_HEADERS, stream, &head));
    let (answered, text) = client.receive().unwrap();
    assert_eq!(answered, stream);
    assert!(text.ends_with(b"at most 65535 bytes\n"), "{text:?}");
    listener.wait_for_requests("413", Some(2.0));
    assert_eq!(listener.world.upstreams[0].queries(), 0);
}

/// A web server that has one page for all. Returns its address.
fn web_server() -> SocketAddr {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in server.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut stream = stream;
                let mut request = [0; 4_096];
                drop(stream.read(&mut request));
                let page = "<html><body>the page behind the name</body></html>";
                let length = page.len();
                drop(write!(
                    stream,
                    "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {length}\r\n\
                     connection: close\r\n\r\n{page}"
                ));
            });
        }
    });
    address
}

const LOCAL_NAME: (&str, &str) = ("DOTGATE_LOCAL_RECORDS", "www.site.test A 127.0.0.1");

#[test]
fn curl_looks_up_a_name_over_https() {
    if !are_installed(&[], &["curl"]) {
        return;
    }
    let listener = Listener::with(&[LOCAL_NAME]);
    let page = format!("http://www.site.test:{}/", web_server().port());
    let (_, body) = listener.curl(&["--doh-url", &listener.url(), &page]);
    assert!(String::from_utf8(body).unwrap().contains("behind the name"));
    // For both families.
    listener.wait_for_requests("200", Some(2.0));
}

#[test]
fn kdig_asks_over_https() {
    if !are_installed(&[], &["kdig"]) {
        return;
    }
    let listener = Listener::new();
    let address = listener.address();
    for method in ["+https", "+https-get"] {
        let mut command = Command::new(find("kdig").unwrap());
        command.arg(format!("@{}", address.ip()));
        command.args(["-p", &address.port().to_string()]);
        command.args(["+timeout=5", "+retry=0", "+padding", "+https", method]);
        command.arg(format!(
            "+tls-ca={}",
            listener.files.path("ca.pem").display()
        ));
        command.arg(format!("+tls-hostname={NAME}"));
        let output = command.args(["a.test", "A"]).output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(said.contains("status: NOERROR"), "{said}");
        assert!(
            said.contains("PADDING") && said.contains("HTTP session"),
            "{said}"
        );
    }
    listener.wait_for_requests("200", Some(2.0));
}

#[test]
fn chromium_looks_up_names_over_https_alone() {
    if !is_installed_or_skipped("chromium") {
        return;
    }
    let listener = Listener::with(&[LOCAL_NAME]);
    let profile = tempfile::tempdir().unwrap();
    let url = format!(
        "https://127.0.0.1:{}/dns-query{{?dns}}",
        listener.address().port()
    );
    let state = serde_json::json!({"dns_over_https": {"mode": "secure", "templates": url}});
    std::fs::write(profile.path().join("Local State"), state.to_string()).unwrap();
    let page = format!("http://www.site.test:{}/", web_server().port());
    let mut command = Command::new(find("chromium").unwrap());
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]);
    command.arg(format!("--user-data-dir={}", profile.path().display()));
    command.env("HOME", profile.path());
    // Its own store of authorities is not a file.
    command.arg("--ignore-certificate-errors");
    let output = command.args(["--timeout=20000", &page]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("the page behind the name"), "{said}");
    assert!(listener.requests("200") >= Some(1.0));
    let local = "dotgate_queries_total{transport=\"https\",type=\"A\",outcome=\"local\"}";
    assert!(listener.world.metric(local) >= Some(1.0));
    assert_eq!(
        listener.world.metric(&local.replace("https", "udp")),
        Some(0.0)
    );
}

#[test]
fn hundreds_of_queries_on_one_connection_are_answered_as_their_responses_come() {
    let listener = Listener::new();
    listener.world.upstreams[0].script(|script| {
        script.on("held.test", &[Step::Hold]);
    });
    let mut client = listener.h2();
    let delayed = client.send_for("held.test");
    for round in 0..10 {
        for number in 0..90 {
            client.send_for(&format!("n{round}-{number}.test"));
        }
        for _ in 0..90 {
            let (_, body) = client.receive().unwrap();
            Response::read(&body).assert_right();
        }
    }
    listener.world.upstreams[0].release_all();
    let (stream, body) = client.receive().unwrap();
    assert_eq!(stream, delayed);
    Response::read(&body).assert_right();
    listener.wait_for_requests("200", Some(901.0));
    assert_eq!(listener.requests("503"), Some(0.0));
}

#[test]
fn a_client_that_gives_its_windows_late_gets_all_of_its_long_responses() {
    let listener = Listener::new();
    listener.world.upstreams[0].script(|script| script.all = vec![Step::Send(Form::Long)]);
    let none = setting(INITIAL_WINDOW, 0);
    let mut client = H2::with_settings(&listener.offer(), listener.address(), &none);
    for _ in 0..60 {
        client.send_for_text("long.test");
    }
    // Far more than is buffered for one client waits for the windows.
    let answered = || {
        listener
            .world
            .metric("dotgate_responses_total{rcode=\"NOERROR\"}")
    };
    until("all to be answered", || answered() >= Some(60.0));
    client.send(&frame(SETTINGS, 0, 0, &setting(INITIAL_WINDOW, 1 << 20)));
    client.send(&frame(WINDOW_UPDATE, 0, 0, &(16_u32 << 20).to_be_bytes()));
    for _ in 0..60 {
        assert!(client.receive().unwrap().1.len() > 50_000);
    }
}

#[test]
fn windows_that_are_given_piece_by_piece_are_heard_while_responses_wait() {
    let listener = Listener::new();
    listener.world.upstreams[0].script(|script| script.all = vec![Step::Send(Form::Long)]);
    let mut client = listener.h2();
    for _ in 0..90 {
        client.send_for_text("long.test");
    }
    let mut whole = 0;
    while whole < 90 {
        let frame = client.next_frame().unwrap();
        if frame.kind != DATA || frame.payload.is_empty() {
            continue;
        }
        let taken = u32::try_from(frame.payload.len()).unwrap().to_be_bytes();
        client.send(&self::frame(WINDOW_UPDATE, 0, 0, &taken));
        if frame.flags & 1 == 0 {
            client.send(&self::frame(WINDOW_UPDATE, 0, frame.stream, &taken));
        } else {
            whole += 1;
        }
    }
}

#[test]
fn an_idle_connection_ends_with_goaway_and_close_notify() {
    let listener = Listener::with(&[("DOTGATE_DOH_IDLE", "1s")]);
    let mut client = listener.h2();
    client.ask("a.test").assert_right();
    assert!(client.receive().is_none());
    let (_, error) = client.goaway.unwrap();
    assert_eq!(error, 0);
}

#[test]
fn a_connection_that_has_had_its_queries_ends_with_goaway() {
    let listener = Listener::with(&[("DOTGATE_TCP_QUERIES_MAX", "3")]);
    let mut client = listener.h2();
    for name in ["a.test", "b.test", "c.test"] {
        client.ask(name).assert_right();
    }
    assert!(client.receive().is_none());
    let (_, error) = client.goaway.unwrap();
    assert_eq!(error, 0);
    listener.h2().ask("d.test").assert_right();
}

#[test]
fn a_client_offers_http_or_no_application_protocol() {
    let listener = Listener::new();
    let offer = |names: &[&str]| Offer::new(&listener.authority).with_protocols(names);
    let chosen = |names| {
        let client = offer(names).connect(listener.address(), NAME);
        client.map(|it| it.protocol().map(<[u8]>::to_vec))
    };
    assert_eq!(chosen(&["http/1.1", "h2"]), Ok(Some(b"h2".to_vec())));
    assert_eq!(chosen(&["http/1.1"]), Ok(Some(b"http/1.1".to_vec())));
    assert_eq!(chosen(&[]), Ok(None));
    let refused = chosen(&["dot"]).unwrap_err();
    assert!(refused.contains("NoApplicationProtocol"), "{refused}");
}

#[test]
fn what_is_not_http_is_refused_and_counted() {
    let listener = Listener::new();
    let asked = query(1, "a.test", QueryType::Address);
    let length = u16::try_from(asked.len()).unwrap().to_be_bytes();
    let mut client = Offer::new(&listener.authority)
        .connect(listener.address(), NAME)
        .unwrap();
    client.send_bytes(&[&length[..], &asked].concat()).unwrap();
    let said = client.receive_bytes().unwrap();
    assert!(
        said.is_empty() || said.starts_with(b"HTTP/1.1 400"),
        "{said:?}"
    );
    listener
        .world
        .wait_for_metric("dotgate_streams_closed_total{reason=\"http\"}", 1.0);
    assert_eq!(listener.world.upstreams[0].queries(), 0);
}

#[test]
fn malformed_messages_get_formerr_and_a_client_with_many_of_them_is_cut_off() {
    let listener = Listener::new();
    let mut client = listener.h2();
    // The question is missing that the header counts.
    let fields = |message: &[u8]| {
        let path = format!("/dns-query?dns={}", BASE64URL_NOPAD.encode(message));
        crate::world::h2::fields(&[
            (":method", "GET"),
            (":scheme", "https"),
            (":authority", NAME),
            (":path", &path),
        ])
    };
    let cut_short = fields(&query(0, "a.test", QueryType::Address)[..12]);
    client.send_request(&cut_short);
    let (_, body) = client.receive().unwrap();
    assert_eq!(body[3] & 15, 1, "FORMERR");
    client.ask("b.test").assert_right();
    for _ in 0..20 {
        client.send_request(&cut_short);
    }
    while client.receive().is_some() {}
    assert!(client.has_ended);
    let cut_off = "dotgate_streams_closed_total{reason=\"malformed\"}";
    listener.world.wait_for_metric(cut_off, 1.0);
}

/// The program with a listener for HTTPS.
fn serve(house: &House, files: &Files, listen: &str, port: &str) -> Program {
    let (certificate, key) = (files.text("dns.pem"), files.text("dns.key"));
    let own = [
        ("DOTGATE_DOH_LISTEN", listen),
        ("DOTGATE_SERVER_CERTIFICATE_FILE", &*certificate),
        ("DOTGATE_SERVER_KEY_FILE", &*key),
        ("DOTGATE_SERVER_WORKERS", "2"),
    ];
    house.serve(port, &own)
}

#[test]
fn a_process_that_takes_over_serves_the_listener_and_clients_go_to_it_without_losing_a_query() {
    let house = House::new();
    house.upstream.script(|script| {
        script.on("held.test", &[Step::Hold]);
    });
    let files = Files::new(&house.authority);
    let mut old = serve(&house, &files, "127.0.0.1:0", "0");
    let listen = old.doh_address();
    let offer = Offer::new(&house.authority).with_protocols(&["h2"]);
    let mut before = H2::connect(&offer, listen);
    before.ask("before.test").assert_right();
    let delayed = before.send_for("held.test");
    house.upstream.wait_for_queries(2);
    let port = old.address().port().to_string();
    let next = serve(&house, &files, &listen.to_string(), &port);
    old.wait_for_line("another process serves");
    // The client hears that it is to go elsewhere, and what it has asked meanwhile is answered.
    while before.goaway.is_none() {
        before.next_frame().unwrap();
    }
    let mut after = H2::connect(&offer, next.doh_address());
    after.ask("after.test").assert_right();
    house.upstream.release_all();
    let (stream, body) = before.receive().unwrap();
    assert_eq!(stream, delayed);
    Response::read(&body).assert_right();
    assert!(before.receive().is_none());
    assert_eq!(old.wait().code(), Some(0));
}

#[test]
fn a_renewed_certificate_is_shown_to_new_clients_and_connections_stay() {
    let house = House::new();
    let files = Files::new(&house.authority);
    let program = serve(&house, &files, "127.0.0.1:0", "0");
    let offer = Offer::new(&house.authority).with_protocols(&["h2"]);
    let mut old = H2::connect(&offer, program.doh_address());
    old.ask("before.test").assert_right();
    let renewed = house.authority.issue(&Leaf::for_name(NAME)).unwrap();
    files.write("dns", &renewed);
    program.wait_for_line("configuration reloaded");
    let fresh = Offer::new(&house.authority).with_protocols(&["h2"]);
    let new = fresh.connect(program.doh_address(), NAME).unwrap();
    assert_eq!(new.shown(), renewed.chain[0].to_vec());
    old.ask("after.test").assert_right();
}

#[test]
fn what_cannot_be_served_ends_it_with_status_2_and_the_reason() {
    let files = Files::new(&TestAuthority::new().unwrap());
    let (certificate, key) = (files.text("dns.pem"), files.text("dns.key"));
    let pair = [
        ("DOTGATE_SERVER_CERTIFICATE_FILE", &*certificate),
        ("DOTGATE_SERVER_KEY_FILE", &*key),
    ];
    let at = |name, address| (name, address);
    for (variables, reason) in [
        (
            vec![at("DOTGATE_DOH_LISTEN", "127.0.0.1:0")],
            "encrypted listeners need a certificate",
        ),
        (
            vec![
                at("DOTGATE_DOH_LISTEN", "127.0.0.1:5300"),
                ("PORT", "5300"),
                pair[0],
                pair[1],
            ],
            "is already a listener without TLS",
        ),
        (
            vec![
                at("DOTGATE_DOH_LISTEN", "127.0.0.1:8853"),
                at("DOTGATE_DOT_LISTEN", "127.0.0.1:8853"),
                pair[0],
                pair[1],
            ],
            "is already a listener of DNS over TLS",
        ),
    ] {
        let (status, said) = run_with(&variables);
        assert_eq!(status, Some(2), "{said}");
        assert!(said.contains(reason), "{reason}: {said}");
    }
}

#[test]
fn an_idle_client_costs_less_than_60_kib() {
    const CLIENTS: usize = 300;
    let house = House::new();
    let files = Files::new(&house.authority);
    let program = serve(&house, &files, "127.0.0.1:0", "0");
    let offer = Offer::new(&house.authority).with_protocols(&["h2"]);
    let crowd = || -> Vec<H2> {
        let connect = |_| {
            let mut client = H2::connect(&offer, program.doh_address());
            client.ask("a.test").assert_right();
            client
        };
        (0..CLIENTS).map(connect).collect()
    };
    let each = program.memory_of_each(crowd);
    println!("{each} bytes");
    assert!(each < 60.0 * 1024.0, "{each} bytes");
}
