//! How DynamoDB refuses: the names of its errors in one place. The words stand where they are found wanting.

use wire::Refusal;

use crate::operation::Failure;

/// What is wrong with a request.
pub(crate) fn invalid(message: impl Into<String>) -> Failure {
    Refusal::new("ValidationException", message).into()
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
