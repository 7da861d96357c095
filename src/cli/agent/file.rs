//! Agent files: one agent's configuration, in JSON or YAML.

use std::{io::Read, path::Path};

use serde_json::Value;

use crate::cli::failure::Failure;

/// The agent in a file; `-` is standard input.
pub(super) fn read(path: &Path) -> Result<Value, Failure> {
    let shown = path.display();
    let text = if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    let text = text.map_err(|error| {
        let failure = Failure::usage(format!("can't read {shown}")).because(&error);
        if path.is_dir() {
            failure.next(format!("for a Python package: tenure agent deploy --package {shown}"))
        } else {
            failure
        }
    })?;
    parse(&text).map_err(|why| Failure::usage(format!("{shown} is not an agent file")).because(why))
}

fn parse(text: &str) -> Result<Value, String> {
    let is_json = text.trim_start().starts_with('{');
    let agent: Value = if is_json {
        serde_json::from_str(text).map_err(|error| error.to_string())?
    } else {
        serde_saphyr::from_str(text).map_err(|error| error.to_string())?
    };
    match agent.get("name") {
        Some(Value::String(_)) => Ok(agent),
        _ => Err("it needs at least a `name`, and a `model` such as demo/echo".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn an_agent_reads_alike_from_json_and_yaml() {
        let yaml = "name: triage\nmodel: demo/x\ninstructions: |\n  one\n  two\ntools:\n  - name: look\n    toolType: worker\n";
        let json = r#"{"name":"triage","model":"demo/x","instructions":"one\ntwo\n","tools":[{"name":"look","toolType":"worker"}]}"#;
        assert_eq!(parse(yaml).unwrap(), parse(json).unwrap());
    }

    #[test]
    fn a_file_that_is_no_agent_says_what_is_wrong_with_it() {
        for (text, says) in [
            ("", "name"),
            ("just words", "name"),
            ("model: demo/x", "name"),
            (r#"{"name": "a","#, "line 1"),
            ("name: a\n  model: [", "line 2"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(says), "{text:?}: {error}");
        }
    }
}
