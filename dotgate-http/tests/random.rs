//! Random clients: bytes that resemble HTTP, changed at random.

mod checks;

use dotgate_message::{NS, query_for};
use proptest::prelude::*;

const GET: &[u8] =
    b"GET /dns-query?dns=AAABAAABAAAAAAAAA3d3dwdleGFtcGxlA2NvbQAAAQAB HTTP/1.1\r\nhost: a\r\n\r\n";
const POST: &[u8] = b"POST /dns-query HTTP/1.1\r\ncontent-type: application/dns-message\r\ncontent-length: 17\r\n\r\n\0\0\x01\0\0\x01\0\0\0\0\0\0\0\0\x02\0\x01";
const CHUNKED: &[u8] = b"POST /dns-query HTTP/1.1\r\ncontent-type: application/dns-message\r\ntransfer-encoding: chunked\r\n\r\n11\r\n\0\0\x01\0\0\x01\0\0\0\0\0\0\0\0\x02\0\x01\r\n0\r\n\r\n";
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";
const PING: &[u8] = b"\0\0\x08\x06\0\0\0\0\0abcdefgh";
const RESET: &[u8] = b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x08";
const WINDOW: &[u8] = b"\0\0\x04\x08\0\0\0\0\0\0\0\x10\0";

/// The head of a query by POST on this stream, and its body.
fn post_on(stream: u8) -> Vec<u8> {
    // POST, https and the path with the indexes of the static table (RFC 7541 appendix A).
    let fields = b"\x83\x87\x04\x0a/dns-query\x0f\x10\x17application/dns-message";
    let body = query_for(0, "", NS);
    [
        &[0, 0, fields.len() as u8, 1, 4, 0, 0, 0, stream],
        fields.as_slice(),
        &[0, 0, body.len() as u8, 0, 1, 0, 0, 0, stream],
        &body,
    ]
    .concat()
}

fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(GET.to_vec()),
        Just(POST.to_vec()),
        Just(CHUNKED.to_vec()),
        Just(SETTINGS.to_vec()),
        Just(PING.to_vec()),
        Just(RESET.to_vec()),
        Just(WINDOW.to_vec()),
        (0u8..64).prop_map(|number| post_on(1 + 2 * number)),
        proptest::collection::vec(any::<u8>(), 0..40),
    ]
}

proptest! {
    #[test]
    fn any_client_is_bounded_and_gets_at_most_one_response_for_each_query(
        choices in proptest::array::uniform8(any::<u8>()),
        is_http2 in any::<bool>(),
        pieces in proptest::collection::vec(piece(), 0..60),
        changed in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    ) {
        let mut input = choices.to_vec();
        if is_http2 {
            input.extend([PREFACE, SETTINGS].concat());
        }
        input.extend(pieces.concat());
        for (at, byte) in changed {
            if let Some(place) = input.get_mut(8 + at.index(4_096)) {
                *place = byte;
            }
        }
        checks::check_http(&input);
    }
}

/// Half of the random clients would be of no use if the fields of `post_on` were wrong.
#[test]
fn the_queries_of_random_clients_are_queries() {
    let mut server = dotgate_http::HttpServer::new(None);
    server.on_bytes(&[PREFACE, SETTINGS, &post_on(1), &post_on(3)].concat());
    assert!(server.next_query().is_some() && server.next_query().is_some());
    for request in [GET, POST, CHUNKED] {
        let mut server = dotgate_http::HttpServer::new(None);
        server.on_bytes(request);
        assert!(server.next_query().is_some());
    }
}
