//! Pinned keys, and the certificates on an upstream's verified path that may have one (RFC 7858 section 4.2).
//!
//! A pin may be of the upstream's own key or of an authority's. That of an authority counts only if it issued the
//! certificate: the path is verified once more with that authority as the only trust anchor, so that a certificate that
//! is merely shown next to the path proves nothing.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};

use super::certificate::{pin_of, sha256};
use super::roots::Roots;

/// The pins of one upstream, of which one must match.
#[derive(Debug)]
pub(super) struct Pins {
    keys: Vec<[u8; 32]>,
    /// Trust anchors with a pinned key. They need not be among the certificates that the upstream shows.
    anchors: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

/// A path to be verified: the certificates that an upstream shows, its own first, for whom, and when.
pub(super) struct Path<'a> {
    pub(super) end_entity: &'a CertificateDer<'a>,
    pub(super) intermediates: &'a [CertificateDer<'a>],
    pub(super) server_name: &'a ServerName<'a>,
    pub(super) now: UnixTime,
}

impl Path<'_> {
    fn passes(&self, verifier: &WebPkiServerVerifier) -> bool {
        verifier
            .verify_server_cert(
                self.end_entity,
                self.intermediates,
                self.server_name,
                &[],
                self.now,
            )
            .is_ok()
    }
}

impl Pins {
    pub(super) fn new(keys: &[[u8; 32]], roots: &Roots, provider: &Arc<CryptoProvider>) -> Self {
        // Most upstreams have no pins, and there are over a hundred trust anchors to hash.
        let is_pinned = |anchor: &&TrustAnchor<'static>| {
            !keys.is_empty() && keys.contains(&pin_of_anchor(anchor))
        };
        let anchors = roots.store().roots.iter().filter(is_pinned).cloned();
        let anchors = RootCertStore::from_iter(anchors);
        Self {
            keys: keys.to_vec(),
            anchors: verifier(anchors, provider),
            provider: Arc::clone(provider),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether one of them is the key of the upstream or of an authority that issued its certificate.
    pub(super) fn match_path(&self, path: &Path<'_>) -> bool {
        self.has(path.end_entity)
            || self.anchors.as_ref().is_some_and(|it| path.passes(it))
            || path.intermediates.iter().any(|authority| {
                self.has(authority) && {
                    let mut anchor = RootCertStore::empty();
                    // What is no authority is refused, and leads nowhere.
                    let is_authority = anchor.add(authority.clone().into_owned()).is_ok();
                    let verifier = verifier(anchor, &self.provider);
                    is_authority && verifier.is_some_and(|it| path.passes(&it))
                }
            })
    }

    /// Whether one of them is the key of this certificate.
    pub(super) fn has(&self, certificate: &CertificateDer<'_>) -> bool {
        pin_of(certificate).is_ok_and(|pin| self.keys.contains(&pin))
    }
}

/// None without trust anchors.
fn verifier(
    anchors: RootCertStore,
    provider: &Arc<CryptoProvider>,
) -> Option<Arc<WebPkiServerVerifier>> {
    let provider = Arc::clone(provider);
    WebPkiServerVerifier::builder_with_provider(Arc::new(anchors), provider)
        .build()
        .ok()
}

/// A trust anchor has the subject public key info without the header of its sequence (RFC 5280 section 4.1).
fn pin_of_anchor(anchor: &TrustAnchor<'_>) -> [u8; 32] {
    let content = anchor.subject_public_key_info.as_ref();
    let length = content.len().to_be_bytes();
    let significant = length.iter().position(|byte| *byte != 0);
    let length = length
        .get(significant.unwrap_or(length.len())..)
        .unwrap_or_default();
    let mut der = vec![0x30];
    match (length, u8::try_from(length.len())) {
        // A short form up to 127 bytes, then the number of the bytes of the length (X.690 section 8.1.3).
        ([short], _) if *short < 0x80 => der.push(*short),
        (_, Ok(count)) => {
            der.push(0x80 | count);
            der.extend(length);
        }
        (_, Err(_)) => {}
    }
    der.extend(content);
    sha256(&der)
}
