//! `cargo xtask gen`: prints the tables of crate `wire` from AWS's own service models, as a pinned botocore ships them.
//!
//! The models come out of the project's virtualenv; only names, places, constraints and status codes go into the
//! repository, never their prose. `--check` fails when the committed tables are not what would be printed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::Failed;

mod operations;

const BOTOCORE: &str = "1.44.5";

/// A service of the tables, with what its model does not say.
struct Chosen {
    /// Its name in botocore.
    service: &'static str,
    /// Its module in `wire`.
    module: &'static str,
    /// The operations that have shapes and types; the others are known by name and route only. None stands for all.
    whole: Option<&'static [&'static str]>,
    /// The error that breaks of the model's constraints are told with.
    invalid: &'static str,
    /// Bytes of the longest body that is read.
    max_body: usize,
}

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// The largest bodies of the IoT models are some 128 KiB of certificates; packages of functions come as base64 of 50 MB,
/// batches of tables are 16 MB and those of metrics 1 MB, as those of logs are before JSON escapes what is in them.
const SERVICES: [Chosen; 10] = [
    Chosen::iot("iot", "iot"),
    Chosen::iot("iot-data", "iot_data"),
    Chosen::iot("iot-jobs-data", "iot_jobs_data"),
    Chosen::neighbour("lambda", operations::LAMBDA, "ValidationException", 70 * MIB),
    Chosen::neighbour("dynamodb", operations::DYNAMODB, "ValidationException", 17 * MIB),
    Chosen::neighbour("logs", operations::LOGS, "InvalidParameterException", 4 * MIB),
    Chosen::neighbour("cloudwatch", operations::CLOUDWATCH, "ValidationError", MIB),
    Chosen::neighbour("iam", operations::IAM, "ValidationError", 512 * KIB),
    Chosen::neighbour("sts", operations::STS, "ValidationError", 64 * KIB),
    Chosen::neighbour("secretsmanager", operations::SECRETSMANAGER, "ValidationException", 256 * KIB),
];

impl Chosen {
    const fn iot(service: &'static str, module: &'static str) -> Self {
        Self { service, module, whole: None, invalid: "InvalidRequestException", max_body: 512 * KIB }
    }

    const fn neighbour(
        service: &'static str,
        whole: &'static [&'static str],
        invalid: &'static str,
        max_body: usize,
    ) -> Self {
        Self { service, module: service, whole: Some(whole), invalid, max_body }
    }

    fn is_whole(&self, operation: &str) -> bool {
        self.whole.is_none_or(|whole| whole.contains(&operation))
    }
}

/// Prints every model without its documentation, one JSON object by service.
const DUMP: &str = r"
import json, sys, botocore.loaders
def bare(node):
    if isinstance(node, dict):
        return {k: bare(v) for k, v in node.items() if not (k == 'documentation' and isinstance(v, str))}
    return [bare(item) for item in node] if isinstance(node, list) else node
loader = botocore.loaders.create_loader()
json.dump({name: bare(loader.load_service_model(name, 'service-2')) for name in sys.argv[1:]}, sys.stdout)
";

/// Writes the tables, or with `check` compares them.
pub(crate) fn run(root: &Path, check: bool) -> Result<(), Failed> {
    let models = load(root)?;
    let mut stale = Vec::new();
    for chosen in &SERVICES {
        let path = root.join(format!("crates/wire/src/generated/{}.rs", chosen.module));
        let text = Printer::new(&models[chosen.service], chosen)?.print()?;
        if fs::read_to_string(&path).is_ok_and(|old| old == text) {
            continue;
        }
        if check {
            stale.push(path.display().to_string());
        } else {
            fs::write(&path, text).map_err(|cause| Failed::because(format!("write {}", path.display()), cause))?;
        }
    }
    if stale.is_empty() {
        return Ok(());
    }
    Err(Failed::new(format!("not what `cargo xtask gen` prints: {}", stale.join(", "))))
}

