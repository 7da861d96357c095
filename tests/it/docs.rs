//! The documents are true where a machine can tell: links lead somewhere, command lines are understood, every setting is
//! listed, and the state machine's table is the engine's.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use clap::{CommandFactory, Parser, error::ErrorKind};
use regex::Regex;
use tenure::cli::Cli;

/// A link of Markdown, or of HTML inside it.
static LINK: LazyLock<Regex> = LazyLock::new(|| pattern(r#"\]\(([^)\s]+)\)|(?:src|srcset|href)="([^"]+)""#));
/// A piece of code inside a line.
static CODE: LazyLock<Regex> = LazyLock::new(|| pattern("`([^`]+)`"));
/// The beginning of a command that is ours, where a shell expects one.
static COMMAND: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?:^|\$\(|[|;&] |^(?:[A-Z_]+=\S+ )+)(?:tenure|cargo run[a-z -]* --) "));

fn pattern(text: &str) -> Regex {
    Regex::new(text).unwrap()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Files under `place` with this extension, without what hides behind a dot.
fn files(place: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in fs::read_dir(place).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name());
        if name.to_string_lossy().starts_with(['.', '_']) {
            continue;
        }
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    found
}

/// Every document, with its text.
fn documents() -> Vec<(PathBuf, String)> {
    let mut paths = files(&root().join("docs"), "md");
    paths.extend(["README.md", "ARCHITECTURE.md", "CHANGELOG.md"].map(|name| root().join(name)));
    paths.into_iter().map(|path| (path.clone(), read(path))).collect()
}

/// A document's lines, each with the language of the code block that it stands in; `None` for prose.
fn lines(text: &str) -> Vec<(Option<&str>, &str)> {
    let mut block = None;
    let mut lines = vec![];
    for line in text.lines() {
        match (line.trim_start().strip_prefix("```"), block) {
            (Some(language), None) => block = Some(language),
            (Some(_), Some(_)) => block = None,
            (None, _) => lines.push((block, line)),
        }
    }
    lines
}

/// A heading as links write it.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().trim().to_lowercase().replace(' ', "-")
}

fn problem_with_link(document: &Path, link: &str) -> Option<String> {
    let (path, fragment) = link.split_once('#').unwrap_or((link, ""));
    let target = if path.is_empty() { document.to_owned() } else { document.parent()?.join(path) };
    if !target.exists() {
        return Some(format!("{}: there is no {link}", document.display()));
    }
    if fragment.is_empty() {
        return None;
    }
    let text = read(&target);
    let is_there = lines(&text).iter().any(|(block, line)| {
        block.is_none() && line.starts_with('#') && anchor(line.trim_start_matches('#')) == fragment
    });
    (!is_there).then(|| format!("{}: {path} has no heading #{fragment}", document.display()))
}

#[test]
fn every_link_of_the_documents_leads_somewhere() {
    let mut problems = vec![];
    for (path, text) in documents() {
        for (_, line) in lines(&text).into_iter().filter(|(block, _)| block.is_none()) {
            let links = LINK.captures_iter(line).filter_map(|c| c.get(1).or(c.get(2)));
            let ours = links.map(|link| link.as_str()).filter(|link| !link.contains("://"));
            problems.extend(ours.filter_map(|link| problem_with_link(&path, link)));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// The words of a shell command, up to where it ends.
fn words(command: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (vec![], None::<String>, None);
    for c in command.chars() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            (None, '|' | ';' | '&' | ')' | '<' | '>') => break,
            (None, '#') if word.is_none() => break,
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// Our own command lines in a line of a shell. `tenure COMMAND` speaks of all of them and is none.
fn commands(line: &str) -> Vec<Vec<String>> {
    let found = COMMAND.find_iter(line).map(|begin| {
        let mut command = words(&line[begin.end()..]);
        command.insert(0, "tenure".to_owned());
        command
    });
    found.filter(|command| command.get(1).is_none_or(|name| name != "COMMAND")).collect()
}

/// What the command line parser has against `command`. Prose may leave out what is required, examples may not.
fn problem_with_command(command: &[String], is_prose: bool) -> Option<String> {
    let error = Cli::try_parse_from(command).err()?;
    let is_fine = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => true,
        ErrorKind::MissingRequiredArgument
        | ErrorKind::MissingSubcommand
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => is_prose,
        _ => false,
    };
    (!is_fine).then(|| error.to_string())
}

#[test]
fn every_command_line_of_the_documents_is_understood() {
    let (mut checked, mut problems) = (0, vec![]);
    for (path, text) in documents() {
        let shown = text.replace("\\\n", " ");
        for (block, line) in lines(&shown) {
            let found: Vec<Vec<String>> = match block {
                None => CODE.captures_iter(line).flat_map(|code| commands(&code[1])).collect(),
                Some("sh") => commands(line),
                Some(_) => continue,
            };
            checked += found.len();
            for command in found {
                if let Some(problem) = problem_with_command(&command, block.is_none()) {
                    problems.push(format!("{}: {}\n{problem}", path.display(), command.join(" ")));
                }
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(checked > 20, "only {checked} command lines were found");
}

#[test]
fn a_command_line_is_found_wherever_a_shell_would_run_it() {
    let found = |line: &str| commands(line).iter().map(|c| c.join(" ")).collect::<Vec<_>>();
    assert_eq!(
        found(r#"ID=$(tenure agent run --name a "two words") # why"#),
        ["tenure agent run --name a two words"]
    );
    assert_eq!(found("A=b C=d tenure serve"), ["tenure serve"]);
    assert_eq!(found("cargo run --release -- demo --exit"), ["tenure demo --exit"]);
    assert_eq!(found("cd tenure && ls"), [""; 0]);
    assert!(problem_with_command(&words("tenure serve --lisen x"), true).is_some());
    assert!(problem_with_command(&words("tenure agent status"), false).is_some());
}

/// One row of the table of settings: its flags, its variables, its default.
struct Setting {
    flags: BTreeSet<String>,
    variables: BTreeSet<String>,
    default: String,
}

fn settings() -> Vec<Setting> {
    let text = read("docs/configuration.md");
    let (first, _) = text.split_once("\n## ").expect("the table stands before the first heading");
    let codes = |cell: &str| CODE.captures_iter(cell).map(|code| code[1].to_owned()).collect();
    let rows = first.lines().filter(|line| line.starts_with('|')).skip(2);
    rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 5, "{row}");
        Setting { flags: codes(cells[0]), variables: codes(cells[1]), default: cells[2].to_owned() }
    })
    .collect()
}

/// Every flag that configures something: the global ones, and those of the commands that are no mere clients.
fn flags() -> Vec<clap::Arg> {
    fn gather(command: &clap::Command, found: &mut Vec<clap::Arg>) {
        let named =
            command.get_arguments().filter(|arg| !matches!(arg.get_id().as_str(), "help" | "version"));
        found.extend(named.filter(|arg| arg.get_long().is_some()).cloned());
        let settled = |name: &str| {
            let clients = matches!(
                name,
                "agent" | "approvals" | "bulk" | "why" | "queue" | "cost" | "prices" | "completions" | "help"
            );
            let instruments = name == "bench" || name.starts_with("torture") || name == "demo-worker";
            !clients && !instruments
        };
        command.get_subcommands().filter(|sub| settled(sub.get_name())).for_each(|sub| gather(sub, found));
    }
    let mut found = vec![];
    gather(&Cli::command(), &mut found);
    found
}

#[test]
fn every_flag_and_its_variable_and_default_are_in_the_table_of_settings() {
    let settings = settings();
    let mut problems = vec![];
    for flag in flags() {
        let name = format!("--{}", flag.get_long().unwrap_or_default());
        let rows: Vec<_> = settings.iter().filter(|s| s.flags.contains(&name)).collect();
        if rows.is_empty() {
            problems.push(format!("{name} is not there"));
        }
        if let Some(variable) = flag.get_env().map(|v| v.to_string_lossy().into_owned())
            && !rows.iter().any(|s| s.variables.contains(&variable))
        {
            problems.push(format!("{name} has the variable {variable}"));
        }
        let default = flag.get_default_values().iter().map(|v| v.to_string_lossy()).collect::<String>();
        let depends_on_machine = name.ends_with("-dir") || matches!(default.as_str(), "" | "false");
        if !depends_on_machine && !rows.iter().any(|s| s.default == format!("`{default}`")) {
            problems.push(format!("{name} has the default {default}"));
        }
    }
    let known: BTreeSet<_> = flags().iter().filter_map(|f| Some(format!("--{}", f.get_long()?))).collect();
    let listed = settings.iter().flat_map(|s| &s.flags);
    problems.extend(listed.filter(|f| !known.contains(*f)).map(|f| format!("there is no {f}")));
    assert!(problems.is_empty(), "docs/configuration.md: {}", problems.join("; "));
}

/// The variables that sources name in quotes.
fn quoted(places: &[&str], extensions: &[&str], what: &str) -> BTreeSet<String> {
    let names = pattern(&format!("\"({what})\""));
    let paths =
        places.iter().flat_map(|place| extensions.iter().flat_map(move |e| files(&root().join(place), e)));
    let found = paths.flat_map(|path| {
        let text = read(path);
        names.captures_iter(&text).map(|c| c[1].to_owned()).collect::<Vec<_>>()
    });
    found.collect()
}

#[test]
fn every_variable_that_the_code_reads_is_documented_and_the_other_way_round() {
    let read_by_code = quoted(&["src", "tests"], &["rs", "py"], "TENURE_[A-Z_]+");
    let text = read("docs/configuration.md");
    let documented: BTreeSet<_> =
        pattern("`(TENURE_[A-Z_]+)`").captures_iter(&text).map(|c| c[1].to_owned()).collect();
    let missing: Vec<_> = read_by_code.difference(&documented).collect();
    assert!(missing.is_empty(), "docs/configuration.md lacks {missing:?}");
    let invented: Vec<_> = documented.difference(&read_by_code).collect();
    assert!(invented.is_empty(), "docs/configuration.md has {invented:?}, which nothing reads");

    let of_providers =
        quoted(&["src/llm"], &["rs"], "[A-Z_]+_(?:API_KEY|BASE_URL|TOKEN|ENDPOINT|DEPLOYMENT|HOST)");
    let models = read("docs/models.md");
    let missing: Vec<_> = of_providers.iter().filter(|name| !models.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "docs/models.md lacks {missing:?}");
}

#[test]
fn the_state_machine_in_the_documents_is_the_engines() {
    let snapshot = read("src/engine/snapshots/tenure__engine__tests__transition_table.snap");
    let table = snapshot.rsplit("---\n").next().unwrap_or_default().trim();
    assert!(table.lines().count() > 50);
    assert!(
        read("docs/state_machine.md").contains(&format!("```text\n{table}\n```")),
        "docs/state_machine.md is not what the snapshot of the engine's transition table says; copy it there"
    );
}
