//! Python's arithmetic, as functions that pay for what they make.

use minijinja::value::{Rest, Tuple, Value, ValueKind};
use minijinja::{Error, State};

use super::escaping::{joining, safe};
use super::format;
use super::keep::{PLACE, Purse, made, refused, type_name};
use super::text::write_str;

/// A number, as Python knows them.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    /// `int` and `bool`.
    Integer(i128),
    /// `float`.
    Float(f64),
}

impl Number {
    /// The number that a value is.
    pub(super) fn of(value: &Value) -> Option<Self> {
        match value.kind() {
            ValueKind::Bool => Some(Self::Integer(i128::from(value.is_true()))),
            ValueKind::Number if value.is_integer() => {
                i128::try_from(value.clone()).ok().map(Self::Integer)
            }
            ValueKind::Number => f64::try_from(value.clone()).ok().map(Self::Float),
            _ => None,
        }
    }

    /// As a float.
    pub(super) fn real(self) -> f64 {
        match self {
            Self::Integer(number) => number as f64,
            Self::Float(number) => number,
        }
    }

    /// As a value.
    pub(super) fn value(self) -> Value {
        match self {
            Self::Integer(number) => match i64::try_from(number) {
                Ok(number) => Value::from(number),
                Err(_) => Value::from(number),
            },
            Self::Float(number) => Value::from(number),
        }
    }
}

/// Joins values as text: the operator `~`.
pub(super) fn concat(state: &State, parts: Rest<Value>) -> Result<Value, Error> {
    let mut purse = Purse::new(state);
    for part in parts.iter() {
        write_str(&mut purse, part)?;
    }
    Ok(Value::from(purse.text))
}

/// A value, then signs and values in turn, from left to right.
pub(super) fn calculate(state: &State, parts: Rest<Value>) -> Result<Value, Error> {
    let mut parts = parts.0.into_iter();
    let mut result = parts.next().unwrap_or_default();
    while let (Some(sign), Some(right)) = (parts.next(), parts.next()) {
        result = operation(state, result, sign.as_str().unwrap_or_default(), &right)?;
    }
    Ok(result)
}

/// A number with its sign turned.
pub(super) fn negative(value: &Value) -> Result<Value, Error> {
    let turned = match Number::of(value) {
        Some(Number::Integer(number)) => number.checked_neg().map(Number::Integer),
        Some(Number::Float(number)) => Some(Number::Float(-number)),
        None => None,
    };
    let named = || refused(format!("- before a value of type {}", type_name(value)));
    turned.map(Number::value).ok_or_else(named)
}

fn operation(state: &State, left: Value, sign: &str, right: &Value) -> Result<Value, Error> {
    if let (Some(one), Some(other)) = (Number::of(&left), Number::of(right)) {
        return numbers(one, sign, other);
    }
    let is_list = |value: &Value| ["list", "tuple"].contains(&type_name(value));
    match (sign, left.as_str(), right.as_str()) {
        ("+", Some(_), Some(_)) if left.is_safe() || right.is_safe() => {
            let (one, other) = (joining(state, &left)?, joining(state, right)?);
            let parts = [one.as_str().unwrap_or_default(), other.as_str().unwrap_or_default()];
            made(state, parts[0].len() + parts[1].len())?;
            return Ok(Value::from_safe_string(parts.concat()));
        }
        ("%", Some(layout), _) if left.is_safe() => {
            let right = match right.is_tuple() {
                true => {
                    let items = right.try_iter()?.map(|item| joining(state, &item));
                    Value::from(Tuple::from(items.collect::<Result<Vec<Value>, Error>>()?))
                }
                false => joining(state, right)?,
            };
            return safe(state, format::percent(state, layout, &right)?);
        }
        ("+", Some(one), Some(other)) => {
            made(state, one.len() + other.len())?;
            return Ok(Value::from([one, other].concat()));
        }
        ("%", Some(layout), _) => return format::percent(state, layout, right),
        ("+", None, None) if is_list(&left) && type_name(&left) == type_name(right) => {
            return added(state, left, right);
        }
        ("*", ..) => {
            let counted = match (Number::of(&left), Number::of(right)) {
                (_, Some(Number::Integer(times))) => Some((&left, times)),
                (Some(Number::Integer(times)), _) => Some((right, times)),
                _ => None,
            };
            if let Some((value, times)) = counted
                && (value.as_str().is_some() || is_list(value))
            {
                let result = repeated(state, value, times)?;
                return if value.is_safe() { safe(state, result) } else { Ok(result) };
            }
        }
        _ => {}
    }
    let undefined =
        if left.is_undefined() || right.is_undefined() { ": one is undefined" } else { "" };
    let (left, right) = (type_name(&left), type_name(right));
    Err(refused(format!("{left} {sign} {right} is impossible{undefined}")))
}

