//! What a byte does to a world. Each operation takes the bytes behind it as its particulars.

use std::sync::Arc;
use std::time::Duration;

use dotgate_core::{ConnectFault, SessionEnd, Settings, TlsFault, limits};

use super::message::{self, Form};
use super::worker::Phase;
use super::{World, client, upstream};

impl World<'_> {
    /// Any operation, on the worker that the highest bit names.
    pub(super) fn operate(&mut self, byte: u8) {
        self.worker = usize::from(byte >> 7) % self.workers.len();
        match byte & 0x3f {
            0..=7 => {
                let byte = self.bytes.byte();
                self.ask(byte);
            }
            8 => self.datagram_of_bytes(),
            9 => self.changed_datagram(),
            10 | 11 => self.open_stream(),
            12..=15 => self.ask_by_stream(),
            16 => self.stream_bytes(),
            17 => self.feed_stream(),
            18 => self.end_stream(),
            19 => self.lose_stream(),
            20 => self.block_stream(),
            21 | 22 => self.unblock_stream(),
            23 | 24 => self.connect_session(),
            25..=28 => self.open_one_session(),
            29..=34 => self.answer(Form::default()),
            35 => self.answer_with_error(),
            36 => self.answer_oddly(),
            37 => self.answer_invalidly(),
            38 => self.flood_session(),
            39 => self.session_bytes(),
            40 => self.deliver_some(),
            41..=43 => self.close_session(),
            44 => self.block_session(),
            45 => self.unblock_session(),
            46..=49 => self.pass_for(Duration::from_millis(7)),
            50 | 51 => self.pass_for(Duration::from_millis(60)),
            52 | 53 => self.pass_to_deadline(),
            54 => self.sleep(true),
            55 => self.sleep(false),
            56 => self.burst(),
            57 => self.fail_at_once(),
            58 => self.stale_keys(),
            59 => self.fail_all(),
            60 => self.reconfigure(),
            _ => self.serve_all(),
        }
    }

    /// An operation that concerns sessions.
    pub(super) fn operate_session(&mut self, byte: u8) {
        self.worker = 0;
        match byte & 0x1f {
            0..=5 => {
                let byte = self.bytes.byte() & 0xe7;
                self.ask(byte);
            }
            6..=11 => self.answer(Form::default()),
            12 => self.answer_with_error(),
            13 => self.answer_oddly(),
            14 | 15 => self.answer_invalidly(),
            16 => self.flood_session(),
            17 | 18 => self.session_bytes(),
            19 => self.deliver_some(),
            20 => self.close_session(),
            21 => self.block_session(),
            22 => self.unblock_session(),
            23..=25 => self.open_one_session(),
            26 => self.pass_for(Duration::from_millis(7)),
            27 => self.pass_for(Duration::from_millis(60)),
            28 | 29 => self.pass_to_deadline(),
            30 => self.sleep(true),
            _ => self.burst(),
        }
    }

    /// A datagram of any bytes, at times from port 0.
    fn datagram_of_bytes(&mut self) {
        let byte = self.bytes.byte();
        let bytes = self.bytes.several(usize::from(byte >> 2));
        let mut peer = client(byte);
        if byte == 0xfc {
            peer.set_port(0);
        }
        let now = self.now;
        self.this().datagram(now, peer, bytes);
        self.this().pump(now);
    }

    /// A query with one byte changed.
    fn changed_datagram(&mut self) {
        let query = self.changed_query();
        let (now, peer) = (self.now, client(0));
        self.this().datagram(now, peer, &query);
        self.this().pump(now);
    }

    fn changed_query(&mut self) -> Vec<u8> {
        let (byte, place, mask) = (
            self.bytes.byte(),
            usize::from(self.bytes.byte()),
            self.bytes.byte(),
        );
        let mut query = self.query(byte);
        let length = query.len();
        query[place % length] ^= mask;
        query
    }

    fn open_stream(&mut self) {
        let (now, peer) = (self.now, client(self.bytes.byte()));
        let _key = self.this().open_stream(now, peer.ip());
        self.this().pump(now);
    }

    /// A client sends a query by TCP, of which the engine gets all or a part.
    fn ask_by_stream(&mut self) {
        let Some(key) = self.stream() else {
            return;
        };
        let byte = self.bytes.byte();
        let query = match byte & 0x80 == 0 {
            true => self.query(byte),
            false => self.changed_query(),
        };
        let length = if byte & 0x40 == 0 { usize::MAX } else { 9 };
        self.send(key, &message::framed(&query), length);
    }

    fn send(&mut self, key: dotgate_core::StreamKey, bytes: &[u8], length: usize) {
        let now = self.now;
        if let Some(stream) = self.this().streams.get_mut(&key)
            && !stream.has_ended
        {
            stream.unfed.extend(bytes);
            self.this().feed(now, key, length);
            self.this().pump(now);
        }
    }

    fn stream_bytes(&mut self) {
        let Some(key) = self.stream() else {
            return;
        };
        let length = self.bytes.byte();
        let bytes = self.bytes.several(usize::from(length & 0x3f));
        self.send(key, bytes, usize::MAX);
    }

    fn feed_stream(&mut self) {
        if let Some(key) = self.stream() {
            let length = usize::from(self.bytes.byte());
            self.send(key, &[], length);
        }
    }

    fn end_stream(&mut self) {
        // A driver sees the end once it has read all before it.
        let now = self.now;
        if let Some(key) = self.stream()
            && self.this().streams[&key].is_read
        {
            self.this().end_stream(key);
            self.this().pump(now);
        }
    }

    fn lose_stream(&mut self) {
        let now = self.now;
        if let Some(key) = self.stream() {
            self.this().lose_stream(key);
            self.this().pump(now);
        }
    }

    fn block_stream(&mut self) {
        if let Some(key) = self.stream()
            && let Some(stream) = self.this().streams.get_mut(&key)
        {
            stream.is_blocked = true;
        }
    }

    fn unblock_stream(&mut self) {
        let now = self.now;
        if let Some(key) = self.stream() {
            self.this().unblock_stream(now, key);
            self.this().pump(now);
        }
    }

    fn connect_session(&mut self) {
        let now = self.now;
        if let Some(key) = self.session()
            && let Some(session) = self.this().sessions.get_mut(&key)
            && session.phase == Phase::Connecting
        {
            session.phase = Phase::Handshaking;
            self.this().engine.sessions_mut().on_connected(now, key);
            self.this().pump(now);
        }
    }

    fn open_one_session(&mut self) {
        if let Some(key) = self.session() {
            self.open_session(key);
        }
    }

    /// An upstream answers one query of a session, or the last one once more. The answer may stay on its way.
    fn answer(&mut self, form: Form) {
        let Some(key) = self.session() else {
            return;
        };
        let choice = self.bytes.byte();
        let now = self.now;
        let Some(session) = self.this().sessions.get_mut(&key) else {
            return;
        };
        let place = usize::from(choice & 0x0f) % session.asked.len().max(1);
        let query = match session.asked.keys().nth(place).copied() {
            Some(id) => session.asked.remove(&id),
            None => session.answered.clone(),
        };
        let Some(query) = query else {
            return;
        };
        let bytes = message::framed(&message::response(&query, form));
        session.answered = Some(query);
        let times = if choice & 0xc0 == 0xc0 { 2 } else { 1 };
        for _ in 0..times {
            session.undelivered.extend(&bytes);
        }
        if choice & 0x30 != 0x30 {
            self.this().deliver(now, key, usize::MAX);
        }
        self.this().pump(now);
    }

    fn answer_with_error(&mut self) {
        let byte = self.bytes.byte();
        self.answer(Form {
            rcode: [2, 5, 1, 4, 3, 9, 2, 2][usize::from(byte & 7)],
            ede: [None, None, Some(6), Some(15), Some(22), Some(0)]
                .get(usize::from(byte >> 3 & 7))
                .copied()
                .flatten(),
            lacks_question: byte & 0x40 != 0,
            lacks_opt: byte & 0x80 != 0,
            ..Form::default()
        });
    }

    fn answer_oddly(&mut self) {
        let byte = self.bytes.byte();
        let size = u16::from(byte >> 3);
        self.answer(match byte & 7 {
            0 | 1 => Form {
                keepalive: Some(size * 20),
                ..Form::default()
            },
            2 => Form {
                is_truncated: true,
                ..Form::default()
            },
            3 => Form {
                lacks_opt: true,
                ..Form::default()
            },
            4 => Form {
                lacks_question: true,
                ..Form::default()
            },
            _ => Form {
                more_records: size * 128,
                ..Form::default()
            },
        });
    }

    /// An upstream says something that answers nothing: a wrong ID, another question, or the query itself.
    fn answer_invalidly(&mut self) {
        let (key, choice) = (self.session(), self.bytes.byte());
        let now = self.now;
        let Some(key) = key else {
            return;
        };
        let Some(session) = self.this().sessions.get_mut(&key) else {
            return;
        };
        let place = usize::from(choice >> 2) % session.asked.len().max(1);
        let Some((id, query)) = session.asked.iter().nth(place) else {
            return;
        };
        let mut response = message::response(query, Form::default());
        match choice & 3 {
            0 => {
                let free = (0..u16::MAX).find(|free| !session.asked.contains_key(free));
                response[..2].copy_from_slice(&free.unwrap_or(*id).to_be_bytes());
            }
            1 => response[13] ^= 1,
            2 => response = query.clone(),
            _ => response.truncate(20),
        }
        session.undelivered.extend(message::framed(&response));
        self.this().deliver(now, key, usize::MAX);
        self.this().pump(now);
    }

    /// An upstream sends up to 255 empty messages.
    fn flood_session(&mut self) {
        let (key, times) = (self.session(), usize::from(self.bytes.byte()));
        let now = self.now;
        if let Some(key) = key
            && let Some(session) = self.this().sessions.get_mut(&key)
        {
            session.undelivered.extend(vec![0; times * 2]);
            self.this().deliver(now, key, usize::MAX);
            self.this().pump(now);
        }
    }

    /// An upstream answers a query with bytes changed, or sends any bytes as a message.
    fn session_bytes(&mut self) {
        let (key, choice) = (self.session(), self.bytes.byte());
        let now = self.now;
        let bytes = self.bytes.several(usize::from(choice & 0x1f));
        let Some(key) = key else {
            return;
        };
        let Some(session) = self.this().sessions.get_mut(&key) else {
            return;
        };
        let mut response = match session.asked.values().nth(usize::from(choice >> 6)) {
            Some(query) => message::response(query, Form::default()),
            None => vec![0; 32],
        };
        let length = response.len();
        for change in bytes.chunks_exact(2) {
            response[2 + usize::from(change[0]) % (length - 2)] ^= change[1];
        }
        session.undelivered.extend(message::framed(&response));
        self.this().note_garbled(key, &response);
        self.this().deliver(now, key, usize::MAX);
        self.this().pump(now);
    }

    fn deliver_some(&mut self) {
        let (key, length) = (self.session(), usize::from(self.bytes.byte()));
        let now = self.now;
        if let Some(key) = key {
            self.this().deliver(now, key, length);
            self.this().pump(now);
        }
    }

    fn close_session(&mut self) {
        let key = self.session();
        let end = session_end(self.bytes.byte());
        let now = self.now;
        if let Some(key) = key {
            self.this().close_session(now, key, end);
            self.this().pump(now);
        }
    }

    fn block_session(&mut self) {
        if let Some(key) = self.session()
            && let Some(session) = self.this().sessions.get_mut(&key)
        {
            session.is_blocked = true;
        }
    }

    fn unblock_session(&mut self) {
        if let Some(key) = self.session()
            && let Some(session) = self.this().sessions.get_mut(&key)
        {
            session.is_blocked = false;
            self.this().flush_session(key);
        }
    }

    fn pass_for(&mut self, unit: Duration) {
        let units = u32::from(self.bytes.byte());
        self.pass(unit * units);
    }

    fn pass_to_deadline(&mut self) {
        let due = self
            .workers
            .iter()
            .filter_map(|worker| worker.engine.next_deadline());
        if let Some(next) = due.min() {
            self.pass(next.since(self.now));
        }
    }

    /// Time passes during which no engine is called; afterwards they are, or what comes next is first.
    fn sleep(&mut self, calls_engines: bool) {
        self.now = self.now + Duration::from_millis(60) * u32::from(self.bytes.byte());
        if calls_engines {
            for worker in &mut self.workers {
                worker.on_timeout(self.now);
            }
        }
    }

    /// Some queries for as many names; more than a session should carry if the byte is all ones.
    fn burst(&mut self) {
        let count = match self.bytes.byte() {
            u8::MAX => 1_100,
            byte => usize::from(byte / 4),
        };
        let count = count.min(self.burst_room);
        self.burst_room -= count;
        for _ in 0..count {
            self.ask_new(client(0));
        }
    }

    /// From now on sessions fail as soon as they are begun, or no more.
    fn fail_at_once(&mut self) {
        let byte = self.bytes.byte();
        let fails = byte & 0x80 == 0 && self.this().fails_at_once.is_none();
        self.this().fails_at_once = fails.then(|| session_end(byte));
    }

    /// News of what the engine has forgotten change nothing.
    fn stale_keys(&mut self) {
        let now = self.now;
        let byte = self.bytes.byte();
        let worker = self.this();
        if let Some(key) = worker.old_sessions.last().copied() {
            worker.engine.sessions_mut().on_connected(now, key);
            worker.engine.session_opened(now, key);
            worker.engine.session_bytes(now, key, &[0; 64]);
            worker.engine.session_closed(now, key, session_end(byte));
            assert!(worker.engine.sessions_mut().output(key).is_none());
        }
        if let Some(key) = worker.old_streams.last().copied() {
            assert!(!worker.engine.stream_bytes(now, key, &[0; 64]));
            worker.engine.stream_wrote(now, key, 1, 0);
            worker.engine.clients_mut().stream_ended(key);
            worker.engine.clients_mut().stream_closed(key);
            assert!(worker.engine.clients_mut().stream_output(key).is_none());
        }
        worker.pump(now);
    }

    /// Other upstreams, deadlines and idle times, for all workers.
    fn reconfigure(&mut self) {
        let byte = self.bytes.byte();
        let mut settings = Settings::clone(&self.settings);
        settings.generation += 1;
        let upstreams = &mut settings.groups[0].upstreams;
        let takes_ids = byte & 3 == 3;
        match byte & 3 {
            0 => upstreams.rotate_left(1),
            1 if upstreams.len() > 1 => drop(upstreams.remove(0)),
            2 if self.next_upstream.index() < limits::UPSTREAM_IDS
                && upstreams.len() < limits::UPSTREAMS =>
            {
                upstreams.insert(0, upstream(self.next_upstream));
                self.next_upstream.0 += 1;
            }
            3 => upstreams[0] = upstream(upstreams[0].id),
            _ => {}
        }
        settings.query_deadline = Duration::from_secs(1 + u64::from(byte >> 2 & 3));
        settings.stream_idle = Duration::from_secs(5 + u64::from(byte >> 4 & 7));
        self.settings = Arc::new(settings);
        for worker in &mut self.workers {
            worker.reconfigure(self.now, &self.settings, takes_ids);
        }
    }

    /// The end of a stop, or of a turn that panicked.
    fn fail_all(&mut self) {
        let now = self.now;
        let byte = self.bytes.byte();
        let worker = self.this();
        worker.engine.fail_all(now);
        assert_eq!(worker.engine.load().queries, 0);
        worker.pump(now);
        if byte & 1 != 0 {
            worker.engine.close_all_sessions();
        }
        if byte & 2 != 0 {
            worker.close_all_streams();
        }
        worker.pump(now);
    }
}

fn session_end(byte: u8) -> SessionEnd {
    let place = usize::from(byte >> 2);
    match byte & 3 {
        0 => SessionEnd::Closed,
        1 => SessionEnd::Reset,
        2 => SessionEnd::Connect(ConnectFault::ALL[place % ConnectFault::ALL.len()]),
        _ => SessionEnd::Tls(TlsFault::ALL[place % TlsFault::ALL.len()]),
    }
}
