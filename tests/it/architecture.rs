//! The architecture is a test: text checks that stop drift.

use std::{collections::BTreeSet, path::Path, sync::LazyLock};

use regex::Regex;

/// Each module and the modules it may name, lowest layer first.
const MAY_USE: &[(&str, &[&str])] = &[
    ("id", &[]),
    ("json", &[]),
    ("agent", &["json"]),
    ("engine", &["agent", "json"]),
    ("llm", &[]),
    ("ports", &[]),
    ("postgres", &[]),
    ("worker", &["id"]),
    ("store", &["agent", "engine", "id", "json"]),
    ("runtime", &["agent", "engine", "id", "json", "llm", "postgres", "store"]),
    ("prompt", &["agent", "json", "llm", "runtime", "store"]),
    ("perform", &["agent", "engine", "json", "llm", "prompt", "runtime", "store"]),
    ("notify", &["engine", "id", "json", "runtime", "store"]),
    ("telemetry", &[]),
    ("web", &["agent", "engine", "id", "json", "notify", "runtime", "store"]),
    ("server", &["id", "llm", "notify", "perform", "postgres", "runtime", "store", "telemetry", "web"]),
    ("bench", &["agent", "id", "json", "llm", "perform", "ports", "postgres", "runtime", "server", "store"]),
    ("torture", &["id", "ports", "postgres", "store"]),
    ("cli", &["bench", "ports", "postgres", "server", "store", "torture", "web", "worker"]),
    ("fuzz", &["agent", "engine", "json", "llm", "web"]),
];

/// What only some files of a module may use.
const ONLY_THERE: &[(&str, &str, &[&str])] = &[
    ("cli", "store", &["src/cli/db.rs", "src/cli/doctor.rs"]),
    ("cli", "server", &["src/cli/db.rs", "src/cli/serve.rs"]),
    ("cli", "torture", &["src/cli/torture.rs"]),
    ("cli", "web", &["src/cli/serve.rs"]),
];

/// Files of a module, each with its code without comments.
fn files(module: &str) -> Vec<(String, String)> {
    let mut found = vec![];
    gather(Path::new(&format!("src/{module}.rs")), &mut found);
    gather(Path::new(&format!("src/{module}")), &mut found);
    found
}

fn gather(path: &Path, found: &mut Vec<(String, String)>) {
    if path.is_dir() {
        let mut entries: Vec<_> = path.read_dir().unwrap().map(|e| e.unwrap().path()).collect();
        entries.sort();
        for entry in &entries {
            gather(entry, found);
        }
    } else if path.is_file() && path.extension().is_some_and(|e| e == "rs") {
        let text = std::fs::read_to_string(path).unwrap();
        found.push((path.to_string_lossy().into_owned(), code(&text)));
    }
}

fn code(text: &str) -> String {
    static COMMENT: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?m)(^|\s)//.*$").unwrap());
    COMMENT.replace_all(text, "").into_owned()
}

/// The modules of this crate that `code` names: `crate::a::…`, `crate::{a, b::{…}}`.
fn named(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if rest.starts_with('{') {
            let (mut depth, mut fresh) = (0, true);
            for (i, c) in rest.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    ',' => fresh = depth == 1,
                    c if fresh && depth == 1 && !c.is_whitespace() => {
                        found.insert(word(&rest[i..]));
                        fresh = false;
                    }
                    _ => {}
                }
                if depth == 0 {
                    break;
                }
            }
        } else {
            found.insert(word(rest));
        }
    }
    found
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// What of the crate a module names although it must not.
fn looks_up(module: &str, code: &str) -> Vec<String> {
    let allowed = MAY_USE.iter().find(|(name, _)| *name == module).unwrap().1;
    let is_module = |used: &&String| MAY_USE.iter().any(|(name, _)| name == used);
    let may = |used: &&String| used.as_str() != module && !allowed.contains(&used.as_str());
    named(code).iter().filter(is_module).filter(may).cloned().collect()
}

#[test]
fn modules_only_look_down() {
    for (module, _) in MAY_USE {
        for (file, code) in files(module) {
            let up = looks_up(module, &code);
            assert!(up.is_empty(), "{file}: `{module}` must not use {up:?}");
        }
    }
}

#[test]
fn every_module_has_its_place() {
    let lib = code(&std::fs::read_to_string("src/lib.rs").unwrap());
    let declared = Regex::new(r"pub mod (\w+);").unwrap();
    let declared: BTreeSet<_> = declared.captures_iter(&lib).map(|c| c[1].to_owned()).collect();
    assert_eq!(declared, MAY_USE.iter().map(|(name, _)| (*name).to_owned()).collect());
    for (at, (module, allowed)) in MAY_USE.iter().enumerate() {
        for used in *allowed {
            let below = MAY_USE[..at].iter().any(|(name, _)| name == used);
            assert!(below, "`{module}` may use `{used}`, which is not below it");
        }
    }
}

