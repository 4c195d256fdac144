//! HTTP/1.1 (RFC 9112), and what both versions share: which requests hold a query.

use super::*;
use crate::HttpEnd;

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nhost: dns.example\r\n\r\n")
}

fn post(headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST /dns-query HTTP/1.1\r\nhost: dns.example\r\n{headers}content-length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

const DNS: &str = "content-type: application/dns-message\r\n";

/// The head of the first response in `output`, in lower case, and what follows it.
fn split(output: &[u8]) -> (String, Vec<u8>) {
    let end = output.windows(4).position(|it| it == b"\r\n\r\n").unwrap() + 4;
    let head = String::from_utf8(output[..end].to_vec()).unwrap();
    (head.to_lowercase(), output[end..].to_vec())
}

fn status_of(request: &[u8]) -> u16 {
    let mut server = server();
    server.on_bytes(request);
    assert_eq!(answer_all(&mut server), 0);
    let (head, _) = split(&output(&mut server));
    head[9..12].parse().unwrap()
}

#[test]
fn a_query_by_get_or_post_gets_its_response_with_the_lifetime_of_its_records() {
    let target = format!("/dns-query?dns={}", base64(&query()));
    let with_parameter = "content-type: Application/DNS-Message; x=y\r\n";
    for request in [
        get(&target).into_bytes(),
        post(DNS, &query()),
        post(with_parameter, &query()),
    ] {
        let mut server = server();
        server.on_bytes(&request);
        assert_eq!(server.waiting(), 1);
        assert_eq!(answer_all(&mut server), 1);
        assert_eq!(server.waiting(), 0);
        let (head, body) = split(&output(&mut server));
        assert!(head.starts_with("http/1.1 200 ok\r\n"), "{head}");
        assert!(head.contains("content-type: application/dns-message\r\n"));
        assert!(head.contains("cache-control: max-age=77\r\n"), "{head}");
        assert_eq!(body, expected_response());
        assert_eq!(server.unsent(), 0);
        assert_eq!(server.end(), None, "it stays open");
    }
}

#[test]
fn requests_without_a_query_get_the_status_that_says_why() {
    let dns = base64(&query());
    let target = |target: &str| get(target).into_bytes();
    assert_eq!(status_of(&target("/")), 404);
    assert_eq!(status_of(&target("/dns-query/")), 404);
    assert_eq!(status_of(&target(&format!("/resolve?dns={dns}"))), 404);
    assert_eq!(status_of(&target("/dns-query")), 400);
    assert_eq!(
        status_of(&target("/dns-query?name=example.org&type=A")),
        400
    );
    assert_eq!(status_of(&target("/dns-query?dns=")), 400);
    assert_eq!(status_of(&target(&format!("/dns-query?dns={dns}="))), 400);
    assert_eq!(
        status_of(&target(&format!("/dns-query?dns={dns}&dns={dns}"))),
        400
    );
    assert_eq!(status_of(&target("/dns-query?dns=AAAB")), 400, "no header");
    let response = base64(&expected_response());
    assert_eq!(
        status_of(&target(&format!("/dns-query?dns={response}"))),
        400
    );
    assert_eq!(status_of(&post(DNS, b"")), 400);
    assert_eq!(status_of(&post("", &query())), 415);
    assert_eq!(
        status_of(&post("content-type: application/dns-json\r\n", b"{}")),
        415
    );
    assert_eq!(status_of(&post(DNS, &vec![0; 65_536])), 413);
    for method in ["PUT", "DELETE", "HEAD", "OPTIONS"] {
        let request = format!("{method} /dns-query?dns={dns} HTTP/1.1\r\nhost: a\r\n\r\n");
        assert_eq!(status_of(request.as_bytes()), 405, "{method}");
    }
}

#[test]
fn a_body_of_unknown_length_ends_where_it_is_too_long() {
    let mut server = server();
    let head =
        format!("POST /dns-query HTTP/1.1\r\nhost: a\r\n{DNS}transfer-encoding: chunked\r\n\r\n");
    server.on_bytes(head.as_bytes());
    for _ in 0..17 {
        server.on_bytes(&[b"1000\r\n".as_slice(), &[0; 4_096], b"\r\n"].concat());
    }
    let (head, _) = split(&output(&mut server));
    assert!(head.starts_with("http/1.1 413 "), "{head}");
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let mut server = server();
    let request = get(&format!("/dns-query?dns={}", base64(&query())));
    server.on_bytes(request.repeat(3).as_bytes());
    for _ in 0..3 {
        assert_eq!(answer_all(&mut server), 1);
        let (_, body) = split(&output(&mut server));
        assert_eq!(body, expected_response());
    }
    assert_eq!(answer_all(&mut server), 0);
    assert!(server.wants_bytes());
}

#[test]
fn a_request_may_come_byte_by_byte_and_its_client_may_stop_sending() {
    let mut server = server();
    for byte in post(DNS, &query()) {
        assert!(server.wants_bytes());
        server.on_bytes(&[byte]);
    }
    server.on_end();
    assert_eq!(server.end(), None, "the response is still to come");
    assert_eq!(answer_all(&mut server), 1);
    assert_eq!(split(&output(&mut server)).1, expected_response());
    assert_eq!(server.end(), Some(HttpEnd::Closed));
}

#[test]
fn what_is_not_http_ends_the_connection() {
    for garbage in [
        &framed(&query())[..],
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r",
        b"POST /dns-query HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\n",
    ] {
        let mut server = server();
        server.on_bytes(garbage);
        server.on_bytes(&[b'\n'; 64]);
        assert!(server.end().is_some(), "{garbage:?}");
        assert_eq!(answer_all(&mut server), 0);
    }
}

#[test]
fn header_fields_are_bounded_in_bytes_and_number() {
    let long = format!(
        "GET /dns-query HTTP/1.1\r\nx: {}\r\n\r\n",
        "y".repeat(20_000)
    );
    let many = format!("GET /dns-query HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(100));
    for request in [long, many] {
        let mut server = server();
        for part in request.as_bytes().chunks(1_000) {
            server.on_bytes(part);
        }
        let (head, _) = split(&output(&mut server));
        assert!(head.starts_with("http/1.1 431 "), "{head}");
        assert!(server.end().is_some());
    }
}

#[test]
fn at_the_end_each_client_gets_its_response_and_is_told_to_leave() {
    let request = get(&format!("/dns-query?dns={}", base64(&query())));
    let mut busy = server();
    busy.on_bytes(request.as_bytes());
    busy.shut_down();
    assert_eq!(busy.end(), None);
    assert_eq!(answer_all(&mut busy), 1);
    let (head, body) = split(&output(&mut busy));
    assert!(head.contains("connection: close\r\n"), "{head}");
    assert_eq!(body, expected_response());
    assert_eq!(busy.end(), Some(HttpEnd::Closed));

    let mut idle = server();
    idle.shut_down();
    idle.on_bytes(request.as_bytes());
    assert_eq!(answer_all(&mut idle), 1, "its request was on its way");
    assert_eq!(idle.end(), Some(HttpEnd::Closed));
}

#[test]
fn a_query_behind_a_proxy_is_of_the_client_that_the_proxy_names() {
    let dns = base64(&query());
    let client_of = |fields: &str| {
        let mut server = behind_proxy();
        let request = format!("GET /dns-query?dns={dns} HTTP/1.1\r\nhost: a\r\n{fields}\r\n");
        server.on_bytes(request.as_bytes());
        let query = server.next_query();
        query.map(|query| query.client.map(|client| client.to_string()))
    };
    let of = |text: &str| Some(Some(text.to_owned()));
    assert_eq!(client_of(""), Some(None));
    assert_eq!(
        client_of("x-forwarded-for: 198.51.100.7\r\n"),
        of("198.51.100.7")
    );
    let forged = "x-forwarded-for: 127.0.0.1, 198.51.100.7, 192.0.2.9\r\n";
    assert_eq!(
        client_of(forged),
        of("198.51.100.7"),
        "the last that is no proxy"
    );
    let forged = "x-forwarded-for: 127.0.0.1\r\nx-forwarded-for: 198.51.100.7\r\n";
    assert_eq!(client_of(forged), of("198.51.100.7"), "the last field");
    let standard = "forwarded: for=127.0.0.1, for=\"[2001:db8::7]:4711\";proto=https\r\n";
    assert_eq!(client_of(standard), of("2001:db8::7"));
    assert_eq!(
        client_of("x-forwarded-for: ::ffff:198.51.100.7\r\n"),
        of("198.51.100.7")
    );
    // A proxy repeats the name of the host as its client wrote it, in quotes.
    for host in [
        "a,for=127.0.0.1",
        "a;for=10.0.0.1",
        "a\\\",for=10.0.0.1,\\\"",
    ] {
        let standard = format!("forwarded: host=\"{host}\";for=198.51.100.7\r\n");
        assert_eq!(client_of(&standard), of("198.51.100.7"), "{host}");
        let standard = format!("forwarded: for=198.51.100.7;host=\"{host}\"\r\n");
        assert_eq!(client_of(&standard), of("198.51.100.7"), "{host}");
    }
    // What the client wrote in front cannot take in what the proxy appends, however it is quoted.
    for front in [
        "for=10.0.0.1;by=\"",
        "for=\"10.0.0.1\\",
        "\"",
        "for=10.0.0.1;\"\\",
    ] {
        for own in ["for=198.51.100.7", "for=\"198.51.100.7:4711\""] {
            assert_eq!(client_of(&format!("forwarded: {front}, {own}\r\n")), None);
        }
    }
    assert_eq!(
        client_of("forwarded: nonsense, for=198.51.100.7\r\n"),
        of("198.51.100.7")
    );
    let twice = "forwarded: for=10.0.0.1;for=198.51.100.7\r\n";
    assert_eq!(client_of(twice), None);
    assert_eq!(client_of("x-forwarded-for: unknown\r\n"), None);
    assert_eq!(client_of("forwarded: for=_hidden\r\n"), None);
    let two = "forwarded: for=10.0.0.1\r\nx-forwarded-for: 198.51.100.7\r\n";
    assert_eq!(
        client_of(two),
        None,
        "one of them was written by the client"
    );
}

#[test]
fn a_client_that_is_no_proxy_cannot_name_another() {
    let mut server = server();
    let dns = base64(&query());
    let request = format!(
        "GET /dns-query?dns={dns} HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 127.0.0.1\r\nforwarded: for=127.0.0.1\r\n\r\n"
    );
    server.on_bytes(request.as_bytes());
    assert_eq!(server.next_query().unwrap().client, None);
}
