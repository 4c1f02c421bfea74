//! Certificates as bytes: the few DER structures that the authority writes and takes apart, and PEM around them.
//! Subject, issuer and public key travel as the bytes they came in, so a certificate keeps every attribute of
//! its request in order, also two of the same kind. Knows nothing of files, policies or who asks.

use std::net::IpAddr;

use aws_lc_rs::digest;
use aws_lc_rs::error::Unspecified;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use rustls::pki_types::SignatureVerificationAlgorithm;

use super::signer::Signer;

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const UTF8_STRING: u8 = 0x0c;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const TRUE: &[u8] = &[0x01, 0x01, 0xff];

const COMMON_NAME: &[u8] = &[0x06, 3, 0x55, 4, 3];
const ORGANIZATION: &[u8] = &[0x06, 3, 0x55, 4, 10];
const SUBJECT_KEY_ID: &[u8] = &[0x06, 3, 0x55, 29, 14];
const KEY_USAGE: &[u8] = &[0x06, 3, 0x55, 29, 15];
const SUBJECT_ALT_NAME: &[u8] = &[0x06, 3, 0x55, 29, 17];
const BASIC_CONSTRAINTS: &[u8] = &[0x06, 3, 0x55, 29, 19];
const AUTHORITY_KEY_ID: &[u8] = &[0x06, 3, 0x55, 29, 35];
const EXT_KEY_USAGE: &[u8] = &[0x06, 3, 0x55, 29, 37];
const SERVER_AUTH: &[u8] = &[0x06, 8, 0x2b, 6, 1, 5, 5, 7, 3, 1];

/// What a certificate is for; it decides the extensions.
pub(super) enum Purpose<'a> {
    /// Signs other certificates.
    Authority,
    /// Identifies a server under these names and addresses.
    Server(&'a [String]),
    /// Identifies a device.
    Device,
}

/// Everything a certificate says.
pub(super) struct Certificate<'a> {
    /// DER `Name`.
    pub(super) issuer: &'a [u8],
    /// The key identifier of the issuer's key, see [`key_id`].
    pub(super) issuer_key_id: [u8; 20],
    /// DER `Name`.
    pub(super) subject: &'a [u8],
    /// DER `SubjectPublicKeyInfo`.
    pub(super) public_key: &'a [u8],
    /// Milliseconds since 1970.
    pub(super) not_before_ms: i64,
    /// Milliseconds since 1970.
    pub(super) not_after_ms: i64,
    /// Random; made positive when it is written.
    pub(super) serial: [u8; 16],
    /// What it is for.
    pub(super) purpose: Purpose<'a>,
}

impl Certificate<'_> {
    /// Signs it; returns the certificate's DER.
    pub(super) fn sign(&self, key: &Signer) -> Result<Vec<u8>, Unspecified> {
        let algorithm = tlv(SEQUENCE, &[key.algorithm()]);
        let mut serial = self.serial;
        // Positive and of full length, whatever was drawn.
        serial[0] = serial[0] & 0x7f | 0x40;
        let body = tlv(
            SEQUENCE,
            &[
                &tlv(0xa0, &[&tlv(INTEGER, &[&[2]])]),
                &tlv(INTEGER, &[&serial]),
                &algorithm,
                self.issuer,
                &tlv(SEQUENCE, &[&time(self.not_before_ms)?, &time(self.not_after_ms)?]),
                self.subject,
                self.public_key,
                &tlv(0xa3, &[&tlv(SEQUENCE, &[&self.extensions()?])]),
            ],
        );
        let signature = key.sign(&body)?;
        Ok(tlv(SEQUENCE, &[&body, &algorithm, &bit_string(0, &signature)]))
    }

    fn extensions(&self) -> Result<Vec<u8>, Unspecified> {
        let is_ca = matches!(self.purpose, Purpose::Authority);
        let ca_flag: &[u8] = if is_ca { TRUE } else { &[] };
        // keyCertSign and cRLSign, or digitalSignature.
        let usage = if is_ca { bit_string(1, &[0b0000_0110]) } else { bit_string(7, &[0b1000_0000]) };
        let mut all = [
            extension(BASIC_CONSTRAINTS, TRUE, &tlv(SEQUENCE, &[ca_flag])),
            extension(KEY_USAGE, TRUE, &usage),
            extension(SUBJECT_KEY_ID, &[], &tlv(OCTET_STRING, &[&key_id(self.public_key)?])),
            extension(AUTHORITY_KEY_ID, &[], &tlv(SEQUENCE, &[&tlv(0x80, &[&self.issuer_key_id])])),
        ]
        .concat();
        if let Purpose::Server(names) = self.purpose {
            all.extend(extension(EXT_KEY_USAGE, &[], &tlv(SEQUENCE, &[SERVER_AUTH])));
            all.extend(extension(SUBJECT_ALT_NAME, &[], &alternative_names(names)));
        }
        Ok(all)
    }
}