/// The pinned botocore's models; it is put into the virtualenv if it is not there.
fn load(root: &Path) -> Result<Value, Failed> {
    let python = crate::venv::python(root)?;
    let pinned = format!("import botocore; assert botocore.__version__ == '{BOTOCORE}'");
    let present = Command::new(&python).args(["-c", &pinned]).output().is_ok_and(|run| run.status.success());
    if !present {
        crate::venv::install(root, &[&format!("botocore=={BOTOCORE}")])?;
    }
    let names = SERVICES.each_ref().map(|chosen| chosen.service);
    let run = Command::new(&python).args(["-c", DUMP]).args(names).output();
    let run = run.map_err(|cause| Failed::because("run python".to_owned(), cause))?;
    if !run.status.success() {
        return Err(Failed::new(format!("read the models: {}", String::from_utf8_lossy(&run.stderr))));
    }
    serde_json::from_slice(&run.stdout).map_err(|cause| Failed::because("read the models".to_owned(), cause))
}

/// Prints one service.
struct Printer<'m> {
    model: &'m Value,
    chosen: &'m Chosen,
    shapes: &'m serde_json::Map<String, Value>,
    operations: BTreeMap<&'m str, &'m Value>,
    /// Structures that are read (inside inputs) and written (inside outputs).
    read: BTreeSet<&'m str>,
    written: BTreeSet<&'m str>,
}

impl<'m> Printer<'m> {
    fn new(model: &'m Value, chosen: &'m Chosen) -> Result<Self, Failed> {
        let object = |key: &str| {
            model[key].as_object().ok_or_else(|| Failed::new(format!("the model of {} has no {key}", chosen.service)))
        };
        let shapes = object("shapes")?;
        let named = object("operations")?.iter().map(|(name, operation)| (name.as_str(), operation));
        let operations: BTreeMap<&str, &Value> = named.collect();
        if let Some(unknown) = chosen.whole.into_iter().flatten().find(|name| !operations.contains_key(**name)) {
            return Err(Failed::new(format!("the model of {} has no operation {unknown}", chosen.service)));
        }
        let mut printer = Self { model, chosen, shapes, operations, read: BTreeSet::new(), written: BTreeSet::new() };
        for operation in printer.whole().map(|(_, operation)| operation).collect::<Vec<_>>() {
            let mut read = std::mem::take(&mut printer.read);
            printer.reach(shape_of(&operation["input"]), &mut read);
            printer.read = read;
            let mut written = std::mem::take(&mut printer.written);
            printer.reach(shape_of(&operation["output"]), &mut written);
            printer.written = written;
        }
        Ok(printer)
    }

    /// The operations that have shapes and types, each with its place among all.
    fn whole(&self) -> impl Iterator<Item = (usize, &'m Value)> {
        let all = self.operations.iter().enumerate();
        all.filter(|(_, (name, _))| self.chosen.is_whole(name)).map(|(at, (_, operation))| (at, *operation))
    }

    /// Every shape that `name` leads to.
    fn reach(&self, name: &'m str, found: &mut BTreeSet<&'m str>) {
        if name.is_empty() || !found.insert(name) {
            return;
        }
        let shape = &self.shapes[name];
        for member in shape["members"].as_object().into_iter().flat_map(serde_json::Map::values) {
            self.reach(shape_of(member), found);
        }
        for inner in ["member", "key", "value"] {
            self.reach(shape_of(&shape[inner]), found);
        }
    }

    fn print(&self) -> Result<String, Failed> {
        let mut out = String::new();
        self.header(&mut out)?;
        self.tables(&mut out)?;
        self.documents(&mut out)?;
        Ok(out)
    }

