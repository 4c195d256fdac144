//! The key by which names are sharded.

use data_encoding::HEXLOWER_PERMISSIVE;
use dotgate_core::ShardKey;
use serde_json::{Value, json};

use super::Kind;
use crate::fault::Fault;

/// 128 bits in hexadecimal.
#[derive(Debug)]
pub struct HexKey;

impl Kind for HexKey {
    type Value = ShardKey;

    fn read(&self, text: &str) -> Result<ShardKey, Fault> {
        let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok();
        let key = bytes.and_then(|bytes| bytes.try_into().ok());
        key.map(ShardKey).ok_or(Fault::NotAKey)
    }

    fn expected(&self) -> String {
        "32 hexadecimal digits, such as those that `openssl rand -hex 16` prints".to_owned()
    }

    fn schema(&self) -> Value {
        json!({ "type": "string", "pattern": "^[0-9A-Fa-f]{32}$" })
    }
}