#[test]
fn the_command_line_is_a_client_but_for_the_commands_that_are_the_server() {
    for (module, used, there) in ONLY_THERE {
        for (file, code) in files(module) {
            let names = named(&code).contains(*used);
            assert!(
                !names || there.contains(&file.as_str()),
                "{file} must not use `{used}`; only {there:?} may"
            );
        }
    }
}

#[test]
fn the_engine_and_the_agent_are_pure() {
    const IMPURE: &[&str] = &[
        "async ",
        ".await",
        "tokio",
        "Instant",
        "SystemTime",
        "Timestamp::now",
        "Zoned::now",
        "Uuid::now",
        "Id::new(",
        "std::fs",
        "std::net",
        "std::env",
        "std::thread",
        "std::process",
        "println!",
        "tracing::",
        "postgres",
    ];
    for (file, code) in
        ["engine", "agent"].into_iter().flat_map(files).filter(|(f, _)| !f.ends_with("tests.rs"))
    {
        for word in IMPURE {
            assert!(!code.contains(word), "{file} must not have `{word}`: it decides, others do");
        }
    }
}

#[test]
fn only_the_store_speaks_sql() {
    /// Statements about sessions and servers, none of which reads or writes a table of ours, and a test that compares rows.
    const EXCEPT: &[(&str, &str)] = &[
        ("src/runtime/wake.rs", "select pg_advisory_lock("),
        ("src/runtime/wake.rs", "select pg_notify("),
        ("src/runtime/model/conforms.rs", ""),
        ("src/torture/proxy.rs", "select pg_terminate_backend("),
    ];
    let sql = Regex::new(r"(?i)\b(select\s+(\*|[\w.,()' ]+\s+from)\b|select \w+\(|select \d|insert into|delete from|update tenure\.|from tenure\.)").unwrap();
    let text = Regex::new(r#""(?:[^"\\]|\\.)*""#).unwrap();
    let elsewhere = MAY_USE.iter().map(|(m, _)| *m).filter(|m| !matches!(*m, "store" | "postgres" | "bench"));
    for (file, code) in elsewhere.flat_map(files) {
        for found in text.find_iter(&code).filter(|t| sql.is_match(t.as_str())) {
            let known = EXCEPT.iter().any(|(at, has)| *at == file && found.as_str().contains(has));
            assert!(known, "{file}: {} belongs in sql/ and store", found.as_str());
        }
        assert!(!code.contains("include_str!(\"../../sql"), "{file} must not load SQL");
    }
}

#[test]
fn only_the_edges_read_the_environment() {
    let reads = Regex::new(r"\benv::(var|vars|var_os|set_var)\b").unwrap();
    for (module, _) in MAY_USE.iter().filter(|(m, _)| !matches!(*m, "cli" | "server" | "postgres" | "fuzz")) {
        for (file, code) in files(module) {
            assert!(!reads.is_match(&code), "{file} must be told, not look at the environment");
        }
    }
}

#[test]
fn words_of_the_wire_protocol_stay_at_the_wire() {
    let words = Regex::new(
        r"(?i)workflow_?(instance_?)?id|reference_?task_?name|task_?reference_?name|task_?def(inition)?s?\b|task_?to_?domain|SUB_WORKFLOW|LLM_CHAT_COMPLETE",
    )
    .unwrap();
    for (file, code) in MAY_USE.iter().flat_map(|(module, _)| files(module)) {
        let at_the_wire = ["src/web/wire/", "src/worker/", "src/bench/", "src/torture/", "src/cli/"]
            .iter()
            .any(|p| file.starts_with(p));
        // Our own tables and modules for the retry policies that workers register.
        let code = code.replace("task_defs", "").replace("TaskDef", "");
        if let Some(found) = words.find(&code).filter(|_| !at_the_wire) {
            panic!("{file} has `{}`; say it in our words", found.as_str());
        }
    }
}

#[test]
fn a_module_that_looks_up_is_noticed() {
    assert_eq!(looks_up("engine", "use crate::store::Pool;"), ["store"]);
    assert_eq!(looks_up("engine", "use crate::{agent::{Agent, Tool}, json, web::{body, wire}};"), ["web"]);
    assert_eq!(looks_up("web", "fn f() -> crate::llm::Reply { crate::perform::run() }"), ["llm", "perform"]);
    assert!(
        looks_up("engine", &code("use crate::agent::Agent; // not crate::store\n//! nor crate::web"))
            .is_empty()
    );
    assert!(looks_up("worker", "use super::error; use crate::worker::Tool;").is_empty());
}
