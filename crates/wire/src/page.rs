//! Paging tokens: a key in base64, opaque to the caller. What the key is of is unknown here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::refusal::Refusal;

/// The longest token that the models allow.
const LONGEST: usize = 1024;

/// The token that leads on from `key`.
pub fn encode(key: &[u8]) -> String {
    STANDARD.encode(key)
}

/// The key that a token leads on from.
pub fn decode(token: &str) -> Result<Vec<u8>, Refusal> {
    let invalid = || Refusal::invalid_request("Invalid token: it is not one that this list gave out.");
    if token.len() > LONGEST {
        return Err(invalid());
    }
    STANDARD.decode(token).map_err(|_| invalid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_back_to_its_key() {
        for key in [&b""[..], b"a\0b\xFF", &[7; 700]] {
            assert_eq!(decode(&encode(key)).unwrap(), key);
        }
    }

    #[test]
    fn what_is_no_token_is_refused() {
        for token in ["?", "a", &"A".repeat(1028)] {
            assert_eq!(decode(token).unwrap_err().error(), "InvalidRequestException");
        }
    }
}
