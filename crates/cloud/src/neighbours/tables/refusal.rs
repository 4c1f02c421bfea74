//! How DynamoDB refuses: the names of its errors in one place. The words stand where they are found wanting.

use wire::Refusal;

use crate::operation::Failure;

/// What is wrong with a request.
pub(crate) fn invalid(message: impl Into<String>) -> Failure {
    Refusal::new("ValidationException", message).into()
}

/// What stands before what a write of one item finds wrong with its request. Other operations say the same without it.
const DETECTED: &str = "1 validation error detected: ";

/// What is told without it all the same: that a value is none, or that there is too much of it.
/// unconfirmed: of nesting.
const NOT_DETECTED: [&str; 3] = ["Supplied AttributeValue", "Item size", "Nesting Levels"];

/// The refusal of a write of one item that is wrong before its table is looked at.
pub(crate) fn detected(failure: Failure) -> Failure {
    match failure {
        Failure::Refusal(refusal) if NOT_DETECTED.iter().all(|start| !refusal.message().starts_with(start)) => {
            invalid(format!("{DETECTED}{}", refusal.message()))
        }
        other => other,
    }
}

/// A table or an index that is not there.
pub(crate) fn no_such_resource(message: impl Into<String>) -> Failure {
    Refusal::new("ResourceNotFoundException", message).into()
}

/// A table that is there already, or busy.
pub(crate) fn in_use(message: impl Into<String>) -> Failure {
    Refusal::new("ResourceInUseException", message).into()
}

/// What is not built, by name: taken and not acted on, it would be a promise that nothing keeps.
pub(crate) fn not_built(what: &str) -> Failure {
    Refusal::not_built(what).into()
}
