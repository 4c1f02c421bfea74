//! How an operation is answered: find its row, ask whether the caller may, run it in a transaction.
//!
//! A noun's file lists its operations in `OPS` by naming the handler; everything else about an operation
//! (route, binding, constraints, action name) comes from the type of the handler's input. Knows no noun.

use std::collections::HashMap;
use std::sync::OnceLock;

use store::Fault;
use wire::{Input, Operation, Output, Refusal, Request};

use crate::authority::{Authority, Issued, NotIssued};
use crate::events::Refused;
use crate::house::{House, Plan};
use crate::scope::{Context, Read, Write};

/// Why a handler did not answer: the caller's doing or ours, never mixed.
#[derive(Debug)]
pub enum Failure {
    /// Goes on the wire with its AWS name.
    Refusal(Refusal),
    /// The same, and it is told as an event, since it is one a device's owner will ask about.
    Told(Box<(Refusal, Refused)>),
    /// Logged; the caller sees an internal failure.
    Fault(Fault),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refusal(refusal)
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// What a handler returns.
pub(crate) type Answer<T> = Result<T, Failure>;

/// A handler with its input inside, that takes a snapshot.
pub(crate) type Reading = Box<dyn FnOnce(Read) -> Answer<Output> + Send>;

/// A handler with its input inside, that takes a transaction and may run more than once.
pub(crate) type Writing = Box<dyn FnMut(&mut Write) -> Answer<Output> + Send>;

/// A handler with its input inside, that takes the whole house.
pub(crate) type Living = Box<dyn FnOnce(&House, &Context) -> Answer<Plan> + Send>;

/// Which of these an operation is.
pub(crate) enum Run {
    /// Answered at once.
    Read(Reading),
    /// Brought to the desk.
    Write(Writing),
    /// Answered by the house, because it is about who is connected.
    Live(Living),
}

/// An operation about to run: what policies call its resource, and the handler.
pub(crate) struct Started {
    /// The part of the ARN after the scope: `thing/lamp`, or `*`.
    pub(crate) resource: String,
    /// An action that policies must allow beside the operation's own.
    pub(crate) also: Option<&'static str>,
    pub(crate) run: Run,
}

/// One row of a noun's `OPS`.
pub(crate) struct Op {
    pub(crate) model: &'static Operation,
    pub(crate) start: fn(Input, &dyn Authority, i64) -> Answer<Started>,
}

/// The rows of a noun. `read` takes a snapshot and cannot write; `write` takes the transaction; `live` takes the house and
/// plans for itself, because it is about connections;
/// `write … with f` first runs `f`, outside the transaction, to get a certificate from the authority.
/// `on` names the resource as policies do, with the getters of the input that make it up; `also` asks a function of
/// the input for a second action that must be allowed.
macro_rules! ops {
    ($($mode:ident $handler:ident $(with $prepare:ident)? on $kind:ident $(($($label:ident),+))? $(also $also:ident)?;)*) => {
        &[$($crate::operation::Op {
            model: $crate::operation::ops!(@model $mode $($prepare)? $handler),
            start: |input, authority, now| {
                let request = $crate::operation::typed($crate::operation::ops!(@input $mode $($prepare)? $handler), input);
                let resource = $crate::operation::resource::$kind($($(request.$label()),+)?);
                let _ = (authority, now);
                let also = None$(.or_else(|| $also(&request)))?;
                let run = $crate::operation::ops!(@run $mode $handler request authority now $($prepare)?);
                Ok($crate::operation::Started { resource, also, run })
            },
        }),*]
    };
    (@model read $handler:ident) => { $crate::operation::model_of_read($handler) };
    (@model write $handler:ident) => { $crate::operation::model_of_write($handler) };
    (@model write $prepare:ident $handler:ident) => { $crate::operation::model_of_issue($handler) };
    (@model live $handler:ident) => { $crate::operation::model_of_live($handler) };
    (@input live $handler:ident) => { $crate::operation::input_of_live($handler) };
    (@run live $handler:ident $request:ident $authority:ident $now:ident) => {
        $crate::operation::Run::Live(Box::new(move |house, cx| $handler(house, cx, &$request)))
    };
    (@input read $handler:ident) => { $crate::operation::input_of_read($handler) };
    (@input write $handler:ident) => { $crate::operation::input_of_write($handler) };
    (@input write $prepare:ident $handler:ident) => { $crate::operation::input_of_issue($handler) };
    (@run read $handler:ident $request:ident $authority:ident $now:ident) => {
        $crate::operation::Run::Read(Box::new(move |db| Ok($handler(db, &$request)?.into())))
    };
    (@run write $handler:ident $request:ident $authority:ident $now:ident) => {
        $crate::operation::Run::Write(Box::new(move |db| Ok($handler(db, &$request)?.into())))
    };
    (@run write $handler:ident $request:ident $authority:ident $now:ident $prepare:ident) => {{
        let issued = $crate::operation::issued($prepare($authority, $now, &$request))?;
        $crate::operation::Run::Write(Box::new(move |db| Ok($handler(db, &$request, &issued)?.into())))
    }};
}
pub(crate) use ops;

// These name a type that a macro cannot: the input of a handler, from the handler itself.

type ReadHandler<I> = fn(Read<'_>, &I) -> Answer<<I as Request>::Response>;
type WriteHandler<I> = fn(&mut Write<'_>, &I) -> Answer<<I as Request>::Response>;
type LiveHandler<I> = fn(&House, &Context, &I) -> Answer<Plan>;
type IssueHandler<I> = fn(&mut Write<'_>, &I, &Issued) -> Answer<<I as Request>::Response>;

pub(crate) const fn model_of_read<I: Request>(_: ReadHandler<I>) -> &'static Operation {
    I::OPERATION
}

pub(crate) const fn model_of_write<I: Request>(_: WriteHandler<I>) -> &'static Operation {
    I::OPERATION
}

pub(crate) const fn model_of_live<I: Request>(_: LiveHandler<I>) -> &'static Operation {
    I::OPERATION
}

pub(crate) const fn model_of_issue<I: Request>(_: IssueHandler<I>) -> &'static Operation {
    I::OPERATION
}

