//! Functions, as AWS Lambda has them: a package or a URL, its configuration, and who may invoke it. Making and changing them is
//! here and in the files below; running them is the business of whoever opened the house.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use store::{Table, json_record};
use wire::lambda::{
    Concurrency, CreateFunctionRequest, DeleteFunctionConcurrencyRequest, DeleteFunctionRequest,
    DeleteFunctionResponse, FunctionCodeLocation, FunctionConfiguration, GetFunctionCodeSigningConfigRequest,
    GetFunctionCodeSigningConfigResponse, GetFunctionConcurrencyRequest, GetFunctionConcurrencyResponse,
    GetFunctionConfigurationRequest, GetFunctionRequest, GetFunctionResponse, ListFunctionsRequest,
    ListFunctionsResponse, ListTagsRequest, ListTagsResponse, PutFunctionConcurrencyRequest, TagResourceRequest,
    UntagResourceRequest, UpdateFunctionCodeRequest, UpdateFunctionConfigurationRequest,
};
use wire::{Output, Refusal};

use crate::house::{Fetch, House, Job, Plan};
use crate::operation::{Answer, Op, ops};
use crate::scope::{Asked, Context, NO_PARTS, Read, Write, paged};

use configuration::{Configuration, Wanted};
use names::{LATEST, Named, conflict, invalid, not_found};
use package::{PACKED, sha256};
use versions::VERSIONS;

mod configuration;
mod events;
mod invoke;
pub(crate) mod names;
mod package;
pub(crate) mod permissions;
mod retries;
mod running;
mod versions;

pub use events::{Due, Outcome};
pub use package::{Entry, Package};
pub use running::{Code, Function, Invocation, Invoked, KEYS_LAST, Keys};

pub(crate) const OPS: &[Op] = ops! {
    live create_function on any;
    read get_function on any;
    read get_function_configuration on any;
    read get_function_code_signing_config on any;
    read list_functions on any;
    live update_function_code on any;
    write update_function_configuration on any;
    write delete_function on any;
    write put_function_concurrency on any;
    read get_function_concurrency on any;
    write delete_function_concurrency on any;
    read list_tags on any;
    write tag_resource on any;
    write untag_resource on any;
};

/// The rows of the files below.
pub(crate) const FURTHER: [&[Op]; 4] = [invoke::OPS, permissions::OPS, retries::OPS, versions::OPS];

/// By name.
pub(crate) const FUNCTIONS: Table<Known> = Table::new("functions");

/// Packages, by the function's name and their SHA-256 in base64.
const CODE: Table<Vec<u8>> = Table::new("function_code");

/// The service that has a function's role.
const LAMBDA: &str = "lambda.amazonaws.com";

/// Tags that a function may have.
const TAGS: usize = 50;

/// A function.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Known {
    /// As it is now.
    latest: Configuration,
    /// The number of the next version.
    #[serde(default = "one")]
    next_version: u64,
    /// Who may invoke it, in the order they were let in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    permissions: Vec<permissions::Permission>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<String, String>,
    /// Invocations at a time, if somebody set that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    concurrency: Option<u64>,
}
json_record!(Known, version 1);

fn one() -> u64 {
    1
}

/// The function that a caller named, without a version.
fn known(db: Read, named: &Named) -> Answer<Known> {
    let known = db.get(&FUNCTIONS, [&named.name])?;
    known.ok_or_else(|| not_found(&named.arn(&db.cx.scope)).into())
}

/// A function at a version or an alias, and the version that this is.
fn resolved(db: Read, named: &Named) -> Answer<(Known, Configuration, String)> {
    let known = known(db, named)?;
    let Some(qualifier) = named.beyond_latest() else {
        let latest = known.latest.clone();
        return Ok((known, latest, LATEST.to_owned()));
    };
    let number = versions::number(db, &named.name, qualifier)?;
    if number == LATEST {
        let latest = known.latest.clone();
        return Ok((known, latest, number));
    }
    let published = db.get(&VERSIONS, [&named.name, &number])?;
    let published = published.ok_or_else(|| not_found(&named.arn(&db.cx.scope)))?;
    Ok((known, published, versions::plain(&number).to_owned()))
}

