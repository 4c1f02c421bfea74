//! What an X.509 certificate says: its id, its validity, who issued it, and the variables that policies can ask of it
//! (security.md §3.4); and whether one certificate has signed another. Whether a certificate is registered, trusted or
//! current is unknown here.

use std::net::IpAddr;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use policy::Context;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521, OID_NIST_HASH_SHA256,
    OID_NIST_HASH_SHA384, OID_NIST_HASH_SHA512, OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA,
    OID_PKCS1_SHA512WITHRSA, OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384, OID_SIG_ECDSA_WITH_SHA512,
};
use x509_parser::pem::{Pem, parse_x509_pem};
use x509_parser::prelude::X509Name;
use x509_parser::public_key::PublicKey;
use x509_parser::signature_algorithm::SignatureAlgorithm;
use x509_parser::x509::{AlgorithmIdentifier, SubjectPublicKeyInfo};

/// What is to be known of a certificate before it is kept.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Lower-case hex of the SHA-256 of the DER.
    pub(crate) id: String,
    /// The start of its validity, in milliseconds.
    pub(crate) not_before_ms: i64,
    /// The end of its validity, in milliseconds.
    pub(crate) not_after_ms: i64,
    /// The certificate itself.
    pub(crate) der: Vec<u8>,
    /// The name of its holder, as [`name_id`] has it.
    pub(crate) subject: String,
    /// The name of whoever issued it, likewise.
    pub(crate) issuer: String,
    /// The common names of its holder.
    pub(crate) common_names: Vec<String>,
    /// Whether it may issue others (basicConstraints).
    pub(crate) is_ca: bool,
}

/// The facts of a PEM certificate; the error says what is wrong with it.
pub(crate) fn facts(pem: &str) -> Result<Facts, String> {
    facts_of_der(&block(pem)?.contents)
}

/// The same of a certificate as it comes over TLS.
pub(crate) fn facts_of_der(der: &[u8]) -> Result<Facts, String> {
    let certificate = parse(der)?;
    let validity = &certificate.validity;
    let common_names = certificate.subject().iter_common_name();
    Ok(Facts {
        id: certificate_id(der),
        not_before_ms: validity.not_before.timestamp().saturating_mul(1000),
        not_after_ms: validity.not_after.timestamp().saturating_mul(1000),
        der: der.to_vec(),
        subject: name_id(certificate.subject()),
        issuer: name_id(certificate.issuer()),
        common_names: common_names.filter_map(|name| name.as_str().ok()).map(str::to_owned).collect(),
        is_ca: certificate.is_ca(),
    })
}

/// Stands for a name: names can be longer than any key.
fn name_id(name: &X509Name<'_>) -> String {
    certificate_id(name.as_raw())
}

/// Whether `der` names that issuer and bears its signature; the error says what is missing.
pub(crate) fn is_issued_by(der: &[u8], issuer: &[u8]) -> Result<bool, String> {
    let (certificate, issuer) = (parse(der)?, parse(issuer)?);
    if certificate.issuer().as_raw() != issuer.subject().as_raw() {
        return Ok(false);
    }
    let algorithm = signature_algorithm(&certificate.signature_algorithm, issuer.public_key())?;
    let key = UnparsedPublicKey::new(algorithm, &issuer.public_key().subject_public_key.data);
    Ok(key.verify(certificate.tbs_certificate.as_ref(), &certificate.signature_value.data).is_ok())
}

/// Whether AWS takes keys and signatures of this kind (security.md §2.2); the error says what it does not.
///
/// AWS takes DSA signatures too. No client could prove such a key to our TLS, so they are refused from the start.
pub(crate) fn is_of_known_kind(der: &[u8]) -> Result<(), String> {
    let certificate = parse(der)?;
    kind_of_key(certificate.public_key())?;
    match hash_and_padding(&certificate.signature_algorithm) {
        Some(_) => Ok(()),
        None => Err("its signature is neither RSA nor ECDSA over SHA-256, SHA-384 or SHA-512".to_owned()),
    }
}

/// The kinds of keys that are known.
#[derive(Clone, Copy)]
enum KeyKind {
    Rsa,
    P256,
    P384,
    P521,
}