fn added(state: &State, left: Value, right: &Value) -> Result<Value, Error> {
    let length = left.len().unwrap_or(0).saturating_add(right.len().unwrap_or(0));
    made(state, length.saturating_mul(PLACE))?;
    let mut items = Vec::with_capacity(length);
    items.extend(left.try_iter()?);
    items.extend(right.try_iter()?);
    Ok(if left.is_tuple() { Value::from(Tuple::from(items)) } else { Value::from(items) })
}

fn repeated(state: &State, value: &Value, times: i128) -> Result<Value, Error> {
    let times = usize::try_from(times.max(0)).unwrap_or(usize::MAX);
    if let Some(text) = value.as_str() {
        made(state, text.len().saturating_mul(times))?;
        return Ok(Value::from(text.repeat(times)));
    }
    let items: Vec<Value> = value.try_iter()?.collect();
    made(state, items.len().saturating_mul(times).saturating_mul(2 * PLACE))?;
    let length = items.len().saturating_mul(times);
    let items: Vec<Value> = items.into_iter().cycle().take(length).collect();
    Ok(if value.is_tuple() { Value::from(Tuple::from(items)) } else { Value::from(items) })
}

fn numbers(left: Number, sign: &str, right: Number) -> Result<Value, Error> {
    let zero = right.real() == 0.0;
    if zero && matches!(sign, "/" | "//" | "%") {
        return Err(refused(format!("{sign} by zero")));
    }
    let result = match (left, right) {
        (Number::Integer(left), Number::Integer(right)) => match sign {
            "+" => left.checked_add(right),
            "-" => left.checked_sub(right),
            "*" => left.checked_mul(right),
            "//" => floor_divided(left, right),
            "%" => floor_divided(left, right)
                .and_then(|whole| left.checked_sub(whole.checked_mul(right)?)),
            "**" if right >= 0 => {
                u32::try_from(right).ok().and_then(|power| left.checked_pow(power))
            }
            "/" => return Ok(Value::from(left as f64 / right as f64)),
            _ => return power(left as f64, right as f64),
        }
        .map(Number::Integer),
        _ => {
            let (left, right) = (left.real(), right.real());
            Some(Number::Float(match sign {
                "+" => left + right,
                "-" => left - right,
                "*" => left * right,
                "/" => left / right,
                "//" => divided(left, right).0,
                "%" => divided(left, right).1,
                _ => return power(left, right),
            }))
        }
    };
    result.map(Number::value).ok_or_else(|| refused(format!("{sign} gives a number too large")))
}

/// A power, where Python has one that is real and finite.
fn power(base: f64, exponent: f64) -> Result<Value, Error> {
    if base == 0.0 && exponent < 0.0 {
        return Err(refused("** of zero by a negative number"));
    }
    if base < 0.0 && base.is_finite() && exponent.is_finite() && exponent.fract() != 0.0 {
        return Err(refused("** of a negative number by a fraction"));
    }
    let result = base.powf(exponent);
    if result.is_infinite() && base.is_finite() && exponent.is_finite() {
        return Err(refused("** gives a number too large"));
    }
    Ok(Value::from(result))
}

/// The quotient rounded down and the remainder, which Python derives from the exact remainder: 1.0 holds
/// 0.1 nine times.
fn divided(left: f64, right: f64) -> (f64, f64) {
    let mut rest = left % right;
    let mut whole = (left - rest) / right;
    if rest == 0.0 {
        rest = 0.0_f64.copysign(right);
    } else if (right < 0.0) != (rest < 0.0) {
        rest += right;
        whole -= 1.0;
    }
    if whole == 0.0 {
        return (0.0_f64.copysign(left / right), rest);
    }
    let floor = whole.floor();
    (if whole - floor > 0.5 { floor + 1.0 } else { floor }, rest)
}

fn floor_divided(left: i128, right: i128) -> Option<i128> {
    let whole = left.checked_div(right)?;
    let less = left.checked_rem(right)? != 0 && (left < 0) != (right < 0);
    Some(whole - i128::from(less))
}
