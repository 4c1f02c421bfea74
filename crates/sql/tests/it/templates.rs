//! Substitution templates: what is replaced, what a statement shares with them, and how long they may become.

use bytes::Bytes;
use sql::{Outcome, Payload, Statement, Template, Unrendered, Variables, Version};

use crate::world::{Answers, message};

const NEW: Version = Version::V20160323;

/// Renders a template for a message of the statement.
fn rendered(statement: &str, template: &str) -> Result<String, Unrendered> {
    let payload = br#"{"device":"lamp","o":{"n":1.0},"n":null,"arr":[1,2],"t":true}"#;
    let payload = Payload::from(Bytes::from_static(payload));
    let statement = Statement::parse(statement, NEW).unwrap();
    let template = Template::parse(template, NEW).unwrap();
    statement.check_templates([&template]).unwrap();
    match statement.evaluate(&message(&payload), &mut Answers) {
        Outcome::Selected(selected) => template.render(&message(&payload), &selected.variables, &mut Answers),
        other => panic!("{other:?}"),
    }
}

#[test]
fn expressions_are_replaced_by_their_values() {
    for (template, expected) in [
        ("", ""),
        ("plain", "plain"),
        ("$aws/$$x/$", "$aws/$$x/$"),
        ("${device}", "lamp"),
        ("a/${device}/b/${topic(1)}", "a/lamp/b/things"),
        ("${topic()}/republish", "things/lamp/data/republish"),
        ("${o.n}", "1"),
        ("${o}", "{\"n\":1}"),
        ("${arr}", "[1,2]"),
        ("${t}", "true"),
        ("${get(*, 'device')}", "lamp"),
        ("${ device + '}' }!", "lamp}!"),
        ("${{'a': {'b': 1}}.a.b}", "1"),
        ("[${n}][${nothing}][${1 / 0}]", "[][][]"),
        ("${timestamp()}", "1700000000123"),
        ("é${device}é", "élampé"),
    ] {
        assert_eq!(rendered("SELECT * FROM 't'", template).as_deref(), Ok(expected), "{template}");
    }
}

#[test]
fn what_set_gave_a_value_is_seen_and_what_select_named_is_not() {
    let statement = "SET @v = upper(device), @o = o SELECT device AS alias FROM 't'";
    assert_eq!(rendered(statement, "${@v}-${@o.n}-${@o}-${alias}").as_deref(), Ok("LAMP-1-{\"n\":1}-"));
}

#[test]
fn a_variable_that_has_no_value_is_refused_with_the_statement() {
    let statement = Statement::parse("SET @v = 1 SELECT * FROM 't'", NEW).unwrap();
    let template = Template::parse("x\n${@v} ${@w.a}", NEW).unwrap();
    let refused = statement.check_templates([&template]).unwrap_err();
    assert_eq!(refused.to_string(), "line 2, column 9: @w has no value; SET gives it one in the statement");
}

#[test]
fn the_registry_is_asked_once_in_a_statement_and_its_templates() {
    let ask = "get_registry_data('DescribeThing', topic(2), 'arn:r')";
    let with = Statement::parse(&format!("SELECT {ask} AS r FROM 't'"), NEW).unwrap();
    let without = Statement::parse("SELECT * FROM 't'", NEW).unwrap();
    let template = Template::parse(&format!("${{{ask}.thingName}}"), NEW).unwrap();
    let text = "line 1, column 3: Rule cannot contain more than 1 get_registry_data function calls";
    assert!(without.check_templates([&template]).is_ok());
    assert_eq!(without.check_templates([&template, &template]).unwrap_err().to_string(), text);
    assert_eq!(with.check_templates([&template]).unwrap_err().to_string(), text);
    assert!(Template::parse(&format!("${{{ask}}}${{{ask}}}"), NEW).is_err());
}

#[test]
fn what_is_no_template_is_refused_where_it_stands() {
    for (template, expected) in [
        ("${", "line 1, column 3: expected an expression, found the end"),
        ("a${b", "line 1, column 5: expected an operator or `}`, found the end"),
        ("a${b c}", "line 1, column 6: expected an operator or `}`, found `c`"),
        ("${}", "line 1, column 3: expected an expression, found `}`"),
        (
            "${*}",
            "line 1, column 3: expected an expression, found `*`, which stands only as a whole item, argument, element or member",
        ),
        (
            "${decode(*, 'proto', 'b', 'k', 'f', 'M').a}",
            "line 1, column 3: decode(…, 'proto', …) cannot stand in a substitution template",
        ),
    ] {
        assert_eq!(Template::parse(template, NEW).unwrap_err().to_string(), expected, "{template}");
    }
}

#[test]
fn a_template_without_expressions_is_literal() {
    for (template, expected) in [("", true), ("a/$b", true), ("${a}", false), ("x${1}", false)] {
        assert_eq!(Template::parse(template, NEW).unwrap().is_literal(), expected, "{template}");
    }
}

#[test]
fn two_templates_make_different_random_values_and_each_the_same_again() {
    let statement = "SELECT newuuid() AS u FROM 't'";
    let one = rendered(statement, "${newuuid()}").unwrap();
    assert_eq!(rendered(statement, "${newuuid()}").unwrap(), one);
    assert_ne!(rendered(statement, "a${newuuid()}").unwrap(), format!("a{one}"));
    assert_ne!(rendered("SET @u = newuuid() SELECT * FROM 't'", "${@u}").unwrap(), one);
}

#[test]
fn a_template_may_wait_and_may_fail() {
    assert_eq!(rendered("SELECT * FROM 't'", "${aws_lambda('later', 1)}"), Err(Unrendered::Suspended));
    let Err(Unrendered::Failed(failed)) = rendered("SELECT * FROM 't'", "${aws_lambda('bad', 1)}") else { panic!() };
    assert_eq!(failed.function, "aws_lambda");
}

#[test]
fn a_template_that_becomes_too_long_fails() {
    let payload = Payload::from(Bytes::from(format!(r#"{{"a":"{}"}}"#, "x".repeat(100_000))));
    let template = Template::parse("${a}${a}", NEW).unwrap();
    let rendered = template.render(&message(&payload), &Variables::default(), &mut Answers);
    assert!(matches!(rendered, Err(Unrendered::Failed(failed)) if failed.reason.contains("131072")));
}