/// A DER `Name` of a common name and, above it, an organization.
pub(super) fn name(organization: Option<&str>, common_name: &str) -> Vec<u8> {
    let attribute = |oid: &[u8], text: &str| tlv(SET, &[&tlv(SEQUENCE, &[oid, &tlv(UTF8_STRING, &[text.as_bytes()])])]);
    let organization = organization.map(|text| attribute(ORGANIZATION, text)).unwrap_or_default();
    tlv(SEQUENCE, &[&organization, &attribute(COMMON_NAME, common_name)])
}

/// The identifier of a public key (DER `SubjectPublicKeyInfo`): the first 160 bits of its SHA-256.
pub(super) fn key_id(public_key: &[u8]) -> Result<[u8; 20], Unspecified> {
    let hash = digest::digest(&digest::SHA256, public_key);
    hash.as_ref().first_chunk().copied().ok_or(Unspecified)
}

/// One PEM block, 64 characters to the line.
pub(super) fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.extend(line.iter().map(|&byte| char::from(byte)));
        pem.push('\n');
    }
    pem + "-----END " + label + "-----\n"
}

/// The `RSAPrivateKey` (PKCS#1) inside a PKCS#8 document.
pub(super) fn pkcs1_of_pkcs8(pkcs8: &[u8]) -> Option<&[u8]> {
    let mut fields = Reader(Reader(pkcs8).next()?.content);
    let (_version, _algorithm, key) = (fields.next()?, fields.next()?, fields.next()?);
    (key.tag == OCTET_STRING).then_some(key.content)
}

/// The `AlgorithmIdentifier` behind the first field of a signed structure: how it is signed.
pub(super) fn signature_algorithm(signed: &[u8]) -> Option<&[u8]> {
    let mut fields = Reader(Reader(signed).next()?.content);
    fields.next()?;
    Some(fields.next()?.content)
}

/// Was `message` signed with the private half of this DER `SubjectPublicKeyInfo`, by one of the algorithms?
///
/// Works on the key instead of the certificate, because devices in the field carry certificates of X.509
/// version 1 and with critical extensions of their vendor, which stricter parsers refuse.
pub(crate) fn is_signed_by(
    public_key: &[u8],
    algorithms: &[&dyn SignatureVerificationAlgorithm],
    message: &[u8],
    signature: &[u8],
) -> bool {
    let fields = Reader(public_key).next().map(|outer| Reader(outer.content));
    let Some((Some(kind), Some(key))) = fields.map(|mut fields| (fields.next(), fields.next())) else { return false };
    // The bit string opens with its count of unused bits, which is 0 for every key.
    let Some((0, point)) = key.content.split_first() else { return false };
    algorithms
        .iter()
        .filter(|algorithm| algorithm.public_key_alg_id().as_ref() == kind.content)
        .any(|algorithm| algorithm.verify_signature(point, message, signature).is_ok())
}

fn alternative_names(names: &[String]) -> Vec<u8> {
    let entries: Vec<u8> = names
        .iter()
        .flat_map(|name| match name.parse() {
            Ok(IpAddr::V4(address)) => tlv(0x87, &[&address.octets()]),
            Ok(IpAddr::V6(address)) => tlv(0x87, &[&address.octets()]),
            Err(_) => tlv(0x82, &[name.as_bytes()]),
        })
        .collect();
    tlv(SEQUENCE, &[&entries])
}

