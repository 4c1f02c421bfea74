//! The present values of several secrets at once: those that are listed, or those that filters mean. Who asks must be allowed to
//! get each of them. How a value is sealed is known elsewhere.

use wire::secretsmanager::{APIErrorType, BatchGetSecretValueRequest, BatchGetSecretValueResponse, SecretValueEntry};

use super::secret::{CURRENT, Secret};
use super::{Value, invalid_parameter, listing, no_value, sealed, usable};
use crate::caller::{self, Caller, Whence};
use crate::operation::{Answer, Failure, Op, ops};
use crate::permissions::Need;
use crate::scope::{Read, paged};

pub(crate) const OPS: &[Op] = ops! {
    read batch_get_secret_value on any;
};

/// Values of a page, if the caller does not say; as many as can be listed.
const PAGE: i64 = 20;

fn batch_get_secret_value(db: Read, input: &BatchGetSecretValueRequest) -> Answer<BatchGetSecretValueResponse> {
    let (ids, filters) = (input.secret_id_list(), input.filters());
    match (ids, filters) {
        (Some(ids), None) if input.max_results().is_none() => listed(db, &ids),
        (Some(_), None) => Err(invalid_parameter(
            "'Filters' not specified. 'Filters' must also be specified when 'MaxResults' is provided.",
        )),
        (None, Some(filters)) => {
            may(db, &Need::new("secretsmanager:ListSecrets", "*"))?;
            let secrets = listing::meant(db, &filters, false)?;
            let limit = input.max_results().unwrap_or(PAGE);
            let (secrets, next) = listing::part_of(secrets, input.next_token(), Some(limit))?;
            let values = secrets.iter().filter(|secret| secret.of_stage(CURRENT).is_some());
            let values = values.map(|secret| value(db, secret)).collect::<Answer<Vec<_>>>()?;
            let answer = BatchGetSecretValueResponse::new().with_secret_values(values).with_errors([]);
            Ok(paged(answer, next, BatchGetSecretValueResponse::with_next_token))
        }
        _ => Err(invalid_parameter("Either 'SecretIdList' or 'Filters' must be provided, but not both.")),
    }
}

/// What cannot be told of one is told beside the values of the others.
fn listed(db: Read, ids: &[&str]) -> Answer<BatchGetSecretValueResponse> {
    let (mut values, mut errors) = (Vec::new(), Vec::new());
    for id in ids {
        let refusal = match usable(db, id).and_then(|secret| value(db, &secret)) {
            Ok(value) => {
                values.push(value);
                continue;
            }
            Err(Failure::Refusal(refusal)) => refusal,
            Err(other) => return Err(other),
        };
        let error = APIErrorType::new().with_secret_id(*id).with_error_code(refusal.error());
        errors.push(error.with_message(refusal.message()));
    }
    Ok(BatchGetSecretValueResponse::new().with_secret_values(values).with_errors(errors))
}

fn value(db: Read, secret: &Secret) -> Answer<SecretValueEntry> {
    may(db, &Need::new("secretsmanager:GetSecretValue", secret.arn(db)))?;
    let version = secret.of_stage(CURRENT).ok_or_else(|| no_value(&format!("staging label: {CURRENT}")))?;
    let entry = SecretValueEntry::new()
        .with_arn(secret.arn(db))
        .with_name(&secret.name)
        .with_version_id(&version.id)
        .with_version_stages(&version.stages)
        .with_created_date(version.created);
    Ok(match sealed::open(db, secret, &version.id)? {
        Value::Text(text) => entry.with_secret_string(text),
        Value::Binary(base64) => entry.with_secret_binary(base64),
    })
}

/// Whether the caller may do what the operation's own permission does not say. AWS tells of a secret that is not for the caller
/// beside the others; here the whole is refused, so that it is an event like every refusal.
fn may(db: Read, need: &Need) -> Answer<()> {
    let origin = &db.cx.origin;
    let Some(identity) = &origin.caller else { return Ok(()) };
    let whence =
        Whence { ip: origin.source_ip.clone().unwrap_or_default(), secure: origin.secure, ..Whence::default() };
    let caller = Caller { scope: db.cx.scope.clone(), identity: identity.clone(), whence };
    caller::allow(db, &caller, std::slice::from_ref(need)).map_err(|no| no.told(("AccessDeniedException", 400)))
}