    fn header(&self, out: &mut String) -> Result<(), Failed> {
        let service = self.chosen.service;
        let signing =
            self.model["metadata"]["signingName"].as_str().or(self.model["metadata"]["endpointPrefix"].as_str());
        let signing = signing.ok_or_else(|| Failed::new(format!("{service} has no signing name")))?;
        line(out, &format!("//! The model of `{service}`: operations, shapes, errors, and a type for each structure."));
        line(out, &format!("//! Generated by `cargo xtask gen` from botocore {BOTOCORE}; do not edit."));
        line(out, "#![cfg_attr(rustfmt, rustfmt::skip)]");
        line(
            out,
            "#![allow(clippy::all, clippy::pedantic, dead_code, unused_imports, unreachable_pub, reason = \"generated: what nobody uses yet costs nothing\")]",
        );
        line(out, "");
        line(out, "use bytes::Bytes;");
        line(out, "use serde_json::{Map, Value};");
        line(out, "");
        line(out, "use crate::document::{self, Input, Output, documents};");
        line(
            out,
            "use crate::model::{Bounds, Member, NONE, Operation, Pattern, Place, Protocol, Query, Json, Cbor, Range, Segment, Service, Shape, Text, bounds};",
        );
        line(out, "");
        line(out, "/// The service.");
        line(out, "pub static SERVICE: Service = Service {");
        line(out, &format!("    name: {service:?},"));
        line(out, &format!("    signing_name: {signing:?},"));
        line(out, &format!("    protocol: {},", self.protocol()?));
        line(out, &format!("    cbor: {},", self.cbor()));
        line(out, "    operations: &OPERATIONS,");
        line(out, "    errors: ERRORS,");
        line(out, &format!("    invalid: {:?},", self.chosen.invalid));
        line(out, &format!("    max_body: {},", self.chosen.max_body));
        line(out, "};");
        line(out, "");
        Ok(())
    }

    /// The protocol, the oldest of those we speak where a service has several.
    fn protocol(&self) -> Result<String, Failed> {
        let metadata = &self.model["metadata"];
        let spoken: Vec<&str> = list(&metadata["protocols"]).filter_map(Value::as_str).collect();
        let text = |key: &str| metadata[key].as_str().unwrap_or_default();
        if spoken.contains(&"rest-json") {
            return Ok("Protocol::RestJson".to_owned());
        }
        let query = format!("Query {{ version: {:?}, namespace: {:?} }}", text("apiVersion"), text("xmlNamespace"));
        let json = format!("Json {{ version: {:?}, target: {:?} }}", text("jsonVersion"), text("targetPrefix"));
        match (spoken.contains(&"json"), spoken.contains(&"query")) {
            (true, true) => Ok(format!("Protocol::Both({json}, {query})")),
            (true, false) => Ok(format!("Protocol::Json({json})")),
            (false, true) => Ok(format!("Protocol::Query({query})")),
            (false, false) => Err(Failed::new(format!("{} speaks {spoken:?}", self.chosen.service))),
        }
    }

    /// Whether CBOR is taken too, and the errors that have another name there than in forms.
    fn cbor(&self) -> String {
        let metadata = &self.model["metadata"];
        if !list(&metadata["protocols"]).any(|it| it == "smithy-rpc-v2-cbor") {
            return "None".to_owned();
        }
        let errors = self.shapes.iter().filter(|(_, shape)| shape["exception"] == true);
        let renamed = errors.filter_map(|(name, shape)| {
            let code = shape["error"]["code"].as_str()?;
            (!self.shapes.contains_key(code)).then(|| format!("({code:?}, {name:?})"))
        });
        let renamed = renamed.collect::<Vec<_>>().join(", ");
        let service = metadata["targetPrefix"].as_str().unwrap_or_default();
        format!("Some(Cbor {{ service: {service:?}, renamed: &[{renamed}] }})")
    }

    fn tables(&self, out: &mut String) -> Result<(), Failed> {
        line(out, "static ERRORS: &[(&str, u16)] = &[");
        for (name, shape) in self.shapes.iter().filter(|(_, shape)| shape["exception"] == true) {
            let status =
                shape["error"]["httpStatusCode"].as_u64().unwrap_or(if shape["fault"] == true { 500 } else { 400 });
            let code = shape["error"]["code"].as_str().unwrap_or(name);
            line(out, &format!("    ({code:?}, {status}),"));
        }
        line(out, "];");
        line(out, "");
        line(out, &format!("static OPERATIONS: [Operation; {}] = [", self.operations.len()));
        for (name, operation) in &self.operations {
            line(out, &self.operation(name, operation)?);
        }
        line(out, "];");
        line(out, "");
        let reached: BTreeSet<_> = self.read.union(&self.written).copied().collect();
        for name in reached {
            line(out, &self.shape(name)?);
        }
        line(out, "");
        Ok(())
    }