fn kind_of_key(key: &SubjectPublicKeyInfo<'_>) -> Result<KeyKind, String> {
    const KIND: &str = "its key is neither RSA nor of curve P-256, P-384 or P-521";
    if key.algorithm.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
        let curve = key.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
        return match curve {
            Some(curve) if curve == OID_EC_P256 => Ok(KeyKind::P256),
            Some(curve) if curve == OID_NIST_EC_P384 => Ok(KeyKind::P384),
            Some(curve) if curve == OID_NIST_EC_P521 => Ok(KeyKind::P521),
            _ => Err(KIND.to_owned()),
        };
    }
    match key.parsed() {
        Ok(PublicKey::RSA(rsa)) if rsa.key_size() < 2048 => Err("its RSA key has less than 2048 bits".to_owned()),
        Ok(PublicKey::RSA(_)) => Ok(KeyKind::Rsa),
        _ => Err(KIND.to_owned()),
    }
}

/// The hash of a signature.
#[derive(Clone, Copy)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

/// How the hash was made a signature.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Padding {
    Pkcs1,
    Pss,
    Ecdsa,
}

fn hash_and_padding(algorithm: &AlgorithmIdentifier<'_>) -> Option<(Hash, Padding)> {
    let oid = &algorithm.algorithm;
    let plain = [
        (OID_PKCS1_SHA256WITHRSA, Hash::Sha256, Padding::Pkcs1),
        (OID_PKCS1_SHA384WITHRSA, Hash::Sha384, Padding::Pkcs1),
        (OID_PKCS1_SHA512WITHRSA, Hash::Sha512, Padding::Pkcs1),
        (OID_SIG_ECDSA_WITH_SHA256, Hash::Sha256, Padding::Ecdsa),
        (OID_SIG_ECDSA_WITH_SHA384, Hash::Sha384, Padding::Ecdsa),
        (OID_SIG_ECDSA_WITH_SHA512, Hash::Sha512, Padding::Ecdsa),
    ];
    if let Some((_, hash, padding)) = plain.iter().find(|(known, ..)| known == oid) {
        return Some((*hash, *padding));
    }
    let Ok(SignatureAlgorithm::RSASSA_PSS(parameters)) = SignatureAlgorithm::try_from(algorithm) else { return None };
    let hashes = [
        (OID_NIST_HASH_SHA256, Hash::Sha256),
        (OID_NIST_HASH_SHA384, Hash::Sha384),
        (OID_NIST_HASH_SHA512, Hash::Sha512),
    ];
    let hash = hashes.iter().find(|(known, _)| known == parameters.hash_algorithm_oid());
    hash.map(|(_, hash)| (*hash, Padding::Pss))
}

fn signature_algorithm(
    signed_how: &AlgorithmIdentifier<'_>,
    key: &SubjectPublicKeyInfo<'_>,
) -> Result<&'static dyn VerificationAlgorithm, String> {
    let unknown = || "its signature is neither RSA nor ECDSA over SHA-256, SHA-384 or SHA-512".to_owned();
    let (hash, padding) = hash_and_padding(signed_how).ok_or_else(unknown)?;
    let algorithm: &'static dyn VerificationAlgorithm = match (kind_of_key(key)?, padding, hash) {
        (KeyKind::Rsa, Padding::Pkcs1, Hash::Sha256) => &signature::RSA_PKCS1_2048_8192_SHA256,
        (KeyKind::Rsa, Padding::Pkcs1, Hash::Sha384) => &signature::RSA_PKCS1_2048_8192_SHA384,
        (KeyKind::Rsa, Padding::Pkcs1, Hash::Sha512) => &signature::RSA_PKCS1_2048_8192_SHA512,
        (KeyKind::Rsa, Padding::Pss, Hash::Sha256) => &signature::RSA_PSS_2048_8192_SHA256,
        (KeyKind::Rsa, Padding::Pss, Hash::Sha384) => &signature::RSA_PSS_2048_8192_SHA384,
        (KeyKind::Rsa, Padding::Pss, Hash::Sha512) => &signature::RSA_PSS_2048_8192_SHA512,
        (KeyKind::P256, Padding::Ecdsa, Hash::Sha256) => &signature::ECDSA_P256_SHA256_ASN1,
        (KeyKind::P256, Padding::Ecdsa, Hash::Sha384) => &signature::ECDSA_P256_SHA384_ASN1,
        (KeyKind::P256, Padding::Ecdsa, Hash::Sha512) => &signature::ECDSA_P256_SHA512_ASN1,
        (KeyKind::P384, Padding::Ecdsa, Hash::Sha256) => &signature::ECDSA_P384_SHA256_ASN1,
        (KeyKind::P384, Padding::Ecdsa, Hash::Sha384) => &signature::ECDSA_P384_SHA384_ASN1,
        (KeyKind::P384, Padding::Ecdsa, Hash::Sha512) => &signature::ECDSA_P384_SHA512_ASN1,
        (KeyKind::P521, Padding::Ecdsa, Hash::Sha256) => &signature::ECDSA_P521_SHA256_ASN1,
        (KeyKind::P521, Padding::Ecdsa, Hash::Sha384) => &signature::ECDSA_P521_SHA384_ASN1,
        (KeyKind::P521, Padding::Ecdsa, Hash::Sha512) => &signature::ECDSA_P521_SHA512_ASN1,
        _ => return Err("its signature is of another kind than the issuer's key".to_owned()),
    };
    Ok(algorithm)
}

