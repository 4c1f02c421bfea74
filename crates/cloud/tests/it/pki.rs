//! Certificate authorities under test: they sign with keys made on the spot, because a verification certificate names a
//! code that is known only then. The few structures are written by hand, with validity and serial all the same.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;

const ECDSA_WITH_SHA256: &[u8] = &[0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const COMMON_NAME: &[u8] = &[0x06, 3, 0x55, 4, 3];
const SUBJECT_ALT_NAME: &[u8] = &[0x06, 3, 0x55, 29, 17];
const BASIC_CONSTRAINTS: &[u8] = &[0x06, 3, 0x55, 29, 19];

/// An authority with a key of its own.
pub(crate) struct Ca {
    key: EcdsaKeyPair,
    name: String,
    pub(crate) pem: String,
}

impl Ca {
    /// A new one of this name; two of a name have different keys.
    pub(crate) fn new(name: &str) -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        Self::with_key(name, key)
    }

    /// Another certificate of the same name and key.
    pub(crate) fn again(&self) -> Self {
        let key = self.key.to_pkcs8v1().unwrap();
        Self::with_key(&self.name, EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key.as_ref()).unwrap())
    }

    fn with_key(name: &str, key: EcdsaKeyPair) -> Self {
        let pem = sign(&key, name, name, &public(&key), &constraints(true));
        Self { key, name: name.to_owned(), pem }
    }

    /// A certificate for a device, or for whoever verifies a code; its key is lost at once.
    pub(crate) fn issue(&self, common_name: &str) -> String {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        sign(&self.key, &self.name, common_name, &public(&key), &constraints(false))
    }

    /// A certificate for a server of this name.
    pub(crate) fn issue_for_host(&self, host: &str) -> String {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let names = tlv(0x30, &[&tlv(0x82, &[host.as_bytes()])]);
        let names = tlv(0x30, &[SUBJECT_ALT_NAME, &tlv(0x04, &[&names])]);
        sign(&self.key, &self.name, host, &public(&key), &names)
    }
}

fn constraints(is_ca: bool) -> Vec<u8> {
    let flag: &[u8] = if is_ca { &[0x01, 0x01, 0xff] } else { &[] };
    tlv(0x30, &[BASIC_CONSTRAINTS, &tlv(0x04, &[&tlv(0x30, &[flag])])])
}

fn public(key: &EcdsaKeyPair) -> Vec<u8> {
    key.public_key().as_der().unwrap().as_ref().to_vec()
}

fn sign(key: &EcdsaKeyPair, issuer: &str, subject: &str, public: &[u8], extension: &[u8]) -> String {
    let algorithm = tlv(0x30, &[ECDSA_WITH_SHA256]);
    let validity = tlv(0x30, &[&tlv(0x17, &[b"230101000000Z"]), &tlv(0x17, &[b"491231235959Z"])]);
    let body = tlv(
        0x30,
        &[
            &tlv(0xa0, &[&tlv(0x02, &[&[2]])]),
            &tlv(0x02, &[&[7]]),
            &algorithm,
            &name(issuer),
            &validity,
            &name(subject),
            public,
            &tlv(0xa3, &[&tlv(0x30, &[extension])]),
        ],
    );
    let signature = key.sign(&SystemRandom::new(), &body).unwrap();
    let der = tlv(0x30, &[&body, &algorithm, &tlv(0x03, &[&[0], signature.as_ref()])]);
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

fn name(common_name: &str) -> Vec<u8> {
    tlv(0x30, &[&tlv(0x31, &[&tlv(0x30, &[COMMON_NAME, &tlv(0x0c, &[common_name.as_bytes()])])])])
}

/// Values of up to 65535 bytes, with the long form of their length wherever one is needed.
fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
    let head: &[u8] = match (high, low) {
        (0, ..=0x7f) => &[tag, low],
        (0, _) => &[tag, 0x81, low],
        _ => &[tag, 0x82, high, low],
    };
    [head, &content].concat()
}
