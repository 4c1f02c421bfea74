//! From a method and a path to an operation and its labels. What the labels may hold, and everything beside the
//! path, is unknown here.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::OnceLock;

use percent_encoding::percent_decode_str;

use crate::model::{Operation, Protocol, Segment, Service};
use crate::refusal::Refusal;
use crate::{SERVICES, iot, iot_data, iot_jobs_data};

/// An operation and what stood at its labels.
#[derive(Debug)]
pub struct Found {
    /// What is asked for.
    pub operation: &'static Operation,
    /// The labels by the name of their input member, decoded and never empty.
    pub labels: Vec<(&'static str, String)>,
}

/// In which order services are asked whether a path is theirs, by the service in the credential scope. Some paths
/// are in two services (`GET /things/{thingName}/jobs`); who signs for one of them means that one.
pub fn services_for(scope_service: Option<&str>) -> &'static [&'static Service] {
    static CONTROL: [&Service; 3] = [&iot::SERVICE, &iot_data::SERVICE, &iot_jobs_data::SERVICE];
    static DATA: [&Service; 3] = [&iot_data::SERVICE, &iot_jobs_data::SERVICE, &iot::SERVICE];
    static JOBS: [&Service; 3] = [&iot_jobs_data::SERVICE, &iot_data::SERVICE, &iot::SERVICE];
    match scope_service {
        // A device asks for its jobs, not for what an administrator would list.
        Some("iotdata" | "iotdevicegateway" | "data-ats.iot") => &DATA,
        Some("iot-jobs-data" | "iotjobsdata") => &JOBS,
        _ => &CONTROL,
    }
}

/// Finds the operation of the first of `services` that has this method at this path, which is as it came,
/// percent-encoded, as is the query.
pub fn route(services: &[&'static Service], method: &str, path: &str, query: &str) -> Result<Found, Refusal> {
    let nowhere = || Refusal::new("UnknownOperationException", "No operation has this path.");
    let path = path.strip_prefix('/').ok_or_else(nowhere)?;
    let first = decoded(path.split('/').next().unwrap_or_default())?;
    let methods = index().get(first.as_ref()).ok_or_else(nowhere)?;
    // A final slash counts where an operation has it and is forgiven elsewhere.
    let spellings = [Some(path), path.strip_suffix('/')];
    let find = |routes| spellings.into_iter().flatten().find_map(|path| find(services, routes, path, query));
    if let Some((route, labels)) = methods.get(method).and_then(|routes| find(routes)) {
        return Ok(Found { operation: route.operation, labels: decode_labels(labels)? });
    }
    if methods.values().any(|routes| find(routes).is_some()) {
        return Err(Refusal::method_not_allowed("No operation has this method at this path."));
    }
    Err(nowhere())
}

/// Text out of a path or a query, without its percent-encoding.
pub(crate) fn decoded(raw: &str) -> Result<Cow<'_, str>, Refusal> {
    let mut escapes = raw.split('%').skip(1).map(str::as_bytes);
    let sound = escapes.all(|escape| matches!(escape, [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit()));
    let text = percent_decode_str(raw).decode_utf8();
    match text {
        Ok(text) if sound => Ok(text),
        _ => Err(Refusal::invalid_request("The address is not valid percent-encoded UTF-8.")),
    }
}

/// Operations whose last label is a topic. SDKs encode its slashes; people with curl do not, and AWS takes both
/// (shadow facts §4). No path goes on after these labels, so the rest of it can be nothing else.
const ENDING_IN_A_TOPIC: [(&str, &str); 2] = [("iot-data", "Publish"), ("iot-data", "GetRetainedMessage")];

/// One way to spell the path of an operation.
struct Route {
    operation: &'static Operation,
    path: &'static [Segment],
    /// What must stand in the query.
    asked: Option<(&'static str, &'static str)>,
    topic: bool,
}

/// Labels and what stood there, encoded.
type RawLabels<'p> = Vec<(&'static str, &'p str)>;

impl Route {
    /// How general it is, a digit for each segment: what sorts first is tried first.
    fn generality(&self) -> Vec<u8> {
        let of = |segment: &Segment| match segment {
            Segment::Literal(_) | Segment::Query(..) => 0,
            Segment::Label(_) => 1,
            Segment::Greedy(_) => 2,
        };
        self.path.iter().map(of).chain([u8::from(self.asked.is_none())]).collect()
    }

    /// Whether the query has what must stand in it.
    fn is_asked(&self, query: &str) -> bool {
        let has = |name, value| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.any(|(key, text)| {
                decoded(key).is_ok_and(|key| key == name) && decoded(text).is_ok_and(|text| text == value)
            })
        };
        self.asked.is_none_or(|(name, value)| has(name, value))
    }

    /// What stands at the labels if `path` is one of this route.
    fn labels<'p>(&self, path: &'p str) -> Option<RawLabels<'p>> {
        let mut labels = Vec::new();
        let mut rest = Some(path);
        for (index, segment) in self.path.iter().enumerate() {
            let here = rest?;
            let (one, more) = here.split_once('/').map_or((here, None), |(one, more)| (one, Some(more)));
            let takes_all = matches!(segment, Segment::Greedy(_)) || (self.topic && index + 1 == self.path.len());
            rest = if takes_all { None } else { more };
            match segment {
                Segment::Literal(literal) if one == *literal => {}
                Segment::Literal(literal) => {
                    decoded(one).ok().filter(|one| one == literal)?;
                }
                Segment::Label(name) | Segment::Greedy(name) => {
                    labels.push((*name, if takes_all { here } else { one }));
                }
                Segment::Query(..) => {}
            }
        }
        rest.is_none().then_some(labels)
    }
}

