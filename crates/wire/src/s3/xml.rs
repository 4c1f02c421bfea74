//! The XML of S3, both ways: small documents are read into a tree, and written element by element. What the elements mean is
//! unknown here.

use std::fmt::{Display, Write as _};

use quick_xml::Reader;
use quick_xml::events::Event;

use super::refused;
use crate::refusal::Refusal;

/// Elements inside elements.
const DEPTH: usize = 8;
/// Elements of a document: ten thousand parts with their checksums.
const ELEMENTS: usize = 80_000;

/// An element that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Element {
    /// Its name without a namespace.
    pub name: String,
    /// The text in it.
    pub text: String,
    /// The elements in it.
    pub children: Vec<Element>,
}

impl Element {
    /// Reads a document.
    pub fn read(document: &[u8]) -> Result<Self, Refusal> {
        let text = std::str::from_utf8(document).map_err(|_| malformed())?;
        let mut reader = Reader::from_str(text);
        // What is open, the document itself first.
        let mut open = vec![Self::default()];
        let mut elements = 0;
        loop {
            let event = reader.read_event().map_err(|_| malformed())?;
            elements += usize::from(matches!(event, Event::Start(_) | Event::Empty(_)));
            if open.len() > DEPTH + 1 || elements > ELEMENTS {
                return Err(malformed());
            }
            match event {
                Event::Start(start) => open.push(Self::named(start.local_name().as_ref())),
                Event::Empty(start) => {
                    let empty = Self::named(start.local_name().as_ref());
                    close(&mut open, empty)?;
                }
                Event::End(_) => {
                    let closed = open.pop().ok_or_else(malformed)?;
                    close(&mut open, closed)?;
                }
                Event::Text(text) => add(&mut open, &text.xml10_content()),
                Event::CData(text) => add(&mut open, &text.xml10_content()),
                Event::GeneralRef(reference) => {
                    let stands_for = match reference.resolve_char_ref().map_err(|_| malformed())? {
                        Some(c) => c.to_string(),
                        None => {
                            quick_xml::escape::resolve_predefined_entity(&reference).ok_or_else(malformed)?.to_owned()
                        }
                    };
                    add(&mut open, &stands_for);
                }
                Event::Eof => break,
                Event::Decl(_) | Event::Comment(_) | Event::PI(_) => {}
                // Entities of a document's own are how small documents become large.
                Event::DocType(_) => return Err(malformed()),
            }
        }
        match open.as_mut_slice() {
            [document] if document.children.len() == 1 => document.children.pop().ok_or_else(malformed),
            _ => Err(malformed()),
        }
    }

    fn named(name: impl AsRef<[u8]>) -> Self {
        Self { name: String::from_utf8_lossy(name.as_ref()).into_owned(), ..Self::default() }
    }

