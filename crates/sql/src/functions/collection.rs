//! Functions of arrays and objects, and of whether there is a value at all. What lies in an array is never converted here.

use std::borrow::Cow;

use super::Arguments;
use crate::evaluate::{Evaluated, LONGEST, Stop, put};
use crate::number::Number;
use crate::value::{Members, Value};

/// One array of all if any argument is an array, and else one string.
pub(super) fn concat<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    let mut values = Vec::with_capacity(arguments.count());
    for index in 0..arguments.count() {
        values.push(arguments.value(index)?);
    }
    if values.len() < 2 {
        return values.pop().ok_or(Stop::Undefined);
    }
    if !values.iter().any(Value::is_array) {
        // unconfirmed: strings are made of arguments none of which is a string, too.
        return joined(arguments, values);
    }
    let mut all = Vec::new();
    for value in values {
        if value.is_array() {
            all.extend(value.elements());
        } else {
            all.push(value);
        }
        arguments.evaluation.charge(1)?;
    }
    arguments.evaluation.charge(all.len() as u64)?;
    Ok(Value::array(all))
}

fn joined<'d>(arguments: &mut Arguments<'_, 'd, '_>, values: Vec<Value<'d>>) -> Evaluated<'d> {
    let mut text = String::new();
    for value in values {
        text.push_str(&arguments.evaluation.string(value)?.ok_or(Stop::Undefined)?);
        if text.len() > LONGEST {
            break;
        }
    }
    arguments.evaluation.text(text)
}

/// An element of an array, a character of a string, a member of an object.
pub(super) fn get<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    let from = arguments.value(0)?;
    if from.is_object() {
        let name = arguments.value(1)?;
        let name = Some(name).filter(Value::is_text).and_then(|name| name.into_text(false)).ok_or(Stop::Undefined)?;
        return arguments.evaluation.member(&from, &name);
    }
    let index: usize = arguments.int(1)?.to_int().ok_or(Stop::Undefined)?;
    if from.is_array() {
        arguments.evaluation.charge_breadth(from.breadth())?;
        return from.elements().nth(index).ok_or(Stop::Undefined);
    }
    let text = Some(from).filter(Value::is_text).and_then(|text| text.into_text(false)).ok_or(Stop::Undefined)?;
    let character = text.chars().nth(index).ok_or(Stop::Undefined)?;
    Ok(Value::text(character.to_string()))
}

pub(super) fn is_null<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    Ok(Value::Bool(arguments.value(0)?.is_null()))
}

pub(super) fn is_undefined<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    Ok(Value::Bool(arguments.value(0)?.is_undefined()))
}

/// The default where the first argument is Null, Undefined or fails. It is the one place where a failure is no failure.
pub(super) fn get_or_default<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    match arguments.value(0) {
        Ok(value) if !value.is_null() && !value.is_undefined() => Ok(value),
        Ok(_) | Err(Stop::Failed(_) | Stop::Undefined) => arguments.value(1),
        stop => stop,
    }
}

/// `enrichArray`: each object of an array with the members of an object added.
/// unconfirmed: of members of one name those of the object stay, as in a map into which they are put; an array that holds
/// anything but objects is Undefined.
pub(super) fn transform<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    if arguments.text(0)? != "enrichArray" {
        return Err(Stop::Undefined);
    }
    let (object, array) = (arguments.value(1)?, arguments.value(2)?);
    if !object.is_object() || !array.is_array() {
        return Err(Stop::Undefined);
    }
    let added = object.members();
    let mut enriched = Vec::new();
    for element in array.elements() {
        if !element.is_object() {
            return Err(Stop::Undefined);
        }
        let mut members: Members<'d> = element.members();
        arguments.evaluation.charge((members.len() + 1) as u64 * (added.len() + 1) as u64)?;
        for (name, value) in &added {
            put(&mut members, Cow::clone(name), value.clone());
        }
        enriched.push(Value::object(members));
    }
    let enriched = Value::array(enriched);
    let mut text = String::new();
    enriched.print(arguments.evaluation.whole(), &mut text);
    if text.len() > LONGEST {
        return Err(Stop::exceeded(format!("transform() makes more than {LONGEST} bytes")));
    }
    Ok(enriched)
}

/// A number of things as a value.
pub(super) fn number<'d>(value: i64) -> Value<'d> {
    Value::Number(Number::from(value))
}
