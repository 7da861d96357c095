//! Arguments as fields of a form, and back. A value that nobody touched stays as the model wrote it, digit for digit.

use std::collections::BTreeSet;

use indexmap::IndexMap;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::json::{Json, readable, storable, storable_text};
use crate::web::Problem;
use crate::web::ui::payload::indented;
use crate::web::ui::shown;

/// What stands before an argument's name in the name of its field.
const FIELD: &str = "v:";
/// The field that has all arguments as JSON.
const WHOLE: &str = "json";
/// Most arguments that get fields of their own.
const FIELDS: usize = 40;
/// Longest arguments that can be edited on a page, in bytes.
const LONGEST: usize = 64_000;
/// Longest value that gets one line.
const LINE: usize = 60;
/// Longest description that is shown.
const ABOUT: usize = 200;

type Arguments = IndexMap<String, Box<RawValue>>;

/// One argument.
pub struct Field {
    /// As people read it.
    pub name: String,
    /// Name of its field.
    pub key: String,
    /// What the model asked for; empty when it asked for nothing.
    pub was: String,
    /// What its field holds at first.
    pub value: String,
    /// How it is edited.
    pub widget: Widget,
    /// What the tool says about it.
    pub about: String,
}

/// How a value is edited.
#[derive(Debug, PartialEq, Eq)]
pub enum Widget {
    /// One line; the input mode of a phone's keyboard.
    Line(&'static str),
    /// Several lines.
    Area,
    /// One of these, each with whether it is chosen.
    Choice(Vec<(String, bool)>),
}

/// Arguments as they can be edited.
pub struct Form {
    /// One by one.
    pub fields: Vec<Field>,
    /// All of them as JSON; empty when they are too long for a page.
    pub whole: String,
}

fn arguments(json: &Json) -> Arguments {
    serde_json::from_str(json.text()).unwrap_or_default()
}

/// A raw value as a field holds it: the text of a string, else its JSON.
fn held(raw: &str, kind: Kind) -> String {
    match kind {
        Kind::Text => {
            let text = serde_json::from_str::<String>(raw).unwrap_or_default();
            readable(&text).into_owned()
        }
        _ => readable(raw).into_owned(),
    }
}

/// How a field's text becomes a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It is the value.
    Text,
    /// It is JSON.
    Json,
    /// It is a JSON number.
    Number,
}

fn kind(raw: Option<&str>, schema: &Value) -> Kind {
    match raw.and_then(|r| r.chars().next()) {
        Some('"') => Kind::Text,
        Some('-' | '0'..='9') => Kind::Number,
        Some(_) => Kind::Json,
        None => match schema["type"].as_str() {
            Some("number" | "integer") => Kind::Number,
            Some("string") | None => Kind::Text,
            Some(_) => Kind::Json,
        },
    }
}

impl Form {
    /// The form of what a model asked for.
    pub fn of(asked: &Json, schema: &Json) -> Self {
        if asked.text().len() > LONGEST {
            return Self { fields: vec![], whole: String::new() };
        }
        let (given, schema) = (arguments(asked), schema.value());
        let names = names(&given, &schema);
        let fields = if names.len() > FIELDS { vec![] } else { names };
        let fields =
            fields.iter().map(|name| field(name, given.get(*name).map(|r| r.get()), &schema)).collect();
        Self { fields, whole: indented(asked.text()) }
    }
}

/// Names of arguments: those that were given, then those that could have been.
fn names<'a>(given: &'a Arguments, schema: &'a Value) -> Vec<&'a str> {
    let known = schema["properties"].as_object().into_iter().flat_map(|p| p.keys());
    let mut seen = BTreeSet::new();
    given.keys().chain(known).map(String::as_str).filter(|name| seen.insert(*name)).collect()
}

fn field(name: &str, raw: Option<&str>, schema: &Value) -> Field {
    let schema = &schema["properties"][name];
    let kind = kind(raw, schema);
    let value = raw.map(|r| held(r, kind)).unwrap_or_default();
    let widget = if let Some(options) = options(raw, schema, &value, kind) {
        Widget::Choice(options)
    } else if kind == Kind::Number {
        Widget::Line("decimal")
    } else if kind == Kind::Text && value.chars().count() <= LINE && !value.contains('\n') {
        Widget::Line("text")
    } else {
        Widget::Area
    };
    let was = raw.map(|_| shown::cut(&storable_text(&value), 400)).map_or_else(String::new, |(text, cut)| {
        if cut {
            format!("{text}…")
        } else if text.is_empty() {
            "\"\"".to_owned()
        } else {
            text
        }
    });
    Field {
        name: shown::excerpt(name, 80),
        key: format!("{FIELD}{}", readable(name)),
        was,
        about: shown::excerpt(schema["description"].as_str().unwrap_or_default(), ABOUT),
        value,
        widget,
    }
}

