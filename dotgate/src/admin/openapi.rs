//! The OpenAPI description of the admin endpoint, made from its paths and from the types of its bodies.
//!
//! `docs/openapi.json` is this description; tests compare them, and hold it against what the paths take.

use schemars::Schema;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

use super::body::{FlushBody, Flushed, LevelBody};
use super::cache::CacheReport;
use super::endpoint::StatusReport;
use super::failures::FailuresReport;
use super::portal::{PortalBody, PortalReport};
use super::response::ErrorBody;
use super::routes::{Path, Takes};
use super::status::Status;
use super::upstreams::HealthReport;
use super::volatile::{RoutesBody, RoutesReport};
use crate::views::QueryLine;

/// What `/` is.
const PAGE: &str =
    "The page for browsers (clients that accept HTML), the status as text for others.";

/// What keeps the page current.
const EVENTS: &str =
    "Server-sent events with the parts of the page that differ, for at most 50 seconds.";

/// Queries as they end.
const QUERIES: &str = "Server-sent events while DOTGATE_ADMIN_QUERIES is true: `query` has a QueryLine as data, `lost` the number \
     of queries that were left out because the reader was too slow.";

/// What a path does.
struct Operation {
    /// The path, with what varies in braces.
    template: &'static str,
    summary: &'static str,
    /// The body of the request.
    takes: Option<Schema>,
    /// The body of the response; none where it is text.
    gives: Option<Schema>,
    /// Whether the same body comes with 503.
    may_be_unavailable: bool,
}

/// Returns the description, as JSON in lines.
pub fn description() -> String {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let error = generator.subschema_for::<ErrorBody>();
    let mut paths = Map::new();
    for path in Path::samples() {
        let operation = operation(&path, &mut generator);
        let template = operation.template.to_owned();
        paths.insert(template, written(&path.takes(), operation, &error));
    }
    let mut schemas = generator.take_definitions(true);
    for schema in schemas.values_mut().filter_map(Value::as_object_mut) {
        // Members are added within a version.
        schema.retain(|key, value| key != "additionalProperties" || *value != json!(false));
    }
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "dotgate admin endpoint",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "http://127.0.0.1:9153" }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        },
    });
    // A document of strings and numbers has no way to fail.
    serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
}

fn operation(path: &Path, generator: &mut SchemaGenerator) -> Operation {
    let get = |template, summary, gives, may_be_unavailable| Operation {
        template,
        summary,
        takes: None,
        gives,
        may_be_unavailable,
    };
    match path {
        Path::Root => get("/", PAGE, None, false),
        Path::Events => get("/events", EVENTS, None, false),
        Path::Livez => {
            let gives = Some(generator.subschema_for::<StatusReport>());
            get("/livez", "Whether every worker responds.", gives, true)
        }
        Path::Readyz => {
            let gives = Some(generator.subschema_for::<StatusReport>());
            get("/readyz", "Whether queries can be sent here.", gives, true)
        }
        Path::Healthz => {
            let gives = Some(generator.subschema_for::<HealthReport>());
            get("/healthz", "Whether the upstreams respond.", gives, true)
        }
        Path::Metrics => get(
            "/metrics",
            "Metrics, in OpenMetrics or the Prometheus text format.",
            None,
            false,
        ),
        Path::Status => {
            let gives = Some(generator.subschema_for::<Status>());
            get("/api/v1/status", "The complete status.", gives, false)
        }
        Path::Failures => {
            let gives = Some(generator.subschema_for::<FailuresReport>());
            let summary = "The last failures of each upstream.";
            get("/api/v1/failures", summary, gives, false)
        }
        Path::Queries => {
            // What the data of an event is.
            generator.subschema_for::<QueryLine<'static>>();
            get("/api/v1/queries", QUERIES, None, false)
        }
        Path::Cached(_) => {
            let gives = Some(generator.subschema_for::<CacheReport>());
            let summary = "The cache entries of a name.";
            get("/api/v1/cache/{name}", summary, gives, false)
        }
        Path::FlushCache => Operation {
            template: "/api/v1/cache/flush",
            summary: "Remove entries from the cache.",
            takes: Some(generator.subschema_for::<FlushBody>()),
            gives: Some(generator.subschema_for::<Flushed>()),
            may_be_unavailable: false,
        },
        Path::LogLevel => Operation {
            template: "/api/v1/log-level",
            summary: "Set the log level until the next reload.",
            takes: Some(generator.subschema_for::<LevelBody>()),
            gives: Some(generator.subschema_for::<LevelBody>()),
            may_be_unavailable: false,
        },
        Path::Portal => portal(generator),
        Path::Routes => routes(generator),
    }
}

fn portal(generator: &mut SchemaGenerator) -> Operation {
    Operation {
        template: "/api/v1/portal",
        summary: "Open or close a portal window.",
        takes: Some(generator.subschema_for::<PortalBody>()),
        gives: Some(generator.subschema_for::<PortalReport>()),
        may_be_unavailable: false,
    }
}