    fn operation(&self, name: &str, operation: &Value) -> Result<String, Failed> {
        let http = &operation["http"];
        let (Some(method), Some(uri)) = (http["method"].as_str(), http["requestUri"].as_str()) else {
            return Err(Failed::new(format!("{name} has no route")));
        };
        // Of two operations at one path the query of one has what tells them apart.
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        let asked = query.split_once('=').map(|(name, value)| format!("Segment::Query({name:?}, {value:?})"));
        let path: Vec<String> = path.split('/').skip(1).map(segment).chain(asked).collect();
        let code = |error| {
            let name = shape_of(error);
            format!("{:?}", self.shapes[name]["error"]["code"].as_str().unwrap_or(name))
        };
        let errors: Vec<String> = list(&operation["errors"]).map(code).collect();
        let members = |io: &str| match shape_of(&operation[io]) {
            _ if !self.chosen.is_whole(name) => "&[]".to_owned(),
            "" => "&[]".to_owned(),
            shape => format!("{}_MEMBERS", constant(shape)),
        };
        Ok(format!(
            "    Operation {{ service: {:?}, name: {name:?}, method: {method:?}, path: &[{}], status: {}, input: {}, output: {}, errors: &[{}] }},",
            self.chosen.service,
            path.join(", "),
            http["responseCode"].as_u64().unwrap_or(200),
            members("input"),
            members("output"),
            errors.join(", ")
        ))
    }

    fn shape(&self, name: &str) -> Result<String, Failed> {
        let shape = &self.shapes[name];
        let id = constant(name);
        let inner = |key: &str| format!("&{}", constant(shape_of(&shape[key])));
        let body = match kind(shape) {
            "structure" => {
                let members: Vec<String> = self.members(name).map(|member| member.row()).collect();
                let table = format!("static {id}_MEMBERS: &[Member] = &[\n{}];\n", members.concat());
                return Ok(format!("{table}static {id}: Shape = Shape::Structure({id}_MEMBERS);"));
            }
            "list" => format!("Shape::List({}, {})", inner("member"), limits(shape)),
            "map" => format!("Shape::Map({}, {}, {})", inner("key"), inner("value"), limits(shape)),
            "string" => text(shape),
            "integer" | "long" => format!("Shape::Integer({})", limits(shape)),
            "double" | "float" => format!("Shape::Double({})", range(shape)),
            "boolean" => "Shape::Boolean".to_owned(),
            "timestamp" => "Shape::Timestamp".to_owned(),
            "blob" => format!("Shape::Blob({})", limits(shape)),
            other => return Err(Failed::new(format!("{name} is a {other}, which the tables do not have yet"))),
        };
        Ok(format!("static {id}: Shape = {body};"))
    }

    fn members(&self, structure: &'m str) -> impl Iterator<Item = Field<'m>> {
        let shape = &self.shapes[structure];
        let members = shape["members"].as_object().into_iter().flatten();
        members.map(move |(name, member)| Field {
            name,
            member,
            required: list(&shape["required"]).any(|required| required == name.as_str()),
            is_payload: shape["payload"] == name.as_str(),
            shapes: self.shapes,
        })
    }

    fn documents(&self, out: &mut String) -> Result<(), Failed> {
        line(out, "documents! {");
        let mut tops = BTreeSet::new();
        let mut outputs = BTreeSet::new();
        for (at, operation) in self.whole() {
            let (input, output) = (shape_of(&operation["input"]), shape_of(&operation["output"]));
            let response = if output.is_empty() { "()" } else { output };
            if !tops.insert(input) {
                return Err(Failed::new(format!("{input} is the input of two operations")));
            }
            line(out, &format!("input {input} = {at} -> {response} {{"));
            for member in self.members(input) {
                line(out, &member.getter());
            }
            line(out, "}");
            if !output.is_empty() && outputs.insert(output) {
                line(out, &format!("output {output} {{"));
                for member in self.members(output) {
                    line(out, &member.setter());
                }
                line(out, "}");
            }
        }
        let structures = self.read.union(&self.written).filter(|name| kind(&self.shapes[**name]) == "structure");
        for name in structures.filter(|name| !tops.contains(*name) && !outputs.contains(*name)) {
            let both: Vec<Field> = self.members(name).collect();
            let gets: String = both.iter().map(|member| member.getter() + " ").collect();
            let sets: String = both.iter().map(|member| member.setter() + " ").collect();
            line(out, &format!("part {name} {{ get {{ {gets}}} set {{ {sets}}} }}"));
        }
        line(out, "}");
        Ok(())
    }
}

/// A member on its way into the tables.
struct Field<'m> {
    name: &'m str,
    member: &'m Value,
    required: bool,
    is_payload: bool,
    shapes: &'m serde_json::Map<String, Value>,
}