/// Whether a server may show a certificate to who asked for this host name, in lower case.
pub(crate) fn is_for_host(der: &[u8], host: &str) -> Result<bool, String> {
    let certificate = parse(der)?;
    let names = certificate.subject_alternative_name().map_err(|bad| format!("not X.509: {bad}"))?;
    let is_for = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => match name.strip_prefix("*.") {
            Some(under) => host.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(under)),
            None => name.eq_ignore_ascii_case(host),
        },
        _ => false,
    };
    Ok(names.is_some_and(|names| names.value.general_names.iter().any(is_for)))
}

/// A certificate as PEM.
pub(crate) fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for line in text.as_bytes().chunks(64) {
        pem.extend(line.iter().map(|&byte| char::from(byte)));
        pem.push('\n');
    }
    pem + "-----END CERTIFICATE-----\n"
}

/// AWS's id of a certificate: the SHA-256 of its DER in hexadecimal (security.md §2.2).
pub fn certificate_id(der: &[u8]) -> String {
    use std::fmt::Write as _;
    let hash = digest::digest(&digest::SHA256, der);
    hash.as_ref().iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing to a string does not fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn block(pem: &str) -> Result<Pem, String> {
    let (_, block) = parse_x509_pem(pem.as_bytes()).map_err(|bad| format!("not PEM: {bad}"))?;
    if block.label == "CERTIFICATE" {
        Ok(block)
    } else {
        Err(format!("a PEM block of {}, not CERTIFICATE", block.label))
    }
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, String> {
    use x509_parser::prelude::FromDer as _;
    let (rest, certificate) = X509Certificate::from_der(der).map_err(|bad| format!("not X.509: {bad}"))?;
    if rest.is_empty() { Ok(certificate) } else { Err("bytes after the certificate".to_owned()) }
}

/// The attributes of a name that are variables, by the last arc of their identifier 2.5.4.x.
const ATTRIBUTES: [(u8, &str); 13] = [
    (3, "CommonName"),
    (4, "Surname"),
    (5, "SerialNumber"),
    (6, "Country"),
    (8, "State"),
    (10, "Organization"),
    (11, "OrganizationalUnit"),
    (12, "Title"),
    (42, "GivenName"),
    (43, "Initials"),
    (44, "GenerationQualifier"),
    (46, "DistinguishedNameQualifier"),
    (65, "Pseudonym"),
];

/// Files every variable of the certificate; one that cannot be read has none.
pub(crate) fn add_variables(context: &mut Context, pem: &str) {
    let Ok(block) = block(pem) else { return };
    let Ok(certificate) = parse(&block.contents) else { return };
    let mut found = Found { context, keys: Vec::new() };
    found.add_name("Subject", certificate.subject());
    found.add_name("Issuer", certificate.issuer());
    for extension in certificate.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => found.add_alternatives("Subject", &names.general_names),
            ParsedExtension::IssuerAlternativeName(names) => found.add_alternatives("Issuer", &names.general_names),
            _ => {}
        }
    }
    // unconfirmed: how AWS writes the serial number; lower-case hex without separators.
    let serial: String = certificate.raw_serial_as_string().split(':').collect();
    found.add("iot:Certificate.SerialNumber".to_owned(), &[serial]);
    let keys = found.keys;
    context.set_all("iot:Certificate.AvailableKeys", keys.iter().map(String::as_str));
}