fn named(db: Read, text: &str, qualifier: Option<&str>) -> Result<Named, Refusal> {
    Named::parse(&db.cx.scope, text, qualifier)
}

/// A package that has been unpacked from its request and looked at.
struct Packed {
    bytes: Vec<u8>,
    sha256: String,
}

/// The code that a request brings: a package, or the URL of something that runs elsewhere.
enum Brought {
    Package(Arc<Packed>),
    Url(String),
}

/// Where the code of a function is.
enum Source {
    /// In the request.
    Here(Brought),
    /// In a bucket, by its name and the object's key.
    Bucket(String, String),
}

/// Where a request says that the code is. It may be large, and is looked at once, before the transaction.
fn source(zip_file: Option<&Value>, image_uri: Option<&str>, object: (Option<&str>, Option<&str>)) -> Answer<Source> {
    if let Some(uri) = image_uri {
        return Ok(Source::Here(Brought::Url(configuration::url(uri)?)));
    }
    if let (Some(bucket), Some(key)) = object {
        return Ok(Source::Bucket(bucket.to_owned(), key.to_owned()));
    }
    let text = zip_file.and_then(Value::as_str);
    let text = text.ok_or_else(|| invalid("Please provide a source for function code."))?;
    let bytes = STANDARD.decode(text).map_err(|_| invalid("ZipFile is not base64"))?;
    Ok(Source::Here(packed(bytes)?))
}

fn packed(bytes: Vec<u8>) -> Result<Brought, Refusal> {
    if bytes.len() > PACKED {
        let message = format!("A package is at most {PACKED} bytes");
        return Err(Refusal::new("RequestTooLargeException", message).with("Type", "User"));
    }
    Package::open(&bytes).map_err(invalid)?;
    let sha256 = sha256(&bytes);
    Ok(Brought::Package(Arc::new(Packed { bytes, sha256 })))
}

/// Writes with the code, which may have to be fetched first.
fn with_code(source: Source, write: impl FnOnce(Brought) -> Result<Job, Refusal> + Send + 'static) -> Answer<Plan> {
    match source {
        Source::Here(brought) => Ok(Plan::Desk(write(brought)?)),
        Source::Bucket(bucket, key) => {
            Ok(Plan::Fetch(Fetch::new(bucket, key, move |bytes| write(packed(bytes.into())?))))
        }
    }
}

/// What is asked for is not built, and this is what to do instead.
fn unbuilt(what: &str, instead: &str) -> Refusal {
    Refusal::new("NotImplementedException", format!("{what} is not implemented yet: {instead}."))
}

fn create_function(_: &House, cx: &Context, input: &CreateFunctionRequest) -> Answer<Plan> {
    let named = Named::parse(&cx.scope, input.function_name(), None)?;
    let code = input.code().unwrap_or_default();
    configuration::refuse_unbuilt_source(code.s3_object_version(), code.source_kms_key_arn())?;
    let source = source(code.zip_file(), code.image_uri(), (code.s3_bucket(), code.s3_key()))?;
    let is_url = matches!(source, Source::Here(Brought::Url(_)));
    let wanted = Wanted::of_new(input, is_url)?;
    let tags = configuration::tags(input.tags())?;
    let (publish, cx) = (input.publish() == Some(true), cx.again());
    with_code(source, move |brought| {
        Ok(Job::answering(cx, move |db| {
            if db.view().contains(&FUNCTIONS, [&named.name])? {
                return Err(conflict(format!("Function already exist: {}", named.name)).into());
            }
            wanted.check_role(db.view())?;
            let mut latest = Configuration::new(&db.uuid(), db.now());
            wanted.apply(&mut latest);
            put_code(db, &named.name, &brought, &mut latest)?;
            let (permissions, tags) = (Vec::new(), tags.clone());
            let known = Known { latest, next_version: 1, permissions, tags, concurrency: None };
            db.put(&FUNCTIONS, [&named.name], &known)?;
            if publish {
                // It is told what the version is, under the name of the function, as AWS does here and nowhere else.
                let published = versions::publish(db, &named, known, None)?;
                return Ok(published.with_function_arn(names::arn(&db.cx.scope, &named.name, None)).into());
            }
            Ok(known.latest.described(db.view(), &named.name, LATEST).into())
        }))
    })
}

