//! Stage `respond`: what this client may have of a response: its ID, its question's case, its size, its EDNS.
//!
//! It is between `exchange` and the listener. An OPT is written only to a client that sent one (RFC 6891
//! section 7); AD passes only to a client that asked for it with DO or AD, and only from an upstream that was
//! authenticated (RFC 6840 section 5.8, RFC 8310 section 5). Never touches a query that still waits.

use std::time::Duration;

use dotgate_wire::{COOKIE_OPTION_LEN, ClientEdns, ClientHop, Ede, Flags, ResponseOpt};

/// Bytes of a UDP response to a client without EDNS (RFC 1035 section 4.2.1).
const PLAIN_UDP_MAX: usize = 512;

/// Bytes of a response over a stream.
const STREAM_MAX: usize = 65_535;

/// How a client's response travels.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Transport {
    /// UDP, with the largest response that the settings allow.
    Udp { max: u16 },
    /// A connection, with the idle timeout that is advertised to the client (RFC 7828 section 3.3.2); none over HTTP,
    /// where connections are not the concern of DNS.
    Stream {
        idle: Option<Duration>,
        is_encrypted: bool,
    },
}

/// What of a client's query its response depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientParameters {
    pub(crate) id: u16,
    pub(crate) flags: Flags,
    pub(crate) edns: Option<ClientEdns>,
    pub(crate) transport: Transport,
}

impl ClientParameters {
    /// None: for a message that is read here again.
    pub(crate) const PLAIN: ClientParameters = ClientParameters {
        id: 0,
        flags: Flags(0),
        edns: None,
        transport: Transport::Stream {
            idle: None,
            is_encrypted: false,
        },
    };

    /// The terms of this client's response, with an EDE where there is one. Room is left for a cookie.
    pub(crate) fn hop<'e>(&self, ede: Option<Ede<'e>>, is_authenticated: bool) -> ClientHop<'e> {
        let wants_ad = self.flags.authentic_data() || self.edns.is_some_and(|edns| edns.dnssec_ok);
        ClientHop {
            id: self.id,
            recursion_desired: self.flags.recursion_desired(),
            checking_disabled: self.flags.checking_disabled(),
            authentic_data: wants_ad && is_authenticated,
            opt: self.edns.map(|edns| ResponseOpt {
                udp_size: match self.transport {
                    Transport::Udp { max } => max,
                    Transport::Stream { .. } => DEFAULT_UDP_SIZE,
                },
                dnssec_ok: edns.dnssec_ok,
                keepalive: match self.transport {
                    Transport::Udp { .. } => None,
                    Transport::Stream { idle, .. } => idle.map(tenths_of_a_second),
                },
                ede,
                second_ede: None,
                pads: match self.transport {
                    Transport::Udp { .. } => false,
                    Transport::Stream { is_encrypted, .. } => is_encrypted && edns.asks_padding,
                },
            }),
            limit: self.limit(),
        }
    }

    fn limit(&self) -> usize {
        let Some(edns) = self.edns else {
            return match self.transport {
                Transport::Stream { .. } => STREAM_MAX,
                Transport::Udp { .. } => PLAIN_UDP_MAX,
            };
        };
        let limit = match self.transport {
            Transport::Stream { .. } => STREAM_MAX,
            Transport::Udp { max } => usize::from(edns.udp_size.min(max)).max(PLAIN_UDP_MAX),
        };
        match edns.has_cookie {
            true => limit - COOKIE_OPTION_LEN,
            false => limit,
        }
    }
}

/// The UDP size advertised to clients of a stream, for their later queries over UDP (RFC 9715 section 3.2).
const DEFAULT_UDP_SIZE: u16 = 1_232;

fn tenths_of_a_second(span: Duration) -> u16 {
    u16::try_from(span.as_millis() / 100).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(udp_size: Option<u16>, transport: Transport) -> ClientParameters {
        let edns = udp_size.map(|udp_size| ClientEdns {
            udp_size,
            dnssec_ok: false,
            asks_keepalive: false,
            asks_padding: false,
            has_cookie: false,
        });
        let flags = Flags(0x0120);
        ClientParameters {
            id: 7,
            flags,
            edns,
            transport,
        }
    }

    #[test]
    fn a_udp_response_fits_what_both_sides_allow() {
        let udp = Transport::Udp { max: 1_232 };
        for (size, limit) in [
            (None, 512),
            (Some(512), 512),
            (Some(1_231), 1_231),
            (Some(1_233), 1_232),
            (Some(65_535), 1_232),
        ] {
            assert_eq!(
                parameters(size, udp).hop(None, true).limit,
                limit,
                "{size:?}"
            );
        }
        let stream = Transport::Stream {
            idle: Some(Duration::from_secs(10)),
            is_encrypted: false,
        };
        assert_eq!(parameters(None, stream).hop(None, true).limit, 65_535);
    }

    #[test]
    fn an_opt_and_its_keepalive_go_only_where_they_may() {
        let udp = Transport::Udp { max: 1_232 };
        let stream = Transport::Stream {
            idle: Some(Duration::from_secs(10)),
            is_encrypted: false,
        };
        assert!(parameters(None, stream).hop(None, true).opt.is_none());
        assert_eq!(
            parameters(Some(1_232), udp)
                .hop(None, true)
                .opt
                .unwrap()
                .keepalive,
            None
        );
        assert_eq!(
            parameters(Some(1_232), stream)
                .hop(None, true)
                .opt
                .unwrap()
                .keepalive,
            Some(100)
        );
    }

    #[test]
    fn only_encrypted_responses_to_padded_queries_are_padded() {
        let idle = Some(Duration::from_secs(10));
        let stream = |is_encrypted| Transport::Stream { idle, is_encrypted };
        for (transport, asks_padding, pads) in [
            (stream(true), true, true),
            (stream(true), false, false),
            (stream(false), true, false),
            (Transport::Udp { max: 1_232 }, true, false),
        ] {
            let mut parameters = parameters(Some(1_232), transport);
            parameters.edns.as_mut().unwrap().asks_padding = asks_padding;
            let opt = parameters.hop(None, true).opt.unwrap();
            assert_eq!(opt.pads, pads, "{transport:?}");
        }
    }

    #[test]
    fn ad_needs_an_authenticated_upstream_and_a_client_that_parameters() {
        let udp = Transport::Udp { max: 1_232 };
        let mut parameters = parameters(None, udp);
        assert!(parameters.hop(None, true).authentic_data);
        assert!(!parameters.hop(None, false).authentic_data);
        parameters.flags = Flags(0x0100);
        assert!(!parameters.hop(None, true).authentic_data);
    }
}