/// What can be chosen, when the schema lists it; the value that is there always can.
fn options(raw: Option<&str>, schema: &Value, value: &str, kind: Kind) -> Option<Vec<(String, bool)>> {
    let listed = match schema["enum"].as_array() {
        Some(listed) if listed.len() <= 100 => listed.clone(),
        _ if schema["type"] == "boolean" || matches!(raw, Some("true" | "false")) => {
            vec![true.into(), false.into()]
        }
        _ => return None,
    };
    let shown = |v: &Value| match (v, kind) {
        (Value::String(text), Kind::Text) => readable(text).into_owned(),
        (other, _) => readable(&other.to_string()).into_owned(),
    };
    let mut options: Vec<_> = listed.iter().map(shown).collect();
    if !options.iter().any(|o| o == value) {
        // Not given, or what the schema does not list.
        options.insert(0, value.to_owned());
    }
    Some(options.into_iter().map(|o| (o.clone(), o == value)).collect())
}

/// The arguments that a form sends for what was `asked`; `None` when nothing was changed.
///
/// # Errors
///
/// 422 with the name of what can't be read; 400 when both fields and JSON were edited.
pub fn sent(asked: &Json, schema: &Json, form: &[(String, String)]) -> Result<Option<Json>, Problem> {
    let (given, schema) = (arguments(asked), schema.value());
    let by_field = by_field(&given, &schema, form)?;
    let whole = form.iter().find(|(name, _)| name == WHOLE).map(|(_, text)| plain(text));
    let whole = whole.filter(|text| !text.trim().is_empty() && *text != plain(&indented(asked.text())));
    match (by_field, whole) {
        (Some(_), Some(_)) => {
            Err(Problem::new(400, "arguments were edited one by one and as JSON; do one of them"))
        }
        (by_field, None) => Ok(by_field),
        (None, Some(text)) => json(&text)
            .map(Some)
            .map_err(|why| Problem::new(422, format!("the arguments are not valid JSON: {why}"))),
    }
}

/// As browsers send line breaks, and as they stand.
fn plain(text: &str) -> String {
    text.replace("\r\n", "\n")
}

fn json(text: &str) -> Result<Json, String> {
    let text = storable(text.as_bytes()).map_err(|e| e.to_string())?;
    Json::from_text(text.into_owned()).map_err(|e| e.to_string())
}

