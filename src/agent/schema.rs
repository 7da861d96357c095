//! Whether arguments fit a tool's JSON Schema. Pure: nothing that a schema refers to is ever fetched.

use serde_json::Value;

/// Faults that are named.
const NAMED: usize = 3;
/// Longest description of one, in characters.
const LONGEST: usize = 200;

/// Check `arguments` against `schema`.
///
/// # Errors
///
/// What does not fit, for people; also when the schema itself is none, because then nobody can say that they fit.
pub fn check(schema: &Value, arguments: &Value) -> Result<(), String> {
    let validator = jsonschema::validator_for(schema)
        .map_err(|e| short(&format!("the tool's schema can't be used, so changes can't be checked: {e}")))?;
    let faults: Vec<_> = validator
        .iter_errors(arguments)
        .take(NAMED)
        .map(|fault| {
            let at = fault.instance_path().to_string();
            let at = at.trim_start_matches('/').replace('/', ".");
            let what = short(&fault.to_string());
            if at.is_empty() { what } else { format!("{at}: {what}") }
        })
        .collect();
    if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) }
}

fn short(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_does_not_fit_is_named_by_its_place() {
        let schema = json!({
            "type": "object",
            "properties": {"amount": {"type": "number", "maximum": 500}, "to": {"enum": ["EUR", "USD"]}},
            "required": ["amount"],
        });
        assert_eq!(check(&schema, &json!({"amount": 5, "to": "EUR"})), Ok(()));
        let why = check(&schema, &json!({"amount": "5", "to": "GBP"})).unwrap_err();
        assert!(why.contains("amount: ") && why.contains("to: "), "{why}");
        assert!(check(&schema, &json!({})).unwrap_err().contains("amount"));
        assert!(check(&schema, &json!({"amount": 501})).unwrap_err().contains("maximum"));
    }

    #[test]
    fn a_schema_that_is_none_or_that_lies_elsewhere_lets_nothing_pass() {
        for schema in [json!({"type": 7}), json!({"$ref": "http://127.0.0.1:1/schema.json"})] {
            assert!(check(&schema, &json!({})).is_err(), "{schema}");
        }
    }
}