/// The context being filled, and the names of what is in it so far.
struct Found<'c> {
    context: &'c mut Context,
    keys: Vec<String>,
}

impl Found<'_> {
    fn add(&mut self, key: String, values: &[String]) {
        if !values.is_empty() {
            self.context.set_all(&key, values.iter().map(String::as_str));
            self.keys.push(key);
        }
    }

    fn add_name(&mut self, of: &str, name: &X509Name<'_>) {
        for (arc, attribute) in ATTRIBUTES {
            let values: Vec<String> = name
                .iter_attributes()
                .filter(|it| it.attr_type().as_bytes() == [0x55, 0x04, arc])
                .filter_map(|it| it.as_str().ok().map(str::to_owned))
                .collect();
            self.add(format!("iot:Certificate.{of}.{attribute}"), &values);
        }
    }

    fn add_alternatives(&mut self, of: &str, names: &[GeneralName<'_>]) {
        for kind in ["RFC822Name", "DNSName", "DirectoryName", "UniformResourceIdentifier", "IPAddress"] {
            let values: Vec<String> =
                names.iter().filter_map(alternative).filter(|(of, _)| *of == kind).map(|(_, value)| value).collect();
            self.add(format!("iot:Certificate.{of}.AlternativeName.{kind}"), &values);
        }
    }
}

/// The kind of an alternative name, as its variable is called, and its value.
fn alternative(name: &GeneralName<'_>) -> Option<(&'static str, String)> {
    match name {
        GeneralName::RFC822Name(address) => Some(("RFC822Name", (*address).to_owned())),
        GeneralName::DNSName(host) => Some(("DNSName", (*host).to_owned())),
        // unconfirmed: the form of a directory name; the comma-separated one.
        GeneralName::DirectoryName(name) => Some(("DirectoryName", name.to_string())),
        GeneralName::URI(uri) => Some(("UniformResourceIdentifier", (*uri).to_owned())),
        GeneralName::IPAddress(bytes) => Some(("IPAddress", ip_address(bytes)?)),
        _ => None,
    }
}

fn ip_address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    let v6 = <[u8; 16]>::try_from(bytes).map(IpAddr::from);
    v4.or(v6).ok().map(|address| address.to_string())
}

#[cfg(test)]
#[path = "../../../fuzz/smoke.rs"]
mod smoke;

#[cfg(test)]
mod tests {
    use super::*;

    const RICH: &str = include_str!("../tests/it/data/rich.pem");

    #[test]
    fn every_variable_of_a_certificate_is_filed() {
        let mut context = Context::new();
        add_variables(&mut context, RICH);
        let single = [
            ("Subject.DistinguishedNameQualifier", "q"),
            ("Subject.Country", "DE"),
            ("Subject.Organization", "Lights"),
            ("Subject.State", "Hesse"),
            ("Subject.SerialNumber", "SN-7"),
            ("Subject.Title", "Dr"),
            ("Subject.Surname", "Watt"),
            ("Subject.GivenName", "James"),
            ("Subject.Initials", "JW"),
            ("Subject.Pseudonym", "sparky"),
            ("Subject.GenerationQualifier", "Jr"),
            ("Issuer.Organization", "Lights"),
            ("Issuer.CommonName", "lamp"),
            ("Subject.AlternativeName.RFC822Name", "lamp@example.com"),
            ("Subject.AlternativeName.UniformResourceIdentifier", "urn:lamp:1"),
            ("Subject.AlternativeName.DirectoryName", "CN=directory lamp"),
            ("SerialNumber", "0123456789abcdef"),
        ];
        for (name, value) in single {
            assert!(is(&context, name, value), "{name}");
            assert!(!is(&context, name, "another"), "{name}");
        }
        let several = [
            ("Subject.CommonName", ["lamp", "hall lamp"]),
            ("Subject.OrganizationalUnit", ["one", "two"]),
            ("Subject.AlternativeName.DNSName", ["lamp.example.com", "hall.example.com"]),
            ("Subject.AlternativeName.IPAddress", ["192.0.2.1", "2001:db8::1"]),
        ];
        for (name, [first, second]) in several {
            assert!(is(&context, name, first) && is(&context, &format!("{name}.1"), second), "{name}");
        }
    }

