//! The older protocol of some AWS services: a form that names an action comes in, XML goes out. Which actions there
//! are is unknown here.

use bytes::Bytes;
use percent_encoding::percent_decode_str;

use crate::refusal::Refusal;
use crate::reply::Reply;

/// Bytes of a form that are looked at.
const FORM: usize = 64 * 1024;

/// The value of one parameter of a form.
pub fn parameter(form: &[u8], name: &str) -> Option<String> {
    let form = std::str::from_utf8(form.get(..form.len().min(FORM))?).ok()?;
    let value = form.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
    let spaced = value.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

/// The answer of an action: its result's members in order, or a refusal.
pub fn reply(action: &str, namespace: &str, answer: Result<Vec<(&str, String)>, Refusal>, request_id: &str) -> Reply {
    let (status, xml) = match answer {
        Ok(members) => {
            let members: String = members.iter().map(|(name, value)| element(name, value)).collect();
            let metadata = format!("<ResponseMetadata>{}</ResponseMetadata>", element("RequestId", request_id));
            let result = format!("<{action}Result>{members}</{action}Result>{metadata}");
            (200, format!("<{action}Response xmlns=\"{namespace}\">{result}</{action}Response>"))
        }
        Err(refusal) => {
            let status = refusal.status(None);
            let kind = if status < 500 { "Sender" } else { "Receiver" };
            let error =
                [element("Type", kind), element("Code", refusal.error()), element("Message", refusal.message())];
            let error = format!("<Error>{}</Error>{}", error.concat(), element("RequestId", request_id));
            (status, format!("<ErrorResponse xmlns=\"{namespace}\">{error}</ErrorResponse>"))
        }
    };
    let headers = vec![("content-type", "text/xml".to_owned()), ("x-amzn-RequestId", request_id.to_owned())];
    Reply { status, headers, body: Bytes::from(xml) }
}

fn element(name: &str, text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!("<{name}>{text}</{name}>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_found_and_decoded() {
        let form = b"Action=GetCallerIdentity&Version=2011-06-15&Name=a+b%2Fc";
        assert_eq!(parameter(form, "Action").as_deref(), Some("GetCallerIdentity"));
        assert_eq!(parameter(form, "Name").as_deref(), Some("a b/c"));
        assert_eq!(parameter(form, "Act"), None);
        assert_eq!(parameter(b"\xFF", "Action"), None);
    }

    #[test]
    fn an_answer_is_the_result_in_its_response() {
        let reply = reply("Get", "urn:x", Ok(vec![("Name", "a<b".to_owned())]), "id");
        let expected = "<GetResponse xmlns=\"urn:x\"><GetResult><Name>a&lt;b</Name></GetResult>\
            <ResponseMetadata><RequestId>id</RequestId></ResponseMetadata></GetResponse>";
        assert_eq!((reply.status, &reply.body[..]), (200, expected.as_bytes()));
    }

    #[test]
    fn a_refusal_names_its_code() {
        let reply = reply("Get", "urn:x", Err(Refusal::new("NotImplementedException", "no")), "id");
        assert_eq!(reply.status, 501);
        assert!(String::from_utf8_lossy(&reply.body).contains("<Code>NotImplementedException</Code>"));
    }
}
