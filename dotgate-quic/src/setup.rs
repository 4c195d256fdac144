//! What all connections of all sockets have in common, made of the TLS for clients.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::hmac::{HMAC_SHA256, Key};
use dotgate_core::WorkerId;
use dotgate_tls::ServerTls;
use quinn_proto::crypto::rustls::QuicServerConfig;
use quinn_proto::{
    EndpointConfig, IdleTimeout, ServerConfig, TransportConfig, ValidationTokenConfig, VarInt,
};

use crate::ids::{IdKeys, WorkerIds};
use crate::limits;

/// QUIC version 1 (RFC 9000).
const VERSION: u32 = 1;

/// Why clients cannot be served with QUIC.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum QuicSetupError {
    /// TLS has not what QUIC needs.
    Tls(String),
    /// No keys could be derived.
    Keys,
}

impl std::error::Error for QuicSetupError {}

impl std::fmt::Display for QuicSetupError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            QuicSetupError::Tls(reason) => write!(out, "QUIC cannot be set up: {reason}"),
            QuicSetupError::Keys => out.write_str("the keys of QUIC cannot be derived"),
        }
    }
}

/// How clients are served. All workers have the same keys, and so have all processes with the same secret of tickets:
/// each can tell a client that its connection has ended.
#[derive(Clone, Debug)]
pub struct QuicSetup {
    pub(crate) endpoint: Arc<EndpointConfig>,
    pub(crate) server: Arc<ServerConfig>,
    pub(crate) ids: IdKeys,
}

impl QuicSetup {
    /// Serves clients of a worker with this TLS, which have no longer than `idle` without a packet.
    ///
    /// # Errors
    /// [`QuicSetupError`] where the crates of TLS and QUIC do not go together.
    pub fn new(
        tls: &ServerTls,
        idle: Duration,
        worker: WorkerId,
    ) -> Result<QuicSetup, QuicSetupError> {
        let key_for = |purpose| tls.key_for(purpose).ok_or(QuicSetupError::Keys);
        let reset_key = Key::new(HMAC_SHA256, &key_for("stateless resets of QUIC")?);
        let token_key = key_for("address validation tokens of QUIC")?;
        let token_key = Salt::new(HKDF_SHA256, &[]).extract(&token_key);

        let id_key = key_for("connection IDs of QUIC")?;
        let ids = IdKeys::new(&id_key).ok_or(QuicSetupError::Keys)?;

        let mut endpoint = EndpointConfig::new(Arc::new(reset_key));
        endpoint
            // What has none of these IDs gets no stateless reset.
            .cid_generator(move || Box::new(WorkerIds::new(ids, worker)))
            .supported_versions(vec![VERSION])
            .min_reset_interval(limits::RESET_INTERVAL);

        let crypto = QuicServerConfig::try_from(Arc::clone(tls.quic()))
            .map_err(|error| QuicSetupError::Tls(error.to_string()))?;
        let mut server = ServerConfig::new(Arc::new(crypto), Arc::new(token_key));
        let mut validation_token = ValidationTokenConfig::default();
        validation_token.sent(0);
        server
            .transport_config(Arc::new(transport(idle)))
            .validation_token_config(validation_token)
            // Attempts are counted by the server, which refuses none in words.
            .max_incoming(2 * limits::ATTEMPTS)
            .incoming_buffer_size(limits::ATTEMPT_BYTES)
            .incoming_buffer_size_total(limits::ATTEMPT_BYTES * limits::ATTEMPTS as u64)
            .migration(true);
        Ok(QuicSetup {
            endpoint: Arc::new(endpoint),
            server: Arc::new(server),
            ids,
        })
    }
}

fn transport(idle: Duration) -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(limits::STREAMS))
        // So that a client that opens one hears what is wrong with it (RFC 9250 section 4.3.3).
        .max_concurrent_uni_streams(VarInt::from_u32(1))
        .stream_receive_window(VarInt::from_u32(limits::STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(limits::WINDOW_BYTES))
        .send_window(limits::SEND_WINDOW_BYTES)
        .crypto_buffer_size(limits::CRYPTO_BYTES)
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(IdleTimeout::try_from(idle).ok())
        // Responses are short: what longer packets would save is less than it costs to find out how long they may be.
        .mtu_discovery_config(None)
        .enable_segmentation_offload(false);
    transport
}