/// Routes by first segment, which is a literal in every operation, and method.
type Index = HashMap<&'static str, HashMap<&'static str, Vec<Route>>>;

fn index() -> &'static Index {
    static INDEX: OnceLock<Index> = OnceLock::new();
    INDEX.get_or_init(|| {
        let mut index = Index::new();
        let by_path = SERVICES.iter().filter(|service| service.protocol == Protocol::RestJson);
        for operation in by_path.flat_map(|service| service.operations) {
            let Some(Segment::Literal(first)) = operation.path.first() else { continue };
            let routes = index.entry(first).or_default().entry(operation.method).or_default();
            let topic = ENDING_IN_A_TOPIC.contains(&(operation.service, operation.name));
            let (path, asked) = match operation.path {
                [path @ .., Segment::Query(name, value)] => (path, Some((*name, *value))),
                path => (path, None),
            };
            routes.push(Route { operation, path, asked, topic });
            if let [path @ .., Segment::Literal("")] = path {
                routes.push(Route { operation, path, asked, topic });
            }
        }
        let lists = index.values_mut().flat_map(HashMap::values_mut);
        lists.for_each(|routes| routes.sort_by_cached_key(Route::generality));
        index
    })
}

/// The route of the first service that has one for this path and query, and the most literal of them.
fn find<'p>(
    services: &[&Service],
    routes: &'static [Route],
    path: &'p str,
    query: &str,
) -> Option<(&'static Route, RawLabels<'p>)> {
    let of = |service: &&Service| {
        let mut own = routes.iter().filter(|route| route.operation.service == service.name && route.is_asked(query));
        own.find_map(|route| Some((route, route.labels(path)?)))
    };
    services.iter().find_map(of)
}

