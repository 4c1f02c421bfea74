//! Operators: what AWS's tables say each makes of two values. Where a table says that anything else is Undefined, it is
//! Undefined as soon as an operand is seen to be such.

use std::cmp::Ordering;

use super::{Evaluated, Evaluation, Stop};
use crate::expression::{Chain, Operator};
use crate::number::Number;
use crate::value::{Value, View};

impl<'d> Evaluation<'d, '_> {
    /// Operators of one precedence, from left to right.
    /// unconfirmed: once the left side is Undefined the right side, and what it would call, is not evaluated.
    pub(super) fn chain(&mut self, chain: &'d Chain) -> Evaluated<'d> {
        let mut left = self.value(&chain.first)?;
        for (operator, right) in &chain.rest {
            if left.is_undefined() {
                break;
            }
            let right = self.value(right)?;
            left = self.operate(left, *operator, &right)?;
        }
        Ok(left)
    }

    fn operate(&mut self, left: Value<'d>, operator: Operator, right: &Value<'d>) -> Evaluated<'d> {
        let truth = match operator {
            Operator::Or => both(left.to_bool(), right.to_bool(), |left, right| left || right),
            Operator::And => both(left.to_bool(), right.to_bool(), |left, right| left && right),
            Operator::Equal => self.equal(&left, right)?,
            Operator::Unequal => self.equal(&left, right)?.map(|equal| !equal),
            Operator::Less => ordered(&left, right, Ordering::is_lt),
            Operator::LessOrEqual => ordered(&left, right, Ordering::is_le),
            Operator::Greater => ordered(&left, right, Ordering::is_gt),
            Operator::GreaterOrEqual => ordered(&left, right, Ordering::is_ge),
            Operator::In => self.is_in(&left, right)?,
            Operator::Plus => return self.plus(left, right),
            Operator::Minus => return Ok(arithmetic(&left, right, Number::subtract)),
            Operator::Times => return Ok(arithmetic(&left, right, Number::multiply)),
            // unconfirmed: a quotient is exact to 34 digits even of two Ints, as the page on SET has it; the table says Int.
            Operator::Divide => return Ok(arithmetic(&left, right, Number::divide)),
            Operator::Modulo => return Ok(arithmetic(&left, right, Number::remainder)),
        };
        Ok(truth.map_or(Value::Undefined, Value::Bool))
    }

    /// Whether two values are equal.
    pub(crate) fn equal(&mut self, one: &Value<'d>, two: &Value<'d>) -> Result<Option<bool>, Stop> {
        let mut cost = 0;
        let equal = one.equals(two, &mut cost);
        self.charge(cost)?;
        Ok(equal)
    }

    fn is_in(&mut self, value: &Value<'d>, array: &Value<'d>) -> Result<Option<bool>, Stop> {
        if !array.is_array() {
            return Ok(None);
        }
        for element in array.elements() {
            if self.equal(value, &element)? == Some(true) {
                return Ok(Some(true));
            }
        }
        Ok(Some(false))
    }

    /// `+`: strings are joined if either is one, numbers are added.
    fn plus(&mut self, left: Value<'d>, right: &Value<'d>) -> Evaluated<'d> {
        if !left.is_text() && !right.is_text() {
            let (View::Number(left), View::Number(right)) = (left.view(), right.view()) else {
                return Ok(Value::Undefined);
            };
            return Ok(left.add(right).map_or(Value::Undefined, Value::Number));
        }
        let (Some(left), Some(right)) = (self.string(left)?, self.string(right.clone())?) else {
            return Ok(Value::Undefined);
        };
        let mut joined = left.into_owned();
        joined.push_str(&right);
        self.text(joined)
    }
}

fn both(left: Option<bool>, right: Option<bool>, operation: fn(bool, bool) -> bool) -> Option<bool> {
    Some(operation(left?, right?))
}

fn ordered(left: &Value<'_>, right: &Value<'_>, is: fn(Ordering) -> bool) -> Option<bool> {
    Some(is(left.to_number()?.compare(right.to_number()?)))
}

/// unconfirmed: a result that is too large, and a division by zero, are Undefined.
fn arithmetic<'d>(left: &Value<'_>, right: &Value<'_>, operation: fn(Number, Number) -> Option<Number>) -> Value<'d> {
    let result = left.to_number().zip(right.to_number()).and_then(|(left, right)| operation(left, right));
    result.map_or(Value::Undefined, Value::Number)
}
