//! The words in which a list is narrowed: `status:failed agent:!healthcheck since:24h took:>5m "connection refused"`.
//!
//! ```text
//!   text  = token*                    all of them hold
//!   token = [-] name ":" value        name from NAMES; a "-" before the name or a "!" before the value turns it round
//!         | [-] word                  said by anybody in the run
//!   value = item ("," item)*          any of them, where a list makes sense
//!   item  = bare | '"' … '"'          quotes count where an item begins; \" and \\ inside
//! ```
//!
//! [`Query::parse`] never gives up: what it can't read stays as text beside what it can. [`Query::text`] is the one way
//! to write a query, and reads back as the same.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};

use crate::engine::Status;
use crate::id::ExecutionId;
use crate::store::read::list::{Comparison, Condition, Filter, Moment, Now};

/// What a token may begin with.
pub const NAMES: [&str; 18] = [
    "status", "agent", "version", "since", "until", "is", "queue", "worker", "tool", "model", "error",
    "took", "tokens", "turns", "session", "key", "id", "text",
];
/// Statuses, as they are written.
pub const STATUSES: [Status; 6] = [
    Status::Running,
    Status::Paused,
    Status::Completed,
    Status::Failed,
    Status::Terminated,
    Status::TimedOut,
];
const STATES: [(&str, Now); 4] =
    [("stuck", Now::Stuck), ("retrying", Now::Retrying), ("live", Now::Live), ("ended", Now::Ended)];
const SIGNS: [(&str, Comparison); 5] = [
    (">=", Comparison::AtLeast),
    ("<=", Comparison::AtMost),
    (">", Comparison::More),
    ("<", Comparison::Less),
    ("=", Comparison::Equal),
];
const UNITS: [(&str, i64); 6] =
    [("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
/// Most characters of a query.
pub const LONGEST: usize = 2000;
/// Most tokens of a query.
const TOKENS: usize = 40;

/// A condition, or its opposite.
#[derive(Debug, Clone, PartialEq)]
pub struct Term {
    /// Whether the opposite is meant.
    pub negated: bool,
    /// What it says.
    pub condition: Condition,
}

/// A token that can't be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// As it was written.
    pub text: String,
    /// What is wrong with it, and what would be right.
    pub says: String,
}

/// What a list shows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Query {
    /// What could be read.
    pub terms: Vec<Term>,
    /// What could not.
    pub broken: Vec<Broken>,
}

impl Query {
    /// Read a text.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut query = Self::default();
        if text.chars().nth(LONGEST).is_some() {
            let text = text.chars().take(LONGEST).collect();
            let says = format!("a filter has at most {LONGEST} characters; this one was cut");
            return Self { broken: vec![Broken { text, says }], ..query };
        }
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let (token, behind) = first(rest);
            let text = &rest[..rest.len() - behind.len()];
            let read = match query.terms.len() {
                TOKENS.. => Err(format!("a filter has at most {TOKENS} parts; leave some out")),
                _ => token.and_then(Token::read),
            };
            match read {
                Ok(term) if query.terms.contains(&term) => {}
                Ok(term) => query.terms.push(term),
                Err(says) => query.broken.push(Broken { text: text.trim_end().to_owned(), says }),
            }
            rest = behind.trim_start();
        }
        query
    }

    /// The one way to write it; what could not be read comes last, as it was.
    #[must_use]
    pub fn text(&self) -> String {
        let terms = self.terms.iter().map(Term::text);
        terms.chain(self.broken.iter().map(|b| b.text.clone())).collect::<Vec<_>>().join(" ")
    }

    /// What could not be read, as it was.
    #[must_use]
    pub fn broken_text(&self) -> String {
        self.broken.iter().map(|b| b.text.as_str()).collect::<Vec<_>>().join(" ")
    }

    /// The same without the term at this place.
    #[must_use]
    pub fn without(&self, place: usize) -> Self {
        let mut other = self.clone();
        other.terms.remove(place);
        other
    }

    /// The same with a condition in place of others of its name.
    #[must_use]
    pub fn with(&self, condition: Condition) -> Self {
        let mut other = self.clone();
        let name = name(&condition);
        other.terms.retain(|t| t.negated || self::name(&t.condition) != name);
        other.terms.push(Term { negated: false, condition });
        other
    }

    /// The same without conditions of this name.
    #[must_use]
    pub fn without_all(&self, name: &str) -> Self {
        let mut other = self.clone();
        other.terms.retain(|t| t.negated || self::name(&t.condition) != name);
        other
    }

    /// What the store looks for.
    #[must_use]
    pub fn filter(&self) -> Filter {
        Filter(self.terms.iter().map(|t| (t.negated, t.condition.clone())).collect())
    }

    /// What could not be read, in a sentence; `None` when all could.
    #[must_use]
    pub fn complaint(&self) -> Option<String> {
        let says: Vec<_> = self.broken.iter().map(|b| format!("'{}': {}", b.text, b.says)).collect();
        (!says.is_empty()).then(|| says.join("; "))
    }

    /// The values of the first condition with this name that is not turned round.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<String> {
        let term = self.terms.iter().find(|t| !t.negated && self::name(&t.condition) == name)?;
        Some(value(&term.condition))
    }
}

