//! The values that policy variables and condition keys stand for. The caller fills a [`Context`] with names
//! and texts; where they come from (a certificate, a connection, a registry) is unknown here. What is known
//! is how a name selects among them, and which values may not stand in a policy's text.

use std::collections::BTreeMap;

/// The names under which the platform files what it knows of a connection.
pub mod keys {
    /// The MQTT client id.
    pub const CLIENT_ID: &str = "iot:ClientId";
    /// The address of the peer.
    pub const SOURCE_IP: &str = "aws:SourceIp";
    /// The host name the client asked for.
    pub const DOMAIN_NAME: &str = "iot:DomainName";
    /// The id of the certificate.
    pub const CERTIFICATE_ID: &str = "iot:CertificateId";
    /// The thing that belongs to the connection.
    pub const THING_NAME: &str = "iot:Connection.Thing.ThingName";
    /// The type of that thing.
    pub const THING_TYPE_NAME: &str = "iot:Connection.Thing.ThingTypeName";
    /// `true` or `false`: whether the principal is attached to that thing.
    pub const THING_IS_ATTACHED: &str = "iot:Connection.Thing.IsAttached";
    /// `PersistentConnect` and `LastWill`, whichever the CONNECT asks for.
    pub const CONNECT_ATTRIBUTES: &str = "iot:ConnectAttributes";
    /// The topic of the will, as the ARN of a topic.
    pub const LAST_WILL_TOPIC: &str = "iot:LastWillTopic";

    /// The name of one attribute of the thing that belongs to the connection.
    pub fn thing_attribute(name: &str) -> String {
        format!("iot:Connection.Thing.Attributes[{name}]")
    }
}

/// Longer values of a certificate do not stand in for a variable (security.md §3.4).
const MAX_CERTIFICATE_VALUE: usize = 1024;
/// A certificate attribute shows its first five values (security.md §3.4).
const MAX_CERTIFICATE_VALUES: usize = 5;

/// What is known of one connection or one request, by variable name. Names ignore case, except for what
/// stands in brackets. `iot:SourceIp` and `iot:Thing.…` are other names of `aws:SourceIp` and
/// `iot:Connection.Thing.…`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    values: BTreeMap<Box<str>, Box<[Box<str>]>>,
}

impl Context {
    /// A context in which nothing has a value.
    pub const fn new() -> Context {
        Context { values: BTreeMap::new() }
    }

    /// Gives `name` one value.
    pub fn set(&mut self, name: &str, value: &str) {
        self.set_all(name, [value]);
    }

    /// Gives `name` all the values it has; none takes it out. A certificate's attribute is filed under its
    /// plain name (`iot:Certificate.Subject.CommonName`); `.1` and `.List` select from it.
    pub fn set_all<'v>(&mut self, name: &str, values: impl IntoIterator<Item = &'v str>) {
        let key = Key::new(name);
        let most = if key.is_certificate_attribute() { MAX_CERTIFICATE_VALUES } else { usize::MAX };
        let values: Box<[Box<str>]> = values.into_iter().take(most).map(Box::from).collect();
        if values.is_empty() {
            self.values.remove(&key.folded);
        } else {
            self.values.insert(key.folded, values);
        }
    }

    /// Takes over all that another context has; what it has too is the other's from then on.
    pub fn add(&mut self, other: &Context) {
        self.values.extend(other.values.iter().map(|(name, values)| (name.clone(), values.clone())));
    }

    /// The names that have values, folded as they are filed, with their values.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &[Box<str>])> {
        self.values.iter().map(|(name, values)| (&**name, &**values))
    }

    /// The values a condition on `key` sees; none if it is absent.
    pub(crate) fn values(&self, key: &Key) -> &[Box<str>] {
        let all = self.values.get(&key.folded).map(|values| &**values).unwrap_or_default();
        match key.pick {
            Pick::All => all,
            Pick::Nth(n) => all.get(n..=n).unwrap_or_default(),
        }
    }

    /// The text that stands in for the variable `key`.
    pub(crate) fn text(&self, key: &Key) -> Result<&str, Empty> {
        let value = match self.values(key) {
            [] => return Err(Empty::Absent),
            [value] => &**value,
            // unconfirmed: a name with several values (`….List`) does not stand in text, as in IAM.
            _ => return Err(Empty::Several),
        };
        if key.is_of_certificate() {
            if value.len() > MAX_CERTIFICATE_VALUE {
                return Err(Empty::TooLong);
            }
            if value.contains(['*', '$', '+', '?', '#']) {
                return Err(Empty::Unsafe);
            }
        }
        // security.md §3.3 warns of it and AWS lets it pass: a filter that names such a client would cover the topics of others.
        if key.is_of_client() && value.contains(['+', '#']) {
            return Err(Empty::Wild);
        }
        Ok(value)
    }
}

/// Why a variable has no text to stand in for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Empty {
    Absent,
    Several,
    TooLong,
    Unsafe,
    Wild,
    /// There is a text, but the operator of a condition cannot compare it.
    Unfit,
}

impl std::fmt::Display for Empty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Empty::Absent => "has no value here",
            Empty::Several => "has several values, which cannot stand in text",
            Empty::TooLong => "has a certificate value of more than 1024 bytes, which is not substituted",
            Empty::Unsafe => "has a certificate value with one of `* $ + ? #`, which is not substituted",
            Empty::Wild => "has a value with `+` or `#`, which would be wildcards of a filter and are not substituted",
            Empty::Unfit => "has a value that the operator cannot compare",
        })
    }
}