fn extension(oid: &[u8], critical: &[u8], value: &[u8]) -> Vec<u8> {
    tlv(SEQUENCE, &[oid, critical, &tlv(OCTET_STRING, &[value])])
}

fn bit_string(unused_bits: u8, bits: &[u8]) -> Vec<u8> {
    tlv(BIT_STRING, &[&[unused_bits], bits])
}

/// RFC 5280 wants `UTCTime` until the end of 2049 and `GeneralizedTime` after it.
fn time(ms: i64) -> Result<Vec<u8>, Unspecified> {
    let at = Timestamp::from_millisecond(ms).map_err(|_| Unspecified)?.to_zoned(TimeZone::UTC);
    Ok(if (1950..2050).contains(&at.year()) {
        tlv(UTC_TIME, &[at.strftime("%y%m%d%H%M%SZ").to_string().as_bytes()])
    } else {
        tlv(GENERALIZED_TIME, &[at.strftime("%Y%m%d%H%M%SZ").to_string().as_bytes()])
    })
}

/// One DER value: tag, length, and the parts as its content.
fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut der = Vec::with_capacity(length + 6);
    der.push(tag);
    if let Ok(short @ 0..=0x7f) = u8::try_from(length) {
        der.push(short);
    } else {
        let bytes = length.to_be_bytes();
        let significant = bytes.iter().skip_while(|byte| **byte == 0);
        let mark = der.len();
        der.push(0x80);
        for byte in significant {
            der.push(*byte);
            der[mark] += 1;
        }
    }
    for part in parts {
        der.extend_from_slice(part);
    }
    der
}

/// Walks over DER values that lie side by side; stops at the first that is cut off.
struct Reader<'a>(&'a [u8]);

struct Value<'a> {
    tag: u8,
    content: &'a [u8],
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<Value<'a>> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let mut length = usize::from(first);
        if first & 0x80 != 0 {
            let (bytes, after) = rest.split_at_checked(usize::from(first & 0x7f))?;
            if bytes.is_empty() || bytes.len() > 4 {
                return None;
            }
            length = bytes.iter().fold(0, |length, &byte| length << 8 | usize::from(byte));
            rest = after;
        }
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(Value { tag, content })
    }
}

/// A PKCS#10 request in DER, for tests: `sign` signs its body with the algorithm of that DER object identifier.
#[cfg(test)]
pub(super) fn request(subject: &[u8], public_key: &[u8], oid: &[u8], sign: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let body = tlv(SEQUENCE, &[&tlv(INTEGER, &[&[0]]), subject, public_key, &tlv(0xa0, &[])]);
    tlv(SEQUENCE, &[&body, &tlv(SEQUENCE, &[oid]), &bit_string(0, &sign(&body))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_any_length_is_read_back() {
        for length in [0, 1, 127, 128, 255, 256, 65_535, 65_536] {
            let content = vec![7; length];
            let der = tlv(OCTET_STRING, &[&content]);
            let value = Reader(&der).next().unwrap();
            assert_eq!((value.tag, value.content), (OCTET_STRING, &content[..]), "{length}");
            assert!(Reader(&der[..der.len() - 1]).next().is_none(), "{length}");
        }
    }

    #[test]
    fn hostile_lengths_are_refused() {
        for der in [&[0x30, 0x80][..], &[0x30, 0x85, 1, 1, 1, 1, 1], &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], &[0x30]] {
            assert!(Reader(der).next().is_none(), "{der:?}");
        }
    }

    #[test]
    fn times_change_their_form_with_the_year_2050() {
        let at = |text: &str| time(text.parse::<Timestamp>().unwrap().as_millisecond()).unwrap();
        assert_eq!(at("2049-12-31T23:59:59Z")[2..], *b"491231235959Z");
        assert_eq!(at("2050-01-01T00:00:00Z")[2..], *b"20500101000000Z");
    }
}
