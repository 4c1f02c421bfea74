//! How a function is named: by its name, by its ARN or by part of it, with a version or an alias behind it or beside it.
//! Whether there is such a function is unknown here.

use wire::Refusal;

use crate::scope::Scope;

/// What stands for the version that can be changed.
pub(crate) const LATEST: &str = "$LATEST";

/// A function as a caller named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) name: String,
    /// A version's number, an alias or `$LATEST`, if it was said.
    pub(crate) qualifier: Option<String>,
}

impl Named {
    /// Reads `name`, `name:qualifier`, `account:function:name` and whole ARNs, and the qualifier that stands elsewhere.
    pub(crate) fn parse(scope: &Scope, text: &str, qualifier: Option<&str>) -> Result<Self, Refusal> {
        let parts: Vec<&str> = text.split(':').collect();
        let (place, rest) = match parts.as_slice() {
            ["arn", _, "lambda", region, account, "function", rest @ ..] => (Some((*account, Some(*region))), rest),
            [account, "function", rest @ ..] => (Some((*account, None)), rest),
            ["function", rest @ ..] if !rest.is_empty() => (None, rest),
            rest => (None, rest),
        };
        let elsewhere = place.is_some_and(|(account, region)| {
            account != &*scope.account || region.is_some_and(|region| region != &*scope.region)
        });
        let (name, inner) = match rest {
            [name] => (*name, None),
            [name, inner] => (*name, Some(*inner)),
            _ => return Err(invalid(format!("{text} is not a function's name or ARN"))),
        };
        if let Some((_, Some(region))) = place.filter(|(_, region)| region.is_some_and(|it| it != &*scope.region)) {
            let here = &scope.region;
            let message = format!("Functions from '{region}' are not reachable in this region ('{here}')");
            return Err(Refusal::resource_not_found(message).with("Type", "User"));
        }
        if elsewhere {
            // unconfirmed: a function of another account is not found rather than denied.
            return Err(not_found(text));
        }
        if inner.is_some() && qualifier.is_some() && inner != qualifier {
            return Err(invalid(
                "The derived qualifier from the function name does not match the specified qualifier.".to_owned(),
            ));
        }
        Ok(Self { name: name.to_owned(), qualifier: inner.or(qualifier).map(str::to_owned) })
    }

    /// The qualifier that means something: `$LATEST` is what there is without one.
    pub(crate) fn beyond_latest(&self) -> Option<&str> {
        self.qualifier.as_deref().filter(|qualifier| *qualifier != LATEST)
    }

    /// Its ARN, with the qualifier if there is one.
    pub(crate) fn arn(&self, scope: &Scope) -> String {
        arn(scope, &self.name, self.qualifier.as_deref())
    }
}

/// `arn:aws:lambda:{region}:{account}:function:{name}`, and the qualifier behind it.
pub(crate) fn arn(scope: &Scope, name: &str, qualifier: Option<&str>) -> String {
    let arn = format!("arn:aws:lambda:{}:{}:function:{name}", scope.region, scope.account);
    match qualifier {
        Some(qualifier) => format!("{arn}:{qualifier}"),
        None => arn,
    }
}

/// The error of everything that is not there; AWS says whose mistake it is.
pub(crate) fn not_found(arn: &str) -> Refusal {
    Refusal::resource_not_found(format!("Function not found: {arn}")).with("Type", "User")
}

/// The error of parameters that cannot be meant.
pub(crate) fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new("InvalidParameterValueException", message).with("Type", "User")
}

/// The error of what is there already, or in the way.
pub(crate) fn conflict(message: impl Into<String>) -> Refusal {
    Refusal::new("ResourceConflictException", message).with("Type", "User")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_found_by_every_way_of_naming_it() {
        let scope = Scope::new("000000000000", "us-east-1");
        let named = |name: &str, qualifier: Option<&str>| {
            Ok(Named { name: name.to_owned(), qualifier: qualifier.map(str::to_owned) })
        };
        for (text, beside, expected) in [
            ("f", None, named("f", None)),
            ("f", Some("1"), named("f", Some("1"))),
            ("f:live", None, named("f", Some("live"))),
            ("000000000000:function:f", None, named("f", None)),
            ("function:f", None, named("f", None)),
            ("arn:aws:lambda:us-east-1:000000000000:function:f", None, named("f", None)),
            ("arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST", None, named("f", Some("$LATEST"))),
            ("f:1", Some("1"), named("f", Some("1"))),
        ] {
            assert_eq!(Named::parse(&scope, text, beside), expected, "{text}");
        }
        for (text, error) in [
            ("arn:aws:lambda:us-east-1:000000000001:function:f", "ResourceNotFoundException"),
            ("arn:aws:lambda:eu-west-1:000000000000:function:f", "ResourceNotFoundException"),
            ("a:b:c:d", "InvalidParameterValueException"),
        ] {
            assert_eq!(Named::parse(&scope, text, None).unwrap_err().error(), error, "{text}");
        }
        assert!(Named::parse(&scope, "f:1", Some("2")).is_err());
    }
}
