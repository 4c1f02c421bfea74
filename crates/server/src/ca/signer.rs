//! The key of an authority, of whichever kind an operator's own may be: RSA, or one of the curves that AWS knows. It signs
//! what the printer of certificates has composed; where the key comes from is unknown here.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;

/// The content of an `AlgorithmIdentifier`.
type Algorithm = &'static [u8];

const ECDSA_WITH_SHA256: Algorithm = &[0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const ECDSA_WITH_SHA384: Algorithm = &[0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3];
const ECDSA_WITH_SHA512: Algorithm = &[0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 4];
const RSA_WITH_SHA256: Algorithm = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11, 5, 0];

/// The curves, each with the hash that goes with it.
const CURVES: [(&EcdsaSigningAlgorithm, Algorithm); 3] = [
    (&ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_WITH_SHA256),
    (&ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_WITH_SHA384),
    (&ECDSA_P521_SHA512_ASN1_SIGNING, ECDSA_WITH_SHA512),
];

/// A key that signs certificates.
pub(crate) enum Signer {
    /// An elliptic one, and how it signs.
    Ecdsa(EcdsaKeyPair, Algorithm),
    /// An RSA one.
    Rsa(RsaKeyPair),
}

/// What a file must hold to be one.
pub(crate) const NOT_A_KEY: &str =
    "it holds no unencrypted private key in PEM, of RSA with 2048 bits or more or of curve P-256, P-384 or P-521";

impl Signer {
    /// A new key of curve P-256, and its PKCS#8.
    pub(crate) fn make() -> Result<(Self, Vec<u8>), Unspecified> {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)?;
        let pkcs8 = key.to_pkcs8v1()?.as_ref().to_vec();
        Ok((Self::Ecdsa(key, ECDSA_WITH_SHA256), pkcs8))
    }

    /// The key in a PEM file: PKCS#8, or what older tools write.
    pub(crate) fn read(pem: &str) -> Option<Self> {
        let der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).ok()?;
        let bytes = der.secret_der();
        for (curve, algorithm) in CURVES {
            if let Ok(key) = EcdsaKeyPair::from_private_key_der(curve, bytes) {
                return Some(Self::Ecdsa(key, algorithm));
            }
        }
        // Shorter keys are refused by both.
        let key = if matches!(der, PrivateKeyDer::Pkcs1(_)) {
            RsaKeyPair::from_der(bytes)
        } else {
            RsaKeyPair::from_pkcs8(bytes)
        };
        key.ok().map(Self::Rsa)
    }

    /// How it signs.
    pub(super) fn algorithm(&self) -> &'static [u8] {
        match self {
            Self::Ecdsa(_, algorithm) => algorithm,
            Self::Rsa(_) => RSA_WITH_SHA256,
        }
    }

    /// Its public half, as DER `SubjectPublicKeyInfo`.
    pub(crate) fn public_key(&self) -> Result<Vec<u8>, Unspecified> {
        Ok(match self {
            Self::Ecdsa(key, _) => key.public_key().as_der()?.as_ref().to_vec(),
            Self::Rsa(key) => key.public_key().as_der()?.as_ref().to_vec(),
        })
    }

    /// Signs.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let random = SystemRandom::new();
        match self {
            Self::Ecdsa(key, _) => Ok(key.sign(&random, message)?.as_ref().to_vec()),
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)?;
                Ok(signature)
            }
        }
    }
}