impl Field<'_> {
    fn wire(&self) -> &str {
        self.member["locationName"].as_str().unwrap_or(self.name)
    }

    fn place(&self) -> &'static str {
        match self.member["location"].as_str() {
            _ if self.is_payload => "Payload",
            Some("uri") => "Path",
            Some("querystring") => "Query",
            Some("header") if self.member["jsonvalue"] == true => "JsonHeader",
            Some("header") => "Header",
            Some("statusCode") => "Status",
            _ => "Body",
        }
    }

    /// Body members keep their wire name, so that a body is bound and printed as it is.
    fn key(&self) -> &str {
        if self.place() == "Body" { self.wire() } else { self.name }
    }

    fn row(&self) -> String {
        format!(
            "    Member {{ wire: {:?}, key: {:?}, place: Place::{}, required: {}, shape: &{} }},\n",
            self.wire(),
            self.key(),
            self.place(),
            self.required,
            constant(shape_of(self.member))
        )
    }

    /// The macro's word for the type, and the nested type if there is one.
    fn kind(&self) -> (&'static str, &str) {
        let name = shape_of(self.member);
        let shape = &self.shapes[name];
        let element = shape_of(&shape["member"]);
        match kind(shape) {
            "blob" if self.is_payload => ("payload", ""),
            "string" => ("text", ""),
            "integer" | "long" => ("integer", ""),
            "double" | "float" => ("double", ""),
            "boolean" => ("boolean", ""),
            "timestamp" => ("timestamp", ""),
            "structure" => ("structure", name),
            "list" if kind(&self.shapes[element]) == "string" => ("texts", ""),
            "list" if kind(&self.shapes[element]) == "structure" => ("structures", element),
            _ => ("value", ""),
        }
    }

    fn getter(&self) -> String {
        let (kind, nested) = self.kind();
        let must = if self.required { "!" } else { "?" };
        format!("{kind} {must} {} {:?} {nested},", ident(&snake(self.name)), self.key())
    }

    fn setter(&self) -> String {
        let (kind, nested) = self.kind();
        format!("{kind} ? with_{} {:?} {nested},", snake(self.name), self.key())
    }
}