impl Term {
    /// As it is written: `agent:!healthcheck`.
    #[must_use]
    pub fn text(&self) -> String {
        let value = value(&self.condition);
        match (&self.condition, self.negated) {
            (Condition::Word(_), negated) => format!("{}{value}", if negated { "-" } else { "" }),
            (condition, negated) => format!("{}:{}{value}", name(condition), if negated { "!" } else { "" }),
        }
    }

    /// What comes before its value, and its value.
    #[must_use]
    pub fn parts(&self) -> (String, String) {
        let (value, not) = (value(&self.condition), if self.negated { "!" } else { "" });
        match &self.condition {
            Condition::Word(_) => (if self.negated { "without " } else { "" }.to_owned(), value),
            condition => (format!("{}:", name(condition)), format!("{not}{value}")),
        }
    }
}

/// What a condition is called.
fn name(condition: &Condition) -> &'static str {
    match condition {
        Condition::Status(_) => "status",
        Condition::Agent(_) => "agent",
        Condition::Version(_) => "version",
        Condition::Since(_) => "since",
        Condition::Until(_) => "until",
        Condition::Is(_) => "is",
        Condition::Queue(_) => "queue",
        Condition::Worker(_) => "worker",
        Condition::Tool(_) => "tool",
        Condition::Model(_) => "model",
        Condition::Error(_) => "error",
        Condition::Took(..) => "took",
        Condition::Tokens(..) => "tokens",
        Condition::Turns(..) => "turns",
        Condition::Session(_) => "session",
        Condition::Key(_) => "key",
        Condition::Id(_) => "id",
        Condition::Word(_) => "text",
    }
}

/// The value of a condition, as it is written.
fn value(condition: &Condition) -> String {
    let join = |items: Vec<String>| items.join(",");
    match condition {
        Condition::Status(statuses) => join(statuses.iter().map(|s| s.name().to_owned()).collect()),
        Condition::Agent(names)
        | Condition::Queue(names)
        | Condition::Worker(names)
        | Condition::Tool(names)
        | Condition::Model(names)
        | Condition::Session(names)
        | Condition::Key(names) => join(names.iter().map(|name| quoted(name, true)).collect()),
        Condition::Version(versions) => join(versions.iter().map(i32::to_string).collect()),
        Condition::Since(time) | Condition::Until(time) => match time {
            Moment::Ago(ago) => span(*ago),
            Moment::At(time) => time.to_string(),
        },
        Condition::Is(states) => {
            let word = |now: &Now| STATES.iter().find(|(_, s)| s == now).map_or("", |(word, _)| *word);
            join(states.iter().map(|now| word(now).to_owned()).collect())
        }
        Condition::Error(text) => quoted(text, true),
        Condition::Took(comparison, time) => format!("{}{}", comparison.sign(), span(*time)),
        Condition::Tokens(comparison, n) | Condition::Turns(comparison, n) => {
            format!("{}{n}", comparison.sign())
        }
        Condition::Id(ids) => join(ids.iter().map(ExecutionId::to_string).collect()),
        Condition::Word(word) => quoted(word, false),
    }
}

