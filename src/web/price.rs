//! A price as people and programs write it, from JSON and from a form alike.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::Deserialize;
use serde_json::Value;

use super::Problem;
use crate::json::storable_text;
use crate::store::prices::NewPrice;

/// Most characters of a note.
const NOTE: usize = 300;
/// Most digits of an amount.
const DIGITS: usize = 24;

/// What is said of a price. Amounts are per million tokens, as a number or as text.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// `provider/name`, with `*` at its end for all that begin so.
    #[serde(default)]
    pub model: String,
    /// Three letters.
    #[serde(default)]
    pub currency: String,
    #[serde(default)]
    pub prompt: Value,
    #[serde(default)]
    pub completion: Value,
    /// Missing: as `prompt`.
    #[serde(default)]
    pub cached: Value,
    /// A day (UTC) or a time; missing: now.
    pub from: Option<String>,
    /// The same; missing: until the next price of the model.
    pub until: Option<String>,
    pub note: Option<String>,
}

impl Wish {
    /// What is meant.
    pub fn price(&self) -> Result<NewPrice, Problem> {
        let model = self.model.trim();
        let (provider, name) = model.split_once('/').unwrap_or((model, ""));
        let is_family = model.ends_with('*') && model.matches('*').count() == 1;
        let is_model = !provider.is_empty() && !name.is_empty() && !model.contains('*');
        if !(is_family || is_model) || model.chars().any(char::is_whitespace) || model.len() > 300 {
            return Err(refused(&format!(
                "'{model}' is no model; write provider/name as agents do, or the beginning of it and a * at its end"
            )));
        }
        let currency = self.currency.trim().to_ascii_uppercase();
        if currency.len() != 3 || !currency.bytes().all(|b| b.is_ascii_uppercase()) {
            return Err(refused(&format!(
                "'{currency}' is no currency; write its three letters, such as USD"
            )));
        }
        let needed = |name, value| {
            amount(name, value)?
                .ok_or_else(|| refused(&format!("'{name}' is missing; 0 says that it is free")))
        };
        let (from, until) = (time("from", self.from.as_deref())?, time("until", self.until.as_deref())?);
        if until.is_some_and(|until| until <= from.unwrap_or_else(Timestamp::now)) {
            return Err(refused("'until' is not after 'from', so the price would never hold"));
        }
        let note = self.note.as_deref().map(|n| n.trim().chars().take(NOTE).collect::<String>());
        Ok(NewPrice {
            model: provider_in_lower_case(&storable_text(model)),
            currency,
            prompt: needed("prompt", &self.prompt)?,
            completion: needed("completion", &self.completion)?,
            cached: amount("cached", &self.cached)?,
            valid_from: from,
            valid_until: until,
            note: note.filter(|n| !n.is_empty()).map(|n| storable_text(&n).into_owned()),
        })
    }
}

/// Model calls are named like that.
fn provider_in_lower_case(model: &str) -> String {
    match model.split_once('/') {
        Some((provider, name)) => format!("{}/{name}", provider.to_lowercase()),
        None => model.to_lowercase(),
    }
}

fn refused(why: &str) -> Problem {
    Problem::new(400, why)
}

/// A plain decimal number that is not negative, exactly as written.
fn amount(name: &str, value: &Value) -> Result<Option<String>, Problem> {
    let text = match value {
        Value::Null => return Ok(None),
        Value::Number(number) => number.to_string(),
        Value::String(text) if text.trim().is_empty() => return Ok(None),
        Value::String(text) => text.trim().to_owned(),
        _ => String::new(),
    };
    let (whole, part) = text.split_once('.').unwrap_or((&text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(part) || text.len() > DIGITS {
        let text: String = text.chars().take(40).collect();
        return Err(refused(&format!(
            "'{name}' is {text:?}; write an amount per million tokens as a plain number, such as 2.50"
        )));
    }
    Ok(Some(text))
}

fn time(name: &str, text: Option<&str>) -> Result<Option<Timestamp>, Problem> {
    let Some(text) = text.map(str::trim).filter(|t| !t.is_empty()) else { return Ok(None) };
    let day = || text.parse::<Date>().ok()?.at(0, 0, 0, 0).in_tz("UTC").ok().map(|t| t.timestamp());
    let wrong = || {
        let text: String = text.chars().take(40).collect();
        refused(&format!("'{name}' is {text:?}; write a day, such as 2026-01-31, or a time with its zone"))
    };
    let at = text.parse::<Timestamp>().ok().or_else(day).filter(|at| *at >= Timestamp::UNIX_EPOCH);
    at.map(Some).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(wish: Value) -> Result<NewPrice, String> {
        serde_json::from_value::<Wish>(wish).unwrap().price().map_err(|p| p.to_string())
    }

    fn with(name: &str, value: Value) -> Result<NewPrice, String> {
        let mut wish =
            json!({ "model": "openai/gpt-x", "currency": "usd", "prompt": 2.50, "completion": "10" });
        wish[name] = value;
        read(wish)
    }

    #[test]
    fn a_price_is_read_as_it_was_written() {
        let price = with("cached", json!("0.250")).unwrap();
        assert_eq!((&*price.model, &*price.currency), ("openai/gpt-x", "USD"));
        assert_eq!(
            (&*price.prompt, &*price.completion, price.cached.as_deref()),
            ("2.5", "10", Some("0.250"))
        );
        assert_eq!((price.valid_from, price.valid_until), (None, None));
    }

    #[test]
    fn a_day_begins_in_utc_and_a_time_has_its_zone() {
        let from = |text: &str| with("from", json!(text)).unwrap().valid_from.unwrap().to_string();
        assert_eq!(from("2026-01-31"), "2026-01-31T00:00:00Z");
        assert_eq!(from("2026-01-31T10:00:00+02:00"), "2026-01-31T08:00:00Z");
        assert_eq!(with("from", json!("  ")).unwrap().valid_from, None);
    }

    #[test]
    fn families_end_in_a_star_and_providers_are_in_lower_case() {
        for (written, read) in [("OpenAI/GPT*", "openai/GPT*"), ("*", "*"), ("Ollama/*", "ollama/*")] {
            assert_eq!(with("model", json!(written)).unwrap().model, read);
        }
    }

    #[test]
    fn what_is_no_price_is_refused_with_an_example() {
        for (name, value, says) in [
            ("model", json!("gpt"), "provider/name"),
            ("model", json!("a/*b"), "provider/name"),
            ("model", json!("a/b c"), "provider/name"),
            ("currency", json!("dollars"), "USD"),
            ("currency", json!("U1D"), "USD"),
            ("prompt", json!(null), "is missing"),
            ("prompt", json!(-1), "plain number"),
            ("completion", json!("1,5"), "plain number"),
            ("completion", json!("1e3"), "plain number"),
            ("cached", json!([1]), "plain number"),
            ("cached", json!("NaN"), "plain number"),
            ("from", json!("yesterday"), "2026-01-31"),
            ("from", json!("-004999-01-01"), "2026-01-31"),
            ("until", json!("2020-01-01"), "never hold"),
        ] {
            let refusal = with(name, value.clone()).unwrap_err();
            assert!(refusal.contains(says), "{name} {value}: {refusal}");
        }
    }
}
