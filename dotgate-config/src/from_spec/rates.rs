//! How often clients may ask and connect.

use dotgate_core::RateSettings;

use crate::reader::Reader;
use crate::settings as table;

pub(super) fn read(reader: &mut Reader<'_>) -> Option<RateSettings> {
    let queries = reader.optional(&table::RATE_QUERIES);
    let responses = reader.optional(&table::RATE_RESPONSES);
    let slip = reader.value(&table::RATE_SLIP);
    let connections = reader.optional(&table::RATE_CONNECTIONS);
    let handshakes = reader.optional(&table::RATE_HANDSHAKES);
    let ipv4_bits = reader.value(&table::RATE_IPV4_PREFIX);
    let ipv6_bits = reader.value(&table::RATE_IPV6_PREFIX);
    Some(RateSettings {
        queries,
        responses,
        slip: slip?,
        connections,
        handshakes,
        ipv4_bits: ipv4_bits?,
        ipv6_bits: ipv6_bits?,
    })
}