/// A variable or condition key, read once so that looking it up allocates nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// As the policy spells it.
    pub(crate) written: Box<str>,
    /// As it is filed: lower case but for what stands in brackets, no alias, no selector.
    pub(crate) folded: Box<str>,
    pick: Pick,
}

/// Which of the values of a name are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pick {
    All,
    Nth(usize),
}

impl Key {
    pub(crate) fn new(name: &str) -> Key {
        let (head, bracket) = name.split_at(name.find('[').unwrap_or(name.len()));
        let head = head.to_ascii_lowercase();
        let folded = match head.strip_prefix("iot:thing.") {
            Some(rest) => format!("iot:connection.thing.{rest}{bracket}"),
            None if head == "iot:sourceip" => "aws:sourceip".to_owned(),
            None => head + bracket,
        };
        let whole = Key { written: name.into(), folded: folded.into(), pick: Pick::All };
        if !whole.is_certificate_attribute() {
            return whole;
        }
        let (base, pick) = match whole.folded.rsplit_once('.') {
            Some((base, "list")) => (base, Pick::All),
            Some((base, digits)) => match digits.parse() {
                Ok(n) => (base, Pick::Nth(n)),
                Err(_) => (&*whole.folded, Pick::Nth(0)),
            },
            None => (&*whole.folded, Pick::Nth(0)),
        };
        Key { folded: base.into(), pick, ..whole }
    }

    /// Whether the values come from the certificate, so that the caution about them applies.
    pub(crate) fn is_of_certificate(&self) -> bool {
        self.folded.starts_with("iot:certificate.")
    }

    /// Whether the value is what a client calls itself, or what somebody wrote into the registry of its thing.
    fn is_of_client(&self) -> bool {
        &*self.folded == "iot:clientid" || self.folded.starts_with("iot:connection.thing.attributes[")
    }

    /// Whether this is one of the attributes that may occur several times in one certificate.
    fn is_certificate_attribute(&self) -> bool {
        self.folded.starts_with("iot:certificate.subject.") || self.folded.starts_with("iot:certificate.issuer.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text<'a>(context: &'a Context, name: &str) -> Result<&'a str, Empty> {
        context.text(&Key::new(name))
    }

    #[test]
    fn names_ignore_case_but_attribute_names_do_not() {
        let mut context = Context::new();
        context.set(keys::CLIENT_ID, "c");
        context.set(&keys::thing_attribute("Room"), "attic");
        assert_eq!(text(&context, "IOT:clientID"), Ok("c"));
        assert_eq!(text(&context, "iot:connection.thing.attributes[Room]"), Ok("attic"));
        assert_eq!(text(&context, "iot:Connection.Thing.Attributes[room]"), Err(Empty::Absent));
    }

    #[test]
    fn the_older_names_mean_the_same() {
        let mut context = Context::new();
        context.set(keys::SOURCE_IP, "10.0.0.1");
        context.set(keys::THING_NAME, "lamp");
        assert_eq!(text(&context, "iot:SourceIp"), Ok("10.0.0.1"));
        assert_eq!(text(&context, "iot:Thing.ThingName"), Ok("lamp"));
    }

    #[test]
    fn a_certificate_attribute_shows_five_values_one_by_one_or_as_a_list() {
        let mut context = Context::new();
        let name = "iot:Certificate.Subject.OrganizationalUnit";
        context.set_all(name, ["a", "b", "c", "d", "e", "f"]);
        assert_eq!(text(&context, name), Ok("a"));
        assert_eq!(text(&context, &format!("{name}.0")), Ok("a"));
        assert_eq!(text(&context, &format!("{name}.4")), Ok("e"));
        assert_eq!(text(&context, &format!("{name}.5")), Err(Empty::Absent));
        assert_eq!(text(&context, &format!("{name}.List")), Err(Empty::Several));
        assert_eq!(context.values(&Key::new(&format!("{name}.List"))).len(), 5);
    }

    #[test]
    fn a_certificate_value_that_could_change_a_pattern_is_not_substituted() {
        let mut context = Context::new();
        let name = "iot:Certificate.Subject.CommonName";
        for bad in ["a*", "$aws", "+", "a?", "#"] {
            context.set(name, bad);
            assert_eq!(text(&context, name), Err(Empty::Unsafe), "{bad}");
        }
        context.set(name, &"a".repeat(1025));
        assert_eq!(text(&context, name), Err(Empty::TooLong));
        context.set(name, &"a".repeat(1024));
        assert!(text(&context, name).is_ok());
        context.set(keys::CLIENT_ID, "a*");
        assert_eq!(text(&context, keys::CLIENT_ID), Ok("a*"));
    }

    #[test]
    fn what_would_be_a_wildcard_of_a_filter_is_not_substituted() {
        let mut context = Context::new();
        let attribute = keys::thing_attribute("hall");
        for (name, value, expected) in [
            (keys::CLIENT_ID, "+", Err(Empty::Wild)),
            (keys::CLIENT_ID, "a/#", Err(Empty::Wild)),
            (&attribute, "#", Err(Empty::Wild)),
            (keys::CLIENT_ID, "$a", Ok("$a")),
            (&attribute, "a/b", Ok("a/b")),
        ] {
            context.set(name, value);
            assert_eq!(text(&context, name), expected, "{name} {value}");
        }
    }
}