    /// Whether a policy that asks for this value of `iot:Certificate.{name}` gets it.
    fn is(context: &Context, name: &str, value: &str) -> bool {
        let document = format!(
            r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Action":"*","Resource":"*",
                "Condition":{{"StringEquals":{{"iot:Certificate.{name}":"{value}"}}}}}}}}"#
        );
        let document = std::sync::Arc::new(policy::Document::parse(&document).unwrap());
        let set = policy::PolicySet::compile([("p", document)], context.clone());
        set.decide(&policy::Request::new("iot:Connect", policy::Resource::new("", "x"), 0)).is_allowed()
    }

    #[test]
    fn the_id_is_the_hash_of_the_der() {
        let facts = facts(RICH).unwrap();
        assert_eq!(facts.id, "28fb8ea5d9ba40ec96fc0b7b70b4c05a15d4a6124726326f04b2a0969c85b610");
        assert_eq!(facts.not_after_ms - facts.not_before_ms, 9000 * 86_400_000);
    }

    #[test]
    fn a_certificate_signed_itself_and_nobody_else() {
        let rich = block(RICH).unwrap().contents;
        assert_eq!(is_issued_by(&rich, &rich), Ok(true));
        let mut forged = rich.clone();
        // The last byte is one of the signature.
        *forged.last_mut().unwrap() ^= 1;
        assert_eq!(is_issued_by(&forged, &rich), Ok(false));
        assert_eq!(is_of_known_kind(&rich), Ok(()));
    }

    #[test]
    fn a_certificate_is_for_the_hosts_it_names() {
        let rich = block(RICH).unwrap().contents;
        for (host, expected) in [("lamp.example.com", true), ("example.com", false), ("x.lamp.example.com", false)] {
            assert_eq!(is_for_host(&rich, host), Ok(expected), "{host}");
        }
    }

    #[test]
    fn what_is_no_certificate_is_an_error_and_has_no_variables() {
        let key = RICH.replace("CERTIFICATE", "PUBLIC KEY");
        let cut = format!("{}\n-----END CERTIFICATE-----\n", RICH.lines().take(4).collect::<Vec<_>>().join("\n"));
        for bad in ["", "x", "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", &key, &cut] {
            assert!(facts(bad).is_err(), "{bad}");
            let mut context = Context::new();
            add_variables(&mut context, bad);
            assert_eq!(context, Context::new(), "{bad}");
        }
    }

    /// What reads certificates is private here, so that this is all the fuzzing there is.
    fn is_survived(der: &[u8]) {
        let base64 = STANDARD.encode(der);
        let pem = format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n");
        let (read, mut context) = (facts(&pem), Context::new());
        add_variables(&mut context, &pem);
        assert_eq!(read.is_ok(), context != Context::new(), "{read:?}");
        assert!(read.is_err() || read.is_ok_and(|facts| facts.id == certificate_id(der)));
        let rich = block(RICH).unwrap().contents;
        let whole = context != Context::new();
        // What is no certificate is an error of all; what is one may be of any kind, and signed by anybody.
        assert!(whole || (is_of_known_kind(der).is_err() && is_issued_by(der, &rich).is_err()));
        assert!(whole || (is_issued_by(&rich, der).is_err() && is_for_host(der, "lamp.example.com").is_err()));
        let said = |der| parse(der).map(|certificate| certificate.tbs_certificate.as_ref().to_vec());
        assert!(is_issued_by(der, &rich) != Ok(true) || said(der) == said(&rich), "a change of what is signed shows");
    }

    #[test]
    fn no_bytes_are_too_odd_for_a_certificate() {
        smoke::smoke(is_survived, &[block(RICH).unwrap().contents], 3_000);
    }
}
