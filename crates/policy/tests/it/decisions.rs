//! Runs decisions.txt: the table of what is decided, by whom, for which documents and contexts.

use std::sync::Arc;

use policy::{Context, Document, PolicySet, Request, Resource};

const TABLE: &str = include_str!("decisions.txt");
const ACCOUNT: &str = "arn:aws:iot:us-east-1:123456789012:";
const START_OF_2030: i64 = 1_893_456_000_000;

/// What the lines of one section have said so far.
struct Section {
    title: String,
    policies: Vec<(String, Arc<Document>)>,
    context: Context,
    now_ms: i64,
}

impl Section {
    fn new(title: &str) -> Section {
        Section { title: title.to_owned(), policies: Vec::new(), context: Context::new(), now_ms: START_OF_2030 }
    }

    fn attach(&mut self, name: &str, text: &str) {
        let text = text.replace("@:", ACCOUNT);
        let document = Document::parse(&text).unwrap_or_else(|e| panic!("{}: {name}: {e}\n{text}", self.title));
        self.policies.push((name.to_owned(), Arc::new(document)));
    }

    fn check(&self, line: &str) {
        let (asked, expected) = line.split_once(" -> ").unwrap_or_else(|| panic!("no arrow: {line}"));
        let (asked, with) = asked.split_once(" with ").unwrap_or((asked, ""));
        let (action, resource) = asked.split_once(' ').unwrap_or_else(|| panic!("no resource: {line}"));
        let mut values = Context::new();
        if !with.is_empty() {
            give(&mut values, with);
        }
        let resource = match resource {
            whole if whole.starts_with("arn:") || whole == "*" => Resource::from(whole),
            name => Resource::new(ACCOUNT, name),
        };
        let request = Request::new(action, resource, self.now_ms).with(&values);
        let set = PolicySet::compile(self.policies.iter().cloned(), self.context.clone());

        let decision = set.decide(&request);
        let by = decision.deciding.map(|s| format!(" {}[{}]", s.policy, s.index)).unwrap_or_default();
        let explanation = set.explain(&request);
        assert_eq!(format!("{}{by}", decision.verdict), expected, "{}: {line}\n{explanation}", self.title);

        let applying = |s: &&policy::StatementReport| s.applies();
        let explained: Vec<_> = explanation.statements.iter().filter(applying).map(|s| (&*s.policy, s.index)).collect();
        match decision.deciding {
            Some(statement) => {
                assert!(explained.contains(&(statement.policy, statement.index)), "{line}\n{explanation}");
            }
            None => assert!(explained.is_empty(), "{line}\n{explanation}"),
        }
    }
}

/// `KEY = A | B`
fn give(context: &mut Context, text: &str) {
    let (key, values) = text.split_once('=').unwrap_or_else(|| panic!("no value: {text}"));
    let values = values.split('|').map(str::trim).filter(|value| !value.is_empty());
    context.set_all(key.trim(), values);
}

#[test]
fn the_table_of_decisions_holds() {
    let mut checked = 0;
    let mut section = Section::new("before the first section");
    let mut lines = TABLE.lines().filter(|line| !line.starts_with('#'));
    while let Some(line) = lines.next() {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let mut block = || lines.by_ref().take_while(|line| !line.is_empty()).collect::<Vec<_>>();
        match word {
            "" => {}
            "=" => section = Section::new(rest),
            "given" => give(&mut section.context, rest),
            "now" => section.now_ms = rest.parse().unwrap(),
            "document" => section.attach(rest, &block().join("\n")),
            "policy" => {
                let statements = block().join(",\n");
                section.attach(rest, &format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#));
            }
            _ => {
                section.check(line);
                checked += 1;
            }
        }
    }
    assert!(checked >= 250, "only {checked} decisions were checked");
}
