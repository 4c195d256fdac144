//! The key by which names are sharded, and the budget of hedging.

use data_encoding::HEXLOWER_PERMISSIVE;
use dotgate_core::ShardKey;
use serde_json::{Value, json};

use super::{Kind, digits, within};
use crate::fault::Fault;

/// 128 bits in hexadecimal.
#[derive(Debug)]
pub struct HexKey;

impl Kind for HexKey {
    type Value = ShardKey;

    fn read(&self, text: &str) -> Result<ShardKey, Fault> {
        let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok();
        let key = bytes.and_then(|bytes| bytes.try_into().ok());
        match key.map(ShardKey).ok_or(Fault::NotAKey)? {
            // Without a setting, the engine has this one.
            key if key == ShardKey::default() => Err(Fault::KeyOfZeros),
            key => Ok(key),
        }
    }

    fn expected(&self) -> String {
        "32 hexadecimal digits, such as those that `openssl rand -hex 16` prints".to_owned()
    }

    fn schema(&self) -> Value {
        json!({ "type": "string", "pattern": "^[0-9A-Fa-f]{32}$" })
    }
}

/// A whole number of percent, up to this one.
#[derive(Debug)]
pub struct Percent {
    /// The highest allowed.
    pub highest: u8,
}

impl Kind for Percent {
    type Value = u8;

    fn read(&self, text: &str) -> Result<u8, Fault> {
        let number = text.strip_suffix('%').unwrap_or(text);
        let number = digits(number).ok_or(Fault::NotANumber)?;
        let percent = number.parse().map_err(|_| Fault::OutOfRange)?;
        within(percent, &0, &self.highest)
    }

    fn expected(&self) -> String {
        format!("a percentage from 0% to {}%, such as 3%", self.highest)
    }

    fn schema(&self) -> Value {
        json!({
            "type": ["integer", "string"],
            "minimum": 0,
            "maximum": self.highest,
            "pattern": "^[0-9]+%?$",
        })
    }
}