fn by_field(given: &Arguments, schema: &Value, form: &[(String, String)]) -> Result<Option<Json>, Problem> {
    let mut changed: IndexMap<String, Json> = IndexMap::new();
    for (key, text) in form {
        let Some(name) = key.strip_prefix(FIELD) else { continue };
        let name = storable_text(name).into_owned();
        let schema = &schema["properties"][&name];
        let raw = given.get(&name).map(|r| r.get());
        if raw.is_none() && !schema.is_object() {
            continue;
        }
        let (kind, text) = (kind(raw, schema), plain(text));
        if text == plain(&raw.map(|r| held(r, kind)).unwrap_or_default()) {
            continue;
        }
        let wrong = |what: &str| Problem::new(422, format!("{}: {what}", shown::excerpt(&name, 80)));
        let value = match kind {
            Kind::Text => Json::of(&storable_text(&text)),
            Kind::Number => json(text.trim())
                .ok()
                .filter(|j| j.value().is_number())
                .ok_or_else(|| wrong("is not a number"))?,
            Kind::Json => json(text.trim()).map_err(|why| wrong(&format!("is not valid JSON: {why}")))?,
        };
        changed.insert(name, value);
    }
    if changed.is_empty() {
        return Ok(None);
    }
    let mut all: IndexMap<String, Json> = IndexMap::new();
    for (name, raw) in given {
        let kept = || Json::from_text(raw.get().to_owned()).unwrap_or_else(|_| Json::null());
        all.insert(name.clone(), changed.shift_remove(name).unwrap_or_else(kept));
    }
    all.extend(changed);
    Ok(Some(Json::of(&all)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(json: &str) -> Json {
        Json::from_text(json.to_owned()).unwrap()
    }

    fn schema() -> Json {
        Json::of(&json!({"type": "object", "properties": {
            "amount": {"type": "number", "description": "In euros."}, "currency": {"enum": ["EUR", "USD"]},
            "notify": {"type": "boolean"}, "note": {"type": "string"}, "tags": {"type": "array"},
        }}))
    }

    fn asked() -> Json {
        text(r#"{"amount": 1240.00, "currency": "EUR", "long": "a\nb", "tags": [1,  2]}"#)
    }

    fn pairs(form: &[(&str, &str)]) -> Vec<(String, String)> {
        form.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn edited(form: &[(&str, &str)]) -> Result<Option<String>, u16> {
        sent(&asked(), &schema(), &pairs(form))
            .map(|j| j.map(|j| j.text().to_owned()))
            .map_err(|p| p.status())
    }

    #[test]
    fn each_argument_has_the_field_that_fits_it() {
        let form = Form::of(&asked(), &schema());
        let seen: Vec<_> =
            form.fields.iter().map(|f| (f.name.as_str(), f.value.as_str(), f.was.as_str())).collect();
        assert_eq!(
            seen,
            [
                ("amount", "1240.00", "1240.00"),
                ("currency", "EUR", "EUR"),
                ("long", "a\nb", "a\nb"),
                ("tags", "[1,  2]", "[1,  2]"),
                ("notify", "", ""),
                ("note", "", ""),
            ]
        );
        assert_eq!(form.fields[0].about, "In euros.");
        assert_eq!(form.fields[0].widget, Widget::Line("decimal"));
        assert_eq!(form.fields[1].widget, Widget::Choice(vec![("EUR".into(), true), ("USD".into(), false)]));
        assert_eq!((&form.fields[2].widget, &form.fields[3].widget), (&Widget::Area, &Widget::Area));
        let choice = ["", "true", "false"].map(|o| (o.to_owned(), o.is_empty()));
        assert_eq!(form.fields[4].widget, Widget::Choice(choice.to_vec()));
    }

    #[test]
    fn what_nobody_touched_is_no_change_and_stays_as_it_was_written() {
        let untouched = [
            ("v:amount", "1240.00"),
            ("v:currency", "EUR"),
            ("v:long", "a\r\nb"),
            ("v:tags", "[1,  2]"),
            ("v:notify", ""),
            ("v:note", ""),
        ];
        assert_eq!(edited(&untouched), Ok(None));
        let whole = Form::of(&asked(), &schema()).whole.replace('\n', "\r\n");
        assert_eq!(edited(&[("json", &whole)]), Ok(None));
        assert_eq!(
            edited(&[("v:currency", "USD"), ("v:notify", "true"), ("v:unknown", "x")]),
            Ok(Some(
                r#"{"amount":1240.00,"currency":"USD","long":"a\nb","tags":[1,  2],"notify":true}"#.into()
            ))
        );
    }

    #[test]
    fn what_can_not_be_read_is_refused_by_its_name() {
        assert_eq!(edited(&[("v:amount", "lots")]), Err(422));
        assert_eq!(edited(&[("v:amount", "[1]")]), Err(422));
        assert_eq!(edited(&[("v:tags", "[1")]), Err(422));
        assert_eq!(edited(&[("json", "{")]), Err(422));
        assert_eq!(edited(&[("json", "{\"a\":1}"), ("v:amount", "5")]), Err(400));
        assert_eq!(edited(&[("json", "{\"a\": 1}")]), Ok(Some("{\"a\": 1}".into())));
        assert!(!edited(&[("v:note", "x\u{0}")]).unwrap().unwrap().contains('\u{0}'));
    }

    #[test]
    fn long_or_many_arguments_are_not_edited_one_by_one() {
        let many: serde_json::Map<_, _> = (0..50).map(|n| (format!("a{n}"), json!(n))).collect();
        let form = Form::of(&Json::of(&many), &schema());
        assert!(form.fields.is_empty() && !form.whole.is_empty());
        let form = Form::of(&Json::of(&json!({"a": "x".repeat(70_000)})), &schema());
        assert!(form.fields.is_empty() && form.whole.is_empty());
    }
}