/// Writes the code down, and in the configuration which one it is.
fn put_code(db: &mut Write, name: &str, brought: &Brought, configuration: &mut Configuration) -> Answer<()> {
    match brought {
        Brought::Package(packed) => {
            db.put(&CODE, [name, packed.sha256.as_str()], &packed.bytes)?;
            configuration.set_package(&packed.sha256, packed.bytes.len() as u64);
        }
        Brought::Url(url) => configuration.set_url(url),
    }
    Ok(())
}

/// Takes away a package that neither the function nor any of its versions needs any more.
fn drop_code(db: &mut Write, name: &str, sha256: &str) -> Answer<()> {
    let latest = db.view().get(&FUNCTIONS, [name])?.map(|known| known.latest.sha256);
    let published = db.view().all(&VERSIONS, [name])?;
    let is_needed = latest.as_deref() == Some(sha256) || published.iter().any(|(_, at)| at.sha256 == sha256);
    if !is_needed {
        db.delete(&CODE, [name, sha256])?;
    }
    Ok(())
}

/// What changes a function's code.
struct NewCode {
    named: Named,
    brought: Brought,
    revision: Option<String>,
    publish: bool,
    dry_run: bool,
}

fn update_function_code(_: &House, cx: &Context, input: &UpdateFunctionCodeRequest) -> Answer<Plan> {
    let named = Named::parse(&cx.scope, input.function_name(), None)?;
    configuration::refuse_unbuilt_code(input)?;
    let source = source(input.zip_file(), input.image_uri(), (input.s3_bucket(), input.s3_key()))?;
    let revision = input.revision_id().map(str::to_owned);
    let (publish, dry_run, cx) = (input.publish() == Some(true), input.dry_run() == Some(true), cx.again());
    with_code(source, move |brought| {
        let new = NewCode { named, brought, revision, publish, dry_run };
        Ok(Job::answering(cx, move |db| new.write(db).map(Output::from)))
    })
}

impl NewCode {
    fn write(&self, db: &mut Write) -> Answer<FunctionConfiguration> {
        let Self { named, brought, revision, publish, dry_run } = self;
        let mut known = known(db.view(), named)?;
        known.latest.expect_revision(revision.as_deref())?;
        match (known.latest.is_url(), brought) {
            (true, Brought::Package(_)) => {
                let message = "Please provide ImageUri when updating a function with packageType Image.";
                return Err(invalid(message).into());
            }
            (false, Brought::Url(_)) => {
                let message = "Please don't provide ImageUri when updating a function with packageType Zip.";
                return Err(invalid(message).into());
            }
            _ => {}
        }
        let before = std::mem::take(&mut known.latest.sha256);
        if *dry_run {
            configuration::preview(brought, &mut known.latest);
            return Ok(known.latest.described(db.view(), &named.name, LATEST));
        }
        put_code(db, &named.name, brought, &mut known.latest)?;
        known.latest.touch(&db.uuid(), db.now());
        db.put(&FUNCTIONS, [&named.name], &known)?;
        drop_code(db, &named.name, &before)?;
        if *publish {
            return versions::publish(db, named, known, None);
        }
        Ok(known.latest.described(db.view(), &named.name, LATEST))
    }
}

