//! The file of settings as a JSON Schema, made from the table: for editors, and for the values of the Helm chart.
//!
//! It knows names, types and ranges of numbers. What else a value must be, only `dotgate check` knows.

use serde_json::{Map, Value, json};

use super::setting::TableKey;
use super::settings::{RECORD_KEYS, ROUTE_KEYS, TABLE, UPSTREAM_KEYS};

/// Returns `etc/dotgate.schema.json`.
pub fn file() -> String {
    // A document of strings and numbers has no way to fail.
    serde_json::to_string_pretty(&file_schema()).unwrap_or_default() + "\n"
}

/// Returns the schema, in the words that draft 7 and later drafts share.
pub fn file_schema() -> Value {
    let mut sections = Map::new();
    for subject in TABLE {
        let entry = subject.entry();
        let Some((section, key)) = entry.section_and_key() else {
            continue;
        };
        let keys = sections.entry(section).or_insert_with(|| object(json!({})));
        keys["properties"][key] = described(subject.schema(), entry.doc);
    }
    sections.insert("upstream".to_owned(), tables(&UPSTREAM_KEYS, 16));
    sections.insert("route".to_owned(), tables(&ROUTE_KEYS, 63));
    sections.insert("record".to_owned(), tables(&RECORD_KEYS, 10_000));
    let mut schema = object(Value::Object(sections));
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    schema["title"] = json!("dotgate.toml");
    schema
}

/// Tables of which there may be several, such as `[[upstream]]`.
fn tables(known: &[&TableKey], most: usize) -> Value {
    let mut keys = Map::new();
    for key in known {
        let text = json!({ "type": "string", "minLength": 1 });
        let schema = match key.key {
            "port" => json!({ "type": "integer", "minimum": 1, "maximum": 65_535 }),
            "ttl" => json!({ "type": "integer", "minimum": 0, "maximum": i32::MAX }),
            "pins" => json!({ "type": "array", "items": { "type": "string" }, "maxItems": 8 }),
            "upstreams" => json!({ "type": "array", "items": text, "minItems": 1, "maxItems": 16 }),
            _ if key.is_list => json!({ "type": "array", "items": text, "minItems": 1 }),
            _ => text,
        };
        keys.insert(key.key.to_owned(), described(schema, key.doc));
    }
    json!({ "type": "array", "minItems": 1, "maxItems": most, "items": object(Value::Object(keys)) })
}

/// An object of these properties and no others.
fn object(properties: Value) -> Value {
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
}

fn described(mut schema: Value, doc: &str) -> Value {
    schema["description"] = json!(doc.replace('`', ""));
    schema
}
