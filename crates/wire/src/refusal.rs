//! A refusal: an error with AWS's name, for the caller. The HTTP status depends on the service that answers and
//! is found when it does.

use serde_json::{Map, Value};

use crate::model::{Operation, Service};

/// An error that goes on the wire.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    error: &'static str,
    message: String,
    status: Option<u16>,
    extra: Map<String, Value>,
}

/// Where the list of what is built can be read.
const DOCUMENTATION: &str = "docs/operations.md";

/// Statuses of errors that front ends raise and models do not list.
const FRONT_END: &[(&str, u16)] = &[
    ("ForbiddenException", 403),
    ("UnknownOperationException", 404),
    ("MethodNotAllowedException", 405),
    ("RequestEntityTooLargeException", 413),
    ("UnsupportedDocumentEncodingException", 415),
    ("InvalidRequestException", 400),
    ("InternalFailureException", 500),
    ("NotImplementedException", 501),
    ("ServiceUnavailableException", 503),
];

macro_rules! refusals {
    ($($make:ident $error:literal;)*) => {
        impl Refusal {
            $(
                #[doc = concat!("`", $error, "`.")]
                pub fn $make(message: impl Into<String>) -> Self {
                    Self::new($error, message)
                }
            )*
        }
    };
}

refusals! {
    certificate_conflict "CertificateConflictException";
    certificate_state "CertificateStateException";
    certificate_validation "CertificateValidationException";
    conflict "ConflictException";
    delete_conflict "DeleteConflictException";
    forbidden "ForbiddenException";
    internal_failure "InternalFailureException";
    invalid_request "InvalidRequestException";
    limit_exceeded "LimitExceededException";
    malformed_policy "MalformedPolicyException";
    method_not_allowed "MethodNotAllowedException";
    payload_too_large "RequestEntityTooLargeException";
    registration_code_validation "RegistrationCodeValidationException";
    resource_already_exists "ResourceAlreadyExistsException";
    resource_not_found "ResourceNotFoundException";
    throttling "ThrottlingException";
    transfer_already_completed "TransferAlreadyCompletedException";
    transfer_conflict "TransferConflictException";
    unauthorized "UnauthorizedException";
    unsupported_encoding "UnsupportedDocumentEncodingException";
    version_conflict "VersionConflictException";
    versions_limit_exceeded "VersionsLimitExceededException";
}

impl Refusal {
    /// An error by name.
    pub fn new(error: &'static str, message: impl Into<String>) -> Self {
        Self { error, message: message.into(), status: None, extra: Map::new() }
    }

    /// The same with a status of its own.
    pub fn with_status(self, status: u16) -> Self {
        Self { status: Some(status), ..self }
    }

    /// The same with one more member in the body, as `resourceArn` beside a `ResourceAlreadyExistsException`.
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.extra.insert(key.to_owned(), value.into());
        self
    }

    /// The operation is known and not built: said by name, never pretended.
    pub fn not_implemented(operation: &Operation) -> Self {
        let Operation { service, name, .. } = operation;
        let message =
            format!("{service} {name} is not implemented yet; {DOCUMENTATION} lists the operations that are.");
        Self::new("NotImplementedException", message)
    }

    /// Part of an operation is not built: taken and not acted on, it would be a promise that nobody keeps.
    pub fn not_built(what: &str) -> Self {
        Self::new("NotImplementedException", format!("{what} is not implemented yet."))
    }

    /// The name.
    pub fn error(&self) -> &'static str {
        self.error
    }

    /// The message.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Members beside the message.
    pub(crate) fn extra(&self) -> &Map<String, Value> {
        &self.extra
    }

    /// The HTTP status with which a service raises it.
    pub fn status(&self, service: Option<&Service>) -> u16 {
        let listed =
            |errors: &[(&str, u16)]| errors.iter().find(|(name, _)| *name == self.error).map(|(_, status)| *status);
        self.status.or_else(|| listed(service?.errors)).or_else(|| listed(FRONT_END)).unwrap_or(400)
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.error, self.message)
    }
}