fn update_function_configuration(
    db: &mut Write,
    input: &UpdateFunctionConfigurationRequest,
) -> Answer<FunctionConfiguration> {
    let named = named(db.view(), input.function_name(), None)?;
    let mut known = known(db.view(), &named)?;
    known.latest.expect_revision(input.revision_id())?;
    let wanted = Wanted::of_change(input, known.latest.is_url())?;
    wanted.check_role(db.view())?;
    wanted.apply(&mut known.latest);
    known.latest.touch(&db.uuid(), db.now());
    db.put(&FUNCTIONS, [&named.name], &known)?;
    Ok(known.latest.described(db.view(), &named.name, LATEST))
}

fn get_function(db: Read, input: &GetFunctionRequest) -> Answer<GetFunctionResponse> {
    let named = named(db, input.function_name(), input.qualifier())?;
    let (known, at, version) = resolved(db, &named)?;
    let code = match &at.url {
        Some(url) => {
            FunctionCodeLocation::new().with_repository_type("ECR").with_image_uri(url).with_resolved_image_uri(url)
        }
        None => FunctionCodeLocation::new().with_repository_type("S3").with_location(location(db, &named.name, &at)),
    };
    let configuration = at.described_as(db, &named.name, &version, named.qualifier.as_deref());
    let answer = GetFunctionResponse::new().with_configuration(configuration).with_code(code);
    let answer = if known.tags.is_empty() { answer } else { answer.with_tags(tags(&known)) };
    Ok(match known.concurrency {
        Some(reserved) => {
            answer.with_concurrency(Concurrency::new().with_reserved_concurrent_executions(signed(reserved)))
        }
        None => answer,
    })
}

/// Where a package can be had: at a page of the server's own, whose name nobody guesses who does not know the package.
fn location(db: Read, name: &str, at: &Configuration) -> String {
    let cx = db.cx;
    let page = format!("{}/_ombra/functions/{}/{}/{name}/", cx.settings.api, cx.scope.account, cx.scope.region);
    // As digits, because base64 has slashes.
    at.sha256.bytes().fold(page, |mut page, byte| {
        // Writing to a string cannot fail.
        let _ = write!(page, "{byte:02x}");
        page
    })
}

fn get_function_configuration(db: Read, input: &GetFunctionConfigurationRequest) -> Answer<FunctionConfiguration> {
    let named = named(db, input.function_name(), input.qualifier())?;
    let (_, at, version) = resolved(db, &named)?;
    Ok(at.described_as(db, &named.name, &version, named.qualifier.as_deref()))
}

/// No function here must be signed; AWS answers with nothing then.
fn get_function_code_signing_config(
    db: Read,
    input: &GetFunctionCodeSigningConfigRequest,
) -> Answer<GetFunctionCodeSigningConfigResponse> {
    known(db, &named(db, input.function_name(), None)?)?;
    Ok(GetFunctionCodeSigningConfigResponse::new())
}

fn list_functions(db: Read, input: &ListFunctionsRequest) -> Answer<ListFunctionsResponse> {
    if input.function_version() == Some("ALL") {
        return Err(unbuilt("FunctionVersion ALL", "ListVersionsByFunction lists the versions of one").into());
    }
    let asked = Asked::new(input.marker(), input.max_items());
    let page = db.page(&FUNCTIONS, NO_PARTS, asked, |_, _| true)?;
    let mut listed = Vec::with_capacity(page.items.len());
    for (key, known) in &page.items {
        listed.push(known.latest.described(db, &key.text_at(2)?, LATEST));
    }
    let answer = ListFunctionsResponse::new().with_functions(listed);
    Ok(paged(answer, page.next, ListFunctionsResponse::with_next_marker))
}