fn line(out: &mut String, text: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(out, "{text}");
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn shape_of(reference: &Value) -> &str {
    reference["shape"].as_str().unwrap_or_default()
}

fn kind(shape: &Value) -> &str {
    shape["type"].as_str().unwrap_or_default()
}

fn segment(piece: &str) -> String {
    match piece.strip_prefix('{').and_then(|piece| piece.strip_suffix('}')) {
        Some(label) => match label.strip_suffix('+') {
            Some(label) => format!("Segment::Greedy({label:?})"),
            None => format!("Segment::Label({label:?})"),
        },
        None => format!("Segment::Literal({piece:?})"),
    }
}

fn limits(shape: &Value) -> String {
    let bound = |key: &str| shape[key].as_i64().map_or("NONE".to_owned(), |bound| bound.to_string());
    format!("bounds({}, {})", bound("min"), bound("max"))
}

/// The limits of a number with a fraction; they may have one themselves.
fn range(shape: &Value) -> String {
    let limit = |key: &str| shape[key].as_f64().map(|limit| format!("{limit:?}"));
    let limit = |key: &str| limit(key).map_or("None".to_owned(), |limit| format!("Some({limit})"));
    format!("Range {{ min: {}, max: {} }}", limit("min"), limit("max"))
}

fn text(shape: &Value) -> String {
    let values: Vec<String> = list(&shape["enum"]).map(Value::to_string).collect();
    let pattern = shape["pattern"].as_str().filter(|pattern| *pattern != r"[\s\S]*");
    let pattern = match pattern {
        Some(written) => format!("Some(Pattern {{ written: {written:?}, regex: {:?} }})", translate(written)),
        None => "None".to_owned(),
    };
    format!(
        "Shape::Text(Text {{ length: {}, pattern: {pattern}, values: &[{}], sensitive: {} }})",
        limits(shape),
        values.join(", "),
        shape["sensitive"] == true
    )
}

/// AWS's patterns are Java's: ASCII classes by other names, and always about the whole text. A look around, which our
/// regular expressions do not have, is left out: whoever handles the operation checks what it forbids.
fn translate(pattern: &str) -> String {
    let mut regex = String::from("^(?:");
    let around = pattern.find("(?!").or_else(|| pattern.find("(?<!"));
    let around = around.and_then(|from| Some((from, from + pattern[from..].find(')')? + 1)));
    let (before, after) = around.map_or((pattern, ""), |(from, to)| (&pattern[..from], &pattern[to..]));
    let without = [before, after].concat();
    let mut rest = without.as_str();
    let mut in_class = false;
    'next: while let Some(first) = rest.chars().next() {
        const CLASSES: [(&str, &str); 6] = [
            (r"\p{Graph}", "!-~"),
            (r"\p{Upper}", "A-Z"),
            (r"\p{Digit}", "0-9"),
            (r"\p{Cntrl}", r"\x00-\x1f\x7f"),
            (r"\w", "0-9A-Za-z_"),
            (r"\d", "0-9"),
        ];
        for (java, class) in CLASSES {
            if let Some(after) = rest.strip_prefix(java) {
                if in_class {
                    regex.push_str(class);
                } else {
                    regex.extend(["[", class, "]"]);
                }
                rest = after;
                continue 'next;
            }
        }
        let taken = if first == '\\' { rest.chars().take(2).map(char::len_utf8).sum() } else { first.len_utf8() };
        match first {
            '[' => in_class = true,
            ']' => in_class = false,
            _ => {}
        }
        regex.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    regex + ")$"
}

fn constant(name: &str) -> String {
    format!("S_{}", snake(name).to_uppercase())
}

/// `thingTypeName` and `enableOCSPCheck` become `thing_type_name` and `enable_ocsp_check`.
fn snake(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let mut out = String::new();
    for (at, &c) in chars.iter().enumerate() {
        let after_small = at > 0 && !chars[at - 1].is_uppercase() && chars[at - 1] != '_';
        let before_small =
            at > 0 && chars[at - 1].is_uppercase() && chars.get(at + 1).is_some_and(|next| next.is_lowercase());
        if c.is_uppercase() && (after_small || before_small) {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    out
}

fn ident(name: &str) -> String {
    if ["type", "match", "move", "ref", "self", "use", "where", "in"].contains(&name) {
        format!("r#{name}")
    } else {
        name.to_owned()
    }
}

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_snake_case() {
        let cases = [
            ("thingTypeName", "thing_type_name"),
            ("enableOCSPCheck", "enable_ocsp_check"),
            ("PublicKey", "public_key"),
            ("caCertificateId", "ca_certificate_id"),
            ("mqtt5Configuration", "mqtt5_configuration"),
            ("MaxResults", "max_results"),
        ];
        for (name, expected) in cases {
            assert_eq!(snake(name), expected);
        }
    }

    #[test]
    fn javas_classes_become_ascii_ones() {
        assert_eq!(translate(r"[\p{Graph}\x20]*"), r"^(?:[!-~\x20]*)$");
        assert_eq!(translate(r"[\w+=,.@-]+"), "^(?:[0-9A-Za-z_+=,.@-]+)$");
        assert_eq!(translate(r"/\w{1,20}/"), "^(?:/[0-9A-Za-z_]{1,20}/)$");
        assert_eq!(translate("(?!^[0-9]+$)([a-z]+)"), "^(?:([a-z]+))$");
    }
}