pub(crate) struct InputOf<I>(std::marker::PhantomData<fn() -> I>);

pub(crate) const fn input_of_read<I: Request>(_: ReadHandler<I>) -> InputOf<I> {
    InputOf(std::marker::PhantomData)
}

pub(crate) const fn input_of_write<I: Request>(_: WriteHandler<I>) -> InputOf<I> {
    InputOf(std::marker::PhantomData)
}

pub(crate) const fn input_of_live<I: Request>(_: LiveHandler<I>) -> InputOf<I> {
    InputOf(std::marker::PhantomData)
}

pub(crate) const fn input_of_issue<I: Request>(_: IssueHandler<I>) -> InputOf<I> {
    InputOf(std::marker::PhantomData)
}

pub(crate) fn typed<I: Request>(_: InputOf<I>, input: Input) -> I {
    I::from_input(input)
}

pub(crate) fn issued(answer: Result<Issued, NotIssued>) -> Answer<Issued> {
    answer.map_err(|not| match not {
        NotIssued::BadRequest(message) => Refusal::invalid_request(message).into(),
        NotIssued::Failed(context) => Fault::new(context).into(),
    })
}

/// How policies spell the resource of an operation, after `arn:aws:iot:{region}:{account}:`.
pub(crate) mod resource {
    pub(crate) fn any() -> String {
        "*".to_owned()
    }

    pub(crate) fn thing(name: &str) -> String {
        format!("thing/{name}")
    }

    pub(crate) fn shadow(name: &str, shadow: Option<&str>) -> String {
        match shadow.filter(|shadow| !shadow.is_empty()) {
            Some(shadow) => format!("thing/{name}/{shadow}"),
            None => thing(name),
        }
    }

    pub(crate) fn thing_type(name: &str) -> String {
        format!("thingtype/{name}")
    }

    pub(crate) fn thing_group(name: &str) -> String {
        format!("thinggroup/{name}")
    }

    /// A group that is named, or given by its ARN.
    pub(crate) fn group_or_arn(name: Option<&str>, arn: Option<&str>) -> String {
        name.map_or_else(|| arn.map_or_else(any, of_arn), thing_group)
    }

    pub(crate) fn billing_group(name: &str) -> String {
        format!("billinggroup/{name}")
    }