fn delete_function(db: &mut Write, input: &DeleteFunctionRequest) -> Answer<DeleteFunctionResponse> {
    let named = named(db.view(), input.function_name(), input.qualifier())?;
    known(db.view(), &named)?;
    // The model's answer has a status that says what was done; 204 has no body to say it in.
    let done = DeleteFunctionResponse::new().with_status_code(204);
    if let Some(qualifier) = &named.qualifier {
        versions::delete(db, &named, qualifier)?;
        return Ok(done);
    }
    for (key, _) in db.view().all(&VERSIONS, [&named.name])? {
        db.delete_at(&VERSIONS, &key)?;
    }
    versions::delete_aliases(db, &named.name)?;
    for (key, _) in db.view().all(&CODE, [&named.name])? {
        db.delete_at(&CODE, &key)?;
    }
    events::forget(db, &named.name)?;
    retries::forget(db, &named.name, None)?;
    db.delete(&FUNCTIONS, [&named.name])?;
    Ok(done)
}

/// A function that is named without a version or an alias.
fn whole(db: Read, text: &str) -> Answer<(Named, Known)> {
    let named = named(db, text, None)?;
    if named.qualifier.is_some() {
        let message = "This operation is permitted on Lambda functions only. Aliases and versions do not support this \
                       operation. Please specify either a function name or an unqualified function ARN.";
        return Err(invalid(message).into());
    }
    let known = known(db, &named)?;
    Ok((named, known))
}

/// A function whose tags are asked for or changed.
fn tagged(db: Read, resource: &str) -> Answer<(Named, Known)> {
    let named = named(db, resource, None)?;
    if named.qualifier.is_some() {
        let message = "Tags on function aliases and versions are not supported. Please specify a function ARN.";
        return Err(invalid(message).into());
    }
    let known = known(db, &named)?;
    Ok((named, known))
}

fn put_function_concurrency(db: &mut Write, input: &PutFunctionConcurrencyRequest) -> Answer<Concurrency> {
    let (named, mut known) = whole(db.view(), input.function_name())?;
    let reserved = input.reserved_concurrent_executions().unwrap_or_default();
    known.concurrency = Some(reserved.unsigned_abs());
    db.put(&FUNCTIONS, [&named.name], &known)?;
    Ok(Concurrency::new().with_reserved_concurrent_executions(reserved))
}

fn get_function_concurrency(db: Read, input: &GetFunctionConcurrencyRequest) -> Answer<GetFunctionConcurrencyResponse> {
    let (_, known) = whole(db, input.function_name())?;
    let answer = GetFunctionConcurrencyResponse::new();
    Ok(match known.concurrency {
        Some(reserved) => answer.with_reserved_concurrent_executions(signed(reserved)),
        None => answer,
    })
}

fn delete_function_concurrency(db: &mut Write, input: &DeleteFunctionConcurrencyRequest) -> Answer<()> {
    let (named, mut known) = whole(db.view(), input.function_name())?;
    known.concurrency = None;
    Ok(db.put(&FUNCTIONS, [&named.name], &known)?)
}

fn list_tags(db: Read, input: &ListTagsRequest) -> Answer<ListTagsResponse> {
    let (_, known) = tagged(db, input.resource())?;
    Ok(ListTagsResponse::new().with_tags(tags(&known)))
}

fn tag_resource(db: &mut Write, input: &TagResourceRequest) -> Answer<()> {
    let (named, mut known) = tagged(db.view(), input.resource())?;
    known.tags.extend(configuration::tags(input.tags())?);
    if known.tags.len() > TAGS {
        return Err(configuration::too_many_tags().into());
    }
    Ok(db.put(&FUNCTIONS, [&named.name], &known)?)
}

fn untag_resource(db: &mut Write, input: &UntagResourceRequest) -> Answer<()> {
    let (named, mut known) = tagged(db.view(), input.resource())?;
    for key in input.tag_keys().unwrap_or_default() {
        known.tags.remove(key);
    }
    Ok(db.put(&FUNCTIONS, [&named.name], &known)?)
}

fn tags(known: &Known) -> Map<String, Value> {
    known.tags.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect()
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
