//! What stands above the lines: tabs, the filter's parts, menus to narrow it.

use jiff::SignedDuration;

use crate::json;
use crate::store::read::list::views::View;
use crate::store::read::list::{Condition, Moment};
use crate::web::ui::shown;

use super::asked::Asked;
use super::query::{Query, STATUSES};
use super::summary::{self, Known};

/// A list to go to.
pub struct Tab {
    pub name: String,
    pub address: String,
    pub count: String,
    /// Class of its count.
    pub ink: &'static str,
    pub is_kept: bool,
    pub is_current: bool,
}

/// A part of the filter, and the address without it.
pub struct Chip {
    pub name: String,
    pub value: String,
    pub without: String,
}

/// Choices in place of a part of the filter.
pub struct Menu {
    pub name: &'static str,
    /// What is chosen.
    pub chosen: String,
    pub choices: Vec<Choice>,
}

/// One of them.
pub struct Choice {
    pub word: String,
    pub address: String,
    pub is_current: bool,
}

/// The fixed tabs, then those that somebody kept.
pub fn tabs(asked: &Asked, kept: &[View], known: Option<&Known>) -> Vec<Tab> {
    let here = asked.query.text();
    let one = |condition| Query::default().with(condition);
    let counts = known.map(Known::of_tabs).unwrap_or_default();
    let [waiting, running, failed] = counts;
    let status = |status| Condition::Status(vec![status]);
    let tab = |name: &str, query: Query, count: String, ink| Tab {
        name: name.to_owned(),
        is_current: query.text() == here,
        address: Asked::of(query).address(),
        ink: if count == "0" { "" } else { ink },
        count,
        is_kept: false,
    };
    let mut tabs = vec![
        tab("All", Query::default(), String::new(), ""),
        tab("Needs attention", one(summary::waiting()), waiting, "hot"),
        tab("Running", one(status(STATUSES[0])), running, ""),
        tab("Failed", one(summary::failed()), failed, "bad"),
    ];
    for view in kept {
        let count = known.and_then(|k| k.of_view(&view.query)).unwrap_or_default().to_owned();
        let query = Query::parse(&json::readable(&view.query));
        tabs.push(Tab { is_kept: true, ..tab(&shown::text(&view.name), query, count, "") });
    }
    tabs
}

/// The parts of the filter that could be read.
pub fn chips(asked: &Asked) -> Vec<Chip> {
    let terms = asked.query.terms.iter().enumerate();
    let chip = terms.map(|(place, term)| {
        let (name, value) = term.parts();
        Chip {
            name: shown::text(&name),
            value: shown::excerpt(&value, 80),
            without: asked.narrowed(asked.query.without(place)).address(),
        }
    });
    chip.collect()
}

const TIMES: [(&str, i64); 6] = [
    ("15 minutes", 15),
    ("1 hour", 60),
    ("24 hours", 1440),
    ("7 days", 10_080),
    ("30 days", 43_200),
    ("90 days", 129_600),
];

/// Status, agent and time.
pub fn menus(asked: &Asked, agents: &[String]) -> [Menu; 3] {
    let statuses = STATUSES.map(|s| (shown::status(s, None).word.to_owned(), Condition::Status(vec![s])));
    let agents = agents
        .iter()
        .map(|a| (shown::excerpt(a, 60), Condition::Agent(vec![json::readable(a).into_owned()])));
    let times = TIMES.map(|(word, minutes)| {
        (format!("Last {word}"), Condition::Since(Moment::Ago(SignedDuration::from_mins(minutes))))
    });
    [
        menu(asked, "status", "Status", "Any status", statuses.to_vec()),
        menu(asked, "agent", "Agent", "Any agent", agents.collect()),
        menu(asked, "since", "Time", "Any time", times.to_vec()),
    ]
}

fn menu(
    asked: &Asked,
    key: &str,
    name: &'static str,
    any: &str,
    conditions: Vec<(String, Condition)>,
) -> Menu {
    let chosen = asked.query.value(key);
    let mut choices = vec![Choice {
        word: any.to_owned(),
        address: asked.narrowed(asked.query.without_all(key)).address(),
        is_current: chosen.is_none(),
    }];
    let mut word = None;
    for (label, condition) in conditions {
        let is_current = asked.query.terms.iter().any(|t| !t.negated && t.condition == condition);
        if is_current {
            word = Some(label.clone());
        }
        choices.push(Choice {
            word: label,
            address: asked.narrowed(asked.query.with(condition)).address(),
            is_current,
        });
    }
    let chosen = word.or_else(|| chosen.map(|c| shown::excerpt(&c, 24))).unwrap_or_else(|| name.to_owned());
    Menu { name, chosen, choices }
}