    /// A billing group that is named, or given by its ARN.
    pub(crate) fn billing_group_or_arn(name: Option<&str>, arn: Option<&str>) -> String {
        name.map_or_else(|| arn.map_or_else(any, of_arn), billing_group)
    }

    /// What an ARN names.
    pub(crate) fn of_arn(arn: &str) -> String {
        arn.splitn(6, ':').nth(5).unwrap_or("*").to_owned()
    }

    /// A thing, if it is named.
    pub(crate) fn any_thing(name: Option<&str>) -> String {
        name.map_or_else(any, thing)
    }

    pub(crate) fn certificate(id: &str) -> String {
        format!("cert/{id}")
    }

    pub(crate) fn ca_certificate(id: &str) -> String {
        format!("cacert/{id}")
    }

    /// Policies name it with the letters at the end of its ARN, which the caller does not write: they are found where one is there.
    pub(crate) fn domain_configuration(name: &str) -> String {
        format!("domainconfiguration/{name}/")
    }

    pub(crate) fn policy(name: &str) -> String {
        format!("policy/{name}")
    }

    pub(crate) fn role_alias(name: &str) -> String {
        format!("rolealias/{name}")
    }

    pub(crate) fn rule(name: &str) -> String {
        format!("rule/{name}")
    }

    /// A destination is named by its whole ARN.
    pub(crate) fn destination(arn: &str) -> String {
        arn.splitn(6, ':').last().unwrap_or_default().to_owned()
    }

    pub(crate) fn client(id: &str) -> String {
        format!("client/{id}")
    }

    pub(crate) fn topic(topic: &str) -> String {
        format!("topic/{topic}")
    }
}

/// Every row of every noun, by service and operation name.
pub(crate) fn find(operation: &Operation) -> Option<&'static Op> {
    static ROWS: OnceLock<HashMap<(&'static str, &'static str), &'static Op>> = OnceLock::new();
    let rows = ROWS.get_or_init(|| built().map(|op| ((op.model.service, op.model.name), op)).collect());
    rows.get(&(operation.service, operation.name)).copied()
}

/// The rows of all nouns.
pub(crate) fn built() -> impl Iterator<Item = &'static Op> {
    crate::NOUNS.iter().flat_map(|rows| rows.iter())
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use crate::neighbours::objects;

    const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations.md");

    /// The page, from the tables: every operation of every service, and whether it has a row.
    fn page() -> String {
        let mut page = String::from(
            "# Operations\n\nPrinted from the tables of operations; `OMBRA_WRITE=1 cargo nextest run -p cloud operations` \
             writes it anew.\nWhat is not built answers 501 `NotImplementedException` with its name.\n",
        );
        for service in wire::SERVICES {
            let (built, not): (Vec<_>, Vec<_>) = service.operations.iter().partition(|op| find(op).is_some());
            let total = service.operations.len();
            writeln!(page, "\n## {}: {} of {total} built\n", service.name, built.len()).unwrap();
            for operation in built {
                writeln!(page, "- {}", operation.name).unwrap();
            }
            let names: Vec<&str> = not.iter().map(|operation| operation.name).collect();
            writeln!(page, "\nNot built: {}.", if names.is_empty() { "none".to_owned() } else { names.join(", ") })
                .unwrap();
        }
        let (built, not): (Vec<_>, Vec<_>) = wire::s3::operations().partition(|name| objects::is_built(name));
        let listed: Vec<String> = built.iter().map(|name| format!("- {name}\n")).collect();
        let (count, total, not) = (built.len(), built.len() + not.len(), not.join(", "));
        write!(page, "\n## s3: {count} of {total} built\n\n{}\nNot built: {not}.\n", listed.concat()).unwrap();
        page
    }

    #[test]
    fn the_page_of_operations_is_what_is_built() {
        if std::env::var_os("OMBRA_WRITE").is_some() {
            std::fs::write(PAGE, page()).unwrap();
        }
        let written = std::fs::read_to_string(PAGE).unwrap_or_default();
        assert!(written == page(), "docs/operations.md is not current: run with OMBRA_WRITE=1");
    }

    #[test]
    fn no_operation_has_two_rows() {
        let mut seen = std::collections::HashSet::new();
        for op in built() {
            assert!(seen.insert((op.model.service, op.model.name)), "{} twice", op.model.name);
        }
    }
}
