//! The schema of events, made of the types, and held against the file that describes them to others.

use std::path::Path;

use schemars::Schema;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::events::Line;

/// An event that always says of which torrent it is.
pub(super) fn of_a_torrent(schema: &mut Schema) {
    require(schema, &["info_hash"]);
}

/// One that says what it is called, too.
pub(super) fn of_a_torrent_with_a_name(schema: &mut Schema) {
    require(schema, &["info_hash", "name"]);
}

/// An event that is about the run.
pub(super) fn of_no_torrent(schema: &mut Schema) {
    let named = ["info_hash", "name"].map(|key| json!({ "required": [key] }));
    schema.insert("not".into(), json!({ "anyOf": named }));
}

fn require(schema: &mut Schema, keys: &[&str]) {
    let required = schema.ensure_object().entry("required").or_insert_with(|| json!([]));
    if let Value::Array(required) = required {
        required.extend(keys.iter().map(|key| json!(key)));
    }
}

/// To write the file again: `EDDYLINE_WRITE_SCHEMA=1 cargo test -p eddyline-cli --lib schema`.
#[test]
fn the_schema_of_events_is_that_of_their_types() {
    let generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let schema = generator.into_root_schema_for::<Line<'_>>();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/events.json");
    if std::env::var_os("EDDYLINE_WRITE_SCHEMA").is_some() {
        let text = format!("{}\n", serde_json::to_string_pretty(&schema).unwrap());
        std::fs::write(&path, text).unwrap();
    }
    let written: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(written, schema.to_value(), "write it again, as is said above");
}
