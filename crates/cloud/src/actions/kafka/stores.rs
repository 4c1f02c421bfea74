//! The stores of a kafka action: whom it trusts and who it is, as PKCS#12 in base64, most often asked of a secret. What stands
//! in a store, and whether its password is the right one, is known by whoever opens it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use wire::Refusal;

use crate::actions::effect::{Failure, KafkaStore, KafkaTls};
use crate::actions::fields::Fields;
use crate::actions::text::{Text, render};
use crate::actions::{Prepared, Unprepared};

/// The client properties that are read here.
pub(super) const PROPERTIES: [&str; 5] =
    [TRUST, "ssl.truststore.password", IDENTITY, "ssl.keystore.password", "ssl.key.password"];

const TRUST: &str = "ssl.truststore";
const IDENTITY: &str = "ssl.keystore";

/// Bytes of the largest store.
/// unconfirmed: that AWS counts them before they are put into base64; a secret holds no more either.
const MOST_STORE: usize = 65 * 1024;

/// How a file in one of Java's own formats begins: JKS, JCEKS.
const JAVA: [[u8; 4]; 2] = [[0xfe, 0xed, 0xfe, 0xed], [0xce, 0xce, 0xce, 0xce]];

/// The stores as they are written in a rule.
pub(super) struct Stores {
    trust: Option<(Text, Option<Text>)>,
    identity: Option<(Text, Option<Text>)>,
    key_password: Option<Text>,
}

impl Stores {
    pub(super) fn parse(properties: &Fields<'_>) -> Result<Self, Refusal> {
        let (identity, password) = (store(properties, IDENTITY)?, properties.optional_text("ssl.keystore.password")?);
        // unconfirmed: that AWS refuses it when the rule is made.
        if identity.is_some() && password.is_none() {
            return Err(properties.invalid("ssl.keystore.password", "it is required beside ssl.keystore"));
        }
        let trust = store(properties, TRUST)?.map(|it| Ok((it, properties.optional_text("ssl.truststore.password")?)));
        Ok(Self {
            trust: trust.transpose()?,
            identity: identity.map(|it| (it, password)),
            key_password: properties.optional_text("ssl.key.password")?,
        })
    }

    /// The stores for one message.
    pub(super) fn render(&self, cx: &mut Prepared<'_>) -> Result<KafkaTls, Unprepared> {
        let tls = KafkaTls { trust: opened(TRUST, self.trust.as_ref(), cx)?, identity: self.identity(cx)? };
        Ok(tls)
    }

    fn identity(&self, cx: &mut Prepared<'_>) -> Result<Option<KafkaStore>, Unprepared> {
        let Some(store) = opened(IDENTITY, self.identity.as_ref(), cx)? else { return Ok(None) };
        let key_password = render(self.key_password.as_ref(), cx)?.filter(|it| !it.is_empty());
        if key_password.is_some_and(|it| it != store.password) {
            let message = "ssl.key.password is not ssl.keystore.password: a PKCS#12 store has one password.";
            return Err(Failure::unusable(message).into());
        }
        Ok(Some(store))
    }
}

/// A store as it is written; one without templates is looked at when the rule is made.
fn store(properties: &Fields<'_>, name: &str) -> Result<Option<Text>, Refusal> {
    let text = properties.optional_text(name)?;
    match text.as_ref().and_then(Text::literal).map(decode) {
        Some(Err(Unread::NotBuilt(what))) => Err(properties.not_built(name, what)),
        Some(Err(Unread::Invalid(why))) => Err(properties.invalid(name, why)),
        Some(Ok(_)) | None => Ok(text),
    }
}

fn opened(
    name: &str,
    store: Option<&(Text, Option<Text>)>,
    cx: &mut Prepared<'_>,
) -> Result<Option<KafkaStore>, Unprepared> {
    let Some((text, password)) = store else { return Ok(None) };
    let bytes = decode(&text.render_some(name, cx)?).map_err(|unread| {
        let (Unread::NotBuilt(why) | Unread::Invalid(why)) = unread;
        Failure::unusable(format!("The {name} cannot be used: {why}."))
    })?;
    Ok(Some(KafkaStore { bytes, password: render(password.as_ref(), cx)?.unwrap_or_default() }))
}

/// Why a text is no store.
enum Unread {
    NotBuilt(&'static str),
    Invalid(&'static str),
}

fn decode(text: &str) -> Result<Vec<u8>, Unread> {
    // Base64 takes four characters for three bytes; whoever breaks its lines has a few more.
    if text.len() > MOST_STORE * 3 / 2 {
        return Err(Unread::Invalid("there may be 65 KB"));
    }
    if text.trim_start().starts_with("-----BEGIN") {
        return Err(Unread::NotBuilt("PEM; `openssl pkcs12 -export` makes a PKCS#12 store of it"));
    }
    let text: String = text.split_ascii_whitespace().collect();
    let bytes = STANDARD.decode(text).map_err(|_| Unread::Invalid("it must be a PKCS#12 store in base64"))?;
    if JAVA.iter().any(|magic| bytes.starts_with(magic)) {
        let what = "stores in Java's own formats; `keytool -importkeystore -deststoretype PKCS12` makes them PKCS#12";
        return Err(Unread::NotBuilt(what));
    }
    // Whatever is written in DER and is more than a few bytes is a sequence, and begins so.
    match bytes.len() {
        0..=MOST_STORE if bytes.first() == Some(&0x30) => Ok(bytes),
        0..=MOST_STORE => Err(Unread::Invalid("it must be a PKCS#12 store in base64")),
        _ => Err(Unread::Invalid("there may be 65 KB")),
    }
}