fn routes(generator: &mut SchemaGenerator) -> Operation {
    Operation {
        template: "/api/v1/routes",
        summary: "Set or remove routes until this process ends.",
        takes: Some(generator.subschema_for::<RoutesBody>()),
        gives: Some(generator.subschema_for::<RoutesReport>()),
        may_be_unavailable: false,
    }
}

/// An operation as OpenAPI writes it, under its method.
fn written(takes: &Takes, operation: Operation, error: &Schema) -> Value {
    let is_api = operation.template.starts_with("/api/");
    let is_page = operation.template == "/";
    let is_queries = operation.template == "/api/v1/queries";
    let is_stream = is_queries || operation.template == "/events";
    let content = match &operation.gives {
        Some(schema) => json!({ "application/json": { "schema": schema } }),
        None if is_page => json!({
            "text/html": { "schema": { "type": "string" } },
            "text/plain": { "schema": { "type": "string" } },
        }),
        None if is_stream => json!({ "text/event-stream": { "schema": { "type": "string" } } }),
        None => json!({ "text/plain": { "schema": { "type": "string" } } }),
    };
    let refused = |description: &str| match is_api {
        true => json!({
            "description": description,
            "content": { "application/json": { "schema": error } },
        }),
        false => json!({ "description": description }),
    };
    let mut responses = Map::new();
    let mut add = |status: &str, response: Value| responses.insert(status.to_owned(), response);
    add("200", json!({ "description": "OK", "content": content }));
    if is_stream {
        add("503", refused("Too many streams are open"));
    }
    if operation.may_be_unavailable {
        add(
            "503",
            json!({ "description": "No, and why", "content": content }),
        );
    }
    if operation.takes.is_some() || operation.template.contains('{') || is_queries {
        add("400", refused("The request is invalid"));
    }
    if operation.template == "/api/v1/portal" {
        add("409", refused("No portal window can be opened, and why"));
    }
    if operation.template == "/api/v1/routes" {
        add(
            "409",
            refused("The routes cannot be set or removed, and why"),
        );
    }
    if operation.takes.is_some() {
        let unavailable = "Another process takes over, or this one is stopping; ask again";
        add("503", refused(unavailable));
    }
    if takes.needs_token() {
        add("401", refused("The token is missing or wrong"));
    }
    let forbidden = "The name in Host is unknown, or no token is configured";
    add("403", refused(forbidden));
    let mut written = json!({ "summary": operation.summary, "responses": responses });
    if takes.needs_token() {
        written["security"] = json!([{ "token": [] }]);
    }
    if let Some(schema) = operation.takes {
        let content = json!({ "application/json": { "schema": schema } });
        written["requestBody"] = json!({ "required": true, "content": content });
    }
    if let Some(parameter) = parameter(operation.template) {
        written["parameters"] = json!([parameter]);
    }
    match takes {
        Takes::Get | Takes::GetWithToken => json!({ "get": written }),
        Takes::PostWithToken => json!({ "post": written }),
    }
}

/// What varies in a request for a path.
fn parameter(template: &str) -> Option<Value> {
    match template {
        "/" | "/events" => Some(json!({
            "name": "period", "in": "query",
            "description": "What the charts of the page show: 5 minutes, 1 hour or 24 hours.",
            "schema": { "type": "string", "enum": ["minutes", "hour", "day"] },
        })),
        "/api/v1/queries" => Some(json!({
            "name": "filter", "in": "query",
            "description": "Conditions as in DOTGATE_QUERY_LOG_FILTER; all queries without it.",
            "schema": { "type": "string" }, "example": "failed,slow>200ms",
        })),
        _ if template.contains("{name}") => Some(json!({
            "name": "name", "in": "path", "required": true,
            "description": "A domain name; the dot at its end is optional.",
            "schema": { "type": "string" },
        })),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_is_described_where_it_is_and_by_its_method() {
        let described: Value = serde_json::from_str(&description()).unwrap();
        let paths = described["paths"].as_object().unwrap();
        assert_eq!(paths.len(), Path::samples().len());
        for (template, methods) in paths {
            let path = Path::read(&template.replace("{name}", "example.com")).unwrap();
            let operation = match path.takes() {
                Takes::Get | Takes::GetWithToken => &methods["get"],
                Takes::PostWithToken => &methods["post"],
            };
            assert_eq!(path.takes().needs_token(), !operation["security"].is_null());
            assert!(operation["summary"].is_string(), "{template}");
        }
    }

    #[test]
    fn every_reference_leads_to_a_schema() {
        let text = description();
        let described: Value = serde_json::from_str(&text).unwrap();
        let schemas = described["components"]["schemas"].as_object().unwrap();
        let references = text.split("\"$ref\": \"").skip(1);
        let mut count = 0;
        for reference in references.map(|behind| behind.split('"').next().unwrap()) {
            let name = reference.strip_prefix("#/components/schemas/").unwrap();
            assert!(schemas.contains_key(name), "{name}");
            count += 1;
        }
        assert!(count > 10, "{count}");
    }
}
