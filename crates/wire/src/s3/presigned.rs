//! Addresses that were signed beforehand: how long they are good for, in the form of today and in the older one that SDKs still
//! make for S3 unless they are told otherwise. Signatures are not looked at.

use super::{parameters, refused, value};
use crate::refusal::Refusal;

const OLD_KEY: &str = "AWSAccessKeyId";
const OLD_EXPIRES: &str = "Expires";
const OLD_SIGNATURE: &str = "Signature";
const OLD_TOKEN: &str = "x-amz-security-token";

/// Who a query in the older form says it is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldClaim {
    /// The access key id.
    pub access_key_id: String,
    /// The session token.
    pub session_token: Option<String>,
}

/// Whether a query was signed in the older form.
pub fn is_old(query: &str) -> bool {
    query.split('&').any(|pair| pair.strip_prefix(OLD_KEY).is_some_and(|rest| rest.starts_with('=')))
}

/// The claim of a query in the older form, whose time must not be over.
pub fn old_claim(query: &str, now_s: i64) -> Result<OldClaim, Refusal> {
    let parameters = parameters(query)?;
    let given = |name| value(&parameters, name).filter(|value| !value.is_empty());
    let (Some(key), Some(expires), Some(_)) = (given(OLD_KEY), given(OLD_EXPIRES), given(OLD_SIGNATURE)) else {
        let message = "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters";
        return Err(refused("AccessDenied", message));
    };
    let expires = expires.parse().map_err(|_| {
        refused("AccessDenied", "Invalid date (should be seconds since epoch)").with("Expires", expires)
    })?;
    in_time(expires, now_s)?;
    Ok(OldClaim { access_key_id: key.to_owned(), session_token: given(OLD_TOKEN).map(str::to_owned) })
}

/// Refuses what was good until then.
pub fn in_time(expires_s: i64, now_s: i64) -> Result<(), Refusal> {
    if now_s <= expires_s {
        return Ok(());
    }
    let date = |seconds: i64| jiff::Timestamp::from_second(seconds).unwrap_or_default().to_string();
    let refusal = refused("AccessDenied", "Request has expired");
    Err(refusal.with("Expires", date(expires_s)).with("ServerTime", date(now_s)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_good_until_it_says() {
        let key = |query: &str, now_s| {
            let claim = old_claim(query, now_s).map_err(|refusal| refusal.error());
            claim.map(|claim| claim.access_key_id)
        };
        let old = "AWSAccessKeyId=key&Signature=s%2Bs&Expires=100";
        assert_eq!(key(old, 100), Ok("key".to_owned()));
        assert_eq!(key(old, 101), Err("AccessDenied"));
        assert_eq!(key("AWSAccessKeyId=key&Expires=100", 1), Err("AccessDenied"));
        assert_eq!(key("AWSAccessKeyId=key&Signature=s&Expires=soon", 1), Err("AccessDenied"));
        assert!(is_old(old) && !is_old("XAWSAccessKeyId=key") && !is_old("AWSAccessKeyIds=key"));
        assert_eq!(
            in_time(7, 8).map_err(|refusal| refusal.message().to_owned()),
            Err("Request has expired".to_owned())
        );
    }
}
