//! What lies in the store and must not be readable there: sealed with a key that is kept beside it. What is sealed, and
//! where the key is kept, is unknown here.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use store::Fault;

use crate::entropy::Entropy;

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;

/// Seals and opens with one key (AES-256-GCM).
#[derive(Clone)]
pub struct Vault(Arc<LessSafeKey>);

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault { .. }")
    }
}

impl Vault {
    /// The vault of a key; none if the library refuses it.
    pub fn new(key: &[u8; KEY_BYTES]) -> Option<Self> {
        Some(Self(Arc::new(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).ok()?))))
    }

    /// Seals bytes. `label` says what they are of: under another they do not open, so nothing sealed can stand in for
    /// something else.
    pub(crate) fn seal(&self, entropy: &Entropy, label: &str, clear: &[u8]) -> Result<Vec<u8>, Fault> {
        let nonce: [u8; NONCE_LEN] = entropy.secret().bytes();
        let mut sealed = nonce.to_vec();
        let mut text = clear.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        let done = self.0.seal_in_place_append_tag(nonce, Aad::from(label.as_bytes()), &mut text);
        done.map_err(|_| Fault::new(format!("seal {} bytes", clear.len())))?;
        sealed.append(&mut text);
        Ok(sealed)
    }

    /// What was sealed under this label; nothing if it was sealed with another key, or is not what was sealed.
    pub(crate) fn open(&self, label: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, text) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = text.to_vec();
        let clear = self.0.open_in_place(nonce, Aad::from(label.as_bytes()), &mut text).ok()?;
        Some(clear.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_with_its_key_and_label_only() {
        let (vault, entropy) = (Vault::new(&[1; KEY_BYTES]).unwrap(), Entropy::new(1));
        for clear in [&b""[..], b"secret", &[7; 5_000]] {
            let sealed = vault.seal(&entropy, "a", clear).unwrap();
            assert_eq!(vault.open("a", &sealed).as_deref(), Some(clear));
            assert_eq!(vault.open("b", &sealed), None);
            assert_eq!(Vault::new(&[2; KEY_BYTES]).unwrap().open("a", &sealed), None);
            for at in [0, NONCE_LEN, sealed.len() - 1] {
                let mut bent = sealed.clone();
                bent[at] ^= 1;
                assert_eq!(vault.open("a", &bent), None, "{at}");
            }
            assert_eq!(vault.open("a", &sealed[..NONCE_LEN - 1]), None);
        }
    }

    #[test]
    fn the_same_is_sealed_another_way_each_time() {
        let (vault, entropy) = (Vault::new(&[1; KEY_BYTES]).unwrap(), Entropy::new(1));
        assert_ne!(vault.seal(&entropy, "a", b"x").unwrap(), vault.seal(&entropy, "a", b"x").unwrap());
        assert!(!vault.seal(&entropy, "a", b"secret").unwrap().windows(6).any(|window| window == b"secret"));
    }

    #[test]
    fn a_vault_does_not_print_its_key() {
        assert_eq!(format!("{:?}", Vault::new(&[1; KEY_BYTES]).unwrap()), "Vault { .. }");
    }
}