    /// The elements of this name in it.
    pub fn all<'e>(&'e self, name: &'e str) -> impl Iterator<Item = &'e Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The first element of this name in it.
    pub fn first(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The text of the first element of this name in it.
    pub fn text_of(&self, name: &str) -> Option<&str> {
        self.first(name).map(|child| child.text.as_str())
    }
}

fn add(open: &mut [Element], text: &str) {
    if let Some(element) = open.last_mut() {
        element.text.push_str(text);
    }
}

fn close(open: &mut [Element], element: Element) -> Result<(), Refusal> {
    open.last_mut().ok_or_else(malformed)?.children.push(element);
    Ok(())
}

fn malformed() -> Refusal {
    refused("MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema")
}

/// A document that is being written.
pub struct Xml(String);

impl Xml {
    /// A document of one element, without a namespace.
    pub fn plain(root: &str, fill: impl FnOnce(&mut Self)) -> String {
        let mut xml = Self("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned());
        xml.element(root, fill);
        xml.0
    }

    /// A document of one element in S3's namespace.
    pub fn document(root: &str, fill: impl FnOnce(&mut Self)) -> String {
        let mut xml = Self("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned());
        xml.0.extend(["<", root, " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"]);
        fill(&mut xml);
        xml.0.extend(["</", root, ">"]);
        xml.0
    }

    /// An element with others in it.
    pub fn element(&mut self, name: &str, fill: impl FnOnce(&mut Self)) {
        self.typed(name, "", fill);
    }

    /// An element that says of which kind it is.
    pub fn of_kind(&mut self, name: &str, kind: &str, fill: impl FnOnce(&mut Self)) {
        const INSTANCE: &str = "http://www.w3.org/2001/XMLSchema-instance";
        self.typed(name, &format!(" xmlns:xsi=\"{INSTANCE}\" xsi:type=\"{kind}\""), fill);
    }

    fn typed(&mut self, name: &str, attributes: &str, fill: impl FnOnce(&mut Self)) {
        self.0.extend(["<", name, attributes, ">"]);
        fill(self);
        self.0.extend(["</", name, ">"]);
    }

    /// An element with text in it.
    pub fn text(&mut self, name: &str, text: impl Display) {
        self.element(name, |xml| xml.say(text));
    }

    /// Text in the element that is being written.
    pub fn say(&mut self, text: impl Display) {
        // Writing to a string does not fail.
        let _ = write!(Escaping(&mut self.0), "{text}");
    }

    /// An element with text in it, if there is any.
    pub fn maybe(&mut self, name: &str, text: Option<impl Display>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }
}

/// Writes text as XML holds it. What XML cannot hold at all is written as a reference all the same, as S3 does: clients that
/// may meet such keys ask for them URL-encoded.
struct Escaping<'x>(&'x mut String);

impl std::fmt::Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                c if c < ' ' && c != '\n' && c != '\t' => write!(self.0, "&#x{:x};", u32::from(c))?,
                c => self.0.push(c),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_document_is_read_into_a_tree() {
        let document = br#"<?xml version="1.0"?><!-- c -->
            <Delete xmlns="urn:x"><s3:Object><Key>a&amp;b&#x41;<![CDATA[<c>]]></Key></s3:Object><Quiet/></Delete>"#;
        let read = Element::read(document).unwrap();
        assert_eq!(read.name, "Delete");
        let objects: Vec<_> = read.all("Object").map(|object| object.text_of("Key")).collect();
        assert_eq!(objects, [Some("a&bA<c>")]);
        assert_eq!(read.text_of("Quiet"), Some(""));
    }

    #[test]
    fn what_is_no_document_is_refused() {
        let deep = format!("{}{}", "<a>".repeat(9), "</a>".repeat(9));
        let wide = format!("<a>{}</a>", "<b/>".repeat(ELEMENTS + 1));
        for document in [
            &b""[..],
            b"text",
            b"<a>",
            b"</a>",
            b"<a></b>",
            b"<a/><b/>",
            b"<a>&unknown;</a>",
            b"<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>",
            b"<a>\xFF</a>",
            deep.as_bytes(),
            wide.as_bytes(),
        ] {
            let refusal = Element::read(document).map(|read| read.name).unwrap_err();
            assert_eq!(refusal.error(), "MalformedXML");
        }
    }

    #[test]
    fn what_is_written_can_be_read() {
        let xml = Xml::document("A", |xml| {
            xml.text("B", "<&>\"");
            xml.maybe("C", None::<u8>);
            xml.element("D", |xml| xml.text("E", 7));
        });
        assert!(xml.contains("<B>&lt;&amp;&gt;&quot;</B><D><E>7</E></D>"), "{xml}");
        let read = Element::read(xml.as_bytes()).unwrap();
        assert_eq!((read.text_of("B"), read.first("D").unwrap().text_of("E")), (Some("<&>\""), Some("7")));
    }

    proptest! {
        #[test]
        fn no_document_is_too_strange(document in "(<a>|</a>|<b/>|&#x?[0-9]{0,3};|&amp;|<!\\[CDATA\\[|\\]\\]>|<\\?|\\?>|\\PC){0,12}") {
            let _ = Element::read(document.as_bytes());
        }

        #[test]
        fn any_text_comes_back(text in "[ -~\\n\\u{80}-\\u{FFFD}]{0,20}") {
            let xml = Xml::plain("a", |xml| xml.text("b", &text));
            let read = Element::read(xml.as_bytes()).unwrap();
            prop_assert_eq!(read.text_of("b"), Some(text.as_str()));
        }
    }
}