fn decode_labels(labels: RawLabels) -> Result<Vec<(&'static str, String)>, Refusal> {
    let decode = |(name, raw): (&'static str, &str)| {
        if raw.is_empty() {
            return Err(Refusal::invalid_request(format!(
                "1 validation error detected: Value '' at '{name}' failed to satisfy constraint: \
                 Member must have length greater than or equal to 1"
            )));
        }
        Ok((name, decoded(raw)?.into_owned()))
    };
    labels.into_iter().map(decode).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::service;

    /// `Operation label=value …`, or the error.
    fn outcome(scope: &str, method: &str, path: &str) -> String {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let services = service(scope).map_or_else(|| services_for(Some(scope)), std::slice::from_ref);
        match route(services, method, path, query) {
            Ok(found) => {
                let labels = found.labels.iter().map(|(name, value)| format!(" {name}={value}"));
                labels.fold(found.operation.name.to_owned(), |line, label| line + &label)
            }
            Err(refusal) => refusal.error().to_owned(),
        }
    }

    #[test]
    fn a_path_leads_to_its_operation() {
        for (scope, method, path, expected) in [
            ("iot", "GET", "/things", "ListThings"),
            ("iot", "GET", "/things/", "InvalidRequestException"),
            ("iot", "GET", "/things/a%20b%2Fc", "DescribeThing thingName=a b/c"),
            ("iot", "GET", "/%74hings", "ListThings"),
            ("iot", "DELETE", "/things/t", "DeleteThing thingName=t"),
            ("iot", "GET", "/things/t/jobs", "ListJobExecutionsForThing thingName=t"),
            ("iotdata", "GET", "/things/t/jobs", "GetPendingJobExecutions thingName=t"),
            ("iot-jobs-data", "GET", "/things/t/jobs", "GetPendingJobExecutions thingName=t"),
            ("iotjobsdata", "PUT", "/things/t/jobs/$next", "StartNextPendingJobExecution thingName=t"),
            ("iotjobsdata", "PUT", "/things/t/jobs/%24next", "StartNextPendingJobExecution thingName=t"),
            ("iotjobsdata", "GET", "/things/t/jobs/$next", "DescribeJobExecution thingName=t jobId=$next"),
            ("iot", "PUT", "/thing-groups/addThingToThingGroup", "AddThingToThingGroup"),
            ("iot", "GET", "/authorizers/", "ListAuthorizers"),
            ("iot", "GET", "/authorizers", "ListAuthorizers"),
            ("iot", "GET", "/certificate-providers/", "ListCertificateProviders"),
            ("iot", "GET", "/certificate-providers", "ListCertificateProviders"),
            ("iot", "GET", "/certificate-providers/p", "DescribeCertificateProvider certificateProviderName=p"),
            ("iot", "GET", "/destinations/arn:x/http/1", "GetTopicRuleDestination arn=arn:x/http/1"),
            ("iotdata", "GET", "/things/t/shadow", "GetThingShadow thingName=t"),
            ("iotdata", "GET", "/things/t/shadow/", "GetThingShadow thingName=t"),
            ("iotdata", "GET", "/things//shadow", "InvalidRequestException"),
            ("iotdata", "GET", "/connections/a%2Fb/subscriptions", "ListSubscriptions clientId=a/b"),
            ("iotdata", "GET", "/connections/a/b/subscriptions", "UnknownOperationException"),
            ("iot", "HEAD", "/things", "MethodNotAllowedException"),
            ("iot", "PATCH", "/things/t/shadow", "MethodNotAllowedException"),
            ("iot", "GET", "/", "UnknownOperationException"),
            ("iot", "GET", "", "UnknownOperationException"),
            ("iot", "GET", "//things", "UnknownOperationException"),
            ("iot", "GET", "/things/t/u/v", "UnknownOperationException"),
            ("iot", "GET", "/things/%", "InvalidRequestException"),
            ("iot", "GET", "/things/%4", "InvalidRequestException"),
            ("iot", "GET", "/things/%zz", "InvalidRequestException"),
            ("iot", "GET", "/things/%FF", "InvalidRequestException"),
        ] {
            assert_eq!(outcome(scope, method, path), expected, "{scope} {method} {path}");
        }
    }

    #[test]
    fn operations_at_one_path_are_told_apart_by_the_query() {
        for (path, expected) in [
            ("/2018-10-31/layers", "ListLayers"),
            ("/2018-10-31/layers?MaxItems=1", "ListLayers"),
            ("/2018-10-31/layers?find=LayerVersion&Arn=a", "GetLayerVersionByArn"),
            ("/2018-10-31/layers/?Arn=a&fin%64=Layer%56ersion", "GetLayerVersionByArn"),
            ("/2018-10-31/layers?find=", "ListLayers"),
            (
                "/2019-09-30/functions/f/provisioned-concurrency?Qualifier=1",
                "GetProvisionedConcurrencyConfig FunctionName=f",
            ),
            (
                "/2019-09-30/functions/f/provisioned-concurrency?List=ALL",
                "ListProvisionedConcurrencyConfigs FunctionName=f",
            ),
        ] {
            assert_eq!(outcome("lambda", "GET", path), expected, "{path}");
        }
    }

    #[test]
    fn a_topic_may_hold_slashes_raw_or_encoded() {
        for (method, path, expected) in [
            ("POST", "/topics/a%2Fb", "Publish topic=a/b"),
            ("POST", "/topics/a/b/", "Publish topic=a/b/"),
            ("POST", "/topics//a", "Publish topic=/a"),
            ("POST", "/topics/%24aws/rules/r", "Publish topic=$aws/rules/r"),
            ("POST", "/topics/", "InvalidRequestException"),
            ("POST", "/topics", "UnknownOperationException"),
            ("GET", "/retainedMessage/a/b%2Fc", "GetRetainedMessage topic=a/b/c"),
            ("GET", "/retainedMessage", "ListRetainedMessages"),
            ("GET", "/topics/a/b", "MethodNotAllowedException"),
        ] {
            assert_eq!(outcome("iotdata", method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn every_operation_is_found_at_its_own_path() {
        let mut shared = Vec::new();
        let own = SERVICES.iter().take(3);
        for (service, operation) in own.flat_map(|of| of.operations.iter().map(move |it| (of, it))) {
            let piece = |segment: &Segment| match segment {
                Segment::Literal(literal) => format!("/{literal}"),
                Segment::Label(_) => "/x".to_owned(),
                Segment::Greedy(_) => "/x/y".to_owned(),
                Segment::Query(..) => String::new(),
            };
            let path: String = operation.path.iter().map(piece).collect();
            let found = route(services_for(Some(service.signing_name)), operation.method, &path, "").unwrap();
            assert!(std::ptr::eq(found.operation, operation), "{} at {path}", operation.name);
            let labels = operation.path.iter().filter(|it| !matches!(it, Segment::Literal(_)));
            assert_eq!(found.labels.len(), labels.count());
            let unsigned = route(services_for(None), operation.method, &path, "").unwrap();
            if !std::ptr::eq(unsigned.operation, operation) {
                shared.push((unsigned.operation.name, operation.name));
            }
        }
        // These have one method and path in two services; without a credential scope it is the first.
        let expected = [
            ("DescribeJobExecution", "DescribeJobExecution"),
            ("ListJobExecutionsForThing", "GetPendingJobExecutions"),
            ("ListCommandExecutions", "StartCommandExecution"),
        ];
        assert_eq!(shared, expected);
    }

    proptest! {
        #[test]
        fn no_path_is_too_strange(method in "GET|POST|.{0,6}", path in "(/(things|topics|authorizers|%24|%|\\PC{0,4}|destinations)){0,6}/?") {
            for scope in ["iot", "iotdata", "iot-jobs-data"] {
                if let Ok(found) = route(services_for(Some(scope)), &method, &path, "") {
                    prop_assert!(found.labels.iter().all(|(_, value)| !value.is_empty()));
                }
            }
        }
    }
}
