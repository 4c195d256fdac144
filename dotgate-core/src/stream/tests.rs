use super::*;
use crate::keys::WorkerId;

const START: Moment = Moment::from_nanos(1_000_000_000);

fn streams(max: usize, per_client: usize) -> Streams {
    let settings = Settings {
        queries_max: 10,
        queries_per_client_max: 10,
        streams_max: max,
        streams_per_client_max: per_client,
        stream_queries_max: 10,
        ..Settings::for_upstreams(Vec::new())
    };
    Streams::new(
        &settings,
        (1, 2),
        WorkerId(0),
        Arc::new(ClientMemory::new(1)),
    )
}

fn tcp(last: u8) -> AcceptedStream {
    AcceptedStream {
        peer: IpAddr::from([192, 0, 2, last]),
        local: None,
        kind: StreamKind::Tcp,
    }
}

#[test]
fn connections_are_bounded_in_all_and_per_client() {
    let mut streams = streams(3, 2);
    let first = streams.open(tcp(1), false, START).unwrap();
    assert!(streams.open(tcp(1), false, START).is_some());
    assert!(
        streams.open(tcp(1), false, START).is_none(),
        "two per client"
    );
    assert!(streams.open(tcp(2), false, START).is_some());
    assert!(streams.open(tcp(3), false, START).is_none(), "three in all");
    streams.remove(first);
    assert!(streams.open(tcp(3), false, START).is_some());
    for key in streams.keys() {
        streams.remove(key);
    }
    assert_eq!(streams.holders.clients(), 0, "nothing is left of them");
}

#[test]
fn only_a_complete_message_resets_the_idle_clock() {
    let mut streams = streams(8, 8);
    let key = streams.open(tcp(1), false, START).unwrap();
    let later = START + Duration::from_secs(9);
    streams.get_mut(key).unwrap().on_message(later);
    assert_eq!(streams.poll_expired(START + Duration::from_secs(10)), None);
    let due = later + Duration::from_secs(10);
    assert_eq!(streams.next_deadline(), Some(due));
    let stream = streams.get_mut(key).unwrap();
    stream.frames.keep(&[0]);
    stream.on_read(due + Duration::from_secs(5), 10);
    assert_eq!(streams.poll_expired(due), Some(key));
}

#[test]
fn half_a_message_has_ten_seconds_whatever_the_idle_limit() {
    let mut streams = streams(8, 8);
    streams.idle = IdleTimeouts::of(&Settings {
        stream_idle: Duration::from_secs(300),
        ..Settings::for_upstreams(Vec::new())
    });
    let key = streams.open(tcp(1), false, START).unwrap();
    let stream = streams.get_mut(key).unwrap();
    stream.frames.keep(&[0]);
    stream.on_read(START, 10);
    streams.watch(key);
    let drip = START + Duration::from_secs(9);
    let stream = streams.get_mut(key).unwrap();
    stream.frames.keep(&[9]);
    stream.on_read(drip, 10);
    assert_eq!(
        streams.poll_expired(START + Duration::from_millis(9_999)),
        None
    );
    assert_eq!(
        streams.poll_expired(START + Duration::from_secs(10)),
        Some(key)
    );
}

#[test]
fn a_connection_with_queries_in_flight_is_not_idle() {
    let mut streams = streams(8, 8);
    let key = streams.open(tcp(1), false, START).unwrap();
    streams.get_mut(key).unwrap().in_flight = 1;
    assert_eq!(streams.poll_expired(START + Duration::from_secs(10)), None);
    assert!(streams.next_deadline().unwrap() > START + Duration::from_secs(10));
    streams.get_mut(key).unwrap().in_flight = 0;
    assert_eq!(
        streams.poll_expired(START + Duration::from_secs(20)),
        Some(key)
    );
}

#[test]
fn a_client_that_does_not_read_is_cut_off_after_ten_seconds() {
    let mut streams = streams(8, 8);
    let key = streams.open(tcp(1), false, START).unwrap();
    let stream = streams.get_mut(key).unwrap();
    stream.outgoing.push(0);
    stream.on_unsent(false, START + Duration::from_secs(1));
    stream.on_unsent(true, START + Duration::from_secs(2));
    stream.on_unsent(false, START + Duration::from_secs(3));
    streams.watch(key);
    assert_eq!(
        streams.poll_expired(START + Duration::from_millis(11_999)),
        None
    );
    assert_eq!(
        streams.poll_expired(START + Duration::from_secs(12)),
        Some(key)
    );
}

#[test]
fn the_timers_of_closed_connections_leave_the_queue_long_before_they_end() {
    let mut streams = streams(8, 8);
    let first = streams.open(tcp(1), false, START).unwrap();
    for number in 1..1_000 {
        let now = START + Duration::from_micros(number);
        let key = streams.open(tcp(2), false, now).unwrap();
        streams.remove(key);
        assert!(streams.timers.len() <= 2 * 2 + OUTDATED_TIMERS);
    }
    let due = START + Duration::from_secs(10);
    assert_eq!(streams.next_deadline(), Some(due));
    assert_eq!(streams.poll_expired(due), Some(first));
}