/// A text as an item; in quotes where it would be read as something else.
fn quoted(text: &str, is_listed: bool) -> String {
    let is_plain = !text.is_empty()
        && !text.starts_with(['-', '!'])
        && !text.contains(|c: char| c.is_whitespace() || c == '"' || (is_listed && c == ','))
        && (is_listed || !text.contains(':'))
        && (is_listed || text.parse::<ExecutionId>().is_err());
    if is_plain {
        return text.to_owned();
    }
    let mut out = String::from('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

/// A span of time in the largest unit that fits: `24h`, `7d`, `90s`.
#[must_use]
pub fn span(time: SignedDuration) -> String {
    let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    let fits = |(_, unit): &&(&str, i64)| millis % unit == 0 && (*unit < 86_400_000 || millis >= 2 * unit);
    let (unit, size) = UNITS.iter().find(fits).unwrap_or(&UNITS[5]);
    format!("{}{unit}", millis / size)
}

/// A token with a name and one value, whatever that holds.
#[must_use]
pub fn token(name: &str, value: &str) -> String {
    format!("{name}:{}", quoted(value, true))
}

/// A token in its parts.
struct Token {
    negated: bool,
    name: Option<String>,
    items: Vec<Item>,
    /// Its value as it was written, for what is no list.
    whole: String,
}

struct Item {
    text: String,
    is_quoted: bool,
}

/// The first token of a text and what comes behind it.
fn first(text: &str) -> (Result<Token, String>, &str) {
    let mut rest = text;
    let mut negated = false;
    if let Some(behind) = rest.strip_prefix('-').filter(|b| b.starts_with(|c: char| !c.is_whitespace())) {
        (negated, rest) = (true, behind);
    }
    let letters = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
    let mut name = None;
    if letters > 0 && rest[letters..].starts_with(':') {
        name = Some(rest[..letters].to_ascii_lowercase());
        rest = &rest[letters + 1..];
        if let Some(behind) = rest.strip_prefix('!') {
            (negated, rest) = (!negated, behind);
        }
    }
    let is_listed = name.is_some();
    let (mut items, mut whole) = (vec![], String::new());
    loop {
        let (item, behind) = match item(rest, is_listed) {
            Ok(found) => found,
            Err(says) => return (Err(says), ""),
        };
        whole.push_str(&item.text);
        items.push(item);
        rest = behind;
        match rest.strip_prefix(',').filter(|_| is_listed) {
            Some(behind) => {
                whole.push(',');
                rest = behind;
            }
            None => break,
        }
    }
    (Ok(Token { negated, name, items, whole }), rest)
}

/// An item of a value and what comes behind it. A quote counts at its beginning only.
fn item(text: &str, is_listed: bool) -> Result<(Item, &str), String> {
    let mut found = String::new();
    let mut chars = text.char_indices();
    let is_quoted = text.starts_with('"');
    let mut is_open = is_quoted;
    if is_quoted {
        chars.next();
    }
    while let Some((at, c)) = chars.next() {
        match c {
            '"' if is_open => is_open = false,
            '\\' if is_open => match chars.next() {
                Some((_, c @ ('"' | '\\'))) => found.push(c),
                Some((_, c)) => found.extend(['\\', c]),
                None => break,
            },
            c if !is_open && (c.is_whitespace() || (is_listed && c == ',')) => {
                return Ok((Item { text: found, is_quoted }, &text[at..]));
            }
            c => found.push(c),
        }
    }
    if is_open {
        return Err("a quote is opened and not closed; add a \" at its end".to_owned());
    }
    Ok((Item { text: found, is_quoted }, ""))
}

impl Token {
    fn read(self) -> Result<Term, String> {
        let negated = self.negated;
        self.condition().map(|condition| Term { negated, condition })
    }

    fn condition(self) -> Result<Condition, String> {
        let Some(name) = self.name.as_deref() else { return self.word() };
        if !NAMES.contains(&name) {
            return Err(format!(
                "there is no filter '{name}'; there are {}. To look for it as text, put it in quotes",
                NAMES.join(", ")
            ));
        }
        if self.items.iter().any(|i| i.text.is_empty()) {
            return Err(format!("'{name}:' needs a value, such as {}", example(name)));
        }
        match name {
            "status" => self.each(status).map(Condition::Status),
            "agent" => self.names().map(Condition::Agent),
            "version" => self.each(version).map(Condition::Version),
            "since" => moment(&self.whole, false).map(Condition::Since),
            "until" => moment(&self.whole, true).map(Condition::Until),
            "is" => self.each(state).map(Condition::Is),
            "queue" => self.names().map(Condition::Queue),
            "worker" => self.names().map(Condition::Worker),
            "tool" => self.names().map(Condition::Tool),
            "model" => self.names().map(Condition::Model),
            "error" => Ok(Condition::Error(self.whole)),
            "took" => took(&self.whole).map(|(c, t)| Condition::Took(c, t)),
            "tokens" => number(name, &self.whole).map(|(c, n)| Condition::Tokens(c, n)),
            "turns" => number(name, &self.whole).map(|(c, n)| Condition::Turns(c, n)),
            "session" => self.names().map(Condition::Session),
            "key" => self.names().map(Condition::Key),
            "id" => self.each(id).map(Condition::Id),
            _ => Ok(Condition::Word(self.whole)),
        }
    }

    fn word(self) -> Result<Condition, String> {
        if self.whole.is_empty() {
            return Err("there is nothing between the quotes; write a word there, or leave it out".to_owned());
        }
        match self.whole.parse() {
            Ok(id) if !self.items[0].is_quoted => Ok(Condition::Id(vec![id])),
            _ => Ok(Condition::Word(self.whole)),
        }
    }

    fn names(self) -> Result<Vec<String>, String> {
        self.each(|name| Ok(name.to_owned()))
    }

    fn each<T: PartialEq>(&self, read: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
        let mut all = vec![];
        for item in &self.items {
            let one = read(&item.text)?;
            if !all.contains(&one) {
                all.push(one);
            }
        }
        Ok(all)
    }
}

fn example(name: &str) -> &'static str {
    match name {
        "status" => "status:failed",
        "agent" => "agent:support-triage",
        "version" => "version:3",
        "since" | "until" => "since:24h or until:2026-11-20",
        "is" => "is:stuck",
        "queue" => "queue:gpu",
        "worker" => "worker:gpu-1",
        "tool" => "tool:web_search",
        "model" => "model:openai/gpt-4o",
        "error" => "error:429",
        "took" => "took:>5m",
        "tokens" => "tokens:>1000",
        "turns" => "turns:>3",
        "session" => "session:customer-7",
        "key" => "key:order-48211",
        "id" => "id:01a1fcfa-538f-71c9-afdc-37c6bf8c69cf",
        _ => "text:refund",
    }
}

fn status(word: &str) -> Result<Status, String> {
    STATUSES.into_iter().find(|s| s.name().eq_ignore_ascii_case(word)).ok_or_else(|| {
        let known = STATUSES.map(Status::name).join(", ");
        format!("there is no status '{word}'; there are {known}")
    })
}

fn state(word: &str) -> Result<Now, String> {
    let known = STATES.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
    known.map(|(_, now)| *now).ok_or_else(|| {
        let known = STATES.map(|(name, _)| name).join(", ");
        format!("'is:' knows no '{word}'; it knows {known}")
    })
}

fn version(text: &str) -> Result<i32, String> {
    let number = text.parse::<i32>().ok().filter(|n| *n >= 1);
    number.ok_or_else(|| format!("'{text}' is no version; versions are numbers from 1"))
}

fn id(text: &str) -> Result<ExecutionId, String> {
    text.parse().map_err(|_| format!("'{text}' is no execution's id; ids look like {}", &example("id")[3..]))
}

/// `>5m` in its parts; without a sign it is `=`.
fn compared(text: &str) -> (Comparison, &str) {
    let signed = SIGNS.iter().find_map(|(sign, c)| Some((*c, text.strip_prefix(sign)?)));
    signed.unwrap_or((Comparison::Equal, text))
}

fn number(name: &str, text: &str) -> Result<(Comparison, i64), String> {
    let (comparison, digits) = compared(text);
    let number = digits.parse::<i64>().ok().filter(|n| *n >= 0);
    let number = number.ok_or_else(|| format!("'{digits}' is no number; write it like {}", example(name)))?;
    Ok((comparison, number))
}

fn took(text: &str) -> Result<(Comparison, SignedDuration), String> {
    let wrong = || format!("'{text}' is no time to compare with; write took:>5m or took:<500ms");
    match compared(text) {
        (Comparison::Equal, _) => Err(wrong()),
        (comparison, span) => Ok((comparison, duration(span).ok_or_else(wrong)?)),
    }
}

/// `24h`, `1h30m`, `500ms`; at most a hundred years.
#[must_use]
pub fn duration(text: &str) -> Option<SignedDuration> {
    let mut rest = text;
    let mut millis = 0_i64;
    while !rest.is_empty() || millis == 0 && text.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, behind) = rest.split_at(digits);
        let unit = behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len());
        let (_, size) = UNITS.iter().find(|(name, _)| *name == &behind[..unit])?;
        millis = millis.checked_add(number.parse::<i64>().ok()?.checked_mul(*size)?)?;
        rest = &behind[unit..];
    }
    (millis <= 100 * 366 * 86_400_000).then(|| SignedDuration::from_millis(millis))
}

/// `24h` ago, a day, or a time; a day as an end means the end of the day.
fn moment(text: &str, is_end: bool) -> Result<Moment, String> {
    if let Some(ago) = duration(text) {
        return Ok(Moment::Ago(ago));
    }
    let utc = |time: DateTime| time.to_zoned(TimeZone::UTC).ok().map(|t| t.timestamp());
    let day = || {
        let day = text.parse::<Date>().ok()?;
        utc(if is_end { day.checked_add(1.day()).ok()? } else { day }
            .to_datetime(jiff::civil::Time::midnight()))
    };
    let has_time = text.contains(['T', 't', ' ']);
    let time = text
        .parse::<Timestamp>()
        .ok()
        .or_else(|| if has_time { text.parse::<DateTime>().ok().and_then(utc) } else { day() });
    let is_usual = |t: &Timestamp| (0..250_000_000_000).contains(&t.as_second());
    time.filter(is_usual).map(Moment::At).ok_or_else(|| {
        format!("'{text}' is no time; write 30m, 24h or 7d for so long ago, or 2026-11-20 or 2026-11-20T14:15Z (UTC)")
    })
}

#[cfg(test)]
#[path = "query_tests.rs"]
mod tests;
