//! AWS's service model as data: services, operations, and the shapes of what goes in and out. The tables
//! themselves are generated; how they are used is told in `route`, `bind` and `reply`.

/// A service: what shares an endpoint and a signing name.
#[derive(Debug)]
pub struct Service {
    /// The name in botocore and in the CLI: `iot`, `iot-data`, `iot-jobs-data`.
    pub name: &'static str,
    /// The service in a SigV4 credential scope.
    pub signing_name: &'static str,
    /// How requests and answers are written.
    pub protocol: Protocol,
    /// How they are written in CBOR, which a client may choose instead, if the service takes it.
    pub cbor: Option<Cbor>,
    /// In alphabetical order.
    pub operations: &'static [Operation],
    /// Exceptions and their HTTP status, which differs between services.
    pub errors: &'static [(&'static str, u16)],
    /// The error that breaks of the model's constraints are told with.
    pub invalid: &'static str,
    /// Bytes of the longest body that is read.
    pub max_body: usize,
}

/// How a service's requests and answers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Method and path name the operation; what they leave over is JSON.
    RestJson,
    /// A header names the operation; JSON goes in and comes out.
    Json(Json),
    /// A form names the operation among its parameters; XML comes out.
    Query(Query),
    /// Either of the two, as the client likes.
    Both(Json, Query),
}

/// What is particular to one service's JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Json {
    /// `1.0` or `1.1`, as the content type says it.
    pub version: &'static str,
    /// What stands before the dot in `X-Amz-Target`.
    pub target: &'static str,
}

/// What is particular to one service's forms and XML.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    /// The version that a form names.
    pub version: &'static str,
    /// The XML namespace of its answers.
    pub namespace: &'static str,
}

/// What is particular to one service's CBOR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cbor {
    /// The service in the path of a request.
    pub service: &'static str,
    /// Errors that forms know by another name than the model has for them: that of the forms, and the model's.
    pub renamed: &'static [(&'static str, &'static str)],
}

impl Cbor {
    /// The name that the model has for an error of forms.
    pub(crate) fn model_name(self, error: &'static str) -> &'static str {
        self.renamed.iter().find(|(form, _)| *form == error).map_or(error, |(_, name)| name)
    }
}

/// One operation of a service.
#[derive(Debug)]
pub struct Operation {
    /// The name of its service.
    pub service: &'static str,
    /// The name, as in `CreateThing`.
    pub name: &'static str,
    /// The HTTP method.
    pub method: &'static str,
    /// The path, cut at its slashes.
    pub path: &'static [Segment],
    /// The HTTP status of an answer.
    pub status: u16,
    /// The members of the input; none for an operation that is known by name only.
    pub input: &'static [Member],
    /// The members of the output; none for an operation that answers nothing.
    pub output: &'static [Member],
    /// The exceptions it may raise, beyond those of its front end.
    pub errors: &'static [&'static str],
}

/// A piece of a path.
#[derive(Debug, PartialEq, Eq)]
pub enum Segment {
    /// Must stand there as it is.
    Literal(&'static str),
    /// Anything without a slash, for the input member of this name.
    Label(&'static str),
    /// The rest of the path, slashes and all.
    Greedy(&'static str),
    /// Behind the path: a parameter of the query that must have this value, where another operation has the same path.
    Query(&'static str, &'static str),
}

/// A member of a structure.
#[derive(Debug)]
pub struct Member {
    /// What it is called on the wire, in its place.
    pub wire: &'static str,
    /// The key it has in a bound document.
    pub key: &'static str,
    /// Where it is on the wire.
    pub place: Place,
    /// Whether an input without it is refused.
    pub required: bool,
    /// What it may be.
    pub shape: &'static Shape,
}

/// Where on the wire a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A key of the JSON body.
    Body,
    /// A label of the path.
    Path,
    /// A parameter of the query.
    Query,
    /// A header.
    Header,
    /// A header that holds base64 of JSON.
    JsonHeader,
    /// The HTTP status of the answer.
    Status,
    /// It is the body.
    Payload,
}

/// What a value may be. Bounds are those of the model: of characters, elements or numbers.
#[derive(Debug)]
pub enum Shape {
    /// Named members.
    Structure(&'static [Member]),
    /// Elements of one shape.
    List(&'static Shape, Bounds),
    /// Values of one shape under keys of another.
    Map(&'static Shape, &'static Shape, Bounds),
    /// Text.
    Text(Text),
    /// A whole number.
    Integer(Bounds),
    /// A number.
    Double(Range),
    /// True or false.
    Boolean,
    /// Seconds since the epoch, with a fraction.
    Timestamp,
    /// Bytes: base64 in JSON, themselves as a payload.
    Blob(Bounds),
}

/// The least and the most, where the model says.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The least.
    pub min: Option<i64>,
    /// The most.
    pub max: Option<i64>,
}

/// The least and the most of a number that may have a fraction.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    /// The least.
    pub min: Option<f64>,
    /// The most.
    pub max: Option<f64>,
}

/// What text may be.
#[derive(Debug)]
pub struct Text {
    /// How many characters.
    pub length: Bounds,
    /// The pattern as AWS writes it, and as the regular expression crate reads it.
    pub pattern: Option<Pattern>,
    /// If not empty, the only values there are.
    pub values: &'static [&'static str],
    /// Whether the value is kept out of messages.
    pub sensitive: bool,
}

/// A pattern that must match the whole text.
#[derive(Debug)]
pub struct Pattern {
    /// As the model writes it, for messages.
    pub written: &'static str,
    /// The same for the `regex` crate.
    pub regex: &'static str,
}

pub(crate) const fn bounds(min: i64, max: i64) -> Bounds {
    Bounds { min: if min == NONE { None } else { Some(min) }, max: if max == NONE { None } else { Some(max) } }
}

/// Stands for "no bound" in the generated tables, to keep them short.
pub(crate) const NONE: i64 = i64::MIN;
