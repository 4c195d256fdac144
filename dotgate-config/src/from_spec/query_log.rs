//! What the settings of the query log mean.

use crate::query_log::QueryLogConfig;
use crate::reader::Reader;
use crate::settings as table;

pub(super) fn read(reader: &mut Reader<'_>) -> Option<QueryLogConfig> {
    let place = reader.value(&table::QUERY_LOG);
    let format = reader.value(&table::QUERY_LOG_FORMAT);
    let filter = reader.value(&table::QUERY_LOG_FILTER);
    let clients = reader.value(&table::QUERY_LOG_CLIENTS);
    let names = reader.value(&table::QUERY_LOG_NAMES);
    Some(QueryLogConfig {
        place: place?,
        format: format?,
        filter: filter?,
        clients: clients?,
        names: names?,
    })
}
